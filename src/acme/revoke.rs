//! revokeCert (RFC 8555, 7.6), on the strength of the account that ordered the certificate, of valid authorizations for
//! all its names, or of its key.

use super::issuer::IssuerContext;
use super::order::name_of;
use super::request::Signed;
use super::{Acme, Reply, Request, Seen};
use crate::ca::ParsedCertificate;
use crate::error::{Error, Result};
use crate::issuance::{Reason, Revoker};
use crate::jose::base64url;
use crate::store::Certificate;
use serde_json::{Map, Value};
use std::sync::Arc;

impl Acme {
    pub(super) fn revoke(&self, issuer: &Arc<IssuerContext>, request: &Request<'_>, seen: &mut Seen) -> Result<Reply> {
        let signed = self.signed_either_way(issuer, request)?;
        if let Signed::ByAccount(authenticated) = &signed {
            seen.account = Some(authenticated.account.id);
        }
        let payload = match &signed {
            Signed::ByAccount(authenticated) => authenticated.object()?,
            Signed::ByKey(own) => own.payload.clone(),
        };
        let certificate = self.certificate_of(issuer, &payload)?;
        let by = self.revoker(&signed, &certificate)?;
        let reason = match payload.get("reason") {
            None => Reason::UNSPECIFIED,
            Some(code) => match code.as_u64() {
                Some(code) => Reason::of_client(code)?,
                None => return Err(Error::malformed("\"reason\" is not a number")),
            },
        };
        self.issuance.revoke(&certificate, reason, &by, request.address)?;
        Ok(Reply::new(200))
    }

    /// On what strength the sender of a request can revoke a certificate.
    fn revoker(&self, signed: &Signed<'_>, certificate: &Certificate) -> Result<Revoker> {
        match signed {
            Signed::ByKey(own) if ParsedCertificate::parse(&certificate.der)?.spki == own.key.to_spki() => {
                Ok(Revoker::KeyHolder)
            }
            Signed::ByKey(_) => Err(Error::unauthorized("the request is signed by another key than the certificate's")),
            Signed::ByAccount(authenticated) => {
                let account = authenticated.account.id;
                if certificate.account == Some(account) {
                    Ok(Revoker::Subscriber(account))
                } else if certificate.account.is_some() && self.controls_all_names(account, certificate)? {
                    Ok(Revoker::Controller(account))
                } else {
                    Err(Error::unauthorized(
                        "the certificate was ordered by another account, and this one holds no valid authorization for each \
                         of its names",
                    ))
                }
            }
        }
    }

    /// The certificate in a request, which must be one of this issuer, byte for byte.
    fn certificate_of(&self, issuer: &IssuerContext, payload: &Map<String, Value>) -> Result<Certificate> {
        let text = payload
            .get("certificate")
            .and_then(Value::as_str)
            .ok_or_else(|| Error::malformed("the payload has no text member \"certificate\""))?;
        let der = base64url::decode(text).map_err(|e| e.context("\"certificate\""))?;
        let unknown = || Error::not_found("this is not a certificate of this issuer");
        let serial = ParsedCertificate::parse(&der).map_err(|e| e.context("\"certificate\""))?.serial;
        let found = self.store.read(|read| read.certificate_by_serial(&serial))?.ok_or_else(unknown)?;
        if found.der == der && found.issuer == issuer.item.id { Ok(found) } else { Err(unknown()) }
    }

    fn controls_all_names(&self, account: i64, certificate: &Certificate) -> Result<bool> {
        let names = ParsedCertificate::parse(&certificate.der)?.subject_alt_names()?;
        let now = self.clock.believed();
        self.store.read(|read| {
            for name in &names {
                if !read.has_proved(account, &name_of(name), now)? {
                    return Ok(false);
                }
            }
            Ok(!names.is_empty())
        })
    }
}
