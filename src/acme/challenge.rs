//! Challenges (RFC 8555, 7.5.1): reading, and asking for validation. The answer comes with the result where that takes but a
//! moment, so that clients need not ask again, and otherwise before it.

use super::issuer::IssuerContext;
use super::object::Object;
use super::request::Authenticated;
use super::route::Resource;
use super::{Acme, Answer, Reply, no_such, problem};
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::store::{Authorization, AuthorizationStatus, Challenge, ChallengeStatus, ValidationJob};
use std::sync::Arc;

impl Acme {
    /// POST-as-GET reads a challenge; an object as the payload asks for its validation.
    pub(super) fn challenge(&self, request: &Authenticated<'_>, id: i64) -> Result<Answer> {
        let now = self.clock.believed();
        let asks = !request.is_post_as_get();
        if asks {
            request.object()?;
        }
        let authorization = self.store.authorization_of(id)?.ok_or_else(|| no_such("challenge"))?;
        let challenge = authorization.challenges.iter().find(|challenge| challenge.id == id);
        let challenge = challenge.ok_or_else(|| no_such("challenge"))?;
        request.check_owns(Some(authorization.account), "authorization")?;
        if asks {
            request.issuer.check_enabled()?;
        }
        let (issuer, account) = (Arc::clone(request.issuer), request.account.id);
        if !asks || challenge.status() != ChallengeStatus::Pending {
            return Ok(challenge_reply(&issuer, account, challenge).into());
        }
        let job = job(request, challenge, &authorization, now)?;
        let limits = self.store.limits(issuer.item.id)?;
        self.store.check_failures(&limits, job.account, &job.identifier, now)?;
        let challenge = challenge.clone();
        let (store, validation) = (Arc::clone(&self.store), Arc::clone(&self.validation));
        Ok(Answer::later(move |tell| {
            let reply = move |challenge: Challenge| challenge_reply(&issuer, account, &challenge);
            validation.ask(job, now, move |result| match result {
                Some(result) => tell(Ok(reply(challenge.settled(now, result)))),
                None => store.change_then(
                    move |write| write.request_validation(id, now)?.ok_or_else(|| no_such("challenge")),
                    move |asked| tell(asked.map(reply)),
                ),
            });
        }))
    }
}

fn challenge_reply(issuer: &IssuerContext, account: i64, challenge: &Challenge) -> Reply {
    let authorization = issuer.url_of(Resource::Authorization(challenge.authorization));
    let reply = Reply::object(200, |object| write_challenge(object, issuer, account, challenge))
        .header("Link", format!("<{authorization}>;rel=\"up\""));
    let processing = challenge.status() == ChallengeStatus::Processing;
    if processing { reply.header("Retry-After", "1") } else { reply }
}

/// What a validator has to know, if the authorization still waits for a proof.
fn job(
    request: &Authenticated<'_>,
    challenge: &Challenge,
    authorization: &Authorization,
    now: Time,
) -> Result<ValidationJob> {
    let status = authorization.status(now);
    if status != AuthorizationStatus::Pending {
        let why = format!("the authorization of this challenge is {}; make a new order", status.as_str());
        return Err(Error::malformed(why));
    }
    Ok(ValidationJob {
        challenge: challenge.id,
        kind: challenge.kind.clone(),
        token: challenge.token.clone(),
        account: authorization.account,
        thumbprint: request.account.thumbprint.clone(),
        identifier_type: authorization.identifier_type.clone(),
        identifier: authorization.identifier.clone(),
        wildcard: authorization.wildcard,
        subdomains: authorization.subdomains,
        issuer: request.issuer.item.id,
    })
}

pub(super) fn write_challenge(object: &mut Object<'_>, issuer: &IssuerContext, account: i64, challenge: &Challenge) {
    // What lasts has no token; only persistent records do.
    let is_lasting = challenge.token.is_empty();
    if is_lasting {
        object.member("accounturi", issuer.account_url(account));
    }
    if let Some((class, detail)) = &challenge.error {
        object.member("error", problem::stored(class, detail));
    }
    if is_lasting {
        object.member("issuer-domain-names", issuer.policy.issuer_domain_names());
    }
    object.member("status", challenge.status().as_str());
    if !is_lasting {
        object.member("token", &challenge.token);
    }
    object.member("type", &challenge.kind);
    object.member("url", issuer.url_of(Resource::Challenge(challenge.id)));
    if let Some(validated) = challenge.validated {
        object.member("validated", validated.to_string());
    }
}
