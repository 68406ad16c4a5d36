//! list-acme-accounts, deactivate-acme-account.

use super::{Administration, Arguments, Peer, done, items};
use crate::error::{Error, Result};
use crate::near::NearNames;
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
    let found = match id.parse() {
        Ok(id) => admin.store.read(|read| read.account(id))?,
        Err(_) => None,
    };
    match found {
        Some(account) if account.issuer == issuer.id => Ok(account.id),
        Some(other) => {
            let whose = admin.store.read(|read| read.item(other.issuer))?.name;
            Err(Error::not_found(format!("account {id} is one of {whose}, not of {}", issuer.name)))
        }
        None => {
            let name = &issuer.name;
            let hint = near_accounts(admin, Some(issuer), id, &format!("list-acme-accounts -n {name} lists them"))?;
            Err(Error::not_found(format!("{name} has no account {id}; {hint}")))
        }
    }
}

/// The account of any issuer that --all-of-account says; deleted ones have certificates too.
pub(super) fn any_account(admin: &Administration, id: &str) -> Result<i64> {
    if let Ok(account) = id.parse()
        && admin.store.read(|read| read.was_account(account))?
    {
        return Ok(account);
    }
    let hint = near_accounts(admin, None, id, "list-acme-accounts lists those of an issuer")?;
    Err(Error::not_found(format!("there is no account {id}; {hint}")))
}

fn near_accounts(admin: &Administration, issuer: Option<&Item>, id: &str, otherwise: &str) -> Result<String> {
    let mut near = NearNames::to(id);
    let issuer = issuer.map(|item| item.id);
    admin.store.read(|read| read.each_account_id(issuer, |account| near.look_at(&account.to_string())))?;
    Ok(near.hint(otherwise))
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
