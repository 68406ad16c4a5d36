//! Whose connections they are, and who makes room when there are too many: from the address that holds most, the one that
//! has waited longest without a complete request. An honest newcomer is always let in.

use crate::identifier::Peer;
use std::collections::HashMap;
use std::time::Instant;

/// How many connections each client has.
#[derive(Default)]
pub(super) struct Counts(HashMap<Peer, usize>);

impl Counts {
    pub(super) fn add(&mut self, peer: Peer) {
        let count = self.0.entry(peer).or_default();
        *count = count.saturating_add(1);
    }

    pub(super) fn remove(&mut self, peer: Peer) {
        if let Some(count) = self.0.get_mut(&peer) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.0.remove(&peer);
            }
        }
    }

    /// The address that holds most, and how many.
    fn most(&self) -> Option<(Peer, usize)> {
        self.0.iter().map(|(peer, count)| (*peer, *count)).max_by_key(|(_, count)| *count)
    }

    fn of(&self, peer: Peer) -> usize {
        self.0.get(&peer).copied().unwrap_or(0)
    }
}

/// A connection as eviction sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) slot: usize,
    pub(super) peer: Peer,
    /// Whether a whole request of it is being answered.
    pub(super) answering: bool,
    /// Since when it has been waiting for what it waits for now.
    pub(super) since: Instant,
}

/// A crowd has so many connections at least, and gives up one in so many at a time.
const PART_OF_A_CROWD: usize = 16;

/// Who makes room. Of a crowd it is more than one, so that a crowd that comes and comes is not looked over for each.
pub(super) fn make_room(candidates: impl Iterator<Item = Candidate> + Clone, counts: &Counts) -> Vec<usize> {
    let mut crowd = Vec::new();
    let (largest, count) = counts.most().unzip();
    let share = count.unwrap_or_default() / PART_OF_A_CROWD;
    if share > 0 {
        crowd.extend(candidates.clone().filter(|c| Some(c.peer) == largest && !c.answering));
        crowd.sort_unstable_by_key(|c| c.since);
        crowd.truncate(share);
    }
    if crowd.is_empty() {
        choose(candidates, counts).into_iter().collect()
    } else {
        crowd.iter().map(|c| c.slot).collect()
    }
}

/// The one who makes room. A connection whose request is being answered goes only where there is no other.
pub(super) fn choose(candidates: impl Iterator<Item = Candidate>, counts: &Counts) -> Option<usize> {
    candidates
        .min_by(|a, b| {
            (a.answering.cmp(&b.answering)).then(counts.of(b.peer).cmp(&counts.of(a.peer))).then(a.since.cmp(&b.since))
        })
        .map(|c| c.slot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_one_who_holds_most_gives_up_its_longest_waiting() {
        let now = Instant::now();
        let peer = |text: &str| Peer::of(text.parse::<std::net::SocketAddr>().unwrap().ip());
        let (crowd, honest) = (peer("10.0.0.1:1"), peer("[2001:db8::1]:1"));
        let mut counts = Counts::default();
        for p in [crowd, crowd, crowd, honest] {
            counts.add(p);
        }
        let candidate =
            |slot, peer, answering, age| Candidate { slot, peer, answering, since: now - Duration::from_secs(age) };
        let all = [
            candidate(0, honest, false, 100),
            candidate(1, crowd, false, 5),
            candidate(2, crowd, false, 9),
            candidate(3, crowd, true, 50),
        ];
        assert_eq!(choose(all.into_iter(), &counts), Some(2));
        assert_eq!(choose(all.into_iter().filter(|c| c.answering), &counts), Some(3));
        assert_eq!(make_room(all.into_iter(), &counts), [2], "three are no crowd");
        assert_eq!(peer("[2001:db8::ffff:1]:9"), honest, "one /64 is one client");
        assert_eq!(peer("[::ffff:10.0.0.1]:9"), crowd, "mapped is IPv4");

        (0..40).for_each(|_| counts.add(crowd));
        let more: Vec<_> = (10..50).map(|slot| candidate(slot, crowd, slot < 48, slot as u64)).chain(all).collect();
        assert_eq!(make_room(more.iter().copied(), &counts), [49, 48], "a sixteenth of a crowd");
        let busy = more.into_iter().filter(|c| c.answering);
        assert_eq!(make_room(busy, &counts), [3], "one that is answered goes alone");
    }
}
