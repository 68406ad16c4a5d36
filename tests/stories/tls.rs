//! The daemon's own certificate, made by its issuer and judged by openssl's client.

use crate::world::daemon::Ca;
use crate::world::issuer::{Issuer, SIGNER_KEY};
use crate::world::judges;
use crate::world::outcome::{Outcome, assert_says};
use crate::world::wire::Wire;
use std::process::{Command, Stdio};

#[test]
fn openssl_accepts_the_daemon_over_tls_1_2_and_1_3() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    for (flag, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let outcome = s_client(&ca, &issuer, &[flag, "-servername", "ca.lan", "-alpn", "http/1.1"]).succeeded();
        assert_says(&outcome.stdout, &[version, "Verify return code: 0 (ok)", "ALPN protocol: http/1.1"]);
    }
    // 1.1 is offered by openssl only at a security level of zero. It is the daemon that ends this, and not openssl; rustls
    // misses the list of signature algorithms, which 1.1 does not have, before it looks at the version.
    let old = s_client(&ca, &issuer, &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0", "-servername", "ca.lan"]);
    assert_ne!(old.status, Some(0), "{}", old.seen());
    assert_says(&old.stderr, &["alert handshake failure"]);
}

#[test]
fn without_a_name_the_first_issuers_certificate_is_shown() {
    let ca = Ca::start();
    let first = ca.make_issuer("acme.com");
    // Before the first by every order but that of age.
    ca.make_signer_key("/A/Key");
    ca.make_issuer_named("/A/Issuer", "/A/Key", "a.lan", "b.lan", &[]);
    s_client(&ca, &first, &["-noservername"]).succeeded();
}

#[test]
fn before_there_is_an_issuer_there_is_no_handshake() {
    let ca = Ca::start();
    ca.make_signer_key(SIGNER_KEY);
    let root = crate::world::issuer::text(&ca.describe(SIGNER_KEY), "certificates");
    let error = Wire::new(ca.listen, "ca.lan", &root).try_connect().map(|_| ()).unwrap_err();
    assert_says(&error.to_string(), &["HandshakeFailure"]);
    ca.make_issuer_named("/I", SIGNER_KEY, "ca.lan", "acme.com", &[]);
    Wire::new(ca.listen, "ca.lan", &root).connect();
}

#[test]
fn a_new_issuers_host_is_served_without_a_restart() {
    let ca = Ca::start();
    let first = ca.make_issuer("acme.com");
    let shown = first.wire().handshake().unwrap().0;
    ca.make_signer_key("/Second/Key");
    let second = ca.make_issuer_named("/Second/Issuer", "/Second/Key", "second.lan", "b.lan", &[]);
    // Each client trusts its own issuer's root only.
    let second_shown = second.wire().handshake().unwrap().0;
    assert_ne!(shown[0], second_shown[0]);
    assert_eq!(first.wire().handshake().unwrap().0, shown);
    assert!(Wire::new(ca.listen, "second.lan", &first.root_pem).try_connect().is_err());
}

#[test]
fn the_oldest_issuer_of_a_host_certifies_it() {
    let ca = Ca::start();
    let first = ca.make_issuer("acme.com");
    let shown = first.wire().handshake().unwrap().0;
    ca.make_signer_key("/Second/Key");
    ca.make_issuer_named("/Second/Issuer", "/Second/Key", "ca.lan", "b.lan", &[]);
    assert_eq!(first.wire().handshake().unwrap().0, shown);
}

#[test]
fn the_daemons_certificate_is_no_item_and_names_its_host_only() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let shown = issuer.wire().handshake().unwrap().0;
    assert_eq!(ca.item_names("/").len(), 2, "key and issuer");
    let facts = &judges::facts(&ca.place, &judges::pem("CERTIFICATE", &shown[0]))[0];
    assert_eq!(facts["extensions"]["subjectAltName"]["value"], serde_json::json!(["DNSName:ca.lan"]));
    assert_eq!(facts["extensions"]["extendedKeyUsage"]["value"], serde_json::json!(["serverAuth"]));
}

#[test]
fn files_of_ones_own_take_the_place_of_the_daemons_certificate() {
    let mut ca = Ca::planned(&[]);
    let (cert, key) = (ca.place.file("own.pem"), ca.place.file("own.key"));
    let made = Command::new("/usr/bin/openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj"])
        .args(["/CN=ca.lan", "-addext", "subjectAltName=DNS:ca.lan", "-addext", "keyUsage=critical,digitalSignature"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output()
        .unwrap();
    Outcome::new("openssl req", made).succeeded();
    ca.place.make_readable("own.key");
    ca.launch_with(|command| {
        command.arg("--tls-cert").arg(&cert).arg("--tls-key").arg(&key);
    });
    let issuer = ca.make_issuer("acme.com");
    let own = Issuer { root_pem: std::fs::read_to_string(&cert).unwrap(), ..issuer };
    s_client(&ca, &own, &["-servername", "ca.lan"]).succeeded();
}

/// The handshake of openssl's client, which ends by itself when anything about the certificate is wrong.
fn s_client(ca: &Ca, issuer: &Issuer, flags: &[&str]) -> Outcome {
    let root = ca.place.write("root.pem", &issuer.root_pem);
    let output = Command::new("/usr/bin/openssl")
        .args([
            "s_client",
            "-connect",
            &ca.listen.to_string(),
            "-verify_return_error",
            "-verify_hostname",
            &issuer.host,
        ])
        .args(["-x509_strict", "-no-CApath", "-no-CAstore", "-CAfile"])
        .arg(root)
        .args(flags)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Outcome::new(format!("openssl s_client {flags:?}"), output)
}
