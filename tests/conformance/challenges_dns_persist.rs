//! draft-ietf-acme-dns-persist-01: dns-persist-01, a record that stays. Without a `--caa-identity` the CA's name is the host
//! of its URL, `ca.lan`.

use crate::proof::{Steps, assert_valid, dns, error_type, only};
use crate::scene::scene;
use crate::world::acme::Client;
use crate::world::issuer::text;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

const KIND: &str = "dns-persist-01";

fn client(domains: &str) -> Client {
    scene().client_with(domains, &["--challenges", KIND, "--allow-subdomains"])
}

/// What becomes of a name with these records, where ACCOUNT stands for the account's URL.
fn with_records(client: &Client, name: &str, records: &[&str]) -> Value {
    let account = client.account.as_ref().unwrap();
    let records: Vec<String> = records.iter().map(|record| record.replace("ACCOUNT", account)).collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    scene().names.publish(&format!("_validation-persist.{}", name.trim_start_matches("*.")), &records);
    client.attempt(&only(&client.order_of(&[dns(name)])), KIND)
}

/// The challenge names the CA and the account, and has no token.
#[test]
fn dns_persist_s3_1_the_challenge_object_has_no_token() {
    let client = client("object.persist.test");
    let challenge = client.challenge(&only(&client.order(&["object.persist.test"])), KIND);
    assert_eq!(challenge["issuer-domain-names"], json!(["ca.lan"]));
    assert_eq!(text(&challenge, "accounturi"), *client.account.as_ref().unwrap());
    assert!(challenge.get("token").is_none(), "{challenge}");
    let named =
        scene().client_with("named.persist.test", &["--challenges", KIND, "--caa-identity", "one.ca.test,two.ca.test"]);
    let challenge = named.challenge(&only(&named.order(&["named.persist.test"])), KIND);
    assert_eq!(challenge["issuer-domain-names"], json!(["one.ca.test", "two.ca.test"]));
}

/// One record that names this CA and this account is enough, whatever stands beside it, for one order after another.
#[test]
fn dns_persist_s4_a_record_for_this_ca_and_account_proves_a_name() {
    let client = client("good.persist.test");
    for _ in 0..2 {
        let records = ["ca.other.test; accounturi=https://ca.other.test/1", "x", "ca.lan; accounturi=ACCOUNT"];
        assert_valid(&with_records(&client, "good.persist.test", &records));
    }
}

/// The CA's name is compared without case; parameters stand in any order, and those that are not known are passed over.
#[test]
fn dns_persist_s4_1_records_are_read_as_issue_values() {
    let client = client("read.persist.test");
    for (number, record) in [
        "CA.LAN;accounturi=ACCOUNT",
        "ca.lan ;  future=yes ; accounturi=ACCOUNT",
        "ca.lan; AccountURI=ACCOUNT",
        "ca.lan; accounturi=ACCOUNT; policy=something",
        "ca.lan; accounturi=ACCOUNT; persistUntil=4102444800",
        "ca.lan; policy=wildcard; accounturi=ACCOUNT",
    ]
    .iter()
    .enumerate()
    {
        assert_valid(&with_records(&client, &format!("r{number}.read.persist.test"), &[record]));
    }
}

/// Another CA's name, another account, none, or one that is merely like it.
#[test]
fn dns_persist_s4_1_a_record_for_another_ca_or_account_fails() {
    let client = client("other.persist.test");
    for (number, record) in [
        "other.lan; accounturi=ACCOUNT",
        "xca.lan; accounturi=ACCOUNT",
        "; accounturi=ACCOUNT",
        "ca.lan",
        "ca.lan; accounturi=",
        "ca.lan; accounturi=ACCOUNT1",
        "ca.lan; accounturi=ACCOUNT/",
        "ca.lan; accounturi=https://other.lan/acme/account/1",
        "accounturi=ACCOUNT",
        "ACCOUNT",
        "",
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(
            error_type(&with_records(&client, &format!("o{number}.other.persist.test"), &[record])),
            "incorrectResponse"
        );
    }
    let upper = format!("ca.lan; accounturi={}", client.account.as_ref().unwrap().to_uppercase());
    assert_eq!(error_type(&with_records(&client, "upper.other.persist.test", &[&upper])), "incorrectResponse");
}

/// No record at all.
#[test]
fn dns_persist_s4_2_a_name_without_record_fails() {
    let client = client("none.persist.test");
    assert_eq!(error_type(&with_records(&client, "none.persist.test", &[])), "incorrectResponse");
}

/// Two records do not add up to one.
#[test]
fn dns_persist_s4_3_records_are_judged_one_by_one() {
    let client = client("sum.persist.test");
    assert_eq!(
        error_type(&with_records(&client, "sum.persist.test", &["ca.lan", "ca.other.test; accounturi=ACCOUNT"])),
        "incorrectResponse"
    );
}

/// A wildcard needs `policy=wildcard`, in letters of either case, in the record that proves it.
#[test]
fn dns_persist_s5_a_wildcard_needs_its_policy() {
    let client = client("wild.persist.test");
    for (number, record) in [
        "ca.lan; accounturi=ACCOUNT",
        "ca.lan; accounturi=ACCOUNT; policy=wild",
        "ca.lan; accounturi=ACCOUNT; policy=",
        "ca.lan; accounturi=ACCOUNT; policy=wildcard2",
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(
            error_type(&with_records(&client, &format!("*.n{number}.wild.persist.test"), &[record])),
            "incorrectResponse"
        );
    }
    let failed = with_records(
        &client,
        "*.apart.wild.persist.test",
        &["ca.lan; accounturi=ACCOUNT", "ca.other.test; accounturi=ACCOUNT; policy=wildcard"],
    );
    assert_eq!(error_type(&failed), "incorrectResponse");
    for (number, policy) in ["wildcard", "WildCard"].iter().enumerate() {
        let record = format!("ca.lan; accounturi=ACCOUNT; policy={policy}");
        assert_valid(&with_records(&client, &format!("*.y{number}.wild.persist.test"), &[&record]));
    }
}

/// Nor has who named one host given away all that is below it (RFC 9444).
#[test]
fn dns_persist_s5_a_domain_with_all_below_it_needs_the_wildcards_policy() {
    let client = client("sub.persist.test");
    let account = client.account.as_ref().unwrap();
    let attempt = |name: &str, policy: &str| {
        let identifier = json!({ "type": "dns", "value": name, "subdomainAuthAllowed": true });
        let reply = client.post(&client.url("newAuthz"), &json!({ "identifier": identifier })).expect(201);
        let record = format!("ca.lan; accounturi={account}{policy}");
        scene().names.publish(&format!("_validation-persist.{name}"), &[&record]);
        client.attempt(&reply.required_header("location"), KIND)
    };
    assert_eq!(error_type(&attempt("n.sub.persist.test", "")), "incorrectResponse");
    assert_valid(&attempt("y.sub.persist.test", "; policy=wildcard"));
}

/// After `persistUntil` the record no longer counts; what is no number makes it malformed.
#[test]
fn dns_persist_s4_1_a_record_ends_with_its_persist_until() {
    let client = client("until.persist.test");
    let past = format!("ca.lan; accounturi=ACCOUNT; persistUntil={}", now() - 10);
    for (number, record) in [
        past.as_str(),
        "ca.lan; accounturi=ACCOUNT; persistUntil=0",
        "ca.lan; accounturi=ACCOUNT; persistUntil=",
        "ca.lan; accounturi=ACCOUNT; persistUntil=never",
        "ca.lan; accounturi=ACCOUNT; persistUntil=0x7fffffff",
        "ca.lan; accounturi=ACCOUNT; persistUntil=4102444800.5",
        "ca.lan; accounturi=ACCOUNT; persistUntil=2100-01-01T00:00:00Z",
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(
            error_type(&with_records(&client, &format!("p{number}.until.persist.test"), &[record])),
            "incorrectResponse"
        );
    }
}

/// A parameter that stands twice says nothing that can be relied upon.
#[test]
fn dns_persist_s4_1_a_record_with_a_parameter_twice_fails() {
    let client = client("twice.persist.test");
    for (number, record) in [
        "ca.lan; accounturi=ACCOUNT; accounturi=https://other.lan/1",
        "ca.lan; accounturi=https://other.lan/1; accounturi=ACCOUNT",
        "ca.lan; accounturi=ACCOUNT; persistUntil=1; persistUntil=4102444800",
        "ca.lan; accounturi=ACCOUNT; persistUntil=1; persistUntil=1",
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(
            error_type(&with_records(&client, &format!("t{number}.twice.persist.test"), &[record])),
            "incorrectResponse"
        );
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
