//! What has ended long ago goes by itself, and nothing goes that anybody still needs: a daemon in this process whose clock the
//! story turns.

mod killed;
mod log;
mod year;

use crate::world::acme::{Client, Order};
use crate::world::base64url;
use crate::world::csr::Csr;
use crate::world::issuer::text;
use crate::world::judges;
use crate::world::openssl::{blocks, crl_text, ocsp_request, openssl};
use crate::world::outcome::assert_says;
use crate::world::turned::Turned;
use certwright::clock::{Span, Time};
use certwright::settings::{Settings, TlsFiles};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// An order and its authorizations end after a week at the latest.
const ORDER_DAYS: i64 = 7;
const FILED: &str = "/Filed/a.lan";

/// A daemon that keeps orders for thirty days and records for so many, and a client that needs no challenge.
fn start(records: i64) -> (Turned, Client) {
    let turned = Turned::start_with(|settings| keep(settings, 30, records));
    turned.make_key("/K", "3650", &[]);
    turned.make_issuer(&["-t", "90d", "--allowed-domains", "a.lan,b.lan", "-e", "30"]);
    let client = turned.account(&["--allowed-domains", "a.lan,b.lan", "--no-challenge"]);
    (turned, client)
}

fn keep(settings: &mut Settings, days: i64, records: i64) {
    settings.retain = Span::days(days);
    settings.retain_records = Span::days(records);
}

fn certify(client: &Client, name: &str) -> (Order, Csr) {
    let (order, csr) = (client.order(&[name]), Csr::for_names(&[name]));
    client.finalize(&order, &csr).expect(200);
    (order, csr)
}

/// Everything that `check` and the audit log's own check look at.
fn verifies(turned: &Turned) {
    turned.run(&["check"]).succeeded();
    turned.run(&["audit", "--verify"]).succeeded();
}

#[test]
fn orders_go_and_certificates_stay() {
    let (turned, client) = start(730);
    let (order, csr) = certify(&client, "a.lan");
    let never_finished = client.order(&["b.lan"]);
    let certificate = text(&client.fetch(&order.url).expect(200).json(), "certificate");

    turned.days_pass(ORDER_DAYS + 30);
    client.finalize(&order, &csr).expect(200);
    assert_eq!(client.fetch(&order.url).expect(200).json()["status"], "valid");
    turned.days_pass(2);
    for url in [&order.url, &order.authorizations()[0], &never_finished.url, &never_finished.authorizations()[0]] {
        assert_eq!(client.fetch(url).status, 404, "{url}");
    }
    assert_eq!(client.finalize(&order, &csr).status, 404, "no second certificate for an order that is gone");
    for table in ["orders", "order_authorizations", "authorizations", "challenges"] {
        assert_eq!(turned.count(&format!("SELECT count(*) FROM {table}")), 0, "{table}");
    }
    client.fetch(&certificate).expect(200);
    let orders = client.fetch(&format!("{}/orders", client.account.as_ref().unwrap())).expect(200).json();
    assert_eq!(orders["orders"], json!([]));
    let (again, _) = certify(&client, "a.lan");
    assert_eq!(client.fetch(&again.url).expect(200).json()["status"], "valid");
    verifies(&turned);
}

#[test]
fn an_order_whose_certificate_has_ended_cannot_be_finalized_again() {
    let turned = Turned::start_with(|settings| keep(settings, 30, 0));
    turned.make_key("/K", "3650", &[]);
    turned.make_issuer(&["-t", "2h", "--allowed-domains", "a.lan"]);
    let client = turned.account(&["--allowed-domains", "a.lan", "--no-challenge"]);
    let (order, csr) = certify(&client, "a.lan");
    // Its authorization is still valid.
    turned.clock.advance(Span(4 * 3_600));
    turned.daemon().keep_house();
    assert_eq!(client.fetch(&order.url).expect(200).json()["status"], "valid");
    client.finalize(&order, &csr).expect(200);
    client.finalize(&order, &Csr::for_names(&["a.lan"])).problem(403, "orderNotReady");
    assert_eq!(turned.count("SELECT count(*) FROM certificates WHERE purpose = 'acme'"), 1);
    turned.days_pass(ORDER_DAYS + 32);
    assert_eq!(turned.count("SELECT count(*) FROM certificates WHERE purpose = 'acme'"), 0, "it goes after its order");
    verifies(&turned);
}

#[test]
fn an_order_that_replaces_a_certificate_stays_while_that_lives() {
    let (turned, client) = start(730);
    let chain = turned.obtain(&client, "a.lan");
    let identifier = ari_identifier(&turned, &chain);
    let names = json!([{"type": "dns", "value": "a.lan"}]);
    let replace = || {
        client.post(&client.url("newOrder"), &json!({ "identifiers": names.clone(), "replaces": identifier.clone() }))
    };
    let order = Order::from(replace().expect(201));
    client.finalize(&order, &Csr::for_names(&["a.lan"])).expect(200);
    turned.days_pass(80);
    assert_says(&replace().problem(409, "alreadyReplaced"), &["another order"]);
    assert_eq!(client.fetch(&order.url).expect(200).json()["replaces"], identifier.as_str());
    turned.days_pass(11);
    assert_eq!(client.fetch(&order.url).status, 404, "what it replaced has ended");
    verifies(&turned);
}

/// RFC 9773, 4.1.
fn ari_identifier(turned: &Turned, chain: &str) -> String {
    let key = base64url::encode(hex_bytes(&turned.key_identifier()));
    turned.place.write("leaf.pem", chain);
    let shown = openssl(&turned.place, &["x509", "-in", "leaf.pem", "-noout", "-serial"]);
    let serial = shown.succeeded().stdout.trim().trim_start_matches("serial=").to_lowercase();
    format!("{key}.{}", base64url::encode(hex_bytes(&serial)))
}

fn hex_bytes(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

fn serial(turned: &Turned) -> String {
    let listed = turned.run(&["list-certificates", "--json"]).succeeded().json();
    text(&listed["certificates"][0], "serial_number")
}

#[test]
fn credentials_go_unless_an_account_keeps_their_bounds() {
    let (turned, bounded) = start(730);
    turned.run(&["update-pki-cert-issuer", "-n", "/I", "--allowed-domains", "a.lan,b.lan,c.lan"]).succeeded();
    let free = turned.account(&[]);
    turned.run(&["generate-acme-eab", "--cert-issuer-name", "/I"]).succeeded();
    assert_eq!(turned.count("SELECT count(*) FROM eabs"), 3);
    turned.days_pass(32);
    assert_eq!(
        turned.count("SELECT count(*) FROM eabs"),
        1,
        "one that was never used, and one whose account has no bounds"
    );
    free.ask_for(&["c.lan"]).expect(201);
    certify(&bounded, "a.lan");
    assert_says(&bounded.ask_for(&["c.lan"]).problem(400, "rejectedIdentifier"), &["c.lan", "binding"]);
    verifies(&turned);
}

#[test]
fn what_is_revoked_stays_until_it_ended_and_was_listed_once_more() {
    // Nothing is kept beyond what the rules want.
    let (turned, client) = start(0);
    let chain = turned.obtain(&client, "a.lan");
    let mark = serial(&turned);
    let list =
        || crl_text(&turned.place, &turned.fetch(&format!("/crl/{}/0.crl", turned.key_identifier())).expect(200).body);
    let is_listed = || list().contains(&mark.to_uppercase());
    let rows = || {
        (
            turned.count("SELECT count(*) FROM certificates WHERE purpose = 'acme'"),
            turned.count("SELECT count(*) FROM revocations"),
        )
    };
    let der = base64url::encode(&judges::certificates(&chain)[0]);
    client.post(&client.url("revokeCert"), &json!({ "certificate": der, "reason": 4 })).expect(200);
    turned.days_pass(50);
    assert_eq!(rows(), (1, 1), "revoked and unexpired");
    assert!(is_listed());

    let end = Time(turned.count("SELECT not_after FROM certificates WHERE purpose = 'acme'"));
    let before_end = end.minus(Span::HOUR);
    turned.days_pass((before_end.since(turned.clock.now()).0) / 86_400);
    turned.clock.advance(before_end.since(turned.clock.now()));
    // A list is signed now, and the next one a day later.
    turned.clock.advance(Span(-86_400));
    turned.daemon().keep_house();
    turned.days_pass(1);
    turned.clock.advance(Span(2 * 3_600));
    turned.daemon().keep_house();
    assert!(turned.clock.now() > end);
    assert_eq!(rows(), (1, 1), "it ended, and no list says so yet");
    turned.days_pass(1);
    assert!(is_listed(), "RFC 5280, 3.3: once more after its end");
    assert_eq!(rows(), (0, 0));
    turned.days_pass(2);
    assert!(!is_listed());
    verifies(&turned);
}

#[test]
fn certificates_go_long_after_their_end_and_blocked_keys_never() {
    let (turned, client) = start(30);
    let (_, csr) = certify(&client, "b.lan");
    let end = Time(turned.count("SELECT not_after FROM certificates WHERE purpose = 'acme'"));
    let revoke = ["revoke-certificate", "-n", "/Filed/b.lan", "--reason", "keyCompromise"];
    turned.run(&revoke).succeeded();
    turned.days_pass(90 + 29);
    assert_eq!(turned.count("SELECT count(*) FROM certificates WHERE purpose = 'acme'"), 1);
    assert!(turned.count("SELECT count(*) FROM certificates WHERE purpose <> 'acme'") > 2, "the daemon's own, too");
    turned.days_pass(3);
    assert!(turned.clock.now() > end.plus(Span::days(30)));
    assert_eq!(turned.count("SELECT count(*) FROM certificates WHERE purpose = 'acme'"), 0);
    assert_eq!(turned.count("SELECT count(*) FROM revocations"), 0);
    assert_eq!(turned.count("SELECT count(*) FROM expiry_notices WHERE subject = 'certificate'"), 0);
    turned.run(&["describe-item", "-n", "/Filed/b.lan"]).refused();
    let order = client.order(&["b.lan"]);
    assert_says(&client.finalize(&order, &csr).refused_as("badPublicKey"), &["compromised"]);
    turned.days_pass(200);
    let own = turned.count("SELECT count(*) FROM certificates WHERE purpose = 'tls'");
    assert!((1..=4).contains(&own), "those of the daemon's door go as well, and {own} are left");
    assert_eq!(turned.count("SELECT count(*) FROM blocked_keys"), 1);
    assert!(!turned.audited("tidy").is_empty());
    verifies(&turned);
}

#[test]
fn a_deleted_issuer_is_answered_for_until_its_last_certificate_has_ended() {
    let (turned, client) = start(7);
    let chain = blocks(&turned.obtain(&client, "a.lan"));
    let request = ocsp_request(&turned.place, &chain[1], &chain[0], &["-no_nonce"]);
    turned.run(&["delete-item", "-n", "/I", "--delete-immediately", "--force"]).succeeded();
    turned.days_pass(60);
    let responders = "SELECT count(*) FROM certificates WHERE purpose = 'ocsp'";
    assert_eq!(turned.count(responders), 1, "it ended long ago, and says that the issuer offered OCSP");
    assert!(turned.ask_ocsp(&request).len() > 100, "an answer");
    turned.days_pass(1);
    assert_eq!(turned.count(responders), 1, "the new one");
    turned.days_pass(40);
    let others = turned.count("SELECT count(*) FROM certificates WHERE purpose <> 'ocsp'");
    assert_eq!(others, 0, "the one of its door goes as well");
    assert_eq!(turned.count("SELECT count(*) FROM crls WHERE shard >= 0"), 1, "the next list counts on from the last");
    verifies(&turned);
}

#[test]
fn a_certificate_that_the_door_showed_last_stays_and_holds_up_no_other() {
    let (mut turned, client) = start(30);
    certify(&client, "a.lan");
    let given = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=ca.lan", "-days", "9"];
    openssl(&turned.place, &[&given[..], &["-keyout", "door.key", "-out", "door.pem"]].concat()).succeeded();
    let (certificate, key) = (turned.place.file("door.pem"), turned.place.file("door.key"));
    turned.settings.tls_files = Some(TlsFiles { certificate, key });
    turned.restart();
    turned.days_pass(125);
    let left = |purpose: &str| turned.count(&format!("SELECT count(*) FROM certificates WHERE purpose = '{purpose}'"));
    assert_eq!((left("tls"), left("acme")), (1, 0));
    verifies(&turned);
}

#[test]
fn no_version_of_an_item_is_given_out_twice() {
    let (turned, client) = start(30);
    certify(&client, "a.lan");
    certify(&client, "a.lan");
    certify(&client, "b.lan");
    turned.run(&["update-item", "-n", FILED, "--delete-protection", "true"]).succeeded();
    turned.days_pass(125);
    assert_eq!(turned.count("SELECT count(*) FROM certificates WHERE purpose = 'acme'"), 0);
    assert_eq!(turned.run(&["describe-item", "-n", FILED]).succeeded().json()["last_version"], Value::Null);
    turned.run(&["describe-item", "-n", "/Filed/b.lan"]).refused();
    for name in ["a.lan", "b.lan"] {
        certify(&client, name);
    }
    let version = |name: &str| turned.run(&["describe-item", "-n", name]).succeeded().json()["last_version"].clone();
    assert_eq!((version(FILED), version("/Filed/b.lan")), (json!(3), json!(1)));
    verifies(&turned);
}

#[test]
fn what_people_said_of_an_item_stays() {
    let (turned, client) = start(30);
    for name in ["a.lan", "b.lan"] {
        certify(&client, name);
    }
    turned.run(&["update-item", "-n", FILED, "--description", "the printer"]).succeeded();
    turned.run(&["update-item", "-n", "/Filed/b.lan", "--tag", "kitchen"]).succeeded();
    turned.days_pass(125);
    let described = turned.run(&["describe-item", "-n", FILED]).succeeded().json();
    assert_eq!(described["item_metadata"], "the printer");
    turned.run(&["describe-item", "-n", "/Filed/b.lan"]).succeeded();
    turned.run(&["describe-item", "-n", "/I"]).succeeded();
    // Until they say that it need not.
    turned.run(&["update-item", "-n", FILED, "--description", ""]).succeeded();
    turned.run(&["delete-item", "-n", "/Filed/b.lan", "--delete-immediately"]).succeeded();
    turned.days_pass(1);
    assert_eq!(turned.count("SELECT count(*) FROM items WHERE kind = 'CERTIFICATE'"), 0);
    verifies(&turned);
}

#[test]
fn nothing_goes_by_a_clock_that_is_wrong() {
    let (turned, client) = start(30);
    certify(&client, "a.lan");
    turned.days_pass(1);
    let rows = || {
        (
            turned.count("SELECT count(*) FROM orders"),
            turned.count("SELECT count(*) FROM certificates WHERE purpose = 'acme'"),
        )
    };
    turned.clock.set_synchronised(false);
    turned.days_later(1_000);
    assert_eq!(rows(), (1, 1));
    turned.clock.advance(Span::days(-1_000));
    turned.days_pass(2);
    assert_eq!(rows(), (1, 1), "it was set right, and nothing was lost");
    turned.days_later(1_000);
    turned.run(&["accept-clock"]).succeeded();
    turned.days_later(1);
    assert_eq!(rows(), (0, 0));
}

#[test]
fn lists_whose_leaves_are_all_gone_are_signed_no_more() {
    let (turned, client) = start(30);
    certify(&client, "a.lan");
    turned.run(&["update-pki-cert-issuer", "-n", "/I", "--public-url", "http://other.lan:8080"]).succeeded();
    certify(&client, "a.lan");
    let shard = |number: i64| turned.fetch(&format!("/crl/{}/{number}.crl", turned.key_identifier()));
    turned.days_pass(1);
    shard(0).expect(200);
    shard(1).expect(200);
    turned.days_pass(100);
    certify(&client, "a.lan");
    turned.days_pass(50);
    shard(1).expect(200);
    assert_eq!(shard(0).status, 404, "the daemon's own certificate named it as well, and has gone by now");
    verifies(&turned);
}

/// Orders of the first account that ended long ago, with their authorizations and challenges.
fn backlog(name: &str, orders: u32) -> String {
    let last = 1000 + orders - 1;
    format!(
        "PRAGMA foreign_keys = OFF;
         CREATE TEMP TABLE n AS WITH RECURSIVE n (i) AS (VALUES (1000) UNION ALL SELECT i + 1 FROM n WHERE i < {last})
             SELECT i FROM n;
         INSERT INTO orders (id, account, created, expires) SELECT i, 1, 0, 1 FROM n;
         INSERT INTO authorizations (id, account, identifier_type, identifier, wildcard, created, expires)
             SELECT i, 1, 'dns', '{name}', 0, 0, 1 FROM n;
         INSERT INTO order_authorizations SELECT i, 0, 'dns', '{name}', i FROM n;
         INSERT INTO challenges (authorization, type, token) SELECT i, 'http-01', i FROM n;"
    )
}

#[test]
fn clients_are_served_while_a_backlog_goes() {
    let (turned, client) = start(730);
    let db = Connection::open(turned.settings.state_dir.join("certwright.db")).unwrap();
    db.execute_batch(&backlog("a.lan", 20_000)).unwrap();
    let left = |db: &Connection| {
        db.query_row("SELECT count(*) FROM orders WHERE expires = 1", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let is_over = AtomicBool::new(false);
    let served = std::thread::scope(|scope| {
        let (client, is_over) = (&client, &is_over);
        let served = scope.spawn(move || {
            let mut served = Vec::new();
            while !is_over.load(Ordering::SeqCst) {
                let begun = Instant::now();
                client.ask_for(&["a.lan"]).expect(201);
                served.push((begun.elapsed(), left(&db)));
            }
            served
        });
        turned.daemon().keep_house();
        is_over.store(true, Ordering::SeqCst);
        served.join().unwrap()
    });
    let longest = served.iter().map(|(took, _)| *took).max();
    let lefts: BTreeSet<i64> = served.iter().map(|(_, left)| *left).collect();
    println!("{} orders meanwhile, the longest took {longest:?}", served.len());
    assert_eq!(lefts.first(), Some(&0));
    assert!(lefts.len() > 10, "nobody came in between: the backlog went as {lefts:?}");
    verifies(&turned);
}

#[test]
fn the_file_shrinks_again() {
    let (turned, client) = start(10);
    let csr = Csr::for_names(&["a.lan"]);
    for _ in 0..200 {
        client.finalize(&client.order(&["a.lan"]), &csr).expect(200);
    }
    let pages = |turned: &Turned| turned.count("PRAGMA page_count");
    let full = pages(&turned);
    turned.days_pass(105);
    assert_eq!(turned.count("PRAGMA freelist_count"), 0);
    assert!(pages(&turned) < full - 40, "{} pages of {full} are left", pages(&turned));
    let size = std::fs::metadata(turned.settings.state_dir.join("certwright.db")).unwrap().len();
    assert!(size < u64::try_from(full * 4_096).unwrap(), "the file itself, too");
    verifies(&turned);
}
