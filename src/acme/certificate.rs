//! Certificates (RFC 8555, 7.4.2): the leaf and its chain, as PEM.

use super::request::Authenticated;
use super::{Acme, Reply, no_such, not_yours};
use crate::error::Result;

impl Acme {
    /// A certificate is downloaded at its URL.
    pub(super) fn certificate(&self, request: &Authenticated<'_>, id: i64) -> Result<Reply> {
        request.post_as_get()?;
        let certificate = self.store.read(|read| read.certificate(id))?.ok_or_else(|| no_such("certificate"))?;
        if certificate.account != Some(request.account.id) {
            return Err(not_yours("certificate"));
        }
        let mut reply = Reply::new(200).header("Content-Type", "application/pem-certificate-chain");
        reply.body = self.issuance.pem_chain(&certificate)?.into_bytes();
        Ok(reply)
    }
}
