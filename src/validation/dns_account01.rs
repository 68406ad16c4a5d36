//! dns-account-01 (draft-ietf-acme-dns-account-label): as dns-01, under a label that each account has of its own, so that
//! several can prove one name side by side.

use super::dns01::look_for_hash;
use super::probe::{Failure, Subject};
use crate::error::Class;
use crate::keys::sha256;
use std::time::Instant;

/// The account's URL under any URL that the issuer ever had serves, the newest first.
pub(super) fn validate(subject: &Subject<'_>, deadline: Instant) -> Result<(), Failure> {
    let mut told: Option<Failure> = None;
    for url in &subject.account_urls() {
        let name = format!("_{}._acme-challenge.{}", label(url), subject.job.identifier);
        match look_for_hash(subject, &name, deadline) {
            Ok(()) => return Ok(()),
            // What is told is about the newest URL, unless the network has hidden what another would have shown.
            Err(e) if told.as_ref().is_none_or(|told| e.passing && !told.passing) => told = Some(e),
            Err(_) => {}
        }
    }
    Err(told.unwrap_or_else(|| Failure::last(Class::Internal, "the account has no URL")))
}

/// Base32 (RFC 4648, 6, in lower case) of the first ten bytes of the hash of the account's URL.
fn label(account_url: &str) -> String {
    let hash = sha256(account_url.as_bytes());
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let bits = hash.iter().take(10).fold(0u128, |sum, byte| sum << 8 | u128::from(*byte));
    let quintets = (0..80).step_by(5).rev().map(|place| bits.wrapping_shr(place) & 31);
    quintets.filter_map(|quintet| ALPHABET.get(usize::try_from(quintet).ok()?)).map(|c| char::from(*c)).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_label_of_the_drafts_example() {
        assert_eq!(super::label("https://example.com/acme/acct/ExampleAccount"), "ujmmovf2vn55tgye");
    }
}
