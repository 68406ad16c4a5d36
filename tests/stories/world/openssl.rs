//! openssl, as an administrator or a client uses it.

use super::judges::pem;
use super::outcome::Outcome;
use super::place::Place;
use std::process::Command;

/// Run openssl in a story's directory, where its files are.
pub fn openssl(place: &Place, arguments: &[&str]) -> Outcome {
    let output = Command::new("/usr/bin/openssl").args(arguments).current_dir(place.path()).output().unwrap();
    Outcome::new(format!("openssl {}", arguments.join(" ")), output)
}

/// A CRL as openssl reads it.
pub fn crl_text(place: &Place, der: &[u8]) -> String {
    place.write("shown.crl", der);
    openssl(place, &["crl", "-inform", "DER", "-in", "shown.crl", "-noout", "-text"]).succeeded().stdout
}

/// The blocks of a PEM text, one by one.
pub fn blocks(pem: &str) -> Vec<String> {
    let end = "-----END CERTIFICATE-----\n";
    pem.split_inclusive(end).filter(|block| block.contains("BEGIN")).map(str::to_string).collect()
}

/// What `openssl verify` says of a chain whose every certificate must be on no CRL: the leaf first, the root apart.
pub fn verify_with_crls(place: &Place, chain: &str, root: &str, crls: &[Vec<u8>]) -> Outcome {
    let certificates = blocks(chain);
    place.write("leaf.pem", &certificates[0]);
    place.write("above.pem", certificates[1..].concat());
    place.write("root.pem", root);
    place.write("crls.pem", crls.iter().map(|der| pem("X509 CRL", der)).collect::<String>());
    openssl(
        place,
        &[
            "verify",
            "-x509_strict",
            "-extended_crl",
            "-crl_check_all",
            "-CAfile",
            "root.pem",
            "-untrusted",
            "above.pem",
            "-CRLfile",
            "crls.pem",
            "leaf.pem",
        ],
    )
}

/// A request for the status of a certificate, in DER.
pub fn ocsp_request(place: &Place, issuer: &str, leaf: &str, flags: &[&str]) -> Vec<u8> {
    place.write("issuer.pem", issuer);
    place.write("leaf.pem", leaf);
    let arguments = [&["ocsp"][..], flags, &["-issuer", "issuer.pem", "-cert", "leaf.pem", "-reqout", "request.der"]];
    openssl(place, &arguments.concat()).succeeded();
    std::fs::read(place.file("request.der")).unwrap()
}

/// One word about a status: good, revoked or unknown, as openssl reads a response that it verifies.
pub fn ocsp_status(place: &Place, response: &[u8], issuer: &str, leaf: &str, root: &str, hash: &str) -> String {
    place.write("issuer.pem", issuer);
    place.write("leaf.pem", leaf);
    place.write("root.pem", [root, issuer].concat());
    place.write("response.der", response);
    let outcome = openssl(
        place,
        &[
            "ocsp",
            "-respin",
            "response.der",
            hash,
            "-issuer",
            "issuer.pem",
            "-cert",
            "leaf.pem",
            "-CAfile",
            "root.pem",
            "-no_nonce",
        ],
    )
    .succeeded();
    assert!(outcome.stderr.contains("Response verify OK"), "{}", outcome.seen());
    let line = outcome.stdout.lines().find(|line| line.starts_with("leaf.pem: ")).unwrap_or_default();
    line.trim_start_matches("leaf.pem: ").to_string()
}
