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
        let authority =
            text.strip_prefix("https://").ok_or_else(|| wrong("ACME is served over https only"))?.trim_end_matches('/');
        if authority.contains(['/', '?', '#', '@', ' ']) {
            return Err(wrong("there may be no path, query or user"));
        }
        let (host, port) = split_port(authority);
        let host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            Some(v6) => Identifier::Ip(IpAddr::V6(v6.parse().map_err(|_| wrong("the address is not IPv6"))?)),
            None => Identifier::parse_host(host).map_err(|e| wrong(e.detail()))?,
        };
        if matches!(&host, Identifier::Dns(name) if name.is_wildcard()) {
            return Err(wrong("the host cannot be a wildcard"));
        }
        let port = match port {
            None => None,
            Some(digits) => {
                Some(digits.parse::<u16>().ok().filter(|p| *p != 0).ok_or_else(|| wrong("the port is not a number"))?)
            }
        };
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
