//! Serial numbers, CRL numbers and URLs, found by their bytes: what the stories' judges have read already.

use crate::world::hex::{hex, unhex};
use crate::world::judges::certificates;
use crate::world::openssl::blocks;
use crate::world::plain::PUBLIC_URL;

/// The path of the list that a leaf names.
pub fn shard_path(chain: &str) -> String {
    let leaf = &certificates(chain)[0];
    let prefix = format!("{PUBLIC_URL}/crl/");
    let at = leaf.windows(prefix.len()).position(|octets| octets == prefix.as_bytes()).expect("a leaf names its CRL");
    let url: Vec<u8> = leaf[at + PUBLIC_URL.len()..].iter().copied().take_while(u8::is_ascii_graphic).collect();
    let url = String::from_utf8(url).unwrap();
    format!("{}.crl", url.split(".crl").next().unwrap())
}

/// The serial number of the leaf, which is the first INTEGER after the version.
pub fn serial_of(chain: &str) -> String {
    let leaf = &certificates(chain)[0];
    let [0xa0, 3, 2, 1, 2, 2, length, rest @ ..] = &leaf[8..] else { panic!("not a certificate of version 3") };
    let octets = &rest[..usize::from(*length)];
    hex(octets.strip_prefix(&[0]).unwrap_or(octets))
}

/// A serial number has 16 random octets, so that they stand nowhere else.
pub fn lists(crl: &[u8], serial: &str) -> bool {
    contains(crl, &unhex(serial))
}

/// CRLNumber (RFC 5280, 5.2.3).
pub fn crl_number(crl: &[u8]) -> u64 {
    let at = crl.windows(5).rposition(|octets| octets == b"\x06\x03\x55\x1d\x14").expect("a CRL number");
    let [4, _, 2, length, rest @ ..] = &crl[at + 5..] else { panic!("not a number") };
    rest[..usize::from(*length)].iter().fold(0, |number, octet| number << 8 | u64::from(*octet))
}

pub fn first_block(chain: &str) -> String {
    blocks(chain)[0].clone()
}

pub fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|octets| octets == part)
}
