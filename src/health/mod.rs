//! How the daemon does: whether it can do its work, which strangers may ask, and what administrators and who watches it see.

mod census;

pub use census::Counts;

use crate::clock::{Clock, Time};
use crate::issuance::Issuance;
use crate::store::Store;
use census::Census;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How old an answer to strangers may be, so that any number of them costs nothing.
const OLDEST: Duration = Duration::from_secs(1);

/// What is known of a daemon.
pub struct Health {
    store: Arc<Store>,
    issuance: Arc<Issuance>,
    clock: Clock,
    started: Time,
    told: Mutex<Option<(Instant, bool)>>,
    census: Census,
}

impl Health {
    /// Of a daemon that starts now.
    pub fn new(store: Arc<Store>, issuance: Arc<Issuance>, clock: Clock) -> Health {
        let census = Census::new(Arc::clone(&store), clock.clone());
        Health { started: clock.now(), told: Mutex::new(None), store, issuance, clock, census }
    }

    /// Whether it can sign, write and tell the time. `status` and the log say what is wrong.
    pub fn is_well(&self) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, well)) = told.filter(|(at, _)| at.elapsed() < OLDEST) {
            return well;
        }
        let well = self.clock.trusted().is_ok()
            && !self.store.is_failing()
            && !self.store.space().is_some_and(|space| space.is_over())
            && self.issuance.check_open().is_ok();
        *told = Some((Instant::now(), well));
        well
    }

    /// When it started.
    pub fn started(&self) -> Time {
        self.started
    }

    /// How many certificates there are, and what ends next: counted not longer ago than `oldest`, or than a hundred times
    /// what it takes. A count that has begun is waited for so long, then the one before has to do. None as long as the first count
    /// goes on.
    pub fn counts(&self, oldest: Duration, patience: Duration) -> Option<Arc<Counts>> {
        self.census.counts(oldest, patience)
    }
}
