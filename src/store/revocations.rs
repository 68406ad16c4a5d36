//! Revocations (RFC 5280, 5.3) and keys that are blocked for ever.

use super::{Read, Write};
use crate::clock::Time;
use crate::error::{Class, Error, Result};
use crate::keys::sha256;

impl Read<'_> {
    /// Whether a certificate is revoked.
    ///
    /// # Errors
    /// The database's.
    pub fn is_revoked(&self, certificate: i64) -> Result<bool> {
        let sql = "SELECT 1 FROM revocations WHERE certificate = ?1";
        Ok(self.optional(sql, [certificate], |_| Ok(()))?.is_some())
    }

    /// A key that is known to be compromised gets neither certificates nor accounts.
    ///
    /// # Errors
    /// BadPublicKey when the key with this SubjectPublicKeyInfo is blocked.
    pub fn check_not_blocked(&self, spki: &[u8]) -> Result<()> {
        match self.optional("SELECT 1 FROM blocked_keys WHERE hash = ?1", [sha256(spki)], |_| Ok(()))? {
            None => Ok(()),
            Some(()) => Err(Error::new(Class::BadPublicKey, "the key is known to be compromised; make a new one")),
        }
    }
}

impl Write<'_> {
    /// Revoke a certificate. False when it is revoked already.
    ///
    /// # Errors
    /// The database's.
    pub fn insert_revocation(&self, certificate: i64, reason: u8, by: &str, now: Time) -> Result<bool> {
        let changed = self.execute(
            "INSERT OR IGNORE INTO revocations (certificate, at, reason, revoked_by) VALUES (?1, ?2, ?3, ?4)",
            (certificate, now, reason, by),
        )?;
        Ok(changed == 1)
    }

    /// Block the key with this SubjectPublicKeyInfo for ever: its accounts are deactivated, and it gets nothing any more.
    /// False when it was blocked before.
    ///
    /// # Errors
    /// The database's.
    pub fn block_key(&self, spki: &[u8], why: &str, now: Time) -> Result<bool> {
        let changed = self.execute(
            "INSERT OR IGNORE INTO blocked_keys (hash, since, why) VALUES (?1, ?2, ?3)",
            (sha256(spki), now, why),
        )?;
        let accounts: Vec<i64> =
            self.all("SELECT id FROM accounts WHERE spki = ?1 AND deactivated IS NULL", [spki], |row| row.get(0))?;
        accounts.into_iter().try_for_each(|account| self.deactivate_account(account, now))?;
        Ok(changed == 1)
    }
}
