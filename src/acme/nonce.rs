//! Anti-replay nonces (RFC 8555, 6.5): a counter and a MAC over it, so that none is stored before it is used, none can be
//! guessed, and each works once under any concurrency, without a lock.

use crate::error::{Class, Error, Result};
use crate::jose::base64url;
use crate::keys::random;
use ring::hmac;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// How many of the newest nonces are good; older ones are badNonce, which clients answer by trying again.
const WINDOW: u64 = 1 << 20;
const PAGE: u64 = 1 << 12;
const PAGES: usize = (WINDOW / PAGE) as usize;
const MAC_LENGTH: usize = 8;

pub(super) struct Nonces {
    key: hmac::Key,
    next: AtomicU64,
    /// For each place in the window the highest turn whose nonce was used. Pages come into being with use.
    used: Vec<OnceLock<Box<[AtomicU32]>>>,
}

impl Nonces {
    pub(super) fn new() -> Result<Nonces> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &random::<32>()?);
        Ok(Nonces { key, next: AtomicU64::new(WINDOW), used: (0..PAGES).map(|_| OnceLock::new()).collect() })
    }

    pub(super) fn issue(&self) -> String {
        let counter = self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let mac = hmac::sign(&self.key, &counter);
        base64url::encode(&[&counter[..], mac.as_ref().get(..MAC_LENGTH).unwrap_or_default()].concat())
    }

    /// Use a nonce up.
    ///
    /// The words at the beginning of the detail are fixed: acme.sh goes by them alone.
    pub(super) fn spend(&self, nonce: &str) -> Result<()> {
        let bad = |why: &str| {
            Error::new(
                Class::BadNonce,
                format!("JWS has an invalid anti-replay nonce: {why}; use the one from this reply"),
            )
        };
        // RFC 8555, 6.5.2: what is not even base64url is malformed, and no reason to try again.
        let bytes = base64url::decode(nonce).map_err(|e| e.context("\"nonce\""))?;
        let (counter, mac) = bytes.split_at_checked(8).ok_or_else(|| bad("it is not one of this server"))?;
        let expected = hmac::sign(&self.key, counter);
        let expected = expected.as_ref().get(..MAC_LENGTH).unwrap_or_default();
        if !bool::from(subtle::ConstantTimeEq::ct_eq(expected, mac)) {
            return Err(bad("it was not issued since the server started"));
        }
        let counter = counter.try_into().map(u64::from_be_bytes).map_err(|_| bad("it is not one of this server"))?;
        if counter.saturating_add(WINDOW) < self.next.load(Ordering::Relaxed) {
            return Err(bad("it is too old"));
        }
        if self.mark(counter) { Ok(()) } else { Err(bad("it has been used")) }
    }

    /// True for the first who marks this counter. A place serves one counter in each turn of the window, and turns only
    /// go up, so that a late use of an old counter can never pass for a first one.
    fn mark(&self, counter: u64) -> bool {
        let place = counter % WINDOW;
        let turn = u32::try_from(counter / WINDOW).unwrap_or(u32::MAX);
        let page = usize::try_from(place / PAGE).ok().and_then(|at| self.used.get(at));
        let page = page.map(|page| page.get_or_init(|| (0..PAGE).map(|_| AtomicU32::new(0)).collect()));
        let slot = page.zip(usize::try_from(place % PAGE).ok()).and_then(|(page, at)| page.get(at));
        slot.is_some_and(|slot| slot.fetch_max(turn, Ordering::Relaxed) < turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn a_nonce_works_once_whoever_uses_it_at_the_same_time() {
        let nonces = Nonces::new().unwrap();
        for _ in 0..50 {
            let nonce = nonces.issue();
            let accepted = AtomicUsize::new(0);
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        if nonces.spend(&nonce).is_ok() {
                            accepted.fetch_add(1, Ordering::SeqCst);
                        }
                    });
                }
            });
            assert_eq!(accepted.load(Ordering::SeqCst), 1);
        }
    }

    #[test]
    fn foreign_changed_and_old_nonces_are_bad() {
        let (nonces, other) = (Nonces::new().unwrap(), Nonces::new().unwrap());
        assert!(nonces.spend(&other.issue()).is_err());
        let nonce = nonces.issue();
        for at in 0..16 {
            let mut bytes = base64url::decode(&nonce).unwrap();
            bytes[at] ^= 1;
            assert!(nonces.spend(&base64url::encode(&bytes)).is_err());
        }
        for text in ["", "AAAA", &format!("{nonce}{nonce}AA")] {
            let refusal = nonces.spend(text).unwrap_err();
            assert!(refusal.detail().starts_with("JWS has an invalid anti-replay nonce"), "{refusal}");
        }
        assert_eq!(nonces.spend(&format!("{nonce}=")).map_err(|e| e.class()), Err(Class::Malformed));
        let (kept, expired) = (nonces.issue(), nonce);
        nonces.next.fetch_add(WINDOW - 1, Ordering::Relaxed);
        assert!(nonces.spend(&expired).is_err(), "out of the window");
        assert!(nonces.spend(&kept).is_ok(), "the oldest in the window");
        assert!(nonces.spend(&kept).is_err());
    }
}
