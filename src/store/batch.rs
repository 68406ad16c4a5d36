//! A batch of changes in one transaction: each in a savepoint, so that one that is refused undoes nothing else, and one commit
//! for all.

use super::Write;
use super::recent::Trace;
use crate::error::{Error, Result};
use crate::logging::{self, OfRequest};
use rusqlite::Connection;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A change with its type forgotten, so that changes of all kinds share a queue.
pub(super) trait Job: Send {
    /// Do the work and keep the result. True when it is to be kept in the transaction.
    fn run(&mut self, write: &Write<'_>) -> bool;
    /// What the work failed with, once it has.
    fn failure(&self) -> Option<&Error>;
    /// Tell the asker: what the work gave when the commit succeeded, otherwise why it did not.
    fn finish(self: Box<Self>, committed: &Result<()>);
}

/// A change, and what follows it.
pub(super) struct Change<T, F, G> {
    /// The request that it is made for, whoever makes it.
    request: Option<Arc<str>>,
    work: Option<F>,
    result: Option<Result<T>>,
    then: G,
}

impl<T, F, G> Change<T, F, G>
where
    F: FnOnce(&Write<'_>) -> Result<T>,
    G: FnOnce(Result<T>),
{
    /// For the request that this thread works for.
    pub(super) fn new(work: F, then: G) -> Change<T, F, G> {
        Change { request: logging::request(), work: Some(work), result: None, then }
    }
}

impl<T: Send, F, G> Job for Change<T, F, G>
where
    F: FnOnce(&Write<'_>) -> Result<T> + Send,
    G: FnOnce(Result<T>) + Send,
{
    fn run(&mut self, write: &Write<'_>) -> bool {
        let Some(work) = self.work.take() else { return false };
        let _of_request = OfRequest::begin(self.request.clone());
        let result = catch_unwind(AssertUnwindSafe(|| work(write)))
            .unwrap_or_else(|_| Err(Error::internal("a change to the database panicked")));
        let keep = result.is_ok();
        self.result = Some(result);
        keep
    }

    fn failure(&self) -> Option<&Error> {
        self.result.as_ref()?.as_ref().err()
    }

    fn finish(self: Box<Self>, committed: &Result<()>) {
        let result = match (committed, self.result) {
            // A refusal too was decided on rows that are now gone.
            (Err(e), _) => Err(e.clone()),
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(Error::internal("a change was not run")),
        };
        let _of_request = OfRequest::begin(self.request);
        (self.then)(result);
    }
}

/// What a batch did beside its rows.
#[derive(Default)]
pub(super) struct Effects {
    pub(super) changes_settings: bool,
    /// What was done to what is held in memory, in its order.
    pub(super) traces: Vec<Trace>,
}

/// Make the changes of a batch to a database with settings of this version, and commit them.
///
/// # Errors
/// Unavailable, and nothing was changed.
pub(super) fn commit_together(
    db: &Connection,
    batch: &mut [Box<dyn Job>],
    settings_version: u64,
    begun: &AtomicU64,
) -> Result<Effects> {
    // Whatever happens, those who asked hear of it, and the next commit is made.
    let outcome = catch_unwind(AssertUnwindSafe(|| run_batch(db, batch, settings_version, begun)))
        .unwrap_or_else(|_| Err(Error::internal("a commit panicked")));
    if outcome.is_err() && !db.is_autocommit() {
        // The error that made the batch fail is the one to report.
        let _ = statement(db, "ROLLBACK");
    }
    outcome.map_err(|e| {
        Error::unavailable(format!("nothing was changed, since the database could not commit ({e}); try again"))
    })
}

fn run_batch(db: &Connection, batch: &mut [Box<dyn Job>], settings_version: u64, begun: &AtomicU64) -> Result<Effects> {
    statement(db, "BEGIN IMMEDIATE")?;
    begun.fetch_add(1, Ordering::Release);
    let mut effects = Effects::default();
    for job in batch {
        statement(db, "SAVEPOINT change")?;
        let write = Write::among_others(db, (!effects.changes_settings).then_some(settings_version));
        let keep = job.run(&write);
        // FULL, IOERR and NOMEM may have rolled the whole transaction back; a savepoint opened now would commit alone.
        if db.is_autocommit() {
            return Err(job.failure().cloned().unwrap_or_else(|| Error::internal("the transaction was lost")));
        }
        if keep {
            effects.changes_settings |= write.changes_settings.get();
            effects.traces.append(&mut write.traces.borrow_mut());
        } else {
            statement(db, "ROLLBACK TO change")?;
        }
        statement(db, "RELEASE change")?;
    }
    statement(db, "COMMIT")?;
    Ok(effects)
}

/// Run a statement of the transaction itself, which is parsed once.
pub(super) fn statement(db: &Connection, sql: &str) -> Result<()> {
    db.prepare_cached(sql)?.execute([])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Class;
    use std::sync::mpsc::{Receiver, channel};

    fn insert(n: i64) -> impl FnOnce(&Write<'_>) -> Result<i64> {
        move |write| write.insert("INSERT INTO t (n) VALUES (?1)", [n])
    }

    /// A change, and where its asker hears of it.
    fn job<T: Send + 'static>(
        work: impl FnOnce(&Write<'_>) -> Result<T> + Send + 'static,
    ) -> (Box<dyn Job>, Receiver<Result<T>>) {
        let (tell, told) = channel();
        let then = move |result| drop(tell.send(result));
        (Box::new(Change::new(work, then)), told)
    }

    fn commit(db: &Connection, mut batch: Vec<Box<dyn Job>>) {
        let committed = commit_together(db, &mut batch, 1, &AtomicU64::default()).map(|_| ());
        batch.into_iter().for_each(|job| job.finish(&committed));
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
                let answer = answer.recv().unwrap();
                let error = answer.unwrap_err();
                assert_eq!(error.class(), Class::Unavailable, "{lost}");
                assert!(error.to_string().contains("the disk is full"), "{lost}: everybody is told why: {error}");
            }
            let rows = || db.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).unwrap();
            assert_eq!(rows(), 0, "what came before and after the change that lost it is gone");

            let (next, answer) = job(insert(10));
            commit(&db, vec![next]);
            assert!(answer.recv().unwrap() == Ok(10) && rows() == 1, "the next batch commits as ever");
        }
    }

    #[test]
    fn settings_are_those_of_before_until_a_change_that_is_kept_has_written_some() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY)").unwrap();
        let ask = |n, is_kept| {
            job(move |w| {
                let before = w.has_settings_of(1);
                assert!(!w.has_settings_of(0), "nobody reads settings of before");
                insert(n)(w)?;
                assert!(!w.has_settings_of(1));
                if is_kept { Ok(before) } else { Err(Error::conflict(before.to_string())) }
            })
        };
        let (batch, answers): (Vec<Box<dyn Job>>, Vec<_>) =
            [ask(1, false), ask(2, true), ask(3, true)].into_iter().unzip();
        commit(&db, batch);
        let answers: Vec<_> = answers.iter().map(|answer| answer.recv().unwrap()).collect();
        assert_eq!(answers, [Err(Error::conflict("true")), Ok(true), Ok(false)]);
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
                let answer = answer.recv().unwrap();
                let there: bool = db.query_row("SELECT count(*) FROM t WHERE n = ?1", [n], |row| row.get(0)).unwrap();
                assert_eq!(answer.is_ok(), there, "{n} of {bad}");
                assert!(n != bad || !there);
            }
            let (next, answer) = job(insert(10));
            commit(&db, vec![next]);
            assert!(answer.recv().unwrap() == Ok(10), "the next commit is as ever");
        }
    }
}
