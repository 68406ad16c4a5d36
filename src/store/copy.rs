//! Copies of the whole database: for a backup while it is written to, and of what was before its schema is changed.
//!
//! SQLite's backup API and not `VACUUM INTO`: it copies pages where VACUUM makes every row and every index again, so that the
//! snapshot is held for a fraction of the time (while it is held the WAL only grows), and it does not stumble over a page
//! that is damaged, so that what is left of a damaged database can still be carried away.

use super::{Read, Store, schema};
use crate::error::{Error, Result};
use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::TryLockError;

/// Pages between two looks at how it goes.
const PAGES_AT_ONCE: i32 = 4_096;

/// A copy of the database as it was at one moment. Its file has no name any more and goes when this is dropped.
#[derive(Debug)]
pub struct DatabaseCopy {
    /// The file, at its beginning.
    pub file: File,
    /// How many bytes it has.
    pub length: u64,
    /// The number of its schema.
    pub schema: usize,
    /// Which fragments open the keys in it.
    pub needs: Vec<NeededFragments>,
    /// What SQLite found that is damaged in it.
    pub damage: Option<Error>,
}

/// Fragments that a key of a database is opened with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeededFragments {
    /// Whose they are, as a person calls it.
    pub name: String,
    /// What their files are named after.
    pub fragments: String,
    /// How many there are.
    pub split_level: usize,
}

impl Store {
    /// Copy the database as it is now, while others go on reading and changing it. It takes as much room again beside it.
    ///
    /// # Errors
    /// Conflict while another copy is made; Unavailable when there is no room.
    pub fn copy(&self) -> Result<DatabaseCopy> {
        let _one_at_a_time = match self.copying.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(guard)) => guard.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err(Error::conflict("another backup is being made; try again when it is done"));
            }
        };
        let named = Named(copy_path(&self.path));
        let file = copy(&schema::open_for_reading(&self.path)?, &named.0)?;
        let failed = |e: std::io::Error| Error::unavailable(format!("the copy of the database cannot be read: {e}"));
        let length = file.metadata().map_err(failed)?.len();
        let db = schema::open_unchanged(&named.0)?;
        let read = Read { db: &db };
        Ok(DatabaseCopy {
            length,
            schema: schema::number(&db)?,
            needs: read.needed_fragments()?,
            damage: read.check_integrity().err(),
            file,
        })
    }
}

impl Read<'_> {
    /// Which fragments open the keys that are not deleted.
    ///
    /// # Errors
    /// The database's.
    pub fn needed_fragments(&self) -> Result<Vec<NeededFragments>> {
        self.all(
            "SELECT i.name || ' (version ' || v.version || ')', v.fragments, k.split_level FROM key_versions v
             JOIN keys k ON k.item = v.key JOIN items i ON i.id = k.item WHERE v.sealed IS NOT NULL AND i.deleted IS NULL
             UNION ALL SELECT 'the data key ' || name, fragments, split_level FROM data_keys ORDER BY 1",
            [],
            |row| Ok(NeededFragments { name: row.get(0)?, fragments: row.get(1)?, split_level: row.get(2)? }),
        )
    }
}

/// Remove what a crash left of a copy.
pub(super) fn remove_leftover(database: &Path) {
    drop(Named(copy_path(database)));
}

fn copy_path(database: &Path) -> PathBuf {
    schema::beside(database, ".copy")
}

/// A file that loses its name when this is dropped.
struct Named(PathBuf);

impl Drop for Named {
    fn drop(&mut self) {
        match std::fs::remove_file(&self.0) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                log::warn!(file:% = self.0.display(), error:% = e; "a file cannot be removed")
            }
            _ => {}
        }
    }
}

/// Copy what a connection sees into a new file for the daemon alone, and give the file: who keeps it makes it durable, and who
/// does not leaves the disk to those who wait for theirs.
pub(super) fn copy(from: &Connection, to: &Path) -> Result<File> {
    let failed = |e: std::io::Error| Error::unavailable(format!("{} cannot be written: {e}", to.display()));
    let _ = std::fs::remove_file(to);
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(to, flags, Mode::RUSR | Mode::WUSR).map_err(|e| failed(e.into()))?);
    copy_pages(from, to).map_err(|e| e.context(format!("{} cannot be written", to.display())))?;
    Ok(file)
}

fn copy_pages(from: &Connection, to: &Path) -> Result<()> {
    let mut to = Connection::open(to)?;
    // Nobody reads it before it is whole and synced.
    to.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -1024;")?;
    // The read transaction is begun here and held to the end: without it every commit of others would make the copy begin
    // again, and under load it would never come to its end.
    let held = from.unchecked_transaction()?;
    held.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    let backup = Backup::new(from, &mut to)?;
    loop {
        match backup.step(PAGES_AT_ONCE)? {
            StepResult::Done => break,
            StepResult::More => {}
            _ => return Err(Error::unavailable("the database is locked by another program; try again")),
        }
    }
    drop(backup);
    to.close().map_err(|(_, e)| e)?;
    Ok(held.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    /// A database of many pages, so that a copy takes many steps.
    fn large() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let db = Connection::open(&path).unwrap();
        db.execute_batch(
            "PRAGMA journal_mode = WAL; CREATE TABLE t (n INTEGER PRIMARY KEY, filling BLOB);
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
             INSERT INTO t SELECT i, randomblob(3000) FROM n;",
        )
        .unwrap();
        (dir, path)
    }

    #[test]
    fn a_copy_is_made_of_one_moment_however_busy_the_writer_is() {
        let (dir, path) = large();
        let (stop, copied) = (AtomicBool::new(false), dir.path().join("copy"));
        let give_up = Instant::now() + Duration::from_secs(30);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let db = Connection::open(&path).unwrap();
                let mut made = 0;
                while !stop.load(Ordering::SeqCst) {
                    assert!(Instant::now() < give_up, "the copy never comes to its end");
                    db.execute("INSERT INTO t (filling) VALUES (x'00')", []).unwrap();
                    made += 1;
                }
                made
            });
            copy(&Connection::open(&path).unwrap(), &copied).unwrap();
            stop.store(true, Ordering::SeqCst);
            assert!(writer.join().unwrap() > 0, "nothing was written meanwhile");
        });
        let copied = schema::open_unchanged(&copied).unwrap();
        let read = Read { db: &copied };
        read.check_integrity().unwrap();
        let count: i64 = read.optional("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap().unwrap();
        assert!(count >= 20_000, "{count}");
    }
}
