//! Requests that are signed wrongly, each in its own way, and the four algorithms that are right.

use crate::world::account_key::AccountKey;
use crate::world::acme::{Client, Jws};
use crate::world::base64url;
use crate::world::daemon::Ca;
use crate::world::issuer::Issuer;
use crate::world::outcome::assert_says;
use serde_json::{Value, json};

#[test]
fn every_algorithm_registers_and_orders() {
    let (ca, issuer) = ca();
    let keys =
        [AccountKey::es256(), AccountKey::es384(), AccountKey::ed25519(), AccountKey::rsa(2048), AccountKey::rsa(4096)];
    for key in keys {
        let mut client = issuer.client(key);
        client.register(&ca.make_eab(&issuer)).expect(201);
        client.ask_for(&["acme.com"]).expect(201);
        let digests: Vec<_> = ca.accounts(&issuer).iter().map(|account| account["key_digest"].clone()).collect();
        assert!(digests.contains(&client.key.thumbprint().into()), "{digests:?}");
    }
}

#[test]
fn every_hmac_binds_an_external_account() {
    let (ca, issuer) = ca();
    for (algorithm, hmac) in
        [("HS256", &ring::hmac::HMAC_SHA256), ("HS384", &ring::hmac::HMAC_SHA384), ("HS512", &ring::hmac::HMAC_SHA512)]
    {
        let mut client = issuer.client(AccountKey::es256());
        let binding = client.binding(&ca.make_eab(&issuer), algorithm, hmac);
        client.register_with(&json!({"externalAccountBinding": binding})).expect(201);
    }
}

#[test]
fn the_serialization_is_the_flattened_one_and_strict() {
    let (ca, issuer) = ca();
    let client = ca.client(&issuer);
    let payload = r#"{"identifiers": [{"type": "dns", "value": "acme.com"}]}"#;
    let spoil: [(&str, Spoil); 16] = [
        ("padding after the header", &|jws| {
            Jws { protected: pad(&jws.protected), ..jws.clone() }.flattened().to_string()
        }),
        ("padding after the payload", &|jws| Jws { payload: pad(&jws.payload), ..jws.clone() }.flattened().to_string()),
        ("padding after the signature", &|jws| {
            Jws { signature: pad(&jws.signature), ..jws.clone() }.flattened().to_string()
        }),
        ("stray bits", &|jws| Jws { signature: stray(&jws.signature), ..jws.clone() }.flattened().to_string()),
        ("a line break", &|jws| Jws { signature: jws.signature.clone() + "\n", ..jws.clone() }.flattened().to_string()),
        ("the other alphabet", &|jws| {
            Jws { signature: "+/".to_string() + &jws.signature[2..], ..jws.clone() }.flattened().to_string()
        }),
        ("a duplicate member", &|jws| jws.flattened().to_string().replacen('{', "{\"payload\":\"e30\",", 1)),
        ("an unprotected header", &|jws| with(jws, "header", json!({"alg": "ES256"}))),
        ("an empty unprotected header", &|jws| with(jws, "header", json!({}))),
        ("the general form", &|jws| {
            json!({"payload": jws.payload, "signatures": [{"protected": jws.protected, "signature": jws.signature}]})
                .to_string()
        }),
        ("both forms", &|jws| with(jws, "signatures", json!([]))),
        ("the compact form", &|jws| format!("{}.{}.{}", jws.protected, jws.payload, jws.signature)),
        ("a list", &|jws| format!("[{}]", jws.flattened())),
        ("something behind", &|jws| format!("{}{{}}", jws.flattened())),
        ("no signature", &|jws| json!({"protected": jws.protected, "payload": jws.payload}).to_string()),
        ("nothing", &|_| String::new()),
    ];
    let url = client.url("newOrder");
    for (what, spoil) in spoil {
        let jws = client.sign(&client.header(&url), payload.as_bytes());
        let reply = client.send_text(&url, &spoil(&jws));
        assert_eq!(reply.status, 400, "{what}: {reply}");
        reply.problem(400, "malformed");
    }
    client.send(&url, &client.sign(&client.header(&url), payload.as_bytes())).expect(201);
}

#[test]
fn the_protected_header_says_exactly_what_it_must() {
    let (ca, issuer) = ca();
    let client = ca.client(&issuer);
    let url = client.url("newOrder");
    let other_url = client.url("newAccount");
    for (what, kind, spoil) in [
        ("crit", "malformed", &(|header: &mut Value| header["crit"] = json!(["exp"])) as &dyn Fn(&mut Value)),
        ("crit with b64", "malformed", &|header| {
            header["crit"] = json!(["b64"]);
            header["b64"] = json!(false);
        }),
        ("another url", "unauthorized", &|header| header["url"] = other_url.as_str().into()),
        ("the url of another host", "unauthorized", &|header| header["url"] = url.replace("ca.lan", "evil.lan").into()),
        ("no url", "malformed", &|header| _ = header.as_object_mut().unwrap().remove("url")),
        ("a url of numbers", "malformed", &|header| header["url"] = json!(1)),
        ("kid and jwk", "malformed", &|header| header["jwk"] = client.key.jwk.clone()),
        ("neither kid nor jwk", "malformed", &|header| _ = header.as_object_mut().unwrap().remove("kid")),
        ("a jwk where a kid belongs", "malformed", &|header| {
            header.as_object_mut().unwrap().remove("kid");
            header["jwk"] = client.key.jwk.clone();
        }),
        ("no algorithm", "malformed", &|header| _ = header.as_object_mut().unwrap().remove("alg")),
        ("none", "badSignatureAlgorithm", &|header| header["alg"] = json!("none")),
        ("a MAC", "badSignatureAlgorithm", &|header| header["alg"] = json!("HS256")),
        ("RS512", "badSignatureAlgorithm", &|header| header["alg"] = json!("RS512")),
        ("the algorithm of another key", "", &|header| header["alg"] = json!("ES384")),
        ("an unknown kid", "accountDoesNotExist", &|header| {
            header["kid"] = format!("{}x", client.account.as_ref().unwrap()).into();
        }),
        ("a kid that is no URL", "", &|header| header["kid"] = json!("1")),
    ] {
        let mut header = client.header(&url);
        spoil(&mut header);
        let reply = client.send(&url, &client.sign(&header, b"{}"));
        reply.refused();
        let said = reply.json()["type"].as_str().unwrap().rsplit(':').next().unwrap().to_string();
        assert!(kind.is_empty() || said == kind, "{what}: {reply}");
        if kind == "badSignatureAlgorithm" {
            assert_eq!(reply.json()["algorithms"].as_array().unwrap().len(), 4, "{reply}");
        }
    }
    let doubled = client.header(&url).to_string().replacen('{', "{\"alg\":\"none\",", 1);
    client.send(&url, &client.sign_text(&doubled, b"{}")).problem(400, "malformed");
    client.send(&url, &client.sign(&client.header(&url), b"[]")).problem(400, "malformed");
    client
        .send(&url, &client.sign(&client.header(&url), b"{\"identifiers\": [], \"identifiers\": []}"))
        .problem(400, "malformed");
}

#[test]
fn a_signature_must_be_that_of_the_key_over_these_bytes() {
    let (ca, issuer) = ca();
    let client = ca.client(&issuer);
    let url = client.url("newOrder");
    let honest = client.sign(&client.header(&url), b"{}");
    let mut bytes = base64url::decode(&honest.signature);
    bytes[40] ^= 1;
    client.send(&url, &Jws { signature: base64url::encode(&bytes), ..honest.clone() }).refused();

    let honest = client.sign(&client.header(&url), b"{}");
    let payload = base64url::encode(r#"{"identifiers": [{"type": "dns", "value": "acme.com"}]}"#);
    client.send(&url, &Jws { payload, ..honest }).refused();

    // What macOS's client sends when the first half begins with a zero.
    let honest = client.sign(&client.header(&url), b"{}");
    let short = base64url::encode(&base64url::decode(&honest.signature)[1..]);
    assert_says(&client.send(&url, &Jws { signature: short, ..honest }).refused(), &["64", "63"]);

    let mut stranger = client.clone();
    stranger.key = AccountKey::es256();
    stranger.ask_for(&["acme.com"]).refused();

    let reply = client.wire.request("POST", &url, &[("Content-Type", "application/json")], b"{}");
    assert_eq!(reply.status, 415, "{reply}");
}

#[test]
fn keys_that_protect_nothing_are_refused() {
    let (ca, issuer) = ca();
    let spoiled = |spoil: &dyn Fn(&mut Value)| {
        let mut key = AccountKey::es256();
        spoil(&mut key.jwk);
        key
    };
    for (what, key) in [
        ("RSA 1024", AccountKey::rsa(1024)),
        ("an exponent of one", AccountKey::rsa_with_exponent_one()),
        ("a private member", spoiled(&|jwk| jwk["d"] = base64url::encode([7; 32]).into())),
        ("a point off the curve", spoiled(&|jwk| jwk["y"] = base64url::encode([7; 32]).into())),
        ("a coordinate of 31 bytes", spoiled(&|jwk| jwk["x"] = base64url::encode([7; 31]).into())),
        ("an unknown curve", spoiled(&|jwk| jwk["crv"] = "P-192".into())),
        ("no curve", spoiled(&|jwk| _ = jwk.as_object_mut().unwrap().remove("crv"))),
        ("a symmetric key", spoiled(&|jwk| *jwk = json!({"kty": "oct", "k": "AAAA"}))),
        ("no key", spoiled(&|jwk| *jwk = json!("AAAA"))),
    ] {
        let client = issuer.client(key);
        let url = client.url("newAccount");
        let reply = client.post(&url, &json!({"termsOfServiceAgreed": true}));
        reply.refused();
        let kind = reply.json()["type"].as_str().unwrap().rsplit(':').next().unwrap().to_string();
        assert!(kind == "badPublicKey" || kind == "malformed", "{what}: {reply}");
    }
    assert!(ca.accounts(&issuer).is_empty());
}

#[test]
fn an_external_account_binding_is_checked_in_full() {
    let (ca, issuer) = ca();
    let eab = ca.make_eab(&issuer);
    let mut client = issuer.client(AccountKey::es256());
    let other = issuer.client(AccountKey::es256());
    let sound = client.binding(&eab, "HS256", &ring::hmac::HMAC_SHA256);
    for (what, binding) in [
        ("of another key", other.binding(&eab, "HS256", &ring::hmac::HMAC_SHA256)),
        ("with another algorithm than it says", client.binding(&eab, "HS384", &ring::hmac::HMAC_SHA256)),
        ("with an algorithm that is none", client.binding(&eab, "none", &ring::hmac::HMAC_SHA256)),
        ("for another url", rebound(&client, &eab, &|header| header["url"] = issuer.directory.as_str().into())),
        ("with a nonce", rebound(&client, &eab, &|header| header["nonce"] = client.nonce().into())),
        ("without a kid", rebound(&client, &eab, &|header| _ = header.as_object_mut().unwrap().remove("kid"))),
        ("that is empty", json!({})),
        ("that is null", Value::Null),
        ("cut short", json!({"protected": sound["protected"], "payload": sound["payload"], "signature": "AAAA"})),
    ] {
        let reply = client.register_with(&json!({"termsOfServiceAgreed": true, "externalAccountBinding": binding}));
        assert!((400..500).contains(&reply.status), "a binding {what}: {reply}");
    }
    client.register_with(&json!({"termsOfServiceAgreed": true})).refused_as("externalAccountRequired");
    assert!(ca.accounts(&issuer).is_empty());
    client.register_with(&json!({"termsOfServiceAgreed": true, "externalAccountBinding": sound})).expect(201);
}

fn rebound(client: &Client, eab: &crate::world::issuer::Eab, spoil: &dyn Fn(&mut Value)) -> Value {
    let mut header = json!({"alg": "HS256", "kid": eab.kid, "url": client.url("newAccount")});
    spoil(&mut header);
    let (protected, payload) = (base64url::encode(header.to_string()), base64url::encode(client.key.jwk.to_string()));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &base64url::decode(&eab.mac_key));
    let tag = ring::hmac::sign(&key, format!("{protected}.{payload}").as_bytes());
    json!({"protected": protected, "payload": payload, "signature": base64url::encode(tag)})
}

/// What a story does to a sound JWS before it is sent.
type Spoil<'a> = &'a dyn Fn(&Jws) -> String;

fn ca() -> (Ca, Issuer) {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    (ca, issuer)
}

fn with(jws: &Jws, member: &str, value: Value) -> String {
    let mut body = jws.flattened();
    body[member] = value;
    body.to_string()
}

/// The padding that the text lacks, or one too many where it lacks none.
fn pad(text: &str) -> String {
    format!("{text}{}", ["=", "===", "==", "="][text.len() % 4])
}

/// The same bytes with a bit set that belongs to none of them.
fn stray(text: &str) -> String {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (rest, last) = text.split_at(text.len() - 1);
    let next = ALPHABET.find(last).unwrap() + 1;
    let stray = format!("{rest}{}", &ALPHABET[next..=next]);
    assert_eq!(base64url::decode(&stray), base64url::decode(text));
    stray
}
