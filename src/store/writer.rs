//! Shared commits. SQLite takes one writer at a time and a durable commit costs an fdatasync, so changes that are asked for
//! at the same time share one. There is no thread for it: whoever asks while nobody commits leads, runs what has queued up,
//! each change in a savepoint, and commits once; whoever asks meanwhile waits for that commit to end, and one of them leads
//! the next. A change that comes alone is made and committed by its own thread, which is woken by nobody.

use super::Write;
use super::disk::Disk;
use crate::error::{Error, Result};
use rusqlite::Connection;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

/// More than the request workers and commands that can wait at once; a bound in case that ever changes.
const LARGEST_BATCH: usize = 256;
/// How long others are let go first.
const LONGEST_GATHERING: Duration = Duration::from_micros(500);

pub(super) struct Writer {
    /// Taken by whoever leads, for one batch.
    db: Mutex<Connection>,
    queue: Mutex<Queue>,
    /// Counts the commits that changed settings.
    settings_version: AtomicU64,
    /// Counts the commits that had the database to themselves, whatever became of them.
    begun: AtomicU64,
    pub(super) disk: Disk,
}

#[derive(Default)]
struct Queue {
    jobs: Vec<Box<dyn Job>>,
    /// Whether somebody leads.
    is_led: bool,
    /// Whether nothing more is taken.
    is_closed: bool,
}

thread_local! {
    /// Whether this thread commits at the moment: if it asked for another change it would wait for itself.
    static LEADS: Cell<bool> = const { Cell::new(false) };
}

impl Writer {
    pub(super) fn new(db: Connection) -> Writer {
        let disk = Disk::default();
        let (settings_version, begun) = (AtomicU64::new(1), AtomicU64::default());
        Writer { db: Mutex::new(db), queue: Mutex::default(), settings_version, begun, disk }
    }

    /// Grows with each commit that changed settings, before whoever asked for it hears of it.
    pub(super) fn settings_version(&self) -> u64 {
        self.settings_version.load(Ordering::Acquire)
    }

    /// How many commits had the database to themselves so far, whatever became of them.
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Acquire)
    }

    /// Whether there were more commits than so many, or nobody commits and the next who does will have the database. False does
    /// not mean that it is stuck: it may be in the middle of something.
    pub(super) fn gets_on(&self, begun: u64) -> bool {
        if self.begun() != begun {
            return true;
        }
        // Whoever leads has to get on by himself, or there is nobody who leads although they say so.
        if self.queue().is_led {
            return false;
        }
        let db = match self.db.try_lock() {
            Ok(db) => db,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        let begins = statement(&db, "BEGIN IMMEDIATE");
        // Nothing was changed, so that a full disk is none of this.
        begins.and_then(|()| statement(&db, "ROLLBACK")).is_ok()
    }

    pub(super) fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Write<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if LEADS.get() {
            return Err(Error::internal("a change was asked for within a change"));
        }
        let (job, turns) = job(work);
        let leads = {
            let mut queue = self.queue();
            if queue.is_closed {
                return Err(Error::unavailable("nothing was changed, since the daemon ended first"));
            }
            self.disk.check_may_wait(queue.jobs.len())?;
            queue.jobs.push(job);
            !std::mem::replace(&mut queue.is_led, true)
        };
        if leads {
            self.lead();
        }
        loop {
            match turns.recv() {
                Ok(Turn::Lead) => self.lead(),
                Ok(Turn::Over(result)) => return result,
                Err(_) => return Err(Error::internal("a change was lost")),
            }
        }
    }

    /// How many changes wait for the next commit.
    pub(super) fn waiting(&self) -> usize {
        self.queue().jobs.len()
    }

    /// Take nothing more, and return when what was asked for is committed.
    pub(super) fn close(&self) {
        self.queue().is_closed = true;
        while self.queue().is_led {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Commit what has queued up, and let one of those who came meanwhile lead on.
    fn lead(&self) {
        let mut batch = self.gather();
        let db = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        self.disk.begin(batch.len());
        LEADS.set(true);
        let committed = commit_together(&db, &mut batch, &self.begun);
        LEADS.set(false);
        drop(db);
        // After a failure nothing is known for certain.
        if !matches!(committed, Ok(false)) {
            self.settings_version.fetch_add(1, Ordering::Release);
        }
        let committed = self.disk.end(committed.map(|_| ()));
        // The next commit first: it takes the longest.
        let mut queue = self.queue();
        match queue.jobs.first() {
            Some(next) => next.lead(),
            None => queue.is_led = false,
        }
        drop(queue);
        for job in batch {
            job.finish(&committed);
        }
    }

    /// What has queued up, and what is about to: threads that are ready to run come first, for as long as they bring more.
    /// When nobody else is at work, that takes no time.
    fn gather(&self) -> Vec<Box<dyn Job>> {
        let (mut count, start) = (0, Instant::now());
        // A thread that computes for itself would keep everybody waiting.
        while start.elapsed() < LONGEST_GATHERING {
            std::thread::yield_now();
            let before = std::mem::replace(&mut count, self.queue().jobs.len());
            if count == before {
                break;
            }
        }
        let mut queue = self.queue();
        let end = queue.jobs.len().min(LARGEST_BATCH);
        queue.jobs.drain(..end).collect()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A change with its type forgotten, so that changes of all kinds share a queue.
trait Job: Send {
    /// Do the work and keep the result. True when it is to be kept in the transaction.
    fn run(&mut self, write: &Write<'_>) -> bool;
    /// What the work failed with, once it has.
    fn failure(&self) -> Option<&Error>;
    /// Let the asker lead.
    fn lead(&self);
    /// Tell the asker: what the work gave when the commit succeeded, otherwise why it did not.
    fn finish(self: Box<Self>, committed: &Result<()>);
}

/// What becomes of somebody who asked.
enum Turn<T> {
    /// To commit what has queued up.
    Lead,
    Over(Result<T>),
}

struct Change<T, F> {
    work: Option<F>,
    result: Option<Result<T>>,
    asker: SyncSender<Turn<T>>,
}

/// A change, and where its asker hears of it. There is room for both turns, so that nobody waits to tell.
fn job<T: Send + 'static>(
    work: impl FnOnce(&Write<'_>) -> Result<T> + Send + 'static,
) -> (Box<dyn Job>, Receiver<Turn<T>>) {
    let (asker, turns) = sync_channel(2);
    (Box::new(Change { work: Some(work), result: None, asker }), turns)
}

impl<T: Send, F: FnOnce(&Write<'_>) -> Result<T> + Send> Job for Change<T, F> {
    fn run(&mut self, write: &Write<'_>) -> bool {
        let Some(work) = self.work.take() else { return false };
        let result = catch_unwind(AssertUnwindSafe(|| work(write)))
            .unwrap_or_else(|_| Err(Error::internal("a change to the database panicked")));
        let keep = result.is_ok();
        self.result = Some(result);
        keep
    }

    fn failure(&self) -> Option<&Error> {
        self.result.as_ref()?.as_ref().err()
    }

    fn lead(&self) {
        let _ = self.asker.send(Turn::Lead);
    }

    fn finish(self: Box<Self>, committed: &Result<()>) {
        let result = match (committed, self.result) {
            // A refusal too was decided on rows that are now gone.
            (Err(e), _) => Err(e.clone()),
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(Error::internal("a change was not run")),
        };
        let _ = self.asker.send(Turn::Over(result));
    }
}

/// Whether settings were changed.
fn commit_together(db: &Connection, batch: &mut [Box<dyn Job>], begun: &AtomicU64) -> Result<bool> {
    // Whatever happens, somebody has to lead on.
    let outcome = catch_unwind(AssertUnwindSafe(|| run_batch(db, batch, begun)))
        .unwrap_or_else(|_| Err(Error::internal("a commit panicked")));
    if outcome.is_err() && !db.is_autocommit() {
        // The error that made the batch fail is the one to report.
        let _ = statement(db, "ROLLBACK");
    }
    outcome.map_err(|e| {
        Error::unavailable(format!("nothing was changed, since the database could not commit ({e}); try again"))
    })
}

fn run_batch(db: &Connection, batch: &mut [Box<dyn Job>], begun: &AtomicU64) -> Result<bool> {
    statement(db, "BEGIN IMMEDIATE")?;
    begun.fetch_add(1, Ordering::Release);
    let mut changes_settings = false;
    for job in batch {
        statement(db, "SAVEPOINT change")?;
        let write = Write::new(db);
        let keep = job.run(&write);
        // FULL, IOERR and NOMEM may have rolled the whole transaction back; a savepoint opened now would commit alone.
        if db.is_autocommit() {
            return Err(job.failure().cloned().unwrap_or_else(|| Error::internal("the transaction was lost")));
        }
        if keep {
            changes_settings |= write.changes_settings.get();
        } else {
            statement(db, "ROLLBACK TO change")?;
        }
        statement(db, "RELEASE change")?;
    }
    statement(db, "COMMIT")?;
    Ok(changes_settings)
}

/// Run a statement of the transaction itself, which is parsed once.
fn statement(db: &Connection, sql: &str) -> Result<()> {
    db.prepare_cached(sql)?.execute([])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Class;
    use std::sync::Arc;
    use std::sync::mpsc::channel;

    fn counter() -> (tempfile::TempDir, Writer) {
        let dir = tempfile::tempdir().unwrap();
        let db = Connection::open(dir.path().join("db")).unwrap();
        db.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (n INTEGER PRIMARY KEY)").unwrap();
        (dir, Writer::new(db))
    }

    fn insert(n: i64) -> impl FnOnce(&Write<'_>) -> Result<i64> {
        move |write| write.insert("INSERT INTO t (n) VALUES (?1)", [n])
    }

    fn commit(db: &Connection, mut batch: Vec<Box<dyn Job>>) {
        let committed = commit_together(db, &mut batch, &AtomicU64::default()).map(|_| ());
        batch.into_iter().for_each(|job| job.finish(&committed));
    }

    fn count(writer: &Writer) -> i64 {
        writer.change(|w| Ok(w.optional("SELECT count(*) FROM t", [], |r| r.get(0))?.unwrap_or(-1))).unwrap()
    }

    #[test]
    fn a_refusal_and_a_panic_undo_only_themselves() {
        let (_dir, writer) = counter();
        writer.change(insert(1)).unwrap();
        let refused: Result<()> = writer.change(|w| insert(2)(w).and_then(|_| Err(Error::conflict("no"))));
        assert_eq!(refused.map_err(|e| e.class()), Err(Class::Conflict));
        let panicked: Result<()> = writer.change(|w| insert(3)(w).map(|_| panic!("in a test")));
        assert_eq!(panicked.map_err(|e| e.class()), Err(Class::Internal));
        writer.change(insert(4)).unwrap();
        assert_eq!(count(&writer), 2);
    }

    #[test]
    fn a_change_within_a_change_is_an_error_and_stops_nobody() {
        let (_dir, writer) = counter();
        let writer = Arc::new(writer);
        let inner = Arc::clone(&writer);
        let within = writer.change(move |_| inner.change(insert(1)));
        assert_eq!(within.map_err(|e| e.class()), Err(Class::Internal));
        writer.change(insert(2)).unwrap();
        assert_eq!(count(&writer), 1);
    }

    #[test]
    fn after_its_close_it_takes_nothing() {
        let (_dir, writer) = counter();
        writer.close();
        assert_eq!(writer.change(insert(1)).map_err(|e| e.class()), Err(Class::Unavailable));
    }

    #[test]
    fn a_commit_that_is_refused_leaves_no_transaction_behind() {
        let (dir, _) = counter();
        let db = Connection::open(dir.path().join("db")).unwrap();
        let deferred = "CREATE TABLE c (t INTEGER REFERENCES t (n) DEFERRABLE INITIALLY DEFERRED)";
        db.execute_batch(&format!("PRAGMA foreign_keys = ON; {deferred}")).unwrap();
        let writer = Writer::new(db);
        // Each statement is fine, the COMMIT is not.
        let refused = writer.change(|w| w.insert("INSERT INTO c (t) VALUES (99)", []));
        assert_eq!(refused.map_err(|e| e.class()), Err(Class::Unavailable));
        writer.change(insert(1)).unwrap();
        assert_eq!(count(&writer), 1);
    }

    #[test]
    fn those_who_wait_are_committed_after_a_commit_that_failed() {
        let (_dir, writer) = counter();
        let (tell, runs) = channel::<()>();
        let (open, gate) = channel::<()>();
        std::thread::scope(|scope| {
            let first = scope.spawn(|| {
                writer.change(move |w| {
                    tell.send(()).unwrap();
                    gate.recv().unwrap();
                    w.db.execute_batch("ROLLBACK").map_err(Error::from)
                })
            });
            runs.recv().unwrap();
            let next = scope.spawn(|| writer.change(insert(1)));
            while writer.queue().jobs.is_empty() {
                std::thread::yield_now();
            }
            open.send(()).unwrap();
            assert_eq!(first.join().unwrap().map_err(|e| e.class()), Err(Class::Unavailable));
            assert_eq!(next.join().unwrap(), Ok(1));
        });
    }

    #[test]
    fn what_has_queued_up_meanwhile_shares_one_commit() {
        let (dir, writer) = counter();
        // What others see of the file.
        let outside = Arc::new(Mutex::new(Connection::open(dir.path().join("db")).unwrap()));
        let committed = move || {
            let outside = outside.lock().unwrap();
            outside.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).map_err(Error::from)
        };
        let (open, gate) = channel::<()>();
        let (tell, runs) = channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                writer.change(move |_| {
                    tell.send(()).unwrap();
                    gate.recv().map_err(|e| Error::internal(e.to_string()))
                })
            });
            runs.recv().unwrap();
            let askers: Vec<_> = (0..32)
                .map(|n| {
                    let committed = committed.clone();
                    let writer = &writer;
                    scope.spawn(move || writer.change(move |w| insert(n)(w).and_then(|_| committed())))
                })
                .collect();
            while writer.queue().jobs.len() < 32 {
                std::thread::yield_now();
            }
            open.send(()).unwrap();
            for asker in askers {
                assert_eq!(asker.join().unwrap().unwrap(), 0, "nothing was committed before the last of them had run");
            }
        });
        assert_eq!(count(&writer), 32);
    }

    #[test]
    fn a_lost_transaction_fails_everybody_in_its_batch_and_nobody_after() {
        for lost in 0..3 {
            let db = Connection::open_in_memory().unwrap();
            db.execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY)").unwrap();
            let (batch, answers): (Vec<Box<dyn Job>>, Vec<_>) = (0..3)
                .map(|n| {
                    job(move |w| {
                        insert(n)(w)?;
                        if n == lost {
                            // What SQLite does by itself when the disk is full or memory is short.
                            w.db.execute_batch("ROLLBACK")?;
                            return Err(Error::unavailable("the disk is full"));
                        }
                        Ok(n)
                    })
                })
                .unzip();
            commit(&db, batch);
            for answer in answers {
                let Ok(Turn::Over(answer)) = answer.recv() else { panic!("no answer") };
                let error = answer.unwrap_err();
                assert_eq!(error.class(), Class::Unavailable, "{lost}");
                assert!(error.to_string().contains("the disk is full"), "{lost}: everybody is told why: {error}");
            }
            let rows = || db.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).unwrap();
            assert_eq!(rows(), 0, "what came before and after the change that lost it is gone");

            let (next, answer) = job(insert(10));
            commit(&db, vec![next]);
            assert!(matches!(answer.recv(), Ok(Turn::Over(Ok(10)))) && rows() == 1, "the next batch commits as ever");
        }
    }

    #[test]
    fn a_full_disk_or_a_panic_in_any_change_of_a_commit_leaves_what_each_asker_is_told() {
        for (bad, is_full) in (0..3).flat_map(|bad| [(bad, true), (bad, false)]) {
            let dir = tempfile::tempdir().unwrap();
            let db = Connection::open(dir.path().join("db")).unwrap();
            db.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (n INTEGER PRIMARY KEY, b BLOB)").unwrap();
            db.execute_batch("PRAGMA max_page_count = 8").unwrap();
            let (batch, answers): (Vec<Box<dyn Job>>, Vec<_>) = (0..3)
                .map(|n| {
                    job(move |w| {
                        insert(n)(w)?;
                        match (n == bad, is_full) {
                            (true, true) => {
                                w.execute("UPDATE t SET b = zeroblob(1000000) WHERE n = ?1", [n])?;
                            }
                            (true, false) => panic!("in a test"),
                            (false, _) => {}
                        }
                        Ok(n)
                    })
                })
                .unzip();
            commit(&db, batch);
            for (n, answer) in (0..3).zip(answers) {
                let Ok(Turn::Over(answer)) = answer.recv() else { panic!("no answer") };
                let there: bool = db.query_row("SELECT count(*) FROM t WHERE n = ?1", [n], |row| row.get(0)).unwrap();
                assert_eq!(answer.is_ok(), there, "{n} of {bad}");
                assert!(n != bad || !there);
            }
            let (next, answer) = job(insert(10));
            commit(&db, vec![next]);
            assert!(matches!(answer.recv(), Ok(Turn::Over(Ok(10)))), "the next commit is as ever");
        }
    }
}
