//! Name constraints (RFC 5280, 4.2.1.10): those that we write, and those of whatever stands above a signer.

use crate::der::{self, Reader};
use crate::error::{Class, Error, Result};
use crate::identifier::{DnsName, Identifier, Network};

const DNS_NAME: der::Tag = der::context(2);
const IP_ADDRESS: der::Tag = der::context(7);

/// The names that a CA certificate of ours limits its descendants to. A kind with nothing listed is excluded whole, as long
/// as the other kind has something listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameConstraints {
    /// DNS names; each allows itself and everything below.
    pub domains: Vec<DnsName>,
    /// Networks of addresses.
    pub networks: Vec<Network>,
}

impl NameConstraints {
    /// Whether nothing is constrained.
    pub fn is_empty(&self) -> bool {
        self.domains.is_empty() && self.networks.is_empty()
    }

    /// The value of the extension; `None` when nothing is constrained.
    pub fn to_der(&self) -> Option<Vec<u8>> {
        if self.is_empty() {
            return None;
        }
        let subtree = |name: Vec<u8>| der::sequence(&[name]);
        let domains = self.domains.iter().map(|d| der::element(DNS_NAME, d.as_str().as_bytes()));
        let networks = self.networks.iter().map(|n| der::element(IP_ADDRESS, &n.octets_and_mask()));
        let permitted: Vec<Vec<u8>> = domains.chain(networks).map(subtree).collect();
        let mut excluded = Vec::new();
        if self.domains.is_empty() {
            excluded.push(subtree(der::element(DNS_NAME, &[])));
        }
        // All addresses of a family are one network with an empty mask.
        for (family_is_v4, octets) in [(true, 8), (false, 32)] {
            if !self.networks.iter().any(|n| n.is_ipv4() == family_is_v4) {
                excluded.push(subtree(der::element(IP_ADDRESS, &vec![0; octets])));
            }
        }
        let mut parts = vec![der::constructed(der::context_constructed(0), &permitted)];
        if !excluded.is_empty() {
            parts.push(der::constructed(der::context_constructed(1), &excluded));
        }
        Some(der::sequence(&parts))
    }
}

/// The constraints of one certificate, as they were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subtrees {
    permitted: Vec<Subtree>,
    excluded: Vec<Subtree>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Subtree {
    /// Lower case. Empty for all names; with a leading dot for what lies below only.
    Dns(String),
    Network(Network),
    /// Forms that our names never have.
    Other,
}

impl Subtrees {
    /// Parse the value of the extension.
    ///
    /// # Errors
    /// Malformed when it is not NameConstraints, or when a subtree has bounds (RFC 5280 allows none).
    pub fn parse(value: &[u8]) -> Result<Subtrees> {
        let mut outer = Reader::new(value);
        let mut parts = outer.enter(der::SEQUENCE)?;
        outer.finish()?;
        let permitted = subtrees(parts.optional(der::context_constructed(0))?)?;
        let excluded = subtrees(parts.optional(der::context_constructed(1))?)?;
        parts.finish()?;
        Ok(Subtrees { permitted, excluded })
    }

    fn permit(&self, identifier: &Identifier) -> bool {
        let of_kind = |subtree: &&Subtree| {
            matches!(
                (subtree, identifier),
                (Subtree::Dns(_), Identifier::Dns(_)) | (Subtree::Network(_), Identifier::Ip(_))
            )
        };
        let mut permitted = self.permitted.iter().filter(of_kind).peekable();
        let is_permitted = permitted.peek().is_none() || permitted.any(|subtree| subtree.holds(identifier));
        is_permitted && !self.excluded.iter().any(|subtree| subtree.touches(identifier))
    }
}

impl Subtree {
    /// Whether all that an identifier stands for lies within.
    fn holds(&self, identifier: &Identifier) -> bool {
        match (self, identifier) {
            (Subtree::Dns(domain), Identifier::Dns(name)) => {
                let below = domain.strip_prefix('.');
                // All that a wildcard stands for lies below its base.
                let itself = below.is_none() && name.base() == domain;
                let base_itself = name.is_wildcard() && below == Some(name.base());
                domain.is_empty() || itself || base_itself || name.is_below(below.unwrap_or(domain))
            }
            (Subtree::Network(network), Identifier::Ip(address)) => network.contains(*address),
            _ => false,
        }
    }

    /// Whether anything that an identifier stands for lies within.
    fn touches(&self, identifier: &Identifier) -> bool {
        let one_below = match (self, identifier) {
            (Subtree::Dns(domain), Identifier::Dns(name)) if name.is_wildcard() => {
                domain.trim_start_matches('.').split_once('.').is_some_and(|(_, parent)| parent == name.base())
            }
            _ => false,
        };
        one_below || self.holds(identifier)
    }
}

/// Those of all certificates above a leaf.
#[derive(Clone, Debug, Default)]
pub struct ChainConstraints(Vec<Subtrees>);

impl ChainConstraints {
    pub(super) fn add(&mut self, subtrees: Subtrees) {
        self.0.push(subtrees);
    }

    /// Whether a leaf for this identifier can be valid below the chain.
    pub fn permit(&self, identifier: &Identifier) -> bool {
        self.0.iter().all(|subtrees| subtrees.permit(identifier))
    }

    /// The same, as an error.
    ///
    /// # Errors
    /// RejectedIdentifier, about the name, when it cannot.
    pub fn check(&self, identifier: &Identifier) -> Result<()> {
        if self.permit(identifier) {
            return Ok(());
        }
        let why = format!("{identifier}: the name constraints of this issuer's CA certificates do not permit it");
        Err(Error::new(Class::RejectedIdentifier, why).about(identifier.to_string()))
    }
}

fn subtrees(list: Option<&[u8]>) -> Result<Vec<Subtree>> {
    let mut list = Reader::new(list.unwrap_or_default());
    let mut found = Vec::new();
    while !list.is_empty() {
        let mut subtree = list.enter(der::SEQUENCE)?;
        let (tag, base, _) = subtree.any()?;
        subtree.finish()?;
        found.push(match tag {
            DNS_NAME => Subtree::Dns(String::from_utf8_lossy(base).to_ascii_lowercase()),
            IP_ADDRESS => Subtree::Network(Network::from_octets_and_mask(base)?),
            _ => Subtree::Other,
        });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(constraints: &Subtrees, name: &str) -> bool {
        constraints.permit(&Identifier::parse_host(name).unwrap())
    }

    #[test]
    fn what_we_write_excludes_the_kind_that_is_not_listed() {
        let domains = NameConstraints { domains: vec![DnsName::parse("home.arpa").unwrap()], networks: Vec::new() };
        let read = Subtrees::parse(&domains.to_der().unwrap()).unwrap();
        for name in ["home.arpa", "a.b.home.arpa", "*.home.arpa"] {
            assert!(permits(&read, name), "{name}");
        }
        for name in ["nohome.arpa", "arpa", "10.0.0.1", "::1"] {
            assert!(!permits(&read, name), "{name}");
        }
        let network = Network::parse("10.1.0.0/16").unwrap();
        let networks = NameConstraints { domains: Vec::new(), networks: vec![network] };
        let read = Subtrees::parse(&networks.to_der().unwrap()).unwrap();
        assert!(permits(&read, "10.1.2.3"));
        for name in ["10.2.0.1", "::1", "home.arpa", "*.home.arpa"] {
            assert!(!permits(&read, name), "{name}");
        }
        assert_eq!(NameConstraints::default().to_der(), None);
    }

    #[test]
    fn what_others_write_is_read_with_their_dots_and_exclusions() {
        let dns = |name: &str| Subtree::Dns(name.into());
        let read = Subtrees { permitted: vec![dns(".corp.lan")], excluded: vec![dns("secret.corp.lan")] };
        assert!(
            permits(&read, "a.corp.lan") && permits(&read, "10.0.0.1"),
            "no network is listed, so none is shut out"
        );
        for name in ["corp.lan", "secret.corp.lan", "x.secret.corp.lan", "*.corp.lan", "a.other.lan"] {
            assert!(!permits(&read, name), "{name}");
        }
        let all = Subtrees { permitted: Vec::new(), excluded: vec![dns("")] };
        assert!(!permits(&all, "a.lan"));
    }
}
