//! Wiring: from settings to a running daemon, and back down in the right order.

mod pulse;

pub use pulse::Pulse;

use crate::acme::Acme;
use crate::admin::{AdminSocket, Administration};
use crate::clock::{Clock, Time};
use crate::error::{Error, Result};
use crate::front::{Front, FrontSettings, Listener, listen, raise_descriptor_limit};
use crate::health::Health;
use crate::housekeeping::{Events, Housekeeping};
use crate::http::{Door, HttpServer, Passage, Probe, Routes, Scrapes};
use crate::issuance::Issuance;
use crate::keys::{hex, parse_blocked_keys, random, sha256};
use crate::policy::IssuerPolicy;
use crate::publication::Publication;
use crate::settings::{Origin, Settings};
use crate::store::{StateLock, Store};
use crate::systemd::PassedSockets;
use crate::validation::{ReachableNetworks, Validation};
use rustix::process::{Resource, getrlimit};
use std::fs::DirBuilder;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Descriptors that are not clients': database, fragments, validations, workers.
const RESERVED_DESCRIPTORS: u64 = 256;
const FEWEST_CLIENTS: u64 = 64;
const MOST_CLIENTS: u64 = 16_384;
/// Without workers, of which each has both ends of a connection.
const FEWEST_DESCRIPTORS: u64 = 192;
/// Those of validation and of everything else that runs by itself.
const OTHER_THREADS: u64 = 64;
/// More than is ever used at a time.
const USED_MEBIBYTES: u64 = 512;

/// A running daemon.
pub struct Daemon {
    // In the order in which they end: first nobody new comes in, then what runs finishes, then the store closes.
    admin: Option<AdminSocket>,
    front: Option<Front>,
    http: Option<HttpServer>,
    housekeeping: Option<Housekeeping>,
    events: Option<Events>,
    validation: Arc<Validation>,
    issuance: Arc<Issuance>,
    store: Arc<Store>,
    settings: Settings,
    pulse: Option<Pulse>,
    _lock: StateLock,
}

impl Daemon {
    /// Start everything. When this returns, requests and commands are answered.
    ///
    /// # Errors
    /// One sentence that says what is in the way.
    pub fn start(settings: &Settings, clock: Clock) -> Result<Daemon> {
        Daemon::start_on(PassedSockets::default(), settings, clock)
    }

    /// The same on sockets that were passed; what was not is made as the settings say.
    ///
    /// # Errors
    /// One sentence that says what is in the way.
    pub fn start_on(mut sockets: PassedSockets, settings: &Settings, clock: Clock) -> Result<Daemon> {
        let settings = &as_passed(settings, &sockets);
        AdminSocket::check_path(&settings.admin_socket)?;
        let (tls_listener, plain_listener) = (sockets.tcp("listen")?, sockets.tcp("plain-listen")?);
        let (metrics_listener, admin_listener) = (sockets.tcp("metrics-listen")?, sockets.unix("admin")?);
        sockets.finish()?;
        let descriptors = raise_descriptor_limit();
        check_descriptors(descriptors, settings.workers)?;
        check_address_space(settings.workers)?;
        let directories = Directories::make(settings)?;
        let lock = StateLock::take(&settings.state_dir)?;
        let tls_listener = passed_or_bound(tls_listener, "listen", settings.listen)?;
        let plain_listener = passed_or_bound(plain_listener, "plain-listen", settings.plain_listen)?;
        let metrics_listener = match (metrics_listener, settings.metrics_listen) {
            (None, None) => None,
            (Some(passed), _) => Some(Listener::passed(passed)?),
            (None, Some(address)) => Some(listen("metrics-listen", address)?),
        };
        // Where a port was 0 this has the real one. What is written into certificates may not: it is another one at each start.
        let in_use = Settings {
            listen: tls_listener.address,
            plain_listen: plain_listener.address,
            metrics_listen: metrics_listener.as_ref().map(|listener| listener.address),
            ..settings.clone()
        };
        let mut listeners: Vec<(Door, Listener)> = vec![(Door::Tls, tls_listener), (Door::Plain, plain_listener)];
        listeners.extend(metrics_listener.map(|listener| (Door::Metrics, listener)));

        let store = Arc::new(Store::open(&settings.state_dir.join("certwright.db"))?);
        // The others answer who only reads, some of them strangers.
        store.bound_waiting(settings.workers.div_ceil(4));
        if let Some(mark) = store.read(|read| read.clock_mark())? {
            clock.set_mark(mark);
        }
        let _ = clock.look();
        check_policies(&store)?;
        block_listed_keys(&store, settings.blocked_keys.as_deref(), clock.now())?;
        let issuance = Arc::new(Issuance::open(Arc::clone(&store), clock.clone(), settings)?);
        let networks = ReachableNetworks {
            allow: settings.validation_allow.clone(),
            deny: settings.validation_deny.clone(),
            listeners: listeners.iter().map(|(_, listener)| listener.address).collect(),
        };
        let validation = Arc::new(Validation::start(Arc::clone(&store), clock.clone(), settings, networks)?);
        let housekeeping = Housekeeping::start(Arc::clone(&store), Arc::clone(&issuance), clock.clone(), settings)?;
        let events = Events::start(Arc::clone(&store), clock.clone(), settings)?;

        let (issuers, validators) = (Arc::clone(&issuance), Arc::clone(&validation));
        let acme =
            Acme::new(Arc::clone(&store), issuers, validators, clock.clone(), !settings.behind_proxy.is_empty())?;
        let publication = Publication::new(Arc::clone(&store), Arc::clone(&issuance), clock.clone());
        let health = Arc::new(Health::new(Arc::clone(&store), Arc::clone(&issuance), clock.clone()));
        let scrapes = Scrapes::new(
            Arc::clone(&store),
            Arc::clone(&issuance),
            Arc::clone(&validation),
            Arc::clone(&health),
            clock.clone(),
        );
        let routes = Routes::new(acme, publication, Arc::clone(&health), scrapes, random::<4>()?, clock.clone());
        let application = directories.run.join("http.sock");
        let passage = Arc::new(Passage::new(hex(&random::<16>()?)));
        let http = HttpServer::start(&application, settings.workers, routes, &passage)?;
        let most_clients = descriptors.saturating_sub(RESERVED_DESCRIPTORS).clamp(FEWEST_CLIENTS, MOST_CLIENTS);
        let probe = Probe::new(application.clone(), &passage);
        let front_settings = FrontSettings {
            application,
            connections: settings.workers,
            passage,
            renewal: http.renewal(),
            most_clients: usize::try_from(most_clients).unwrap_or(64),
            behind_proxy: settings.behind_proxy.clone(),
        };
        let front = Front::start(listeners, Arc::clone(&issuance), front_settings)?;
        front.wait_until_ready()?;
        let pulse = Pulse { turns: front.turns(), probe, store: Arc::clone(&store) };

        let administration =
            Administration::new(Arc::clone(&store), Arc::clone(&issuance), health, clock, in_use.clone());
        let admin = AdminSocket::start(&settings.admin_socket, admin_listener, Arc::new(administration))?;
        Ok(Daemon {
            admin: Some(admin),
            front: Some(front),
            http: Some(http),
            housekeeping: Some(housekeeping),
            events: Some(events),
            validation,
            issuance,
            store,
            settings: in_use,
            pulse: Some(pulse),
            _lock: lock,
        })
    }

    /// What it runs with; a port that was 0 is the real one here.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Where a watchdog feels whether it still works, for the first who asks.
    pub fn take_pulse(&mut self) -> Option<Pulse> {
        self.pulse.take()
    }

    /// Read --tls-cert and --tls-key again.
    ///
    /// # Errors
    /// Malformed when they cannot be used; the old ones stay in use.
    pub fn reload_tls_files(&self) -> Result<()> {
        self.issuance.tls().reload_files()
    }

    /// Make a round of housekeeping now, for whoever has turned the clock.
    pub fn keep_house(&self) {
        if let Some(housekeeping) = &self.housekeeping {
            housekeeping.round();
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.admin = None;
        self.front = None;
        self.http = None;
        self.housekeeping = None;
        self.events = None;
        self.validation.stop();
        // A validation that still runs holds the store open, so that SQLite does not do this by itself.
        if let Err(e) = self.store.close() {
            log::warn!(error:% = e; "certwright.db-wal has to be kept beside certwright.db");
        }
    }
}

/// The settings with the addresses of the sockets that were passed, which certificates and people are told of.
fn as_passed(settings: &Settings, sockets: &PassedSockets) -> Settings {
    let mut settings = settings.clone();
    let tcp = |name: &str| sockets.address(name)?.parse().ok();
    let (listen, plain_listen, metrics_listen) = (tcp("listen"), tcp("plain-listen"), tcp("metrics-listen"));
    let admin_socket = sockets.address("admin").map(PathBuf::from);
    for (flag, is_passed) in [
        ("listen", listen.is_some()),
        ("plain-listen", plain_listen.is_some()),
        ("metrics-listen", metrics_listen.is_some()),
        ("admin-socket", admin_socket.is_some()),
    ] {
        if is_passed {
            settings.origins.retain(|(named, _)| named != flag);
            settings.origins.push((flag.to_owned(), Origin::Systemd));
        }
    }
    settings.listen = listen.unwrap_or(settings.listen);
    settings.plain_listen = plain_listen.unwrap_or(settings.plain_listen);
    settings.metrics_listen = metrics_listen.or(settings.metrics_listen);
    settings.admin_socket = admin_socket.unwrap_or(settings.admin_socket);
    settings
}

fn passed_or_bound(passed: Option<TcpListener>, flag: &str, address: SocketAddr) -> Result<Listener> {
    passed.map_or_else(|| listen(flag, address), Listener::passed)
}

/// A daemon that runs out of descriptors with a few clients serves nobody well.
fn check_descriptors(limit: u64, workers: usize) -> Result<()> {
    let needed = FEWEST_DESCRIPTORS.saturating_add(u64::try_from(workers).unwrap_or(u64::MAX).saturating_mul(2));
    if limit >= needed {
        return Ok(());
    }
    Err(Error::unavailable(format!(
        "at most {limit} files may be open, and {workers} workers need {needed}; raise the limit (LimitNOFILE=, ulimit -n), or \
         start with fewer --workers"
    )))
}

/// Whoever gets no memory aborts. What may be used is bounded elsewhere; what is reserved is a stack for each thread, and an
/// arena of the allocator for each, up to eight for a processor.
fn check_address_space(workers: usize) -> Result<()> {
    let Some(limit) = getrlimit(Resource::As).current.map(|limit| limit >> 20) else { return Ok(()) };
    let threads = u64::try_from(workers).unwrap_or(u64::MAX).saturating_mul(2).saturating_add(OTHER_THREADS);
    let processors = std::thread::available_parallelism().map_or(1, |count| u64::try_from(count.get()).unwrap_or(1));
    let arenas = threads.min(processors.saturating_mul(8));
    let needed = threads.saturating_mul(2).saturating_add(arenas.saturating_mul(64)).saturating_add(USED_MEBIBYTES);
    if limit >= needed {
        return Ok(());
    }
    Err(Error::unavailable(format!(
        "the address space is limited to {limit} MiB, and {workers} workers need {needed}, most of it never used; lift the limit \
         (ulimit -v) and bound memory with MemoryMax=, or start with fewer --workers"
    )))
}

/// A list that cannot be read stops the start: what it blocks must not get certificates meanwhile. Without a list what an
/// earlier one blocked is free again.
fn block_listed_keys(store: &Store, file: Option<&Path>, now: Time) -> Result<()> {
    let named = |e: Error| e.context(format!("--blocked-keys {}", file.unwrap_or(Path::new("")).display()));
    let text = file.map_or(Ok(String::new()), std::fs::read_to_string);
    let text = text.map_err(|e| named(Error::malformed(format!("it cannot be read ({e})"))))?;
    let hashes = parse_blocked_keys(&text).map_err(named)?;
    let hash = sha256(text.as_bytes());
    store.change(move |write| write.put_listed_keys(&hash, &hashes, now))
}

/// Settings that cannot be understood stop the start: a daemon that does not know what it may must not run.
fn check_policies(store: &Store) -> Result<()> {
    store.read(|read| {
        for issuer in read.issuers()? {
            let name = read.item(issuer.item)?.name;
            IssuerPolicy::parse(&issuer)
                .map_err(|e| e.context(format!("the settings of {name} cannot be understood")))?;
        }
        Ok(())
    })
}

struct Directories {
    run: PathBuf,
}

impl Directories {
    fn make(settings: &Settings) -> Result<Directories> {
        let state = &settings.state_dir;
        make_private(state)?;
        for name in ["fragments", "keys", "run"] {
            make_private(&state.join(name))?;
        }
        for dir in &settings.fragment_dirs {
            if !dir.is_dir() {
                // Made by hand, so that a medium that is not mounted is noticed.
                log::warn!(directory:% = dir.display(); "a --fragment-dir is not there; fragments in it cannot be read");
            }
        }
        if let Some(parent) = settings.admin_socket.parent().filter(|p| !p.as_os_str().is_empty() && !p.exists()) {
            std::fs::create_dir(parent).map_err(|e| {
                Error::unavailable(format!(
                    "the directory {} of the admin socket cannot be made ({e}); make it, or name another place with --admin-socket",
                    parent.display()
                ))
            })?;
        }
        Ok(Directories { run: state.join("run") })
    }
}

/// A directory for the daemon alone; one that is there stays as it is.
fn make_private(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().mode(0o700).create(path).map_err(|e| {
        Error::unavailable(format!(
            "the directory {} cannot be made ({e}); make it, writable for the daemon",
            path.display()
        ))
    })
}
