//! `certwright serve`: settings from flags and environment, then the daemon until a signal ends it.

use super::client::DEFAULT_SOCKET;
use super::environment::{by_its_origin, complete, list, variables};
use super::flags::{Given, text};
use super::{Failure, usage};
use crate::clock::{Clock, Span};
use crate::daemon::{Daemon, Pulse};
use crate::error::{Error, Result};
use crate::identifier::Network;
use crate::logging;
use crate::settings::{EventUrl, Settings, TlsFiles};
use crate::systemd::{Notifier, PassedSockets};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// SIGTERM ends the daemon within five seconds.
const LONGEST_STOP: Duration = Duration::from_millis(4_700);
/// Of the time after which the watchdog bites, one part passes between two looks; the others are for a look that takes long.
const WATCHDOG_PARTS: u32 = 6;
/// The flags of listening sockets, and the names under which systemd may pass these.
const SOCKETS: [(&str, &str); 4] = [
    ("listen", "listen"),
    ("plain-listen", "plain-listen"),
    ("metrics-listen", "metrics-listen"),
    ("admin-socket", "admin"),
];

pub(super) fn run(given: &[Given]) -> std::result::Result<(), Failure> {
    let sockets = PassedSockets::from_environment().map_err(usage)?;
    let given = complete(given, variables()?.into_iter())?;
    let settings = settings(&given).map_err(|e| by_its_origin(&e, &given))?;
    check_addresses(&given, &sockets).map_err(usage)?;
    logging::start("info");
    serve(&settings, sockets, |daemon| {
        let settings = daemon.settings();
        log::info!(
            version = env!("CARGO_PKG_VERSION"),
            listen:% = settings.listen,
            plain_listen:% = settings.plain_listen,
            metrics_listen:% = settings.metrics_listen.map_or("off".to_owned(), |address| address.to_string());
            "serving"
        );
    })?;
    Ok(())
}

/// What flags and environment make of the settings.
pub(super) fn settings_of(given: &[Given]) -> std::result::Result<Settings, Failure> {
    let given = complete(given, variables()?.into_iter())?;
    settings(&given).map_err(|e| by_its_origin(&e, &given))
}

/// Where a socket was passed it is served, so a flag that says something else would be ignored.
fn check_addresses(given: &[Given], sockets: &PassedSockets) -> Result<()> {
    for (flag, name) in SOCKETS {
        // Written in the one way that addresses are shown.
        let said = text(given, flag).map(|said| said.parse().map_or(said.into(), |a: SocketAddr| a.to_string()));
        if let (Some(said), Some(passed)) = (said, sockets.address(name))
            && said != passed
        {
            return Err(Error::malformed(format!(
                "--{flag} is {said}, and systemd passes a socket at {passed}; leave --{flag} out, and change ListenStream= of the \
                 .socket unit if that is wrong"
            )));
        }
    }
    Ok(())
}

/// Run the daemon until SIGTERM or SIGINT; `started` is called when it answers.
pub(super) fn serve(settings: &Settings, sockets: PassedSockets, started: impl FnOnce(&Daemon)) -> Result<()> {
    close_memory();
    let systemd = Arc::new(Notifier::from_environment());
    systemd.status("opening the database");
    // Before anything starts, so that no signal is missed.
    let mut signals = Signals::watch()?;
    let started_on = Daemon::start_on(sockets, settings, Clock::system());
    let mut daemon = started_on.inspect_err(|e| systemd.status(&e.to_string()))?;
    if let (Some(limit), Some(pulse)) = (systemd.watchdog(), daemon.take_pulse()) {
        feed_watchdog(Arc::clone(&systemd), limit, pulse)?;
    }
    started(&daemon);
    let Settings { listen, plain_listen, .. } = daemon.settings();
    let serving = format!("ACME on {listen}, CA certificates on {plain_listen}");
    systemd.ready(&serving);
    loop {
        match signals.next()? {
            Signal::Stop => break,
            Signal::Reload => {
                systemd.reloading();
                match daemon.reload_tls_files() {
                    Ok(()) => log::info!("the TLS files were read again"),
                    Err(e) => {
                        log::error!(error:% = e; "the TLS files could not be read again, so the old ones stay in use")
                    }
                }
                systemd.ready(&serving);
            }
        }
    }
    systemd.stopping();
    log::info!("stopping");
    // What waits for a disk that does not answer must not keep the machine from going down; nothing that was promised is
    // lost, since promises are made after their commit.
    let give_up = std::thread::Builder::new().name("stop".into()).spawn(|| {
        std::thread::sleep(LONGEST_STOP);
        log::warn!("some requests did not end in time");
        std::process::exit(0);
    });
    if let Err(e) = give_up {
        log::warn!(error:% = e; "the stop takes as long as the slowest request");
    }
    drop(daemon);
    Ok(())
}

/// Tell systemd that the daemon works for as long as it does.
fn feed_watchdog(systemd: Arc<Notifier>, limit: Duration, mut pulse: Pulse) -> Result<()> {
    let pause = limit.checked_div(WATCHDOG_PARTS).unwrap_or_default();
    let feed = move || loop {
        pulse.beat();
        systemd.alive();
        std::thread::sleep(pause);
    };
    let started = std::thread::Builder::new().name("watchdog".into()).spawn(feed);
    started.map(drop).map_err(|e| Error::unavailable(format!("the thread watchdog cannot be started: {e}")))
}

/// Keys will be in memory: no other process of the same user may look into it, and no crash may write it to a disk. The
/// kernel gives the files of this process in /proc to root.
fn close_memory() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let closed = set_dumpable_behavior(DumpableBehavior::NotDumpable).and_then(|()| setrlimit(Resource::Core, none));
    if let Err(e) = closed {
        log::warn!(error:% = e; "the memory of this process, in which keys will be, cannot be closed to its user");
    }
}

enum Signal {
    Stop,
    Reload,
}

/// Signals as bytes in one pipe: each kind is written to by a pipe of its own, whose bytes a thread passes on.
struct Signals {
    pipe: UnixStream,
}

impl Signals {
    fn watch() -> Result<Signals> {
        let failed = |e: std::io::Error| Error::unavailable(format!("signals cannot be watched: {e}"));
        let (pipe, write) = UnixStream::pair().map_err(failed)?;
        for (signal, letter) in [(SIGTERM, b'S'), (SIGINT, b'S'), (SIGHUP, b'R')] {
            let (mut of_kind, raised) = UnixStream::pair().map_err(failed)?;
            signal_hook::low_level::pipe::register(signal, raised).map_err(failed)?;
            let mut write = write.try_clone().map_err(failed)?;
            let pass_on = move || while of_kind.read_exact(&mut [0u8]).is_ok() && write.write_all(&[letter]).is_ok() {};
            std::thread::Builder::new().name("signals".into()).spawn(pass_on).map_err(failed)?;
        }
        Ok(Signals { pipe })
    }

    fn next(&mut self) -> Result<Signal> {
        let mut letter = [0u8];
        self.pipe.read_exact(&mut letter).map_err(|e| Error::unavailable(format!("signals cannot be read: {e}")))?;
        Ok(if letter == *b"R" { Signal::Reload } else { Signal::Stop })
    }
}

fn settings(given: &[Given]) -> Result<Settings> {
    let path = |flag: &str, default: &str| PathBuf::from(text(given, flag).unwrap_or(default));
    let networks = |flag: &str| {
        list(given, flag)
            .iter()
            .map(|text| Network::parse(text).map_err(|e| e.context(format!("--{flag}"))))
            .collect::<Result<Vec<_>>>()
    };
    let workers = number(given, "workers", Settings::WORKERS)?;
    if !(1..=256).contains(&workers) {
        return Err(Error::malformed(format!("--workers {workers} is out of range; give 1 to 256")));
    }
    Ok(Settings {
        state_dir: path("state-dir", "/var/lib/certwright"),
        listen: address("listen", text(given, "listen").unwrap_or("[::]:8000"))?,
        plain_listen: address("plain-listen", text(given, "plain-listen").unwrap_or("[::]:8080"))?,
        metrics_listen: text(given, "metrics-listen").map(|text| address("metrics-listen", text)).transpose()?,
        behind_proxy: networks("behind-proxy")?,
        admin_socket: path("admin-socket", DEFAULT_SOCKET),
        fragment_dirs: list(given, "fragment-dir").into_iter().map(PathBuf::from).collect(),
        dns_servers: list(given, "dns-server").into_iter().map(dns_server).collect::<Result<_>>()?,
        http_01_port: port(given, "http-01-port", Settings::HTTP_01_PORT)?,
        tls_alpn_01_port: port(given, "tls-alpn-01-port", Settings::TLS_ALPN_01_PORT)?,
        validation_allow: networks("validation-allow")?,
        validation_deny: networks("validation-deny")?,
        workers,
        tls_files: match (text(given, "tls-cert"), text(given, "tls-key")) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate: certificate.into(), key: key.into() }),
            (None, None) => None,
            _ => return Err(Error::malformed("--tls-cert and --tls-key go together")),
        },
        blocked_keys: text(given, "blocked-keys").map(PathBuf::from),
        event_command: text(given, "event-command").map(PathBuf::from),
        event_url: text(given, "event-url").map(EventUrl::parse).transpose()?,
        retain: span(given, "retain", Settings::RETAIN, Settings::SHORTEST_RETAIN)?,
        retain_records: span(given, "retain-records", Settings::RETAIN_RECORDS, Settings::SHORTEST_RETAIN_RECORDS)?,
        origins: given.iter().map(|g| (g.flag.clone(), g.origin)).collect(),
    })
}

/// An address, with port 53 unless it says another.
fn dns_server(text: &str) -> Result<SocketAddr> {
    match text.parse::<std::net::IpAddr>() {
        Ok(address) => Ok(SocketAddr::new(address, 53)),
        Err(_) => text.parse().map_err(|_| {
            Error::malformed(format!("--dns-server {text} is not ADDRESS or ADDRESS:PORT, such as 192.168.1.1:53"))
        }),
    }
}

/// `ADDRESS:PORT`, with IPv6 in brackets.
pub(super) fn address(flag: &str, text: &str) -> Result<SocketAddr> {
    text.parse().map_err(|_| {
        Error::malformed(format!("--{flag} {text} is not ADDRESS:PORT, such as 127.0.0.1:8000 or [::]:8000"))
    })
}

fn number(given: &[Given], flag: &str, default: usize) -> Result<usize> {
    match text(given, flag) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| Error::malformed(format!("--{flag} {text} is not a number"))),
    }
}

fn span(given: &[Given], flag: &str, default: Span, shortest: Span) -> Result<Span> {
    let Some(text) = text(given, flag) else { return Ok(default) };
    let span = Span::parse(text).map_err(|e| e.context(format!("--{flag}")))?;
    if span < shortest {
        return Err(Error::malformed(format!("--{flag} {text} is too short; give {shortest} at least")));
    }
    Ok(span)
}

fn port(given: &[Given], flag: &str, default: u16) -> Result<u16> {
    match text(given, flag) {
        None => Ok(default),
        Some(text) => text
            .parse()
            .ok()
            .filter(|p| *p != 0)
            .ok_or_else(|| Error::malformed(format!("--{flag} {text} is not a port from 1 to 65535"))),
    }
}
