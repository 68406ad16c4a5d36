//! Between the front door and the workers, in memory: requests one way, replies the other. By the sockets of tiny_http goes
//! only a word for each request, since it reads byte by byte, allocates for each line, and is woken for each reply. So no byte
//! of a client's is ever read by it.

use crate::metrics::Listener;
use mio::Waker;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Who asked, in the front door's own terms: a place and a number, so that a late reply finds nobody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientId {
    /// Its place among the clients.
    pub slot: usize,
    /// The number of its connection.
    pub number: u64,
}

/// The doors of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// ACME over TLS.
    Tls,
    /// In the clear.
    Plain,
    /// For who watches the daemon.
    Metrics,
}

impl Door {
    /// The listener whose clients come this way.
    pub fn listener(self) -> Listener {
        match self {
            Door::Tls => Listener::Acme,
            Door::Plain => Listener::Plain,
            Door::Metrics => Listener::Metrics,
        }
    }
}

/// A request as the front door has understood it.
#[derive(Debug)]
pub struct Request {
    /// Whose it is.
    pub client: ClientId,
    /// Which way it came.
    pub door: Door,
    /// The address of the client.
    pub address: String,
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The media type of the body, if it has one.
    pub content_type: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// A whole reply.
#[derive(Debug)]
pub struct Reply {
    /// From the status line to the end of the body.
    pub bytes: Vec<u8>,
    /// How many of them are the head, with the empty line at its end.
    pub head: usize,
}

/// What was handed over and not taken yet.
pub struct Passage {
    /// What shows that a word is the daemon's own.
    secret: String,
    next: AtomicU64,
    requests: Mutex<HashMap<u64, Request>>,
    replies: Mutex<Vec<(ClientId, Reply)>>,
    waker: OnceLock<Arc<Waker>>,
}

/// What tiny_http is told of a request that was handed over.
pub struct Ticket {
    /// By which it can be withdrawn.
    pub number: u64,
    /// What is written to it.
    pub word: Vec<u8>,
}

/// What a word that came by tiny_http is for.
#[derive(Debug)]
pub(super) enum Errand {
    /// To answer there, and nothing else.
    Probe,
    Request(Request),
    /// Nobody waits for it any more.
    Withdrawn,
}

const PROBE: &str = "probe";

impl Passage {
    /// For words with this secret.
    pub fn new(secret: String) -> Passage {
        let (requests, replies) = (Mutex::default(), Mutex::default());
        Passage { secret, next: AtomicU64::new(1), requests, replies, waker: OnceLock::new() }
    }

    /// Hand a request over. A worker takes it when tiny_http has read the word.
    pub fn hand_over(&self, request: Request) -> Ticket {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.requests().insert(number, request);
        Ticket { number, word: self.word(number) }
    }

    /// Forget a request, unless a worker has taken it.
    pub fn withdraw(&self, number: u64) {
        self.requests().remove(&number);
    }

    /// What is answered by 204 and costs nothing.
    pub fn probe(&self) -> Vec<u8> {
        self.word(PROBE)
    }

    /// What the path of a request is a word for; nothing from anybody but the daemon.
    pub(super) fn errand(&self, path: &str) -> Option<Errand> {
        let (secret, what) = path.strip_prefix('/')?.split_once('/')?;
        let is_ours: bool = subtle::ConstantTimeEq::ct_eq(secret.as_bytes(), self.secret.as_bytes()).into();
        match what {
            _ if !is_ours => None,
            PROBE => Some(Errand::Probe),
            number => {
                let number = number.parse().ok()?;
                Some(self.requests().remove(&number).map_or(Errand::Withdrawn, Errand::Request))
            }
        }
    }

    fn word(&self, what: impl std::fmt::Display) -> Vec<u8> {
        format!("GET /{}/{what} HTTP/1.1\r\n\r\n", self.secret).into_bytes()
    }

    fn requests(&self) -> MutexGuard<'_, HashMap<u64, Request>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Passage {
    /// Whom to wake when a reply arrives. Only the first counts.
    pub fn tell(&self, waker: Arc<Waker>) {
        let _ = self.waker.set(waker);
    }

    /// The replies that have arrived since the last time.
    pub fn take_replies(&self) -> Vec<(ClientId, Reply)> {
        std::mem::take(&mut self.replies.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn reply(&self, client: ClientId, reply: Reply) {
        let mut replies = self.replies.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = replies.is_empty();
        replies.push((client, reply));
        drop(replies);
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

    fn client(number: u64) -> ClientId {
        ClientId { slot: 7, number }
    }

    fn request(number: u64) -> Request {
        let [address, method, target] = ["192.0.2.1", "GET", "/healthz"].map(str::to_owned);
        let (client, door) = (client(number), Door::Plain);
        Request { client, door, address, method, target, content_type: None, body: Vec::new() }
    }

    /// The path that tiny_http reads in a word.
    fn path(word: &[u8]) -> String {
        let line = String::from_utf8(word.to_vec()).unwrap();
        line.strip_prefix("GET ").and_then(|rest| rest.strip_suffix(" HTTP/1.1\r\n\r\n")).unwrap().to_owned()
    }

    #[test]
    fn a_word_is_for_its_own_request_once_and_nobody_else_has_words() {
        let passage = Passage::new("secret".into());
        let [one, other, third] = [1, 2, 3].map(|number| passage.hand_over(request(number)));
        let whose = |word: &[u8]| match passage.errand(&path(word)) {
            Some(Errand::Request(request)) => Some(request.client.number),
            Some(Errand::Withdrawn) => None,
            other => panic!("{other:?}"),
        };
        passage.withdraw(third.number);
        assert_eq!([&other, &one, &one, &third].map(|ticket| whose(&ticket.word)), [Some(2), Some(1), None, None]);
        assert!(matches!(passage.errand(&path(&passage.probe())), Some(Errand::Probe)));
        let waits = passage.hand_over(request(4));
        for foreign in [
            format!("/other/{}", waits.number),
            format!("//{}", waits.number),
            format!("/{}", waits.number),
            format!("secret/{}", waits.number),
            format!("/secret/{} ", waits.number),
            "/secret".into(),
            "/secret/".into(),
            "/probe".into(),
            String::new(),
        ] {
            assert!(passage.errand(&foreign).is_none(), "{foreign}");
        }
        assert_eq!(whose(&waits.word), Some(4));
    }

    #[test]
    fn the_door_is_woken_for_the_first_of_the_replies_that_wait_and_takes_all() {
        let mut poll = Poll::new().unwrap();
        let passage = Passage::new(String::new());
        passage.tell(Arc::new(Waker::new(poll.registry(), Token(0)).unwrap()));
        let mut is_woken = || {
            let mut events = Events::with_capacity(8);
            poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
            !events.is_empty()
        };
        let [one, other] = [1, 2].map(client);
        let put = |client| passage.reply(client, Reply { bytes: Vec::new(), head: 0 });
        put(one);
        assert!(is_woken());
        put(other);
        assert!(!is_woken(), "it has not looked yet, and will find both");
        let taken: Vec<ClientId> = passage.take_replies().into_iter().map(|(client, _)| client).collect();
        assert_eq!(taken, [one, other]);
        put(one);
        assert!(is_woken(), "it had taken all");
    }
}
