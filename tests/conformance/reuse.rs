//! RFC 8555, 7.4 and 7.1.4: whether an authorization that is valid already serves a new order.

use crate::proof::{Steps, assert_valid, only};
use crate::scene::scene;
use serde_json::json;

/// Unless the issuer reuses authorizations, each order is proved anew.
#[test]
fn rfc8555_s7_4_without_reuse_each_order_is_proved_anew() {
    let client = scene().client("anew.reuse.test");
    let first = client.ready(&["anew.reuse.test"]);
    let second = client.order(&["anew.reuse.test"]);
    assert_eq!(second.body["status"], "pending");
    assert_ne!(only(&first), only(&second));
}

/// Where it does, an order whose names are all proved is ready when it is made, with the same authorizations.
#[test]
fn rfc8555_s7_4_with_reuse_a_proved_name_makes_an_order_ready() {
    let client = scene().client_with("kept.reuse.test,more.reuse.test", &["--reuse-authorizations", "1d"]);
    let first = client.ready(&["kept.reuse.test"]);
    let second = client.order(&["kept.reuse.test"]);
    assert_eq!(second.body["status"], "ready");
    assert_eq!(only(&first), only(&second));
    let mixed = client.order(&["more.reuse.test", "kept.reuse.test"]);
    assert_eq!(mixed.body["status"], "pending");
    assert_eq!(mixed.authorizations()[1], only(&first));
}

/// What is deactivated serves nobody any more.
#[test]
fn rfc8555_s7_5_2_a_deactivated_authorization_is_not_reused() {
    let client = scene().client_with("dropped.reuse.test", &["--reuse-authorizations", "1d"]);
    let first = client.ready(&["dropped.reuse.test"]);
    client.post(&only(&first), &json!({"status": "deactivated"})).expect(200);
    let second = client.order(&["dropped.reuse.test"]);
    assert_eq!(second.body["status"], "pending");
    assert_ne!(only(&first), only(&second));
}

/// A name and its wildcard are proved apart, in both directions.
#[test]
fn rfc8555_s7_1_3_a_proved_name_is_not_its_wildcard() {
    let client = scene().client_with("apart.reuse.test", &["--reuse-authorizations", "1d", "--allow-subdomains"]);
    let name = client.order(&["apart.reuse.test"]);
    assert_valid(&client.prove_by_dns(&only(&name)));
    let wildcard = client.order(&["*.apart.reuse.test"]);
    assert_eq!(wildcard.body["status"], "pending");
    assert_valid(&client.prove_by_dns(&only(&wildcard)));
    assert_eq!(client.order(&["*.apart.reuse.test"]).body["status"], "ready");
    assert_eq!(client.order(&["below.apart.reuse.test"]).body["status"], "pending");
}

/// Another account has to prove the name itself.
#[test]
fn rfc8555_s7_1_4_an_authorization_is_not_reused_by_another_account() {
    let issuer = scene().issuer_with("whose.reuse.test", &["--reuse-authorizations", "1d"]);
    scene().ca.client(&issuer).ready(&["whose.reuse.test"]);
    assert_eq!(scene().ca.client(&issuer).order(&["whose.reuse.test"]).body["status"], "pending");
}

/// What failed is not reused: the next order gets challenges that can be answered.
#[test]
fn rfc8555_s7_1_6_an_invalid_authorization_is_not_reused() {
    let client = scene().client_with("failed.reuse.test", &["--reuse-authorizations", "1d"]);
    let first = only(&client.order(&["failed.reuse.test"]));
    assert_eq!(client.attempt(&first, "http-01")["status"], "invalid");
    let second = client.order(&["failed.reuse.test"]);
    assert_ne!(only(&second), first);
    client.prove(&second, &scene().http);
    assert_valid(&scene().decided(&client, &only(&second)));
}
