//! Whether the database still is what was written into it.

use super::Read;
use crate::clock::Time;
use crate::error::{Error, Result};

impl Read<'_> {
    /// Let SQLite look at every page and every reference.
    ///
    /// # Errors
    /// Internal, with the first thing that SQLite found.
    pub fn check_integrity(&self) -> Result<()> {
        let found: Vec<String> = self.all("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        if let Some(trouble) = found.iter().find(|line| *line != "ok") {
            return Err(Error::internal(format!("the database is damaged ({trouble}); restore it from a backup")));
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
}
