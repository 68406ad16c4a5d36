//! RFC 8555, 7.4.1 and 7.5: authorizations and their challenges.

use crate::proof::{Steps, assert_valid, dns, error_of, ip, only};
use crate::request::csr;
use crate::scene::scene;
use crate::world::acme::Client;
use crate::world::issuer::text;
use crate::world::patience::{eventually, seconds};
use crate::world::responder::Answer;
use crate::world::wire::Reply;
use serde_json::{Value, json};

fn preauthorize(client: &Client, identifier: &Value) -> Reply {
    client.post(&client.url("newAuthz"), &json!({ "identifier": identifier }))
}

/// An authorization says what it is for, until when, and by which challenges it can be had, each with its own URL.
#[test]
fn rfc8555_s7_1_4_an_authorization_lists_its_challenges() {
    let client = scene().client("fields.authz.test");
    let body = client.fetch(&only(&client.order(&["fields.authz.test"]))).expect(200).json();
    assert_eq!(body["status"], "pending");
    assert_eq!(body["identifier"], dns("fields.authz.test"));
    assert!(text(&body, "expires").ends_with('Z'));
    assert!(body.get("wildcard").is_none(), "wildcard is absent where there is none");
    let mut kinds = Vec::new();
    let mut urls = Vec::new();
    for challenge in body["challenges"].as_array().unwrap() {
        assert_eq!(challenge["status"], "pending");
        assert!(challenge.get("error").is_none() && challenge.get("validated").is_none(), "{challenge}");
        kinds.push(text(challenge, "type"));
        urls.push(text(challenge, "url"));
    }
    assert_eq!(kinds, ["http-01", "dns-01", "tls-alpn-01"]);
    urls.sort();
    urls.dedup();
    assert_eq!(urls.len(), 3);
}

/// Tokens have 128 bits of chance at least, in the letters of base64url, and never come again.
#[test]
fn rfc8555_s8_1_tokens_cannot_be_guessed() {
    let client = scene().client("token.authz.test");
    let mut tokens: Vec<String> = Vec::new();
    for _ in 0..5 {
        let body = client.fetch(&only(&client.order(&["token.authz.test"]))).expect(200).json();
        tokens.extend(body["challenges"].as_array().unwrap().iter().map(|challenge| text(challenge, "token")));
    }
    for token in &tokens {
        assert!(token.len() >= 22, "{token}");
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'), "{token}");
    }
    let count = tokens.len();
    tokens.sort();
    tokens.dedup();
    assert_eq!(tokens.len(), count);
}

/// Authorizations and challenges are their account's business.
#[test]
fn rfc8555_s7_5_authorizations_and_challenges_are_shown_to_their_account_only() {
    let issuer = scene().issuer("owned.authz.test");
    let (owner, stranger) = (scene().ca.client(&issuer), scene().ca.client(&issuer));
    let authorization = only(&owner.order(&["owned.authz.test"]));
    let challenge = text(&owner.challenge(&authorization, "http-01"), "url");
    for url in [&authorization, &challenge] {
        stranger.fetch(url).problem(403, "unauthorized");
    }
    stranger.post(&challenge, &json!({})).problem(403, "unauthorized");
    stranger.post(&authorization, &json!({"status": "deactivated"})).problem(403, "unauthorized");
    let body = owner.fetch(&authorization).expect(200).json();
    assert_eq!(body["status"], "pending");
    assert!(body["challenges"].as_array().unwrap().iter().all(|challenge| challenge["status"] == "pending"));
}

/// A challenge links up to its authorization.
#[test]
fn rfc8555_s7_5_1_a_challenge_links_to_its_authorization() {
    let client = scene().client("up.authz.test");
    let authorization = only(&client.order(&["up.authz.test"]));
    let challenge = client.challenge(&authorization, "http-01");
    for reply in [client.fetch(&text(&challenge, "url")).expect(200), client.start(&challenge).expect(200)] {
        let links: Vec<&str> = reply
            .headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("link"))
            .map(|(_, value)| value.as_str())
            .collect();
        assert!(links.contains(&format!("<{authorization}>;rel=\"up\"").as_str()), "{links:?}");
    }
}

/// While a validation goes on, the challenge is `processing` and says when to look again; the answer does not wait for it.
#[test]
fn rfc8555_s7_5_1_a_challenge_in_progress_says_when_to_ask_again() {
    let client = scene().client("slow.authz.test");
    let slow = scene().web_server_of("slow.authz.test");
    slow.answer_with(Answer::Hold);
    let authorization = only(&client.order(&["slow.authz.test"]));
    let challenge = client.challenge(&authorization, "http-01");
    let token = text(&challenge, "token");
    slow.serve(&token, &client.key_authorization(&token));
    let reply = client.start(&challenge).expect(200);
    assert_eq!(reply.json()["status"], "processing");
    let wait: u32 = reply.required_header("retry-after").parse().unwrap();
    assert!(wait <= 60, "{wait} s");
    let reply = client.fetch(&authorization).expect(200);
    assert_eq!(reply.json()["status"], "pending");
    assert!(reply.header("retry-after").is_some());
    // Whoever took the request has tried for a moment, and left it to a validator.
    eventually("a validator asks", seconds(10), || (slow.hits().len() == 2).then_some(()));
    // A second request does not start it anew.
    client.start(&challenge).expect(200);
    slow.answer_with(Answer::Truth);
    assert_valid(&scene().decided(&client, &authorization));
    assert_eq!(slow.hits().len(), 2);
}

/// Reading a challenge does not start it: only an object as payload does.
#[test]
fn rfc8555_s7_5_1_reading_a_challenge_does_not_start_it() {
    let client = scene().client("unread.authz.test");
    let server = scene().web_server_of("unread.authz.test");
    let authorization = only(&client.order(&["unread.authz.test"]));
    let challenge = client.challenge(&authorization, "http-01");
    assert_eq!(client.fetch(&text(&challenge, "url")).expect(200).json()["status"], "pending");
    assert_eq!(client.fetch(&authorization).expect(200).json()["status"], "pending");
    for payload in [json!([]), json!("{}"), json!(null), json!(1)] {
        client.post(&text(&challenge, "url"), &payload).problem(400, "malformed");
    }
    assert_eq!(client.challenge(&authorization, "http-01")["status"], "pending");
    assert!(server.hits().is_empty());
}

/// Old clients send a key authorization along; it is ignored.
#[test]
fn rfc8555_s7_5_1_members_of_a_challenge_response_are_ignored() {
    let client = scene().client("extra.authz.test");
    let authorization = only(&client.order(&["extra.authz.test"]));
    let challenge = client.challenge(&authorization, "http-01");
    let token = text(&challenge, "token");
    scene().http.serve(&token, &client.key_authorization(&token));
    client.post(&text(&challenge, "url"), &json!({"keyAuthorization": "x.y", "status": "valid"})).expect(200);
    assert_valid(&scene().decided(&client, &authorization));
}

/// A valid authorization shows the challenge that made it so, and when.
#[test]
fn rfc8555_s7_1_4_a_valid_authorization_shows_what_made_it_so() {
    let client = scene().client("shown.authz.test");
    let authorization = only(&client.order(&["shown.authz.test"]));
    let body = client.prove_by_dns(&authorization);
    assert_valid(&body);
    assert!(text(&body, "expires").ends_with('Z'));
    let challenges = body["challenges"].as_array().unwrap();
    assert_eq!(challenges.len(), 1, "{body}");
    assert_eq!((&challenges[0]["type"], &challenges[0]["status"]), (&json!("dns-01"), &json!("valid")));
    assert!(text(&challenges[0], "validated").ends_with('Z'));
    let again = client.start(&challenges[0]).expect(200).json();
    assert_eq!(again["status"], "valid", "a valid challenge stays so");
}

/// A failed challenge makes the authorization invalid, says why, and no other challenge can save it.
#[test]
fn rfc8555_s7_1_6_an_invalid_authorization_stays_so() {
    let client = scene().client("stays.authz.test");
    let authorization = only(&client.order(&["stays.authz.test"]));
    let other = client.challenge(&authorization, "dns-01");
    let failed = client.attempt(&authorization, "http-01");
    let error = error_of(&failed);
    assert!(text(&error, "type").starts_with("urn:ietf:params:acme:error:"), "{error}");
    assert!(!text(&error, "detail").is_empty());
    scene().names.publish("_acme-challenge.stays.authz.test", &[&client.dns_value(&other)]);
    client.start(&other).refused();
    assert_eq!(client.fetch(&authorization).expect(200).json()["status"], "invalid");
}

/// A pending authorization is deactivated; its order ends with it, and its challenges can no longer be answered.
#[test]
fn rfc8555_s7_5_2_a_pending_authorization_can_be_deactivated() {
    let client = scene().client("given.authz.test");
    let order = client.order(&["given.authz.test"]);
    let authorization = only(&order);
    let challenge = client.challenge(&authorization, "http-01");
    let reply = client.post(&authorization, &json!({"status": "deactivated"})).expect(200);
    assert_eq!(reply.json()["status"], "deactivated");
    assert_eq!(client.fetch(&authorization).expect(200).json()["status"], "deactivated");
    assert_eq!(client.status_of(&order), "invalid");
    client.start(&challenge).refused();
}

/// A valid one too; the order that rested on it can no longer be finalized.
#[test]
fn rfc8555_s7_5_2_a_valid_authorization_can_be_deactivated() {
    let client = scene().client("taken.authz.test");
    let order = client.ready(&["taken.authz.test"]);
    client.post(&only(&order), &json!({"status": "deactivated"})).expect(200);
    assert_eq!(client.status_of(&order), "invalid");
    client.finalize(&order, &csr(&["taken.authz.test"])).problem(403, "orderNotReady");
}

/// Nothing but deactivation can be asked of an authorization, and not twice.
#[test]
fn rfc8555_s7_5_2_no_other_change_of_an_authorization_is_taken() {
    let client = scene().client("fixed.authz.test");
    let authorization = only(&client.order(&["fixed.authz.test"]));
    for payload in [
        json!({}),
        json!({"status": "valid"}),
        json!({"status": "pending"}),
        json!({"status": null}),
        json!({"status": ["deactivated"]}),
        json!({"expires": "2040-01-01T00:00:00Z"}),
    ] {
        client.post(&authorization, &payload).problem(400, "malformed");
    }
    assert_eq!(client.fetch(&authorization).expect(200).json()["status"], "pending");
    client.post(&authorization, &json!({"status": "deactivated"})).expect(200);
    client.post(&authorization, &json!({"status": "valid"})).refused();
    assert_eq!(client.fetch(&authorization).expect(200).json()["status"], "deactivated");
}

/// A certificate stays when the authorization it rested on is deactivated afterwards.
#[test]
fn rfc8555_s7_5_2_a_finished_order_survives_its_authorization() {
    let client = scene().client("later.authz.test");
    let order = client.ready(&["later.authz.test"]);
    client.finalize(&order, &csr(&["later.authz.test"])).expect(200);
    client.certificate(&order);
    client.post(&only(&order), &json!({"status": "deactivated"})).expect(200);
    assert_eq!(client.status_of(&order), "valid");
}

/// newAuthz: 201 and the authorization's URL. Once valid, it makes an order for the name ready at once.
#[test]
fn rfc8555_s7_4_1_an_authorization_beforehand_makes_an_order_ready() {
    let client = scene().client("before.authz.test");
    let reply = preauthorize(&client, &dns("before.authz.test")).expect(201);
    let authorization = reply.required_header("location");
    assert_eq!(reply.json(), client.fetch(&authorization).expect(200).json());
    assert_eq!(reply.json()["identifier"], dns("before.authz.test"));
    client.prove_one(&authorization, &scene().http);
    assert_valid(&scene().decided(&client, &authorization));
    let order = client.order(&["before.authz.test"]);
    assert_eq!(order.body["status"], "ready");
    assert_eq!(only(&order), authorization);
    client.finalize(&order, &csr(&["before.authz.test"])).expect(200);
}

/// A wildcard cannot be authorized beforehand.
#[test]
fn rfc8555_s7_4_1_a_wildcard_cannot_be_authorized_beforehand() {
    let client = scene().client_with("wild.authz.test", &["--allow-subdomains"]);
    preauthorize(&client, &dns("*.wild.authz.test")).refused();
}

/// The policy holds for newAuthz as it does for newOrder.
#[test]
fn rfc8555_s7_4_1_names_that_are_not_allowed_cannot_be_authorized_beforehand() {
    let client = scene().client("allowed.authz.test");
    for identifier in [dns("evil.example"), dns("www.allowed.authz.test"), ip("192.0.2.1")] {
        preauthorize(&client, &identifier).problem(400, "rejectedIdentifier");
    }
    preauthorize(&client, &json!({"type": "email", "value": "a@b.test"})).problem(400, "unsupportedIdentifier");
    for odd in [json!(null), json!("allowed.authz.test"), json!([]), json!({}), json!({"type": "dns"})] {
        preauthorize(&client, &odd).problem(400, "malformed");
    }
    client.post(&client.url("newAuthz"), &json!({})).problem(400, "malformed");
    client.fetch(&client.url("newAuthz")).problem(400, "malformed");
}

/// What was authorized beforehand is the account's own; nobody else's order is ready by it.
#[test]
fn rfc8555_s7_4_1_an_authorization_serves_its_own_account_only() {
    let issuer = scene().issuer("mine.authz.test");
    let (owner, other) = (scene().ca.client(&issuer), scene().ca.client(&issuer));
    let authorization = preauthorize(&owner, &dns("mine.authz.test")).expect(201).required_header("location");
    owner.prove_one(&authorization, &scene().http);
    assert_valid(&scene().decided(&owner, &authorization));
    assert_eq!(owner.order(&["mine.authz.test"]).body["status"], "ready");
    let order = other.order(&["mine.authz.test"]);
    assert_eq!(order.body["status"], "pending");
    assert_ne!(only(&order), authorization);
}
