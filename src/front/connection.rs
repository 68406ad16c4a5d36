//! One client: handshake, head, body, reply, and round again; each step with an absolute deadline.

use super::backend::{OVERDUE, Pending};
use super::body::BodyReader;
use super::clients::ClientId;
use super::head::{Head, HeadScanner};
use super::known::KnownAddresses;
use super::peers::Candidate;
use super::proxies::Proxies;
use super::refusal::Refusal;
use super::stream::{Fill, Stream, has_ended};
use super::turns::Standing;
use crate::clock::later;
use crate::http::{Door, Reply};
use crate::identifier::Peer;
use crate::metrics;
use mio::net::TcpStream;
use rustls::ServerConnection;
use std::net::{IpAddr, Shutdown};
use std::sync::Arc;
use std::time::{Duration, Instant};

const HANDSHAKE: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(75);
const HEAD: Duration = Duration::from_secs(10);
const BODY: Duration = Duration::from_secs(15);
const REPLY: Duration = Duration::from_secs(20);
/// How long a refused client is listened to, so that it can read the refusal before the connection is reset.
const LINGER: Duration = Duration::from_secs(2);
const MOST_LINGERING_BYTES: usize = 512 * 1024;
/// How far one client may go before others have their turn.
const STEPS_PER_TURN: usize = 8;

/// What the event loop has to do after a client was driven.
pub(super) enum Verdict {
    /// Wait for the next event or deadline.
    Keep,
    /// There may be more to read at once, but others have their turn first.
    Again,
    /// Hand this request on.
    Submit(Pending),
    /// Close and forget it.
    Close,
}

pub(super) struct Client {
    pub(super) id: ClientId,
    pub(super) peer: Peer,
    pub(super) deadline: Instant,
    address: IpAddr,
    /// Where it is a proxy that says for whom it asks.
    proxies: Option<Arc<Proxies>>,
    pub(super) door: Door,
    stream: Stream,
    phase: Phase,
    since: Instant,
    /// How many requests were answered.
    pub(super) answered: u64,
    /// Whether it was seen to ask for more before it was answered, as no ACME client does. It counts as a stranger then.
    is_hasty: bool,
    /// Whether it waits for its turn to be driven.
    pub(super) is_due: bool,
}

enum Phase {
    Handshake,
    Head(HeadScanner),
    Body(Box<(Head, BodyReader)>),
    /// A worker has the request; whether the connection stays after it, and whether that has to be said.
    Answering {
        /// Who sent it, if it is signed.
        signed_by: Option<Peer>,
        keep_alive: bool,
        say_keep_alive: bool,
    },
    Reply {
        keep_alive: bool,
    },
    Linger {
        heard: usize,
    },
}

impl Client {
    pub(super) fn new(
        id: ClientId,
        socket: TcpStream,
        address: std::net::SocketAddr,
        door: Door,
        tls: Option<ServerConnection>,
        proxies: Option<Arc<Proxies>>,
    ) -> Client {
        let now = Instant::now();
        let (phase, time) = match tls {
            Some(_) => (Phase::Handshake, HANDSHAKE),
            None => (Phase::Head(HeadScanner::default()), IDLE),
        };
        Client {
            id,
            peer: Peer::of(address.ip()),
            deadline: later(now, time),
            address: address.ip(),
            proxies,
            door,
            stream: Stream::new(socket, tls),
            phase,
            since: now,
            answered: 0,
            is_hasty: false,
            is_due: false,
        }
    }

    /// A client that cannot be served by TLS, since there is no certificate yet; it is told so and closed.
    pub(super) fn without_certificate(id: ClientId, socket: TcpStream, address: std::net::SocketAddr) -> Client {
        // RFC 8446, 6: an alert record with the fatal alert handshake_failure.
        const HANDSHAKE_FAILURE: [u8; 7] = [21, 3, 3, 0, 2, 2, 40];
        let mut client = Client::new(id, socket, address, Door::Tls, None, None);
        client.stream.send(HANDSHAKE_FAILURE.to_vec());
        client.enter(Phase::Reply { keep_alive: false }, REPLY);
        client
    }

    pub(super) fn socket(&mut self) -> &mut TcpStream {
        &mut self.stream.socket
    }

    /// Where it stands among those who are due. A proxy is nobody's stranger: for whom it asks, its requests say.
    pub(super) fn standing(&self, known: &KnownAddresses) -> Standing {
        let is_known = self.proxies.is_some() || known.contains(self.peer);
        Standing::new(is_known && !self.is_hasty, self.answered)
    }

    pub(super) fn is_proxied(&self) -> bool {
        self.proxies.is_some()
    }

    /// There is something to read, perhaps the last.
    pub(super) fn may_read(&mut self, is_last: bool) {
        self.stream.may_read(is_last);
    }

    /// Whether it has gone before it said a word.
    pub(super) fn has_left(&self) -> bool {
        self.is_idle() && self.stream.unread == 0 && has_ended(&self.stream.socket)
    }

    /// Whether it waits for a request to begin, so that it can be closed without loss.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Handshake | Phase::Head(_)) && self.stream.input.is_empty()
    }

    /// The bytes that it makes us hold.
    pub(super) fn held(&self) -> usize {
        let body = match &self.phase {
            Phase::Body(parts) => parts.1.len(),
            _ => 0,
        };
        self.stream.held().saturating_add(body)
    }

    pub(super) fn as_candidate(&self) -> Candidate {
        let answering = matches!(self.phase, Phase::Answering { .. });
        Candidate { slot: self.id.slot, peer: self.peer, answering, since: self.since }
    }

    /// Go on as far as the sockets allow.
    pub(super) fn drive(&mut self, known: &KnownAddresses) -> Verdict {
        match self.step(known) {
            Ok(verdict) => verdict,
            Err(e) => {
                log::debug!(address:% = self.address, error:% = e; "a connection ended");
                // rustls may have an alert to send.
                let _ = self.stream.flush();
                Verdict::Close
            }
        }
    }

    /// A worker has answered. Whose client it is when the answer accepts what an account signed.
    pub(super) fn answer(&mut self, outcome: Result<Reply, Refusal>) -> Option<Peer> {
        let Phase::Answering { signed_by, keep_alive, say_keep_alive } = self.phase else { return None };
        let is_accepted = matches!(&outcome, Ok(reply) if reply.bytes.starts_with(b"HTTP/1.1 20"));
        self.answered = self.answered.saturating_add(1);
        let asked = self.since;
        match outcome {
            Ok(reply) => {
                self.stream.send(match (keep_alive, say_keep_alive) {
                    (true, false) => reply.bytes,
                    (true, true) => with_field(reply, b"Connection: keep-alive\r\n"),
                    (false, _) => with_field(reply, b"Connection: close\r\n"),
                });
                self.enter(Phase::Reply { keep_alive }, REPLY);
            }
            Err(refusal) => self.refuse(refusal),
        }
        if let Some(answered) = metrics::ANSWERED.get(self.door.listener() as usize) {
            answered.took(self.since.saturating_duration_since(asked));
        }
        signed_by.filter(|_| is_accepted)
    }

    /// The deadline has passed.
    pub(super) fn overdue(&mut self) -> Verdict {
        match self.phase {
            // The request's own deadline is earlier and brings an answer, so this is a fault that must not last.
            Phase::Answering { .. } => {
                log::error!(address:% = self.address; "a request got no answer at all");
                Verdict::Close
            }
            _ => {
                self.close_politely();
                Verdict::Close
            }
        }
    }

    pub(super) fn close_politely(&mut self) {
        self.stream.send_close_notify();
        let _ = self.stream.flush();
    }

    fn step(&mut self, known: &KnownAddresses) -> std::io::Result<Verdict> {
        for _ in 0..STEPS_PER_TURN {
            let flushed = self.stream.flush()?;
            match &mut self.phase {
                Phase::Handshake => {
                    if self.stream.is_handshaking() {
                        match self.stream.fill()? {
                            Fill::Some => {}
                            Fill::Blocked => return Ok(Verdict::Keep),
                            Fill::Ended => return Ok(Verdict::Close),
                        }
                    } else {
                        self.begin_request();
                    }
                }
                Phase::Head(scanner) => match scanner.scan(&self.stream.input) {
                    Err(refusal) => self.refuse(refusal),
                    Ok(Some((head, length))) => {
                        self.stream.input.drain(..length);
                        let reader = BodyReader::new(head.framing);
                        if head.expects_continue && !reader.is_done() && self.stream.input.is_empty() {
                            self.stream.output.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                        }
                        self.stream.unread = 0;
                        self.enter(Phase::Body(Box::new((head, reader))), BODY);
                    }
                    Ok(None) => {
                        let was_idle = self.stream.unread == 0;
                        match self.stream.fill()? {
                            // Bytes that rustls cannot make anything of yet are a beginning as well.
                            Fill::Some if was_idle && self.stream.unread > 0 => self.restart_clock(HEAD),
                            Fill::Some => {}
                            Fill::Blocked => return Ok(Verdict::Keep),
                            Fill::Ended => return Ok(Verdict::Close),
                        }
                    }
                },
                Phase::Body(parts) => {
                    let taken = parts.1.take(&self.stream.input);
                    match taken {
                        Err(refusal) => self.refuse(refusal),
                        Ok(used) => {
                            self.stream.input.drain(..used);
                            if parts.1.is_done() {
                                match self.submit_whole(known) {
                                    Some(request) => return Ok(Verdict::Submit(request)),
                                    None => continue,
                                }
                            }
                            match self.stream.fill()? {
                                Fill::Some => {}
                                Fill::Blocked => return Ok(Verdict::Keep),
                                Fill::Ended => return Ok(Verdict::Close),
                            }
                        }
                    }
                }
                Phase::Answering { .. } => return Ok(Verdict::Keep),
                Phase::Reply { keep_alive } => {
                    let keep_alive = *keep_alive;
                    if !flushed {
                        return Ok(Verdict::Keep);
                    }
                    if !keep_alive {
                        self.begin_lingering()?;
                    } else {
                        self.is_hasty |= !self.stream.input.is_empty();
                        self.begin_request();
                    }
                }
                Phase::Linger { heard } => {
                    *heard = heard.saturating_add(self.stream.input.len());
                    let heard = *heard;
                    self.stream.input = Vec::new();
                    if !flushed {
                        return Ok(Verdict::Keep);
                    }
                    if heard > MOST_LINGERING_BYTES {
                        return Ok(Verdict::Close);
                    }
                    match self.stream.fill()? {
                        Fill::Some => {}
                        Fill::Blocked => return Ok(Verdict::Keep),
                        Fill::Ended => return Ok(Verdict::Close),
                    }
                }
            }
        }
        Ok(Verdict::Again)
    }

    /// Hand on the request that was read, unless nobody knows for whom its proxy asks.
    fn submit_whole(&mut self, known: &KnownAddresses) -> Option<Pending> {
        let whole = std::mem::replace(&mut self.phase, Phase::Linger { heard: 0 });
        let Phase::Body(parts) = whole else { return None };
        let (head, body) = (parts.0, parts.1.into_body());
        let asker = match &self.proxies {
            Some(proxies) => proxies.client(self.address, &head.hops),
            None => Ok(self.address),
        };
        match asker {
            Ok(asker) => Some(self.submit(head, body, asker, known)),
            Err(refusal) => {
                self.refuse(refusal);
                None
            }
        }
    }

    fn submit(&mut self, head: Head, body: Vec<u8>, asker: IpAddr, known: &KnownAddresses) -> Pending {
        let peer = Peer::of(asker);
        if self.stream.input.is_empty() {
            self.stream.input = Vec::new();
        }
        let phase = Phase::Answering {
            // Over TLS nothing else is posted (RFC 8555, 6.2).
            signed_by: (self.door == Door::Tls && head.method == "POST").then_some(peer),
            keep_alive: head.keep_alive,
            say_keep_alive: head.is_http_10 && head.keep_alive,
        };
        self.enter(phase, OVERDUE.saturating_mul(2));
        Pending {
            client: self.id,
            peer,
            standing: Standing::new(known.contains(peer) && !self.is_hasty, self.answered),
            deadline: later(Instant::now(), OVERDUE),
            request: head.into_request(body, asker, self.door),
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        metrics::count(&metrics::TURNED_AWAY, refusal.turned() as usize);
        self.stream.output.extend_from_slice(&refusal.to_bytes());
        self.enter(Phase::Reply { keep_alive: false }, REPLY);
    }

    fn begin_lingering(&mut self) -> std::io::Result<()> {
        self.stream.send_close_notify();
        self.stream.flush()?;
        let _ = self.stream.socket.shutdown(Shutdown::Write);
        self.enter(Phase::Linger { heard: 0 }, LINGER);
        Ok(())
    }

    /// Wait for a head. One that has begun already, with the end of a handshake or behind the request before, has the
    /// time of a head and not that of an idle connection.
    fn begin_request(&mut self) {
        self.stream.unread = self.stream.input.len();
        let time = if self.stream.input.is_empty() { IDLE } else { HEAD };
        self.enter(Phase::Head(HeadScanner::default()), time);
    }

    fn enter(&mut self, phase: Phase, time: Duration) {
        self.phase = phase;
        self.restart_clock(time);
    }

    fn restart_clock(&mut self, time: Duration) {
        self.since = Instant::now();
        self.deadline = later(self.since, time);
    }
}

/// The reply with one more field at the end of its head.
fn with_field(Reply { mut bytes, head }: Reply, field: &[u8]) -> Vec<u8> {
    let at = head.saturating_sub(2).min(bytes.len());
    bytes.splice(at..at, field.iter().copied());
    bytes
}
