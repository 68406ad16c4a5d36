//! Whom a commit waits for. Clients that are at work at the same time share commits all by themselves as long as each takes
//! long; where the disk is fast only some of them do, the others just miss one, and all pay for more commits than they need.
//! Those who shared the last commit and those who missed it are likely to come again within a moment: the next one waits for as
//! many as they were.

use std::time::{Duration, Instant};

/// How long a commit waits: as long as a client takes from one change to the next where the processors are busy. An order has
/// three changes.
pub(super) const PATIENCE: Duration = Duration::from_millis(3);
/// Whoever was there so long ago is gone.
const MEMORY: Duration = Duration::from_millis(10);

/// Those who were there for the last commit.
#[derive(Debug, Default)]
pub(super) struct Company {
    last: Option<(usize, Instant)>,
}

impl Company {
    /// How many changes a commit that begins now can count on. There is one that it begins for.
    pub(super) fn expected(&self, now: Instant) -> usize {
        self.last.filter(|(_, at)| now.saturating_duration_since(*at) <= MEMORY).map_or(1, |(count, _)| count)
    }

    /// A commit ends, which so many changes shared, and so many came too late for. They are fewer than were expected where some
    /// were waited for in vain.
    pub(super) fn meet(&mut self, shared: usize, missed: usize, now: Instant) {
        self.last = Some((shared.saturating_add(missed), now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_expected_as_shared_or_missed_the_last_commit_unless_that_was_long_ago() {
        let (mut company, start) = (Company::default(), Instant::now());
        assert_eq!(company.expected(start), 1, "nobody was there before");
        company.meet(5, 3, start);
        assert_eq!(company.expected(start + MEMORY), 8);
        assert_eq!(company.expected(start + MEMORY + Duration::from_micros(1)), 1);
        company.meet(5, 0, start + MEMORY);
        assert_eq!(company.expected(start + MEMORY * 2), 5, "three were waited for in vain");
    }
}
