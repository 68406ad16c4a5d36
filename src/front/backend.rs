//! The connections to tiny_http: a fixed number, kept, each for one request at a time. By them goes a word where a worker has to
//! be woken; the requests themselves and their replies pass in memory. They are opened one by one, with an answer on each before
//! the next, at the start and at each reopening: opened together, some are never served, since its thread pool races. One that
//! breaks or is overdue is closed and never used again.

use super::clients::ClientId;
use super::pace::Pace;
use super::refusal::Refusal;
use super::turns::Standing;
use super::waiting::Waiting;
use crate::clock::later;
use crate::http::{PATIENCE, Passage, Renewal, Reply, Request, Ticket};
use crate::identifier::Peer;
use mio::net::UnixStream;
use mio::{Interest, Registry, Token};
use std::io::{ErrorKind, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a request may take, from its end to its answer.
pub(super) const OVERDUE: Duration = Duration::from_secs(25);
const PROBE: Duration = Duration::from_secs(2);
/// When it is seen whether a request still waits that somebody was called for.
const CALLED: Duration = Duration::from_millis(10);
const BETWEEN_RENEWALS: Duration = Duration::from_secs(5);
/// To a probe, in bytes.
const LONGEST_ANSWER: usize = 4 * 1024;
/// One worker in so many may be busy with strangers: twice as many as wait for a slow disk, so that others of them read.
const PART_OF_STRANGERS: usize = 2;

/// A request on its way to a worker.
pub(super) struct Pending {
    pub(super) client: ClientId,
    pub(super) peer: Peer,
    pub(super) standing: Standing,
    /// When the client gets an answer at the latest.
    pub(super) deadline: Instant,
    pub(super) request: Request,
}

impl Pending {
    /// What it takes, in bytes, beside what every request does.
    pub(super) fn size(&self) -> usize {
        let Request { body, target, content_type, .. } = &self.request;
        [body.capacity(), target.capacity(), content_type.as_ref().map_or(0, String::capacity)].iter().sum()
    }
}

/// What became of a request.
pub(super) type Outcome = (ClientId, Result<Reply, Refusal>);

pub(super) struct Backends {
    socket: PathBuf,
    first_token: usize,
    connections: Vec<Connection>,
    passage: Arc<Passage>,
    waiting: Waiting,
    /// Of handing requests to workers.
    pace: Pace,
    renewal: Renewal,
    /// When the application may be begun anew at the earliest; never before it has been there as a whole.
    may_renew: Option<Instant>,
    /// When it is seen whether requests that were handed over have been taken.
    look: Option<Instant>,
}

enum Connection {
    Closed,
    Open { stream: UnixStream, work: Work },
}

enum Work {
    Idle,
    Probing(Exchange),
    Answering { client: ClientId, ticket: Ticket, is_known: bool, since: Instant, exchange: Exchange },
}

impl Work {
    fn is_for(&self, number: u64) -> bool {
        matches!(self, Work::Answering { ticket, .. } if ticket.number() == number)
    }
}

/// What is written to tiny_http, and the answer to a probe.
struct Exchange {
    out: Vec<u8>,
    sent: usize,
    answer: Vec<u8>,
    deadline: Instant,
}

impl Backends {
    pub(super) fn new(
        socket: PathBuf,
        count: usize,
        first_token: usize,
        passage: Arc<Passage>,
        renewal: Renewal,
        pace: Pace,
    ) -> Backends {
        let connections = (0..count).map(|_| Connection::Closed).collect();
        let waiting = Waiting::default();
        Backends { socket, first_token, connections, passage, waiting, pace, renewal, may_renew: None, look: None }
    }

    /// Whether a token is one of these connections'.
    pub(super) fn owns(&self, token: Token) -> bool {
        token.0.checked_sub(self.first_token).is_some_and(|at| at < self.connections.len())
    }

    /// Whether every connection has answered its probe.
    pub(super) fn is_ready(&self) -> bool {
        self.connections.iter().all(|c| matches!(c, Connection::Open { work: Work::Idle | Work::Answering { .. }, .. }))
    }

    /// Open the next connection, unless one is just being tried. A request that waits may go by it at once.
    pub(super) fn open_next(&mut self, registry: &Registry, outcomes: &mut Vec<Outcome>) {
        let probing = self.connections.iter().any(|c| matches!(c, Connection::Open { work: Work::Probing(_), .. }));
        let Some(at) = self.connections.iter().position(|c| matches!(c, Connection::Closed)).filter(|_| !probing)
        else {
            return;
        };
        let token = Token(self.first_token.saturating_add(at));
        let opened = UnixStream::connect(&self.socket).and_then(|mut stream| {
            // That there is room to write is told with every request that tiny_http reads.
            registry.register(&mut stream, token, Interest::READABLE)?;
            Ok(stream)
        });
        match opened {
            Ok(stream) => {
                let exchange = Exchange::new(self.passage.probe(), later(Instant::now(), PROBE));
                if let Some(place) = self.connections.get_mut(at) {
                    *place = Connection::Open { stream, work: Work::Probing(exchange) };
                }
                self.begin(at, registry, outcomes);
            }
            // Nobody listens there.
            Err(e) if matches!(e.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound) => {
                self.renew(&e, registry)
            }
            // Out of descriptors, which the door tells of when it meets it: some client will go.
            Err(e) => log::debug!(error:% = e; "a connection to the HTTP workers could not be opened"),
        }
    }

    /// From now on an application that accepts nothing is begun anew.
    pub(super) fn renew_from_now_on(&mut self) {
        self.may_renew = Some(Instant::now());
    }

    /// The application accepts nothing any more. What it answers still goes on; in a moment when nobody waits for an answer
    /// it is begun anew.
    fn renew(&mut self, why: &std::io::Error, registry: &Registry) {
        let is_answering = |c: &Connection| matches!(c, Connection::Open { work: Work::Answering { .. }, .. });
        let Some(when) = self.may_renew.filter(|when| *when <= Instant::now()) else { return };
        if self.connections.iter().any(is_answering) {
            return;
        }
        self.may_renew = Some(later(when.max(Instant::now()), BETWEEN_RENEWALS));
        // None of these is anybody's.
        let mut nobody = Vec::new();
        (0..self.connections.len()).for_each(|at| self.close(at, registry, &mut nobody));
        match self.renewal.renew() {
            Ok(()) => log::warn!(why:% = why; "no connection to the HTTP workers could be opened, so they begin anew"),
            Err(e) => {
                log::error!(why:% = why, error:% = e; "no connection to the HTTP workers can be opened, nor can they begin anew")
            }
        }
    }

    /// Hand a request to an idle connection, or let it wait; whatever there is no room for is refused.
    pub(super) fn submit(&mut self, pending: Pending, registry: &Registry, outcomes: &mut Vec<Outcome>) {
        // Those who wait go before a stranger who comes now.
        self.hand_on(registry, outcomes);
        let at_once = pending.standing.is_known || (self.waiting.is_empty() && self.has_room_for_strangers());
        match self.idle().filter(|_| at_once) {
            Some(at) => self.assign(at, pending, registry, outcomes),
            None => {
                let given_up = self.waiting.push(pending);
                outcomes.extend(given_up.into_iter().map(|pending| (pending.client, Err(Refusal::Busy))));
            }
        }
    }

    /// Hand on what waits for its turn.
    pub(super) fn hand_on(&mut self, registry: &Registry, outcomes: &mut Vec<Outcome>) {
        while !self.waiting.is_empty()
            && let Some(at) = self.idle()
            && let strangers_too = self.has_room_for_strangers()
            && let Some(next) = self.waiting.pop(strangers_too)
        {
            self.assign(at, next, registry, outcomes);
        }
    }

    /// Have workers called for requests that nobody has taken: those who were to may wait for something themselves.
    pub(super) fn call(&mut self, now: Instant, registry: &Registry, outcomes: &mut Vec<Outcome>) {
        if self.look.take_if(|look| *look <= now).is_none() {
            return;
        }
        let Some(words) = self.passage.call_for_all() else { return };
        self.look = Some(later(now, CALLED));
        for (number, word) in words {
            let is_of_it = |c: &Connection| matches!(c, Connection::Open { work, .. } if work.is_for(number));
            if let Some(at) = self.connections.iter().position(is_of_it)
                && let Some(Connection::Open { work: Work::Answering { exchange, .. }, .. }) =
                    self.connections.get_mut(at)
            {
                exchange.out.extend_from_slice(&word);
                self.begin(at, registry, outcomes);
            }
        }
    }

    /// How long what waits may wait if nothing happens, once all that could be was handed on.
    pub(super) fn patience(&self, now: Instant) -> Duration {
        let rest = self.pace.rest(now);
        let until_turn = if self.waiting.is_empty() || rest.is_zero() { Duration::MAX } else { rest };
        self.look.map_or(until_turn, |look| until_turn.min(look.saturating_duration_since(now)))
    }

    /// Forget what waits for a client that has gone.
    pub(super) fn forget(&mut self, client: ClientId) {
        self.waiting.forget(client);
    }

    /// A connection is readable or writable.
    pub(super) fn ready(&mut self, token: Token, registry: &Registry, outcomes: &mut Vec<Outcome>) {
        self.progress(token.0.saturating_sub(self.first_token), registry, outcomes);
    }

    /// Close what is overdue and reopen what is closed.
    pub(super) fn tick(&mut self, now: Instant, registry: &Registry, outcomes: &mut Vec<Outcome>) {
        for at in 0..self.connections.len() {
            let deadline = match self.connections.get(at) {
                Some(Connection::Open { work: Work::Probing(exchange) | Work::Answering { exchange, .. }, .. }) => {
                    exchange.deadline
                }
                _ => continue,
            };
            if now >= deadline {
                log::error!("an HTTP worker did not answer in time");
                self.close(at, registry, outcomes);
            }
        }
        let late = self.waiting.take_late(now);
        outcomes.extend(late.into_iter().map(|pending| (pending.client, Err(Refusal::Overdue))));
        self.open_next(registry, outcomes);
    }

    fn idle(&self) -> Option<usize> {
        self.connections.iter().position(|c| matches!(c, Connection::Open { work: Work::Idle, .. }))
    }

    /// Strangers keep a part of the workers busy at most, and while somebody known is served a part of the time.
    fn has_room_for_strangers(&self) -> bool {
        let is_strangers =
            |c: &&Connection| matches!(c, Connection::Open { work: Work::Answering { is_known: false, .. }, .. });
        let most = self.connections.len().div_ceil(PART_OF_STRANGERS);
        self.pace.lets_strangers(Instant::now()) && self.connections.iter().filter(is_strangers).count() < most
    }

    fn assign(&mut self, at: usize, pending: Pending, registry: &Registry, outcomes: &mut Vec<Outcome>) {
        if let Some(Connection::Open { work, .. }) = self.connections.get_mut(at) {
            let (now, is_known) = (Instant::now(), pending.standing.is_known);
            if is_known {
                self.pace.serves_known(now)
            } else {
                self.pace.begins(now)
            }
            let (ticket, word) = self.passage.hand_over(pending.request);
            let look = later(now, if word.is_none() { PATIENCE } else { CALLED });
            self.look = Some(self.look.map_or(look, |earlier| earlier.min(look)));
            let exchange = Exchange::new(word.unwrap_or_default(), pending.deadline);
            *work = Work::Answering { client: pending.client, ticket, is_known, since: now, exchange };
            self.begin(at, registry, outcomes);
        }
    }

    /// Send a word. The reply comes by the passage.
    fn begin(&mut self, at: usize, registry: &Registry, outcomes: &mut Vec<Outcome>) {
        let token = Token(self.first_token.saturating_add(at));
        let Some(Connection::Open { stream, work: Work::Probing(exchange) | Work::Answering { exchange, .. } }) =
            self.connections.get_mut(at)
        else {
            return;
        };
        let sent = exchange.send(stream).and_then(|all| match all {
            true => Ok(()),
            false => registry.reregister(stream, token, Interest::READABLE | Interest::WRITABLE),
        });
        if let Err(e) = sent {
            self.broken(at, &e, registry, outcomes);
        }
    }

    /// Write and read as far as it goes. By connections that answered their probe nothing comes back.
    fn progress(&mut self, at: usize, registry: &Registry, outcomes: &mut Vec<Outcome>) {
        let Some(Connection::Open { stream, work }) = self.connections.get_mut(at) else { return };
        let gone_on = match work {
            Work::Probing(exchange) => exchange.run(stream),
            Work::Answering { exchange, .. } => exchange.send(stream).and_then(|_| is_silent(stream)).map(|()| false),
            // If it ended, it is of no use any more.
            Work::Idle => is_silent(stream).map(|()| false),
        };
        match (gone_on, &work) {
            (Ok(false), _) => {}
            (Ok(true), _) => {
                *work = Work::Idle;
                self.open_next(registry, outcomes);
                self.hand_on(registry, outcomes);
            }
            (Err(_), Work::Idle) => self.close(at, registry, outcomes),
            (Err(e), _) => self.broken(at, &e, registry, outcomes),
        }
    }

    /// What workers have answered; each makes room for the next that waits.
    pub(super) fn take_replies(&mut self, registry: &Registry, outcomes: &mut Vec<Outcome>) {
        for (number, reply) in self.passage.take_replies() {
            // One that was overdue has been closed.
            let Some(Work::Answering { client, is_known, since, .. }) = end_of(&mut self.connections, number) else {
                continue;
            };
            let now = Instant::now();
            if is_known {
                self.pace.serves_known(now);
            } else {
                self.pace.took(now, now.saturating_duration_since(since));
            }
            outcomes.push((client, Ok(reply)));
            self.hand_on(registry, outcomes);
        }
    }

    fn broken(&mut self, at: usize, why: &std::io::Error, registry: &Registry, outcomes: &mut Vec<Outcome>) {
        log::error!(error:% = why; "a connection to the HTTP workers broke");
        self.close(at, registry, outcomes);
    }

    fn close(&mut self, at: usize, registry: &Registry, outcomes: &mut Vec<Outcome>) {
        let Some(place) = self.connections.get_mut(at) else { return };
        if let Connection::Open { mut stream, work } = std::mem::replace(place, Connection::Closed) {
            let _ = registry.deregister(&mut stream);
            if let Work::Answering { client, .. } = work {
                outcomes.push((client, Err(Refusal::Overdue)));
            }
        }
    }
}

/// Let the connection be idle by which the word for a request went: what it was at.
fn end_of(connections: &mut [Connection], number: u64) -> Option<Work> {
    connections.iter_mut().find_map(|connection| {
        let Connection::Open { work, .. } = connection else { return None };
        work.is_for(number).then(|| std::mem::replace(work, Work::Idle))
    })
}

/// Nothing comes by this connection, and it has not ended.
fn is_silent(stream: &mut UnixStream) -> std::io::Result<()> {
    match stream.read(&mut [0u8; 1]) {
        Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(()),
        Err(e) => Err(e),
        Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
        Ok(_) => Err(std::io::Error::other("it says something that nobody asked for")),
    }
}

impl Exchange {
    fn new(out: Vec<u8>, deadline: Instant) -> Exchange {
        Exchange { out, sent: 0, answer: Vec::new(), deadline }
    }

    /// Whether a probe is sent and answered.
    fn run(&mut self, stream: &mut UnixStream) -> std::io::Result<bool> {
        Ok(self.send(stream)? && self.receive(stream)?)
    }

    /// Whether all is sent.
    fn send(&mut self, stream: &mut UnixStream) -> std::io::Result<bool> {
        while let Some(rest) = self.out.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match stream.write(rest) {
                Ok(count) => self.sent = self.sent.saturating_add(count),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        self.out = Vec::new();
        self.sent = 0;
        Ok(true)
    }

    fn receive(&mut self, stream: &mut UnixStream) -> std::io::Result<bool> {
        let mut buffer = [0u8; 512];
        loop {
            // A probe's answer has no body.
            if self.answer.ends_with(b"\r\n\r\n") {
                return Ok(true);
            }
            if self.answer.len() > LONGEST_ANSWER {
                return Err(std::io::Error::other("an answer to no probe"));
            }
            match stream.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.answer.extend_from_slice(buffer.get(..count).unwrap_or_default()),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Door;

    #[test]
    fn a_reply_ends_the_work_for_its_own_request_and_a_late_one_nobodys() {
        let passage = Arc::new(Passage::new("secret".into()));
        let mut numbers = Vec::new();
        let mut answering = || {
            let [address, method, target] = ["192.0.2.1", "GET", "/"].map(str::to_owned);
            let request = Request { door: Door::Plain, address, method, target, content_type: None, body: Vec::new() };
            let (stream, _) = UnixStream::pair().unwrap();
            let (since, client, (ticket, word)) =
                (Instant::now(), ClientId { slot: 7, number: 1 }, passage.hand_over(request));
            numbers.push(ticket.number());
            let exchange = Exchange::new(word.unwrap_or_default(), since);
            Connection::Open { stream, work: Work::Answering { client, ticket, is_known: true, since, exchange } }
        };
        let gone = answering();
        let mut connections = [answering(), Connection::Closed, answering()];
        drop(gone);
        let [gone, first, second] = numbers.try_into().unwrap();
        assert!(end_of(&mut connections, gone).is_none());
        assert!(end_of(&mut connections, second).is_some_and(|work| work.is_for(second)));
        assert!(end_of(&mut connections, second).is_none(), "one request has one reply");
        assert!(matches!(&connections, [Connection::Open { work, .. }, _, _] if work.is_for(first)));
        assert!(end_of(&mut connections, first).is_some_and(|work| work.is_for(first)));
    }
}
