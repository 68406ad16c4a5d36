//! Signer keys and their versions, and the keys that seal values in the database.

use super::{Read, Write, damaged};
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

/// How a CA certificate came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaKind {
    /// Signed by its own key.
    SelfSigned,
    /// Signed by another signer key of ours.
    Subordinate,
    /// Signed by the version before, for clients that trust only that one.
    Cross,
    /// Signed by another CA.
    Foreign,
}

impl CaKind {
    const ALL: [CaKind; 4] = [CaKind::SelfSigned, CaKind::Subordinate, CaKind::Cross, CaKind::Foreign];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            CaKind::SelfSigned => "self-signed",
            CaKind::Subordinate => "subordinate",
            CaKind::Cross => "cross",
            CaKind::Foreign => "foreign",
        }
    }
}

/// A CA certificate of a key version.
#[derive(Clone, Debug)]
pub struct CaCertificate {
    /// Row id.
    pub id: i64,
    /// Whose it is.
    pub version: i64,
    /// How it came to be.
    pub kind: CaKind,
    /// Its serial number.
    pub serial: Vec<u8>,
    /// The DER.
    pub der: Vec<u8>,
    /// The end of its life.
    pub not_after: Time,
    /// The version that signed it, unless that was another CA.
    pub signed_by: Option<i64>,
}

/// A CA certificate to be kept.
#[derive(Clone, Debug)]
pub struct NewCaCertificate {
    /// How it came to be.
    pub kind: CaKind,
    /// The version that signed it; `None` for its own, and for another CA.
    pub signed_by: Option<i64>,
    /// Its serial number.
    pub serial: Vec<u8>,
    /// The DER.
    pub der: Vec<u8>,
    /// Its life.
    pub not_before: Time,
    /// Its life.
    pub not_after: Time,
    /// What stands above it, where another CA signed it; the root last.
    pub above: Vec<Vec<u8>>,
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

const VERSIONS: &str = "SELECT v.id, v.key, v.version, v.fragments, v.sealed, v.spki, v.key_identifier, v.request,
    c.certificate, c.not_before, c.not_after FROM key_versions v LEFT JOIN ca_certificates c ON c.id =
    (SELECT x.id FROM ca_certificates x WHERE x.version = v.id AND x.retired IS NULL
     ORDER BY x.kind = 'cross' DESC, x.id DESC LIMIT 1)";

const CA_COLUMNS: &str = "c.id, c.version, c.kind, c.serial, c.certificate, c.not_after, c.signed_by";

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

    /// The self-signed certificates of all signers that are in use.
    ///
    /// # Errors
    /// The database's.
    pub fn self_signed_certificates(&self) -> Result<Vec<Vec<u8>>> {
        self.all(
            "SELECT c.certificate FROM ca_certificates c JOIN key_versions v ON v.id = c.version JOIN items i ON i.id = v.key
             WHERE c.kind = 'self-signed' AND c.retired IS NULL AND i.deleted IS NULL ORDER BY c.id",
            [],
            |row| row.get(0),
        )
    }

    /// The certificates of a version that are in use, the newest of each kind; the one that chains end in comes first.
    ///
    /// # Errors
    /// The database's.
    pub fn ca_certificates(&self, version: i64) -> Result<Vec<CaCertificate>> {
        let sql = format!(
            "SELECT {CA_COLUMNS} FROM ca_certificates c WHERE c.version = ?1 AND c.retired IS NULL
             AND c.id = (SELECT max(x.id) FROM ca_certificates x
                         WHERE x.version = ?1 AND x.kind = c.kind AND x.retired IS NULL)
             ORDER BY c.kind = 'cross' DESC, c.id DESC"
        );
        self.all(&sql, [version], |row| Ok(ca_certificate_from(row)))?.into_iter().collect()
    }

    /// Every certificate that other signer keys of ours ever gave to a version.
    ///
    /// # Errors
    /// The database's.
    pub fn ca_certificates_from_others(&self, version: i64) -> Result<Vec<CaCertificate>> {
        let sql = format!(
            "SELECT {CA_COLUMNS} FROM ca_certificates c
             WHERE c.version = ?1 AND c.signed_by IS NOT NULL AND c.signed_by <> c.version ORDER BY c.id"
        );
        self.all(&sql, [version], |row| Ok(ca_certificate_from(row)))?.into_iter().collect()
    }

    /// Whether a version signed a CA certificate with this serial number.
    ///
    /// # Errors
    /// The database's.
    pub fn ca_certificate_by_serial(&self, signer: i64, serial: &[u8]) -> Result<Option<CaCertificate>> {
        let sql = format!("SELECT {CA_COLUMNS} FROM ca_certificates c WHERE c.signed_by = ?1 AND c.serial = ?2");
        self.optional(&sql, (signer, serial), |row| Ok(ca_certificate_from(row)))?.transpose()
    }

    /// What stands above a certificate that another CA signed.
    ///
    /// # Errors
    /// The database's.
    pub fn foreign_chain(&self, ca_certificate: i64) -> Result<Vec<Vec<u8>>> {
        self.all(
            "SELECT certificate FROM foreign_chains WHERE ca_certificate = ?1 ORDER BY position",
            [ca_certificate],
            |row| row.get(0),
        )
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

    /// Keep a certificate of a version, which signs from then on.
    ///
    /// # Errors
    /// Conflict when its key was deleted; the database's.
    pub fn insert_ca_certificate(&self, version: i64, new: &NewCaCertificate, now: Time) -> Result<()> {
        let sql = "SELECT 1 FROM key_versions WHERE id = ?1 AND sealed IS NOT NULL";
        if self.optional(sql, [version], |_| Ok(()))?.is_none() {
            return Err(Error::conflict("the key was deleted meanwhile"));
        }
        let signed_by = match new.kind {
            CaKind::SelfSigned => Some(version),
            CaKind::Foreign => None,
            CaKind::Subordinate | CaKind::Cross => new.signed_by,
        };
        let id = self.insert(
            "INSERT INTO ca_certificates (version, kind, serial, certificate, not_before, not_after, signed_by, created)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                version,
                new.kind.as_str(),
                new.serial,
                new.der,
                new.not_before,
                new.not_after,
                signed_by,
                now
            ],
        )?;
        for (position, certificate) in new.above.iter().enumerate() {
            self.execute(
                "INSERT INTO foreign_chains (ca_certificate, position, certificate) VALUES (?1, ?2, ?3)",
                (id, position, certificate),
            )?;
        }
        Ok(())
    }

    /// Call a version by the subject key identifier that another CA wrote into its certificate.
    ///
    /// # Errors
    /// The database's.
    pub fn set_key_identifier(&self, version: i64, key_identifier: &[u8]) -> Result<()> {
        self.execute("UPDATE key_versions SET key_identifier = ?2 WHERE id = ?1", (version, key_identifier))?;
        Ok(())
    }

    /// Let chains of a key end in its own roots, and no longer in the cross-signed certificates. False when there are none.
    ///
    /// # Errors
    /// The database's.
    pub fn retire_cross_certificates(&self, key: i64, now: Time) -> Result<bool> {
        let changed = self.execute(
            "UPDATE ca_certificates SET retired = ?2 WHERE kind = 'cross' AND retired IS NULL
             AND version IN (SELECT id FROM key_versions WHERE key = ?1)",
            (key, now),
        )?;
        Ok(changed > 0)
    }

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

fn ca_certificate_from(row: &Row<'_>) -> Result<CaCertificate> {
    let kind: String = row.get(2)?;
    Ok(CaCertificate {
        id: row.get(0)?,
        version: row.get(1)?,
        kind: CaKind::ALL.into_iter().find(|k| k.as_str() == kind).ok_or_else(|| damaged("a CA certificate"))?,
        serial: row.get(3)?,
        der: row.get(4)?,
        not_after: row.get(5)?,
        signed_by: row.get(6)?,
    })
}
