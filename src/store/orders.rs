//! Orders (RFC 8555, 7.1.3). Only facts are stored; the status follows from them.

use super::recent::{self, Trace};
use super::{Authorization, AuthorizationStatus, Read, Write};
use crate::clock::Time;
use crate::error::{Class, Error, Result};
use std::sync::Arc;

/// An order with its authorizations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Row id; its URL ends with it.
    pub id: i64,
    /// Whose it is.
    pub account: i64,
    /// When it was made.
    pub created: Time,
    /// Until when it can be finalized.
    pub expires: Time,
    /// The validity that was asked for.
    pub not_before: Option<Time>,
    /// The validity that was asked for.
    pub not_after: Option<Time>,
    /// The profile that was chosen.
    pub profile: Option<String>,
    /// The certificate that it replaces (RFC 9773, 5).
    pub replaces: Option<i64>,
    /// SHA-256 of the CSR that the certificate was issued for.
    pub csr_hash: Option<Vec<u8>>,
    /// The row id of its certificate.
    pub certificate: Option<i64>,
    /// Its identifiers, in the order of the request.
    pub names: Vec<OrderName>,
    /// One for each identifier; several may share one for a domain above them (RFC 9444).
    pub authorizations: Vec<Arc<Authorization>>,
}

/// An identifier of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderName {
    /// `dns` or `ip`.
    pub kind: String,
    /// As the order names it, with `*.` if it is a wildcard.
    pub value: String,
}

/// RFC 8555, 7.1.6. Issuance takes less than a request does, so that no order is ever seen `processing`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum OrderStatus {
    Pending,
    Ready,
    Valid,
    Invalid,
}

impl OrderStatus {
    /// The word in RFC 8555, 7.1.6.
    pub fn as_str(self) -> &'static str {
        match self {
            OrderStatus::Pending => "pending",
            OrderStatus::Ready => "ready",
            OrderStatus::Valid => "valid",
            OrderStatus::Invalid => "invalid",
        }
    }
}

impl Order {
    /// Its status at this time.
    pub fn status(&self, now: Time) -> OrderStatus {
        use AuthorizationStatus::{Pending, Valid};
        let statuses: Vec<AuthorizationStatus> = self.authorizations.iter().map(|a| a.status(now)).collect();
        if self.certificate.is_some() {
            OrderStatus::Valid
        } else if now >= self.expires || statuses.iter().any(|s| !matches!(s, Pending | Valid)) {
            OrderStatus::Invalid
        } else if statuses.iter().all(|s| *s == Valid) {
            OrderStatus::Ready
        } else {
            OrderStatus::Pending
        }
    }

    /// Whether it can be finalized.
    ///
    /// # Errors
    /// OrderNotReady (RFC 8555, 7.4).
    pub fn check_ready(&self, now: Time) -> Result<()> {
        match self.status(now) {
            OrderStatus::Ready => Ok(()),
            other => Err(Error::new(
                Class::OrderNotReady,
                format!("the order is {}, so it cannot be finalized", other.as_str()),
            )),
        }
    }
}

/// An order to be made.
#[derive(Clone, Debug)]
pub struct NewOrder {
    /// Whose it is.
    pub account: i64,
    /// Until when it can be finalized.
    pub expires: Time,
    /// The validity that was asked for.
    pub not_before: Option<Time>,
    /// The validity that was asked for.
    pub not_after: Option<Time>,
    /// The profile that was chosen.
    pub profile: Option<String>,
    /// The certificate that it replaces.
    pub replaces: Option<i64>,
}

impl Read<'_> {
    /// An order with its authorizations.
    ///
    /// # Errors
    /// The database's.
    pub fn order(&self, id: i64) -> Result<Option<Order>> {
        let found = self.optional(
            "SELECT o.id, o.account, o.expires, o.not_before, o.not_after, o.csr_hash, o.profile, o.replaces,
             (SELECT c.id FROM certificates c WHERE c.order_id = o.id), o.created FROM orders o WHERE o.id = ?1",
            [id],
            |row| {
                Ok(Order {
                    id: row.get(0)?,
                    account: row.get(1)?,
                    expires: row.get(2)?,
                    not_before: row.get(3)?,
                    not_after: row.get(4)?,
                    csr_hash: row.get(5)?,
                    profile: row.get(6)?,
                    replaces: row.get(7)?,
                    certificate: row.get(8)?,
                    created: row.get(9)?,
                    names: Vec::new(),
                    authorizations: Vec::new(),
                })
            },
        )?;
        let Some(mut order) = found else { return Ok(None) };
        (order.names, order.authorizations) = self.names_of_order(id)?.into_iter().unzip();
        Ok(Some(order))
    }

    /// An order that is not invalid and replaces this certificate.
    ///
    /// # Errors
    /// The database's.
    pub fn replacing_order(&self, certificate: i64, now: Time) -> Result<Option<i64>> {
        let sql = format!("SELECT o.id FROM orders o WHERE o.replaces = ?2 AND {NOT_INVALID} LIMIT 1");
        self.optional(&sql, (now, certificate), |row| row.get(0))
    }

    /// The ids of an account's orders above `after` that are not invalid, at most `limit` of them.
    ///
    /// # Errors
    /// The database's.
    pub fn orders_of(&self, account: i64, after: i64, limit: usize, now: Time) -> Result<Vec<i64>> {
        let sql = format!(
            "SELECT o.id FROM orders o WHERE o.account = ?2 AND o.id > ?3 AND {NOT_INVALID} ORDER BY o.id LIMIT ?4"
        );
        self.all(&sql, (now, account, after, limit), |row| row.get(0))
    }
}

/// The status of an order `o` at `?1`, as [`Order::status`] has it, for queries that must not load every order.
pub(super) const NOT_INVALID: &str = "(EXISTS (SELECT 1 FROM certificates c WHERE c.order_id = o.id)
    OR (o.expires > ?1
        AND NOT EXISTS (SELECT 1 FROM order_authorizations l JOIN authorizations a ON a.id = l.authorization
            WHERE l.order_id = o.id AND (a.deactivated IS NOT NULL OR a.expires <= ?1
            OR EXISTS (SELECT 1 FROM challenges f WHERE f.authorization = a.id AND f.failed IS NOT NULL)))))";

impl Write<'_> {
    /// Make an order for these names, each with its authorization.
    ///
    /// # Errors
    /// AlreadyReplaced when another order replaces the same certificate.
    pub fn insert_order(
        &self,
        order: NewOrder,
        names: Vec<(OrderName, Arc<Authorization>)>,
        now: Time,
    ) -> Result<Order> {
        if let Some(certificate) = order.replaces
            && self.replacing_order(certificate, now)?.is_some()
        {
            return Err(Error::new(Class::AlreadyReplaced, "another order replaces this certificate already"));
        }
        let id = self.insert(
            "INSERT INTO orders (account, created, expires, not_before, not_after, profile, replaces)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            (order.account, now, order.expires, order.not_before, order.not_after, &order.profile, order.replaces),
        )?;
        for (position, (name, authorization)) in names.iter().enumerate() {
            self.execute(
                "INSERT INTO order_authorizations (order_id, position, identifier_type, identifier, authorization)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                (id, position, &name.kind, &name.value, authorization.id),
            )?;
        }
        let NewOrder { account, expires, not_before, not_after, profile, replaces } = order;
        let (names, authorizations) = names.into_iter().unzip();
        let order = Order {
            id,
            account,
            created: now,
            expires,
            not_before,
            not_after,
            profile,
            replaces,
            csr_hash: None,
            certificate: None,
            names,
            authorizations,
        };
        if recent::may_hold(&order) {
            self.leave(Trace::Order(order.clone()));
        }
        Ok(order)
    }

    /// Note the CSR that an order is finalized with, in the same change as its certificate.
    ///
    /// # Errors
    /// OrderNotReady when the order is not ready at this time: it was finalized meanwhile, or has ended.
    pub fn finalize_order(&self, id: i64, csr_hash: &[u8], now: Time) -> Result<()> {
        let order = self.order(id)?.ok_or_else(|| Error::internal(format!("order {id} is gone")))?;
        order.check_ready(now)?;
        if order.authorizations.iter().any(|a| a.unchallenged) {
            self.check_unchallenged(order.account, now)?;
        }
        self.leave(Trace::ChangedOrder(id));
        self.execute_on_record("UPDATE orders SET csr_hash = ?2 WHERE id = ?1", (id, csr_hash))?;
        Ok(())
    }

    /// What was given without a challenge holds as long as the credential does.
    fn check_unchallenged(&self, account: i64, now: Time) -> Result<()> {
        let kid = self.account(account)?.and_then(|a| a.eab);
        let eab = match kid {
            Some(kid) => self.eab(&kid)?,
            None => None,
        };
        match eab {
            Some(eab) if eab.authorizes(now) => Ok(()),
            _ => Err(Error::unauthorized("the credential that needed no challenge was taken back or has ended")),
        }
    }
}
