//! RFC 8555, 6.6: limits that an administrator sets, answered with rateLimited, 429 and the time to come again.

use crate::premises::{account_url, ca, issuer_with, member_of, name, order_for, responder};
use crate::world::account_key::AccountKey;
use crate::world::acme::Client;
use crate::world::issuer::{Issuer, text};
use crate::world::wire::Reply;
use serde_json::json;

/// So many unfinished orders of one account, and no more; another account is not concerned.
#[test]
fn rfc8555_s6_6_pending_orders_of_an_account_are_limited() {
    let issuer = open();
    let (client, other) = (member(&issuer), member(&issuer));
    limit_account(&issuer, &client, "--pending-orders", 2);
    client.order(&[&name()]);
    client.order(&[&name()]);
    assert_limited(&client.ask_for(&[&name()]));
    other.ask_for(&[&name()]).expect(201);
    other.ask_for(&[&name()]).expect(201);
    other.ask_for(&[&name()]).expect(201);
}

/// So many unfinished orders of all accounts together.
#[test]
fn rfc8555_s6_6_pending_orders_of_an_issuer_are_limited() {
    let issuer = open();
    let (client, other) = (member(&issuer), member(&issuer));
    limit(&issuer, "--pending-orders", 2);
    client.order(&[&name()]);
    other.order(&[&name()]);
    assert_limited(&client.ask_for(&[&name()]));
    assert_limited(&other.ask_for(&[&name()]));
}

/// An order that has become invalid is finished: it does not count.
#[test]
fn rfc8555_s6_6_an_invalid_order_is_not_pending() {
    let issuer = open();
    let client = member(&issuer);
    limit_account(&issuer, &client, "--pending-orders", 1);
    let order = client.order(&[&name()]);
    assert_limited(&client.ask_for(&[&name()]));
    client.post(&order.authorizations()[0], &json!({"status": "deactivated"})).expect(200);
    assert_eq!(client.fetch(&order.url).expect(200).json()["status"], "invalid");
    client.ask_for(&[&name()]).expect(201);
}

/// An order that has its certificate is finished too.
#[test]
fn rfc8555_s6_6_a_valid_order_is_not_pending() {
    let issuer = open();
    let client = member(&issuer);
    limit_account(&issuer, &client, "--pending-orders", 1);
    client.obtain(&[&name()], responder());
    client.obtain(&[&name()], responder());
}

/// So many undecided authorizations, whichever way they come about.
#[test]
fn rfc8555_s6_6_pending_authorizations_are_limited() {
    let issuer = open();
    let client = member(&issuer);
    limit_account(&issuer, &client, "--pending-authorizations", 3);
    let order = client.order(&[&name(), &name(), &name()]);
    assert_limited(&client.ask_for(&[&name()]));
    client.post(&order.authorizations()[0], &json!({"status": "deactivated"})).expect(200);
    client.ask_for(&[&name()]).expect(201);
}

/// newAuthz is no way around that limit.
#[test]
fn rfc8555_s6_6_pending_authorizations_by_new_authz_are_limited() {
    let issuer = open();
    let client = member(&issuer);
    limit_account(&issuer, &client, "--pending-authorizations", 2);
    let ask = || client.post(&client.url("newAuthz"), &json!({"identifier": {"type": "dns", "value": name()}}));
    ask().expect(201);
    ask().expect(201);
    assert_limited(&ask());
}

/// So many failures of one name within an hour; other names are not concerned.
#[test]
fn rfc8555_s6_6_failed_validations_of_a_name_are_limited() {
    let issuer = open();
    let client = member(&issuer);
    limit_account(&issuer, &client, "--failed-validations", 1);
    let (fails, works) = (name(), name());
    let [order, beforehand] = [(); 2].map(|()| client.order(&[&fails]));
    // The responder does not know the token, and says so: a wrong answer is final.
    client.post(&text(&client.http_01(&order.authorizations()[0]), "url"), &json!({})).expect(200);
    assert_eq!(client.settled(&order.url, &["pending"])["status"], "invalid");
    assert_limited(&client.ask_for(&[&fails]));
    let challenge = client.http_01(&beforehand.authorizations()[0]);
    assert_limited(&client.post(&text(&challenge, "url"), &json!({})));
    client.ask_for(&[&works]).expect(201);
}

/// So many certificates a week; Retry-After tells the true wait, which is days.
#[test]
fn rfc8555_s6_6_certificates_per_week_are_limited() {
    let issuer = open();
    let client = member(&issuer);
    limit_account(&issuer, &client, "--certificates-per-week", 1);
    client.obtain(&[&name()], responder());
    let reply = client.ask_for(&[&name()]);
    assert_limited(&reply);
    let wait: u64 = reply.required_header("retry-after").parse().unwrap();
    assert!((6 * 86_400..=7 * 86_400).contains(&wait), "the first place is free in a week, not in {wait} s");
}

/// Nothing is limited by default, and a limit of 0 is none.
#[test]
fn rfc8555_s6_6_a_lifted_limit_holds_nobody_back() {
    let issuer = open();
    let client = member(&issuer);
    for _ in 0..5 {
        client.order(&[&name()]);
    }
    limit_account(&issuer, &client, "--pending-orders", 5);
    assert_limited(&client.ask_for(&[&name()]));
    limit_account(&issuer, &client, "--pending-orders", 0);
    client.ask_for(&[&name()]).expect(201);
}

/// A request that was refused for a limit leaves nothing behind that would count.
#[test]
fn rfc8555_s6_6_a_limited_request_makes_nothing() {
    let issuer = open();
    let client = member(&issuer);
    limit_account(&issuer, &client, "--pending-orders", 1);
    let order = client.order(&[&name()]);
    assert_limited(&client.ask_for(&[&name()]));
    let orders = client.fetch(&format!("{}/orders", account_url(&client))).expect(200).json();
    assert_eq!(orders["orders"], json!([order.url]));
}

/// Sixteen requests at once do not slip through together.
#[test]
fn rfc8555_s6_6_a_limit_holds_under_concurrency() {
    let issuer = open();
    let client = member(&issuer);
    limit_account(&issuer, &client, "--pending-orders", 3);
    let names: Vec<String> = (0..16).map(|_| name()).collect();
    let url = client.url("newOrder");
    let replies = crate::premises::at_once(16, |number| client.post(&url, &order_for(&[&names[number]])));
    assert_eq!(replies.iter().filter(|reply| reply.status == 201).count(), 3);
    replies.iter().filter(|reply| reply.status != 201).for_each(assert_limited);
}

fn open() -> Issuer {
    issuer_with(&["--require-eab=false"])
}

fn member(issuer: &Issuer) -> Client {
    member_of(issuer, AccountKey::es256())
}

fn limit(issuer: &Issuer, flag: &str, value: u32) {
    ca().run(&["set-limits", "--cert-issuer-name", &issuer.name, flag, &value.to_string()]).succeeded();
}

fn limit_account(issuer: &Issuer, client: &Client, flag: &str, value: u32) {
    let own = client.key.thumbprint();
    let accounts = ca().accounts(issuer);
    let account = accounts.iter().find(|account| text(account, "key_digest") == own).unwrap();
    let id = text(account, "account_id");
    let value = value.to_string();
    ca().run(&["set-limits", "--cert-issuer-name", &issuer.name, "--acme-account-id", &id, flag, &value]).succeeded();
}

#[track_caller]
fn assert_limited(reply: &Reply) {
    reply.problem(429, "rateLimited");
    let wait = reply.required_header("retry-after");
    assert!(wait.parse::<u32>().is_ok_and(|seconds| seconds > 0), "not whole seconds: {reply}");
    assert!(reply.header("replay-nonce").is_some(), "{reply}");
}
