//! Never a 5xx for what a client sends: bodies, headers, keys and paths that no client should send.

use crate::odd_payloads::with_member;
use crate::premises::{account_url, ca, member, open_issuer, stranger};
use crate::session::Session;
use crate::world::acme::Client;
use crate::world::base64url;
use crate::world::wire::Reply;
use serde_json::json;

/// Values of every kind, as they would stand in JSON, proper or not.
pub const ODD: &[&str] = &[
    "null",
    "true",
    "0",
    "-1",
    "1.5",
    "1e308",
    "1e999",
    "18446744073709551616",
    "123456789012345678901234567890123456789012345678901234567890",
    "-0",
    "01",
    "NaN",
    "\"\"",
    "\" \"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"\\udc00\\ud800\"",
    "\"\u{1f600}\u{202e}\u{feff}\"",
    "\"\\u001b[31m\"",
    "\"../../etc/passwd\"",
    "\"'; DROP TABLE accounts; --\"",
    "\"%s%n%d\"",
    "\"a\nb\"",
    "\"xn--\"",
    "[]",
    "[[]]",
    "[null]",
    "[\"\"]",
    "[{}]",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[0]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
    "{}",
    "{\"\":{}}",
    "{\"a\":1,\"a\":2}",
    "{\"type\":\"dns\",\"value\":[\"acme.com\"]}",
    "{\"status\":{\"status\":{\"status\":\"deactivated\"}}}",
    "[1,",
    "\"unfinished",
];

/// Members of the JWS itself.
#[test]
fn rfc8555_s6_2_odd_members_of_a_jws() {
    let client = member();
    let url = account_url(&client).to_string();
    let mut session = Session::new(client);
    for odd in ODD {
        session.post_text(&url, odd).problem(400, "malformed");
        for part in ["protected", "payload", "signature", "header", "signatures"] {
            // An empty payload is a sound one.
            if (part, *odd) == ("payload", "\"\"") {
                continue;
            }
            let header = session.header(&url).to_string();
            let jws = session.client.sign_text(&header, b"").flattened().to_string();
            session.post_text(&url, &with_member(&jws, part, odd)).refused();
        }
    }
    no_panic();
}

/// Members of the protected header, where the request is signed by an account.
#[test]
fn rfc8555_s6_2_odd_members_of_a_header_with_kid() {
    let client = member();
    let url = account_url(&client).to_string();
    let mut session = Session::new(client);
    for odd in ODD {
        session.post_signed(&url, odd, b"").problem(400, "malformed");
        for member in ["alg", "kid", "nonce", "url", "jwk", "crit", "b64"] {
            let header = session.header(&url).to_string();
            session.post_signed(&url, &with_member(&header, member, odd), b"").refused();
        }
        for member in ["typ", "cty", "x5c", "x5u", "jku", "zip", "enc", ""] {
            let header = session.header(&url).to_string();
            assert_told(&session.post_signed(&url, &with_member(&header, member, odd), b""));
        }
    }
    no_panic();
}

/// Members of the protected header and of the key in it, where the request is signed by a key.
#[test]
fn rfc8555_s6_2_odd_members_of_a_header_with_jwk() {
    let client = stranger();
    let url = client.url("newAccount");
    let mut session = Session::new(client);
    let payload = br#"{"onlyReturnExisting": true}"#;
    for odd in ODD {
        for member in ["alg", "jwk", "nonce", "url", "kid"] {
            let header = session.header(&url).to_string();
            session.post_signed(&url, &with_member(&header, member, odd), payload).refused();
        }
        for member in ["kty", "crv", "x", "y", "d", "n", "e", "use", "key_ops", "alg", "kid", "x5c", "x5t"] {
            let mut header = session.header(&url);
            let key = with_member(&header["jwk"].to_string(), member, odd);
            header["jwk"] = "THE-KEY".into();
            let header = header.to_string().replace("\"THE-KEY\"", &key);
            session.post_signed(&url, &header, payload).refused();
        }
        for (kty, members) in [("RSA", &["n", "e"][..]), ("OKP", &["crv", "x"])] {
            for member in members {
                let sound = json!({"kty": kty, "crv": "Ed25519", "x": "AAAA", "n": "AQAB", "e": "AQAB"}).to_string();
                let mut header = session.header(&url);
                header["jwk"] = "THE-KEY".into();
                header["alg"] = if kty == "RSA" { "RS256" } else { "EdDSA" }.into();
                let header = header.to_string().replace("\"THE-KEY\"", &with_member(&sound, member, odd));
                session.post_signed(&url, &header, payload).refused();
            }
        }
    }
    no_panic();
}

/// Depth and size: nesting far beyond any use, and texts as long as a body may be.
#[test]
fn rfc8555_s6_2_deep_and_long_bodies() {
    let client = member();
    let url = client.url("newOrder");
    let mut session = Session::new(client);
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
        for depth in [100, 127, 128, 129, 1000, 9000] {
            let nested = format!("{}0{}", open.repeat(depth), close.repeat(depth));
            session.post(&url, nested.as_bytes()).refused();
            session.post_text(&url, &nested).refused();
            session.post(&url, format!("{{\"identifiers\":{nested}}}").as_bytes()).refused();
            session.post_signed(&url, &nested, b"").refused();
        }
    }
    let long = "x".repeat(90_000);
    for payload in [
        json!({"identifiers": [{"type": "dns", "value": long}]}),
        json!({"identifiers": [{"type": long, "value": "acme.com"}]}),
        json!({ &long: 1 }),
        json!({"identifiers": vec![json!({}); 20_000]}),
        json!({"identifiers": [{"type": "dns", "value": "acme.com"}], "profile": long}),
    ] {
        session.post(&url, payload.to_string().as_bytes()).refused();
    }
    session.post_text(&url, &"[".repeat(120_000)).refused();
    session.post_text(&url, &"{\"protected\":".repeat(9_000)).refused();
    session.post_text(&url, &" ".repeat(120_000)).refused();
    no_panic();
}

/// Bodies that are no text.
#[test]
fn rfc8555_s6_2_bodies_that_are_no_text() {
    let client = member();
    let url = client.url("newOrder");
    let send = |bytes: &[u8]| client.wire.request("POST", &url, &[("Content-Type", "application/jose+json")], bytes);
    for bytes in [
        &b"\xff\xfe\x00\x01"[..],
        b"{\"protected\":\"\xff\"}",
        b"\x00",
        b"{\"protected\":\"\x00\"}",
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
        b"{\x00}",
        &[0xed, 0xa0, 0x80],
        &[0xc0, 0xaf],
    ] {
        send(bytes).problem(400, "malformed");
    }
    // The same where base64url hides it: in the header, and in the payload.
    for bytes in [&b"\xff\xfe"[..], b"\x00", b"{\"identifiers\":\"\xff\"}", b"{\"\xc0\xaf\":1}"] {
        let header = client.header(&url).to_string();
        client.send(&url, &client.sign_text(&header, bytes)).problem(400, "malformed");
        let spoilt = crate::world::acme::Jws { protected: base64url::encode(bytes), ..client.sign_text(&header, b"") };
        client.send(&url, &spoilt).problem(400, "malformed");
    }
    no_panic();
}

/// Paths and queries that lead nowhere.
#[test]
fn rfc8555_s7_1_odd_paths() {
    let client = member();
    let base = open_issuer().directory.trim_end_matches("directory").to_string();
    for path in [
        "order/9223372036854775807",
        "order/9223372036854775808",
        "order/-9223372036854775808",
        "order/1e3",
        "order/0x1",
        "order/1/finalize/",
        "order/1/2/3/4/5/6/7/8/9",
        "account/1/orders/2",
        "cert/1.pem",
        "authz/%31",
        "authz/1%00",
        "authz/..%2f1",
        "renewal-info/",
        "renewal-info/.",
        "renewal-info/a.b.c",
        "renewal-info/AAAA.AAAA",
        "renewal-info/====.====",
        "renewal-info/%ff.%ff",
        "directory?x",
        "directory?%00",
        "directory?a=b&a=b",
        "new-nonce?x=y",
        ";/directory",
        "?",
    ] {
        let url = format!("{base}{path}");
        for method in ["GET", "HEAD", "POST", "PUT"] {
            let reply = client.wire.request(method, &url, &[], b"");
            assert!(reply.status < 500, "{method} {path}: {reply}");
        }
        assert_told(&client.fetch(&url));
    }
    let long = format!("{base}{}", "a/".repeat(3500));
    assert!(client.wire.request("GET", &long, &[], b"").status < 500);
    no_panic();
}

/// What is refused says so in a problem document; what is not odd enough to be refused is answered properly.
#[track_caller]
pub fn assert_told(reply: &Reply) {
    if !matches!(reply.status, 200 | 201) {
        reply.refused();
    }
}

/// The daemon neither panicked nor stopped answering.
pub fn no_panic() {
    let log = ca().log();
    let panics: Vec<&str> = log.lines().filter(|line| line.contains("panicked")).collect();
    assert!(panics.is_empty(), "{panics:?}");
    let client: Client = member();
    client.fetch(account_url(&client)).expect(200);
}
