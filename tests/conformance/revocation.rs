//! RFC 8555, 7.6: revokeCert.

use crate::proof::{Steps, assert_valid, at_once, only};
use crate::request::{Request, csr};
use crate::scene::{Scene, scene};
use crate::world::account_key::AccountKey;
use crate::world::acme::Client;
use crate::world::base64url;
use crate::world::wire::Reply;
use serde_json::{Value, json};

/// What keyCompromise leads to, by whoever may say so.
const KEY_COMPROMISE: u64 = 1;

fn payload(der: &[u8], reason: Option<Value>) -> Value {
    let mut payload = json!({"certificate": base64url::encode(der)});
    if let Some(reason) = reason {
        payload["reason"] = reason;
    }
    payload
}

fn revoke(client: &Client, der: &[u8], reason: Option<Value>) -> Reply {
    client.post(&client.url("revokeCert"), &payload(der, reason))
}

/// The same, signed with a key instead of an account.
fn revoke_by_key(client: &Client, key: &AccountKey, der: &[u8], reason: Option<Value>) -> Reply {
    let signer = Client { key: key.clone(), account: None, ..client.clone() };
    revoke(&signer, der, reason)
}

/// The DER of a fresh certificate under this key.
fn certified(client: &Client, name: &str, key: &AccountKey) -> Vec<u8> {
    let order = client.ready(&[name]);
    client.finalize(&order, &Request::new(&[name]).with_key(key).build()).expect(200);
    Scene::leaf(&client.certificate(&order))
}

/// The account that ordered a certificate revokes it; the reply is empty.
#[test]
fn rfc8555_s7_6_the_account_that_ordered_it_revokes_a_certificate() {
    let client = scene().client("owner.revoke.test");
    let leaf = Scene::leaf(&client.issue(&["owner.revoke.test"]));
    let reply = revoke(&client, &leaf, None).expect(200);
    assert!(reply.body.is_empty(), "{reply}");
    revoke(&client, &leaf, None).problem(400, "alreadyRevoked");
}

/// Whoever has the certificate's key revokes it, without an account.
#[test]
fn rfc8555_s7_6_the_certificates_own_key_revokes_it() {
    let client = scene().client("bykey.revoke.test");
    let key = AccountKey::es256();
    let leaf = certified(&client, "bykey.revoke.test", &key);
    revoke_by_key(&client, &AccountKey::es256(), &leaf, None).problem(403, "unauthorized");
    revoke_by_key(&client, &key, &leaf, Some(json!(4))).expect(200);
    revoke_by_key(&client, &key, &leaf, None).problem(400, "alreadyRevoked");
}

/// An account that holds valid authorizations for all names of a certificate revokes it too.
#[test]
fn rfc8555_s7_6_an_account_that_controls_all_names_revokes_a_certificate() {
    let issuer = scene().issuer("a.control.test,b.control.test");
    let (owner, other) = (scene().ca.client(&issuer), scene().ca.client(&issuer));
    let leaf = Scene::leaf(&owner.issue(&["a.control.test", "b.control.test"]));
    revoke(&other, &leaf, None).problem(403, "unauthorized");
    let half = other.ready(&["a.control.test"]);
    revoke(&other, &leaf, None).problem(403, "unauthorized");
    other.ready(&["b.control.test"]);
    revoke(&other, &leaf, Some(json!(KEY_COMPROMISE))).expect(200);
    assert_eq!(half.body["status"], "ready");
    // Somebody who merely holds the names cannot say that the key is compromised: such a revocation is always reason 5.
    let serial: String = serial_of(&leaf);
    let sql = format!(
        "SELECT r.reason FROM revocations r JOIN certificates c ON c.id = r.certificate WHERE lower(hex(c.serial)) = '{serial}'"
    );
    assert_eq!(scene().ca.query(&sql), "5");
}

/// An authorization that was given up does not count.
#[test]
fn rfc8555_s7_6_a_deactivated_authorization_does_not_count() {
    let issuer = scene().issuer("lost.revoke.test");
    let (owner, other) = (scene().ca.client(&issuer), scene().ca.client(&issuer));
    let leaf = Scene::leaf(&owner.issue(&["lost.revoke.test"]));
    let order = other.ready(&["lost.revoke.test"]);
    other.post(&only(&order), &json!({"status": "deactivated"})).expect(200);
    revoke(&other, &leaf, None).problem(403, "unauthorized");
}

/// The name below a wildcard is not the wildcard, nor the other way round.
#[test]
fn rfc8555_s7_6_a_name_does_not_stand_for_its_wildcard() {
    let issuer = scene().issuer_with("wild.revoke.test", &["--allow-subdomains"]);
    let (owner, other) = (scene().ca.client(&issuer), scene().ca.client(&issuer));
    let order = owner.order(&["*.wild.revoke.test"]);
    assert_valid(&owner.prove_by_dns(&only(&order)));
    owner.finalize(&order, &csr(&["*.wild.revoke.test"])).expect(200);
    let leaf = Scene::leaf(&owner.certificate(&order));
    other.ready(&["wild.revoke.test"]);
    other.ready(&["a.wild.revoke.test"]);
    revoke(&other, &leaf, None).problem(403, "unauthorized");
}

/// A stranger without anything revokes nothing, whichever way the request is signed.
#[test]
fn rfc8555_s7_6_strangers_revoke_nothing() {
    let issuer = scene().issuer("safe.revoke.test");
    let (owner, stranger) = (scene().ca.client(&issuer), scene().ca.client(&issuer));
    let leaf = Scene::leaf(&owner.issue(&["safe.revoke.test"]));
    revoke(&stranger, &leaf, None).problem(403, "unauthorized");
    revoke_by_key(&stranger, &stranger.key, &leaf, None).problem(403, "unauthorized");
    // The owner's account key is not the certificate's.
    revoke_by_key(&owner, &owner.key, &leaf, None).problem(403, "unauthorized");
    revoke(&owner, &leaf, None).expect(200);
}

/// A request whose signature is forged, by account or by key, revokes nothing (ADCS-ACME, issues 115 and 116).
#[test]
fn rfc8555_s7_6_a_forged_signature_revokes_nothing() {
    let client = scene().client("forged.revoke.test");
    let key = AccountKey::es256();
    let leaf = certified(&client, "forged.revoke.test", &key);
    let url = client.url("revokeCert");
    let by_key = Client { key: key.clone(), account: None, ..client.clone() };
    for honest in [&client, &by_key] {
        // Signed by somebody else in the name of the account or of the key.
        let forger = Client { key: AccountKey::es256(), ..honest.clone() };
        let jws = forger.sign(&honest.header(&url), payload(&leaf, None).to_string().as_bytes());
        forger.send(&url, &jws).refused();
        // A payload under a signature that was made for another.
        let mut jws = honest.sign(&honest.header(&url), b"{}");
        jws.payload = base64url::encode(payload(&leaf, None).to_string());
        honest.send(&url, &jws).refused();
        let mut jws = honest.sign(&honest.header(&url), payload(&leaf, None).to_string().as_bytes());
        jws.signature = base64url::encode([0; 64]);
        honest.send(&url, &jws).refused();
    }
    revoke(&client, &leaf, None).expect(200);
}

/// The certificate is compared byte for byte: one with the same serial number and key is not it.
#[test]
fn rfc8555_s7_6_the_certificate_is_compared_byte_for_byte() {
    let client = scene().client("bytes.revoke.test");
    let leaf = Scene::leaf(&client.issue(&["bytes.revoke.test"]));
    let mut signature = leaf.clone();
    *signature.last_mut().unwrap() ^= 1;
    let mut name = leaf.clone();
    let at = name.windows(17).position(|window| window == b"bytes.revoke.test").unwrap();
    name[at] = b'x';
    for (what, der) in [
        ("another signature", signature),
        ("another name", name),
        ("more behind it", [&leaf[..], &[0]].concat()),
        ("less", leaf[..leaf.len() - 1].to_vec()),
        ("nothing", Vec::new()),
        ("no certificate", b"hello".to_vec()),
    ] {
        let reply = revoke(&client, &der, None);
        assert!(reply.status != 200, "{what} was revoked");
        reply.refused();
    }
    revoke(&client, &leaf, None).expect(200);
}

/// The certificate comes as base64url of DER, as the member `certificate`.
#[test]
fn rfc8555_s7_6_a_certificate_in_another_form_is_refused() {
    let client = scene().client("form.revoke.test");
    let chain = client.issue(&["form.revoke.test"]);
    let encoded = base64url::encode(Scene::leaf(&chain));
    for payload in [
        json!({}),
        json!({"certificate": null}),
        json!({"certificate": chain}),
        json!({"certificate": [encoded]}),
        json!({"certificate": format!("{encoded}=")}),
        json!({"certificate": format!("{encoded} ")}),
        json!([encoded]),
    ] {
        client.post(&client.url("revokeCert"), &payload).refused();
    }
    client.post(&client.url("revokeCert"), &json!({"certificate": encoded})).expect(200);
}

/// Certificates of other CAs and of other issuers, and the issuer's own, are not to be revoked here.
#[test]
fn rfc8555_s7_6_other_certificates_are_not_revoked() {
    let (client, other) = (scene().client("here.revoke.test"), scene().client("there.revoke.test"));
    let chain = client.issue(&["here.revoke.test"]);
    let foreign = crate::tls_responder::Certificate::with(&["subjectAltName=DNS:here.revoke.test"]).der;
    let root = crate::world::judges::certificates(&chain)[1].to_vec();
    for der in [foreign, root] {
        revoke(&client, &der, None).refused();
    }
    // An account of another issuer, although that has the same signer.
    revoke(&other, &Scene::leaf(&chain), None).refused();
    revoke(&client, &Scene::leaf(&chain), None).expect(200);
}

/// Of the reasons of RFC 5280, 5.3.1, a client may choose 0, 1, 3, 4, 5 and 9.
#[test]
fn rfc8555_s7_6_a_client_chooses_among_the_reasons_for_leaves() {
    let client = scene().client("reason.revoke.test");
    for reason in [0, 1, 3, 4, 5, 9] {
        let leaf = Scene::leaf(&client.issue(&["reason.revoke.test"]));
        revoke(&client, &leaf, Some(json!(reason))).expect(200);
        let sql = format!(
            "SELECT r.reason FROM revocations r JOIN certificates c ON c.id = r.certificate WHERE lower(hex(c.serial)) = '{}'",
            serial_of(&leaf)
        );
        assert_eq!(scene().ca.query(&sql), reason.to_string());
    }
}

/// The others are badRevocationReason, and the certificate stays as it was.
#[test]
fn rfc8555_s7_6_other_reasons_are_refused() {
    let client = scene().client("noreason.revoke.test");
    let leaf = Scene::leaf(&client.issue(&["noreason.revoke.test"]));
    for reason in [2, 6, 7, 8, 10, 11, 255, 65_536] {
        revoke(&client, &leaf, Some(json!(reason))).problem(400, "badRevocationReason");
    }
    for reason in [json!("1"), json!(-1), json!(1.5), json!([1]), json!(null), json!(true), json!({})] {
        revoke(&client, &leaf, Some(reason)).refused();
    }
    revoke(&client, &leaf, Some(json!(1))).expect(200);
}

/// A key that its own holder calls compromised is certified no more, and opens no account.
#[test]
fn rfc8555_s7_6_a_compromised_key_is_blocked_for_ever() {
    let issuer = scene().issuer("burnt.revoke.test");
    let client = scene().ca.client(&issuer);
    let key = AccountKey::es256();
    let leaf = certified(&client, "burnt.revoke.test", &key);
    revoke_by_key(&client, &key, &leaf, Some(json!(KEY_COMPROMISE))).expect(200);
    let order = client.ready(&["burnt.revoke.test"]);
    let again = Request::new(&["burnt.revoke.test"]).with_key(&key).build();
    let reply = client.finalize(&order, &again);
    reply.refused();
    let kind = reply.json()["type"].as_str().unwrap().to_owned();
    assert!(kind.ends_with(":badCSR") || kind.ends_with(":badPublicKey"), "{reply}");
    client.finalize(&order, &csr(&["burnt.revoke.test"])).expect(200);
    issuer.client(key).register(&scene().ca.make_eab(&issuer)).refused();
}

/// An account that says keyCompromise of its own certificate does not block the key: it may not be the account's.
#[test]
fn rfc8555_s7_6_an_account_does_not_block_a_key() {
    let client = scene().client("unburnt.revoke.test");
    let key = AccountKey::es256();
    let leaf = certified(&client, "unburnt.revoke.test", &key);
    revoke(&client, &leaf, Some(json!(KEY_COMPROMISE))).expect(200);
    certified(&client, "unburnt.revoke.test", &key);
}

/// Sixteen requests at once revoke a certificate once.
#[test]
fn rfc8555_s7_6_revocations_that_race_revoke_once() {
    let client = scene().client("race.revoke.test");
    let key = AccountKey::es256();
    let leaf = certified(&client, "race.revoke.test", &key);
    let replies = at_once(16, |number| match number % 2 {
        0 => revoke(&client, &leaf, Some(json!(4))),
        _ => revoke_by_key(&client, &key, &leaf, Some(json!(5))),
    });
    assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 1);
    for reply in replies.iter().filter(|reply| reply.status != 200) {
        reply.problem(400, "alreadyRevoked");
    }
}

/// A deactivated account revokes nothing; the certificate's key still does.
#[test]
fn rfc8555_s7_3_6_a_deactivated_account_revokes_nothing() {
    let client = scene().client("deactivated.revoke.test");
    let key = AccountKey::es256();
    let leaf = certified(&client, "deactivated.revoke.test", &key);
    client.post(client.account.as_ref().unwrap(), &json!({"status": "deactivated"})).expect(200);
    revoke(&client, &leaf, None).problem(401, "unauthorized");
    revoke_by_key(&client, &key, &leaf, None).expect(200);
}

/// The serial number in hexadecimal, from the certificate's beginning: SEQUENCE, SEQUENCE, version, INTEGER.
fn serial_of(der: &[u8]) -> String {
    // Two headers of four octets, and five octets of version.
    let number = &der[13..];
    assert_eq!(number[0], 2);
    let serial = &number[2..2 + usize::from(number[1])];
    let serial = serial.strip_prefix(&[0]).unwrap_or(serial);
    serial.iter().map(|byte| format!("{byte:02x}")).collect()
}
