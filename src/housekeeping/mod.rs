//! What happens by itself on a clock: the clock itself is watched, the daemon's own TLS certificates are renewed, deletions
//! that are due are carried out, what has ended long ago is tidied away.

mod events;
mod expiry;
mod sinks;
mod tidying;

pub use events::{Events, event_of};

use crate::clock::{Clock, Span, Time};
use crate::error::{Error, Result};
use crate::issuance::Issuance;
use crate::settings::Settings;
use crate::store::{AuditEntry, ItemKind, Store};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tidying::Tidying;

const ROUND: Duration = Duration::from_secs(60);
/// How often it is noted that the clock is right.
const BETWEEN_MARKS: Span = Span::HOUR;
/// Between two times that CRLs are signed for clients; also how long a stop waits for that thread.
const CRL_PAUSE: Duration = Duration::from_millis(300);

/// The threads that look after everything: one once a minute, one as soon as clients revoke, one that tidies.
pub struct Housekeeping {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    store: Arc<Store>,
    issuance: Arc<Issuance>,
    clock: Clock,
    tidying: Tidying,
    /// When it was last noted that the clock is right.
    marked: Mutex<Option<Time>>,
    stopping: Mutex<bool>,
    stop: Condvar,
}

impl Housekeeping {
    /// Make a first round now, then one a minute.
    ///
    /// # Errors
    /// Unavailable when the thread cannot be started.
    pub fn start(
        store: Arc<Store>,
        issuance: Arc<Issuance>,
        clock: Clock,
        settings: &Settings,
    ) -> Result<Housekeeping> {
        let marked = Mutex::new(store.read(|read| read.clock_mark())?);
        let tidying = Tidying::new(Arc::clone(&store), clock.clone(), settings);
        let (stopping, stop) = (Mutex::new(false), Condvar::new());
        let shared = Arc::new(Shared { store, issuance, clock, tidying, marked, stopping, stop });
        shared.round();
        let threads = [
            spawn(&shared, "housekeeping", |shared| shared.every_round(Shared::round)),
            spawn(&shared, "crls", Shared::publish_when_wanted),
            // By itself, since it may have much to do and nothing else may wait for that.
            spawn(&shared, "tidying", |shared| shared.every_round(Shared::tidy)),
        ];
        Ok(Housekeeping { threads: threads.into_iter().collect::<Result<_>>()?, shared })
    }

    /// Make a round now, and tidy if that is due.
    pub fn round(&self) {
        self.shared.round();
        self.shared.tidy();
    }
}

fn spawn(shared: &Arc<Shared>, name: &str, work: impl FnOnce(&Shared) + Send + 'static) -> Result<JoinHandle<()>> {
    let shared = Arc::clone(shared);
    let spawned = std::thread::Builder::new().name(name.into()).spawn(move || work(&shared));
    spawned.map_err(|e| Error::unavailable(format!("the thread {name} cannot be started: {e}")))
}

impl Drop for Housekeeping {
    fn drop(&mut self) {
        *self.shared.stopping.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.stop.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        // So that the next start knows better than by the hour.
        if let Err(e) = self.shared.clock.trusted().and_then(|_| self.shared.mark_clock(Span(1))) {
            log::debug!(error:% = e; "it could not be noted that the clock is right");
        }
    }
}

impl Shared {
    /// Sign what clients' revocations changed, not more often than it takes for everybody to see them within a second.
    fn publish_when_wanted(&self) {
        while !*self.stopping.lock().unwrap_or_else(PoisonError::into_inner) {
            if self.issuance.wait_for_wanted_crls(CRL_PAUSE) {
                self.issuance.publish_crls();
                std::thread::sleep(CRL_PAUSE);
            }
        }
    }

    /// Each duty by itself: one that fails is tried again in the next round and holds up no other.
    fn round(&self) {
        // By a wrong clock nothing is due, least of all a deletion; clients are still to be answered.
        if self.clock.look().is_err() {
            return self.carry_out("showing the daemon's TLS certificates", || self.issuance.refresh_tls());
        }
        // After a commit that failed this tries whether the disk is well again, since nobody may come who would.
        let old = if self.store.is_failing() { Span(1) } else { BETWEEN_MARKS };
        self.carry_out("noting that the clock is right", || self.mark_clock(old));
        self.carry_out("signing CRLs", || {
            self.issuance.publish_crls();
            Ok(())
        });
        self.carry_out("noticing what expires", || expiry::notice(&self.store, self.clock.now()));
        self.carry_out("renewing the daemon's TLS certificates", || self.issuance.refresh_tls());
        self.carry_out("deleting items", || self.delete_due_items());
    }

    fn carry_out(&self, duty: &str, act: impl FnOnce() -> Result<()>) {
        if let Err(e) = act() {
            log::log!(e.level(), duty, error:% = e; "a duty failed and will be tried again in a minute");
        }
    }

    /// Note when the clock was last right, unless the last note is not as old as that.
    fn mark_clock(&self, old: Span) -> Result<()> {
        let Some(mark) = self.clock.mark() else { return Ok(()) };
        let mut marked = self.marked.lock().unwrap_or_else(PoisonError::into_inner);
        // It goes back when a clock is accepted.
        if marked.is_none_or(|marked| mark < marked || mark.since(marked) >= old) {
            self.store.change(move |write| write.put_clock_mark(mark))?;
            *marked = Some(mark);
        }
        Ok(())
    }

    fn tidy(&self) {
        if let Err(e) = self.tidying.round(&|pause| self.wait(pause)) {
            log::log!(e.level(), error:% = e; "tidying failed and will be gone on with in an hour");
        }
    }

    /// Each item by itself, too.
    fn delete_due_items(&self) -> Result<()> {
        let now = self.clock.now();
        for id in self.store.read(|read| read.items_due_for_deletion(now))? {
            if let Err(e) = self.delete_due_item(id, now) {
                log::log!(e.level(), item = id, error:% = e; "an item could not be deleted");
            }
        }
        Ok(())
    }

    fn delete_due_item(&self, id: i64, now: Time) -> Result<()> {
        let item = self.store.read(|read| read.item(id))?;
        let entry = AuditEntry::done("daemon", "delete-item", item.name).detail("the delay is over");
        let is_key = item.kind == ItemKind::Key;
        let deleted = self.store.change(move |write| {
            // It may have been enabled again since the list was made.
            if !write.items_due_for_deletion(now)?.contains(&id) || !write.issuers_using_key(id)?.is_empty() {
                return Ok(false);
            }
            write.delete_item(id, now)?;
            if is_key {
                write.forget_private_keys(id)?;
            }
            write.append_audit(now, &entry)?;
            Ok(true)
        })?;
        if is_key && deleted {
            self.issuance.destroy_key(id);
        }
        Ok(())
    }

    fn every_round(&self, act: impl Fn(&Shared)) {
        while !self.wait(ROUND) {
            act(self);
        }
    }

    /// Wait for so long. True when it is time to stop.
    fn wait(&self, longest: Duration) -> bool {
        let stopping = self.stopping.lock().unwrap_or_else(PoisonError::into_inner);
        let (stopping, _) = self
            .stop
            .wait_timeout_while(stopping, longest, |stopping| !*stopping)
            .unwrap_or_else(PoisonError::into_inner);
        *stopping
    }
}
