//! Certificates with their revocations and items, and the lists that named them.

use super::{Met, Past, STEP};
use crate::clock::Time;
use crate::error::Result;
use crate::store::{Read, Write};

/// A certificate `c` may go when it ended before `?1` and nothing needs it: an order that is kept, the daemon's door, the OCSP
/// of its signer (the newest responder says who offered it), or a list that has yet to name it after its end.
fn certificate_may_go() -> String {
    let unlisted = unlisted("l.shard IN (-2, r.shard)");
    format!(
        "c.not_after < ?1
         AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.id = c.order_id)
         AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.replaces = c.id)
         AND NOT EXISTS (SELECT 1 FROM tls_certificates t JOIN items i ON i.id = t.issuer
                         WHERE t.certificate = c.id AND i.deleted IS NULL)
         AND (c.purpose <> 'ocsp' OR EXISTS (SELECT 1 FROM certificates n
                                             WHERE n.signer = c.signer AND n.purpose = 'ocsp' AND n.id > c.id))
         AND NOT EXISTS (SELECT 1 FROM revocations r WHERE r.certificate = c.id AND {unlisted})"
    )
}

/// Whether a revocation `r` stands on one of these lists `l` only as one of before the end of its certificate (RFC 5280, 3.3:
/// it must be seen once on a later one), while a later one can be signed at `?2`.
fn unlisted(lists: &str) -> String {
    format!(
        "EXISTS (SELECT 1 FROM crls l JOIN key_versions v ON v.id = l.signer
                 WHERE l.signer = r.signer AND {lists} AND l.this_update <= r.not_after AND v.sealed IS NOT NULL
                 AND EXISTS (SELECT 1 FROM ca_certificates s WHERE s.version = v.id AND s.not_after >= ?2))"
    )
}

/// The revocation `r` of a certificate that the store does not know stands on every list of its signer.
fn unknown_may_go() -> String {
    format!("r.not_after < ?1 AND r.shard IS NULL AND r.certificate IS NULL AND NOT {}", unlisted("true"))
}

/// A CRL of which every leaf is gone, and its revocation with it: not the newest of its signer, since the next one counts on from that.
const SHARD_MAY_GO: &str = "l.shard >= 0 AND l.leaves > 0 AND l.leaves_gone >= l.leaves
    AND EXISTS (SELECT 1 FROM crls n WHERE n.signer = l.signer AND n.shard > l.shard)";

/// An item `i` may go after its last certificate, unless people protected it or said anything about it and did not delete it
/// since.
const ITEM_MAY_GO: &str = "i.kind = 'CERTIFICATE' AND NOT EXISTS (SELECT 1 FROM certificates c WHERE c.item = i.id)
    AND (i.deleted IS NOT NULL OR (i.delete_protection = 0 AND i.description = ''
                                   AND NOT EXISTS (SELECT 1 FROM item_tags t WHERE t.item = i.id)))";

/// The revocation of a certificate that the store does not know: the end of that, and its serial number.
pub type UnknownRevocation = (Time, Vec<u8>);

/// A CRL that names no certificate that is left: its signer and its number.
pub type EndedShard = (i64, i64);

impl Read<'_> {
    /// Every issuer that certificates can be of, also those that are deleted.
    ///
    /// # Errors
    /// The database's.
    pub fn issuers_ever(&self) -> Result<Vec<i64>> {
        self.all("SELECT item FROM issuers", [], |row| row.get(0))
    }

    /// Certificates of an issuer whose time is over, from where a walk is on, by their end.
    ///
    /// # Errors
    /// The database's.
    pub fn past_certificates(
        &self,
        past: &Past,
        issuer: i64,
        after: Option<&(Time, i64)>,
    ) -> Result<Vec<Met<(Time, i64)>>> {
        let (end, id) = after.copied().unwrap_or((Time(i64::MIN), 0));
        let sql = format!(
            "SELECT c.not_after, c.id, {} FROM certificates c
             WHERE c.issuer = ?3 AND c.not_after < ?1 AND (c.not_after, c.id) > (?4, ?5)
             ORDER BY c.not_after, c.id LIMIT ?6",
            certificate_may_go()
        );
        self.all(&sql, (past.records, past.now, issuer, end, id, STEP), |row| {
            Ok(Met { key: (row.get(0)?, row.get(1)?), may_go: row.get(2)? })
        })
    }

    /// Items that stayed after their newest version, from where a walk is on.
    ///
    /// # Errors
    /// The database's.
    pub fn left_items(&self, after: Option<&i64>) -> Result<Vec<Met<i64>>> {
        let sql = format!(
            "SELECT i.id, {ITEM_MAY_GO} FROM former_versions f JOIN items i ON i.id = f.item
             WHERE f.item > ?1 ORDER BY f.item LIMIT ?2"
        );
        self.all(&sql, (after.copied().unwrap_or(0), STEP), |row| Ok(Met { key: row.get(0)?, may_go: row.get(1)? }))
    }

    /// Every key version that revocations can be of.
    ///
    /// # Errors
    /// The database's.
    pub fn signers_ever(&self) -> Result<Vec<i64>> {
        self.all("SELECT id FROM key_versions", [], |row| row.get(0))
    }

    /// Revocations by a signer of certificates that the store does not know, whose time is over, from where a walk is on.
    ///
    /// # Errors
    /// The database's.
    pub fn past_unknown_revocations(
        &self,
        past: &Past,
        signer: i64,
        after: Option<&UnknownRevocation>,
    ) -> Result<Vec<Met<UnknownRevocation>>> {
        let first = (Time(i64::MIN), Vec::new());
        let (end, serial) = after.unwrap_or(&first);
        let sql = format!(
            "SELECT r.not_after, r.serial, {} FROM revocations r
             WHERE r.signer = ?3 AND r.shard IS NULL AND r.not_after < ?1 AND (r.not_after, r.serial) > (?4, ?5)
             ORDER BY r.not_after, r.serial LIMIT ?6",
            unknown_may_go()
        );
        self.all(&sql, (past.records, past.now, signer, end, serial, STEP), |row| {
            Ok(Met { key: (row.get(0)?, row.get(1)?), may_go: row.get(2)? })
        })
    }

    /// The CRLs of which every leaf is gone for good.
    ///
    /// # Errors
    /// The database's.
    pub fn ended_shards(&self) -> Result<Vec<EndedShard>> {
        let sql = format!("SELECT l.signer, l.shard FROM crls l WHERE {SHARD_MAY_GO} LIMIT {STEP}");
        self.all(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
    }
}

impl Write<'_> {
    /// Remove a certificate with its revocation, and its item where it was the last one of that, if it still may go.
    ///
    /// # Errors
    /// The database's.
    pub fn remove_certificate(&self, past: &Past, (_, id): &(Time, i64)) -> Result<bool> {
        let sql = format!(
            "SELECT c.purpose = 'tls', c.signer, c.shard, c.item, c.version FROM certificates c WHERE c.id = ?3 AND {}",
            certificate_may_go()
        );
        let found = self.optional(&sql, (past.records, past.now, id), |row| {
            let list: Option<i64> = row.get(2)?;
            let filed: Option<(i64, i64)> = row.get::<_, Option<i64>>(3)?.zip(row.get::<_, Option<i64>>(4)?);
            Ok((row.get::<_, bool>(0)?, row.get::<_, i64>(1)?, list, filed))
        })?;
        let Some((is_own, signer, shard, filed)) = found else { return Ok(false) };
        if is_own {
            self.execute("DELETE FROM tls_certificates WHERE certificate = ?1", [id])?;
        }
        self.execute("DELETE FROM expiry_notices WHERE subject = 'certificate' AND id = ?1", [id])?;
        // Nobody remembers the revocations of leaves. A trigger removes the certificate of this one; what is held of it is forgotten
        // with the next statement.
        self.execute_on_record("DELETE FROM revocations WHERE certificate = ?1", [id])?;
        self.execute("DELETE FROM certificates WHERE id = ?1", [id])?;
        if let Some(shard) = shard {
            let sql = "UPDATE crls SET leaves_gone = leaves_gone + 1 WHERE signer = ?1 AND shard = ?2";
            self.execute(sql, (signer, shard))?;
        }
        if let Some((item, version)) = filed {
            self.leave_item(item, version)?;
        }
        Ok(true)
    }

    /// A version of an item is gone: the item goes after the last one, or keeps in mind the newest.
    fn leave_item(&self, item: i64, version: i64) -> Result<()> {
        if self.remove_item(&item)? {
            return Ok(());
        }
        let newer = "SELECT 1 FROM certificates WHERE item = ?1 AND version > ?2 LIMIT 1";
        if self.optional(newer, (item, version), |_| Ok(()))?.is_none() {
            self.execute(
                "INSERT INTO former_versions (item, version) VALUES (?1, ?2)
                 ON CONFLICT (item) DO UPDATE SET version = max(version, ?2)",
                (item, version),
            )?;
        }
        Ok(())
    }

    /// Remove an item of certificates, if it still may go.
    ///
    /// # Errors
    /// The database's.
    pub fn remove_item(&self, id: &i64) -> Result<bool> {
        let sql = format!("SELECT 1 FROM items i WHERE i.id = ?1 AND {ITEM_MAY_GO}");
        if self.optional(&sql, [id], |_| Ok(()))?.is_none() {
            return Ok(false);
        }
        self.execute("DELETE FROM item_tags WHERE item = ?1", [id])?;
        self.execute("DELETE FROM expiry_warnings WHERE item = ?1", [id])?;
        self.execute("DELETE FROM former_versions WHERE item = ?1", [id])?;
        self.execute("DELETE FROM items WHERE id = ?1", [id])?;
        Ok(true)
    }

    /// Remove the revocation of a certificate that the store does not know, if it still may go.
    ///
    /// # Errors
    /// The database's.
    pub fn remove_unknown_revocation(&self, past: &Past, signer: i64, (_, serial): &UnknownRevocation) -> Result<bool> {
        let sql = format!("SELECT 1 FROM revocations r WHERE r.signer = ?3 AND r.serial = ?4 AND {}", unknown_may_go());
        if self.optional(&sql, (past.records, past.now, signer, serial), |_| Ok(()))?.is_none() {
            return Ok(false);
        }
        self.execute("DELETE FROM revocations WHERE signer = ?1 AND serial = ?2", (signer, serial))?;
        Ok(true)
    }

    /// Remove a CRL, if it still names nothing that is left. Whoever is about to file a leaf under it begins another.
    ///
    /// # Errors
    /// The database's.
    pub fn remove_shard(&self, (signer, shard): &EndedShard) -> Result<bool> {
        let sql = format!("SELECT 1 FROM crls l WHERE l.signer = ?1 AND l.shard = ?2 AND {SHARD_MAY_GO}");
        if self.optional(&sql, (signer, shard), |_| Ok(()))?.is_none() {
            return Ok(false);
        }
        self.execute("DELETE FROM crls WHERE signer = ?1 AND shard = ?2", (signer, shard))?;
        Ok(true)
    }
}
