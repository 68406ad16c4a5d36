//! Authorizations (RFC 8555, 7.4.1 and 7.5): asking for one, reading, deactivating.

use super::challenge::write_challenge;
use super::issuer::IssuerContext;
use super::order::{PENDING_LIFETIME, dns_challenges, name_of, new_authorization, parse_identifier, tokens};
use super::request::Authenticated;
use super::route::Resource;
use super::{Acme, Reply, no_such};
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::identifier::Identifier;
use crate::store::{Authorization, AuthorizationStatus, ChallengeStatus, NewAuthorization};
use serde_json::Value;
use std::sync::Arc;

impl Acme {
    /// newAuthz (RFC 8555, 7.4.1; for a domain with all below it, RFC 9444, 4.2). One that is valid already is given.
    pub(super) fn new_authorization(&self, request: &Authenticated<'_>) -> Result<Reply> {
        let issuer = request.issuer;
        issuer.check_enabled()?;
        let payload = request.object()?;
        let value =
            payload.get("identifier").ok_or_else(|| Error::malformed("the payload has no member \"identifier\""))?;
        let identifier = parse_identifier(value)?;
        let subdomains = match value.get("subdomainAuthAllowed") {
            None => false,
            Some(Value::Bool(wanted)) => *wanted,
            Some(_) => return Err(Error::malformed("\"subdomainAuthAllowed\" is neither true nor false")),
        };
        let refused = |why: &str| Err(Error::malformed(format!("{identifier}: {why}")).about(identifier.to_string()));
        if matches!(&identifier, Identifier::Dns(name) if name.is_wildcard()) {
            return refused("a wildcard cannot be authorized beforehand (RFC 8555, 7.4.1)");
        }
        if subdomains && !issuer.policy.authorizes_subdomains() {
            return refused("this issuer authorizes no domain with all below it");
        }
        self.permission(request)?.check(&identifier)?;
        let offered = match subdomains {
            true => dns_challenges(&issuer.policy, &identifier)?,
            false => issuer.policy.challenges_for(&identifier)?,
        };
        let now = self.clock.trusted()?;
        let new = NewAuthorization {
            name: name_of(&identifier),
            challenges: tokens(&offered)?,
            standing: true,
            subdomains,
            unchallenged: false,
            expires: now.plus(PENDING_LIFETIME),
        };
        let (account, limits) = (request.account.id, self.store.limits(issuer.item.id)?);
        let caa_since = issuer.policy.caa_since(&identifier, now);
        let (authorization, status) = self.store.change(move |write| {
            write.touch_account(account, now)?;
            match write.reusable_authorization(account, &new.name, subdomains, now, None, caa_since)? {
                Some(id) => Ok((write.authorization(id)?.ok_or_else(|| no_such("authorization"))?, 200)),
                None => Ok((new_authorization(write, &limits, account, &new, now)?, 201)),
            }
        })?;
        Ok(authorization_reply(status, issuer, &authorization, now)
            .header("Location", issuer.url_of(Resource::Authorization(authorization.id))))
    }

    /// An authorization is read and deactivated at its URL (RFC 8555, 7.5 and 7.5.2).
    pub(super) fn authorization(&self, request: &Authenticated<'_>, id: i64) -> Result<Reply> {
        let now = self.clock.believed();
        let mut authorization = self.own_authorization(request, id)?;
        if !request.is_post_as_get() {
            let payload = request.object()?;
            if payload.get("status").and_then(Value::as_str) != Some("deactivated") {
                return Err(Error::malformed("an authorization can be changed by {\"status\": \"deactivated\"} only"));
            }
            self.store.change(move |write| write.deactivate_authorization(id, now))?;
            Arc::make_mut(&mut authorization).deactivated = Some(now);
        }
        let reply = authorization_reply(200, request.issuer, &authorization, now);
        let pending = authorization.status(now) == AuthorizationStatus::Pending;
        Ok(if pending { reply.header("Retry-After", "1") } else { reply })
    }

    fn own_authorization(&self, request: &Authenticated<'_>, id: i64) -> Result<Arc<Authorization>> {
        let authorization = self.store.authorization(id)?.ok_or_else(|| no_such("authorization"))?;
        request.check_owns(Some(authorization.account), "authorization")?;
        Ok(authorization)
    }
}

fn authorization_reply(code: u16, issuer: &IssuerContext, authorization: &Authorization, now: Time) -> Reply {
    let status = authorization.status(now);
    // RFC 8555, 7.1.4: once decided, only the challenges that decided.
    let shown = authorization.challenges.iter().filter(|c| {
        let decided = matches!(c.status(), ChallengeStatus::Valid | ChallengeStatus::Invalid);
        status == AuthorizationStatus::Pending || decided
    });
    Reply::object(code, |object| {
        object.objects("challenges", shown, |object, challenge| {
            write_challenge(object, issuer, authorization.account, challenge);
        });
        object.member("expires", authorization.expires.to_string());
        object.object("identifier", |object| {
            object.member("type", &authorization.identifier_type);
            object.member("value", &authorization.identifier);
        });
        object.member("status", status.as_str());
        if authorization.subdomains {
            object.member("subdomainAuthAllowed", true);
        }
        if authorization.wildcard {
            object.member("wildcard", true);
        }
    })
}
