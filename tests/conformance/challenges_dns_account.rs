//! draft-ietf-acme-dns-account-label: dns-account-01.

use crate::proof::{Steps, assert_valid, dns, error_type, only};
use crate::scene::scene;
use crate::world::acme::Client;
use crate::world::issuer::Issuer;
use simple_dns::TYPE;

const KIND: &str = "dns-account-01";

fn issuer(domains: &str) -> Issuer {
    scene().issuer_with(domains, &["--challenges", "dns-account-01,dns-01"])
}

/// `_`, base32 of the first ten bytes of the SHA-256 of the account's URL, `._acme-challenge.`, the name.
fn record_of(client: &Client, name: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, client.account.as_ref().unwrap().as_bytes());
    let mut label = String::new();
    let (mut word, mut bits) = (0u32, 0);
    for byte in &digest.as_ref()[..10] {
        word = word << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            label.push(char::from(b"abcdefghijklmnopqrstuvwxyz234567"[(word >> bits & 31) as usize]));
        }
    }
    format!("_{label}._acme-challenge.{name}")
}

/// The hash of the key authorization under the label of the account proves a name.
#[test]
fn dns_account_label_s3_1_the_label_of_the_account_proves_a_name() {
    let client = scene().ca.client(&issuer("label.account.test"));
    let authorization = only(&client.order(&["label.account.test"]));
    let value = client.dns_value(&client.challenge(&authorization, KIND));
    scene().names.publish(&record_of(&client, "label.account.test"), &[&value]);
    assert_valid(&client.attempt(&authorization, KIND));
}

/// Two accounts prove one name side by side, each under its own label.
#[test]
fn dns_account_label_s1_accounts_do_not_meet() {
    let issuer = issuer("shared.account.test");
    for client in [scene().ca.client(&issuer), scene().ca.client(&issuer)] {
        let authorization = only(&client.order(&["shared.account.test"]));
        let value = client.dns_value(&client.challenge(&authorization, KIND));
        scene().names.publish(&record_of(&client, "shared.account.test"), &[&value]);
        assert_valid(&client.attempt(&authorization, KIND));
    }
}

/// A record at the place of dns-01, or under the label of another account, is none.
#[test]
fn dns_account_label_s3_1_a_record_elsewhere_does_not_count() {
    let issuer = issuer("elsewhere.account.test");
    let (client, other) = (scene().ca.client(&issuer), scene().ca.client(&issuer));
    let authorization = only(&client.order(&["elsewhere.account.test"]));
    let value = client.dns_value(&client.challenge(&authorization, KIND));
    scene().names.publish("_acme-challenge.elsewhere.account.test", &[&value]);
    scene().names.publish(&record_of(&other, "elsewhere.account.test"), &[&value]);
    assert_eq!(error_type(&client.attempt(&authorization, KIND)), "incorrectResponse");
    assert!(scene().names.asked("_acme-challenge.elsewhere.account.test", TYPE::TXT).is_empty());
}

/// Wildcards are proved at their base.
#[test]
fn dns_account_label_s3_1_a_wildcard_is_proved_at_its_base() {
    let client = scene().ca.client(&issuer("*.wild.account.test"));
    let authorization = only(&client.order_of(&[dns("*.wild.account.test")]));
    let value = client.dns_value(&client.challenge(&authorization, KIND));
    scene().names.publish(&record_of(&client, "wild.account.test"), &[&value]);
    assert_valid(&client.attempt(&authorization, KIND));
}

/// Neither of the drafts' challenges is offered unless the issuer turns it on: they crash some clients.
#[test]
fn dns_account_label_s3_draft_challenges_are_offered_only_where_turned_on() {
    let client = scene().client("off.account.test");
    let body = client.fetch(&only(&client.order(&["off.account.test"]))).expect(200).text();
    assert!(!body.contains("dns-account-01") && !body.contains("dns-persist-01"), "{body}");
}
