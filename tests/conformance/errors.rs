//! RFC 8555, 6.7, with RFC 7807: problem documents and subproblems.

use crate::premises::{account_url, bound_issuer, headers, links, member, name, open_issuer, order_for, stranger};
use crate::world::acme::Client;
use crate::world::wire::Reply;
use serde_json::{Value, json};

/// Errors are problem documents: media type, type, detail, and the status that the reply has.
#[test]
fn rfc8555_s6_7_every_error_is_a_problem_document() {
    let client = member();
    for reply in refusals(&client) {
        assert_eq!(headers(&reply, "content-type"), ["application/problem+json"], "{reply}");
        let problem = reply.json();
        let kind = problem["type"].as_str().unwrap_or_else(|| panic!("no type in {reply}"));
        let name = kind.strip_prefix("urn:ietf:params:acme:error:").unwrap_or_else(|| panic!("{reply}"));
        assert!(KNOWN.contains(&name), "RFC 8555 has no such type: {reply}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{reply}");
        assert_eq!(problem["status"], reply.status, "RFC 7807, 3.1: {reply}");
    }
}

/// What is absent is left out: some clients stumble over null.
#[test]
fn rfc8555_s6_7_absent_members_are_left_out() {
    let client = member();
    for reply in refusals(&client) {
        let problem = reply.json();
        assert!(problem.as_object().unwrap().values().all(|value| !value.is_null()), "{reply}");
        assert!(problem["subproblems"].as_array().is_none_or(|list| !list.is_empty()), "{reply}");
    }
}

/// Errors of an ACME resource link to the directory, as every resource does (7.1).
#[test]
fn rfc8555_s6_7_errors_link_to_the_directory() {
    let client = member();
    let newcomer = stranger();
    for reply in [
        client.post(&client.url("newOrder"), &json!({})),
        client.ask_for(&["elsewhere.com"]),
        newcomer.post(&newcomer.url("newAccount"), &json!({"contact": 1})),
        client.send_text(&client.url("newOrder"), "{}"),
    ] {
        reply.refused();
        assert_eq!(links(&reply, "index"), [open_issuer().directory.as_str()], "{reply}");
    }
}

/// Only a subproblem has an identifier: at the top level it "MUST NOT be present" (6.7.1).
#[test]
fn rfc8555_s6_7_1_no_identifier_at_the_top_level() {
    let client = member();
    let authorize = |value: &str| json!({"identifier": {"type": "dns", "value": value}});
    for reply in [
        client.ask_for(&["elsewhere.com"]),
        client.ask_for(&["-.acme.com"]),
        client.ask_for(&["elsewhere.com", "also.elsewhere.com"]),
        client.post(&client.url("newOrder"), &json!({"identifiers": [{"type": "email", "value": "a@acme.com"}]})),
        client.post(&client.url("newAuthz"), &authorize("elsewhere.com")),
        client.post(&client.url("newAuthz"), &authorize("*.acme.com")),
    ] {
        reply.refused();
        assert!(reply.json().get("identifier").is_none(), "{reply}");
    }
}

/// One refused name among several is named in a subproblem, with a type of its own.
#[test]
fn rfc8555_s6_7_1_each_refused_identifier_has_a_subproblem() {
    let client = member();
    let good = name();
    let reply = client.ask_for(&[&good, "one.elsewhere.com", "two.elsewhere.com"]);
    reply.problem(400, "rejectedIdentifier");
    assert_eq!(identifiers(&reply), ["one.elsewhere.com", "two.elsewhere.com"]);
    for problem in subproblems(&reply) {
        assert_eq!(problem["type"], "urn:ietf:params:acme:error:rejectedIdentifier", "{reply}");
        assert_eq!(problem["identifier"]["type"], "dns", "{reply}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{reply}");
        assert!(problem.get("subproblems").is_none(), "subproblems have none themselves: {reply}");
    }
}

/// A single refused name of several is a subproblem too, since the whole order is refused for it.
#[test]
fn rfc8555_s6_7_1_one_refused_identifier_among_several_is_named() {
    let client = member();
    let reply = client.ask_for(&[&name(), "elsewhere.com", &name()]);
    reply.problem(400, "rejectedIdentifier");
    assert_eq!(identifiers(&reply), ["elsewhere.com"]);
}

/// Errors of several types together are `compound`, each of them a subproblem of its type.
#[test]
fn rfc8555_s6_7_1_errors_of_several_types_are_compound() {
    let client = member();
    let identifiers = json!([
        {"type": "dns", "value": "elsewhere.com"},
        {"type": "email", "value": "a@acme.com"},
    ]);
    let reply = client.post(&client.url("newOrder"), &json!({"identifiers": identifiers}));
    reply.refused_as("compound");
    let types: Vec<Value> = subproblems(&reply).iter().map(|problem| problem["type"].clone()).collect();
    assert!(types.contains(&json!("urn:ietf:params:acme:error:rejectedIdentifier")), "{reply}");
    assert!(types.contains(&json!("urn:ietf:params:acme:error:unsupportedIdentifier")), "{reply}");
}

/// An identifier of a type that is not known is unsupportedIdentifier.
#[test]
fn rfc8555_s6_7_an_unknown_type_of_identifier_is_unsupported_identifier() {
    let client = member();
    for kind in ["email", "DNS", "onion", "", "dns "] {
        let identifiers = json!([{"type": kind, "value": "acme.com"}]);
        client
            .post(&client.url("newOrder"), &json!({"identifiers": identifiers}))
            .problem(400, "unsupportedIdentifier");
    }
}

/// Nothing that a client sent comes back as control characters or without bound.
#[test]
fn rfc8555_s6_7_details_are_clean_and_bounded() {
    for wild in ["\u{1b}[31mred", "a\r\nX-Header: b", "\0", &"x".repeat(50_000)] {
        for reply in replies_about(wild) {
            assert!(reply.body.len() < 4096, "{} bytes", reply.body.len());
            let detail = reply.json()["detail"].as_str().unwrap().to_string();
            assert!(!detail.chars().any(char::is_control), "{detail:?}");
            assert!(reply.header("x-header").is_none());
        }
    }
}

/// Nor as characters that turn a terminal's text around, and make a name look like another (Unicode TR 36, 2.6).
#[test]
fn utr36_s2_6_details_have_no_bidirectional_controls() {
    let turning = ['\u{202a}', '\u{202e}', '\u{2066}', '\u{2069}', '\u{200f}'];
    for reply in turning.iter().flat_map(|control| replies_about(&format!("{control}moc.emca"))) {
        let detail = reply.json()["detail"].as_str().unwrap().to_string();
        assert!(!detail.contains(turning), "{detail:?}");
    }
}

/// Refusals whose details speak of this text.
fn replies_about(wild: &str) -> Vec<Reply> {
    let client = member();
    let mut with_profile = order_for(&["acme.com"]);
    with_profile["profile"] = wild.into();
    let replies = vec![
        client.ask_for(&[wild]),
        client.post(account_url(&client), &json!({"contact": [wild]})),
        client.post(&client.url("newOrder"), &json!({"identifiers": [{"type": wild, "value": wild}]})),
        client.post(&client.url("newOrder"), &with_profile),
    ];
    replies.iter().for_each(|reply| _ = reply.refused());
    replies
}

fn refusals(client: &Client) -> Vec<Reply> {
    let newcomer = bound_issuer().client(client.key.clone());
    vec![
        client.post(&client.url("newOrder"), &json!({})),
        client.ask_for(&["elsewhere.com"]),
        client.ask_for(&["a.elsewhere.com", "b.elsewhere.com"]),
        client.post(&client.url("newAuthz"), &json!({})),
        client.post(&client.url("revokeCert"), &json!({})),
        client.post(&client.url("keyChange"), &json!({})),
        client.post(account_url(client), &json!({"contact": ["tel:+1"]})),
        client.send_text(&client.url("newOrder"), "{}"),
        client.send_text(&client.url("newOrder"), ""),
        client.wire.request("GET", &client.url("newOrder"), &[], b""),
        client.wire.request("GET", &format!("{}x", open_issuer().directory), &[], b""),
        client.wire.request("POST", &client.url("newOrder"), &[], b""),
        newcomer.post(&newcomer.url("newAccount"), &json!({})),
        newcomer.post(&newcomer.url("newAccount"), &json!({"onlyReturnExisting": true})),
        newcomer.post(&newcomer.url("newAccount"), &json!({"externalAccountBinding": {}})),
    ]
}

const KNOWN: [&str; 26] = [
    "accountDoesNotExist",
    "alreadyReplaced",
    "alreadyRevoked",
    "badCSR",
    "badNonce",
    "badPublicKey",
    "badRevocationReason",
    "badSignatureAlgorithm",
    "caa",
    "compound",
    "connection",
    "dns",
    "externalAccountRequired",
    "incorrectResponse",
    "invalidContact",
    "invalidProfile",
    "malformed",
    "orderNotReady",
    "rateLimited",
    "rejectedIdentifier",
    "serverInternal",
    "tls",
    "unauthorized",
    "unsupportedContact",
    "unsupportedIdentifier",
    "userActionRequired",
];

fn subproblems(reply: &Reply) -> Vec<Value> {
    reply.json()["subproblems"].as_array().unwrap_or_else(|| panic!("no subproblems in {reply}")).clone()
}

fn identifiers(reply: &Reply) -> Vec<String> {
    let values = subproblems(reply).into_iter().map(|problem| problem["identifier"]["value"].clone());
    values.map(|value| value.as_str().unwrap().to_string()).collect()
}
