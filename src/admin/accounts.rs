//! list-acme-accounts, deactivate-acme-account.

use super::{Administration, Arguments, Peer, done, items};
use crate::error::{Error, Result};
use crate::store::{Account, Item};
use serde_json::{Value, json};

pub(super) fn list(admin: &Administration, _: Peer, arguments: &mut Arguments) -> Result<Value> {
    let issuer = items::issuer(admin, arguments)?;
    arguments.finish()?;
    let accounts = admin.store.read(|read| read.accounts(issuer.id))?;
    let shown: Vec<Value> = accounts.iter().map(|(account, orders)| shown(account, *orders)).collect();
    Ok(json!({ "accounts": shown }))
}

pub(super) fn deactivate(admin: &Administration, peer: Peer, arguments: &mut Arguments) -> Result<Value> {
    let issuer = items::issuer(admin, arguments)?;
    let id = arguments.required("acme-account-id")?;
    let delete = arguments.boolean("delete-account")?.unwrap_or(false);
    arguments.finish()?;
    let account = account_of(admin, &issuer, &id)?;
    let now = admin.now();
    let entry =
        done(peer, "deactivate-acme-account", format!("account {account}"), if delete { "deleted" } else { "" });
    admin.store.change(move |write| {
        if delete {
            write.delete_account(account, now)?;
        } else {
            write.deactivate_account(account, now)?;
        }
        write.append_audit(now, &entry)
    })?;
    Ok(json!({}))
}

/// The account of an issuer that an id names.
pub(super) fn account_of(admin: &Administration, issuer: &Item, id: &str) -> Result<i64> {
    let unknown = || Error::not_found(format!("{} has no account {id}; list-acme-accounts shows them", issuer.name));
    let account: i64 = id.parse().map_err(|_| unknown())?;
    match admin.store.read(|read| read.account(account))? {
        Some(found) if found.issuer == issuer.id => Ok(account),
        _ => Err(unknown()),
    }
}

/// The account of any issuer that --all-of-account says; deleted ones have certificates too.
pub(super) fn any_account(admin: &Administration, id: &str) -> Result<i64> {
    let unknown = || Error::not_found(format!("there is no account {id}; list-acme-accounts shows those of an issuer"));
    let account: i64 = id.parse().map_err(|_| unknown())?;
    if admin.store.read(|read| read.was_account(account))? { Ok(account) } else { Err(unknown()) }
}

fn shown(account: &Account, orders: i64) -> Value {
    json!({
        "account_id": account.id.to_string(),
        "key_digest": account.thumbprint,
        "status": account.status().as_str(),
        "contacts": account.contacts,
        "created": account.created.to_string(),
        "eab_kid": account.eab,
        "last_use": account.last_used.to_string(),
        "orders": orders,
    })
}
