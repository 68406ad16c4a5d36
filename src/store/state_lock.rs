//! Who works on a state directory: one daemon, or one command that replaces what is in it.

use crate::error::{Error, Result};
use rustix::fs::{Mode, OFlags};
use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Root locks a directory that is another's, who must not lead root elsewhere.
const NO_LINK: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC);

/// Held as long as somebody works on a state directory, so that no two do.
#[derive(Debug)]
pub struct StateLock {
    _file: Option<File>,
}

impl StateLock {
    /// The file that is locked.
    pub fn path(state_dir: &Path) -> PathBuf {
        state_dir.join("lock")
    }

    /// Take it for changing things.
    ///
    /// # Errors
    /// Conflict when somebody has it.
    pub fn take(state_dir: &Path) -> Result<StateLock> {
        let path = StateLock::path(state_dir);
        let flags = OFlags::CREATE | OFlags::WRONLY | NO_LINK;
        let file = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR);
        let file = File::from(file.map_err(|e| failed(&path, &e.into()))?);
        file.try_lock().map_err(|e| refused(state_dir, &e))?;
        Ok(StateLock { _file: Some(file) })
    }

    /// Take it for looking only, so that nothing is written, not even a lock file where there is none yet.
    ///
    /// # Errors
    /// Conflict when somebody may change things.
    pub fn share(state_dir: &Path) -> Result<StateLock> {
        let path = StateLock::path(state_dir);
        match rustix::fs::open(&path, OFlags::RDONLY | NO_LINK, Mode::empty()).map_err(std::io::Error::from) {
            Ok(file) => {
                let file = File::from(file);
                file.try_lock_shared().map_err(|e| refused(state_dir, &e))?;
                Ok(StateLock { _file: Some(file) })
            }
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(StateLock { _file: None }),
            Err(e) => Err(failed(&path, &e)),
        }
    }
}

fn failed(path: &Path, e: &std::io::Error) -> Error {
    Error::unavailable(format!("{} cannot be locked: {e}", path.display()))
}

fn refused(state_dir: &Path, e: &TryLockError) -> Error {
    match e {
        TryLockError::WouldBlock => Error::conflict(format!(
            "another certwright is running on the state directory {}; stop it, or choose another --state-dir",
            state_dir.display()
        )),
        TryLockError::Error(e) => failed(&StateLock::path(state_dir), e),
    }
}
