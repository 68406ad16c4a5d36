//! check and status: whether everything fits together, and how the daemon does.

use super::{Administration, Arguments, Peer, issuers};
use crate::error::{Error, Result};
use crate::health::Counts;
use crate::issuance;
use crate::logging::last_error;
use crate::store::{CertificateState, End};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Somebody who looks has perhaps just done something.
const OLDEST_COUNT: Duration = Duration::from_secs(1);
/// And waits for it.
const PATIENCE: Duration = Duration::from_secs(1);
/// What ends next, of signers and of certificates each.
const MOST_ENDS: usize = 5;

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
    let counts = admin.health.counts(OLDEST_COUNT, PATIENCE);
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
    let (settings, started) = (&admin.settings, admin.health.started());
    let next_certificates = counts.as_deref().map(|counts| ends(&counts.next_ends));
    let last_backup = counts.as_deref().and_then(|counts| counts.last_backup);
    let last_error = last_error().map(|error| json!({ "at": error.at.to_string(), "line": error.line }));
    let members: [(&str, Value); 18] = [
        ("version", env!("CARGO_PKG_VERSION").into()),
        ("listen", settings.listen.to_string().into()),
        ("plain_listen", settings.plain_listen.to_string().into()),
        ("metrics_listen", settings.metrics_listen.map(|address| address.to_string()).into()),
        ("behind_proxy", (!settings.behind_proxy.is_empty()).into()),
        ("started", started.to_string().into()),
        ("uptime_seconds", now.since(started).0.into()),
        ("clock", now.to_string().into()),
        ("clock_trusted", clock.is_ok().into()),
        ("issuers", issuers.into()),
        ("certificates", counts.as_deref().map(by_state).into()),
        ("next_signers_to_end", ends(&signers)),
        ("next_certificates_to_end", next_certificates.into()),
        ("last_backup", last_backup.map(|at| at.to_string()).into()),
        ("disk_free_bytes", space.map(|space| space.free).into()),
        ("disk_size_bytes", space.map(|space| space.all).into()),
        ("database_bytes", database.saturating_add(wal).into()),
        ("last_error", last_error.into()),
    ];
    let mut reply: Map<String, Value> = members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    reply.insert("warnings".into(), warnings.into());
    Ok(reply.into())
}

/// Of all issuers together.
fn by_state(counts: &Counts) -> Value {
    let sum = |at: usize| counts.certificates.iter().filter_map(|of| of.by_state.get(at)).sum::<u64>();
    let states = CertificateState::ALL.iter().enumerate();
    Value::Object(states.map(|(at, state)| (state.as_str().to_owned(), sum(at).into())).collect())
}

/// The soonest first.
fn ends(all: &[End]) -> Value {
    let mut all: Vec<&End> = all.iter().collect();
    all.sort_by_key(|end| end.not_after);
    let shown = all.into_iter().take(MOST_ENDS);
    shown.map(|end| json!({ "name": end.name, "not_after": end.not_after.to_string() })).collect()
}
