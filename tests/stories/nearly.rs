//! Who types a name that is nearly right is told the right one, and who is far off, which command lists them.

use crate::world::csr::Csr;
use crate::world::daemon::Ca;
use crate::world::issuer::{CERTIFICATES, ISSUER, SIGNER_KEY, text};
use crate::world::outcome::assert_says;
use std::time::Instant;

#[test]
fn an_unknown_name_or_number_is_answered_with_the_near_ones() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    ca.run(&["create-dfc-key", "-n", "/Other/SignerKey", "-a", "EC256"]).succeeded();
    let client = ca.unchallenged_client(&issuer, "acme.com");
    client.finalize(&client.order(&["acme.com"]), &Csr::for_names(&["acme.com"])).expect(200);
    let other = ca.make_issuer_named("/Other/Issuer", SIGNER_KEY, "ca.lan", "b.lan", &[]);
    ca.unchallenged_client(&other, "b.lan");
    let kid = ca.make_eab(&issuer).kid;
    let ids = [&issuer, &other].map(|issuer| text(&ca.accounts(issuer)[0], "account_id"));
    assert_eq!(ids, ["1", "2"]);

    let certificate = format!("{CERTIFICATES}/acme.com");
    let half_a_kid = &kid[..12];
    for (typed, words) in [
        // Letters wrong, another case, another folder.
        (&["describe-item", "-n", "/ACME/Server/SingerKey"][..], &[SIGNER_KEY, "/Other/SignerKey"][..]),
        (&["describe-item", "-n", "/acme/server/acmeissuer"], &[ISSUER]),
        (&["describe-item", "-n", "/Certificates/acme.com"], &[&certificate]),
        (&["delete-item", "-n", "/Other/SignrKey"], &["/Other/SignerKey"]),
        (&["get-certificate-value", "-n", &format!("{CERTIFICATES}/acme.con")], &[&certificate]),
        (&["revoke-certificate", "-n", &format!("{CERTIFICATES}/amce.com")], &[&certificate]),
        // Of the kind that is asked for, and no other.
        (&["list-acme-accounts", "-n", "/Other/SignerKey"], &["DFC_KEY", "list-items --type PKI_CERT_ISSUER"]),
        (&["list-acme-accounts", "-n", "/ACME/Server/Issuer"], &[ISSUER, "/Other/Issuer"]),
        (&["update-pki-cert-issuer", "-n", ISSUER, "-s", "/ACME/Server/SignerKy"], &[SIGNER_KEY]),
        (&["list-certificates", "--cert-issuer-name", "/Other/Isssuer"], &["/Other/Issuer"]),
        // Far off.
        (&["describe-item", "-n", "/Nothing/like/that"], &["list-items lists"]),
        (&["rotate-key", "-n", "/Nothing/like/that"], &["list-items --type DFC_KEY lists"]),
        (&["describe-item", "-d", "0123456789"], &["0123456789", "list-items --json"]),
        // Accounts, of the issuer that is asked.
        (&["deactivate-acme-account", "-n", ISSUER, "--acme-account-id", "11"], &["11", "did you mean 1?"]),
        (&["deactivate-acme-account", "-n", ISSUER, "--acme-account-id", "2"], &["2", "/Other/Issuer"]),
        (&["set-limits", "-n", ISSUER, "--acme-account-id", "5000", "--pending-orders", "1"], &["list-acme-accounts"]),
        (&["revoke-certificate", "--all-of-account", "22", "--yes"], &["22", "did you mean 2?"]),
        // Credentials, as people copy them.
        (&["revoke-acme-eab", "--kid", half_a_kid], &[&kid]),
        (&["revoke-acme-eab", "--kid", "nothing-like-any-of-them"], &["list-acme-eabs lists"]),
        // Versions.
        (&["get-certificate-value", "-n", &certificate, "--version", "7"], &["version 7", "the only one is 1"]),
        (&["revoke-certificate", "-n", &certificate, "--version", "7"], &["version 7", "the only one is 1"]),
        (&["revoke-certificate", "-n", SIGNER_KEY, "--version", "7"], &["version 7", "the only one is 1"]),
    ] {
        assert_says(&ca.run(typed).refused(), words);
    }
    let sentence = ca.run(&["list-acme-accounts", "-n", "/ACME/Server/SignerKe"]).refused();
    assert!(!sentence.contains(SIGNER_KEY), "a key is no issuer: {sentence}");
}

#[test]
fn a_hundred_thousand_names_are_looked_at_in_a_moment() {
    let mut ca = Ca::start();
    ca.make_issuer("acme.com");
    assert!(ca.stop().success());
    ca.tamper(
        "INSERT INTO items (item_id, display_id, name, kind, created, modified, delete_protection, description)
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
         SELECT 'i' || i, 'd' || i, '/ACME/Server/Certificates/host-' || i || '.acme.com', 'CERTIFICATE', 0, 0, 0, ''
         FROM n",
    );
    ca.launch();
    let before = ca.process().peak_memory();
    for (typed, words) in [
        ("/ACME/Server/Certificates/hots-77777.acme.com", "host-77777.acme.com"),
        ("/ACME/Server/SingerKey", SIGNER_KEY),
        ("/Nothing/like/that", "list-items lists"),
    ] {
        let start = Instant::now();
        let sentence = ca.run(&["describe-item", "-n", typed]).refused();
        let took = start.elapsed();
        assert_says(&sentence, &[words]);
        // A build for tests on a busy machine; a release build takes a tenth.
        assert!(took.as_secs() < 5, "{typed}: {took:?}");
        println!("{typed}: {took:?}");
    }
    let more = ca.process().peak_memory().saturating_sub(before);
    assert!(more < 8 << 20, "the names are not gathered first: {more} bytes");
}
