//! RFC 8555, 8.4: dns-01.

use crate::nameserver::{Answer, text as txt, texts};
use crate::proof::{Steps, assert_valid, dns, error_of, error_type, only};
use crate::scene::scene;
use crate::world::acme::Client;
use crate::world::issuer::text;
use simple_dns::{RCODE, TYPE};

/// A client, an authorization for the name, the name of its TXT record, and what that should hold.
fn asked(name: &str) -> (Client, String, String, String) {
    let client = scene().client(name);
    let authorization = only(&client.order(&[name]));
    let value = client.dns_value(&client.challenge(&authorization, "dns-01"));
    (client, authorization, format!("_acme-challenge.{name}"), value)
}

/// The record is the base64url of the SHA-256 of the key authorization, 43 characters, under `_acme-challenge`.
#[test]
fn rfc8555_s8_4_the_hash_of_the_key_authorization_proves_a_name() {
    let (client, authorization, record, value) = asked("plain.dns.test");
    assert_eq!(value.len(), 43);
    scene().names.publish(&record, &[&value]);
    assert_valid(&client.attempt(&authorization, "dns-01"));
    assert_eq!(scene().names.asked(&record, TYPE::TXT).len(), 1);
}

/// One record that matches is enough; others of other orders may stand beside it.
#[test]
fn rfc8555_s8_4_one_of_several_records_is_enough() {
    let (client, authorization, record, value) = asked("several.dns.test");
    scene().names.publish(&record, &["something else", "", &"A".repeat(43), &value, "behind it"]);
    assert_valid(&client.attempt(&authorization, "dns-01"));
}

/// A record may come in several strings, which belong together (RFC 7208, 3.3, says how).
#[test]
fn rfc8555_s8_4_the_strings_of_one_record_belong_together() {
    let (client, authorization, record, value) = asked("strings.dns.test");
    scene().names.set(&record, TYPE::TXT, vec![texts(&[&value[..10], &value[10..40], &value[40..]])]);
    assert_valid(&client.attempt(&authorization, "dns-01"));
}

/// Two records that make the hash together are two wrong records.
#[test]
fn rfc8555_s8_4_records_do_not_add_up() {
    let (client, authorization, record, value) = asked("halves.dns.test");
    scene().names.publish(&record, &[&value[..20], &value[20..]]);
    assert_eq!(error_type(&client.attempt(&authorization, "dns-01")), "incorrectResponse");
}

/// CNAME records are followed, whether the target's records come along or have to be asked for.
#[test]
fn rfc8555_s8_4_aliases_are_followed() {
    let (client, authorization, record, value) = asked("alias.dns.test");
    scene().names.alias(&record, "hop.alias.test", TYPE::TXT);
    scene().names.alias("hop.alias.test", "end.alias.test", TYPE::TXT);
    scene().names.publish("end.alias.test", &[&value]);
    assert_valid(&client.attempt(&authorization, "dns-01"));

    let (client, authorization, record, value) = asked("whole.dns.test");
    let answer = Answer::AliasAndRecords("far.alias.test".into(), vec![txt(&value)]);
    scene().names.answer_with(&record, TYPE::TXT, answer);
    assert_valid(&client.attempt(&authorization, "dns-01"));
}

/// Aliases that lead round in a circle end somewhere.
#[test]
fn rfc8555_s8_4_aliases_in_a_circle_fail() {
    let (client, authorization, record, _) = asked("circle.dns.test");
    scene().names.alias(&record, "round.alias.test", TYPE::TXT);
    scene().names.alias("round.alias.test", &record, TYPE::TXT);
    assert_eq!(error_type(&client.attempt(&authorization, "dns-01")), "dns");
    assert!(scene().names.asked("round.alias.test", TYPE::TXT).len() < 40);
}

/// An answer that did not fit is asked for again by TCP.
#[test]
fn rfc8555_s8_4_a_truncated_answer_is_asked_for_by_tcp() {
    let (client, authorization, record, value) = asked("long.dns.test");
    let mut records: Vec<_> = (0..60).map(|number| txt(&format!("{number:043}"))).collect();
    records.push(txt(&value));
    scene().names.answer_with(&record, TYPE::TXT, Answer::Truncated(records));
    assert_valid(&client.attempt(&authorization, "dns-01"));
    let asked = scene().names.asked(&record, TYPE::TXT);
    assert_eq!(asked.iter().map(|asked| asked.over_tcp).collect::<Vec<_>>(), [false, true]);
}

/// A wildcard is proved at the name below the asterisk.
#[test]
fn rfc8555_s8_4_a_wildcard_is_proved_at_its_base() {
    let client = scene().client("*.wild.dns.test");
    let authorization = only(&client.order_of(&[dns("*.wild.dns.test")]));
    assert_eq!(client.fetch(&authorization).expect(200).json()["wildcard"], true);
    let value = client.dns_value(&client.challenge(&authorization, "dns-01"));
    scene().names.publish("_acme-challenge.wild.dns.test", &[&value]);
    assert_valid(&client.attempt(&authorization, "dns-01"));
}

/// A name and its wildcard are proved by two records under one name.
#[test]
fn rfc8555_s8_4_a_name_and_its_wildcard_have_records_side_by_side() {
    let client = scene().client_with("pair.dns.test", &["--allow-subdomains"]);
    let order = client.order(&["pair.dns.test", "*.pair.dns.test"]);
    let authorizations = order.authorizations();
    let values: Vec<String> =
        authorizations.iter().map(|one| client.dns_value(&client.challenge(one, "dns-01"))).collect();
    scene().names.publish("_acme-challenge.pair.dns.test", &[&values[0], &values[1]]);
    for authorization in &authorizations {
        assert_valid(&client.attempt(authorization, "dns-01"));
    }
    assert_eq!(client.status_of(&order), "ready");
}

/// Any other value is wrong, and final: it is not asked for again.
#[test]
fn rfc8555_s8_4_any_other_value_fails_at_once() {
    let issuer = scene().issuer_with("dns.test", &["--allow-subdomains"]);
    let (client, other) = (scene().ca.client(&issuer), scene().ca.client(&issuer));
    for what in ["key-authorization", "padded", "lower", "foreign", "quoted", "hex"] {
        let name = format!("{what}.dns.test");
        let authorization = only(&client.order(&[&name]));
        let challenge = client.challenge(&authorization, "dns-01");
        let key_authorization = client.key_authorization(&text(&challenge, "token"));
        let value = client.dns_value(&challenge);
        let wrong = match what {
            "key-authorization" => key_authorization,
            "padded" => format!("{value}="),
            "lower" => value.to_lowercase(),
            "foreign" => other.dns_value(&challenge),
            "quoted" => format!("\"{value}\""),
            _ => crate::tls_responder::hash(&key_authorization).iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        let record = format!("_acme-challenge.{name}");
        scene().names.publish(&record, &[&wrong]);
        let failed = client.attempt(&authorization, "dns-01");
        assert!(["incorrectResponse", "unauthorized"].contains(&error_type(&failed).as_str()), "{what}: {failed}");
        assert_eq!(scene().names.asked(&record, TYPE::TXT).len(), 1, "{what}");
    }
}

/// The name itself is not where the record is looked for.
#[test]
fn rfc8555_s8_4_a_record_at_another_name_does_not_count() {
    let (client, authorization, _, value) = asked("place.dns.test");
    for elsewhere in ["place.dns.test", "_acme-challenge.dns.test", "acme-challenge.place.dns.test"] {
        scene().names.publish(elsewhere, &[&value]);
    }
    assert_eq!(error_type(&client.attempt(&authorization, "dns-01")), "incorrectResponse");
}

/// A name that does not exist has no record: final, and told with what was asked.
#[test]
fn rfc8555_s8_4_a_name_that_does_not_exist_fails_at_once() {
    let (client, authorization, record, _) = asked("nx.dns.test");
    scene().names.answer_with(&record, TYPE::TXT, Answer::Code(RCODE::NameError));
    let error = error_of(&client.attempt(&authorization, "dns-01"));
    assert!(text(&error, "detail").contains(&record), "{error}");
    assert_eq!(scene().names.asked(&record, TYPE::TXT).len(), 1);
}
