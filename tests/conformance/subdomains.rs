//! RFC 9444: one authorization for a domain and all below it.

use crate::judge::{leaf_facts, names};
use crate::nameserver::caa;
use crate::proof::{Steps, assert_valid, dns, error_type, ip, only};
use crate::request::csr;
use crate::scene::scene;
use crate::world::acme::Client;
use crate::world::issuer::text;
use crate::world::wire::Reply;
use serde_json::{Value, json};
use simple_dns::TYPE;

fn client(domain: &str) -> Client {
    scene().client_with(domain, &["--allow-subdomains"])
}

fn below(name: &str, ancestor: &str) -> Value {
    json!({"type": "dns", "value": name, "ancestorDomain": ancestor})
}

fn preauthorize(client: &Client, domain: &str, subdomains: Value) -> Reply {
    let identifier = json!({"type": "dns", "value": domain, "subdomainAuthAllowed": subdomains});
    client.post(&client.url("newAuthz"), &json!({ "identifier": identifier }))
}

/// The directory says whether the server authorizes subdomains.
#[test]
fn rfc9444_s4_4_the_directory_says_whether_subdomains_are_authorized() {
    assert_eq!(client("meta.sub.test").directory["meta"]["subdomainAuthAllowed"], true);
    let meta = scene().client("nometa.sub.test").directory["meta"].clone();
    assert!(meta.get("subdomainAuthAllowed").is_none_or(|flag| flag == false), "{meta}");
}

/// newAuthz with the flag inside `identifier`: the authorization has the flag, and DNS challenges only.
#[test]
fn rfc9444_s4_2_a_domain_is_authorized_with_all_below_it() {
    let client = client("pre.sub.test");
    let reply = preauthorize(&client, "pre.sub.test", json!(true)).expect(201);
    let body = reply.json();
    assert_eq!(body["subdomainAuthAllowed"], true);
    assert_eq!(body["identifier"], dns("pre.sub.test"));
    let kinds: Vec<String> = body["challenges"].as_array().unwrap().iter().map(|one| text(one, "type")).collect();
    assert_eq!(kinds, ["dns-01"], "what lies below is proved in the DNS only");
}

/// Once that is valid, an order for a name below that says so is ready at once, and is certified.
#[test]
fn rfc9444_s4_3_a_name_below_an_authorized_domain_is_ready() {
    let client = client("ready.sub.test");
    let authorization = preauthorize(&client, "ready.sub.test", json!(true)).expect(201).required_header("location");
    assert_valid(&client.prove_by_dns(&authorization));
    let order = client.order_of(&[below("a.b.ready.sub.test", "ready.sub.test")]);
    assert_eq!(order.body["status"], "ready");
    assert_eq!(order.body["identifiers"][0]["value"], "a.b.ready.sub.test");
    assert_eq!(only(&order), authorization);
    client.finalize(&order, &csr(&["a.b.ready.sub.test"])).expect(200);
    assert_eq!(names(&leaf_facts(&client.certificate(&order))), ["DNSName:a.b.ready.sub.test"]);
}

/// The call flow of section 5: after that authorization an order for a name below need not name the domain again.
#[test]
fn rfc9444_s5_a_name_below_an_authorized_domain_needs_no_ancestor() {
    let client = client("flow.sub.test");
    let authorization = preauthorize(&client, "flow.sub.test", json!(true)).expect(201).required_header("location");
    assert_valid(&client.prove_by_dns(&authorization));
    let order = client.order(&["sub1.flow.sub.test"]);
    assert_eq!(order.body["status"], "ready");
    assert_eq!(only(&order), authorization);
}

/// An order with `ancestorDomain` is proved at that domain, by DNS, with one authorization for all names below it.
#[test]
fn rfc9444_s4_3_an_order_is_proved_at_the_ancestor() {
    let client = client("anc.sub.test");
    let order = client.order_of(&[below("a.anc.sub.test", "anc.sub.test"), below("b.anc.sub.test", "anc.sub.test")]);
    let authorization = only(&order);
    let body = client.fetch(&authorization).expect(200).json();
    assert_eq!(body["identifier"], dns("anc.sub.test"));
    assert_eq!(body["subdomainAuthAllowed"], true);
    assert!(!body.to_string().contains("http-01"), "{body}");
    assert_valid(&client.prove_by_dns(&authorization));
    assert_eq!(client.status_of(&order), "ready");
    client.finalize(&order, &csr(&["a.anc.sub.test", "b.anc.sub.test"])).expect(200);
    client.certificate(&order);
}

/// An authorization without the flag covers its own name and nothing below.
#[test]
fn rfc9444_s4_1_an_authorization_without_the_flag_covers_its_name_only() {
    let client = client("single.sub.test");
    let reply = preauthorize(&client, "single.sub.test", json!(false)).expect(201);
    assert!(reply.json().get("subdomainAuthAllowed").is_none_or(|flag| flag == false), "{reply}");
    let authorization = reply.required_header("location");
    client.prove_one(&authorization, &scene().http);
    assert_valid(&scene().decided(&client, &authorization));
    assert_eq!(client.order(&["single.sub.test"]).body["status"], "ready");
    assert_eq!(client.order(&["a.single.sub.test"]).body["status"], "pending");
    let order = client.order_of(&[below("a.single.sub.test", "single.sub.test")]);
    assert_eq!(order.body["status"], "pending");
    assert_ne!(only(&order), authorization);
}

/// The ancestor is a domain above the name, by whole labels, and one that the issuer allows.
#[test]
fn rfc9444_s4_3_the_ancestor_must_be_a_domain_above_the_name() {
    let client = client("above.sub.test");
    for ancestor in [
        "a.above.sub.test",
        "b.above.sub.test",
        "x.a.above.sub.test",
        "ove.sub.test",
        "sub.test",
        "test",
        "",
        "*.above.sub.test",
        ".above.sub.test",
        "above.sub.test.",
        "evil.test",
        "127.0.0.1",
    ] {
        let reply = client.request_order(&json!({"identifiers": [below("a.above.sub.test", ancestor)]}));
        assert!(reply.status != 201, "{ancestor} was taken");
        reply.refused();
    }
    for odd in [json!(1), json!(null), json!(["above.sub.test"]), json!(true)] {
        let identifier = json!({"type": "dns", "value": "a.above.sub.test", "ancestorDomain": odd});
        client.request_order(&json!({ "identifiers": [identifier] })).problem(400, "malformed");
    }
    client.order_of(&[below("a.above.sub.test", "ABOVE.sub.test")]);
}

/// The flag of newAuthz is a boolean.
#[test]
fn rfc9444_s4_2_a_flag_that_is_no_boolean_is_malformed() {
    let client = client("flag.sub.test");
    for odd in [json!("yes"), json!("true"), json!(1), json!(null), json!([true]), json!({})] {
        preauthorize(&client, "flag.sub.test", odd).problem(400, "malformed");
    }
}

/// The name itself must be allowed, however good its ancestor is.
#[test]
fn rfc9444_s4_3_a_name_that_is_not_allowed_stays_so() {
    let client = scene().client_with("bounds.sub.test", &["--allow-subdomains", "--disable-wildcards"]);
    for (name, ancestor) in [("a.other.test", "other.test"), ("*.bounds.sub.test", "bounds.sub.test")] {
        client.request_order(&json!({"identifiers": [below(name, ancestor)]})).problem(400, "rejectedIdentifier");
    }
    let mut address = ip("192.0.2.1");
    address["ancestorDomain"] = "bounds.sub.test".into();
    client.request_order(&json!({"identifiers": [address]})).refused();
    preauthorize(&client, "*.bounds.sub.test", json!(true)).refused();
}

/// An issuer that does not allow subdomains authorizes none.
#[test]
fn rfc9444_s4_2_an_issuer_without_subdomains_authorizes_none() {
    let client = scene().client("top.nosub.test,a.top.nosub.test");
    // RFC 9444, 4.2, lets it give an authorization for the name alone instead; a refusal says what is the matter.
    preauthorize(&client, "top.nosub.test", json!(true)).problem(400, "malformed");
    let identifiers = json!({"identifiers": [below("a.top.nosub.test", "top.nosub.test")]});
    client.request_order(&identifiers).problem(400, "rejectedIdentifier");
}

/// A wrong record at the ancestor fails the order.
#[test]
fn rfc9444_s4_3_a_record_below_the_ancestor_is_no_proof() {
    let client = client("wrong.sub.test");
    let order = client.order_of(&[below("a.wrong.sub.test", "wrong.sub.test")]);
    let authorization = only(&order);
    let value = client.dns_value(&client.challenge(&authorization, "dns-01"));
    scene().names.publish("_acme-challenge.a.wrong.sub.test", &[&value]);
    assert_eq!(error_type(&client.attempt(&authorization, "dns-01")), "incorrectResponse");
    assert_eq!(client.status_of(&order), "invalid");
}

/// CAA is of the name that is certified (RFC 8659, 3), also when its proof stands at a domain above it.
#[test]
fn rfc8659_s3_caa_of_a_name_counts_although_its_ancestor_was_proved() {
    // So no domain is proved for the names below it where CAA is checked; each is validated, and its CAA asked, by itself.
    let client = scene().client_with("caa.sub.test", &["--allow-subdomains", "--caa-identity", "ca.test"]);
    let identifiers = json!({ "identifiers": [below("closed.caa.sub.test", "caa.sub.test")] });
    client.post(&client.url("newOrder"), &identifiers).refused_as("rejectedIdentifier");
    let ahead = json!({ "identifier": { "type": "dns", "value": "caa.sub.test", "subdomainAuthAllowed": true } });
    client.post(&client.url("newAuthz"), &ahead).refused_as("malformed");
    scene().names.set("closed.caa.sub.test", TYPE::CAA, vec![caa(0, "issue", "other.test")]);
    let order = client.order_of(&[json!({ "type": "dns", "value": "closed.caa.sub.test" })]);
    assert_eq!(error_type(&client.prove_by_dns(&only(&order))), "caa");
    assert_eq!(client.status_of(&order), "invalid");
}
