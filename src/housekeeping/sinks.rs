//! Who is told of events: the daemon's own log, a program, a URL.

use crate::clock::later;
use crate::error::{Error, Result};
use crate::settings::{EventUrl, Settings};
use crate::store::Store;
use rustls::crypto::ring::default_provider;
use serde_json::Value;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

const LONGEST_COMMAND: Duration = Duration::from_secs(30);
const LONGEST_POST: Duration = Duration::from_secs(15);
/// The roots of this system, where Debian and its like keep them.
const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Whether somebody was told.
pub(super) type Told = Result<()>;

/// Somebody to be told.
pub(super) enum Sink {
    /// The log, which the journal keeps.
    Log,
    /// A program that gets each event as a JSON object on standard input.
    Command(PathBuf),
    /// A URL that each event is posted to.
    Url(EventUrl),
}

impl Sink {
    /// Everybody who is to be told.
    pub(super) fn all(settings: &Settings) -> impl Iterator<Item = Sink> {
        std::iter::once(Sink::Log)
            .chain(settings.event_command.clone().map(Sink::Command))
            .chain(settings.event_url.clone().map(Sink::Url))
    }

    /// How the database calls it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Sink::Log => "log",
            Sink::Command(_) => "command",
            Sink::Url(_) => "url",
        }
    }

    pub(super) fn tell(&self, event: &Value, store: &Store) -> Told {
        match self {
            Sink::Log => {
                log::info!(target: "audit", "{event}");
                Ok(())
            }
            Sink::Command(program) => run(program, event),
            Sink::Url(url) => post(url.as_str(), event, store),
        }
    }
}

impl fmt::Display for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sink::Log => f.write_str("the log"),
            Sink::Command(program) => write!(f, "--event-command {}", program.display()),
            Sink::Url(url) => write!(f, "--event-url {}", url.origin()),
        }
    }
}

fn run(program: &Path, event: &Value) -> Told {
    let failed = |e: &dyn fmt::Display| Error::unavailable(format!("{} failed: {e}", program.display()));
    let mut child = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|e| failed(&e))?;
    // A thread of its own, since a program that reads nothing would hold us up; it ends with the program.
    if let Some(mut stdin) = child.stdin.take() {
        let line = format!("{event}\n");
        let write = move || drop(stdin.write_all(line.as_bytes()));
        std::thread::Builder::new().name("event".into()).spawn(write).map_err(|e| failed(&e))?;
    }
    match wait_for(&mut child).map_err(|e| failed(&e))? {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(failed(&status)),
        None => Err(failed(&"it did not end within 30 seconds, so it was killed")),
    }
}

/// How the program ended; `None` when it had to be killed.
fn wait_for(child: &mut Child) -> std::io::Result<Option<std::process::ExitStatus>> {
    let deadline = later(Instant::now(), LONGEST_COMMAND);
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

fn post(url: &str, event: &Value, store: &Store) -> Told {
    let failed = |e: ureq::Error| Error::unavailable(e.to_string());
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots(store)?)))
        .unversioned_rustls_crypto_provider(Arc::new(default_provider()))
        .build();
    let config = ureq::config::Config::builder()
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(true)
        .user_agent(concat!("certwright/", env!("CARGO_PKG_VERSION"), " (events)"))
        .timeout_global(Some(LONGEST_POST))
        .tls_config(tls)
        .build();
    let agent = ureq::Agent::new_with_config(config);
    let body = event.to_string();
    agent.post(url).header("Content-Type", "application/json").send(body.as_bytes()).map(|_| ()).map_err(failed)
}

/// Our own roots, since whoever listens on this network has a certificate of them, and the system's.
fn roots(store: &Store) -> Result<Vec<Certificate<'static>>> {
    let own = store.read(|read| read.self_signed_certificates())?;
    let system = std::fs::read_to_string(SYSTEM_ROOTS).unwrap_or_default();
    let system = crate::der::from_pem("CERTIFICATE", &system).unwrap_or_default();
    Ok(own.iter().chain(&system).map(|der| Certificate::from_der(der).to_owned()).collect())
}
