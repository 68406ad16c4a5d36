//! The daemon's settings as plain data. Who reads flags and environment is `cli`; who checks them is the type.

use crate::clock::Span;
use crate::error::{Error, Result};
use crate::identifier::Network;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Everything that `certwright serve` can be told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Database, fragments, keys, lock.
    pub state_dir: PathBuf,
    /// ACME over TLS.
    pub listen: SocketAddr,
    /// CA certificates in the clear.
    pub plain_listen: SocketAddr,
    /// Prometheus's text in the clear, where that was asked for.
    pub metrics_listen: Option<SocketAddr>,
    /// Where the proxies are that ACME clients come by, over plain HTTP then; none where these come by themselves.
    pub behind_proxy: Vec<Network>,
    /// Where commands come in.
    pub admin_socket: PathBuf,
    /// Further places for key fragments, after `<state-dir>/fragments`.
    pub fragment_dirs: Vec<PathBuf>,
    /// DNS servers for validation; none means the system's resolver.
    pub dns_servers: Vec<SocketAddr>,
    /// Where http-01 connects to first.
    pub http_01_port: u16,
    /// Where tls-alpn-01 connects to; a redirect of http-01 may go there too.
    pub tls_alpn_01_port: u16,
    /// Networks that validation may reach although they are denied by default.
    pub validation_allow: Vec<Network>,
    /// Networks that validation may not reach.
    pub validation_deny: Vec<Network>,
    /// Request workers, and connections to tiny_http.
    pub workers: usize,
    /// The daemon's own certificate and key; without them it issues its own.
    pub tls_files: Option<TlsFiles>,
    /// A list of keys that get nothing.
    pub blocked_keys: Option<PathBuf>,
    /// A program that gets each event on standard input.
    pub event_command: Option<PathBuf>,
    /// Where each event is posted.
    pub event_url: Option<EventUrl>,
    /// How long orders, authorizations, challenges and credentials are kept after their end.
    pub retain: Span,
    /// How long certificates are kept after their end, and rows of the audit log.
    pub retain_records: Span,
    /// Where those come from that are not the defaults, by flag.
    pub origins: Vec<(String, Origin)>,
}

/// Who said what a setting is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody.
    Default,
    /// A flag on the command line.
    Flag,
    /// A variable of the environment, which systemd reads from /etc/default/certwright.
    Environment,
    /// The command quickstart.
    Quickstart,
    /// systemd, by a socket that it passed.
    Systemd,
}

/// A setting as a flag would say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// One value, or nothing.
    One(Option<String>),
    /// A flag that may be given again.
    Many(Vec<String>),
}

impl Settings {
    /// Ninety days for what nobody asks about again.
    pub const RETAIN: Span = Span::days(90);
    /// Two years for records.
    pub const RETAIN_RECORDS: Span = Span::days(730);
    /// Less, and a limit of so many in an hour would forget what it counts.
    pub const SHORTEST_RETAIN: Span = Span::DAY;
    /// Less, and a clock that is ahead by as much as is believed (90 days) would have what has not ended tidied away.
    pub const SHORTEST_RETAIN_RECORDS: Span = Span::days(100);
    /// Of workers, where nobody says another number.
    pub const WORKERS: usize = 32;
    /// Of http-01 (RFC 8555, 8.3).
    pub const HTTP_01_PORT: u16 = 80;
    /// Of tls-alpn-01 (RFC 8737, 3).
    pub const TLS_ALPN_01_PORT: u16 = 443;

    /// What holds where nothing else is said.
    pub fn at(state_dir: PathBuf, listen: SocketAddr, plain_listen: SocketAddr, admin_socket: PathBuf) -> Settings {
        Settings {
            state_dir,
            listen,
            plain_listen,
            metrics_listen: None,
            behind_proxy: Vec::new(),
            admin_socket,
            fragment_dirs: Vec::new(),
            dns_servers: Vec::new(),
            http_01_port: Settings::HTTP_01_PORT,
            tls_alpn_01_port: Settings::TLS_ALPN_01_PORT,
            validation_allow: Vec::new(),
            validation_deny: Vec::new(),
            workers: Settings::WORKERS,
            tls_files: None,
            blocked_keys: None,
            event_command: None,
            event_url: None,
            retain: Settings::RETAIN,
            retain_records: Settings::RETAIN_RECORDS,
            origins: Vec::new(),
        }
    }

    /// Every setting, by its flag.
    pub fn said(&self) -> Vec<(&'static str, Said)> {
        let one = |value: &dyn fmt::Display| Said::One(Some(value.to_string()));
        let path = |path: Option<&PathBuf>| Said::One(path.map(|path| path.display().to_string()));
        let many = |values: &mut dyn Iterator<Item = String>| Said::Many(values.collect());
        let (certificate, key) = self.tls_files.as_ref().map(|files| (&files.certificate, &files.key)).unzip();
        vec![
            ("state-dir", path(Some(&self.state_dir))),
            ("listen", one(&self.listen)),
            ("plain-listen", one(&self.plain_listen)),
            ("metrics-listen", Said::One(self.metrics_listen.map(|address| address.to_string()))),
            ("behind-proxy", many(&mut self.behind_proxy.iter().map(Network::to_string))),
            ("admin-socket", path(Some(&self.admin_socket))),
            ("fragment-dir", many(&mut self.fragment_dirs.iter().map(|dir| dir.display().to_string()))),
            ("dns-server", many(&mut self.dns_servers.iter().map(SocketAddr::to_string))),
            ("http-01-port", one(&self.http_01_port)),
            ("tls-alpn-01-port", one(&self.tls_alpn_01_port)),
            ("validation-allow", many(&mut self.validation_allow.iter().map(Network::to_string))),
            ("validation-deny", many(&mut self.validation_deny.iter().map(Network::to_string))),
            ("workers", one(&self.workers)),
            ("tls-cert", path(certificate)),
            ("tls-key", path(key)),
            ("blocked-keys", path(self.blocked_keys.as_ref())),
            ("event-command", path(self.event_command.as_ref())),
            ("event-url", Said::One(self.event_url.as_ref().map(EventUrl::without_secrets))),
            ("retain", one(&self.retain)),
            ("retain-records", one(&self.retain_records)),
        ]
    }

    /// Who said what a flag's setting is.
    pub fn origin(&self, flag: &str) -> Origin {
        self.origins.iter().find(|(named, _)| named == flag).map_or(Origin::Default, |(_, origin)| *origin)
    }
}

/// An http or https URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventUrl(String);

impl EventUrl {
    /// Parse it.
    ///
    /// # Errors
    /// Malformed for any other URL.
    pub fn parse(text: &str) -> Result<EventUrl> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
        if rest.is_empty() || rest.starts_with('/') || !rest.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Error::malformed(format!("--event-url {text} is not an http or https URL")));
        }
        Ok(EventUrl(text.to_owned()))
    }

    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The URL, with an ellipsis in the place of what may be a secret.
    fn without_secrets(&self) -> String {
        let origin = self.origin();
        if origin == self.0 { origin } else { format!("{origin}/…") }
    }

    /// Scheme and host, without what may be a secret: user, password, path, query.
    pub fn origin(&self) -> String {
        let (scheme, rest) = self.0.split_once("://").unwrap_or_default();
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        format!("{scheme}://{}", authority.rsplit('@').next().unwrap_or_default())
    }
}

/// PEM files of a TLS server certificate with its chain, and of its private key.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// Certificate, then chain.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
}
