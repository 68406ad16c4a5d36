//! What all items have in common: describe-item, list-items, set-item-state, update-item, delete-item.

use super::{Administration, Arguments, Peer, done, issuers, item_path};
use crate::clock::Span;
use crate::der::{to_base64, to_pem};
use crate::error::{Error, Result};
use crate::keys::hex;
use crate::near::NearNames;
use crate::store::{Item, ItemFilter, ItemKind, NewItem};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// How long a key can be brought back after delete-item.
const KEY_DELETION_DELAY: Span = Span::days(7);

pub(super) fn describe(admin: &Administration, _: Peer, arguments: &mut Arguments) -> Result<Value> {
    let item = named_item(admin, arguments)?;
    arguments.finish()?;
    let mut members = common_members(&item);
    if item.kind != ItemKind::Certificate {
        let days = admin.store.read(|read| read.expiry_warnings(item.id))?;
        members.insert("expiration_event_in".into(), json!(days));
    }
    match item.kind {
        ItemKind::Key => describe_key(admin, &item, &mut members)?,
        ItemKind::Issuer => super::issuers::describe(admin, &item, &mut members)?,
        ItemKind::Certificate => describe_certificate(admin, &item, &mut members)?,
    }
    Ok(Value::Object(members))
}

pub(super) fn list(admin: &Administration, _: Peer, arguments: &mut Arguments) -> Result<Value> {
    let kind = match arguments.text("type")? {
        None => None,
        Some(text) => Some(ItemKind::parse(&text).ok_or_else(|| {
            Error::malformed(format!("--type {text} is not known; use DFC_KEY, PKI_CERT_ISSUER or CERTIFICATE"))
        })?),
    };
    let folder = match arguments.text("path")?.as_deref() {
        None | Some("/") => None,
        Some(path) => Some(format!("{}/", item_path::parse("path", path.trim_end_matches('/'))?)),
    };
    let filter = ItemFilter { kind, substring: arguments.text("filter")?, folder: folder.clone() };
    arguments.finish()?;
    let items = admin.store.read(|read| read.items(&filter))?;
    let start = folder.map_or(1, |f| f.len());
    let folders: BTreeSet<&str> = items
        .iter()
        .flat_map(|item| item.name.match_indices('/').filter_map(|(at, _)| item.name.get(..at)))
        .filter(|folder| folder.len() >= start)
        .collect();
    let shown: Vec<Value> = items.iter().map(|item| Value::Object(common_members(item))).collect();
    Ok(json!({ "items": shown, "folders": folders }))
}

pub(super) fn set_state(admin: &Administration, peer: Peer, arguments: &mut Arguments) -> Result<Value> {
    let item = named_item(admin, arguments)?;
    let enabled = match arguments.required("desired-state")?.to_ascii_lowercase().as_str() {
        "enabled" => true,
        "disabled" => false,
        other => {
            return Err(Error::malformed(format!("--desired-state {other} is not known; use Enabled or Disabled")));
        }
    };
    arguments.finish()?;
    if item.kind == ItemKind::Certificate {
        return Err(Error::malformed(format!("{} is a certificate, which is neither enabled nor disabled", item.name)));
    }
    let now = admin.now();
    let entry = done(peer, "set-item-state", &item.name, if enabled { "Enabled" } else { "Disabled" });
    admin.store.change(move |write| {
        write.set_item_enabled(item.id, enabled, now)?;
        write.append_audit(now, &entry)
    })?;
    Ok(json!({}))
}

pub(super) fn update(admin: &Administration, peer: Peer, arguments: &mut Arguments) -> Result<Value> {
    let item = named_item(admin, arguments)?;
    let description = arguments.text("description")?;
    let protection = arguments.boolean("delete-protection")?;
    let tags = arguments.list("tag")?;
    arguments.finish()?;
    if description.is_none() && protection.is_none() && tags.is_none() {
        return Err(Error::malformed("nothing to change; give --description, --delete-protection or --tag"));
    }
    let now = admin.now();
    let entry = done(peer, "update-item", &item.name, "");
    admin.store.change(move |write| {
        write.update_item(item.id, now, protection, description.as_deref(), tags.as_deref())?;
        write.append_audit(now, &entry)
    })?;
    Ok(json!({}))
}

pub(super) fn delete(admin: &Administration, peer: Peer, arguments: &mut Arguments) -> Result<Value> {
    let item = named_item(admin, arguments)?;
    let immediately = arguments.boolean("delete-immediately")?.unwrap_or(false);
    let force = arguments.boolean("force")?.unwrap_or(false);
    arguments.finish()?;
    if item.delete_protection {
        return Err(Error::conflict(format!(
            "{} is protected; lift it with update-item --delete-protection false",
            item.name
        )));
    }
    let now = admin.now();
    let (id, kind, name) = (item.id, item.kind, item.name.clone());
    let delay = kind == ItemKind::Key && !immediately;
    let delete_at = delay.then(|| now.plus(KEY_DELETION_DELAY));
    let detail = delete_at.map_or_else(|| "at once".to_owned(), |at| format!("at {at}"));
    let entry = done(peer, "delete-item", &name, detail);
    admin.store.change(move |write| {
        match kind {
            ItemKind::Key => {
                if let Some(issuer) = write.issuers_using_key(id)?.first() {
                    return Err(Error::conflict(format!(
                        "{name} is the signer key of {issuer}; delete that issuer first"
                    )));
                }
                let living = write.unexpired_certificates_of_key(id, now)?;
                check_nothing_living(&name, living, force)?;
            }
            ItemKind::Issuer => check_nothing_living(&name, write.unexpired_certificates(id, now)?, force)?,
            ItemKind::Certificate => {}
        }
        match delete_at {
            Some(at) => write.schedule_item_deletion(id, at, now)?,
            None => {
                write.delete_item(id, now)?;
                if kind == ItemKind::Key {
                    write.forget_private_keys(id)?;
                }
            }
        }
        write.append_audit(now, &entry)
    })?;
    match (kind, delete_at) {
        (ItemKind::Key, None) => admin.issuance.destroy_key(id),
        (ItemKind::Issuer, _) => admin.issuance.refresh_tls()?,
        _ => {}
    }
    let mut reply = Map::new();
    reply.insert("item_name".into(), item.name.into());
    if let Some(at) = delete_at {
        reply.insert("deletion_date".into(), at.to_string().into());
    }
    Ok(Value::Object(reply))
}

/// An item to be made, from the flags that all items share.
pub(super) fn new_item(name: String, kind: ItemKind, arguments: &mut Arguments) -> Result<NewItem> {
    Ok(NewItem {
        delete_protection: arguments.boolean("delete-protection")?.unwrap_or(false),
        description: arguments.text("description")?.unwrap_or_default(),
        tags: arguments.list("tag")?.unwrap_or_default(),
        ..NewItem::new(name, kind)?
    })
}

/// The name must not be taken.
pub(super) fn check_free(admin: &Administration, name: &str) -> Result<()> {
    match admin.store.read(|read| read.item_by_name(name))? {
        None => Ok(()),
        Some(taken) => Err(taken.name_is_taken()),
    }
}

/// The item that --name, --display-id or --item-id says.
pub(super) fn named_item(admin: &Administration, arguments: &mut Arguments) -> Result<Item> {
    let (name, display_id, item_id) =
        (arguments.text("name")?, arguments.text("display-id")?, arguments.text("item-id")?);
    match (name, display_id, item_id) {
        (Some(name), None, None) => item_of_name(admin, "name", &name),
        (None, Some(id), None) => admin.store.read(|read| read.item_by_display_id(&id))?.ok_or_else(|| {
            Error::not_found(format!("there is no item with the display id {id}; list-items --json lists them"))
        }),
        (None, None, Some(id)) => admin.store.read(|read| read.item_by_item_id(&id))?.ok_or_else(|| {
            Error::not_found(format!("there is no item with the item id {id}; list-items --json lists them"))
        }),
        (None, None, None) => Err(Error::malformed("--name is missing (or --display-id, or --item-id)")),
        _ => Err(Error::malformed("give one of --name, --display-id and --item-id")),
    }
}

/// The item of this name; the error names those that are nearly called so.
pub(super) fn item_of_name(admin: &Administration, flag: &str, name: &str) -> Result<Item> {
    let name = item_path::parse(flag, name)?;
    let found = admin.store.read(|read| read.item_by_name(&name))?;
    found.map_or_else(|| Err(unknown(admin, &name, None)), Ok)
}

/// The issuer that --cert-issuer-name says.
pub(super) fn issuer(admin: &Administration, arguments: &mut Arguments) -> Result<Item> {
    let flag = "cert-issuer-name";
    item_of_kind(admin, flag, &arguments.required(flag)?, ItemKind::Issuer)
}

/// The item of this name, which must be of this kind; the error names those of the kind that are nearly called so.
pub(super) fn item_of_kind(admin: &Administration, flag: &str, name: &str, kind: ItemKind) -> Result<Item> {
    let name = item_path::parse(flag, name)?;
    match admin.store.read(|read| read.item_by_name(&name))? {
        Some(item) if item.kind == kind => Ok(item),
        Some(other) => {
            let (is, needed) = (other.kind.as_str(), kind.as_str());
            Err(Error::malformed(format!("{name} is a {is}, not a {needed}; list-items --type {needed} lists those")))
        }
        None => Err(unknown(admin, &name, Some(kind))),
    }
}

/// The refusal of a name that is not there, with those that are near.
fn unknown(admin: &Administration, name: &str, kind: Option<ItemKind>) -> Error {
    let mut near = NearNames::to(name);
    let kinds = kind.map_or_else(|| ItemKind::ALL.to_vec(), |kind| vec![kind]);
    let looked = admin
        .store
        .read(|read| kinds.iter().try_for_each(|kind| read.each_item_name(*kind, |name| near.look_at(name))));
    if let Err(e) = looked {
        return e;
    }
    let (what, how) = match kind {
        None => ("item", String::new()),
        Some(kind) => (kind.as_str(), format!(" --type {}", kind.as_str())),
    };
    Error::not_found(format!(
        "there is no {what} {name}; {}",
        near.hint(&format!("list-items{how} lists what there is"))
    ))
}

fn common_members(item: &Item) -> Map<String, Value> {
    let members = json!({
        "item_id": item.item_id,
        "display_id": item.display_id,
        "item_name": item.name,
        "item_type": item.kind.as_str(),
        "item_state": item.state(),
        "item_metadata": item.description,
        "item_tags": item.tags,
        "creation_date": item.created.to_string(),
        "modification_date": item.modified.to_string(),
        "delete_protection": item.delete_protection,
    });
    let mut members = match members {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    if let Some(at) = item.delete_at {
        members.insert("deletion_date".into(), at.to_string().into());
    }
    members
}

fn describe_key(admin: &Administration, item: &Item, members: &mut Map<String, Value>) -> Result<()> {
    let key = admin.store.read(|read| read.key(item.id))?;
    members.insert("algorithm".into(), key.algorithm.into());
    members.insert("split_level".into(), key.split_level.into());
    members.insert("public_value".into(), to_pem("PUBLIC KEY", &key.current.spki).into());
    if let Some(certificate) = &key.current.certificate {
        let chain = || admin.issuance.chain_above(key.current.id).map(|chain| issuers::pem(&chain));
        let shown = if key.certificate_format == "der" { to_base64(certificate) } else { chain()? };
        members.insert("certificates".into(), shown.into());
    }
    if let Some((_, not_after)) = key.current.validity {
        members.insert("certificate_not_after".into(), not_after.to_string().into());
    }
    let versions = admin.store.read(|read| {
        let versions = read.key_versions(item.id)?;
        versions.into_iter().map(|v| Ok((read.ca_certificates(v.id)?, v))).collect::<Result<Vec<_>>>()
    })?;
    let versions: Vec<Value> = versions
        .iter()
        .map(|(certificates, version)| {
            let shown: Vec<Value> = certificates
                .iter()
                .map(|c| {
                    json!({
                        "kind": c.origin.as_str(),
                        "serial_number": hex(&c.serial),
                        "not_after": c.not_after.to_string(),
                        "certificate": to_pem("CERTIFICATE", &c.der),
                    })
                })
                .collect();
            json!({
                "version": version.version,
                "key_identifier": hex(&version.key_identifier),
                "in_use": version.id == key.current.id,
                "certificates": shown,
            })
        })
        .collect();
    members.insert("versions".into(), versions.into());
    Ok(())
}

fn describe_certificate(admin: &Administration, item: &Item, members: &mut Map<String, Value>) -> Result<()> {
    // An item that people protected or described stays after its last certificate.
    let Some(newest) = admin.store.read(|read| read.certificate_version(item.id, None))? else { return Ok(()) };
    members.insert("last_version".into(), newest.version.into());
    members.insert("certificates".into(), admin.issuance.pem_chain(&newest)?.into());
    Ok(())
}

fn check_nothing_living(name: &str, living: i64, force: bool) -> Result<()> {
    if living == 0 || force {
        return Ok(());
    }
    Err(Error::conflict(format!("{name} has {living} unexpired certificate(s); --force deletes it all the same")))
}
