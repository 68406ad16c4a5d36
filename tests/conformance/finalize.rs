//! RFC 8555, 7.4: finalizing an order with a request for a certificate.

use crate::der::{bits, element, octets, sequence};
use crate::judge::{leaf_facts, names};
use crate::proof::{Steps, at_once, dns};
use crate::request::{self, BASIC_CONSTRAINTS, KEY_USAGE, Request, SUBJECT_ALT_NAME, TLS_FEATURE, csr, dns_name};
use crate::scene::scene;
use crate::world::acme::{Client, Order};
use crate::world::base64url;
use crate::world::csr::Csr;
use crate::world::issuer::text;
use serde_json::{Value, json};

/// The CSR is refused as badCSR, and the order stays ready for a better one.
#[track_caller]
fn assert_bad_csr(client: &Client, order: &Order, csr: &Csr, what: &str) {
    let reply = client.finalize(order, csr);
    assert!(reply.status != 200, "{what} was accepted: {reply}");
    reply.refused_as("badCSR");
    assert_eq!(client.status_of(order), "ready", "{what} has changed the order");
}

/// A client with a ready order for these names, whose first is allowed with all below it.
fn ready(names: &[&str]) -> (Client, Order) {
    let client = scene().client_with(&names.join(","), &[]);
    let order = client.ready(names);
    (client, order)
}

/// 200, the order, its URL; then a certificate for exactly its names.
#[test]
fn rfc8555_s7_4_finalize_is_answered_with_the_order() {
    let (client, order) = ready(&["a.finalize.test", "b.finalize.test"]);
    let reply = client.finalize(&order, &csr(&["a.finalize.test", "b.finalize.test"])).expect(200);
    assert!(["processing", "valid"].contains(&text(&reply.json(), "status").as_str()), "{reply}");
    assert_eq!(reply.json()["identifiers"], order.body["identifiers"]);
    assert_eq!(reply.header("location"), Some(order.url.as_str()));
    let facts = leaf_facts(&client.certificate(&order));
    assert_eq!(names(&facts), ["DNSName:a.finalize.test", "DNSName:b.finalize.test"]);
}

/// The CSR names exactly what the order names.
#[test]
fn rfc8555_s7_4_a_csr_with_other_names_than_the_order_is_bad() {
    let (client, order) = ready(&["a.exact.test", "b.exact.test"]);
    for names in [
        &["a.exact.test"][..],
        &["a.exact.test", "b.exact.test", "c.exact.test"],
        &["a.exact.test", "c.exact.test"],
        &["a.exact.test", "*.exact.test"],
        &["a.exact.test", "b.exact.test."],
        &["a.exact.test", "b.exact.test", "b.exact.tes"],
        &[],
    ] {
        assert_bad_csr(&client, &order, &csr(names), &format!("{names:?}"));
    }
    client.finalize(&order, &csr(&["b.exact.test", "a.exact.test", "a.exact.test"])).expect(200);
}

/// Letters of either case make the same name.
#[test]
fn rfc8555_s7_4_names_in_a_csr_are_compared_without_case() {
    let (client, order) = ready(&["case.finalize.test"]);
    client.finalize(&order, &csr(&["CASE.Finalize.TEST"])).expect(200);
    assert_eq!(names(&leaf_facts(&client.certificate(&order))), ["DNSName:case.finalize.test"]);
}

/// The names may stand in the common name alone; the certificate has them as subjectAltName.
#[test]
fn rfc8555_s7_4_a_name_may_stand_in_the_common_name_alone() {
    let (client, order) = ready(&["cn.finalize.test"]);
    client.finalize(&order, &Request::new(&[]).with_common_name("cn.finalize.test").build()).expect(200);
    assert_eq!(names(&leaf_facts(&client.certificate(&order))), ["DNSName:cn.finalize.test"]);
}

/// A common name counts as a name: one that the order does not have is one too many.
#[test]
fn rfc8555_s7_4_a_common_name_outside_the_order_is_bad() {
    let (client, order) = ready(&["incn.finalize.test"]);
    for common_name in ["evil.test", "www.incn.finalize.test", "10.0.0.1", "incn.finalize.test\0.evil.test"] {
        let csr = Request::new(&["incn.finalize.test"]).with_common_name(common_name).build();
        assert_bad_csr(&client, &order, &csr, common_name);
    }
    let twice =
        Request::new(&["incn.finalize.test"]).with_common_name("incn.finalize.test").with_common_name("evil.test");
    assert_bad_csr(&client, &order, &twice.build(), "a second common name");
}

/// subjectAltName may hold nothing but identifiers of the order, whatever its form.
#[test]
fn rfc8555_s7_4_other_kinds_of_names_in_a_csr_are_bad() {
    let (client, order) = ready(&["kinds.finalize.test"]);
    let other = sequence(&[&crate::der::oid("1.3.6.1.4.1.311.20.2.3"), &element(0xa0, &[&element(0x0c, &[b"root"])])]);
    for (what, name) in [
        ("an e-mail address", element(0x81, &[b"root@kinds.finalize.test"])),
        ("a URI", element(0x86, &[b"https://kinds.finalize.test"])),
        ("an IPv4 address", request::ip_name("10.0.0.1".parse().unwrap())),
        ("an IPv6 address", request::ip_name("::1".parse().unwrap())),
        ("an address with its mask", element(0x87, &[&[10, 0, 0, 0, 255, 0, 0, 0]])),
        ("an address of no length", element(0x87, &[&[]])),
        ("a registered id", element(0x88, &[&[0x2a, 3]])),
        ("a directory name", element(0xa4, &[&sequence(&[])])),
        ("an other name", element(0xa0, &[&other])),
        ("a name of no form", element(0x89, &[b"x"])),
        ("an empty DNS name", dns_name("")),
        ("a DNS name with a NUL", dns_name("kinds.finalize.test\0.evil.test")),
        ("a DNS name that is not text", element(0x82, &[&[0xff, 0xfe]])),
    ] {
        assert_bad_csr(&client, &order, &Request::new(&["kinds.finalize.test"]).with_name(name).build(), what);
    }
}

/// A certificate of a CA is not to be had by ACME.
#[test]
fn rfc8555_s7_4_a_csr_that_asks_to_be_a_ca_is_bad() {
    let (client, order) = ready(&["beca.finalize.test"]);
    let ca = sequence(&[&[1, 1, 0xff]]);
    let csr = Request::new(&["beca.finalize.test"]).with_extension(BASIC_CONSTRAINTS, true, &ca).build();
    assert_bad_csr(&client, &order, &csr, "CA:TRUE");
}

/// Finalizing results in an error if the CSR asks for extensions that the CA is not willing to include: OCSP stapling
/// that must be there (RFC 7633), or the right to sign certificates.
#[test]
fn rfc8555_s7_4_an_extension_that_will_not_be_included_is_an_error() {
    let (client, order) = ready(&["extra.finalize.test"]);
    let must_staple = sequence(&[&[2, 1, 5]]);
    let csr = Request::new(&["extra.finalize.test"]).with_extension(TLS_FEATURE, false, &must_staple).build();
    assert_bad_csr(&client, &order, &csr, "must-staple");
    let cert_sign = element(3, &[&[2, 0x04]]);
    let csr = Request::new(&["extra.finalize.test"]).with_extension(KEY_USAGE, true, &cert_sign).build();
    assert_bad_csr(&client, &order, &csr, "keyCertSign");
}

/// What common clients ask for beside the names is what leaves have anyway, so it is no error.
#[test]
fn rfc8555_s7_4_usual_extensions_in_a_csr_are_no_error() {
    let (client, order) = ready(&["usual.finalize.test"]);
    let csr = Request::new(&["usual.finalize.test"])
        .with_extension(BASIC_CONSTRAINTS, true, &sequence(&[]))
        .with_extension(KEY_USAGE, true, &element(3, &[&[7, 0x80]]))
        .build();
    client.finalize(&order, &csr).expect(200);
}

/// The CSR proves possession of its key: any other signature is refused.
#[test]
fn rfc8555_s7_4_a_csr_that_its_key_did_not_sign_is_bad() {
    let (client, order) = ready(&["signed.finalize.test"]);
    let mut forged = csr(&["signed.finalize.test"]);
    *forged.der.last_mut().unwrap() ^= 1;
    assert_bad_csr(&client, &order, &forged, "a flipped bit");
    let stolen = request::spki(&crate::world::account_key::AccountKey::es256());
    assert_bad_csr(&client, &order, &Request::new(&["signed.finalize.test"]).build_for(&stolen), "somebody else's key");
}

/// SHA-1 and MD5 prove nothing.
#[test]
fn rfc8555_s7_4_a_csr_signed_with_a_broken_hash_is_bad() {
    let (client, order) = ready(&["hash.finalize.test"]);
    for hash in ["-sha1", "-md5", "-sha224"] {
        let csr = Csr::with("/", "subjectAltName=DNS:hash.finalize.test", &["rsa:2048", hash]);
        assert_bad_csr(&client, &order, &csr, hash);
    }
}

/// The member `csr` is base64url without padding of DER: not PEM, not base64, nothing behind it.
#[test]
fn rfc8555_s7_4_a_csr_in_another_encoding_is_refused() {
    let (client, order) = ready(&["coded.finalize.test"]);
    let der = csr(&["coded.finalize.test"]).der;
    let encoded = base64url::encode(&der);
    let url = text(&order.body, "finalize");
    for payload in [
        json!({}),
        json!({"csr": null}),
        json!({"csr": [encoded]}),
        json!({"csr": ""}),
        json!({"csr": format!("{encoded}=")}),
        json!({"csr": format!("{encoded}\n")}),
        json!({"csr": format!("-----BEGIN CERTIFICATE REQUEST-----\n{encoded}\n-----END CERTIFICATE REQUEST-----")}),
        json!({"csr": format!("+{}", &encoded[1..])}),
        json!({"csr": base64url::encode([&der[..], &[0]].concat())}),
        json!({"CSR": encoded}),
    ] {
        client.post(&url, &payload).refused();
    }
    assert_eq!(client.status_of(&order), "ready");
    client.post(&url, &json!({ "csr": encoded })).expect(200);
}

/// A CSR that ends too early or has a wrong byte is refused, never an error of the server.
#[test]
fn rfc8555_s7_4_a_csr_that_is_damaged_is_bad() {
    let (client, order) = ready(&["damaged.finalize.test"]);
    let der = csr(&["damaged.finalize.test"]).der;
    for length in (1..der.len()).step_by(17) {
        assert_bad_csr(&client, &order, &Csr { der: der[..length].to_vec() }, &format!("the first {length} bytes"));
    }
    for at in (0..der.len()).step_by(13) {
        let mut damaged = der.clone();
        damaged[at] ^= 0x81;
        assert_bad_csr(&client, &order, &Csr { der: damaged }, &format!("byte {at}"));
    }
}

/// RFC 5280 has one of each extension. (The version is not looked at: Ruby's acme-client writes another than RFC 2986 says.)
#[test]
fn rfc2986_s4_1_a_csr_of_odd_structure_is_bad() {
    let (client, order) = ready(&["odd.finalize.test"]);
    let second = sequence(&[&dns_name("odd.finalize.test")]);
    let twice = Request::new(&["odd.finalize.test"]).with_extension(SUBJECT_ALT_NAME, false, &second).build();
    assert_bad_csr(&client, &order, &twice, "subjectAltName twice");
    let indefinite = [&[0x30, 0x80][..], &csr(&["odd.finalize.test"]).der[3..], &[0, 0]].concat();
    assert_bad_csr(&client, &order, &Csr { der: indefinite }, "a length that is not given");
    assert_bad_csr(&client, &order, &Csr { der: octets(&bits(b"x")) }, "something else in DER");
}

/// A key serves as an account's or as a certificate's, not both (RFC 8555, 11.1).
#[test]
fn rfc8555_s11_1_the_accounts_own_key_is_refused() {
    let (client, order) = ready(&["own.finalize.test"]);
    let csr = Request::new(&["own.finalize.test"]).with_key(&client.key).build();
    assert_bad_csr(&client, &order, &csr, "the key of the account");
}

/// An order that is not ready is not finalized: 403, orderNotReady.
#[test]
fn rfc8555_s7_4_an_order_that_is_not_ready_is_not_finalized() {
    let client = scene().client("early.finalize.test");
    let order = client.order(&["early.finalize.test"]);
    let csr = csr(&["early.finalize.test"]);
    client.finalize(&order, &csr).problem(403, "orderNotReady");
    client.post(&order.authorizations()[0], &json!({"status": "deactivated"})).expect(200);
    assert_eq!(client.status_of(&order), "invalid");
    client.finalize(&order, &csr).problem(403, "orderNotReady");
}

/// An order makes one certificate. The same CSR again is answered with it, another with orderNotReady.
#[test]
fn rfc8555_s7_4_finalize_twice_gives_one_certificate() {
    let (client, order) = ready(&["two.finalize.test"]);
    let first = csr(&["two.finalize.test"]);
    client.finalize(&order, &first).expect(200);
    let chain = client.certificate(&order);
    client.finalize(&order, &csr(&["two.finalize.test"])).problem(403, "orderNotReady");
    client.finalize(&order, &first).expect(200);
    assert_eq!(client.certificate(&order), chain);
}

/// Sixteen finalizes at once, of two different CSRs: one certificate comes out.
#[test]
fn rfc8555_s7_4_finalizes_that_race_make_one_certificate() {
    let (client, order) = ready(&["race.finalize.test"]);
    let csrs = [csr(&["race.finalize.test"]), csr(&["race.finalize.test"])];
    let replies = at_once(16, |number| client.finalize(&order, &csrs[number % 2]));
    let mut certificates: Vec<Value> = Vec::new();
    for reply in &replies {
        if reply.status == 200 {
            certificates.push(reply.json()["certificate"].clone());
        } else {
            reply.problem(403, "orderNotReady");
        }
    }
    let last = client.settled(&order.url, &["processing"])["certificate"].clone();
    assert!(!certificates.is_empty() && last.is_string());
    assert!(certificates.iter().all(|one| one.is_null() || *one == last), "{certificates:?}");
    let number = text(&json!({ "url": last }), "url").rsplit('/').next().unwrap().to_owned();
    let order_number = order.url.rsplit('/').next().unwrap();
    let sql = format!("SELECT count(*) || ' ' || max(id) FROM certificates WHERE order_id = {order_number}");
    assert_eq!(scene().ca.query(&sql), format!("1 {number}"));
}

/// A wildcard in the order is a wildcard in the CSR and in the certificate.
#[test]
fn rfc8555_s7_4_a_wildcard_is_certified_as_such() {
    let client = scene().client("*.wild.finalize.test");
    let order = client.order_of(&[dns("*.wild.finalize.test")]);
    let proved = client.prove_by_dns(&order.authorizations()[0]);
    assert_eq!(proved["status"], "valid", "{proved}");
    assert_bad_csr(&client, &order, &csr(&["wild.finalize.test"]), "the name without its asterisk");
    assert_bad_csr(&client, &order, &csr(&["a.wild.finalize.test"]), "a name below the wildcard");
    client.finalize(&order, &csr(&["*.wild.finalize.test"])).expect(200);
    assert_eq!(names(&leaf_facts(&client.certificate(&order))), ["DNSName:*.wild.finalize.test"]);
}
