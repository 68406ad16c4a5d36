//! The key algorithms and hashes that we sign with.

use crate::der::{self, oid};
use crate::error::{Error, Result};
use std::fmt;

/// What kind of key a signer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyAlgorithm {
    /// RSA with a 2048-bit modulus, and so on.
    Rsa2048,
    /// RSA, 3072 bits.
    Rsa3072,
    /// RSA, 4096 bits.
    Rsa4096,
    /// ECDSA on P-256.
    Ec256,
    /// ECDSA on P-384.
    Ec384,
    /// Ed25519.
    Ed25519,
}

impl KeyAlgorithm {
    /// All of them.
    pub const ALL: [KeyAlgorithm; 6] = [
        KeyAlgorithm::Rsa2048,
        KeyAlgorithm::Rsa3072,
        KeyAlgorithm::Rsa4096,
        KeyAlgorithm::Ec256,
        KeyAlgorithm::Ec384,
        KeyAlgorithm::Ed25519,
    ];

    /// The name that commands use.
    pub fn name(self) -> &'static str {
        match self {
            KeyAlgorithm::Rsa2048 => "RSA2048",
            KeyAlgorithm::Rsa3072 => "RSA3072",
            KeyAlgorithm::Rsa4096 => "RSA4096",
            KeyAlgorithm::Ec256 => "EC256",
            KeyAlgorithm::Ec384 => "EC384",
            KeyAlgorithm::Ed25519 => "ED25519",
        }
    }

    /// Parse the name that commands use, in any case.
    ///
    /// # Errors
    /// Malformed, with the reason, for what is not a signing key or too weak.
    pub fn parse(text: &str) -> Result<KeyAlgorithm> {
        let upper = text.to_ascii_uppercase();
        if let Some(found) = KeyAlgorithm::ALL.into_iter().find(|a| a.name() == upper) {
            return Ok(found);
        }
        let choice = KeyAlgorithm::ALL.map(KeyAlgorithm::name).join(", ");
        Err(Error::malformed(if upper.starts_with("AES") {
            format!("--alg {text} is not a signing key; use one of {choice}")
        } else if upper == "RSA1024" {
            format!("--alg RSA1024 is too weak to sign with; use one of {choice}")
        } else {
            format!("--alg {text} is not known; use one of {choice}")
        }))
    }

    /// Whether it is RSA, whose signatures take one hash or another.
    pub fn is_rsa(self) -> bool {
        matches!(self, KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096)
    }

    /// The hash that signatures use when nobody chooses one; Ed25519 has its own and takes none.
    pub fn default_hash(self) -> Hash {
        match self {
            KeyAlgorithm::Ec384 => Hash::Sha384,
            _ => Hash::Sha256,
        }
    }

    /// The AlgorithmIdentifier of a signature (RFC 4055, 5; RFC 5758, 3.2; RFC 8410, 3).
    pub fn signature_identifier(self, hash: Hash) -> Vec<u8> {
        match self {
            KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => {
                let oid = match hash {
                    Hash::Sha256 => oid::SHA256_WITH_RSA,
                    Hash::Sha384 => oid::SHA384_WITH_RSA,
                    Hash::Sha512 => oid::SHA512_WITH_RSA,
                };
                der::sequence(&[der::object_identifier(oid), der::null()])
            }
            KeyAlgorithm::Ec256 => der::sequence(&[der::object_identifier(oid::ECDSA_WITH_SHA256)]),
            KeyAlgorithm::Ec384 => der::sequence(&[der::object_identifier(oid::ECDSA_WITH_SHA384)]),
            KeyAlgorithm::Ed25519 => der::sequence(&[der::object_identifier(oid::ED25519)]),
        }
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A hash of the SHA-2 family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    /// The name that commands use.
    pub fn name(self) -> &'static str {
        match self {
            Hash::Sha256 => "SHA256",
            Hash::Sha384 => "SHA384",
            Hash::Sha512 => "SHA512",
        }
    }

    /// Parse the name that commands use, in any case.
    ///
    /// # Errors
    /// Malformed for any other text.
    pub fn parse(text: &str) -> Result<Hash> {
        [Hash::Sha256, Hash::Sha384, Hash::Sha512].into_iter().find(|h| h.name().eq_ignore_ascii_case(text)).ok_or_else(
            || Error::malformed(format!("--hash-algorithm {text} is not known; use SHA256, SHA384 or SHA512")),
        )
    }
}
