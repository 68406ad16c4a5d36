//! Who watches the daemon: numbers for Prometheus, a word for balancers, one screen and a log for administrators.

mod log;
mod numbers;
mod rules;

use crate::world::account_key::AccountKey;
use crate::world::acme::Client;
use crate::world::csr::Csr;
use crate::world::daemon::Ca;
use crate::world::faults::Faults;
use crate::world::issuer::{CERTIFICATES, ISSUER, Issuer, SIGNER_KEY, text};
use crate::world::outcome::{Outcome, assert_says, fed};
use crate::world::patience::{eventually, seconds};
use crate::world::plain::{CHECKED, ask};
use crate::world::responder::{Answer, Responder};
use crate::world::turned::Turned;
use crate::world::wire::Reply;
use certwright::clock::Span;
use numbers::Numbers;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

#[test]
fn what_happened_is_counted_and_no_name_is_told() {
    let (ca, issuer) = watched();
    let (client, kid) = live(&ca, &issuer);
    let text = counted(&ca);
    judge(&text);

    let numbers = Numbers::parse(&text);
    let value = |name: &str, labels: &[(&str, &str)]| numbers.value(name, labels);
    for (expected, name, labels) in [
        (2.0, "certwright_certificates_issued_total", [("purpose", "acme"), ("", "")]),
        (2.0, "certwright_requests_total", [("resource", "finalize"), ("status", "200")]),
        (1.0, "certwright_requests_total", [("resource", "new-account"), ("status", "201")]),
        (1.0, "certwright_requests_total", [("resource", "ocsp"), ("status", "200")]),
        (1.0, "certwright_requests_total", [("resource", "healthz"), ("status", "200")]),
        (3.0, "certwright_request_seconds_count", [("resource", "finalize"), ("", "")]),
        (1.0, "certwright_refusals_total", [("type", "rejectedIdentifier"), ("", "")]),
        (1.0, "certwright_refusals_total", [("type", "badNonce"), ("", "")]),
        (2.0, "certwright_validations_total", [("type", "http-01"), ("result", "valid")]),
        (1.0, "certwright_validations_total", [("type", "http-01"), ("result", "invalid")]),
        (1.0, "certwright_certificates_revoked_total", [("", ""), ("", "")]),
        (1.0, "certwright_requests_turned_away_total", [("reason", "malformed"), ("", "")]),
    ] {
        let labels: Vec<_> = labels.into_iter().filter(|(label, _)| !label.is_empty()).collect();
        assert_eq!(value(name, &labels), expected, "{name} {labels:?}");
    }
    assert!(value("certwright_commit_seconds_count", &[]) > 8.0);
    assert_eq!(
        value("certwright_commit_seconds_count", &[]),
        value("certwright_commit_changes_count", &[]),
        "of each commit both are known"
    );
    assert_eq!(value("certwright_certificates", &[("issuer", ISSUER), ("state", "Valid")]), 1.0);
    assert_eq!(value("certwright_clock_trusted", &[]), 1.0);
    assert_eq!(value("certwright_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
    let now = value("process_start_time_seconds", &[]);
    let days = |name: &str| (value(name, &[("signer", SIGNER_KEY)]) - now) / 86_400.0;
    assert!((364.0..365.0).contains(&days("certwright_signer_expiry_timestamp_seconds")));
    assert!((6.9..7.1).contains(&days("certwright_crl_next_update_timestamp_seconds")));

    let account = client.account.clone().unwrap();
    let thumbprint = text_of(&ca.accounts(&issuer)[0], "key_digest");
    let display_id = text_of(&ca.describe(ISSUER), "display_id");
    for name in ["acme.com", "ca.lan", &account, &thumbprint, &display_id, &kid, &client.wire.address.ip().to_string()]
    {
        assert!(!text.contains(name), "{name} is told to whoever reaches --metrics-listen");
    }
}

#[test]
fn numbers_are_for_those_who_reach_their_own_listener() {
    let (ca, issuer) = watched();
    let metrics = address_of_metrics(&ca);
    let get = |path: &str| ask(metrics, "GET", path, &[], b"").unwrap();
    assert_eq!(get("/metrics").required_header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert!(ask(metrics, "HEAD", "/metrics", &[], b"").unwrap().expect(200).body.is_empty());
    ask(metrics, "POST", "/metrics", &[], b"x").unwrap().expect(405);
    for path in [
        "/",
        "/healthz",
        "/metrics/",
        "/ca/x.pem",
        issuer.directory.split(&format!(":{}", ca.listen.port())).nth(1).unwrap(),
    ] {
        get(path).expect(404);
    }
    ca.fetch("/metrics").expect(404);
    issuer.wire().request("GET", "/metrics", &[], b"").expect(404);
    // The door's limits hold here as well.
    let large = format!("/metrics?{}", "x".repeat(9_000));
    get(&large).expect(431);
    // Without the flag there is nothing.
    assert_eq!(Ca::start().status().unwrap()["metrics_listen"], Value::Null);
}

#[test]
fn any_number_of_scrapes_costs_a_text_a_second() {
    let (ca, _) = watched();
    scrape(&ca);
    let begun = Instant::now();
    let texts: BTreeSet<String> = (0..200).map(|_| scrape(&ca)).collect();
    let most = begun.elapsed().as_secs() + 2;
    assert!(texts.len() as u64 <= most, "{} texts in {:?}", texts.len(), begun.elapsed());
}

#[test]
fn a_balancer_hears_whether_the_daemon_can_do_its_work_and_nothing_else() {
    let mut ca = Ca::planned(&["--validation-allow", "127.0.0.0/8"]);
    let faults = Faults::of(&mut ca);
    ca.launch();
    let issuer = ca.make_issuer("acme.com");
    let client = ca.unchallenged_client(&issuer, "acme.com");
    assert_eq!(ca.fetch("/healthz").expect(200).text(), "ok\n");
    assert!(ca.ask_in_the_clear("HEAD", "/healthz", &[], b"").expect(200).body.is_empty());
    ca.ask_in_the_clear("POST", "/healthz", &[], b"").expect(405);
    ca.fetch("/healthz/").expect(404);

    faults.order("enospc 0");
    assert_eq!(client.ask_for(&["acme.com"]).status, 503);
    unwell(&ca);
    assert_says(&ca.run(&["status"]).succeeded().stdout, &["warning: changes are refused"]);
    faults.order("");
    client.order(&["acme.com"]);
    well(&ca);

    // Without one fragment nothing can be signed, from the next start on and until it is back.
    let fragments = ca.state_dir().join("fragments");
    let away = ca.place.file("away");
    std::fs::rename(&fragments, &away).unwrap();
    ca.restart();
    unwell(&ca);
    std::fs::remove_dir(&fragments).unwrap();
    std::fs::rename(&away, &fragments).unwrap();
    well(&ca);

    // What an administrator has switched off is no trouble. It is switched off while something else is, so that whoever says
    // well has looked afterwards.
    std::fs::rename(&fragments, &away).unwrap();
    ca.restart();
    unwell(&ca);
    ca.run(&["set-item-state", "-n", SIGNER_KEY, "--desired-state", "Disabled"]).succeeded();
    std::fs::remove_dir(&fragments).unwrap();
    std::fs::rename(&away, &fragments).unwrap();
    well(&ca);
}

#[test]
fn a_daemon_that_does_not_believe_its_clock_is_not_well() {
    let turned = Turned::start();
    turned.make_key("/K", "3650", &[]);
    turned.fetch("/healthz").expect(200);
    turned.clock.advance(Span(-3_600));
    let status = |wanted: u16| {
        eventually("another health", seconds(10), || (turned.fetch("/healthz").status == wanted).then_some(()));
    };
    status(503);
    turned.clock.advance(Span(3_600));
    status(200);
}

/// Nobody may come who would make a change, and balancers send nobody meanwhile.
#[test]
fn after_a_commit_that_failed_the_daemon_tries_by_itself_whether_the_disk_is_well_again() {
    let turned = Turned::start();
    turned.make_key("/K", "3650", &[]);
    let client = turned.client();
    let order = || client.ask_for(&["a.lan"]).status;
    // What is due once an hour is done.
    turned.daemon().keep_house();
    let told = "SELECT (SELECT min(last) FROM event_cursors) >= (SELECT max(id) FROM audit)";
    eventually("nobody else has something to write", seconds(20), || (turned.count(told) == 1).then_some(()));
    let db = rusqlite::Connection::open(turned.settings.state_dir.join("certwright.db")).unwrap();
    // A database that somebody else holds is as good as a disk that takes nothing.
    db.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(order(), 503);
    assert_eq!(turned.fetch("/healthz").status, 503);
    db.execute_batch("ROLLBACK").unwrap();
    turned.clock.advance(Span(60));
    turned.daemon().keep_house();
    eventually("it is well again", seconds(10), || (turned.fetch("/healthz").status == 200).then_some(()));
}

#[test]
fn status_is_one_screen_with_everything_on_it() {
    let (ca, issuer) = watched();
    live(&ca, &issuer);
    let archive = ca.place.file("archive.tar");
    ca.run(&["backup", "--to", archive.to_str().unwrap()]).succeeded();
    std::fs::rename(ca.state_dir().join("fragments"), ca.place.file("away")).unwrap();
    assert!(!ca.run(&["rotate-key", "-n", SIGNER_KEY]).seen().is_empty());
    let shown = eventually("the certificates are counted", seconds(20), || {
        let shown = ca.run(&["status"]).succeeded().stdout;
        shown.contains("1 Valid, 0 About to Expire, 0 Expired, 1 Revoked").then_some(shown)
    });
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines.len() <= 24, "{shown}");
    let line =
        |name: &str| *lines.iter().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}: {shown}"));
    let second = |name: &str| line(name)[name.len()..].trim_start().to_owned();
    assert!(second("version").starts_with(&format!("{}, up for ", env!("CARGO_PKG_VERSION"))));
    assert_eq!(second("ACME over TLS"), ca.listen.to_string());
    assert_eq!(second("plain HTTP"), ca.plain_listen.to_string());
    assert_eq!(second("metrics"), address_of_metrics(&ca).to_string());
    assert!(second("last backup").ends_with(" ago"), "{shown}");
    assert!(second("disk").contains("free, the database has"), "{shown}");
    assert!(second("signer").starts_with(SIGNER_KEY) && second("signer").ends_with("364d"), "{shown}");
    assert!(line("certificate  ").contains(&format!("{CERTIFICATES}/acme.com")), "{shown}");
    assert_eq!(second("issuer"), format!("{ISSUER} (Enabled): {}", issuer.directory));

    let status = ca.status().unwrap();
    assert_eq!(status["certificates"], json!({ "Valid": 1, "About to Expire": 0, "Expired": 0, "Revoked": 1 }));
    assert!(status["uptime_seconds"].as_u64().is_some() && status["clock_trusted"] == true);
    assert!(status["disk_free_bytes"].as_u64() < status["disk_size_bytes"].as_u64());
    assert_eq!(status["last_error"], Value::Null, "nothing of ours failed");
}

#[test]
fn the_last_error_is_shown_until_the_next_one() {
    let (mut ca, _) = watched();
    assert_says(&ca.run(&["status"]).succeeded().stdout, &["last error     none since the start"]);
    assert!(ca.stop().success());
    let fragments = ca.state_dir().join("fragments");
    std::fs::rename(&fragments, ca.place.file("away")).unwrap();
    ca.place.make_directory("state/fragments");
    ca.launch();
    let shown = ca.run(&["status"]).succeeded().stdout;
    let line = shown.lines().find(|line| line.starts_with("last error")).unwrap();
    assert_says(line, &["ago: issuance::vault: not everything can be signed", "fragment"]);
    assert_says(&shown, &[&format!("warning: {SIGNER_KEY} cannot sign")]);
    assert!(
        ca.log()
            .lines()
            .any(|logged| logged.starts_with("ERROR ") && logged.ends_with(line.split("ago: ").nth(1).unwrap()))
    );
}

/// A daemon with a listener for metrics, and an issuer.
fn watched() -> (Ca, Issuer) {
    let mut ca = Ca::planned(&["--validation-allow", "127.0.0.0/8"]);
    let anywhere = format!("{}:0", ca.place.address);
    ca.add_flags(&["--metrics-listen", &anywhere]);
    ca.launch();
    let issuer = ca.make_issuer_with("acme.com", &CHECKED);
    (ca, issuer)
}

/// Something of each kind: two certificates, of which one is revoked, and refusals. Who it was, and by which credential.
fn live(ca: &Ca, issuer: &Issuer) -> (Client, String) {
    let responder = Responder::start(ca.place.address, ca.http_01_port);
    let eab = ca.make_eab(issuer);
    let mut client = issuer.client(AccountKey::es256());
    client.register(&eab).expect(201);
    client.obtain(&["acme.com"], &responder);
    client.obtain(&["acme.com"], &responder);
    let first = ["revoke-certificate", "-n", &format!("{CERTIFICATES}/acme.com"), "--version", "1"];
    ca.run(&first).succeeded();
    client.ask_for(&["elsewhere.com"]).problem(400, "rejectedIdentifier");
    responder.answer_with(Answer::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong".to_vec()));
    let order = client.order(&["acme.com"]);
    client.prove(&order, &responder);
    client.settled(&order.url, &["pending"]);
    let url = client.url("newOrder");
    let mut header = client.header(&url);
    header["nonce"] = "bm9uZQ".into();
    client.send(&url, &client.sign(&header, b"{}")).problem(400, "badNonce");
    ca.ask_ocsp(&ca.key_identifier(SIGNER_KEY), b"nonsense").expect(200);
    ca.fetch("/healthz").expect(200);
    ask(ca.plain_listen, "GET", "/\u{1}", &[], b"").unwrap().expect(400);
    // Whoever finalizes without a ready order is refused.
    client.finalize(&order, &Csr::for_names(&["acme.com"])).problem(403, "orderNotReady");
    (client, eab.kid)
}

fn address_of_metrics(ca: &Ca) -> SocketAddr {
    text_of(&ca.status().unwrap(), "metrics_listen").parse().unwrap()
}

fn scrape(ca: &Ca) -> String {
    ask(address_of_metrics(ca), "GET", "/metrics", &[], b"").unwrap().expect(200).text()
}

/// The same once the certificates of `live` are counted, which is done when somebody asks and not more often than once a second.
fn counted(ca: &Ca) -> String {
    eventually("the certificates are counted", seconds(20), || {
        let text = scrape(ca);
        (Numbers::parse(&text).value("certwright_certificates", &[("state", "Revoked")]) == 1.0).then_some(text)
    })
}

/// promtool has nothing to say about it.
fn judge(text: &str) {
    let output = fed(&mut promtool(&["check", "metrics"]), text.as_bytes());
    let outcome = Outcome::new("promtool check metrics", output).succeeded();
    assert_eq!(outcome.seen(), "");
}

fn promtool(arguments: &[&str]) -> Command {
    let mut command = Command::new("/usr/bin/promtool");
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/prometheus");
    command.args(arguments).current_dir(packaging).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[track_caller]
fn unwell(ca: &Ca) {
    let reply: Reply = eventually("it is not well", seconds(10), || {
        let reply = ca.fetch("/healthz");
        (reply.status == 503).then_some(reply)
    });
    assert_eq!(reply.text(), "not well\n", "why is nobody's business");
    reply.required_header("retry-after");
}

#[track_caller]
fn well(ca: &Ca) {
    eventually("it is well", seconds(10), || (ca.fetch("/healthz").status == 200).then_some(()));
}

fn text_of(value: &Value, member: &str) -> String {
    text(value, member)
}
