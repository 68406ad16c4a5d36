//! Questions to DNS servers: UDP, TCP when the answer did not fit (RFC 7766), CNAMEs followed.

use super::probe::Failure;
use crate::clock::later;
use crate::error::Class;
use crate::keys::random;
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, TYPE};
use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::rc::Rc;
use std::time::{Duration, Instant};

const PER_SERVER: Duration = Duration::from_secs(2);
const LONGEST_CNAME_CHAIN: usize = 8;
/// Datagrams with another id that are passed over after the time.
const MOST_STRAYS: usize = 16;

/// The servers that are asked, in turn until one answers.
pub(super) struct DnsClient {
    servers: Vec<SocketAddr>,
}

/// What a name can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    Address(IpAddr),
    /// The strings of a TXT record, joined.
    Text(Vec<u8>),
    Caa {
        critical: bool,
        tag: String,
        value: Vec<u8>,
    },
}

impl DnsClient {
    /// These servers, or those of /etc/resolv.conf.
    pub(super) fn new(servers: &[SocketAddr]) -> DnsClient {
        let servers = if servers.is_empty() { servers_of_the_system() } else { servers.to_vec() };
        DnsClient { servers }
    }

    /// The records of one type that a name has; none is an answer too.
    pub(super) fn lookup(&self, name: &str, kind: TYPE, deadline: Instant) -> Result<Vec<Record>, Failure> {
        self.lookup_from(None, name, kind, deadline)
    }

    /// The records of several types, whose questions are under way at the same time, by one socket.
    pub(super) fn lookup_all<const N: usize>(
        &self,
        name: &str,
        kinds: [TYPE; N],
        deadline: Instant,
    ) -> [Result<Vec<Record>, Failure>; N] {
        let wire = self.servers.first().and_then(|server| Wire::to(*server).ok()).map(Rc::new);
        let first = |kind| wire.as_ref().and_then(|wire| Exchange::begin(wire, name, kind, deadline).ok());
        kinds.map(|kind| (kind, first(kind))).map(|(kind, exchange)| self.lookup_from(exchange, name, kind, deadline))
    }

    /// `begun` is the first question to the first server.
    fn lookup_from(
        &self,
        mut begun: Option<Exchange>,
        name: &str,
        kind: TYPE,
        deadline: Instant,
    ) -> Result<Vec<Record>, Failure> {
        let mut current = name.to_owned();
        for _ in 0..LONGEST_CNAME_CHAIN {
            match self.ask(begun.take(), &current, kind, deadline)? {
                Answer::Records(records) => return Ok(records),
                Answer::Alias(alias) => current = alias,
            }
        }
        let why = format!("{name}: the chain of CNAMEs is longer than {LONGEST_CNAME_CHAIN}");
        Err(Failure::last(Class::Dns, why))
    }

    fn ask(&self, mut begun: Option<Exchange>, name: &str, kind: TYPE, deadline: Instant) -> Result<Answer, Failure> {
        let mut failure = None;
        for server in &self.servers {
            let context = |why: &str| format!("DNS server {server}, asked for {kind:?} of {name}: {why}");
            let anew = || Exchange::begin(&Rc::new(Wire::to(*server)?), name, kind, deadline);
            let exchange = match begun.take().map_or_else(anew, Ok) {
                Ok(exchange) => exchange,
                Err(e) => {
                    let why = context(&format!("it cannot be asked ({e})"));
                    failure = Some(Failure::of_system(Class::Dns, &e, why));
                    continue;
                }
            };
            match exchange.end().and_then(|reply| read_answer(&reply, name, kind)) {
                Ok(answer) => return Ok(answer),
                Err(why) => failure = Some(Failure::passing(Class::Dns, context(&why))),
            }
        }
        let nobody = || format!("no DNS server could be asked for {kind:?} of {name}");
        Err(failure.unwrap_or_else(|| Failure::passing(Class::Dns, nobody())))
    }
}

enum Answer {
    Records(Vec<Record>),
    Alias(String),
}

fn servers_of_the_system() -> Vec<SocketAddr> {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let mut words = text.lines().map(str::split_whitespace).filter_map(|mut line| Some((line.next()?, line.next()?)));
    let mut servers = Vec::new();
    for (_, address) in words.by_ref().filter(|(key, _)| *key == "nameserver") {
        servers.extend(address.parse::<IpAddr>().map(|address| SocketAddr::new(address, 53)));
    }
    servers
}

/// A way to a server over UDP, for several questions.
struct Wire {
    server: SocketAddr,
    socket: UdpSocket,
    /// The ids of the questions that were sent.
    asked: RefCell<Vec<u16>>,
    /// Answers that have come while others were waited for.
    strays: RefCell<Vec<Vec<u8>>>,
}

impl Wire {
    fn to(server: SocketAddr) -> std::io::Result<Wire> {
        let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0))?;
        // Connected, so that the kernel drops what others send.
        socket.connect(server)?;
        Ok(Wire { server, socket, asked: RefCell::default(), strays: RefCell::default() })
    }

    /// For a question; no other has it.
    fn fresh_id(&self) -> std::io::Result<u16> {
        let mut asked = self.asked.borrow_mut();
        loop {
            let id = random::<2>().map(u16::from_be_bytes).map_err(std::io::Error::other)?;
            if !asked.contains(&id) {
                asked.push(id);
                return Ok(id);
            }
        }
    }

    /// The answer with this id, if it has come while another was waited for.
    fn stray(&self, id: u16) -> Option<Vec<u8>> {
        let mut strays = self.strays.borrow_mut();
        let at = strays.iter().position(|stray| is_for(stray, id))?;
        Some(strays.swap_remove(at))
    }

    /// Keep an answer to a question that was sent; anything else is nobody's.
    fn keep(&self, stray: &[u8]) {
        let is_asked = self.asked.borrow().iter().any(|id| is_for(stray, *id));
        let mut strays = self.strays.borrow_mut();
        if is_asked && strays.len() < MOST_STRAYS {
            strays.push(stray.to_vec());
        }
    }
}

fn is_for(reply: &[u8], id: u16) -> bool {
    reply.get(..2) == Some(&id.to_be_bytes())
}

/// A question that was sent to a server over UDP, and when its answer is too late.
struct Exchange {
    wire: Rc<Wire>,
    id: u16,
    question: Vec<u8>,
    until: Instant,
    /// When everything about the name is too late.
    deadline: Instant,
}

impl Exchange {
    fn begin(wire: &Rc<Wire>, name: &str, kind: TYPE, deadline: Instant) -> std::io::Result<Exchange> {
        let id = wire.fresh_id()?;
        let question = build_question(id, name, kind).map_err(std::io::Error::other)?;
        wire.socket.send(&question)?;
        let until = deadline.min(later(Instant::now(), PER_SERVER));
        Ok(Exchange { wire: Rc::clone(wire), id, question, until, deadline })
    }

    fn end(&self) -> Result<Vec<u8>, String> {
        let reply = self.receive().map_err(|e| format!("no answer ({e})"))?;
        let truncated = simple_dns::header_buffer::has_flags(&reply, PacketFlag::TRUNCATION).unwrap_or(false);
        if !truncated {
            return Ok(reply);
        }
        // Time of its own: this one's may have gone by while the other family was waited for.
        let until = self.deadline.min(later(Instant::now(), PER_SERVER));
        by_tcp(self.wire.server, &self.question, until).map_err(|e| format!("no answer by TCP ({e})"))
    }

    fn receive(&self) -> std::io::Result<Vec<u8>> {
        let mut buffer = [0u8; 4096];
        let mut strays = 0usize;
        if let Some(reply) = self.wire.stray(self.id) {
            return Ok(reply);
        }
        loop {
            let left = remaining(self.until);
            // What has come while another question was waited for is still good.
            self.wire.socket.set_read_timeout(Some(*left.as_ref().unwrap_or(&Duration::from_millis(1))))?;
            let length = self.wire.socket.recv(&mut buffer)?;
            let reply = buffer.get(..length).unwrap_or_default();
            if is_for(reply, self.id) {
                return Ok(reply.to_vec());
            }
            self.wire.keep(reply);
            strays = strays.saturating_add(1);
            if strays > MOST_STRAYS {
                left?;
            }
        }
    }
}

fn build_question(id: u16, name: &str, kind: TYPE) -> Result<Vec<u8>, String> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name).map_err(|e| e.to_string())?;
    packet.questions.push(Question::new(name, kind.into(), CLASS::IN.into(), false));
    packet.build_bytes_vec().map_err(|e| e.to_string())
}

fn by_tcp(server: SocketAddr, question: &[u8], until: Instant) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, remaining(until)?)?;
    stream.set_write_timeout(Some(remaining(until)?))?;
    let length = u16::try_from(question.len()).map_err(std::io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), question].concat())?;
    let mut length = [0u8; 2];
    read_until(&mut stream, &mut length, until)?;
    let mut reply = vec![0; u16::from_be_bytes(length).into()];
    read_until(&mut stream, &mut reply, until)?;
    Ok(reply)
}

/// Fill the buffer before the deadline, however slowly the bytes drip.
fn read_until(stream: &mut TcpStream, buffer: &mut [u8], until: Instant) -> std::io::Result<()> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        stream.set_read_timeout(Some(remaining(until)?))?;
        match stream.read(rest)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => filled = filled.saturating_add(count),
        }
    }
    Ok(())
}

pub(super) fn remaining(until: Instant) -> std::io::Result<Duration> {
    let rest = until.saturating_duration_since(Instant::now());
    if rest.is_zero() { Err(std::io::ErrorKind::TimedOut.into()) } else { Ok(rest) }
}

fn read_answer(reply: &[u8], name: &str, kind: TYPE) -> Result<Answer, String> {
    check_counts(reply)?;
    let packet = Packet::parse(reply).map_err(|e| format!("an answer that cannot be understood ({e})"))?;
    let asked = packet.questions.first().is_some_and(|q| same_name(&q.qname, name) && q.qtype == kind.into());
    if !packet.has_flags(PacketFlag::RESPONSE) || !asked {
        return Err("an answer to another question".into());
    }
    if packet.has_flags(PacketFlag::TRUNCATION) {
        return Err("an answer that is truncated".into());
    }
    match packet.rcode() {
        RCODE::NoError => {}
        RCODE::NameError => return Ok(Answer::Records(Vec::new())),
        other => return Err(format!("it answered {other:?}")),
    }
    // The records may stand in any order; each round finds the next name of the chain.
    let mut current = name.to_owned();
    for _ in 0..=LONGEST_CNAME_CHAIN {
        let of_current: Vec<&RData<'_>> =
            packet.answers.iter().filter(|r| same_name(&r.name, &current)).map(|r| &r.rdata).collect();
        let records: Vec<Record> = of_current.iter().filter_map(|data| record(data, kind)).collect();
        if !records.is_empty() {
            return Ok(Answer::Records(records));
        }
        let alias = of_current.iter().find_map(|data| match data {
            RData::CNAME(alias) => Some(alias.0.to_string()),
            _ => None,
        });
        match alias {
            Some(alias) => current = alias,
            None => break,
        }
    }
    if same_text(&current, name) { Ok(Answer::Records(Vec::new())) } else { Ok(Answer::Alias(current)) }
}

/// The head says how many records follow, and room is made for as many before they are read: no more may be promised
/// than there can be.
fn check_counts(reply: &[u8]) -> Result<(), String> {
    const HEAD: usize = 12;
    const SMALLEST_QUESTION: usize = 5;
    const SMALLEST_RECORD: usize = 11;
    let mut counts = reply.as_chunks::<2>().0.iter().skip(2).map(|count| usize::from(u16::from_be_bytes(*count)));
    let mut next = || counts.next().unwrap_or(0);
    let (questions, answers, authorities, additional) = (next(), next(), next(), next());
    let records = answers.saturating_add(authorities).saturating_add(additional).saturating_mul(SMALLEST_RECORD);
    let least = questions.saturating_mul(SMALLEST_QUESTION).saturating_add(records).saturating_add(HEAD);
    if least <= reply.len() { Ok(()) } else { Err("an answer that counts more records than it has".into()) }
}

fn record(data: &RData<'_>, kind: TYPE) -> Option<Record> {
    match (data, kind) {
        (RData::A(a), TYPE::A) => Some(Record::Address(IpAddr::V4(Ipv4Addr::from(a.address)))),
        (RData::AAAA(a), TYPE::AAAA) => Some(Record::Address(IpAddr::V6(Ipv6Addr::from(a.address)))),
        (RData::TXT(text), TYPE::TXT) => {
            // Each string comes apart at its first '='; together they are as they were.
            let joined = text.iter_raw().flat_map(|(key, value)| match value {
                Some(value) => [key, b"=", value].concat(),
                None => key.to_vec(),
            });
            Some(Record::Text(joined.collect()))
        }
        (RData::CAA(caa), TYPE::CAA) => Some(Record::Caa {
            critical: caa.flag & 0x80 != 0,
            tag: caa.tag.to_string().to_ascii_lowercase(),
            value: caa.value.to_vec(),
        }),
        _ => None,
    }
}

fn same_name(a: &Name<'_>, b: &str) -> bool {
    same_text(&a.to_string(), b)
}

fn same_text(a: &str, b: &str) -> bool {
    a.trim_end_matches('.').eq_ignore_ascii_case(b.trim_end_matches('.'))
}

#[cfg(fuzzing)]
pub(super) fn read_any_answer(reply: &[u8]) {
    for kind in [TYPE::A, TYPE::AAAA, TYPE::TXT, TYPE::CAA] {
        let _ = read_answer(reply, "acme.com", kind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reply without records.
    fn nothing(question: &[u8]) -> Vec<u8> {
        Packet::parse(question).unwrap().into_reply().build_bytes_vec().unwrap()
    }

    #[test]
    fn answers_by_one_socket_may_come_in_any_order() {
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = server.local_addr().unwrap();
        let answering = std::thread::spawn(move || {
            let asked = [(); 2].map(|()| {
                let mut question = [0; 512];
                let (length, client) = server.recv_from(&mut question).unwrap();
                (nothing(&question[..length]), client)
            });
            assert_eq!(asked[0].1, asked[1].1, "one socket");
            for (reply, client) in asked.iter().rev() {
                // As many as are passed over, and nobody's.
                let taken = asked.each_ref().map(|(reply, _)| [reply[0], reply[1]]);
                let foreign = (0..=u16::MAX).map(u16::to_be_bytes).filter(|id| !taken.contains(id));
                for id in foreign.take(MOST_STRAYS) {
                    server.send_to(&[&id, &reply[2..]].concat(), client).unwrap();
                }
                server.send_to(reply, client).unwrap();
            }
        });
        let client = DnsClient::new(&[address]);
        let found = client.lookup_all("host.lan", [TYPE::AAAA, TYPE::A], later(Instant::now(), PER_SERVER * 3));
        for records in found {
            assert_eq!(records.map_err(|e| e.error.to_string()), Ok(Vec::new()));
        }
        answering.join().unwrap();
    }

    #[test]
    fn no_two_questions_have_one_id() {
        let wire = Wire::to((Ipv4Addr::LOCALHOST, 53).into()).unwrap();
        wire.asked.borrow_mut().extend((0..=u16::MAX).filter(|id| *id != 7));
        assert_eq!(wire.fresh_id().unwrap(), 7);
    }
}
