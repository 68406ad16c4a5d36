//! RFC 8555, 6.6: rate limits, off unless a command sets them.

use crate::proof::{Steps, only};
use crate::request::csr;
use crate::scene::scene;
use crate::world::issuer::Issuer;
use crate::world::wire::Reply;

fn limit(issuer: &Issuer, flags: &[&str]) {
    let arguments = [&["set-limits", "--cert-issuer-name", &issuer.name], flags].concat();
    scene().ca.run(&arguments).succeeded();
}

/// 429, rateLimited, and when to come back.
#[track_caller]
fn assert_limited(reply: &Reply) {
    reply.problem(429, "rateLimited");
    let wait: u64 = reply.required_header("retry-after").parse().unwrap();
    assert!(wait > 0);
}

#[test]
fn rfc8555_s6_6_pending_orders_can_be_limited() {
    let issuer = scene().issuer("orders.limits.test");
    let client = scene().ca.client(&issuer);
    let id = scene().ca.accounts(&issuer)[0]["account_id"].to_string().trim_matches('"').to_owned();
    limit(&issuer, &["--acme-account-id", &id, "--pending-orders", "2"]);
    let first = client.order(&["orders.limits.test"]);
    client.order(&["orders.limits.test"]);
    assert_limited(&client.ask_for(&["orders.limits.test"]));
    // The limit is of one account, and of orders that are not finished.
    scene().ca.client(&issuer).order(&["orders.limits.test"]);
    client.prove(&first, &scene().http);
    client.settled(&first.url, &["pending"]);
    client.finalize(&first, &csr(&["orders.limits.test"])).expect(200);
    client.order(&["orders.limits.test"]);
    limit(&issuer, &["--acme-account-id", &id, "--pending-orders", "0"]);
    client.order(&["orders.limits.test"]);
}

#[test]
fn rfc8555_s6_6_failed_validations_can_be_limited() {
    let issuer = scene().issuer("failed.limits.test,other.limits.test");
    let client = scene().ca.client(&issuer);
    limit(&issuer, &["--failed-validations", "2"]);
    for _ in 0..2 {
        // The responder knows no token.
        let authorization = only(&client.order(&["failed.limits.test"]));
        assert_eq!(client.attempt(&authorization, "http-01")["status"], "invalid");
    }
    assert_limited(&client.ask_for(&["failed.limits.test"]));
    client.order(&["other.limits.test"]);
}

/// Orders made beforehand do not get around it.
#[test]
fn rfc8555_s6_6_a_challenge_of_a_name_that_failed_too_often_is_not_tried() {
    let issuer = scene().issuer("tried.limits.test");
    let client = scene().ca.client(&issuer);
    let [one, other] = [(); 2].map(|()| only(&client.order(&["tried.limits.test"])));
    limit(&issuer, &["--failed-validations", "1"]);
    assert_eq!(client.attempt(&one, "http-01")["status"], "invalid");
    assert_limited(&client.start(&client.challenge(&other, "http-01")));
    assert_eq!(client.fetch(&other).expect(200).json()["status"], "pending");
}

#[test]
fn rfc8555_s6_6_certificates_can_be_limited() {
    let issuer = scene().issuer("certs.limits.test");
    let client = scene().ca.client(&issuer);
    limit(&issuer, &["--certificates-per-week", "2"]);
    client.issue(&["certs.limits.test"]);
    client.issue(&["certs.limits.test"]);
    assert_limited(&client.ask_for(&["certs.limits.test"]));
    limit(&issuer, &["--certificates-per-week", "0"]);
    client.issue(&["certs.limits.test"]);
}

/// A limit on certificates holds at the moment of issuance too: orders made beforehand do not get around it.
#[test]
fn rfc8555_s6_6_orders_made_beforehand_do_not_exceed_the_limit_on_certificates() {
    let issuer = scene().issuer("ahead.limits.test");
    let client = scene().ca.client(&issuer);
    let orders: Vec<_> = (0..2).map(|_| client.ready(&["ahead.limits.test"])).collect();
    limit(&issuer, &["--certificates-per-week", "1"]);
    client.finalize(&orders[0], &csr(&["ahead.limits.test"])).expect(200);
    assert_limited(&client.finalize(&orders[1], &csr(&["ahead.limits.test"])));
}

/// Authorizations made beforehand count like those of orders.
#[test]
fn rfc8555_s6_6_pending_authorizations_can_be_limited() {
    let issuer = scene().issuer_with("authz.limits.test", &["--allow-subdomains"]);
    let client = scene().ca.client(&issuer);
    limit(&issuer, &["--pending-authorizations", "3"]);
    client.order(&["a.authz.limits.test", "b.authz.limits.test", "c.authz.limits.test"]);
    assert_limited(&client.ask_for(&["d.authz.limits.test"]));
    let payload = serde_json::json!({"identifier": crate::proof::dns("e.authz.limits.test")});
    assert_limited(&client.post(&client.url("newAuthz"), &payload));
}
