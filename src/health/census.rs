//! Counting certificates, which means to look at each of them: in a thread of its own, at most a hundredth of the time.

use crate::clock::{Clock, Time, later};
use crate::error::Result;
use crate::store::{CertificateCounts, End, Store};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many of the next ends are told.
const NEXT_ENDS: usize = 5;

/// What was counted.
#[derive(Clone, Debug)]
pub struct Counts {
    /// By issuer, by name.
    pub certificates: Vec<CertificateCounts>,
    /// What ends next, the soonest first.
    pub next_ends: Vec<End>,
    /// When the last backup was made.
    pub last_backup: Option<Time>,
    /// Up to where the audit log was looked through for it.
    audited: i64,
}

pub(super) struct Census(Arc<Shared>);

struct Shared {
    store: Arc<Store>,
    clock: Clock,
    state: Mutex<State>,
    done: Condvar,
}

#[derive(Default)]
struct State {
    latest: Option<Arc<Counts>>,
    /// When the latest count ended, and before when there is no other.
    counted: Option<(Instant, Instant)>,
    is_counting: bool,
}

impl Census {
    pub(super) fn new(store: Arc<Store>, clock: Clock) -> Census {
        Census(Arc::new(Shared { store, clock, state: Mutex::default(), done: Condvar::new() }))
    }

    pub(super) fn counts(&self, oldest: Duration, patience: Duration) -> Option<Arc<Counts>> {
        let mut state = self.0.state();
        let is_due =
            state.counted.is_none_or(|(at, not_before)| at.elapsed() >= oldest && Instant::now() >= not_before);
        if is_due && !state.is_counting {
            let shared = Arc::clone(&self.0);
            state.is_counting = true;
            let spawned = std::thread::Builder::new().name("census".into()).spawn(move || shared.count());
            state.is_counting = spawned.is_ok();
        }
        if state.is_counting {
            let waited = self.0.done.wait_timeout_while(state, patience, |state| state.is_counting);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.latest.clone()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self) {
        let begun = Instant::now();
        let before = self.state().latest.clone();
        let counted = self.look(before.as_deref());
        let ended = Instant::now();
        log::debug!(ms = begun.elapsed().as_millis() as u64; "counted certificates");
        let mut state = self.state();
        match counted {
            Ok(counts) => state.latest = Some(Arc::new(counts)),
            Err(e) => log::warn!(error:% = e; "the certificates could not be counted"),
        }
        state.counted = Some((ended, later(ended, begun.elapsed().saturating_mul(100))));
        state.is_counting = false;
        self.done.notify_all();
    }

    fn look(&self, before: Option<&Counts>) -> Result<Counts> {
        let now = self.clock.believed();
        let (audited, backup) = before.map_or((0, None), |before| (before.audited, before.last_backup));
        self.store.read_at_length(|read| {
            let (mut certificates, mut next_ends) = (Vec::new(), Vec::new());
            for issuer in read.issuers_ever()? {
                certificates.push(read.count_certificates(issuer, now)?);
                next_ends.extend(read.next_ends(issuer, now, NEXT_ENDS)?);
            }
            next_ends.sort_by_key(|end| end.not_after);
            next_ends.truncate(NEXT_ENDS);
            let newest = read.last_audit_id()?;
            let last_backup = read.last_backup(audited)?.or(backup);
            Ok(Counts { certificates: by_name(certificates), next_ends, last_backup, audited: newest })
        })
    }
}

/// One that was deleted may have had the name of one that is there.
fn by_name(mut all: Vec<CertificateCounts>) -> Vec<CertificateCounts> {
    all.sort_by(|a, b| a.issuer.cmp(&b.issuer));
    all.dedup_by(|again, first| {
        let same = again.issuer == first.issuer;
        if same {
            for (sum, more) in first.by_state.iter_mut().zip(again.by_state) {
                *sum = sum.saturating_add(more);
            }
            first.overdue = first.overdue.saturating_add(again.overdue);
        }
        same
    });
    all
}
