//! RFC 8555, 6.2, with RFC 7518 and RFC 8037: algorithms, and what a signature must be.

use crate::foreign::{Spoil, ecdsa_in_der};
use crate::premises::{account_url, member, member_with, post_with_header, stranger};
use crate::world::account_key::AccountKey;
use crate::world::acme::{Client, Jws};
use crate::world::base64url;
use crate::world::wire::Reply;
use serde_json::{Value, json};

/// Every server takes ES256.
#[test]
fn rfc8555_s6_2_es256_is_accepted() {
    reads_its_account(AccountKey::es256());
}

/// ES384, each half 48 bytes long (RFC 7518, 3.4).
#[test]
fn rfc7518_s3_4_es384_is_accepted() {
    reads_its_account(AccountKey::es384());
}

/// RS256 with the smallest and the largest modulus (RFC 7518, 3.3).
#[test]
fn rfc7518_s3_3_rs256_is_accepted() {
    reads_its_account(AccountKey::rsa(2048));
    reads_its_account(AccountKey::rsa(4096));
}

/// EdDSA with Ed25519.
#[test]
fn rfc8037_s3_1_eddsa_is_accepted() {
    reads_its_account(AccountKey::ed25519());
}

/// `none` is refused as an algorithm, with or without a signature.
#[test]
fn rfc8555_s6_2_alg_none_is_refused() {
    assert_bad_algorithm(&with_algorithm(json!("none")));
    let client = member();
    let url = account_url(&client);
    let mut header = client.header(url);
    header["alg"] = "none".into();
    let jws = Jws { signature: String::new(), ..client.sign(&header, b"") };
    client.send(url, &jws).refused();
    for alg in ["None", "NONE", "nOnE", ""] {
        assert_bad_algorithm(&with_algorithm(json!(alg)));
    }
}

/// A MAC is no signature: not even one made with the public key as its secret.
#[test]
fn rfc8555_s6_2_mac_algorithms_are_refused() {
    for alg in ["HS256", "HS384", "HS512"] {
        assert_bad_algorithm(&with_algorithm(json!(alg)));
    }
    let client = stranger();
    let url = client.url("newAccount");
    let mut header = client.header(&url);
    header["alg"] = "HS256".into();
    let (protected, payload) = (base64url::encode(header.to_string()), base64url::encode("{}"));
    for secret in [client.key.jwk.to_string().into_bytes(), base64url::decode(client.key.jwk["x"].as_str().unwrap())] {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret);
        let signature = base64url::encode(ring::hmac::sign(&key, format!("{protected}.{payload}").as_bytes()));
        let jws = Jws { protected: protected.clone(), payload: payload.clone(), signature };
        client.send(&url, &jws).refused();
    }
}

/// An algorithm that is not offered is refused, and the reply lists those that are.
#[test]
fn rfc8555_s6_2_unknown_algorithms_are_refused_with_a_list_of_the_known() {
    for alg in ["ES512", "RS384", "RS512", "PS256", "PS512", "ES256K", "dir", "es256", "ES256 ", "RSA-OAEP"] {
        assert_bad_algorithm(&with_algorithm(json!(alg)));
    }
}

/// `alg` is a required string.
#[test]
fn rfc8555_s6_2_an_alg_that_is_missing_or_no_text_is_malformed() {
    let client = member();
    let url = account_url(&client);
    post_with_header(&client, url, "", &|header| _ = header.as_object_mut().unwrap().remove("alg"))
        .problem(400, "malformed");
    for alg in [json!(null), json!(256), json!(["ES256"]), json!({}), json!(true)] {
        with_algorithm(alg).problem(400, "malformed");
    }
}

/// The algorithm must be one for the kind and curve of the key (RFC 7518, 3.1, and RFC 8725, 3.1).
#[test]
fn rfc7518_s3_1_an_algorithm_for_another_kind_of_key_is_refused() {
    for (key, algorithms) in [
        (AccountKey::es256(), ["ES384", "RS256", "EdDSA"]),
        (AccountKey::es384(), ["ES256", "RS256", "EdDSA"]),
        (AccountKey::ed25519(), ["ES256", "ES384", "RS256"]),
        (AccountKey::rsa(2048), ["ES256", "ES384", "EdDSA"]),
    ] {
        let client = member_with(key);
        for alg in algorithms {
            post_with_header(&client, account_url(&client), "", &|header| header["alg"] = alg.into()).refused();
            let mut newcomer = client.clone();
            newcomer.account = None;
            post_with_header(&newcomer, &client.url("newAccount"), "{}", &|header| header["alg"] = alg.into())
                .refused();
        }
    }
}

/// ECDSA signatures are two halves of fixed length, not DER (RFC 7518, 3.4).
#[test]
fn rfc7518_s3_4_an_ecdsa_signature_in_der_is_refused() {
    with_signature(AccountKey::es256(), ecdsa_in_der).refused();
    with_signature(AccountKey::es384(), ecdsa_in_der).refused();
}

/// Each half keeps its leading zeros: a signature of any other length is refused.
#[test]
fn rfc7518_s3_4_an_ecdsa_signature_of_another_length_is_refused() {
    let spoils: [Spoil; 6] = [
        |signature| signature[1..].to_vec(),
        |signature| signature[..63].to_vec(),
        |signature| [&[0], signature].concat(),
        |signature| [signature, &[0]].concat(),
        |signature| [signature, signature].concat(),
        |signature| [&[0; 16], &signature[..32], &[0; 16], &signature[32..]].concat(),
    ];
    for spoil in spoils {
        with_signature(AccountKey::es256(), spoil).refused();
    }
}

/// Signatures that hold for every message under careless verifiers: both halves zero, or the curve's order.
#[test]
fn rfc7518_s3_4_ecdsa_halves_out_of_range_are_refused() {
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad,
        0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    with_signature(AccountKey::es256(), |_| vec![0; 64]).refused();
    with_signature(AccountKey::es256(), |_| [ORDER, ORDER].concat()).refused();
    with_signature(AccountKey::es256(), |signature| [&[0; 32], &signature[32..]].concat()).refused();
    with_signature(AccountKey::es256(), |signature| [&signature[..32], &ORDER].concat()).refused();
    with_signature(AccountKey::es256(), |_| vec![0xff; 64]).refused();
}

/// An Ed25519 signature has a single form: S is below the group's order (RFC 8032, 5.1.7).
#[test]
fn rfc8032_s5_1_7_an_eddsa_signature_with_a_high_s_is_refused() {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let plus_order = |signature: &[u8]| {
        let mut carry = 0;
        let high = signature[32..].iter().zip(ORDER).map(|(byte, order)| {
            let sum = u16::from(*byte) + u16::from(order) + carry;
            carry = sum >> 8;
            sum as u8
        });
        [&signature[..32], &high.collect::<Vec<u8>>()].concat()
    };
    with_signature(AccountKey::ed25519(), plus_order).refused();
    with_signature(AccountKey::ed25519(), |signature| signature[..63].to_vec()).refused();
    with_signature(AccountKey::ed25519(), |signature| [signature, &[0]].concat()).refused();
}

/// An RSA signature is as long as the modulus (RFC 8017, 8.2.2).
#[test]
fn rfc8017_s8_2_2_an_rsa_signature_of_another_length_is_refused() {
    let key = AccountKey::rsa(2048);
    let spoils: [Spoil; 4] = [
        |signature| [&[0], signature].concat(),
        |signature| [signature, &[0]].concat(),
        |signature| signature[..255].to_vec(),
        |_| vec![0; 256],
    ];
    let client = member_with(key);
    for spoil in spoils {
        signed_with(&client, spoil).refused();
    }
}

/// One bit anywhere, in the signature or in what it is over, and it is refused.
#[test]
fn rfc7515_s5_2_one_flipped_bit_is_noticed() {
    for key in [AccountKey::es256(), AccountKey::es384(), AccountKey::ed25519(), AccountKey::rsa(2048)] {
        let client = member_with(key);
        for at in [0, 17, 31, 32, 63] {
            signed_with(&client, |signature| {
                let mut signature = signature.to_vec();
                signature[at] ^= 0x10;
                signature
            })
            .refused();
        }
        let url = account_url(&client);
        let honest = client.sign(&client.header(url), br#"{"contact":["mailto:a@acme.com"]}"#);
        let payload = base64url::encode(r#"{"contact":["mailto:b@acme.com"]}"#);
        client.send(url, &Jws { payload, ..honest }).refused();
        let seen = client.fetch(url).expect(200).json();
        assert!(seen["contact"].as_array().is_none_or(Vec::is_empty), "{seen}");
    }
}

/// A signature for one payload is none for a POST-as-GET, nor the other way round.
#[test]
fn rfc7515_s5_2_the_payload_cannot_be_taken_away() {
    let client = member();
    let url = account_url(&client);
    let honest = client.sign(&client.header(url), br#"{"contact":[]}"#);
    client.send(url, &Jws { payload: String::new(), ..honest }).refused();
    let honest = client.sign(&client.header(url), b"");
    client.send(url, &Jws { payload: base64url::encode("{}"), ..honest }).refused();
}

fn reads_its_account(key: AccountKey) {
    let client = member_with(key);
    let account = client.fetch(account_url(&client)).expect(200).json();
    assert_eq!(account["status"], "valid", "{account}");
}

fn with_algorithm(alg: Value) -> Reply {
    let client = member();
    post_with_header(&client, account_url(&client), "", &|header| header["alg"] = alg.clone())
}

#[track_caller]
fn assert_bad_algorithm(reply: &Reply) {
    reply.problem(400, "badSignatureAlgorithm");
    let problem = reply.json();
    let algorithms = problem["algorithms"].as_array().unwrap_or_else(|| panic!("no algorithms in {problem}"));
    assert!(algorithms.contains(&json!("ES256")), "{problem}");
    assert!(!algorithms.iter().any(|alg| alg == "none" || alg.as_str().unwrap().starts_with("HS")), "{problem}");
}

fn with_signature(key: AccountKey, spoil: impl Fn(&[u8]) -> Vec<u8>) -> Reply {
    signed_with(&member_with(key), spoil)
}

fn signed_with(client: &Client, spoil: impl Fn(&[u8]) -> Vec<u8>) -> Reply {
    let url = account_url(client);
    let honest = client.sign(&client.header(url), b"");
    let signature = base64url::encode(spoil(&base64url::decode(&honest.signature)));
    client.send(url, &Jws { signature, ..honest })
}
