//! A certificate (RFC 5280, 4.1) as far as we need to read our own: the signer's, and what is about to be signed.

use super::certificate::{CaProfile, Validity};
use super::constraints::Subtrees;
use super::extension::KeyUsage;
use super::signed::Signed;
use super::time::parse_time;
use crate::der::{self, Reader, oid};
use crate::error::{Error, Result};
use crate::identifier::Identifier;

/// The parts of a certificate or of what is to be signed.
#[derive(Clone, Debug)]
pub struct ParsedCertificate {
    /// Big-endian, without leading zeros.
    pub serial: Vec<u8>,
    /// The whole AlgorithmIdentifier.
    pub signature_identifier: Vec<u8>,
    /// The whole Name.
    pub issuer: Vec<u8>,
    /// The whole Time elements, notBefore and notAfter.
    pub validity: [Vec<u8>; 2],
    /// The whole Name.
    pub subject: Vec<u8>,
    /// The whole SubjectPublicKeyInfo.
    pub spki: Vec<u8>,
    /// OID, critical, value; in order.
    pub extensions: Vec<(Vec<u8>, bool, Vec<u8>)>,
}

impl ParsedCertificate {
    /// Parse a whole certificate. Its signature is not looked at.
    ///
    /// # Errors
    /// Malformed when it is not a certificate of version 3.
    pub fn parse(certificate: &[u8]) -> Result<ParsedCertificate> {
        Self::parse_tbs(Signed::parse(certificate)?.content)
    }

    /// Parse a TBSCertificate.
    ///
    /// # Errors
    /// As [`ParsedCertificate::parse`].
    pub fn parse_tbs(tbs: &[u8]) -> Result<ParsedCertificate> {
        let mut outer = Reader::new(tbs);
        let mut parts = outer.enter(der::SEQUENCE)?;
        outer.finish()?;
        if parts.read(der::context_constructed(0))? != [der::INTEGER, 1, 2] {
            return Err(Error::malformed("the certificate is not of version 3"));
        }
        let serial = parts.unsigned()?.to_vec();
        let signature_identifier = whole(&mut parts)?;
        let issuer = whole(&mut parts)?;
        let mut times = parts.enter(der::SEQUENCE)?;
        let validity = [whole(&mut times)?, whole(&mut times)?];
        times.finish()?;
        let subject = whole(&mut parts)?;
        let spki = whole(&mut parts)?;
        let mut explicit = parts.enter(der::context_constructed(3))?;
        parts.finish()?;
        let mut list = explicit.enter(der::SEQUENCE)?;
        explicit.finish()?;
        let mut extensions = Vec::new();
        while !list.is_empty() {
            let (oid, critical, value) = extension(&mut list)?;
            extensions.push((oid.to_vec(), critical, value.to_vec()));
        }
        Ok(ParsedCertificate { serial, signature_identifier, issuer, validity, subject, spki, extensions })
    }

    /// The value of an extension and whether it is critical.
    pub fn extension(&self, oid: &[u8]) -> Option<(bool, &[u8])> {
        self.extensions.iter().find(|(o, _, _)| o == oid).map(|(_, critical, value)| (*critical, value.as_slice()))
    }

    /// What nameConstraints say; nothing is constrained where there are none.
    ///
    /// # Errors
    /// Malformed when they cannot be understood.
    pub fn name_constraints(&self) -> Result<Subtrees> {
        self.extension(oid::NAME_CONSTRAINTS)
            .map_or_else(|| Ok(Subtrees::default()), |(_, value)| Subtrees::parse(value))
    }

    /// The subject key identifier, if it has one.
    pub fn subject_key_identifier(&self) -> Option<&[u8]> {
        let (_, value) = self.extension(oid::SUBJECT_KEY_IDENTIFIER)?;
        Reader::new(value).read(der::OCTET_STRING).ok()
    }

    /// What it says of its key, if it is a CA certificate.
    ///
    /// # Errors
    /// Malformed when an extension of it cannot be read, or when it is no CA certificate.
    pub fn ca_profile(&self) -> Result<CaProfile> {
        let no_ca = || Error::malformed("the certificate is not one of a CA (basicConstraints with cA)");
        let (_, value) = self.extension(oid::BASIC_CONSTRAINTS).ok_or_else(no_ca)?;
        let mut parts = Reader::new(value).enter(der::SEQUENCE)?;
        if parts.is_empty() || !parts.boolean()? {
            return Err(no_ca());
        }
        let path_len = match parts.is_empty() {
            true => None,
            // More than we could ever count is no limit worth telling from 255.
            false => Some(<[u8; 1]>::try_from(parts.unsigned()?).map_or(u8::MAX, |[length]| length)),
        };
        let key_usage = self.key_usage()?;
        let name_constraints = self.extension(oid::NAME_CONSTRAINTS).map(|(_, value)| value.to_vec());
        Ok(CaProfile { path_len, key_usage, name_constraints })
    }

    /// The bits of keyUsage, in their order; none where there is none.
    ///
    /// # Errors
    /// Malformed when it is not a bit string.
    pub fn key_usage(&self) -> Result<Vec<KeyUsage>> {
        let Some((_, value)) = self.extension(oid::KEY_USAGE) else { return Ok(Vec::new()) };
        let bits = Reader::new(value).read(der::BIT_STRING)?;
        let octets = bits.get(1..).unwrap_or_default();
        let set = |bit: u8| octets.get(usize::from(bit / 8)).is_some_and(|octet| octet & (0x80 >> (bit % 8)) != 0);
        Ok(KeyUsage::ALL.into_iter().filter(|usage| set(usage.bit())).collect())
    }

    /// Its life.
    ///
    /// # Errors
    /// Malformed when a time cannot be read.
    pub fn life(&self) -> Result<Validity> {
        let [not_before, not_after] = &self.validity;
        Ok(Validity { not_before: parse_time(not_before)?, not_after: parse_time(not_after)? })
    }

    /// Whether issuer and subject are one.
    pub fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }

    /// The names in subjectAltName.
    ///
    /// # Errors
    /// Malformed when it is missing or holds anything but DNS names and IP addresses.
    pub fn subject_alt_names(&self) -> Result<Vec<Identifier>> {
        let (_, value) = self
            .extension(oid::SUBJECT_ALT_NAME)
            .ok_or_else(|| Error::malformed("the certificate has no subjectAltName"))?;
        let mut outer = Reader::new(value);
        let mut names = outer.enter(der::SEQUENCE)?;
        outer.finish()?;
        let mut identifiers = Vec::new();
        while !names.is_empty() {
            identifiers.push(general_name(&mut names)?);
        }
        Ok(identifiers)
    }
}

/// The next Extension (RFC 5280, 4.1): OID, critical, value.
pub(super) fn extension<'a>(list: &mut Reader<'a>) -> Result<(&'a [u8], bool, &'a [u8])> {
    let mut extension = list.enter(der::SEQUENCE)?;
    let oid = extension.read(der::OID)?;
    let critical = extension.peek() == Some(der::BOOLEAN) && extension.boolean()?;
    let value = extension.read(der::OCTET_STRING)?;
    extension.finish()?;
    Ok((oid, critical, value))
}

/// The next GeneralName (RFC 5280, 4.2.1.6), which must be a DNS name or an IP address.
pub(super) fn general_name(names: &mut Reader<'_>) -> Result<Identifier> {
    const DNS_NAME: der::Tag = der::context(2);
    const IP_ADDRESS: der::Tag = der::context(7);
    let (tag, value, _) = names.any()?;
    match (tag, <[u8; 4]>::try_from(value), <[u8; 16]>::try_from(value)) {
        (DNS_NAME, ..) => {
            let text = std::str::from_utf8(value).map_err(|_| Error::malformed("a DNS name is not text"))?;
            Identifier::parse("dns", text)
        }
        (IP_ADDRESS, Ok(octets), _) => Ok(Identifier::Ip(octets.into())),
        (IP_ADDRESS, _, Ok(octets)) => Ok(Identifier::Ip(octets.into())),
        (IP_ADDRESS, ..) => Err(Error::malformed("an IP address has neither 4 nor 16 bytes")),
        _ => Err(Error::malformed("subjectAltName holds something other than DNS names and IP addresses")),
    }
}

fn whole(reader: &mut Reader<'_>) -> Result<Vec<u8>> {
    reader.any().map(|(_, _, whole)| whole.to_vec())
}
