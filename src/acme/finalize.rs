//! finalize (RFC 8555, 7.4): from a ready order to a certificate.

use super::issuer::IssuerContext;
use super::order::order_reply;
use super::request::Authenticated;
use super::route::Resource;
use super::{Acme, Answer, Reply};
use crate::ca::CertificateRequest;
use crate::clock::Time;
use crate::error::{Class, Error, Result};
use crate::issuance::ReadyOrder;
use crate::jose::base64url;
use crate::keys::sha256;
use crate::store::{Order, OrderStatus};
use serde_json::Value;
use std::sync::Arc;

impl Acme {
    /// Asked again with the same CSR, it answers with the order, since some clients poll it.
    pub(super) fn finalize(&self, request: &Authenticated<'_>, id: i64, address: &str) -> Result<Answer> {
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
        if order.status(now) == OrderStatus::Valid && order.csr_hash.as_deref() == Some(hash.as_slice()) {
            let replaces = self.shown_as_replaced(order.replaces)?;
            return Ok(finalized(issuer, &order, replaces, now).into());
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
        let replaces = self.shown_as_replaced(order.replaces)?;
        let ready = ReadyOrder::check(order, &permission, certificate_request, &hash, now)?;
        let signed = self.issuance.leaf_for(ready, address)?;
        let (store, issuance) = (Arc::clone(&self.store), Arc::clone(&self.issuance));
        let (issuer, account) = (Arc::clone(issuer), request.account.id);
        Ok(Answer::later(move |tell| {
            issuance.commit(signed, move |order| {
                tell(match order {
                    Ok(order) => {
                        let certificate = order.certificate.unwrap_or_default();
                        log::info!(order = id, account, certificate; "issued");
                        Ok(finalized(&issuer, &order, replaces, now))
                    }
                    // Two requests at once: the other one was first.
                    Err(e) if e.class() == Class::OrderNotReady => match store.read(|read| read.order(id)) {
                        Ok(Some(order)) if order.csr_hash.as_deref() == Some(hash.as_slice()) => {
                            Ok(finalized(&issuer, &order, replaces, now))
                        }
                        Ok(_) => Err(e),
                        Err(unread) => Err(unread),
                    },
                    Err(e) => Err(e),
                });
            });
        }))
    }
}

fn finalized(issuer: &IssuerContext, order: &Order, replaces: Option<String>, now: Time) -> Reply {
    let location = issuer.url_of(Resource::Order(order.id));
    order_reply(200, issuer, order, replaces, now).header("Location", location)
}
