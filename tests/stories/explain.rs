//! `explain`: an operator asks what became of an order, and is told the story, whichever end he has hold of.

use crate::world::acme::Client;
use crate::world::base64url;
use crate::world::csr::Csr;
use crate::world::daemon::Ca;
use crate::world::issuer::{CERTIFICATES, ISSUER, Issuer, text};
use crate::world::judges::certificates;
use crate::world::outcome::assert_says;
use crate::world::reading::serial_of;
use crate::world::responder::{Answer, Responder};
use serde_json::{Value, json};

struct Scene {
    ca: Ca,
    issuer: Issuer,
    client: Client,
    responder: Responder,
}

impl Scene {
    fn new() -> Scene {
        let ca = Ca::start();
        let issuer = ca.make_issuer("acme.com,other.acme.com");
        ca.dns.point("other.acme.com", ca.place.address);
        let client = ca.client(&issuer);
        Scene { responder: Responder::start(ca.place.address, ca.http_01_port), client, issuer, ca }
    }

    fn explain(&self, flags: &[&str]) -> String {
        self.ca.run(&[&["explain"], flags].concat()).succeeded().stdout
    }

    /// The orders that it tells of.
    fn orders(&self, flags: &[&str]) -> Vec<Value> {
        let reply = self.ca.run(&[&["explain", "--json"], flags].concat()).succeeded().json();
        reply["orders"].as_array().unwrap().clone()
    }

    fn fails(&self, name: &str) -> Value {
        let order = self.client.order(&[name]);
        self.client.prove(&order, &self.responder);
        self.client.settled(&order.url, &["pending"])
    }
}

#[test]
fn an_issuance_is_told_from_the_order_to_the_revocation() {
    let scene = Scene::new();
    let order = scene.client.ready_order(&["acme.com", "other.acme.com"], &scene.responder);
    // A client that asks for other names than it ordered is refused, and then does it right.
    scene.client.finalize(&order, &Csr::for_names(&["acme.com"])).expect(400);
    scene.client.finalize(&order, &Csr::for_names(&["acme.com", "other.acme.com"])).expect(200);
    let chain = scene.client.certificate(&order);
    let serial = serial_of(&chain);
    let id = order.url.rsplit('/').next().unwrap();
    let told = scene.explain(&["--order", id]);
    assert_tells_in_order(
        &told,
        &[
            "valid",
            "ordered acme.com, other.acme.com: account 1",
            "http-01 for acme.com can be asked",
            "http-01 for acme.com succeeded",
            "refused",
            &format!("issued the certificate {serial}"),
            "next: nothing is left to do",
        ],
    );
    assert_says(&told, &[ISSUER, "with the credential", "(from 127.", &format!("{CERTIFICATES}/acme.com, version 1")]);

    scene.ca.run(&["revoke-certificate", "--serial-number", &serial, "--reason", "superseded"]).succeeded();
    let told = scene.explain(&["--order", id]);
    assert_tells_in_order(&told, &["issued the certificate", "revoked by uid 0, reason 4", "next: it is revoked"]);
    // The same from every end.
    for end in [
        &["--order", &order.url][..],
        &["--domain", "other.acme.com"],
        &["--domain", "ACME.com."],
        &["--certificate", &serial],
        &["--certificate", &format!("{CERTIFICATES}/acme.com")],
    ] {
        assert_eq!(scene.explain(end), told, "{end:?}");
    }
}

#[test]
fn a_failure_says_what_was_asked_of_which_address_what_came_back_and_what_to_look_at() {
    let scene = Scene::new();
    scene.responder.answer_with(Answer::Raw(b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope".to_vec()));
    assert_eq!(scene.fails("acme.com")["status"], "invalid");
    let told = scene.explain(&["--domain", "acme.com"]);
    let address = format!("{}:{}", scene.ca.place.address, scene.ca.http_01_port);
    assert_tells_in_order(
        &told,
        &[
            "invalid",
            "http-01 for acme.com failed (incorrectResponse)",
            "/.well-known/acme-challenge/",
            &format!("at {address}"),
            "404 (4 bytes, beginning \"nope\")",
            "next: see that acme.com leads to the host",
            "order again",
        ],
    );
    let order = &scene.orders(&["--domain", "acme.com"])[0];
    let failed = order["challenges"].as_array().unwrap().iter().find(|c| c["status"] == "invalid").unwrap();
    assert_eq!(failed["error"], "incorrectResponse");
    assert_says(&text(failed, "detail"), &[&address, "404"]);

    scene.ca.dns.set("other.acme.com", Vec::new());
    assert_eq!(scene.fails("other.acme.com")["status"], "invalid");
    assert_tells_in_order(
        &scene.explain(&["--domain", "other.acme.com"]),
        &["failed (dns)", "other.acme.com", "next: see what the DNS that this daemon asks", "--dns-server"],
    );
}

#[test]
fn an_order_that_waits_says_for_whom() {
    let scene = Scene::new();
    let order = scene.client.order(&["acme.com"]);
    let id = order.url.rsplit('/').next().unwrap();
    assert_tells_in_order(
        &scene.explain(&["--order", id]),
        &[
            "pending",
            "next: the client has yet to say by which challenge it proves acme.com (http-01",
            "the order ends on",
        ],
    );
    scene.responder.answer_with(Answer::Hold);
    scene.client.prove(&order, &scene.responder);
    assert_tells_in_order(
        &scene.explain(&["--order", id]),
        &["can be asked", "next: http-01 for acme.com is being looked at"],
    );
    scene.responder.answer_with(Answer::Truth);
    scene.client.settled(&order.url, &["pending"]);
    assert_tells_in_order(&scene.explain(&["--order", id]), &["ready", "next: all names are proved", "to finalize"]);
    scene.client.post(&order.authorizations()[0], &json!({ "status": "deactivated" })).expect(200);
    assert_tells_in_order(
        &scene.explain(&["--order", id]),
        &["invalid", "gave up its proof of acme.com", "order again"],
    );
}

#[test]
fn of_many_orders_the_newest_come_first_and_what_never_became_one_is_told_too() {
    let scene = Scene::new();
    let ids: Vec<String> =
        (0..5).map(|_| scene.client.order(&["acme.com"]).url.rsplit('/').next().unwrap().to_owned()).collect();
    let told: Vec<String> = scene.orders(&["--domain", "acme.com"]).iter().map(|o| text(o, "order_id")).collect();
    assert_eq!(told, [&*ids[4], &*ids[3], &*ids[2]]);

    scene.client.ask_for(&["forbidden.lan"]).expect(400);
    let told = scene.explain(&["--domain", "forbidden.lan"]);
    assert_says(&told, &["no order", "account 1 refused", "forbidden.lan", "(from 127."]);

    let explain = |flags: &[&str]| scene.ca.run(&[&["explain"], flags].concat());
    assert_says(&explain(&["--domain", "nobody.lan"]).refused(), &["nobody.lan", "directory"]);
    // Everything mentions nothing.
    for nothing in ["", ".", " "] {
        assert_says(&explain(&["--domain", nothing]).refused(), &["--domain", "empty"]);
    }
    assert_says(&explain(&["--domain", "acme_com"]).refused(), &["acme_com", "not a host name"]);
    assert_says(&explain(&["--domain", "*.nobody.lan"]).refused(), &["*.nobody.lan", "directory"]);
    assert_says(&explain(&["--domain", "2001:DB8::1"]).refused(), &["2001:db8::1", "directory"]);
    assert_says(&explain(&["--order", "999"]).refused(), &["no order 999", "--domain"]);
    assert_says(&explain(&["--order", "acme.com"]).refused(), &["no order acme.com", "--domain"]);
    assert_says(&explain(&["--certificate", "00ff"]).refused(), &["00ff", "list-certificates"]);
    assert_says(&explain(&["--certificate", "acme.com"]).refused(), &["acme.com", "list-certificates"]);
    assert_says(&explain(&["--certificate", "/Nowhere/acme.com"]).refused(), &["/Nowhere/acme.com"]);
    assert_says(&explain(&[]).refused(), &["--order", "--domain", "--certificate"]);
    assert_says(&explain(&["--order", "1", "--domain", "x"]).refused(), &["one of"]);
}

#[test]
fn what_needed_no_challenge_and_whose_account_is_gone_is_told_so() {
    let scene = Scene::new();
    let client = scene.ca.unchallenged_client(&scene.issuer, "acme.com");
    let order = client.order(&["acme.com"]);
    client.finalize(&order, &Csr::for_names(&["acme.com"])).expect(200);
    let der = base64url::encode(&certificates(&client.certificate(&order))[0]);
    client.post(&client.url("revokeCert"), &json!({ "certificate": der })).expect(200);
    let id = order.url.rsplit('/').next().unwrap();
    assert_tells_in_order(&scene.explain(&["--order", id]), &["acme.com needs no challenge", "revoked by account 2"]);
    let delete =
        ["deactivate-acme-account", "--cert-issuer-name", ISSUER, "--acme-account-id", "2", "--delete-account"];
    scene.ca.run(&delete).succeeded();
    assert_tells_in_order(&scene.explain(&["--order", id]), &["an issuer that is gone", "account 2, which is deleted"]);
}

#[test]
fn whatever_else_an_account_did_meanwhile_hides_nothing() {
    let scene = Scene::new();
    let order = scene.client.ready_order(&["acme.com"], &scene.responder);
    let id = order.url.rsplit('/').next().unwrap();
    // Of another order, whose number begins the same.
    scene.ca.tamper(&format!(
        "INSERT INTO audit (at, actor, action, object, outcome, detail, hash)
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)
         SELECT unixepoch(), 'account 1', 'acme', '/acme/order/{id}0', 'refused', 'another order', x'00' FROM n"
    ));
    scene.client.finalize(&order, &Csr::for_names(&["other.acme.com"])).expect(400);
    let told = scene.explain(&["--order", id]);
    assert_tells_in_order(&told, &["ready", "refused at", &format!("/order/{id}")]);
    assert!(!told.contains("another order"), "{told}");
}

#[track_caller]
fn assert_tells_in_order(told: &str, parts: &[&str]) {
    let mut rest = told;
    for part in parts {
        let Some(at) = rest.find(part) else { panic!("\"{part}\" is not where it should be in:\n{told}") };
        rest = &rest[at + part.len()..];
    }
}
