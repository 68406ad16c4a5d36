//! Public keys, of accounts and of certificates: one type for both, so that one check of strength serves both.

use super::{Hash, sha256, weak};
use crate::der::{self, Reader, oid};
use crate::error::{Class, Error, Result};
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use std::borrow::Cow;

/// A public key of a supported kind, well formed. That an EC point lies on its curve is seen by [`PublicKey::verify`]; what
/// a stranger shows is a [`ClaimedKey`](super::ClaimedKey) until a signature by it has been verified and it is not weak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// Modulus and exponent, big-endian without leading zeros.
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// The uncompressed point: 04, x, y.
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519([u8; 32]),
}

/// How an ECDSA signature is written. RSA and Ed25519 have only one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureEncoding {
    /// A SEQUENCE of two INTEGERs, as in X.509 (RFC 5480, appendix A).
    Asn1,
    /// Two halves of fixed length, as in JWS (RFC 7518, 3.4).
    Fixed,
}

impl PublicKey {
    /// An RSA key from big-endian numbers without leading zeros.
    ///
    /// # Errors
    /// BadPublicKey when it is malformed, or of a size that is not supported.
    pub fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<PublicKey> {
        weak::check_rsa_size(modulus, exponent)?;
        Ok(PublicKey(Kind::Rsa { modulus: modulus.to_vec(), exponent: exponent.to_vec() }))
    }

    /// A key on P-256 from its coordinates, 32 bytes each.
    ///
    /// # Errors
    /// BadPublicKey when a coordinate has another length.
    pub fn p256(x: &[u8], y: &[u8]) -> Result<PublicKey> {
        Ok(PublicKey(Kind::P256(uncompressed_point(x, y, 32)?)))
    }

    /// A key on P-384 from its coordinates, 48 bytes each.
    ///
    /// # Errors
    /// BadPublicKey when a coordinate has another length.
    pub fn p384(x: &[u8], y: &[u8]) -> Result<PublicKey> {
        Ok(PublicKey(Kind::P384(uncompressed_point(x, y, 48)?)))
    }

    /// An Ed25519 key.
    ///
    /// # Errors
    /// BadPublicKey when it is not 32 bytes or its point has small order.
    pub fn ed25519(bytes: &[u8]) -> Result<PublicKey> {
        let key: [u8; 32] = bytes.try_into().map_err(|_| bad("an Ed25519 key has 32 bytes"))?;
        weak::check_ed25519(&key)?;
        Ok(PublicKey(Kind::Ed25519(key)))
    }

    /// Whether its numbers have the sizes that they must have: what costs next to nothing to see.
    pub(super) fn check_form(&self) -> Result<()> {
        match &self.0 {
            Kind::Rsa { modulus, exponent } => weak::check_rsa_size(modulus, exponent),
            Kind::Ed25519(point) => weak::check_ed25519(point),
            Kind::P256(_) | Kind::P384(_) => Ok(()),
        }
    }

    /// Look for weaknesses, which costs more than to verify a signature.
    ///
    /// # Errors
    /// BadPublicKey when it is weak.
    pub fn check_strength(&self) -> Result<()> {
        match &self.0 {
            Kind::Rsa { modulus, .. } => {
                log::trace!("an RSA key is looked at for weaknesses");
                weak::check_modulus(modulus)
            }
            Kind::Ed25519(_) | Kind::P256(_) | Kind::P384(_) => Ok(()),
        }
    }

    /// Parse a SubjectPublicKeyInfo (RFC 5280, 4.1.2.7) of a key that was judged when it was first seen, such as an account's.
    ///
    /// # Errors
    /// Malformed when it is not DER, BadPublicKey when the kind is not supported.
    pub fn known(spki: &[u8]) -> Result<PublicKey> {
        let mut outer = Reader::new(spki);
        let mut info = outer.enter(der::SEQUENCE)?;
        outer.finish()?;
        let mut algorithm = info.enter(der::SEQUENCE)?;
        let key = info.octet_aligned_bits()?;
        info.finish()?;
        match algorithm.read(der::OID)? {
            oid::RSA_ENCRYPTION => {
                if !algorithm.read(der::NULL)?.is_empty() {
                    return Err(bad("the parameters of an RSA key must be NULL"));
                }
                algorithm.finish()?;
                let mut outer = Reader::new(key);
                let mut numbers = outer.enter(der::SEQUENCE)?;
                outer.finish()?;
                let (modulus, exponent) = (numbers.unsigned()?, numbers.unsigned()?);
                numbers.finish()?;
                Ok(PublicKey(Kind::Rsa { modulus: modulus.to_vec(), exponent: exponent.to_vec() }))
            }
            oid::EC_PUBLIC_KEY => {
                let curve = algorithm.read(der::OID)?;
                algorithm.finish()?;
                let length = match curve {
                    oid::P256 => 32,
                    oid::P384 => 48,
                    _ => return Err(bad("only the curves P-256 and P-384 are supported")),
                };
                let coordinates = key.strip_prefix(&[4]).ok_or_else(|| bad("an EC point must be uncompressed"))?;
                let (x, y) = coordinates.split_at_checked(length).ok_or_else(|| bad("an EC point is too short"))?;
                if length == 32 { PublicKey::p256(x, y) } else { PublicKey::p384(x, y) }
            }
            oid::ED25519 => {
                algorithm.finish()?;
                let point = key.try_into().map_err(|_| bad("an Ed25519 key has 32 bytes"))?;
                Ok(PublicKey(Kind::Ed25519(point)))
            }
            _ => Err(bad("only RSA, P-256, P-384 and Ed25519 keys are supported")),
        }
    }

    /// The SubjectPublicKeyInfo.
    pub fn to_spki(&self) -> Vec<u8> {
        let algorithm = match &self.0 {
            Kind::Rsa { .. } => der::sequence(&[der::object_identifier(oid::RSA_ENCRYPTION), der::null()]),
            Kind::P256(_) => ec_algorithm(oid::P256),
            Kind::P384(_) => ec_algorithm(oid::P384),
            Kind::Ed25519(_) => der::sequence(&[der::object_identifier(oid::ED25519)]),
        };
        der::sequence(&[algorithm, der::bit_string(&self.key_bits())])
    }

    /// The key identifier of RFC 7093, 2, method 1: the first 160 bits of the key's SHA-256.
    pub fn key_identifier(&self) -> [u8; 20] {
        let hash = sha256(&self.key_bits());
        std::array::from_fn(|at| hash.get(at).copied().unwrap_or_default())
    }

    /// Whether it is an RSA key, which can encipher keys (RFC 5280, 4.2.1.3); the others can agree on keys or only sign.
    pub fn is_rsa(&self) -> bool {
        matches!(self.0, Kind::Rsa { .. })
    }

    /// Whether it is an EC key.
    pub fn is_ec(&self) -> bool {
        matches!(self.0, Kind::P256(_) | Kind::P384(_))
    }

    /// The numbers that make up a JWK (RFC 7518, 6; RFC 8037, 2).
    pub fn parts(&self) -> KeyParts<'_> {
        match &self.0 {
            Kind::Rsa { modulus, exponent } => KeyParts::Rsa { modulus, exponent },
            Kind::P256(point) => ec_parts("P-256", point, 33),
            Kind::P384(point) => ec_parts("P-384", point, 49),
            Kind::Ed25519(key) => KeyParts::Okp { curve: "Ed25519", x: key },
        }
    }

    /// Verify a signature over `message`.
    ///
    /// # Errors
    /// Unauthorized when it does not verify, BadSignatureAlgorithm when this key cannot make such a signature.
    pub fn verify(&self, hash: Hash, encoding: SignatureEncoding, message: &[u8], signature: &[u8]) -> Result<()> {
        use SignatureEncoding::{Asn1, Fixed};
        let algorithm: &'static dyn VerificationAlgorithm = match (&self.0, hash, encoding) {
            (Kind::Rsa { .. }, Hash::Sha256, _) => &signature::RSA_PKCS1_2048_8192_SHA256,
            (Kind::Rsa { .. }, Hash::Sha384, _) => &signature::RSA_PKCS1_2048_8192_SHA384,
            (Kind::Rsa { .. }, Hash::Sha512, _) => &signature::RSA_PKCS1_2048_8192_SHA512,
            (Kind::P256(_), Hash::Sha256, Asn1) => &signature::ECDSA_P256_SHA256_ASN1,
            (Kind::P256(_), Hash::Sha384, Asn1) => &signature::ECDSA_P256_SHA384_ASN1,
            (Kind::P384(_), Hash::Sha256, Asn1) => &signature::ECDSA_P384_SHA256_ASN1,
            (Kind::P384(_), Hash::Sha384, Asn1) => &signature::ECDSA_P384_SHA384_ASN1,
            (Kind::P256(_), Hash::Sha256, Fixed) => &signature::ECDSA_P256_SHA256_FIXED,
            (Kind::P384(_), Hash::Sha384, Fixed) => &signature::ECDSA_P384_SHA384_FIXED,
            (Kind::Ed25519(_), _, _) => &signature::ED25519,
            (Kind::P256(_) | Kind::P384(_), _, _) => {
                return Err(Error::new(
                    Class::BadSignatureAlgorithm,
                    "the key's curve and the hash do not go together",
                ));
            }
        };
        log::trace!("a signature is verified");
        UnparsedPublicKey::new(algorithm, self.key_bits())
            .verify(message, signature)
            .map_err(|_| Error::unauthorized("the signature does not verify under its key"))
    }

    /// The content of the BIT STRING subjectPublicKey.
    pub fn key_bits(&self) -> Cow<'_, [u8]> {
        match &self.0 {
            Kind::Rsa { modulus, exponent } => der::sequence(&[der::unsigned(modulus), der::unsigned(exponent)]).into(),
            Kind::P256(point) | Kind::P384(point) => point.into(),
            Kind::Ed25519(key) => key.into(),
        }
    }
}

/// What a JWK of this key is made of.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum KeyParts<'a> {
    Rsa { modulus: &'a [u8], exponent: &'a [u8] },
    Ec { curve: &'static str, x: &'a [u8], y: &'a [u8] },
    Okp { curve: &'static str, x: &'a [u8] },
}

fn ec_parts<'a>(curve: &'static str, point: &'a [u8], y_at: usize) -> KeyParts<'a> {
    let (x, y) = point.split_at_checked(y_at).unwrap_or((point, &[]));
    KeyParts::Ec { curve, x: x.get(1..).unwrap_or(&[]), y }
}

fn uncompressed_point(x: &[u8], y: &[u8], length: usize) -> Result<Vec<u8>> {
    if x.len() == length && y.len() == length {
        Ok([&[4], x, y].concat())
    } else {
        Err(bad(format!("each coordinate of this curve has {length} bytes, leading zeros included")))
    }
}

fn ec_algorithm(curve: &[u8]) -> Vec<u8> {
    der::sequence(&[der::object_identifier(oid::EC_PUBLIC_KEY), der::object_identifier(curve)])
}

fn bad(why: impl Into<String>) -> Error {
    Error::new(Class::BadPublicKey, why)
}
