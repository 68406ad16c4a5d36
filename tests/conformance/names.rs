//! RFC 8555, 7.4, with RFC 1123, 5890 and 5891: which names an order may have, and how each that it may not is told.

use crate::proof::{Steps, dns, error_of, ip, only};
use crate::request::csr;
use crate::scene::scene;
use crate::world::acme::Client;
use crate::world::issuer::text;
use serde_json::{Value, json};

/// A client for which the names that are no names are the only reason to be refused.
fn liberal() -> Client {
    scene().client_with("names.test", &["--allow-any-name"])
}

#[track_caller]
fn assert_no_host_name(client: &Client, name: &str) {
    let reply = client.ask_for(&[name]);
    reply.refused();
    let kind = text(&reply.json(), "type");
    assert!(kind.ends_with(":rejectedIdentifier") || kind.ends_with(":malformed"), "{name}: {reply}");
}

/// Only letters, digits and hyphens stand in a host name (RFC 1123, 2.1).
#[test]
fn rfc1123_s2_1_a_host_name_has_letters_digits_and_hyphens_only() {
    let client = liberal();
    for name in [
        "a_b.names.test",
        "a b.names.test",
        " names.test",
        "names.test ",
        "a\u{0}b.names.test",
        "a\n.names.test",
        "names.test:443",
        "https://names.test",
        "names.test/",
        "user@names.test",
        "[::1]",
        "a%00.names.test",
        "a,b.names.test",
        "a'b.names.test",
        "\u{e4}.names.test",
        "\u{ff41}.names.test",
        "names\u{3002}test",
        "na\u{ad}mes.test",
        "\u{202e}names.test",
        "<b>.names.test",
        "$(id).names.test",
    ] {
        assert_no_host_name(&client, name);
    }
    client.ask_for(&["3com-2.names.test"]).expect(201);
}

/// Labels have 1 to 63 octets, names 253 (RFC 1035, 2.3.4).
#[test]
fn rfc1035_s2_3_4_labels_and_names_have_a_greatest_length() {
    let client = liberal();
    let label = "l".repeat(63);
    client.ask_for(&[&format!("{label}.names.test")]).expect(201);
    assert_no_host_name(&client, &format!("l{label}.names.test"));
    let longest = format!("{label}.{label}.{label}.{}.names.test", "l".repeat(253 - 3 * 64 - 11));
    assert_eq!(longest.len(), 253);
    client.ask_for(&[&longest]).expect(201);
    assert_no_host_name(&client, &format!("l{longest}"));
    assert_no_host_name(&client, &"names.".repeat(1_000));
}

#[test]
fn rfc1123_s2_1_a_label_neither_begins_nor_ends_with_a_hyphen() {
    let client = liberal();
    for name in ["-a.names.test", "a-.names.test", "-.names.test", "a.-names.test", "names.test-", "names.-test"] {
        assert_no_host_name(&client, name);
    }
}

/// No empty label, and no dot at the end: certificates hold names without one.
#[test]
fn rfc8555_s7_4_a_name_has_no_empty_label_and_no_dot_at_its_end() {
    let client = liberal();
    for name in ["", ".", "..", "names.test.", ".names.test", "a..names.test", "names..test"] {
        assert_no_host_name(&client, name);
    }
}

/// Names in other scripts come as A-labels, and each A-label is a valid one (RFC 5891, 5.4).
#[test]
fn rfc5891_s5_4_an_a_label_must_be_valid() {
    let client = liberal();
    for name in [
        "xn--.names.test",
        "xn--a.names.test",
        "xn--abc-.names.test",
        "xn--zzzzzz999.names.test",
        "xn--names-.test",
        // Decodes to an upper-case letter, which no A-label encodes.
        "xn--7ba.names.test",
        // Decodes to a bare combining mark.
        "xn--ksa.names.test",
        // Decodes to a ligature, which is encoded as two letters.
        "xn--x-sy8h.names.test",
        "ab--cd.names.test",
        "xn--xn--bcher-kva.names.test",
    ] {
        assert_no_host_name(&client, name);
    }
    let order = client.order(&["XN--BCHER-KVA.names.test"]);
    assert_eq!(order.body["identifiers"], json!([dns("xn--bcher-kva.names.test")]));
}

/// An address is no DNS name (RFC 8738, 7, wants the type `ip`).
#[test]
fn rfc8738_s7_an_address_is_not_of_type_dns() {
    let client = liberal();
    for name in ["127.0.0.1", "10.0.0.1", "1.2.3", "names.1", "4294967295", "::1", "2001:db8::1", "[2001:db8::1]"] {
        assert_no_host_name(&client, name);
    }
}

/// A wildcard is one asterisk as the whole left-most label.
#[test]
fn rfc8555_s7_1_3_a_wildcard_is_the_whole_left_most_label() {
    let client = liberal();
    for name in ["*", "*.", "**.names.test", "*a.names.test", "a*.names.test", "a.*.names.test", "*.*.names.test"] {
        assert_no_host_name(&client, name);
    }
    client.ask_for(&["*.names.test"]).expect(201);
}

/// No client accepts a wildcard over a whole top-level domain.
#[test]
fn rfc8555_s7_4_a_wildcard_over_a_single_label_is_rejected() {
    liberal().ask_for(&["*.test"]).problem(400, "rejectedIdentifier");
}

/// The issuer's list is of exact names: nothing that merely looks like one of them is certified.
#[test]
fn rfc8555_s7_4_look_alikes_of_an_allowed_name_are_rejected() {
    let client = scene().client("shop.names.test");
    client.ask_for(&["shop.names.test"]).expect(201);
    for name in [
        "names.test",
        "www.shop.names.test",
        "xshop.names.test",
        "shop.names.test.evil.test",
        "shop.names.tes",
        "shop.names.testx",
        "shop-names.test",
        "shopnames.test",
        "sh0p.names.test",
        "*.names.test",
        "*.shop.names.test",
        "evil.test",
        "test",
    ] {
        client.ask_for(&[name]).problem(400, "rejectedIdentifier");
    }
}

/// With subdomains allowed, whole labels count, and the base stays the end of the name.
#[test]
fn rfc8555_s7_4_look_alikes_of_an_allowed_domain_are_rejected() {
    let client = scene().client_with("dom.names.test", &["--allow-subdomains"]);
    for name in ["dom.names.test", "a.dom.names.test", "c.b.a.dom.names.test", "*.a.dom.names.test"] {
        client.ask_for(&[name]).expect(201);
    }
    for name in ["xdom.names.test", "names.test", "*.names.test", "a.dom.names.test.evil.test", "dom.names.test.x"] {
        client.ask_for(&[name]).problem(400, "rejectedIdentifier");
    }
}

/// A `*.` entry of the list allows that wildcard and one label below it.
#[test]
fn rfc8555_s7_4_a_wildcard_entry_allows_one_level() {
    let client = scene().client("*.lab.names.test");
    for name in ["*.lab.names.test", "a.lab.names.test"] {
        client.ask_for(&[name]).expect(201);
    }
    for name in ["lab.names.test", "b.a.lab.names.test", "*.a.lab.names.test", "xlab.names.test"] {
        client.ask_for(&[name]).problem(400, "rejectedIdentifier");
    }
}

#[test]
fn rfc8555_s7_4_wildcards_are_rejected_where_the_issuer_disables_them() {
    let client =
        scene().client_with("*.nowild.names.test,nowild.names.test", &["--allow-subdomains", "--disable-wildcards"]);
    client.ask_for(&["a.nowild.names.test"]).expect(201);
    client.ask_for(&["*.nowild.names.test"]).problem(400, "rejectedIdentifier");
    client.ask_for(&["*.a.nowild.names.test"]).problem(400, "rejectedIdentifier");
}

/// A wildcard is proved in the DNS; an issuer without DNS challenges cannot certify one.
#[test]
fn rfc8555_s8_3_a_wildcard_without_a_dns_challenge_is_rejected() {
    let client = scene().client_with("*.http.names.test", &["--challenges", "http-01,tls-alpn-01"]);
    client.ask_for(&["a.http.names.test"]).expect(201);
    client.ask_for(&["*.http.names.test"]).problem(400, "rejectedIdentifier");
}

/// The host that the CA itself answers on is not for everybody to have.
#[test]
fn rfc8555_s7_4_the_cas_own_host_needs_an_exact_entry() {
    let client = scene().client_with("lan", &["--allow-any-name", "--allow-subdomains"]);
    client.ask_for(&["other.lan"]).expect(201);
    client.ask_for(&["ca.lan"]).problem(400, "rejectedIdentifier");
    scene().client("ca.lan").ask_for(&["ca.lan"]).expect(201);
}

/// Each identifier that is at fault has its subproblem, and no other has: for each place of the one that is rejected.
#[test]
fn rfc8555_s6_7_1_the_subproblem_names_the_rejected_identifier_wherever_it_stands() {
    let client = scene().client_with("parts.test", &["--allow-subdomains"]);
    for bad in 0..5 {
        let names: Vec<String> =
            (0..5).map(|at| if at == bad { "evil.example".to_owned() } else { format!("n{at}.parts.test") }).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let reply = client.ask_for(&names);
        reply.problem(400, "rejectedIdentifier");
        let parts = reply.json()["subproblems"].as_array().cloned().unwrap_or_default();
        assert_eq!(parts.len(), 1, "{reply}");
        assert_eq!(parts[0]["identifier"], dns("evil.example"));
        assert_eq!(parts[0]["type"], "urn:ietf:params:acme:error:rejectedIdentifier");
        assert!(!text(&parts[0], "detail").is_empty());
    }
}

/// Faults of different types are summed up as `compound`, each with its own type below.
#[test]
fn rfc8555_s6_7_1_faults_of_several_types_are_compound() {
    let client = scene().client("mixed.names.test");
    let odd = json!({"type": "email", "value": "a@names.test"});
    let payload = json!({"identifiers": [dns("mixed.names.test"), dns("evil.example"), odd, ip("192.0.2.1")]});
    let reply = client.request_order(&payload);
    reply.problem(400, "compound");
    let body = reply.json();
    let parts: Vec<(String, Value)> = body["subproblems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| (text(part, "type").rsplit(':').next().unwrap().to_owned(), part["identifier"].clone()))
        .collect();
    assert_eq!(
        parts,
        [
            ("rejectedIdentifier".to_owned(), dns("evil.example")),
            ("unsupportedIdentifier".to_owned(), odd),
            ("rejectedIdentifier".to_owned(), ip("192.0.2.1")),
        ]
    );
}

/// What the policy no longer allows when the order is finalized is not certified, although it was allowed before.
#[test]
fn rfc8555_s7_4_the_policy_is_asked_again_at_finalize() {
    let issuer = scene().issuer("kept.names.test,dropped.names.test");
    let client = scene().ca.client(&issuer);
    let order = client.ready(&["dropped.names.test"]);
    scene().update(&issuer, &["--allowed-domains", "kept.names.test"]);
    client.finalize(&order, &csr(&["dropped.names.test"])).refused();
    assert!(client.fetch(&order.url).expect(200).json().get("certificate").is_none());
}

/// So is what a name was proved by: once the issuer asks CAA, a proof without that answer counts no more.
#[test]
fn rfc8659_s3_a_proof_from_before_the_issuer_asked_caa_does_not_count() {
    let issuer = scene().issuer("asked.names.test");
    let client = scene().ca.client(&issuer);
    let order = client.ready(&["asked.names.test"]);
    scene().update(&issuer, &["--caa-identity", "ca.test"]);
    client.finalize(&order, &csr(&["asked.names.test"])).problem(403, "unauthorized");
    assert_eq!(client.order(&["asked.names.test"]).body["status"], "pending", "its proof is not used again");
}

/// A challenge that the issuer offered before, and no longer does, proves nothing.
#[test]
fn rfc8555_s7_5_1_a_challenge_that_is_no_longer_offered_fails() {
    let issuer = scene().issuer("offered.names.test");
    let client = scene().ca.client(&issuer);
    let order = client.order(&["offered.names.test"]);
    scene().update(&issuer, &["--challenges", "tls-alpn-01"]);
    let authorization = client.prove_by_dns(&only(&order));
    assert!(error_of(&authorization).to_string().contains("no longer offers dns-01"), "{authorization}");
}
