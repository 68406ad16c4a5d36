//! get-certificate-value, list-certificates.

use super::revocation::parse_serial;
use super::{Administration, Arguments, Peer, items};
use crate::error::{Error, Result};
use crate::keys::hex;
use crate::store::{Certificate, CertificateFilter, CertificateState, Item, ItemKind, ListedCertificate};
use serde_json::{Value, json};

const DEFAULT_LIMIT: i64 = 100;
const MOST: i64 = 10_000;

pub(super) fn value(admin: &Administration, _: Peer, arguments: &mut Arguments) -> Result<Value> {
    let item = items::item_of_kind(admin, "name", &arguments.required("name")?, ItemKind::Certificate)?;
    let version = arguments.number("version")?;
    arguments.finish()?;
    let certificate = version_of(admin, &item, version)?;
    Ok(json!({ "certificate_pem": admin.issuance.pem_chain(&certificate)? }))
}

/// A version of a certificate item; the newest where none is named.
pub(super) fn version_of(admin: &Administration, item: &Item, version: Option<i64>) -> Result<Certificate> {
    let (found, newest) = admin
        .store
        .read(|read| Ok((read.certificate_version(item.id, version)?, read.certificate_version(item.id, None)?)))?;
    found.ok_or_else(|| match (version, newest) {
        (Some(version), Some(Certificate { version: Some(newest), .. })) => no_version(&item.name, version, newest),
        _ => Error::not_found(format!("{} has no certificate any more", item.name)),
    })
}

/// The refusal of a version that a certificate or a key does not have.
pub(super) fn no_version(name: &str, version: i64, newest: i64) -> Error {
    let which = if newest == 1 { "the only one is 1".to_owned() } else { format!("the newest is {newest}") };
    Error::not_found(format!("{name} has no version {version}; {which}"))
}

pub(super) fn list(admin: &Administration, _: Peer, arguments: &mut Arguments) -> Result<Value> {
    let now = admin.now();
    let issuer = match arguments.text("cert-issuer-name")? {
        None => None,
        Some(name) => Some(items::item_of_kind(admin, "cert-issuer-name", &name, ItemKind::Issuer)?.id),
    };
    let filter = CertificateFilter {
        name: arguments.text("name")?,
        serial: arguments.text("serial-number")?.map(|text| parse_serial(&text)).transpose()?,
        state: arguments.text("status")?.map(|text| parse_state(&text)).transpose()?,
        ends_before: arguments.duration("expires-within")?.map(|span| now.plus(span)),
        issuer,
    };
    let limit = arguments.number("limit")?.unwrap_or(DEFAULT_LIMIT);
    let before = arguments.number("before")?;
    arguments.finish()?;
    if !(1..=MOST).contains(&limit) {
        return Err(Error::malformed(format!(
            "--limit {limit} is out of range; list 1 to {MOST} certificates at a time"
        )));
    }
    let wanted = usize::try_from(limit).unwrap_or(1);
    // One more than is shown tells whether there are more.
    let mut found =
        admin.store.read(|read| read.certificates(&filter, before.as_ref(), wanted.saturating_add(1), now))?;
    let more = found.len() > wanted;
    found.truncate(wanted);
    let next = found.last().filter(|_| more).map(|last| last.certificate.id);
    Ok(json!({ "certificates": found.iter().map(shown).collect::<Vec<_>>(), "next": next }))
}

fn shown(listed: &ListedCertificate) -> Value {
    let certificate = &listed.certificate;
    json!({
        "name": listed.name,
        "version": certificate.version,
        "serial_number": hex(&certificate.serial),
        "status": listed.state.as_str(),
        "not_before": certificate.not_before.to_string(),
        "not_after": certificate.not_after.to_string(),
        "account_id": certificate.account.map(|id| id.to_string()),
        "revoked": listed.revoked.map(|(at, _)| at.to_string()),
        "reason": listed.revoked.map(|(_, reason)| reason),
    })
}

/// The words that people read, with or without their spaces.
fn parse_state(text: &str) -> Result<CertificateState> {
    let bare = |text: &str| text.to_lowercase().replace([' ', '-', '_'], "");
    CertificateState::ALL.into_iter().find(|state| bare(state.as_str()) == bare(text)).ok_or_else(|| {
        let known = CertificateState::ALL.map(CertificateState::as_str).join(", ");
        Error::malformed(format!("--status {text} is not known; known are {known}"))
    })
}
