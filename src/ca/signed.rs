//! What X.509 signs, whether certificate, request or list: the bytes, the algorithm, the signature (RFC 5280, 4.1.1).

use crate::der::{self, Reader, oid};
use crate::error::{Error, Result};
use crate::keys::{Hash, KeyParts, PublicKey, SignatureEncoding, Signer};

/// A signed object, not verified yet.
pub(super) struct Signed<'a> {
    /// What is signed, with tag and length.
    pub(super) content: &'a [u8],
    algorithm: Reader<'a>,
    signature: &'a [u8],
}

impl<'a> Signed<'a> {
    pub(super) fn parse(object: &'a [u8]) -> Result<Signed<'a>> {
        let mut outer = Reader::new(object);
        let mut parts = outer.enter(der::SEQUENCE)?;
        outer.finish()?;
        let (tag, _, content) = parts.any()?;
        if tag != der::SEQUENCE {
            return Err(Error::malformed("what is signed is not a sequence"));
        }
        let algorithm = parts.enter(der::SEQUENCE)?;
        let signature = parts.octet_aligned_bits()?;
        parts.finish()?;
        Ok(Signed { content, algorithm, signature })
    }

    /// # Errors
    /// Malformed when the algorithm is not supported or not one of this key, or when the signature is not by it.
    pub(super) fn verify(&self, key: &PublicKey) -> Result<()> {
        let (hash, family) = signature_algorithm(self.algorithm)?;
        if family != Family::of(key) {
            return Err(Error::malformed("the signature algorithm is not one of its key"));
        }
        key.verify(hash, SignatureEncoding::Asn1, self.content, self.signature)
            .map_err(|_| Error::malformed("the signature is not by this key"))
    }
}

/// Whether a certificate or a list is signed by this key.
///
/// # Errors
/// Malformed when it is not.
pub fn verify_signature(object: &[u8], key: &PublicKey) -> Result<()> {
    Signed::parse(object)?.verify(key)
}

/// Sign these bytes and put everything together.
pub(super) fn sign(content: &[u8], signer: &Signer) -> Result<Vec<u8>> {
    let signature = der::bit_string(&signer.sign(content)?);
    Ok(der::sequence(&[content, &signer.signature_identifier(), &signature]))
}

/// What kind of key makes a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Rsa,
    Ecdsa,
    Ed25519,
}

impl Family {
    fn of(key: &PublicKey) -> Family {
        match key.parts() {
            KeyParts::Rsa { .. } => Family::Rsa,
            KeyParts::Ec { .. } => Family::Ecdsa,
            KeyParts::Okp { .. } => Family::Ed25519,
        }
    }
}

fn signature_algorithm(mut algorithm: Reader<'_>) -> Result<(Hash, Family)> {
    let (hash, family) = match algorithm.read(der::OID)? {
        oid::SHA256_WITH_RSA => (Hash::Sha256, Family::Rsa),
        oid::SHA384_WITH_RSA => (Hash::Sha384, Family::Rsa),
        oid::SHA512_WITH_RSA => (Hash::Sha512, Family::Rsa),
        oid::ECDSA_WITH_SHA256 => (Hash::Sha256, Family::Ecdsa),
        oid::ECDSA_WITH_SHA384 => (Hash::Sha384, Family::Ecdsa),
        oid::ED25519 => (Hash::Sha512, Family::Ed25519),
        _ => return Err(Error::malformed("the signature algorithm is not supported; use SHA-256 or SHA-384")),
    };
    if family == Family::Rsa {
        algorithm.read(der::NULL)?;
    }
    algorithm.finish()?;
    Ok((hash, family))
}
