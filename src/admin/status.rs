//! check and status.

use super::{Administration, Arguments, Peer, issuers};
use crate::error::{Error, Result};
use crate::issuance;
use serde_json::{Value, json};
use std::net::SocketAddr;

/// Where the daemon listens; ports that were 0 are the real ones here.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// ACME over TLS.
    pub listen: SocketAddr,
    /// In the clear.
    pub plain_listen: SocketAddr,
    /// For who watches the daemon.
    pub metrics_listen: Option<SocketAddr>,
}

/// Look whether everything fits together, over one snapshot.
pub(super) fn check(admin: &Administration, _: Peer, arguments: &mut Arguments) -> Result<Value> {
    arguments.finish()?;
    let now = admin.now();
    let clock = admin.clock.trusted().map(|_| ());
    let state = admin.store.read_at_length(|read| issuance::check(read, admin.issuance.places(), now));
    let findings: Vec<String> =
        [clock, state].into_iter().filter_map(Result::err).map(|e| e.detail().to_owned()).collect();
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
