//! ARI, renewal information (RFC 9773): when a certificate should be renewed, and which one an order replaces.

use super::issuer::IssuerContext;
use super::request::Authenticated;
use super::{Acme, Reply};
use crate::ca::ParsedCertificate;
use crate::clock::{Span, Time};
use crate::error::{Error, Result};
use crate::jose::base64url;
use crate::keys::random;
use crate::store::{Certificate, KeyVersion, OrderName, Read};
use serde_json::{Map, Value, json};

/// How often clients should ask: every six hours, give or take, so that they do not all ask at once.
const ASK_AGAIN: Span = Span(6 * 3_600);
/// Below this life a certificate is renewed in the middle, otherwise after two thirds.
const SHORT_LIFE: Span = Span::days(10);

impl Acme {
    /// GET renewalInfo, by anybody.
    pub(super) fn renewal_info(&self, issuer: &IssuerContext, identifier: &str) -> Result<Reply> {
        let unknown = || Error::not_found("this is not the identifier of a certificate of this issuer (RFC 9773, 4.1)");
        let found = self.store.read(|read| find(read, identifier))?;
        let certificate = found.filter(|c| c.issuer == issuer.item.id).ok_or_else(unknown)?;
        let revoked = self.store.read(|read| read.is_revoked(certificate.id))?;
        let soon = issuer.policy.renew_before.is_some_and(|moment| certificate.issued < moment);
        let (start, end) = match revoked || soon {
            true => past_window(&certificate, self.clock.now()),
            false => window(&certificate),
        };
        let jitter = i64::from(u16::from_be_bytes(random::<2>()?) % 1_200);
        let info = json!({ "suggestedWindow": { "start": start.to_string(), "end": end.to_string() } });
        Ok(Reply::json(200, &info)
            .header("Retry-After", ASK_AGAIN.0.saturating_sub(600).saturating_add(jitter).to_string()))
    }

    /// The certificate that an order says it replaces (RFC 9773, 5).
    pub(super) fn replaced_certificate(
        &self,
        request: &Authenticated<'_>,
        payload: &Map<String, Value>,
        names: &[&OrderName],
    ) -> Result<Option<i64>> {
        let identifier = match payload.get("replaces") {
            None => return Ok(None),
            Some(Value::String(identifier)) => identifier,
            Some(_) => return Err(Error::malformed("\"replaces\" is not text")),
        };
        let found = self.store.read(|read| find(read, identifier))?;
        let certificate = found
            .filter(|c| c.issuer == request.issuer.item.id)
            .ok_or_else(|| Error::malformed("\"replaces\" is not the identifier of a certificate of this issuer"))?;
        if certificate.account != Some(request.account.id) {
            return Err(Error::malformed("\"replaces\" names a certificate of another account"));
        }
        let replaced = ParsedCertificate::parse(&certificate.der)?.subject_alt_names()?;
        if !replaced.iter().any(|old| names.iter().any(|new| new.value == old.to_string())) {
            return Err(Error::malformed(
                "\"replaces\" names a certificate that has no name in common with this order",
            ));
        }
        Ok(Some(certificate.id))
    }

    /// The identifier of a certificate: key identifier of its issuer, and serial number (RFC 9773, 4.1).
    pub(super) fn certificate_identifier(&self, id: i64) -> Result<String> {
        self.store.read(|read| {
            let gone = || Error::internal(format!("certificate {id} is gone"));
            let certificate = read.certificate(id)?.ok_or_else(gone)?;
            Ok(identifier_of(&certificate, &read.key_version(certificate.signer)?))
        })
    }
}

fn identifier_of(certificate: &Certificate, signer: &KeyVersion) -> String {
    format!("{}.{}", base64url::encode(&signer.key_identifier), base64url::encode(&certificate.serial))
}

fn find(read: &Read<'_>, identifier: &str) -> Result<Option<Certificate>> {
    let Some((_, serial)) = identifier.split_once('.') else { return Ok(None) };
    let Ok(serial) = base64url::decode(serial) else { return Ok(None) };
    let Some(certificate) = read.certificate_by_serial(&serial)? else { return Ok(None) };
    let signer = read.key_version(certificate.signer)?;
    Ok(Some(certificate).filter(|c| identifier_of(c, &signer) == identifier))
}

/// Two per cent of the life around the moment of renewal.
fn window(certificate: &Certificate) -> (Time, Time) {
    let life = certificate.not_after.since(certificate.not_before);
    let until = if life < SHORT_LIFE { life.0 / 2 } else { (life.0 / 3).saturating_mul(2) };
    let moment = certificate.not_before.plus(Span(until));
    let margin = Span(life.0 / 100);
    (moment.minus(margin), moment.plus(margin))
}

/// What is revoked, or to be replaced for another reason, should have been renewed already.
fn past_window(certificate: &Certificate, now: Time) -> (Time, Time) {
    let end = now.minus(Span(60)).max(certificate.not_before.plus(Span(1)));
    (end.minus(Span::HOUR), end)
}
