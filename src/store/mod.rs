//! The store: SQLite, opened and migrated, read through snapshots and changed through shared commits.
//!
//! Rooms above never see SQL. They hand in a closure that gets a [`Read`] or a [`Write`] and calls what the file of each
//! noun adds to it. A closure for [`Store::change`] touches no memory outside its transaction.

mod accounts;
mod audit;
mod authorizations;
mod batch;
mod ca_certificates;
mod census;
mod certificate_lists;
mod certificates;
mod challenges;
mod clock_mark;
mod company;
mod copy;
mod crls;
mod disk;
mod eabs;
mod expiry;
mod fragments;
mod integrity;
mod issuers;
mod items;
mod keys;
mod limits;
mod merge;
mod offline;
mod orders;
mod readers;
mod recent;
mod remembered;
mod restored;
mod revocations;
mod schema;
mod state_lock;
mod stories;
mod tidying;
mod writer;

pub use accounts::{Account, AccountStatus, NewAccount};
pub use audit::{AuditEntry, AuditFilter, AuditRow, Outcome};
pub use authorizations::{Authorization, AuthorizationStatus, Name, NewAuthorization};
pub use ca_certificates::{CaCertificate, CaOrigin, NewCaCertificate};
pub use census::{CertificateCounts, End};
pub use certificate_lists::{CertificateFilter, CertificateState, ListedCertificate};
pub use certificates::{Certificate, CertificateOwner, NewCertificate, Purpose, TlsCertificate};
pub use challenges::{Challenge, ChallengeStatus, ValidationJob, ValidationResult};
pub use copy::{DatabaseCopy, NeededFragments};
pub use crls::{CrlShard, DueCrl, SignedCrl};
pub use disk::Space;
pub use eabs::Eab;
pub use expiry::{DueNotice, NoticeSubject};
pub use fragments::DataKey;
pub use issuers::Issuer;
pub use items::{Item, ItemFilter, ItemKind, NewItem};
pub use keys::{Key, KeyVersion, NewKey, NewVersion};
pub use limits::{LimitKind, Limits};
pub use merge::{LostCertificate, Merged};
pub use offline::OfflineDatabase;
pub use orders::{NewOrder, Order, OrderName, OrderStatus};
pub use remembered::Remembered;
pub use restored::{ListedAccount, RestoredDatabase, RevokedElsewhere};
pub use revocations::{Revocable, RevocablePlace, Revocation, RevocationGrounds};
pub use state_lock::StateLock;
pub use stories::RevokedBy;
pub use tidying::{EndedShard, Met, Past, UnknownRevocation};

use crate::clock::{Span, Time};
use crate::error::{Error, Result};
use readers::Readers;
use recent::Trace;
use rusqlite::Connection;
use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use writer::Writer;

/// How many names are looked at for one that is nearly the one that was asked for.
const MOST_SEEN: usize = 100_000;

/// The database of one state directory.
pub struct Store {
    path: PathBuf,
    writer: Writer,
    readers: Readers,
    limits: Remembered<i64, Limits>,
    /// Whether any key is blocked.
    blocks_keys: Remembered<(), bool>,
    /// Held while a copy is made.
    copying: Mutex<()>,
    /// Held while somebody reads at length.
    at_length: Mutex<()>,
}

impl Store {
    /// Open the database file, making and migrating it as needed.
    ///
    /// # Errors
    /// Unavailable or Internal, with what is wrong with the file.
    pub fn open(path: &Path) -> Result<Store> {
        copy::remove_leftover(path);
        let connection = schema::open(path)?;
        Ok(Store {
            path: path.to_owned(),
            readers: Readers::open(path)?,
            writer: Writer::start(connection)?,
            limits: Remembered::default(),
            blocks_keys: Remembered::default(),
            copying: Mutex::new(()),
            at_length: Mutex::new(()),
        })
    }

    /// Run a closure over one snapshot on a connection of its own, for what takes so long that others would wait for theirs. One
    /// after the other.
    ///
    /// # Errors
    /// The closure's own, and the database's.
    pub fn read_at_length<T>(&self, work: impl FnOnce(&Read<'_>) -> Result<T>) -> Result<T> {
        let _one = self.at_length.lock().unwrap_or_else(PoisonError::into_inner);
        let db = schema::open_for_reading(&self.path)?;
        let snapshot = db.unchecked_transaction()?;
        work(&Read { db: &snapshot })
    }

    /// Take no more changes, make those that were asked for, though not all may have heard of theirs, and bring everything into
    /// the one file that people copy.
    ///
    /// # Errors
    /// Unavailable when somebody reads for longer than a second or the disk is full; nothing is lost then.
    pub fn close(&self) -> Result<()> {
        self.writer.close();
        schema::checkpoint(&self.path)
    }

    /// Bring what is committed into the database file, whose end is cut off where it holds nothing any more, and cut the WAL
    /// back where readers have let it grow.
    ///
    /// # Errors
    /// Unavailable when the disk is full.
    pub fn settle(&self) -> Result<()> {
        schema::settle(&self.path)
    }

    /// Run a closure in the next shared commit and return once it is durable. An error from the closure undoes what it
    /// did and nothing else.
    ///
    /// # Errors
    /// The closure's own; Unavailable when the commit failed; Internal when the closure panicked.
    pub fn change<T: Send + 'static>(&self, work: impl FnOnce(&Write<'_>) -> Result<T> + Send + 'static) -> Result<T> {
        self.writer.change(work)
    }

    /// The same without waiting for it: `then` hears what came of it once it is durable, on the thread that made the commit,
    /// where others wait to hear of theirs. It may ask for another change, but not wait for one.
    pub fn change_then<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Write<'_>) -> Result<T> + Send + 'static,
        then: impl FnOnce(Result<T>) + Send + 'static,
    ) {
        self.writer.change_then(work, then);
    }

    /// Let no more than so many wait for a disk that takes seconds for each commit; whoever comes then is told to come again.
    pub fn bound_waiting(&self, count: usize) {
        self.writer.disk.bound_waiting(count);
    }

    /// Whether the last commit failed.
    pub fn is_failing(&self) -> bool {
        self.writer.disk.is_failing()
    }

    /// How many changes wait for the next commit.
    pub fn waiting(&self) -> usize {
        self.writer.waiting()
    }

    /// Grows with each commit that changed settings, before whoever asked for that hears of it.
    pub fn settings_version(&self) -> u64 {
        self.writer.settings_version()
    }

    /// What is left of the disk that it lies on, where the system tells.
    pub fn space(&self) -> Option<Space> {
        Space::at(self.path.parent()?)
    }

    /// How large the database file is, and its WAL, in bytes.
    pub fn size(&self) -> (u64, u64) {
        let length = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.len());
        (length(&self.path), length(&schema::beside(&self.path, "-wal")))
    }

    /// How many commits had the database to themselves so far, whatever became of them.
    pub fn commits_begun(&self) -> u64 {
        self.writer.begun()
    }

    /// Whether changes get on: there were more commits than so many, or the next would have the database. On a full disk they do,
    /// with an error for each. To be asked again and again, since one that runs may take its time.
    pub fn gets_on(&self, commits_begun: u64) -> bool {
        self.writer.gets_on(commits_begun)
    }

    /// Run a closure over one consistent snapshot.
    ///
    /// # Errors
    /// The closure's own, or Unavailable when the database cannot be read.
    pub fn read<T>(&self, work: impl FnOnce(&Read<'_>) -> Result<T>) -> Result<T> {
        self.readers.read(work)
    }
}

/// A snapshot to read from. What can be read is added by the files of the nouns.
pub struct Read<'c> {
    db: &'c Connection,
}

/// A transaction to change. What can be changed is added by the files of the nouns.
pub struct Write<'c> {
    read: Read<'c>,
    /// The version of the settings that it sees, if that has one.
    settings_version: Option<u64>,
    /// Whether it wrote anything that [`Remembered`] may hold.
    changes_settings: Cell<bool>,
    /// What it did to what is held in memory.
    traces: RefCell<Vec<Trace>>,
}

impl<'c> Write<'c> {
    /// In a transaction of its own.
    fn new(db: &'c Connection) -> Write<'c> {
        Write {
            read: Read { db },
            settings_version: None,
            changes_settings: Cell::new(false),
            traces: RefCell::default(),
        }
    }

    /// In a transaction with others, which have not changed settings of a version that there is.
    fn among_others(db: &'c Connection, settings_version: Option<u64>) -> Write<'c> {
        Write { settings_version, ..Write::new(db) }
    }

    /// Whether the settings are those of [`Store::settings_version`] at an earlier moment, so that what was found in them holds.
    pub fn has_settings_of(&self, version: u64) -> bool {
        self.settings_version == Some(version) && !self.changes_settings.get()
    }

    /// Run one statement and say how many rows it changed.
    fn execute(&self, sql: &str, parameters: impl rusqlite::Params) -> Result<usize> {
        self.note_settings(sql);
        self.note_held(sql);
        self.execute_on_record(sql, parameters)
    }

    /// The same for a column that nobody remembers, in a table of which other columns are remembered, and for whoever leaves
    /// a trace.
    fn execute_on_record(&self, sql: &str, parameters: impl rusqlite::Params) -> Result<usize> {
        tell(sql);
        Ok(self.db.prepare_cached(sql)?.execute(parameters)?)
    }

    /// Run an INSERT and give the new row's id.
    fn insert(&self, sql: &str, parameters: impl rusqlite::Params) -> Result<i64> {
        self.note_settings(sql);
        self.note_held(sql);
        tell(sql);
        Ok(self.db.prepare_cached(sql)?.insert(parameters)?)
    }
}

impl Write<'_> {
    fn leave(&self, trace: Trace) {
        let mut traces = self.traces.borrow_mut();
        if matches!(trace, Trace::ChangedAnything) {
            traces.clear();
        }
        traces.push(trace);
    }

    /// A statement that changes what is held in memory, and by how little nobody says.
    fn note_held(&self, sql: &str) {
        if recent::may_change_held(sql) {
            self.leave(Trace::ChangedAnything);
        }
    }

    fn note_settings(&self, sql: &str) {
        if !remembered::writes_records(sql) {
            self.changes_settings.set(true);
        }
    }
}

impl<'c> Deref for Write<'c> {
    type Target = Read<'c>;

    fn deref(&self) -> &Read<'c> {
        &self.read
    }
}

impl Read<'_> {
    /// The single row that a query gives, if it gives one.
    fn optional<T>(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
        row: impl FnOnce(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        tell(sql);
        let mut statement = self.db.prepare_cached(sql)?;
        let mut rows = statement.query(parameters)?;
        match rows.next()? {
            Some(found) => Ok(Some(row(found)?)),
            None => Ok(None),
        }
    }

    /// See each row; nothing is gathered.
    fn each(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
        mut see: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<()>,
    ) -> Result<()> {
        tell(sql);
        let mut statement = self.db.prepare_cached(sql)?;
        let mut rows = statement.query(parameters)?;
        while let Some(row) = rows.next()? {
            see(row)?;
        }
        Ok(())
    }

    /// All rows that a query gives.
    fn all<T>(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
        row: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        tell(sql);
        let mut statement = self.db.prepare_cached(sql)?;
        let rows = statement.query_map(parameters, row)?;
        Ok(rows.collect::<rusqlite::Result<Vec<T>>>()?)
    }
}

/// Once, and not in each of the functions that differ by what they give.
#[inline(never)]
fn tell(sql: &str) {
    log::trace!("{sql}");
}

/// Times and spans are kept as their seconds.
macro_rules! kept_as_seconds {
    ($($kind:ident),*) => {$(
        impl ToSql for $kind {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                self.0.to_sql()
            }
        }

        impl FromSql for $kind {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                i64::column_result(value).map($kind)
            }
        }
    )*};
}
kept_as_seconds!(Time, Span);

impl From<rusqlite::Error> for Error {
    fn from(e: rusqlite::Error) -> Error {
        use rusqlite::ErrorCode::{
            CannotOpen, DatabaseBusy, DatabaseCorrupt, DatabaseLocked, DiskFull, OutOfMemory, ReadOnly, SystemIoFailure,
        };
        match e.sqlite_error_code() {
            Some(CannotOpen | DatabaseBusy | DatabaseLocked | DiskFull | OutOfMemory | ReadOnly | SystemIoFailure) => {
                Error::unavailable(format!("the database: {e}"))
            }
            // SQLite says the same of a block that the disk does not read and of one that makes no sense.
            Some(DatabaseCorrupt) => Error::unavailable(format!(
                "the database cannot be read ({e}); see whether the disk is well, and run `certwright check`"
            )),
            _ => Error::internal(format!("the database: {e}")),
        }
    }
}

/// A value that the database should never hold; whoever reads it denies.
fn damaged(what: &str) -> Error {
    Error::internal(format!("the database holds {what} that cannot be understood; run the integrity check"))
}
