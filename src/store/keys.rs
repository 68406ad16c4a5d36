//! Signer keys and their versions, and the keys that seal values in the database.

use super::{Read, Write};
use crate::clock::Time;
use crate::error::{Error, Result};
use rusqlite::{Row, params};

/// A signer key; what changes with rotation is in its versions.
#[derive(Clone, Debug)]
pub struct Key {
    /// The item's row id.
    pub item: i64,
    /// Name of the algorithm.
    pub algorithm: String,
    /// Name of the hash.
    pub hash: String,
    /// How many fragments there are.
    pub split_level: usize,
    /// How the certificate is shown: `pem` or `der`.
    pub certificate_format: String,
    /// The newest version.
    pub current: KeyVersion,
}

/// A version of a signer key.
#[derive(Clone, Debug)]
pub struct KeyVersion {
    /// Row id, which certificates refer to.
    pub id: i64,
    /// The item's row id.
    pub key: i64,
    /// Counts from 1.
    pub version: i64,
    /// What its fragment files are named after.
    pub fragments: String,
    /// The sealed private key; `None` once it is deleted.
    pub sealed: Option<Vec<u8>>,
    /// The SubjectPublicKeyInfo.
    pub spki: Vec<u8>,
    /// The subject key identifier of its certificates.
    pub key_identifier: Vec<u8>,
    /// Its CA certificate, if it has one.
    pub certificate: Option<Vec<u8>>,
    /// The life of that certificate.
    pub validity: Option<(Time, Time)>,
}

/// A key to be made, with its first version.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Name of the algorithm.
    pub algorithm: &'static str,
    /// Name of the hash.
    pub hash: &'static str,
    /// How many fragments there are.
    pub split_level: usize,
    /// `pem` or `der`.
    pub certificate_format: &'static str,
    /// What its fragment files are named after.
    pub fragments: String,
    /// The sealed private key.
    pub sealed: Vec<u8>,
    /// The SubjectPublicKeyInfo.
    pub spki: Vec<u8>,
    /// The subject key identifier.
    pub key_identifier: Vec<u8>,
    /// Its CA certificate with its life, if it has one.
    pub certificate: Option<(Vec<u8>, Time, Time)>,
}

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

const VERSION_COLUMNS: &str =
    "id, key, version, fragments, sealed, spki, key_identifier, certificate, not_before, not_after";

impl Read<'_> {
    /// The key of an item, with its newest version.
    ///
    /// # Errors
    /// The database's; Internal when there is none.
    pub fn key(&self, item: i64) -> Result<Key> {
        let gone = || Error::internal(format!("key {item} is gone"));
        let sql = format!("SELECT {VERSION_COLUMNS} FROM key_versions WHERE key = ?1 ORDER BY version DESC LIMIT 1");
        let current = self.optional(&sql, [item], version_from)?.ok_or_else(gone)?;
        self.optional(
            "SELECT item, algorithm, hash, split_level, certificate_format FROM keys WHERE item = ?1",
            [item],
            |row| {
                Ok(Key {
                    item: row.get(0)?,
                    algorithm: row.get(1)?,
                    hash: row.get(2)?,
                    split_level: row.get(3)?,
                    certificate_format: row.get(4)?,
                    current,
                })
            },
        )?
        .ok_or_else(gone)
    }

    /// A version by its row id.
    ///
    /// # Errors
    /// The database's; Internal when there is none.
    pub fn key_version(&self, id: i64) -> Result<KeyVersion> {
        let sql = format!("SELECT {VERSION_COLUMNS} FROM key_versions WHERE id = ?1");
        self.optional(&sql, [id], version_from)?.ok_or_else(|| Error::internal(format!("key version {id} is gone")))
    }

    /// The version with this subject key identifier.
    ///
    /// # Errors
    /// The database's.
    pub fn key_version_by_identifier(&self, key_identifier: &[u8]) -> Result<Option<KeyVersion>> {
        let sql = format!("SELECT {VERSION_COLUMNS} FROM key_versions WHERE key_identifier = ?1");
        self.optional(&sql, [key_identifier], version_from)
    }

    /// The row ids of all keys that are not deleted.
    ///
    /// # Errors
    /// The database's.
    pub fn key_items(&self) -> Result<Vec<i64>> {
        self.all(
            "SELECT k.item FROM keys k JOIN items i ON i.id = k.item WHERE i.deleted IS NULL ORDER BY k.item",
            [],
            |row| row.get(0),
        )
    }

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
    /// Make the key of an item, with its first version.
    ///
    /// # Errors
    /// The database's.
    pub fn insert_key(&self, item: i64, key: &NewKey, now: Time) -> Result<()> {
        self.execute(
            "INSERT INTO keys (item, algorithm, hash, split_level, certificate_format) VALUES (?1, ?2, ?3, ?4, ?5)",
            (item, key.algorithm, key.hash, key.split_level, key.certificate_format),
        )?;
        let (certificate, not_before, not_after) = match &key.certificate {
            Some((certificate, from, to)) => (Some(certificate), Some(from), Some(to)),
            None => (None, None, None),
        };
        self.insert(
            "INSERT INTO key_versions
             (key, version, fragments, sealed, spki, key_identifier, certificate, not_before, not_after, created)
             VALUES (?1, 1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                item,
                key.fragments,
                key.sealed,
                key.spki,
                key.key_identifier,
                certificate,
                not_before,
                not_after,
                now
            ],
        )?;
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

fn version_from(row: &Row<'_>) -> rusqlite::Result<KeyVersion> {
    let (not_before, not_after): (Option<i64>, Option<i64>) = (row.get(8)?, row.get(9)?);
    Ok(KeyVersion {
        id: row.get(0)?,
        key: row.get(1)?,
        version: row.get(2)?,
        fragments: row.get(3)?,
        sealed: row.get(4)?,
        spki: row.get(5)?,
        key_identifier: row.get(6)?,
        certificate: row.get(7)?,
        validity: not_before.zip(not_after).map(|(from, to)| (Time(from), Time(to))),
    })
}
