//! Which names an issuer certifies.

use crate::error::{Class, Error, Result};
use crate::identifier::{DnsName, Identifier, Network};

/// The names that an issuer allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePolicy {
    /// Exact names, and `*.` entries, which allow that wildcard and one label below.
    pub allowed: Vec<DnsName>,
    /// Whether any name below an allowed one is allowed, its wildcards too.
    pub subdomains: bool,
    /// Whether no wildcard is allowed at all.
    pub no_wildcards: bool,
    /// Whether any DNS name is allowed.
    pub any_name: bool,
    /// The networks whose addresses are allowed.
    pub networks: Vec<Network>,
}

impl NamePolicy {
    /// Whether a name may stand in a certificate of this issuer. The daemon's own hosts, of this issuer and of others,
    /// need an exact entry.
    ///
    /// # Errors
    /// RejectedIdentifier, about the name, with the reason.
    pub fn check(&self, identifier: &Identifier, own_hosts: &[Identifier]) -> Result<()> {
        let refused = |why: &str| Err(rejected(identifier, why));
        let name = match identifier {
            Identifier::Dns(name) => name,
            Identifier::Ip(_) if own_hosts.contains(identifier) => {
                return refused("this is the certificate authority's own address");
            }
            Identifier::Ip(address) if self.networks.iter().any(|n| n.contains(*address)) => return Ok(()),
            Identifier::Ip(_) => return refused("this address is in none of the networks that the issuer allows"),
        };
        if name.is_wildcard() && self.no_wildcards {
            return refused("this issuer allows no wildcards");
        }
        if name.is_wildcard() && !name.base().contains('.') {
            return refused("no client accepts a wildcard over a single label");
        }
        let is_unlisted = |host: &&Identifier| match host {
            Identifier::Dns(host) => name.allows(host) && !self.allowed.contains(host),
            Identifier::Ip(_) => false,
        };
        if let Some(host) = own_hosts.iter().find(is_unlisted) {
            return refused(&format!(
                "it would be good for {host}, the certificate authority's own host, which needs an exact entry in the \
                 issuer's allowed domains"
            ));
        }
        let exact = self.allowed.contains(name);
        if name.label_count() == 1 && !exact {
            return refused("a name of a single label needs an exact entry in the issuer's allowed domains");
        }
        let is_below = |entry: &DnsName| self.subdomains && name.is_below(entry.base());
        if exact || self.any_name || self.allowed.iter().any(|entry| entry.allows(name) || is_below(entry)) {
            Ok(())
        } else {
            refused(
                "this name is not in the issuer's allowed domains, which its administrator changes with \
                 update-pki-cert-issuer --allowed-domains",
            )
        }
    }
}

/// The names that an account may ask for that was made with a bounded credential. Settings of the issuer never widen them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EabBounds(Vec<DnsName>);

impl EabBounds {
    /// Parse them.
    ///
    /// # Errors
    /// Malformed for what is not a name.
    pub fn parse(domains: &[String]) -> Result<EabBounds> {
        domains
            .iter()
            .map(|d| DnsName::parse(d).map_err(|e| e.context("--allowed-domains")))
            .collect::<Result<_>>()
            .map(EabBounds)
    }

    /// The names as they are kept.
    pub fn to_texts(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }

    /// Whether a name lies within them: it is one of them, or one label below a `*.` entry.
    ///
    /// # Errors
    /// RejectedIdentifier, about the name.
    pub fn check(&self, identifier: &Identifier) -> Result<()> {
        let within = match identifier {
            Identifier::Ip(_) => false,
            Identifier::Dns(name) => self.0.iter().any(|entry| entry.allows(name)),
        };
        if within {
            Ok(())
        } else {
            Err(rejected(
                identifier,
                "this account's external account binding does not allow it; register with one that does",
            ))
        }
    }
}

fn rejected(identifier: &Identifier, why: &str) -> Error {
    let name = identifier.to_string();
    Error::new(Class::RejectedIdentifier, format!("{name}: {why}")).about(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(allowed: &[&str]) -> NamePolicy {
        NamePolicy {
            allowed: allowed.iter().map(|n| DnsName::parse(n).unwrap()).collect(),
            subdomains: false,
            no_wildcards: false,
            any_name: false,
            networks: vec![Network::parse("10.1.0.0/16").unwrap()],
        }
    }

    fn allows(policy: &NamePolicy, name: &str) -> bool {
        let own_hosts = [Identifier::parse_host("ca.own.acme.com").unwrap()];
        policy.check(&Identifier::parse_host(name).unwrap(), &own_hosts).is_ok()
    }

    #[test]
    fn exact_entries_allow_themselves_and_no_look_alike() {
        let exact = policy(&["acme.com", "printer"]);
        for name in ["acme.com", "printer"] {
            assert!(allows(&exact, name), "{name}");
        }
        for name in
            ["evilacme.com", "acme.com.evil.org", "www.acme.com", "*.acme.com", "acme.co", "scanner", "10.0.0.1", "::1"]
        {
            assert!(!allows(&exact, name), "{name}");
        }
    }

    #[test]
    fn a_wildcard_entry_allows_the_wildcard_and_one_label_below() {
        let wildcard = policy(&["*.acme.com"]);
        for name in ["*.acme.com", "www.acme.com"] {
            assert!(allows(&wildcard, name), "{name}");
        }
        for name in ["acme.com", "a.b.acme.com", "*.b.acme.com"] {
            assert!(!allows(&wildcard, name), "{name}");
        }
    }

    #[test]
    fn subdomains_are_any_name_below_and_wildcards_unless_disabled() {
        let mut below = policy(&["acme.com"]);
        below.subdomains = true;
        for name in ["acme.com", "a.acme.com", "a.b.acme.com", "*.acme.com", "*.b.acme.com"] {
            assert!(allows(&below, name), "{name}");
        }
        for name in ["evilacme.com", "com", "*.com"] {
            assert!(!allows(&below, name), "{name}");
        }
        for name in ["ca.own.acme.com", "*.own.acme.com"] {
            assert!(!allows(&below, name), "{name} is the CA's own, or good for it");
        }
        below.allowed.push(DnsName::parse("ca.own.acme.com").unwrap());
        assert!(allows(&below, "ca.own.acme.com") && allows(&below, "*.own.acme.com"));
        below.no_wildcards = true;
        assert!(!allows(&below, "*.acme.com"));
    }

    #[test]
    fn addresses_lie_in_the_networks_that_are_named() {
        let some = policy(&[]);
        assert!(allows(&some, "10.1.2.3"));
        assert!(!allows(&some, "10.2.0.1") && !allows(&some, "::1"));
    }

    #[test]
    fn a_bounded_credential_allows_what_it_names() {
        let bounds = EabBounds::parse(&["www.acme.com".into(), "*.lab.acme.com".into()]).unwrap();
        let within = |name: &str| bounds.check(&Identifier::parse_host(name).unwrap()).is_ok();
        assert!(within("www.acme.com") && within("*.lab.acme.com") && within("a.lab.acme.com"));
        for name in ["acme.com", "*.acme.com", "a.b.lab.acme.com", "lab.acme.com", "10.1.2.3"] {
            assert!(!within(name), "{name}");
        }
    }

    #[test]
    fn any_name_means_dns_names_of_several_labels() {
        let mut any = policy(&[]);
        any.any_name = true;
        assert!(allows(&any, "whatever.example") && allows(&any, "*.whatever.example"));
        for name in ["localhost", "*.lan", "10.0.0.1", "ca.own.acme.com", "*.own.acme.com"] {
            assert!(!allows(&any, name), "{name}");
        }
    }
}
