//! dns-01 (RFC 8555, 8.4): the hash of the key authorization in a TXT record. Other challenges look for the same hash
//! under another name.

use super::dns::Record;
use super::probe::{Failure, Subject};
use crate::error::Class;
use crate::identifier::printable;
use crate::jose::base64url;
use crate::keys::sha256;
use simple_dns::TYPE;
use std::time::Instant;

pub(super) fn validate(subject: &Subject<'_>, deadline: Instant) -> Result<(), Failure> {
    look_for_hash(subject, &format!("_acme-challenge.{}", subject.job.identifier), deadline)
}

/// One of the TXT records of a name must be the hash; others may stand beside it.
pub(super) fn look_for_hash(subject: &Subject<'_>, name: &str, deadline: Instant) -> Result<(), Failure> {
    let expected = base64url::encode(&sha256(subject.key_authorization().as_bytes()));
    let texts = texts(subject, name, deadline)?;
    if texts.iter().any(|text| text.trim_ascii() == expected.as_bytes()) {
        return Ok(());
    }
    let why = match texts.first() {
        None => format!("TXT of {name}: there is none"),
        Some(first) => format!(
            "TXT of {name}: none of {} is the hash of the key authorization; the first is \"{}\"",
            texts.len(),
            shown(first)
        ),
    };
    Err(Failure::last(Class::IncorrectResponse, why))
}

/// The TXT records of a name.
pub(super) fn texts(subject: &Subject<'_>, name: &str, deadline: Instant) -> Result<Vec<Vec<u8>>, Failure> {
    let records = subject.prober.resolver.dns.lookup(name, TYPE::TXT, deadline)?;
    Ok(records
        .into_iter()
        .filter_map(|record| match record {
            Record::Text(text) => Some(text),
            _ => None,
        })
        .collect())
}

pub(super) fn shown(text: &[u8]) -> String {
    printable(&String::from_utf8_lossy(text.get(..64).unwrap_or(text)))
}
