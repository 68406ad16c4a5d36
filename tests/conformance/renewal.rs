//! RFC 9773: renewal information.

use crate::judge::{Judge, leaf_facts};
use crate::proof::{Steps, at_once, dns};
use crate::request::csr;
use crate::scene::{Scene, scene};
use crate::world::acme::{Client, Order};
use crate::world::base64url;
use crate::world::hex::unhex;
use crate::world::issuer::text;
use crate::world::patience::{eventually, seconds};
use crate::world::wire::Reply;
use serde_json::{Value, json};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// RFC 9773, 4.1: the key identifier of the issuer and the serial number as DER has it, each in base64url.
pub fn identifier(chain: &str) -> String {
    let facts = leaf_facts(chain);
    let key: Vec<u8> = unhex(&text(&facts["extensions"]["authorityKeyIdentifier"], "value"));
    let serial = Command::new("/usr/bin/python3")
        .args(["-I", "-c", "import sys; n = int(sys.argv[1]); print(n.to_bytes(n.bit_length() // 8 + 1, 'big').hex())"])
        .arg(text(&facts, "serial"))
        .output()
        .unwrap();
    let serial = unhex(String::from_utf8(serial.stdout).unwrap().trim());
    format!("{}.{}", base64url::encode(key), base64url::encode(serial))
}

fn info(client: &Client, identifier: &str) -> Reply {
    client.wire.request("GET", &format!("{}/{identifier}", client.url("renewalInfo")), &[], b"")
}

/// Beginning and end of the window, in seconds.
fn window(client: &Client, identifier: &str) -> (i64, i64) {
    let body = info(client, identifier).expect(200).json();
    let window = &body["suggestedWindow"];
    (moment(&text(window, "start")), moment(&text(window, "end")))
}

fn moment(text: &str) -> i64 {
    let output = Command::new("/usr/bin/date").args(["-u", "-d", text, "+%s"]).output().unwrap();
    assert!(output.status.success(), "{text}");
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

fn replacing(client: &Client, names: &[&str], identifier: &str) -> Reply {
    let identifiers: Vec<Value> = names.iter().map(|name| dns(name)).collect();
    client.request_order(&json!({"identifiers": identifiers, "replaces": identifier}))
}

/// Anybody asks by GET, without a signature; the reply is JSON with a window, and says when to ask again.
#[test]
fn rfc9773_s4_2_the_window_is_told_to_whoever_asks() {
    let client = scene().client("asked.renewal.test");
    let chain = client.issue(&["asked.renewal.test"]);
    let reply = info(&client, &identifier(&chain)).expect(200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let wait: u64 = reply.required_header("retry-after").parse().unwrap();
    assert!((60..=86_400).contains(&wait), "{wait} s");
    assert!(reply.json()["suggestedWindow"].is_object(), "{reply}");
}

/// The window ends after it begins, and lies where two thirds of the certificate's life are over.
#[test]
fn rfc9773_s4_2_the_window_lies_in_the_life_of_the_certificate() {
    let client = scene().client("window.renewal.test");
    let chain = client.issue(&["window.renewal.test"]);
    let facts = leaf_facts(&chain);
    let (from, to) = (facts["not_before"].as_i64().unwrap(), facts["not_after"].as_i64().unwrap());
    let (start, end) = window(&client, &identifier(&chain));
    assert!(start < end, "{start} to {end}");
    let (life, moment) = (to - from, from + (to - from) / 3 * 2);
    assert!(start < moment && moment < end, "{from} {start} {end} {to}");
    assert!(end - start <= life / 20, "{from} {start} {end} {to}");
}

/// An identifier that is not one, or of no certificate here, is a problem, not a window.
#[test]
fn rfc9773_s4_1_an_identifier_that_is_not_known_is_not_found() {
    let client = scene().client("unknown.renewal.test");
    let right = identifier(&client.issue(&["unknown.renewal.test"]));
    let (key, serial) = right.split_once('.').unwrap();
    for wrong in [
        format!("{key}.{}", base64url::encode([1; 16])),
        format!("{}.{serial}", base64url::encode([1; 20])),
        format!("{serial}.{key}"),
        format!("{key}{serial}"),
        format!("{right}."),
        format!(".{serial}"),
        format!("{key}."),
        format!("{right}="),
        format!("{right}A"),
        "x".to_owned(),
        "..%2f..".to_owned(),
    ] {
        let reply = info(&client, &wrong);
        assert_eq!(reply.status, 404, "{wrong}: {reply}");
        reply.refused();
    }
    // Of another issuer, although it has the same signer.
    let other = scene().client("unknown.renewal.test");
    assert_eq!(info(&other, &right).status, 404);
}

/// renewalInfo is read by GET; nothing is posted to it.
#[test]
fn rfc9773_s4_1_renewal_information_is_read_by_get() {
    let client = scene().client("get.renewal.test");
    let url = format!("{}/{}", client.url("renewalInfo"), identifier(&client.issue(&["get.renewal.test"])));
    let reply = client.fetch(&url);
    assert_eq!(reply.status, 405, "{reply}");
    assert!(reply.required_header("allow").contains("GET"));
}

/// What is revoked should have been renewed already: the window lies in the past, and still ends after it begins.
#[test]
fn rfc9773_s4_2_the_window_of_a_revoked_certificate_lies_in_the_past() {
    let client = scene().client("revoked.renewal.test");
    let chain = client.issue(&["revoked.renewal.test"]);
    let payload = json!({"certificate": base64url::encode(Scene::leaf(&chain))});
    client.post(&client.url("revokeCert"), &payload).expect(200);
    let (start, end) = window(&client, &identifier(&chain));
    assert!(start < end && end <= now(), "{start} to {end}, now {}", now());
}

/// One command pulls the windows of everything that an issuer has issued into the past, and of nothing that comes after.
#[test]
fn rfc9773_s4_2_renew_soon_calls_all_certificates_in() {
    let issuer = scene().issuer("soon.renewal.test");
    let client = scene().ca.client(&issuer);
    let (first, second) = (client.issue(&["soon.renewal.test"]), client.issue(&["soon.renewal.test"]));
    let other = scene().client("notsoon.renewal.test");
    let spared = other.issue(&["notsoon.renewal.test"]);
    // The command spares what is issued in the same second.
    let issued = now();
    eventually("the next second", seconds(5), || (now() > issued).then_some(()));
    scene().ca.run(&["renew-soon", "--cert-issuer-name", &issuer.name]).succeeded();
    for chain in [&first, &second] {
        let (start, end) = window(&client, &identifier(chain));
        assert!(start < end && end <= now(), "{start} to {end}");
    }
    assert!(window(&other, &identifier(&spared)).0 > now());
    let fresh = client.issue(&["soon.renewal.test"]);
    assert!(window(&client, &identifier(&fresh)).0 > now());
}

/// An order that replaces a certificate says so, when it is made and when it is read.
#[test]
fn rfc9773_s5_replaces_is_reflected_in_the_order() {
    let client = scene().client("reflected.renewal.test");
    let identifier = identifier(&client.issue(&["reflected.renewal.test"]));
    let reply = replacing(&client, &["reflected.renewal.test"], &identifier).expect(201);
    assert_eq!(text(&reply.json(), "replaces"), identifier);
    let order = client.fetch(&reply.required_header("location")).expect(200).json();
    assert_eq!(text(&order, "replaces"), identifier);
    let plain = client.order(&["reflected.renewal.test"]);
    assert!(plain.body.get("replaces").is_none());
}

/// A second order for the same certificate is 409 alreadyReplaced, as long as the first is not invalid.
#[test]
fn rfc9773_s5_a_certificate_is_replaced_once() {
    let client = scene().client("once.renewal.test");
    let identifier = identifier(&client.issue(&["once.renewal.test"]));
    let first = replacing(&client, &["once.renewal.test"], &identifier).expect(201);
    replacing(&client, &["once.renewal.test"], &identifier).problem(409, "alreadyReplaced");
    // An order that came to nothing replaces nothing.
    let authorization = first.json()["authorizations"][0].as_str().unwrap().to_owned();
    client.post(&authorization, &json!({"status": "deactivated"})).expect(200);
    let second = replacing(&client, &["once.renewal.test"], &identifier).expect(201);
    let order = Order::from(second);
    client.prove(&order, &scene().http);
    client.settled(&order.url, &["pending"]);
    client.finalize(&order, &csr(&["once.renewal.test"])).expect(200);
    replacing(&client, &["once.renewal.test"], &identifier).problem(409, "alreadyReplaced");
    // The new certificate can be replaced in its turn.
    let renewed = client.certificate(&order);
    replacing(&client, &["once.renewal.test"], &self::identifier(&renewed)).expect(201);
}

/// Sixteen orders at once for the same certificate: one replaces it.
#[test]
fn rfc9773_s5_orders_that_race_replace_a_certificate_once() {
    let client = scene().client("race.renewal.test");
    let identifier = identifier(&client.issue(&["race.renewal.test"]));
    let replies = at_once(16, |_| replacing(&client, &["race.renewal.test"], &identifier));
    assert_eq!(replies.iter().filter(|reply| reply.status == 201).count(), 1);
    for reply in replies.iter().filter(|reply| reply.status != 201) {
        reply.problem(409, "alreadyReplaced");
    }
}

/// Only the account that holds a certificate replaces it.
#[test]
fn rfc9773_s5_another_account_does_not_replace_a_certificate() {
    let issuer = scene().issuer("foreign.renewal.test");
    let (owner, other) = (scene().ca.client(&issuer), scene().ca.client(&issuer));
    let identifier = identifier(&owner.issue(&["foreign.renewal.test"]));
    replacing(&other, &["foreign.renewal.test"], &identifier).refused();
    replacing(&owner, &["foreign.renewal.test"], &identifier).expect(201);
}

/// The order and the certificate that it replaces have a name in common.
#[test]
fn rfc9773_s5_the_replaced_certificate_shares_a_name() {
    let client = scene().client("a.share.test,b.share.test,c.share.test");
    let identifier = identifier(&client.issue(&["a.share.test", "b.share.test"]));
    replacing(&client, &["c.share.test"], &identifier).refused();
    replacing(&client, &["b.share.test", "c.share.test"], &identifier).expect(201);
}

/// `replaces` is the identifier of a certificate and nothing else.
#[test]
fn rfc9773_s5_an_odd_replaces_is_malformed() {
    let client = scene().client("odd.renewal.test");
    let right = identifier(&client.issue(&["odd.renewal.test"]));
    for odd in [json!(""), json!("x"), json!(1), json!(null), json!([right]), json!(format!("{right}="))] {
        let payload = json!({"identifiers": [dns("odd.renewal.test")], "replaces": odd});
        client.request_order(&payload).problem(400, "malformed");
    }
}

/// Judges read the same key identifier in the leaf and in its issuer, so that clients can build the identifier.
#[test]
fn rfc9773_s4_1_the_leaf_names_the_key_of_its_issuer() {
    let client = scene().client("aki.renewal.test");
    let facts = Judge::new().facts(&client.issue(&["aki.renewal.test"]));
    let extension = |at: usize, name: &str| facts[at]["extensions"][name]["value"].clone();
    assert_eq!(extension(0, "authorityKeyIdentifier"), extension(1, "subjectKeyIdentifier"));
    assert!(extension(0, "authorityKeyIdentifier").is_string());
}
