//! RFC 8555, 7.3.5: another key for an account.

use crate::foreign::{KeyChange, padded};
use crate::premises::{
    account_url, bound_issuer, ca, member, member_with, name, post_with_header, responder, stranger,
};
use crate::world::account_key::AccountKey;
use crate::world::acme::{Client, Jws};
use crate::world::base64url;
use crate::world::issuer::text;
use crate::world::wire::Reply;
use serde_json::{Value, json};

/// From every kind of key to every other: 200, the same account, the new key counts and the old one does not.
#[test]
fn rfc8555_s7_3_5_the_new_key_replaces_the_old_one() {
    let mut client = member();
    for new_key in [AccountKey::es384(), AccountKey::ed25519(), AccountKey::rsa(2048), AccountKey::es256()] {
        let account = client.fetch(account_url(&client)).expect(200).json();
        let reply = change(&client, &KeyChange::new(&client, &new_key).sealed()).expect(200);
        let old = client.clone();
        client.key = new_key;
        assert_eq!(client.fetch(account_url(&client)).expect(200).json(), account, "{reply}");
        old.fetch(account_url(&old)).refused();
    }
}

/// The new key finds the account by newAccount; the old one is free again.
#[test]
fn rfc8555_s7_3_5_the_account_is_found_by_its_new_key() {
    let client = member();
    let new_key = AccountKey::es256();
    change(&client, &KeyChange::new(&client, &new_key).sealed()).expect(200);
    let mut found = stranger();
    found.key = new_key;
    found.register_with(&json!({"onlyReturnExisting": true})).expect(200);
    assert_eq!(found.account, client.account);
    let mut old = client.clone();
    old.register_with(&json!({"onlyReturnExisting": true})).problem(400, "accountDoesNotExist");
    old.register_with(&json!({})).expect(201);
    assert_ne!(old.account, client.account);
}

/// Orders stay, and are finished under the new key.
#[test]
fn rfc8555_s7_3_5_orders_outlive_a_change_of_key() {
    let mut client = member();
    let order = client.order(&[&name()]);
    let new_key = AccountKey::es384();
    change(&client, &KeyChange::new(&client, &new_key).sealed()).expect(200);
    client.key = new_key;
    client.prove(&order, responder());
    assert_eq!(client.settled(&order.url, &["pending"])["status"], "ready");
}

/// A signed change cannot be sent again, nor turned back by its own inner part.
#[test]
fn rfc8555_s7_3_5_a_change_cannot_be_replayed() {
    let mut client = member();
    let new_key = AccountKey::es256();
    let inner = KeyChange::new(&client, &new_key).sealed();
    let url = client.url("keyChange");
    let jws = client.sign(&client.header(&url), inner.to_string().as_bytes());
    client.send(&url, &jws).expect(200);
    client.send(&url, &jws).problem(400, "badNonce");
    client.key = new_key;
    change(&client, &inner).refused();
}

/// A key that another account has: 409, and Location tells whose it is.
#[test]
fn rfc8555_s7_3_5_a_key_of_another_account_is_409_with_its_location() {
    let (client, holder) = (member(), member());
    let reply = change(&client, &KeyChange::new(&client, &holder.key).sealed());
    reply.problem(409, "malformed");
    assert_eq!(reply.required_header("location"), account_url(&holder));
    client.fetch(account_url(&client)).expect(200);
    holder.fetch(account_url(&holder)).expect(200);
}

/// One's own key is taken too, by oneself.
#[test]
fn rfc8555_s7_3_5_the_key_that_the_account_has_is_409() {
    let client = member();
    let reply = change(&client, &KeyChange::new(&client, &client.key).sealed());
    reply.problem(409, "malformed");
    assert_eq!(reply.required_header("location"), account_url(&client));
}

/// Accounts of other issuers are no hindrance.
#[test]
fn rfc8555_s7_3_5_a_key_of_an_account_elsewhere_is_free() {
    let mut elsewhere = bound_issuer().client(AccountKey::es256());
    elsewhere.register(&ca().make_eab(bound_issuer())).expect(201);
    let client = member();
    change(&client, &KeyChange::new(&client, &elsewhere.key).sealed()).expect(200);
}

/// The outer JWS is signed by the account.
#[test]
fn rfc8555_s7_3_5_the_outer_jws_is_signed_by_the_account() {
    let client = member();
    let new_key = AccountKey::es256();
    let inner = KeyChange::new(&client, &new_key).sealed();
    let mut by_new_key = client.clone();
    by_new_key.key = new_key;
    change(&by_new_key, &inner).refused();
    let mut by_jwk = client.clone();
    by_jwk.account = None;
    change(&by_jwk, &inner).problem(400, "malformed");
    let stranger = member();
    change(&stranger, &inner).refused();
    client.fetch(account_url(&client)).expect(200);
}

/// The inner JWS carries the new key as `jwk`, not a `kid`, and not both.
#[test]
fn rfc8555_s7_3_5_the_inner_jws_carries_the_new_key() {
    refused_with(|client, inner| {
        inner.header.as_object_mut().unwrap().remove("jwk");
        inner.header["kid"] = account_url(client).into();
    });
    refused_with(|client, inner| inner.header["kid"] = account_url(client).into());
    refused_with(|_, inner| _ = inner.header.as_object_mut().unwrap().remove("jwk"));
    refused_with(|_, inner| inner.header["jwk"] = Value::Null);
}

/// The inner JWS is signed by the new key: by nobody else, not even the account's own key.
#[test]
fn rfc8555_s7_3_5_the_inner_jws_is_signed_by_the_new_key() {
    refused_with(|client, inner| inner.signer = client.key.clone());
    refused_with(|_, inner| inner.signer = AccountKey::es256());
    let client = member();
    let jws = KeyChange::new(&client, &AccountKey::es256()).jws();
    for signature in [String::new(), base64url::encode([0; 64]), padded(&jws.signature)] {
        change(&client, &Jws { signature, ..jws.clone() }.flattened()).refused();
    }
}

/// Both have the same `url`.
#[test]
fn rfc8555_s7_3_5_the_inner_url_is_the_outer_one() {
    refused_with(|client, inner| inner.header["url"] = client.url("newOrder").into());
    refused_with(|client, inner| inner.header["url"] = client.url("keyChange").replace("ca.lan", "evil.lan").into());
    refused_with(|_, inner| inner.header["url"] = bound_issuer().client(AccountKey::es256()).url("keyChange").into());
    refused_with(|_, inner| inner.header["url"] = Value::Null);
    refused_with(|_, inner| _ = inner.header.as_object_mut().unwrap().remove("url"));
}

/// The inner JWS has no nonce.
#[test]
fn rfc8555_s7_3_5_the_inner_jws_has_no_nonce() {
    refused_with(|client, inner| inner.header["nonce"] = client.nonce().into());
    refused_with(|_, inner| inner.header["nonce"] = "".into());
    refused_with(|_, inner| inner.header["nonce"] = Value::Null);
}

/// The inner algorithm is one for signatures that fits the new key.
#[test]
fn rfc8555_s7_3_5_the_inner_algorithm_fits_the_new_key() {
    for alg in ["none", "HS256", "ES384", "RS256", "EdDSA", "ES512"] {
        refused_with(|_, inner| inner.header["alg"] = alg.into());
    }
    refused_with(|_, inner| inner.header["crit"] = json!(["exp"]));
}

/// `account` is the account that signs the outer JWS.
#[test]
fn rfc8555_s7_3_5_the_account_is_the_one_that_signs() {
    let other = member();
    refused_with(|_, inner| inner.payload["account"] = account_url(&other).into());
    refused_with(|client, inner| inner.payload["account"] = format!("{}/", account_url(client)).into());
    refused_with(|client, inner| inner.payload["account"] = account_url(client).replace("ca.lan", "evil.lan").into());
    refused_with(|client, inner| inner.payload["account"] = json!([account_url(client)]));
    refused_with(|_, inner| inner.payload["account"] = Value::Null);
    refused_with(|_, inner| _ = inner.payload.as_object_mut().unwrap().remove("account"));
}

/// `oldKey` is the key that the account has.
#[test]
fn rfc8555_s7_3_5_the_old_key_is_the_key_of_the_account() {
    refused_with(|_, inner| inner.payload["oldKey"] = AccountKey::es256().jwk);
    refused_with(|_, inner| inner.payload["oldKey"] = inner.header["jwk"].clone());
    refused_with(|client, inner| inner.payload["oldKey"] = json!(client.key.thumbprint()));
    refused_with(|_, inner| inner.payload["oldKey"] = json!({}));
    refused_with(|_, inner| inner.payload["oldKey"] = Value::Null);
    refused_with(|_, inner| _ = inner.payload.as_object_mut().unwrap().remove("oldKey"));
    refused_with(|_, inner| inner.payload["oldKey"]["d"] = base64url::encode([7; 32]).into());
}

/// It may be written differently: a key is its thumbprint (RFC 7638).
#[test]
fn rfc8555_s7_3_5_the_old_key_may_be_written_differently() {
    let client = member();
    let mut inner = KeyChange::new(&client, &AccountKey::es256());
    inner.payload["oldKey"]["kid"] = "mine".into();
    inner.payload["oldKey"]["use"] = "sig".into();
    change(&client, &inner.sealed()).expect(200);
}

/// A key that no account could be made with does not come in by the back door.
#[test]
fn rfc8555_s7_3_5_a_weak_new_key_is_bad_public_key() {
    for weak in [AccountKey::rsa(1024), AccountKey::rsa_with_exponent_one()] {
        let client = member();
        change(&client, &KeyChange::new(&client, &weak).sealed()).problem(400, "badPublicKey");
        client.fetch(account_url(&client)).expect(200);
    }
    refused_with(|_, inner| inner.header["jwk"]["d"] = base64url::encode([7; 32]).into());
}

/// The payload of the outer JWS is the inner one in flattened form, and nothing else.
#[test]
fn rfc8555_s7_3_5_a_payload_that_is_no_flattened_jws_is_refused() {
    let client = member();
    let jws = KeyChange::new(&client, &AccountKey::es256()).jws();
    let with = |member: &str, value: Value| {
        let mut spoilt = jws.flattened();
        spoilt[member] = value;
        spoilt
    };
    for payload in [
        json!({}),
        json!([]),
        json!("x"),
        json!(null),
        json!(format!("{}.{}.{}", jws.protected, jws.payload, jws.signature)),
        json!({"payload": jws.payload, "signatures": [{"protected": jws.protected, "signature": jws.signature}]}),
        json!({"payload": jws.payload, "protected": jws.protected}),
        json!({"account": client.account, "oldKey": client.key.jwk}),
        with("header", json!({})),
        with("protected", json!(padded(&jws.protected))),
        with("payload", json!(padded(&jws.payload))),
    ] {
        change(&client, &payload).refused();
    }
    client.fetch(account_url(&client)).expect(200);
}

/// The inner payload is an object whose members are unique.
#[test]
fn rfc8555_s7_3_5_the_inner_payload_is_an_object() {
    for payload in [json!([]), json!("x"), json!(null), json!(7)] {
        refused_with(|_, inner| inner.payload = payload.clone());
    }
    let client = member();
    let inner = KeyChange::new(&client, &AccountKey::es256());
    let doubled = inner.payload.to_string().replacen('{', &format!("{{\"account\":{},", inner.payload["account"]), 1);
    let (protected, payload) = (base64url::encode(inner.header.to_string()), base64url::encode(doubled));
    let signature = base64url::encode(inner.signer.sign(format!("{protected}.{payload}").as_bytes()));
    change(&client, &Jws { protected, payload, signature }.flattened()).problem(400, "malformed");
}

/// Old and new key are shown in the list that an administrator sees: the digest changes, the account does not.
#[test]
fn rfc8555_s7_3_5_the_administrator_sees_the_new_key() {
    let mut client = bound_issuer().client(AccountKey::es256());
    client.register(&ca().make_eab(bound_issuer())).expect(201);
    let id_of = |key: &AccountKey| {
        let accounts = ca().accounts(bound_issuer());
        let own = accounts.iter().find(|account| text(account, "key_digest") == key.thumbprint())?;
        Some(text(own, "account_id"))
    };
    let (before, new_key) = (id_of(&client.key), AccountKey::es256());
    assert!(before.is_some());
    change(&client, &KeyChange::new(&client, &new_key).sealed()).expect(200);
    assert_eq!((id_of(&new_key), id_of(&client.key)), (before, None));
}

/// The header of the outer JWS is held to the same rules as everybody's.
#[test]
fn rfc8555_s7_3_5_the_outer_jws_has_a_nonce() {
    let client = member_with(AccountKey::es256());
    let inner = KeyChange::new(&client, &AccountKey::es256()).sealed().to_string();
    post_with_header(&client, &client.url("keyChange"), &inner, &|header| {
        _ = header.as_object_mut().unwrap().remove("nonce")
    })
    .problem(400, "badNonce");
    client.fetch(account_url(&client)).expect(200);
}

fn change(client: &Client, inner: &Value) -> Reply {
    client.post(&client.url("keyChange"), inner)
}

/// A change with one thing wrong is refused, and the old key goes on working.
#[track_caller]
fn refused_with(spoil: impl Fn(&Client, &mut KeyChange)) {
    let client = member();
    let mut inner = KeyChange::new(&client, &AccountKey::es256());
    spoil(&client, &mut inner);
    change(&client, &inner.sealed()).refused();
    client.fetch(account_url(&client)).expect(200);
}
