//! Independent judges of certificates: openssl, GnuTLS's certtool, and Python's cryptography.

use super::outcome::Outcome;
use super::place::Place;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;
use std::process::Command;

/// openssl and certtool, both strict, must agree that a server may show this chain for `name`.
#[track_caller]
pub fn assert_trusted(place: &Place, root_pem: &str, chain_pem: &str, name: &str) {
    openssl_accepts(place, root_pem, chain_pem, name).succeeded();
    certtool_accepts(place, root_pem, chain_pem, name).succeeded();
}

pub fn openssl_accepts(place: &Place, root_pem: &str, chain_pem: &str, name: &str) -> Outcome {
    let (root, chain) = (place.write("judged-root.pem", root_pem), place.write("judged-chain.pem", chain_pem));
    let output = Command::new("/usr/bin/openssl")
        .args([
            "verify",
            "-x509_strict",
            "-purpose",
            "sslserver",
            "-no-CApath",
            "-no-CAstore",
            "-verify_hostname",
            name,
        ])
        .arg("-CAfile")
        .arg(root)
        .arg("-untrusted")
        .args([&chain, &chain])
        .output()
        .unwrap();
    Outcome::new(format!("openssl verify for {name}"), output)
}

pub fn certtool_accepts(place: &Place, root_pem: &str, chain_pem: &str, name: &str) -> Outcome {
    let (root, chain) = (place.write("judged-root.pem", root_pem), place.write("judged-chain.pem", chain_pem));
    let output = Command::new("/usr/bin/certtool")
        .args([
            "--verify",
            "--verify-hostname",
            name,
            "--verify-purpose",
            "1.3.6.1.5.5.7.3.1",
            "--verify-profile",
            "medium",
        ])
        .arg("--load-ca-certificate")
        .arg(root)
        .arg("--infile")
        .arg(chain)
        .output()
        .unwrap();
    Outcome::new(format!("certtool --verify for {name}"), output)
}

/// What Python's cryptography reads in each certificate of the text, in their order.
pub fn facts(place: &Place, pem: &str) -> Vec<Value> {
    let path = place.write("judged.pem", pem);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/judges/certificate_facts.py");
    // Debian's Python, which has Debian's cryptography: another one may come first on a developer's PATH.
    let output = Command::new("/usr/bin/python3").arg("-I").arg(script).arg(path).output().unwrap();
    Outcome::new("certificate_facts.py", output).succeeded().json().as_array().unwrap().clone()
}

pub fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).map(|certificate| certificate.unwrap()).collect()
}
