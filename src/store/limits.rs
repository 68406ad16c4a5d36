//! Limits that an administrator set, and the counts that they bound.

use super::orders::NOT_INVALID;
use super::{Read, Store, Write, damaged};
use crate::clock::{Span, Time};
use crate::error::{Class, Error, Result};
use std::collections::HashMap;
use std::sync::Arc;

/// What can be limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum LimitKind {
    PendingOrders,
    PendingAuthorizations,
    FailedValidations,
    CertificatesPerWeek,
}

impl LimitKind {
    /// All of them.
    pub const ALL: [LimitKind; 4] = [
        LimitKind::PendingOrders,
        LimitKind::PendingAuthorizations,
        LimitKind::FailedValidations,
        LimitKind::CertificatesPerWeek,
    ];

    /// The flag of set-limits, and the name in the database.
    pub fn name(self) -> &'static str {
        match self {
            LimitKind::PendingOrders => "pending-orders",
            LimitKind::PendingAuthorizations => "pending-authorizations",
            LimitKind::FailedValidations => "failed-validations",
            LimitKind::CertificatesPerWeek => "certificates-per-week",
        }
    }
}

/// What an issuer and its accounts may have at most. Those of single accounts are read when they are needed: there may be as
/// many as accounts.
pub struct Limits {
    issuer: i64,
    /// Of the issuer as a whole.
    values: HashMap<LimitKind, i64>,
    /// Whether any account has limits of its own.
    of_accounts: bool,
}

impl Store {
    /// The limits of an issuer, as they were set last.
    ///
    /// # Errors
    /// The database's.
    pub fn limits(&self, issuer: i64) -> Result<Arc<Limits>> {
        self.limits.read(self, issuer, |read| read.limits_of(issuer))
    }

    /// As [`Read::check_failures`], which is read only where anybody has such a limit.
    ///
    /// # Errors
    /// RateLimited, with how long to wait; the database's.
    pub fn check_failures(&self, limits: &Limits, account: i64, identifier: &str, now: Time) -> Result<()> {
        if !limits.of_accounts && !limits.values.contains_key(&LimitKind::FailedValidations) {
            return Ok(());
        }
        self.read(|read| read.check_failures(limits, account, identifier, now))
    }
}

impl Read<'_> {
    /// The limit that was set for an account, or for the issuer as a whole.
    ///
    /// # Errors
    /// The database's.
    pub fn limit(&self, issuer: i64, account: Option<i64>, kind: LimitKind) -> Result<Option<i64>> {
        self.optional(
            "SELECT value FROM limits WHERE issuer = ?1 AND coalesce(account, 0) = coalesce(?2, 0) AND kind = ?3",
            (issuer, account, kind.name()),
            |row| row.get(0),
        )
    }

    fn limits_of(&self, issuer: i64) -> Result<Limits> {
        let sql = "SELECT kind, value FROM limits WHERE issuer = ?1 AND coalesce(account, 0) = 0";
        let rows = self.all(sql, [issuer], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
        let limit = |(name, value): (String, _)| {
            let kind = LimitKind::ALL.into_iter().find(|kind| kind.name() == name);
            Ok((kind.ok_or_else(|| damaged("a limit"))?, value))
        };
        let any = "SELECT 1 FROM limits WHERE issuer = ?1 AND coalesce(account, 0) > 0 LIMIT 1";
        let of_accounts = self.optional(any, [issuer], |_| Ok(()))?.is_some();
        Ok(Limits { issuer, values: rows.into_iter().map(limit).collect::<Result<_>>()?, of_accounts })
    }

    fn limit_in(&self, limits: &Limits, account: Option<i64>, kind: LimitKind) -> Result<Option<i64>> {
        match account {
            None => Ok(limits.values.get(&kind).copied()),
            Some(_) if !limits.of_accounts => Ok(None),
            Some(_) => self.limit(limits.issuer, account, kind),
        }
    }

    /// How much of a kind there is: of one account, or of all of an issuer.
    ///
    /// # Errors
    /// The database's.
    fn count_of(&self, issuer: i64, account: Option<i64>, kind: LimitKind, now: Time) -> Result<i64> {
        // Two texts for each, since an OR over both would walk over everybody's rows.
        let count = match kind {
            LimitKind::PendingOrders => {
                let whose = whose("o", account);
                let sql = format!(
                    "SELECT count(*) FROM orders o WHERE {whose} AND o.expires > ?1 AND {NOT_INVALID}
                     AND NOT EXISTS (SELECT 1 FROM certificates c WHERE c.order_id = o.id)"
                );
                self.optional(&sql, (now, account.unwrap_or(issuer)), |row| row.get(0))?
            }
            LimitKind::PendingAuthorizations => {
                let whose = whose("a", account);
                let sql = format!(
                    "SELECT count(*) FROM authorizations a WHERE {whose} AND a.expires > ?1 AND a.deactivated IS NULL
                     AND NOT EXISTS (SELECT 1 FROM challenges c WHERE c.authorization = a.id
                     AND (c.validated IS NOT NULL OR c.failed IS NOT NULL))"
                );
                self.optional(&sql, (now, account.unwrap_or(issuer)), |row| row.get(0))?
            }
            LimitKind::CertificatesPerWeek => {
                let column = if account.is_some() { "account" } else { "issuer" };
                let sql = format!(
                    "SELECT count(*) FROM certificates WHERE {column} = ?2 AND issued > ?1 AND purpose = 'acme'"
                );
                self.optional(&sql, (now.minus(Span::days(7)).0, account.unwrap_or(issuer)), |row| row.get(0))?
            }
            LimitKind::FailedValidations => Some(0),
        };
        Ok(count.unwrap_or(0))
    }

    /// How many validations of a name failed in the last hour for an account, and when the first of them did.
    ///
    /// # Errors
    /// The database's.
    fn failed_validations(&self, account: i64, identifier: &str, now: Time) -> Result<(i64, Time)> {
        let found = self.optional(
            "SELECT count(*), coalesce(min(c.failed), 0) FROM authorizations a JOIN challenges c ON c.authorization = a.id
             WHERE a.account = ?1 AND a.identifier = ?2 AND c.failed > ?3",
            (account, identifier, now.minus(Span::HOUR).0),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        Ok(found.unwrap_or((0, now)))
    }

    /// When room is made for one more certificate this week: when the one goes out of it that is over the limit.
    ///
    /// # Errors
    /// The database's.
    fn room_in_week(&self, issuer: i64, account: Option<i64>, over: i64, now: Time) -> Result<Time> {
        let column = if account.is_some() { "account" } else { "issuer" };
        let sql = format!(
            "SELECT issued FROM certificates WHERE {column} = ?2 AND issued > ?1 AND purpose = 'acme'
             ORDER BY issued LIMIT 1 OFFSET ?3"
        );
        let since = now.minus(Span::days(7));
        let issued = self.optional(&sql, (since, account.unwrap_or(issuer), over), |row| row.get(0))?;
        Ok(issued.unwrap_or(now).plus(Span::days(7)))
    }

    /// Whether an account, and its issuer as a whole, may have one more of each of these kinds.
    ///
    /// # Errors
    /// RateLimited, with how long to wait where that is known.
    pub fn check_limits(&self, limits: &Limits, account: i64, kinds: &[LimitKind], now: Time) -> Result<()> {
        let issuer = limits.issuer;
        for (kind, whose) in kinds.iter().flat_map(|kind| [(*kind, Some(account)), (*kind, None)]) {
            let Some(limit) = self.limit_in(limits, whose, kind)? else { continue };
            let count = self.count_of(issuer, whose, kind, now)?;
            if count < limit {
                continue;
            }
            let of = if whose.is_some() { "this account" } else { "this issuer" };
            let what = format!("{of} has reached its limit of {limit} {}", kind.name().replace('-', " "));
            let error = reached(&what);
            // What is pending can be finished at any time; a week is over when it is over.
            return Err(match kind {
                LimitKind::CertificatesPerWeek => {
                    let room = self.room_in_week(issuer, whose, count.saturating_sub(limit), now)?;
                    error.retry_after(room.since(now).0)
                }
                _ => error,
            });
        }
        Ok(())
    }

    /// Whether an account may have one more validation of a name that failed.
    ///
    /// # Errors
    /// RateLimited, with how long to wait.
    pub fn check_failures(&self, limits: &Limits, account: i64, identifier: &str, now: Time) -> Result<()> {
        let kind = LimitKind::FailedValidations;
        let own = self.limit_in(limits, Some(account), kind)?;
        let Some(limit) = own.or_else(|| limits.values.get(&kind).copied()) else { return Ok(()) };
        let (count, first) = self.failed_validations(account, identifier, now)?;
        if count < limit {
            return Ok(());
        }
        let what = format!("{identifier} has failed {limit} validations within an hour");
        Err(reached(&what).retry_after(first.plus(Span::HOUR).since(now).0))
    }
}

/// Rows of one account, by its index; or of all accounts of an issuer, by the index of what has not expired.
fn whose(table: &str, account: Option<i64>) -> String {
    match account {
        Some(_) => format!("{table}.account = ?2"),
        None => format!("(SELECT n.issuer FROM accounts n WHERE n.id = {table}.account) = ?2"),
    }
}

fn reached(what: &str) -> Error {
    Error::new(Class::RateLimited, format!("{what}; ask the administrator for more"))
}

impl Write<'_> {
    /// Set a limit, or lift it.
    ///
    /// # Errors
    /// The database's.
    pub fn set_limit(&self, issuer: i64, account: Option<i64>, kind: LimitKind, value: Option<i64>) -> Result<()> {
        self.execute(
            "DELETE FROM limits WHERE issuer = ?1 AND coalesce(account, 0) = coalesce(?2, 0) AND kind = ?3",
            (issuer, account, kind.name()),
        )?;
        if let Some(value) = value {
            self.execute(
                "INSERT INTO limits (issuer, account, kind, value) VALUES (?1, ?2, ?3, ?4)",
                (issuer, account, kind.name(), value),
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_many_accounts_hold_and_are_not_gathered() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let store = Store::open(&path).unwrap();
        let db = rusqlite::Connection::open(&path).unwrap();
        db.execute_batch(
            "PRAGMA foreign_keys = OFF;
             INSERT INTO limits (issuer, kind, value) VALUES (1, 'pending-orders', 5);
             WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1000)
             INSERT INTO limits (issuer, account, kind, value) SELECT 1, n, 'pending-orders', 0 FROM n;",
        )
        .unwrap();
        let limits = store.limits(1).unwrap();
        assert_eq!(limits.values.len(), 1, "after a restore every account is held");
        let check =
            |account| store.read(|read| read.check_limits(&limits, account, &[LimitKind::PendingOrders], Time(1)));
        assert!(check(7).is_err(), "its own limit");
        assert!(check(1001).is_ok(), "it has none, and its issuer has room");
    }
}
