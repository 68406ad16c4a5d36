//! A private key in memory that can sign. Who may reach it is decided by `issuance`.

use super::{Hash, KeyAlgorithm, PublicKey};
use crate::error::{Error, Result};
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};

/// A signing key and its public half. ring's copy of the private key is not wiped when it is dropped.
pub struct Signer {
    pair: Pair,
    algorithm: KeyAlgorithm,
    hash: Hash,
    public_key: PublicKey,
    random: SystemRandom,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    /// A signer from a PKCS #8 private key. `hash` matters to RSA keys only; the others have one of their own.
    ///
    /// # Errors
    /// Internal when the key is damaged or of another kind than `algorithm` says.
    pub fn from_pkcs8(algorithm: KeyAlgorithm, hash: Hash, pkcs8: &[u8]) -> Result<Signer> {
        let damaged = |_| Error::internal(format!("the private key is not a sound {algorithm} key"));
        let random = SystemRandom::new();
        let pair = match algorithm {
            KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => {
                Pair::Rsa(RsaKeyPair::from_pkcs8(pkcs8).map_err(damaged)?)
            }
            KeyAlgorithm::Ec256 => Pair::Ec(
                EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8, &random)
                    .map_err(damaged)?,
            ),
            KeyAlgorithm::Ec384 => Pair::Ec(
                EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P384_SHA384_ASN1_SIGNING, pkcs8, &random)
                    .map_err(damaged)?,
            ),
            // openssl leaves the public key out; whoever keeps a key compares it with the one on its certificate.
            KeyAlgorithm::Ed25519 => Pair::Ed25519(Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).map_err(damaged)?),
        };
        let public_key = pair.public_key()?;
        let hash = if public_key.is_rsa() { hash } else { algorithm.default_hash() };
        Ok(Signer { pair, algorithm, hash, public_key, random })
    }

    /// The public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// The AlgorithmIdentifier that its signatures carry.
    pub fn signature_identifier(&self) -> Vec<u8> {
        self.algorithm.signature_identifier(self.hash)
    }

    /// Sign these bytes, in the encoding of X.509.
    ///
    /// # Errors
    /// Internal when ring fails.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let failed = |_| Error::internal("the signer could not sign");
        match &self.pair {
            Pair::Rsa(pair) => {
                let padding: &'static dyn signature::RsaEncoding = match self.hash {
                    Hash::Sha256 => &signature::RSA_PKCS1_SHA256,
                    Hash::Sha384 => &signature::RSA_PKCS1_SHA384,
                    Hash::Sha512 => &signature::RSA_PKCS1_SHA512,
                };
                let mut out = vec![0; pair.public().modulus_len()];
                pair.sign(padding, &self.random, message, &mut out).map_err(failed)?;
                Ok(out)
            }
            Pair::Ec(pair) => pair.sign(&self.random, message).map(|s| s.as_ref().to_vec()).map_err(failed),
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }
}

impl Pair {
    fn public_key(&self) -> Result<PublicKey> {
        match self {
            Pair::Rsa(pair) => {
                let numbers = PublicKeyComponents::<Vec<u8>>::from(pair.public());
                let key = PublicKey::rsa(&numbers.n, &numbers.e)?;
                key.check_strength()?;
                Ok(key)
            }
            Pair::Ec(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = point.get(1..).map(|c| c.split_at(c.len() / 2)).unwrap_or_default();
                if x.len() == 32 { PublicKey::p256(x, y) } else { PublicKey::p384(x, y) }
            }
            Pair::Ed25519(pair) => PublicKey::ed25519(pair.public_key().as_ref()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{SignatureEncoding, generate};

    #[test]
    fn every_algorithm_signs_what_its_public_key_verifies_and_survives_spki() {
        for algorithm in KeyAlgorithm::ALL {
            let signer = Signer::from_pkcs8(algorithm, Hash::Sha256, &generate(algorithm).unwrap()).unwrap();
            let signature = signer.sign(b"message").unwrap();
            let key = PublicKey::known(&signer.public_key().to_spki()).unwrap();
            assert_eq!(&key, signer.public_key());
            let hash = algorithm.default_hash();
            assert_eq!(key.verify(hash, SignatureEncoding::Asn1, b"message", &signature), Ok(()));
            assert!(key.verify(hash, SignatureEncoding::Asn1, b"massage", &signature).is_err());
        }
    }
}
