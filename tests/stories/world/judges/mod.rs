//! Independent judges of certificates, CRLs and OCSP responses: openssl, GnuTLS, Python's cryptography, pkilint and webpki.
//!
//! Everything that certwright signs goes past all of them, by one of the four entry points:
//!
//! - [`judge_chain`]: a leaf with its chain, as a server shows it;
//! - [`judge_ca_certificate`]: the certificate of a signer, self-signed or not;
//! - [`judge_crl`]: a CRL;
//! - [`judge_ocsp_response`]: an OCSP response.
//!
//! Each fails the test unless every judge is silent, and shows what they all say; with `against_` in its name it gives that
//! back instead. What a story promises beyond what everybody accepts, it reads in [`facts`].

mod gnutls;
mod ignored;
mod openssl;
mod python;
mod webpki;

pub use gnutls::certtool_accepts;
pub use openssl::openssl_accepts;

use super::base64url;
use super::hex::hex;
use super::outcome::Outcome;
use super::place::Place;
use python::{cryptography, pkilint};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::Command;

/// What one judge has to say against a document.
#[derive(Clone, Debug)]
pub struct Complaint {
    pub judge: &'static str,
    pub says: String,
}

/// All judges accept this chain, leaf first, below this self-signed root, for each of the names: DNS names, wildcards,
/// addresses. A leaf that is for TLS clients too is judged as a client's as well. CA certificates in the chain are read
/// as strictly as the leaf, and are for [`judge_ca_certificate`] to judge.
#[track_caller]
pub fn judge_chain(leaf_and_chain_pem: &str, root_pem: &str, names: &[&str]) {
    assert_silent("the chain", leaf_and_chain_pem, &against_chain(leaf_and_chain_pem, root_pem, names));
}

/// All judges accept this certificate as a CA's. `chain_above` holds the CA certificates between it and the root, nearest
/// first; it is empty right below the root, and for the root itself.
#[track_caller]
pub fn judge_ca_certificate(pem: &str, chain_above: &str, root_pem: &str) {
    assert_silent("the CA certificate", pem, &against_ca_certificate(pem, chain_above, root_pem));
}

/// All judges accept this CRL as the current one of the CA with this certificate. Who is on it is for a story to look at.
///
/// ```ignore
/// let crl = get(&ca.plain_listen, "/crl/…");
/// judge_crl(&crl.body, &issuer.root_pem);
/// ```
#[track_caller]
pub fn judge_crl(crl_der: &[u8], issuer_pem: &str) {
    assert_silent("the CRL", &pem("X509 CRL", crl_der), &against_crl(crl_der, issuer_pem));
}

/// All judges accept this OCSP response as a current answer about the leaf, good or revoked, signed by its issuer or by a
/// responder whose certificate it brings along. webpki does not know OCSP and says nothing.
///
/// ```ignore
/// let reply = post(&ca.plain_listen, "/ocsp/…", &request);
/// judge_ocsp_response(&reply.body, &leaf_pem, &issuer.root_pem);
/// ```
#[track_caller]
pub fn judge_ocsp_response(response_der: &[u8], leaf_pem: &str, issuer_pem: &str) {
    let complaints = against_ocsp_response(response_der, leaf_pem, issuer_pem);
    assert_silent("the OCSP response", &pem("OCSP RESPONSE", response_der), &complaints);
}

/// What [`judge_chain`] would fail for.
pub fn against_chain(leaf_and_chain_pem: &str, root_pem: &str, names: &[&str]) -> Vec<Complaint> {
    let place = Place::new();
    let (chain, root) = (certificates(leaf_and_chain_pem), only_certificate(root_pem));
    // A wildcard is a name that is asked for by nobody; those below it are.
    let names: Vec<String> = names.iter().map(|name| name.replace('*', "any")).collect();
    let purposes: &[&str] = if is_for_clients(&chain[0]) { &["sslserver", "sslclient"] } else { &["sslserver"] };
    let der: Vec<String> = chain.iter().map(|certificate| hex(certificate)).collect();
    let issuer = chain.get(1).unwrap_or(&root);
    [
        openssl::chain(&place, root_pem, leaf_and_chain_pem, &names, purposes),
        gnutls::chain(&place, root_pem, leaf_and_chain_pem, &names, purposes),
        cryptography("chain", json!({"chain": der, "root": hex(&root), "names": names})),
        pkilint("lint_pkix_cert", &[&chain[0]]),
        pkilint("lint_cabf_serverauth_cert", &[&chain[0]]),
        pkilint("lint_pkix_signer_signee_cert_chain", &[issuer, &chain[0]]),
        webpki::chain(&chain, &root, &names, purposes),
    ]
    .concat()
}

/// What [`judge_ca_certificate`] would fail for.
pub fn against_ca_certificate(pem: &str, chain_above: &str, root_pem: &str) -> Vec<Complaint> {
    let place = Place::new();
    let (certificate, root) = (only_certificate(pem), only_certificate(root_pem));
    let above = certificates(chain_above);
    let constraining: Vec<&[u8]> = above.iter().chain([&root]).map(|certificate| &certificate[..]).collect();
    let issuer = above.first().unwrap_or(&root).clone();
    let mut gnutls = gnutls::ca_certificate(&place, pem, chain_above, root_pem);
    gnutls.retain(|complaint| !ignored::is_about_a_common_name(complaint, &constraining));
    [
        openssl::ca_certificate(&place, pem, chain_above, root_pem),
        gnutls,
        cryptography("ca_certificate", json!({"certificate": hex(&certificate), "issuer": hex(&issuer)})),
        pkilint("lint_pkix_cert", &[&certificate]),
        // Of a self-signed certificate it would have an authorityKeyIdentifier, which RFC 5280, 4.2.1.1, lets it omit.
        if issuer == certificate {
            Vec::new()
        } else {
            pkilint("lint_pkix_signer_signee_cert_chain", &[&issuer, &certificate])
        },
        webpki::ca_certificate(&certificate, &issuer),
    ]
    .concat()
}

/// What [`judge_crl`] would fail for.
pub fn against_crl(crl_der: &[u8], issuer_pem: &str) -> Vec<Complaint> {
    let (place, issuer) = (Place::new(), only_certificate(issuer_pem));
    [
        openssl::crl(&place, crl_der, issuer_pem),
        gnutls::crl(&place, crl_der, issuer_pem),
        cryptography("crl", json!({"crl": hex(crl_der), "issuer": hex(&issuer)})),
        pkilint("lint_crl", &[crl_der]),
        webpki::crl(crl_der, &issuer),
    ]
    .concat()
}

/// What [`judge_ocsp_response`] would fail for.
pub fn against_ocsp_response(response_der: &[u8], leaf_pem: &str, issuer_pem: &str) -> Vec<Complaint> {
    let place = Place::new();
    let (leaf, issuer) = (certificates(leaf_pem).remove(0), only_certificate(issuer_pem));
    let arguments = json!({"response": hex(response_der), "leaf": hex(&leaf), "issuer": hex(&issuer)});
    [
        openssl::ocsp_response(&place, response_der, leaf_pem, issuer_pem),
        gnutls::ocsp_response(&place, response_der, leaf_pem, issuer_pem),
        cryptography("ocsp_response", arguments),
        pkilint("lint_ocsp_response", &[response_der]),
    ]
    .concat()
}

/// webpki alone accepts this chain for a name, as a client that trusts this root only: quick, for stories of thousands.
#[track_caller]
pub fn assert_trusted_by_webpki(leaf_and_chain_pem: &str, root_pem: &str, name: &str) {
    let complaints =
        webpki::chain(&certificates(leaf_and_chain_pem), &only_certificate(root_pem), &[name.into()], &["sslserver"]);
    assert_silent("the chain", leaf_and_chain_pem, &complaints);
}

/// webpki alone accepts this CRL as one of the CA with this certificate.
#[track_caller]
pub fn assert_signed_for_webpki(crl_der: &[u8], issuer_pem: &str) {
    let complaints = webpki::crl(crl_der, &only_certificate(issuer_pem));
    assert_silent("the CRL", &pem("X509 CRL", crl_der), &complaints);
}

/// These judges complain, and no others.
#[track_caller]
pub fn assert_refused(what: &str, complaints: &[Complaint], by: &[&str]) {
    let judges: BTreeSet<&str> = complaints.iter().map(|complaint| complaint.judge).collect();
    assert_eq!(judges, by.iter().copied().collect(), "{what}: {complaints:#?}");
}

#[track_caller]
fn assert_silent(what: &str, document: &str, complaints: &[Complaint]) {
    let said: String =
        complaints.iter().map(|complaint| format!("\n{}: {}", complaint.judge, complaint.says)).collect();
    assert!(complaints.is_empty(), "{what} does not please everybody:{said}\n{document}");
}

/// Silence of a program is that it succeeds, and that what it says is fine too.
fn complaints_of(judge: &'static str, outcome: Outcome, is_fine: impl Fn(&Outcome) -> bool) -> Vec<Complaint> {
    if outcome.status == Some(0) && is_fine(&outcome) {
        return Vec::new();
    }
    vec![Complaint { judge, says: format!("{} ({:?})\n{}", outcome.what, outcome.status, outcome.seen()) }]
}

/// Whether extendedKeyUsage has clientAuth in it, 1.3.6.1.5.5.7.3.2.
fn is_for_clients(leaf: &[u8]) -> bool {
    leaf.windows(10).any(|octets| octets == b"\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02")
}

/// openssl and certtool, both strict, must agree that a server may show this chain for `name`.
#[track_caller]
pub fn assert_trusted(place: &Place, root_pem: &str, chain_pem: &str, name: &str) {
    openssl_accepts(place, root_pem, chain_pem, name).succeeded();
    certtool_accepts(place, root_pem, chain_pem, name).succeeded();
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

fn only_certificate(pem: &str) -> CertificateDer<'static> {
    let [certificate] = certificates(pem).try_into().expect("one certificate");
    certificate
}

pub fn pem(label: &str, der: &[u8]) -> String {
    let mut text = base64url::encode(der).replace('-', "+").replace('_', "/");
    text.push_str(["", "", "==", "="][text.len() % 4]);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
