//! Which fragments open what: of signers' private keys, and of the keys that seal values in the database.

use super::{Read, Write};
use crate::error::{Error, Result};

/// A key that seals values in the database.
#[derive(Clone, Debug)]
pub struct DataKey {
    /// What its fragment files are named after.
    pub fragments: String,
    /// How many fragments there are.
    pub split_level: usize,
    /// The sealed key.
    pub sealed: Vec<u8>,
}

impl Read<'_> {
    /// The fragments' names and number of every key version whose private key is forgotten.
    ///
    /// # Errors
    /// The database's.
    pub fn destroyed_keys(&self) -> Result<Vec<(String, usize)>> {
        self.all(
            "SELECT v.fragments, k.split_level FROM key_versions v JOIN keys k ON k.item = v.key WHERE v.sealed IS NULL",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
    }

    /// The fragments' names and number of every key version that can sign.
    ///
    /// # Errors
    /// The database's.
    pub fn fragments_in_use(&self) -> Result<Vec<(String, usize)>> {
        self.all(
            "SELECT v.fragments, k.split_level FROM key_versions v JOIN keys k ON k.item = v.key
             WHERE v.sealed IS NOT NULL",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
    }

    /// The sets of fragments that were being written or removed, with their number.
    ///
    /// # Errors
    /// The database's.
    pub fn passing_fragments(&self) -> Result<Vec<(String, usize)>> {
        self.all("SELECT fragments, split_level FROM passing_fragments", [], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// A data key by its name.
    ///
    /// # Errors
    /// The database's.
    pub fn data_key(&self, name: &str) -> Result<Option<DataKey>> {
        self.optional("SELECT fragments, split_level, sealed FROM data_keys WHERE name = ?1", [name], |row| {
            Ok(DataKey { fragments: row.get(0)?, split_level: row.get(1)?, sealed: row.get(2)? })
        })
    }
}

impl Write<'_> {
    /// Put a private key under another key-encryption key.
    ///
    /// # Errors
    /// Conflict when it was put under another one, or deleted, meanwhile.
    pub fn reseal_private_key(
        &self,
        version: i64,
        before: &str,
        fragments: &str,
        split_level: usize,
        sealed: &[u8],
    ) -> Result<()> {
        let changed = self.execute(
            "UPDATE key_versions SET fragments = ?3, sealed = ?4 WHERE id = ?1 AND fragments = ?2 AND sealed IS NOT NULL",
            (version, before, fragments, sealed),
        )?;
        if changed != 1 {
            return Err(Error::conflict("the key was changed meanwhile; try again"));
        }
        self.forget_passing_fragments(fragments)?;
        self.note_passing_fragments(before, split_level)
    }

    /// Note a set of fragments before it is written, or when it is no longer needed.
    ///
    /// # Errors
    /// The database's.
    pub fn note_passing_fragments(&self, fragments: &str, split_level: usize) -> Result<()> {
        self.execute(
            "INSERT OR IGNORE INTO passing_fragments (fragments, split_level) VALUES (?1, ?2)",
            (fragments, split_level),
        )?;
        Ok(())
    }

    /// A set of fragments is in use, or gone.
    ///
    /// # Errors
    /// The database's.
    pub fn forget_passing_fragments(&self, fragments: &str) -> Result<()> {
        self.execute("DELETE FROM passing_fragments WHERE fragments = ?1", [fragments])?;
        Ok(())
    }

    /// Forget the sealed private keys of an item that is deleted.
    ///
    /// # Errors
    /// The database's.
    pub fn forget_private_keys(&self, item: i64) -> Result<()> {
        self.execute("UPDATE key_versions SET sealed = NULL WHERE key = ?1", [item])?;
        Ok(())
    }

    /// Keep a data key.
    ///
    /// # Errors
    /// The database's.
    pub fn insert_data_key(&self, name: &str, key: &DataKey) -> Result<()> {
        self.execute(
            "INSERT INTO data_keys (name, fragments, split_level, sealed) VALUES (?1, ?2, ?3, ?4)",
            (name, &key.fragments, key.split_level, &key.sealed),
        )?;
        Ok(())
    }
}
