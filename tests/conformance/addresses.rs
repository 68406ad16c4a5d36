//! RFC 8738: IP addresses as identifiers.

use crate::judge::{Judge, leaf_facts, names};
use crate::nameserver::caa;
use crate::proof::{Steps, assert_valid, dns, ip, only};
use crate::request::{Request, csr, dns_name};
use crate::scene::scene;
use crate::world::acme::{Client, Order};
use crate::world::issuer::text;
use crate::world::responder::Responder;
use serde_json::json;
use simple_dns::TYPE;
use std::net::Ipv6Addr;

fn client(networks: &str) -> Client {
    scene().client_with("beside.addresses.test", &["--allowed-ip-sans", networks])
}

/// An order for the scene's own address that is ready.
fn ready(client: &Client) -> (String, Order) {
    let address = scene().address().to_string();
    let order = client.order_of(&[ip(&address)]);
    client.prove(&order, &scene().http);
    assert_valid(&scene().decided(client, &only(&order)));
    (address, order)
}

/// An address is proved by http-01 at itself, and certified as an iPAddress.
#[test]
fn rfc8738_s3_an_address_is_certified() {
    let client = client("127.0.0.0/8");
    let (address, order) = ready(&client);
    client.finalize(&order, &csr(&[&address])).expect(200);
    let chain = client.certificate(&order);
    assert_eq!(names(&leaf_facts(&chain)), [format!("IPAddress:{address}")]);
    assert_eq!(Judge::new().facts(&chain).len(), 2);
}

/// IPv6 too.
#[test]
fn rfc8738_s3_an_ipv6_address_is_certified() {
    let client = client("::1/128");
    let responder = Responder::start(Ipv6Addr::LOCALHOST, scene().ca.http_01_port);
    let order = client.order_of(&[ip("::1")]);
    client.prove(&order, &responder);
    assert_valid(&scene().decided(&client, &only(&order)));
    client.finalize(&order, &csr(&["::1"])).expect(200);
    assert_eq!(names(&leaf_facts(&client.certificate(&order))), ["IPAddress:::1"]);
    assert!(responder.hits()[0].host.starts_with("[::1]"), "{:?}", responder.hits());
}

/// Names and addresses stand side by side in an order and in a certificate.
#[test]
fn rfc8738_s3_names_and_addresses_go_together() {
    let client = client("127.0.0.0/8");
    let address = scene().address().to_string();
    let order = client.order_of(&[dns("beside.addresses.test"), ip(&address)]);
    assert_eq!(order.body["identifiers"], json!([dns("beside.addresses.test"), ip(&address)]));
    client.prove(&order, &scene().http);
    assert_eq!(client.settled(&order.url, &["pending"])["status"], "ready");
    client.finalize(&order, &csr(&["beside.addresses.test", &address])).expect(200);
    let expected = ["DNSName:beside.addresses.test".to_owned(), format!("IPAddress:{address}")];
    assert_eq!(names(&leaf_facts(&client.certificate(&order))), expected);
}

/// An IPv4 address is four decimal numbers and nothing else (RFC 8738, 3, by way of RFC 1123, 2.1).
#[test]
fn rfc8738_s3_an_ipv4_address_has_one_form() {
    let client = client("0.0.0.0/0");
    for odd in [
        "",
        "127.1",
        "127.0.0.01",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "2130706433",
        "127.0.0.1.",
        "127.0.0.1/32",
        "127.0.0.256",
        " 127.0.0.1",
        "127.0.0.1 ",
        "127.0.0.1:80",
        "127.0.0",
        "1.2.3.4.5",
        "::ffff:127.0.0.1x",
        "a",
    ] {
        let reply = client.request_order(&json!({"identifiers": [ip(odd)]}));
        assert!(reply.status != 201, "{odd} was taken");
        reply.refused();
    }
    client.order_of(&[ip("192.0.2.1")]);
}

/// An IPv6 address is written as RFC 5952 says: lower case, no leading zeros, the longest run of zeros cut.
#[test]
fn rfc8738_s3_an_ipv6_address_has_one_form() {
    let client = client("::/0");
    for odd in [
        "2001:DB8::1",
        "2001:0db8::1",
        "2001:db8:0:0:0:0:0:1",
        "2001:db8::0:1",
        "2001:db8:0:0:1::1",
        "[2001:db8::1]",
        "2001:db8::1%eth0",
        "2001:db8::1/128",
        "2001:db8:::1",
        ":",
        "1:2:3:4:5:6:7:8:9",
        "2001:db8::1::1",
        "0:0:0:0:0:0:0:1",
        "64:ff9b::c000:0201",
        "::ffff:c000:201",
    ] {
        let reply = client.request_order(&json!({"identifiers": [ip(odd)]}));
        assert!(reply.status != 201, "{odd} was taken");
        reply.refused();
    }
    for good in ["2001:db8::1", "2001:db8:0:1:1:1:1:1", "fd00::"] {
        let order = client.order_of(&[ip(good)]);
        assert_eq!(order.body["identifiers"], json!([ip(good)]));
    }
}

/// Addresses are certified out of the networks that the issuer names, and of no other.
#[test]
fn rfc8738_s3_addresses_outside_the_issuers_networks_are_rejected() {
    let client = client("192.0.2.0/28,2001:db8:1::/48");
    for good in ["192.0.2.0", "192.0.2.15", "2001:db8:1::", "2001:db8:1:ffff::1"] {
        client.order_of(&[ip(good)]);
    }
    for bad in ["192.0.2.16", "192.0.1.255", "10.0.0.1", "2001:db8:2::", "2001:db8::", "::1", "::ffff:192.0.2.1"] {
        let reply = client.request_order(&json!({"identifiers": [ip(bad)]}));
        let detail = reply.problem(400, "rejectedIdentifier");
        assert!(detail.contains(bad), "{detail}");
    }
    // Any name does not mean any address.
    let named = scene().client_with("x.addresses.test", &["--allow-any-name"]);
    named.request_order(&json!({"identifiers": [ip("192.0.2.1")]})).problem(400, "rejectedIdentifier");
}

/// dns-01 says nothing about an address, so it is not offered.
#[test]
fn rfc8738_s7_dns_challenges_are_not_offered_for_addresses() {
    let client = scene().client_with(
        "x.addresses.test",
        &[
            "--allowed-ip-sans",
            "192.0.2.0/24",
            "--challenges",
            "http-01,dns-01,tls-alpn-01,dns-account-01,dns-persist-01",
        ],
    );
    let body = client.fetch(&only(&client.order_of(&[ip("192.0.2.7")]))).expect(200).json();
    assert_eq!(body["identifier"], ip("192.0.2.7"));
    let kinds: Vec<String> = body["challenges"].as_array().unwrap().iter().map(|one| text(one, "type")).collect();
    assert_eq!(kinds, ["http-01", "tls-alpn-01"]);
    let only_dns =
        scene().client_with("x.addresses.test", &["--allowed-ip-sans", "192.0.2.0/24", "--challenges", "dns-01"]);
    only_dns.request_order(&json!({"identifiers": [ip("192.0.2.7")]})).problem(400, "rejectedIdentifier");
}

/// In the request the address is an iPAddress: as text in a dNSName it is none.
#[test]
fn rfc8738_s3_an_address_in_a_csr_is_an_address() {
    let client = client("127.0.0.0/8");
    let (address, order) = ready(&client);
    for (what, csr) in [
        ("a DNS name", Request::new(&[]).with_name(dns_name(&address)).build()),
        ("the address and the same as a DNS name", Request::new(&[&address]).with_name(dns_name(&address)).build()),
        ("another address", csr(&["127.0.0.1"])),
        ("an address more", csr(&[&address, "127.0.0.1"])),
        ("the address mapped into IPv6", csr(&[&format!("::ffff:{address}")])),
    ] {
        let reply = client.finalize(&order, &csr);
        assert!(reply.status != 200, "{what} was accepted");
        reply.problem(400, "badCSR");
    }
    assert_eq!(client.status_of(&order), "ready");
    client.finalize(&order, &csr(&[&address])).expect(200);
}

/// An address has no wildcard, and no place in newAuthz outside the networks.
#[test]
fn rfc8738_s3_an_address_has_no_wildcard() {
    let client = client("192.0.2.0/24");
    for odd in ["*.0.2.1", "192.0.2.*", "*.192.0.2.1", "192.0.2.0/24"] {
        client.request_order(&json!({"identifiers": [ip(odd)]})).refused();
    }
    client.post(&client.url("newAuthz"), &json!({"identifier": ip("192.0.2.9")})).expect(201);
    client.post(&client.url("newAuthz"), &json!({"identifier": ip("198.51.100.1")})).problem(400, "rejectedIdentifier");
}

/// CAA records are of domain names: an address has none, and the DNS is not asked about parts of it.
#[test]
fn rfc8659_s3_addresses_have_no_caa() {
    let address = scene().address().to_string();
    scene().names.set(address.split_once('.').unwrap().1, TYPE::CAA, vec![caa(0, "issue", ";")]);
    let client =
        scene().client_with("x.addresses.test", &["--allowed-ip-sans", "127.0.0.0/8", "--caa-identity", "ca.test"]);
    ready(&client);
    assert!(scene().names.asked(&address, TYPE::CAA).is_empty());
}
