//! RFC 8555, 6.1 to 6.4: HTTPS, cross-origin clients, authentication, POST-as-GET, the URL in the signature.

use crate::premises::{account_url, ca, headers, member, name, open_issuer, order_for, post_with_header, stranger};
use crate::world::issuer::text;
use crate::world::wire::read_to_close;
use serde_json::json;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

/// ACME is spoken over HTTPS only: the door in the clear knows no ACME resource.
#[test]
fn rfc8555_s6_1_acme_is_not_served_in_the_clear() {
    let directory = &open_issuer().directory;
    let path = &directory[directory.find("/acme/").unwrap()..];
    for method in ["GET", "POST"] {
        let reply = in_the_clear(ca().plain_listen, method, path);
        assert!(matches!(reply.split(' ').nth(1), Some("404" | "405")), "{reply}");
        assert!(!reply.contains("newNonce"), "{reply}");
    }
}

/// Whoever speaks plain HTTP to the HTTPS port learns nothing there.
#[test]
fn rfc8555_s6_1_the_https_port_answers_no_plain_http() {
    let directory = &open_issuer().directory;
    let reply = in_the_clear(ca().listen, "GET", &directory[directory.find("/acme/").unwrap()..]);
    assert!(!reply.contains(" 200 ") && !reply.contains("newNonce"), "{reply}");
}

/// Web pages are clients too: every reply may be read by any origin, errors included.
#[test]
fn rfc8555_s6_1_replies_may_be_read_from_any_origin() {
    let client = member();
    let newcomer = stranger();
    for reply in [
        client.wire.request("GET", &open_issuer().directory, &[("Origin", "https://app.lan")], b""),
        client.wire.request("GET", &client.url("newNonce"), &[], b""),
        client.wire.request("HEAD", &client.url("newNonce"), &[], b""),
        client.fetch(account_url(&client)),
        client.post(&client.url("newOrder"), &order_for(&[&name()])),
        client.post(&client.url("newOrder"), &json!({})),
        newcomer.post(&newcomer.url("newAccount"), &json!({"contact": 1})),
        client.wire.request("GET", &client.url("newOrder"), &[], b""),
        client.wire.request("POST", &client.url("newOrder"), &[("Content-Type", "text/plain")], b"x"),
        client.wire.request("GET", &format!("{}x", open_issuer().directory), &[], b""),
    ] {
        assert_eq!(headers(&reply, "access-control-allow-origin"), ["*"], "{reply}");
    }
}

/// A web page can go on only if it may read the headers that ACME lives by (CORS hides all but a few).
#[test]
fn rfc8555_s6_1_the_headers_of_acme_are_exposed_to_other_origins() {
    let client = member();
    let reply = client.post(&client.url("newOrder"), &order_for(&[&name()])).expect(201);
    let exposed = headers(&reply, "access-control-expose-headers").join(",").to_lowercase();
    for name in ["replay-nonce", "location", "link"] {
        assert!(exposed.split(',').any(|found| found.trim() == name || found.trim() == "*"), "{name}: {reply}");
    }
}

/// `application/jose+json` makes browsers ask first (CORS preflight); without an answer no web page could POST.
#[test]
fn rfc8555_s6_1_a_browsers_preflight_is_answered() {
    let client = stranger();
    let reply = client.wire.request(
        "OPTIONS",
        &client.url("newAccount"),
        &[
            ("Origin", "https://app.lan"),
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "content-type"),
        ],
        b"",
    );
    assert!(matches!(reply.status, 200 | 204), "{reply}");
    assert_eq!(headers(&reply, "access-control-allow-origin"), ["*"], "{reply}");
    let allowed = reply.required_header("access-control-allow-headers").to_lowercase();
    assert!(allowed.split(',').any(|found| found.trim() == "content-type"), "{reply}");
    // POST needs no mention (Fetch, 4.8), so Access-Control-Allow-Methods is left to the server.
}

/// A request that is not of type application/jose+json gets 415, whatever the resource.
#[test]
fn rfc8555_s6_2_another_content_type_is_415() {
    let client = member();
    let order = client.order(&[&name()]);
    for url in [
        client.url("newAccount"),
        client.url("newOrder"),
        client.url("newAuthz"),
        client.url("revokeCert"),
        client.url("keyChange"),
        client.url("newNonce"),
        open_issuer().directory.clone(),
        account_url(&client).to_string(),
        order.url.clone(),
        order.authorizations()[0].clone(),
        text(&order.body, "finalize"),
    ] {
        let body = client.sign(&client.header(&url), b"").flattened().to_string();
        for media_type in
            ["application/json", "application/jose", "application/jose+jsonx", "text/plain", "application/jose json"]
        {
            let reply = client.wire.request("POST", &url, &[("Content-Type", media_type)], body.as_bytes());
            reply.problem(415, "malformed");
        }
        client.wire.request("POST", &url, &[], body.as_bytes()).problem(415, "malformed");
    }
}

/// Media types are compared without regard to case (RFC 9110, 8.3.1).
#[test]
fn rfc8555_s6_2_the_content_type_may_be_written_in_any_case() {
    let client = member();
    let url = account_url(&client);
    let body = client.sign(&client.header(url), b"").flattened().to_string();
    client.wire.request("POST", url, &[("Content-Type", "Application/JOSE+JSON")], body.as_bytes()).expect(200);
}

/// POST-as-GET: an empty payload reads account, list of orders, order, authorization and challenge.
#[test]
fn rfc8555_s6_3_post_as_get_reads_every_resource() {
    let client = member();
    let order = client.order(&[&name()]);
    let authorization = order.authorizations()[0].clone();
    let challenge = text(&client.http_01(&authorization), "url");
    let account = account_url(&client).to_string();
    let orders = text(&client.fetch(&account).json(), "orders");
    for url in [account, orders, order.url, authorization, challenge] {
        let reply = client.fetch(&url).expect(200);
        assert_eq!(reply.header("content-type"), Some("application/json"), "{reply}");
        assert!(reply.json().is_object(), "{reply}");
    }
}

/// An object as the payload, even an empty one, is not a POST-as-GET: what can only be read refuses it.
#[test]
fn rfc8555_s6_3_an_empty_object_is_no_post_as_get() {
    let client = member();
    let order = client.order(&[&name()]);
    let orders = text(&client.fetch(account_url(&client)).json(), "orders");
    for url in [order.url, orders, open_issuer().directory.clone(), client.url("newNonce")] {
        client.post(&url, &json!({})).refused_as("malformed");
    }
}

/// What is made by POST is not made by POST-as-GET.
#[test]
fn rfc8555_s6_3_an_empty_payload_makes_nothing() {
    let client = member();
    let order = client.order(&[&name()]);
    for url in [client.url("newOrder"), client.url("newAuthz"), client.url("revokeCert"), client.url("keyChange")] {
        client.fetch(&url).refused_as("malformed");
    }
    client.fetch(&text(&order.body, "finalize")).refused();
    let newcomer = stranger();
    newcomer.fetch(&newcomer.url("newAccount")).refused_as("malformed");
}

/// Everything but directory, newNonce and renewalInfo refuses GET with 405 and `malformed`.
#[test]
fn rfc8555_s6_3_get_is_405_where_post_as_get_is_required() {
    let client = member();
    let order = client.order(&[&name()]);
    let authorization = order.authorizations()[0].clone();
    let account = account_url(&client).to_string();
    let orders = text(&client.fetch(&account).json(), "orders");
    let challenge = text(&client.http_01(&authorization), "url");
    for url in [account, orders, order.url, authorization, challenge] {
        let reply = client.wire.request("GET", &url, &[], b"");
        reply.problem(405, "malformed");
        assert_eq!(reply.header("allow"), Some("POST"), "{reply}");
    }
}

/// The directory and newNonce answer POST-as-GET as they answer GET.
#[test]
fn rfc8555_s6_3_directory_and_new_nonce_take_post_as_get() {
    let client = member();
    let directory = client.fetch(&open_issuer().directory).expect(200);
    assert_eq!(directory.json(), client.directory);
    let nonce = client.fetch(&client.url("newNonce"));
    assert!(matches!(nonce.status, 200 | 204), "{nonce}");
    assert!(nonce.body.is_empty());
    assert_eq!(headers(&nonce, "replay-nonce").len(), 1, "{nonce}");
    assert_eq!(nonce.header("cache-control"), Some("no-store"));
}

/// The `url` in the signature must be the URL asked for; anything else is unauthorized.
#[test]
fn rfc8555_s6_4_another_url_than_the_one_asked_is_unauthorized() {
    let client = member();
    let url = account_url(&client);
    let host = format!("{}:{}", client.wire.host, client.wire.address.port());
    for wrong in [
        client.url("newOrder"),
        format!("{url}/"),
        format!("{url}?"),
        format!("{url}?a=b"),
        format!("{url}#a"),
        format!("{url}/orders"),
        url.replace("https://", "http://"),
        url.replace(&host, "evil.lan"),
        url.replace(&host, &client.wire.host),
        url.replace(&host, &format!("user@{host}")),
        url[url.find("/acme/").unwrap()..].to_string(),
        String::new(),
    ] {
        let reply = post_with_header(&client, url, "", &|header| header["url"] = wrong.as_str().into());
        reply.refused_as("unauthorized");
        assert!(matches!(reply.status, 401 | 403), "{wrong}: {reply}");
    }
}

/// A request that was signed for one resource is worth nothing at another.
#[test]
fn rfc8555_s6_4_a_request_cannot_be_carried_to_another_resource() {
    let client = member();
    let order = client.order(&[&name()]);
    let deactivation = client.sign(&client.header(&order.authorizations()[0]), br#"{"status":"deactivated"}"#);
    client.send(account_url(&client), &deactivation).refused_as("unauthorized");
    assert_eq!(client.fetch(account_url(&client)).expect(200).json()["status"], "valid");
}

/// `url` is a string; without one, or with something else, the request is malformed.
#[test]
fn rfc8555_s6_4_a_url_that_is_missing_or_no_text_is_malformed() {
    let client = member();
    let url = account_url(&client);
    post_with_header(&client, url, "", &|header| _ = header.as_object_mut().unwrap().remove("url"))
        .problem(400, "malformed");
    for wrong in [json!(null), json!(1), json!([url]), json!({"url": url}), json!(true)] {
        post_with_header(&client, url, "", &|header| header["url"] = wrong.clone()).problem(400, "malformed");
    }
}

/// The query is a part of the URL: signed with it, and not without.
#[test]
fn rfc8555_s6_4_the_query_is_part_of_the_url() {
    let client = member();
    let url = account_url(&client);
    let with_query = format!("{url}?x=y");
    let jws = client.sign(&client.header(url), b"");
    client.send(&with_query, &jws).refused_as("unauthorized");
    let jws = client.sign(&client.header(&with_query), b"");
    let reply = client.send(&with_query, &jws);
    assert!(matches!(reply.status, 200 | 404), "signed as asked, so not unauthorized: {reply}");
}

/// The Host header decides nothing: links come from the configured URL.
#[test]
fn rfc8555_s6_4_links_do_not_follow_the_host_header() {
    let client = stranger();
    let path = &open_issuer().directory[open_issuer().directory.find("/acme/").unwrap()..];
    let reply = client.wire.raw(
        format!("GET {path} HTTP/1.1\r\nHost: evil.lan\r\nX-Forwarded-Host: evil.lan\r\nConnection: close\r\n\r\n")
            .as_bytes(),
    );
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{reply}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap(), client.directory);
}

fn in_the_clear(address: std::net::SocketAddr, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: ca.lan\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    read_to_close(&mut stream)
}
