//! Requests that wait for a worker. Addresses take turns, so that whoever asks a thousand things at once waits for himself.
//! Of one address the connection goes first that was answered least often, so that an honest newcomer behind the address
//! of a crowd is not the last of it. When there is no more room, the address that takes most of it gives up its last
//! request.

use super::backend::{ClientId, Request};
use crate::identifier::Peer;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Instant;

const MOST: usize = 512;
const MOST_BYTES: usize = 16 << 20;

/// All that wait.
#[derive(Default)]
pub(super) struct Waiting {
    queues: HashMap<Peer, Queue>,
    /// Addresses that have something waiting, the next one first.
    turns: VecDeque<Peer>,
    arrivals: u64,
    count: usize,
    bytes: usize,
}

/// What waits of one address, by how often the connection was answered before, then by arrival.
#[derive(Default)]
struct Queue {
    requests: BTreeMap<(u64, u64), Request>,
    bytes: usize,
}

impl Waiting {
    /// Let a request wait, and say which ones there is no room for now, perhaps this one.
    pub(super) fn push(&mut self, request: Request) -> Vec<Request> {
        let peer = request.peer;
        let queue = self.queues.entry(peer).or_default();
        if queue.requests.is_empty() {
            self.turns.push_back(peer);
        }
        self.arrivals = self.arrivals.wrapping_add(1);
        self.count = self.count.saturating_add(1);
        self.bytes = self.bytes.saturating_add(request.bytes.len());
        queue.bytes = queue.bytes.saturating_add(request.bytes.len());
        queue.requests.insert((request.answered, self.arrivals), request);
        let mut given_up = Vec::new();
        while self.count > MOST || self.bytes > MOST_BYTES {
            let Some(last) = self.give_up() else { break };
            given_up.push(last);
        }
        given_up
    }

    /// The request whose turn it is.
    pub(super) fn pop(&mut self) -> Option<Request> {
        let peer = self.turns.pop_front()?;
        let first = self.queues.get(&peer)?.requests.keys().next().copied()?;
        let request = self.take(peer, first)?;
        if self.queues.contains_key(&peer) {
            self.turns.push_back(peer);
        }
        Some(request)
    }

    /// Forget what waits for a client that has gone.
    pub(super) fn forget(&mut self, peer: Peer, client: ClientId) {
        self.remove(|found, request| found == peer && request.client == client);
    }

    /// Take out what is overdue.
    pub(super) fn take_late(&mut self, now: Instant) -> Vec<Request> {
        self.remove(|_, request| now >= request.deadline)
    }

    /// The last request of the address that takes most of what has run out.
    fn give_up(&mut self) -> Option<Request> {
        let by_count = self.count > MOST;
        let taken = |queue: &Queue| if by_count { queue.requests.len() } else { queue.bytes };
        let (peer, queue) = self.queues.iter().max_by_key(|(_, queue)| taken(queue))?;
        let (peer, last) = (*peer, queue.requests.keys().next_back().copied()?);
        let request = self.take(peer, last);
        self.forget_idle_turns();
        request
    }

    fn remove(&mut self, which: impl Fn(Peer, &Request) -> bool) -> Vec<Request> {
        let matching = |(peer, queue): (&Peer, &Queue)| {
            let (peer, which) = (*peer, &which);
            let found = queue.requests.iter().filter(move |(_, request)| which(peer, request));
            found.map(|(place, _)| (peer, *place)).collect::<Vec<_>>()
        };
        let found: Vec<_> = self.queues.iter().flat_map(matching).collect();
        let removed = found.into_iter().filter_map(|(peer, place)| self.take(peer, place)).collect::<Vec<_>>();
        if !removed.is_empty() {
            self.forget_idle_turns();
        }
        removed
    }

    fn take(&mut self, peer: Peer, place: (u64, u64)) -> Option<Request> {
        let queue = self.queues.get_mut(&peer)?;
        let request = queue.requests.remove(&place)?;
        queue.bytes = queue.bytes.saturating_sub(request.bytes.len());
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(request.bytes.len());
        if queue.requests.is_empty() {
            self.queues.remove(&peer);
        }
        Some(request)
    }

    fn forget_idle_turns(&mut self) {
        let Waiting { queues, turns, .. } = self;
        turns.retain(|peer| queues.contains_key(peer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn request(address: u8, slot: usize, answered: u64, bytes: usize) -> Request {
        let client = ClientId { slot, number: 1 };
        let deadline = Instant::now() + Duration::from_secs(slot as u64);
        Request { client, peer: peer(address), answered, deadline, bytes: vec![0; bytes], head_only: false }
    }

    fn peer(address: u8) -> Peer {
        Peer::of([10, 0, 0, address].into())
    }

    fn order(waiting: &mut Waiting) -> Vec<usize> {
        std::iter::from_fn(|| waiting.pop()).map(|request| request.client.slot).collect()
    }

    #[test]
    fn addresses_take_turns_and_the_least_served_goes_first() {
        let mut waiting = Waiting::default();
        for (address, slot, answered) in [(1, 10, 5), (1, 11, 5), (1, 12, 0), (2, 20, 9), (1, 13, 5), (3, 30, 0)] {
            assert!(waiting.push(request(address, slot, answered, 1)).is_empty());
        }
        assert_eq!(order(&mut waiting), [12, 20, 30, 10, 11, 13]);
        assert!(waiting.queues.is_empty() && waiting.turns.is_empty() && waiting.count == 0 && waiting.bytes == 0);
    }

    #[test]
    fn whoever_takes_most_room_gives_up() {
        let mut waiting = Waiting::default();
        for slot in 0..MOST {
            assert!(waiting.push(request(1, slot, 0, 1)).is_empty());
        }
        let given_up: Vec<_> = waiting.push(request(2, 9_000, 7, 1)).into_iter().map(|r| r.client.slot).collect();
        assert_eq!(given_up, [MOST - 1], "the last of the crowd, not the newcomer");
        assert_eq!(waiting.push(request(1, 9_001, 0, 1)).len(), 1);
        assert_eq!(waiting.pop().unwrap().client.slot, 0);
        assert_eq!(waiting.pop().unwrap().client.slot, 9_000);

        let mut large = Waiting::default();
        assert!(large.push(request(1, 1, 0, MOST_BYTES - 10)).is_empty());
        assert!(large.push(request(2, 2, 0, 10)).is_empty());
        assert_eq!(large.push(request(2, 3, 0, 10))[0].client.slot, 1);
        assert_eq!(order(&mut large), [2, 3]);
    }

    #[test]
    fn what_has_gone_or_is_late_is_taken_out() {
        let mut waiting = Waiting::default();
        for slot in 1..=3 {
            waiting.push(request(1, slot, 0, 5));
        }
        waiting.push(request(2, 100, 0, 5));
        waiting.forget(peer(1), ClientId { slot: 2, number: 1 });
        waiting.forget(peer(1), ClientId { slot: 3, number: 2 });
        let late = waiting.take_late(Instant::now() + Duration::from_secs(50));
        assert_eq!(late.iter().map(|r| r.client.slot).collect::<Vec<_>>(), [1, 3]);
        assert_eq!((waiting.count, waiting.bytes), (1, 5));
        assert_eq!(order(&mut waiting), [100]);
    }
}
