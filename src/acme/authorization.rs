//! Authorizations (RFC 8555, 7.5): reading and deactivating.

use super::challenge::challenge_object;
use super::issuer::IssuerContext;
use super::request::Authenticated;
use super::{Acme, Reply, no_such, not_yours};
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::store::{Authorization, AuthorizationStatus, ChallengeStatus};
use serde_json::{Map, Value, json};

impl Acme {
    /// An authorization is read and deactivated at its URL (RFC 8555, 7.5 and 7.5.2).
    pub(super) fn authorization(&self, request: &Authenticated<'_>, id: i64) -> Result<Reply> {
        let now = self.clock.now();
        let mut authorization = self.own_authorization(request, id)?;
        if !request.is_post_as_get() {
            let payload = request.object()?;
            if payload.get("status").and_then(Value::as_str) != Some("deactivated") {
                return Err(Error::malformed("an authorization can be changed by {\"status\": \"deactivated\"} only"));
            }
            self.store.change(move |write| write.deactivate_authorization(id, now))?;
            authorization.deactivated = Some(now);
        }
        let reply = Reply::json(200, &authorization_object(request.issuer, &authorization, now));
        let pending = authorization.status(now) == AuthorizationStatus::Pending;
        Ok(if pending { reply.header("Retry-After", "1") } else { reply })
    }

    pub(super) fn own_authorization(&self, request: &Authenticated<'_>, id: i64) -> Result<Authorization> {
        let authorization = self.store.read(|read| read.authorization(id))?.ok_or_else(|| no_such("authorization"))?;
        if authorization.account == request.account.id { Ok(authorization) } else { Err(not_yours("authorization")) }
    }
}

fn authorization_object(issuer: &IssuerContext, authorization: &Authorization, now: Time) -> Value {
    let status = authorization.status(now);
    // RFC 8555, 7.1.4: once decided, only the challenges that decided.
    let shown = authorization
        .challenges
        .iter()
        .filter(|c| status == AuthorizationStatus::Pending || c.status() != ChallengeStatus::Pending);
    let challenges: Vec<Value> = shown.map(|c| challenge_object(issuer, c)).collect();
    let mut members = Map::new();
    members.insert("status".into(), status.as_str().into());
    members.insert("expires".into(), authorization.expires.to_string().into());
    members.insert(
        "identifier".into(),
        json!({ "type": authorization.identifier_type, "value": authorization.identifier }),
    );
    members.insert("challenges".into(), challenges.into());
    if authorization.wildcard {
        members.insert("wildcard".into(), true.into());
    }
    Value::Object(members)
}
