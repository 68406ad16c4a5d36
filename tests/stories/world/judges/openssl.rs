//! openssl, with `-x509_strict`.

use super::{Complaint, complaints_of};
use crate::world::outcome::Outcome;
use crate::world::place::Place;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

const JUDGE: &str = "openssl";

pub fn openssl_accepts(place: &Place, root_pem: &str, chain_pem: &str, name: &str) -> Outcome {
    accepts_for(place, root_pem, chain_pem, name, "sslserver")
}

fn accepts_for(place: &Place, root_pem: &str, chain_pem: &str, name: &str, purpose: &str) -> Outcome {
    let (root, chain) = (place.write("judged-root.pem", root_pem), place.write("judged-chain.pem", chain_pem));
    let kind = if name.parse::<IpAddr>().is_ok() { "-verify_ip" } else { "-verify_hostname" };
    let mut command = verify(&root);
    command.args(["-purpose", purpose, kind, name]).arg("-untrusted").args([&chain, &chain]);
    Outcome::new(format!("openssl verify for {name} as {purpose}"), command.output().unwrap())
}

pub(super) fn chain(
    place: &Place,
    root_pem: &str,
    chain_pem: &str,
    names: &[String],
    purposes: &[&str],
) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for name in names {
        for purpose in purposes {
            complaints.extend(complaints_of(JUDGE, accepts_for(place, root_pem, chain_pem, name, purpose), |_| true));
        }
    }
    complaints
}

pub(super) fn ca_certificate(place: &Place, pem: &str, chain_above: &str, root_pem: &str) -> Vec<Complaint> {
    let certificate = place.write("judged.pem", pem);
    let mut command = verify(&place.write("judged-root.pem", root_pem));
    if !chain_above.is_empty() {
        command.arg("-untrusted").arg(place.write("judged-chain.pem", chain_above));
    }
    let verified = Outcome::new("openssl verify of a CA certificate", command.arg(&certificate).output().unwrap());
    let mut command = openssl(&["x509", "-noout", "-purpose", "-in"]);
    let purposes = Outcome::new("openssl x509 -purpose", command.arg(&certificate).output().unwrap());
    let is_ca = |outcome: &Outcome| outcome.stdout.lines().any(|line| line == "SSL server CA : Yes");
    [complaints_of(JUDGE, verified, |_| true), complaints_of(JUDGE, purposes, is_ca)].concat()
}

pub(super) fn crl(place: &Place, crl_der: &[u8], issuer_pem: &str) -> Vec<Complaint> {
    let mut command = openssl(&["crl", "-inform", "DER", "-noout", "-verify", "-no-CApath", "-no-CAstore", "-in"]);
    command.arg(place.write("judged.crl", crl_der)).arg("-CAfile").arg(place.write("judged-issuer.pem", issuer_pem));
    let outcome = Outcome::new("openssl crl -verify", command.output().unwrap());
    complaints_of(JUDGE, outcome, |outcome| outcome.stderr.trim() == "verify OK")
}

pub(super) fn ocsp_response(place: &Place, response_der: &[u8], leaf_pem: &str, issuer_pem: &str) -> Vec<Complaint> {
    let issuer = place.write("judged-issuer.pem", issuer_pem);
    let mut command = openssl(&["ocsp", "-no-CApath", "-no-CAstore", "-no_nonce", "-x509_strict", "-partial_chain"]);
    command.arg("-respin").arg(place.write("judged.ocsp", response_der));
    command.arg("-issuer").arg(&issuer).arg("-cert").arg(place.write("judged-leaf.pem", leaf_pem));
    // The issuer may have signed by itself, or a responder whose certificate the response brings along.
    command.arg("-verify_other").arg(&issuer).arg("-CAfile").arg(&issuer);
    let outcome = Outcome::new("openssl ocsp -respin", command.output().unwrap());
    // It says `leaf.pem: good` below that, and a warning about a time that is not now.
    let is_fine = |outcome: &Outcome| {
        outcome.stderr.trim() == "Response verify OK"
            && ["judged-leaf.pem: good", "judged-leaf.pem: revoked"].iter().any(|says| outcome.stdout.contains(says))
            && !outcome.stdout.contains("WARNING")
    };
    complaints_of(JUDGE, outcome, is_fine)
}

fn verify(root: &Path) -> Command {
    let mut command = openssl(&["verify", "-x509_strict", "-no-CApath", "-no-CAstore", "-CAfile"]);
    command.arg(root);
    command
}

fn openssl(arguments: &[&str]) -> Command {
    let mut command = Command::new("/usr/bin/openssl");
    command.args(arguments);
    command
}
