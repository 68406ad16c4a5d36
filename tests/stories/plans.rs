//! What a request costs does not grow with what the store holds: every statement on its way goes by an index.

use crate::world::base64url;
use crate::world::daemon::Ca;
use crate::world::issuer::Issuer;
use crate::world::judges::certificates;
use crate::world::plain::CHECKED;
use crate::world::responder::Responder;
use rusqlite::{Connection, OpenFlags};
use serde_json::json;
use std::collections::BTreeSet;

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
    live(&ca, &issuer, &responder);
    ca.restart();
    let statements = statements(&ca.log()[before..]);
    assert!(statements.len() > 60, "only {} statements were told of", statements.len());

    let path = ca.state_dir().join("certwright.db");
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    for statement in &statements {
        for step in plan(&db, statement) {
            assert!(!walks_over_much(&step, statement), "{step}: {statement}");
        }
    }
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
        || statement.ends_with("FROM audit ORDER BY id DESC LIMIT 1");
    GROWING.iter().any(|table| grows(table)) && !is_short
}

/// What clients do, from the first account to a revocation.
fn live(ca: &Ca, issuer: &Issuer, responder: &Responder) {
    let client = ca.client(issuer);
    client.obtain(&["acme.com"], responder);
    let chain = client.obtain(&["acme.com"], responder);
    let order = client.order(&["acme.com"]);
    client.fetch(&order.url).expect(200);
    client.fetch(&format!("{}/orders", client.account.as_ref().unwrap())).expect(200);
    ca.unchallenged_client(issuer, "acme.com").order(&["acme.com"]);
    let certificate = base64url::encode(&certificates(&chain)[0]);
    client.post(&client.url("revokeCert"), &json!({"certificate": certificate})).expect(200);
}

fn statements(log: &str) -> BTreeSet<String> {
    let told = log.lines().filter_map(|line| line.strip_prefix("TRACE store: "));
    told.map(str::to_owned).collect()
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
