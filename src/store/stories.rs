//! What the story of an issuance is put together from, for people only. There is no index for it, since each would cost every
//! request something: what is looked through is bounded.

use super::audit::{AuditRow, COLUMNS, row_from};
use super::{Certificate, Read};
use crate::clock::Time;
use crate::error::Result;

/// How many of the newest orders are looked through for a name.
const ORDERS: i64 = 200_000;
/// How many rows of the audit log are looked through.
const ROWS: i64 = 100_000;

/// How many rows a story has.
const LINES: usize = 2_000;

/// What became of a certificate.
#[derive(Clone, Debug)]
pub struct RevokedBy {
    /// When.
    pub at: Time,
    /// Why (RFC 5280, 5.3.1).
    pub reason: u8,
    /// By whom, as the audit log says it.
    pub by: String,
}

impl Read<'_> {
    /// The newest orders for a name, or for the wildcard of it, the newest first. Those that are older than the newest
    /// 200,000 of all are not found.
    ///
    /// # Errors
    /// The database's.
    pub fn newest_orders_for(&self, name: &str, limit: usize) -> Result<Vec<i64>> {
        let newest: Option<i64> = self.optional("SELECT max(id) FROM orders", [], |row| row.get(0))?.flatten();
        self.all(
            "SELECT DISTINCT order_id FROM order_authorizations WHERE order_id > ?1 AND identifier IN (?2, '*.' || ?2)
             ORDER BY order_id DESC LIMIT ?3",
            (newest.unwrap_or(0).saturating_sub(ORDERS), name, limit),
            |row| row.get(0),
        )
    }

    /// The order that a certificate came from; orders are tidied earlier than certificates, so it may be gone.
    ///
    /// # Errors
    /// The database's.
    pub fn order_of_certificate(&self, certificate: &Certificate) -> Result<Option<i64>> {
        let sql = "SELECT order_id FROM certificates WHERE id = ?1";
        Ok(self.optional(sql, [certificate.id], |row| row.get(0))?.flatten())
    }

    /// The name of the item that a certificate is filed under.
    ///
    /// # Errors
    /// The database's.
    pub fn name_of_certificate(&self, certificate: &Certificate) -> Result<Option<String>> {
        let sql = "SELECT i.name FROM certificates c JOIN items i ON i.id = c.item WHERE c.id = ?1";
        self.optional(sql, [certificate.id], |row| row.get(0))
    }

    /// When, why and by whom a certificate was revoked.
    ///
    /// # Errors
    /// The database's.
    pub fn revoked_by(&self, certificate: &Certificate) -> Result<Option<RevokedBy>> {
        self.optional(
            "SELECT at, reason, revoked_by FROM revocations WHERE signer = ?1 AND serial = ?2",
            (certificate.signer, &certificate.serial),
            |row| Ok(RevokedBy { at: row.get(0)?, reason: row.get(1)?, by: row.get(2)? }),
        )
    }

    /// What somebody did to objects that are meant or was refused over them between two moments, the 2,000 oldest first, among
    /// 100,000 rows from the first moment on.
    ///
    /// # Errors
    /// The database's.
    pub fn audit_of(
        &self,
        actor: &str,
        since: Time,
        until: Time,
        is_meant: impl Fn(&str) -> bool,
    ) -> Result<Vec<AuditRow>> {
        let first = self.first_audit_since(since)?;
        let sql =
            format!("SELECT {COLUMNS} FROM audit WHERE id >= ?1 AND id < ?2 AND at <= ?3 AND actor = ?4 ORDER BY id");
        // What is not meant takes neither memory nor the place of what is.
        let mut meant = Vec::new();
        self.each(&sql, (first, first.saturating_add(ROWS), until, actor), |row| {
            let row = row_from(row)?;
            if meant.len() < LINES && is_meant(&row.object) {
                meant.push(row);
            }
            Ok(())
        })?;
        Ok(meant)
    }

    /// The newest refusals that mention something, the newest first, among the newest 100,000 rows.
    ///
    /// # Errors
    /// The database's.
    pub fn refusals_mentioning(&self, text: &str, limit: usize) -> Result<Vec<AuditRow>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM audit WHERE id > ?1 AND outcome = 'refused' AND instr(detail, ?2) > 0
             ORDER BY id DESC LIMIT ?3"
        );
        self.all(&sql, (self.last_audit_id()?.saturating_sub(ROWS), text, limit), row_from)
    }

    /// The first row at or after a moment, found by halving: rows stand in the order of time, but for seconds by which the
    /// clock was set.
    fn first_audit_since(&self, moment: Time) -> Result<i64> {
        let first = self.optional("SELECT min(id) FROM audit", [], |row| row.get::<_, Option<i64>>(0))?.flatten();
        let (mut low, mut high) = (first.unwrap_or(1), self.last_audit_id()?.saturating_add(1));
        while low < high {
            let middle = low.midpoint(high);
            let at: Option<Time> = self.optional("SELECT at FROM audit WHERE id = ?1", [middle], |row| row.get(0))?;
            match at {
                Some(at) if at < moment => low = middle.saturating_add(1),
                _ => high = middle,
            }
        }
        Ok(low)
    }
}
