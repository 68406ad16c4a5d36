//! The judges can be pleased by others than us, and are not by everything: each of them speaks up when there is something to
//! say.

use crate::world::judges::{
    against_ca_certificate, against_chain, against_crl, against_ocsp_response, assert_refused, certificates,
    judge_ca_certificate, judge_chain, judge_crl, judge_ocsp_response, pem,
};
use crate::world::openssl_ca::{CA_EXTENSIONS, LEAF_EXTENSIONS, OpensslCa, SUBORDINATE_EXTENSIONS};

#[test]
fn the_judges_look_at_the_whole_chain() {
    let ca = OpensslCa::with(&format!("{CA_EXTENSIONS}\nnameConstraints=critical,permitted;DNS:acme.com"));
    let upper = ca.issue("upper", "/CN=Upper CA", SUBORDINATE_EXTENSIONS, 30);
    let lower = ca.issue_below("upper", "lower", "/CN=Lower CA", SUBORDINATE_EXTENSIONS, 30);
    let leaf = ca.issue_below("lower", "leaf", "/", LEAF_EXTENSIONS, 30);
    judge_ca_certificate(&upper, "", &ca.root_pem);
    judge_ca_certificate(&lower, &upper, &ca.root_pem);
    judge_chain(&format!("{leaf}{lower}{upper}"), &ca.root_pem, &["acme.com"]);
    let complaints = against_chain(&format!("{leaf}{lower}"), &ca.root_pem, &["acme.com"]);
    assert_refused("a link is missing", &complaints, ALL_BUT_PKILINT);
    let complaints = against_ca_certificate(&lower, "", &ca.root_pem);
    assert_refused("a link to a CA is missing", &complaints, EVERYBODY);
    let complaints = against_chain(&leaf, &lower, &["acme.com"]);
    assert_refused("a trusted CA that is no root", &complaints, &["openssl"]);
}

#[test]
fn each_judge_refuses_a_wrong_chain() {
    let ca = OpensslCa::new();
    let good = ca.leaf();
    judge_chain(&good, &ca.root_pem, &["acme.com"]);
    let urls = "crlDistributionPoints=URI:http://ca.lan:8080/crl/1.crl\nauthorityInfoAccess=\
                OCSP;URI:http://ca.lan:8080/ocsp/1,caIssuers;URI:http://ca.lan:8080/ca/1.der";
    let with_urls = ca.issue("urls", "/", &format!("{LEAF_EXTENSIONS}\n{urls}"), 30);
    judge_chain(&with_urls, &ca.root_pem, &["acme.com"]);

    let refused = |what: &str, leaf: &str, root: &str, name: &str, by: &[&str]| {
        assert_refused(what, &against_chain(leaf, root, &[name]), by);
    };
    let issued = |what: &str, extensions: &str, by: &[&str]| {
        let leaf = ca.issue("wrong", "/", extensions, 30);
        refused(what, &leaf, &ca.root_pem, "acme.com", by);
    };
    refused("another name", &good, &ca.root_pem, "evil.com", ALL_BUT_PKILINT);
    refused("another root of that name", &good, &OpensslCa::new().root_pem, "acme.com", EVERYBODY);
    let expired = ca.issue("expired", "/", LEAF_EXTENSIONS, -1);
    refused("an expired leaf", &expired, &ca.root_pem, "acme.com", ALL_BUT_PKILINT);
    let elsewhere = OpensslCa::with(&format!("{CA_EXTENSIONS}\nnameConstraints=critical,permitted;DNS:lan"));
    refused("a constrained name", &elsewhere.leaf(), &elsewhere.root_pem, "acme.com", ALL_BUT_PKILINT);
    let cannot = OpensslCa::with(&CA_EXTENSIONS.replace("CA:TRUE", "CA:FALSE"));
    refused(
        "an issuer that is no CA",
        &cannot.leaf(),
        &cannot.root_pem,
        "acme.com",
        &["cryptography", "gnutls", "openssl"],
    );
    issued("a leaf for mail", &LEAF_EXTENSIONS.replace("serverAuth", "emailProtection"), EVERYBODY);
    issued("an unknown extension", &format!("{LEAF_EXTENSIONS}\n1.2.3.4=critical,DER:0500"), EVERYBODY);
    issued(
        "an empty subject beside names that may be overlooked",
        &LEAF_EXTENSIONS.replace("=critical,DNS", "=DNS"),
        &["cryptography", "openssl", "pkilint"],
    );
    issued("no link to its issuer", &LEAF_EXTENSIONS.replace("authorityKeyIdentifier=keyid", ""), &[]);
}

#[test]
fn der_that_is_written_in_another_way_is_refused() {
    let ca = OpensslCa::new();
    let good = certificates(&ca.leaf()).remove(0);
    let judged = |certificate: &[u8]| against_chain(&pem("CERTIFICATE", certificate), &ca.root_pem, &["acme.com"]);
    assert_refused("the same", &judged(&forged(&ca, &good, |_| {})), &[]);
    // TRUE is ff in DER, and in BER any octet but 00.
    let lax_boolean = forged(&ca, &good, |tbs| {
        let at = position(tbs, b"\x01\x01\xff");
        tbs[at + 2] = 1;
    });
    assert_refused("a lax BOOLEAN", &judged(&lax_boolean), &["cryptography", "pkilint", "webpki"]);
    // digitalSignature is 03 02 07 80; BER may write a zero bit behind it.
    let lax_bits = forged(&ca, &good, |tbs| {
        let at = position(tbs, b"\x03\x02\x07\x80");
        tbs[at + 2] = 6;
    });
    assert_refused("lax named bits", &judged(&lax_bits), &["cryptography", "pkilint"]);
}

#[test]
fn each_judge_refuses_a_wrong_ca_certificate() {
    let good = OpensslCa::new();
    judge_ca_certificate(&good.root_pem, "", &good.root_pem);
    judge_ca_certificate(&good.issue("between", "/CN=Between", SUBORDINATE_EXTENSIONS, 30), "", &good.root_pem);

    for (what, from, to, by) in [
        ("not a CA", "CA:TRUE", "CA:FALSE", &["cryptography", "gnutls", "openssl", "pkilint"][..]),
        ("not for certificates", "keyCertSign,", "", &["cryptography", "gnutls", "openssl", "pkilint"]),
        (
            "a CA that may be overlooked",
            "basicConstraints=critical,",
            "basicConstraints=",
            &["cryptography", "pkilint"],
        ),
        ("the identifier of no key", "subjectKeyIdentifier=hash", "subjectKeyIdentifier=01:02", &["cryptography"]),
    ] {
        let root = OpensslCa::with(&CA_EXTENSIONS.replace(from, to)).root_pem;
        assert_refused(what, &against_ca_certificate(&root, "", &root), by);
    }
    let complaints = against_ca_certificate(&good.root_pem, "", &OpensslCa::new().root_pem);
    assert_refused("another root of that name", &complaints, EVERYBODY);
}

#[test]
fn each_judge_refuses_a_wrong_crl() {
    let ca = OpensslCa::new();
    ca.leaf();
    judge_crl(&ca.crl("proper"), &ca.root_pem);
    ca.revoke("leaf");
    judge_crl(&ca.crl("distributed"), &ca.root_pem);
    let good = ca.crl("proper");
    judge_crl(&good, &ca.root_pem);

    let refused =
        |what: &str, crl: &[u8], issuer: &str, by: &[&str]| assert_refused(what, &against_crl(crl, issuer), by);
    refused("another signature", &flipped(&good), &ca.root_pem, ALL_BUT_PKILINT);
    refused("another issuer of that name", &good, &OpensslCa::new().root_pem, ALL_BUT_PKILINT);
    refused("half a CRL", &good[..good.len() - 1], &ca.root_pem, EVERYBODY);
    refused("no authorityKeyIdentifier", &ca.crl("anonymous"), &ca.root_pem, &["cryptography", "gnutls", "pkilint"]);
    refused("an old CRL", &ca.old_crl(), &ca.root_pem, &["cryptography", "gnutls"]);
}

#[test]
fn each_judge_refuses_a_wrong_ocsp_response() {
    let ca = OpensslCa::new();
    let (leaf, other) = (ca.leaf(), ca.issue("other", "/", LEAF_EXTENSIONS, 30));
    let responder = "authorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\nkeyUsage=critical,digitalSignature\n\
                     basicConstraints=critical,CA:FALSE\nextendedKeyUsage=OCSPSigning\nnoCheck=ignored";
    ca.issue("responder", "/CN=Responder", responder, 30);
    ca.issue("impostor", "/CN=Impostor", &responder.replace("OCSPSigning", "serverAuth"), 30);

    let of_ca = |name: &str| ca.ocsp_response(name, "ca", &["-nmin", "60", "-resp_no_certs"]);
    let good = of_ca("leaf");
    judge_ocsp_response(&good, &leaf, &ca.root_pem);
    for (signer, flags) in [("ca", &["-nmin", "60"][..]), ("responder", &["-nmin", "60"])] {
        judge_ocsp_response(&ca.ocsp_response("leaf", signer, flags), &leaf, &ca.root_pem);
        let flags = [flags, &["-resp_key_id"]].concat();
        judge_ocsp_response(&ca.ocsp_response("leaf", signer, &flags), &leaf, &ca.root_pem);
    }
    ca.revoke("other");
    judge_ocsp_response(&of_ca("other"), &other, &ca.root_pem);

    let refused = |what: &str, response: &[u8], leaf: &str, issuer: &str, by: &[&str]| {
        assert_refused(what, &against_ocsp_response(response, leaf, issuer), by);
    };
    refused("another signature", &flipped(&good), &leaf, &ca.root_pem, ALL_OF_OCSP);
    refused("another issuer of that name", &good, &leaf, &OpensslCa::new().root_pem, ALL_OF_OCSP);
    refused("about another leaf", &good, &other, &ca.root_pem, &["cryptography", "openssl"]);
    let by_impostor = ca.ocsp_response("leaf", "impostor", &["-nmin", "60"]);
    refused("signed by whom it is not for", &by_impostor, &leaf, &ca.root_pem, ALL_OF_OCSP);
    refused(
        "half a response",
        &good[..good.len() - 1],
        &leaf,
        &ca.root_pem,
        &["cryptography", "gnutls", "openssl", "pkilint"],
    );
    refused(
        "without an end",
        &ca.ocsp_response("leaf", "ca", &["-resp_no_certs"]),
        &leaf,
        &ca.root_pem,
        &["cryptography"],
    );
}

const EVERYBODY: &[&str] = &["cryptography", "gnutls", "openssl", "pkilint", "webpki"];
/// pkilint has no clock and knows neither names nor signatures, but for the link between a certificate and its issuer.
const ALL_BUT_PKILINT: &[&str] = &["cryptography", "gnutls", "openssl", "webpki"];
const ALL_OF_OCSP: &[&str] = &["cryptography", "gnutls", "openssl"];

fn flipped(der: &[u8]) -> Vec<u8> {
    let mut der = der.to_vec();
    *der.last_mut().unwrap() ^= 1;
    der
}

/// The same certificate with other bytes, signed anew.
fn forged(ca: &OpensslCa, certificate: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    // 30 82 L L, and then what is signed: 30 82 L L and as many octets.
    let length = usize::from(certificate[6]) << 8 | usize::from(certificate[7]);
    let (mut tbs, rest) = (certificate[4..8 + length].to_vec(), &certificate[8 + length..]);
    // 30 L: the algorithm.
    let algorithm = &rest[..2 + usize::from(rest[1])];
    change(&mut tbs);
    let signature = ca.signature(&tbs);
    let signature = [&[3, signature.len() as u8 + 1, 0], &signature[..]].concat();
    let content = [&tbs[..], algorithm, &signature].concat();
    [&[0x30, 0x82, (content.len() >> 8) as u8, content.len() as u8], &content[..]].concat()
}

fn position(haystack: &[u8], needle: &[u8]) -> usize {
    haystack.windows(needle.len()).position(|window| window == needle).expect("the bytes to change")
}
