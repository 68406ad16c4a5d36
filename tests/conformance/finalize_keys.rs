//! RFC 8555, 7.4 and 6.7: the key in a request for a certificate. Weak ones are badCSR.

use crate::der::{bits, oid, sequence};
use crate::proof::Steps;
use crate::request::{self, Request, csr};
use crate::scene::scene;
use crate::world::account_key::AccountKey;
use crate::world::base64url;
use crate::world::csr::Csr;
use crate::world::outcome::assert_says;
use std::process::Command;

/// Give back what the client is told.
#[track_caller]
fn assert_refused(name: &str, what: &str, csr: impl Fn(&str) -> Csr) -> String {
    let client = scene().client(name);
    let order = client.ready(&[name]);
    let reply = client.finalize(&order, &csr(name));
    assert!(reply.status != 200, "{what} was certified");
    let detail = reply.problem(400, "badCSR");
    assert_eq!(client.status_of(&order), "ready");
    detail
}

fn by_openssl(name: &str, key: &[&str]) -> Csr {
    Csr::with("/", &format!("subjectAltName=DNS:{name}"), key)
}

/// A CSR that is signed properly under an RSA key that is broken.
fn broken_rsa(kind: &str, name: &str) -> Csr {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/weak_csr.py");
    let output = Command::new("/usr/bin/python3").args(["-I", script, kind, name]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Csr { der: output.stdout }
}

#[test]
fn rfc8555_s6_7_an_rsa_key_of_1024_bits_is_refused() {
    assert_refused("r1024.keys.test", "1024 bits", |name| by_openssl(name, &["rsa:1024"]));
}

#[test]
fn rfc8555_s6_7_an_rsa_key_of_2047_bits_is_refused() {
    assert_refused("r2047.keys.test", "2047 bits", |name| by_openssl(name, &["rsa:2047"]));
}

#[test]
fn rfc8555_s6_7_an_rsa_key_with_exponent_three_is_refused() {
    let options = ["rsa:2048", "-pkeyopt", "rsa_keygen_pubexp:3"];
    assert_refused("e3.keys.test", "e = 3", |name| by_openssl(name, &options));
}

#[test]
fn rfc8555_s6_7_an_rsa_key_with_a_small_factor_is_refused() {
    assert_refused("small.keys.test", "a modulus divisible by 751", |name| broken_rsa("small-factor", name));
}

/// CVE-2017-15361, "ROCA": primes of a kind from which the modulus can be factored.
#[test]
fn rfc8555_s6_7_an_rsa_key_made_by_the_roca_library_is_refused() {
    assert_refused("roca.keys.test", "a ROCA key", |name| broken_rsa("roca", name));
}

/// CVE-2022-26320: primes so close together that Fermat's method finds them at once (CA/Browser Forum, 6.1.1.3).
#[test]
fn rfc8555_s6_7_an_rsa_key_of_close_primes_is_refused() {
    assert_refused("close.keys.test", "a modulus that Fermat factors", |name| broken_rsa("close-primes", name));
}

/// Curves that TLS servers do not use, or that are too small.
#[test]
fn rfc8555_s6_7_keys_on_other_curves_are_refused() {
    for curve in ["P-224", "secp256k1", "prime192v1", "brainpoolP256r1"] {
        let name = format!("{}.keys.test", curve.to_lowercase());
        let option = format!("ec_paramgen_curve:{curve}");
        assert_refused(&name, curve, |name| by_openssl(name, &["ec", "-pkeyopt", &option]));
    }
    assert_refused("ed448.keys.test", "Ed448", |name| by_openssl(name, &["ed448"]));
}

/// What is written like no point that is supported is refused for that.
#[test]
fn rfc8555_s6_7_points_that_are_written_wrongly_are_refused() {
    let algorithm = sequence(&[&oid("1.2.840.10045.2.1"), &oid("1.2.840.10045.3.1.7")]);
    let encoded = |point: &[u8]| sequence(&[&algorithm, &bits(point)]);
    for (number, (what, spki, reason)) in [
        ("too short", encoded(&[&[4], &[7; 62][..]].concat()), "32 bytes"),
        ("too long", encoded(&[&[4], &[7; 66][..]].concat()), "32 bytes"),
        ("compressed", encoded(&[&[2], &[7; 32][..]].concat()), "uncompressed"),
        ("infinity", encoded(&[0]), "uncompressed"),
    ]
    .iter()
    .enumerate()
    {
        let name = format!("point{number}.keys.test");
        assert_says(&assert_refused(&name, what, |name| Request::new(&[name]).build_for(spki)), &[reason]);
    }
}

/// A point that is not on its curve. Nobody can sign for one, so that the signature would be refused anyway: what is told
/// here is that the blame is the client's.
#[test]
fn rfc8555_s6_7_points_off_the_curve_are_the_clients_fault() {
    let mut y = base64url::decode(AccountKey::es256().jwk["y"].as_str().unwrap());
    let x = base64url::decode(AccountKey::es256().jwk["x"].as_str().unwrap());
    y[5] ^= 1;
    for (number, (what, spki)) in [
        ("off the curve", request::point_spki("P-256", &x, &y)),
        ("zero", request::point_spki("P-256", &[0; 32], &[0; 32])),
        ("beyond the field", request::point_spki("P-256", &[0xff; 32], &[0xff; 32])),
    ]
    .iter()
    .enumerate()
    {
        assert_refused(&format!("off{number}.keys.test"), what, |name| Request::new(&[name]).build_for(spki));
    }
}

/// The keys that TLS servers have are certified, also the same one again.
#[test]
fn rfc8555_s7_4_usual_keys_are_certified() {
    let client = scene().client("good.keys.test");
    for key in [&["rsa:2048"][..], &["rsa:3072"], &["ec", "-pkeyopt", "ec_paramgen_curve:P-384"]] {
        let order = client.ready(&["good.keys.test"]);
        client.finalize(&order, &by_openssl("good.keys.test", key)).expect(200);
        client.certificate(&order);
    }
    let again = csr(&["good.keys.test"]);
    for _ in 0..2 {
        let order = client.ready(&["good.keys.test"]);
        client.finalize(&order, &again).expect(200);
        client.certificate(&order);
    }
}
