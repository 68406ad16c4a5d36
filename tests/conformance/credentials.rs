//! RFC 8555, 7.3.4: external account bindings, and what an administrator bounds by them.

use crate::judge::{leaf_facts, names};
use crate::proof::{Steps, at_once, dns, only};
use crate::request::csr;
use crate::scene::{Scene, scene};
use crate::world::account_key::AccountKey;
use crate::world::acme::Client;
use crate::world::base64url;
use crate::world::issuer::{Eab, Issuer};
use crate::world::outcome::assert_says;
use crate::world::patience::{eventually, seconds};
use serde_json::{Value, json};
use std::time::Duration;

/// A client whose account was made with a credential of this kind.
fn client_with(issuer: &Issuer, flags: &[&str]) -> (Client, Eab) {
    let eab = scene().ca.make_eab_with(issuer, flags);
    let mut client = issuer.client(AccountKey::es256());
    client.register(&eab).expect(201);
    (client, eab)
}

fn outstanding(issuer: &Issuer) -> Vec<Value> {
    let reply = scene().ca.run(&["list-acme-eabs", "--json", "--cert-issuer-name", &issuer.name]).succeeded().json();
    reply["eabs"].as_array().unwrap_or_else(|| panic!("{reply}")).clone()
}

/// A credential makes one account unless more are allowed.
#[test]
fn rfc8555_s7_3_4_a_credential_makes_as_many_accounts_as_it_may() {
    let issuer = scene().issuer("uses.eab.test");
    for (flags, uses) in [(&[][..], 1), (&["--uses", "3"], 3)] {
        let eab = scene().ca.make_eab_with(&issuer, flags);
        for _ in 0..uses {
            issuer.client(AccountKey::es256()).register(&eab).expect(201);
        }
        issuer.client(AccountKey::es256()).register(&eab).problem(403, "unauthorized");
    }
}

/// Sixteen clients at once with a credential for three accounts: three accounts.
#[test]
fn rfc8555_s7_3_4_registrations_that_race_use_a_credential_no_more_than_allowed() {
    let issuer = scene().issuer("race.eab.test");
    let eab = scene().ca.make_eab_with(&issuer, &["--uses", "3"]);
    let clients: Vec<Client> = (0..16).map(|_| issuer.client(AccountKey::es256())).collect();
    let replies = at_once(16, |number| clients[number].clone().register(&eab));
    assert_eq!(replies.iter().filter(|reply| reply.status == 201).count(), 3);
    for reply in replies.iter().filter(|reply| reply.status != 201) {
        reply.problem(403, "unauthorized");
    }
    assert_eq!(scene().ca.accounts(&issuer).len(), 3);
}

/// A credential that was taken back, has expired, or belongs to another issuer makes no account.
#[test]
fn rfc8555_s7_3_4_a_credential_that_is_not_valid_makes_no_account() {
    let issuer = scene().issuer("void.eab.test");
    let revoked = scene().ca.make_eab(&issuer);
    scene().ca.run(&["revoke-acme-eab", "--kid", &revoked.kid]).succeeded();
    let expired = scene().ca.make_eab_with(&issuer, &["--ttl", "1s"]);
    let foreign = scene().ca.make_eab(&scene().issuer("other.eab.test"));
    std::thread::sleep(Duration::from_millis(2_100));
    for eab in [revoked, expired, foreign] {
        issuer.client(AccountKey::es256()).register(&eab).problem(403, "unauthorized");
    }
    assert!(scene().ca.accounts(&issuer).is_empty());
}

/// `list-acme-eabs` shows what is outstanding, and no secret; what is used up or taken back is gone from it.
#[test]
fn eab_list_shows_what_is_outstanding() {
    let issuer = scene().issuer("list.eab.test");
    let kept = scene().ca.make_eab_with(&issuer, &["--uses", "2", "--contact-note", "for the printer"]);
    let used = scene().ca.make_eab(&issuer);
    let taken = scene().ca.make_eab(&issuer);
    issuer.client(AccountKey::es256()).register(&kept).expect(201);
    issuer.client(AccountKey::es256()).register(&used).expect(201);
    scene().ca.run(&["revoke-acme-eab", "--kid", &taken.kid]).succeeded();
    let list = outstanding(&issuer);
    assert_eq!(list.len(), 1, "{list:?}");
    assert_eq!(list[0]["kid"], json!(kept.kid));
    assert_eq!((&list[0]["uses"], &list[0]["used"]), (&json!(2), &json!(1)));
    assert_eq!(list[0]["contact_note"], "for the printer");
    assert!(!json!(list).to_string().contains(&kept.mac_key));
    scene().ca.run(&["revoke-acme-eab", "--kid", "no-such-kid"]).refused();
}

/// An account keeps the bounds of its credential: names outside are rejected, in newOrder and newAuthz.
#[test]
fn eab_allowed_domains_bound_the_account() {
    let issuer = scene().issuer_with("bound.eab.test", &["--allow-subdomains"]);
    let (client, _) = client_with(&issuer, &["--allowed-domains", "www.bound.eab.test,*.lab.bound.eab.test"]);
    for name in ["www.bound.eab.test", "a.lab.bound.eab.test", "*.lab.bound.eab.test"] {
        client.ask_for(&[name]).expect(201);
    }
    for name in [
        "bound.eab.test",
        "a.www.bound.eab.test",
        "lab.bound.eab.test",
        "b.a.lab.bound.eab.test",
        "*.a.lab.bound.eab.test",
        "*.bound.eab.test",
        "ww.bound.eab.test",
    ] {
        client.ask_for(&[name]).problem(400, "rejectedIdentifier");
    }
    let reply = client.ask_for(&["www.bound.eab.test", "other.bound.eab.test"]);
    reply.problem(400, "rejectedIdentifier");
    assert_eq!(reply.json()["subproblems"].as_array().unwrap().len(), 1);
    let payload = json!({"identifier": dns("other.bound.eab.test")});
    client.post(&client.url("newAuthz"), &payload).problem(400, "rejectedIdentifier");
    let ancestor = json!({"type": "dns", "value": "a.lab.bound.eab.test", "ancestorDomain": "bound.eab.test"});
    client.request_order(&json!({"identifiers": [ancestor]})).problem(400, "rejectedIdentifier");
    // Another account of the same issuer is not bound.
    scene().ca.client(&issuer).ask_for(&["other.bound.eab.test"]).expect(201);
}

/// The bounds stay within what the issuer allows.
#[test]
fn eab_allowed_domains_do_not_widen_the_issuer() {
    let issuer = scene().issuer("narrow.eab.test");
    let (client, _) = client_with(&issuer, &["--allowed-domains", "narrow.eab.test,wide.eab.test"]);
    client.ask_for(&["narrow.eab.test"]).expect(201);
    client.ask_for(&["wide.eab.test"]).problem(400, "rejectedIdentifier");
}

/// Bounds go with the account, not with the key: a new key changes nothing.
#[test]
fn eab_allowed_domains_survive_a_key_change() {
    let issuer = scene().issuer("a.rekey.test,b.rekey.test");
    let (client, _) = client_with(&issuer, &["--allowed-domains", "a.rekey.test"]);
    let (url, account) = (client.url("keyChange"), client.account.clone().unwrap());
    let key = AccountKey::es256();
    let next = Client { key: key.clone(), ..client.clone() };
    let header = json!({"alg": "ES256", "jwk": key.jwk, "url": url});
    let inner = next.sign(&header, json!({"account": account, "oldKey": client.key.jwk}).to_string().as_bytes());
    client.post(&url, &inner.flattened()).expect(200);
    next.ask_for(&["a.rekey.test"]).expect(201);
    next.ask_for(&["b.rekey.test"]).problem(400, "rejectedIdentifier");
}

/// `--no-challenge`: the account is authorized for its names at once, in the shape that clients know.
#[test]
fn eab_no_challenge_authorizes_at_once() {
    let issuer = scene().issuer_with("free.eab.test", &["--allow-subdomains"]);
    let (client, _) = client_with(&issuer, &["--no-challenge", "--allowed-domains", "free.eab.test,*.free.eab.test"]);
    let order = client.order(&["free.eab.test", "*.free.eab.test"]);
    assert_eq!(order.body["status"], "ready");
    for authorization in order.authorizations() {
        let body = client.fetch(&authorization).expect(200).json();
        assert_eq!(body["status"], "valid");
        let challenges = body["challenges"].as_array().unwrap();
        assert_eq!(challenges.len(), 1, "{body}");
        assert_eq!(challenges[0]["status"], "valid");
        assert!(["http-01", "dns-01", "tls-alpn-01"].contains(&challenges[0]["type"].as_str().unwrap()));
        assert!(challenges[0]["validated"].is_string());
    }
    client.finalize(&order, &csr(&["free.eab.test", "*.free.eab.test"])).expect(200);
    let facts = leaf_facts(&client.certificate(&order));
    assert_eq!(names(&facts), ["DNSName:*.free.eab.test", "DNSName:free.eab.test"]);
    client.ask_for(&["other.eab.test"]).problem(400, "rejectedIdentifier");
}

/// It needs names, and makes one account.
#[test]
fn eab_no_challenge_needs_names_and_makes_one_account() {
    let issuer = scene().issuer("strict.eab.test");
    let generate = ["generate-acme-eab", "--cert-issuer-name", &issuer.name, "--no-challenge"];
    assert_says(&scene().ca.run(&generate).refused(), &["--allowed-domains"]);
    let names = ["--allowed-domains", "strict.eab.test"];
    assert_says(&scene().ca.run(&[&generate[..], &names, &["--uses", "2"]].concat()).refused(), &["--uses"]);
    let past = ["--authorized-until", "2020-01-01T00:00:00Z"];
    assert_says(&scene().ca.run(&[&generate[..], &names, &past].concat()).refused(), &["--authorized-until"]);
    let (_, eab) = client_with(&issuer, &["--no-challenge", "--allowed-domains", "strict.eab.test"]);
    issuer.client(AccountKey::es256()).register(&eab).problem(403, "unauthorized");
}

/// Taking the credential back ends what it authorized: no order is ready any more, new ones need proof.
#[test]
fn eab_revoking_ends_what_it_authorized() {
    let issuer = scene().issuer("ended.eab.test");
    let (client, eab) = client_with(&issuer, &["--no-challenge", "--allowed-domains", "ended.eab.test"]);
    let order = client.order(&["ended.eab.test"]);
    assert_eq!(order.body["status"], "ready");
    scene().ca.run(&["revoke-acme-eab", "--kid", &eab.kid]).succeeded();
    client.finalize(&order, &csr(&["ended.eab.test"])).problem(403, "orderNotReady");
    let proved = client.order(&["ended.eab.test"]);
    assert_eq!(proved.body["status"], "pending");
    client.prove(&proved, &scene().http);
    assert_eq!(client.settled(&proved.url, &["pending"])["status"], "ready");
}

/// `--authorized-until`: the authorization ends with it, and later orders need proof.
#[test]
fn eab_authorized_until_ends_the_authorization() {
    let issuer = scene().issuer("until.eab.test");
    let until = String::from_utf8(
        std::process::Command::new("/usr/bin/date")
            .args(["-u", "-d", "+4 seconds", "+%FT%TZ"])
            .output()
            .unwrap()
            .stdout,
    )
    .unwrap();
    let flags = ["--no-challenge", "--allowed-domains", "until.eab.test", "--authorized-until", until.trim()];
    let (client, _) = client_with(&issuer, &flags);
    let order = client.order(&["until.eab.test"]);
    assert_eq!(order.body["status"], "ready");
    let authorization = || client.fetch(&only(&order)).expect(200).json();
    assert!(authorization()["expires"].as_str().unwrap() <= until.trim(), "{}, until {until}", authorization());
    eventually("the authorization ends", seconds(20), || (authorization()["status"] == "expired").then_some(()));
    client.finalize(&order, &csr(&["until.eab.test"])).problem(403, "orderNotReady");
    assert_eq!(client.order(&["until.eab.test"]).body["status"], "pending");
}

/// An authorization without a challenge proves nothing, so it does not count for revoking another account's certificate.
#[test]
fn eab_no_challenge_does_not_revoke_for_others() {
    let issuer = scene().issuer("others.eab.test");
    let leaf = Scene::leaf(&scene().ca.client(&issuer).issue(&["others.eab.test"]));
    let (client, _) = client_with(&issuer, &["--no-challenge", "--allowed-domains", "others.eab.test"]);
    assert_eq!(client.order(&["others.eab.test"]).body["status"], "ready");
    let payload = json!({"certificate": base64url::encode(leaf)});
    client.post(&client.url("revokeCert"), &payload).problem(403, "unauthorized");
}
