//! get-certificate-value.

use super::{Administration, Arguments, Peer, items};
use crate::error::{Error, Result};
use crate::store::ItemKind;
use serde_json::{Value, json};

pub(super) fn value(admin: &Administration, _: Peer, arguments: &mut Arguments) -> Result<Value> {
    let item = items::item_of_kind(admin, "name", &arguments.required("name")?, ItemKind::Certificate)?;
    let version = arguments.number("version")?;
    arguments.finish()?;
    let certificate = admin.store.read(|read| read.certificate_version(item.id, version))?.ok_or_else(|| {
        let wanted = version.map_or_else(String::new, |v| format!(" of version {v}"));
        Error::not_found(format!("{} has no certificate{wanted}", item.name))
    })?;
    Ok(json!({ "certificate_pem": admin.issuance.pem_chain(&certificate)? }))
}
