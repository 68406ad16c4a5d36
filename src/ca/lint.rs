//! The last look at the very bytes that are about to be signed: they are read back and held against what was meant and
//! against RFC 5280. A bug above refuses here instead of mis-issuing.

use super::certificate::{IssuerNames, Leaf, SignerCertificate, Validity, time};
use super::extension::{ExtendedKeyUsage, KeyUsage};
use super::parsed::ParsedCertificate;
use crate::der::{self, Reader, oid};
use crate::error::{Error, Result};
use crate::identifier::Identifier;
use crate::keys::PublicKey;
use std::collections::BTreeSet;

pub(super) fn check_leaf(tbs: &[u8], meant: &Leaf, issuer: IssuerNames<'_>, signature: &[u8]) -> Result<()> {
    let seen = ParsedCertificate::parse_tbs(tbs).map_err(|e| lint(e.detail()))?;
    check_common(&seen, meant.serial.octets(), meant.validity, signature)?;
    let own_identifier = meant.subject_key_identifier.then(|| meant.public_key.key_identifier());
    check_subject_key_identifier(&seen, own_identifier)?;
    expect(seen.issuer == issuer.subject, "the issuer is not the signer's subject")?;
    expect(seen.subject == meant.subject.to_der(), "the subject is not the one that was meant")?;
    expect(seen.spki == meant.public_key.to_spki(), "the key is not the subscriber's")?;
    expect(
        seen.extension(oid::AUTHORITY_KEY_IDENTIFIER)
            == Some((false, &der::sequence(&[der::element(der::context(0), issuer.key_identifier)])[..])),
        "authorityKeyIdentifier is not the signer's",
    )?;
    let empty = der::sequence::<Vec<u8>>(&[]);
    expect(
        seen.extension(oid::BASIC_CONSTRAINTS) == Some((true, &empty[..])),
        "basicConstraints is not that of a leaf",
    )?;

    let names = seen.subject_alt_names().map_err(|e| lint(e.detail()))?;
    let unique: BTreeSet<&Identifier> = names.iter().collect();
    expect(!names.is_empty() && unique.len() == names.len(), "subjectAltName is empty or repeats a name")?;
    expect(
        unique == meant.identifiers.iter().collect(),
        "subjectAltName does not hold exactly the names that were meant",
    )?;
    let critical = seen.extension(oid::SUBJECT_ALT_NAME).is_some_and(|(critical, _)| critical);
    expect(critical == meant.subject.is_empty(), "subjectAltName is critical exactly when the subject is empty")?;
    if let Some(name) = meant.subject.common_name() {
        let in_san = Identifier::parse_host(name).is_ok_and(|cn| unique.contains(&cn));
        expect(in_san, "the common name is not among the names")?;
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
    expect(usages.iter().all(|u| allowed.contains(u)), "keyUsage has a bit that this key cannot have")?;
    let purposes: Vec<Vec<u8>> = meant.extended_key_usage.iter().map(|u| der::object_identifier(u.oid())).collect();
    expect(
        seen.extension(oid::EXTENDED_KEY_USAGE) == Some((false, &der::sequence(&purposes)[..])),
        "extendedKeyUsage is not the one that was meant",
    )?;
    expect(meant.extended_key_usage.contains(&ExtendedKeyUsage::ServerAuth), "serverAuth is missing")?;
    let own: &[&[u8]] = if meant.subject_key_identifier { &[oid::SUBJECT_KEY_IDENTIFIER] } else { &[] };
    let all = [
        oid::AUTHORITY_KEY_IDENTIFIER,
        oid::KEY_USAGE,
        oid::BASIC_CONSTRAINTS,
        oid::EXTENDED_KEY_USAGE,
        oid::SUBJECT_ALT_NAME,
    ];
    check_extensions(&seen, &[&all, own].concat())
}

pub(super) fn check_signer(tbs: &[u8], meant: &SignerCertificate, signature: &[u8]) -> Result<()> {
    let seen = ParsedCertificate::parse_tbs(tbs).map_err(|e| lint(e.detail()))?;
    check_common(&seen, meant.serial.octets(), meant.validity, signature)?;
    let key = PublicKey::from_spki(&seen.spki).map_err(|e| lint(e.detail()))?;
    check_subject_key_identifier(&seen, Some(key.key_identifier()))?;
    expect(seen.issuer == seen.subject, "a self-signed certificate has one name")?;
    expect(
        seen.subject == meant.subject.to_der() && !meant.subject.is_empty(),
        "the subject is not the one that was meant",
    )?;
    let mut constraints = vec![der::boolean_true()];
    constraints.extend(meant.path_len.map(|n| der::small_integer(n.into())));
    expect(
        seen.extension(oid::BASIC_CONSTRAINTS) == Some((true, &der::sequence(&constraints)[..])),
        "basicConstraints is not the one that was meant, critical and with cA",
    )?;
    let usages = key_usages(&seen, &meant.key_usage, true)?;
    expect(usages.contains(&KeyUsage::KeyCertSign), "a CA certificate has keyCertSign")?;
    let names = seen.name_constraints().map_err(|e| lint(e.detail()))?;
    expect(names == meant.name_constraints, "nameConstraints are not those that were meant")?;
    let is_critical = seen.extension(oid::NAME_CONSTRAINTS).is_none_or(|(critical, _)| critical);
    expect(is_critical, "nameConstraints are critical")?;
    let constrained: &[&[u8]] = if names.is_empty() { &[] } else { &[oid::NAME_CONSTRAINTS] };
    let all = [oid::BASIC_CONSTRAINTS, oid::KEY_USAGE, oid::SUBJECT_KEY_IDENTIFIER];
    check_extensions(&seen, &[&all, constrained].concat())
}

fn check_common(seen: &ParsedCertificate, serial: &[u8], validity: Validity, signature: &[u8]) -> Result<()> {
    expect(seen.serial == serial && serial.len() <= 20, "the serial number is not the one that was drawn")?;
    expect(seen.signature_identifier == signature, "the signature algorithm is not the signer's")?;
    expect(
        seen.validity == [time(validity.not_before), time(validity.not_after)],
        "the validity is not the one that was meant",
    )?;
    expect(validity.not_before < validity.not_after, "it would end before it begins")
}

/// These extensions, each once, and no others.
fn check_extensions(seen: &ParsedCertificate, meant: &[&[u8]]) -> Result<()> {
    let mut found: Vec<&[u8]> = seen.extensions.iter().map(|(oid, _, _)| oid.as_slice()).collect();
    let mut meant = meant.to_vec();
    found.sort_unstable();
    meant.sort_unstable();
    expect(found == meant, "the extensions are not those that were meant, each once")
}

fn check_subject_key_identifier(seen: &ParsedCertificate, key_identifier: Option<[u8; 20]>) -> Result<()> {
    let meant = key_identifier.map(|identifier| der::octet_string(&identifier));
    let holds = seen.extension(oid::SUBJECT_KEY_IDENTIFIER) == meant.as_ref().map(|value| (false, &value[..]));
    expect(holds, "subjectKeyIdentifier is not the one that was meant")
}

/// The bits of keyUsage, which must be those that were meant.
fn key_usages(seen: &ParsedCertificate, meant: &[KeyUsage], critical: bool) -> Result<BTreeSet<KeyUsage>> {
    let (is_critical, value) = seen.extension(oid::KEY_USAGE).ok_or_else(|| lint("keyUsage is missing"))?;
    let bits = Reader::new(value).read(der::BIT_STRING).map_err(|e| lint(e.detail()))?;
    let octets = bits.get(1..).unwrap_or_default();
    let set = |bit: u8| octets.get(usize::from(bit / 8)).is_some_and(|octet| octet & (0x80 >> (bit % 8)) != 0);
    let usages: BTreeSet<KeyUsage> = KeyUsage::ALL.into_iter().filter(|u| set(u.bit())).collect();
    expect(!usages.is_empty(), "keyUsage is empty")?;
    expect(usages == meant.iter().copied().collect(), "keyUsage is not the one that was meant")?;
    expect(is_critical == critical, "keyUsage is critical exactly when that was meant")?;
    Ok(usages)
}

fn expect(holds: bool, rule: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(lint(rule)) }
}

fn lint(rule: &str) -> Error {
    Error::internal(format!("the certificate was not signed, since a lint refused it: {rule}"))
}
