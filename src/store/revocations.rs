//! Revocations (RFC 5280, 5.3) and keys that are blocked for ever.

use super::{Read, Write};
use crate::clock::Time;
use crate::error::{Class, Error, Result};

/// That a certificate is revoked, and why.
#[derive(Clone, Debug)]
pub struct Revocation {
    /// Since when.
    pub at: Time,
    /// The code of RFC 5280, 5.3.1.
    pub reason: u8,
}

impl Read<'_> {
    /// Whether a certificate is revoked.
    ///
    /// # Errors
    /// The database's.
    pub fn revocation(&self, certificate: i64) -> Result<Option<Revocation>> {
        self.optional("SELECT at, reason FROM revocations WHERE certificate = ?1", [certificate], |row| {
            Ok(Revocation { at: Time(row.get(0)?), reason: row.get(1)? })
        })
    }

    /// Whether a key, given by the SHA-256 of its SubjectPublicKeyInfo, is blocked.
    ///
    /// # Errors
    /// The database's.
    pub fn is_blocked_key(&self, hash: &[u8]) -> Result<bool> {
        Ok(self.optional("SELECT 1 FROM blocked_keys WHERE hash = ?1", [hash], |_| Ok(()))?.is_some())
    }
}

impl Write<'_> {
    /// Revoke a certificate, once.
    ///
    /// # Errors
    /// AlreadyRevoked when it is.
    pub fn insert_revocation(&self, certificate: i64, reason: u8, by: &str, now: Time) -> Result<()> {
        let changed = self.execute(
            "INSERT OR IGNORE INTO revocations (certificate, at, reason, revoked_by) VALUES (?1, ?2, ?3, ?4)",
            (certificate, now.0, reason, by),
        )?;
        if changed == 1 { Ok(()) } else { Err(Error::new(Class::AlreadyRevoked, "the certificate is revoked already")) }
    }

    /// Block a key for ever.
    ///
    /// # Errors
    /// The database's.
    pub fn block_key(&self, hash: &[u8], why: &str, now: Time) -> Result<()> {
        self.execute("INSERT OR IGNORE INTO blocked_keys (hash, since, why) VALUES (?1, ?2, ?3)", (hash, now.0, why))?;
        Ok(())
    }
}
