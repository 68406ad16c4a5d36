//! audit.

use super::{Administration, Arguments, Peer};
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::housekeeping::event_of;
use crate::store::AuditFilter;
use serde_json::{Value, json};

const DEFAULT_LIMIT: i64 = 100;
const MOST: i64 = 10_000;

pub(super) fn show(admin: &Administration, _: Peer, arguments: &mut Arguments) -> Result<Value> {
    let verify = arguments.boolean("verify")?.unwrap_or(false);
    let after = arguments.number("after")?;
    let now = admin.now();
    let since = match arguments.text("since")? {
        None => None,
        Some(text) => Some(moment(&text, now)?),
    };
    let filter = AuditFilter {
        after: after.unwrap_or(0),
        actor: arguments.text("actor")?,
        action: arguments.text("action")?,
        object: arguments.text("object")?,
        outcome: arguments.text("outcome")?,
        since,
    };
    let limit = arguments.number("limit")?.unwrap_or(DEFAULT_LIMIT);
    arguments.finish()?;
    if !(1..=MOST).contains(&limit) {
        return Err(Error::malformed(format!("--limit {limit} is out of range; show 1 to {MOST} rows at a time")));
    }
    if filter.outcome.as_ref().is_some_and(|outcome| outcome != "done" && outcome != "refused") {
        return Err(Error::malformed("--outcome is done or refused"));
    }
    if verify {
        let rows = admin.store.read(|read| read.verify_audit())?;
        return Ok(json!({ "verified": rows }));
    }
    let limit = usize::try_from(limit).unwrap_or(1);
    let (rows, last) = admin.store.read(|read| {
        // Whoever follows the log reads on from where it was; everybody else wants the newest.
        let rows = if after.is_some() { read.audit(&filter, limit)? } else { read.newest_audit(&filter, limit)? };
        Ok((rows, read.last_audit_id()?))
    })?;
    let is_whole = rows.len() < limit;
    let last = rows.last().filter(|_| !is_whole && after.is_some()).map_or(last, |row| row.id);
    Ok(json!({ "rows": rows.iter().map(event_of).collect::<Vec<_>>(), "last": last }))
}

/// A moment, or how long ago.
fn moment(text: &str, now: Time) -> Result<Time> {
    match crate::clock::Span::parse(text) {
        Ok(ago) => Ok(now.minus(ago)),
        Err(_) => Time::parse(text).map_err(|e| e.context("--since")),
    }
}
