//! How much strangers get while somebody known is served: about a quarter of the processors' time. One that is busy with
//! strangers lets the others wait, whoever goes first, and there may be few. The pace is kept by the loop where it drives clients,
//! and by those who hand requests to workers.

use crate::clock::later;
use std::time::{Duration, Instant};

/// After so much for a stranger one processor rests for three times as much; others may go on in the meantime.
const REST: u32 = 3;
/// One processor rests no longer than this, and whoever is busy with a stranger for longer waits for something else.
const MOST: Duration = Duration::from_millis(10);
/// How long after a step somebody known is still being served: others of it are to come.
const BETWEEN_STEPS: Duration = Duration::from_millis(20);

pub(super) struct Pace {
    processors: u32,
    known_until: Instant,
    rest_until: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant, processors: u32) -> Pace {
        Pace { processors: processors.max(1), known_until: now, rest_until: now }
    }

    /// Somebody known is served just now.
    pub(super) fn serves_known(&mut self, now: Instant) {
        self.known_until = later(now, BETWEEN_STEPS);
    }

    /// Others begin to work for a stranger.
    pub(super) fn begins(&mut self, now: Instant) {
        self.rests(now, MOST);
    }

    /// A stranger was served for so long.
    pub(super) fn took(&mut self, now: Instant, time: Duration) {
        self.rests(now, time.saturating_mul(REST).min(MOST));
    }

    /// Whether it is strangers' turn.
    pub(super) fn lets_strangers(&self, now: Instant) -> bool {
        self.rest(now).is_zero()
    }

    /// How long strangers wait if nothing happens.
    pub(super) fn rest(&self, now: Instant) -> Duration {
        self.rest_until.min(self.known_until).saturating_duration_since(now)
    }

    fn rests(&mut self, now: Instant, one: Duration) {
        self.rest_until = later(now, one.checked_div(self.processors).unwrap_or(one));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn strangers_have_a_quarter_while_somebody_known_is_served() {
        let start = Instant::now();
        let mut pace = Pace::new(start, 1);
        pace.took(start, MS);
        assert!(pace.lets_strangers(start), "nobody else is there");
        pace.serves_known(start);
        assert_eq!(pace.rest(start), MS * 3);
        assert!(!pace.lets_strangers(start + MS * 2) && pace.lets_strangers(start + MS * 3));
        pace.took(start + MS * 3, MS * 99);
        assert_eq!(pace.rest(start + MS * 3), MOST);
        pace.begins(start + BETWEEN_STEPS - MS);
        assert_eq!(pace.rest(start + BETWEEN_STEPS - MS), MS, "the one who was known has gone");
    }

    #[test]
    fn of_more_processors_each_rests_for_itself() {
        let start = Instant::now();
        let mut pace = Pace::new(start, 4);
        pace.serves_known(start);
        pace.took(start, MS * 2);
        assert_eq!(pace.rest(start), MS * 3 / 2);
        pace.begins(start);
        assert_eq!(pace.rest(start), MOST / 4);
    }
}
