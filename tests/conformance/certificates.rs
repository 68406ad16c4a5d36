//! RFC 8555, 7.4.2: downloading a certificate.

use crate::judge::{Judge, leaf_facts};
use crate::proof::Steps;
use crate::request::csr;
use crate::scene::scene;
use crate::world::acme::Client;
use crate::world::issuer::text;
use serde_json::json;

/// A client, and the URL of a certificate that it got.
fn certified(name: &str) -> (Client, String) {
    let client = scene().client(name);
    let order = client.ready(&[name]);
    client.finalize(&order, &csr(&[name])).expect(200);
    let url = text(&client.settled(&order.url, &["processing"]), "certificate");
    (client, url)
}

/// The leaf first, then each certificate that certifies the one before, as PEM without any text around it.
#[test]
fn rfc8555_s7_4_2_a_certificate_comes_with_its_chain() {
    let (client, url) = certified("chain.certificates.test");
    let reply = client.fetch(&url).expect(200);
    assert_eq!(reply.header("content-type"), Some("application/pem-certificate-chain"));
    let pem = reply.text();
    let mut inside = false;
    for line in pem.lines() {
        match line {
            "-----BEGIN CERTIFICATE-----" => inside = true,
            "-----END CERTIFICATE-----" => inside = false,
            other => assert!(inside && other.len() <= 64 && !other.is_empty(), "between certificates: {other:?}"),
        }
    }
    let facts = Judge::new().facts(&pem);
    assert!(facts.len() >= 2, "clients want the issuer's certificate too");
    for pair in facts.windows(2) {
        assert_eq!(pair[0]["issuer"], pair[1]["subject"]);
    }
    assert_eq!(facts[0]["extensions"]["basicConstraints"]["value"]["ca"], false);
    assert_eq!(facts[1]["extensions"]["basicConstraints"]["value"]["ca"], true);
}

/// Judges that share no code with the server trust it for its name.
#[test]
fn rfc5280_s6_judges_trust_the_certificate() {
    let issuer = scene().issuer("trusted.certificates.test");
    let client = scene().ca.client(&issuer);
    let chain = client.issue(&["trusted.certificates.test"]);
    Judge::new().assert_trusted(&issuer.root_pem, &chain, "trusted.certificates.test");
}

/// A certificate lasts no second longer than the issuer allows: both ends of its validity count (RFC 5280, 4.1.2.5).
#[test]
fn rfc5280_s4_1_2_5_the_lifetime_counts_both_ends() {
    let issuer = scene().issuer("short.certificates.test");
    scene().update(&issuer, &["--ttl", "2h"]);
    let client = scene().ca.client(&issuer);
    let facts = leaf_facts(&client.issue(&["short.certificates.test"]));
    let seconds = facts["not_after"].as_i64().unwrap() - facts["not_before"].as_i64().unwrap() + 1;
    assert!(seconds <= 7_200 && seconds > 7_000, "{seconds} s");
}

/// Certificates are downloaded by POST-as-GET, by the account that ordered them.
#[test]
fn rfc8555_s7_4_2_a_certificate_is_shown_to_its_account_by_post_as_get() {
    let (client, url) = certified("owned.certificates.test");
    let reply = client.wire.request("GET", &url, &[], b"");
    assert_eq!(reply.status, 405, "{reply}");
    client.post(&url, &json!({})).problem(400, "malformed");
    let issuer = scene().issuer("owned.certificates.test");
    scene().ca.client(&issuer).fetch(&url).refused();
    let (stranger, _) = certified("stranger.certificates.test");
    stranger.fetch(&url).refused();
}

#[test]
fn rfc8555_s7_4_2_a_certificate_that_is_not_there_is_not_found() {
    let (client, url) = certified("gone.certificates.test");
    let base = url.rsplit_once('/').unwrap().0;
    for number in ["999999999", "0", "x"] {
        let reply = client.fetch(&format!("{base}/{number}"));
        assert_eq!(reply.status, 404, "{reply}");
    }
}

/// Each reply links to the directory (RFC 8555, 7.1).
#[test]
fn rfc8555_s7_1_a_certificate_links_to_the_directory() {
    let (client, url) = certified("linked.certificates.test");
    let reply = client.fetch(&url).expect(200);
    let links: Vec<_> = reply.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("link")).collect();
    assert!(links.iter().any(|(_, link)| link.contains("/directory>;rel=\"index\"")), "{links:?}");
    assert!(reply.header("replay-nonce").is_some());
}

/// A serial number is positive, has 20 octets at most (RFC 5280, 4.1.2.2), and never comes again.
#[test]
fn rfc5280_s4_1_2_2_serial_numbers_are_long_and_unique() {
    let client = scene().client("serial.certificates.test");
    let serials: Vec<String> = (0..3)
        .map(|_| {
            let facts = leaf_facts(&client.issue(&["serial.certificates.test"]));
            let bits = facts["serial_bits"].as_u64().unwrap();
            assert!((64..160).contains(&bits), "{bits} bits");
            text(&facts, "serial")
        })
        .collect();
    assert!(serials[0] != serials[1] && serials[1] != serials[2] && serials[0] != serials[2]);
}
