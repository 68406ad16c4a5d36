//! set-limits and renew-soon: holding clients back, and calling them in.

use super::{Administration, Arguments, Peer, accounts, done, items};
use crate::error::{Error, Result};
use crate::store::LimitKind;
use serde_json::{Map, Value, json};

/// 0 lifts a limit; what no flag names stays.
pub(super) fn set(admin: &Administration, peer: Peer, arguments: &mut Arguments) -> Result<Value> {
    let issuer = items::issuer(admin, arguments)?;
    let account = match arguments.text("acme-account-id")? {
        None => None,
        Some(id) => Some(accounts::account_of(admin, &issuer, &id)?),
    };
    let mut changes = Vec::new();
    for kind in LimitKind::ALL {
        if let Some(value) = arguments.number(kind.name())? {
            if value < 0 {
                return Err(Error::malformed(format!("--{} {value}: give a number, 0 for no limit", kind.name())));
            }
            changes.push((kind, Some(value).filter(|v| *v > 0)));
        }
    }
    arguments.finish()?;
    if changes.is_empty() {
        let flags = LimitKind::ALL.map(|k| format!("--{}", k.name())).join(", ");
        return Err(Error::malformed(format!("nothing to change; give one of {flags}")));
    }
    let now = admin.now();
    let shown: Vec<String> = changes.iter().map(|(k, v)| format!("{} {}", k.name(), v.unwrap_or(0))).collect();
    let object = account.map_or_else(|| issuer.name.clone(), |id| format!("account {id}"));
    let entry = done(peer, "set-limits", object, shown.join(", "));
    let issuer_id = issuer.id;
    admin.store.change(move |write| {
        for (kind, value) in &changes {
            write.set_limit(issuer_id, account, *kind, *value)?;
        }
        write.append_audit(now, &entry)
    })?;
    let mut limits = Map::new();
    for kind in LimitKind::ALL {
        let value = admin.store.read(|read| read.limit(issuer.id, account, kind))?;
        limits.insert(kind.name().replace('-', "_"), value.into());
    }
    Ok(Value::Object(limits))
}

/// Pull the renewal window of everything that an issuer has issued into the past (RFC 9773).
pub(super) fn renew_soon(admin: &Administration, peer: Peer, arguments: &mut Arguments) -> Result<Value> {
    let issuer = items::issuer(admin, arguments)?;
    arguments.finish()?;
    let now = admin.now();
    let living = admin.store.read(|read| read.unexpired_certificates(issuer.id, now))?;
    let entry = done(peer, "renew-soon", &issuer.name, format!("{living} certificates"));
    admin.store.change(move |write| {
        // What is issued in this very second is new already.
        write.renew_soon(issuer.id, now)?;
        write.append_audit(now, &entry)
    })?;
    Ok(json!({ "certificates": living }))
}
