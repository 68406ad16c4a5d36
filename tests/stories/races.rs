//! Two at once: what may happen once happens once.

use crate::world::account_key::AccountKey;
use crate::world::csr::Csr;
use crate::world::daemon::Ca;
use crate::world::faults::Faults;
use crate::world::issuer::{ISSUER, SIGNER_KEY, text};
use crate::world::outcome::assert_says;
use crate::world::patience::{eventually, seconds};
use crate::world::plain::{CHECKED, ask};
use crate::world::responder::Responder;
use crate::world::wire::Reply;
use serde_json::json;
use std::sync::Barrier;

#[test]
fn finalizes_that_race_make_one_certificate() {
    let mut ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let client = ca.client(&issuer);
    let responder = Responder::start(ca.place.address, ca.http_01_port);
    for round in 1..=5 {
        let order = client.ready_order(&["acme.com"], &responder);
        let csrs = [Csr::for_names(&["acme.com"]), Csr::for_names(&["acme.com"])];
        let replies = at_once(8, |number| client.finalize(&order, &csrs[number % 2]));
        assert!(replies.iter().any(|reply| reply.status == 200), "{}", replies[0]);
        for reply in replies.iter().filter(|reply| reply.status != 200) {
            reply.problem(403, "orderNotReady");
        }
        let urls: Vec<_> = replies
            .iter()
            .filter(|reply| reply.status == 200)
            .map(|reply| reply.json()["certificate"].clone())
            .collect();
        client.certificate(&order);
        let certificate = client.fetch(&order.url).expect(200).json()["certificate"].clone();
        assert!(urls.iter().all(|url| url.is_null() || *url == certificate), "{urls:?}");
        assert_eq!(ca.count_certificates(), round);
    }
    assert!(ca.stop().success());
}

/// It was signed already, and waited for a slow disk behind whoever disabled what it needs.
#[test]
fn a_certificate_is_not_issued_where_its_issuer_or_signer_was_disabled_before_its_commit() {
    let mut ca = Ca::planned(&["--validation-allow", "127.0.0.0/8"]);
    ca.add_flags(&["--metrics-listen", &format!("{}:0", ca.place.address)]);
    let faults = Faults::of(&mut ca);
    ca.launch();
    let issuer = ca.make_issuer_with("acme.com", &CHECKED);
    let metrics = text(&ca.status().unwrap(), "metrics_listen").parse().unwrap();
    let wait_until_there_wait = |changes: usize| {
        eventually("so many changes wait", seconds(20), || {
            let shown = ask(metrics, "GET", "/metrics", &[], b"").unwrap().expect(200).text();
            shown.lines().any(|line| line == format!("certwright_changes_waiting {changes}")).then_some(())
        });
    };
    let [client, other] = [(); 2].map(|()| ca.unchallenged_client(&issuer, "acme.com"));
    let wal = ca.state_dir().join("certwright.db-wal");
    let length = || std::fs::metadata(&wal).unwrap().len();
    let set_state = |item: &str, state: &str| {
        ca.run(&["set-item-state", "--name", item, "--desired-state", state]).succeeded();
    };
    // The first certificate of a signer has more made for it.
    client.finalize(&client.order(&["acme.com"]), &Csr::for_names(&["acme.com"])).expect(200);
    let told = "SELECT (SELECT min(last) FROM event_cursors) >= (SELECT max(id) FROM audit)";
    for item in [ISSUER, SIGNER_KEY] {
        let order = client.order(&["acme.com"]);
        eventually("nobody else has something to write", seconds(20), || (ca.query(told) == "1").then_some(()));
        let (before, logged) = (length(), ca.log().len());
        faults.order("slow 6000");
        std::thread::scope(|scope| {
            let first = scope.spawn(|| other.ask_for(&["acme.com"]));
            eventually("a commit waits for the disk", seconds(20), || (length() > before).then_some(()));
            let disabling = scope.spawn(|| set_state(item, "Disabled"));
            wait_until_there_wait(1);
            let finalizing = scope.spawn(|| client.finalize(&order, &Csr::for_names(&["acme.com"])));
            wait_until_there_wait(2);
            faults.order("");
            first.join().unwrap().expect(201);
            disabling.join().unwrap();
            finalizing.join().unwrap().expect(503);
        });
        assert_says(&ca.log()[logged..], &["disabled meanwhile"]);
        assert_eq!(client.fetch(&order.url).expect(200).json()["status"], "ready", "{item}");
        set_state(item, "Enabled");
        client.finalize(&order, &Csr::for_names(&["acme.com"])).expect(200);
    }
}

#[test]
fn registrations_that_race_for_one_external_account_make_one_account() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    for round in 1..=5 {
        let eab = ca.make_eab(&issuer);
        let clients: Vec<_> = (0..8).map(|_| issuer.client(AccountKey::es256())).collect();
        let replies = at_once(8, |number| clients[number].clone().register(&eab));
        assert_eq!(replies.iter().filter(|reply| reply.status == 201).count(), 1);
        for reply in replies.iter().filter(|reply| reply.status != 201) {
            reply.refused();
        }
        assert_eq!(ca.accounts(&issuer).len(), round);
    }
}

#[test]
fn registrations_that_race_with_one_key_make_one_account() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    for round in 1..=10 {
        let client = issuer.client(AccountKey::es256());
        let eab = ca.make_eab(&issuer);
        let replies = at_once(8, |_| client.clone().register(&eab));
        assert_eq!(replies.iter().filter(|reply| reply.status == 201).count(), 1);
        assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 7);
        let locations: Vec<_> = replies.iter().map(|reply| reply.required_header("location")).collect();
        assert!(locations.iter().all(|location| *location == locations[0]), "{locations:?}");
        assert_eq!(ca.accounts(&issuer).len(), round);
    }
}

#[test]
fn a_key_that_is_registered_gets_its_account_and_uses_up_nothing() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let mut client = issuer.client(AccountKey::es256());
    let first = client.register(&ca.make_eab(&issuer)).expect(201);
    let spare = ca.make_eab(&issuer);

    let again = client.register(&spare).expect(200);
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(again.json()["status"], "valid");
    // cert-manager repeats newAccount with an external account that has expired long ago.
    let nonsense = json!({"protected": "e30", "payload": "e30", "signature": "AAAA"});
    client.register_with(&json!({"externalAccountBinding": nonsense})).expect(200);
    client.register_with(&json!({"onlyReturnExisting": true})).expect(200);
    issuer.client(AccountKey::es256()).register(&spare).expect(201);

    let mut stranger = issuer.client(AccountKey::es256());
    stranger.register_with(&json!({"onlyReturnExisting": true})).problem(400, "accountDoesNotExist");
    assert_eq!(ca.accounts(&issuer).len(), 2);
    assert_eq!(text(&ca.accounts(&issuer)[0], "status"), "valid");
}

fn at_once(count: usize, act: impl Fn(usize) -> Reply + Sync) -> Vec<Reply> {
    let barrier = Barrier::new(count);
    let (act, barrier) = (&act, &barrier);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|number| {
                scope.spawn(move || {
                    barrier.wait();
                    act(number)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}
