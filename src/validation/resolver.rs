//! Addresses of names: from the DNS servers that were given, or from the system's resolver, so that a hosts file, mDNS
//! and search domains work.

use super::Failure;
use crate::error::{Class, Error, Result};
use crate::identifier::DnsName;
use crate::keys::random;
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, TYPE};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::sync::mpsc::{SyncSender, channel, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// getaddrinfo cannot be cancelled, so it has threads of its own, and late answers are dropped.
const SYSTEM_THREADS: usize = 16;
/// How many of them the names of one account may keep busy, so that its dead names hold up nobody else's.
const PER_ACCOUNT: usize = 4;
const PER_SERVER: Duration = Duration::from_secs(2);
const LONGEST_CNAME_CHAIN: usize = 8;

pub(super) enum Resolver {
    Servers(Vec<SocketAddr>),
    System(SystemResolver),
}

pub(super) struct SystemResolver {
    lookups: SyncSender<Lookup>,
    busy: Arc<Busy>,
}

struct Lookup {
    name: String,
    account: i64,
    /// Nobody waits for the answer after this moment.
    deadline: Instant,
    reply: SyncSender<std::io::Result<Vec<IpAddr>>>,
}

/// How many lookups each account has under way, whether anybody still waits for them or not.
#[derive(Default)]
struct Busy {
    counts: Mutex<HashMap<i64, usize>>,
    freed: Condvar,
}

impl Busy {
    /// Wait for room; false when there is none before the deadline.
    fn enter(&self, account: i64, deadline: Instant) -> bool {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let time = deadline.saturating_duration_since(Instant::now());
        let full = |counts: &mut HashMap<i64, usize>| counts.get(&account).is_some_and(|n| *n >= PER_ACCOUNT);
        let (mut counts, waited) =
            self.freed.wait_timeout_while(counts, time, full).unwrap_or_else(PoisonError::into_inner);
        if !waited.timed_out() {
            *counts.entry(account).or_default() += 1;
        }
        !waited.timed_out()
    }

    fn leave(&self, account: i64) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&account) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&account);
            }
        }
        self.freed.notify_all();
    }
}

impl Resolver {
    pub(super) fn start(servers: &[SocketAddr]) -> Result<Resolver> {
        if servers.is_empty() { start_system().map(Resolver::System) } else { Ok(Resolver::Servers(servers.to_vec())) }
    }

    /// The addresses of a name, IPv6 first; at least one.
    pub(super) fn addresses(
        &self,
        name: &DnsName,
        account: i64,
        deadline: Instant,
    ) -> std::result::Result<Vec<IpAddr>, Failure> {
        if name.is_localhost() {
            // RFC 6761, 6.3: whatever a name server might say.
            return Ok(vec![IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST)]);
        }
        let mut addresses = match self {
            Resolver::Servers(servers) => ask_servers(servers, name, deadline)?,
            Resolver::System(system) => system.ask(name, account, deadline)?,
        };
        addresses.sort_by_key(IpAddr::is_ipv4);
        addresses.dedup();
        if addresses.is_empty() {
            return Err(Failure::last(
                Class::Dns,
                format!("{name} has no address, neither A nor AAAA; add it to your DNS"),
            ));
        }
        Ok(addresses)
    }
}

fn start_system() -> Result<SystemResolver> {
    let (lookups, queue) = sync_channel::<Lookup>(256);
    let queue = Arc::new(Mutex::new(queue));
    let busy = Arc::new(Busy::default());
    for number in 0..SYSTEM_THREADS {
        let (queue, busy) = (Arc::clone(&queue), Arc::clone(&busy));
        let thread = std::thread::Builder::new().name(format!("resolver-{number}")).spawn(move || {
            loop {
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok(lookup) = next else { return };
                if Instant::now() < lookup.deadline {
                    let found = (lookup.name.as_str(), 0).to_socket_addrs().map(|all| all.map(|a| a.ip()).collect());
                    let _ = lookup.reply.send(found);
                }
                busy.leave(lookup.account);
            }
        });
        thread.map_err(|e| Error::unavailable(format!("a resolver thread cannot be started: {e}")))?;
    }
    Ok(SystemResolver { lookups, busy })
}

impl SystemResolver {
    fn ask(&self, name: &DnsName, account: i64, deadline: Instant) -> std::result::Result<Vec<IpAddr>, Failure> {
        let (reply, answer) = sync_channel(1);
        let late = || Failure::passing(Class::Dns, format!("the resolver did not answer in time for {name}"));
        if !self.busy.enter(account, deadline) {
            return Err(late());
        }
        let lookup = Lookup { name: name.to_string(), account, deadline, reply };
        if self.lookups.try_send(lookup).is_err() {
            self.busy.leave(account);
            return Err(late());
        }
        match answer.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Ok(addresses)) => Ok(addresses),
            Ok(Err(e)) => Err(Failure::passing(Class::Dns, format!("the address of {name} could not be found: {e}"))),
            Err(_) => Err(late()),
        }
    }
}

/// Both families are asked at once; one may fail as long as the other has an address.
fn ask_servers(servers: &[SocketAddr], name: &DnsName, deadline: Instant) -> std::result::Result<Vec<IpAddr>, Failure> {
    let (send, receive) = channel();
    let mut results = std::thread::scope(|scope| {
        for kind in [TYPE::AAAA, TYPE::A] {
            let send = send.clone();
            scope.spawn(move || send.send(follow(servers, name.as_str(), kind, deadline)));
        }
        drop(send);
        receive.iter().collect::<Vec<_>>()
    });
    let addresses: Vec<IpAddr> = results.iter().filter_map(|r| r.as_ref().ok()).flatten().copied().collect();
    let failure = results.iter().position(|r| r.is_err()).map(|at| results.swap_remove(at));
    match failure {
        Some(Err(failure)) if addresses.is_empty() => Err(failure),
        _ => Ok(addresses),
    }
}

/// Addresses of one family, along CNAMEs where the server did not follow them itself.
fn follow(
    servers: &[SocketAddr],
    name: &str,
    kind: TYPE,
    deadline: Instant,
) -> std::result::Result<Vec<IpAddr>, Failure> {
    let mut name = name.to_owned();
    for _ in 0..LONGEST_CNAME_CHAIN {
        match ask(servers, &name, kind, deadline)? {
            Answer::Addresses(addresses) => return Ok(addresses),
            Answer::Alias(alias) => name = alias,
        }
    }
    Err(Failure::last(Class::Dns, format!("{name}: the chain of CNAMEs is longer than {LONGEST_CNAME_CHAIN}")))
}

enum Answer {
    Addresses(Vec<IpAddr>),
    Alias(String),
}

fn ask(servers: &[SocketAddr], name: &str, kind: TYPE, deadline: Instant) -> std::result::Result<Answer, Failure> {
    let mut failure = Failure::passing(Class::Dns, format!("no DNS server was asked for {name} in time"));
    for server in servers {
        let until = deadline.min(Instant::now() + PER_SERVER);
        match query(*server, name, kind, until).and_then(|reply| read_answer(&reply, name, kind)) {
            Ok(answer) => return Ok(answer),
            Err(why) => {
                failure = Failure::passing(Class::Dns, format!("DNS server {server} for {kind:?} of {name}: {why}"))
            }
        }
    }
    Err(failure)
}

/// One question by UDP, and by TCP when the answer did not fit (RFC 7766).
fn query(server: SocketAddr, name: &str, kind: TYPE, until: Instant) -> std::result::Result<Vec<u8>, String> {
    let id = random::<2>().map(u16::from_be_bytes).map_err(|e| e.to_string())?;
    let question = build_question(id, name, kind)?;
    let reply = by_udp(server, &question, id, until).map_err(|e| format!("no answer ({e})"))?;
    let truncated = Packet::parse(&reply).is_ok_and(|p| p.has_flags(PacketFlag::TRUNCATION))
        || simple_dns::header_buffer::has_flags(&reply, PacketFlag::TRUNCATION).unwrap_or(false);
    if truncated { by_tcp(server, &question, until).map_err(|e| format!("no answer by TCP ({e})")) } else { Ok(reply) }
}

fn build_question(id: u16, name: &str, kind: TYPE) -> std::result::Result<Vec<u8>, String> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name).map_err(|e| e.to_string())?;
    packet.questions.push(Question::new(name, kind.into(), CLASS::IN.into(), false));
    packet.build_bytes_vec().map_err(|e| e.to_string())
}

fn by_udp(server: SocketAddr, question: &[u8], id: u16, until: Instant) -> std::io::Result<Vec<u8>> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    // Connected, so that the kernel drops what others send.
    socket.connect(server)?;
    socket.send(question)?;
    let mut buffer = [0u8; 4096];
    loop {
        socket.set_read_timeout(Some(remaining(until)?))?;
        let length = socket.recv(&mut buffer)?;
        let reply = buffer.get(..length).unwrap_or_default();
        if reply.get(..2) == Some(&id.to_be_bytes()) {
            return Ok(reply.to_vec());
        }
    }
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
            count => filled += count,
        }
    }
    Ok(())
}

fn remaining(until: Instant) -> std::io::Result<Duration> {
    let rest = until.saturating_duration_since(Instant::now());
    if rest.is_zero() { Err(std::io::ErrorKind::TimedOut.into()) } else { Ok(rest) }
}

fn read_answer(reply: &[u8], name: &str, kind: TYPE) -> std::result::Result<Answer, String> {
    let packet = Packet::parse(reply).map_err(|e| format!("an answer that cannot be understood ({e})"))?;
    let asked = packet.questions.first().is_some_and(|q| same_name(&q.qname, name) && q.qtype == kind.into());
    if !packet.has_flags(PacketFlag::RESPONSE) || !asked {
        return Err("an answer to another question".into());
    }
    match packet.rcode() {
        RCODE::NoError => {}
        RCODE::NameError => return Ok(Answer::Addresses(Vec::new())),
        other => return Err(format!("it answered {other:?}")),
    }
    // The records may stand in any order; each round finds the next name of the chain.
    let mut current = name.to_owned();
    for _ in 0..=LONGEST_CNAME_CHAIN {
        let of_current: Vec<&RData<'_>> =
            packet.answers.iter().filter(|r| same_name(&r.name, &current)).map(|r| &r.rdata).collect();
        let addresses: Vec<IpAddr> = of_current
            .iter()
            .filter_map(|data| match data {
                RData::A(a) => Some(IpAddr::V4(Ipv4Addr::from(a.address))),
                RData::AAAA(a) => Some(IpAddr::V6(Ipv6Addr::from(a.address))),
                _ => None,
            })
            .collect();
        if !addresses.is_empty() {
            return Ok(Answer::Addresses(addresses));
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
    if same_text(&current, name) { Ok(Answer::Addresses(Vec::new())) } else { Ok(Answer::Alias(current)) }
}

fn same_name(a: &Name<'_>, b: &str) -> bool {
    same_text(&a.to_string(), b)
}

fn same_text(a: &str, b: &str) -> bool {
    a.trim_end_matches('.').eq_ignore_ascii_case(b.trim_end_matches('.'))
}
