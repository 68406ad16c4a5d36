//! The log: a line for each event, keys and values, and nobody's text taken for ours.

use super::watched;
use crate::world::account_key::AccountKey;
use crate::world::daemon::Ca;
use crate::world::issuer::ISSUER;
use crate::world::plain::ask;
use crate::world::responder::{Answer, Responder};
use serde_json::json;
use std::os::unix::fs::MetadataExt;

/// What a line of ours would look like, in every way in which somebody could begin one.
const FORGED: &str = "x\nERROR 2030-01-01T00:00:00Z forged: line\r\nforged\u{2028}\u{2029}\u{1b}[31m\u{202e}\" request=forged\\\" account=1";

#[test]
fn nobody_forges_a_line_or_a_key() {
    let (ca, issuer) = watched();
    let responder = Responder::start(ca.place.address, ca.http_01_port);
    let client = ca.client(&issuer);
    // Administrators, clients with an account, strangers, and hosts that are validated.
    for command in [
        &["create-dfc-key", "-n", FORGED, "-a", "EC256"][..],
        &["describe-item", "-n", FORGED],
        &["update-item", "-n", "/ACME/Server/SignerKey", "--description", FORGED, "--tag", FORGED],
        &["revoke-acme-eab", "--cert-issuer-name", ISSUER, "--kid", FORGED],
        &["set-limits", "--cert-issuer-name", ISSUER, "--pending-orders", FORGED],
    ] {
        ca.run(command);
    }
    let url = client.url("newOrder");
    client.post(&url, &json!({ "identifiers": [{ "type": "dns", "value": FORGED }] })).refused();
    client
        .post(&url, &json!({ "identifiers": [{ "type": FORGED, "value": "acme.com" }], "profile": FORGED }))
        .refused();
    client.post(&client.url("newAccount"), &json!({ "contact": [FORGED] }));
    let mut header = client.header(&url);
    header["kid"] = FORGED.into();
    client.send(&url, &client.sign(&header, b"{}")).refused();
    let stranger = issuer.client(AccountKey::es256());
    stranger.post(&stranger.url("newAccount"), &json!({ "externalAccountBinding": FORGED })).refused();
    for path in ["/x\"request=forged\"", "/x\\\"%0AERROR%20forged:", "/x?request=forged&\"=\"", "/é\u{202e}"] {
        ask(ca.plain_listen, "GET", path, &[("X", "forged")], b"").unwrap();
        issuer.wire().raw(format!("FORGED {path} HTTP/1.1\r\nHost: ca.lan\r\nConnection: close\r\n\r\n").as_bytes());
    }
    let body = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{FORGED}", FORGED.len());
    responder.answer_with(Answer::Raw(body.into_bytes()));
    let order = client.order(&["acme.com"]);
    client.prove(&order, &responder);
    client.settled(&order.url, &["pending"]);

    let log = ca.log();
    let said: Vec<Line> = log.lines().map(Line::parse).collect();
    assert!(said.iter().filter(|line| line.text.contains("forged")).count() > 8, "the log says little of it:\n{log}");
    for line in said {
        assert_ne!(line.place, "forged", "{}", line.whole);
        let quoted_out = line.without_values();
        assert!(!quoted_out.contains("forged"), "{}", line.whole);
        assert!(!line.whole.chars().any(breaks), "{}", line.whole);
    }
}

#[test]
fn a_request_is_found_in_the_log_by_what_its_reply_says() {
    let (ca, issuer) = watched();
    let client = ca.client(&issuer);
    client.order(&["acme.com"]);
    client.ask_for(&["elsewhere.com"]).problem(400, "rejectedIdentifier");
    let log = ca.log();
    let refused = log.lines().find(|line| line.contains(" refused account=")).unwrap();
    let id = refused.rsplit_once(" request=").unwrap().1;
    for key in ["account=1", "path=/acme/", "address=127.0.0.1 ", "error=\""] {
        assert!(refused.contains(key), "{key}: {refused}");
    }
    let of_request: Vec<&str> = log.lines().filter(|line| line.ends_with(&format!(" request={id}"))).collect();
    assert!(of_request.len() > 3, "what the store did for it is told with its id too: {of_request:#?}");
    let answered = of_request.iter().find(|line| line.contains(" answered ")).unwrap();
    for key in ["method=POST", "path=/acme/", "status=400", "ms=", "address="] {
        assert!(answered.contains(key), "{key}: {answered}");
    }
    assert!(log.lines().filter(|line| line.contains(" answered ")).all(|line| line.contains(" request=")));
    // A request that meets a fault of ours names its id to the client.
    let fragments = ca.state_dir().join("fragments");
    std::fs::rename(&fragments, ca.place.file("away")).unwrap();
    let mut ca = ca;
    ca.restart();
    let detail = issuer.client(AccountKey::es256()).post(&client.url("newAccount"), &json!({})).json();
    let id = detail["detail"].as_str().unwrap().rsplit_once("request ").unwrap().1.to_owned();
    let log = ca.log();
    assert!(log.lines().any(|line| line.starts_with("ERROR ") && line.ends_with(&format!(" request={id}"))), "{id}");
}

/// What anybody can cause without an account is not in the log unless somebody asks for it.
#[test]
fn strangers_do_not_fill_the_log() {
    let (mut ca, issuer) = watched();
    let client = ca.client(&issuer);
    let eab = ca.make_eab(&issuer);
    assert!(ca.stop().success());
    ca.launch_with(|command| _ = command.env_remove("RUST_LOG"));
    // Whoever is known leaves lines.
    let before = ca.log().lines().count();
    client.ask_for(&["elsewhere.com"]).refused();
    assert_eq!(ca.log().lines().filter(|line| line.contains(" refused account=")).count(), 1);
    let known = ca.log().lines().count();
    assert!(known > before);
    for _ in 0..100 {
        let stranger = issuer.client(AccountKey::es256());
        stranger.post(&stranger.url("newAccount"), &json!({})).refused();
        ca.fetch("/nothing").expect(404);
        ask(ca.plain_listen, "GET", "/\u{1}", &[], b"").unwrap().expect(400);
        issuer.wire().request("GET", "/nothing", &[], b"").expect(404);
        drop(std::net::TcpStream::connect(ca.listen).unwrap());
    }
    // Who has seen a kid can try as often as he likes: he is told of a hundred times, and then seldom.
    let mut thief = issuer.client(AccountKey::es256());
    let stolen = crate::world::issuer::Eab { mac_key: "A".repeat(43), ..eab };
    for _ in 0..150 {
        thief.register(&stolen).refused();
    }
    let log = ca.log();
    let new: Vec<&str> = log.lines().skip(known).filter(|line| !line.contains(" audit: ")).collect();
    let wrong = new.iter().filter(|line| line.contains("wrong MAC")).count();
    assert!((100..120).contains(&wrong), "{wrong} lines");
    let rest: Vec<_> = new.iter().filter(|line| !line.contains("wrong MAC") && !line.contains("command=")).collect();
    assert!(rest.is_empty(), "{rest:#?}");
}

#[test]
fn events_alone_can_be_asked_for() {
    let mut ca = Ca::planned(&[]);
    ca.launch_with(|command| _ = command.env("RUST_LOG", "warn,audit=info"));
    ca.make_signer_key("/K");
    assert!(ca.stop().success());
    let log = ca.log();
    assert!(log.contains("\"action\":\"create-dfc-key\""), "{log}");
    assert!(log.lines().all(|line| Line::parse(line).place == "audit"), "{log}");
}

#[test]
fn under_systemd_lines_begin_with_their_priority() {
    let mut ca = Ca::planned(&[]);
    let log = ca.place.write("daemon.log", "");
    let found = std::fs::metadata(&log).unwrap();
    let stream = format!("{}:{}", found.dev(), found.ino());
    ca.launch_with(|command| _ = command.env("RUST_LOG", "debug").env("JOURNAL_STREAM", &stream));
    ca.fetch("/nothing").expect(404);
    assert!(ca.stop().success());
    let text = ca.log();
    assert!(text.lines().all(|line| line.starts_with("<7>") || line.starts_with("<6>")), "{text}");
    assert!(text.lines().any(|line| line.starts_with("<6>cli::serve: serving version=")), "no time, no level: {text}");
    // Somebody has sent it elsewhere and left the variable.
    let before = text.len();
    ca.launch_with(|command| _ = command.env("RUST_LOG", "debug").env("JOURNAL_STREAM", "1:1"));
    let after = ca.log()[before..].to_string();
    assert!(after.lines().map(Line::parse).count() > 3);
}

/// Whether some reader of the log takes it for the end of a line, or is led astray by it.
fn breaks(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202e}')
}

/// `LEVEL time place: what happened key=value …`
struct Line<'l> {
    whole: &'l str,
    place: &'l str,
    text: &'l str,
}

impl Line<'_> {
    #[track_caller]
    fn parse(whole: &str) -> Line<'_> {
        let (head, text) = whole.split_once(": ").unwrap_or_else(|| panic!("no event: {whole}"));
        let [level, time, place] = head.split(' ').collect::<Vec<_>>()[..] else { panic!("no head: {whole}") };
        assert!(["ERROR", "WARN", "INFO", "DEBUG", "TRACE"].contains(&level), "{whole}");
        assert!(certwright::clock::Time::parse(time).is_ok(), "{whole}");
        Line { whole, place, text }
    }

    /// The words and the keys: values are taken out, quoted ones as a reader of such lines does it.
    fn without_values(&self) -> String {
        // Statements have no values of anybody in them, and the audit log's events are JSON.
        if self.place == "audit" {
            let event: serde_json::Value = serde_json::from_str(self.text).unwrap_or_else(|_| panic!("{}", self.whole));
            return event.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
        }
        let mut out = String::new();
        let mut rest = self.text;
        while let Some((before, value)) = rest.split_once('=') {
            out.push_str(before);
            out.push('=');
            rest = match value.strip_prefix('"') {
                Some(quoted) => {
                    let mut escaped = false;
                    let end = quoted.find(|c| match (escaped, c) {
                        (true, _) => {
                            escaped = false;
                            false
                        }
                        (false, '\\') => {
                            escaped = true;
                            false
                        }
                        (false, c) => c == '"',
                    });
                    &quoted[end.unwrap_or_else(|| panic!("an open quote: {}", self.whole)) + 1..]
                }
                None => value.find(' ').map_or("", |end| &value[end..]),
            };
        }
        out.push_str(rest);
        out
    }
}
