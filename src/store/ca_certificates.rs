//! The certificates of signers: by themselves, by another signer, by another CA.

use super::{Read, Write, damaged};
use crate::clock::Time;
use crate::error::{Error, Result};
use rusqlite::{Row, params};

/// How a CA certificate came to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaOrigin {
    /// Signed by its own key.
    SelfSigned,
    /// Signed by this version of another signer key of ours.
    Subordinate(i64),
    /// Signed by this version, the one before, for clients that trust only that one.
    Cross(i64),
    /// Signed by another CA; with what stands above it, the root last.
    Foreign(Vec<Vec<u8>>),
}

impl CaOrigin {
    /// The word for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            CaOrigin::SelfSigned => "self-signed",
            CaOrigin::Subordinate(_) => "subordinate",
            CaOrigin::Cross(_) => "cross",
            CaOrigin::Foreign(_) => "foreign",
        }
    }

    /// The version of another key, or of an earlier one, that signed it.
    pub fn signer(&self) -> Option<i64> {
        match self {
            CaOrigin::Subordinate(signer) | CaOrigin::Cross(signer) => Some(*signer),
            CaOrigin::SelfSigned | CaOrigin::Foreign(_) => None,
        }
    }
}

/// A CA certificate of a key version.
#[derive(Clone, Debug)]
pub struct CaCertificate {
    /// Row id.
    pub id: i64,
    /// How it came to be.
    pub origin: CaOrigin,
    /// Its serial number.
    pub serial: Vec<u8>,
    /// The DER.
    pub der: Vec<u8>,
    /// The end of its life.
    pub not_after: Time,
}

/// A CA certificate to be kept.
#[derive(Clone, Debug)]
pub struct NewCaCertificate {
    /// How it came to be.
    pub origin: CaOrigin,
    /// Its serial number.
    pub serial: Vec<u8>,
    /// The DER.
    pub der: Vec<u8>,
    /// Its life.
    pub not_before: Time,
    /// Its life.
    pub not_after: Time,
}

const COLUMNS: &str = "c.id, c.kind, c.serial, c.certificate, c.not_after, c.signed_by";

impl Read<'_> {
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
            "SELECT {COLUMNS} FROM ca_certificates c WHERE c.version = ?1 AND c.retired IS NULL
             AND c.id = (SELECT max(x.id) FROM ca_certificates x
                         WHERE x.version = ?1 AND x.kind = c.kind AND x.retired IS NULL)
             ORDER BY c.kind = 'cross' DESC, c.id DESC"
        );
        self.all(&sql, [version], row_from)?.into_iter().map(|row| self.ca_certificate(row)).collect()
    }

    /// Who signed the certificate that the chains of a version end in, with its serial number, if a key of ours did that is not
    /// its own.
    ///
    /// # Errors
    /// The database's.
    pub fn signer_above(&self, version: i64) -> Result<Option<(i64, Vec<u8>)>> {
        let sql = "SELECT CASE WHEN kind IN ('subordinate', 'cross') THEN signed_by END, serial FROM ca_certificates
                   WHERE version = ?1 AND retired IS NULL ORDER BY kind = 'cross' DESC, id DESC LIMIT 1";
        let first = self.optional(sql, [version], |row| Ok((row.get::<_, Option<i64>>(0)?, row.get(1)?)))?;
        Ok(first.and_then(|(signer, serial)| Some((signer?, serial))))
    }

    /// Every certificate that a version ever had.
    ///
    /// # Errors
    /// The database's.
    pub fn every_ca_certificate(&self, version: i64) -> Result<Vec<CaCertificate>> {
        let sql = format!("SELECT {COLUMNS} FROM ca_certificates c WHERE c.version = ?1 ORDER BY c.id");
        self.all(&sql, [version], row_from)?.into_iter().map(|row| self.ca_certificate(row)).collect()
    }

    /// Every certificate that other signer keys of ours ever gave to a version.
    ///
    /// # Errors
    /// The database's.
    pub fn ca_certificates_from_others(&self, version: i64) -> Result<Vec<CaCertificate>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM ca_certificates c
             WHERE c.version = ?1 AND c.signed_by IS NOT NULL AND c.signed_by <> c.version ORDER BY c.id"
        );
        self.all(&sql, [version], row_from)?.into_iter().map(|row| self.ca_certificate(row)).collect()
    }

    /// Whether a version signed a certificate with this serial number, of a CA or not.
    ///
    /// # Errors
    /// The database's.
    pub fn has_signed(&self, signer: i64, serial: &[u8]) -> Result<bool> {
        let sql = "SELECT 1 FROM certificates WHERE signer = ?1 AND serial = ?2
                   UNION ALL SELECT 1 FROM ca_certificates WHERE signed_by = ?1 AND serial = ?2";
        Ok(self.optional(sql, (signer, serial), |_| Ok(()))?.is_some())
    }

    fn ca_certificate(&self, row: CaRow) -> Result<CaCertificate> {
        let origin = match (row.kind.as_str(), row.signed_by) {
            ("self-signed", _) => CaOrigin::SelfSigned,
            ("subordinate", Some(signer)) => CaOrigin::Subordinate(signer),
            ("cross", Some(signer)) => CaOrigin::Cross(signer),
            ("foreign", _) => CaOrigin::Foreign(self.all(
                "SELECT certificate FROM foreign_chains WHERE ca_certificate = ?1 ORDER BY position",
                [row.id],
                |row| row.get(0),
            )?),
            _ => return Err(damaged("a CA certificate")),
        };
        Ok(CaCertificate { id: row.id, origin, serial: row.serial, der: row.der, not_after: row.not_after })
    }
}

impl Write<'_> {
    /// Keep a certificate of a version, which signs from then on.
    ///
    /// # Errors
    /// Conflict when its key was deleted; the database's.
    pub fn insert_ca_certificate(&self, version: i64, new: &NewCaCertificate, now: Time) -> Result<()> {
        let sql = "SELECT 1 FROM key_versions WHERE id = ?1 AND sealed IS NOT NULL";
        if self.optional(sql, [version], |_| Ok(()))?.is_none() {
            return Err(Error::conflict("the key was deleted meanwhile"));
        }
        let (signed_by, above) = match &new.origin {
            CaOrigin::SelfSigned => (Some(version), &[][..]),
            CaOrigin::Subordinate(signer) | CaOrigin::Cross(signer) => (Some(*signer), &[][..]),
            CaOrigin::Foreign(above) => (None, above.as_slice()),
        };
        let id = self.insert(
            "INSERT INTO ca_certificates (version, kind, serial, certificate, not_before, not_after, signed_by, created)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                version,
                new.origin.as_str(),
                new.serial,
                new.der,
                new.not_before,
                new.not_after,
                signed_by,
                now
            ],
        )?;
        for (position, certificate) in above.iter().enumerate() {
            self.execute(
                "INSERT INTO foreign_chains (ca_certificate, position, certificate) VALUES (?1, ?2, ?3)",
                (id, position, certificate),
            )?;
        }
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
}

/// A row as it stands, before it is understood.
struct CaRow {
    id: i64,
    kind: String,
    serial: Vec<u8>,
    der: Vec<u8>,
    not_after: Time,
    signed_by: Option<i64>,
}

fn row_from(row: &Row<'_>) -> rusqlite::Result<CaRow> {
    Ok(CaRow {
        id: row.get(0)?,
        kind: row.get(1)?,
        serial: row.get(2)?,
        der: row.get(3)?,
        not_after: row.get(4)?,
        signed_by: row.get(5)?,
    })
}
