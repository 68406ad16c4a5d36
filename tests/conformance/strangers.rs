//! RFC 8555, 6.3 and 10.5: what belongs to one account is closed to every other, whoever asks and in whatever way.

use crate::premises::{
    account_url, bound_issuer, ca, issuer_with, member, member_of, name, open_issuer, responder, stranger,
};
use crate::world::account_key::AccountKey;
use crate::world::acme::{Client, Order};
use crate::world::base64url;
use crate::world::csr::Csr;
use crate::world::issuer::text;
use crate::world::wire::Reply;
use serde_json::{Value, json};
use std::sync::LazyLock;

/// Somebody with everything that there is to see.
struct Victim {
    client: Client,
    order: Order,
    authorization: String,
    challenge: String,
    /// Ready to be finalized.
    ready: Order,
    certificate: String,
}

static VICTIM: LazyLock<Victim> = LazyLock::new(|| {
    let client = member();
    let (order, issued) = (client.order(&[&name()]), name());
    let authorization = order.authorizations()[0].clone();
    let finished = client.ready_order(&[&issued], responder());
    client.finalize(&finished, &Csr::for_names(&[&issued])).expect(200);
    let body = client.settled(&finished.url, &["ready", "processing"]);
    Victim {
        challenge: text(&client.http_01(&authorization), "url"),
        ready: client.ready_order(&[&name()], responder()),
        certificate: text(&body, "certificate"),
        client,
        order,
        authorization,
    }
});

/// The account of somebody else is neither read nor changed nor deactivated.
#[test]
fn rfc8555_s6_3_an_account_is_closed_to_others() {
    let (victim, thief) = (&VICTIM.client, member());
    let url = account_url(victim);
    let before = victim.fetch(url).expect(200).json();
    assert_closed(&thief.fetch(url));
    for payload in [json!({}), json!({"contact": ["mailto:thief@acme.com"]}), json!({"status": "deactivated"})] {
        assert_closed(&thief.post(url, &payload));
    }
    assert_eq!(victim.fetch(url).expect(200).json(), before);
}

/// So is its list of orders.
#[test]
fn rfc8555_s6_3_a_list_of_orders_is_closed_to_others() {
    let list = text(&VICTIM.client.fetch(account_url(&VICTIM.client)).json(), "orders");
    assert_closed(&member().fetch(&list));
    assert_closed(&member().fetch(&format!("{list}?cursor=0")));
}

/// An order is not read, and nobody else learns its names.
#[test]
fn rfc8555_s6_3_an_order_is_closed_to_others() {
    let reply = member().fetch(&VICTIM.order.url);
    assert_closed(&reply);
    let identifier = &VICTIM.order.body["identifiers"][0]["value"];
    assert!(!reply.text().contains(identifier.as_str().unwrap()), "{reply}");
}

/// Nobody finalizes an order that somebody else made ready.
#[test]
fn rfc8555_s6_3_nobody_else_finalizes_an_order() {
    let host = text(&VICTIM.ready.body["identifiers"][0], "value");
    assert_closed(&member().finalize(&VICTIM.ready, &Csr::for_names(&[&host])));
    assert_eq!(VICTIM.client.fetch(&VICTIM.ready.url).expect(200).json()["status"], "ready");
}

/// An authorization is neither read nor deactivated.
#[test]
fn rfc8555_s6_3_an_authorization_is_closed_to_others() {
    let thief = member();
    assert_closed(&thief.fetch(&VICTIM.authorization));
    for payload in [json!({}), json!({"status": "deactivated"})] {
        assert_closed(&thief.post(&VICTIM.authorization, &payload));
    }
    assert_eq!(VICTIM.client.fetch(&VICTIM.authorization).expect(200).json()["status"], "pending");
}

/// A challenge is neither read nor answered by others, who could make it fail.
#[test]
fn rfc8555_s6_3_a_challenge_is_closed_to_others() {
    let thief = member();
    let reply = thief.fetch(&VICTIM.challenge);
    assert_closed(&reply);
    let own = VICTIM.client.fetch(&VICTIM.challenge).expect(200).json();
    assert!(!reply.text().contains(&text(&own, "token")), "{reply}");
    assert_closed(&thief.post(&VICTIM.challenge, &json!({})));
    assert_eq!(VICTIM.client.fetch(&VICTIM.challenge).expect(200).json()["status"], "pending");
}

/// A certificate is fetched by the account that ordered it (7.4.2).
#[test]
fn rfc8555_s6_3_a_certificate_is_closed_to_others() {
    VICTIM.client.fetch(&VICTIM.certificate).expect(200);
    let reply = member().fetch(&VICTIM.certificate);
    assert_closed(&reply);
    assert!(!reply.text().contains("BEGIN"), "{reply}");
}

/// Somebody without an account has nothing at all, whichever key he shows.
#[test]
fn rfc8555_s6_3_without_an_account_nothing_is_open() {
    let nobody = stranger();
    let mut pretender = stranger();
    pretender.account.clone_from(&VICTIM.client.account);
    for url in closed_urls() {
        nobody.fetch(&url).problem(400, "malformed");
        pretender.fetch(&url).refused();
        for method in ["GET", "HEAD"] {
            assert_eq!(nobody.wire.request(method, &url, &[], b"").status, 405, "{method} {url}");
        }
    }
}

/// An account of another issuer is a stranger too: by its own directory's paths, and by ours.
#[test]
fn rfc8555_s6_3_accounts_of_other_issuers_see_nothing() {
    let other = issuer_with(&["--require-eab=false"]);
    let thief = member_of(&other, AccountKey::es256());
    let ours = open_issuer().directory.trim_end_matches("directory").to_string();
    let theirs = other.directory.trim_end_matches("directory").to_string();
    for url in closed_urls() {
        thief.fetch(&url).problem(400, "accountDoesNotExist");
        let carried_over = url.replace(&ours, &theirs);
        assert_ne!(carried_over, url);
        assert_closed(&thief.fetch(&carried_over));
        // An order or a certificate takes no such payload from anybody.
        thief.post(&carried_over, &json!({"status": "deactivated"})).refused();
        // The owner has nothing there either.
        VICTIM.client.fetch(&carried_over).problem(400, "accountDoesNotExist");
        VICTIM.client.fetch(&url).expect(200);
    }
    assert_eq!(VICTIM.client.fetch(&VICTIM.authorization).expect(200).json()["status"], "pending");
}

/// A certificate of somebody else is not revoked by an account that controls none of its names.
#[test]
fn rfc8555_s7_6_a_stranger_revokes_nothing() {
    let pem = VICTIM.client.fetch(&VICTIM.certificate).expect(200).text();
    let leaf: String = pem.lines().skip(1).take_while(|line| !line.starts_with('-')).collect();
    let der = base64url_of_base64(&leaf);
    let payload = json!({"certificate": der});
    member().post(&member().url("revokeCert"), &payload).refused_as("unauthorized");
    let keyed = stranger();
    keyed.post(&keyed.url("revokeCert"), &payload).refused_as("unauthorized");
    let mut bound = bound_issuer().client(AccountKey::es256());
    bound.register(&ca().make_eab(bound_issuer())).expect(201);
    bound.post(&bound.url("revokeCert"), &payload).refused();
}

fn closed_urls() -> [String; 6] {
    let victim = &*VICTIM;
    [
        account_url(&victim.client).to_string(),
        text(&victim.client.fetch(account_url(&victim.client)).json(), "orders"),
        victim.order.url.clone(),
        victim.authorization.clone(),
        victim.challenge.clone(),
        victim.certificate.clone(),
    ]
}

/// Forbidden, or as if it were not there.
#[track_caller]
fn assert_closed(reply: &Reply) {
    match reply.status {
        404 => _ = reply.refused_as("malformed"),
        _ => _ = reply.problem(403, "unauthorized"),
    }
    assert!(matches!(reply.json(), Value::Object(members) if !members.contains_key("identifiers")), "{reply}");
}

/// PEM's base64 in the other alphabet and without padding.
fn base64url_of_base64(text: &str) -> String {
    let converted = text.replace('+', "-").replace('/', "_").replace('=', "");
    base64url::encode(base64url::decode(&converted))
}
