//! Whom a commit waits for. Clients that are at work at the same time share commits all by themselves as long as each takes
//! long; where the disk is fast only some of them do, the others just miss one, and all pay for more commits than they need.
//! Those who shared the last commit are likely to come again within a moment: the next one waits for as many as they were.

use std::time::{Duration, Instant};

/// How long a commit waits. It is what a client needs from one change to the next where the processors are busy, and little beside
/// what an order takes.
pub(super) const PATIENCE: Duration = Duration::from_millis(3);
/// Those who shared a commit so long ago are gone.
const MEMORY: Duration = Duration::from_millis(10);

/// Those who shared the last commit.
#[derive(Debug, Default)]
pub(super) struct Company {
    last: Option<(usize, Instant)>,
}

impl Company {
    /// How many changes a commit that begins now can count on. A change that comes alone finds itself, and waits for nobody.
    pub(super) fn expected(&self, now: Instant) -> usize {
        self.last.filter(|(_, at)| now.saturating_duration_since(*at) <= MEMORY).map_or(1, |(count, _)| count)
    }

    /// That so many changes share the commit that begins now: more when others came as well, fewer when some were waited for in
    /// vain.
    pub(super) fn share(&mut self, count: usize, now: Instant) {
        self.last = Some((count, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_expected_as_shared_the_last_commit_unless_that_was_long_ago() {
        let (mut company, start) = (Company::default(), Instant::now());
        assert_eq!(company.expected(start), 1, "nobody was there before");
        company.share(8, start);
        assert_eq!(company.expected(start + MEMORY), 8);
        assert_eq!(company.expected(start + MEMORY + Duration::from_micros(1)), 1);
        company.share(5, start + MEMORY);
        assert_eq!(company.expected(start + MEMORY * 2), 5, "three were waited for in vain");
    }
}
