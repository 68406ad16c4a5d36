//! Whether the daemon still works, seen from inside. Through the public door it could not be told from being besieged, and
//! whoever besieges it would have systemd end it.

use crate::front::LoopTurns;
use crate::http::Probe;
use crate::store::Store;
use std::sync::Arc;
use std::time::{Duration, Instant};

const BETWEEN_LOOKS: Duration = Duration::from_millis(50);
/// After so long the log says who is waited for, since whoever is ended by a watchdog says nothing.
const WORTH_TELLING: Duration = Duration::from_secs(10);

/// Feels whether everything moves that clients and commands depend on.
pub struct Pulse {
    pub(super) turns: LoopTurns,
    pub(super) probe: Probe,
    pub(super) store: Arc<Store>,
}

impl Pulse {
    /// Return once the event loop has turned, a worker has answered a request, and a commit has had the database to itself,
    /// all since this was called. It may never return.
    ///
    /// That a commit fails, as on a full disk, is no reason to begin anew: the daemon serves what there is and says why.
    pub fn beat(&mut self) {
        let turn = self.turns.count();
        await_progress("the event loop", || self.turns.count() != turn);
        await_progress("the HTTP workers", || self.probe.is_answered());
        let commits = self.store.commits_begun();
        await_progress("the database's writer", || self.store.gets_on(commits));
    }
}

fn await_progress(whose: &str, mut is_made: impl FnMut() -> bool) {
    let (start, mut is_told) = (Instant::now(), false);
    while !is_made() {
        if !is_told && start.elapsed() >= WORTH_TELLING {
            log::warn!(of = whose, seconds = start.elapsed().as_secs(); "nothing is heard, and the watchdog waits");
            is_told = true;
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
}
