//! dns-persist-01 (draft-ietf-acme-dns-persist): a lasting TXT record that names this CA and the account. No token.

use super::dns01::{shown, texts};
use super::issue_value::IssueValue;
use super::probe::{Failure, Subject};
use crate::error::Class;
use std::time::Instant;

pub(super) fn validate(subject: &Subject<'_>, deadline: Instant) -> Result<(), Failure> {
    let name = format!("_validation-persist.{}", subject.job.identifier);
    let texts = texts(subject, &name, deadline)?;
    let mut why = format!("TXT of {name}: there is none");
    for text in &texts {
        match judge(subject, text) {
            Ok(()) => return Ok(()),
            Err(reason) => why = format!("TXT of {name}, \"{}\": {reason}", shown(text)),
        }
    }
    Err(Failure::last(Class::IncorrectResponse, why))
}

fn judge(subject: &Subject<'_>, text: &[u8]) -> Result<(), &'static str> {
    let value =
        std::str::from_utf8(text).ok().and_then(IssueValue::parse).ok_or("it is not an issue-value (RFC 8659, 4.2)")?;
    if !subject.issuer_names().iter().any(|name| name.eq_ignore_ascii_case(&value.domain)) {
        return Err("it names another CA");
    }
    for parameter in ["accounturi", "policy", "persistuntil"] {
        // One that stands twice could be read either way.
        if value.has(parameter) && value.single(parameter).is_none() {
            return Err("it has a parameter twice");
        }
    }
    match value.single("accounturi") {
        Some(uri) if subject.account_urls().iter().any(|known| known == uri) => {}
        Some(_) => return Err("it names another account"),
        None => return Err("it names no account"),
    }
    // Whoever named one host has not given away all that is below it.
    let is_wide = subject.job.wildcard || subject.job.subdomains;
    if is_wide && !value.single("policy").is_some_and(|p| p.eq_ignore_ascii_case("wildcard")) {
        return Err("a wildcard, or a domain with all below it, needs policy=wildcard");
    }
    match value.single("persistuntil").map(str::parse::<i64>) {
        None => Ok(()),
        Some(Ok(until)) if subject.now.0 <= until => Ok(()),
        Some(Ok(_)) => Err("its persistUntil has passed"),
        Some(Err(_)) => Err("its persistUntil is not a number of seconds"),
    }
}
