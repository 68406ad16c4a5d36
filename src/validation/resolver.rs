//! Addresses of names: from the DNS servers that were given, or from the system's resolver, so that a hosts file, mDNS
//! and search domains work.

use super::dns::{DnsClient, Record};
use super::probe::Failure;
use crate::error::{Class, Error, Result};
use crate::identifier::DnsName;
use simple_dns::TYPE;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

/// getaddrinfo cannot be cancelled, so it has threads of its own, and late answers are dropped.
const SYSTEM_THREADS: usize = 16;
/// How many of them the names of one account may keep busy, so that its dead names hold up nobody else's.
const PER_ACCOUNT: usize = 4;

pub(super) struct Resolver {
    /// For TXT and CAA always, for addresses where servers were given.
    pub(super) dns: DnsClient,
    system: Option<SystemResolver>,
}

struct SystemResolver {
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
            let count = counts.entry(account).or_default();
            *count = count.saturating_add(1);
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
        let system = if servers.is_empty() { Some(start_system()?) } else { None };
        Ok(Resolver { dns: DnsClient::new(servers), system })
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
        let mut addresses = match &self.system {
            Some(system) => system.ask(name, account, deadline)?,
            None => self.ask_servers(name, deadline)?,
        };
        addresses.sort_by_key(IpAddr::is_ipv4);
        addresses.dedup();
        if addresses.is_empty() {
            let why = format!("{name} has no address, neither A nor AAAA; add it to your DNS");
            return Err(Failure::last(Class::Dns, why));
        }
        Ok(addresses)
    }

    /// Both families are asked at once; one may fail as long as the other has an address.
    fn ask_servers(&self, name: &DnsName, deadline: Instant) -> std::result::Result<Vec<IpAddr>, Failure> {
        let results = self.dns.lookup_all(name.as_str(), [TYPE::AAAA, TYPE::A], deadline);
        let (mut addresses, mut failure) = (Vec::new(), None);
        for result in results {
            match result {
                Ok(records) => addresses.extend(records.iter().filter_map(|r| match r {
                    Record::Address(address) => Some(*address),
                    _ => None,
                })),
                Err(e) => failure = Some(e),
            }
        }
        match failure {
            Some(failure) if addresses.is_empty() => Err(failure),
            _ => Ok(addresses),
        }
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
            Ok(Err(e)) => {
                let why = format!("the address of {name} could not be found: {e}");
                Err(Failure::of_system(Class::Dns, &e, why))
            }
            Err(_) => Err(late()),
        }
    }
}
