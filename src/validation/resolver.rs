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
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
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
    under_way: Arc<UnderWay>,
    busy: Arc<Busy>,
}

/// A name that is asked for by an account.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Lookup {
    name: String,
    account: i64,
}

type Found = std::result::Result<Vec<IpAddr>, Arc<std::io::Error>>;

/// Who waits for the answer of a lookup, and until when.
struct Waiting {
    until: Instant,
    replies: Vec<SyncSender<Found>>,
}

impl Waiting {
    fn add(&mut self, deadline: Instant, reply: &SyncSender<Found>) {
        self.until = deadline.max(self.until);
        self.replies.push(reply.clone());
    }
}

/// The lookups that threads have or will have. Whoever asks for the same again, as a validator does when the time of whoever
/// asked was too short, waits for the same answer.
#[derive(Default)]
struct UnderWay(Mutex<HashMap<Lookup, Waiting>>);

impl UnderWay {
    fn lookups(&self) -> MutexGuard<'_, HashMap<Lookup, Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wait with others for a lookup. False when there is none.
    fn join(&self, lookup: &Lookup, deadline: Instant, reply: &SyncSender<Found>) -> bool {
        self.lookups().get_mut(lookup).map(|waiting| waiting.add(deadline, reply)).is_some()
    }

    /// The same, and true when there was none, so that it has to be begun.
    fn begin(&self, lookup: &Lookup, deadline: Instant, reply: &SyncSender<Found>) -> bool {
        let mut lookups = self.lookups();
        let waiting = lookups.entry(lookup.clone()).or_insert(Waiting { until: deadline, replies: Vec::new() });
        waiting.add(deadline, reply);
        waiting.replies.len() == 1
    }

    /// Until when somebody waits for the answer.
    fn deadline(&self, lookup: &Lookup) -> Option<Instant> {
        self.lookups().get(lookup).map(|waiting| waiting.until)
    }

    /// Tell whoever waits, if there is anything to tell.
    fn end(&self, lookup: &Lookup, found: Option<Found>) {
        let replies = self.lookups().remove(lookup).map(|waiting| waiting.replies).unwrap_or_default();
        for (reply, found) in replies.into_iter().zip(found.into_iter().cycle()) {
            let _ = reply.send(found);
        }
    }
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
        let system = if servers.is_empty() { Some(SystemResolver::start(getaddrinfo)?) } else { None };
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

/// How the system is asked.
type AskSystem = fn(&str) -> std::io::Result<Vec<IpAddr>>;

fn getaddrinfo(name: &str) -> std::io::Result<Vec<IpAddr>> {
    Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}

impl SystemResolver {
    fn start(ask: AskSystem) -> Result<SystemResolver> {
        let (lookups, queue) = sync_channel::<Lookup>(256);
        let queue = Arc::new(Mutex::new(queue));
        let (under_way, busy) = (Arc::new(UnderWay::default()), Arc::new(Busy::default()));
        for number in 0..SYSTEM_THREADS {
            let (queue, under_way, busy) = (Arc::clone(&queue), Arc::clone(&under_way), Arc::clone(&busy));
            let thread = std::thread::Builder::new().name(format!("resolver-{number}")).spawn(move || {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(lookup) = next else { return };
                    let is_late = under_way.deadline(&lookup).is_none_or(|until| Instant::now() >= until);
                    let found = (!is_late).then(|| ask(&lookup.name).map_err(Arc::new));
                    under_way.end(&lookup, found);
                    busy.leave(lookup.account);
                }
            });
            thread.map_err(|e| Error::unavailable(format!("a resolver thread cannot be started: {e}")))?;
        }
        Ok(SystemResolver { lookups, under_way, busy })
    }

    fn ask(&self, name: &DnsName, account: i64, deadline: Instant) -> std::result::Result<Vec<IpAddr>, Failure> {
        let (reply, answer) = sync_channel(1);
        let late = || Failure::passing(Class::Dns, format!("the resolver did not answer in time for {name}"));
        let lookup = Lookup { name: name.to_string(), account };
        if !self.under_way.join(&lookup, deadline, &reply) {
            if !self.busy.enter(account, deadline) {
                return Err(late());
            }
            if !self.under_way.begin(&lookup, deadline, &reply) {
                self.busy.leave(account);
            } else if self.lookups.try_send(lookup.clone()).is_err() {
                self.under_way.end(&lookup, None);
                self.busy.leave(account);
                return Err(late());
            }
        }
        drop(reply);
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// As where the first name server is dead: whoever has little time begins the lookup, and whoever has more gets its answer.
    #[test]
    fn a_lookup_that_was_given_up_is_not_begun_again_for_whoever_has_more_time() {
        static ASKED: Mutex<usize> = Mutex::new(0);
        static GO_ON: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());
        let slow: AskSystem = |_| {
            *ASKED.lock().unwrap() += 1;
            drop(GO_ON.1.wait_while(GO_ON.0.lock().unwrap(), |may| !*may).unwrap());
            Ok(vec![IpAddr::from([192, 0, 2, 1])])
        };
        let system = SystemResolver::start(slow).unwrap();
        let name = DnsName::parse("slow.lan").unwrap();
        let ask = |account, time| system.ask(&name, account, Instant::now() + Duration::from_millis(time));
        assert!(ask(1, 20).is_err());
        std::thread::scope(|scope| {
            let patient = scope.spawn(|| ask(1, 60_000));
            while system.under_way.lookups().values().all(|waiting| waiting.replies.len() < 2) {
                std::thread::yield_now();
            }
            *GO_ON.0.lock().unwrap() = true;
            GO_ON.1.notify_all();
            assert!(patient.join().unwrap().is_ok_and(|found| found == [IpAddr::from([192, 0, 2, 1])]));
        });
        assert_eq!(*ASKED.lock().unwrap(), 1);
        assert!(ask(2, 60_000).is_ok(), "another account has lookups of its own");
        assert_eq!(*ASKED.lock().unwrap(), 2);
        assert!(system.under_way.lookups().is_empty());
    }
}
