//! The last look at the very bytes that are about to be signed: they are read back and held against what was meant and
//! against RFC 5280. A bug above refuses here instead of mis-issuing.

use super::certificate::{CaCertificate, IssuerNames, Leaf, ResponderCertificate, Validity};
use super::extension::{self, ExtendedKeyUsage, KeyUsage, Points};
use super::parsed::{self, ParsedCertificate};
use super::time::time;
use crate::der::{self, Reader, oid};
use crate::error::{Error, Result};
use crate::identifier::Identifier;
use std::collections::BTreeSet;

pub(super) fn check_leaf(tbs: &[u8], meant: &Leaf, issuer: &IssuerNames<'_>, signature: &[u8]) -> Result<()> {
    let seen = ParsedCertificate::parse_tbs(tbs).map_err(|e| lint(e.detail()))?;
    check_common(&seen, meant.serial.octets(), meant.validity, signature)?;
    let own_identifier = meant.subject_key_identifier.then(|| meant.public_key.key_identifier());
    check_subject_key_identifier(&seen, own_identifier.as_ref().map(|i| &i[..]))?;
    require(seen.issuer == issuer.subject, "the issuer is not the signer's subject")?;
    require(seen.subject == meant.subject.to_der(), "the subject is not the one that was meant")?;
    require(seen.spki == meant.public_key.to_spki(), "the key is not the subscriber's")?;
    check_authority_key_identifier(&seen, Some(issuer))?;
    let empty = der::sequence::<Vec<u8>>(&[]);
    require(
        seen.extension(oid::BASIC_CONSTRAINTS) == Some((true, &empty[..])),
        "basicConstraints is not that of a leaf",
    )?;

    let names = seen.subject_alt_names().map_err(|e| lint(e.detail()))?;
    let unique: BTreeSet<&Identifier> = names.iter().collect();
    require(!names.is_empty() && unique.len() == names.len(), "subjectAltName is empty or repeats a name")?;
    require(
        unique == meant.identifiers.iter().collect(),
        "subjectAltName does not hold exactly the names that were meant",
    )?;
    let critical = seen.extension(oid::SUBJECT_ALT_NAME).is_some_and(|(critical, _)| critical);
    require(critical == meant.subject.is_empty(), "subjectAltName is critical exactly when the subject is empty")?;
    if let Some(name) = meant.subject.common_name() {
        let in_san = Identifier::parse_host(name).is_ok_and(|cn| unique.contains(&cn));
        require(in_san, "the common name is not among the names")?;
    }

    let usages = key_usages(&seen, &meant.key_usage, meant.key_usage_critical)?;
    let allowed: &[KeyUsage] = if meant.public_key.is_rsa() {
        &[
            KeyUsage::DigitalSignature,
            KeyUsage::ContentCommitment,
            KeyUsage::KeyEncipherment,
            KeyUsage::DataEncipherment,
        ]
    } else if meant.public_key.is_ec() {
        &[
            KeyUsage::DigitalSignature,
            KeyUsage::ContentCommitment,
            KeyUsage::KeyAgreement,
            KeyUsage::EncipherOnly,
            KeyUsage::DecipherOnly,
        ]
    } else {
        &[KeyUsage::DigitalSignature, KeyUsage::ContentCommitment]
    };
    require(usages.iter().all(|u| allowed.contains(u)), "keyUsage has a bit that this key cannot have")?;
    let purposes: Vec<Vec<u8>> = meant.extended_key_usage.iter().map(|u| der::object_identifier(u.oid())).collect();
    require(
        seen.extension(oid::EXTENDED_KEY_USAGE) == Some((false, &der::sequence(&purposes)[..])),
        "extendedKeyUsage is not the one that was meant",
    )?;
    require(meant.extended_key_usage.contains(&ExtendedKeyUsage::ServerAuth), "serverAuth is missing")?;
    check_points(&seen, &meant.points)?;
    let own: &[&[u8]] = if meant.subject_key_identifier { &[oid::SUBJECT_KEY_IDENTIFIER] } else { &[] };
    let all = [
        oid::AUTHORITY_KEY_IDENTIFIER,
        oid::KEY_USAGE,
        oid::BASIC_CONSTRAINTS,
        oid::EXTENDED_KEY_USAGE,
        oid::SUBJECT_ALT_NAME,
    ];
    check_extensions(&seen, &[&all, own, &point_extensions(&meant.points)].concat())
}

pub(super) fn check_ca(
    tbs: &[u8],
    meant: &CaCertificate,
    issuer: Option<&IssuerNames<'_>>,
    signature: &[u8],
) -> Result<()> {
    let seen = ParsedCertificate::parse_tbs(tbs).map_err(|e| lint(e.detail()))?;
    check_common(&seen, meant.serial.octets(), meant.validity, signature)?;
    require(seen.spki == meant.public_key.to_spki(), "the key is not the CA's")?;
    check_subject_key_identifier(&seen, Some(&meant.key_identifier))?;
    require(seen.subject == meant.subject, "the subject is not the one that was meant")?;
    require(seen.issuer == issuer.map_or(meant.subject.as_slice(), |i| i.subject), "the issuer is not the signer")?;
    check_authority_key_identifier(&seen, issuer)?;
    let mut constraints = vec![der::boolean_true()];
    constraints.extend(meant.profile.path_len.map(|n| der::small_integer(n.into())));
    require(
        seen.extension(oid::BASIC_CONSTRAINTS) == Some((true, &der::sequence(&constraints)[..])),
        "basicConstraints is not the one that was meant, critical and with cA",
    )?;
    let usages = key_usages(&seen, &meant.profile.key_usage, true)?;
    require(usages.contains(&KeyUsage::KeyCertSign), "a CA certificate has keyCertSign")?;
    let names = meant.profile.name_constraints.as_deref();
    require(
        seen.extension(oid::NAME_CONSTRAINTS) == names.map(|value| (true, value)),
        "nameConstraints are not those that were meant, critical",
    )?;
    seen.name_constraints().map_err(|e| lint(e.detail()))?;
    check_points(&seen, &meant.points)?;
    let mut all = vec![oid::BASIC_CONSTRAINTS, oid::KEY_USAGE, oid::SUBJECT_KEY_IDENTIFIER];
    all.extend(issuer.map(|_| oid::AUTHORITY_KEY_IDENTIFIER));
    all.extend(names.map(|_| oid::NAME_CONSTRAINTS));
    all.extend(point_extensions(&meant.points));
    check_extensions(&seen, &all)
}

pub(super) fn check_responder(
    tbs: &[u8],
    meant: &ResponderCertificate,
    issuer: &IssuerNames<'_>,
    subject: &[u8],
    signature: &[u8],
) -> Result<()> {
    let seen = ParsedCertificate::parse_tbs(tbs).map_err(|e| lint(e.detail()))?;
    check_common(&seen, meant.serial.octets(), meant.validity, signature)?;
    require(seen.issuer == issuer.subject, "the issuer is not the signer's subject")?;
    require(seen.subject == subject, "the subject is not the one that was meant")?;
    require(seen.spki == meant.public_key.to_spki(), "the key is not the responder's")?;
    check_authority_key_identifier(&seen, Some(issuer))?;
    check_subject_key_identifier(&seen, Some(&meant.public_key.key_identifier()))?;
    key_usages(&seen, &[KeyUsage::DigitalSignature], true)?;
    let purpose = der::sequence(&[der::object_identifier(oid::OCSP_SIGNING)]);
    require(
        seen.extension(oid::EXTENDED_KEY_USAGE) == Some((false, &purpose[..])),
        "a responder is for OCSPSigning and nothing else",
    )?;
    require(seen.extension(oid::OCSP_NO_CHECK) == Some((false, &der::null()[..])), "a responder has ocsp-nocheck")?;
    check_extensions(
        &seen,
        &[
            oid::AUTHORITY_KEY_IDENTIFIER,
            oid::SUBJECT_KEY_IDENTIFIER,
            oid::KEY_USAGE,
            oid::BASIC_CONSTRAINTS,
            oid::EXTENDED_KEY_USAGE,
            oid::OCSP_NO_CHECK,
        ],
    )
}

/// The URLs stand where they were meant to, and can be fetched by whoever checks a certificate.
fn check_points(seen: &ParsedCertificate, points: &Points) -> Result<()> {
    let urls = [&points.crl, &points.ocsp, &points.issuers];
    let is_fetchable = |url: &String| url.starts_with("http://") && url.bytes().all(|b| b.is_ascii_graphic());
    require(urls.into_iter().flatten().all(is_fetchable), "a URL is not an http URL")?;
    for (oid, written) in [
        (oid::CRL_DISTRIBUTION_POINTS, extension::crl_distribution_points(points)),
        (oid::AUTHORITY_INFO_ACCESS, extension::authority_info_access(points)),
    ] {
        let mut list = Reader::new(written.as_deref().unwrap_or_default());
        let meant = if list.is_empty() { None } else { Some(parsed::extension(&mut list)?) };
        let meant = meant.map(|(_, critical, value)| (critical, value));
        require(seen.extension(oid) == meant, "the URLs are not those that were meant")?;
    }
    Ok(())
}

fn point_extensions(points: &Points) -> Vec<&'static [u8]> {
    let mut oids: Vec<&'static [u8]> = Vec::new();
    oids.extend(points.crl.as_ref().map(|_| oid::CRL_DISTRIBUTION_POINTS));
    oids.extend(points.ocsp.as_ref().or(points.issuers.as_ref()).map(|_| oid::AUTHORITY_INFO_ACCESS));
    oids
}

fn check_common(seen: &ParsedCertificate, serial: &[u8], validity: Validity, signature: &[u8]) -> Result<()> {
    require(seen.serial == serial && serial.len() <= 20, "the serial number is not the one that was drawn")?;
    require(seen.signature_identifier == signature, "the signature algorithm is not the signer's")?;
    require(
        seen.validity == [time(validity.not_before), time(validity.not_after)],
        "the validity is not the one that was meant",
    )?;
    require(validity.not_before < validity.not_after, "it would end before it begins")
}

/// These extensions, each once, and no others.
fn check_extensions(seen: &ParsedCertificate, meant: &[&[u8]]) -> Result<()> {
    let mut found: Vec<&[u8]> = seen.extensions.iter().map(|(oid, _, _)| oid.as_slice()).collect();
    let mut meant = meant.to_vec();
    found.sort_unstable();
    meant.sort_unstable();
    require(found == meant, "the extensions are not those that were meant, each once")
}

fn check_subject_key_identifier(seen: &ParsedCertificate, key_identifier: Option<&[u8]>) -> Result<()> {
    let meant = key_identifier.map(der::octet_string);
    let holds = seen.extension(oid::SUBJECT_KEY_IDENTIFIER) == meant.as_ref().map(|value| (false, &value[..]));
    require(holds, "subjectKeyIdentifier is not the one that was meant")
}

fn check_authority_key_identifier(seen: &ParsedCertificate, issuer: Option<&IssuerNames<'_>>) -> Result<()> {
    let meant = issuer.map(|i| der::sequence(&[der::element(der::context(0), &i.key_identifier)]));
    let holds = seen.extension(oid::AUTHORITY_KEY_IDENTIFIER) == meant.as_ref().map(|value| (false, &value[..]));
    require(holds, "authorityKeyIdentifier is not the signer's")
}

/// The bits of keyUsage, which must be those that were meant.
fn key_usages(seen: &ParsedCertificate, meant: &[KeyUsage], critical: bool) -> Result<BTreeSet<KeyUsage>> {
    let (is_critical, _) = seen.extension(oid::KEY_USAGE).ok_or_else(|| lint("keyUsage is missing"))?;
    let usages: BTreeSet<KeyUsage> = seen.key_usage().map_err(|e| lint(e.detail()))?.into_iter().collect();
    require(!usages.is_empty(), "keyUsage is empty")?;
    require(usages == meant.iter().copied().collect(), "keyUsage is not the one that was meant")?;
    require(is_critical == critical, "keyUsage is critical exactly when that was meant")?;
    Ok(usages)
}

fn require(holds: bool, rule: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(lint(rule)) }
}

fn lint(rule: &str) -> Error {
    Error::internal(format!("the certificate was not signed, since a lint refused it: {rule}"))
}
