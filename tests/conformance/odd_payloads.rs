//! Never a 5xx for what a client sends: odd JSON at every member of every payload.

use crate::foreign::KeyChange;
use crate::odd_input::{ODD, assert_told, no_panic};
use crate::premises::{account_url, member, name, order_for, stranger};
use crate::session::Session;
use crate::world::account_key::AccountKey;
use crate::world::acme::{Client, Jws};
use crate::world::base64url;
use crate::world::issuer::text;
use serde_json::json;

/// newAccount. Whoever is taken in comes again with another key, so that each value meets a newcomer.
#[test]
fn rfc8555_s7_3_odd_members_of_new_account() {
    let mut session = Session::new(stranger());
    let url = session.client.url("newAccount");
    for member in [
        "contact",
        "termsOfServiceAgreed",
        "onlyReturnExisting",
        "externalAccountBinding",
        "status",
        "orders",
        "\\u0000",
        "contact\\u0000",
    ] {
        for odd in ODD {
            let reply = session.post(&url, format!("{{\"{member}\":{odd}}}").as_bytes());
            assert_told(&reply);
            if reply.status == 201 {
                session.client.key = AccountKey::es256();
            }
        }
    }
    for part in ["protected", "payload", "signature"] {
        for odd in ODD {
            let mut binding = json!({"protected": "e30", "payload": "e30", "signature": "AAAA"});
            binding[part] = "HERE".into();
            let payload = json!({"externalAccountBinding": binding}).to_string().replace("\"HERE\"", odd);
            session.post(&url, payload.as_bytes()).refused();
        }
    }
    no_panic();
}

/// The header and the key inside a binding.
#[test]
fn rfc8555_s7_3_4_odd_members_inside_a_binding() {
    let mut session = Session::new(stranger());
    let url = session.client.url("newAccount");
    let header = json!({"alg": "HS256", "kid": "HERE-kid", "url": url}).to_string();
    let key = session.client.key.jwk.to_string();
    let mut send = |header: &str, key: &str| {
        let binding =
            json!({"protected": base64url::encode(header), "payload": base64url::encode(key), "signature": "AAAA"});
        session.post(&url, json!({"externalAccountBinding": binding}).to_string().as_bytes()).refused();
    };
    for odd in ODD {
        send(odd, &key);
        send(&header, odd);
        for member in ["alg", "kid", "url", "nonce", "jwk", "crit", "b64", "typ"] {
            send(&with_member(&header, member, odd), &key);
        }
        for member in ["kty", "crv", "x", "y", "d", "n", "e", "k"] {
            send(&header, &with_member(&key, member, odd));
        }
    }
    no_panic();
}

/// The account itself.
#[test]
fn rfc8555_s7_3_2_odd_members_of_an_account() {
    let client = member();
    let url = account_url(&client).to_string();
    let mut session = Session::new(client);
    for member in ["contact", "status", "orders", "termsOfServiceAgreed", "externalAccountBinding", "key"] {
        for odd in ODD {
            assert_told(&session.post(&url, format!("{{\"{member}\":{odd}}}").as_bytes()));
        }
    }
    assert_eq!(session.post(&url, b"").expect(200).json()["status"], "valid");
    no_panic();
}

/// newOrder: nothing odd among the identifiers makes an order.
#[test]
fn rfc8555_s7_4_odd_members_of_new_order() {
    let client = member();
    let url = client.url("newOrder");
    let mut session = Session::new(client);
    for odd in ODD {
        for payload in [
            format!("{{\"identifiers\":{odd}}}"),
            format!("{{\"identifiers\":[{odd}]}}"),
            format!("{{\"identifiers\":[{{\"type\":\"dns\",\"value\":\"acme.com\"}},{odd}]}}"),
            format!("{{\"identifiers\":[{{\"type\":{odd},\"value\":\"acme.com\"}}]}}"),
            format!("{{\"identifiers\":[{{\"type\":\"dns\",\"value\":{odd}}}]}}"),
            format!("{{\"identifiers\":[{{\"type\":\"ip\",\"value\":{odd}}}]}}"),
            format!("{{\"identifiers\":[{{\"type\":\"dns\",\"value\":\"acme.com\",\"ancestorDomain\":{odd}}}]}}"),
            format!("{{\"identifiers\":[{{\"type\":{odd},\"value\":{odd}}}]}}"),
        ] {
            session.post(&url, payload.as_bytes()).refused();
        }
        for member in
            ["notBefore", "notAfter", "profile", "replaces", "status", "expires", "authorizations", "finalize"]
        {
            let payload = order_for(&["acme.com"]).to_string();
            assert_told(&session.post(&url, with_member(&payload, member, odd).as_bytes()));
        }
    }
    no_panic();
}

/// The times of an order: dates that do not exist, that overflow, that are nearly right.
#[test]
fn rfc8555_s7_4_odd_times_of_new_order() {
    let client = member();
    let url = client.url("newOrder");
    let mut session = Session::new(client);
    for time in [
        "0000-00-00T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "99999-01-01T00:00:00Z",
        "-001-01-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T23:59:60Z",
        "2026-01-01T00:00:00",
        "2026-01-01",
        "2026-01-01T00:00:00+99:99",
        "2026-01-01T00:00:00.999999999999999999999Z",
        "2026-01-01T00:00:00z",
        "2026\u{2212}01\u{2212}01T00:00:00Z",
        "2026-01-01T00:00:\u{661}0Z",
        "99999999999999999999",
        "now",
    ] {
        for member in ["notBefore", "notAfter"] {
            let mut payload = order_for(&["acme.com"]);
            payload[member] = time.into();
            assert_told(&session.post(&url, payload.to_string().as_bytes()));
        }
    }
    no_panic();
}

/// newAuthz.
#[test]
fn rfc8555_s7_4_1_odd_members_of_new_authz() {
    let client = member();
    let url = client.url("newAuthz");
    let mut session = Session::new(client);
    for odd in ODD {
        for payload in [
            format!("{{\"identifier\":{odd}}}"),
            format!("{{\"identifier\":{{\"type\":{odd},\"value\":\"acme.com\"}}}}"),
            format!("{{\"identifier\":{{\"type\":\"dns\",\"value\":{odd}}}}}"),
            format!("{{\"identifier\":{{\"type\":\"ip\",\"value\":{odd}}}}}"),
        ] {
            session.post(&url, payload.as_bytes()).refused();
        }
        let flagged =
            format!("{{\"identifier\":{{\"type\":\"dns\",\"value\":\"acme.com\",\"subdomainAuthAllowed\":{odd}}}}}");
        assert_told(&session.post(&url, flagged.as_bytes()));
    }
    no_panic();
}

/// Authorization and order: what is no deactivation changes nothing.
#[test]
fn rfc8555_s7_5_odd_updates_of_an_authorization() {
    let client = member();
    let order = client.order(&[&name()]);
    let authorization = order.authorizations()[0].clone();
    let mut session = Session::new(client);
    for odd in ODD {
        assert_told(&session.post(&authorization, format!("{{\"status\":{odd}}}").as_bytes()));
        session.post(&order.url, format!("{{\"status\":{odd}}}").as_bytes()).refused();
        if *odd != "{}" {
            assert_told(&session.post(&authorization, odd.as_bytes()));
        }
    }
    assert_eq!(session.post(&authorization, b"").expect(200).json()["status"], "pending");
    no_panic();
}

/// A challenge is answered by an object, whatever is in it; everything else is refused and asks for nothing.
#[test]
fn rfc8555_s7_5_1_odd_answers_to_a_challenge() {
    let client = member();
    let order = client.order(&[&name()]);
    let challenge = text(&client.http_01(&order.authorizations()[0]), "url");
    let mut session = Session::new(client);
    for odd in ODD.iter().filter(|odd| !odd.starts_with('{')) {
        session.post(&challenge, odd.as_bytes()).refused();
    }
    assert_eq!(session.post(&challenge, b"").expect(200).json()["status"], "pending");
    session.post(&challenge, br#"{"keyAuthorization": [null], "status": "valid"}"#).expect(200);
    no_panic();
}

/// finalize: an order that is not ready says so or calls the CSR bad, and stays as it was.
#[test]
fn rfc8555_s7_4_odd_members_of_finalize() {
    let client = member();
    let pending = client.order(&[&name()]);
    let ready = client.ready_order(&[&name()], crate::premises::responder());
    let mut session = Session::new(client);
    for order in [&pending, &ready] {
        let url = text(&order.body, "finalize");
        for odd in ODD {
            session.post(&url, format!("{{\"csr\":{odd}}}").as_bytes()).refused();
            session.post(&url, odd.as_bytes()).refused();
        }
        for csr in
            ["MA", "MIIB", "MAA", "MIAA", "MIP_____", "AAAA", "-----BEGIN CERTIFICATE REQUEST-----", "MIT__________w"]
        {
            session.post(&url, json!({"csr": csr}).to_string().as_bytes()).refused();
        }
    }
    assert_eq!(session.post(&ready.url, b"").expect(200).json()["status"], "ready");
    no_panic();
}

/// revokeCert, by account and by key.
#[test]
fn rfc8555_s7_6_odd_members_of_revoke_cert() {
    for client in [member(), stranger()] {
        let url = client.url("revokeCert");
        let mut session = Session::new(client);
        for odd in ODD {
            session.post(&url, format!("{{\"certificate\":{odd}}}").as_bytes()).refused();
            session.post(&url, format!("{{\"certificate\":\"MAA\",\"reason\":{odd}}}").as_bytes()).refused();
            session.post(&url, odd.as_bytes()).refused();
        }
    }
    no_panic();
}

/// keyChange: the payload, and everything inside it.
#[test]
fn rfc8555_s7_3_5_odd_members_of_key_change() {
    let client = member();
    let url = client.url("keyChange");
    let sound = KeyChange::new(&client, &AccountKey::es256());
    let mut session = Session::new(client.clone());
    for odd in ODD {
        session.post(&url, odd.as_bytes()).refused();
        for part in ["protected", "payload", "signature"] {
            let payload = with_member(&sound.sealed().to_string(), part, odd);
            session.post(&url, payload.as_bytes()).refused();
        }
        for member in ["alg", "jwk", "url", "nonce", "kid", "crit", "b64"] {
            let header = with_member(&sound.header.to_string(), member, odd);
            session.post(&url, sealed(&sound, &header, &sound.payload.to_string()).as_bytes()).refused();
        }
        for member in ["account", "oldKey"] {
            let payload = with_member(&sound.payload.to_string(), member, odd);
            session.post(&url, sealed(&sound, &sound.header.to_string(), &payload).as_bytes()).refused();
        }
    }
    client.fetch(account_url(&client)).expect(200);
    no_panic();
}

/// What is read by POST-as-GET is not read with an odd payload.
#[test]
fn rfc8555_s6_3_odd_payloads_where_none_belongs() {
    let client: Client = member();
    let orders = text(&client.fetch(account_url(&client)).json(), "orders");
    let urls = [
        client.order(&[&name()]).url,
        orders,
        client.url("newNonce"),
        crate::premises::open_issuer().directory.clone(),
    ];
    let mut session = Session::new(client);
    for url in urls {
        for odd in ODD {
            session.post(&url, odd.as_bytes()).refused_as("malformed");
        }
    }
    no_panic();
}

/// The inner JWS over a header and a payload as they stand, signed by the new key.
fn sealed(change: &KeyChange, header: &str, payload: &str) -> String {
    let (protected, payload) = (base64url::encode(header), base64url::encode(payload));
    let signature = base64url::encode(change.signer.sign(format!("{protected}.{payload}").as_bytes()));
    Jws { protected, payload, signature }.flattened().to_string()
}

/// The object with this member set to a piece of JSON as it stands.
pub fn with_member(object: &str, member: &str, value: &str) -> String {
    let mut parsed: serde_json::Value = serde_json::from_str(object).unwrap();
    parsed[member] = "HERE-IT-GOES".into();
    parsed.to_string().replace("\"HERE-IT-GOES\"", value)
}
