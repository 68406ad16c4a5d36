//! RFC 8555, 7.3.4: external accounts.

use crate::foreign::{Binding, Spoil, padded};
use crate::premises::{account_url, applicant, bound_issuer, ca, eab, issuer_with, stranger};
use crate::world::account_key::AccountKey;
use crate::world::acme::{Client, Jws};
use crate::world::base64url;
use crate::world::issuer::{Eab, text};
use crate::world::patience::{eventually, seconds};
use crate::world::wire::Reply;
use ring::hmac;
use serde_json::{Value, json};

/// HS256, HS384 and HS512 all bind an account.
#[test]
fn rfc8555_s7_3_4_every_mac_algorithm_binds_an_account() {
    for (alg, mac) in [("HS256", hmac::HMAC_SHA256), ("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)] {
        let (client, eab) = (applicant(), eab());
        let mut binding = Binding::new(&client, &eab);
        (binding.hmac, binding.header["alg"]) = (mac, alg.into());
        register(&client, &binding.sealed()).expect(201);
    }
}

/// Every kind of account key can be bound.
#[test]
fn rfc8555_s7_3_4_every_kind_of_key_is_bound() {
    for key in [AccountKey::es256(), AccountKey::es384(), AccountKey::ed25519(), AccountKey::rsa(2048)] {
        let mut client = bound_issuer().client(key);
        client.register(&eab()).expect(201);
        client.fetch(account_url(&client)).expect(200);
    }
}

/// The account that is returned has the binding "with the same value as the field in the request".
#[test]
fn rfc8555_s7_3_4_the_new_account_reflects_its_binding() {
    let (client, eab) = (applicant(), eab());
    let binding = Binding::new(&client, &eab).sealed();
    let account = register(&client, &binding).expect(201).json();
    assert_eq!(account["externalAccountBinding"], binding, "{account}");
}

/// Without a binding: externalAccountRequired, and no account.
#[test]
fn rfc8555_s7_3_4_a_missing_binding_is_external_account_required() {
    let mut client = applicant();
    for payload in [json!({}), json!({"termsOfServiceAgreed": true, "contact": ["mailto:a@acme.com"]})] {
        client.register_with(&payload).refused_as("externalAccountRequired");
    }
    client.register_with(&json!({"onlyReturnExisting": true})).problem(400, "accountDoesNotExist");
}

/// A binding serves one account.
#[test]
fn rfc8555_s7_3_4_a_used_binding_is_refused() {
    let eab = eab();
    applicant().register(&eab).expect(201);
    applicant().register(&eab).refused_as("unauthorized");
}

/// The MAC of another key is no MAC, and does not use the credential up.
#[test]
fn rfc8555_s7_3_4_a_wrong_mac_is_refused_and_burns_nothing() {
    let honest = eab();
    let guessed = Eab { mac_key: base64url::encode([7; 32]), ..honest.clone() };
    for _ in 0..3 {
        applicant().register(&guessed).refused_as("unauthorized");
    }
    applicant().register(&honest).expect(201);
}

/// The MAC of one algorithm under the name of another, and MACs that were cut or prolonged.
#[test]
fn rfc8555_s7_3_4_a_mac_that_is_not_whole_is_refused() {
    let eab = eab();
    for alg in ["HS384", "HS512"] {
        let client = applicant();
        let mut binding = Binding::new(&client, &eab);
        binding.header["alg"] = alg.into();
        register(&client, &binding.sealed()).refused_as("unauthorized");
    }
    let spoils: [Spoil; 6] = [
        |mac| mac[..31].to_vec(),
        |mac| mac[..16].to_vec(),
        |mac| mac[..1].to_vec(),
        |_| vec![],
        |mac| [mac, &[0]].concat(),
        |mac| [&[mac[0] ^ 1], &mac[1..]].concat(),
    ];
    for spoil in spoils {
        let client = applicant();
        let jws = Binding::new(&client, &eab).jws();
        let signature = base64url::encode(spoil(&base64url::decode(&jws.signature)));
        register(&client, &Jws { signature, ..jws }.flattened()).refused();
    }
    applicant().register(&eab).expect(201);
}

/// A kid that nobody gave out, and one of another issuer, are refused in the same words.
#[test]
fn rfc8555_s7_3_4_an_unknown_kid_is_refused() {
    let known = eab();
    let words = |eab: &Eab| applicant().register(eab).refused_as("unauthorized");
    let unknown = words(&Eab { kid: "nobody-knows-me".into(), ..known.clone() });
    let elsewhere = ca().make_eab(&issuer_with(&[]));
    assert_eq!(words(&elsewhere), unknown);
    assert_eq!(words(&Eab { mac_key: elsewhere.mac_key, ..known }), unknown);
}

/// A credential belongs to one issuer, also to one that would take anybody.
#[test]
fn rfc8555_s7_3_4_a_binding_of_another_issuer_is_refused() {
    let eab = eab();
    let client = stranger();
    register(&client, &Binding::new(&client, &eab).sealed()).refused_as("unauthorized");
    applicant().register(&eab).expect(201);
}

/// Where none is required, a sound one is taken and used up, and a false one is not ignored.
#[test]
fn rfc8555_s7_3_4_a_binding_is_checked_where_none_is_required() {
    let issuer = issuer_with(&["--require-eab=false"]);
    let eab = ca().make_eab(&issuer);
    let client = issuer.client(AccountKey::es256());
    register(&client, &Binding::new(&client, &eab).sealed()).expect(201);
    let client = issuer.client(AccountKey::es256());
    register(&client, &Binding::new(&client, &eab).sealed()).refused_as("unauthorized");
    client.clone().register_with(&json!({"onlyReturnExisting": true})).problem(400, "accountDoesNotExist");
}

/// The `url` of the binding is that of the request.
#[test]
fn rfc8555_s7_3_4_a_binding_with_a_foreign_url_is_refused() {
    let client = applicant();
    for url in [
        json!(client.url("newOrder")),
        json!(bound_issuer().directory),
        json!(client.url("newAccount").replace("ca.lan", "evil.lan")),
        json!(format!("{}/", client.url("newAccount"))),
        json!(stranger().url("newAccount")),
        json!(""),
        json!(null),
        json!([client.url("newAccount")]),
    ] {
        with_header(&|header| header["url"] = url.clone()).refused();
    }
    with_header(&|header| _ = header.as_object_mut().unwrap().remove("url")).refused();
}

/// The binding has no nonce.
#[test]
fn rfc8555_s7_3_4_a_binding_with_a_nonce_is_refused() {
    let nonce = applicant().nonce();
    with_header(&|header| header["nonce"] = nonce.as_str().into()).refused_as("malformed");
    with_header(&|header| header["nonce"] = "".into()).refused_as("malformed");
    with_header(&|header| header["nonce"] = Value::Null).refused_as("malformed");
}

/// It names its key by `kid`, which is text, and carries no `jwk`.
#[test]
fn rfc8555_s7_3_4_a_binding_without_a_kid_is_refused() {
    with_header(&|header| _ = header.as_object_mut().unwrap().remove("kid")).refused_as("malformed");
    for kid in [json!(null), json!(7), json!([]), json!({})] {
        with_header(&|header| header["kid"] = kid.clone()).refused_as("malformed");
    }
    let jwk = AccountKey::es256().jwk;
    with_header(&|header| header["jwk"] = jwk.clone()).refused_as("malformed");
    for kid in ["", " ", "' OR 1=1 --", "%", "\0", "../"] {
        with_header(&|header| header["kid"] = kid.into()).refused_as("unauthorized");
    }
}

/// The algorithm is a MAC: no signature, not "none", not a name in other letters.
#[test]
fn rfc8555_s7_3_4_a_binding_that_is_not_by_mac_is_refused() {
    for alg in ["none", "ES256", "RS256", "EdDSA", "hs256", "HS1", ""] {
        with_header(&|header| header["alg"] = alg.into()).refused();
    }
    for alg in [json!(null), json!(256), json!(["HS256"])] {
        with_header(&|header| header["alg"] = alg.clone()).refused_as("malformed");
    }
    with_header(&|header| _ = header.as_object_mut().unwrap().remove("alg")).refused_as("malformed");
}

/// And whoever used another is not told to use a signature instead.
#[test]
fn rfc8555_s7_3_4_the_algorithms_listed_are_those_of_a_binding() {
    let reply = with_header(&|header| header["alg"] = "HS1".into());
    reply.refused();
    assert_eq!(reply.json()["algorithms"], json!(["HS256", "HS384", "HS512"]), "{reply}");
}

/// Extensions that must be understood are not (RFC 7515, 4.1.11).
#[test]
fn rfc8555_s7_3_4_a_binding_with_crit_is_refused() {
    with_header(&|header| header["crit"] = json!(["exp"])).refused_as("malformed");
    with_header(&|header| {
        header["crit"] = json!(["b64"]);
        header["b64"] = json!(false);
    })
    .refused_as("malformed");
}

/// The key bound is the one that signs the request.
#[test]
fn rfc8555_s7_3_4_a_binding_of_another_key_is_refused() {
    let (client, eab, other) = (applicant(), eab(), AccountKey::es256());
    let mut mixed = client.key.jwk.clone();
    mixed["x"] = other.jwk["x"].clone();
    for payload in [other.jwk.clone(), mixed, AccountKey::ed25519().jwk] {
        let mut binding = Binding::new(&client, &eab);
        binding.payload = payload.to_string();
        register(&client, &binding.sealed()).refused();
    }
    client.clone().register(&eab).expect(201);
}

/// It is compared as a key, not as bytes: HAProxy and others write it differently in the two places.
#[test]
fn rfc8555_s7_3_4_the_bound_key_may_be_written_differently() {
    let (client, eab) = (applicant(), eab());
    let jwk = &client.key.jwk;
    let mut binding = Binding::new(&client, &eab);
    binding.payload = format!(
        "{{\"y\": {}, \"use\": \"sig\",\n \"kty\":\"EC\", \"x\":{}, \"crv\":\"P-256\", \"alg\": \"ES256\"}}",
        jwk["y"], jwk["x"]
    );
    register(&client, &binding.sealed()).expect(201);
}

/// The payload is a public JWK and nothing else.
#[test]
fn rfc8555_s7_3_4_a_payload_that_is_no_jwk_is_refused() {
    let (client, eab) = (applicant(), eab());
    let private = client.key.jwk.to_string().replacen('{', "{\"d\":\"AAAA\",", 1);
    let doubled = client.key.jwk.to_string().replacen('{', "{\"kty\":\"EC\",", 1);
    for payload in ["", "{}", "[]", "null", "x", "\"jwk\"", &client.key.thumbprint(), &private, &doubled] {
        let mut binding = Binding::new(&client, &eab);
        binding.payload = payload.into();
        register(&client, &binding.sealed()).refused();
    }
    client.clone().register(&eab).expect(201);
}

/// A binding is a flattened JWS like any other: strict in its base64url, unique in its members, whole.
#[test]
fn rfc8555_s7_3_4_a_binding_that_is_no_flattened_jws_is_refused() {
    let (client, eab) = (applicant(), eab());
    let jws = Binding::new(&client, &eab).jws();
    let sound = jws.flattened();
    let with = |member: &str, value: Value| {
        let mut spoilt = sound.clone();
        spoilt[member] = value;
        spoilt
    };
    for binding in [
        json!(null),
        json!("x"),
        json!([]),
        json!([sound]),
        json!({}),
        json!(format!("{}.{}.{}", jws.protected, jws.payload, jws.signature)),
        json!({"payload": jws.payload, "signatures": [{"protected": jws.protected, "signature": jws.signature}]}),
        json!({"payload": jws.payload, "protected": jws.protected}),
        json!({"payload": jws.payload, "signature": jws.signature}),
        json!({"protected": jws.protected, "signature": jws.signature}),
        with("header", json!({})),
        with("header", json!({"kid": eab.kid})),
        with("signatures", json!([])),
        with("protected", json!(padded(&jws.protected))),
        with("payload", json!(padded(&jws.payload))),
        with("signature", json!(padded(&jws.signature))),
        with("payload", client.key.jwk.clone()),
        with("protected", json!(null)),
        with("signature", json!(7)),
    ] {
        register(&client, &binding).refused();
    }
    let payload = json!({"externalAccountBinding": sound}).to_string();
    let doubled = payload.replace("\"payload\":", "\"payload\":\"e30\",\"payload\":");
    assert_ne!(payload, doubled);
    let url = client.url("newAccount");
    client.send(&url, &client.sign(&client.header(&url), doubled.as_bytes())).problem(400, "malformed");
    client.clone().register(&eab).expect(201);
}

/// An expired credential is refused.
#[test]
fn rfc8555_s7_3_4_an_expired_binding_is_refused() {
    let eab = ca().make_eab_with(bound_issuer(), &["--ttl", "1s"]);
    // Polled in the list, since a registration that came in time would use the credential up.
    eventually("the credential expires", seconds(10), || {
        let outstanding =
            ca().run(&["list-acme-eabs", "--json", "--cert-issuer-name", &bound_issuer().name]).succeeded();
        (!outstanding.stdout.contains(&eab.kid)).then_some(())
    });
    let said = applicant().register(&eab).refused_as("unauthorized");
    assert!(said.contains("expired"), "{said}");
}

/// A credential that was taken back is refused.
#[test]
fn rfc8555_s7_3_4_a_revoked_binding_is_refused() {
    let eab = eab();
    ca().run(&["revoke-acme-eab", "--kid", &eab.kid]).succeeded();
    let said = applicant().register(&eab).refused_as("unauthorized");
    assert!(said.contains("taken back"), "{said}");
}

/// A credential for several accounts makes as many as it says.
#[test]
fn rfc8555_s7_3_4_a_binding_makes_as_many_accounts_as_it_may() {
    let eab = ca().make_eab_with(bound_issuer(), &["--uses", "3"]);
    for _ in 0..3 {
        applicant().register(&eab).expect(201);
    }
    applicant().register(&eab).refused_as("unauthorized");
}

/// An account keeps the bounds of its credential: names outside are refused, names inside are not.
#[test]
fn rfc8555_s7_3_4_an_account_keeps_the_bounds_of_its_binding() {
    let mut client = applicant();
    client.register(&ca().make_eab_with(bound_issuer(), &["--allowed-domains", "mine.acme.com"])).expect(201);
    client.ask_for(&["mine.acme.com"]).expect(201);
    for outside in ["acme.com", "yours.acme.com", "x.mine.acme.com", "*.mine.acme.com"] {
        client.ask_for(&[outside]).refused_as("rejectedIdentifier");
    }
}

/// A registered key gets its account with whatever binding, and none is used up (cert-manager repeats itself).
#[test]
fn rfc8555_s7_3_4_a_registered_key_uses_no_binding_up() {
    let mut client = applicant();
    client.register(&eab()).expect(201);
    let spare = eab();
    client.register(&spare).expect(200);
    client.register_with(&json!({})).expect(200);
    client
        .register_with(&json!({"externalAccountBinding": {"protected": "e30", "payload": "", "signature": ""}}))
        .expect(200);
    let outstanding = ca().run(&["list-acme-eabs", "--json", "--cert-issuer-name", &bound_issuer().name]).succeeded();
    assert!(outstanding.stdout.contains(&spare.kid), "{}", outstanding.stdout);
    applicant().register(&spare).expect(201);
}

/// A refused registration for another reason leaves the credential as it was.
#[test]
fn rfc8555_s7_3_4_a_registration_refused_for_its_contact_uses_nothing_up() {
    let (client, eab) = (applicant(), eab());
    let payload = json!({"contact": ["tel:+1"], "externalAccountBinding": Binding::new(&client, &eab).sealed()});
    client.clone().register_with(&payload).problem(400, "unsupportedContact");
    applicant().register(&eab).expect(201);
}

/// The administrator sees which credential made which account.
#[test]
fn rfc8555_s7_3_4_the_account_is_known_by_its_binding() {
    let (mut client, eab) = (applicant(), eab());
    client.register(&eab).expect(201);
    let accounts = ca().accounts(bound_issuer());
    let own = accounts.iter().find(|account| text(account, "key_digest") == client.key.thumbprint()).unwrap();
    assert!(own.to_string().contains(&eab.kid), "{own}");
}

fn register(client: &Client, binding: &Value) -> Reply {
    client.clone().register_with(&json!({"termsOfServiceAgreed": true, "externalAccountBinding": binding}))
}

/// newAccount with a binding whose header was spoiled before its MAC was made. Nothing is used up.
fn with_header(spoil: &dyn Fn(&mut Value)) -> Reply {
    let (client, eab) = (applicant(), unused_eab());
    let mut binding = Binding::new(&client, eab);
    spoil(&mut binding.header);
    register(&client, &binding.sealed())
}

/// A credential that many false registrations share.
fn unused_eab() -> &'static Eab {
    static EAB: std::sync::LazyLock<Eab> = std::sync::LazyLock::new(eab);
    &EAB
}
