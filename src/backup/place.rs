//! Where a state is to be: the directory as it is found, what is made ready beside it, and the step that puts the one in the
//! place of the other.

use super::{DATABASE, FRAGMENTS, KEYS};
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::store::StateLock;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, lchown};
use std::path::{Path, PathBuf};

const RESTORING: &str = "restoring-";
const REPLACED: &str = "replaced-";

/// The state directory, as it is found.
pub(super) struct Target {
    pub(super) path: PathBuf,
    /// Where there is a state in it: the same path.
    pub(super) state: Option<PathBuf>,
    /// Whose it is.
    owner: Option<(u32, u32)>,
    _lock: Option<StateLock>,
}

impl Target {
    pub(super) fn look(state_dir: &Path) -> Result<Target> {
        if !state_dir.exists() {
            let path = std::path::absolute(state_dir)
                .map_err(|e| Error::malformed(format!("--state-dir {}: {e}", state_dir.display())))?;
            return Ok(Target { path, state: None, owner: None, _lock: None });
        }
        // Where it really lies, since a link cannot be exchanged for a directory.
        let failed =
            |e: std::io::Error| Error::unavailable(format!("--state-dir {} cannot be read: {e}", state_dir.display()));
        let path = state_dir.canonicalize().map_err(failed)?;
        let lock = StateLock::take(&path)?;
        let found = path.metadata().map_err(failed)?;
        let state = path.join(DATABASE).exists().then(|| path.clone());
        let wal = path.join(format!("{DATABASE}-wal"));
        if state.is_none() && wal.exists() {
            // SQLite would bring it into the restored database, which it is not of.
            return Err(Error::conflict(format!(
                "{} is there without its database; put that beside it again, so that what is in it is taken over, or move it away",
                wal.display()
            )));
        }
        let target = Target { path, state, owner: Some((found.uid(), found.gid())), _lock: Some(lock) };
        // It may be a new file.
        target.give_owner(&StateLock::path(&target.path))?;
        Ok(target)
    }

    /// A path beside it.
    fn beside(&self, what: &str) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{what}"));
        self.path.with_file_name(name)
    }

    /// What earlier restores left beside it that did not come to their end.
    pub(super) fn leftovers(&self) -> Vec<PathBuf> {
        let prefix = self.beside(RESTORING);
        let entries = self.path.parent().and_then(|parent| std::fs::read_dir(parent).ok());
        let paths = entries.into_iter().flatten().flatten().map(|entry| entry.path());
        paths.filter(|path| path.to_string_lossy().starts_with(&*prefix.to_string_lossy())).collect()
    }

    /// The daemon that had the old files must be able to use the new ones.
    pub(super) fn give_owner(&self, path: &Path) -> Result<()> {
        let Some((uid, gid)) = self.owner else { return Ok(()) };
        let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        if own == (uid, gid) {
            return Ok(());
        }
        let failed = |e: std::io::Error| {
            Error::unavailable(format!("{} cannot be given to uid {uid} ({e}); become root", path.display()))
        };
        // What is in a directory first: once it is given away its owner could put links there.
        if path.is_dir() {
            for entry in std::fs::read_dir(path).map_err(failed)? {
                self.give_owner(&entry.map_err(failed)?.path())?;
            }
        }
        lchown(path, Some(uid), Some(gid)).map_err(failed)
    }

    /// Put what is ready in its place, and say where what was before is.
    pub(super) fn put(&self, staging: Staging) -> Result<Option<PathBuf>> {
        let failed = |e: std::io::Error| {
            Error::unavailable(format!(
                "{} cannot be replaced ({e}), so nothing was changed; name another directory with --state-dir, such as one that \
                 is empty where this one is a mount point",
                self.path.display()
            ))
        };
        // Durable before it has its name.
        File::open(&staging.path).and_then(|directory| directory.sync_all()).map_err(failed)?;
        let kept = match (&self.state, self.owner) {
            (Some(_), _) => {
                let name = staging.path.file_name().unwrap_or_default().to_string_lossy().replace(RESTORING, REPLACED);
                let kept = staging.path.with_file_name(name);
                match renameat_with(CWD, &staging.path, CWD, &self.path, RenameFlags::EXCHANGE) {
                    // Now what was made ready is in its place, and what was before is under the other name.
                    Ok(()) => {
                        let former = staging.keep();
                        Some(std::fs::rename(&former, &kept).map_or(former, |()| kept))
                    }
                    // Not every file system can do it in one step.
                    Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                        std::fs::rename(&self.path, &kept).map_err(failed)?;
                        std::fs::rename(&staging.path, &self.path).map_err(failed)?;
                        staging.keep();
                        Some(kept)
                    }
                    Err(e) => return Err(failed(e.into())),
                }
            }
            // A directory that is there and empty may be a mount point or systemd's: it is filled, the database last.
            (None, Some(_)) => {
                for name in [KEYS, FRAGMENTS] {
                    fill(&staging.path.join(name), &self.path.join(name)).map_err(failed)?;
                }
                std::fs::rename(staging.path.join(DATABASE), self.path.join(DATABASE)).map_err(failed)?;
                None
            }
            (None, None) => {
                std::fs::rename(&staging.path, &self.path).map_err(failed)?;
                staging.keep();
                None
            }
        };
        for directory in [self.path.parent(), Some(&self.path)].into_iter().flatten() {
            let synced = File::open(directory).and_then(|directory| directory.sync_all());
            synced.map_err(|e| Error::unavailable(format!("{} cannot be synced: {e}", directory.display())))?;
        }
        Ok(kept)
    }
}

/// Move the files of a directory into another one, which may be there already.
fn fill(from: &Path, to: &Path) -> std::io::Result<()> {
    match std::fs::symlink_metadata(to) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(std::io::Error::other(format!("{} is no directory", to.display()))),
        Err(_) => return std::fs::rename(from, to),
    }
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        std::fs::rename(entry.path(), to.join(entry.file_name()))?;
    }
    File::open(to)?.sync_all()
}

/// A directory beside the state that goes again unless it comes to be the state.
pub(super) struct Staging {
    pub(super) path: PathBuf,
    is_kept: bool,
}

impl Staging {
    pub(super) fn make(target: &Target, now: Time) -> Result<Staging> {
        let stamp = now.to_string().replace([':', '-'], "");
        // Another one of the same second may have left its directory, or what it replaced.
        let mut names = std::iter::once(stamp.clone()).chain((2..).map(|number| format!("{stamp}-{number}")));
        let is_free =
            |name: &String| [RESTORING, REPLACED].iter().all(|kind| !target.beside(&format!("{kind}{name}")).exists());
        let name = names.find(is_free).unwrap_or(stamp);
        let path = target.beside(&format!("{RESTORING}{name}"));
        make_directory(&path)?;
        Ok(Staging { path, is_kept: false })
    }

    fn keep(mut self) -> PathBuf {
        self.is_kept = true;
        self.path.clone()
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

pub(super) fn make_directory(path: &Path) -> Result<()> {
    DirBuilder::new().mode(0o700).create(path).map_err(|e| unwritable(path, &e))
}

pub(super) fn unwritable(path: &Path, e: &std::io::Error) -> Error {
    Error::unavailable(format!("{} cannot be written: {e}", path.display()))
}
