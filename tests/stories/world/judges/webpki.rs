//! webpki, as rustls uses it. It knows nothing of OCSP.

use super::Complaint;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{BorrowedCertRevocationList, EndEntityCert, KeyUsage, anchor_from_trusted_cert};

const JUDGE: &str = "webpki";

pub(super) fn chain(
    chain: &[CertificateDer<'static>],
    root: &CertificateDer<'static>,
    names: &[String],
    purposes: &[&str],
) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let mut complain = |about: String, error: webpki::Error| {
        complaints.push(Complaint { judge: JUDGE, says: format!("{about}: {error:?}") });
    };
    let (leaf, above) = chain.split_first().expect("a leaf");
    let (leaf, anchor) = match (EndEntityCert::try_from(leaf), anchor_from_trusted_cert(root)) {
        (Ok(leaf), Ok(anchor)) => (leaf, anchor),
        (Err(error), _) => return vec![Complaint { judge: JUDGE, says: format!("the leaf: {error:?}") }],
        (_, Err(error)) => return vec![Complaint { judge: JUDGE, says: format!("the root: {error:?}") }],
    };
    for purpose in purposes {
        let usage = if *purpose == "sslclient" { KeyUsage::client_auth() } else { KeyUsage::server_auth() };
        let (algorithms, anchors) = (webpki::ALL_VERIFICATION_ALGS, [anchor.clone()]);
        if let Err(error) = leaf.verify_for_usage(algorithms, &anchors, above, UnixTime::now(), usage, None, None) {
            complain(format!("as {purpose}"), error);
        }
    }
    for name in names {
        if let Err(error) = leaf.verify_is_valid_for_subject_name(&ServerName::try_from(name.as_str()).unwrap()) {
            complain(name.clone(), error);
        }
    }
    complaints
}

pub(super) fn ca_certificate(
    certificate: &CertificateDer<'static>,
    issuer: &CertificateDer<'static>,
) -> Vec<Complaint> {
    let mut complaints = signature(certificate, issuer);
    if let Err(error) = anchor_from_trusted_cert(certificate) {
        complaints.push(Complaint { judge: JUDGE, says: format!("no trust anchor: {error:?}") });
    }
    complaints
}

pub(super) fn crl(crl_der: &[u8], issuer: &CertificateDer<'static>) -> Vec<Complaint> {
    let mut complaints = signature(crl_der, issuer);
    // It wants a name in every issuingDistributionPoint, and RFC 5280, 5.2.5, does not: without one a list is for all of its
    // kind.
    let is_nameless = |error: &webpki::Error| {
        *error == webpki::Error::UnsupportedCrlIssuingDistributionPoint
            && crl_der.windows(7).any(|octets| octets == b"\x04\x05\x30\x03\x82\x01\xff")
    };
    if let Err(error) = BorrowedCertRevocationList::from_der(crl_der)
        && !is_nameless(&error)
    {
        complaints.push(Complaint { judge: JUDGE, says: format!("no CRL: {error:?}") });
    }
    complaints
}

/// A certificate or a CRL is signed by the key of this certificate.
fn signature(signed: &[u8], issuer: &CertificateDer<'static>) -> Vec<Complaint> {
    let complaint = |says: String| vec![Complaint { judge: JUDGE, says }];
    let issuer = match EndEntityCert::try_from(issuer) {
        Ok(issuer) => issuer,
        Err(error) => return complaint(format!("the issuer: {error:?}")),
    };
    let Some([signed, _, signature]) = parts(signed) else { return complaint("not three parts of a SEQUENCE".into()) };
    // A BIT STRING begins with its header and the number of bits that are not used.
    let header = signature.len() - content(signature).map_or(0, <[u8]>::len) + 1;
    let signature = signature.get(header..).unwrap_or_default();
    let fits = |algorithm: &&dyn rustls::pki_types::SignatureVerificationAlgorithm| {
        issuer.verify_signature(*algorithm, signed, signature).is_ok()
    };
    if webpki::ALL_VERIFICATION_ALGS.iter().any(fits) {
        Vec::new()
    } else {
        complaint("not the issuer's signature".into())
    }
}

/// What is signed, the algorithm and the signature, each with its header.
fn parts(der: &[u8]) -> Option<[&[u8]; 3]> {
    let (mut rest, mut parts) = (content(der)?, Vec::new());
    while !rest.is_empty() {
        let (element, after) = rest.split_at_checked(length(rest)?)?;
        parts.push(element);
        rest = after;
    }
    parts.try_into().ok()
}

fn content(element: &[u8]) -> Option<&[u8]> {
    element.get(header(element)?.0..length(element)?)
}

/// Of header and content together.
fn length(element: &[u8]) -> Option<usize> {
    let (header, content) = header(element)?;
    Some(header + content)
}

/// How long the header is, and the content that it announces.
fn header(element: &[u8]) -> Option<(usize, usize)> {
    match *element.get(1)? {
        short @ 0..0x80 => Some((2, usize::from(short))),
        long => {
            let octets = element.get(2..2 + usize::from(long & 0x7f))?;
            Some((2 + octets.len(), octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet))))
        }
    }
}
