//! CAA (RFC 8659, with the parameters of RFC 8657): whether a domain lets this CA issue, asked when a name is validated.
//! No answer is an error, not a permission.

use super::dns::Record;
use super::issue_value::IssueValue;
use super::probe::{Failure, Subject};
use crate::error::Class;
use crate::identifier::printable;
use simple_dns::TYPE;
use std::time::Instant;

/// The records that count are those of the name, or of the nearest domain above it that has any.
pub(super) fn check(subject: &Subject<'_>, deadline: Instant) -> Result<(), Failure> {
    let mut domain = Some(subject.job.identifier.as_str());
    while let Some(name) = domain {
        let records = subject.prober.resolver.dns.lookup(name, TYPE::CAA, deadline)?;
        if !records.is_empty() {
            return judge(subject, &records).map_err(|why| Failure::last(Class::Caa, format!("CAA of {name}: {why}")));
        }
        domain = name.split_once('.').map(|(_, parent)| parent);
    }
    Ok(())
}

fn judge(subject: &Subject<'_>, records: &[Record]) -> Result<(), String> {
    let mut issue = Vec::new();
    let mut issue_wild = Vec::new();
    for record in records {
        let Record::Caa { critical, tag, value } = record else { continue };
        match tag.as_str() {
            "issue" => issue.push(value),
            "issuewild" => issue_wild.push(value),
            // What to do when somebody else issues; nothing that concerns us here.
            "iodef" | "issuemail" | "issuevmc" | "contactemail" | "contactphone" => {}
            other if *critical => {
                return Err(format!("the critical property \"{}\" is not understood", printable(other)));
            }
            _ => {}
        }
    }
    let relevant = if subject.job.wildcard && !issue_wild.is_empty() { issue_wild } else { issue };
    if relevant.is_empty() || relevant.iter().any(|value| permits(subject, value)) {
        return Ok(());
    }
    let first = relevant.first().map(|v| printable(&String::from_utf8_lossy(v))).unwrap_or_default();
    let names: Vec<String> = subject.policy().caa_identities.iter().map(ToString::to_string).collect();
    Err(format!("it permits \"{first}\", not {}", names.join(" or ")))
}

fn permits(subject: &Subject<'_>, value: &[u8]) -> bool {
    let Some(value) = std::str::from_utf8(value).ok().and_then(IssueValue::parse) else { return false };
    let ours = subject.policy().caa_identities.iter().any(|name| name.as_str().eq_ignore_ascii_case(&value.domain));
    let account = !value.has("accounturi")
        || value.single("accounturi").is_some_and(|uri| subject.account_urls().iter().any(|known| known == uri));
    let method = !value.has("validationmethods")
        || value.single("validationmethods").is_some_and(|methods| methods.split(',').any(|m| m == subject.job.kind));
    ours && account && method
}
