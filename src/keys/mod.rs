//! Keys: which algorithms there are, how keys are made, judged, sealed and split into fragments, and the signer.

mod algorithm;
mod blocked;
mod claimed;
mod fragments;
mod generate;
mod import;
mod private_file;
mod public_key;
mod seal;
mod signer;
mod weak;

pub use algorithm::{Hash, KeyAlgorithm};
pub use blocked::parse_blocked_keys;
pub use claimed::ClaimedKey;
pub use fragments::{Places, Share, check_split_level, key_part};
pub use generate::generate;
pub use import::private_key_from_pem;
pub use private_file::write_private;
pub use public_key::{KeyParts, PublicKey, SignatureEncoding};
pub use seal::{Sealed, SecretKey};
pub use signer::Signer;

use crate::error::{Error, Result};
use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};

/// Random bytes from the operating system, by way of ring.
///
/// # Errors
/// Internal when the system gives none.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0u8; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::internal("the system gives no random bytes"))?;
    Ok(bytes)
}

/// SHA-256 (FIPS 180-4).
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|b| [b >> 4, b & 15]).filter_map(|digit| char::from_digit(digit.into(), 16));
    let mut out = String::with_capacity(bytes.len().saturating_mul(2));
    out.extend(digits);
    out
}

/// The bytes that [`hex`] writes so; `None` for any other text.
pub fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let is_digit = |c: u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    (text.len() == N.saturating_mul(2) && text.bytes().all(is_digit)).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_has_one_spelling() {
        assert_eq!(from_hex::<3>(&hex(&[0, 0xab, 0xff])), Some([0, 0xab, 0xff]));
        for text in ["", "00abf", "00abff0", "00abff00", "00ABff", "+0abff", "00abfg", "00é"] {
            assert_eq!(from_hex::<3>(text), None, "{text}");
        }
    }
}
