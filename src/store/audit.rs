//! The audit log: append-only rows, each carrying a hash over itself and the one before.

use super::Write;
use crate::clock::Time;
use crate::error::{Error, Result};
use ring::digest::{Context, SHA256};

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

    /// The same, with one sentence more.
    pub fn detail(self, detail: impl Into<String>) -> AuditEntry {
        AuditEntry { detail: detail.into(), ..self }
    }
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
                chained_hash(&before, now, entry),
            ),
        )?;
        Ok(())
    }
}

/// SHA-256 over the hash before and the fields, each with its length in front, so that no two rows read alike.
fn chained_hash(before: &[u8], now: Time, entry: &AuditEntry) -> Vec<u8> {
    let mut hash = Context::new(&SHA256);
    let at = now.0.to_be_bytes();
    let fields: [&[u8]; 7] = [
        before,
        &at,
        entry.actor.as_bytes(),
        entry.action.as_bytes(),
        entry.object.as_bytes(),
        entry.outcome.as_str().as_bytes(),
        entry.detail.as_bytes(),
    ];
    for field in fields {
        hash.update(&(field.len() as u64).to_be_bytes());
        hash.update(field);
    }
    hash.finish().as_ref().to_vec()
}
