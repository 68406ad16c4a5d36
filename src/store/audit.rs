//! The audit log: append-only rows, each carrying a hash over itself and the one before.

use super::{Read, Write, damaged};
use crate::clock::Time;
use crate::error::{Error, Result};
use ring::digest::{Context, SHA256};
use rusqlite::Row;

/// What was done or refused, by whom, over what. Names accounts and credentials by id, never secrets or contacts.
#[derive(Clone, Debug)]
pub struct AuditEntry {
    /// `uid 1000` for a command, `account 7` for ACME, `daemon` for what happens by itself.
    pub actor: String,
    /// The client's address, outside the hash.
    pub address: Option<String>,
    /// The command, or the ACME resource.
    pub action: &'static str,
    /// What it was done to.
    pub object: String,
    /// Whether it was done.
    pub outcome: Outcome,
    /// One sentence more, or nothing.
    pub detail: String,
}

impl AuditEntry {
    /// That something was done.
    pub fn done(actor: impl Into<String>, action: &'static str, object: impl Into<String>) -> AuditEntry {
        AuditEntry {
            actor: actor.into(),
            address: None,
            action,
            object: object.into(),
            outcome: Outcome::Done,
            detail: String::new(),
        }
    }

    /// The same, refused.
    pub fn refused(self, why: &Error) -> AuditEntry {
        AuditEntry { outcome: Outcome::Refused, detail: why.detail().to_owned(), ..self }
    }

    /// The same, asked for from this address.
    pub fn from(self, address: &str) -> AuditEntry {
        AuditEntry { address: Some(address.to_owned()), ..self }
    }

    /// What the hash covers beside the time.
    fn fields(&self) -> [&[u8]; 5] {
        [&self.actor, self.action, &self.object, self.outcome.as_str(), &self.detail].map(str::as_bytes)
    }

    /// The same, with one sentence more.
    pub fn detail(self, detail: impl Into<String>) -> AuditEntry {
        AuditEntry { detail: detail.into(), ..self }
    }
}

/// A row of the log.
#[derive(Clone, Debug)]
pub struct AuditRow {
    /// Row id, which counts upwards.
    pub id: i64,
    /// When.
    pub at: Time,
    /// By whom.
    pub actor: String,
    /// What.
    pub action: String,
    /// To what.
    pub object: String,
    /// `done` or `refused`.
    pub outcome: String,
    /// One sentence more, or nothing.
    pub detail: String,
    /// The client's address, outside the hash.
    pub address: Option<String>,
    hash: Vec<u8>,
}

/// Which rows of the log to read.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Only rows after this one.
    pub after: i64,
    /// Only by whom this is.
    pub actor: Option<String>,
    /// Only this action.
    pub action: Option<String>,
    /// Only over what contains this.
    pub object: Option<String>,
    /// Only `done` or `refused`.
    pub outcome: Option<String>,
    /// Only from this moment on.
    pub since: Option<Time>,
}

/// Whether something was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Outcome {
    Done,
    Refused,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Refused => "refused",
        }
    }
}

pub(super) const COLUMNS: &str = "id, at, actor, action, object, outcome, detail, address, hash";

impl Read<'_> {
    /// The rows that a filter lets through, the oldest first, at most `limit` of them.
    ///
    /// # Errors
    /// The database's.
    pub fn audit(&self, filter: &AuditFilter, limit: usize) -> Result<Vec<AuditRow>> {
        self.audit_where(filter, "ASC", limit)
    }

    /// The newest rows that a filter lets through, the oldest of them first.
    ///
    /// # Errors
    /// The database's.
    pub fn newest_audit(&self, filter: &AuditFilter, limit: usize) -> Result<Vec<AuditRow>> {
        let mut rows = self.audit_where(filter, "DESC", limit)?;
        rows.reverse();
        Ok(rows)
    }

    fn audit_where(&self, filter: &AuditFilter, order: &str, limit: usize) -> Result<Vec<AuditRow>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM audit WHERE id > ?1 AND (?2 IS NULL OR actor = ?2) AND (?3 IS NULL OR action = ?3)
             AND (?4 IS NULL OR instr(object, ?4) > 0) AND (?5 IS NULL OR outcome = ?5) AND (?6 IS NULL OR at >= ?6)
             ORDER BY id {order} LIMIT ?7"
        );
        let parameters =
            (filter.after, &filter.actor, &filter.action, &filter.object, &filter.outcome, filter.since, limit);
        self.all(&sql, parameters, row_from)
    }

    /// The id of the newest row, 0 when there is none.
    ///
    /// # Errors
    /// The database's.
    pub fn last_audit_id(&self) -> Result<i64> {
        Ok(self.optional("SELECT coalesce(max(id), 0) FROM audit", [], |row| row.get(0))?.unwrap_or(0))
    }

    /// Follow the chain of hashes from where tidying has left its beginning to the end, and give the number of its rows.
    ///
    /// # Errors
    /// Internal, naming the row, when one was changed, taken out or put in.
    pub fn verify_audit(&self) -> Result<i64> {
        let sql = "SELECT last, hash FROM audit_checkpoint";
        let checkpoint: Option<(i64, Vec<u8>)> = self.optional(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let (mut after, mut before) = checkpoint.ok_or_else(|| damaged("no checkpoint of the audit log"))?;
        let first = self.optional("SELECT min(id) FROM audit", [], |row| row.get::<_, Option<i64>>(0))?.flatten();
        if first.is_some_and(|first| first <= after) {
            return Err(Error::internal(format!(
                "the audit log was tidied up to row {after}, but has rows before that: they were put in outside of certwright"
            )));
        }
        let mut count = 0;
        loop {
            let rows = self.audit(&AuditFilter { after, ..AuditFilter::default() }, 1_000)?;
            if rows.is_empty() {
                // SQLite counts rows that were ever there in a table of its own.
                let sql = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'audit'";
                let ever: i64 = self.optional(sql, [], |row| row.get(0))?.unwrap_or(0);
                if ever > after {
                    return Err(Error::internal(format!(
                        "the audit log ends at row {after}, but there were {ever}: its end was removed outside of certwright"
                    )));
                }
                return Ok(count);
            }
            for row in rows {
                let fields = [&row.actor, &row.action, &row.object, &row.outcome, &row.detail];
                if chained_hash(&before, row.at, fields.map(|f| f.as_bytes())) != row.hash {
                    return Err(Error::internal(format!(
                        "the audit log does not hold together at row {} ({}): it, or the row before it, was changed or \
                         removed outside of certwright",
                        row.id, row.at
                    )));
                }
                after = row.id;
                before = row.hash;
                count = i64::saturating_add(count, 1);
            }
        }
    }

    /// How far a sink has been told what the log says; `None` when it never was.
    ///
    /// # Errors
    /// The database's.
    pub fn event_cursor(&self, sink: &str) -> Result<Option<i64>> {
        self.optional("SELECT last FROM event_cursors WHERE sink = ?1", [sink], |row| row.get(0))
    }
}

pub(super) fn row_from(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    Ok(AuditRow {
        id: row.get(0)?,
        at: row.get(1)?,
        actor: row.get(2)?,
        action: row.get(3)?,
        object: row.get(4)?,
        outcome: row.get(5)?,
        detail: row.get(6)?,
        address: row.get(7)?,
        hash: row.get(8)?,
    })
}

impl Write<'_> {
    /// Append a row; to be called in the same change as what it records.
    ///
    /// # Errors
    /// The database's.
    pub fn append_audit(&self, now: Time, entry: &AuditEntry) -> Result<()> {
        let before: Vec<u8> =
            self.optional("SELECT hash FROM audit ORDER BY id DESC LIMIT 1", [], |row| row.get(0))?.unwrap_or_default();
        self.insert(
            "INSERT INTO audit (at, actor, action, object, outcome, detail, address, hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            (
                now,
                &entry.actor,
                entry.action,
                &entry.object,
                entry.outcome.as_str(),
                &entry.detail,
                &entry.address,
                chained_hash(&before, now, entry.fields()),
            ),
        )?;
        Ok(())
    }

    /// Note how far a sink has been told.
    ///
    /// # Errors
    /// The database's.
    pub fn set_event_cursor(&self, sink: &str, last: i64) -> Result<()> {
        self.execute(
            "INSERT INTO event_cursors (sink, last) VALUES (?1, ?2) ON CONFLICT (sink) DO UPDATE SET last = ?2",
            (sink, last),
        )?;
        Ok(())
    }
}

/// SHA-256 over the hash before and the fields, each with its length in front, so that no two rows read alike.
fn chained_hash(before: &[u8], at: Time, fields: [&[u8]; 5]) -> Vec<u8> {
    let mut hash = Context::new(&SHA256);
    let at = at.0.to_be_bytes();
    for field in [before, &at].into_iter().chain(fields) {
        hash.update(&(field.len() as u64).to_be_bytes());
        hash.update(field);
    }
    hash.finish().as_ref().to_vec()
}
