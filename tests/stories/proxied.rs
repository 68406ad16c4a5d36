//! Behind a proxy that ends TLS: clients are told apart by what the proxy says of them, and by nothing that they say themselves.

use crate::world::account_key::AccountKey;
use crate::world::acme::Client;
use crate::world::base64url;
use crate::world::daemon::Ca;
use crate::world::issuer::{ISSUER, Issuer, SIGNER_KEY};
use crate::world::outcome::assert_says;
use crate::world::plain::{CHECKED, ask};
use crate::world::proxy::{Proxy, Says};
use crate::world::responder::Responder;
use crate::world::wire::{Reply, Wire, read_to_close};
use serde_json::json;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

const PROXY: &str = "127.0.0.1/32";
const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const HONEST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
/// Whom the attacker would like to be.
const FORGED: &str = "192.0.2.66";

#[test]
fn a_client_gets_a_certificate_by_a_proxy_and_is_known_by_its_own_address() {
    for says in [Says::XForwardedFor, Says::Forwarded] {
        let (ca, issuer, proxy) = proxied(says);
        let responder = Responder::start(ca.place.address, ca.http_01_port);
        let mut client = client_at(HONEST, &issuer, &proxy);
        client.register(&ca.make_eab(&issuer)).expect(201);
        client.obtain(&["acme.com"], &responder);
        let audited = ca.run(&["audit", "--action", "finalize"]).succeeded().stdout;
        assert_says(&audited, &[&format!("(from {HONEST})")]);
        let log = ca.log();
        let registered = log.lines().find(|line| line.contains(" registered account=")).unwrap();
        assert!(registered.contains(&format!(" address={HONEST} ")), "{registered}");
    }
}

#[test]
fn nobody_takes_another_address_by_saying_so() {
    for says in [Says::XForwardedFor, Says::Forwarded] {
        let (ca, issuer, proxy) = proxied(says);
        let attacker = client_at(ATTACKER, &issuer, &proxy);
        let forged = |headers: &[(&str, &str)]| attacker.wire.request("GET", &issuer.directory, headers, b"");
        let element = format!("for={FORGED}");
        let list = format!("{FORGED}, 127.0.0.1");
        let (added, other) = match says {
            Says::XForwardedFor => (("X-Forwarded-For", list.as_str()), ("Forwarded", element.as_str())),
            Says::Forwarded => (("Forwarded", element.as_str()), ("X-Forwarded-For", FORGED)),
        };
        forged(&[added]).expect(200);
        forged(&[added, added]).expect(200);
        forged(&[("X-Real-IP", FORGED)]).expect(200);
        // What the proxy adds would stand within a quotation mark of the client's.
        if matches!(says, Says::Forwarded) {
            for open in [format!("{element};x=\""), format!("{element};x=\"\\"), format!("for=\"{FORGED}")] {
                assert_says(&forged(&[("Forwarded", &open)]).problem(400, "malformed"), &["quotation mark"]);
            }
            forged(&[("Forwarded", &format!("{element};x=\"\\\"\""))]).expect(200);
        }
        // The field that the proxy does not write is let through by it, so both are there and differ.
        assert_says(&forged(&[other]).problem(400, "malformed"), &["different clients"]);
        let log = ca.log();
        // The first of these is the attacker's own, who has fetched the directory to know it.
        let expected = if matches!(says, Says::Forwarded) { 5 } else { 4 };
        let answered: Vec<&str> =
            log.lines().filter(|line| line.contains(" answered ") && line.contains("/directory")).collect();
        assert_eq!(
            answered.iter().filter(|line| line.contains(&format!("address={ATTACKER} "))).count(),
            expected,
            "{answered:#?}"
        );
        assert!(!log.contains(FORGED), "an address of the client's own choice is in the log");
    }
}

#[test]
fn a_crowd_of_forged_addresses_is_held_back_as_one_client_and_nobody_else_is() {
    let (_ca, issuer, proxy) = proxied(Says::XForwardedFor);
    let (attacker, honest) = (client_at(ATTACKER, &issuer, &proxy), client_at(HONEST, &issuer, &proxy));
    let url = attacker.url("newAccount");
    let send = |client: &Client, as_whom: &str, nonce: &str| -> Reply {
        let header = json!({"alg": client.key.algorithm, "nonce": nonce, "url": url, "jwk": client.key.jwk});
        let spoilt = json!({
            "protected": base64url::encode(header.to_string()), "payload": "e30", "signature": base64url::encode([7; 64]),
        });
        let headers = [("Content-Type", "application/jose+json"), ("X-Forwarded-For", as_whom)];
        client.wire.request("POST", &url, &headers, spoilt.to_string().as_bytes())
    };
    let mut nonce = attacker.nonce();
    let held_back = (0..20_000).find_map(|number: u32| {
        let as_whom = Ipv4Addr::from(0xc000_0200 + number % 256).to_string();
        let reply = send(&attacker, &as_whom, &nonce);
        nonce = reply.required_header("replay-nonce");
        (reply.status != 400).then_some(reply)
    });
    held_back.expect("the flood ends").problem(429, "rateLimited");
    assert_eq!(send(&honest, "", &honest.nonce()).status, 400, "another client is looked at");
}

#[test]
fn whoever_comes_by_no_proxy_is_turned_away() {
    let (ca, issuer, proxy) = proxied(Says::XForwardedFor);
    let direct = Wire::new(ca.listen, "ca.lan", &proxy.root_pem).at(ATTACKER);
    assert!(direct.try_connect().is_err(), "there is no TLS here, and nothing else for him either");
    let path = crate::world::wire::path(&issuer.directory).split_once('/').map(|(_, path)| format!("/{path}")).unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: ca.lan\r\nX-Forwarded-For: {FORGED}\r\nConnection: close\r\n\r\n");
    let mut stranger = from(ATTACKER, ca.listen);
    // It may be closed already.
    let _ = stranger.write_all(request.as_bytes());
    assert_eq!(read_to_close(&mut stranger), "");
    assert!(ca.log().contains(&format!("--listen is for --behind-proxy only address={ATTACKER}")));
    // The proxy itself is answered without TLS, and what speaks TLS to it is not.
    ask(ca.listen, "GET", &path, &[], b"").unwrap().expect(200);
    ask(ca.listen, "GET", "/\u{16}\u{3}\u{1}", &[], b"").unwrap().expect(400);
    // What is served in the clear is served to everybody, and nobody's word counts there.
    let mut open = from(ATTACKER, ca.plain_listen);
    open.write_all(
        b"GET /healthz HTTP/1.1\r\nHost: ca.lan\r\nX-Forwarded-For: 192.0.2.66\r\nConnection: close\r\n\r\n",
    )
    .unwrap();
    assert!(read_to_close(&mut open).starts_with("HTTP/1.1 200"));
    assert!(!ca.log().contains(FORGED));
    assert_says(&ca.run(&["status"]).succeeded().stdout, &["ACME over HTTP", "behind a proxy"]);
}

/// Where clients reach what is served in the clear is then somebody else's to know.
#[test]
fn certificates_name_a_list_only_where_its_url_was_said() {
    let ca = behind_proxy();
    ca.make_signer_key(SIGNER_KEY);
    let url = ca.cluster_url("ca.lan");
    let issuer = [
        "create-pki-cert-issuer",
        "-n",
        ISSUER,
        "-s",
        SIGNER_KEY,
        "-t",
        "30d",
        "--enable-acme",
        "--gw-cluster-url",
        &url,
    ];
    let named = [&issuer[..], &["--create-private-crl", "true"]].concat();
    assert_says(&ca.run(&named).refused(), &["--public-url"]);
    assert_says(&ca.run(&issuer).succeeded().stderr, &["name no CRL", "--public-url"]);
}

fn behind_proxy() -> Ca {
    let mut ca = Ca::planned(&["--validation-allow", "127.0.0.0/8", "--behind-proxy", PROXY]);
    // A port that is known before the start, so that only the proxy is in the way of URLs.
    ca.plain_listen.set_port(ca.place.free_port());
    ca.launch();
    ca
}

fn proxied(says: Says) -> (Ca, Issuer, Proxy) {
    let ca = behind_proxy();
    let issuer = ca.make_issuer_with("acme.com", &CHECKED);
    let proxy = Proxy::start(&ca.place, ca.listen, says);
    (ca, issuer, proxy)
}

fn client_at(source: Ipv4Addr, issuer: &Issuer, proxy: &Proxy) -> Client {
    let wire = Wire::new(proxy.address, "ca.lan", &proxy.root_pem).at(source);
    Client::new(wire, &issuer.directory, AccountKey::es256())
}

fn from(source: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None).unwrap();
    rustix::net::bind(&socket, &SocketAddr::from((source, 0))).unwrap();
    rustix::net::connect(&socket, &to).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(crate::world::patience::seconds(20))).unwrap();
    stream
}
