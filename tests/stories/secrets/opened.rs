//! The secrets of a daemon, opened in the way that only somebody with the database and every fragment can, and by code that
//! it does not share.

use crate::world::daemon::Ca;
use crate::world::hex::unhex;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use std::collections::BTreeMap;

/// One secret, and what it is called in complaints.
pub struct Secret {
    pub name: String,
    pub bytes: Vec<u8>,
}

impl Secret {
    pub fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Secret {
        Secret { name: name.into(), bytes: bytes.into() }
    }
}

/// The shares that lie in the state directory now.
pub fn shares(ca: &Ca) -> Vec<Secret> {
    let shares = sets(ca).into_iter().flat_map(|(set, shares)| {
        shares.into_iter().enumerate().map(move |(at, share)| Secret::new(format!("share {at} of {set}"), share))
    });
    shares.collect()
}

/// Every key-encryption key, the data key, and the private parts of every signer key.
pub fn opened(ca: &Ca) -> Vec<Secret> {
    let keks: BTreeMap<String, Vec<u8>> = sets(ca).into_iter().map(|(set, shares)| (set, xor(&shares))).collect();
    let mut secrets: Vec<Secret> =
        keks.iter().map(|(set, kek)| Secret::new(format!("key-encryption key of {set}"), kek.clone())).collect();
    for (set, sealed) in rows(ca, "SELECT group_concat(fragments || ' ' || hex(sealed)) FROM key_versions") {
        let context = format!("private key {}", set.split('-').next().unwrap());
        let pkcs8 = open(&keks[&set], &sealed, &context);
        let parts = private_parts(&pkcs8);
        secrets.extend(parts.into_iter().map(|part| Secret::new(format!("private key of {set}"), part)));
    }
    for (set, sealed) in rows(ca, "SELECT group_concat(fragments || ' ' || hex(sealed)) FROM data_keys") {
        secrets.push(Secret::new("data key", open(&keks[&set], &sealed, "eab")));
    }
    secrets
}

/// What the private key of a PKCS#8 structure has beyond the public one (RFC 5958; RFC 5915; RFC 8017, A.1.2; RFC 8410, 7).
pub fn private_parts(pkcs8: &[u8]) -> Vec<Vec<u8>> {
    let [_, algorithm, key, ..] = &elements(body(pkcs8))[..] else { panic!("not PKCS#8: {pkcs8:?}") };
    let oid = elements(algorithm)[0];
    match oid {
        // rsaEncryption: behind version, modulus and public exponent all is secret.
        [0x2a, 0x86, 0x48, ..] if oid.len() == 9 => elements(body(key))[3..].iter().map(|n| n.to_vec()).collect(),
        // id-ecPublicKey
        [0x2a, 0x86, 0x48, ..] => vec![elements(body(key))[1].to_vec()],
        // id-Ed25519
        _ => vec![body(key).to_vec()],
    }
}

/// By the name of the set, the shares of every set of fragments.
fn sets(ca: &Ca) -> BTreeMap<String, Vec<Vec<u8>>> {
    let mut sets = BTreeMap::<String, Vec<Vec<u8>>>::new();
    for entry in std::fs::read_dir(ca.state_dir().join("fragments")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let word = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
        sets.entry(word("key ")).or_default().push(unhex(&word("share ")));
    }
    sets
}

fn xor(shares: &[Vec<u8>]) -> Vec<u8> {
    shares.iter().fold(vec![0; 32], |sum, share| sum.iter().zip(share).map(|(a, b)| a ^ b).collect())
}

/// Sets of fragments and what is sealed under their keys.
fn rows(ca: &Ca, sql: &str) -> Vec<(String, Vec<u8>)> {
    let text = ca.query(sql);
    let rows = text.split(',').map(|row| row.split_once(' ').unwrap());
    rows.map(|(set, sealed)| (set.to_owned(), unhex(&sealed.to_lowercase()))).collect()
}

fn open(key: &[u8], sealed: &[u8], context: &str) -> Vec<u8> {
    let (nonce, body) = sealed.split_at(NONCE_LEN);
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap());
    let mut buffer = body.to_vec();
    let nonce = Nonce::try_assume_unique_for_key(nonce).unwrap();
    let opened = key.open_in_place(nonce, Aad::from(context.as_bytes()), &mut buffer);
    opened.unwrap_or_else(|_| panic!("{context} does not open")).to_vec()
}

/// The content of the one element of DER that is here.
fn body(der: &[u8]) -> &[u8] {
    elements(der)[0]
}

/// The contents of the elements in a row.
fn elements(mut der: &[u8]) -> Vec<&[u8]> {
    let mut all = Vec::new();
    while let [_, length, rest @ ..] = der {
        let octets = if *length < 0x80 { 0 } else { usize::from(*length & 0x7f) };
        let long = rest[..octets].iter().fold(0, |sum, octet| sum << 8 | usize::from(*octet));
        let length = if octets == 0 { usize::from(*length) } else { long };
        all.push(&rest[octets..octets + length]);
        der = &rest[octets + length..];
    }
    all
}
