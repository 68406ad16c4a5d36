//! Questions to DNS servers: UDP, TCP when the answer did not fit (RFC 7766), CNAMEs followed.

use super::probe::Failure;
use crate::clock::later;
use crate::error::Class;
use crate::keys::random;
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, TYPE};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
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

    /// The records of several types, whose questions are under way at the same time.
    pub(super) fn lookup_all<const N: usize>(
        &self,
        name: &str,
        kinds: [TYPE; N],
        deadline: Instant,
    ) -> [Result<Vec<Record>, Failure>; N] {
        let first = |kind| self.servers.first().and_then(|server| Exchange::begin(*server, name, kind, deadline).ok());
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
            let exchange = match begun.take().map_or_else(|| Exchange::begin(*server, name, kind, deadline), Ok) {
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

/// A question that was sent to a server over UDP, and when its answer is too late.
struct Exchange {
    server: SocketAddr,
    socket: UdpSocket,
    id: u16,
    question: Vec<u8>,
    until: Instant,
    /// When everything about the name is too late.
    deadline: Instant,
}

impl Exchange {
    fn begin(server: SocketAddr, name: &str, kind: TYPE, deadline: Instant) -> std::io::Result<Exchange> {
        let id = random::<2>().map(u16::from_be_bytes).map_err(std::io::Error::other)?;
        let question = build_question(id, name, kind).map_err(std::io::Error::other)?;
        let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0))?;
        // Connected, so that the kernel drops what others send.
        socket.connect(server)?;
        socket.send(&question)?;
        Ok(Exchange { server, socket, id, question, until: deadline.min(later(Instant::now(), PER_SERVER)), deadline })
    }

    fn end(&self) -> Result<Vec<u8>, String> {
        let reply = self.receive().map_err(|e| format!("no answer ({e})"))?;
        let truncated = simple_dns::header_buffer::has_flags(&reply, PacketFlag::TRUNCATION).unwrap_or(false);
        if !truncated {
            return Ok(reply);
        }
        // Time of its own: this one's may have gone by while the other family was waited for.
        let until = self.deadline.min(later(Instant::now(), PER_SERVER));
        by_tcp(self.server, &self.question, until).map_err(|e| format!("no answer by TCP ({e})"))
    }

    fn receive(&self) -> std::io::Result<Vec<u8>> {
        let mut buffer = [0u8; 4096];
        let mut strays = 0usize;
        loop {
            let left = remaining(self.until);
            // What has come while another question was waited for is still good.
            self.socket.set_read_timeout(Some(*left.as_ref().unwrap_or(&Duration::from_millis(1))))?;
            let length = self.socket.recv(&mut buffer)?;
            let reply = buffer.get(..length).unwrap_or_default();
            if reply.get(..2) == Some(&self.id.to_be_bytes()) {
                return Ok(reply.to_vec());
            }
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
