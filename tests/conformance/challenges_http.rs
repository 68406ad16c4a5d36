//! RFC 8555, 8.3: http-01.

use crate::proof::{Steps, assert_valid, dns, error_of, error_type, only};
use crate::scene::scene;
use crate::tls_responder::{Certificate, Shown, alt_name};
use crate::world::acme::Client;
use crate::world::issuer::text;
use crate::world::responder::Answer;
use serde_json::Value;

/// A client, an authorization for the name, and its token and key authorization.
fn asked(name: &str) -> (Client, String, String, String) {
    let client = scene().client(name);
    let authorization = only(&client.order(&[name]));
    let token = text(&client.challenge(&authorization, "http-01"), "token");
    let expected = client.key_authorization(&token);
    (client, authorization, token, expected)
}

/// What becomes of an authorization whose web server sends this body.
fn with_body(name: &str, body: impl Fn(&str) -> String) -> Value {
    let (client, authorization, _, expected) = asked(name);
    let body = body(&expected);
    let reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    scene().web_server_of(name).answer_with(Answer::Raw(reply.into_bytes()));
    client.attempt(&authorization, "http-01")
}

/// The resource is fetched by the name itself, under the path of the token.
#[test]
fn rfc8555_s8_3_the_key_authorization_is_fetched_from_the_well_known_path() {
    let (client, authorization, token, expected) = asked("path.http.test");
    let server = scene().web_server_of("path.http.test");
    server.serve(&token, &expected);
    assert_valid(&client.attempt(&authorization, "http-01"));
    let hits = server.hits();
    assert_eq!(hits.len(), 1);
    assert_eq!(hits[0].path, format!("/.well-known/acme-challenge/{token}"));
    let host = hits[0].host.split(':').next().unwrap();
    assert_eq!(host, "path.http.test");
}

/// White space behind the key authorization does no harm.
#[test]
fn rfc8555_s8_3_white_space_at_the_end_is_ignored() {
    assert_valid(&with_body("trailing.http.test", |expected| format!("{expected} \t\r\n\n")));
}

/// Anything else than the key authorization is wrong, however near it comes.
#[test]
fn rfc8555_s8_3_any_other_content_fails() {
    type Change = fn(&str) -> String;
    let wrongs: [(&str, Change); 8] = [
        ("empty", |_| String::new()),
        ("token", |expected| expected.split('.').next().unwrap().to_owned()),
        ("thumbprint", |expected| expected.split('.').nth(1).unwrap().to_owned()),
        ("prefix", |expected| format!("x{expected}")),
        ("suffix", |expected| format!("{expected}x")),
        ("case", |expected| expected.to_uppercase()),
        ("short", |expected| expected[..expected.len() - 1].to_owned()),
        ("page", |expected| format!("<html>{expected}</html>")),
    ];
    for (what, body) in wrongs {
        let failed = with_body(&format!("{what}.wrong.http.test"), body);
        assert!(["incorrectResponse", "unauthorized"].contains(&error_type(&failed).as_str()), "{what}: {failed}");
    }
}

/// The key authorization ends with the thumbprint of the account's key, not of any key.
#[test]
fn rfc8555_s8_1_the_key_authorization_of_another_account_fails() {
    let issuer = scene().issuer("foreign.http.test");
    let (client, other) = (scene().ca.client(&issuer), scene().ca.client(&issuer));
    let authorization = only(&client.order(&["foreign.http.test"]));
    let token = text(&client.challenge(&authorization, "http-01"), "token");
    scene().http.serve(&token, &other.key_authorization(&token));
    assert_eq!(error_type(&client.attempt(&authorization, "http-01")), "incorrectResponse");
}

/// A page that is not there is no answer; the error says which address was asked and what it said.
#[test]
fn rfc8555_s8_3_a_status_other_than_success_fails() {
    for status in ["404 Not Found", "403 Forbidden", "500 Internal Server Error", "304 Not Modified"] {
        let code = &status[..3];
        let name = format!("s{code}.http.test");
        let (client, authorization, _, expected) = asked(&name);
        let reply = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{expected}", expected.len());
        scene().web_server_of(&name).answer_with(Answer::Raw(reply.into_bytes()));
        let error = error_of(&client.attempt(&authorization, "http-01"));
        let detail = text(&error, "detail");
        assert!(detail.contains("127.") && detail.contains(code), "{detail}");
    }
}

/// HTTP/1.0, chunks, and any Content-Type: what counts is the content.
#[test]
fn rfc8555_s8_3_the_content_counts_however_it_is_sent() {
    for (name, head, chunked) in [
        ("old.http.test", "HTTP/1.0 200 OK\r\n\r\n", false),
        ("type.http.test", "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nConnection: close\r\n\r\n", false),
        ("chunks.http.test", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n", true),
    ] {
        let (client, authorization, _, expected) = asked(name);
        let body = match chunked {
            true => format!("5\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n", &expected[..5], expected.len() - 5, &expected[5..]),
            false => expected,
        };
        scene().web_server_of(name).answer_with(Answer::Raw(format!("{head}{body}").into_bytes()));
        assert_valid(&client.attempt(&authorization, "http-01"));
    }
}

/// Redirects are followed, to another name too.
#[test]
fn rfc8555_s8_3_redirects_are_followed() {
    let (client, authorization, token, expected) = asked("moved.http.test");
    let (old, new) = (scene().web_server_of("moved.http.test"), scene().web_server_of("target.http.test"));
    let port = scene().ca.http_01_port;
    old.answer_with(Answer::Redirect(format!("http://target.http.test:{port}/elsewhere/{{token}}")));
    new.serve(&token, &expected);
    assert_valid(&client.attempt(&authorization, "http-01"));
    assert_eq!(new.hits()[0].path, format!("/elsewhere/{token}"));
}

/// A redirect to https is followed, and the certificate there need not be one that anybody trusts: who has no certificate
/// yet would never get one.
#[test]
fn rfc8555_s8_3_a_redirect_to_https_is_followed_whatever_the_certificate() {
    let (client, authorization, _, expected) = asked("secure.http.test");
    let port = scene().ca.tls_alpn_01_port;
    let mut shown = Shown::new(Certificate::with(&[&alt_name(&["another.name.test"])]));
    shown.protocols = vec![b"http/1.1".to_vec()];
    shown.page =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{expected}", expected.len());
    scene().tls.show("tls.secure.http.test", shown);
    let location = format!("https://tls.secure.http.test:{port}/x/{{token}}");
    scene().web_server_of("secure.http.test").answer_with(Answer::Redirect(location));
    assert_valid(&client.attempt(&authorization, "http-01"));
}

/// http-01 shows nothing about a whole domain, so it is not offered for wildcards.
#[test]
fn rfc8555_s8_3_http_01_is_not_offered_for_wildcards() {
    let client = scene().client("*.wild.http.test");
    let order = client.order_of(&[dns("*.wild.http.test")]);
    let body = client.fetch(&only(&order)).expect(200).json();
    let kinds: Vec<String> = body["challenges"].as_array().unwrap().iter().map(|one| text(one, "type")).collect();
    assert_eq!(kinds, ["dns-01"]);
}

/// An authorization has one challenge of each type, however often its issuer names it.
#[test]
fn rfc8555_s7_1_4_a_challenge_type_that_is_named_twice_is_offered_once() {
    let client = scene().client_with("twice.http.test", &["--challenges", "http-01,http-01"]);
    let authorization = client.fetch(&only(&client.order(&["twice.http.test"]))).expect(200).json();
    assert_eq!(authorization["challenges"].as_array().unwrap().len(), 1, "{authorization}");
}
