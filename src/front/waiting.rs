//! Requests that wait for a worker, of which there is a bounded number. When there is no more room, the address that takes
//! most of it gives up its last request.

use super::backend::Request;
use super::turns::Turns;
use crate::http::ClientId;
use crate::metrics::REQUESTS_WAITING;
use std::time::Instant;

const MOST: usize = 512;
const MOST_BYTES: usize = 16 << 20;

/// All that wait.
#[derive(Default)]
pub(super) struct Waiting {
    turns: Turns<Request>,
    count: usize,
    bytes: usize,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Let a request wait, and say which ones there is no room for now, perhaps this one.
    pub(super) fn push(&mut self, request: Request) -> Vec<Request> {
        self.count = self.count.saturating_add(1);
        self.bytes = self.bytes.saturating_add(request.bytes.len());
        self.turns.push(request.peer, request.standing, request);
        let mut given_up = Vec::new();
        while self.count > MOST || self.bytes > MOST_BYTES {
            let by_count = self.count > MOST;
            let last = self.turns.pop_last_of_longest(|request| if by_count { 1 } else { request.bytes.len() });
            let Some(last) = last else { break };
            self.leaves(&last);
            given_up.push(last);
        }
        REQUESTS_WAITING.set(self.count);
        given_up
    }

    /// The request whose turn it is, among those of known addresses only where it is not strangers' turn.
    pub(super) fn pop(&mut self, strangers_too: bool) -> Option<Request> {
        let next = self.turns.pop(strangers_too)?;
        self.leaves(&next);
        Some(next)
    }

    /// Forget what waits for a client that has gone.
    pub(super) fn forget(&mut self, client: ClientId) {
        self.take_if(|request| request.client == client);
    }

    /// Take out what is overdue.
    pub(super) fn take_late(&mut self, now: Instant) -> Vec<Request> {
        self.take_if(|request| now >= request.deadline)
    }

    fn take_if(&mut self, which: impl Fn(&Request) -> bool) -> Vec<Request> {
        let taken = self.turns.take_if(which);
        taken.iter().for_each(|request| self.leaves(request));
        taken
    }

    fn leaves(&mut self, request: &Request) {
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(request.bytes.len());
        REQUESTS_WAITING.set(self.count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::turns::Standing;
    use crate::identifier::Peer;
    use std::time::Duration;

    fn request(address: u8, slot: usize, bytes: usize) -> Request {
        let client = ClientId { slot, number: 1 };
        let deadline = Instant::now() + Duration::from_secs(slot as u64);
        let peer = Peer::of([10, 0, 0, address].into());
        Request { client, peer, standing: Standing::new(false, 0), deadline, bytes: vec![0; bytes] }
    }

    fn slots(requests: impl IntoIterator<Item = Request>) -> Vec<usize> {
        requests.into_iter().map(|request| request.client.slot).collect()
    }

    #[test]
    fn whoever_takes_most_room_gives_up() {
        let mut waiting = Waiting::default();
        for slot in 0..MOST {
            assert!(waiting.push(request(1, slot, 1)).is_empty());
        }
        assert_eq!(slots(waiting.push(request(2, 9_000, 1))), [MOST - 1], "the last of the crowd, not the newcomer");
        assert_eq!(slots(waiting.push(request(1, 9_001, 1))), [9_001]);
        assert_eq!(slots([waiting.pop(true).unwrap(), waiting.pop(true).unwrap()]), [0, 9_000]);

        let mut large = Waiting::default();
        assert!(large.push(request(1, 1, MOST_BYTES - 10)).is_empty());
        assert!(large.push(request(2, 2, 10)).is_empty());
        assert_eq!(slots(large.push(request(2, 3, 10))), [1]);
        assert_eq!((large.count, large.bytes), (2, 20));
    }

    #[test]
    fn what_has_gone_or_is_late_is_taken_out() {
        let mut waiting = Waiting::default();
        for slot in [1, 2, 3, 100] {
            waiting.push(request(1, slot, 5));
        }
        waiting.forget(ClientId { slot: 2, number: 1 });
        waiting.forget(ClientId { slot: 3, number: 2 });
        assert_eq!(slots(waiting.take_late(Instant::now() + Duration::from_secs(50))), [1, 3]);
        assert_eq!((waiting.count, waiting.bytes), (1, 5));
        assert_eq!(slots(waiting.pop(true)), [100]);
    }
}
