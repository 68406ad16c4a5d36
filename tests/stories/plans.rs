//! What a request costs does not grow with what the store holds: every statement on its way goes by an index. A step of tidying
//! costs no more either.

use crate::world::acme::{Client, Order};
use crate::world::base64url;
use crate::world::daemon::Ca;
use crate::world::issuer::{CERTIFICATES, Issuer};
use crate::world::judges::certificates;
use crate::world::plain::CHECKED;
use crate::world::responder::Responder;
use crate::world::turned::Turned;
use certwright::clock::Span;
use rusqlite::{Connection, OpenFlags};
use serde_json::json;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;

/// Tables that grow with use. The others hold what administrators set up.
const GROWING: [&str; 9] = [
    "accounts",
    "authorizations",
    "challenges",
    "orders",
    "order_authorizations",
    "certificates",
    "revocations",
    "audit",
    "items",
];

/// Indexes of what is due or was made by the daemon for itself, which are walked over on purpose.
const SHORT: [&str; 2] = ["challenges_due", "certificates_of_responders"];

#[test]
fn neither_a_request_of_a_client_nor_a_start_walks_over_a_table_that_grows() {
    let mut ca = Ca::start();
    let issuer = ca.make_issuer_with("acme.com", &[&CHECKED[..], &["--reuse-authorizations", "1d"]].concat());
    let responder = Responder::start(ca.place.address, ca.http_01_port);
    let limits = ["--pending-orders", "100", "--pending-authorizations", "100", "--failed-validations", "5"];
    let set = [&["set-limits", "--cert-issuer-name", &issuer.name][..], &limits, &["--certificates-per-week", "100"]];
    ca.run(&set.concat()).succeeded();
    let before = ca.log().len();
    let client = live(&ca, &issuer, &responder);
    ca.restart();
    look_again(&client);
    let statements = statements(&ca.log()[before..]);
    assert!(statements.len() > 60, "only {} statements were told of", statements.len());
    for read in ["orders o WHERE o.id = ?1", "authorizations a WHERE a.id = ?1", "certificates c WHERE c.id = ?1"] {
        assert!(statements.iter().any(|statement| statement.ends_with(read)), "nobody has read {read}");
    }
    let by_challenge = "WHERE a.id = (SELECT authorization FROM challenges WHERE id = ?1)";
    assert!(statements.iter().any(|statement| statement.ends_with(by_challenge)), "nobody has read {by_challenge}");

    none_walks(&ca.state_dir(), &statements);
}

#[test]
fn no_explanation_walks_over_a_table_that_grows() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let responder = Responder::start(ca.place.address, ca.http_01_port);
    ca.client(&issuer).obtain(&["acme.com"], &responder);
    let before = ca.log().len();
    let certificate = format!("{CERTIFICATES}/acme.com");
    for end in [["--order", "1"], ["--domain", "acme.com"], ["--certificate", &certificate]] {
        ca.run(&[&["explain"], &end[..]].concat()).succeeded();
    }
    ca.run(&["explain", "--domain", "nobody.lan"]).refused();
    let statements = statements(&ca.log()[before..]);
    assert!(statements.iter().any(|statement| statement.contains("instr(detail")), "{statements:?}");
    none_walks(&ca.state_dir(), &statements);
}

#[test]
fn no_step_of_tidying_walks_over_a_table_that_grows() {
    let tables = [
        "order_authorizations",
        "orders",
        "challenges",
        "authorizations",
        "eabs",
        "expiry_notices",
        "revocations",
        "certificates",
        "crls",
        "items",
        "event_cursors",
        "audit",
    ];
    let mut statements = BTreeSet::new();
    let is_heard = |statements: &BTreeSet<String>, table: &str| {
        let delete = format!("DELETE FROM {table} ");
        statements.iter().any(|s| s.starts_with(&delete))
    };
    // A change is made by the committer where somebody else's is just being committed, and nobody overhears that.
    for _ in 0..5 {
        statements.extend(tidied());
        if tables.iter().all(|table| is_heard(&statements, table)) {
            break;
        }
    }
    for table in tables {
        assert!(is_heard(&statements, table), "nothing was deleted from {table}");
    }
}

/// The statements of a daemon for which time passes, none of which walks over a table that grows.
fn tidied() -> BTreeSet<String> {
    let mut turned = Turned::start_with(|settings| settings.event_command = Some("/bin/true".into()));
    turned.make_key("/K", "3650", &[]);
    let client = turned.client();
    turned.settings.event_command = None;
    turned.settings.retain_records = Span::days(30);
    turned.restart();
    let chain = turned.obtain(&client, "a.lan");
    turned.obtain(&client, "b.lan");
    turned.run(&["update-item", "-n", "/Filed/b.lan", "--tag", "kept"]).succeeded();
    let der = base64url::encode(&certificates(&chain)[0]);
    client.post(&client.url("revokeCert"), &json!({ "certificate": der })).expect(200);
    turned.run(&["generate-acme-eab", "--cert-issuer-name", "/I"]).succeeded();
    let end = turned.clock.now().plus(Span::days(9)).to_string();
    let unknown = ["revoke-certificate", "--serial-number", "0x7f01", "--signer-key-name", "/K", "--not-after", &end];
    turned.run(&unknown).succeeded();
    turned.run(&["update-pki-cert-issuer", "-n", "/I", "--public-url", "http://other.lan:8080"]).succeeded();
    turned.obtain(&client, "b.lan");
    // The daemon is told of one listener less than before, and its own certificate is renewed.
    let statements = overhear(|| turned.days_pass(200));
    none_walks(&turned.settings.state_dir, &statements);
    statements
}

/// SQLite looks by itself whether anything refers to what is deleted, which no plan tells.
#[test]
fn what_refers_to_rows_that_are_deleted_is_found_by_an_index() {
    let turned = Turned::start();
    let db = Connection::open(turned.settings.state_dir.join("certwright.db")).unwrap();
    let references: Vec<(String, String)> = db
        .prepare(
            "SELECT t.name, f.\"from\" FROM sqlite_schema t, pragma_foreign_key_list(t.name) f WHERE t.type = 'table'
             AND f.\"table\" IN ('orders', 'authorizations', 'challenges', 'certificates', 'eabs', 'items')",
        )
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(references.len() > 9, "{references:?}");
    for (table, column) in references {
        let steps = plan(&db, &format!("SELECT 1 FROM {table} WHERE {column} = ?1"));
        // One row for each issuer.
        assert!(table == "tls_certificates" || !steps[0].starts_with("SCAN"), "{table}.{column}: {steps:?}");
    }
}

fn none_walks(state_dir: &Path, statements: &BTreeSet<String>) {
    let path = state_dir.join("certwright.db");
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    for statement in statements.iter().filter(|statement| !statement.starts_with("PRAGMA ")) {
        for step in plan(&db, statement) {
            assert!(!walks_over_much(&step, statement), "{step}: {statement}");
        }
    }
}

thread_local! {
    static HEARD: RefCell<Option<BTreeSet<String>>> = const { RefCell::new(None) };
}

/// Hears what the store of a daemon in this process does on a thread that listens.
struct Ear;

impl log::Log for Ear {
    fn enabled(&self, about: &log::Metadata<'_>) -> bool {
        about.target() == "certwright::store" && HEARD.with_borrow(Option::is_some)
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            HEARD.with_borrow_mut(|heard| heard.as_mut().unwrap().insert(record.args().to_string()));
        }
    }

    fn flush(&self) {}
}

/// The statements of what happens on this thread.
fn overhear(act: impl FnOnce()) -> BTreeSet<String> {
    // Somebody may have done so before.
    let _ = log::set_logger(&Ear);
    log::set_max_level(log::LevelFilter::Trace);
    HEARD.set(Some(BTreeSet::new()));
    act();
    HEARD.take().unwrap()
}

fn walks_over_much(step: &str, statement: &str) -> bool {
    // Sorting takes all rows that were found, however few are wanted.
    let words: Vec<&str> = statement.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let sorts = step == "USE TEMP B-TREE FOR ORDER BY";
    if sorts && statement.contains("LIMIT 1") && GROWING.iter().any(|table| words.contains(table)) {
        return true;
    }
    let Some(walk) = step.strip_prefix("SCAN ") else { return false };
    let name = walk.split(' ').next().unwrap();
    let grows = |table: &str| table == name || words.windows(2).any(|pair| pair == [table, name]);
    let is_short = SHORT.iter().any(|index| walk.ends_with(index))
        // The newest row is the first that such a walk meets.
        || statement.ends_with("FROM audit ORDER BY id DESC LIMIT 1")
        // The oldest few, likewise.
        || statement.ends_with("FROM audit ORDER BY id LIMIT ?1");
    GROWING.iter().any(|table| grows(table)) && !is_short
}

/// What clients do, from the first account to a revocation.
fn live(ca: &Ca, issuer: &Issuer, responder: &Responder) -> Client {
    let client = ca.client(issuer);
    client.obtain(&["acme.com"], responder);
    let chain = client.obtain(&["acme.com"], responder);
    let order = client.order(&["acme.com"]);
    client.fetch(&order.url).expect(200);
    client.fetch(&format!("{}/orders", client.account.as_ref().unwrap())).expect(200);
    ca.unchallenged_client(issuer, "acme.com").order(&["acme.com"]);
    let certificate = base64url::encode(&certificates(&chain)[0]);
    client.post(&client.url("revokeCert"), &json!({"certificate": certificate})).expect(200);
    client
}

/// A daemon that was just started holds nothing of what was made before.
fn look_again(client: &Client) {
    let list = client.fetch(&format!("{}/orders", client.account.as_ref().unwrap())).expect(200).json();
    let url = list["orders"][0].as_str().unwrap();
    let order = Order { url: url.into(), body: client.fetch(url).expect(200).json() };
    let authorization = client.fetch(&order.authorizations()[0]).expect(200).json();
    client.fetch(authorization["challenges"][0]["url"].as_str().unwrap()).expect(200);
    client.fetch(order.body["certificate"].as_str().unwrap()).expect(200);
}

fn statements(log: &str) -> BTreeSet<String> {
    let told = log.lines().filter(|line| line.starts_with("TRACE ")).filter_map(|line| line.split_once(" store: "));
    told.map(|(_, told)| told.split(" request=").next().unwrap().to_owned()).collect()
}

fn plan(db: &Connection, statement: &str) -> Vec<String> {
    let mut explained = db.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).unwrap();
    for parameter in 1..=explained.parameter_count() {
        explained.raw_bind_parameter(parameter, 1).unwrap();
    }
    let mut rows = explained.raw_query();
    let mut steps = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        steps.push(row.get(3).unwrap());
    }
    steps
}
