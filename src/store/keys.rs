//! Signer keys and their versions.

use super::{NewCaCertificate, Read, Write};
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
    /// What another CA is asked to sign, while there is no certificate.
    pub request: Option<Vec<u8>>,
    /// The CA certificate that chains end in, if it has one.
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
}

/// A version to be made.
#[derive(Clone, Debug)]
pub struct NewVersion {
    /// What its fragment files are named after.
    pub fragments: String,
    /// The sealed private key.
    pub sealed: Vec<u8>,
    /// The SubjectPublicKeyInfo.
    pub spki: Vec<u8>,
    /// The subject key identifier.
    pub key_identifier: Vec<u8>,
    /// What another CA is asked to sign.
    pub request: Option<Vec<u8>>,
    /// Its CA certificates.
    pub certificates: Vec<NewCaCertificate>,
}

const VERSIONS: &str = "SELECT v.id, v.key, v.version, v.fragments, v.sealed, v.spki, v.key_identifier, v.request,
    c.certificate, c.not_before, c.not_after FROM key_versions v LEFT JOIN ca_certificates c ON c.id =
    (SELECT x.id FROM ca_certificates x WHERE x.version = v.id AND x.retired IS NULL
     ORDER BY x.kind = 'cross' DESC, x.id DESC LIMIT 1)";

impl Read<'_> {
    /// The key of an item, with the version that signs: the newest that has a certificate, or else the newest.
    ///
    /// # Errors
    /// The database's; Internal when there is none.
    pub fn key(&self, item: i64) -> Result<Key> {
        let gone = || Error::internal(format!("key {item} is gone"));
        let sql = format!("{VERSIONS} WHERE v.key = ?1 ORDER BY c.id IS NULL, v.version DESC LIMIT 1");
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

    /// All versions of a key, the oldest first.
    ///
    /// # Errors
    /// The database's.
    pub fn key_versions(&self, item: i64) -> Result<Vec<KeyVersion>> {
        self.all(&format!("{VERSIONS} WHERE v.key = ?1 ORDER BY v.version"), [item], version_from)
    }

    /// All versions of all keys, those of deleted ones among them.
    ///
    /// # Errors
    /// The database's.
    pub fn every_key_version(&self) -> Result<Vec<KeyVersion>> {
        self.all(&format!("{VERSIONS} ORDER BY v.id"), [], version_from)
    }

    /// A version by its row id.
    ///
    /// # Errors
    /// The database's; Internal when there is none.
    pub fn key_version(&self, id: i64) -> Result<KeyVersion> {
        let sql = format!("{VERSIONS} WHERE v.id = ?1");
        self.optional(&sql, [id], version_from)?.ok_or_else(|| Error::internal(format!("key version {id} is gone")))
    }

    /// The version with this subject key identifier.
    ///
    /// # Errors
    /// The database's.
    pub fn key_version_by_identifier(&self, key_identifier: &[u8]) -> Result<Option<KeyVersion>> {
        let sql = format!("{VERSIONS} WHERE v.key_identifier = ?1");
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
}

impl Write<'_> {
    /// Make the key of an item.
    ///
    /// # Errors
    /// The database's.
    pub fn insert_key(&self, item: i64, key: &NewKey) -> Result<()> {
        self.execute(
            "INSERT INTO keys (item, algorithm, hash, split_level, certificate_format) VALUES (?1, ?2, ?3, ?4, ?5)",
            (item, key.algorithm, key.hash, key.split_level, key.certificate_format),
        )?;
        Ok(())
    }

    /// Make the next version of a key, with its certificates.
    ///
    /// # Errors
    /// Conflict when the key is here already; the database's.
    pub fn insert_key_version(&self, key: i64, version: &NewVersion, now: Time) -> Result<i64> {
        if self.key_version_by_identifier(&version.key_identifier)?.is_some() {
            return Err(Error::conflict("this private key is here already, under another name"));
        }
        let id = self.insert(
            "INSERT INTO key_versions (key, version, fragments, sealed, spki, key_identifier, request, created)
             VALUES (?1, (SELECT coalesce(max(version), 0) + 1 FROM key_versions WHERE key = ?1), ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                key,
                version.fragments,
                version.sealed,
                version.spki,
                version.key_identifier,
                version.request,
                now
            ],
        )?;
        self.forget_passing_fragments(&version.fragments)?;
        for certificate in &version.certificates {
            self.insert_ca_certificate(id, certificate, now)?;
        }
        Ok(id)
    }

    /// Call a version by the subject key identifier that another CA wrote into its certificate.
    ///
    /// # Errors
    /// The database's.
    pub fn set_key_identifier(&self, version: i64, key_identifier: &[u8]) -> Result<()> {
        self.execute("UPDATE key_versions SET key_identifier = ?2 WHERE id = ?1", (version, key_identifier))?;
        Ok(())
    }
}

fn version_from(row: &Row<'_>) -> rusqlite::Result<KeyVersion> {
    let (not_before, not_after): (Option<Time>, Option<Time>) = (row.get(9)?, row.get(10)?);
    Ok(KeyVersion {
        id: row.get(0)?,
        key: row.get(1)?,
        version: row.get(2)?,
        fragments: row.get(3)?,
        sealed: row.get(4)?,
        spki: row.get(5)?,
        key_identifier: row.get(6)?,
        request: row.get(7)?,
        certificate: row.get(8)?,
        validity: not_before.zip(not_after),
    })
}
