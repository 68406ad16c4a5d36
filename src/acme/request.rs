//! Who sent a request: content type, JWS, URL, nonce, account, limits, signature, strength of the key, in the order of
//! what they cost.

use super::issuer::IssuerContext;
use super::route::Resource;
use super::{Acme, Request};
use crate::error::{Class, Error, Result};
use crate::jose::{Jws, KeyReference, json};
use crate::keys::PublicKey;
use crate::store::{Account, AccountStatus, Eab, Read};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::ops::Deref;
use std::sync::Arc;

/// An account with what its requests are judged by, understood once.
pub(super) struct KnownAccount {
    account: Account,
    key: PublicKey,
    /// The credential that it was made with, whose bounds it keeps.
    pub(super) credential: Option<Eab>,
}

impl KnownAccount {
    fn load(read: &Read<'_>, id: i64) -> Result<KnownAccount> {
        let account = read.account(id)?.ok_or_else(unknown_account)?;
        // Without its bounds an account must not go on as if it had none.
        let gone = |kid: &str| Error::internal(format!("the credential {kid} of account {id} is gone"));
        let credential = account.eab.as_ref().map(|kid| read.eab(kid)?.ok_or_else(|| gone(kid))).transpose()?;
        Ok(KnownAccount { key: PublicKey::known(&account.spki)?, credential, account })
    }
}

impl Deref for KnownAccount {
    type Target = Account;

    fn deref(&self) -> &Account {
        &self.account
    }
}

fn unknown_account() -> Error {
    Error::new(Class::AccountDoesNotExist, "\"kid\" is not the URL of an account here; register first")
}

/// A request whose signature verified under the key of a valid account.
pub(super) struct Authenticated<'i> {
    pub(super) issuer: &'i Arc<IssuerContext>,
    pub(super) account: Arc<KnownAccount>,
    url: String,
    payload: Vec<u8>,
}

impl Authenticated<'_> {
    /// RFC 8555, 6.3: the server verifies that the account has access to the resource.
    pub(super) fn check_owns(&self, owner: Option<i64>, what: &str) -> Result<()> {
        if owner == Some(self.account.id) {
            Ok(())
        } else {
            Err(Error::new(Class::Unauthorized, format!("this {what} belongs to another account")))
        }
    }

    /// The payload of a POST that is not a POST-as-GET.
    pub(super) fn object(&self) -> Result<Map<String, Value>> {
        json::parse_object(&self.payload)
    }

    /// The payload as it came.
    pub(super) fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The URL that the request was signed for.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Whether the payload is empty (RFC 8555, 6.3).
    pub(super) fn is_post_as_get(&self) -> bool {
        self.payload.is_empty()
    }

    /// The payload must be empty.
    pub(super) fn post_as_get(&self) -> Result<()> {
        if self.is_post_as_get() {
            Ok(())
        } else {
            Err(Error::malformed("this resource is read by POST-as-GET, with an empty payload"))
        }
    }
}

/// A request that carries its own key.
pub(super) struct SelfSigned {
    pub(super) key: PublicKey,
    pub(super) url: String,
    pub(super) payload: Map<String, Value>,
}

/// A request that may be signed either way (RFC 8555, 7.6).
pub(super) enum Signed<'i> {
    ByAccount(Authenticated<'i>),
    ByKey(SelfSigned),
}

impl Acme {
    /// Authenticate by account (RFC 8555, 6.2: `kid`).
    pub(super) fn authenticated<'i>(
        &self,
        issuer: &'i Arc<IssuerContext>,
        request: &Request<'_>,
    ) -> Result<Authenticated<'i>> {
        self.by_account(issuer, request, &self.fresh_jws(issuer, request)?)
    }

    fn by_account<'i>(
        &self,
        issuer: &'i Arc<IssuerContext>,
        request: &Request<'_>,
        jws: &Jws,
    ) -> Result<Authenticated<'i>> {
        let KeyReference::Kid(kid) = jws.key() else {
            return Err(Error::malformed("this request is signed with \"kid\", the account's URL, not with \"jwk\""));
        };
        let Some(Resource::Account(id)) = issuer.resource_at(kid) else { return Err(unknown_account()) };
        let account = self.accounts.read(&self.store, id, |read| KnownAccount::load(read, id))?;
        if account.issuer != issuer.item.id {
            return Err(unknown_account());
        }
        self.limits.check_account(request.address, id)?;
        let payload = jws.verify(&account.key).inspect_err(|_| self.limits.count_impostor(request.address))?.to_vec();
        self.limits.count_account(request.address, id);
        // Only now, so that nobody else learns the state of an account.
        if account.status() != AccountStatus::Valid {
            return Err(Error::new(Class::AccountDeactivated, "the account is deactivated; register with another key"));
        }
        Ok(Authenticated { issuer, account, url: jws.url().to_owned(), payload })
    }

    /// Authenticate by the key in the request (RFC 8555, 6.2: `jwk`).
    pub(super) fn self_signed(&self, issuer: &IssuerContext, request: &Request<'_>) -> Result<SelfSigned> {
        self.by_key(request, &self.fresh_jws(issuer, request)?)
    }

    /// Authenticate by whichever of the two the request has.
    pub(super) fn signed_either_way<'i>(
        &self,
        issuer: &'i Arc<IssuerContext>,
        request: &Request<'_>,
    ) -> Result<Signed<'i>> {
        let jws = self.fresh_jws(issuer, request)?;
        match jws.key() {
            KeyReference::Kid(_) => self.by_account(issuer, request, &jws).map(Signed::ByAccount),
            KeyReference::Jwk(_) => self.by_key(request, &jws).map(Signed::ByKey),
        }
    }

    fn by_key(&self, request: &Request<'_>, jws: &Jws) -> Result<SelfSigned> {
        let KeyReference::Jwk(claimed) = jws.key() else {
            return Err(Error::malformed("this request is signed with \"jwk\", the key itself, not with \"kid\""));
        };
        self.limits.admit_stranger(request.address)?;
        let (key, payload) = jws.verify_own(claimed)?;
        Ok(SelfSigned { key, url: jws.url().to_owned(), payload: json::parse_object(payload)? })
    }

    /// A JWS for this URL with a nonce that was not used before. Its signature is not verified yet.
    fn fresh_jws(&self, issuer: &IssuerContext, request: &Request<'_>) -> Result<Jws> {
        let media_type = request.content_type.and_then(|t| t.split(';').next()).map(str::trim);
        if !media_type.is_some_and(|t| t.eq_ignore_ascii_case("application/jose+json")) {
            return Err(Error::new(
                Class::UnsupportedMediaType,
                "send the request as Content-Type application/jose+json",
            ));
        }
        let jws = Jws::parse(request.body)?;
        let target = match request.query {
            Some(query) => Cow::from(format!("{}?{query}", request.path)),
            None => Cow::from(request.path),
        };
        if !issuer.is_url_of_path(jws.url(), &target) {
            return Err(Error::unauthorized("\"url\" in the JWS is not the URL of this resource (RFC 8555, 6.4)"));
        }
        let nonce = jws.nonce().ok_or_else(|| {
            Error::new(
                Class::BadNonce,
                "JWS has an invalid anti-replay nonce: it has none; use the one from this reply",
            )
        })?;
        self.nonces.spend(nonce)?;
        Ok(jws)
    }
}
