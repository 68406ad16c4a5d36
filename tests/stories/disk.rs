//! A disk that is full, broken, read-only or slow. Clients are told to come again, one line of the log says why, whoever only
//! reads is served, and when the disk is well again everything goes on without a restart.

use crate::world::account_key::AccountKey;
use crate::world::acme::{Client, Order, external_account_binding};
use crate::world::base64url;
use crate::world::csr::Csr;
use crate::world::daemon::Ca;
use crate::world::faults::Faults;
use crate::world::issuer::{Eab, ISSUER, Issuer, SIGNER_KEY, text};
use crate::world::outcome::{Outcome, assert_says};
use crate::world::patience::{eventually, seconds};
use crate::world::plain::CHECKED;
use crate::world::responder::Responder;
use crate::world::wire::Reply;
use serde_json::{Value, json};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

const NAME: &str = "acme.com";

#[test]
fn a_full_disk_stops_changes_and_nothing_else() {
    changes_stop_and_nothing_else("enospc 0");
}

#[test]
fn a_disk_that_fails_to_write_stops_changes_and_nothing_else() {
    changes_stop_and_nothing_else("eio-write 0");
}

#[test]
fn a_disk_that_fails_to_sync_stops_changes_and_nothing_else() {
    changes_stop_and_nothing_else("eio-fsync 0");
}

#[test]
fn a_read_only_disk_stops_changes_and_nothing_else() {
    changes_stop_and_nothing_else("rofs");
}

#[test]
fn what_a_full_disk_cannot_keep_of_a_validation_is_not_asked_of_the_target_again() {
    let mut ca = Ca::planned(&["--validation-allow", "127.0.0.0/8"]);
    let faults = Faults::of(&mut ca);
    ca.launch();
    let issuer = ca.make_issuer(NAME);
    let client = ca.client(&issuer);
    let responder = Responder::start(ca.place.address, ca.http_01_port);
    let order = client.order(&[NAME]);
    let challenge = client.http_01(&order.authorizations()[0]);
    let token = text(&challenge, "token");
    responder.serve(&token, &client.key_authorization(&token));
    faults.order("enospc 0");
    come_again(&client.post(&text(&challenge, "url"), &json!({})));
    let kept = |what: &str| ca.log().matches(what).count();
    eventually("it is tried to keep the result again", seconds(60), || {
        (kept("could not be kept yet") >= 2).then_some(())
    });
    faults.order("");
    assert_eq!(client.settled(&order.url, &["pending"])["status"], "ready");
    assert_eq!(responder.hits().len(), 1);
}

fn changes_stop_and_nothing_else(order: &str) {
    let mut scene = Scene::begin(&[]);
    let eab = scene.ca.make_eab(&scene.issuer);
    let ready = scene.client.order(&[NAME]);
    let csr = Csr::for_names(&[NAME]);
    let before = scene.ca.log().len();
    scene.faults.order(order);
    for _ in 0..10 {
        come_again(&scene.client.ask_for(&[NAME]));
        come_again(&scene.client.finalize(&ready, &csr));
        come_again(&scene.register(&AccountKey::es256(), &eab));
        assert_says(&scene.ca.run(&["generate-acme-eab", "--cert-issuer-name", ISSUER]).refused(), &["try again"]);
        scene.reads_go_on();
    }
    let log = scene.ca.log()[before..].to_string();
    let errors: Vec<&str> = log.lines().filter(|line| line.starts_with("ERROR") || line.starts_with("WARN")).collect();
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert_says(errors[0], &["disk"]);
    assert_eq!(scene.client.fetch(&ready.url).expect(200).json()["status"], "ready", "nothing was half done");

    scene.faults.order("");
    scene.register(&AccountKey::es256(), &eab).expect(201);
    scene.client.finalize(&ready, &csr).expect(200);
    let chain = scene.client.certificate(&ready);
    let after = scene.client.order(&[NAME]);
    assert!(scene.ca.log()[before..].contains("changes are kept again"));
    scene.cut_power();
    assert_eq!(scene.client.certificate(&ready), chain);
    assert_eq!(scene.client.fetch(&after.url).expect(200).json()["status"], "ready");
}

/// Whatever write or sync it is that fails first: what clients were told is true, and what failed is there whole or not at
/// all.
#[test]
fn a_disk_that_fails_in_the_middle_of_a_commit_leaves_nothing_half_written() {
    let mut scene = Scene::begin(&[]);
    let csr = Csr::for_names(&[NAME]);
    let mut told: Vec<(Order, Option<String>)> = Vec::new();
    let failed = AtomicUsize::new(0);
    for number in 0..30 {
        let kind = ["enospc", "eio-write", "eio-fsync"][number % 3];
        let stopping = AtomicBool::new(false);
        let found = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let mut found = Vec::new();
                        while !stopping.load(Ordering::SeqCst) {
                            found.extend(scene.issue(&csr, &failed));
                        }
                        found
                    })
                })
                .collect();
            let before = failed.load(Ordering::SeqCst);
            // A commit of ours writes a dozen pages or more, and there are four at once.
            scene.faults.order(&format!("{kind} {}", number * 2));
            eventually("the disk fails", seconds(20), || (failed.load(Ordering::SeqCst) > before + 3).then_some(()));
            scene.faults.order("");
            stopping.store(true, Ordering::SeqCst);
            clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<_>>()
        });
        told.extend(found);
        // Another commit after the one that failed, as in every running daemon, or none.
        if number % 2 == 0 {
            scene.client.order(&[NAME]);
        }
        scene.cut_power();
        for (order, chain) in told.drain(..) {
            let body = scene.client.fetch(&order.url).expect(200).json();
            match chain {
                Some(chain) => assert_eq!(scene.client.certificate(&order), chain),
                None if body["status"] == "ready" => drop(scene.client.finalize(&order, &csr).expect(200)),
                None => assert_eq!(body["status"], "valid", "{body}"),
            }
        }
    }
}

/// Wherever in a change or in an answer a block cannot be read: who asked is put off, and nothing is taken for absent that is
/// there.
#[test]
fn a_block_that_cannot_be_read_refuses_nobody_for_good() {
    let mut scene = Scene::begin(&[]);
    let csr = Csr::for_names(&[NAME]);
    let refused = AtomicUsize::new(0);
    let mut told: Vec<Order> = Vec::new();
    let mut changes_met = 0;
    for number in 0..40 {
        // What is remembered is not read again.
        scene.ca.restart();
        let nonces: Vec<[String; 3]> = (0..8).map(|_| [(); 3].map(|()| scene.client.nonce())).collect();
        scene.faults.order(&format!("eio-read {number}"));
        std::thread::scope(|scope| {
            let (scene, csr, refused) = (&scene, &csr, &refused);
            let issue = move |nonces| scene.ask_for_a_certificate(nonces, csr, refused);
            let clients: Vec<_> = nonces
                .chunks(2)
                .map(|nonces| scope.spawn(move || nonces.iter().filter_map(issue).collect::<Vec<_>>()))
                .collect();
            told.extend(clients.into_iter().flat_map(|client| client.join().unwrap()));
        });
        scene.faults.order("");
        changes_met += usize::from(scene.ca.log().contains("changes are refused until this is over"));
    }
    assert!(changes_met > 3, "{changes_met} changes met it");
    assert!(refused.load(Ordering::SeqCst) > changes_met, "no answer met it");
    scene.cut_power();
    for order in &told {
        let body = scene.client.fetch(&order.url).expect(200).json();
        if body["status"] == "ready" {
            scene.client.finalize(order, &csr).expect(200);
        }
        scene.client.certificate(order);
    }
}

#[test]
fn a_slow_disk_keeps_only_those_waiting_who_change_something() {
    let scene = Scene::begin(&["--workers", "4"]);
    scene.faults.order("slow 3000");
    let before = scene.ca.log().len();
    // The first who meets it finds out.
    let first = scene.client.order(&[NAME]);
    let stopping = AtomicBool::new(false);
    let (orders, refused) = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let (mut orders, mut refused) = (Vec::new(), 0);
                    while !stopping.load(Ordering::SeqCst) {
                        let reply = scene.client.ask_for(&[NAME]);
                        if reply.status == 201 {
                            orders.push(Order::from(reply));
                        } else {
                            come_again(&reply);
                            refused += 1;
                        }
                    }
                    (orders, refused)
                })
            })
            .collect();
        for _ in 0..20 {
            let start = Instant::now();
            scene.reads_go_on();
            assert!(start.elapsed() < seconds(2), "{:?} behind a slow disk", start.elapsed());
        }
        std::thread::sleep(seconds(3));
        stopping.store(true, Ordering::SeqCst);
        let all: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        let refused: usize = all.iter().map(|(_, refused)| refused).sum();
        (all.into_iter().flat_map(|(orders, _)| orders).collect::<Vec<_>>(), refused)
    });
    assert!(!orders.is_empty() && refused > 0, "{} orders, {refused} refusals", orders.len());
    let log = scene.ca.log()[before..].to_string();
    let loud: Vec<&str> = log.lines().filter(|line| line.starts_with("ERROR") || line.starts_with("WARN")).collect();
    assert_eq!(loud.len(), 1, "{loud:#?}");
    assert_says(loud[0], &["slow"]);

    scene.faults.order("");
    scene.client.order(&[NAME]);
    let start = Instant::now();
    scene.client.order(&[NAME]);
    assert!(start.elapsed() < seconds(2));
    for order in orders.iter().chain([&first]) {
        assert_eq!(scene.client.fetch(&order.url).expect(200).json()["status"], "ready");
    }
}

#[test]
fn a_daemon_that_can_write_nothing_says_so_and_does_not_start() {
    let mut scene = Scene::begin(&[]);
    for order in ["enospc 0", "eio-write 0", "eio-fsync 0", "rofs"] {
        scene.ca.kill();
        scene.faults.order(order);
        let mut command = scene.ca.serve_command();
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let outcome = Outcome::new(order, child.wait_with_output().unwrap());
        assert_eq!(outcome.status, Some(1), "{}", outcome.seen());
        let last = outcome.stderr.lines().last().unwrap();
        assert!(last.starts_with("certwright: ") && last.contains("/state/"), "{order}: {last}");
        scene.faults.order("");
        scene.ca.launch();
        scene.reads_go_on();
    }
}

/// A daemon whose disk does as it is told, with a certificate to read.
struct Scene {
    ca: Ca,
    faults: Faults,
    issuer: Issuer,
    client: Client,
    issued: Order,
    chain: String,
    crl: String,
}

impl Scene {
    fn begin(flags: &[&str]) -> Scene {
        let mut ca = Ca::planned(&[&["--validation-allow", "127.0.0.0/8"], flags].concat());
        let faults = Faults::of(&mut ca);
        ca.launch();
        let issuer = ca.make_issuer_with(NAME, &CHECKED);
        let client = ca.unchallenged_client(&issuer, NAME);
        let issued = client.order(&[NAME]);
        client.finalize(&issued, &Csr::for_names(&[NAME])).expect(200);
        let chain = client.certificate(&issued);
        let crl = format!("/crl/{}", text(&ca.describe(SIGNER_KEY), "display_id"));
        Scene { ca, faults, issuer, client, issued, chain, crl }
    }

    /// Everything that can be had without a change.
    fn reads_go_on(&self) {
        self.client.wire.request("GET", &self.issuer.directory, &[], b"").expect(200);
        assert_eq!(self.client.fetch(&self.issued.url).expect(200).json()["status"], "valid");
        assert_eq!(self.client.certificate(&self.issued), self.chain);
        self.ca.fetch(&self.crl).expect(200);
        self.ca.run(&["status"]).succeeded();
    }

    fn register(&self, key: &AccountKey, eab: &Eab) -> Reply {
        let client = self.client.clone().with_key(key.clone());
        let url = client.url("newAccount");
        let binding = external_account_binding(key, &url, eab, "HS256", &ring::hmac::HMAC_SHA256);
        client.post(&url, &json!({"termsOfServiceAgreed": true, "externalAccountBinding": binding}))
    }

    /// An order that was told of, and the certificate if it was told of as well.
    fn issue(&self, csr: &Csr, failed: &AtomicUsize) -> Option<(Order, Option<String>)> {
        let is_done = |reply: &Reply, status: u16| is_done(reply, status, failed);
        let reply = self.client.ask_for(&[NAME]);
        if !is_done(&reply, 201) {
            return None;
        }
        let order = Order::from(reply);
        let reply = self.client.finalize(&order, csr);
        let chain = is_done(&reply, 200).then(|| self.client.certificate(&order));
        Some((order, chain))
    }

    /// An order that was told of, whatever became of it since.
    fn ask_for_a_certificate(&self, nonces: &[String; 3], csr: &Csr, refused: &AtomicUsize) -> Option<Order> {
        let is_done = |reply: &Reply, status: u16| is_done(reply, status, refused);
        let [first, second, third] = nonces;
        let names = json!({"identifiers": [{"type": "dns", "value": NAME}]});
        let reply = self.client.post_with(first, &self.client.url("newOrder"), Some(&names));
        let order = is_done(&reply, 201).then(|| Order::from(reply))?;
        let csr = json!({"csr": base64url::encode(&csr.der)});
        let reply = self.client.post_with(second, &text(&order.body, "finalize"), Some(&csr));
        if is_done(&reply, 200) {
            is_done(&self.client.post_with(third, &text(&reply.json(), "certificate"), None), 200);
        }
        Some(order)
    }

    /// Everything that was not synced goes, and what is left fits together.
    fn cut_power(&mut self) {
        self.ca.kill();
        self.faults.cut_power(|| false);
        self.ca.launch();
        self.ca.run(&["check"]).succeeded();
        assert_says(&self.ca.run(&["audit", "--verify"]).succeeded().stdout, &["whole"]);
        self.reads_go_on();
    }
}

/// Whether a reply has the status that is wanted; one that puts the client off is counted.
fn is_done(reply: &Reply, status: u16, refused: &AtomicUsize) -> bool {
    if reply.status != status {
        come_again(reply);
        refused.fetch_add(1, Ordering::SeqCst);
    }
    reply.status == status
}

/// A problem document that says when to come again (RFC 9110, 10.2.3), and nothing of what is behind it.
#[track_caller]
fn come_again(reply: &Reply) {
    assert_eq!(reply.status, 503, "{reply}");
    assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{reply}");
    assert!((1..=600).contains(&reply.required_header("retry-after").parse::<u32>().unwrap()), "{reply}");
    let problem: Value = reply.json();
    assert_eq!(problem["type"], "urn:ietf:params:acme:error:serverInternal", "{reply}");
    assert!(!problem.to_string().contains("sqlite") && !problem.to_string().contains("disk"), "{reply}");
}
