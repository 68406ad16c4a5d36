//! Whether the database still is what was written into it, and what else a check has to look at.

use super::{CrlShard, Read};
use crate::clock::Time;
use crate::error::{Class, Error, Result};

impl Read<'_> {
    /// Let SQLite look at every page and every reference.
    ///
    /// # Errors
    /// Internal, with the first things that SQLite found.
    pub fn check_integrity(&self) -> Result<()> {
        let damaged =
            |what: &str| Err(Error::internal(format!("the database is damaged ({what}); restore it from a backup")));
        // Where it cannot even begin it says so by failing.
        let found: Vec<String> = match self.all("PRAGMA integrity_check(5)", [], |row| row.get(0)) {
            Ok(found) => found,
            Err(e) if e.class() == Class::Unavailable => return Err(e),
            Err(e) => return damaged(e.detail()),
        };
        let trouble: Vec<&str> = found.iter().map(|line| line.trim()).filter(|line| *line != "ok").collect();
        if !trouble.is_empty() {
            return damaged(&trouble.join(", ").replace('\n', " "));
        }
        match self.optional("PRAGMA foreign_key_check", [], |row| row.get::<_, String>(0))? {
            None => Ok(()),
            Some(table) => Err(Error::internal(format!("the database is damaged: a row of {table} refers to none"))),
        }
    }

    /// The lists that are not good any more, as their path says them.
    ///
    /// # Errors
    /// The database's.
    pub fn overdue_crls(&self, now: Time) -> Result<Vec<String>> {
        self.all(
            "SELECT lower(hex(v.key_identifier)) || '/' || l.shard FROM crls l JOIN key_versions v ON v.id = l.signer
             WHERE l.next_update < ?1 AND v.sealed IS NOT NULL
             AND EXISTS (SELECT 1 FROM ca_certificates c WHERE c.version = v.id AND c.not_after >= ?1)",
            [now],
            |row| row.get(0),
        )
    }

    /// Every list that there is, with whether the signed one knows everything that happened to it.
    ///
    /// # Errors
    /// The database's.
    pub fn crl_places(&self) -> Result<Vec<(i64, CrlShard, bool)>> {
        self.all("SELECT signer, shard, changes = signed_changes FROM crls ORDER BY signer, shard", [], |row| {
            Ok((row.get(0)?, CrlShard::from_number(row.get(1)?), row.get(2)?))
        })
    }

    /// The keys of accounts above this row id, with their thumbprints.
    ///
    /// # Errors
    /// The database's.
    pub fn account_keys_above(&self, id: i64, limit: usize) -> Result<Vec<(i64, Vec<u8>, String)>> {
        let sql = "SELECT id, spki, thumbprint FROM accounts WHERE id > ?1 ORDER BY id LIMIT ?2";
        self.all(sql, (id, limit), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
    }
}
