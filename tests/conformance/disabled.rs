//! A disabled issuer, and a deactivated account (RFC 8555, 7.3.6): nothing new begins, and nothing that was begun ends well.

use crate::proof::{Steps, dns, only};
use crate::request::csr;
use crate::scene::{Scene, scene};
use crate::world::account_key::AccountKey;
use crate::world::base64url;
use crate::world::outcome::assert_says;
use serde_json::json;

/// A disabled issuer takes no new account, order, authorization, challenge or finalize, and says so.
#[test]
fn rfc8555_s7_4_a_disabled_issuer_takes_nothing_new() {
    let issuer = scene().issuer("off.disabled.test");
    let client = scene().ca.client(&issuer);
    let ready = client.ready(&["off.disabled.test"]);
    let pending = client.order(&["off.disabled.test"]);
    let challenge = client.challenge(&only(&pending), "http-01");
    let eab = scene().ca.make_eab(&issuer);
    scene().set_state(&issuer, "Disabled");
    for reply in [
        client.ask_for(&["off.disabled.test"]),
        client.post(&client.url("newAuthz"), &json!({"identifier": dns("off.disabled.test")})),
        client.start(&challenge),
        client.finalize(&ready, &csr(&["off.disabled.test"])),
        issuer.client(AccountKey::es256()).register(&eab),
    ] {
        assert_says(&reply.refused(), &["disabled"]);
    }
    assert_eq!(client.challenge(&only(&pending), "http-01")["status"], "pending");
    scene().set_state(&issuer, "Enabled");
    client.finalize(&ready, &csr(&["off.disabled.test"])).expect(200);
    issuer.client(AccountKey::es256()).register(&eab).expect(201);
}

/// What does not begin anything goes on: reading, downloading, deactivating, revoking, renewal information.
#[test]
fn rfc8555_s7_6_a_disabled_issuer_still_revokes_and_shows() {
    let issuer = scene().issuer("still.disabled.test");
    let client = scene().ca.client(&issuer);
    let order = client.ready(&["still.disabled.test"]);
    client.finalize(&order, &csr(&["still.disabled.test"])).expect(200);
    let chain = client.certificate(&order);
    scene().set_state(&issuer, "Disabled");
    assert_eq!(client.wire.request("GET", &issuer.directory, &[], b"").status, 200);
    assert_eq!(client.certificate(&order), chain);
    client.fetch(client.account.as_ref().unwrap()).expect(200);
    let info = format!("{}/{}", client.url("renewalInfo"), crate::renewal::identifier(&chain));
    client.wire.request("GET", &info, &[], b"").expect(200);
    client.post(&only(&order), &json!({"status": "deactivated"})).expect(200);
    let payload = json!({"certificate": base64url::encode(Scene::leaf(&chain))});
    client.post(&client.url("revokeCert"), &payload).expect(200);
}

/// Every request of a deactivated account is unauthorized, whatever it asks.
#[test]
fn rfc8555_s7_3_6_a_deactivated_account_is_refused_everything() {
    let client = scene().client("gone.disabled.test");
    let ready = client.ready(&["gone.disabled.test"]);
    let pending = client.order(&["gone.disabled.test"]);
    let challenge = client.challenge(&only(&pending), "http-01");
    client.post(client.account.as_ref().unwrap(), &json!({"status": "deactivated"})).expect(200);
    for reply in [
        client.ask_for(&["gone.disabled.test"]),
        client.post(&client.url("newAuthz"), &json!({"identifier": dns("gone.disabled.test")})),
        client.fetch(&pending.url),
        client.fetch(&only(&pending)),
        client.start(&challenge),
        client.finalize(&ready, &csr(&["gone.disabled.test"])),
        client.fetch(client.account.as_ref().unwrap()),
        client.post(client.account.as_ref().unwrap(), &json!({"status": "valid"})),
    ] {
        reply.problem(401, "unauthorized");
    }
}

/// An administrator deactivates an account as its holder does.
#[test]
fn rfc8555_s7_3_6_an_account_deactivated_by_command_is_refused() {
    let issuer = scene().issuer("admin.disabled.test");
    let client = scene().ca.client(&issuer);
    let ready = client.ready(&["admin.disabled.test"]);
    let id = scene().ca.accounts(&issuer)[0]["account_id"].to_string().trim_matches('"').to_owned();
    let arguments = ["deactivate-acme-account", "--cert-issuer-name", &issuer.name, "--acme-account-id", &id];
    scene().ca.run(&arguments).succeeded();
    client.finalize(&ready, &csr(&["admin.disabled.test"])).problem(401, "unauthorized");
    let again = issuer.client(client.key.clone()).register(&scene().ca.make_eab(&issuer));
    again.problem(401, "unauthorized");
}

/// A server cancels what a deactivated account has pending: a validation that goes on does not make it valid.
#[test]
fn rfc8555_s7_3_6_deactivating_an_account_ends_its_pending_orders() {
    let client = scene().client("cut.disabled.test");
    let server = scene().web_server_of("cut.disabled.test");
    server.answer_with(crate::world::responder::Answer::Hold);
    let authorization = only(&client.order(&["cut.disabled.test"]));
    client.prove_one(&authorization, &server);
    crate::world::patience::eventually("the validation begins", crate::world::patience::seconds(20), || {
        (!server.hits().is_empty()).then_some(())
    });
    client.post(client.account.as_ref().unwrap(), &json!({"status": "deactivated"})).expect(200);
    server.answer_with(crate::world::responder::Answer::Truth);
    // Somebody else's validation, begun later, is over before this is looked at.
    scene().client("later.disabled.test").ready(&["later.disabled.test"]);
    let number = authorization.rsplit('/').next().unwrap();
    let sql = format!("SELECT count(*) FROM challenges WHERE authorization = {number} AND validated IS NOT NULL");
    assert_eq!(scene().ca.query(&sql), "0");
    let sql = format!("SELECT deactivated IS NOT NULL FROM authorizations WHERE id = {number}");
    assert_eq!(scene().ca.query(&sql), "1");
}
