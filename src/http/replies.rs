//! The way back to the front door: in memory, and not by the socket on which the request came, whose reader the kernel would
//! wake for each reply as well.

use mio::Waker;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Who asked, in the front door's own terms: a place and a number, so that a late reply finds nobody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientId {
    /// Its place among the clients.
    pub slot: usize,
    /// The number of its connection.
    pub number: u64,
}

impl ClientId {
    /// As the front door's field names it.
    pub fn to_word(self) -> String {
        format!("{}.{}", self.slot, self.number)
    }

    pub(super) fn parse(word: &str) -> Option<ClientId> {
        let (slot, number) = word.split_once('.')?;
        Some(ClientId { slot: slot.parse().ok()?, number: number.parse().ok()? })
    }
}

/// A whole reply.
#[derive(Debug)]
pub struct Reply {
    /// From the status line to the end of the body.
    pub bytes: Vec<u8>,
    /// How many of them are the head, with the empty line at its end.
    pub head: usize,
}

/// What workers have answered and the front door has not taken yet.
#[derive(Default)]
pub struct Replies {
    arrived: Mutex<Vec<(ClientId, Reply)>>,
    waker: OnceLock<Arc<Waker>>,
}

impl Replies {
    /// Whom to wake when something arrives. Only the first counts.
    pub fn tell(&self, waker: Arc<Waker>) {
        let _ = self.waker.set(waker);
    }

    /// What has arrived since the last time.
    pub fn take(&self) -> Vec<(ClientId, Reply)> {
        std::mem::take(&mut self.arrived.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn put(&self, client: ClientId, reply: Reply) {
        let mut arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = arrived.is_empty();
        arrived.push((client, reply));
        drop(arrived);
        // Whoever takes one takes all.
        if let Some(waker) = self.waker.get().filter(|_| is_first)
            && let Err(e) = waker.wake()
        {
            log::error!(error:% = e; "the front door could not be told of a reply; it looks by itself in a moment");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll, Token};
    use std::time::Duration;

    #[test]
    fn the_door_is_woken_for_the_first_of_the_replies_that_wait_and_takes_all() {
        let mut poll = Poll::new().unwrap();
        let replies = Replies::default();
        replies.tell(Arc::new(Waker::new(poll.registry(), Token(0)).unwrap()));
        let mut is_woken = || {
            let mut events = Events::with_capacity(8);
            poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
            !events.is_empty()
        };
        let [one, other] = [1, 2].map(|number| ClientId { slot: 7, number });
        let put = |client| replies.put(client, Reply { bytes: Vec::new(), head: 0 });
        put(one);
        assert!(is_woken());
        put(other);
        assert!(!is_woken(), "it has not looked yet, and will find both");
        let taken: Vec<ClientId> = replies.take().into_iter().map(|(client, _)| client).collect();
        assert_eq!(taken, [one, other]);
        put(one);
        assert!(is_woken(), "it had taken all");
    }

    #[test]
    fn a_client_is_read_as_it_was_named() {
        let client = ClientId { slot: 4_999, number: u64::MAX };
        assert_eq!(ClientId::parse(&client.to_word()), Some(client));
        for nobody in ["", "-", "7", "7.", ".7", "7.8.9", "-1.2", "text/plain"] {
            assert_eq!(ClientId::parse(nobody), None, "{nobody}");
        }
    }
}
