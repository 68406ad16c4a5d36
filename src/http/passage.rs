//! Between the front door and the workers, in memory: requests one way, replies the other. By the sockets of tiny_http goes
//! only a word for each request, since it reads byte by byte, allocates for each line, and is woken for each reply. So no byte
//! of a client's is ever read by it.

use super::reply::Answer;
use crate::metrics::{Listener, Resource, WORKERS_BUSY, answered};
use mio::Waker;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

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
pub struct Request {
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
    requests: Mutex<Requests>,
    /// By the numbers of the requests.
    replies: Mutex<Vec<(u64, Reply)>>,
    waker: OnceLock<Arc<Waker>>,
}

#[derive(Default)]
struct Requests {
    /// The number of the last one; none is ever used again, so that a late reply finds nobody else.
    last: u64,
    by_number: HashMap<u64, Request>,
}

/// That somebody waits for the reply to a request. Once this is gone, a worker that has not taken the request never does.
pub struct Ticket {
    passage: Arc<Passage>,
    number: u64,
}

/// A request that a worker has taken. It gets one reply, if only that something went wrong, whoever loses sight of it.
pub(super) struct Taken {
    passage: Arc<Passage>,
    number: u64,
    request: Arc<Request>,
    is_answered: bool,
}

/// What a word that came by tiny_http is for.
pub(super) enum Errand {
    /// To answer there, and nothing else.
    Probe,
    /// To answer this request.
    Request(Taken),
    /// Nobody waits for it any more.
    Withdrawn,
}

const PROBE: &str = "probe";

impl Passage {
    /// For words with this secret.
    pub fn new(secret: String) -> Passage {
        Passage { secret, requests: Mutex::default(), replies: Mutex::default(), waker: OnceLock::new() }
    }

    /// Hand a request over. A worker takes it when tiny_http has read the word that comes with the ticket.
    pub fn hand_over(self: &Arc<Self>, request: Request) -> (Ticket, Vec<u8>) {
        let mut requests = self.requests();
        requests.last = requests.last.saturating_add(1);
        let number = requests.last;
        requests.by_number.insert(number, request);
        drop(requests);
        (Ticket { passage: Arc::clone(self), number }, self.word(number))
    }

    /// What is answered by 204 and costs nothing.
    pub fn probe(&self) -> Vec<u8> {
        self.word(PROBE)
    }

    /// What the path of a request is a word for; nothing from anybody but the daemon.
    pub(super) fn errand(self: &Arc<Self>, path: &str) -> Option<Errand> {
        let (secret, what) = path.strip_prefix('/')?.split_once('/')?;
        let is_ours: bool = subtle::ConstantTimeEq::ct_eq(secret.as_bytes(), self.secret.as_bytes()).into();
        match what {
            _ if !is_ours => None,
            PROBE => Some(Errand::Probe),
            number => {
                let number = number.parse().ok()?;
                let taken = self.requests().by_number.remove(&number);
                Some(taken.map_or(Errand::Withdrawn, |request| {
                    Errand::Request(Taken::new(Arc::clone(self), number, request))
                }))
            }
        }
    }

    fn reply(&self, number: u64, reply: Reply) {
        let mut replies = self.replies.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = replies.is_empty();
        replies.push((number, reply));
        drop(replies);
        // Whoever takes one takes all.
        if let Some(waker) = self.waker.get().filter(|_| is_first)
            && let Err(e) = waker.wake()
        {
            log::error!(error:% = e; "the front door could not be told of a reply; it looks by itself in a moment");
        }
    }

    /// Whom to wake when a reply arrives. Only the first counts.
    pub fn tell(&self, waker: Arc<Waker>) {
        let _ = self.waker.set(waker);
    }

    /// The replies that have arrived since the last time, each with its number.
    pub fn take_replies(&self) -> Vec<(u64, Reply)> {
        std::mem::take(&mut self.replies.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn word(&self, what: impl std::fmt::Display) -> Vec<u8> {
        format!("GET /{}/{what} HTTP/1.1\r\n\r\n", self.secret).into_bytes()
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn new(passage: Arc<Passage>, number: u64, request: Request) -> Taken {
        WORKERS_BUSY.add(1);
        Taken { passage, number, request: Arc::new(request), is_answered: false }
    }

    /// What is asked for.
    pub(super) fn request(&self) -> Arc<Request> {
        Arc::clone(&self.request)
    }

    /// Send it the reply.
    pub(super) fn answer(mut self, answer: Answer) {
        self.reply(answer);
    }

    fn reply(&mut self, answer: Answer) {
        let reply = answer.into_reply(self.request.method == "HEAD");
        self.is_answered = true;
        self.passage.reply(self.number, reply);
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        WORKERS_BUSY.add(-1);
        if !self.is_answered {
            answered(Resource::Other, 500, Duration::ZERO);
            log::error!(method = self.request.method, path = self.request.target; "a request panicked");
            self.reply(Answer::problem(500, "serverInternal", "the server met a fault; its log tells more"));
        }
    }
}

impl Ticket {
    /// The number of its request.
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let untaken = self.passage.requests().by_number.remove(&self.number);
        // Not while others wait for the lock.
        drop(untaken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll, Token};
    use std::time::Duration;

    fn request(target: &str) -> Request {
        let [address, method, target] = ["192.0.2.1", "GET", target].map(str::to_owned);
        Request { door: Door::Plain, address, method, target, content_type: None, body: Vec::new() }
    }

    /// The path that tiny_http reads in a word.
    fn path(word: &[u8]) -> String {
        let line = String::from_utf8(word.to_vec()).unwrap();
        line.strip_prefix("GET ").and_then(|rest| rest.strip_suffix(" HTTP/1.1\r\n\r\n")).unwrap().to_owned()
    }

    #[test]
    fn a_word_is_for_its_own_request_once_and_nobody_else_has_words() {
        let passage = Arc::new(Passage::new("secret".into()));
        let [(one, first), (other, second), (gone, third)] = ["a", "b", "c"].map(|t| passage.hand_over(request(t)));
        let taken = |word: &[u8]| match passage.errand(&path(word)) {
            Some(Errand::Request(taken)) => Some((taken.number, taken.request.target.clone())),
            Some(Errand::Withdrawn) => None,
            _ => panic!("this is a word for a request"),
        };
        drop(gone);
        assert_eq!(taken(&second), Some((other.number(), "b".into())));
        assert_eq!(taken(&first), Some((one.number(), "a".into())));
        assert_eq!([&first, &third].map(|word| taken(word)), [None, None], "taken already, and withdrawn");
        assert!(matches!(passage.errand(&path(&passage.probe())), Some(Errand::Probe)));
        let (waits, word) = passage.hand_over(request("d"));
        let number = waits.number();
        for foreign in [
            format!("/other/{number}"),
            format!("//{number}"),
            format!("/{number}"),
            format!("secret/{number}"),
            format!("/secret/{number} "),
            "/secret".into(),
            "/secret/".into(),
            "/probe".into(),
            String::new(),
        ] {
            assert!(passage.errand(&foreign).is_none(), "{foreign}");
        }
        assert!(taken(&word).is_some());
        drop((one, other, waits));
        assert!(passage.requests().by_number.is_empty());
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
        let put = |number| passage.reply(number, Reply { bytes: Vec::new(), head: 0 });
        put(1);
        assert!(is_woken());
        put(2);
        assert!(!is_woken(), "it has not looked yet, and will find both");
        let taken: Vec<u64> = passage.take_replies().into_iter().map(|(number, _)| number).collect();
        assert_eq!(taken, [1, 2]);
        put(1);
        assert!(is_woken(), "it had taken all");
    }
}
