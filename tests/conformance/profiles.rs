//! draft-ietf-acme-profiles.

use crate::judge::leaf_facts;
use crate::proof::{Steps, dns};
use crate::request::csr;
use crate::scene::scene;
use crate::world::acme::Client;
use crate::world::csr::Csr;
use crate::world::issuer::text;
use serde_json::{Value, json};

const ALL: &str = "classic,tlsserver,shortlived,mtls";

/// The facts of a certificate of this profile.
fn issued(client: &Client, name: &str, profile: &str, csr: &Csr) -> Value {
    let order = client.place(&json!({"identifiers": [dns(name)], "profile": profile}));
    assert_eq!(text(&order.body, "profile"), profile);
    client.prove(&order, &scene().http);
    client.settled(&order.url, &["pending"]);
    client.finalize(&order, csr).expect(200);
    leaf_facts(&client.certificate(&order))
}

fn lifetime(facts: &Value) -> i64 {
    facts["not_after"].as_i64().unwrap() - facts["not_before"].as_i64().unwrap() + 1
}

fn usages(facts: &Value, extension: &str) -> Vec<String> {
    let list = facts["extensions"][extension]["value"].as_array().unwrap();
    list.iter().map(|usage| usage.as_str().unwrap().to_owned()).collect()
}

/// The directory lists the profiles, each with words for people.
#[test]
fn profiles_s3_the_directory_lists_the_profiles() {
    let client = scene().client_with("listed.profiles.test", &["--profiles", ALL]);
    let profiles = client.directory["meta"]["profiles"].as_object().unwrap().clone();
    let mut names: Vec<&String> = profiles.keys().collect();
    names.sort();
    assert_eq!(names, ["classic", "mtls", "shortlived", "tlsserver"]);
    assert!(profiles.values().all(|words| words.as_str().is_some_and(|words| !words.is_empty())));
    let plain = scene().client("plain.profiles.test");
    assert_eq!(plain.directory["meta"]["profiles"].as_object().unwrap().len(), 1);
}

/// The order reflects the profile that was chosen, when it is made and when it is read.
#[test]
fn profiles_s4_the_order_reflects_the_profile() {
    let client = scene().client_with("reflect.profiles.test", &["--profiles", ALL]);
    for profile in ["classic", "tlsserver", "shortlived", "mtls"] {
        let order = client.place(&json!({"identifiers": [dns("reflect.profiles.test")], "profile": profile}));
        assert_eq!(text(&order.body, "profile"), profile);
        assert_eq!(text(&client.fetch(&order.url).expect(200).json(), "profile"), profile);
    }
}

/// A profile that is not offered is invalidProfile, and no order is made.
#[test]
fn profiles_s4_a_profile_that_is_not_offered_is_refused() {
    let client = scene().client_with("offered.profiles.test", &["--profiles", "classic,mtls"]);
    for profile in ["tlsserver", "shortlived", "", "Classic", "classic ", "default", "../classic"] {
        let payload = json!({"identifiers": [dns("offered.profiles.test")], "profile": profile});
        client.request_order(&payload).problem(400, "invalidProfile");
    }
    for odd in [json!(1), json!(["classic"]), json!({})] {
        client.request_order(&json!({"identifiers": [dns("offered.profiles.test")], "profile": odd})).refused();
    }
}

/// Without a wish the issuer's first profile is taken.
#[test]
fn profiles_s4_without_a_wish_the_first_profile_is_taken() {
    let client = scene().client_with("first.profiles.test", &["--profiles", "shortlived,classic"]);
    let facts = leaf_facts(&client.issue(&["first.profiles.test"]));
    assert!(lifetime(&facts) <= 160 * 3_600, "{} s", lifetime(&facts));
}

/// `classic`: as long as the issuer allows.
#[test]
fn profiles_classic_lasts_as_long_as_the_issuer_allows() {
    let client = scene().client_with("classic.profiles.test", &["--profiles", ALL]);
    let facts = issued(&client, "classic.profiles.test", "classic", &csr(&["classic.profiles.test"]));
    assert!(lifetime(&facts) <= 90 * 86_400 && lifetime(&facts) > 89 * 86_400, "{} s", lifetime(&facts));
    assert_eq!(usages(&facts, "extendedKeyUsage"), ["serverAuth"]);
}

/// `tlsserver`: 45 days, without common name, subject key identifier and keyEncipherment.
#[test]
fn profiles_tlsserver_is_lean() {
    let client = scene().client_with("lean.profiles.test", &["--profiles", ALL]);
    let rsa = Csr::with("/CN=lean.profiles.test", "subjectAltName=DNS:lean.profiles.test", &["rsa:2048"]);
    let facts = issued(&client, "lean.profiles.test", "tlsserver", &rsa);
    assert!(lifetime(&facts) <= 45 * 86_400 && lifetime(&facts) > 44 * 86_400, "{} s", lifetime(&facts));
    assert_eq!(facts["subject"], "");
    assert!(facts["extensions"].get("subjectKeyIdentifier").is_none(), "{facts}");
    assert_eq!(usages(&facts, "keyUsage"), ["digital_signature"]);
    assert_eq!(usages(&facts, "extendedKeyUsage"), ["serverAuth"]);
    let classic = issued(&client, "lean.profiles.test", "classic", &rsa);
    assert!(usages(&classic, "keyUsage").contains(&"key_encipherment".to_owned()));
    assert!(classic["extensions"].get("subjectKeyIdentifier").is_some());
}

/// `shortlived`: 160 hours.
#[test]
fn profiles_shortlived_lasts_160_hours() {
    let client = scene().client_with("short.profiles.test", &["--profiles", ALL]);
    let facts = issued(&client, "short.profiles.test", "shortlived", &csr(&["short.profiles.test"]));
    assert!(lifetime(&facts) <= 160 * 3_600 && lifetime(&facts) > 158 * 3_600, "{} s", lifetime(&facts));
}

/// `mtls`: for servers that are clients too.
#[test]
fn profiles_mtls_is_for_clients_too() {
    let client = scene().client_with("mtls.profiles.test", &["--profiles", ALL]);
    let facts = issued(&client, "mtls.profiles.test", "mtls", &csr(&["mtls.profiles.test"]));
    let mut usages = usages(&facts, "extendedKeyUsage");
    usages.sort();
    assert_eq!(usages, ["clientAuth", "serverAuth"]);
}

/// A profile's lifetime is cut to the issuer's ttl.
#[test]
fn profiles_never_outlast_the_issuers_ttl() {
    let issuer = scene().issuer_with("cut.profiles.test", &["--profiles", ALL]);
    scene().update(&issuer, &["--ttl", "1d"]);
    let client = scene().ca.client(&issuer);
    let facts = issued(&client, "cut.profiles.test", "shortlived", &csr(&["cut.profiles.test"]));
    assert!(lifetime(&facts) <= 86_400, "{} s", lifetime(&facts));
}

/// A profile that is withdrawn before the order is finalized is not certified.
#[test]
fn profiles_s4_a_profile_that_was_withdrawn_is_not_certified() {
    let issuer = scene().issuer_with("drawn.profiles.test", &["--profiles", ALL]);
    let client = scene().ca.client(&issuer);
    let order = client.place(&json!({"identifiers": [dns("drawn.profiles.test")], "profile": "mtls"}));
    client.prove(&order, &scene().http);
    client.settled(&order.url, &["pending"]);
    scene().update(&issuer, &["--profiles", "classic"]);
    client.finalize(&order, &csr(&["drawn.profiles.test"])).refused();
    assert!(client.fetch(&order.url).expect(200).json().get("certificate").is_none());
}
