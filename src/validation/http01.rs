//! http-01 (RFC 8555, 8.3): the key authorization under a well-known path, in the clear, redirects followed.

use super::probe::{Failure, Prober, Subject, is_shortage};
use crate::error::{Class, Error};
use crate::identifier::{Identifier, printable};
use rustls::crypto::CryptoProvider;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use ureq::http::Uri;
use ureq::tls::TlsConfig;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver as UreqResolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

const MOST_REDIRECTS: usize = 10;
const LARGEST_HEAD: usize = 16 * 1024;
const LARGEST_BODY: u64 = 64 * 1024;

pub(super) fn validate(subject: &Subject<'_>, deadline: Instant) -> Result<(), Failure> {
    let (prober, job) = (subject.prober, subject.job);
    let expected = subject.key_authorization();
    let mut hop = Hop {
        https: false,
        host: subject.identifier.clone(),
        port: prober.http_01_port,
        path: format!("/.well-known/acme-challenge/{}", job.token),
    };
    for redirects in 0..=MOST_REDIRECTS {
        let reply = fetch(prober, &hop, job.account, deadline)?;
        match &reply.location {
            Some(location) => hop = hop.redirected(location, prober).map_err(|why| reply.wrong(&hop, &why))?,
            None => return reply.judge(&hop, &expected, redirects > 0),
        }
    }
    Err(Failure::last(Class::IncorrectResponse, format!("{hop}: more than {MOST_REDIRECTS} redirects")))
}

/// One URL on the way.
#[derive(Clone, Debug)]
struct Hop {
    https: bool,
    host: Identifier,
    port: u16,
    path: String,
}

/// For messages: a long path is cut.
impl std::fmt::Display for Hop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.origin(), printable(&self.path))
    }
}

impl Hop {
    /// The URL to fetch.
    fn url(&self) -> String {
        format!("{}{}", self.origin(), self.path)
    }

    fn origin(&self) -> String {
        let (scheme, default) = if self.https { ("https", 443) } else { ("http", 80) };
        let host = self.host.url_host();
        if self.port == default { format!("{scheme}://{host}") } else { format!("{scheme}://{host}:{}", self.port) }
    }

    /// Where a Location leads (RFC 3986, 5.2, for the forms that occur), if validation may go there.
    fn redirected(&self, location: &str, prober: &Prober) -> Result<Hop, String> {
        let refused = |why: &str| format!("it redirects to {}, {why}", printable(location));
        let location = location.split('#').next().unwrap_or_default();
        let target = if let Some(path) = location.strip_prefix('/').filter(|rest| !rest.starts_with('/')) {
            Hop { path: format!("/{path}"), ..self.clone() }
        } else {
            let absolute = match location.strip_prefix("//") {
                Some(rest) => format!("{}://{rest}", if self.https { "https" } else { "http" }),
                None => location.to_owned(),
            };
            Hop::parse(&absolute).ok_or_else(|| refused("which is not an absolute http or https URL or path"))?
        };
        let ports = [80, 443, prober.http_01_port, prober.tls_alpn_01_port];
        if ports.contains(&target.port) {
            Ok(target)
        } else {
            Err(refused("whose port is not 80, 443 or one that this server is set up with"))
        }
    }

    fn parse(url: &str) -> Option<Hop> {
        let uri: Uri = url.parse().ok()?;
        let https = match uri.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let authority = uri.authority()?;
        if authority.as_str().contains('@') {
            return None;
        }
        let host = authority.host();
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        Some(Hop {
            https,
            host: Identifier::parse_host(host).ok()?,
            port: uri.port_u16().unwrap_or(if https { 443 } else { 80 }),
            path: uri.path_and_query().map_or("/", |p| p.as_str()).to_owned(),
        })
    }
}

/// What came back, and from where.
struct Reply {
    from: SocketAddr,
    status: u16,
    location: Option<String>,
    body: Vec<u8>,
    cut: bool,
}

impl Reply {
    fn judge(&self, hop: &Hop, expected: &str, redirected: bool) -> Result<(), Failure> {
        if self.status != 200 {
            return Err(self.wrong(hop, &format!("it answered {}{}", self.status, self.shown(redirected))));
        }
        // Editors and shells end files with a line break.
        if !self.cut && self.body.trim_ascii_end() == expected.as_bytes() {
            return Ok(());
        }
        let shown = self.shown(redirected);
        Err(self.wrong(hop, &format!("it answered 200 with something other than the key authorization{shown}")))
    }

    fn wrong(&self, hop: &Hop, why: &str) -> Failure {
        Failure::last(Class::IncorrectResponse, format!("{hop} at {}: {why}", self.from))
    }

    /// How long the body is and how it begins. Where redirects led to is not the client's to read.
    fn shown(&self, redirected: bool) -> String {
        let length =
            if self.cut { format!("more than {LARGEST_BODY} bytes") } else { format!("{} bytes", self.body.len()) };
        let start: String = String::from_utf8_lossy(self.body.get(..64).unwrap_or(&self.body))
            .chars()
            .map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '.' })
            .collect();
        if redirected || start.is_empty() {
            format!(" ({length})")
        } else {
            format!(" ({length}, beginning \"{start}\")")
        }
    }
}

/// Ask the addresses of the host in turn until one answers.
fn fetch(prober: &Prober, hop: &Hop, account: i64, deadline: Instant) -> Result<Reply, Failure> {
    prober.reach(&hop.host, hop.port, account, deadline, |target, connect, total| {
        get(&prober.crypto, hop, target, connect, total).map_err(|e| explain(hop, target, &e))
    })
}

fn get(
    provider: &Arc<CryptoProvider>,
    hop: &Hop,
    target: SocketAddr,
    connect: Duration,
    total: Duration,
) -> Result<Reply, ureq::Error> {
    let url = hop.url();
    // https is reached by redirects only; whose certificate it is proves nothing here (RFC 8555, 8.3).
    let tls = TlsConfig::builder()
        .disable_verification(true)
        .unversioned_rustls_crypto_provider(Arc::clone(provider))
        .build();
    let config = ureq::config::Config::builder()
        .proxy(None)
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_response_header_size(LARGEST_HEAD)
        // As large as what is read and written; ureq would zero a quarter of a megabyte for each request.
        .input_buffer_size(LARGEST_HEAD + 1)
        .output_buffer_size(url.len().saturating_add(1024))
        .user_agent(concat!("certwright/", env!("CARGO_PKG_VERSION"), " (http-01)"))
        .timeout_connect(Some(connect))
        .timeout_global(Some(total))
        .tls_config(tls)
        .build();
    let agent = ureq::Agent::with_parts(config, DefaultConnector::new(), Checked(target));
    let mut response = agent.get(url).header("Connection", "close").call()?;
    let status = response.status().as_u16();
    let location = match status {
        301 | 302 | 303 | 307 | 308 => {
            response.headers().get("Location").and_then(|v| v.to_str().ok()).map(str::to_owned)
        }
        _ => None,
    };
    let mut body = Vec::new();
    let mut cut = false;
    if location.is_none() {
        // One byte more than is allowed tells whether it was cut.
        let mut reader = response.body_mut().with_config().limit(LARGEST_BODY * 2).reader();
        let read = std::io::Read::read_to_end(&mut std::io::Read::take(&mut reader, LARGEST_BODY + 1), &mut body);
        read.map_err(ureq::Error::Io)?;
        cut = body.len() as u64 > LARGEST_BODY;
    }
    Ok(Reply { from: target, status, location, body, cut })
}

/// The one address that was judged, so that nothing is resolved again between the check and the connection.
#[derive(Debug)]
struct Checked(SocketAddr);

impl UreqResolver for Checked {
    fn resolve(&self, _: &Uri, _: &ureq::config::Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut addresses = self.empty();
        addresses.push(self.0);
        Ok(addresses)
    }
}

fn explain(hop: &Hop, target: SocketAddr, e: &ureq::Error) -> Failure {
    let why = match e {
        ureq::Error::Timeout(_) => "it did not answer in time".to_owned(),
        ureq::Error::ConnectionFailed => "the connection failed".to_owned(),
        other => printable(&other.to_string()),
    };
    let class = match e {
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => Class::Tls,
        ureq::Error::Io(e) if is_shortage(e) => Class::Unavailable,
        _ => Class::Connection,
    };
    Failure { error: Error::new(class, format!("{hop} at {target}: {why}")), passing: true }
}
