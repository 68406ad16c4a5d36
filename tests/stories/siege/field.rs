//! Where a siege is laid: a daemon, an honest client whose issuances are timed in quiet and under attack, and the places
//! that attackers come from.

use crate::world::acme::Client;
use crate::world::csr::Csr;
use crate::world::daemon::Ca;
use crate::world::patience::{Over, eventually, seconds};
use crate::world::process::Process;
use crate::world::responder::Responder;
use crate::world::wire::{Connection, Wire};
use rustix::net::{AddressFamily, SocketType, sockopt};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const MOST_MEMORY: u64 = 150 << 20;
/// So many are timed at least.
const ISSUANCES: usize = 25;
const IN_QUIET: Duration = Duration::from_millis(1_500);
const UNDER_ATTACK: Duration = Duration::from_secs(5);

/// An attack as a story announces it.
pub struct Siege {
    pub name: &'static str,
    /// How many threads make it.
    pub troops: usize,
    /// What the daemon bears at least: less would be no attack.
    pub at_least: AtLeast,
}

pub enum AtLeast {
    /// So many connections that are open while it lasts.
    Open(usize),
    /// So many blows that succeed in all, far fewer than are struck by a machine under load.
    Blows(usize),
}

/// What attackers see.
pub struct Field {
    pub client: Client,
    pub plain_listen: SocketAddr,
    in_place: AtomicUsize,
    over: AtomicBool,
    blows: AtomicUsize,
}

impl Siege {
    /// The honest client gets every certificate in bearable time, memory stays within bounds, and afterwards all is freed.
    pub fn is_withstood(&self, attack: impl Fn(&Field, usize) + Sync) {
        self.is_withstood_by(|_| {}, attack);
    }

    /// The same for a daemon that is started in a way of its own.
    pub fn is_withstood_by(&self, change: impl FnOnce(&mut Command), attack: impl Fn(&Field, usize) + Sync) {
        let _alone = alone();
        let mut ca = Ca::planned(&["--validation-allow", "127.0.0.0/8"]);
        ca.launch_with(|command| {
            // As in service; writing more would be what is measured.
            command.env("RUST_LOG", "info");
            change(command);
        });
        let client = ca.client(&ca.make_issuer("acme.com"));
        let responder = Responder::start(ca.place.address, ca.http_01_port);
        // Made before, since openssl would compute on the processors that daemon and attackers share.
        let csr = Csr::for_names(&["acme.com"]);
        let issue = || {
            let start = Instant::now();
            client.obtain_by(&csr, &["acme.com"], &responder);
            start.elapsed()
        };
        let process = ca.process();
        // What is opened once and kept is open from now on.
        let quiet = Times::of(&issue, IN_QUIET);
        let descriptors = (0..10).map(|_| settled(&process)).min().unwrap();

        let (open_at_least, blows_at_least) = match self.at_least {
            AtLeast::Open(count) => (count, 0),
            AtLeast::Blows(count) => (0, count),
        };
        let field = Field::around(&client, ca.plain_listen);
        let besieged = std::thread::scope(|scope| {
            let _over = field.over();
            let (field, attack) = (&field, &attack);
            let strike = |number| {
                // Attackers have processors of their own; ours get what daemon and client leave.
                rustix::process::setpriority_process(None, 19).unwrap();
                attack(field, number);
            };
            let troops: Vec<_> = (0..self.troops).map(|number| scope.spawn(move || strike(number))).collect();
            eventually("the attack is in place", seconds(90), || {
                assert!(!troops.iter().any(|troop| troop.is_finished()), "the attack broke off");
                let all_in_place = field.in_place.load(Ordering::SeqCst) == self.troops;
                (all_in_place && process.descriptors() >= descriptors + open_at_least).then_some(())
            });
            Times::of(&issue, UNDER_ATTACK)
        });
        eventually("the daemon lets go of everything", seconds(45), || {
            (process.descriptors() <= descriptors).then_some(())
        });
        let afterwards = Times::of(&issue, Duration::ZERO);

        let log = ca.log().len();
        let (memory, blows) = (process.peak_memory(), field.blows.load(Ordering::SeqCst));
        let name = self.name;
        println!(
            "{name}: quiet {quiet}, under attack {besieged}, at most {} MiB, {blows} blows, {log} B of log",
            memory >> 20,
        );
        assert!(blows >= blows_at_least, "{name}: {blows} blows are no attack");
        assert!(memory < MOST_MEMORY, "{name}: {} MiB at most", memory >> 20);
        // What honest clients do is told, and an attack now and then: nobody fills the disk by it.
        assert!(log < (64 << 10) + (quiet.0.len() + besieged.0.len()) * 1024, "{name}: {log} B of log");
        besieged.assert_bearable(name, &[quiet, afterwards]);
    }
}

/// How long issuances took, the longest last.
struct Times(Vec<Duration>);

impl Times {
    fn of(issue: &dyn Fn() -> Duration, least: Duration) -> Times {
        let start = Instant::now();
        let mut times = Vec::new();
        while times.len() < ISSUANCES || start.elapsed() < least {
            times.push(issue());
        }
        times.sort();
        Times(times)
    }

    /// Built for release, a daemon stays under twice the quiet time.
    fn assert_bearable(&self, name: &str, quiet: &[Times; 2]) {
        let [before, after] = quiet;
        let bearable = before.p99().max(after.p99()) * 3 + Duration::from_millis(20);
        assert!(self.p99() < bearable, "{name}: {self} under attack, {before} in quiet before, {after} after");
    }

    fn p99(&self) -> Duration {
        self.0[(self.0.len() - 1) * 99 / 100]
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [median, p99, slowest] =
            [self.0[self.0.len() / 2], self.p99(), self.0[self.0.len() - 1]].map(|t| t.as_millis());
        write!(f, "{median}/{p99}/{slowest} ms (median/p99/slowest of {})", self.0.len())
    }
}

impl Field {
    /// Where attackers stand around a daemon that this client knows.
    pub fn around(client: &Client, plain_listen: SocketAddr) -> Field {
        Field {
            client: client.clone(),
            plain_listen,
            in_place: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            blows: AtomicUsize::new(0),
        }
    }

    /// Attackers leave it at the end of this.
    pub fn over(&self) -> Over<'_> {
        Over(&self.over)
    }

    /// Wait until so many have begun.
    pub fn has_in_place(&self, troops: usize) {
        let all = || self.in_place.load(Ordering::SeqCst) == troops;
        eventually("the attack is in place", seconds(90), || all().then_some(()));
    }

    /// Attackers leave it.
    pub fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    pub fn wire(&self) -> &Wire {
        &self.client.wire
    }

    /// A connection from one of many addresses, every other one from that of the honest client.
    pub fn connect(&self, number: usize) -> std::io::Result<TcpStream> {
        self.connect_to(self.wire().address, number, None)
    }

    /// The same with room for so many bytes that were not read yet.
    pub fn connect_to(&self, to: SocketAddr, number: usize, room: Option<usize>) -> std::io::Result<TcpStream> {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
        if number % 2 == 1 {
            let host = u8::try_from(number / 2 % 32).unwrap() + 1;
            sockopt::set_socket_reuseaddr(&socket, true)?;
            rustix::net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::new(127, 0, 66, host), 0))?;
        }
        if let Some(room) = room {
            sockopt::set_socket_recv_buffer_size(&socket, room)?;
        }
        rustix::net::connect(&socket, &to)?;
        let stream = TcpStream::from(socket);
        // A daemon that does not answer must not keep the attack from ending.
        stream.set_read_timeout(Some(seconds(5)))?;
        stream.set_write_timeout(Some(seconds(5)))?;
        Ok(stream)
    }

    pub fn connect_by_tls(&self, number: usize) -> std::io::Result<Connection> {
        self.wire().over(self.connect(number)?)
    }

    /// Hold so many connections, drip into each at every round, and open another in place of each that is closed.
    pub fn hold<C>(
        &self,
        count: usize,
        open: impl Fn(usize) -> std::io::Result<C>,
        drip: impl Fn(&mut C) -> std::io::Result<()>,
    ) {
        let mut held: Vec<Option<C>> = (0..count).map(|number| open(number).ok()).collect();
        self.is_in_place();
        while !self.is_over() {
            for (number, place) in held.iter_mut().enumerate().take_while(|_| !self.is_over()) {
                if place.as_mut().is_none_or(|connection| drip(connection).is_err()) {
                    *place = open(number).ok();
                    self.blows.fetch_add(1, Ordering::SeqCst);
                }
            }
            // The pace of a slow client.
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Whether a connection that was silent so far has been closed.
    pub fn is_open(stream: &TcpStream) -> std::io::Result<()> {
        stream.set_nonblocking(true)?;
        match stream.peek(&mut [0]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            _ => Err(ErrorKind::ConnectionAborted.into()),
        }
    }

    /// Strike until it is over, as fast as it goes, each time with another number. A blow may fail, and is not
    /// counted then.
    pub fn strike<T>(&self, blow: impl FnMut(usize) -> std::io::Result<T>) {
        self.strike_every(Duration::ZERO, blow);
    }

    /// The same, no oftener than this.
    pub fn strike_every<T>(&self, pace: Duration, mut blow: impl FnMut(usize) -> std::io::Result<T>) {
        let start = Instant::now();
        for number in 0.. {
            let due = pace.saturating_mul(u32::try_from(number).unwrap());
            std::thread::sleep(due.saturating_sub(start.elapsed()));
            if blow(number).is_ok() {
                self.blows.fetch_add(1, Ordering::SeqCst);
            }
            if number == 0 {
                self.is_in_place();
            }
            if self.is_over() {
                return;
            }
        }
    }

    fn is_in_place(&self) {
        self.in_place.fetch_add(1, Ordering::SeqCst);
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }
}

/// The descriptors that are open in a moment in which nobody asks.
fn settled(process: &Process) -> usize {
    std::thread::sleep(Duration::from_millis(20));
    process.descriptors()
}

/// One siege at a time, since they are measured, with as many descriptors as this process may have.
pub fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    let guard = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).unwrap();
    guard
}
