//! What a certificate can be for: validated DNS names and IP addresses, and the networks that addresses lie in.

mod dns_name;
mod network;
mod peer;

pub use dns_name::DnsName;
pub use network::Network;
pub use peer::Peer;

use crate::error::{Class, Error, Result};
use std::fmt;
use std::net::IpAddr;

/// An identifier that has been validated (RFC 8555, 9.7.7, and RFC 8738).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identifier {
    /// A DNS name, perhaps a wildcard.
    Dns(DnsName),
    /// An IP address.
    Ip(IpAddr),
}

impl Identifier {
    /// Parse the `type` and `value` of an ACME identifier.
    ///
    /// # Errors
    /// UnsupportedIdentifier for an unknown type, otherwise what the name's or address's own parser says.
    pub fn parse(kind: &str, value: &str) -> Result<Identifier> {
        let parsed = match kind {
            "dns" => DnsName::parse(value).map(Identifier::Dns),
            "ip" => match value.parse::<IpAddr>() {
                Ok(address) if address.to_string() == value => Ok(Identifier::Ip(address)),
                Ok(address) => Err(Error::malformed(format!("write the address {value} as {address}"))),
                Err(_) => Err(Error::malformed(format!("\"{}\" is not an IP address", printable(value)))),
            },
            other => Err(Error::new(
                Class::UnsupportedIdentifier,
                format!("identifiers of type \"{}\" are not supported; use \"dns\"", printable(other)),
            )),
        };
        parsed.map_err(|e| e.about(printable(value)).of_type(printable(kind)))
    }

    /// A host as it stands in a URL's authority, without brackets.
    ///
    /// # Errors
    /// As [`DnsName::parse`].
    pub fn parse_host(host: &str) -> Result<Identifier> {
        match host.parse::<IpAddr>() {
            Ok(address) => Ok(Identifier::Ip(address)),
            Err(_) => DnsName::parse(host).map(Identifier::Dns),
        }
    }

    /// The `type` member of an ACME identifier.
    pub fn kind(&self) -> &'static str {
        match self {
            Identifier::Dns(_) => "dns",
            Identifier::Ip(_) => "ip",
        }
    }

    /// The host as it stands in a URL's authority (RFC 3986, 3.2.2): an IPv6 address in brackets.
    pub fn url_host(&self) -> String {
        match self {
            Identifier::Ip(IpAddr::V6(address)) => format!("[{address}]"),
            other => other.to_string(),
        }
    }
}

/// The `value` member of an ACME identifier.
impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Identifier::Dns(name) => name.fmt(f),
            Identifier::Ip(address) => address.fmt(f),
        }
    }
}

/// Foreign text made fit to be repeated in a sentence: at most 128 characters, no control characters, and none that turn
/// the direction of what follows (Unicode TR 36, 2.6).
pub fn printable(text: &str) -> String {
    let begin: String = text.chars().take(128).collect();
    let mut clean = harmless(&begin);
    if text.chars().nth(128).is_some() {
        clean.push('…');
    }
    clean
}

/// The same of any length.
pub fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || turns(c) { '\u{fffd}' } else { c }).collect()
}

/// Whether text is printable ASCII, and so has nothing that had to be taken out of it anywhere.
pub fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b' '..=b'~'))
}

/// Whether a character turns the direction of what follows (Unicode TR 36, 2.6).
pub fn turns(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
