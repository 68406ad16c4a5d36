//! keyChange (RFC 8555, 7.3.5): another key for an account, signed by both.

use super::account::account_object;
use super::request::Authenticated;
use super::route::Resource;
use super::{Acme, Reply};
use crate::error::{Class, Error, Result};
use crate::jose::{Jws, KeyReference, json, parse_jwk, thumbprint};
use crate::keys::PublicKey;
use crate::store::{Account, AuditEntry};
use serde_json::Value;

impl Acme {
    pub(super) fn key_change(&self, request: &Authenticated<'_>, address: &str) -> Result<Reply> {
        let inner = Jws::parse(request.payload()).map_err(|e| e.context("the inner JWS"))?;
        let KeyReference::Jwk(claimed) = inner.key() else {
            return Err(Error::malformed("the inner JWS has the new key as \"jwk\""));
        };
        if inner.nonce().is_some() {
            return Err(Error::malformed("the inner JWS must not have a nonce (RFC 8555, 7.3.5)"));
        }
        if inner.url() != request.url() {
            return Err(Error::malformed("the inner JWS has another \"url\" than the outer one"));
        }
        let (new_key, payload) = inner.verify_own(claimed)?;
        let payload = json::parse_object(payload)?;
        let account = payload.get("account").and_then(Value::as_str).unwrap_or_default();
        if request.issuer.resource_at(account) != Some(Resource::Account(request.account.id)) {
            return Err(Error::malformed(
                "\"account\" in the inner payload is not the account that signed the request",
            ));
        }
        let old_key = parse_jwk(payload.get("oldKey").unwrap_or(&Value::Null))
            .map_err(|e| Error::malformed(format!("\"oldKey\" in the inner payload: {e}")))?;
        if thumbprint(old_key.unproved()) != request.account.thumbprint {
            return Err(Error::malformed("\"oldKey\" in the inner payload is not the key of the account"));
        }
        self.change_key(request, &new_key, address)
    }

    fn change_key(&self, request: &Authenticated<'_>, new_key: &PublicKey, address: &str) -> Result<Reply> {
        let issuer = request.issuer;
        let (spki, new_thumbprint) = (new_key.to_spki(), thumbprint(new_key));
        self.store.check_not_blocked(&spki)?;
        let account = Account::clone(&request.account);
        let changed = Account { spki: spki.clone(), thumbprint: new_thumbprint.clone(), ..account.clone() };
        let now = self.clock.now();
        let name = format!("account {}", account.id);
        let entry = AuditEntry::done(name.as_str(), "keyChange", name.as_str())
            .from(address)
            .detail(format!("from {} to {new_thumbprint}", account.thumbprint));
        let changing = self.store.change(move |write| {
            write.change_account_key(&account, &spki, &new_thumbprint)?;
            write.append_audit(now, &entry)
        });
        match changing {
            Ok(()) => Ok(Reply::json(200, &account_object(issuer, &changed))),
            // Whose key it is already, the reply tells (RFC 8555, 7.3.5).
            Err(conflict) if conflict.class() == Class::Conflict => {
                let holder = self.store.read(|read| read.account_by_key(issuer.item.id, &changed.thumbprint))?;
                Err(match holder {
                    Some(holder) => conflict.at(issuer.url_of(Resource::Account(holder.id))),
                    None => conflict,
                })
            }
            Err(e) => Err(e),
        }
    }
}
