//! What has ended long ago is removed by itself, once an hour, in small changes with a pause after each, so that clients find
//! the writer free. What it is, the store says; here is when.

use super::sinks::Sink;
use crate::clock::{Clock, Span, Time};
use crate::error::Result;
use crate::settings::Settings;
use crate::store::{AuditEntry, Met, Past, Read, Store, Write};
use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two rounds.
const ROUND: Span = Span::HOUR;
/// How long clients' addresses stand in the audit log.
const ADDRESSES: Span = Span::days(30);
/// After each change the writer is left alone for as long as it took, but not for longer than this.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Waits for so long, or until it is time to stop; true then.
pub(super) type Pause<'p> = &'p dyn Fn(Duration) -> bool;

/// Who tidies.
pub(super) struct Tidying {
    store: Arc<Store>,
    clock: Clock,
    retain: Span,
    retain_records: Span,
    /// Who is told of events; others have no say in how long the audit log is kept.
    listeners: Vec<&'static str>,
    /// When the last round began; held during one.
    last: Mutex<Option<Time>>,
}

impl Tidying {
    pub(super) fn new(store: Arc<Store>, clock: Clock, settings: &Settings) -> Tidying {
        Tidying {
            store,
            clock,
            retain: settings.retain,
            retain_records: settings.retain_records,
            listeners: Sink::all(settings).map(|sink| sink.name()).collect(),
            last: Mutex::default(),
        }
    }

    /// Make a round, if the last one was an hour ago and the clock is to be believed.
    ///
    /// # Errors
    /// The store's; the next round goes on from there.
    pub(super) fn round(&self, pause: Pause<'_>) -> Result<()> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // By a wrong clock nothing is past, and the log was told of it.
        let Ok(now) = self.clock.trusted() else { return Ok(()) };
        // A clock that was set back makes a round, too.
        if last.is_some_and(|last| (last..last.plus(ROUND)).contains(&now)) {
            return Ok(());
        }
        *last = Some(now);
        let past = Past {
            now,
            orders: now.minus(self.retain),
            records: now.minus(self.retain_records),
            addresses: now.minus(ADDRESSES),
        };
        let round = Round { store: &self.store, past, pause, is_stopped: Cell::new(false) };
        round.run(&self.listeners)
    }
}

/// One round. Once it is time to stop it does nothing more; it is made again after the next start.
struct Round<'t> {
    store: &'t Store,
    past: Past,
    pause: Pause<'t>,
    is_stopped: Cell<bool>,
}

impl Round<'_> {
    /// Each kind by itself: one that fails holds up no other. The first error is given.
    fn run(&self, listeners: &[&str]) -> Result<()> {
        let past = self.past;
        self.store.change(move |write| write.begin_tidying(&past))?;
        let gone = [
            (
                "orders",
                self.walk(|r, after| r.past_orders(&past, after), |w, past, key| w.remove_order(past, key), unrecorded),
            ),
            (
                "authorizations",
                self.walk(
                    |read, after| read.past_authorizations(&past, after),
                    |write, past, key| write.remove_authorization(past, key),
                    unrecorded,
                ),
            ),
            (
                "credentials",
                self.walk(|r, after| r.past_eabs(&past, after), |w, past, kid| w.remove_eab(past, kid), unrecorded),
            ),
            ("certificates", self.tidy_certificates()),
            ("revocations of unknown certificates", self.tidy_unknown_revocations()),
        ];
        let told = gone.iter().filter_map(|(what, count)| match count {
            Ok(0) | Err(_) => None,
            Ok(count) => Some(format!("{count} {what}")),
        });
        let told: Vec<String> = told.collect();
        if !told.is_empty() {
            log::info!(gone = told.join(", "); "tidied away");
        }
        let others = [self.tidy_items(), self.tidy_log(listeners), self.shrink()];
        gone.into_iter().map(|(_, count)| count.map(|_| ())).chain(others).collect()
    }

    fn tidy_certificates(&self) -> Result<usize> {
        let past = self.past;
        self.store.read(|read| read.issuers_ever())?.into_iter().try_fold(0usize, |count, issuer| {
            let gone = self.walk(
                |read, after| read.past_certificates(&past, issuer, after),
                |write, past, key| write.remove_certificate(past, key),
                |write, past, count| record(write, past, &format!("{count} certificates")),
            )?;
            Ok(count.saturating_add(gone))
        })
    }

    fn tidy_unknown_revocations(&self) -> Result<usize> {
        let past = self.past;
        self.store.read(|read| read.signers_ever())?.into_iter().try_fold(0usize, |count, signer| {
            let gone = self.walk(
                |read, after| read.past_unknown_revocations(&past, signer, after),
                move |write, past, key| write.remove_unknown_revocation(past, signer, key),
                |write, past, count| record(write, past, &format!("{count} revocations of unknown certificates")),
            )?;
            Ok(count.saturating_add(gone))
        })
    }

    /// Items that people kept for a reason that is over by now, and lists of which nothing is left.
    fn tidy_items(&self) -> Result<()> {
        self.walk(|read, after| read.left_items(after), |write, _, item| write.remove_item(item), unrecorded)?;
        for shard in self.store.read(|read| read.ended_shards())? {
            self.store.change(move |write| write.remove_shard(&shard))?;
        }
        Ok(())
    }

    /// Give back what is free in the file.
    fn shrink(&self) -> Result<()> {
        self.repeat(|read| Ok(read.free_pages()? > 0), |write| write.vacuum_some().map(|()| true))?;
        self.store.settle()
    }

    fn tidy_log(&self, listeners: &[&str]) -> Result<()> {
        let past = self.past;
        for sink in self.store.read(|read| read.overdue_listeners(&past))? {
            // One that is down is waited for; one that the daemon is told of no more has heard the last.
            if listeners.contains(&sink.as_str()) {
                log::warn!(
                    listener = sink, since:% = past.records;
                    "the audit log is kept for longer, since a listener has yet to hear of it"
                );
            } else {
                self.store.change(move |write| write.forget_listener(&sink))?;
            }
        }
        self.repeat(|read| Ok(read.past_audit(&past)?.is_some()), move |write| write.remove_audit(&past))?;
        self.repeat(|read| Ok(read.past_addresses(&past)?.is_some()), move |write| write.blank_addresses(&past))
    }

    /// Walk over all rows of a kind whose time is over, a few at a time, remove those that may go, and record how many went.
    /// Gives their number.
    fn walk<K: Clone + Send + 'static>(
        &self,
        find: impl Fn(&Read<'_>, Option<&K>) -> Result<Vec<Met<K>>>,
        remove: impl Fn(&Write<'_>, &Past, &K) -> Result<bool> + Copy + Send + 'static,
        record: impl Fn(&Write<'_>, &Past, usize) -> Result<()> + Copy + Send + 'static,
    ) -> Result<usize> {
        let past = self.past;
        let mut count = 0usize;
        let mut after = None;
        while !self.is_stopped.get() {
            let begun = Instant::now();
            let met = self.store.read(|read| find(read, after.as_ref()))?;
            let Some(last) = met.last() else { break };
            after = Some(last.key.clone());
            let may_go: Vec<K> = met.into_iter().filter(|met| met.may_go).map(|met| met.key).collect();
            if !may_go.is_empty() {
                let gone = self.store.change(move |write| {
                    let mut gone = 0usize;
                    for key in &may_go {
                        gone = gone.saturating_add(remove(write, &past, key)?.into());
                    }
                    if gone > 0 {
                        record(write, &past, gone)?;
                    }
                    Ok(gone)
                })?;
                count = count.saturating_add(gone);
            }
            self.rest(begun);
        }
        Ok(count)
    }

    /// Do the same again until there is nothing left to do.
    fn repeat(
        &self,
        is_due: impl Fn(&Read<'_>) -> Result<bool>,
        act: impl Fn(&Write<'_>) -> Result<bool> + Copy + Send + 'static,
    ) -> Result<()> {
        while !self.is_stopped.get() && self.store.read(&is_due)? {
            let begun = Instant::now();
            if !self.store.change(act)? {
                break;
            }
            self.rest(begun);
        }
        Ok(())
    }

    /// Leave the store to others.
    fn rest(&self, begun: Instant) {
        self.is_stopped.set((self.pause)(begun.elapsed().min(LONGEST_PAUSE)));
    }
}

/// Records that are gone are named in the audit log.
fn record(write: &Write<'_>, past: &Past, what: &str) -> Result<()> {
    let entry =
        AuditEntry::done("daemon", "tidy", "records").detail(format!("{what} that ended before {}", past.records));
    write.append_audit(past.now, &entry)
}

/// What is kept for a while only goes without a word.
fn unrecorded(_: &Write<'_>, _: &Past, _: usize) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;

    /// A store with so many orders that have ended, and who tidies it.
    fn cluttered(orders: i64) -> (tempfile::TempDir, Connection, Clock, Tidying) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let store = Arc::new(Store::open(&path).unwrap());
        let db = Connection::open(&path).unwrap();
        let rows = "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
                    INSERT INTO orders (account, created, expires) SELECT 1, 0, i % 7 FROM n";
        db.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        db.execute(rows, [orders]).unwrap();
        let clock = Clock::manual(Time(1_000_000));
        let tidying = Tidying {
            store,
            clock: clock.clone(),
            retain: Span(10),
            retain_records: Span(10),
            listeners: Vec::new(),
            last: Mutex::default(),
        };
        (dir, db, clock, tidying)
    }

    fn left(db: &Connection) -> i64 {
        db.query_row("SELECT count(*) FROM orders", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_round_goes_in_small_steps_until_it_is_stopped_and_the_next_one_goes_on() {
        let (_dir, db, clock, tidying) = cluttered(1_000);
        let seen = Cell::new(Vec::new());
        let pause = |_| {
            let mut lefts = seen.take();
            lefts.push(left(&db));
            let is_over = lefts.len() == 3;
            seen.set(lefts);
            is_over
        };
        tidying.round(&pause).unwrap();
        assert_eq!((seen.take(), left(&db)), (vec![800, 600, 400], 400));
        clock.advance(Span(3_599));
        tidying.round(&|_| false).unwrap();
        assert_eq!(left(&db), 400, "once an hour");
        clock.advance(Span(1));
        tidying.round(&|_| false).unwrap();
        assert_eq!(left(&db), 0);
    }

    #[test]
    fn after_a_change_the_writer_is_left_alone_for_as_long_as_it_took() {
        let (_dir, _db, _clock, tidying) = cluttered(400);
        let pauses = Cell::new(Vec::new());
        let pause = |length: Duration| {
            let mut lengths = pauses.take();
            lengths.push(length);
            pauses.set(lengths);
            false
        };
        tidying.round(&pause).unwrap();
        let lengths = pauses.take();
        assert!(
            lengths.len() >= 2 && lengths.iter().all(|p| *p > Duration::ZERO && *p <= LONGEST_PAUSE),
            "{lengths:?}"
        );
    }
}
