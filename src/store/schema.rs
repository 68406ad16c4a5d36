//! Opening the database file: pragmas, and migrations by number.

use crate::error::{Error, Result};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use rustix::fs::{Mode, OFlags};
use std::path::Path;

/// Each file in sql/ brings the schema from the number before to its own. Released ones are never edited.
const MIGRATIONS: &[&str] =
    &[include_str!("../../sql/0001_initial.sql"), include_str!("../../sql/0002_clock_mark.sql")];

/// Open for writing; make the file if there is none; bring the schema up to date in one transaction.
pub(super) fn open(path: &Path) -> Result<Connection> {
    let named = |e: Error| e.context(path.display());
    make_private(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(|e| named(e.into()))?;
    // auto_vacuum has to come before the first table. Without recursive_triggers INSERT OR REPLACE walks past the
    // triggers that forbid deletion.
    db.execute_batch(
        "PRAGMA auto_vacuum = INCREMENTAL;
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA recursive_triggers = ON;
         PRAGMA wal_autocheckpoint = 4000;
         PRAGMA cache_size = -8192;",
    )
    .map_err(|e| named(e.into()))?;
    prepare(&db)?;
    migrate(&db).map_err(named)?;
    Ok(db)
}

/// The file is for the daemon alone, whatever the umask; the WAL takes its mode from it.
fn make_private(path: &Path) -> Result<()> {
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)
        .map(drop)
        .map_err(|e| Error::unavailable(format!("{} cannot be opened: {e}", path.display())))
}

/// Open an existing file for snapshots.
pub(super) fn open_for_reading(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(|e| Error::from(e).context(path.display()))?;
    db.execute_batch("PRAGMA cache_size = -1024; PRAGMA query_only = ON;")?;
    db.busy_timeout(std::time::Duration::from_secs(5))?;
    prepare(&db)?;
    Ok(db)
}

/// Statements are parsed once: there are fewer than this, and their plans do not go by the values that are bound to them, so
/// that a new value is no reason to make another plan.
fn prepare(db: &Connection) -> Result<()> {
    db.set_prepared_statement_cache_capacity(512);
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// Bring what stands in the WAL into the database file itself.
pub(super) fn checkpoint(path: &Path) -> Result<()> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(std::time::Duration::from_secs(1))?;
    let is_busy: bool = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if is_busy { Err(Error::unavailable("somebody is still reading the database")) } else { Ok(()) }
}

fn migrate(db: &Connection) -> Result<()> {
    let found: usize = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > MIGRATIONS.len() {
        return Err(Error::unavailable(format!(
            "the database has schema {found}, which is newer than this certwright's {}; use the certwright that wrote it",
            MIGRATIONS.len()
        )));
    }
    let pending = MIGRATIONS.get(found..).unwrap_or_default();
    if pending.is_empty() {
        return Ok(());
    }
    let script = pending.concat();
    let last = MIGRATIONS.len();
    let result = db.execute_batch(&format!("BEGIN IMMEDIATE; {script} PRAGMA user_version = {last}; COMMIT;"));
    if result.is_err() && !db.is_autocommit() {
        db.execute_batch("ROLLBACK")?;
    }
    Ok(result?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_from_the_future_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        drop(open(&path).unwrap());
        Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 999").unwrap();
        let refusal = open(&path).err().map(|e| e.detail().to_owned()).unwrap();
        assert!(refusal.contains("newer than this certwright"), "{refusal}");
    }

    #[test]
    fn certificates_revocations_and_audit_rows_can_be_neither_changed_nor_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let db = open(&dir.path().join("db")).unwrap();
        db.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        let certificate =
            "INTO certificates (serial, purpose, issuer, signer, not_before, not_after, issued, certificate)
            VALUES (x'01', 'acme', 1, 1, 0, 0, 0, x'')";
        let revocation =
            "INTO revocations (signer, serial, not_after, at, reason, revoked_by) VALUES (1, x'01', 0, 0, 0, '')";
        let row = "INTO audit (id, at, actor, action, object, outcome, detail, hash) VALUES (1, 0, '', '', '', 'done', '', x'')";
        db.execute_batch(&format!(
            "INSERT {certificate}; INSERT {revocation}; INSERT {row}; UPDATE audit SET address = NULL"
        ))
        .unwrap();
        for forbidden in [
            "DELETE FROM certificates",
            "UPDATE certificates SET issued = 1",
            &format!("INSERT OR REPLACE {certificate}"),
            "DELETE FROM revocations",
            "UPDATE revocations SET not_after = 1",
            &format!("INSERT OR REPLACE {revocation}"),
            "DELETE FROM audit",
            "UPDATE audit SET detail = 'x'",
            &format!("INSERT OR REPLACE {row}"),
        ] {
            let message = db.execute_batch(forbidden).unwrap_err().to_string();
            assert!(message.contains("append-only"), "{forbidden}: {message}");
        }
        let second = certificate.replace("x'')", "x'ff')");
        let message = db.execute_batch(&format!("INSERT {second}")).unwrap_err().to_string();
        assert!(message.contains("UNIQUE") && message.contains("serial"), "one serial number, two contents: {message}");
    }
}
