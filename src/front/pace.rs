//! How much strangers get while somebody known is served: a quarter of the time of the one who serves them. A processor that
//! is busy with strangers lets the others wait, whoever goes first, since there may be no other one.

use crate::clock::later;
use std::time::{Duration, Instant};

/// After so much for a stranger there is a rest of three times as much.
const REST: u32 = 3;
/// Nobody rests for longer than this, and whoever is busy with a stranger for longer waits for something else.
const MOST: Duration = Duration::from_millis(10);
/// How long after a step somebody known is still being served: others of it are to come.
const BETWEEN_STEPS: Duration = Duration::from_millis(100);

pub(super) struct Pace {
    known_until: Instant,
    rest_until: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Pace {
        Pace { known_until: now, rest_until: now }
    }

    /// Somebody known is served just now.
    pub(super) fn serves_known(&mut self, now: Instant) {
        self.known_until = later(now, BETWEEN_STEPS);
    }

    /// Work for a stranger begins that others do, one for one.
    pub(super) fn begins(&mut self, now: Instant) {
        self.rest_until = later(now, MOST);
    }

    /// A stranger was served for so long.
    pub(super) fn took(&mut self, now: Instant, time: Duration) {
        self.rest_until = later(now, time.saturating_mul(REST).min(MOST));
    }

    /// Whether it is strangers' turn.
    pub(super) fn lets_strangers(&self, now: Instant) -> bool {
        self.rest(now).is_zero()
    }

    /// How long strangers wait if nothing happens.
    pub(super) fn rest(&self, now: Instant) -> Duration {
        self.rest_until.min(self.known_until).saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn strangers_have_a_quarter_while_somebody_known_is_served() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
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
}
