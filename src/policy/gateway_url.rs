//! gw-cluster-url: where clients reach the daemon, and the beginning of every link that they get.

use crate::error::{Error, Result};
use crate::identifier::Identifier;
use std::fmt;
use std::net::IpAddr;

/// `https://HOST[:PORT]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayUrl {
    text: String,
    host: Identifier,
}

impl GatewayUrl {
    /// Parse it; a slash at the end is taken off.
    ///
    /// # Errors
    /// Malformed for anything but an https URL of a host and perhaps a port.
    pub fn parse(text: &str) -> Result<GatewayUrl> {
        let wrong = |why: &str| {
            Error::malformed(format!(
                "--gw-cluster-url {text}: {why}; write https://HOST:PORT, as clients reach this daemon"
            ))
        };
        let rest = text.strip_prefix("https://").ok_or_else(|| wrong("ACME is served over https only"))?;
        let (host, port) = origin(rest).map_err(wrong)?;
        let text = match port {
            None | Some(443) => format!("https://{}", host.url_host()),
            Some(port) => format!("https://{}:{port}", host.url_host()),
        };
        Ok(GatewayUrl { text, host })
    }

    /// The host, which names the daemon's own TLS certificate.
    pub fn host(&self) -> &Identifier {
        &self.host
    }

    /// The URL without a slash at the end.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for GatewayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What the URLs in certificates begin with: `http://HOST[:PORT]`, since whoever checks a certificate must be able to fetch
/// them without checking another (RFC 5280, 8).
///
/// # Errors
/// Malformed for any other URL.
pub(super) fn public_url(text: &str) -> Result<String> {
    let wrong = |why: &str| {
        Error::malformed(format!("--public-url {text}: {why}; write http://HOST:PORT, as clients reach --plain-listen"))
    };
    let plain = "CRLs, OCSP and CA certificates are fetched over http only (RFC 5280, 8)";
    let (host, port) = origin(text.strip_prefix("http://").ok_or_else(|| wrong(plain))?).map_err(wrong)?;
    Ok(match port {
        None | Some(80) => format!("http://{}", host.url_host()),
        Some(port) => format!("http://{}:{port}", host.url_host()),
    })
}

/// `HOST[:PORT]` and perhaps a slash, or why it is none.
fn origin(text: &str) -> std::result::Result<(Identifier, Option<u16>), &'static str> {
    let authority = text.trim_end_matches('/');
    if authority.contains(['/', '?', '#', '@', ' ']) {
        return Err("there may be no path, query or user");
    }
    let (host, port) = split_port(authority);
    let host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(v6) => Identifier::Ip(IpAddr::V6(v6.parse().map_err(|_| "the address is not IPv6")?)),
        None => Identifier::parse_host(host).map_err(|_| "the host is neither a name nor an address")?,
    };
    if matches!(&host, Identifier::Dns(name) if name.is_wildcard()) {
        return Err("the host cannot be a wildcard");
    }
    let port = match port {
        None => None,
        Some(digits) => Some(digits.parse::<u16>().ok().filter(|p| *p != 0).ok_or("the port is not a number")?),
    };
    Ok((host, port))
}

fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_addresses_and_ports_are_taken_and_nothing_else() {
        for (text, canonical) in [
            ("https://ca.lan:8000", "https://ca.lan:8000"),
            ("https://CA.lan:443/", "https://ca.lan"),
            ("https://10.0.0.1:8000", "https://10.0.0.1:8000"),
            ("https://[fd00::1]:8000", "https://[fd00::1]:8000"),
            ("https://[fd00::1]", "https://[fd00::1]"),
            ("https://localhost", "https://localhost"),
        ] {
            assert_eq!(GatewayUrl::parse(text).map(|u| u.to_string()).as_deref(), Ok(canonical));
        }
        for text in [
            "http://ca.lan",
            "ca.lan",
            "https://",
            "https://a/b",
            "https://a:0",
            "https://a:x",
            "https://u@a",
            "https://*.lan",
        ] {
            assert!(GatewayUrl::parse(text).is_err(), "{text}");
        }
    }
}
