//! check and status: whether everything fits together, and how the daemon does.

use super::{Administration, Arguments, Peer, issuers};
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::health::Counts;
use crate::issuance;
use crate::logging::last_error;
use crate::store::CertificateState;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

/// Somebody who looks has perhaps just done something.
const OLDEST_COUNT: Duration = Duration::from_secs(1);
/// What ends next, of signers and of certificates each.
const MOST_ENDS: usize = 5;

/// Where the daemon listens; ports that were 0 are the real ones here.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// ACME over TLS.
    pub listen: SocketAddr,
    /// In the clear.
    pub plain_listen: SocketAddr,
    /// For who watches the daemon.
    pub metrics_listen: Option<SocketAddr>,
    /// Whether a proxy ends TLS.
    pub is_proxied: bool,
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
    let now = admin.now();
    let (issuers, signers) = admin.store.read(|read| {
        let issuers = read.issuers()?;
        let issuers = issuers.into_iter().map(|issuer| Ok((read.item(issuer.item)?, issuer)));
        Ok((issuers.collect::<Result<Vec<_>>>()?, read.signer_ends()?))
    })?;
    let counts = admin.health.counts(OLDEST_COUNT);
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
    let clock = admin.clock.trusted();
    let space = admin.store.space();
    let mut warnings = admin.issuance.warnings();
    warnings.extend(clock.as_ref().err().map(|e| e.to_string()));
    warnings.extend(admin.store.is_failing().then(|| "changes are refused, since the last commit failed".to_owned()));
    warnings.extend(
        space.filter(|space| space.is_low()).map(|space| format!("the disk has {} MiB left", space.free >> 20)),
    );
    let (database, wal) = admin.store.size();
    Ok(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "listen": admin.addresses.listen.to_string(),
        "plain_listen": admin.addresses.plain_listen.to_string(),
        "metrics_listen": admin.addresses.metrics_listen.map(|address| address.to_string()),
        "behind_proxy": admin.addresses.is_proxied,
        "started": admin.health.started().to_string(),
        "uptime_seconds": now.since(admin.health.started()).0,
        "clock": now.to_string(),
        "clock_trusted": clock.is_ok(),
        "issuers": issuers,
        "certificates": counts.as_deref().map(by_state),
        "next_signers_to_end": ends(signers.iter().map(|end| (&end.name, end.not_after))),
        "next_certificates_to_end": counts.as_deref().map(|counts| {
            ends(counts.next_ends.iter().map(|end| (&end.name, end.not_after)))
        }),
        "last_backup": counts.and_then(|counts| counts.last_backup).map(|at| at.to_string()),
        "disk_free_bytes": space.map(|space| space.free),
        "disk_size_bytes": space.map(|space| space.all),
        "database_bytes": database.saturating_add(wal),
        "last_error": last_error().map(|error| json!({ "at": error.at.to_string(), "line": error.line })),
        "warnings": warnings,
    }))
}

/// Of all issuers together.
fn by_state(counts: &Counts) -> Value {
    let sum = |at: usize| counts.certificates.iter().filter_map(|of| of.by_state.get(at)).sum::<u64>();
    let states = CertificateState::ALL.iter().enumerate();
    Value::Object(states.map(|(at, state)| (state.as_str().to_owned(), sum(at).into())).collect())
}

/// The soonest first.
fn ends<'n>(all: impl Iterator<Item = (&'n String, Time)>) -> Value {
    let mut all: Vec<_> = all.collect();
    all.sort_by_key(|(_, not_after)| *not_after);
    let shown = all.into_iter().take(MOST_ENDS);
    shown.map(|(name, not_after)| json!({ "name": name, "not_after": not_after.to_string() })).collect()
}
