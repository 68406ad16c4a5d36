//! Account keys of every kind that the product accepts, and some that it must not.

use super::base64url;
use super::hex::unhex;
use super::outcome::fed;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
};
use serde_json::{Value, json};
use std::io::Write;
use std::process::Command;
use std::sync::Arc;

#[derive(Clone)]
pub struct AccountKey {
    pub algorithm: &'static str,
    pub jwk: Value,
    secret: Arc<Secret>,
}

enum Secret {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    /// PKCS#8 in PEM, for openssl: ring neither makes RSA keys nor touches the weak ones.
    Rsa(Vec<u8>),
    /// "Signs" by padding alone, which is all that a public exponent of one asks for.
    ExponentOne {
        bytes: usize,
    },
}

impl AccountKey {
    pub fn es256() -> AccountKey {
        AccountKey::ecdsa("ES256", "P-256", &ECDSA_P256_SHA256_FIXED_SIGNING)
    }

    pub fn es384() -> AccountKey {
        AccountKey::ecdsa("ES384", "P-384", &ECDSA_P384_SHA384_FIXED_SIGNING)
    }

    pub fn ed25519() -> AccountKey {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": base64url::encode(pair.public_key())});
        AccountKey { algorithm: "EdDSA", jwk, secret: Arc::new(Secret::Ed25519(pair)) }
    }

    pub fn rsa(bits: usize) -> AccountKey {
        let size = format!("rsa_keygen_bits:{bits}");
        let pem = openssl(&["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", &size], b"");
        let modulus = String::from_utf8(openssl(&["rsa", "-noout", "-modulus"], &pem)).unwrap();
        let modulus = modulus.trim().strip_prefix("Modulus=").unwrap();
        let jwk = json!({"kty": "RSA", "n": base64url::encode(unhex(modulus)), "e": "AQAB"});
        AccountKey { algorithm: "RS256", jwk, secret: Arc::new(Secret::Rsa(pem)) }
    }

    /// Anybody can sign for this key: with e = 1 the signature is the padded digest itself.
    pub fn rsa_with_exponent_one() -> AccountKey {
        let mut jwk = AccountKey::rsa(2048).jwk;
        jwk["e"] = "AQ".into();
        AccountKey { algorithm: "RS256", jwk, secret: Arc::new(Secret::ExponentOne { bytes: 256 }) }
    }

    /// The private key of an RSA key in PEM, for openssl.
    pub fn rsa_pem(&self) -> &[u8] {
        match &*self.secret {
            Secret::Rsa(pem) => pem,
            _ => panic!("not an RSA key"),
        }
    }

    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &*self.secret {
            Secret::Ecdsa(pair) => pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
            Secret::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Secret::Rsa(pem) => rsa_sign(pem, message),
            Secret::ExponentOne { bytes } => pkcs1_padded_sha256(message, *bytes),
        }
    }

    /// RFC 7638: the members that make the key, in order of their names.
    pub fn thumbprint(&self) -> String {
        let members: &[&str] = match self.jwk["kty"].as_str().unwrap() {
            "EC" => &["crv", "kty", "x", "y"],
            "OKP" => &["crv", "kty", "x"],
            _ => &["e", "kty", "n"],
        };
        let members: Vec<String> = members.iter().map(|name| format!("\"{name}\":{}", self.jwk[*name])).collect();
        let digest = ring::digest::digest(&ring::digest::SHA256, format!("{{{}}}", members.join(",")).as_bytes());
        base64url::encode(digest)
    }

    fn ecdsa(
        algorithm: &'static str,
        curve: &str,
        kind: &'static ring::signature::EcdsaSigningAlgorithm,
    ) -> AccountKey {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(kind, document.as_ref(), &random).unwrap();
        let point = &pair.public_key().as_ref()[1..];
        let (x, y) = point.split_at(point.len() / 2);
        let jwk = json!({"kty": "EC", "crv": curve, "x": base64url::encode(x), "y": base64url::encode(y)});
        AccountKey { algorithm, jwk, secret: Arc::new(Secret::Ecdsa(pair)) }
    }
}

fn rsa_sign(pem: &[u8], message: &[u8]) -> Vec<u8> {
    let mut key = tempfile::NamedTempFile::new().unwrap();
    key.write_all(pem).unwrap();
    openssl(&["dgst", "-sha256", "-sign", key.path().to_str().unwrap()], message)
}

/// EMSA-PKCS1-v1_5 (RFC 8017, 9.2).
fn pkcs1_padded_sha256(message: &[u8], bytes: usize) -> Vec<u8> {
    let prefix = unhex("3031300d060960864801650304020105000420");
    let digest = ring::digest::digest(&ring::digest::SHA256, message);
    let mut padded = vec![0, 1];
    padded.resize(bytes - prefix.len() - digest.as_ref().len() - 1, 0xff);
    padded.push(0);
    [padded, prefix, digest.as_ref().to_vec()].concat()
}

fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let output = fed(Command::new("/usr/bin/openssl").args(arguments), input);
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
