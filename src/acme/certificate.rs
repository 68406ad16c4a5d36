//! Certificates (RFC 8555, 7.4.2): the leaf and its chain, as PEM, and the other chains that there are.

use super::request::Authenticated;
use super::route::Resource;
use super::{Acme, Reply, no_such};
use crate::error::Result;

impl Acme {
    /// A certificate is downloaded at its URL, and with other chains at the URLs that its links name.
    pub(super) fn certificate(&self, request: &Authenticated<'_>, id: i64, chain: i64) -> Result<Reply> {
        request.post_as_get()?;
        let certificate = self.store.certificate(id)?.ok_or_else(|| no_such("certificate"))?;
        request.check_owns(certificate.account, "certificate")?;
        let chains = self.issuance.pem_chains(&certificate)?;
        let numbered = || (0i64..).zip(&chains);
        let (_, pem) = numbered().find(|(number, _)| *number == chain).ok_or_else(|| no_such("chain"))?;
        let mut reply = Reply::new(200).header("Content-Type", "application/pem-certificate-chain");
        reply.body = pem.clone().into_bytes();
        for (number, _) in numbered().filter(|(number, _)| *number != chain) {
            let resource = match number {
                0 => Resource::Certificate(id),
                number => Resource::AlternateCertificate(id, number),
            };
            reply = reply.header("Link", format!("<{}>;rel=\"alternate\"", request.issuer.url_of(resource)));
        }
        Ok(reply)
    }
}
