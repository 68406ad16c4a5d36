//! Notices of certificates whose end comes near: rows of the audit log, which events are made of.

use crate::clock::Time;
use crate::error::Result;
use crate::store::{AuditEntry, Store};

/// When people hear of the end of a signer although nobody asked, in days: from then on leaves are cut to it.
const UNASKED: [i64; 4] = [90, 30, 7, 1];

pub(super) fn notice(store: &Store, now: Time) -> Result<()> {
    let due = store.read(|read| {
        let mut due = read.due_signer_notices(now, &UNASKED)?;
        due.extend(read.due_leaf_notices(now)?);
        Ok(due)
    })?;
    for notice in due {
        let left = notice.not_after.since(now).0.div_euclid(86_400);
        let detail = format!("{} ends at {}, in {left} days", notice.subject.as_str(), notice.not_after);
        log::warn!(kind = notice.subject.as_str(), name = notice.name, days = left; "it ends soon");
        let entry = AuditEntry::done("daemon", "expiration-event", notice.name.as_str()).detail(detail);
        store.change(move |write| {
            write.insert_expiry_notice(&notice)?;
            write.append_audit(now, &entry)
        })?;
    }
    Ok(())
}
