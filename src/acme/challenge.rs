//! Challenges (RFC 8555, 7.5.1): reading, and asking for validation. The answer comes at once, the validation later.

use super::issuer::IssuerContext;
use super::request::Authenticated;
use super::route::Resource;
use super::{Acme, Reply, no_such, problem};
use crate::error::{Error, Result};
use crate::store::{AuthorizationStatus, Challenge, ChallengeStatus};
use serde_json::{Map, Value, json};

impl Acme {
    /// POST-as-GET reads a challenge; an object as the payload asks for its validation.
    pub(super) fn challenge(&self, request: &Authenticated<'_>, id: i64) -> Result<Reply> {
        let found = self.store.read(|read| match read.challenge(id)? {
            Some(challenge) => Ok(read.authorization(challenge.authorization)?.map(|a| (challenge, a))),
            None => Ok(None),
        })?;
        let (mut challenge, authorization) = found.ok_or_else(|| no_such("challenge"))?;
        request.check_owns(Some(authorization.account), "authorization")?;
        if !request.is_post_as_get() {
            request.object()?;
            request.issuer.check_enabled()?;
            let now = self.clock.believed();
            if challenge.status() == ChallengeStatus::Pending {
                let status = authorization.status(now);
                if status != AuthorizationStatus::Pending {
                    let why = format!("the authorization of this challenge is {}; make a new order", status.as_str());
                    return Err(Error::malformed(why));
                }
                let (issuer_id, account) = (request.issuer.item.id, request.account.id);
                let name = authorization.identifier.clone();
                let asked = self.store.change(move |write| {
                    write.check_failures(issuer_id, account, &authorization.identifier, now)?;
                    write.request_validation(id, now)
                })?;
                if asked {
                    self.validation.enqueue(id, account, name);
                }
                challenge.requested = challenge.requested.or(Some(now));
            }
        }
        let authorization = request.issuer.url_of(Resource::Authorization(challenge.authorization));
        let reply = Reply::json(200, &challenge_object(request.issuer, request.account.id, &challenge))
            .header("Link", format!("<{authorization}>;rel=\"up\""));
        let processing = challenge.status() == ChallengeStatus::Processing;
        Ok(if processing { reply.header("Retry-After", "1") } else { reply })
    }
}

pub(super) fn challenge_object(issuer: &IssuerContext, account: i64, challenge: &Challenge) -> Value {
    let mut members = Map::new();
    members.insert("type".into(), challenge.kind.as_str().into());
    members.insert("url".into(), issuer.url_of(Resource::Challenge(challenge.id)).into());
    members.insert("status".into(), challenge.status().as_str().into());
    // What lasts has no token; only persistent records do.
    if challenge.token.is_empty() {
        members.insert("issuer-domain-names".into(), json!(issuer.policy.issuer_domain_names()));
        members.insert("accounturi".into(), issuer.account_url(account).into());
    } else {
        members.insert("token".into(), challenge.token.as_str().into());
    }
    if let Some(validated) = challenge.validated {
        members.insert("validated".into(), validated.to_string().into());
    }
    if let Some((class, detail)) = &challenge.error {
        members.insert("error".into(), problem::stored(class, detail));
    }
    Value::Object(members)
}
