//! A clock that is wrong, backwards or by years: nothing is signed by it and nothing ends or begins to hold, and when it is
//! right again everything is as before.

use super::*;
use crate::world::base64url;
use crate::world::daemon::Ca;
use crate::world::judges::certificates;
use serde_json::json;
use std::os::unix::fs::PermissionsExt;

const YEARS: i64 = 3_650;

impl Turned {
    fn step(&self, by: Span) {
        self.clock.advance(by);
    }

    /// Switched off for so long, and a clock that nobody vouches for.
    fn switched_off_for(&mut self, by: Span) {
        self.daemon = None;
        let now = self.clock.now().plus(by);
        self.clock = Clock::manual(now);
        self.clock.set_synchronised(false);
        self.boot();
    }

    fn eab(&self) -> Eab {
        Eab::read(&self.run(&["generate-acme-eab", "--cert-issuer-name", "/I", "-t", "1h"]).succeeded().json())
    }

    fn issued(&self) -> usize {
        let listed = self.run(&["list-certificates", "--limit", "1000", "--json"]).succeeded().json();
        listed["certificates"].as_array().unwrap().len()
    }

    /// Nothing is signed, and everybody is told that it is the clock.
    fn signs_nothing(&self, client: &Client, eab: &Eab, issued: &Issued) {
        let before = self.issued();
        come_again(&client.ask_for(&["b.lan"]));
        come_again(&client.finalize(&issued.ready, &issued.csr));
        come_again(&client.clone().with_key(AccountKey::es256()).register(eab));
        assert_says(&self.run(&["generate-acme-eab", "--cert-issuer-name", "/I"]).refused(), &["accept-clock"]);
        let key = ["create-dfc-key", "-n", "/Late", "-a", "EC256", "--generate-self-signed-certificate"];
        let key = [&key[..], &["--certificate-ttl", "10", "--certificate-common-name", "Late CA"]].concat();
        assert_says(&self.run(&key).refused(), &["accept-clock"]);
        assert_says(&self.run(&["check"]).refused(), &["the clock says", "accept-clock"]);
        assert_says(&self.run(&["status"]).succeeded().stdout, &["accept-clock"]);
        assert_eq!(self.issued(), before);
        // What was ordered and signed is served as it was.
        assert_eq!(client.fetch(&issued.ready.url).expect(200).json()["status"], "ready");
        assert_eq!(client.certificate(&issued.order), issued.chain);
        self.fetch(&format!("/crl/{}.crl", self.key_identifier())).expect(200);
    }

    fn signs(&self, client: &Client, issued: &Issued) {
        client.finalize(&issued.ready, &issued.csr).expect(200);
        self.obtain(client, "b.lan");
        assert!(!self.run(&["status"]).succeeded().stdout.contains("accept-clock"));
    }

    /// A certificate, and an order that is ready for another.
    fn issue(&self, client: &Client) -> Issued {
        let (order, csr) = (client.order(&["a.lan"]), Csr::for_names(&["a.lan"]));
        client.finalize(&order, &csr).expect(200);
        let chain = client.certificate(&order);
        Issued { order, chain, ready: client.order(&["a.lan"]), csr }
    }
}

struct Issued {
    order: crate::world::acme::Order,
    chain: String,
    ready: crate::world::acme::Order,
    csr: Csr,
}

#[test]
fn a_clock_that_steps_back_signs_nothing_until_it_is_right_again() {
    let turned = Turned::start();
    turned.make_key("/K", "1000", &[]);
    let client = turned.client();
    let eab = turned.eab();
    turned.step(Span(7_200));
    let issued = turned.issue(&client);
    assert_says(&client.clone().with_key(AccountKey::es256()).register(&eab).refused(), &["expired"]);
    // By this clock the credential is good.
    turned.step(Span(-5_400));
    turned.daemon().keep_house();
    turned.signs_nothing(&client, &eab, &issued);
    turned.step(Span(5_400));
    turned.signs(&client, &issued);
    assert!(turned.audited("accept-clock").is_empty());
}

#[test]
fn a_credential_that_has_ended_serves_no_more_when_the_clock_steps_back_by_minutes() {
    let turned = Turned::start();
    turned.make_key("/K", "1000", &[]);
    let client = turned.client();
    let eab = turned.eab();
    turned.step(Span(3_600 + 120));
    client.order(&["a.lan"]);
    turned.step(Span(-240));
    client.order(&["a.lan"]);
    assert_says(&client.clone().with_key(AccountKey::es256()).register(&eab).refused(), &["expired"]);
}

#[test]
fn a_clock_that_was_ahead_is_accepted_by_an_administrator_for_good() {
    let mut turned = Turned::start();
    turned.make_key("/K", "1000", &[]);
    let client = turned.client();
    // A time server that was wrong.
    turned.days_later(50);
    let issued = turned.issue(&client);
    turned.days_later(-50);
    let eab = Eab { kid: "nobody".into(), mac_key: String::new(), expires_at: String::new() };
    turned.signs_nothing(&client, &eab, &issued);
    assert_says(&turned.run(&["accept-clock"]).succeeded().stdout, &["the clock is taken to be right"]);
    assert_eq!(turned.audited("accept-clock").len(), 1);
    turned.signs(&client, &issued);
    // The certificates from the future say nothing any more.
    turned.switched_off_for(Span(60));
    turned.obtain(&client, "a.lan");
}

#[test]
fn a_boot_years_ahead_ends_nothing_and_the_right_clock_goes_on() {
    let mut turned = Turned::start();
    turned.make_key("/K", "1000", &["-e", "40"]);
    turned.make_key("/Deleted", "1000", &[]);
    turned.run(&["delete-item", "-n", "/Deleted"]).succeeded();
    let client = turned.client();
    let issued = turned.issue(&client);
    let second = turned.issue(&client);
    let eab = turned.eab();
    let crl = turned.fetch(&format!("/crl/{}.crl", turned.key_identifier())).expect(200).body;

    turned.switched_off_for(Span::days(YEARS));
    turned.daemon().keep_house();
    turned.signs_nothing(&client, &eab, &issued);
    turned.run(&["describe-item", "-n", "/Deleted"]).succeeded();
    assert!(turned.audited("expiration-event").is_empty());
    assert_eq!(turned.fetch(&format!("/crl/{}.crl", turned.key_identifier())).expect(200).body, crl);
    // A key that is lost cannot wait for a clock.
    let lost = json!({"certificate": base64url::encode(&certificates(&second.chain)[0])});
    client.post(&client.url("revokeCert"), &lost).expect(200);

    turned.switched_off_for(Span::days(-YEARS));
    turned.signs(&client, &issued);
    client.clone().with_key(AccountKey::es256()).register(&eab).expect(201);
    turned.daemon().keep_house();
    assert_ne!(turned.fetch(&format!("/crl/{}.crl", turned.key_identifier())).expect(200).body, crl);
    turned.run(&["check"]).succeeded();
    assert!(turned.audited("accept-clock").is_empty());
}

#[test]
fn a_boot_in_1970_signs_nothing() {
    let mut turned = Turned::start();
    turned.make_key("/K", "1000", &[]);
    let client = turned.client();
    let issued = turned.issue(&client);
    let eab = turned.eab();
    let now = turned.clock.now();
    turned.switched_off_for(Span(-now.0));
    turned.signs_nothing(&client, &eab, &issued);
    // The network sets it while the daemon runs.
    turned.step(Span(now.0 + 60));
    turned.signs(&client, &issued);
}

#[test]
fn a_weekend_or_a_season_switched_off_stops_nothing() {
    let mut turned = Turned::start();
    turned.make_key("/K", "1000", &[]);
    let client = turned.client();
    for days in [3, 50] {
        turned.switched_off_for(Span::days(days));
        turned.obtain(&client, "a.lan");
    }
    // A year is for an administrator to say, or for the network.
    turned.switched_off_for(Span::days(365));
    come_again(&client.ask_for(&["a.lan"]));
    turned.clock.set_synchronised(true);
    turned.obtain(&client, "a.lan");
}

/// What systemd says of the clock counts.
#[test]
fn a_clock_that_the_network_keeps_is_believed_after_a_long_time() {
    let mut ca = Ca::planned(&[]);
    let tools = ca.place.make_directory("tools");
    let says = |what: &str| {
        let script = ca.place.write(
            "tools/timedatectl",
            format!("#!/bin/sh\n[ \"$*\" = \"show --property=NTPSynchronized --value\" ] && echo {what}\n"),
        );
        std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    says("no");
    let path = format!("{}:/usr/bin:/bin", tools.display());
    ca.set_variable("PATH", path);
    ca.launch();
    let issuer = ca.make_issuer("acme.com");
    let client = ca.unchallenged_client(&issuer, "acme.com");
    assert!(ca.stop().success());
    ca.tamper("UPDATE clock_mark SET at = at - 100 * 86400, certificate = 1000");
    ca.launch();
    come_again(&client.ask_for(&["acme.com"]));
    let told = ca.log().lines().filter(|line| line.starts_with("ERROR") && line.contains("accept-clock")).count();
    assert_eq!(told, 1, "the log says it once");
    ca.kill();
    let script = ca.place.file("tools/timedatectl");
    let yes = std::fs::read_to_string(&script).unwrap().replace("echo no", "echo yes");
    std::fs::write(&script, yes).unwrap();
    ca.launch();
    eventually("the order is taken", seconds(10), || (client.ask_for(&["acme.com"]).status == 201).then_some(()));
    assert!(!ca.run(&["status"]).succeeded().stdout.contains("accept-clock"));
}

#[track_caller]
fn come_again(reply: &Reply) {
    assert_eq!(reply.status, 503, "{reply}");
    assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{reply}");
    reply.required_header("retry-after");
}
