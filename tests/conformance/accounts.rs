//! RFC 8555, 7.1.2, 7.3, 7.3.1 and 7.3.2: making, finding, reading and changing accounts.

use crate::premises::{account_url, applicant, bound_issuer, ca, eab, issuer_with, member, open_issuer, stranger};
use crate::world::account_key::AccountKey;
use crate::world::issuer::text;
use serde_json::{Value, json};

/// A new account: 201, its URL as Location, the account as the body.
#[test]
fn rfc8555_s7_3_new_account_is_201_with_its_location() {
    let mut client = stranger();
    let reply =
        client.register_with(&json!({"termsOfServiceAgreed": true, "contact": ["mailto:a@acme.com"]})).expect(201);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let account = reply.json();
    assert_eq!(account["status"], "valid", "{account}");
    assert_eq!(account["contact"], json!(["mailto:a@acme.com"]), "{account}");
    assert_eq!(client.fetch(&reply.required_header("location")).expect(200).json(), account);
}

/// An account has a status and the URL of its list of orders (7.1.2).
#[test]
fn rfc8555_s7_1_2_an_account_has_status_and_orders() {
    let client = member();
    let account = client.fetch(account_url(&client)).expect(200).json();
    assert_eq!(account["status"], "valid", "{account}");
    let orders = text(&account, "orders");
    assert!(orders.starts_with("https://"), "{account}");
    client.fetch(&orders).expect(200);
}

/// Every member of newAccount is optional.
#[test]
fn rfc8555_s7_3_an_empty_object_makes_an_account() {
    let mut client = stranger();
    let account = client.register_with(&json!({})).expect(201).json();
    assert_ne!(account["termsOfServiceAgreed"], true, "nobody agreed to anything: {account}");
}

/// `orders`, `status` and what is not known are ignored in newAccount, and not reflected.
#[test]
fn rfc8555_s7_3_members_that_a_client_cannot_set_are_ignored() {
    let mut client = stranger();
    let account = client
        .register_with(&json!({
            "orders": "https://evil.lan/orders", "status": "deactivated", "id": 7, "key": {}, "createdAt": "now",
            "initialIp": "10.0.0.1", "surprise": ["party"],
        }))
        .expect(201)
        .json();
    assert_eq!(account["status"], "valid");
    assert!(text(&account, "orders").starts_with(account_url(&client)), "{account}");
    for member in ["surprise", "id", "key", "createdAt", "initialIp"] {
        assert!(account.get(member).is_none(), "{member} is reflected: {account}");
    }
}

/// The payload of newAccount is an object.
#[test]
fn rfc8555_s7_3_a_payload_that_is_no_object_is_malformed() {
    let client = stranger();
    for payload in [json!([]), json!("x"), json!(1), json!(null), json!(true)] {
        client.post(&client.url("newAccount"), &payload).problem(400, "malformed");
    }
    client.clone().register_with(&json!({"onlyReturnExisting": true})).problem(400, "accountDoesNotExist");
}

/// A key that is registered gets its account back: 200 and the same Location.
#[test]
fn rfc8555_s7_3_1_a_registered_key_gets_its_account() {
    let mut client = stranger();
    let made = client.register_with(&json!({"contact": ["mailto:a@acme.com"]})).expect(201);
    let found = client.register_with(&json!({})).expect(200);
    assert_eq!(found.header("location"), made.header("location"));
    assert_eq!(found.json(), made.json());
}

/// And whatever else the request says is ignored: the account stays as it was.
#[test]
fn rfc8555_s7_3_1_finding_an_account_changes_nothing() {
    let mut client = stranger();
    let made = client.register_with(&json!({"contact": ["mailto:a@acme.com"]})).expect(201).json();
    for payload in [
        json!({"contact": ["mailto:b@acme.com"]}),
        json!({"contact": [], "termsOfServiceAgreed": true}),
        json!({"status": "deactivated"}),
        json!({"contact": ["tel:+1"]}),
        json!({"contact": 7, "externalAccountBinding": "odd"}),
    ] {
        assert_eq!(client.register_with(&payload).expect(200).json(), made, "{payload}");
    }
    assert_eq!(client.fetch(account_url(&client)).expect(200).json(), made);
}

/// onlyReturnExisting finds an account and makes none.
#[test]
fn rfc8555_s7_3_1_only_return_existing_makes_no_account() {
    let mut client = stranger();
    let looks = json!({"onlyReturnExisting": true, "termsOfServiceAgreed": true, "contact": ["mailto:a@acme.com"]});
    for _ in 0..2 {
        let reply = client.register_with(&looks);
        reply.problem(400, "accountDoesNotExist");
        assert!(reply.header("location").is_none(), "{reply}");
    }
    let made = client.register_with(&json!({})).expect(201);
    let found = client.register_with(&looks).expect(200);
    assert_eq!(found.header("location"), made.header("location"));
}

/// It finds an account without an external account too, and does not ask for one where there is none.
#[test]
fn rfc8555_s7_3_1_only_return_existing_needs_no_external_account() {
    let mut client = applicant();
    client.register_with(&json!({"onlyReturnExisting": true})).problem(400, "accountDoesNotExist");
    client.register(&eab()).expect(201);
    client.register_with(&json!({"onlyReturnExisting": true})).expect(200);
}

/// onlyReturnExisting false is as if it were not there.
#[test]
fn rfc8555_s7_3_1_only_return_existing_false_makes_an_account() {
    stranger().register_with(&json!({"onlyReturnExisting": false})).expect(201);
}

/// The flags are booleans.
#[test]
fn rfc8555_s7_3_flags_that_are_no_booleans_are_malformed() {
    for flag in ["onlyReturnExisting", "termsOfServiceAgreed"] {
        for wrong in [json!("true"), json!(1), json!([true]), json!({})] {
            stranger().register_with(&json!({ flag: wrong })).problem(400, "malformed");
        }
    }
}

/// POST with an object updates, and an empty object changes nothing (7.3.2).
#[test]
fn rfc8555_s7_3_2_an_empty_update_changes_nothing() {
    let mut client = stranger();
    let made = client.register_with(&json!({"contact": ["mailto:a@acme.com"]})).expect(201).json();
    assert_eq!(client.post(account_url(&client), &json!({})).expect(200).json(), made);
    assert_eq!(client.fetch(account_url(&client)).expect(200).json(), made);
}

/// `orders`, `termsOfServiceAgreed` and unknown members are ignored in an update.
#[test]
fn rfc8555_s7_3_2_members_that_cannot_be_updated_are_ignored() {
    let client = member();
    let before = client.fetch(account_url(&client)).expect(200).json();
    for update in [
        json!({"orders": "https://evil.lan"}),
        json!({"termsOfServiceAgreed": false}),
        json!({"termsOfServiceAgreed": "odd"}),
        json!({"externalAccountBinding": {}}),
        json!({"key": {"kty": "EC"}, "id": 1, "surprise": null}),
    ] {
        assert_eq!(client.post(account_url(&client), &update).expect(200).json(), before, "{update}");
    }
    assert_eq!(client.fetch(account_url(&client)).expect(200).json(), before);
}

/// So is a status other than "deactivated".
#[test]
fn rfc8555_s7_3_2_another_status_is_ignored() {
    let client = member();
    for status in ["valid", "revoked", "pending", "Deactivated"] {
        let account = client.post(account_url(&client), &json!({"status": status})).expect(200).json();
        assert_eq!(account["status"], "valid", "{status}");
    }
}

/// An update is all or nothing: what is refused leaves the account as it was.
#[test]
fn rfc8555_s7_3_2_a_refused_update_changes_nothing() {
    let mut client = stranger();
    let made = client.register_with(&json!({"contact": ["mailto:a@acme.com"]})).expect(201).json();
    for contact in [json!(["mailto:b@acme.com", "tel:+1"]), json!(["mailto:b@acme.com", 7]), json!("mailto:b@acme.com")]
    {
        client.post(account_url(&client), &json!({"contact": contact})).refused();
    }
    assert_eq!(client.fetch(account_url(&client)).expect(200).json(), made);
}

/// An account is refused by a server-side decision: an administrator deactivates it, and its requests end with 401.
#[test]
fn rfc8555_s7_3_6_an_account_that_an_administrator_deactivated_is_401() {
    let issuer = bound_issuer();
    let mut client = applicant();
    client.register(&eab()).expect(201);
    let own = client.key.thumbprint();
    let accounts = ca().accounts(issuer);
    let listed = accounts.iter().find(|account| account["key_digest"] == own).unwrap();
    let id = text(listed, "account_id");
    ca().run(&["deactivate-acme-account", "--cert-issuer-name", &issuer.name, "--acme-account-id", &id]).succeeded();
    client.fetch(account_url(&client)).problem(401, "unauthorized");
    client.register_with(&json!({})).problem(401, "unauthorized");
}

/// A disabled issuer makes no accounts; those that it has may still be read.
#[test]
fn rfc8555_s7_3_a_disabled_issuer_makes_no_account() {
    let issuer = issuer_with(&["--require-eab=false"]);
    let client = crate::premises::member_of(&issuer, AccountKey::es256());
    let state = |state: &str| {
        ca().run(&["set-item-state", "--name", &issuer.name, "--desired-state", state]).succeeded();
    };
    state("Disabled");
    let mut newcomer = issuer.client(AccountKey::es256());
    let said = newcomer.register_with(&json!({})).refused_as("unauthorized");
    assert!(said.contains("disabled"), "{said}");
    client.fetch(account_url(&client)).expect(200);
    client.clone().register_with(&json!({})).expect(200);
    state("Enabled");
    newcomer.register_with(&json!({})).expect(201);
}

/// An account URL belongs to the issuer that made it.
#[test]
fn rfc8555_s7_3_an_account_url_lies_below_its_directory() {
    let client = member();
    let base = open_issuer().directory.trim_end_matches("directory");
    assert!(account_url(&client).starts_with(base), "{}", account_url(&client));
    let orders: Value = client.fetch(account_url(&client)).json()["orders"].clone();
    assert!(orders.as_str().unwrap().starts_with(base), "{orders}");
}
