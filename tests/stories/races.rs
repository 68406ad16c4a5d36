//! Two at once: what may happen once happens once.

use crate::world::account_key::AccountKey;
use crate::world::csr::Csr;
use crate::world::daemon::Ca;
use crate::world::issuer::text;
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
