//! A database that no daemon has open, looked at without a byte of its directory being written: SQLite would make files of
//! its own beside it, and bring into it what stands in the WAL.

use super::{Read, schema};
use crate::error::{Error, Result};
use crate::keys::{hex, random};
use rusqlite::Connection;
use rustix::fs::{Mode, OFlags};
use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A database at rest.
pub struct OfflineDatabase {
    db: Connection,
    _scratch: Option<Scratch>,
}

impl OfflineDatabase {
    /// Open it. After a clean stop the file is everything; otherwise, or where its schema is an earlier one, file and WAL are
    /// copied to another place first, with as much room as they take.
    ///
    /// # Errors
    /// Unavailable when it cannot be read or is from the future; Internal when it is no database.
    pub fn open(path: &Path) -> Result<OfflineDatabase> {
        let named = |e: Error| e.context(path.display());
        if !has_wal(path) {
            let db = schema::open_unchanged(path).map_err(named)?;
            if schema::is_present(&db).map_err(named)? {
                return Ok(OfflineDatabase { db, _scratch: None });
            }
        }
        let scratch = Scratch::make()?;
        let copy = scratch.0.join("certwright.db");
        copy_at_rest(path, &copy)?;
        let db = schema::open_scratch(&copy).map_err(named)?;
        if schema::is_present(&db).map_err(named)? {
            return Ok(OfflineDatabase { db, _scratch: Some(scratch) });
        }
        drop(db);
        Ok(OfflineDatabase { db: schema::open_copy(&copy).map_err(named)?, _scratch: Some(scratch) })
    }

    /// Run a closure over it.
    ///
    /// # Errors
    /// The closure's own.
    pub fn read<T>(&self, work: impl FnOnce(&Read<'_>) -> Result<T>) -> Result<T> {
        work(&Read { db: &self.db })
    }
}

/// Copy a database that nobody has open, with what stands in its WAL.
pub(super) fn copy_at_rest(from: &Path, to: &Path) -> Result<()> {
    copy_file(from, to)?;
    if has_wal(from) { copy_file(&wal(from), &wal(to)) } else { Ok(()) }
}

fn has_wal(path: &Path) -> bool {
    std::fs::metadata(wal(path)).is_ok_and(|found| found.len() > 0)
}

fn wal(path: &Path) -> PathBuf {
    schema::beside(path, "-wal")
}

fn copy_file(from: &Path, to: &Path) -> Result<()> {
    let failed =
        |e: std::io::Error| Error::unavailable(format!("{} cannot be copied to {}: {e}", from.display(), to.display()));
    let mut source = File::open(from).map_err(failed)?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let target = rustix::fs::open(to, flags, Mode::RUSR | Mode::WUSR).map_err(|e| failed(e.into()))?;
    std::io::copy(&mut source, &mut File::from(target)).map(drop).map_err(failed)
}

/// A private directory that goes when this is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn make() -> Result<Scratch> {
        let path = std::env::temp_dir().join(format!("certwright-{}", hex(&random::<8>()?)));
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|e| Error::unavailable(format!("{} cannot be made ({e}); set TMPDIR", path.display())))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
