//! The extensions of RFC 5280, 4.2, that are written here, each as a complete Extension.

use crate::der::{self, oid};
use crate::error::{Error, Result};
use crate::identifier::Identifier;
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
    OcspSigning,
}

impl ExtendedKeyUsage {
    /// Its object identifier.
    pub fn oid(self) -> &'static [u8] {
        match self {
            ExtendedKeyUsage::ServerAuth => oid::SERVER_AUTH,
            ExtendedKeyUsage::ClientAuth => oid::CLIENT_AUTH,
            ExtendedKeyUsage::OcspSigning => oid::OCSP_SIGNING,
        }
    }
}

/// Where clients learn more about a certificate; each an http URL (RFC 5280, 8, speaks against https).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Points {
    /// The CRL that would list it.
    pub crl: Option<String>,
    /// Who answers about it by OCSP.
    pub ocsp: Option<String>,
    /// The certificate of its issuer, in DER.
    pub issuers: Option<String>,
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

/// Critical, as RFC 5280, 4.2.1.10, wants it.
pub(super) fn name_constraints(value: &[u8]) -> Vec<u8> {
    extension(oid::NAME_CONSTRAINTS, true, value)
}

/// RFC 5280, 4.2.2.1: where the issuer's certificate is, and who answers by OCSP.
pub(super) fn authority_info_access(points: &Points) -> Option<Vec<u8>> {
    let description = |method: &[u8], url: &String| der::sequence(&[der::object_identifier(method), uri(url)]);
    let ocsp = points.ocsp.iter().map(|url| description(oid::OCSP, url));
    let issuers = points.issuers.iter().map(|url| description(oid::CA_ISSUERS, url));
    let all: Vec<Vec<u8>> = ocsp.chain(issuers).collect();
    (!all.is_empty()).then(|| extension(oid::AUTHORITY_INFO_ACCESS, false, &der::sequence(&all)))
}

/// RFC 5280, 4.2.1.13: one point with one URL.
pub(super) fn crl_distribution_points(points: &Points) -> Option<Vec<u8>> {
    let url = points.crl.as_ref()?;
    let point = der::sequence(&[distribution_point_name(url)]);
    Some(extension(oid::CRL_DISTRIBUTION_POINTS, false, &der::sequence(&[point])))
}

/// `distributionPoint` of RFC 5280, 4.2.1.13 and 5.2.5. Its type is a CHOICE, so that its tag is explicit.
pub(super) fn distribution_point_name(url: &str) -> Vec<u8> {
    let full_name = der::constructed(der::context_constructed(0), &[uri(url)]);
    der::constructed(der::context_constructed(0), &[full_name])
}

fn uri(url: &str) -> Vec<u8> {
    der::element(der::context(6), url.as_bytes())
}

/// RFC 6960, 4.2.2.2.1: whoever trusts the responder need not ask about it.
pub(super) fn ocsp_no_check() -> Vec<u8> {
    extension(oid::OCSP_NO_CHECK, false, &der::null())
}

/// A complete Extension.
pub(super) fn extension(oid: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if critical { der::boolean_true() } else { Vec::new() };
    der::sequence(&[der::object_identifier(oid), critical, der::octet_string(value)])
}
