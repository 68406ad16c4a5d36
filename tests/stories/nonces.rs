//! Nonces serve once.

use crate::world::daemon::Ca;
use serde_json::json;
use std::sync::Barrier;

#[test]
fn a_nonce_serves_exactly_one_of_32_requests_at_once() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let client = ca.client(&issuer);
    let url = client.url("newOrder");
    let header = client.header(&url);
    let payload = json!({"identifiers": [{"type": "dns", "value": "acme.com"}]}).to_string();
    let jws = client.sign(&header, payload.as_bytes());
    let barrier = Barrier::new(32);
    let replies: Vec<_> = std::thread::scope(|scope| {
        let one = || {
            barrier.wait();
            client.send(&url, &jws)
        };
        let threads: Vec<_> = (0..32).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let made: Vec<_> = replies.iter().filter(|reply| reply.status == 201).collect();
    assert_eq!(made.len(), 1);
    for reply in replies.iter().filter(|reply| reply.status != 201) {
        reply.problem(400, "badNonce");
        assert_ne!(reply.required_header("replay-nonce"), header["nonce"].as_str().unwrap());
    }
}

#[test]
fn a_nonce_that_was_never_given_out_is_bad() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let client = ca.client(&issuer);
    let url = client.url("newOrder");
    let given = client.nonce();
    let last = if given.ends_with('A') { "B" } else { "A" };
    for nonce in [
        json!(""),
        json!("AAAA"),
        json!("not base64url!"),
        json!(7),
        json!(format!("{given}=")),
        json!(format!("{}{last}", &given[..given.len() - 1])),
        json!("A".repeat(4000)),
    ] {
        let mut header = client.header(&url);
        header["nonce"] = nonce.clone();
        let reply = client.send(&url, &client.sign(&header, b"{}"));
        reply.refused();
        assert!(
            matches!(reply.json()["type"].as_str().unwrap().rsplit(':').next(), Some("badNonce" | "malformed")),
            "{nonce}"
        );
        assert!(reply.header("replay-nonce").is_some(), "a client that was refused may try again at once");
    }
    let mut header = client.header(&url);
    header.as_object_mut().unwrap().remove("nonce");
    client.send(&url, &client.sign(&header, b"{}")).refused();
}

#[test]
fn new_nonce_answers_head_and_get_and_is_never_cached() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let client = ca.client(&issuer);
    let url = client.url("newNonce");
    for (method, status) in [("HEAD", 200), ("GET", 204)] {
        let reply = client.wire.request(method, &url, &[], b"").expect(status);
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert!(reply.required_header("link").contains(&format!("<{}>;rel=\"index\"", issuer.directory)));
        let nonce = reply.required_header("replay-nonce");
        assert!(nonce.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{nonce}");
    }
    let directory = client.wire.request("GET", &issuer.directory, &[], b"").expect(200);
    assert_eq!(directory.header("content-type"), Some("application/json"));
    assert_eq!(directory.json()["meta"]["externalAccountRequired"], true);
    assert_eq!(directory.json()["newNonce"].as_str(), Some(url.as_str()));
}
