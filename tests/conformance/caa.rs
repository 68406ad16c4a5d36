//! RFC 8659 and RFC 8657: CAA. What happens when it cannot be asked stands in `retried`.

use crate::nameserver::{Answer, caa};
use crate::proof::{Steps, assert_valid, dns, error_of, error_type, only};
use crate::scene::scene;
use crate::world::acme::Client;
use crate::world::issuer::text;
use simple_dns::rdata::RData;
use simple_dns::{RCODE, TYPE};

/// A client of an issuer that is called `ca.test` and, by the older of its names, `old.ca.test`.
fn client(domain: &str) -> Client {
    scene().client_with(domain, &["--allow-subdomains", "--caa-identity", "ca.test,old.ca.test"])
}

fn publish(name: &str, records: &[(u8, &str, &str)]) {
    let records: Vec<RData<'static>> = records.iter().map(|(flag, tag, value)| caa(*flag, tag, value)).collect();
    scene().names.set(name, TYPE::CAA, records);
}

/// Whether a name that is proved gets past CAA; the proof itself is always in place.
fn permitted(client: &Client, name: &str) -> bool {
    let authorization = only(&client.order_of(&[dns(name)]));
    let outcome = match name.starts_with("*.") {
        true => client.prove_by_dns(&authorization),
        false => {
            client.prove_one(&authorization, &scene().http);
            scene().decided(client, &authorization)
        }
    };
    if outcome["status"] == "valid" {
        return true;
    }
    assert_eq!(error_type(&outcome), "caa", "{outcome}");
    false
}

/// The directory tells the names that CAA records may have.
#[test]
fn rfc8555_s7_1_1_the_directory_tells_the_caa_identities() {
    let client = client("told.caa.test");
    assert_eq!(client.directory["meta"]["caaIdentities"], serde_json::json!(["ca.test", "old.ca.test"]));
}

/// No record anywhere up to the root permits everybody.
#[test]
fn rfc8659_s3_a_domain_without_caa_is_anybodys() {
    assert!(permitted(&client("free.caa.test"), "free.caa.test"));
    assert!(!scene().names.asked("free.caa.test", TYPE::CAA).is_empty());
    assert!(!scene().names.asked("caa.test", TYPE::CAA).is_empty(), "the domains above were not asked");
    assert!(!scene().names.asked("test", TYPE::CAA).is_empty(), "the domains above were not asked");
}

/// `issue` permits the CA that it names, whatever other records permit others.
#[test]
fn rfc8659_s4_2_issue_permits_the_ca_that_it_names() {
    let client = client("named.caa.test");
    publish("a.named.caa.test", &[(0, "issue", "ca.test")]);
    publish("b.named.caa.test", &[(0, "issue", "other.test"), (0, "issue", "old.ca.test")]);
    publish("c.named.caa.test", &[(0, "ISSUE", " CA.Test ; x=y")]);
    for name in ["a.named.caa.test", "b.named.caa.test", "c.named.caa.test"] {
        assert!(permitted(&client, name), "{name}");
    }
}

/// Records that name others, nobody, or something merely alike forbid.
#[test]
fn rfc8659_s4_2_issue_forbids_all_others() {
    let client = client("closed.caa.test");
    for (number, value) in
        [";", "", "other.test", "xca.test", "ca.test.evil.test", "test", "a.ca.test", "ca test", "%%%"]
            .iter()
            .enumerate()
    {
        let name = format!("f{number}.closed.caa.test");
        publish(&name, &[(0, "issue", value)]);
        assert!(!permitted(&client, &name), "{value:?}");
    }
}

/// A value that is not well formed is as good as one that permits nobody.
#[test]
fn rfc8659_s4_2_a_malformed_value_permits_nobody() {
    let client = client("odd.caa.test");
    for (number, value) in
        ["ca.test; x", "ca.test; =y", "ca.test; x=a b", "ca.test x=y", "ca.test, old.ca.test"].iter().enumerate()
    {
        let name = format!("m{number}.odd.caa.test");
        publish(&name, &[(0, "issue", value)]);
        assert!(!permitted(&client, &name), "{value:?}");
    }
}

/// The nearest domain upwards that has any CAA record decides; what stands above it does not count.
#[test]
fn rfc8659_s3_the_nearest_domain_with_records_decides() {
    let client = client("tree.caa.test");
    publish("tree.caa.test", &[(0, "issue", ";")]);
    publish("open.tree.caa.test", &[(0, "issue", "ca.test")]);
    assert!(!permitted(&client, "a.b.tree.caa.test"));
    assert!(permitted(&client, "a.b.open.tree.caa.test"));
    // Any CAA record ends the climb, also one that says nothing about issuing.
    publish("note.tree.caa.test", &[(0, "iodef", "mailto:root@tree.caa.test")]);
    assert!(permitted(&client, "a.note.tree.caa.test"));
}

/// A record of a sibling or of a domain below does not count.
#[test]
fn rfc8659_s3_records_beside_and_below_do_not_count() {
    let client = client("side.caa.test");
    publish("below.a.side.caa.test", &[(0, "issue", ";")]);
    publish("b.side.caa.test", &[(0, "issue", ";")]);
    assert!(permitted(&client, "a.side.caa.test"));
}

/// For a wildcard `issuewild` decides where there is one, else `issue`; for a name `issuewild` says nothing.
#[test]
fn rfc8659_s4_3_issuewild_is_for_wildcards() {
    let client = client("wild.caa.test");
    for (name, records, plain, wildcard) in [
        ("a.wild.caa.test", vec![(0, "issue", "ca.test"), (0, "issuewild", ";")], true, false),
        ("b.wild.caa.test", vec![(0, "issue", ";"), (0, "issuewild", "ca.test")], false, true),
        ("c.wild.caa.test", vec![(0, "issue", "ca.test")], true, true),
        ("d.wild.caa.test", vec![(0, "issue", "other.test")], false, false),
        ("e.wild.caa.test", vec![(0, "issuewild", "other.test")], true, false),
    ] {
        publish(name, &records);
        assert_eq!(permitted(&client, name), plain, "{name}");
        assert_eq!(permitted(&client, &format!("*.{name}")), wildcard, "*.{name}");
    }
}

/// A property that is critical and not known forbids; one that is not critical, or known, does not.
#[test]
fn rfc8659_s4_1_a_critical_property_that_is_not_known_forbids() {
    let client = client("flag.caa.test");
    publish("a.flag.caa.test", &[(128, "future", "x"), (0, "issue", "ca.test")]);
    assert!(!permitted(&client, "a.flag.caa.test"));
    publish("b.flag.caa.test", &[(128, "future", "x")]);
    assert!(!permitted(&client, "b.flag.caa.test"));
    publish("c.flag.caa.test", &[(0, "future", "x"), (128, "issue", "ca.test"), (128, "iodef", "mailto:a@b.test")]);
    assert!(permitted(&client, "c.flag.caa.test"));
    // Only the first bit means anything.
    publish("d.flag.caa.test", &[(127, "future", "x"), (0, "issue", "ca.test")]);
    assert!(permitted(&client, "d.flag.caa.test"));
}

/// RFC 8657: `accounturi` permits one account of the CA.
#[test]
fn rfc8657_s3_accounturi_permits_one_account() {
    let issuer = scene().issuer_with("uri.caa.test", &["--allow-subdomains", "--caa-identity", "ca.test"]);
    let (client, other) = (scene().ca.client(&issuer), scene().ca.client(&issuer));
    let account = client.account.as_ref().unwrap();
    publish("a.uri.caa.test", &[(0, "issue", &format!("ca.test; accounturi={account}"))]);
    assert!(permitted(&client, "a.uri.caa.test"));
    assert!(!permitted(&other, "a.uri.caa.test"));
    for (number, value) in [
        format!("ca.test; accounturi={account}/"),
        format!("ca.test; accounturi={}", account.to_uppercase()),
        "ca.test; accounturi=".to_owned(),
        format!("ca.test; accounturi={account}; accounturi=https://other.test/1"),
        format!("other.test; accounturi={account}"),
    ]
    .iter()
    .enumerate()
    {
        let name = format!("w{number}.uri.caa.test");
        publish(&name, &[(0, "issue", value)]);
        assert!(!permitted(&client, &name), "{value}");
    }
}

/// RFC 8657: `validationmethods` permits the methods that it lists.
#[test]
fn rfc8657_s4_validationmethods_permits_what_it_lists() {
    let client = client("method.caa.test");
    publish("a.method.caa.test", &[(0, "issue", "ca.test; validationmethods=dns-01,http-01")]);
    publish("b.method.caa.test", &[(0, "issue", "ca.test; validationmethods=dns-01")]);
    publish("c.method.caa.test", &[(0, "issue", "ca.test; validationmethods=")]);
    publish("d.method.caa.test", &[(0, "issue", "ca.test; validationmethods=http-010")]);
    assert!(permitted(&client, "a.method.caa.test"));
    for name in ["b.method.caa.test", "c.method.caa.test", "d.method.caa.test"] {
        assert!(!permitted(&client, name), "{name}");
    }
    let authorization = only(&client.order(&["b.method.caa.test"]));
    assert_valid(&client.prove_by_dns(&authorization));
}

/// An order of several names of which CAA forbids the k-th only, for each k: it must not be issued, and it is that name
/// whose challenge failed (Let's Encrypt, February 2020).
#[test]
fn rfc8659_s3_each_name_of_an_order_is_checked() {
    let client = client("each.caa.test");
    for forbidden in 0..4 {
        let names: Vec<String> = (0..4).map(|at| format!("n{at}.k{forbidden}.each.caa.test")).collect();
        publish(&names[forbidden], &[(0, "issue", "other.test")]);
        let order = client.order(&names.iter().map(String::as_str).collect::<Vec<_>>());
        client.prove(&order, &scene().http);
        for (at, authorization) in order.authorizations().iter().enumerate() {
            let outcome = scene().decided(&client, authorization);
            assert_eq!(outcome["status"] == "valid", at != forbidden, "k = {forbidden}: {outcome}");
        }
        assert_eq!(client.status_of(&order), "invalid");
    }
}

/// CAA is looked up through a CNAME at the name itself.
#[test]
fn rfc8659_s3_caa_follows_an_alias() {
    let client = client("alias.caa.test");
    scene().names.answer_with("a.alias.caa.test", TYPE::CAA, Answer::Alias("zone.elsewhere.test".into()));
    publish("zone.elsewhere.test", &[(0, "issue", ";")]);
    assert!(!permitted(&client, "a.alias.caa.test"));
    // The parent of the target is not asked: the climb goes on from the name.
    scene().names.answer_with("b.alias.caa.test", TYPE::CAA, Answer::Alias("empty.target.test".into()));
    publish("target.test", &[(0, "issue", ";")]);
    assert!(permitted(&client, "b.alias.caa.test"));
}

/// A name that does not exist has no records; the climb goes on above it.
#[test]
fn rfc8659_s3_a_name_that_does_not_exist_is_passed_over() {
    let client = client("nx.caa.test");
    scene().names.answer_with("a.nx.caa.test", TYPE::CAA, Answer::Code(RCODE::NameError));
    publish("nx.caa.test", &[(0, "issue", "other.test")]);
    assert!(!permitted(&client, "a.nx.caa.test"));
}

/// An answer that fits into TCP only is fetched whole.
#[test]
fn rfc8659_s3_a_long_answer_is_fetched_by_tcp() {
    let client = client("long.caa.test");
    let mut records: Vec<_> = (0..40).map(|number| caa(0, "issue", &format!("ca{number}.example"))).collect();
    scene().names.answer_with("a.long.caa.test", TYPE::CAA, Answer::Truncated(records.clone()));
    assert!(!permitted(&client, "a.long.caa.test"));
    records.push(caa(0, "issue", "ca.test"));
    scene().names.answer_with("b.long.caa.test", TYPE::CAA, Answer::Truncated(records));
    assert!(permitted(&client, "b.long.caa.test"));
}

/// The error says which record of which domain forbids.
#[test]
fn rfc8555_s6_7_a_caa_error_says_what_forbids() {
    let client = client("why.caa.test");
    publish("why.caa.test", &[(0, "issue", "other.test")]);
    let authorization = only(&client.order(&["a.why.caa.test"]));
    client.prove_one(&authorization, &scene().http);
    let error = error_of(&scene().decided(&client, &authorization));
    let detail = text(&error, "detail");
    assert!(detail.contains("why.caa.test") && detail.contains("other.test"), "{detail}");
}

/// Without `--caa-identity` CAA is not asked at all.
#[test]
fn rfc8659_s3_an_issuer_without_identity_asks_no_caa() {
    let client = scene().client("off.caa.test");
    publish("off.caa.test", &[(0, "issue", ";")]);
    client.ready(&["off.caa.test"]);
    assert!(scene().names.asked("off.caa.test", TYPE::CAA).is_empty());
    assert!(client.directory["meta"].get("caaIdentities").is_none());
}
