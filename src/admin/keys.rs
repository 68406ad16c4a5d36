//! create-dfc-key.

use super::{Administration, Arguments, Peer, done, item_path};
use crate::ca::{Attribute, ConfFile, KeyUsage, NameConstraints, parse_conf};
use crate::clock::Span;
use crate::der::from_base64;
use crate::error::{Error, Result};
use crate::identifier::{DnsName, Network};
use crate::issuance::{NewSigner, SelfSigned};
use crate::keys::{Hash, KeyAlgorithm, check_split_level};
use crate::store::ItemKind;
use serde_json::{Value, json};

const DEFAULT_SPLIT_LEVEL: i64 = 3;
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
    let name = item_path::parse("name", &arguments.required("name")?)?;
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
    let certificate = certificate(arguments)?;
    let item = super::items::new_item(name.clone(), ItemKind::Key, arguments)?;
    arguments.finish()?;
    // Before the key is generated, which can take seconds; the change below looks again.
    super::items::check_free(admin, &name)?;

    let new = NewSigner { algorithm, hash, split_level, certificate_format, certificate };
    let prepared = admin.issuance.prepare_signer(&new)?;
    let times: Vec<u64> =
        prepared.fragment_times().iter().map(|t| u64::try_from(t.as_nanos()).unwrap_or(u64::MAX)).collect();
    let now = admin.now();
    let entry = done(peer, "create-dfc-key", &name, format!("{algorithm}, {split_level} fragments"));
    prepared.keep(move |write| {
        let id = write.insert_item(&item, now)?;
        write.append_audit(now, &entry)?;
        Ok(id)
    })?;
    let mut reply = json!({ "fragment_results": times });
    let places = admin.issuance.fragment_places();
    if let Some(members) = reply.as_object_mut() {
        let mut warnings = vec![format!(
            "all {split_level} fragments are needed: one that is lost ends the key, so keep copies of them apart from each other"
        )];
        if places < split_level {
            warnings.push(format!(
                "the {split_level} fragments lie in fewer places ({places}); give the daemon --fragment-dir for others, so that one stolen disk gives no key"
            ));
        }
        members.insert("warnings".into(), warnings.into());
    }
    Ok(reply)
}

/// What is to stand in a self-signed certificate, if there is to be one: the conf file, then the flags over it.
fn certificate(arguments: &mut Arguments) -> Result<Option<SelfSigned>> {
    let wanted = arguments.boolean("generate-self-signed-certificate")?.unwrap_or(false);
    let days = arguments.number("certificate-ttl")?;
    let mut conf = conf_file(arguments)?;
    let mut given = days.is_some() || conf.is_some();
    let mut parts = conf.take().unwrap_or_default();
    for (flag, attribute) in SUBJECT_FLAGS {
        if let Some(value) = arguments.text(flag)? {
            parts.subject.clear(attribute);
            parts.subject.add(attribute, &value).map_err(|e| e.context(format!("--{flag}")))?;
            given = true;
        }
    }
    let constraints = name_constraints(arguments)?;
    given |= constraints.is_some();
    if !wanted {
        return if given {
            Err(Error::malformed("flags about the certificate need --generate-self-signed-certificate true"))
        } else {
            Ok(None)
        };
    }
    let days = days.ok_or_else(|| {
        Error::malformed("--certificate-ttl, in days, is needed with --generate-self-signed-certificate")
    })?;
    if !(1..=LONGEST_CERTIFICATE_DAYS).contains(&days) {
        return Err(Error::malformed(format!(
            "--certificate-ttl {days} is out of range; give 1 to {LONGEST_CERTIFICATE_DAYS} days"
        )));
    }
    if parts.subject.is_empty() {
        return Err(Error::malformed(
            "a CA certificate needs a subject; give --certificate-common-name or --conf-file-path",
        ));
    }
    Ok(Some(SelfSigned {
        lifetime: Span::days(days),
        subject: parts.subject,
        path_len: parts.path_len,
        key_usage: parts
            .key_usage
            .unwrap_or_else(|| vec![KeyUsage::DigitalSignature, KeyUsage::KeyCertSign, KeyUsage::CrlSign]),
        name_constraints: constraints.unwrap_or(parts.name_constraints),
    }))
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
