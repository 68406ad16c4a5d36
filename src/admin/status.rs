//! status.

use super::{Administration, Arguments, Peer, issuers};
use crate::error::{Error, Result};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// Where the daemon listens; ports that were 0 are the real ones here.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// ACME over TLS.
    pub listen: SocketAddr,
    /// In the clear.
    pub plain_listen: SocketAddr,
}

/// Look whether everything fits together: the database, the audit log's chain, every key's fragments, every stored
/// certificate, and the CRLs.
pub(super) fn check(admin: &Administration, _: Peer, arguments: &mut Arguments) -> Result<Value> {
    arguments.finish()?;
    let now = admin.now();
    let mut findings = Vec::new();
    let mut found = |outcome: Result<()>| {
        if let Err(e) = outcome {
            findings.push(e.detail().to_owned());
        }
    };
    found(admin.clock.trusted().map(|_| ()));
    found(admin.store.read(|read| read.check_integrity()));
    found(admin.store.read(|read| read.verify_audit().map(|_| ())));
    let keys = admin.store.read(|read| {
        read.key_items()?.into_iter().map(|id| Ok((read.item(id)?.name, id))).collect::<Result<Vec<_>>>()
    })?;
    for (name, key) in keys {
        found(admin.issuance.check_fragments(key).map_err(|e| e.context(name)));
    }
    for finding in admin.issuance.check_records()? {
        found(Err(finding));
    }
    for overdue in admin.store.read(|read| read.overdue_crls(now))? {
        found(Err(Error::internal(format!("the CRL {overdue} is overdue; the log says why it could not be signed"))));
    }
    match findings.is_empty() {
        true => Ok(json!({ "findings": [] })),
        false => Err(Error::internal(findings.join("; "))),
    }
}

pub(super) fn show(admin: &Administration, _: Peer, arguments: &mut Arguments) -> Result<Value> {
    arguments.finish()?;
    let issuers = admin.store.read(|read| {
        let issuers = read.issuers()?;
        issuers.into_iter().map(|issuer| Ok((read.item(issuer.item)?, issuer))).collect::<Result<Vec<_>>>()
    })?;
    let issuers: Vec<Value> = issuers
        .iter()
        .map(|(item, issuer)| {
            json!({
                "name": item.name,
                "display_id": item.display_id,
                "state": item.state(),
                "acme_directory_url": issuers::directory_url(issuer, item),
            })
        })
        .collect();
    let mut warnings = admin.issuance.warnings();
    warnings.extend(admin.clock.trusted().err().map(|e| e.to_string()));
    Ok(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "listen": admin.addresses.listen.to_string(),
        "plain_listen": admin.addresses.plain_listen.to_string(),
        "issuers": issuers,
        "warnings": warnings,
    }))
}
