//! Certificates that are known to be what was signed, so that giving one out a moment after it was issued costs no signature.

use crate::keys::sha256;
use std::sync::{Mutex, PoisonError};

/// More than are issued between an issuance and its download.
const PLACES: usize = 4096;

type Hash = [u8; 32];

/// The hashes of those that were verified last, each in the place that it names itself.
#[derive(Default)]
pub(super) struct Verified {
    places: Mutex<Vec<Hash>>,
}

impl Verified {
    /// It was verified.
    pub(super) fn note(&self, der: &[u8]) {
        let hash = sha256(der);
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.is_empty() {
            places.resize(PLACES, Hash::default());
        }
        if let Some(place) = places.get_mut(place_of(&hash)) {
            *place = hash;
        }
    }

    /// Whether exactly this was verified not long ago.
    pub(super) fn knows(&self, der: &[u8]) -> bool {
        let hash = sha256(der);
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.get(place_of(&hash)) == Some(&hash)
    }
}

fn place_of(hash: &Hash) -> usize {
    let [a, b, ..] = *hash;
    usize::from(u16::from_be_bytes([a, b])).checked_rem(PLACES).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_verified_is_known_and_only_to_the_bit() {
        let verified = Verified::default();
        assert!(!verified.knows(b"a certificate"));
        verified.note(b"a certificate");
        assert!(verified.knows(b"a certificate"));
        assert!(!verified.knows(b"a certificatf"));
        for other in 0..100_000u32 {
            verified.note(&other.to_be_bytes());
        }
        assert!(!verified.knows(b"a certificate"), "others have taken its place");
    }
}
