//! Shared commits. SQLite takes one writer at a time and a durable commit costs an fdatasync, so all changes go through
//! one thread, which runs what has queued up, each in a savepoint, and commits once. Whoever asked waits for that commit.

use super::Write;
use crate::error::{Error, Result};
use rusqlite::Connection;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

/// More than the request workers and commands that can wait at once; a bound in case that ever changes.
const LARGEST_BATCH: usize = 256;
/// How often others are let go first.
const MOST_TURNS: usize = 8;

pub(super) struct Writer {
    jobs: Option<Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// `settings_version` is raised with each commit that changes settings.
    pub(super) fn start(db: Connection, settings_version: Arc<AtomicU64>) -> Result<Writer> {
        let (jobs, queue) = channel();
        let thread = std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || run(&db, &queue, &settings_version))
            .map_err(|e| Error::unavailable(format!("the writer thread cannot be started: {e}")))?;
        Ok(Writer { jobs: Some(jobs), thread: Some(thread) })
    }

    pub(super) fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Write<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let gone = || Error::unavailable("the daemon is stopping");
        let (job, result) = job(work);
        self.jobs.as_ref().ok_or_else(gone)?.send(job).map_err(|_| gone())?;
        result.recv().map_err(|_| gone())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A change with its type forgotten, so that changes of all kinds share a queue.
trait Job: Send {
    /// Do the work and keep the result. True when it is to be kept in the transaction.
    fn run(&mut self, write: &Write<'_>) -> bool;
    /// Tell the asker: what the work gave when the commit succeeded, otherwise why it did not.
    fn finish(self: Box<Self>, committed: &Result<()>);
}

struct Change<T, F> {
    work: Option<F>,
    result: Option<Result<T>>,
    reply: SyncSender<Result<T>>,
}

/// A change, and where its result will come out.
fn job<T: Send + 'static>(
    work: impl FnOnce(&Write<'_>) -> Result<T> + Send + 'static,
) -> (Box<dyn Job>, Receiver<Result<T>>) {
    let (reply, result) = sync_channel(1);
    (Box::new(Change { work: Some(work), result: None, reply }), result)
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

    fn finish(self: Box<Self>, committed: &Result<()>) {
        let result = match (committed, self.result) {
            // A refusal too was decided on rows that are now gone.
            (Err(e), _) => Err(e.clone()),
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(Error::internal("a change was not run")),
        };
        let _ = self.reply.send(result);
    }
}

fn run(db: &Connection, queue: &Receiver<Box<dyn Job>>, settings_version: &AtomicU64) {
    while let Ok(first) = queue.recv() {
        let mut batch = gather(first, queue);
        let committed = commit_together(db, &mut batch);
        match &committed {
            Err(e) => log::error!("a commit of {} changes failed: {e}", batch.len()),
            Ok(true) => drop(settings_version.fetch_add(1, Ordering::Release)),
            Ok(false) => {}
        }
        let committed = committed.map(|_| ());
        for job in batch {
            job.finish(&committed);
        }
    }
}

/// The first change, and those that are about to be asked for: threads that are ready to run come first, for as long as they
/// bring more. When nobody else is at work, that takes no time.
fn gather(first: Box<dyn Job>, queue: &Receiver<Box<dyn Job>>) -> Vec<Box<dyn Job>> {
    let mut batch = vec![first];
    for _ in 0..MOST_TURNS {
        std::thread::yield_now();
        let before = batch.len();
        batch.extend(queue.try_iter().take(LARGEST_BATCH - before));
        if batch.len() == before {
            break;
        }
    }
    batch
}

/// Whether settings were changed.
fn commit_together(db: &Connection, batch: &mut [Box<dyn Job>]) -> Result<bool> {
    let outcome = run_batch(db, batch);
    if outcome.is_err() && !db.is_autocommit() {
        // The error that made the batch fail is the one to report.
        let _ = statement(db, "ROLLBACK");
    }
    outcome.map_err(|e| {
        Error::unavailable(format!("nothing was changed, since the database could not commit ({e}); try again"))
    })
}

fn run_batch(db: &Connection, batch: &mut [Box<dyn Job>]) -> Result<bool> {
    statement(db, "BEGIN IMMEDIATE")?;
    let mut changes_settings = false;
    for job in batch {
        statement(db, "SAVEPOINT change")?;
        let write = Write::new(db);
        let keep = job.run(&write);
        // FULL, IOERR and NOMEM may have rolled the whole transaction back; a savepoint opened now would commit alone.
        if db.is_autocommit() {
            return Err(Error::internal("the transaction was lost"));
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

    fn counter() -> (tempfile::TempDir, Writer) {
        let dir = tempfile::tempdir().unwrap();
        let db = Connection::open(dir.path().join("db")).unwrap();
        db.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (n INTEGER PRIMARY KEY)").unwrap();
        (dir, Writer::start(db, Arc::default()).unwrap())
    }

    fn insert(n: i64) -> impl FnOnce(&Write<'_>) -> Result<i64> {
        move |write| write.insert("INSERT INTO t (n) VALUES (?1)", [n])
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
    fn a_lost_transaction_fails_everybody_in_its_batch_and_nobody_after() {
        for lost in 0..3 {
            let db = Connection::open_in_memory().unwrap();
            db.execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY)").unwrap();
            let (mut batch, answers): (Vec<Box<dyn Job>>, Vec<_>) = (0..3)
                .map(|n| {
                    job(move |w| {
                        insert(n)(w)?;
                        if n == lost {
                            // What SQLite does by itself when the disk is full or memory is short.
                            w.db.execute_batch("ROLLBACK")?;
                        }
                        Ok(n)
                    })
                })
                .unzip();
            let committed = commit_together(&db, &mut batch).map(|_| ());
            batch.into_iter().for_each(|job| job.finish(&committed));
            for answer in answers {
                assert_eq!(answer.recv().unwrap().map_err(|e| e.class()), Err(Class::Unavailable), "{lost}");
            }
            let rows = || db.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).unwrap();
            assert_eq!(rows(), 0, "what came before and after the change that lost it is gone");

            let (next, answer) = job(insert(10));
            let mut batch = vec![next];
            let committed = commit_together(&db, &mut batch).map(|_| ());
            batch.into_iter().for_each(|job| job.finish(&committed));
            assert!(answer.recv().unwrap().is_ok() && rows() == 1, "the next batch commits as ever");
        }
    }
}
