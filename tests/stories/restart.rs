//! The daemon ends in the middle of everything, politely or not, and goes on where it was.

use crate::world::account_key::AccountKey;
use crate::world::acme::Client;
use crate::world::base64url;
use crate::world::csr::Csr;
use crate::world::daemon::{Ca, is_taken};
use crate::world::issuer::CERTIFICATES;
use crate::world::judges::{assert_trusted, certificates};
use crate::world::outcome::{Outcome, assert_says};
use crate::world::patience::{eventually, seconds};
use crate::world::responder::{Answer, Responder};
use serde_json::json;
use std::process::Stdio;
use std::time::Instant;

#[test]
fn after_a_polite_end_everything_is_as_before() {
    everything_is_as_before(|ca| assert!(ca.stop().success()));
}

#[test]
fn after_a_kill_everything_is_as_before() {
    everything_is_as_before(Ca::kill);
}

fn everything_is_as_before(end: impl Fn(&mut Ca)) {
    let mut ca = Ca::start();
    let issuer = ca.make_issuer("acme.com,www.acme.com");
    ca.dns.point("www.acme.com", ca.place.address);
    let responder = Responder::start(ca.place.address, ca.http_01_port);
    let used = ca.make_eab(&issuer);
    let unused = ca.make_eab(&issuer);
    let mut client = issuer.client(AccountKey::es256());
    client.register(&used).expect(201);
    let chain = client.obtain(&["acme.com"], &responder);
    let ready = client.ready_order(&["acme.com"], &responder);
    let pending = client.order(&["www.acme.com"]);
    let accounts = ca.accounts(&issuer);
    let described = ca.describe(&issuer.name);
    let old_nonce = client.nonce();
    let own_certificate = client.wire.handshake().unwrap().0;

    end(&mut ca);
    ca.launch();

    assert_eq!(accounts, ca.accounts(&issuer));
    assert_eq!(described, ca.describe(&issuer.name));
    assert_eq!(ca.certificate_value(&format!("{CERTIFICATES}/acme.com")), chain);
    assert_eq!(client.wire.handshake().unwrap().0, own_certificate, "its own certificate was stored");

    assert_eq!(client.fetch(&ready.url).expect(200).json()["status"], "ready");
    let still_pending = client.fetch(&pending.url).expect(200).json();
    assert_eq!(still_pending, pending.body);

    let mut header = client.header(&pending.url);
    header["nonce"] = old_nonce.into();
    let detail = client.send(&pending.url, &client.sign(&header, b"")).problem(400, "badNonce");
    assert!(detail.starts_with("JWS has an invalid anti-replay nonce"), "acme.sh goes by these words: {detail}");

    client.finalize(&ready, &Csr::for_names(&["acme.com"])).expect(200);
    assert_trusted(&ca.place, &issuer.root_pem, &client.certificate(&ready), "acme.com");
    client.prove(&pending, &responder);
    assert_eq!(client.settled(&pending.url, &["pending"])["status"], "ready");

    let late = issuer.client(AccountKey::es256()).register(&used).refused();
    assert_says(&late, &["used"]);
    issuer.client(AccountKey::es256()).register(&unused).expect(201);
}

#[test]
fn a_validation_that_ran_when_the_daemon_was_killed_is_taken_up_again() {
    a_validation_is_taken_up_again(Ca::kill);
}

#[test]
fn a_validation_that_ran_when_the_daemon_was_stopped_is_taken_up_again() {
    a_validation_is_taken_up_again(|ca| {
        let start = Instant::now();
        assert!(ca.stop().success());
        assert!(start.elapsed() < seconds(5), "a slow responder must not hold up the end");
    });
}

fn a_validation_is_taken_up_again(end: impl Fn(&mut Ca)) {
    let mut ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let client = ca.client(&issuer);
    let responder = Responder::start(ca.place.address, ca.http_01_port);
    responder.answer_with(Answer::Hold);
    let order = client.order(&["acme.com"]);
    let answered = Instant::now();
    client.prove(&order, &responder);
    assert!(answered.elapsed() < seconds(3), "the reply to a challenge waits a moment for a responder");
    eventually("the responder is asked", seconds(10), || (!responder.hits().is_empty()).then_some(()));
    let body = client.fetch(&order.authorizations()[0]).expect(200).json();
    assert_eq!(body["challenges"][0]["status"], "processing", "{body}");

    end(&mut ca);
    let before = responder.hits().len();
    responder.answer_with(Answer::Truth);
    ca.launch();
    // No client has said a word since the restart.
    eventually("the responder is asked again", seconds(30), || (responder.hits().len() > before).then_some(()));
    assert_eq!(client.settled(&order.url, &["pending"])["status"], "ready");
}

#[test]
fn sigterm_closes_the_doors_and_lets_go_of_the_state() {
    let mut ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let idle = issuer.wire().connect();
    let start = Instant::now();
    assert!(ca.stop().success());
    assert!(start.elapsed() < seconds(5), "it took {:?}", start.elapsed());
    drop(idle);
    assert!(!is_taken(ca.listen) && !is_taken(ca.plain_listen));
    let sentence = ca.run(&["status"]).refused();
    assert_says(&sentence, &[ca.admin_socket().to_str().unwrap(), "serve"]);
    ca.launch();
    ca.restart();
    assert_eq!(ca.describe(&issuer.name)["acme_directory_url"], issuer.directory.as_str());
}

#[test]
fn whoever_gave_a_command_when_sigterm_came_is_told_the_truth() {
    let mut ca = Ca::start();
    // RSA keys take a while to make, so the command is under way when the signal comes.
    let mut command = ca.command(&["create-dfc-key", "--name", "/Slow/Key", "--alg", "RSA4096"]);
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("the command is under way", seconds(10), || ca.log().contains("command=create-dfc-key").then_some(()));
    assert!(ca.stop().success());
    let told = Outcome::new("create-dfc-key", command.wait_with_output().unwrap());
    ca.launch();
    let exists = ca.run(&["describe-item", "--name", "/Slow/Key"]).status == Some(0);
    assert_eq!(told.status == Some(0), exists, "{}", told.seen());
    if !exists {
        assert_says(&told.refused(), &["ended"]);
    }
}

#[test]
fn a_damaged_url_of_one_issuer_stops_orders_and_neither_downloads_nor_revocation() {
    let mut ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let client = ca.unchallenged_client(&issuer, "acme.com");
    let order = client.order(&["acme.com"]);
    client.finalize(&order, &Csr::for_names(&["acme.com"])).expect(200);
    let chain = client.certificate(&order);
    assert!(ca.stop().success());
    ca.tamper("INSERT INTO issuer_urls (issuer, url, since) SELECT issuer, 'nonsense', 0 FROM issuer_urls");
    ca.launch();
    let client = Client { wire: issuer.wire(), ..client };
    client.ask_for(&["acme.com"]).expect(500);
    assert_eq!(client.certificate(&order), chain);
    let der = base64url::encode(&certificates(&chain)[0]);
    client.post(&client.url("revokeCert"), &json!({"certificate": der})).expect(200);
}
