//! RFC 8555, 7.3.6: an account ends itself.

use crate::premises::{account_url, member, name, responder};
use crate::world::account_key::AccountKey;
use crate::world::acme::Client;
use crate::world::csr::Csr;
use crate::world::issuer::text;
use serde_json::json;

/// Deactivation answers 200 with the account, which is deactivated now.
#[test]
fn rfc8555_s7_3_6_deactivation_is_200() {
    let client = member();
    let account = client.post(account_url(&client), &json!({"status": "deactivated"})).expect(200).json();
    assert_eq!(account["status"], "deactivated", "{account}");
}

/// From then on every request of the account is 401 and unauthorized.
#[test]
fn rfc8555_s7_3_6_a_deactivated_account_is_401() {
    let client = member();
    let order = client.order(&[&name()]);
    let authorization = order.authorizations()[0].clone();
    let challenge = text(&client.http_01(&authorization), "url");
    deactivate(&client);
    for url in [account_url(&client), &order.url, &authorization, &challenge, &client.url("newNonce")] {
        client.fetch(url).problem(401, "unauthorized");
    }
    for (url, payload) in [
        (client.url("newOrder"), json!({"identifiers": [{"type": "dns", "value": "acme.com"}]})),
        (client.url("newAuthz"), json!({"identifier": {"type": "dns", "value": "acme.com"}})),
        (client.url("keyChange"), json!({})),
        (client.url("revokeCert"), json!({"certificate": "AAAA"})),
        (challenge.clone(), json!({})),
        (text(&order.body, "finalize"), json!({"csr": "AAAA"})),
        (account_url(&client).to_string(), json!({"contact": []})),
    ] {
        client.post(&url, &payload).problem(401, "unauthorized");
    }
}

/// There is no way back, and deactivating twice is refused like everything else.
#[test]
fn rfc8555_s7_3_6_there_is_no_way_back() {
    let client = member();
    deactivate(&client);
    for status in ["valid", "deactivated"] {
        client.post(account_url(&client), &json!({"status": status})).problem(401, "unauthorized");
    }
}

/// Its key makes no new account.
#[test]
fn rfc8555_s7_3_6_the_key_of_a_deactivated_account_stays_refused() {
    let mut client = member();
    deactivate(&client);
    for payload in [json!({}), json!({"onlyReturnExisting": true}), json!({"termsOfServiceAgreed": true})] {
        client.register_with(&payload).problem(401, "unauthorized");
    }
}

/// Nobody changes his key to that of a deactivated account.
#[test]
fn rfc8555_s7_3_5_the_key_of_a_deactivated_account_is_taken() {
    let gone = member();
    deactivate(&gone);
    let client = member();
    let change = crate::foreign::KeyChange::new(&client, &gone.key).sealed();
    client.post(&client.url("keyChange"), &change).problem(409, "malformed");
    client.fetch(account_url(&client)).expect(200);
}

/// Whatever else stands beside the status: the account is deactivated.
#[test]
fn rfc8555_s7_3_6_deactivation_together_with_contacts() {
    let client = member();
    let update = json!({"status": "deactivated", "contact": ["mailto:a@acme.com"]});
    assert_eq!(client.post(account_url(&client), &update).expect(200).json()["status"], "deactivated");
    client.fetch(account_url(&client)).problem(401, "unauthorized");
}

/// A ready order of a deactivated account yields no certificate.
#[test]
fn rfc8555_s7_3_6_pending_orders_end_with_the_account() {
    let client = member();
    let host = name();
    let order = client.ready_order(&[&host], responder());
    deactivate(&client);
    client.finalize(&order, &Csr::for_names(&[&host])).problem(401, "unauthorized");
}

/// A signature that is not the account's learns nothing of its state.
#[test]
fn rfc8555_s7_3_6_strangers_do_not_learn_that_an_account_is_deactivated() {
    let client = member();
    let mut stranger = client.clone();
    stranger.key = AccountKey::es256();
    let before = stranger.fetch(account_url(&client));
    deactivate(&client);
    let after = stranger.fetch(account_url(&client));
    before.refused();
    assert_eq!((before.status, before.json()), (after.status, after.json()));
}

/// A nonce that was used to deactivate cannot be used to try again.
#[test]
fn rfc8555_s7_3_6_a_deactivation_cannot_be_replayed() {
    let client = member();
    let url = account_url(&client);
    let jws = client.sign(&client.header(url), br#"{"status": "deactivated"}"#);
    client.send(url, &jws).expect(200);
    client.send(url, &jws).problem(400, "badNonce");
}

fn deactivate(client: &Client) {
    client.post(account_url(client), &json!({"status": "deactivated"})).expect(200);
}
