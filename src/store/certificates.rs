//! Issued certificates, append-only, and which of them the daemon shows on its own door.

use super::recent::Trace;
use super::{Read, Revocable, RevocablePlace, Write};
use crate::clock::Time;
use crate::error::{Error, Result};
use rusqlite::{Row, params};

/// What a certificate was issued for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Purpose {
    Acme,
    Tls,
    Ocsp,
}

impl Purpose {
    fn as_str(self) -> &'static str {
        match self {
            Purpose::Acme => "acme",
            Purpose::Tls => "tls",
            Purpose::Ocsp => "ocsp",
        }
    }
}

/// An issued certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Row id; its URL ends with it.
    pub id: i64,
    /// The serial number, big-endian.
    pub serial: Vec<u8>,
    /// Who issued it.
    pub issuer: i64,
    /// The key version that signed it.
    pub signer: i64,
    /// Who ordered it.
    pub account: Option<i64>,
    /// Its version under its item.
    pub version: Option<i64>,
    /// Its life.
    pub not_before: Time,
    /// Its life.
    pub not_after: Time,
    /// When it was issued.
    pub issued: Time,
    /// The CRL that would list it, if it names one.
    pub shard: Option<i64>,
    /// The DER.
    pub der: Vec<u8>,
}

impl Certificate {
    /// What is needed to revoke it.
    pub fn revocable(&self) -> Revocable {
        Revocable {
            signer: self.signer,
            serial: self.serial.clone(),
            not_after: self.not_after,
            place: RevocablePlace::Leaf(self.id, self.shard),
        }
    }
}

/// Whose certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateOwner {
    /// Those that an account ordered.
    Account(i64),
    /// Those of an issuer.
    Issuer(i64),
}

impl CertificateOwner {
    /// The condition on a certificate `c` of theirs that can still be revoked, with the owner as `?1` and now as `?2`.
    fn revocable(self) -> (String, i64) {
        let (column, id) = match self {
            CertificateOwner::Account(id) => ("account", id),
            CertificateOwner::Issuer(id) => ("issuer", id),
        };
        let condition = format!(
            "c.{column} = ?1 AND c.not_after >= ?2 AND c.purpose = 'acme'
             AND NOT EXISTS (SELECT 1 FROM revocations r WHERE r.certificate = c.id)"
        );
        (condition, id)
    }
}

/// A certificate to be kept.
#[derive(Clone, Debug)]
pub struct NewCertificate {
    /// The serial number.
    pub serial: Vec<u8>,
    /// What for.
    pub purpose: Purpose,
    /// Who issued it.
    pub issuer: i64,
    /// The key version that signed it.
    pub signer: i64,
    /// Who ordered it, by which order.
    pub ordered: Option<(i64, i64)>,
    /// The item that it is a version of.
    pub item: Option<i64>,
    /// The CRL that would list it, if it names one.
    pub shard: Option<i64>,
    /// Its life.
    pub not_before: Time,
    /// Its life.
    pub not_after: Time,
    /// The DER.
    pub der: Vec<u8>,
}

/// The daemon's own certificate from an issuer.
#[derive(Clone, Debug)]
pub struct TlsCertificate {
    /// The issuer.
    pub issuer: i64,
    /// The host that it is for.
    pub host: String,
    /// The certificate.
    pub certificate: Certificate,
}

pub(super) const COLUMNS: &str = "c.id, c.serial, c.issuer, c.signer, c.account, c.version, c.not_before, c.not_after, c.certificate, c.issued, c.shard";

impl Read<'_> {
    /// A certificate by its row id.
    ///
    /// # Errors
    /// The database's.
    pub fn certificate(&self, id: i64) -> Result<Option<Certificate>> {
        self.optional(&format!("SELECT {COLUMNS} FROM certificates c WHERE c.id = ?1"), [id], certificate_from)
    }

    /// A certificate by its serial number.
    ///
    /// # Errors
    /// The database's.
    pub fn certificate_by_serial(&self, serial: &[u8]) -> Result<Option<Certificate>> {
        self.optional(&format!("SELECT {COLUMNS} FROM certificates c WHERE c.serial = ?1"), [serial], certificate_from)
    }

    /// A version of a certificate item; the newest when none is named.
    ///
    /// # Errors
    /// The database's.
    pub fn certificate_version(&self, item: i64, version: Option<i64>) -> Result<Option<Certificate>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM certificates c WHERE c.item = ?1 AND (?2 IS NULL OR c.version = ?2)
             ORDER BY c.version DESC LIMIT 1"
        );
        self.optional(&sql, (item, version), certificate_from)
    }

    /// Certificates above this row id, the oldest first, at most `limit` of them.
    ///
    /// # Errors
    /// The database's.
    pub fn certificates_above(&self, id: i64, limit: usize) -> Result<Vec<Certificate>> {
        let sql = format!("SELECT {COLUMNS} FROM certificates c WHERE c.id > ?1 ORDER BY c.id LIMIT ?2");
        self.all(&sql, (id, limit), certificate_from)
    }

    /// How many can still be revoked of an account or of an issuer.
    ///
    /// # Errors
    /// The database's.
    pub fn count_revocable_certificates(&self, whose: CertificateOwner, now: Time) -> Result<i64> {
        let (revocable, id) = whose.revocable();
        let count =
            self.optional(&format!("SELECT count(*) FROM certificates c WHERE {revocable}"), (id, now), |row| {
                row.get(0)
            })?;
        Ok(count.unwrap_or(0))
    }

    /// What can still be revoked of an account or of an issuer: certificates that have not ended.
    ///
    /// # Errors
    /// The database's.
    pub fn revocable_certificates(&self, whose: CertificateOwner, now: Time) -> Result<Vec<Certificate>> {
        let (revocable, id) = whose.revocable();
        let sql = format!("SELECT {COLUMNS} FROM certificates c WHERE {revocable} ORDER BY c.id");
        self.all(&sql, (id, now), certificate_from)
    }

    /// How many certificates of an issuer, its own TLS ones aside, have not ended.
    ///
    /// # Errors
    /// The database's.
    pub fn unexpired_certificates(&self, issuer: i64, now: Time) -> Result<i64> {
        let count = self.optional(
            "SELECT count(*) FROM certificates WHERE issuer = ?1 AND not_after >= ?2 AND purpose = 'acme'",
            (issuer, now),
            |row| row.get(0),
        )?;
        Ok(count.unwrap_or(0))
    }

    /// How many certificates of a signer key have not ended, those of other signer keys among them.
    ///
    /// # Errors
    /// The database's.
    pub fn unexpired_certificates_of_key(&self, key: i64, now: Time) -> Result<i64> {
        let count = self.optional(
            "SELECT (SELECT count(*) FROM certificates c JOIN key_versions v ON v.id = c.signer
                     WHERE v.key = ?1 AND c.not_after >= ?2 AND c.purpose = 'acme')
             + (SELECT count(*) FROM ca_certificates c JOIN key_versions v ON v.id = c.signed_by
                JOIN key_versions o ON o.id = c.version JOIN items i ON i.id = o.key
                WHERE v.key = ?1 AND o.key <> ?1 AND c.not_after >= ?2 AND i.deleted IS NULL)",
            (key, now),
            |row| row.get(0),
        )?;
        Ok(count.unwrap_or(0))
    }

    /// The certificate of the newest OCSP responder of a key version.
    ///
    /// # Errors
    /// The database's.
    pub fn newest_responder(&self, signer: i64) -> Result<Option<Certificate>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM certificates c WHERE c.signer = ?1 AND c.purpose = 'ocsp' ORDER BY c.id DESC LIMIT 1"
        );
        self.optional(&sql, [signer], certificate_from)
    }

    /// The serial numbers of the newest OCSP responder of each key version.
    ///
    /// # Errors
    /// The database's.
    pub fn newest_responders(&self) -> Result<Vec<Vec<u8>>> {
        self.all(
            "SELECT serial FROM certificates WHERE id IN
             (SELECT max(c.id) FROM certificates c WHERE c.purpose = 'ocsp' GROUP BY c.signer)",
            [],
            |row| row.get(0),
        )
    }

    /// The daemon's own certificates of issuers that are not deleted.
    ///
    /// # Errors
    /// The database's.
    pub fn tls_certificates(&self) -> Result<Vec<TlsCertificate>> {
        let rows: Vec<(i64, String, i64)> = self.all(
            "SELECT t.issuer, t.host, t.certificate FROM tls_certificates t JOIN items i ON i.id = t.issuer
             WHERE i.deleted IS NULL ORDER BY t.issuer",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )?;
        rows.into_iter()
            .map(|(issuer, host, id)| {
                let gone = || Error::internal(format!("certificate {id} is gone"));
                Ok(TlsCertificate { issuer, host, certificate: self.certificate(id)?.ok_or_else(gone)? })
            })
            .collect()
    }
}

impl Write<'_> {
    /// Keep a certificate.
    ///
    /// # Errors
    /// The database's; a serial number or an order that has one already is refused by the schema.
    pub fn insert_certificate(&self, new: &NewCertificate, now: Time) -> Result<i64> {
        let version: Option<i64> = match new.item {
            // A version that is gone is not given out again.
            Some(item) => self.optional(
                "SELECT max(coalesce((SELECT max(version) FROM certificates WHERE item = ?1), 0),
                            coalesce((SELECT version FROM former_versions WHERE item = ?1), 0)) + 1",
                [item],
                |row| row.get(0),
            )?,
            None => None,
        };
        let id = self.insert(
            "INSERT INTO certificates (serial, purpose, issuer, signer, account, order_id, item, version, not_before,
             not_after, issued, shard, certificate) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            params![
                new.serial,
                new.purpose.as_str(),
                new.issuer,
                new.signer,
                new.ordered.map(|(account, _)| account),
                new.ordered.map(|(_, order)| order),
                new.item,
                version,
                new.not_before,
                new.not_after,
                now,
                new.shard,
                new.der,
            ],
        )?;
        if let Some(shard) = new.shard {
            self.count_leaf(new.signer, shard)?;
        }
        if let Some((account, order)) = new.ordered {
            self.leave(Trace::ChangedOrder(order));
            self.leave(Trace::Certificate(Certificate {
                id,
                serial: new.serial.clone(),
                issuer: new.issuer,
                signer: new.signer,
                account: Some(account),
                version,
                not_before: new.not_before,
                not_after: new.not_after,
                issued: now,
                shard: new.shard,
                der: new.der.clone(),
            }));
        }
        Ok(id)
    }

    /// Show this certificate for an issuer's host from now on.
    ///
    /// # Errors
    /// The database's.
    pub fn put_tls_certificate(&self, issuer: i64, host: &str, certificate: i64) -> Result<()> {
        self.execute(
            "INSERT INTO tls_certificates (issuer, host, certificate) VALUES (?1, ?2, ?3)
             ON CONFLICT (issuer) DO UPDATE SET host = ?2, certificate = ?3",
            (issuer, host, certificate),
        )?;
        Ok(())
    }
}

pub(super) fn certificate_from(row: &Row<'_>) -> rusqlite::Result<Certificate> {
    Ok(Certificate {
        id: row.get(0)?,
        serial: row.get(1)?,
        issuer: row.get(2)?,
        signer: row.get(3)?,
        account: row.get(4)?,
        version: row.get(5)?,
        not_before: row.get(6)?,
        not_after: row.get(7)?,
        der: row.get(8)?,
        issued: row.get(9)?,
        shard: row.get(10)?,
    })
}
