//! What goes of the audit log, and what stays.

use super::{certify, start, verifies};
use crate::world::outcome::assert_says;
use crate::world::patience::{eventually, seconds};
use crate::world::turned::Turned;
use certwright::settings::EventUrl;
use rusqlite::Connection;

#[test]
fn the_audit_log_loses_its_beginning_and_still_verifies() {
    let (mut turned, client) = start(10);
    certify(&client, "a.lan");
    let first = || first_row(&turned);
    assert_eq!(first(), 1);
    everything_is_told(&turned);
    let newest = turned.count("SELECT max(id) FROM audit");
    turned.days_pass(12);
    assert_eq!(first(), newest, "the newest row stays");
    verifies(&turned);
    certify(&client, "b.lan");
    verifies(&turned);

    // A listener that cannot be told keeps what it has not heard.
    let port = turned.place.free_port();
    turned.settings.event_url = Some(EventUrl::parse(&format!("http://{}:{port}/", turned.place.address)).unwrap());
    turned.restart();
    certify(&client, "a.lan");
    turned.days_pass(1);
    let untold = turned.count("SELECT last FROM event_cursors WHERE sink = 'url'") + 1;
    turned.days_pass(30);
    assert_eq!(first_row(&turned), untold);
    verifies(&turned);
    // One that the daemon was told of no more does not.
    turned.settings.event_url = None;
    turned.restart();
    certify(&client, "b.lan");
    everything_is_told(&turned);
    turned.days_pass(1);
    assert!(first_row(&turned) > untold);
    verifies(&turned);

    let path = turned.settings.state_dir.join("certwright.db");
    let other = "DROP TRIGGER audit_checkpoint_is_moved_with_care; UPDATE audit_checkpoint SET hash = x'00'";
    Connection::open(path).unwrap().execute_batch(other).unwrap();
    assert_says(&turned.run(&["audit", "--verify"]).refused(), &["does not hold together"]);
}

/// The log, which is always told, a second after it happened.
fn everything_is_told(turned: &Turned) {
    let untold = "SELECT (SELECT max(id) FROM audit) - last FROM event_cursors WHERE sink = 'log'";
    eventually("the log is told everything", seconds(30), || (turned.count(untold) == 0).then_some(()));
}

fn first_row(turned: &Turned) -> i64 {
    turned.count("SELECT min(id) FROM audit")
}

#[test]
fn addresses_of_clients_are_blanked_after_a_month() {
    let (turned, client) = start(730);
    certify(&client, "a.lan");
    let with_address = || turned.count("SELECT count(*) FROM audit WHERE address IS NOT NULL");
    let before = with_address();
    assert!(before > 0);
    turned.days_pass(29);
    assert_eq!(with_address(), before);
    certify(&client, "b.lan");
    turned.days_pass(2);
    assert_eq!(with_address(), 1, "the latest");
    verifies(&turned);
}
