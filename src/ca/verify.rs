//! The finished chain as a client sees it: webpki's judgement, for each name.

use crate::clock::Time;
use crate::error::{Error, Result};
use crate::identifier::Identifier;
use rustls::pki_types::{CertificateDer, ServerName, SignatureVerificationAlgorithm, UnixTime};
use std::time::Duration;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

const ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    webpki::ring::ECDSA_P256_SHA256,
    webpki::ring::ECDSA_P256_SHA384,
    webpki::ring::ECDSA_P384_SHA256,
    webpki::ring::ECDSA_P384_SHA384,
    webpki::ring::ED25519,
    webpki::ring::RSA_PKCS1_2048_8192_SHA256,
    webpki::ring::RSA_PKCS1_2048_8192_SHA384,
    webpki::ring::RSA_PKCS1_2048_8192_SHA512,
];

/// Verify a leaf and its chain (the signer's certificate first, the trusted root last) for TLS servers of each name.
///
/// # Errors
/// Internal, with webpki's reason, when a client would refuse it.
pub fn verify_for_names(leaf: &[u8], chain: &[Vec<u8>], names: &[Identifier], at: Time) -> Result<()> {
    let refused = |why: String| {
        Error::internal(format!("the certificate is not handed out, since a client would refuse it: {why}"))
    };
    let (root, intermediates) = chain.split_last().ok_or_else(|| refused("there is no root".into()))?;
    let root = CertificateDer::from(root.as_slice());
    let anchor = anchor_from_trusted_cert(&root).map_err(|e| refused(format!("the root: {e}")))?;
    let intermediates: Vec<CertificateDer<'_>> =
        intermediates.iter().map(|c| CertificateDer::from(c.as_slice())).collect();
    let leaf = CertificateDer::from(leaf);
    let end_entity = EndEntityCert::try_from(&leaf).map_err(|e| refused(e.to_string()))?;
    let seconds = Duration::from_secs(u64::try_from(at.0).unwrap_or(0));
    end_entity
        .verify_for_usage(
            ALGORITHMS,
            &[anchor],
            &intermediates,
            UnixTime::since_unix_epoch(seconds),
            KeyUsage::server_auth(),
            None,
            None,
        )
        .map_err(|e| refused(e.to_string()))?;
    for name in names {
        let server_name = server_name(name).ok_or_else(|| refused(format!("{name} is not a server's name")))?;
        end_entity.verify_is_valid_for_subject_name(&server_name).map_err(|e| refused(format!("{name}: {e}")))?;
    }
    Ok(())
}

/// A wildcard is tried by one concrete label.
fn server_name(name: &Identifier) -> Option<ServerName<'static>> {
    match name {
        Identifier::Ip(address) => Some(ServerName::IpAddress((*address).into())),
        Identifier::Dns(name) if name.is_wildcard() => ServerName::try_from(format!("a.{}", name.base())).ok(),
        Identifier::Dns(name) => ServerName::try_from(name.to_string()).ok(),
    }
}
