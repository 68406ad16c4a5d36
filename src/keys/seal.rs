//! Sealing secrets for the database: AES-256-GCM under a key that is not in it.

use super::random;
use crate::error::{Error, Result};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

/// A 256-bit key that seals others: a key-encryption key, or the data key of the EAB MACs. Wiped when dropped.
#[derive(Clone)]
pub struct SecretKey(Zeroizing<[u8; 32]>);

/// A sealed secret: nonce, ciphertext, tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed(pub Vec<u8>);

impl SecretKey {
    /// A random key.
    ///
    /// # Errors
    /// Internal when the system gives no random bytes.
    pub fn generate() -> Result<SecretKey> {
        random::<32>().map(|bytes| SecretKey(Zeroizing::new(bytes)))
    }

    pub(super) fn from_bytes(bytes: Zeroizing<[u8; 32]>) -> SecretKey {
        SecretKey(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A key that was itself sealed under this one.
    ///
    /// # Errors
    /// As [`SecretKey::open`].
    pub fn open_key(&self, sealed: &Sealed, context: &str) -> Result<SecretKey> {
        let bytes = self.open(sealed, context)?;
        let bytes: [u8; 32] =
            bytes.as_slice().try_into().map_err(|_| Error::internal("a sealed key has a wrong length"))?;
        Ok(SecretKey(Zeroizing::new(bytes)))
    }

    /// Seal another key under this one.
    ///
    /// # Errors
    /// As [`SecretKey::seal`].
    pub fn seal_key(&self, key: &SecretKey, context: &str) -> Result<Sealed> {
        self.seal(&key.0[..], context)
    }

    /// Seal a secret. `context` names what it is; it must be said again to open it, so that sealed values cannot be
    /// exchanged for each other.
    ///
    /// # Errors
    /// Internal when the system gives no random bytes.
    pub fn seal(&self, secret: &[u8], context: &str) -> Result<Sealed> {
        let nonce = random::<NONCE_LEN>()?;
        let mut buffer = Zeroizing::new(secret.to_vec());
        let tag = self
            .cipher()?
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(context.as_bytes()), &mut buffer)
            .map_err(|_| Error::internal("the secret is too long to be sealed"))?;
        Ok(Sealed([&nonce[..], &buffer, tag.as_ref()].concat()))
    }

    /// Open what was sealed under the same context.
    ///
    /// # Errors
    /// Internal when it was sealed under another key or context, or was changed since.
    pub fn open(&self, sealed: &Sealed, context: &str) -> Result<Zeroizing<Vec<u8>>> {
        let damaged = || Error::internal(format!("the sealed {context} does not open: it or its key is damaged"));
        let (nonce, body) = sealed.0.split_at_checked(NONCE_LEN).ok_or_else(damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| damaged())?;
        let mut buffer = Zeroizing::new(body.to_vec());
        let length = self
            .cipher()?
            .open_in_place(nonce, Aad::from(context.as_bytes()), &mut buffer)
            .map_err(|_| damaged())?
            .len();
        buffer.truncate(length);
        Ok(buffer)
    }

    fn cipher(&self) -> Result<LessSafeKey> {
        let key = UnboundKey::new(&AES_256_GCM, &self.0[..])
            .map_err(|_| Error::internal("the sealing key has a wrong length"))?;
        Ok(LessSafeKey::new(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_under_its_key_and_context_only() {
        let (key, other) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
        let sealed = key.seal(b"secret", "mac of a").unwrap();
        assert_eq!(key.open(&sealed, "mac of a").unwrap().as_slice(), b"secret");
        assert!(key.open(&sealed, "mac of b").is_err());
        assert!(other.open(&sealed, "mac of a").is_err());
        for at in 0..sealed.0.len() {
            let mut flipped = sealed.clone();
            flipped.0[at] ^= 1;
            assert!(key.open(&flipped, "mac of a").is_err(), "byte {at}");
        }
    }
}
