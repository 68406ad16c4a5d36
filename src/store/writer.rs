//! Shared commits. SQLite takes one writer at a time and a durable commit costs an fdatasync, so changes that are asked for
//! at the same time share one: each runs in a savepoint, and one commit makes all of them last. A change that comes while nobody
//! commits is made and committed by its own thread, so that no other has to be woken. What comes meanwhile is left to the
//! committer, a thread that makes commits for as long as there is anything to commit, so that whoever asks need not wait for it.
//! A commit waits a moment for as many as were there for the one before.

use super::Write;
use super::batch::{Change, Effects, Job, commit_together, statement};
use super::company::{Company, PATIENCE};
use super::disk::Disk;
use super::recent::{Recent, Trace};
use crate::absence;
use crate::error::{Error, Result};
use rusqlite::Connection;
use std::cell::Cell;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// More than the requests and commands that can wait at once; a bound in case that ever changes.
const LARGEST_BATCH: usize = 256;

/// The committer with what it shares with those who ask; it ends with this.
pub(super) struct Writer {
    commits: Arc<Commits>,
    committer: Option<JoinHandle<()>>,
}

pub(super) struct Commits {
    /// Taken by whoever commits, for one batch.
    db: Mutex<Connection>,
    queue: Mutex<Queue>,
    /// That a commit is left to the committer, or that it ends.
    left: Condvar,
    /// That all are there for whom whoever commits waits.
    complete: Condvar,
    /// How long they are waited for.
    patience: Duration,
    /// Counts the commits that changed settings.
    settings_version: AtomicU64,
    /// Counts the commits that had the database to themselves, whatever became of them.
    begun: AtomicU64,
    pub(super) disk: Disk,
    pub(super) recent: Recent,
}

#[derive(Default)]
struct Queue {
    jobs: Vec<Box<dyn Job>>,
    committing: Committing,
    company: Company,
    /// How many jobs whoever commits waits for.
    awaited: usize,
    /// Whether nothing more is taken.
    is_closed: bool,
    /// Whether the committer ends when it has nothing to do.
    is_over: bool,
}

/// Who commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Committing {
    /// Nobody, nor is there anything to commit.
    #[default]
    Nobody,
    Somebody,
    /// The committer, as soon as it hears of it.
    Left,
}

/// What a thread does for the store at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Asker,
    /// It makes a commit: a change that it asked for would wait for itself.
    Commits,
    /// It tells those who asked: for a change that it waited for, it would wait itself in vain where it is the committer.
    Tells,
}

thread_local! {
    static ROLE: Cell<Role> = const { Cell::new(Role::Asker) };
}

impl Writer {
    /// Start the committer.
    ///
    /// # Errors
    /// Unavailable when there is no thread for it.
    pub(super) fn start(db: Connection) -> Result<Writer> {
        Writer::start_with(db, PATIENCE)
    }

    fn start_with(db: Connection, patience: Duration) -> Result<Writer> {
        let commits = Arc::new(Commits {
            db: Mutex::new(db),
            queue: Mutex::default(),
            left: Condvar::new(),
            complete: Condvar::new(),
            patience,
            settings_version: AtomicU64::new(1),
            begun: AtomicU64::default(),
            disk: Disk::default(),
            recent: Recent::default(),
        });
        let shared = Arc::clone(&commits);
        let thread = std::thread::Builder::new().name("committer".into()).spawn(move || shared.commit_what_is_left());
        let committer = thread.map_err(|e| Error::unavailable(format!("the committer cannot be started: {e}")))?;
        Ok(Writer { commits, committer: Some(committer) })
    }
}

impl Deref for Writer {
    type Target = Commits;

    fn deref(&self) -> &Commits {
        &self.commits
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue().is_over = true;
        self.left.notify_one();
        // Whoever it told something may have been the last to hold the store.
        if let Some(committer) = self.committer.take().filter(|c| c.thread().id() != std::thread::current().id()) {
            let _ = committer.join();
        }
    }
}

impl Commits {
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
        // Whoever commits has to get on by himself, or there is nobody who commits although they say so.
        if self.queue().committing != Committing::Nobody {
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
        if ROLE.get() == Role::Tells {
            return Err(Error::internal("a change was waited for by whoever commits"));
        }
        // There is room for the result, so that nobody waits to tell it.
        let (tell, told) = sync_channel(1);
        self.change_then(work, move |result| {
            let _ = tell.send(result);
        });
        // It is there already where this thread made the commit.
        told.try_recv()
            .or_else(|_| absence::away(|| told.recv()))
            .unwrap_or_else(|_| Err(Error::internal("a change was lost")))
    }

    pub(super) fn change_then<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Write<'_>) -> Result<T> + Send + 'static,
        then: impl FnOnce(Result<T>) + Send + 'static,
    ) {
        if ROLE.get() == Role::Commits {
            return then(Err(Error::internal("a change was asked for within a change")));
        }
        let is_own = {
            let mut queue = self.queue();
            if let Err(e) = self.check_may_queue(&queue) {
                drop(queue);
                return then(Err(e));
            }
            queue.jobs.push(Box::new(Change::new(work, then)));
            if queue.jobs.len() == queue.awaited {
                self.complete.notify_one();
            }
            let is_free = queue.committing == Committing::Nobody;
            // Whoever tells others lets none of them wait for a commit more.
            match (is_free, ROLE.get()) {
                (true, Role::Asker) => queue.committing = Committing::Somebody,
                (true, _) => {
                    queue.committing = Committing::Left;
                    self.left.notify_one();
                }
                (false, _) => {}
            }
            is_free && ROLE.get() == Role::Asker
        };
        if is_own {
            self.commit_own();
        }
    }

    fn check_may_queue(&self, queue: &Queue) -> Result<()> {
        if queue.is_closed {
            return Err(Error::unavailable("nothing was changed, since the daemon ended first"));
        }
        self.disk.check_may_wait(queue.jobs.len())
    }

    /// How many changes wait for the next commit.
    pub(super) fn waiting(&self) -> usize {
        self.queue().jobs.len()
    }

    /// Take nothing more, and return when what was asked for is committed.
    pub(super) fn close(&self) {
        self.queue().is_closed = true;
        // Nobody comes any more.
        self.complete.notify_one();
        while self.queue().committing != Committing::Nobody {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Make one commit, and leave what came meanwhile to the committer.
    fn commit_own(&self) {
        let (batch, committed) = absence::away(|| self.commit());
        // The next commit first: it takes the longest.
        let mut queue = self.queue();
        queue.committing = match queue.jobs.is_empty() {
            true => Committing::Nobody,
            false => Committing::Left,
        };
        let is_left = queue.committing == Committing::Left;
        drop(queue);
        if is_left {
            self.left.notify_one();
        }
        tell(batch, &committed);
    }

    /// What the committer does.
    fn commit_what_is_left(&self) {
        loop {
            let mut queue = self.queue();
            while queue.committing != Committing::Left {
                if queue.is_over {
                    return;
                }
                queue = self.left.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            queue.committing = Committing::Somebody;
            drop(queue);
            loop {
                let (batch, committed) = self.commit();
                tell(batch, &committed);
                let mut queue = self.queue();
                if queue.jobs.is_empty() {
                    queue.committing = Committing::Nobody;
                    break;
                }
            }
        }
    }

    /// Commit what has queued up; with why it was not, if it was not.
    fn commit(&self) -> (Vec<Box<dyn Job>>, Result<()>) {
        let mut batch = self.gather();
        let db = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        self.disk.begin(batch.len());
        let before = ROLE.replace(Role::Commits);
        let (effects, committed) = match commit_together(&db, &mut batch, self.settings_version(), &self.begun) {
            Ok(effects) => (effects, Ok(())),
            // Nothing is known for certain.
            Err(e) => (Effects { changes_settings: true, traces: vec![Trace::ChangedAnything] }, Err(e)),
        };
        ROLE.set(before);
        self.follow(effects);
        drop(db);
        self.meet(batch.len());
        (batch, self.disk.end(committed))
    }

    /// What is kept in memory follows the database, before anybody hears of the commit and another is made.
    fn follow(&self, Effects { changes_settings, traces }: Effects) {
        if changes_settings {
            self.settings_version.fetch_add(1, Ordering::Release);
        }
        self.recent.follow(traces);
    }

    /// What has queued up, with those who are waited for.
    fn gather(&self) -> Vec<Box<dyn Job>> {
        self.wait_for_company();
        let mut queue = self.queue();
        let end = queue.jobs.len().min(LARGEST_BATCH);
        queue.jobs.drain(..end).collect()
    }

    /// Wait for as many as were there for the last commit, but not for long.
    fn wait_for_company(&self) {
        let mut queue = self.queue();
        queue.awaited = queue.company.expected(Instant::now());
        let are_missing = |queue: &mut Queue| queue.jobs.len() < queue.awaited && !queue.is_closed;
        let waited = self.complete.wait_timeout_while(queue, self.patience, are_missing);
        waited.unwrap_or_else(PoisonError::into_inner).0.awaited = 0;
    }

    /// A commit ends that so many shared.
    fn meet(&self, shared: usize) {
        let mut queue = self.queue();
        let missed = queue.jobs.len();
        queue.company.meet(shared, missed, Instant::now());
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tell those who asked what became of it.
fn tell(batch: Vec<Box<dyn Job>>, committed: &Result<()>) {
    let before = ROLE.replace(Role::Tells);
    for job in batch {
        // Whatever it does, the others hear of theirs.
        if catch_unwind(AssertUnwindSafe(|| job.finish(committed))).is_err() {
            log::error!("what follows a change panicked");
        }
    }
    ROLE.set(before);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Class;
    use crate::logging::{self, OfRequest};
    use std::sync::mpsc::channel;

    fn counter() -> (tempfile::TempDir, Writer) {
        patient_counter(PATIENCE)
    }

    fn patient_counter(patience: Duration) -> (tempfile::TempDir, Writer) {
        let dir = tempfile::tempdir().unwrap();
        let db = Connection::open(dir.path().join("db")).unwrap();
        db.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (n INTEGER PRIMARY KEY)").unwrap();
        (dir, Writer::start_with(db, patience).unwrap())
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
    fn a_change_within_a_change_is_an_error_and_stops_nobody() {
        let (_dir, writer) = counter();
        let writer = Arc::new(writer);
        let inner = Arc::clone(&writer);
        let within = writer.change(move |_| inner.change(insert(1)));
        assert_eq!(within.map_err(|e| e.class()), Err(Class::Internal));
        writer.change(insert(2)).unwrap();
        assert_eq!(count(&writer), 1);
    }

    /// Let others ask while a commit is being made, so that what they ask for is left to the committer.
    fn during_a_commit(writer: &Writer, ask: impl FnOnce()) {
        let (tell, runs) = channel::<()>();
        let (open, gate) = channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                writer.change(move |_| {
                    tell.send(()).unwrap();
                    gate.recv().map_err(|e| Error::internal(e.to_string()))
                })
            });
            runs.recv().unwrap();
            ask();
            open.send(()).unwrap();
        });
    }

    #[test]
    fn whoever_does_not_wait_hears_of_it_once_it_is_durable_from_whoever_made_it() {
        let (dir, writer) = counter();
        let (tell, told) = channel();
        let ask = |n| {
            let (tell, outside) = (tell.clone(), Connection::open(dir.path().join("db")).unwrap());
            writer.change_then(insert(n), move |result| {
                let there = outside.query_row("SELECT count(*) FROM t WHERE n = ?1", [n], |row| row.get::<_, i64>(0));
                tell.send((result, there.unwrap(), std::thread::current().name().map(str::to_owned))).unwrap();
            });
        };
        ask(1);
        let own = std::thread::current().name().map(str::to_owned);
        assert_eq!(told.try_recv().unwrap(), (Ok(1), 1, own), "nobody else committed");
        during_a_commit(&writer, || ask(2));
        assert_eq!(told.recv().unwrap(), (Ok(2), 1, Some("committer".to_owned())));
        writer.close();
        ask(3);
        let (refused, there, _) = told.try_recv().unwrap();
        assert_eq!((refused.map_err(|e| e.class()), there), (Err(Class::Unavailable), 0));
    }

    #[test]
    fn what_follows_a_change_may_ask_for_another_but_not_wait_for_it_and_a_panic_there_stops_nobody() {
        let (_dir, writer) = counter();
        let writer = Arc::new(writer);
        for (first, is_left) in [(10, false), (20, true)] {
            let (tell, told) = channel();
            let ask = || {
                let (inner, tell) = (Arc::clone(&writer), tell.clone());
                writer.change_then(insert(first), move |_| {
                    let waited = inner.change(insert(first + 1));
                    tell.send(waited.map_err(|e| e.class())).unwrap();
                    let tell = tell.clone();
                    inner.change_then(insert(first + 2), move |n| tell.send(n.map_err(|e| e.class())).unwrap());
                    panic!("on purpose");
                });
            };
            if is_left {
                during_a_commit(&writer, ask)
            } else {
                ask()
            }
            assert_eq!([told.recv().unwrap(), told.recv().unwrap()], [Err(Class::Internal), Ok(first + 2)]);
        }
        assert_eq!(count(&writer), 4);
    }

    #[test]
    fn nobody_who_is_told_waits_for_a_commit_that_another_asks_for_when_told() {
        let (_dir, writer) = counter();
        let writer = Arc::new(writer);
        let (tell, told) = channel();
        for n in 0..8 {
            let (inner, tell) = (Arc::clone(&writer), tell.clone());
            let then = move |_: Result<i64>| {
                tell.send((n, inner.begun())).unwrap();
                inner.change_then(insert(n + 100), move |n| tell.send((n.unwrap(), 0)).unwrap());
            };
            writer.queue().jobs.push(Box::new(Change::new(insert(n), then)));
        }
        let before = writer.begun();
        // Held for as long as they are told, so that nobody else can commit.
        writer.queue().committing = Committing::Somebody;
        writer.commit_own();
        let mut heard: Vec<_> = told.iter().take(16).collect();
        heard.sort();
        let (first, second) = heard.split_at(8);
        assert!(first.iter().all(|(_, begun)| *begun <= before + 2), "{first:?}");
        assert!(second.iter().map(|(n, _)| *n).eq(100..108));
    }

    #[test]
    fn a_change_says_which_request_it_was_asked_for_by_whoever_it_is_made() {
        let (_dir, writer) = counter();
        let (tell, told) = channel();
        during_a_commit(&writer, || {
            for id in ["a", "b"] {
                let _of_request = OfRequest::begin(Some(id.into()));
                let tell = tell.clone();
                writer.change_then(
                    |_| Ok(logging::request()),
                    move |made| {
                        tell.send((made.unwrap(), logging::request())).unwrap();
                    },
                );
            }
        });
        for id in ["a", "b"] {
            assert_eq!(told.recv().unwrap(), (Some(id.into()), Some(id.into())));
        }
    }

    /// So many were there for a commit, which is not forgotten while the test runs.
    fn after_a_commit_of(writer: &Writer, count: usize) {
        writer.queue().company.meet(count, 0, Instant::now() + Duration::from_secs(3600));
    }

    #[test]
    fn a_commit_waits_for_as_many_as_were_there_for_the_last_one() {
        let (patience, start) = (Duration::from_secs(60), Instant::now());
        let (_dir, writer) = patient_counter(patience);
        writer.change(insert(0)).unwrap();
        after_a_commit_of(&writer, 3);
        let before = writer.begun();
        let (tell, told) = channel();
        let ask = |n| {
            let tell = tell.clone();
            writer.change_then(insert(n), move |made| tell.send(made.unwrap()).unwrap());
        };
        std::thread::scope(|scope| {
            scope.spawn(|| ask(1));
            while writer.queue().awaited != 3 {
                assert!(told.try_recv().is_err(), "the first did not wait for the others");
                std::thread::yield_now();
            }
            ask(2);
            ask(3);
        });
        drop(tell);
        assert_eq!(told.iter().collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(writer.begun() - before, 1, "they share a commit");
        assert!(start.elapsed() < patience, "nobody was waited for any longer once all were there");
    }

    #[test]
    fn who_does_not_come_is_waited_for_once_and_not_for_long() {
        let (_dir, writer) = counter();
        after_a_commit_of(&writer, 3);
        let start = Instant::now();
        writer.change(insert(1)).unwrap();
        assert!(start.elapsed() >= PATIENCE, "nobody was waited for");
        assert_eq!(writer.queue().company.expected(Instant::now()), 1);
    }

    #[test]
    fn who_missed_a_commit_is_expected_for_the_next() {
        let (_dir, writer) = counter();
        let (writer, start) = (Arc::new(writer), Instant::now());
        writer.queue().committing = Committing::Somebody;
        let inner = Arc::clone(&writer);
        let another_asks = move |_: &Write<'_>| {
            std::thread::spawn(move || inner.change_then(insert(1), |_| ())).join().unwrap();
            Ok(())
        };
        writer.queue().jobs.push(Box::new(Change::new(another_asks, |_| ())));
        let (_, committed) = writer.commit();
        committed.unwrap();
        assert_eq!(writer.queue().company.expected(start), 2);
        writer.commit_own();
        assert_eq!(count(&writer), 1);
    }

    #[test]
    fn nobody_is_waited_for_after_its_close() {
        let (patience, start) = (Duration::from_secs(60), Instant::now());
        let (_dir, writer) = patient_counter(patience);
        after_a_commit_of(&writer, 3);
        std::thread::scope(|scope| {
            let asker = scope.spawn(|| writer.change(insert(1)));
            while writer.queue().awaited != 3 {
                assert!(!asker.is_finished(), "nobody was waited for");
                std::thread::yield_now();
            }
            writer.close();
            assert_eq!(asker.join().unwrap(), Ok(1), "what was asked for before is made");
        });
        assert!(start.elapsed() < patience);
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
        let writer = Writer::start(db).unwrap();
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
        let (tell, told) = channel();
        during_a_commit(&writer, || {
            for n in 0..32 {
                let (outside, tell) = (Arc::clone(&outside), tell.clone());
                let committed = move |_| {
                    let outside = outside.lock().unwrap();
                    outside.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).map_err(Error::from)
                };
                let work = move |write: &Write<'_>| insert(n)(write).and_then(committed);
                writer.change_then(work, move |result| tell.send(result).unwrap());
            }
        });
        for result in told.iter().take(32) {
            assert_eq!(result, Ok(0), "nothing was committed before the last of them had run");
        }
        assert_eq!(count(&writer), 32);
    }
}
