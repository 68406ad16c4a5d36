//! What may be ordered, by whom, and with which request for a certificate.

use crate::world::csr::Csr;
use crate::world::daemon::Ca;
use crate::world::issuer::{SIGNER_KEY, text};
use crate::world::judges::{self, assert_trusted};
use crate::world::outcome::assert_says;
use crate::world::responder::Responder;
use serde_json::json;

const P256: &[&str] = &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];

#[test]
fn another_accounts_order_is_nobodys_business() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let (owner, stranger) = (ca.client(&issuer), ca.client(&issuer));
    let responder = Responder::start(ca.place.address, ca.http_01_port);
    owner.obtain(&["acme.com"], &responder);
    let order = owner.ready_order(&["acme.com"], &responder);
    let issued = owner.ready_order(&["acme.com"], &responder);
    owner.finalize(&issued, &Csr::for_names(&["acme.com"])).expect(200);
    owner.certificate(&issued);
    let certificate = text(&owner.fetch(&issued.url).json(), "certificate");
    let authorization = &order.authorizations()[0];
    let challenge = text(&owner.http_01(authorization), "url");

    for url in [&order.url, authorization, &challenge, &certificate, owner.account.as_ref().unwrap()] {
        stranger.fetch(url).refused();
    }
    stranger.post(&challenge, &json!({})).refused();
    stranger.post(authorization, &json!({"status": "deactivated"})).refused();
    stranger.post(owner.account.as_ref().unwrap(), &json!({"status": "deactivated"})).refused();
    stranger.finalize(&order, &Csr::for_names(&["acme.com"])).refused();
    owner.finalize(&order, &Csr::for_names(&["acme.com"])).expect(200);
}

#[test]
fn names_that_are_not_allowed_are_rejected_one_by_one() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com,www.acme.com");
    let client = ca.client(&issuer);
    for name in ["evil.com", "sub.acme.com", "acme.com.evil.com", "xacme.com", "com", "ca.lan"] {
        let detail = client.ask_for(&[name]).refused_as("rejectedIdentifier");
        assert_says(&detail, &[name]);
    }
    let reply = client.ask_for(&["acme.com", "evil.com", "www.acme.com", "worse.com"]);
    reply.refused_as("rejectedIdentifier");
    let parts = reply.json()["subproblems"].as_array().unwrap().clone();
    let named: Vec<_> = parts.iter().map(|part| text(&part["identifier"], "value")).collect();
    assert_eq!(named, ["evil.com", "worse.com"]);

    for wildcard in ["*.acme.com", "*.com"] {
        client.ask_for(&[wildcard]).refused_as("rejectedIdentifier");
    }
    for malformed in ["", "acme..com", "-acme.com", "acme.com:443", "acme com", "xn--", "a*.acme.com", "\u{e4}cme.com"]
    {
        client.ask_for(&[malformed]).refused();
    }
    client.ask_for(&[]).problem(400, "malformed");
    let payload = json!({"identifiers": [{"type": "ip", "value": "10.0.0.1"}]});
    let reply = client.post(&client.url("newOrder"), &payload);
    reply.refused();
    assert_eq!(reply.json().pointer("/identifier/type").unwrap_or(&json!("ip")), "ip", "{reply}");
    let payload = json!({"identifiers": [{"type": "mail", "value": "a@acme.com"}]});
    client.post(&client.url("newOrder"), &payload).refused_as("unsupportedIdentifier");

    // Nothing is refused that is allowed: upper case is the same name, and a name said twice is one name.
    let order = client.order(&["ACME.com", "acme.com"]);
    assert_eq!(order.body["identifiers"], json!([{"type": "dns", "value": "acme.com"}]));
    assert_eq!(order.authorizations().len(), 1);
}

#[test]
fn wildcards_need_a_dns_challenge_even_where_they_are_allowed() {
    let ca = Ca::start();
    let issuer = ca.make_issuer_with("*.acme.com", &["--allow-subdomains", "--challenges", "http-01,tls-alpn-01"]);
    let client = ca.client(&issuer);
    client.ask_for(&["*.acme.com"]).refused_as("rejectedIdentifier");
    client.ask_for(&["www.acme.com"]).expect(201);
}

#[test]
fn the_daemons_own_host_is_not_for_sale_unless_named_exactly() {
    let ca = Ca::start();
    let open = ca.make_issuer_with("acme.com", &["--allow-any-name"]);
    let client = ca.client(&open);
    client.ask_for(&["anything.example"]).expect(201);
    client.ask_for(&["ca.lan"]).refused_as("rejectedIdentifier");
    let named = ca.make_issuer_named("/Named", SIGNER_KEY, "ca.lan", "ca.lan", &[]);
    ca.client(&named).ask_for(&["ca.lan"]).expect(201);
}

#[test]
fn a_csr_asks_for_exactly_the_names_of_its_order() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com,www.acme.com");
    ca.dns.point("www.acme.com", ca.place.address);
    let client = ca.client(&issuer);
    let responder = Responder::start(ca.place.address, ca.http_01_port);
    let order = client.ready_order(&["acme.com", "www.acme.com"], &responder);

    let both = "subjectAltName=DNS:acme.com,DNS:www.acme.com";
    let mut forged = Csr::for_names(&["acme.com", "www.acme.com"]);
    *forged.der.last_mut().unwrap() ^= 1;
    for (what, csr) in [
        ("one name less", Csr::for_names(&["acme.com"])),
        ("one name more", Csr::for_names(&["acme.com", "www.acme.com", "evil.com"])),
        ("another name", Csr::for_names(&["acme.com", "evil.com"])),
        ("an address", Csr::with("/", &format!("{both},IP:10.0.0.1"), P256)),
        ("an e-mail address", Csr::with("/", &format!("{both},email:a@acme.com"), P256)),
        ("a common name that is no name of the order", Csr::with("/CN=evil.com", both, P256)),
        ("to be a CA", Csr::with("/", &format!("{both}\nbasicConstraints=critical,CA:TRUE"), P256)),
        ("a signature that is not its own", forged),
        ("a key of 1024 bits", Csr::with("/", both, &["rsa:1024"])),
        ("no request at all", Csr { der: b"hello".to_vec() }),
        ("nothing", Csr { der: Vec::new() }),
    ] {
        let reply = client.finalize(&order, &csr);
        let kind = reply.json()["type"].as_str().unwrap_or_default().to_string();
        assert!(kind.ends_with(":badCSR") || (kind.ends_with(":malformed") && csr.der.len() < 10), "{what}: {reply}");
        assert_eq!(client.fetch(&order.url).expect(200).json()["status"], "ready", "{what} has changed the order");
    }
    let url = text(&order.body, "finalize");
    client.post(&url, &json!({})).refused();
    client.post(&url, &json!({"csr": "not base64url!"})).refused();

    // A common name of the order is fine.
    let csr = Csr::with("/CN=acme.com", both, P256);
    let reply = client.finalize(&order, &csr).expect(200);
    assert_eq!(reply.required_header("location"), order.url);
    let chain = client.certificate(&order);
    assert_trusted(&ca.place, &issuer.root_pem, &chain, "www.acme.com");
    let leaf = &judges::facts(&ca.place, &chain)[0];
    assert_eq!(leaf["extensions"]["basicConstraints"]["value"]["ca"], false);

    client.finalize(&order, &csr).expect(200);
    let other = Csr::for_names(&["acme.com", "www.acme.com"]);
    client.finalize(&order, &other).problem(403, "orderNotReady");
}

#[test]
fn an_order_is_finalized_when_it_is_ready_and_not_before() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let client = ca.client(&issuer);
    let order = client.order(&["acme.com"]);
    assert_eq!(order.body["status"], "pending");
    client.finalize(&order, &Csr::for_names(&["acme.com"])).problem(403, "orderNotReady");
    client.post(&order.authorizations()[0], &json!({"status": "deactivated"})).expect(200);
    assert_eq!(client.fetch(&order.url).expect(200).json()["status"], "invalid");
}

#[test]
fn keys_of_every_kind_that_tls_servers_use_are_certified() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let client = ca.client(&issuer);
    let responder = Responder::start(ca.place.address, ca.http_01_port);
    for (key, encipherment) in [
        (&["rsa:2048"][..], true),
        (&["rsa:3072"], true),
        (P256, false),
        (&["ec", "-pkeyopt", "ec_paramgen_curve:P-384"], false),
    ] {
        let order = client.ready_order(&["acme.com"], &responder);
        client.finalize(&order, &Csr::with("/", "subjectAltName=DNS:acme.com", key)).expect(200);
        let chain = client.certificate(&order);
        assert_trusted(&ca.place, &issuer.root_pem, &chain, "acme.com");
        let usages = judges::facts(&ca.place, &chain)[0]["extensions"]["keyUsage"]["value"].clone();
        let usages = usages.as_array().unwrap();
        assert!(usages.contains(&json!("digital_signature")));
        // An EC key enciphers nothing (RFC 8813, 3).
        assert!(encipherment || !usages.contains(&json!("key_encipherment")), "{key:?}: {usages:?}");
    }
}

#[test]
fn a_certificate_ends_with_its_signer() {
    let ca = Ca::start();
    ca.run(&[
        "create-dfc-key",
        "--name",
        "/Short",
        "--alg",
        "RSA2048",
        "--generate-self-signed-certificate",
        "--certificate-ttl",
        "1",
        "--certificate-common-name",
        "short",
        "--hash-algorithm",
        "SHA384",
    ])
    .succeeded();
    let issuer = ca.make_issuer_named("/Short/Issuer", "/Short", "ca.lan", "acme.com", &[]);
    let responder = Responder::start(ca.place.address, ca.http_01_port);
    let chain = ca.client(&issuer).obtain(&["acme.com"], &responder);
    assert_trusted(&ca.place, &issuer.root_pem, &chain, "acme.com");
    let facts = judges::facts(&ca.place, &chain);
    assert_eq!(facts[0]["not_after"], facts[1]["not_after"]);
    assert_eq!(facts[0]["hash"], "sha384");
}
