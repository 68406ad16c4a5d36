//! Revocations (RFC 5280, 5.3) and keys that are blocked for ever.

use super::{Read, Store, Write};
use crate::clock::Time;
use crate::error::{Class, Error, Result};
use crate::keys::sha256;
use rusqlite::Row;

/// The shard of CA certificates.
pub(super) const CA_SHARD: i64 = -1;
/// The list of everything.
pub(super) const COMPLETE_SHARD: i64 = -2;

/// What is to be revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocable {
    /// The key version that signed it.
    pub signer: i64,
    /// Its serial number.
    pub serial: Vec<u8>,
    /// Until when it would be valid.
    pub not_after: Time,
    /// Its place among the certificates that the store knows.
    pub place: RevocablePlace,
}

/// What kind of certificate is to be revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevocablePlace {
    /// A leaf: its row id, and the CRL that it names.
    Leaf(i64, Option<i64>),
    /// A CA certificate that we signed.
    CaCertificate,
    /// One that the store does not know: from a former CRL, or issued after the backup that was restored.
    Unknown,
}

/// A certificate that is revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Its serial number.
    pub serial: Vec<u8>,
    /// When.
    pub at: Time,
    /// Why (RFC 5280, 5.3.1).
    pub reason: u8,
    /// Since when it must not be trusted, where that is earlier.
    pub invalid_since: Option<Time>,
}

/// Why, since when and by whom something is revoked.
#[derive(Clone, Debug)]
pub struct RevocationGrounds {
    /// RFC 5280, 5.3.1.
    pub reason: u8,
    /// Since when it must not be trusted, where that is earlier (RFC 5280, 5.3.2).
    pub invalid_since: Option<Time>,
    /// By whom, as the audit log says it.
    pub by: String,
}

pub(super) const COLUMNS: &str = "serial, at, reason, invalid_since";

pub(super) fn revocation_from(row: &Row<'_>) -> rusqlite::Result<Revocation> {
    Ok(Revocation { serial: row.get(0)?, at: row.get(1)?, reason: row.get(2)?, invalid_since: row.get(3)? })
}

impl Store {
    /// A key that is known to be compromised gets neither certificates nor accounts. Where none is blocked, which is nearly
    /// everywhere, nothing is read for it.
    ///
    /// # Errors
    /// BadPublicKey when the key with this SubjectPublicKeyInfo is blocked.
    pub fn check_not_blocked(&self, spki: &[u8]) -> Result<()> {
        let any = |read: &Read<'_>| Ok(read.optional("SELECT 1 FROM blocked_keys LIMIT 1", [], |_| Ok(()))?.is_some());
        match *self.blocks_keys.read(self, (), any)? {
            true => self.read(|read| read.check_not_blocked(spki)),
            false => Ok(()),
        }
    }
}

impl Read<'_> {
    /// Whether a certificate is revoked.
    ///
    /// # Errors
    /// The database's.
    pub fn is_revoked(&self, certificate: i64) -> Result<bool> {
        let sql = "SELECT 1 FROM revocations WHERE certificate = ?1";
        Ok(self.optional(sql, [certificate], |_| Ok(()))?.is_some())
    }

    /// The revocation of the certificate that a key version signed with this serial number.
    ///
    /// # Errors
    /// The database's.
    pub fn revocation(&self, signer: i64, serial: &[u8]) -> Result<Option<Revocation>> {
        let sql = format!("SELECT {COLUMNS} FROM revocations WHERE signer = ?1 AND serial = ?2");
        self.optional(&sql, (signer, serial), revocation_from)
    }

    /// The same as [`Store::check_not_blocked`], in this snapshot.
    ///
    /// # Errors
    /// As there.
    pub fn check_not_blocked(&self, spki: &[u8]) -> Result<()> {
        match self.optional("SELECT 1 FROM blocked_keys WHERE hash = ?1", [sha256(spki)], |_| Ok(()))? {
            None => Ok(()),
            Some(()) => Err(Error::new(Class::BadPublicKey, "the key is known to be compromised; make a new one")),
        }
    }
}

impl Write<'_> {
    /// Revoke a certificate, and count it for the CRLs that have to say so. False when it is revoked already.
    ///
    /// # Errors
    /// The database's.
    pub fn insert_revocation(&self, what: &Revocable, grounds: &RevocationGrounds, at: Time) -> Result<bool> {
        let (certificate, shard) = match what.place {
            // One that names no list is on the complete one only.
            RevocablePlace::Leaf(id, shard) => (Some(id), Some(shard.unwrap_or(COMPLETE_SHARD))),
            RevocablePlace::CaCertificate => (None, Some(CA_SHARD)),
            RevocablePlace::Unknown => (None, None),
        };
        let sql = "INSERT INTO revocations (signer, serial, certificate, shard, not_after, at, reason, revoked_by,
             invalid_since) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (signer, serial) DO NOTHING";
        if !matches!(what.place, RevocablePlace::Leaf(..)) {
            // Chains are remembered, leaves are not.
            self.note_settings(sql);
        }
        let changed = self.execute_on_record(
            sql,
            (
                what.signer,
                &what.serial,
                certificate,
                shard,
                what.not_after,
                at,
                grounds.reason,
                &grounds.by,
                grounds.invalid_since,
            ),
        )?;
        if changed == 1 {
            self.execute(
                "UPDATE crls SET changes = changes + 1
                 WHERE signer = ?1 AND (shard = -2 OR shard = ?2 OR ?2 IS NULL)",
                (what.signer, shard),
            )?;
        }
        Ok(changed == 1)
    }

    /// Block the key with this SubjectPublicKeyInfo for ever: its accounts are deactivated, and it gets nothing any more.
    /// False when it was blocked before.
    ///
    /// # Errors
    /// The database's.
    pub fn block_key(&self, spki: &[u8], why: &str, now: Time) -> Result<bool> {
        let changed = self.execute(
            "INSERT INTO blocked_keys (hash, since, why) VALUES (?1, ?2, ?3)
             ON CONFLICT (hash) DO UPDATE SET listed = 0 WHERE listed = 1",
            (sha256(spki), now, why),
        )?;
        let accounts: Vec<i64> =
            self.all("SELECT id FROM accounts WHERE spki = ?1 AND deactivated IS NULL", [spki], |row| row.get(0))?;
        accounts.into_iter().try_for_each(|account| self.deactivate_account(account, now))?;
        Ok(changed == 1)
    }

    /// Block the keys that a file lists by the SHA-256 of their SubjectPublicKeyInfo, and no longer those that the file
    /// before it listed. A file that was read before is not looked at again.
    ///
    /// # Errors
    /// The database's.
    pub fn put_listed_keys(&self, file_hash: &[u8; 32], hashes: &[[u8; 32]], now: Time) -> Result<()> {
        let before =
            self.optional("SELECT hash FROM blocked_key_file WHERE id = 1", [], |row| row.get::<_, Vec<u8>>(0))?;
        if before.as_deref() == Some(file_hash.as_slice()) {
            return Ok(());
        }
        self.execute("DELETE FROM blocked_keys WHERE listed = 1", [])?;
        for hash in hashes {
            self.execute(
                "INSERT OR IGNORE INTO blocked_keys (hash, since, why, listed) VALUES (?1, ?2, 'listed', 1)",
                (hash, now),
            )?;
        }
        self.execute("INSERT OR REPLACE INTO blocked_key_file (id, hash) VALUES (1, ?1)", [file_hash])?;
        Ok(())
    }
}
