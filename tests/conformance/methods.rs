//! Methods, paths and sizes (RFC 9110) as an ACME client meets them: 404, 405, 413, each a problem document.

use crate::premises::{account_url, member, name, open_issuer, stranger};
use crate::world::issuer::text;
use crate::world::wire::Reply;

/// Each resource tells by 405 and Allow which methods it has; GET of newNonce and directory are among them.
#[test]
fn rfc9110_s15_5_6_other_methods_are_405_with_allow() {
    let client = stranger();
    for (url, allowed) in [
        (open_issuer().directory.clone(), &["GET", "HEAD", "POST"][..]),
        (client.url("newNonce"), &["GET", "HEAD", "POST"]),
        (client.url("newAccount"), &["POST"]),
        (client.url("newOrder"), &["POST"]),
        (client.url("newAuthz"), &["POST"]),
        (client.url("revokeCert"), &["POST"]),
        (client.url("keyChange"), &["POST"]),
    ] {
        for method in ["GET", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "post"] {
            if allowed.contains(&method) {
                continue;
            }
            let reply = client.wire.request(method, &url, &[], b"");
            reply.problem(405, "malformed");
            let header = reply.required_header("allow");
            let mut listed: Vec<_> = header.split(',').map(str::trim).filter(|one| *one != "OPTIONS").collect();
            listed.sort_unstable();
            assert_eq!(listed, allowed, "{method} {url}");
        }
    }
}

/// renewalInfo is read by GET without a signature (RFC 9773, 4.1), and by nothing else.
#[test]
fn rfc9110_s15_5_6_renewal_info_is_not_posted_to() {
    let client = member();
    let url = format!("{}/AAAA.AAAA", text(&client.directory, "renewalInfo"));
    client.fetch(&url).problem(405, "malformed");
    client.wire.request("DELETE", &url, &[], b"").problem(405, "malformed");
}

/// HEAD gets the head of what GET would get and no body (RFC 9110, 9.3.2).
#[test]
fn rfc9110_s9_3_2_head_has_no_body() {
    let client = stranger();
    let head = |url: &str| {
        client.wire.raw(
            format!(
                "HEAD {} HTTP/1.1\r\nHost: ca.lan\r\nConnection: close\r\n\r\n",
                &url[url.find("/acme/").unwrap()..]
            )
            .as_bytes(),
        )
    };
    let reply = head(&open_issuer().directory);
    assert!(reply.starts_with("HTTP/1.1 200 ") && reply.ends_with("\r\n\r\n"), "{reply}");
    let reply = head(&client.url("newOrder"));
    assert!(reply.starts_with("HTTP/1.1 405 ") && reply.ends_with("\r\n\r\n"), "{reply}");
}

/// What does not exist is 404 and a problem document, by GET and by POST.
#[test]
fn rfc9110_s15_5_5_unknown_paths_are_404() {
    let client = member();
    let directory = &open_issuer().directory;
    let base = directory.trim_end_matches("directory");
    for path in
        ["", "Directory", "directory/", "directory/x", "new-order/", "order", "authz/", "../directory", "%64irectory"]
    {
        let url = format!("{base}{path}");
        assert_not_found(client.wire.request("GET", &url, &[], b""));
        assert_not_found(client.fetch(&url));
    }
    let host = &directory[..directory.find("/acme/").unwrap()];
    for path in ["/", "/acme", "/acme/", "/acme/nobody/directory", "/nothing", "//acme"] {
        assert_not_found(client.wire.request("GET", &format!("{host}{path}"), &[], b""));
    }
}

/// Orders, authorizations, challenges and certificates that were never made are 404 for somebody with an account.
#[test]
fn rfc9110_s15_5_5_what_was_never_made_is_404() {
    let client = member();
    let order = client.order(&[&name()]);
    let authorization = order.authorizations()[0].clone();
    let challenge = text(&client.http_01(&authorization), "url");
    for url in [&order.url, &authorization, &challenge, &order.url.replace("/order/", "/cert/")] {
        let (stem, _) = url.rsplit_once('/').unwrap();
        for id in ["987654321", "0", "-1", "01", "99999999999999999999", "x"] {
            client.fetch(&format!("{stem}/{id}")).problem(404, "malformed");
        }
    }
}

/// A body that nobody would need is 413, told before it was read or while it is.
#[test]
fn rfc9110_s15_5_14_a_huge_body_is_413() {
    let client = member();
    let url = client.url("newOrder");
    let huge = vec![b' '; 128 * 1024 + 1];
    let reply = client.wire.request("POST", &url, &[("Content-Type", "application/jose+json")], &huge);
    reply.problem(413, "malformed");
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"), "{reply}");
}

/// The largest body that is read is read whole: a JWS with much white space around it is as good as one without.
#[test]
fn rfc9110_s15_5_14_a_large_body_is_read() {
    let client = member();
    let url = account_url(&client);
    let jws = client.sign(&client.header(url), b"").flattened().to_string();
    let body = format!("{jws}{}", " ".repeat(128 * 1024 - jws.len()));
    client.send_text(url, &body).expect(200);
}

/// A chunked body is a body (RFC 9112, 7.1).
#[test]
fn rfc9112_s7_1_a_chunked_body_is_read() {
    let client = member();
    let url = account_url(&client);
    let jws = client.sign(&client.header(url), b"").flattened().to_string();
    let (first, second) = jws.split_at(40);
    let path = &url[url.find("/acme/").unwrap()..];
    let reply = client.wire.raw(
        format!(
            "POST {path} HTTP/1.1\r\nHost: ca.lan\r\nContent-Type: application/jose+json\r\nConnection: close\r\n\
             Transfer-Encoding: chunked\r\n\r\n28\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n",
            second.len()
        )
        .as_bytes(),
    );
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
}

#[track_caller]
fn assert_not_found(reply: Reply) {
    reply.problem(404, "malformed");
}
