//! What happens to a signer key after it is made: export-signer-csr, import-signer-certificate, import-signer, rotate-key,
//! renew-signer-certificate, refresh-key.

use super::{Administration, Arguments, Peer, done, item_path, items, keys};
use crate::ca::crl_of_file;
use crate::clock::Time;
use crate::der::{from_base64, from_pem, to_pem};
use crate::error::{Error, Result};
use crate::issuance::{FormerSigner, Rotation};
use crate::keys::{check_split_level, private_key_from_pem};
use crate::store::{AuditEntry, AuditFilter, Item, ItemKind, Write};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

const MOST_BACKUPS_NAMED: usize = 10;

pub(super) fn export_csr(admin: &Administration, _: Peer, arguments: &mut Arguments) -> Result<Value> {
    let item = key(admin, arguments)?;
    arguments.finish()?;
    let request = admin.issuance.signer_request(item.id)?;
    Ok(json!({ "csr": to_pem("CERTIFICATE REQUEST", &request) }))
}

pub(super) fn import_certificate(admin: &Administration, peer: Peer, arguments: &mut Arguments) -> Result<Value> {
    let item = key(admin, arguments)?;
    let chain = chain_file(arguments)?;
    arguments.finish()?;
    let entry = done(peer, "import-signer-certificate", &item.name, "");
    admin.issuance.import_certificate(item.id, &chain, audited(admin, entry))?;
    Ok(json!({ "name": item.name }))
}

pub(super) fn import(admin: &Administration, peer: Peer, arguments: &mut Arguments) -> Result<Value> {
    admin.check_privileged(peer)?;
    let name = item_path::parse_new("name", &arguments.required("name")?)?;
    let pem =
        Zeroizing::new(text_file(arguments, "key-file")?.ok_or_else(|| Error::malformed("--key-file is missing"))?);
    let (algorithm, pkcs8) = private_key_from_pem(&pem).map_err(|e| e.context("--key-file"))?;
    let chain = chain_file(arguments)?;
    let crl = file(arguments, "crl")?.map(|bytes| crl_of_file(&bytes)).transpose().map_err(|e| e.context("--crl"))?;
    let without_crl = arguments.boolean("no-former-crl")?.unwrap_or(false);
    let split_level = check_split_level(arguments.number("split-level")?.unwrap_or(keys::DEFAULT_SPLIT_LEVEL))?;
    let item = items::new_item(name.clone(), ItemKind::Key, arguments)?;
    let warnings = keys::expiry_warnings(arguments)?;
    arguments.finish()?;
    match (&crl, without_crl) {
        (None, false) => {
            return Err(Error::malformed(
                "--crl is missing: the CRL that this CA published last, or what it revoked would be valid again; where there \
                 never was one, say --no-former-crl",
            ));
        }
        (Some(_), true) => return Err(Error::malformed("--crl and --no-former-crl do not go together")),
        _ => {}
    }
    items::check_free(admin, &name)?;
    let former = FormerSigner { algorithm, pkcs8, chain, crl, split_level };
    let prepared = admin.issuance.prepare_former_signer(&former)?;
    let entry = done(peer, "import-signer", &name, format!("{algorithm}, {split_level} fragments"));
    keys::keep(admin, prepared, item, warnings, split_level, entry)
}

pub(super) fn rotate(admin: &Administration, peer: Peer, arguments: &mut Arguments) -> Result<Value> {
    admin.check_privileged(peer)?;
    let item = key(admin, arguments)?;
    let finish = arguments.boolean("finish")?.unwrap_or(false);
    arguments.finish()?;
    if finish {
        let entry = done(peer, "rotate-key", &item.name, "finished");
        admin.issuance.finish_rotation(item.id, audited(admin, entry))?;
        return Ok(json!({ "name": item.name, "rotation": "finished" }));
    }
    let entry = done(peer, "rotate-key", &item.name, "begun");
    let (rotation, next) = match admin.issuance.rotate(item.id, audited(admin, entry))? {
        Rotation::CrossSigned => (
            "cross-signed",
            "clients need nothing yet; give them the new root (describe-item), then rotate-key --finish",
        ),
        Rotation::Signed => ("signed", "clients need nothing: the CA above signed the new key"),
        Rotation::WaitsForCertificate => (
            "waiting",
            "have the new key signed: export-signer-csr, then import-signer-certificate; the old one signs until then",
        ),
    };
    Ok(json!({ "name": item.name, "rotation": rotation, "next": next }))
}

pub(super) fn renew(admin: &Administration, peer: Peer, arguments: &mut Arguments) -> Result<Value> {
    let item = key(admin, arguments)?;
    let days = arguments
        .number("certificate-ttl")?
        .ok_or_else(|| Error::malformed("--certificate-ttl, in days, is missing"))?;
    arguments.finish()?;
    let lifetime = keys::lifetime_of(days)?;
    let entry = done(peer, "renew-signer-certificate", &item.name, format!("{days} days"));
    admin.issuance.renew_signer(item.id, lifetime, audited(admin, entry))?;
    Ok(json!({ "name": item.name }))
}

pub(super) fn refresh(admin: &Administration, peer: Peer, arguments: &mut Arguments) -> Result<Value> {
    let item = key(admin, arguments)?;
    let new_kek = arguments.boolean("new-kek")?.unwrap_or(false);
    let export = arguments.boolean("export-fragment")?.unwrap_or(false);
    let forget = arguments.boolean("forget-exported")?.unwrap_or(false);
    arguments.finish()?;
    if export || forget {
        admin.check_privileged(peer)?;
    }
    if forget {
        // The second step of an export: whoever asked for the fragments has written them down by now.
        admin.issuance.forget_last_fragments(item.id)?;
        let entry = done(peer, "refresh-key", &item.name, "forgot the fragment that was handed out");
        admin.store.change(audited(admin, entry))?;
        return Ok(json!({ "name": item.name }));
    }
    let detail = match (new_kek, export) {
        (false, false) => "new fragments",
        (true, false) => "new fragments of a new key-encryption key",
        (false, true) => "new fragments, one handed out",
        (true, true) => "new fragments of a new key-encryption key, one handed out",
    };
    let entry = done(peer, "refresh-key", &item.name, detail);
    admin.issuance.refresh_key(item.id, new_kek, audited(admin, entry))?;
    let mut reply = Map::new();
    reply.insert("name".into(), item.name.as_str().into());
    if new_kek {
        reply.insert("warnings".into(), json!([orphaned_backups(admin)?]));
    }
    if export {
        let fragments = admin.issuance.last_fragments(item.id)?;
        let shown: Vec<Value> =
            fragments.iter().map(|(file, text)| json!({ "file": file, "text": text.as_str() })).collect();
        reply.insert("fragments".into(), shown.into());
    }
    Ok(Value::Object(reply))
}

/// What another key-encryption key makes of the backups that were made before.
fn orphaned_backups(admin: &Administration) -> Result<String> {
    let filter = AuditFilter { action: Some("backup".into()), outcome: Some("done".into()), ..AuditFilter::default() };
    let backups = admin.store.read(|read| read.newest_audit(&filter, MOST_BACKUPS_NAMED))?;
    let times: Vec<String> = backups.iter().map(|row| row.at.to_string()).collect();
    let named = if times.is_empty() { String::new() } else { format!(", such as those of {}", times.join(", ")) };
    Ok(format!(
        "no earlier backup of this key{named} can be opened with the fragments of now, but only with those that it holds itself; \
         make a new backup"
    ))
}

fn key(admin: &Administration, arguments: &mut Arguments) -> Result<Item> {
    items::item_of_kind(admin, "name", &arguments.required("name")?, ItemKind::Key)
}

fn audited(
    admin: &Administration,
    entry: AuditEntry,
) -> impl FnOnce(&Write<'_>) -> Result<()> + Send + 'static + use<> {
    let now: Time = admin.now();
    move |write| write.append_audit(now, &entry)
}

/// The certificates of --chain-file, the signer's first.
fn chain_file(arguments: &mut Arguments) -> Result<Vec<Vec<u8>>> {
    let text = text_file(arguments, "chain-file")?.ok_or_else(|| Error::malformed("--chain-file is missing"))?;
    let chain = from_pem("CERTIFICATE", &text).map_err(|e| e.context("--chain-file"))?;
    if chain.is_empty() {
        return Err(Error::malformed("--chain-file holds no certificate in PEM"));
    }
    Ok(chain)
}

fn text_file(arguments: &mut Arguments, flag: &str) -> Result<Option<String>> {
    let Some(bytes) = file(arguments, flag)? else { return Ok(None) };
    String::from_utf8(bytes).map(Some).map_err(|_| Error::malformed(format!("--{flag} is not text; give it in PEM")))
}

/// The content of a file that the command opened itself.
pub(super) fn file(arguments: &mut Arguments, flag: &str) -> Result<Option<Vec<u8>>> {
    let path = arguments.text(flag)?;
    match (arguments.text(&format!("{flag}-data"))?, path) {
        (Some(data), _) => from_base64(&data).map(Some).map_err(|e| e.context(format!("{flag}-data"))),
        (None, Some(_)) => {
            Err(Error::malformed(format!("the command opens --{flag} itself and sends its content as {flag}-data")))
        }
        (None, None) => Ok(None),
    }
}
