//! Orders with their authorizations and challenges, and credentials.

use super::{Met, Past, STEP};
use crate::clock::Time;
use crate::error::Result;
use crate::store::{Read, Write};

/// An order `o` may go when it ended before `?1`. One that replaces a certificate stays until that one's end after `?2`,
/// since no other may replace it (RFC 9773, 5).
const ORDER_MAY_GO: &str = "o.expires < ?1
    AND NOT EXISTS (SELECT 1 FROM certificates c WHERE c.id = o.replaces AND c.not_after >= ?2)";

/// An authorization `a` goes after the last order that it served.
const AUTHORIZATION_MAY_GO: &str = "a.expires < ?1
    AND NOT EXISTS (SELECT 1 FROM order_authorizations l WHERE l.authorization = a.id)";

/// A credential `e` stays while it bounds or authorizes an account.
const EAB_MAY_GO: &str = "e.expires < ?1
    AND NOT EXISTS (SELECT 1 FROM accounts n WHERE n.eab = e.kid AND n.deactivated IS NULL AND n.deleted IS NULL
                    AND (e.no_challenge = 1 OR e.allowed_domains IS NOT NULL))";

impl Read<'_> {
    /// Orders whose time is over, from where a walk is on, by their end.
    ///
    /// # Errors
    /// The database's.
    pub fn past_orders(&self, past: &Past, after: Option<&(Time, i64)>) -> Result<Vec<Met<(Time, i64)>>> {
        let (end, id) = after.copied().unwrap_or((Time(i64::MIN), 0));
        let sql = format!(
            "SELECT o.expires, o.id, {ORDER_MAY_GO} FROM orders o
             WHERE o.expires < ?1 AND (o.expires, o.id) > (?3, ?4) ORDER BY o.expires, o.id LIMIT ?5"
        );
        self.all(&sql, (past.orders, past.now, end, id, STEP), |row| {
            Ok(Met { key: (row.get(0)?, row.get(1)?), may_go: row.get(2)? })
        })
    }

    /// Authorizations whose time is over, from where a walk is on, by their end.
    ///
    /// # Errors
    /// The database's.
    pub fn past_authorizations(&self, past: &Past, after: Option<&(Time, i64)>) -> Result<Vec<Met<(Time, i64)>>> {
        let (end, id) = after.copied().unwrap_or((Time(i64::MIN), 0));
        let sql = format!(
            "SELECT a.expires, a.id, {AUTHORIZATION_MAY_GO} FROM authorizations a
             WHERE a.expires < ?1 AND (a.expires, a.id) > (?2, ?3) ORDER BY a.expires, a.id LIMIT ?4"
        );
        self.all(&sql, (past.orders, end, id, STEP), |row| {
            Ok(Met { key: (row.get(0)?, row.get(1)?), may_go: row.get(2)? })
        })
    }

    /// Credentials, from where a walk is on, by their key identifier.
    ///
    /// # Errors
    /// The database's.
    pub fn past_eabs(&self, past: &Past, after: Option<&String>) -> Result<Vec<Met<String>>> {
        let sql = format!("SELECT e.kid, {EAB_MAY_GO} FROM eabs e WHERE e.kid > ?2 ORDER BY e.kid LIMIT ?3");
        let after = after.map_or("", String::as_str);
        self.all(&sql, (past.orders, after, STEP), |row| Ok(Met { key: row.get(0)?, may_go: row.get(1)? }))
    }
}

impl Write<'_> {
    /// Remove an order, if it still may go.
    ///
    /// # Errors
    /// The database's.
    pub fn remove_order(&self, past: &Past, (_, id): &(Time, i64)) -> Result<bool> {
        let sql = format!("SELECT 1 FROM orders o WHERE o.id = ?3 AND {ORDER_MAY_GO}");
        if self.optional(&sql, (past.orders, past.now, id), |_| Ok(()))?.is_none() {
            return Ok(false);
        }
        self.execute("DELETE FROM order_authorizations WHERE order_id = ?1", [id])?;
        self.execute("DELETE FROM orders WHERE id = ?1", [id])?;
        Ok(true)
    }

    /// Remove an authorization with its challenges, if it still may go.
    ///
    /// # Errors
    /// The database's.
    pub fn remove_authorization(&self, past: &Past, (_, id): &(Time, i64)) -> Result<bool> {
        let sql = format!("SELECT 1 FROM authorizations a WHERE a.id = ?2 AND {AUTHORIZATION_MAY_GO}");
        if self.optional(&sql, (past.orders, id), |_| Ok(()))?.is_none() {
            return Ok(false);
        }
        self.execute("DELETE FROM challenges WHERE authorization = ?1", [id])?;
        self.execute("DELETE FROM authorizations WHERE id = ?1", [id])?;
        Ok(true)
    }

    /// Remove a credential, if it still may go. The account that was made with it stays.
    ///
    /// # Errors
    /// The database's.
    pub fn remove_eab(&self, past: &Past, kid: &String) -> Result<bool> {
        let sql = format!("SELECT 1 FROM eabs e WHERE e.kid = ?2 AND {EAB_MAY_GO}");
        if self.optional(&sql, (past.orders, kid), |_| Ok(()))?.is_none() {
            return Ok(false);
        }
        self.execute("UPDATE accounts SET eab = NULL WHERE eab = ?1", [kid])?;
        self.execute("DELETE FROM eabs WHERE kid = ?1", [kid])?;
        Ok(true)
    }
}
