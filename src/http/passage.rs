//! Between the front door and the workers, in memory: requests one way, replies the other. By the sockets of tiny_http goes
//! only a word that wakes a worker, since it reads byte by byte, allocates for each line, and is woken for each reply. So no
//! byte of a client's is ever read by it. Workers who are awake take what waits before they sleep, and need no word.

use super::queue::{Call, Queue};
use super::reply::Answer;
use crate::clock::later;
use crate::metrics::{Listener, Resource, WORKERS_BUSY, answered};
use mio::Waker;
use std::num::NonZero;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

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

/// What was handed over and not taken yet, and what was answered.
pub struct Passage {
    /// What shows that a word is the daemon's own.
    secret: String,
    requests: Mutex<Queue>,
    /// By the numbers of the requests.
    replies: Mutex<Vec<(u64, Reply)>>,
    waker: OnceLock<Arc<Waker>>,
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
    /// To take what waits.
    Take,
}

/// How long a worker who has nothing to do stays where it is woken at the least cost.
const LINGER: Duration = Duration::from_millis(20);
const PROBE: &str = "probe";
const TAKE: &str = "take";

impl Passage {
    /// For words with this secret.
    pub fn new(secret: String) -> Passage {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let requests = Mutex::new(Queue::new(processors));
        Passage { secret, requests, replies: Mutex::default(), waker: OnceLock::new() }
    }

    /// Hand a request over. Where a word comes with the ticket, a worker is to come who sleeps, and does once tiny_http has read
    /// it; otherwise one takes it who is awake, or [`Passage::call_for_all`] has others come.
    pub fn hand_over(self: &Arc<Self>, request: Request) -> (Ticket, Option<Vec<u8>>) {
        let mut requests = self.requests();
        let now = Instant::now();
        let number = requests.push(request, now);
        let call = requests.call(now);
        drop(requests);
        (Ticket { passage: Arc::clone(self), number }, must_wake(call).then(|| self.word(TAKE)))
    }

    /// Have workers come for what waits although somebody was to take it. Words to send, with the numbers of the requests, which
    /// may be none; nothing where nothing waits.
    pub fn call_for_all(&self) -> Option<Vec<(u64, Vec<u8>)>> {
        let mut requests = self.requests();
        if requests.is_empty() {
            return None;
        }
        let calls = requests.call_for_all(Instant::now());
        drop(requests);
        let word = |(number, call)| must_wake(Some(call)).then(|| (number, self.word(TAKE)));
        Some(calls.into_iter().filter_map(word).collect())
    }

    /// A worker begins to wait for tiny_http.
    pub(super) fn sleeps(&self) {
        self.requests().sleep();
    }

    /// Take what waits, one after the other, until nothing has for a moment; `listen` to tiny_http meanwhile, which nobody may do
    /// otherwise for as long as all are busy.
    pub(super) fn take_all(self: &Arc<Self>, mut answer: impl FnMut(Taken), listen: impl Fn()) {
        let (own, mut listened) = (std::thread::current(), Instant::now());
        let mut requests = self.requests();
        requests.wake();
        loop {
            while let Some((number, request)) = requests.take() {
                drop(requests);
                answer(Taken::new(Arc::clone(self), number, request));
                requests = self.requests();
                if requests.is_sleepless() && listened.elapsed() >= LINGER {
                    drop(requests);
                    listen();
                    listened = Instant::now();
                    requests = self.requests();
                }
            }
            requests.linger(own.clone());
            let until = later(Instant::now(), LINGER);
            while requests.lingers(own.id()) {
                let rest = until.saturating_duration_since(Instant::now());
                if rest.is_zero() {
                    if requests.may_sleep(own.id()) {
                        return;
                    }
                    break;
                }
                drop(requests);
                std::thread::park_timeout(rest);
                requests = self.requests();
            }
        }
    }

    /// A word to take what waits has come to a worker who does so already.
    pub(super) fn hears(&self) {
        self.requests().hear();
    }

    /// A worker that takes what waits is about to wait for something. Whether one who sleeps has to come.
    pub(super) fn leaves(&self) -> bool {
        let mut requests = self.requests();
        requests.leave();
        let call = requests.call(Instant::now());
        drop(requests);
        must_wake(call)
    }

    /// It goes on.
    pub(super) fn is_back(&self) {
        self.requests().come_back();
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
            TAKE => Some(Errand::Take),
            _ => None,
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

    fn requests(&self) -> MutexGuard<'_, Queue> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Call a worker; whether it has to be one of those who sleep.
fn must_wake(call: Option<Call>) -> bool {
    match call {
        None => false,
        Some(Call::Lingering(thread)) => {
            thread.unpark();
            false
        }
        Some(Call::Sleeping) => true,
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
            log::error!(method = self.request.method, path = self.request.target; "a request was left without an answer");
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
        let untaken = self.passage.requests().withdraw(self.number);
        // Not while others wait for the lock.
        drop(untaken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll, Token};
    use std::cell::Cell;
    use std::sync::mpsc::channel;

    fn request(target: &str) -> Request {
        let [address, method, target] = ["192.0.2.1", "GET", target].map(str::to_owned);
        Request { door: Door::Plain, address, method, target, content_type: None, body: Vec::new() }
    }

    /// With a worker that sleeps.
    fn passage(secret: &str) -> Arc<Passage> {
        let passage = Arc::new(Passage::new(secret.into()));
        passage.sleeps();
        passage
    }

    /// The path that tiny_http reads in a word.
    fn path(word: &[u8]) -> String {
        let line = String::from_utf8(word.to_vec()).unwrap();
        line.strip_prefix("GET ").and_then(|rest| rest.strip_suffix(" HTTP/1.1\r\n\r\n")).unwrap().to_owned()
    }

    #[test]
    fn nobody_else_has_words() {
        let passage = passage("secret");
        let (_ticket, word) = passage.hand_over(request("a"));
        assert!(matches!(passage.errand(&path(&word.unwrap())), Some(Errand::Take)));
        assert!(matches!(passage.errand(&path(&passage.probe())), Some(Errand::Probe)));
        for foreign in [
            format!("/other/{TAKE}"),
            format!("//{TAKE}"),
            format!("/{TAKE}"),
            format!("secret/{TAKE}"),
            format!("/secret/{TAKE} "),
            "/secret/1".into(),
            "/secret".into(),
            "/secret/".into(),
            "/probe".into(),
            String::new(),
        ] {
            assert!(passage.errand(&foreign).is_none(), "{foreign}");
        }
    }

    #[test]
    fn each_request_is_taken_once_the_oldest_first_and_none_that_was_withdrawn() {
        let passage = passage("");
        let [one, gone, other] = ["a", "b", "c"].map(|target| passage.hand_over(request(target)).0);
        let numbers = [one.number(), other.number()];
        drop(gone);
        let mut targets = Vec::new();
        let answer = |taken: Taken| {
            targets.push(taken.request().target.clone());
            taken.answer(Answer::new(204));
        };
        passage.take_all(answer, || ());
        assert_eq!(targets, ["a", "c"]);
        assert_eq!(passage.take_replies().into_iter().map(|(number, _)| number).collect::<Vec<_>>(), numbers);
        passage.take_all(|_| panic!("nothing is left"), || ());
    }

    #[test]
    fn a_worker_who_lingers_needs_no_word_and_one_who_is_gone_does() {
        let passage = passage("");
        let lingered = || {
            let (tell, told) = channel();
            let (_first, word) = passage.hand_over(request("a"));
            assert!(word.is_some(), "all sleep");
            std::thread::scope(|scope| {
                scope.spawn(|| passage.take_all(|taken| drop(tell.send(taken.request().target.clone())), || ()));
                told.recv().unwrap();
                let (_second, word) = passage.hand_over(request("b"));
                // Unless this thread was held up for so long that it has gone.
                let was_there = word.is_none();
                assert_eq!(told.recv_timeout(LINGER).is_ok(), was_there);
                was_there
            })
        };
        assert!((0..100).any(|_| lingered()));
    }

    #[test]
    fn whoever_waits_for_something_is_replaced_and_what_waits_for_long_is_called_for() {
        let passage = passage("");
        passage.sleeps();
        let mut tickets = Vec::new();
        let mut hand_over = || {
            let (ticket, word) = passage.hand_over(request("a"));
            tickets.push(ticket);
            word.is_some()
        };
        assert!(hand_over());
        let mut is_first = true;
        let answer = |_| {
            if std::mem::take(&mut is_first) {
                assert!(!passage.leaves(), "there is nothing to take");
                assert!(hand_over(), "nobody would take it");
                assert!(!hand_over(), "nobody else sleeps");
                passage.is_back();
                assert_eq!(passage.call_for_all(), Some(Vec::new()), "nobody can come who is not on the way");
            }
        };
        passage.take_all(answer, || ());
        assert_eq!(passage.call_for_all(), None, "nothing waits");
    }

    #[test]
    fn whoever_is_always_busy_listens_now_and_then() {
        let passage = passage("");
        let again = || drop(passage.hand_over(request("a")));
        let (begun, ticket, listened) = (Instant::now(), passage.hand_over(request("a")).0, Cell::new(false));
        let mut kept = Vec::from([ticket]);
        let answer = |_| {
            if !listened.get() {
                assert!(begun.elapsed() < Duration::from_secs(10), "nobody listened");
                kept.push(passage.hand_over(request("a")).0);
                again();
            }
        };
        passage.take_all(answer, || listened.set(true));
        assert!(listened.get() && begun.elapsed() >= LINGER);
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
