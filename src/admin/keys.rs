//! create-dfc-key.

use super::{Administration, Arguments, Peer, done, item_path};
use crate::ca::{Attribute, CaProfile, ConfFile, KeyUsage, NameConstraints, parse_conf};
use crate::clock::Span;
use crate::der::from_base64;
use crate::error::{Error, Result};
use crate::identifier::{DnsName, Network};
use crate::issuance::{CaWish, Certified, NewSigner, PreparedSigner};
use crate::keys::{Hash, KeyAlgorithm, check_split_level};
use crate::store::{AuditEntry, ItemKind, NewItem};
use serde_json::{Value, json};

pub(super) const DEFAULT_SPLIT_LEVEL: i64 = 3;
const LONGEST_CERTIFICATE_DAYS: i64 = 36_500;

/// The flags that say what stands in the certificate, and so need one.
const SUBJECT_FLAGS: [(&str, Attribute); 5] = [
    ("certificate-common-name", Attribute::CommonName),
    ("certificate-organization", Attribute::Organization),
    ("certificate-country", Attribute::Country),
    ("certificate-locality", Attribute::Locality),
    ("certificate-province", Attribute::Province),
];

pub(super) fn create(admin: &Administration, peer: Peer, arguments: &mut Arguments) -> Result<Value> {
    let name = item_path::parse_new("name", &arguments.required("name")?)?;
    let algorithm = KeyAlgorithm::parse(&arguments.required("alg")?)?;
    let hash = match arguments.text("hash-algorithm")? {
        None => algorithm.default_hash(),
        Some(_) if !algorithm.is_rsa() => {
            return Err(Error::malformed(format!(
                "--hash-algorithm is for RSA keys; {algorithm} has a hash of its own"
            )));
        }
        Some(text) => Hash::parse(&text)?,
    };
    let split_level = check_split_level(arguments.number("split-level")?.unwrap_or(DEFAULT_SPLIT_LEVEL))?;
    let certificate_format = match arguments.text("certificate-format")?.as_deref() {
        None | Some("pem") => "pem",
        Some("der") => "der",
        Some(other) => {
            return Err(Error::malformed(format!("--certificate-format {other} is not known; use pem or der")));
        }
    };
    let certified = certified(admin, arguments)?;
    let item = super::items::new_item(name.clone(), ItemKind::Key, arguments)?;
    let warnings = expiry_warnings(arguments)?;
    arguments.finish()?;
    // Before the key is generated, which can take seconds; the change below looks again.
    super::items::check_free(admin, &name)?;

    let new = NewSigner { algorithm, hash, split_level, certificate_format, certified };
    let prepared = admin.issuance.prepare_signer(&new)?;
    let entry = done(peer, "create-dfc-key", &name, format!("{algorithm}, {split_level} fragments"));
    keep(admin, prepared, item, warnings, split_level, entry)
}

/// Bring a prepared key into the store, and say what there is to say of its fragments.
pub(super) fn keep(
    admin: &Administration,
    prepared: PreparedSigner<'_>,
    item: NewItem,
    expiry_warnings: Option<Vec<i64>>,
    split_level: usize,
    entry: AuditEntry,
) -> Result<Value> {
    let times: Vec<u64> =
        prepared.fragment_times().iter().map(|t| u64::try_from(t.as_nanos()).unwrap_or(u64::MAX)).collect();
    let now = admin.now();
    let has_old_crl = prepared.has_old_crl();
    prepared.keep(move |write| {
        let id = write.insert_item(&item, now)?;
        write.set_expiry_warnings(id, &expiry_warnings.unwrap_or_default())?;
        write.append_audit(now, &entry)?;
        Ok(id)
    })?;
    let mut warnings = Vec::new();
    if has_old_crl {
        warnings.push(
            "the former CRL has ended; if a later one was published, what only that one revoked is valid again: revoke it \
             with revoke-certificate --serial-number"
                .to_owned(),
        );
    }
    warnings.push(format!(
        "all {split_level} fragments are needed: one that is lost ends the key, so keep copies of them apart from each other, \
         or all of them under lock and key by: certwright backup --to FILE --with-fragments"
    ));
    let places = admin.issuance.fragment_places();
    if places < split_level {
        warnings.push(format!(
            "the {split_level} fragments lie in fewer places ({places}); give the daemon --fragment-dir for others, so that one stolen disk gives no key"
        ));
    }
    Ok(json!({ "fragment_results": times, "warnings": warnings }))
}

/// How many days before an end somebody wants to hear of it.
pub(super) fn expiry_warnings(arguments: &mut Arguments) -> Result<Option<Vec<i64>>> {
    let Some(list) = arguments.list("expiration-event-in")? else { return Ok(None) };
    let wrong =
        |text: &String| Error::malformed(format!("--expiration-event-in {text} is not a number of days from 1 to 365"));
    let parse = |text: &String| {
        let days = text.trim_end_matches('d').parse::<i64>().map_err(|_| wrong(text))?;
        if (1..=365).contains(&days) { Ok(days) } else { Err(wrong(text)) }
    };
    list.iter().map(parse).collect::<Result<Vec<_>>>().map(Some)
}

/// Who certifies the key, and what stands in the certificate: the conf file, then the flags over it.
fn certified(admin: &Administration, arguments: &mut Arguments) -> Result<Certified> {
    let by_itself = arguments.boolean("generate-self-signed-certificate")?.unwrap_or(false);
    let signed_by = arguments.text("signed-by")?;
    let days = arguments.number("certificate-ttl")?;
    let conf = conf_file(arguments)?;
    let mut is_wished = conf.is_some();
    let mut parts = conf.unwrap_or_default();
    for (flag, attribute) in SUBJECT_FLAGS {
        if let Some(value) = arguments.text(flag)? {
            parts.subject.clear(attribute);
            parts.subject.add(attribute, &value).map_err(|e| e.context(format!("--{flag}")))?;
            is_wished = true;
        }
    }
    let constraints = name_constraints(arguments)?;
    is_wished |= constraints.is_some();
    let path_len = match (&signed_by, parts.path_len) {
        // A CA below another needs none below itself, unless somebody says so.
        (Some(_), None) => Some(0),
        (_, path_len) => path_len,
    };
    let subject = parts.subject.to_der();
    let profile = CaProfile {
        path_len,
        key_usage: parts
            .key_usage
            .unwrap_or_else(|| vec![KeyUsage::DigitalSignature, KeyUsage::KeyCertSign, KeyUsage::CrlSign]),
        name_constraints: constraints.unwrap_or(parts.name_constraints).to_der(),
    };
    let wish = CaWish { subject, profile };
    if is_wished && parts.subject.is_empty() {
        return Err(no_subject());
    }
    match (by_itself, signed_by) {
        (true, Some(_)) => {
            Err(Error::malformed("--signed-by does not go with --generate-self-signed-certificate; give one of them"))
        }
        (false, None) if days.is_some() => Err(Error::malformed(
            "--certificate-ttl needs --generate-self-signed-certificate true or --signed-by; another CA decides by itself",
        )),
        (false, None) => Ok(Certified::Later(is_wished.then_some(wish))),
        _ if parts.subject.is_empty() => Err(no_subject()),
        (true, None) => Ok(Certified::ByItself(wish, lifetime(days, "--generate-self-signed-certificate")?)),
        (false, Some(name)) => {
            let above = super::items::item_of_kind(admin, "signed-by", &name, ItemKind::Key)?;
            Ok(Certified::By(above.id, wish, lifetime(days, "--signed-by")?))
        }
    }
}

fn no_subject() -> Error {
    Error::malformed("a CA certificate needs a subject; give --certificate-common-name or --conf-file-path")
}

fn lifetime(days: Option<i64>, flag: &str) -> Result<Span> {
    let missing = || Error::malformed(format!("--certificate-ttl, in days, is needed with {flag}"));
    lifetime_of(days.ok_or_else(missing)?)
}

/// How long a CA certificate is to last.
pub(super) fn lifetime_of(days: i64) -> Result<Span> {
    if (1..=LONGEST_CERTIFICATE_DAYS).contains(&days) {
        Ok(Span::days(days))
    } else {
        Err(Error::malformed(format!(
            "--certificate-ttl {days} is out of range; give 1 to {LONGEST_CERTIFICATE_DAYS} days"
        )))
    }
}

fn conf_file(arguments: &mut Arguments) -> Result<Option<ConfFile>> {
    let path = arguments.text("conf-file-path")?;
    match (arguments.text("conf-file-data")?, path) {
        (Some(data), path) => {
            let bytes = from_base64(&data).map_err(|e| e.context("conf-file-data"))?;
            let file = path.map_or_else(|| "the conf file".to_owned(), |p| crate::identifier::printable(&p));
            parse_conf(&file, &bytes).map(Some)
        }
        (None, Some(_)) => {
            Err(Error::malformed("the command opens --conf-file-path itself and sends its content as conf-file-data"))
        }
        (None, None) => Ok(None),
    }
}

fn name_constraints(arguments: &mut Arguments) -> Result<Option<NameConstraints>> {
    let domains = arguments.list("permitted-domains")?;
    let networks = arguments.list("permitted-ips")?;
    if domains.is_none() && networks.is_none() {
        return Ok(None);
    }
    for (flag, list) in [("permitted-domains", &domains), ("permitted-ips", &networks)] {
        if list.as_ref().is_some_and(Vec::is_empty) {
            return Err(Error::malformed(format!("--{flag} is empty; name what is permitted, or leave it out")));
        }
    }
    let domain = |text: &String| match DnsName::parse(text) {
        Ok(name) if name.is_wildcard() => Err(Error::malformed(format!(
            "--permitted-domains {text}: write {} alone; what lies below is permitted too",
            name.base()
        ))),
        parsed => parsed.map_err(|e| e.context("--permitted-domains")),
    };
    Ok(Some(NameConstraints {
        domains: domains.unwrap_or_default().iter().map(domain).collect::<Result<_>>()?,
        networks: networks
            .unwrap_or_default()
            .iter()
            .map(|text| Network::parse(text).map_err(|e| e.context("--permitted-ips")))
            .collect::<Result<_>>()?,
    }))
}
