//! Generating private keys, as PKCS #8 (RFC 5208, RFC 5958).

use super::{KeyAlgorithm, sha256};
use crate::der::{self, oid};
use crate::error::{Error, Result};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use rsa::traits::{PrivateKeyParts, PublicKeyParts};
use std::convert::Infallible;
use zeroize::Zeroizing;

/// A new private key. RSA-4096 may take seconds.
///
/// # Errors
/// Internal when the system gives no random bytes.
pub fn generate(algorithm: KeyAlgorithm) -> Result<Zeroizing<Vec<u8>>> {
    let random = SystemRandom::new();
    let failed = |_| Error::internal("the key could not be generated");
    let document = match algorithm {
        KeyAlgorithm::Rsa2048 => return rsa_pkcs8(2048),
        KeyAlgorithm::Rsa3072 => return rsa_pkcs8(3072),
        KeyAlgorithm::Rsa4096 => return rsa_pkcs8(4096),
        KeyAlgorithm::Ec256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random),
        KeyAlgorithm::Ec384 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, &random),
        KeyAlgorithm::Ed25519 => Ed25519KeyPair::generate_pkcs8(&random),
    };
    document.map(|d| Zeroizing::new(d.as_ref().to_vec())).map_err(failed)
}

fn rsa_pkcs8(bits: usize) -> Result<Zeroizing<Vec<u8>>> {
    let failed = || Error::internal("the RSA key could not be generated");
    let mut random = RingRandom::new(|block| SystemRandom::new().fill(block).is_ok())?;
    let key = rsa::PrivateKey::new(&mut random, bits).map_err(|_| failed())?;
    if random.has_failed {
        return Err(Error::internal(
            "the system stopped giving random bytes while a key was made; the key was dropped",
        ));
    }
    let [p, q] = key.primes() else { return Err(failed()) };
    let (dp, dq) = (key.dp().ok_or_else(failed)?, key.dq().ok_or_else(failed)?);
    let coefficient = key.crt_coefficient().ok_or_else(failed)?;
    // RSAPrivateKey of RFC 8017, A.1.2. Each element is wiped, and so is what they are joined into.
    let numbers = [
        der::small_integer(0),
        der::unsigned(&key.n_bytes()),
        der::unsigned(&key.e_bytes()),
        der::unsigned(&Zeroizing::new(key.d().to_be_bytes().into_vec())),
        der::unsigned(&Zeroizing::new(p.to_be_bytes().into_vec())),
        der::unsigned(&Zeroizing::new(q.to_be_bytes().into_vec())),
        der::unsigned(&Zeroizing::new(dp.to_be_bytes().into_vec())),
        der::unsigned(&Zeroizing::new(dq.to_be_bytes().into_vec())),
        der::unsigned(&Zeroizing::new(coefficient.to_be_bytes().into_vec())),
    ]
    .map(Zeroizing::new);
    let private_key = Zeroizing::new(der::sequence(&numbers.each_ref().map(|n| n.as_slice())));
    Ok(rsa_private_key_info(&private_key))
}

/// PrivateKeyInfo (RFC 5958, 2) around an RSAPrivateKey.
pub(super) fn rsa_private_key_info(private_key: &[u8]) -> Zeroizing<Vec<u8>> {
    let algorithm = der::sequence(&[der::object_identifier(oid::RSA_ENCRYPTION), der::null()]);
    let wrapped = Zeroizing::new(der::octet_string(private_key));
    Zeroizing::new(der::sequence(&[&der::small_integer(0), &algorithm, &*wrapped]))
}

/// ring's generator in the shape that the rsa crate wants, in blocks, since it is asked for numbers one by one.
struct RingRandom {
    /// Fills a block, or says that it cannot.
    fill: fn(&mut [u8]) -> bool,
    block: Zeroizing<[u8; 256]>,
    used: usize,
    /// The rsa crate takes no error, so that it has to come to an end with numbers that are not random; what it makes of
    /// them must not be used.
    has_failed: bool,
}

impl RingRandom {
    fn new(fill: fn(&mut [u8]) -> bool) -> Result<Self> {
        let mut random = RingRandom { fill, block: Zeroizing::new([0; 256]), used: 0, has_failed: false };
        random.refill();
        if random.has_failed { Err(Error::internal("the system gives no random bytes")) } else { Ok(random) }
    }

    fn refill(&mut self) {
        self.used = 0;
        if !(self.fill)(&mut self.block[..]) {
            self.has_failed = true;
            // Other numbers each time, so that the search for a prime ends.
            for part in self.block.chunks_mut(32) {
                part.copy_from_slice(&sha256(part));
            }
        }
    }

    fn take(&mut self, out: &mut [u8]) {
        for byte in out {
            if self.used == self.block.len() {
                self.refill();
            }
            *byte = self.block.get(self.used).copied().unwrap_or_default();
            self.used = self.used.saturating_add(1);
        }
    }
}

impl rsa::rand_core::TryRng for RingRandom {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> std::result::Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.take(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> std::result::Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.take(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> std::result::Result<(), Infallible> {
        self.take(out);
        Ok(())
    }
}

impl rsa::rand_core::TryCryptoRng for RingRandom {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    thread_local! {
        static BLOCKS: Cell<usize> = const { Cell::new(0) };
    }

    /// One block, then nothing: less than a key needs.
    fn one_block(block: &mut [u8]) -> bool {
        BLOCKS.set(BLOCKS.get() + 1);
        BLOCKS.get() <= 1 && SystemRandom::new().fill(block).is_ok()
    }

    #[test]
    fn a_generator_that_stops_in_the_middle_is_noticed_and_the_search_ends() {
        let mut random = RingRandom::new(one_block).unwrap();
        let key = rsa::PrivateKey::new(&mut random, 3072);
        assert!(key.is_ok(), "{:?}", key.err());
        assert!(random.has_failed, "{} blocks", BLOCKS.get());
        let before = random.block.clone();
        random.refill();
        assert_ne!(before, random.block, "numbers that repeat may hold no prime");
        assert!(RingRandom::new(|_| false).is_err(), "one that never worked");
    }
}
