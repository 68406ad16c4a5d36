//! generate-acme-eab, list-acme-eabs, revoke-acme-eab.

use super::{Administration, Arguments, Peer, done, items};
use crate::clock::{Span, Time};
use crate::error::{Error, Result};
use crate::jose::base64url;
use crate::keys::random;
use crate::near::NearNames;
use crate::policy::EabBounds;
use crate::store::Eab;
use serde_json::{Value, json};
use zeroize::Zeroizing;

const DEFAULT_TTL: Span = Span::HOUR;
const LONGEST_TTL: Span = Span::days(7);
const MOST_USES: i64 = 1_000;
const LONGEST_NOTE: usize = 256;

pub(super) fn generate(admin: &Administration, peer: Peer, arguments: &mut Arguments) -> Result<Value> {
    let issuer = items::issuer(admin, arguments)?;
    // What lasts until a moment must not be made by a clock that is wrong.
    let now = admin.clock.trusted()?;
    let ttl = arguments.duration("ttl")?.unwrap_or(DEFAULT_TTL);
    if ttl < Span(1) || ttl > LONGEST_TTL {
        return Err(Error::malformed(format!("--ttl {ttl} is out of range; a credential lives from 1s to 7d")));
    }
    let bounds = arguments.list("allowed-domains")?.map(|domains| EabBounds::parse(&domains)).transpose()?;
    let no_challenge = arguments.boolean("no-challenge")?.unwrap_or(false);
    let uses = uses(arguments, no_challenge)?;
    let authorized_until = authorized_until(arguments, no_challenge, now)?;
    let note = arguments.text("contact-note")?.unwrap_or_default();
    arguments.finish()?;
    if no_challenge && bounds.is_none() {
        return Err(Error::malformed("--no-challenge needs --allowed-domains, the names that need no challenge"));
    }
    if note.len() > LONGEST_NOTE || note.chars().any(char::is_control) {
        return Err(Error::malformed(format!(
            "--contact-note has {LONGEST_NOTE} bytes at most and no control characters"
        )));
    }
    if !admin.store.read(|read| read.issuer(issuer.id))?.acme_enabled {
        let why =
            format!("{} does not speak ACME; switch it on with update-pki-cert-issuer --enable-acme true", issuer.name);
        return Err(Error::conflict(why));
    }
    let kid = base64url::encode(&drawn::<16>()?[..]);
    let mac_key = drawn::<32>()?;
    let expires = now.plus(ttl);
    let eab = Eab {
        kid: kid.clone(),
        issuer: issuer.id,
        sealed_mac_key: admin.issuance.seal_mac_key(&kid, &mac_key[..])?,
        expires,
        uses,
        used: 0,
        allowed_domains: bounds.map(|b| b.to_texts()),
        no_challenge,
        authorized_until,
        note,
        revoked: None,
    };
    let strength = if no_challenge { ", no challenge" } else { "" };
    let entry = done(peer, "generate-acme-eab", &issuer.name, format!("EAB {kid} until {expires}{strength}"));
    admin.store.change(move |write| {
        write.insert_eab(&eab, now)?;
        write.append_audit(now, &entry)
    })?;
    Ok(json!({ "kid": kid, "mac_key": base64url::encode(&mac_key[..]), "expires_at": expires.to_string() }))
}

pub(super) fn list(admin: &Administration, _: Peer, arguments: &mut Arguments) -> Result<Value> {
    let issuer = items::issuer(admin, arguments)?;
    arguments.finish()?;
    let now = admin.now();
    let eabs = admin.store.read(|read| read.outstanding_eabs(issuer.id, now))?;
    let shown: Vec<Value> = eabs
        .iter()
        .map(|eab| {
            json!({
                "kid": eab.kid,
                "expires_at": eab.expires.to_string(),
                "uses": eab.uses,
                "used": eab.used,
                "allowed_domains": eab.allowed_domains,
                "no_challenge": eab.no_challenge,
                "authorized_until": eab.authorized_until.map(|t| t.to_string()),
                "contact_note": eab.note,
            })
        })
        .collect();
    Ok(json!({ "eabs": shown }))
}

pub(super) fn revoke(admin: &Administration, peer: Peer, arguments: &mut Arguments) -> Result<Value> {
    let kid = arguments.required("kid")?;
    arguments.finish()?;
    if admin.store.read(|read| read.eab(&kid))?.is_none() {
        let mut near = NearNames::to(&kid);
        admin.store.read(|read| read.each_kid(|kid| near.look_at(kid)))?;
        let hint = near.hint("list-acme-eabs lists what is outstanding");
        return Err(Error::not_found(format!("there is no credential {kid}; {hint}")));
    }
    let now = admin.now();
    let entry = done(peer, "revoke-acme-eab", format!("EAB {kid}"), "");
    admin.store.change(move |write| {
        write.revoke_eab(&kid, now)?;
        write.append_audit(now, &entry)
    })?;
    Ok(json!({}))
}

fn uses(arguments: &mut Arguments, no_challenge: bool) -> Result<i64> {
    let uses = arguments.number("uses")?.unwrap_or(1);
    if !(1..=MOST_USES).contains(&uses) {
        return Err(Error::malformed(format!(
            "--uses {uses} is out of range; a credential makes 1 to {MOST_USES} accounts"
        )));
    }
    if no_challenge && uses != 1 {
        return Err(Error::malformed("--no-challenge goes with --uses 1 only"));
    }
    Ok(uses)
}

fn authorized_until(arguments: &mut Arguments, no_challenge: bool, now: Time) -> Result<Option<Time>> {
    let Some(text) = arguments.text("authorized-until")? else { return Ok(None) };
    if !no_challenge {
        return Err(Error::malformed("--authorized-until goes with --no-challenge"));
    }
    let until = Time::parse(&text).map_err(|e| e.context("--authorized-until"))?;
    if until <= now { Err(Error::malformed("--authorized-until lies in the past")) } else { Ok(Some(until)) }
}

/// Random bytes whose base64url does not begin with `-`, which certbot 2.1 would take for an option.
fn drawn<const N: usize>() -> Result<Zeroizing<[u8; N]>> {
    loop {
        let bytes = Zeroizing::new(random::<N>()?);
        // The first character stands for the first six bits, and `-` for 62.
        if bytes.first().is_some_and(|first| first >> 2 != 62) {
            return Ok(bytes);
        }
    }
}
