//! Certificate revocation lists, version 2 (RFC 5280, 5): built as bytes to be signed, read back, signed once; and those
//! of another CA read, whose key we take over.

use super::certificate::IssuerNames;
use super::extension::{distribution_point_name, extension};
use super::parsed::{self, ParsedCertificate};
use super::signed::{self, Signed};
use super::time::{generalized_time, parse_time, time};
use crate::clock::Time;
use crate::der::{self, Reader, oid};
use crate::error::{Error, Result};
use crate::keys::{PublicKey, Signer};

/// unspecified; it is left out (RFC 5280, 5.3.1).
const UNSPECIFIED: u8 = 0;

/// A list to be issued.
#[derive(Clone, Debug)]
pub struct Crl {
    /// What it lists.
    pub scope: CrlScope,
    /// Higher than that of the list before it in this scope.
    pub number: i64,
    /// When it is issued.
    pub this_update: Time,
    /// When another follows at the latest.
    pub next_update: Time,
    /// What is revoked.
    pub entries: Vec<RevokedEntry>,
}

/// Which certificates of the signer a list is about (RFC 5280, 5.2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CrlScope {
    /// All that the signer ever signed; without issuingDistributionPoint, for servers that load one file.
    Complete,
    /// The leaves that name this URL.
    Leaves(String),
    /// The CA certificates, which name this URL if any.
    CaCertificates(Option<String>),
}

/// A revoked certificate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RevokedEntry {
    /// Its serial number, big-endian.
    pub serial: Vec<u8>,
    /// When it was revoked.
    pub at: Time,
    /// Why (RFC 5280, 5.3.1).
    pub reason: u8,
    /// Since when it must not be trusted, where that is earlier (RFC 5280, 5.3.2).
    pub invalid_since: Option<Time>,
}

/// A list that was read back and may be signed once.
#[derive(Debug)]
pub struct LintedCrl {
    content: Vec<u8>,
}

impl LintedCrl {
    /// Spend this permission for one signature over exactly the bytes that were read back.
    ///
    /// # Errors
    /// Internal when the signer fails.
    pub fn sign(self, signer: &Signer) -> Result<Vec<u8>> {
        signed::sign(&self.content, signer)
    }
}

/// Build and lint a list of the signer whose certificate is given.
///
/// # Errors
/// Internal when a lint refuses what we built.
pub fn prepare_crl(crl: &Crl, signer: &Signer, signer_certificate: &ParsedCertificate) -> Result<LintedCrl> {
    let issuer = IssuerNames::of(signer_certificate, signer);
    let key_identifier = der::sequence(&[der::element(der::context(0), &issuer.key_identifier)]);
    let number = u64::try_from(crl.number).map_err(|_| lint("its number is negative"))?;
    let mut extensions = vec![
        extension(oid::AUTHORITY_KEY_IDENTIFIER, false, &key_identifier),
        extension(oid::CRL_NUMBER, false, &der::unsigned(&number.to_be_bytes())),
    ];
    extensions.extend(issuing_distribution_point(&crl.scope));
    let mut parts = vec![
        der::small_integer(1),
        signer.signature_identifier(),
        issuer.subject.to_vec(),
        time(crl.this_update),
        time(crl.next_update),
    ];
    if !crl.entries.is_empty() {
        let entries: Vec<Vec<u8>> = crl.entries.iter().map(entry).collect();
        parts.push(der::sequence(&entries));
    }
    parts.push(der::constructed(der::context_constructed(0), &[der::sequence(&extensions)]));
    let content = der::sequence(&parts);
    check(&content, crl, &issuer, &signer.signature_identifier())?;
    Ok(LintedCrl { content })
}

fn entry(revoked: &RevokedEntry) -> Vec<u8> {
    let mut parts = vec![der::unsigned(&revoked.serial), time(revoked.at)];
    let mut extensions = Vec::new();
    if revoked.reason != UNSPECIFIED {
        let reason = der::element(der::ENUMERATED, &[revoked.reason]);
        extensions.push(extension(oid::REASON_CODE, false, &reason));
    }
    extensions.extend(revoked.invalid_since.map(|at| extension(oid::INVALIDITY_DATE, false, &generalized_time(at))));
    if !extensions.is_empty() {
        parts.push(der::sequence(&extensions));
    }
    der::sequence(&parts)
}

fn issuing_distribution_point(scope: &CrlScope) -> Option<Vec<u8>> {
    // onlyContainsUserCerts and onlyContainsCACerts; both are FALSE by default.
    let parts = match scope {
        CrlScope::Complete => return None,
        CrlScope::Leaves(url) => vec![distribution_point_name(url), der::element(der::context(1), &[0xff])],
        CrlScope::CaCertificates(url) => {
            let name = url.as_deref().map(distribution_point_name);
            name.into_iter().chain([der::element(der::context(2), &[0xff])]).collect()
        }
    };
    Some(extension(oid::ISSUING_DISTRIBUTION_POINT, true, &der::sequence(&parts)))
}

/// The last look at the bytes that are about to be signed.
fn check(content: &[u8], meant: &Crl, issuer: &IssuerNames<'_>, signature: &[u8]) -> Result<()> {
    let seen = CrlContent::parse(content).map_err(|e| lint(e.detail()))?;
    let require = |holds: bool, rule: &str| if holds { Ok(()) } else { Err(lint(rule)) };
    require(seen.signature_identifier == signature, "the signature algorithm is not the signer's")?;
    require(seen.issuer == issuer.subject, "the issuer is not the signer's subject")?;
    require(seen.this_update == meant.this_update, "thisUpdate is not the one that was meant")?;
    require(seen.next_update == Some(meant.next_update), "nextUpdate is not the one that was meant")?;
    require(meant.this_update < meant.next_update, "it would end before it begins")?;
    require(seen.number == Some(meant.number), "the number is not the one that was meant")?;
    require(seen.entries == meant.entries, "the entries are not those that were meant")?;
    let mut serials: Vec<&[u8]> = seen.entries.iter().map(|e| e.serial.as_slice()).collect();
    serials.sort_unstable();
    serials.dedup();
    require(serials.len() == seen.entries.len(), "a serial number stands twice")?;
    require(seen.is_partial == (meant.scope != CrlScope::Complete), "the scope is not the one that was meant")
}

fn lint(rule: &str) -> Error {
    Error::internal(format!("the CRL was not signed, since a lint refused it: {rule}"))
}

/// The former list of a signer that another CA had.
#[derive(Clone, Debug)]
pub struct FormerCrl {
    /// Its number, if it has one.
    pub number: Option<i64>,
    /// When another was to follow, if it says.
    pub next_update: Option<Time>,
    /// What is revoked.
    pub entries: Vec<RevokedEntry>,
}

impl FormerCrl {
    /// Read a list and verify it.
    ///
    /// # Errors
    /// Malformed when it is no CRL, not one of this issuer, partial, or not signed by its key.
    pub fn parse(list: &[u8], issuer: &ParsedCertificate) -> Result<FormerCrl> {
        let signed = Signed::parse(list)?;
        let content = CrlContent::parse(signed.content)?;
        if content.issuer != issuer.subject {
            return Err(Error::malformed("the CRL is of another issuer"));
        }
        signed.verify(&PublicKey::known(&issuer.spki)?).map_err(|e| e.context("the CRL"))?;
        if content.is_partial {
            return Err(Error::malformed(
                "the CRL lists a part only (issuingDistributionPoint or a delta); give the whole",
            ));
        }
        Ok(FormerCrl { number: content.number, next_update: content.next_update, entries: content.entries })
    }

    /// Read one of our own lists again, which may be about a part of what is signed.
    ///
    /// # Errors
    /// Malformed when it is no CRL, or not signed by this key.
    pub fn parse_own(list: &[u8], signer: &PublicKey) -> Result<FormerCrl> {
        let signed = Signed::parse(list)?;
        signed.verify(signer)?;
        let content = CrlContent::parse(signed.content)?;
        Ok(FormerCrl { number: content.number, next_update: content.next_update, entries: content.entries })
    }
}

/// The list in a file, in DER or PEM.
///
/// # Errors
/// Malformed when there are several in it.
pub fn crl_of_file(bytes: &[u8]) -> Result<Vec<u8>> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok(bytes.to_vec()) };
    match der::from_pem("X509 CRL", text)?.as_slice() {
        [] => Ok(bytes.to_vec()),
        [crl] => Ok(crl.clone()),
        _ => Err(Error::malformed("it holds more than one CRL; give the complete one")),
    }
}

/// Read a list of whichever issuer, for fuzzing.
///
/// # Errors
/// Malformed when it is no CRL.
#[cfg(fuzzing)]
pub fn fuzz_former_crl(list: &[u8]) -> Result<()> {
    CrlContent::parse(Signed::parse(list)?.content).map(|_| ())
}

/// TBSCertList (RFC 5280, 5.1.2), read.
struct CrlContent {
    signature_identifier: Vec<u8>,
    issuer: Vec<u8>,
    this_update: Time,
    next_update: Option<Time>,
    number: Option<i64>,
    is_partial: bool,
    entries: Vec<RevokedEntry>,
}

impl CrlContent {
    fn parse(content: &[u8]) -> Result<CrlContent> {
        let mut outer = Reader::new(content);
        let mut parts = outer.enter(der::SEQUENCE)?;
        outer.finish()?;
        if parts.peek() == Some(der::INTEGER) && parts.unsigned()? != [1] {
            return Err(Error::malformed("the CRL is not of version 2"));
        }
        let signature_identifier = parts.any()?.2.to_vec();
        let issuer = parts.any()?.2.to_vec();
        let this_update = parse_time(parts.any()?.2)?;
        let is_time = |tag: Option<der::Tag>| matches!(tag, Some(der::UTC_TIME | der::GENERALIZED_TIME));
        let next_update = if is_time(parts.peek()) { Some(parse_time(parts.any()?.2)?) } else { None };
        let mut entries = Vec::new();
        let mut list = Reader::new(parts.optional(der::SEQUENCE)?.unwrap_or_default());
        while !list.is_empty() {
            entries.push(read_entry(list.enter(der::SEQUENCE)?)?);
        }
        let mut crl = CrlContent {
            signature_identifier,
            issuer,
            this_update,
            next_update,
            number: None,
            is_partial: false,
            entries,
        };
        if let Some(explicit) = parts.optional(der::context_constructed(0))? {
            let mut extensions = Reader::new(explicit).enter(der::SEQUENCE)?;
            while !extensions.is_empty() {
                crl.take_extension(parsed::extension(&mut extensions)?)?;
            }
        }
        parts.finish()?;
        Ok(crl)
    }

    fn take_extension(&mut self, (oid, critical, value): (&[u8], bool, &[u8])) -> Result<()> {
        match oid {
            oid::CRL_NUMBER => {
                let digits = Reader::new(value).unsigned()?;
                let too_long = || Error::malformed("the CRL's number is too large");
                let mut number: i64 = 0;
                for digit in digits {
                    number = number.checked_mul(256).ok_or_else(too_long)?.saturating_add(i64::from(*digit));
                }
                self.number = Some(number);
            }
            oid::AUTHORITY_KEY_IDENTIFIER => {}
            // issuingDistributionPoint and deltaCRLIndicator are critical, and so is whatever else narrows a list.
            _ if critical => self.is_partial = true,
            _ => {}
        }
        Ok(())
    }
}

fn read_entry(mut entry: Reader<'_>) -> Result<RevokedEntry> {
    let serial = entry.unsigned()?.to_vec();
    let at = parse_time(entry.any()?.2)?;
    let (mut reason, mut invalid_since) = (UNSPECIFIED, None);
    if !entry.is_empty() {
        let mut extensions = entry.enter(der::SEQUENCE)?;
        entry.finish()?;
        while !extensions.is_empty() {
            let (oid, critical, value) = parsed::extension(&mut extensions)?;
            match oid {
                oid::REASON_CODE => {
                    let code = Reader::new(value).read(der::ENUMERATED)?;
                    reason = match code {
                        [code @ (0..=6 | 9 | 10)] => *code,
                        [8] => {
                            return Err(Error::malformed("the CRL is a delta (removeFromCRL); give the complete one"));
                        }
                        // Whatever it says, it is revoked.
                        _ => UNSPECIFIED,
                    };
                }
                oid::INVALIDITY_DATE => invalid_since = Some(parse_time(value)?),
                _ if critical => return Err(Error::malformed("an entry of the CRL has a critical extension")),
                _ => {}
            }
        }
    }
    Ok(RevokedEntry { serial, at, reason, invalid_since })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_of_a_former_crl_stays_revoked_whatever_its_reason() {
        let at = Time(1_700_000_000);
        let read = |reason: u8| {
            let revoked = RevokedEntry { serial: vec![7], at, reason, invalid_since: Some(at) };
            read_entry(Reader::new(&entry(&revoked)).enter(der::SEQUENCE).unwrap())
        };
        for (reason, taken) in [(0, 0), (1, 1), (6, 6), (10, 10), (7, 0), (11, 0), (255, 0)] {
            let entry = read(reason).unwrap();
            assert_eq!((entry.reason, entry.invalid_since), (taken, Some(at)), "{reason}");
        }
        assert!(read(8).is_err(), "a delta un-revokes");
    }
}
