//! The database of a backup on its way to be used again: what can only be wrong by now is withdrawn. What was decided since
//! the backup was made is taken over by `merge`.
//!
//! Serial numbers need nothing: they are 126 random bits each (`ca::Serial`), so that no count is set back. Row ids, which
//! are counted and stand in the URLs that accounts and CAA records name, go on far above whatever was given out.

use super::{AuditEntry, LimitKind, Read, Revocable, RevocablePlace, RevocationGrounds, Write, schema};
use crate::clock::{Span, Time};
use crate::error::{Error, Result};
use rusqlite::Connection;
use std::path::{Path, PathBuf};

/// What a hold takes: without these an account can neither order nor finish anything, and a person can lift them again.
const HELD: [LimitKind; 3] =
    [LimitKind::PendingOrders, LimitKind::PendingAuthorizations, LimitKind::CertificatesPerWeek];

/// The database of a backup, to be settled before a daemon opens it.
pub struct RestoredDatabase {
    pub(super) path: PathBuf,
    pub(super) db: Connection,
}

/// An account, for a person to decide about.
#[derive(Clone, Debug)]
pub struct ListedAccount {
    /// Its id.
    pub id: i64,
    /// Its issuer's name.
    pub issuer: String,
    /// Whom to ask.
    pub contacts: Vec<String>,
}

/// What a published list says to be revoked.
#[derive(Clone, Debug)]
pub struct RevokedElsewhere {
    /// The key version that signed the list.
    pub signer: i64,
    /// The list's number.
    pub number: Option<i64>,
    /// Serial number, when, grounds.
    pub entries: Vec<(Vec<u8>, Time, RevocationGrounds)>,
}

impl RestoredDatabase {
    /// Open it, bringing its schema up to date.
    ///
    /// # Errors
    /// Unavailable when it is from the future; Internal when it is no database.
    pub fn open(path: &Path) -> Result<RestoredDatabase> {
        Ok(RestoredDatabase { path: path.to_owned(), db: schema::open_copy(path)? })
    }

    /// Run a closure over it.
    ///
    /// # Errors
    /// The closure's own.
    pub fn read<T>(&self, work: impl FnOnce(&Read<'_>) -> Result<T>) -> Result<T> {
        work(&Read { db: &self.db })
    }

    /// Take over what a published list says, give back how much of it was not known.
    ///
    /// # Errors
    /// The database's.
    pub fn take_over_list(&self, list: &RevokedElsewhere) -> Result<usize> {
        let transaction = self.db.unchecked_transaction()?;
        let write = Write::new(&transaction);
        let mut count = 0usize;
        for (serial, at, grounds) in &list.entries {
            let what = write.revocable_by_serial(list.signer, serial)?;
            count = count.saturating_add(usize::from(write.insert_revocation(&what, grounds, *at)?));
        }
        write.execute(
            "UPDATE crls SET number = max(number, ?2) WHERE signer = ?1 AND shard = -2",
            (list.signer, list.number.unwrap_or(0)),
        )?;
        transaction.commit()?;
        Ok(count)
    }

    /// Withdraw what can only be wrong by now, let every list be signed again, and go on counting above what was given out.
    /// Gives the number of credentials that were withdrawn.
    ///
    /// # Errors
    /// The database's.
    pub fn settle(&self, is_all_known: bool, now: Time, audit: &AuditEntry) -> Result<usize> {
        let transaction = self.db.unchecked_transaction()?;
        let write = Write::new(&transaction);
        // They may have been used, or taken back; those that have expired too, since the clock may be ahead now.
        let withdraw = "UPDATE eabs SET revoked = ?1 WHERE revoked IS NULL AND used < uses";
        let withdrawn = write.execute(&format!("{withdraw} AND expires > ?1"), [now])?;
        write.execute(withdraw, [now])?;
        // Somebody may have called it off since.
        write.execute(
            "UPDATE items SET delete_at = max(delete_at, ?1) WHERE delete_at IS NOT NULL AND deleted IS NULL",
            [now.plus(Span::days(7))],
        )?;
        write.execute("UPDATE crls SET changes = max(changes, signed_changes) + 1", [])?;
        if !is_all_known {
            // They say less than those that were published since, and clients that have seen a higher number are right to
            // wonder. Without a signer there is no list then, rather than a former one.
            write.execute("UPDATE crls SET crl = NULL", [])?;
        }
        // The audit log goes on where it is, since it is a chain.
        write.execute("UPDATE sqlite_sequence SET seq = max(seq, ?1 * 1000) WHERE name <> 'audit'", [now])?;
        write.execute(
            "INSERT INTO sqlite_sequence (name, seq) SELECT t.name, ?1 * 1000 FROM sqlite_schema t
             WHERE t.type = 'table' AND t.sql LIKE '%AUTOINCREMENT%' AND t.name <> 'audit'
             AND NOT EXISTS (SELECT 1 FROM sqlite_sequence s WHERE s.name = t.name)",
            [now],
        )?;
        write.append_audit(now, audit)?;
        transaction.commit()?;
        Ok(withdrawn)
    }

    /// Hold every account that is not deactivated, until a person lifts its limits. Gives how many.
    ///
    /// # Errors
    /// The database's.
    pub fn hold_accounts(&self) -> Result<usize> {
        let transaction = self.db.unchecked_transaction()?;
        let write = Write::new(&transaction);
        let accounts: Vec<(i64, i64)> =
            write.all("SELECT id, issuer FROM accounts WHERE deactivated IS NULL AND deleted IS NULL", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        for (account, issuer) in &accounts {
            for kind in HELD {
                write.set_limit(*issuer, Some(*account), kind, Some(0))?;
            }
        }
        transaction.commit()?;
        Ok(accounts.len())
    }

    /// Items that are about to be deleted, each as a sentence.
    ///
    /// # Errors
    /// The database's.
    pub fn pending_deletions(&self) -> Result<Vec<String>> {
        self.read(|read| {
            read.all(
                "SELECT name FROM items WHERE delete_at IS NOT NULL AND deleted IS NULL ORDER BY name",
                [],
                |row| {
                    let name: String = row.get(0)?;
                    Ok(format!("{name} is deleted in seven days, unless set-item-state enables it"))
                },
            )
        })
    }

    /// Every account that can order.
    ///
    /// # Errors
    /// The database's.
    pub fn living_accounts(&self) -> Result<Vec<ListedAccount>> {
        self.read(|read| {
            read.listed_accounts(
                "SELECT n.id, i.name, n.contacts FROM accounts n JOIN items i ON i.id = n.issuer
                 WHERE n.deactivated IS NULL AND n.deleted IS NULL ORDER BY n.id",
            )
        })
    }

    /// Bring everything into the one file.
    ///
    /// # Errors
    /// Unavailable when it cannot be written.
    pub fn close(self) -> Result<()> {
        drop(self.db);
        schema::checkpoint(&self.path)?;
        for end in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(schema::beside(&self.path, end));
        }
        let synced = std::fs::File::open(&self.path).and_then(|file| file.sync_all());
        synced.map_err(|e| Error::unavailable(format!("{} cannot be synced: {e}", self.path.display())))
    }
}

impl Read<'_> {
    pub(super) fn listed_accounts(&self, sql: &str) -> Result<Vec<ListedAccount>> {
        self.all(sql, [], |row| {
            let contacts: String = row.get(2)?;
            Ok(ListedAccount {
                id: row.get(0)?,
                issuer: row.get(1)?,
                contacts: contacts.lines().map(str::to_owned).collect(),
            })
        })
    }

    /// What a key version signed with this serial number, as far as it is known here.
    fn revocable_by_serial(&self, signer: i64, serial: &[u8]) -> Result<Revocable> {
        if let Some(leaf) = self.certificate_by_serial(serial)?.filter(|leaf| leaf.signer == signer) {
            return Ok(leaf.revocable());
        }
        let sql = "SELECT not_after FROM ca_certificates WHERE signed_by = ?1 AND serial = ?2";
        let authority: Option<Time> = self.optional(sql, (signer, serial), |row| row.get(0))?;
        let (not_after, place) = match authority {
            Some(end) => (end, RevocablePlace::CaCertificate),
            // It ends no later than whoever signed it.
            None => {
                let sql = "SELECT max(not_after) FROM ca_certificates WHERE version = ?1";
                let end: Option<Time> = self.optional(sql, [signer], |row| row.get(0))?.flatten();
                (end.unwrap_or(Time::NEVER), RevocablePlace::Unknown)
            }
        };
        Ok(Revocable { signer, serial: serial.to_vec(), not_after, place })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_given_out_or_deleted_by_what_was_decided_on_the_day_of_the_backup() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        drop(schema::open(&path).unwrap());
        let restored = RestoredDatabase::open(&path).unwrap();
        restored
            .db
            .execute_batch(
                "PRAGMA foreign_keys = OFF;
                 INSERT INTO items (item_id, display_id, name, kind, created, modified, delete_at)
                 VALUES ('i', 'd', '/K', 'DFC_KEY', 1, 1, 5);
                 INSERT INTO eabs (kid, issuer, sealed_mac_key, created, expires, uses, used)
                 VALUES ('good', 1, x'', 1, 9999, 1, 0), ('expired', 1, x'', 1, 500, 1, 0), ('used', 1, x'', 1, 9999, 1, 1);",
            )
            .unwrap();
        let now = Time(1_000);
        assert_eq!(restored.settle(false, now, &AuditEntry::done("root", "restore", "x")), Ok(1), "one that was good");
        let read = |sql: &str| restored.db.query_row(sql, [], |row| row.get::<_, Option<i64>>(0)).unwrap();
        assert_eq!(read("SELECT revoked FROM eabs WHERE kid = 'expired'"), Some(1_000), "the clock may be ahead");
        assert_eq!(read("SELECT revoked FROM eabs WHERE kid = 'used'"), None);
        assert_eq!(
            read("SELECT delete_at FROM items"),
            Some(now.plus(Span::days(7)).0),
            "somebody can still call it off"
        );
        assert_eq!(restored.pending_deletions().unwrap().len(), 1);
    }
}
