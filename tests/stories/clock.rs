//! What happens by itself as time goes by: a daemon in this process whose clock the story turns.

mod wrong;

use crate::world::account_key::AccountKey;
use crate::world::acme::Client;
use crate::world::binary::certwright;
use crate::world::csr::Csr;
use crate::world::issuer::{Eab, text};
use crate::world::openssl::{blocks, ocsp_request, openssl};
use crate::world::outcome::{Outcome, assert_says};
use crate::world::patience::{eventually, seconds};
use crate::world::place::Place;
use crate::world::plain;
use crate::world::wire::{Reply, Wire};
use certwright::clock::{Clock, Span, Time};
use certwright::daemon::Daemon;
use certwright::error::Class;
use certwright::settings::Settings;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

/// The whole OCSP response (RFC 6960, 4.2.1).
const TRY_LATER: [u8; 5] = [0x30, 3, 0x0a, 1, 3];

/// A daemon whose clock stands still until it is turned.
struct Turned {
    /// None between two runs.
    daemon: Option<Daemon>,
    settings: Settings,
    clock: Clock,
    place: Place,
}

impl Turned {
    fn start() -> Turned {
        let place = Place::new();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let clock = Clock::manual(Time(i64::try_from(now).unwrap()));
        let anywhere = SocketAddr::from((place.address, 0));
        let settings = Settings {
            state_dir: place.make_directory("state"),
            listen: anywhere,
            plain_listen: anywhere,
            admin_socket: place.file("admin.sock"),
            fragment_dirs: Vec::new(),
            dns_servers: Vec::new(),
            http_01_port: 80,
            tls_alpn_01_port: 443,
            validation_allow: Vec::new(),
            validation_deny: Vec::new(),
            workers: 4,
            tls_files: None,
            blocked_keys: None,
            event_command: None,
            event_url: None,
        };
        let mut turned = Turned { daemon: None, settings, clock, place };
        turned.boot();
        // Where clients find it again.
        let addresses = turned.daemon().addresses();
        (turned.settings.listen, turned.settings.plain_listen) = (addresses.listen, addresses.plain_listen);
        turned
    }

    fn boot(&mut self) {
        // A program that another story starts in this moment holds the lock until it is that program.
        let daemon = eventually("the state directory is free", seconds(10), || {
            match Daemon::start(&self.settings, self.clock.clone()) {
                Err(e) if e.class() == Class::Conflict => None,
                started => Some(started),
            }
        });
        self.daemon = Some(daemon.unwrap());
    }

    fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().unwrap()
    }

    /// Let days pass, and what is due then happen.
    fn days_later(&self, days: i64) {
        self.clock.advance(Span::days(days));
        self.daemon().keep_house();
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        let output = certwright()
            .env("CERTWRIGHT_ADMIN_SOCKET", self.place.file("admin.sock"))
            .current_dir(self.place.path())
            .args(arguments)
            .output()
            .unwrap();
        Outcome::new(format!("certwright {}", arguments.join(" ")), output)
    }

    fn make_key(&self, name: &str, days: &str, flags: &[&str]) {
        let key = ["create-dfc-key", "-n", name, "-a", "EC256", "--generate-self-signed-certificate"];
        let rest = ["--certificate-ttl", days, "--certificate-common-name", "Turned CA"];
        self.run(&[&key[..], &rest, flags].concat()).succeeded();
    }

    /// A client that needs no challenge, at an issuer that warns a month ahead.
    fn client(&self) -> Client {
        let listen = self.daemon().addresses().listen;
        let url = format!("https://ca.lan:{}", listen.port());
        let issuer = ["create-pki-cert-issuer", "-n", "/I", "--signer-key-name", "/K", "-t", "90d", "--enable-acme"];
        let names = ["--gw-cluster-url", &url, "--allowed-domains", "a.lan,b.lan", "--destination-path", "/Filed"];
        let checked = ["--public-url", "http://ca.lan:8080", "--create-private-ocsp", "-e", "30"];
        self.run(&[&issuer[..], &names, &checked].concat()).succeeded();
        let described = self.run(&["describe-item", "-n", "/I"]).succeeded().json();
        let eab =
            ["generate-acme-eab", "--cert-issuer-name", "/I", "--allowed-domains", "a.lan,b.lan", "--no-challenge"];
        let eab = self.run(&eab).succeeded().json();
        let eab = Eab::read(&eab);
        let wire = Wire::new(listen, "ca.lan", &text(&described, "certificates"));
        let mut client = Client::new(wire, &text(&described, "acme_directory_url"), AccountKey::es256());
        client.register(&eab).expect(201);
        client
    }

    fn obtain(&self, client: &Client, name: &str) -> String {
        let order = client.order(&[name]);
        client.finalize(&order, &Csr::for_names(&[name])).expect(200);
        client.certificate(&order)
    }

    fn audited(&self, action: &str) -> Vec<Value> {
        let reply = self.run(&["audit", "--action", action, "--json"]).succeeded().json();
        reply["rows"].as_array().unwrap().clone()
    }

    fn key_identifier(&self) -> String {
        let described = self.run(&["describe-item", "-n", "/K"]).succeeded().json();
        text(&described["versions"][0], "key_identifier")
    }

    fn ask_ocsp(&self, request: &[u8]) -> Vec<u8> {
        plain::ask_ocsp(self.daemon().addresses().plain_listen, &self.key_identifier(), request)
            .unwrap()
            .expect(200)
            .body
    }

    fn fetch(&self, path: &str) -> Reply {
        plain::ask(self.daemon().addresses().plain_listen, "GET", path, &[], b"").unwrap()
    }
}

#[test]
fn a_deleted_key_can_be_brought_back_for_seven_days() {
    let turned = Turned::start();
    turned.make_key("/K", "100", &[]);
    turned.make_key("/Other", "100", &[]);
    let fragments = || std::fs::read_dir(turned.place.file("state").join("fragments")).unwrap().count();
    let before = fragments();
    let in_seven_days = turned.clock.now().plus(Span::days(7)).to_string();
    for key in ["/K", "/Other"] {
        let reply = turned.run(&["delete-item", "-n", key, "--json"]).succeeded().json();
        assert_eq!(text(&reply, "deletion_date"), in_seven_days);
    }
    turned.days_later(6);
    assert_eq!(fragments(), before, "not yet");
    turned.run(&["set-item-state", "-n", "/Other", "--desired-state", "Enabled"]).succeeded();
    turned.days_later(1);
    assert_eq!(fragments(), before - 3, "the private key is gone for good");
    turned.run(&["describe-item", "-n", "/K"]).refused();
    turned.run(&["describe-item", "-n", "/Other"]).succeeded();
}

#[test]
fn orders_end_after_a_week_and_lists_are_signed_every_day() {
    let turned = Turned::start();
    turned.make_key("/K", "100", &[]);
    let client = turned.client();
    turned.obtain(&client, "a.lan");
    let order = client.order(&["b.lan"]);
    assert_eq!(order.body["status"], "ready", "this account needs no challenge");
    let ski = turned.key_identifier();
    let mut lists = vec![turned.fetch(&format!("/crl/{ski}/0.crl")).expect(200)];
    for _ in 0..3 {
        turned.days_later(1);
        lists.push(turned.fetch(&format!("/crl/{ski}/0.crl")).expect(200));
    }
    for (older, newer) in lists.iter().zip(&lists[1..]) {
        assert_ne!(older.body, newer.body, "signed again after a day");
        assert_ne!(older.header("expires"), newer.header("expires"));
    }
    turned.days_later(5);
    let body = client.fetch(&order.url).expect(200).json();
    assert_eq!(body["status"], "invalid", "{body}");
    let late = client.finalize(&order, &Csr::for_names(&["b.lan"]));
    assert_says(&late.problem(403, "orderNotReady"), &["invalid"]);
}

#[test]
fn people_hear_once_of_what_ends_and_the_daemon_renews_its_own() {
    let turned = Turned::start();
    turned.make_key("/K", "100", &["-e", "40"]);
    turned.make_key("/Unasked", "100", &[]);
    let client = turned.client();
    turned.obtain(&client, "a.lan");
    turned.obtain(&client, "b.lan");
    assert_eq!(turned.audited("own-tls-certificate").len(), 1);
    turned.days_later(9);
    assert!(turned.audited("expiration-event").is_empty(), "a hundred days are far away");
    turned.days_later(3);
    let notices = turned.audited("expiration-event");
    assert_eq!(notices.len(), 1, "88 days before its end, and nobody asked: {notices:?}");
    assert_eq!(text(&notices[0], "object"), "/Unasked");
    turned.days_later(49);
    // 39 days before the end of the signers, 29 before that of the leaves.
    let told = |notices: &[Value]| {
        let mut objects: Vec<String> = notices.iter().map(|row| text(row, "object")).collect();
        objects.sort();
        objects
    };
    let notices = turned.audited("expiration-event");
    assert_eq!(told(&notices), ["/Filed/a.lan", "/Filed/b.lan", "/K", "/Unasked"], "{notices:?}");
    assert_eq!(turned.audited("own-tls-certificate").len(), 2, "renewed before two thirds of its life");
    turned.daemon().keep_house();
    assert_eq!(turned.audited("expiration-event").len(), 4, "once");
    turned.run(&["check"]).succeeded();
}

#[test]
fn after_the_end_of_a_signer_nobody_buys_anything() {
    let turned = Turned::start();
    turned.make_key("/K", "100", &[]);
    let client = turned.client();
    let chain = turned.obtain(&client, "a.lan");
    let certificates = blocks(&chain);
    let request = ocsp_request(&turned.place, &certificates[1], &certificates[0], &["-no_nonce"]);
    let ski = turned.key_identifier();
    let ask = || turned.ask_ocsp(&request);
    let lists =
        || [format!("/crl/{ski}/0.crl"), format!("/crl/{ski}.crl")].map(|path| turned.fetch(&path).expect(200).body);
    let first = ask();
    assert!(first.len() > 100, "an answer");
    assert_eq!(turned.audited("ocsp-responder").len(), 1);
    turned.days_later(21);
    assert_ne!(ask(), first);
    assert_eq!(turned.audited("ocsp-responder").len(), 2, "a responder lives a month");
    turned.days_later(79);
    let (made, last) = (turned.audited("ocsp-responder").len(), lists());
    for _ in 0..5 {
        assert_eq!(ask(), TRY_LATER);
    }
    turned.days_later(2);
    assert_eq!(turned.audited("ocsp-responder").len(), made);
    assert_eq!(lists(), last, "its lists stay as they were");
}

#[test]
fn nobody_buys_more_ocsp_signatures_than_a_client_needs() {
    let turned = Turned::start();
    turned.make_key("/K", "100", &[]);
    let client = turned.client();
    let root = blocks(&turned.obtain(&client, "a.lan"))[1].clone();
    // Nothing is kept about a serial number that was never issued, so every answer is signed.
    turned.place.write("root.pem", root);
    let unknown = ["ocsp", "-no_nonce", "-issuer", "root.pem", "-serial", "0x7f01", "-reqout", "unknown.der"];
    openssl(&turned.place, &unknown).succeeded();
    let request = std::fs::read(turned.place.file("unknown.der")).unwrap();
    for number in 1..=600 {
        assert!(turned.ask_ocsp(&request).len() > 100, "the answer {number} in a minute");
    }
    assert_eq!(turned.ask_ocsp(&request), TRY_LATER);
    turned.clock.advance(Span(60));
    assert!(turned.ask_ocsp(&request).len() > 100, "the next minute");
}
