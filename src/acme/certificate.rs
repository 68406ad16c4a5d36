//! Certificates (RFC 8555, 7.4.2): the leaf and its chain, as PEM.

use super::request::Authenticated;
use super::{Acme, Reply, no_such, not_yours};
use crate::der::to_pem;
use crate::error::Result;

impl Acme {
    /// A certificate is downloaded at its URL.
    pub(super) fn certificate(&self, request: &Authenticated<'_>, id: i64) -> Result<Reply> {
        request.post_as_get()?;
        let certificate = self.store.read(|read| read.certificate(id))?.ok_or_else(|| no_such("certificate"))?;
        if certificate.account != Some(request.account.id) {
            return Err(not_yours("certificate"));
        }
        let chain = self.issuance.chain_above(certificate.signer)?;
        let mut reply = Reply::new(200).header("Content-Type", "application/pem-certificate-chain");
        for der in [certificate.der].iter().chain(&chain) {
            reply.body.extend_from_slice(to_pem("CERTIFICATE", der).as_bytes());
        }
        Ok(reply)
    }
}
