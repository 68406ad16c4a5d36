//! The extensions of RFC 5280, 4.2, that are written here, each as a complete Extension.

use crate::der::{self, oid};
use crate::error::{Class, Error, Result};
use crate::identifier::{DnsName, Identifier, Network};
use std::net::IpAddr;

/// The bits of keyUsage (RFC 5280, 4.2.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum KeyUsage {
    DigitalSignature,
    ContentCommitment,
    KeyEncipherment,
    DataEncipherment,
    KeyAgreement,
    KeyCertSign,
    CrlSign,
    EncipherOnly,
    DecipherOnly,
}

impl KeyUsage {
    /// All of them, in the order of their bits.
    pub const ALL: [KeyUsage; 9] = [
        KeyUsage::DigitalSignature,
        KeyUsage::ContentCommitment,
        KeyUsage::KeyEncipherment,
        KeyUsage::DataEncipherment,
        KeyUsage::KeyAgreement,
        KeyUsage::KeyCertSign,
        KeyUsage::CrlSign,
        KeyUsage::EncipherOnly,
        KeyUsage::DecipherOnly,
    ];

    /// The name in RFC 5280.
    pub fn name(self) -> &'static str {
        match self {
            KeyUsage::DigitalSignature => "digitalSignature",
            KeyUsage::ContentCommitment => "contentCommitment",
            KeyUsage::KeyEncipherment => "keyEncipherment",
            KeyUsage::DataEncipherment => "dataEncipherment",
            KeyUsage::KeyAgreement => "keyAgreement",
            KeyUsage::KeyCertSign => "keyCertSign",
            KeyUsage::CrlSign => "cRLSign",
            KeyUsage::EncipherOnly => "encipherOnly",
            KeyUsage::DecipherOnly => "decipherOnly",
        }
    }

    /// Parse a name in any case; `nonRepudiation` is the older name of contentCommitment.
    ///
    /// # Errors
    /// Malformed for any other text.
    pub fn parse(text: &str) -> Result<KeyUsage> {
        if text.eq_ignore_ascii_case("nonRepudiation") {
            return Ok(KeyUsage::ContentCommitment);
        }
        KeyUsage::ALL.into_iter().find(|u| u.name().eq_ignore_ascii_case(text)).ok_or_else(|| {
            let known = KeyUsage::ALL.map(KeyUsage::name).join(", ");
            Error::malformed(format!("\"{text}\" is not a key usage; known are {known}"))
        })
    }

    /// The number of its bit.
    pub fn bit(self) -> u8 {
        KeyUsage::ALL.iter().position(|u| *u == self).map_or(0, |at| at as u8)
    }
}

/// What the key of a leaf may be used for (RFC 5280, 4.2.1.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ExtendedKeyUsage {
    ServerAuth,
    ClientAuth,
}

impl ExtendedKeyUsage {
    /// Its object identifier.
    pub fn oid(self) -> &'static [u8] {
        match self {
            ExtendedKeyUsage::ServerAuth => oid::SERVER_AUTH,
            ExtendedKeyUsage::ClientAuth => oid::CLIENT_AUTH,
        }
    }
}

/// The names that a CA certificate limits its descendants to (RFC 5280, 4.2.1.10). A kind with nothing listed is
/// excluded whole, as long as the other kind has something listed.
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

    /// Whether a certificate for this identifier can be valid below them.
    pub fn permit(&self, identifier: &Identifier) -> bool {
        self.is_empty()
            || match identifier {
                Identifier::Dns(name) => {
                    self.domains.iter().any(|d| name.base() == d.as_str() || name.is_below(d.as_str()))
                }
                Identifier::Ip(address) => self.networks.iter().any(|n| n.contains(*address)),
            }
    }

    /// The same, as an error.
    ///
    /// # Errors
    /// RejectedIdentifier, about the name, when it cannot.
    pub fn check(&self, identifier: &Identifier) -> Result<()> {
        if self.permit(identifier) {
            return Ok(());
        }
        let why = format!("{identifier}: the name constraints of this issuer's CA certificate do not permit it");
        Err(Error::new(Class::RejectedIdentifier, why).about(identifier.to_string()))
    }
}

pub(super) fn basic_constraints_ca(path_len: Option<u8>) -> Vec<u8> {
    let mut parts = vec![der::boolean_true()];
    parts.extend(path_len.map(|n| der::small_integer(n.into())));
    extension(oid::BASIC_CONSTRAINTS, true, &der::sequence(&parts))
}

/// cA is FALSE by default, so that the value is an empty SEQUENCE.
pub(super) fn basic_constraints_leaf() -> Vec<u8> {
    extension(oid::BASIC_CONSTRAINTS, true, &der::sequence::<Vec<u8>>(&[]))
}

pub(super) fn key_usage(usages: &[KeyUsage], critical: bool) -> Vec<u8> {
    let bits: Vec<u8> = usages.iter().map(|u| u.bit()).collect();
    extension(oid::KEY_USAGE, critical, &der::named_bits(&bits))
}

pub(super) fn extended_key_usage(usages: &[ExtendedKeyUsage]) -> Vec<u8> {
    let oids: Vec<Vec<u8>> = usages.iter().map(|u| der::object_identifier(u.oid())).collect();
    extension(oid::EXTENDED_KEY_USAGE, false, &der::sequence(&oids))
}

pub(super) fn subject_key_identifier(identifier: &[u8]) -> Vec<u8> {
    extension(oid::SUBJECT_KEY_IDENTIFIER, false, &der::octet_string(identifier))
}

pub(super) fn authority_key_identifier(identifier: &[u8]) -> Vec<u8> {
    let value = der::sequence(&[der::element(der::context(0), identifier)]);
    extension(oid::AUTHORITY_KEY_IDENTIFIER, false, &value)
}

/// Critical when the subject is empty (RFC 5280, 4.2.1.6).
pub(super) fn subject_alt_name(identifiers: &[Identifier], critical: bool) -> Vec<u8> {
    let names: Vec<Vec<u8>> = identifiers
        .iter()
        .map(|identifier| match identifier {
            Identifier::Dns(name) => der::element(der::context(2), name.as_str().as_bytes()),
            Identifier::Ip(IpAddr::V4(address)) => der::element(der::context(7), &address.octets()),
            Identifier::Ip(IpAddr::V6(address)) => der::element(der::context(7), &address.octets()),
        })
        .collect();
    extension(oid::SUBJECT_ALT_NAME, critical, &der::sequence(&names))
}

pub(super) fn name_constraints(constraints: &NameConstraints) -> Vec<u8> {
    let subtree = |name: Vec<u8>| der::sequence(&[name]);
    let domains = constraints.domains.iter().map(|d| der::element(der::context(2), d.as_str().as_bytes()));
    let networks = constraints.networks.iter().map(|n| der::element(der::context(7), &n.octets_and_mask()));
    let permitted: Vec<Vec<u8>> = domains.chain(networks).map(subtree).collect();
    let mut excluded = Vec::new();
    if constraints.domains.is_empty() {
        excluded.push(subtree(der::element(der::context(2), &[])));
    }
    // All addresses of a family are one network with an empty mask.
    for (family_is_v4, octets) in [(true, 8), (false, 32)] {
        if !constraints.networks.iter().any(|n| n.is_ipv4() == family_is_v4) {
            excluded.push(subtree(der::element(der::context(7), &vec![0; octets])));
        }
    }
    let mut parts = vec![der::constructed(der::context_constructed(0), &permitted)];
    if !excluded.is_empty() {
        parts.push(der::constructed(der::context_constructed(1), &excluded));
    }
    extension(oid::NAME_CONSTRAINTS, true, &der::sequence(&parts))
}

fn extension(oid: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let mut parts = vec![der::object_identifier(oid)];
    if critical {
        parts.push(der::boolean_true());
    }
    parts.push(der::octet_string(value));
    der::sequence(&parts)
}
