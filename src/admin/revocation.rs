//! revoke-certificate.

use super::{Administration, Arguments, Peer, accounts, certificates, items};
use crate::ca::ParsedCertificate;
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::issuance::{Reason, RevokedAll, ToRevoke};
use crate::store::{Certificate, CertificateOwner, Item, ItemKind, Revocable, RevocablePlace};
use serde_json::{Value, json};

/// RFC 5280, 4.1.2.2.
const LONGEST_SERIAL: usize = 20;
/// Twenty octets in hexadecimal with colons, or in decimal.
const LONGEST_TEXT: usize = 64;
/// The digits of the 16 octets that ours have.
const OURS_IN_HEXADECIMAL: usize = 32;
/// What X.509 can say (RFC 5280, 4.1.2.5).
const EARLIEST: Time = Time(-631_152_000);

pub(super) fn revoke(admin: &Administration, peer: Peer, arguments: &mut Arguments) -> Result<Value> {
    let reason = arguments.text("reason")?.map_or(Ok(Reason::UNSPECIFIED), |text| Reason::of_administrator(&text))?;
    let invalid_since = arguments.text("invalidity-date")?.map(|text| Time::parse(&text)).transpose();
    let invalid_since = invalid_since.map_err(|e| e.context("--invalidity-date"))?;
    if invalid_since.is_some_and(|at| at > admin.now() || at < EARLIEST) {
        return Err(Error::malformed(
            "--invalidity-date lies in the future or before 1950; it says since when not to trust the certificate",
        ));
    }
    let chosen = Chosen::take(arguments)?;
    let is_sure = arguments.boolean("yes")?.unwrap_or(false);
    arguments.finish()?;
    let is_many = matches!(chosen, Chosen::AllOfAccount(_) | Chosen::AllOfIssuer(_));
    if let (Some(whose), false) = (chosen.owner(admin)?, is_sure) {
        let now = admin.now();
        let count = admin.store.read(|read| read.count_revocable_certificates(whose, now))?;
        return Ok(json!({ "would_revoke": count }));
    }
    let wanted = chosen.find(admin, reason)?;
    let RevokedAll { revoked, blocked_only, is_published } =
        admin.issuance.revoke_all(wanted, reason, invalid_since, &peer.actor())?;
    if !is_many && revoked == 0 && blocked_only == 0 {
        return Err(Error::conflict("the certificate is revoked already"));
    }
    let mut reply = json!({ "revoked": revoked, "keys_blocked_only": blocked_only });
    if let (false, Some(members)) = (is_published, reply.as_object_mut()) {
        let note = "a CRL could not be signed yet, which is tried again every minute; the log says why, and OCSP knows already";
        members.insert("warnings".into(), json!([note]));
    }
    Ok(reply)
}

/// What the flags choose.
enum Chosen {
    /// A certificate item or a signer key, one version or the newest; of a key, its certificates by other keys of ours.
    Name(String, Option<i64>),
    Serial(Vec<u8>),
    /// A serial number that the store does not know, of this signer key, with the end of its certificate.
    Unknown(Vec<u8>, String, Time),
    AllOfAccount(String),
    AllOfIssuer(String),
}

impl Chosen {
    fn take(arguments: &mut Arguments) -> Result<Chosen> {
        let version = arguments.number("version")?;
        let signer = arguments.text("signer-key-name")?;
        let not_after = arguments.text("not-after")?.map(|text| Time::parse(&text)).transpose();
        let not_after = not_after.map_err(|e| e.context("--not-after"))?;
        let (name, serial) = (arguments.text("name")?, arguments.text("serial-number")?);
        let (account, issuer) = (arguments.text("all-of-account")?, arguments.text("all-of-issuer")?);
        if let (Some(text), true) = (&serial, signer.is_some()) {
            check_unambiguous(text)?;
        }
        let serial = serial.map(|text| parse_serial(&text)).transpose()?;
        match (name, serial, account, issuer, version, signer, not_after) {
            (Some(name), None, None, None, version, None, None) => Ok(Chosen::Name(name, version)),
            (None, Some(serial), None, None, None, None, None) => Ok(Chosen::Serial(serial)),
            (None, Some(serial), None, None, None, Some(signer), Some(not_after)) => {
                Ok(Chosen::Unknown(serial, signer, not_after))
            }
            (None, None, Some(account), None, None, None, None) => Ok(Chosen::AllOfAccount(account)),
            (None, None, None, Some(issuer), None, None, None) => Ok(Chosen::AllOfIssuer(issuer)),
            _ => Err(Error::malformed(
                "give one of --name, --serial-number, --all-of-account and --all-of-issuer; --version goes with --name, \
                 --signer-key-name and --not-after go together with --serial-number",
            )),
        }
    }

    /// Whose certificates are meant, where all of somebody's are.
    fn owner(&self, admin: &Administration) -> Result<Option<CertificateOwner>> {
        Ok(match self {
            Chosen::AllOfAccount(id) => Some(CertificateOwner::Account(accounts::any_account(admin, id)?)),
            Chosen::AllOfIssuer(name) => {
                let issuer = items::item_of_kind(admin, "all-of-issuer", name, ItemKind::Issuer)?;
                Some(CertificateOwner::Issuer(issuer.id))
            }
            Chosen::Name(..) | Chosen::Serial(_) | Chosen::Unknown(..) => None,
        })
    }

    /// What is to be revoked for this reason.
    fn find(&self, admin: &Administration, reason: Reason) -> Result<Vec<ToRevoke>> {
        match self {
            Chosen::Name(name, version) => {
                let item = items::item_of_name(admin, "name", name)?;
                match item.kind {
                    ItemKind::Certificate => {
                        let certificate = certificates::version_of(admin, &item, *version)?;
                        leaf(admin, &certificate, reason).map(|c| vec![c])
                    }
                    ItemKind::Key => signed_by_us(admin, &item, *version, reason),
                    ItemKind::Issuer => Err(Error::malformed(format!(
                        "{} is an issuer; --all-of-issuer revokes its certificates",
                        item.name
                    ))),
                }
            }
            Chosen::Serial(serial) => {
                let found = admin.store.read(|read| read.certificate_by_serial(serial))?;
                let found = found.ok_or_else(|| {
                    Error::not_found(
                        "no certificate here has this serial number; list-certificates shows them, and if it was issued \
                         before a restore, say --signer-key-name and --not-after too",
                    )
                })?;
                leaf(admin, &found, reason).map(|c| vec![c])
            }
            Chosen::Unknown(serial, signer, not_after) => {
                let key = items::item_of_kind(admin, "signer-key-name", signer, ItemKind::Key)?;
                if *not_after < admin.now() {
                    return Err(Error::malformed(format!(
                        "--not-after {not_after} is over; a certificate that has ended need not be revoked"
                    )));
                }
                let (known, versions) =
                    admin.store.read(|read| Ok((read.certificate_by_serial(serial)?, read.key_versions(key.id)?)))?;
                if known.is_some() {
                    return Err(Error::conflict("the certificate is known here; give --serial-number alone"));
                }
                // Nobody knows which of its versions signed it, and on the list of another it does no harm.
                let signers = versions.iter().filter(|version| version.certificate.is_some());
                let wanted: Vec<ToRevoke> = signers
                    .map(|version| ToRevoke {
                        what: Revocable {
                            signer: version.id,
                            serial: serial.clone(),
                            not_after: *not_after,
                            place: RevocablePlace::Unknown,
                        },
                        compromised: None,
                    })
                    .collect();
                if wanted.is_empty() {
                    return Err(Error::conflict(format!("{} has no certificate, so it has signed nothing", key.name)));
                }
                Ok(wanted)
            }
            Chosen::AllOfAccount(_) | Chosen::AllOfIssuer(_) => {
                let Some(whose) = self.owner(admin)? else { return Ok(Vec::new()) };
                let now = admin.now();
                let found = admin.store.read(|read| read.revocable_certificates(whose, now))?;
                found.iter().map(|certificate| to_revoke(certificate, reason)).collect()
            }
        }
    }
}

fn leaf(admin: &Administration, certificate: &Certificate, reason: Reason) -> Result<ToRevoke> {
    if certificate.not_after < admin.now() {
        return Err(Error::conflict(format!("the certificate ended at {}", certificate.not_after)));
    }
    to_revoke(certificate, reason)
}

fn to_revoke(certificate: &Certificate, reason: Reason) -> Result<ToRevoke> {
    let compromised = match reason {
        Reason::KEY_COMPROMISE => Some(ParsedCertificate::parse(&certificate.der)?.spki),
        _ => None,
    };
    Ok(ToRevoke { what: certificate.revocable(), compromised })
}

/// The certificates that other keys of ours gave to a version of a key, the newest where none is named. They end then.
fn signed_by_us(admin: &Administration, item: &Item, version: Option<i64>, reason: Reason) -> Result<Vec<ToRevoke>> {
    let now = admin.now();
    let versions = admin.store.read(|read| read.key_versions(item.id))?;
    let chosen = match version {
        None => versions.last(),
        Some(number) => versions.iter().find(|v| v.version == number),
    };
    let newest = versions.last().map_or(0, |v| v.version);
    let chosen = chosen.ok_or_else(|| certificates::no_version(&item.name, version.unwrap_or(newest), newest))?;
    let found = admin.store.read(|read| read.ca_certificates_from_others(chosen.id))?;
    let compromised = (reason == Reason::KEY_COMPROMISE).then(|| chosen.spki.clone());
    let living = found.into_iter().filter(|c| c.not_after >= now);
    let wanted: Vec<ToRevoke> = living
        .filter_map(|c| {
            let place = RevocablePlace::CaCertificate;
            let what = Revocable { signer: c.origin.signer()?, serial: c.serial, not_after: c.not_after, place };
            Some(ToRevoke { what, compromised: compromised.clone() })
        })
        .collect();
    if wanted.is_empty() {
        return Err(Error::conflict(
            "no other key of ours signed this one, so there is nothing here that could revoke it: a root ends by being \
             removed from the clients that trust it, and another CA revokes what it signed",
        ));
    }
    Ok(wanted)
}

/// Where nothing corrects a mistake, digits must not be readable in two ways.
fn check_unambiguous(text: &str) -> Result<()> {
    let is_plain = text.bytes().all(|b| b.is_ascii_digit());
    if is_plain && text.len() != OURS_IN_HEXADECIMAL {
        return Err(Error::malformed(format!(
            "--serial-number {text} can be read in two ways; write 0x{text} for hexadecimal, or the decimal \
             number as 0x and hexadecimal digits"
        )));
    }
    Ok(())
}

/// Hexadecimal, with colons or without and perhaps after 0x, or decimal.
pub(super) fn parse_serial(text: &str) -> Result<Vec<u8>> {
    let wrong = || Error::malformed(format!("--serial-number {text} is neither hexadecimal nor decimal"));
    if text.len() > LONGEST_TEXT {
        return Err(Error::malformed("--serial-number is longer than any serial number"));
    }
    let digits: String = text.trim_start_matches("0x").chars().filter(|c| *c != ':').collect();
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let is_decimal = digits.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with("0x") && !text.contains(':');
    // Ours have 32 hexadecimal digits, and none of 38 or 39 decimal ones could be a serial number of ours otherwise.
    let octets = if is_decimal && digits.len() != OURS_IN_HEXADECIMAL {
        from_digits(&digits, 10)
    } else {
        from_digits(&digits, 16)
    };
    if octets.len() > LONGEST_SERIAL { Err(wrong()) } else { Ok(octets) }
}

/// The number that digits of a base say, big-endian without leading zeros.
fn from_digits(digits: &str, base: u32) -> Vec<u8> {
    let mut octets: Vec<u8> = Vec::new();
    for digit in digits.chars().filter_map(|c| c.to_digit(base)) {
        let mut carry = digit;
        for octet in octets.iter_mut().rev() {
            let value = u32::from(*octet).saturating_mul(base).saturating_add(carry);
            *octet = (value & 0xff) as u8;
            carry = value >> 8;
        }
        if carry > 0 {
            octets.insert(0, carry as u8);
        }
    }
    if octets.is_empty() { vec![0] } else { octets }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_are_read_in_every_spelling_that_tools_print() {
        let ours = [0x4f, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15].to_vec();
        for text in [
            "4f0102030405060708090a0b0c0d0e0f",
            "4F:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F",
            "0x4f0102030405060708090a0b0c0d0e0f",
            "105014244767614596765451713157878582799",
        ] {
            assert_eq!(parse_serial(text).unwrap(), ours, "{text}");
        }
        assert_eq!(parse_serial("10").unwrap(), [10]);
        assert_eq!(parse_serial("0x10").unwrap(), [16]);
        assert_eq!(parse_serial("0").unwrap(), [0]);
        for text in ["", "0x", "xyz", "-1", "4f 01"] {
            assert!(parse_serial(text).is_err(), "{text}");
        }
    }
}
