//! Opening the database file: pragmas, and migrations by number.

use super::copy;
use crate::error::{Error, Result};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use rustix::fs::{Mode, OFlags};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Each file in sql/ brings the schema from the number before to its own. Released ones are never edited.
const MIGRATIONS: &[&str] = &[
    include_str!("../../sql/0001_initial.sql"),
    include_str!("../../sql/0002_clock_mark.sql"),
    include_str!("../../sql/0003_tidying.sql"),
];

/// A WAL that readers have let grow beyond this is cut back, in bytes; otherwise it is written over from its beginning.
const LARGEST_WAL: u64 = 64 << 20;

/// Open for writing; make the file if there is none; bring the schema up to date in one transaction, and keep what was before
/// beside it.
pub(super) fn open(path: &Path) -> Result<Connection> {
    open_and(path, keep_before)
}

/// The same of a copy, of which nothing is kept.
pub(super) fn open_copy(path: &Path) -> Result<Connection> {
    open_and(path, |_, _, _| Ok(()))
}

/// What is done with a database before its schema is brought to a number.
type Before = fn(&Connection, &Path, usize) -> Result<()>;

fn open_and(path: &Path, before: Before) -> Result<Connection> {
    let named = |e: Error| e.context(path.display());
    make_private(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(|e| named(e.into()))?;
    // page_size and auto_vacuum have to come before the first table. A commit writes the last page of each table and index
    // whole, so that smaller ones cost less. Without recursive_triggers INSERT OR REPLACE walks past the triggers that forbid
    // deletion. After a commit that has split a page SQLite looks at each one in its cache, which is small for that; what it
    // has to read again is in the system's.
    db.execute_batch(
        "PRAGMA page_size = 2048;
         PRAGMA auto_vacuum = INCREMENTAL;
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA recursive_triggers = ON;
         PRAGMA wal_autocheckpoint = 8000;
         PRAGMA cache_size = -2048;",
    )
    .map_err(|e| named(e.into()))?;
    prepare(&db)?;
    migrate(&db, path, MIGRATIONS, before).map_err(named)?;
    // What a savepoint could undo is kept in a file otherwise, as soon as it is more than 64 KiB. A migration may need one.
    db.pragma_update(None, "temp_store", "MEMORY").map_err(|e| named(e.into()))?;
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
    db.busy_timeout(Duration::from_secs(5))?;
    prepare(&db)?;
    Ok(db)
}

/// Open a file that nobody changes, so that no other file is made beside it. What stands in a WAL is not seen.
pub(super) fn open_unchanged(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let db = Connection::open_with_flags(immutable_uri(path)?, flags)?;
    prepare(&db)?;
    Ok(db)
}

/// Open a copy that may change in any way.
pub(super) fn open_scratch(path: &Path) -> Result<Connection> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    prepare(&db)?;
    Ok(db)
}

/// <https://www.sqlite.org/uri.html>
fn immutable_uri(path: &Path) -> Result<String> {
    let path = std::path::absolute(path).map_err(|e| Error::malformed(format!("{}: {e}", path.display())))?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'-' | b'_');
    let octet = |b: &u8| if plain(*b) { char::from(*b).to_string() } else { format!("%{b:02x}") };
    let encoded: String = path.as_os_str().as_encoded_bytes().iter().map(octet).collect();
    Ok(format!("file:{encoded}?immutable=1"))
}

/// The number of a database's schema.
pub(super) fn number(db: &Connection) -> Result<usize> {
    Ok(db.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

/// Whether a database has the schema of this certwright.
pub(super) fn is_present(db: &Connection) -> Result<bool> {
    Ok(number(db)? == MIGRATIONS.len())
}

/// Statements are parsed once: there are fewer than this, and their plans do not go by the values that are bound to them, so
/// that a new value is no reason to make another plan.
fn prepare(db: &Connection) -> Result<()> {
    db.set_prepared_statement_cache_capacity(512);
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// Bring what stands in the WAL into the database file itself, and leave the WAL empty.
pub(super) fn checkpoint(path: &Path) -> Result<()> {
    let db = open_for_checkpoints(path, Duration::from_secs(1))?;
    if run_checkpoint(&db, "TRUNCATE")? {
        Ok(())
    } else {
        Err(Error::unavailable("somebody is still reading the database"))
    }
}

/// The same as far as it goes without holding up anybody; a WAL that has grown large is cut back if nobody reads for a
/// moment.
pub(super) fn settle(path: &Path) -> Result<()> {
    let db = open_for_checkpoints(path, Duration::from_millis(50))?;
    run_checkpoint(&db, "PASSIVE")?;
    let mut wal = path.to_owned().into_os_string();
    wal.push("-wal");
    if std::fs::metadata(wal).is_ok_and(|wal| wal.len() > LARGEST_WAL) {
        run_checkpoint(&db, "TRUNCATE")?;
    }
    Ok(())
}

fn open_for_checkpoints(path: &Path, patience: Duration) -> Result<Connection> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(patience)?;
    Ok(db)
}

/// False when somebody was in the way.
fn run_checkpoint(db: &Connection, kind: &str) -> Result<bool> {
    Ok(!db.query_row(&format!("PRAGMA wal_checkpoint({kind})"), [], |row| row.get::<_, bool>(0))?)
}

/// All that is pending in one transaction.
fn migrate(db: &Connection, path: &Path, migrations: &[&str], before: Before) -> Result<()> {
    let found = number(db)?;
    let last = migrations.len();
    if found > last {
        return Err(Error::unavailable(format!(
            "the database has schema {found}, which is newer than this certwright's {last}; use the certwright that wrote it"
        )));
    }
    let pending = migrations.get(found..).unwrap_or_default();
    if pending.is_empty() {
        return Ok(());
    }
    if found > 0 {
        before(db, path, last)?;
        log::info!("the database is brought from schema {found} to {last}");
    }
    let script = pending.concat();
    let result = db.execute_batch(&format!("BEGIN IMMEDIATE; {script} PRAGMA user_version = {last}; COMMIT;"));
    if result.is_err() && !db.is_autocommit() {
        db.execute_batch("ROLLBACK")?;
    }
    Ok(result?)
}

/// A file beside a database, which is called after it.
pub(super) fn beside(database: &Path, end: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// Copy the database beside itself, under its name only when it is whole: who has to go back to an earlier certwright finds its
/// database there.
fn keep_before(db: &Connection, path: &Path, schema: usize) -> Result<()> {
    let kept = beside(path, &format!(".before-schema-{schema}"));
    let unfinished = kept.with_extension("new");
    let copied = copy::copy(db, &unfinished)?;
    copied
        .sync_all()
        .and_then(|()| std::fs::rename(&unfinished, &kept))
        .and_then(|()| std::fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all())
        .map_err(|e| Error::unavailable(format!("{} cannot be written: {e}", kept.display())))?;
    log::info!(file:% = kept.display(); "the database is kept as it was before its schema is changed");
    Ok(())
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
    fn before_the_schema_changes_the_database_is_copied_and_a_change_that_fails_leaves_it_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("certwright.db");
        let before = dir.path().join("certwright.db.before-schema-3");
        let first = "CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (7);";
        let second = "ALTER TABLE t ADD COLUMN b INTEGER DEFAULT 8;";
        let db = Connection::open(&path).unwrap();
        db.execute_batch("PRAGMA journal_mode = WAL").unwrap();
        migrate(&db, &path, &[first], keep_before).unwrap();
        assert!(!dir.path().join("certwright.db.before-schema-1").exists(), "there was nothing to keep");
        let table = |db: &Connection| -> String {
            db.query_row("SELECT sql FROM sqlite_schema WHERE name = 't'", [], |row| row.get(0)).unwrap()
        };
        let was = table(&db);

        let failed =
            migrate(&db, &path, &[first, second, "CREATE TABLE u (c); INSERT INTO nowhere VALUES (1);"], keep_before);
        assert!(failed.is_err());
        assert_eq!((number(&db).unwrap(), table(&db)), (1, was.clone()), "half a change is none");

        migrate(&db, &path, &[first, second, "CREATE TABLE u (c);"], keep_before).unwrap();
        assert_eq!(number(&db).unwrap(), 3);
        assert_ne!(table(&db), was);
        let kept = open_unchanged(&before).unwrap();
        assert_eq!((number(&kept).unwrap(), table(&kept)), (1, was));
        assert_eq!(kept.query_row("SELECT a FROM t", [], |row| row.get::<_, i64>(0)).unwrap(), 7);
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&before).unwrap().permissions().mode() & 0o777, 0o600);
        let others = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        assert!(!others.into_iter().any(|name| name.ends_with(".new")), "what was half written has gone");
    }

    #[test]
    fn a_wal_that_has_grown_large_is_cut_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let db = open(&path).unwrap();
        let wal = || std::fs::metadata(dir.path().join("db-wal")).unwrap().len();
        let fill = |bytes: u64| {
            db.execute_batch(&format!(
                "CREATE TABLE IF NOT EXISTS t (b BLOB); INSERT INTO t VALUES (zeroblob({bytes})); DELETE FROM t;"
            ))
            .unwrap();
        };
        fill(1 << 20);
        let small = wal();
        settle(&path).unwrap();
        assert_eq!(wal(), small, "it is written over from its beginning");
        fill(LARGEST_WAL);
        assert!(wal() > LARGEST_WAL);
        settle(&path).unwrap();
        assert_eq!(wal(), 0);
    }

    /// A store with a certificate, a revoked one, the revocation of a CA certificate, and three audit rows.
    fn filled() -> (tempfile::TempDir, Connection) {
        let dir = tempfile::tempdir().unwrap();
        let db = open(&dir.path().join("db")).unwrap();
        db.execute_batch(
            "PRAGMA foreign_keys = OFF;
             INSERT INTO certificates (id, serial, purpose, issuer, signer, not_before, not_after, issued, certificate)
             VALUES (1, x'01', 'acme', 1, 1, 0, 100, 0, x''), (2, x'02', 'acme', 1, 1, 0, 100, 0, x'');
             INSERT INTO revocations (signer, serial, certificate, shard, not_after, at, reason, revoked_by)
             VALUES (1, x'02', 2, 0, 100, 1, 0, ''), (1, x'03', NULL, -1, 100, 1, 0, '');
             INSERT INTO audit (id, at, actor, action, object, outcome, detail, hash)
             VALUES (1, 0, '', '', '', 'done', '', x'01'), (2, 0, '', '', '', 'done', '', x'02'),
                    (3, 0, '', '', '', 'done', '', x'03');
             INSERT INTO event_cursors VALUES ('log', 3), ('url', 1);
             INSERT INTO blocked_keys (hash, since, why) VALUES (x'00', 0, '');",
        )
        .unwrap();
        (dir, db)
    }

    fn refuses(db: &Connection, statement: &str) {
        let message = db.execute_batch(statement).unwrap_err().to_string();
        assert!(message.contains("append-only"), "{statement}: {message}");
    }

    fn ids(db: &Connection, table: &str) -> Vec<i64> {
        let mut statement = db.prepare(&format!("SELECT id FROM {table} ORDER BY id")).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(|id| id.unwrap()).collect()
    }

    #[test]
    fn records_can_be_neither_changed_nor_deleted() {
        let (_dir, db) = filled();
        db.execute_batch("UPDATE audit SET address = NULL").unwrap();
        for forbidden in [
            "DELETE FROM certificates WHERE id = 1",
            "UPDATE certificates SET issued = 1",
            "INSERT OR REPLACE INTO certificates SELECT * FROM certificates WHERE id = 1",
            "DELETE FROM revocations",
            "UPDATE revocations SET reason = 1",
            "DELETE FROM audit WHERE id = 1",
            "UPDATE audit SET detail = 'x'",
            "INSERT OR REPLACE INTO audit SELECT * FROM audit WHERE id = 1",
            "DELETE FROM blocked_keys",
        ] {
            refuses(&db, forbidden);
        }
        let second =
            "INSERT INTO certificates (serial, purpose, issuer, signer, not_before, not_after, issued, certificate)
                      VALUES (x'01', 'acme', 1, 1, 0, 100, 0, x'ff')";
        let message = db.execute_batch(second).unwrap_err().to_string();
        assert!(message.contains("UNIQUE") && message.contains("serial"), "one serial number, two contents: {message}");
    }

    #[test]
    fn records_below_the_horizon_can_be_deleted_and_only_as_a_whole() {
        let (_dir, db) = filled();
        db.execute_batch("UPDATE tidying SET at = 500, ended_before = 100").unwrap();
        refuses(&db, "DELETE FROM certificates WHERE id = 1");
        refuses(&db, "DELETE FROM revocations WHERE certificate = 2");
        assert!(
            db.execute_batch("UPDATE tidying SET ended_before = 501").is_err(),
            "what has not ended cannot be past"
        );
        db.execute_batch("UPDATE tidying SET ended_before = 101").unwrap();
        db.execute_batch("DELETE FROM certificates WHERE id = 1").unwrap();
        // One that is revoked neither without its revocation nor the other way round.
        refuses(&db, "DELETE FROM certificates WHERE id = 2");
        db.execute_batch("DELETE FROM revocations WHERE certificate = 2").unwrap();
        assert_eq!(ids(&db, "certificates"), [0; 0]);
        refuses(&db, "DELETE FROM revocations WHERE shard = -1");
        db.execute_batch("DELETE FROM tidying").unwrap();
        refuses(&db, "DELETE FROM revocations");
        refuses(&db, "DELETE FROM blocked_keys");
    }

    #[test]
    fn the_audit_log_can_lose_its_beginning_as_far_as_everybody_was_told() {
        let (_dir, db) = filled();
        let checkpoint = |last: i64, hash: &str| format!("UPDATE audit_checkpoint SET last = {last}, hash = x'{hash}'");
        refuses(&db, &checkpoint(1, "00"));
        refuses(&db, &checkpoint(2, "02"));
        db.execute_batch(&checkpoint(1, "01")).unwrap();
        db.execute_batch("DELETE FROM audit WHERE id <= 1").unwrap();
        refuses(&db, "DELETE FROM audit WHERE id <= 2");
        db.execute_batch("UPDATE event_cursors SET last = 3").unwrap();
        refuses(&db, &checkpoint(3, "03"));
        refuses(&db, &checkpoint(1, "01"));
        db.execute_batch(&checkpoint(2, "02")).unwrap();
        refuses(&db, "DELETE FROM audit");
        db.execute_batch("DELETE FROM audit WHERE id <= 2").unwrap();
        assert_eq!(ids(&db, "audit"), [3]);
    }
}
