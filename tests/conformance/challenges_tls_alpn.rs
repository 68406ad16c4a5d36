//! RFC 8737: tls-alpn-01, with RFC 8738, 6, for addresses. Handshakes that fail are tried again, which `retried` shows.

use crate::proof::{Steps, assert_valid, dns, error_of, ip, only};
use crate::scene::scene;
use crate::tls_responder::{ALPN, Certificate, Shown, TlsResponder, alt_name, hash, identifier_line};
use crate::world::acme::Client;
use crate::world::issuer::text;
use serde_json::Value;
use std::net::Ipv6Addr;

const KIND: &str = "tls-alpn-01";

/// A client, an authorization for the name, and the key authorization.
fn asked(name: &str) -> (Client, String, String) {
    let client = scene().client(name);
    let authorization = only(&client.order(&[name]));
    let token = text(&client.challenge(&authorization, KIND), "token");
    let expected = client.key_authorization(&token);
    (client, authorization, expected)
}

/// What becomes of a name whose server shows a certificate with these extensions, made from its right ones.
fn with_extensions(name: &str, lines: impl Fn(&str) -> Vec<String>) -> Value {
    let (client, authorization, expected) = asked(name);
    let lines = lines(&expected);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    scene().tls.show(name, Shown::new(Certificate::with(&lines)));
    client.attempt(&authorization, KIND)
}

#[track_caller]
fn assert_refused(authorization: &Value) {
    let kind = text(&error_of(authorization), "type");
    let fitting = ["incorrectResponse", "unauthorized", "tls"].map(|kind| format!("urn:ietf:params:acme:error:{kind}"));
    assert!(fitting.contains(&kind), "{authorization}");
}

/// One name, the hash in a critical extension, shown to whoever asks by ALPN: in TLS 1.2 and 1.3.
#[test]
fn rfc8737_s3_the_hash_in_a_certificate_proves_a_name() {
    for (name, versions) in
        [("v12.alpn.test", vec![&rustls::version::TLS12]), ("v13.alpn.test", vec![&rustls::version::TLS13])]
    {
        let (client, authorization, expected) = asked(name);
        let mut shown = Shown::new(Certificate::of_challenge(name, &expected));
        shown.versions = versions;
        scene().tls.show(name, shown);
        assert_valid(&client.attempt(&authorization, KIND));
    }
}

/// The client's side: the name as server name, `acme-tls/1` as the only protocol, and nothing after the handshake.
#[test]
fn rfc8737_s3_the_server_is_asked_by_name_and_protocol_and_for_nothing_else() {
    let (client, authorization, expected) = asked("greeting.alpn.test");
    scene().tls.show("greeting.alpn.test", Shown::new(Certificate::of_challenge("greeting.alpn.test", &expected)));
    assert_valid(&client.attempt(&authorization, KIND));
    let greetings = scene().tls.greetings("greeting.alpn.test");
    assert_eq!(greetings.len(), 1);
    assert_eq!(greetings[0].protocols, [ALPN.to_vec()]);
    assert!(greetings[0].request.is_empty(), "{greetings:?}");
}

/// Names in certificates are compared without case.
#[test]
fn rfc8737_s3_the_name_in_the_certificate_is_compared_without_case() {
    assert_valid(&with_extensions("case.alpn.test", |expected| {
        vec![alt_name(&["CASE.Alpn.test"]), identifier_line("critical,", &hash(expected))]
    }));
}

#[test]
fn rfc8737_s3_the_acme_identifier_must_be_critical() {
    assert_refused(&with_extensions("uncritical.alpn.test", |expected| {
        vec![alt_name(&["uncritical.alpn.test"]), identifier_line("", &hash(expected))]
    }));
}

#[test]
fn rfc8737_s3_the_acme_identifier_must_be_there() {
    assert_refused(&with_extensions("bare.alpn.test", |_| vec![alt_name(&["bare.alpn.test"])]));
}

/// The value is the hash as 32 octets in an OCTET STRING, neither more nor less nor another.
#[test]
fn rfc8737_s3_the_hash_must_be_that_of_the_key_authorization() {
    type Change = fn(&str) -> Vec<u8>;
    let wrongs: [(&str, Change); 5] = [
        ("other", |_| hash("something else")),
        ("token", |expected| hash(expected.split('.').next().unwrap())),
        ("short", |expected| hash(expected)[..31].to_vec()),
        ("long", |expected| [&hash(expected)[..], &[0]].concat()),
        ("none", |_| Vec::new()),
    ];
    for (what, wrong) in wrongs {
        let name = format!("{what}.hash.alpn.test");
        assert_refused(&with_extensions(&name, |expected| {
            vec![alt_name(&[&name]), identifier_line("critical,", &wrong(expected))]
        }));
    }
    // The right octets in something other than an OCTET STRING.
    assert_refused(&with_extensions("bits.hash.alpn.test", |expected| {
        let line = identifier_line("critical,", &hash(expected)).replace("DER:0420", "DER:0c20");
        vec![alt_name(&["bits.hash.alpn.test"]), line]
    }));
}

/// The hash under the number of an early draft does not count (Let's Encrypt, January 2022).
#[test]
fn rfc8737_s3_the_old_number_of_the_acme_identifier_does_not_count() {
    assert_refused(&with_extensions("oldoid.alpn.test", |expected| {
        let line = identifier_line("critical,", &hash(expected)).replace("1.3.6.1.5.5.7.1.31", "1.3.6.1.5.5.7.1.30.1");
        vec![alt_name(&["oldoid.alpn.test"]), line]
    }));
}

/// subjectAltName holds the name and nothing else.
#[test]
fn rfc8737_s3_the_certificate_is_for_this_name_alone() {
    for (name, names) in [
        ("two.alpn.test", "DNS:two.alpn.test,DNS:other.alpn.test"),
        ("twice.alpn.test", "DNS:twice.alpn.test,DNS:twice.alpn.test"),
        ("mixed.alpn.test", "DNS:mixed.alpn.test,IP:127.0.0.1"),
        ("mail.alpn.test", "DNS:mail.alpn.test,email:root@mail.alpn.test"),
        ("wrong.alpn.test", "DNS:other.alpn.test"),
        ("wild.alpn.test", "DNS:*.alpn.test"),
        ("parent.alpn.test", "DNS:alpn.test"),
        ("uri.alpn.test", "URI:https://uri.alpn.test"),
    ] {
        assert_refused(&with_extensions(name, |expected| {
            vec![format!("subjectAltName={names}"), identifier_line("critical,", &hash(expected))]
        }));
    }
    // The common name is no substitute.
    assert_refused(&with_extensions("nosan.alpn.test", |expected| vec![identifier_line("critical,", &hash(expected))]));
}

/// The key authorization of another account, under the same token.
#[test]
fn rfc8737_s3_the_hash_of_another_account_fails() {
    let issuer = scene().issuer("foreign.alpn.test");
    let (client, other) = (scene().ca.client(&issuer), scene().ca.client(&issuer));
    let authorization = only(&client.order(&["foreign.alpn.test"]));
    let token = text(&client.challenge(&authorization, KIND), "token");
    let certificate = Certificate::of_challenge("foreign.alpn.test", &other.key_authorization(&token));
    scene().tls.show("foreign.alpn.test", Shown::new(certificate));
    assert_refused(&client.attempt(&authorization, KIND));
}

/// A wildcard cannot be proved in this way.
#[test]
fn rfc8737_s3_tls_alpn_01_is_not_offered_for_wildcards() {
    let client = scene().client("*.wild.alpn.test");
    let order = client.order_of(&[dns("*.wild.alpn.test")]);
    assert!(!client.fetch(&only(&order)).expect(200).text().contains(KIND));
}

/// The reverse name of an IPv6 address has a label for each of its 32 digits.
#[test]
fn rfc8738_s6_an_ipv6_address_is_asked_for_by_its_reverse_name() {
    let tls = TlsResponder::start(Ipv6Addr::LOCALHOST, scene().ca.tls_alpn_01_port);
    let client = scene().client_with("unused.alpn.test", &["--allowed-ip-sans", "::1/128"]);
    let authorization = only(&client.order_of(&[ip("::1")]));
    let token = text(&client.challenge(&authorization, KIND), "token");
    let reverse = format!("1.{}ip6.arpa", "0.".repeat(31));
    tls.show(&reverse, Shown::new(Certificate::of_challenge("::1", &client.key_authorization(&token))));
    assert_valid(&client.attempt(&authorization, KIND));
    assert_eq!(tls.greetings(&reverse).len(), 1);
}

/// An address is asked for by its name in the reverse DNS, and stands in the certificate as an address.
#[test]
fn rfc8738_s6_an_address_is_asked_for_by_its_reverse_name() {
    let address = scene().address().to_string();
    let client = scene().client_with("unused.alpn.test", &["--allowed-ip-sans", "127.0.0.0/8"]);
    let authorization = only(&client.order_of(&[ip(&address)]));
    let token = text(&client.challenge(&authorization, KIND), "token");
    let reverse: Vec<&str> = address.split('.').rev().collect();
    let reverse = format!("{}.in-addr.arpa", reverse.join("."));
    let expected = client.key_authorization(&token);
    scene().tls.show(&reverse, Shown::new(Certificate::of_challenge(&address, &expected)));
    assert_valid(&client.attempt(&authorization, KIND));

    // The same hash for the reverse name, or for the address as text, is no proof for the address.
    for wrong in [alt_name(&[&reverse]), format!("subjectAltName=DNS:{address}")] {
        let authorization = only(&client.order_of(&[ip(&address)]));
        let token = text(&client.challenge(&authorization, KIND), "token");
        let line = identifier_line("critical,", &hash(&client.key_authorization(&token)));
        scene().tls.show(&reverse, Shown::new(Certificate::with(&[&wrong, &line])));
        assert_refused(&client.attempt(&authorization, KIND));
    }
}
