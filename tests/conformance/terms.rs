//! RFC 8555, 7.3 and 7.3.3: terms of service.

use crate::premises::{account_url, ca, headers, issuer_with, links};
use crate::world::account_key::AccountKey;
use crate::world::issuer::Issuer;
use serde_json::json;

const TERMS: &str = "https://acme.com/terms/1";

/// Where there are terms, an account is made for those who agree to them, and it says so.
#[test]
fn rfc8555_s7_3_who_agrees_gets_an_account() {
    let mut client = issuer().client(AccountKey::es256());
    let account = client.register_with(&json!({"termsOfServiceAgreed": true})).expect(201).json();
    assert_eq!(account["termsOfServiceAgreed"], true, "{account}");
    assert_eq!(client.fetch(account_url(&client)).expect(200).json()["termsOfServiceAgreed"], true);
}

/// Who does not agree gets none.
#[test]
fn rfc8555_s7_3_who_does_not_agree_gets_no_account() {
    let issuer = issuer();
    let mut client = issuer.client(AccountKey::es256());
    for payload in [json!({}), json!({"termsOfServiceAgreed": false}), json!({"contact": []})] {
        client.register_with(&payload).problem(403, "userActionRequired");
    }
    client.register_with(&json!({"termsOfServiceAgreed": null})).refused();
    client.register_with(&json!({"onlyReturnExisting": true})).problem(400, "accountDoesNotExist");
    assert!(ca().accounts(&issuer).is_empty());
}

/// userActionRequired tells a person where to go: `instance` (6.7).
#[test]
fn rfc8555_s6_7_user_action_required_has_an_instance() {
    let mut client = issuer().client(AccountKey::es256());
    let reply = client.register_with(&json!({}));
    reply.problem(403, "userActionRequired");
    assert!(reply.json()["instance"].as_str().is_some_and(|url| url.starts_with("https://")), "{reply}");
}

/// And a program where the terms are: Link with relation "terms-of-service" (7.3.3).
#[test]
fn rfc8555_s7_3_3_user_action_required_links_to_the_terms() {
    let mut client = issuer().client(AccountKey::es256());
    let reply = client.register_with(&json!({}));
    reply.problem(403, "userActionRequired");
    assert_eq!(links(&reply, "terms-of-service"), [TERMS], "{:?}", headers(&reply, "link"));
}

/// An account that agreed to older terms is still found by its key.
#[test]
fn rfc8555_s7_3_3_an_account_outlives_a_change_of_terms() {
    let issuer = issuer();
    let mut client = issuer.client(AccountKey::es256());
    client.register_with(&json!({"termsOfServiceAgreed": true})).expect(201);
    let changed = "https://acme.com/terms/2";
    ca().run(&["update-pki-cert-issuer", "--name", &issuer.name, "--terms-of-service", changed]).succeeded();
    client.register_with(&json!({"onlyReturnExisting": true})).expect(200);
    let newcomer = issuer.client(AccountKey::es256());
    assert_eq!(newcomer.directory["meta"]["termsOfService"], changed);
    newcomer.clone().register_with(&json!({})).problem(403, "userActionRequired");
}

/// Where there are no terms, nobody has to agree to any.
#[test]
fn rfc8555_s7_3_without_terms_nobody_has_to_agree() {
    let issuer = issuer_with(&["--require-eab=false"]);
    issuer.client(AccountKey::es256()).register_with(&json!({"termsOfServiceAgreed": false})).expect(201);
}

fn issuer() -> Issuer {
    issuer_with(&["--require-eab=false", "--terms-of-service", TERMS])
}
