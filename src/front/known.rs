//! Addresses from which somebody has lately signed something that was accepted: an account's client is there, so it goes before
//! strangers.

use crate::identifier::Peer;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long an address stays known: a client that renews asks for more than one thing in a row.
const LATELY: Duration = Duration::from_secs(3_600);
/// Where accounts are for anybody, strangers can make their addresses known, but no more of them than these.
const MOST: usize = 4_096;

#[derive(Default)]
pub(super) struct KnownAddresses(HashMap<Peer, Instant>);

impl KnownAddresses {
    pub(super) fn contains(&self, peer: Peer, now: Instant) -> bool {
        self.0.get(&peer).is_some_and(|since| now.saturating_duration_since(*since) < LATELY)
    }

    pub(super) fn add(&mut self, peer: Peer, now: Instant) {
        if self.0.len() >= MOST && !self.0.contains_key(&peer) {
            self.0.retain(|_, since| now.saturating_duration_since(*since) < LATELY);
            if self.0.len() >= MOST {
                return;
            }
        }
        self.0.insert(peer, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_known_for_an_hour_and_a_crowd_takes_no_known_one_its_place() {
        let (start, mut known) = (Instant::now(), KnownAddresses::default());
        let peer = |number: u32| Peer::of(std::net::Ipv4Addr::from_bits(number).into());
        (0..5_000).for_each(|number| known.add(peer(number), start));
        assert_eq!(known.0.len(), MOST);
        assert!(known.contains(peer(0), start + LATELY / 2) && !known.contains(peer(4_999), start));
        known.add(peer(0), start + LATELY / 2);
        known.add(peer(4_999), start + LATELY);
        assert_eq!(known.0.len(), 2, "those who are gone make room");
        assert!(known.contains(peer(4_999), start + LATELY) && !known.contains(peer(1), start + LATELY));
    }
}
