//! What happened to other certificate authorities, where no other story tells that it cannot happen here. The table in
//! SECURITY.md has them all.

use crate::world::csr::Csr;
use crate::world::daemon::Ca;
use crate::world::hex::unhex;
use crate::world::issuer::{ISSUER, SIGNER_KEY};
use crate::world::outcome::{Outcome, assert_says};
use crate::world::patience::{eventually, seconds};
use crate::world::responder::Responder;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

/// Caddy (CVE-2026-27586) went on without a file that it could not read, acme2certifier without a list of domains that it
/// could not parse.
#[test]
fn a_policy_that_cannot_be_understood_stops_the_start() {
    let mut ca = Ca::start();
    let issuer = ca.make_issuer_with("acme.com", &["--allowed-ip-sans", "192.0.2.0/24"]);
    let client = ca.client(&issuer);
    assert!(ca.stop().success());
    let list = |name: &str, value: &str| {
        let change = format!("UPDATE issuer_values SET value = '{value}' WHERE list = '{name}'");
        let before = if name == "allowed-ip-sans" { "192.0.2.0/24" } else { "acme.com" };
        (change, format!("UPDATE issuer_values SET value = '{before}' WHERE list = '{name}'"))
    };
    let rename = |from: &str, to: &str| format!("UPDATE issuer_values SET list = '{to}' WHERE list = '{from}'");
    for (damage, repair) in [
        list("allowed-domains", "*"),
        list("allowed-domains", ""),
        list("allowed-domains", "acme.com,"),
        list("allowed-domains", "[\"acme.com\""),
        list("allowed-domains", "acme com"),
        list("allowed-domains", "*.*.com"),
        list("allowed-domains", ".com"),
        list("allowed-ip-sans", "0.0.0.0/99"),
        list("allowed-ip-sans", "everything"),
        (rename("allowed-domains", "allowed-domain"), rename("allowed-domain", "allowed-domains")),
        (
            "UPDATE issuer_values SET value = 'trust-me-01' WHERE list = 'challenges' AND value = 'http-01'".into(),
            "UPDATE issuer_values SET value = 'http-01' WHERE list = 'challenges' AND value = 'trust-me-01'".into(),
        ),
    ] {
        ca.tamper(&damage);
        assert_says(&refused_start(&ca), &[ISSUER]);
        ca.tamper(&repair);
    }
    // A list that is gone allows nothing.
    ca.tamper("DELETE FROM issuer_values WHERE list = 'allowed-domains'");
    ca.launch();
    client.ask_for(&["acme.com"]).refused_as("rejectedIdentifier");
}

/// The same of the whole database: one that cannot be read is not begun anew.
#[test]
fn a_database_that_cannot_be_read_stops_the_start() {
    let mut ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    assert!(ca.stop().success());
    let file = ca.state_dir().join("certwright.db");
    let whole = std::fs::read(&file).unwrap();
    for damaged in [&b"This is no database, but a note about one. "[..].repeat(100), &whole[..5_000].to_vec()] {
        std::fs::write(&file, damaged).unwrap();
        assert_says(&refused_start(&ca), &["certwright.db"]);
        assert_eq!(&std::fs::read(&file).unwrap(), damaged, "it was changed");
    }
    std::fs::write(&file, whole).unwrap();
    let readable = std::fs::metadata(&file).unwrap().permissions();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o000)).unwrap();
    assert_says(&refused_start(&ca), &["certwright.db"]);
    std::fs::set_permissions(&file, readable).unwrap();
    ca.launch();
    ca.client(&issuer).obtain(&["acme.com"], &Responder::start(ca.place.address, ca.http_01_port));
}

/// EJBCA set the first bit of 64 and called the rest random: 63 bits, and millions of certificates to replace.
#[test]
fn every_bit_of_a_serial_number_is_random() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let client = ca.unchallenged_client(&issuer, "acme.com");
    let csr = Csr::for_names(&["acme.com"]);
    for _ in 0..64 {
        let order = client.order(&["acme.com"]);
        client.finalize(&order, &csr).expect(200);
    }
    let serials = ca.query("SELECT group_concat(hex(serial)) FROM certificates WHERE purpose = 'acme'").to_lowercase();
    let serials: Vec<Vec<u8>> = serials.split(',').map(unhex).collect();
    assert_eq!(serials.len(), 64);
    let bits = |serial: &Vec<u8>| {
        let bits = serial.iter().flat_map(|octet| (0..8).map(move |at| octet >> at & 1));
        bits.collect::<Vec<_>>()
    };
    let mut moving = vec![0; 128];
    for serial in &serials {
        assert_eq!(serial.len(), 16, "{serial:?}");
        moving.iter_mut().zip(bits(serial)).for_each(|(sum, bit)| *sum += u32::from(bit));
    }
    // Chance leaves a bit alone 64 times in a row once in 2^63; a positive number of always 16 octets costs two bits.
    let still = moving.iter().filter(|sum| matches!(sum, 0 | 64)).count();
    assert!(still <= 2, "{still} bits never move: {moving:?}");
}

/// OpenBao (GHSA-59w7-v8rr-pr4p) took globs where it meant names: nothing but a leading `*.` is one here.
#[test]
fn nothing_but_a_leading_star_and_dot_is_a_pattern() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let url = ca.cluster_url("ca.lan");
    for pattern in [
        "*",
        "**",
        "*.",
        "**.acme.com",
        "*acme.com",
        "a*.acme.com",
        "www.*.com",
        "*.*.acme.com",
        "?.acme.com",
        "[a-z].acme.com",
        "{a,b}.acme.com",
        ".acme.com",
        "acme.*",
        "^acme.com$",
        "(acme|evil).com",
        "%.acme.com",
        "{{name}}.acme.com",
        "${name}.acme.com",
        "acme.com/*",
    ] {
        let make = ["create-pki-cert-issuer", "-n", "/I", "-s", SIGNER_KEY, "-t", "9d", "--enable-acme"];
        let more = ["--gw-cluster-url", &url, "--allowed-domains", pattern];
        ca.run(&[&make[..], &more[..]].concat()).refused();
        ca.run(&["update-pki-cert-issuer", "-n", ISSUER, "--allowed-domains", pattern]).refused();
        let eab = ["generate-acme-eab", "--cert-issuer-name", ISSUER, "--no-challenge", "--allowed-domains", pattern];
        ca.run(&eab).refused();
        ca.run(&eab.iter().copied().filter(|flag| *flag != "--no-challenge").collect::<Vec<_>>()).refused();
    }
    ca.client(&issuer).ask_for(&["www.acme.com"]).refused_as("rejectedIdentifier");
}

/// The sentence of a start that fails, which it does before it does anything else.
fn refused_start(ca: &Ca) -> String {
    let mut serve = ca.serve_command();
    serve.env_remove("RUST_LOG").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = serve.spawn().unwrap();
    eventually("a start that must fail has failed", seconds(30), || child.try_wait().unwrap());
    Outcome::new("certwright serve", child.wait_with_output().unwrap()).refused()
}
