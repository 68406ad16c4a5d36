//! Accounts in an administrator's hands: listed, deactivated, deleted.

use crate::world::account_key::AccountKey;
use crate::world::certbot::Certbot;
use crate::world::daemon::Ca;
use crate::world::issuer::{CERTIFICATES, text};
use crate::world::outcome::assert_says;

#[test]
fn a_deactivated_account_stays_listed_and_cannot_renew() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let client = Certbot::new(&ca, &issuer, "certbot");
    client.certonly("acme.com", &ca.make_eab(&issuer)).succeeded();
    let before = client.live("acme.com", "fullchain.pem");
    let account = text(&ca.accounts(&issuer)[0], "account_id");

    let reply = ca.run(&[
        "deactivate-acme-account",
        "--cert-issuer-name",
        &issuer.name,
        "--acme-account-id",
        &account,
        "--delete-account",
        "false",
        "--json",
    ]);
    assert_eq!(reply.succeeded().json(), serde_json::json!({}));
    let listed = ca.accounts(&issuer);
    assert_eq!((listed.len(), text(&listed[0], "status").as_str()), (1, "deactivated"));

    let renewal = client.renew();
    assert_eq!(renewal.status, Some(1), "{}", renewal.seen());
    assert_says(&renewal.seen(), &["deactivated"]);
    assert_eq!(client.live("acme.com", "fullchain.pem"), before);
}

#[test]
fn a_deleted_account_leaves_the_list_and_its_certificate_stays() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let client = Certbot::new(&ca, &issuer, "certbot");
    client.certonly("acme.com", &ca.make_eab(&issuer)).succeeded();
    let account = text(&ca.accounts(&issuer)[0], "account_id");

    ca.run(&[
        "deactivate-acme-account",
        "--cert-issuer-name",
        &issuer.name,
        "--acme-account-id",
        &account,
        "--delete-account",
        "true",
    ])
    .succeeded();
    assert!(ca.accounts(&issuer).is_empty());
    assert_eq!(client.renew().status, Some(1));
    assert_eq!(ca.certificate_value(&format!("{CERTIFICATES}/acme.com")), client.live("acme.com", "fullchain.pem"));
}

#[test]
fn a_deactivated_key_stays_refused_and_a_deleted_one_may_come_back_with_a_new_external_account() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    for (delete, may_come_back) in [("false", false), ("true", true)] {
        let mut client = issuer.client(AccountKey::es256());
        client.register(&ca.make_eab(&issuer)).expect(201);
        let own = client.key.thumbprint();
        let accounts = ca.accounts(&issuer);
        let account = accounts.iter().find(|account| text(account, "key_digest") == own).unwrap();
        ca.run(&[
            "deactivate-acme-account",
            "--cert-issuer-name",
            &issuer.name,
            "--acme-account-id",
            &text(account, "account_id"),
            "--delete-account",
            delete,
        ])
        .succeeded();
        if !may_come_back {
            // RFC 8555, 7.3.6, says 401.
            client.ask_for(&["acme.com"]).problem(401, "unauthorized");
        }
        client.ask_for(&["acme.com"]).refused();
        let reply = client.register(&ca.make_eab(&issuer));
        if may_come_back {
            reply.expect(201);
        } else {
            assert_says(&reply.refused(), &["deactivated"]);
        }
    }
}

#[test]
fn an_account_is_known_at_its_own_issuer_only() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let other = ca.make_issuer_named("/Other/Issuer", crate::world::issuer::SIGNER_KEY, "ca.lan", "acme.com", &[]);
    let client = ca.client(&issuer);
    let account = text(&ca.accounts(&issuer)[0], "account_id");

    assert!(ca.accounts(&other).is_empty());
    let refused = ca
        .run(&["deactivate-acme-account", "--cert-issuer-name", &other.name, "--acme-account-id", &account])
        .refused();
    assert_says(&refused, &[&account]);
    assert_eq!(ca.accounts(&issuer)[0]["status"], "valid");

    let mut abroad = other.client(client.key.clone());
    abroad.account.clone_from(&client.account);
    abroad.ask_for(&["acme.com"]).refused();

    // An EAB of one issuer is nothing at another.
    let mut stranger = other.client(AccountKey::es256());
    stranger.register(&ca.make_eab(&issuer)).refused();
    assert!(ca.accounts(&other).is_empty());
}
