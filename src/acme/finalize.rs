//! finalize (RFC 8555, 7.4): from a ready order to a certificate.

use super::request::Authenticated;
use super::route::Resource;
use super::{Acme, Reply};
use crate::ca::CertificateRequest;
use crate::error::{Class, Error, Result};
use crate::issuance::ReadyOrder;
use crate::jose::base64url;
use crate::keys::sha256;
use crate::store::{Order, OrderStatus};
use serde_json::Value;

impl Acme {
    /// Asked again with the same CSR, it answers with the order, since some clients poll it.
    pub(super) fn finalize(&self, request: &Authenticated<'_>, id: i64, address: &str) -> Result<Reply> {
        let issuer = request.issuer;
        issuer.check_enabled()?;
        let payload = request.object()?;
        let order = self.own_order(request, id)?;
        let csr = payload
            .get("csr")
            .and_then(Value::as_str)
            .ok_or_else(|| Error::malformed("the payload has no text member \"csr\""))?;
        let csr = base64url::decode(csr).map_err(|e| Error::new(Class::BadCsr, format!("\"csr\": {e}")))?;
        let now = self.clock.believed();
        let hash = sha256(&csr);
        let is_repeated = |order: &Order| order.csr_hash.as_deref() == Some(hash.as_slice());
        let show = |order: &Order| -> Result<Reply> {
            let location = issuer.url_of(Resource::Order(id));
            Ok(self.order_reply(200, issuer, order, now)?.header("Location", location))
        };
        if order.status(now) == OrderStatus::Valid && is_repeated(&order) {
            return show(&order);
        }
        // The state first: a CSR costs a signature check.
        order.check_ready(now)?;
        let certificate_request = CertificateRequest::parse(&csr)?;
        if certificate_request.public_key().to_spki() == request.account.spki {
            return Err(Error::new(
                Class::BadCsr,
                "the CSR has the key of the account; a certificate needs a key of its own",
            ));
        }
        let permission = self.permission(request)?;
        let ready = ReadyOrder::check(order, &permission, certificate_request, &hash, now)?;
        match self.issuance.issue(ready, address) {
            Ok(order) => {
                let certificate = order.certificate.unwrap_or_default();
                log::info!(order = id, account = request.account.id, certificate; "issued");
                show(&order)
            }
            // Two requests at once: the other one was first.
            Err(e) if e.class() == Class::OrderNotReady => {
                let order = self.own_order(request, id)?;
                if is_repeated(&order) { show(&order) } else { Err(e) }
            }
            Err(e) => Err(e),
        }
    }
}
