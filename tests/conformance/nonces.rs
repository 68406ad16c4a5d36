//! RFC 8555, 6.5 and 7.2: nonces, each for one request.

use crate::premises::{account_url, at_once, headers, links, member, open_issuer, post_with_header, stranger};
use crate::world::account_key::AccountKey;
use crate::world::acme::Client;
use crate::world::daemon::Ca;
use crate::world::wire::Reply;
use serde_json::{Value, json};
use std::collections::HashSet;

/// HEAD of newNonce: 200, a nonce, not to be cached, a link to the directory.
#[test]
fn rfc8555_s7_2_head_of_new_nonce_is_200() {
    let client = stranger();
    let reply = client.wire.request("HEAD", &client.url("newNonce"), &[], b"").expect(200);
    assert_eq!(headers(&reply, "replay-nonce").len(), 1, "{reply}");
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(links(&reply, "index"), [open_issuer().directory.as_str()]);
}

/// GET of newNonce: the same with 204 and no body.
#[test]
fn rfc8555_s7_2_get_of_new_nonce_is_204() {
    let client = stranger();
    let reply = client.wire.request("GET", &client.url("newNonce"), &[], b"").expect(204);
    assert_eq!(headers(&reply, "replay-nonce").len(), 1, "{reply}");
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(links(&reply, "index"), [open_issuer().directory.as_str()]);
    assert!(reply.body.is_empty());
}

/// No two clients are given the same nonce, however many ask at once.
#[test]
fn rfc8555_s6_5_every_nonce_is_another() {
    let client = stranger();
    let url = client.url("newNonce");
    let mut seen = HashSet::new();
    for _ in 0..4 {
        for reply in at_once(16, |_| client.wire.request("HEAD", &url, &[], b"")) {
            assert!(seen.insert(reply.required_header("replay-nonce")), "{reply}");
        }
    }
}

/// A nonce is base64url, so that a client may check it (6.5.1), and has room for more than anybody guesses.
#[test]
fn rfc8555_s6_5_1_a_nonce_is_base64url() {
    let client = stranger();
    for _ in 0..20 {
        let nonce = client.nonce();
        assert!(nonce.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{nonce}");
        assert!(nonce.len() >= 20, "{nonce} is too short to be unguessable");
    }
}

/// Every reply to a POST carries exactly one nonce that no reply carried before, success or not.
#[test]
fn rfc8555_s6_5_every_reply_to_a_post_has_a_new_nonce() {
    let client = member();
    let mut newcomer = stranger();
    let mut seen = HashSet::new();
    for reply in [
        newcomer.register_with(&json!({})),
        newcomer.register_with(&json!({})),
        client.fetch(account_url(&client)),
        client.fetch(&open_issuer().directory),
        client.fetch(&client.url("newNonce")),
        client.ask_for(&["acme.com"]),
        client.ask_for(&["elsewhere.com"]),
        client.post(&client.url("newOrder"), &json!([])),
        client.post(&client.url("keyChange"), &json!({})),
        client.fetch(&format!("{}x", account_url(&client))),
        client.wire.request("POST", &client.url("newOrder"), &[("Content-Type", "text/plain")], b"{}"),
        client.send_text(&client.url("newOrder"), "{}"),
    ] {
        assert_eq!(headers(&reply, "replay-nonce").len(), 1, "{reply}");
        assert!(seen.insert(reply.required_header("replay-nonce")), "given twice: {reply}");
    }
}

/// The nonce of a reply, of a refusal too, serves the next request.
#[test]
fn rfc8555_s6_5_the_nonce_of_a_reply_serves_the_next_request() {
    let client = member();
    let mut nonce = client.nonce();
    for payload in ["", "{}", "nonsense", "", "[]", ""] {
        let reply = with_nonce(&client, nonce.into(), payload);
        assert!(reply.status == 200 || reply.json()["type"] != "urn:ietf:params:acme:error:badNonce", "{reply}");
        nonce = reply.required_header("replay-nonce");
    }
}

/// A nonce serves once: the same request again is badNonce, with a nonce for the next attempt, which succeeds.
#[test]
fn rfc8555_s6_5_a_used_nonce_is_bad_nonce_and_the_reply_mends_it() {
    let client = member();
    let url = account_url(&client);
    let jws = client.sign(&client.header(url), b"");
    client.send(url, &jws).expect(200);
    let refusal = client.send(url, &jws);
    refusal.problem(400, "badNonce");
    with_nonce(&client, refusal.required_header("replay-nonce").into(), "").expect(200);
}

/// A request that was refused has used its nonce up just the same.
#[test]
fn rfc8555_s6_5_a_refused_request_uses_its_nonce_up() {
    let client = member();
    let nonce = client.nonce();
    with_nonce(&client, nonce.as_str().into(), "nonsense").problem(400, "malformed");
    with_nonce(&client, nonce.into(), "").problem(400, "badNonce");
}

/// A nonce that somebody else was given is as good as one's own, but not after he used it.
#[test]
fn rfc8555_s6_5_a_nonce_serves_once_whoever_uses_it() {
    let (one, other) = (member(), member());
    let nonce = one.nonce();
    with_nonce(&other, nonce.as_str().into(), "").expect(200);
    with_nonce(&one, nonce.into(), "").problem(400, "badNonce");
}

/// A nonce that this server never gave, though it looks like one, is badNonce.
#[test]
fn rfc8555_s6_5_a_nonce_that_was_never_given_is_bad_nonce() {
    let client = member();
    let given = client.nonce();
    let flipped: String =
        given.chars().enumerate().map(|(at, letter)| if at == 3 { other_letter(letter) } else { letter }).collect();
    for nonce in [flipped, "AAAA".into(), "A".repeat(given.len() / 4 * 4), "A".repeat(4000), given.repeat(4)] {
        let reply = with_nonce(&client, nonce.as_str().into(), "");
        reply.problem(400, "badNonce");
        assert_eq!(headers(&reply, "replay-nonce").len(), 1, "{reply}");
    }
    // What was guessed around it has not hurt it.
    with_nonce(&client, given.into(), "").expect(200);
}

/// A request without a nonce is badNonce too: "unacceptable (or not present)".
#[test]
fn rfc8555_s6_5_a_missing_nonce_is_bad_nonce() {
    let client = member();
    let reply = post_with_header(&client, account_url(&client), "", &|header| {
        header.as_object_mut().unwrap().remove("nonce");
    });
    reply.problem(400, "badNonce");
    assert_eq!(headers(&reply, "replay-nonce").len(), 1, "{reply}");
}

/// A nonce that is not base64url makes the whole JWS malformed (6.5.2).
#[test]
fn rfc8555_s6_5_2_a_nonce_that_is_not_base64url_is_malformed() {
    let client = member();
    let given = client.nonce();
    for nonce in [
        format!("{given}="),
        format!("{given}=="),
        "not base64url!".into(),
        "a+/b".into(),
        "\u{e4}aaa".into(),
        "a\nbc".into(),
    ] {
        with_nonce(&client, nonce.as_str().into(), "").problem(400, "malformed");
    }
}

/// A nonce is text.
#[test]
fn rfc8555_s6_5_2_a_nonce_that_is_no_text_is_malformed() {
    let client = member();
    for nonce in [json!(7), json!(null), json!([client.nonce()]), json!({}), json!(true)] {
        with_nonce(&client, nonce, "").problem(400, "malformed");
    }
}

/// The words by which acme.sh alone knows a bad nonce.
#[test]
fn rfc8555_s6_5_the_detail_of_bad_nonce_is_what_acme_sh_looks_for() {
    let client = member();
    let detail = with_nonce(&client, "AAAA".into(), "").problem(400, "badNonce");
    assert!(detail.starts_with("JWS has an invalid anti-replay nonce"), "{detail}");
}

/// GET of the directory spends and needs no nonce; a nonce outlives other people's requests.
#[test]
fn rfc8555_s6_5_a_nonce_outlives_other_requests() {
    let client = member();
    let nonce = client.nonce();
    for _ in 0..100 {
        client.nonce();
    }
    client.fetch(account_url(&client)).expect(200);
    with_nonce(&client, nonce.into(), "").expect(200);
}

/// A nonce from before a restart is badNonce, used or not: none can be replayed.
#[test]
fn rfc8555_s6_5_a_restart_makes_no_nonce_good_again() {
    let mut ca = Ca::start();
    let issuer = ca.make_issuer_with("acme.com", &["--require-eab=false"]);
    let mut client = issuer.client(AccountKey::es256());
    client.register_with(&json!({})).expect(201);
    let url = account_url(&client).to_string();
    let (used, unused) = (client.sign(&client.header(&url), b""), client.sign(&client.header(&url), b""));
    client.send(&url, &used).expect(200);
    ca.restart();
    for jws in [used, unused] {
        client.send(&url, &jws).problem(400, "badNonce");
    }
    client.fetch(&url).expect(200);
}

fn with_nonce(client: &Client, nonce: Value, payload: &str) -> Reply {
    let url = account_url(client);
    let mut header = json!({"alg": client.key.algorithm, "kid": url, "url": url});
    header["nonce"] = nonce;
    client.send(url, &client.sign(&header, payload.as_bytes()))
}

fn other_letter(letter: char) -> char {
    if letter == 'A' { 'B' } else { 'A' }
}
