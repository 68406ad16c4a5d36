//! What may happen once happens once, however many ask at the same time.

use crate::foreign::KeyChange;
use crate::premises::{
    account_url, applicant, at_once, bound_issuer, ca, eab, issuer_with, member, member_of, order_for, stranger,
};
use crate::world::account_key::AccountKey;
use crate::world::acme::Client;
use crate::world::wire::Reply;
use serde_json::json;

const MANY: usize = 16;

/// One credential, sixteen keys: one account.
#[test]
fn rfc8555_s7_3_4_one_binding_makes_one_account_at_once() {
    let (eab, clients) = (eab(), applicants());
    let replies = at_once(MANY, |number| clients[number].clone().register(&eab));
    assert_eq!(count(&replies, 201), 1);
    for reply in replies.iter().filter(|reply| reply.status != 201) {
        reply.refused_as("unauthorized");
    }
    let refused = clients.iter().zip(&replies).filter(|(_, reply)| reply.status != 201);
    for (client, _) in refused {
        client.clone().register_with(&json!({"onlyReturnExisting": true})).problem(400, "accountDoesNotExist");
    }
}

/// A credential for three accounts, sixteen keys: three accounts.
#[test]
fn rfc8555_s7_3_4_a_binding_with_three_uses_makes_three_accounts_at_once() {
    let eab = ca().make_eab_with(bound_issuer(), &["--uses", "3"]);
    let clients = applicants();
    let replies = at_once(MANY, |number| clients[number].clone().register(&eab));
    assert_eq!(count(&replies, 201), 3);
    replies.iter().filter(|reply| reply.status != 201).for_each(|reply| _ = reply.refused_as("unauthorized"));
}

/// One key, four credentials, sixteen requests: one account, and one credential used.
#[test]
fn rfc8555_s7_3_1_one_key_makes_one_account_at_once() {
    let issuer = issuer_with(&[]);
    let client = issuer.client(AccountKey::es256());
    let eabs: Vec<_> = (0..4).map(|_| ca().make_eab(&issuer)).collect();
    let replies = at_once(MANY, |number| client.clone().register(&eabs[number % eabs.len()]));
    assert_eq!((count(&replies, 201), count(&replies, 200)), (1, MANY - 1));
    let location = replies[0].required_header("location");
    assert!(replies.iter().all(|reply| reply.required_header("location") == location));
    assert_eq!(ca().accounts(&issuer).len(), 1);
    let outstanding = ca().run(&["list-acme-eabs", "--json", "--cert-issuer-name", &issuer.name]).succeeded().stdout;
    assert_eq!(eabs.iter().filter(|eab| outstanding.contains(&eab.kid)).count(), eabs.len() - 1, "{outstanding}");
}

/// One nonce, sixteen requests, all of them signed anew: one is answered.
#[test]
fn rfc8555_s6_5_one_nonce_serves_one_request_at_once() {
    let client = member();
    for _ in 0..3 {
        let header = client.header(account_url(&client));
        let replies = at_once(MANY, |_| client.send(account_url(&client), &client.sign(&header, b"")));
        assert_eq!(count(&replies, 200), 1);
        replies.iter().filter(|reply| reply.status != 200).for_each(|reply| _ = reply.problem(400, "badNonce"));
    }
}

/// One nonce, different resources and accounts: one is answered all the same.
#[test]
fn rfc8555_s6_5_one_nonce_serves_one_account_at_once() {
    let clients: Vec<Client> = (0..MANY).map(|_| member()).collect();
    let nonce = clients[0].nonce();
    let replies = at_once(MANY, |number| {
        let client = &clients[number];
        let mut header = client.header(account_url(client));
        header["nonce"] = nonce.as_str().into();
        client.send(account_url(client), &client.sign(&header, b""))
    });
    assert_eq!(count(&replies, 200), 1);
    replies.iter().filter(|reply| reply.status != 200).for_each(|reply| _ = reply.problem(400, "badNonce"));
}

/// Sixteen new keys for one account: one of them wins, and it alone is the account's.
#[test]
fn rfc8555_s7_3_5_one_change_of_key_wins() {
    let client = member();
    let keys: Vec<AccountKey> = (0..MANY).map(|_| AccountKey::es256()).collect();
    let url = client.url("keyChange");
    let replies = at_once(MANY, |number| client.post(&url, &KeyChange::new(&client, &keys[number]).sealed()));
    assert_eq!(count(&replies, 200), 1);
    replies.iter().filter(|reply| reply.status != 200).for_each(|reply| _ = reply.refused());
    let winner = replies.iter().position(|reply| reply.status == 200).unwrap();
    for (number, key) in keys.iter().enumerate() {
        let holder = Client { key: key.clone(), ..client.clone() };
        let reply = holder.fetch(account_url(&client));
        assert_eq!(reply.status == 200, number == winner, "key {number}: {reply}");
    }
    client.fetch(account_url(&client)).refused();
}

/// Sixteen accounts want one new key: one gets it, the others are told whose it is.
#[test]
fn rfc8555_s7_3_5_one_key_goes_to_one_account() {
    let clients: Vec<Client> = (0..MANY).map(|_| member()).collect();
    let wanted = AccountKey::es256();
    let replies = at_once(MANY, |number| {
        clients[number].post(&clients[number].url("keyChange"), &KeyChange::new(&clients[number], &wanted).sealed())
    });
    assert_eq!(count(&replies, 200), 1);
    let winner = replies.iter().position(|reply| reply.status == 200).unwrap();
    for reply in replies.iter().filter(|reply| reply.status != 200) {
        reply.problem(409, "malformed");
        assert_eq!(reply.required_header("location"), account_url(&clients[winner]));
    }
}

/// A key that is registered while another account changes to it ends up with one of the two.
#[test]
fn rfc8555_s7_3_5_registration_and_change_do_not_share_a_key() {
    let issuer = issuer_with(&["--require-eab=false"]);
    let wanted = AccountKey::es256();
    let changing: Vec<Client> = (0..MANY / 2).map(|_| member_of(&issuer, AccountKey::es256())).collect();
    let registering = issuer.client(wanted.clone());
    let replies = at_once(MANY, |number| match changing.get(number) {
        Some(client) => client.post(&client.url("keyChange"), &KeyChange::new(client, &wanted).sealed()),
        None => registering.clone().register_with(&json!({})),
    });
    assert!(replies.iter().all(|reply| matches!(reply.status, 200 | 201 | 409)), "{replies:?}");
    let accounts = ca().accounts(&issuer);
    assert_eq!(accounts.iter().filter(|account| account["key_digest"] == wanted.thumbprint()).count(), 1);
}

/// Sixteen deactivations: each is told that the account is deactivated, in one way or the other.
#[test]
fn rfc8555_s7_3_6_deactivations_at_once_agree() {
    let client = member();
    let url = account_url(&client);
    let replies = at_once(MANY, |_| client.post(url, &json!({"status": "deactivated"})));
    assert!(count(&replies, 200) >= 1);
    for reply in &replies {
        match reply.status {
            200 => assert_eq!(reply.json()["status"], "deactivated", "{reply}"),
            _ => _ = reply.problem(401, "unauthorized"),
        }
    }
    client.fetch(url).problem(401, "unauthorized");
}

/// Orders that race with the deactivation are made before it or refused: nothing in between.
#[test]
fn rfc8555_s7_3_6_no_order_slips_through_a_deactivation() {
    let client = member();
    let (url, orders) = (account_url(&client), client.url("newOrder"));
    client.order(&["acme.com"]);
    let replies = at_once(MANY, |number| match number {
        0 => client.post(url, &json!({"status": "deactivated"})),
        _ => client.post(&orders, &order_for(&["acme.com"])),
    });
    replies[0].clone().expect(200);
    for reply in &replies[1..] {
        match reply.status {
            201 => {}
            401 => _ = reply.refused_as("unauthorized"),
            _ => panic!("neither made nor refused for the deactivation: {reply}"),
        }
    }
    // Nobody may ask any more, so the database is: an order that came afterwards would have an authorization that is open.
    let account = url.rsplit('/').next().unwrap();
    let authorizations =
        |which: &str| ca().query(&format!("SELECT count(*) FROM authorizations WHERE account = {account} AND {which}"));
    assert_ne!(authorizations("deactivated IS NOT NULL"), "0");
    assert_eq!(authorizations("deactivated IS NULL"), "0");
}

/// Contacts written at once: the last is kept whole, whichever that is.
#[test]
fn rfc8555_s7_3_2_updates_at_once_do_not_mix() {
    let client = member();
    let url = account_url(&client);
    let contacts = |number: usize| json!([format!("mailto:a{number}@acme.com"), format!("mailto:b{number}@acme.com")]);
    let replies = at_once(MANY, |number| client.post(url, &json!({"contact": contacts(number)})));
    assert_eq!(count(&replies, 200), MANY);
    let kept = client.fetch(url).expect(200).json()["contact"].clone();
    assert!((0..MANY).any(|number| kept == contacts(number)), "{kept}");
}

/// Sixteen newcomers at once are sixteen accounts.
#[test]
fn rfc8555_s7_3_newcomers_at_once_get_accounts_of_their_own() {
    let clients: Vec<Client> = (0..MANY).map(|_| stranger()).collect();
    let replies = at_once(MANY, |number| clients[number].clone().register_with(&json!({})));
    assert_eq!(count(&replies, 201), MANY);
    let mut locations: Vec<_> = replies.iter().map(|reply| reply.required_header("location")).collect();
    locations.sort_unstable();
    locations.dedup();
    assert_eq!(locations.len(), MANY);
}

fn applicants() -> Vec<Client> {
    (0..MANY).map(|_| applicant()).collect()
}

fn count(replies: &[Reply], status: u16) -> usize {
    replies.iter().filter(|reply| reply.status == status).count()
}
