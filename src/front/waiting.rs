//! Requests that wait for a worker, of which there is a bounded number. When there is no more room, the address that takes
//! most of it gives up its last request.

use super::backend::Pending;
use super::clients::ClientId;
use super::turns::Turns;
use crate::metrics::REQUESTS_WAITING;
use std::time::Instant;

const MOST: usize = 512;
const MOST_BYTES: usize = 16 << 20;

/// All that wait.
#[derive(Default)]
pub(super) struct Waiting {
    turns: Turns<Pending>,
    count: usize,
    bytes: usize,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Let a request wait, and say which ones there is no room for now, perhaps this one.
    pub(super) fn push(&mut self, pending: Pending) -> Vec<Pending> {
        self.count = self.count.saturating_add(1);
        self.bytes = self.bytes.saturating_add(pending.size());
        self.turns.push(pending.peer, pending.standing, pending);
        let mut given_up = Vec::new();
        while self.count > MOST || self.bytes > MOST_BYTES {
            let by_count = self.count > MOST;
            let last = self.turns.pop_last_of_longest(|pending| if by_count { 1 } else { pending.size() });
            let Some(last) = last else { break };
            self.leaves(&last);
            given_up.push(last);
        }
        REQUESTS_WAITING.set(self.count);
        given_up
    }

    /// The request whose turn it is, among those of known addresses only where it is not strangers' turn.
    pub(super) fn pop(&mut self, strangers_too: bool) -> Option<Pending> {
        let next = self.turns.pop(strangers_too)?;
        self.leaves(&next);
        Some(next)
    }

    /// Forget what waits for a client that has gone.
    pub(super) fn forget(&mut self, client: ClientId) {
        self.take_if(|pending| pending.client == client);
    }

    /// Take out what is overdue.
    pub(super) fn take_late(&mut self, now: Instant) -> Vec<Pending> {
        self.take_if(|pending| now >= pending.deadline)
    }

    fn take_if(&mut self, which: impl Fn(&Pending) -> bool) -> Vec<Pending> {
        let taken = self.turns.take_if(which);
        taken.iter().for_each(|pending| self.leaves(pending));
        taken
    }

    fn leaves(&mut self, pending: &Pending) {
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(pending.size());
        REQUESTS_WAITING.set(self.count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::turns::Standing;
    use crate::http::{Door, Request};
    use crate::identifier::Peer;
    use std::time::Duration;

    fn pending(address: u8, slot: usize, bytes: usize) -> Pending {
        let [own, method, target] = [String::new(), "POST".to_owned(), String::new()];
        let (door, body) = (Door::Tls, vec![0; bytes]);
        Pending {
            client: ClientId { slot, number: 1 },
            peer: Peer::of([10, 0, 0, address].into()),
            standing: Standing::new(false, 0),
            deadline: Instant::now() + Duration::from_secs(slot as u64),
            request: Request { door, address: own, method, target, content_type: None, body },
        }
    }

    fn slots(requests: impl IntoIterator<Item = Pending>) -> Vec<usize> {
        requests.into_iter().map(|pending| pending.client.slot).collect()
    }

    #[test]
    fn whoever_takes_most_room_gives_up() {
        let mut waiting = Waiting::default();
        for slot in 0..MOST {
            assert!(waiting.push(pending(1, slot, 1)).is_empty());
        }
        assert_eq!(slots(waiting.push(pending(2, 9_000, 1))), [MOST - 1], "the last of the crowd, not the newcomer");
        assert_eq!(slots(waiting.push(pending(1, 9_001, 1))), [9_001]);
        assert_eq!(slots([waiting.pop(true).unwrap(), waiting.pop(true).unwrap()]), [0, 9_000]);

        let mut large = Waiting::default();
        assert!(large.push(pending(1, 1, MOST_BYTES - 10)).is_empty());
        assert!(large.push(pending(2, 2, 10)).is_empty());
        assert_eq!(slots(large.push(pending(2, 3, 10))), [1]);
        assert_eq!((large.count, large.bytes), (2, 20));
        let padded = Request { content_type: Some("x".repeat(7)), target: "/abc".into(), ..pending(1, 4, 0).request };
        large.push(Pending { request: padded, ..pending(1, 4, 0) });
        assert_eq!((large.count, large.bytes), (3, 31), "whatever the client has a say in counts");
    }

    #[test]
    fn what_has_gone_or_is_late_is_taken_out() {
        let mut waiting = Waiting::default();
        for slot in [1, 2, 3, 100] {
            waiting.push(pending(1, slot, 5));
        }
        waiting.forget(ClientId { slot: 2, number: 1 });
        waiting.forget(ClientId { slot: 3, number: 2 });
        assert_eq!(slots(waiting.take_late(Instant::now() + Duration::from_secs(50))), [1, 3]);
        assert_eq!((waiting.count, waiting.bytes), (1, 5));
        assert_eq!(slots(waiting.pop(true)), [100]);
    }
}
