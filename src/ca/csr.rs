//! PKCS #10 certificate signing requests (RFC 2986), as finalize takes them (RFC 8555, 7.4).

use super::parsed::{extension, general_name};
use super::signed::Signed;
use crate::der::{self, Reader, oid};
use crate::error::{Class, Error, Result};
use crate::identifier::Identifier;
use crate::keys::{ClaimedKey, PublicKey};
use std::collections::BTreeSet;

/// The most names that a request, and so an order, can have.
pub const MOST_NAMES: usize = 100;

/// A request whose own signature verifies and whose key is not weak.
#[derive(Debug)]
pub struct CertificateRequest {
    public_key: PublicKey,
    identifiers: BTreeSet<Identifier>,
}

impl CertificateRequest {
    /// Parse and verify the DER of a request.
    ///
    /// # Errors
    /// BadCsr when it is malformed, asks for what is not issued here, is not signed by its own key, or has a key that is
    /// weak or not supported (RFC 8555, 6.7).
    pub fn parse(request: &[u8]) -> Result<CertificateRequest> {
        parse(request).map_err(|e| match e.class() {
            Class::BadCsr => e,
            _ => bad(format!("the CSR: {e}")),
        })
    }

    /// The key that asks for a certificate.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// Every name that the certificate is to have: subjectAltName and common name together.
    pub fn identifiers(&self) -> &BTreeSet<Identifier> {
        &self.identifiers
    }
}

fn parse(request: &[u8]) -> Result<CertificateRequest> {
    let signed = Signed::parse(request)?;
    let mut outer = Reader::new(signed.content);
    let mut info = outer.enter(der::SEQUENCE)?;
    // The version should be 0 (RFC 2986, 4.1), and Ruby's acme-client writes 2.
    info.unsigned()?;
    let common_names = common_names(info.enter(der::SEQUENCE)?)?;
    let (_, _, spki) = info.any()?;
    let claimed = ClaimedKey::from_spki(spki)?;
    let mut identifiers = match info.optional(der::context_constructed(0))? {
        Some(attributes) => requested_names(Reader::new(attributes))?,
        None => BTreeSet::new(),
    };
    info.finish()?;
    for name in common_names {
        identifiers.insert(Identifier::parse_host(name).map_err(|e| bad(format!("the CSR's common name: {e}")))?);
    }
    let public_key = claimed.proved_by(|key| signed.verify(key))?;
    Ok(CertificateRequest { public_key, identifiers })
}

fn common_names<'a>(mut subject: Reader<'a>) -> Result<Vec<&'a str>> {
    let mut names = Vec::new();
    while !subject.is_empty() {
        let mut rdn = subject.enter(der::SET)?;
        while !rdn.is_empty() {
            let mut pair = rdn.enter(der::SEQUENCE)?;
            let attribute = pair.read(der::OID)?;
            let (_, value, _) = pair.any()?;
            pair.finish()?;
            if attribute == oid::COMMON_NAME {
                if names.len() == MOST_NAMES {
                    return Err(too_many_names());
                }
                names.push(std::str::from_utf8(value).map_err(|_| bad("the CSR's common name is not text"))?);
            }
        }
    }
    Ok(names)
}

fn requested_names(mut attributes: Reader<'_>) -> Result<BTreeSet<Identifier>> {
    let mut names = None;
    while !attributes.is_empty() {
        let mut attribute = attributes.enter(der::SEQUENCE)?;
        let kind = attribute.read(der::OID)?;
        let mut values = attribute.enter(der::SET)?;
        attribute.finish()?;
        if kind != oid::EXTENSION_REQUEST {
            continue;
        }
        let extensions = values.enter(der::SEQUENCE)?;
        values.finish()?;
        if names.replace(names_in_extensions(extensions)?).is_some() {
            return Err(bad("the CSR asks for extensions twice"));
        }
    }
    Ok(names.unwrap_or_default())
}

/// The subjectAltName. Usages are the issuer's to decide; a CA certificate is not to be had this way, nor are extensions
/// that are never issued.
fn names_in_extensions(mut extensions: Reader<'_>) -> Result<BTreeSet<Identifier>> {
    let mut names = None;
    while !extensions.is_empty() {
        let (kind, _, value) = extension(&mut extensions)?;
        let mut value = Reader::new(value);
        match kind {
            oid::SUBJECT_ALT_NAME => {
                let general_names = value.enter(der::SEQUENCE)?;
                value.finish()?;
                if names.replace(general_names_in(general_names)?).is_some() {
                    return Err(bad("the CSR has subjectAltName twice"));
                }
            }
            oid::BASIC_CONSTRAINTS => {
                let mut constraints = value.enter(der::SEQUENCE)?;
                if constraints.peek() == Some(der::BOOLEAN) && constraints.boolean()? {
                    return Err(bad("the CSR asks for a CA certificate, which is not issued here"));
                }
            }
            oid::KEY_USAGE => {
                let bits = value.read(der::BIT_STRING)?;
                let is_ca = bits.get(1).is_some_and(|octet| octet & KEY_CERT_SIGN_OR_CRL_SIGN != 0);
                if is_ca {
                    return Err(bad("the CSR asks for a key usage of a CA, which is not issued here"));
                }
            }
            // What clients ask for as a matter of course; the issuer decides what they get.
            oid::EXTENDED_KEY_USAGE | oid::SUBJECT_KEY_IDENTIFIER | oid::AUTHORITY_KEY_IDENTIFIER => {}
            // RFC 8555, 7.4: better an error than a certificate without what was asked for.
            _ => return Err(bad("the CSR asks for an extension that is not issued here, such as must-staple")),
        }
    }
    Ok(names.unwrap_or_default())
}

/// Bits 5 and 6 of keyUsage, in its first octet.
const KEY_CERT_SIGN_OR_CRL_SIGN: u8 = 0x06;

fn general_names_in(mut names: Reader<'_>) -> Result<BTreeSet<Identifier>> {
    let mut identifiers = BTreeSet::new();
    // One name a thousand times would be one name, and a thousand names to look at.
    for _ in 0..MOST_NAMES {
        if names.is_empty() {
            return Ok(identifiers);
        }
        identifiers.insert(general_name(&mut names)?);
    }
    names.finish().map_err(|_| too_many_names())?;
    Ok(identifiers)
}

fn too_many_names() -> Error {
    bad("the CSR has more names than an order can have")
}

fn bad(why: impl Into<String>) -> Error {
    Error::new(Class::BadCsr, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_bytes_are_refused_without_a_panic() {
        for bytes in [&b""[..], b"\x30", b"\x30\x00", b"\x30\x03\x02\x01\x00", &[0x30; 300], &[0xff; 64]] {
            assert_eq!(CertificateRequest::parse(bytes).map_err(|e| e.class()).err(), Some(Class::BadCsr));
        }
    }
}
