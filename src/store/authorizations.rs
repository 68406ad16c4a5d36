//! Authorizations (RFC 8555, 7.1.4). Only facts are stored; the status follows from them.

use super::challenges::{CHALLENGE_COLUMNS, challenge_from};
use super::recent::Trace;
use super::{Challenge, OrderName, Read, ValidationResult, Write};
use crate::clock::Time;
use crate::error::{Error, Result};
use rusqlite::{Row, params};
use std::sync::Arc;

/// An authorization with its challenges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// Row id; its URL ends with it.
    pub id: i64,
    /// Whose it is.
    pub account: i64,
    /// `dns` or `ip`.
    pub identifier_type: String,
    /// The name, without a leading `*.`.
    pub identifier: String,
    /// Whether it is for the wildcard of that name.
    pub wildcard: bool,
    /// When it was made.
    pub created: Time,
    /// Until when it serves.
    pub expires: Time,
    /// When it was deactivated.
    pub deactivated: Option<Time>,
    /// Whether it serves the names below it as well (RFC 9444).
    pub subdomains: bool,
    /// Whether it was given on the strength of an EAB alone.
    pub unchallenged: bool,
    /// Its challenges.
    pub challenges: Vec<Challenge>,
}

/// What an authorization is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// `dns` or `ip`.
    pub kind: &'static str,
    /// The name, without a leading `*.`.
    pub base: String,
    /// Whether it is for the wildcard of that name.
    pub wildcard: bool,
}

/// An authorization to be made.
#[derive(Clone, Debug)]
pub struct NewAuthorization {
    /// What it is for.
    pub name: Name,
    /// Its challenges, each a type and a token.
    pub challenges: Vec<(String, String)>,
    /// Whether it serves orders until it expires, as those made by newAuthz do.
    pub standing: bool,
    /// Whether it serves the names below it as well.
    pub subdomains: bool,
    /// Whether it is born valid, on the strength of an EAB alone.
    pub unchallenged: bool,
    /// Until when it serves.
    pub expires: Time,
}

/// RFC 8555, 7.1.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum AuthorizationStatus {
    Pending,
    Valid,
    Invalid,
    Deactivated,
    Expired,
}

impl AuthorizationStatus {
    /// The word in RFC 8555, 7.1.6.
    pub fn as_str(self) -> &'static str {
        match self {
            AuthorizationStatus::Pending => "pending",
            AuthorizationStatus::Valid => "valid",
            AuthorizationStatus::Invalid => "invalid",
            AuthorizationStatus::Deactivated => "deactivated",
            AuthorizationStatus::Expired => "expired",
        }
    }
}

impl Authorization {
    /// Its status at this time.
    pub fn status(&self, now: Time) -> AuthorizationStatus {
        if self.deactivated.is_some() {
            AuthorizationStatus::Deactivated
        } else if self.challenges.iter().any(|c| c.failed.is_some()) {
            AuthorizationStatus::Invalid
        } else if now >= self.expires {
            AuthorizationStatus::Expired
        } else if self.challenges.iter().any(|c| c.validated.is_some()) {
            AuthorizationStatus::Valid
        } else {
            AuthorizationStatus::Pending
        }
    }

    /// As it stands once the result of a challenge of its was stored.
    pub(super) fn settled(&self, challenge: i64, asked: Time, result: ValidationResult) -> Authorization {
        let mut settled = self.clone();
        if let ValidationResult::Valid { expires, .. } = result {
            settled.expires = expires;
        }
        if let Some(challenge) = settled.challenges.iter().find(|c| c.id == challenge).cloned() {
            settled.put(challenge.settled(asked, result));
        }
        settled
    }

    /// Take a challenge of its as it is now.
    pub(super) fn put(&mut self, now: Challenge) {
        if let Some(challenge) = self.challenges.iter_mut().find(|c| c.id == now.id) {
            *challenge = now;
        }
    }

    /// The identifier as an order names it: with `*.` if it is for the wildcard.
    pub fn full_identifier(&self) -> String {
        if self.wildcard { format!("*.{}", self.identifier) } else { self.identifier.clone() }
    }
}

impl Read<'_> {
    /// An authorization with its challenges.
    ///
    /// # Errors
    /// The database's.
    pub fn authorization(&self, id: i64) -> Result<Option<Authorization>> {
        let sql = format!("SELECT {COLUMNS} FROM authorizations a WHERE a.id = ?1");
        self.with_challenges(self.optional(&sql, [id], authorization_from)?)
    }

    /// The authorization of a challenge, with its challenges.
    ///
    /// # Errors
    /// The database's.
    pub fn authorization_of(&self, challenge: i64) -> Result<Option<Authorization>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM authorizations a WHERE a.id = (SELECT authorization FROM challenges WHERE id = ?1)"
        );
        self.with_challenges(self.optional(&sql, [challenge], authorization_from)?)
    }

    fn with_challenges(&self, found: Option<Authorization>) -> Result<Option<Authorization>> {
        let Some(mut authorization) = found else { return Ok(None) };
        authorization.challenges = self.challenges_of(authorization.id)?;
        Ok(Some(authorization))
    }

    /// The identifiers of an order, in its order, each with its authorization.
    pub(super) fn names_of_order(&self, order: i64) -> Result<Vec<(OrderName, Arc<Authorization>)>> {
        let sql = format!(
            "SELECT {COLUMNS}, l.identifier_type, l.identifier
             FROM order_authorizations l JOIN authorizations a ON a.id = l.authorization
             WHERE l.order_id = ?1 ORDER BY l.position"
        );
        let found = self.all(&sql, [order], |row| {
            Ok((OrderName { kind: row.get(10)?, value: row.get(11)? }, authorization_from(row)?))
        })?;
        let mut names: Vec<(OrderName, Arc<Authorization>)> = Vec::with_capacity(found.len());
        for (name, authorization) in found {
            // Several names may share one for a domain above them.
            let known = names.iter().find(|(_, a)| a.id == authorization.id).map(|(_, a)| Arc::clone(a));
            let authorization = match known {
                Some(known) => known,
                None => {
                    let challenges = self.challenges_of(authorization.id)?;
                    Arc::new(Authorization { challenges, ..authorization })
                }
            };
            names.push((name, authorization));
        }
        Ok(names)
    }

    /// The challenges of an authorization, the oldest first. They are so few that they are sorted here: SQLite makes a table
    /// for that.
    fn challenges_of(&self, authorization: i64) -> Result<Vec<Challenge>> {
        let sql = format!("SELECT {CHALLENGE_COLUMNS} FROM challenges WHERE authorization = ?1");
        let mut challenges = self.all(&sql, [authorization], challenge_from)?;
        challenges.sort_by_key(|challenge| challenge.id);
        Ok(challenges)
    }

    /// A valid authorization of the account for a name, the one that lasts longest: made by newAuthz, or validated after
    /// `since`; with `caa_since` one whose CAA was checked after that. With `below`, one that serves the names below it.
    ///
    /// # Errors
    /// The database's.
    pub fn reusable_authorization(
        &self,
        account: i64,
        name: &Name,
        below: bool,
        now: Time,
        since: Option<Time>,
        caa_since: Option<Time>,
    ) -> Result<Option<i64>> {
        // A text for each kind, since an account may have thousands that served one order and ended with it.
        let longest = |which: &str, since: Time| {
            let sql = format!(
                "SELECT a.expires, a.id FROM authorizations a JOIN challenges c ON c.authorization = a.id
                 WHERE a.account = ?1 AND a.identifier = ?3 AND a.identifier_type = ?2 AND a.wildcard = ?4
                 AND a.expires > ?5 AND a.deactivated IS NULL AND a.unchallenged = 0 AND (a.subdomains = 1 OR NOT ?8)
                 AND {which} AND c.validated >= ?6 AND (?7 IS NULL OR c.caa_checked >= ?7)
                 AND NOT EXISTS (SELECT 1 FROM challenges f WHERE f.authorization = a.id AND f.failed IS NOT NULL)
                 ORDER BY a.expires DESC LIMIT 1"
            );
            self.optional(&sql, (account, name.kind, &name.base, name.wildcard, now, since, caa_since, below), |row| {
                Ok((row.get::<_, Time>(0)?, row.get::<_, i64>(1)?))
            })
        };
        let standing = longest("a.standing = 1", Time(i64::MIN))?;
        let recent = since.map(|since| longest("a.standing = 0", since)).transpose()?.flatten();
        Ok(standing.max(recent).map(|(_, id)| id))
    }

    /// Whether an account holds a valid authorization for a name that it proved by a challenge.
    ///
    /// # Errors
    /// The database's.
    pub fn has_proved(&self, account: i64, name: &Name, now: Time) -> Result<bool> {
        Ok(self.reusable_authorization(account, name, false, now, Some(Time(i64::MIN)), None)?.is_some())
    }

    /// The domains that an account has proved with all that is below them (RFC 9444), each with its authorization.
    ///
    /// # Errors
    /// The database's.
    pub fn proved_domains(&self, account: i64, now: Time) -> Result<Vec<(String, i64)>> {
        self.all(
            "SELECT a.identifier, a.id FROM authorizations a
             WHERE a.account = ?1 AND a.subdomains = 1 AND a.standing = 1 AND a.expires > ?2 AND a.deactivated IS NULL
             AND EXISTS (SELECT 1 FROM challenges c WHERE c.authorization = a.id AND c.validated IS NOT NULL)
             AND NOT EXISTS (SELECT 1 FROM challenges f WHERE f.authorization = a.id AND f.failed IS NOT NULL)",
            (account, now),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
    }
}

impl Write<'_> {
    /// Make an authorization, pending unless it needs no challenge.
    ///
    /// # Errors
    /// The database's.
    pub fn insert_authorization(&self, account: i64, new: &NewAuthorization, now: Time) -> Result<Authorization> {
        let id = self.insert(
            "INSERT INTO authorizations
             (account, identifier_type, identifier, wildcard, created, expires, standing, subdomains, unchallenged)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                account,
                new.name.kind,
                new.name.base,
                new.name.wildcard,
                now,
                new.expires,
                new.standing,
                new.subdomains,
                new.unchallenged,
            ],
        )?;
        let validated = new.unchallenged.then_some(now);
        Ok(Authorization {
            id,
            account,
            identifier_type: new.name.kind.to_owned(),
            identifier: new.name.base.clone(),
            wildcard: new.name.wildcard,
            created: now,
            expires: new.expires,
            deactivated: None,
            subdomains: new.subdomains,
            unchallenged: new.unchallenged,
            challenges: self.insert_challenges(id, &new.challenges, validated)?,
        })
    }

    /// Deactivate an authorization (RFC 8555, 7.5.2).
    ///
    /// # Errors
    /// Conflict when it is neither pending nor valid.
    pub fn deactivate_authorization(&self, id: i64, now: Time) -> Result<()> {
        let status = self.authorization(id)?.map(|a| a.status(now));
        if !matches!(status, Some(AuthorizationStatus::Pending | AuthorizationStatus::Valid)) {
            return Err(Error::conflict("the authorization is neither pending nor valid, so it cannot be deactivated"));
        }
        self.leave(Trace::ChangedAuthorization(id));
        self.execute_on_record("UPDATE authorizations SET deactivated = ?2 WHERE id = ?1", (id, now))?;
        Ok(())
    }
}

const COLUMNS: &str =
    "a.id, a.account, a.identifier_type, a.identifier, a.wildcard, a.expires, a.deactivated, a.subdomains,
    a.unchallenged, a.created";

fn authorization_from(row: &Row<'_>) -> rusqlite::Result<Authorization> {
    Ok(Authorization {
        id: row.get(0)?,
        account: row.get(1)?,
        identifier_type: row.get(2)?,
        identifier: row.get(3)?,
        wildcard: row.get(4)?,
        expires: row.get(5)?,
        deactivated: row.get(6)?,
        subdomains: row.get(7)?,
        unchallenged: row.get(8)?,
        created: row.get(9)?,
        challenges: Vec::new(),
    })
}
