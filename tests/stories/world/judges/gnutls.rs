//! GnuTLS: certtool and ocsptool.

use super::{Complaint, complaints_of, pem};
use crate::world::outcome::Outcome;
use crate::world::place::Place;
use std::process::Command;

const JUDGE: &str = "gnutls";

pub fn certtool_accepts(place: &Place, root_pem: &str, chain_pem: &str, name: &str) -> Outcome {
    accepts_for(place, root_pem, chain_pem, name, "sslserver")
}

fn accepts_for(place: &Place, root_pem: &str, chain_pem: &str, name: &str, purpose: &str) -> Outcome {
    let purpose = if purpose == "sslclient" { "1.3.6.1.5.5.7.3.2" } else { "1.3.6.1.5.5.7.3.1" };
    let mut command = verify(place, root_pem, chain_pem);
    command.args(["--verify-hostname", name, "--verify-purpose", purpose]);
    Outcome::new(format!("certtool --verify for {name}"), command.output().unwrap())
}

pub(super) fn chain(
    place: &Place,
    root_pem: &str,
    chain_pem: &str,
    names: &[String],
    purposes: &[&str],
) -> Vec<Complaint> {
    let mut complaints = complaints_of(JUDGE, info(place, chain_pem), says_nothing_odd);
    for name in names {
        for purpose in purposes {
            complaints.extend(complaints_of(JUDGE, accepts_for(place, root_pem, chain_pem, name, purpose), |_| true));
        }
    }
    complaints
}

pub(super) fn ca_certificate(place: &Place, pem: &str, chain_above: &str, root_pem: &str) -> Vec<Complaint> {
    let mut command = verify(place, root_pem, &format!("{pem}{chain_above}"));
    let verified = Outcome::new("certtool --verify of a CA certificate", command.output().unwrap());
    let is_ca =
        |outcome: &Outcome| says_nothing_odd(outcome) && outcome.stdout.contains("Certificate Authority (CA): TRUE");
    [complaints_of(JUDGE, verified, |_| true), complaints_of(JUDGE, info(place, pem), is_ca)].concat()
}

pub(super) fn crl(place: &Place, crl_der: &[u8], issuer_pem: &str) -> Vec<Complaint> {
    let mut command = Command::new("/usr/bin/certtool");
    command.arg("--verify-crl").arg("--load-ca-certificate").arg(place.write("judged-issuer.pem", issuer_pem));
    command.arg("--infile").arg(place.write("judged-crl.pem", pem("X509 CRL", crl_der)));
    let outcome = Outcome::new("certtool --verify-crl", command.output().unwrap());
    complaints_of(JUDGE, outcome, says_nothing_odd)
}

pub(super) fn ocsp_response(place: &Place, response_der: &[u8], leaf_pem: &str, issuer_pem: &str) -> Vec<Complaint> {
    let response = place.write("judged.ocsp", response_der);
    let (leaf, issuer) = (place.write("judged-leaf.pem", leaf_pem), place.write("judged-issuer.pem", issuer_pem));
    let verified_with = |whose: &str| {
        let mut command = Command::new("/usr/bin/ocsptool");
        command.arg("--verify-response").arg("--load-response").arg(&response).arg("--load-cert").arg(&leaf);
        command.arg("--load-issuer").arg(&issuer).arg(whose).arg(&issuer);
        Outcome::new(format!("ocsptool --verify-response {whose}"), command.output().unwrap())
    };
    // The issuer as the signer itself, or as the one who vouches for a signer whose certificate the response brings along.
    let by_itself = verified_with("--load-signer");
    if by_itself.status == Some(0) {
        return complaints_of(JUDGE, by_itself, says_nothing_odd);
    }
    let delegated = verified_with("--load-trust");
    if delegated.status == Some(0) {
        return complaints_of(JUDGE, delegated, says_nothing_odd);
    }
    [complaints_of(JUDGE, by_itself, |_| true), complaints_of(JUDGE, delegated, |_| true)].concat()
}

fn verify(place: &Place, root_pem: &str, chain_pem: &str) -> Command {
    let mut command = Command::new("/usr/bin/certtool");
    command.args(["--verify", "--verify-profile", "medium"]);
    command.arg("--load-ca-certificate").arg(place.write("judged-root.pem", root_pem));
    command.arg("--infile").arg(place.write("judged-chain.pem", chain_pem));
    command
}

/// What certtool reads in the certificates.
fn info(place: &Place, pem: &str) -> Outcome {
    let mut command = Command::new("/usr/bin/certtool");
    command.arg("--certificate-info").arg("--infile").arg(place.write("judged.pem", pem));
    Outcome::new("certtool --certificate-info", command.output().unwrap())
}

fn says_nothing_odd(outcome: &Outcome) -> bool {
    // It has never heard of the issuingDistributionPoint of a CRL.
    let said = outcome.seen().to_lowercase().replace("unknown extension 2.5.29.28 ", "");
    !["error", "warning", "unknown", "invalid"].iter().any(|word| said.contains(word))
}
