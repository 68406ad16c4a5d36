//! Addresses from which somebody has lately signed something that was accepted: an account's client is there, so it goes before
//! strangers.

use crate::identifier::Peer;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long an address stays known: a client that renews asks for more than one thing in a row.
const LATELY: Duration = Duration::from_secs(3_600);
/// Where accounts are for anybody, strangers can make their addresses known, but no more of them than these.
const MOST: usize = 4_096;

pub(super) struct KnownAddresses {
    since: HashMap<Peer, Instant>,
    /// When the present turn of the loop began.
    pub(super) now: Instant,
}

impl KnownAddresses {
    pub(super) fn new(now: Instant) -> KnownAddresses {
        KnownAddresses { since: HashMap::new(), now }
    }

    pub(super) fn contains(&self, peer: Peer) -> bool {
        self.since.get(&peer).is_some_and(|since| self.is_lately(*since))
    }

    pub(super) fn add(&mut self, peer: Peer) {
        if self.since.len() >= MOST && !self.since.contains_key(&peer) {
            let now = self.now;
            self.since.retain(|_, since| now.saturating_duration_since(*since) < LATELY);
            if self.since.len() >= MOST {
                return;
            }
        }
        self.since.insert(peer, self.now);
    }

    fn is_lately(&self, since: Instant) -> bool {
        self.now.saturating_duration_since(since) < LATELY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_known_for_an_hour_and_a_crowd_takes_no_known_one_its_place() {
        let start = Instant::now();
        let mut known = KnownAddresses::new(start);
        let peer = |number: u32| Peer::of(std::net::Ipv4Addr::from_bits(number).into());
        (0..5_000).for_each(|number| known.add(peer(number)));
        assert_eq!(known.since.len(), MOST);
        known.now = start + LATELY / 2;
        assert!(known.contains(peer(0)) && !known.contains(peer(4_999)));
        known.add(peer(0));
        known.now = start + LATELY;
        known.add(peer(4_999));
        assert_eq!(known.since.len(), 2, "those who are gone make room");
        assert!(known.contains(peer(4_999)) && known.contains(peer(0)) && !known.contains(peer(1)));
    }
}
