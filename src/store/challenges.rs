//! Challenges (RFC 8555, 7.1.5) and their validation. Only facts are stored; the status follows from them.

use super::recent::Trace;
use super::{Read, Write};
use crate::clock::Time;
use crate::error::Result;
use rusqlite::{Row, ToSql, params, params_from_iter};

/// A challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Row id; its URL ends with it.
    pub id: i64,
    /// What it belongs to.
    pub authorization: i64,
    /// `http-01` and so on.
    pub kind: String,
    /// The token (RFC 8555, 8.1), in base64url.
    pub token: String,
    /// When the client asked for validation.
    pub requested: Option<Time>,
    /// When it was validated.
    pub validated: Option<Time>,
    /// When it failed for good.
    pub failed: Option<Time>,
    /// When CAA was last seen to permit the name.
    pub caa_checked: Option<Time>,
    /// Why it failed: the name of the class, and the sentence.
    pub error: Option<(String, String)>,
}

/// RFC 8555, 7.1.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ChallengeStatus {
    Pending,
    Processing,
    Valid,
    Invalid,
}

impl ChallengeStatus {
    /// The word in RFC 8555, 7.1.6.
    pub fn as_str(self) -> &'static str {
        match self {
            ChallengeStatus::Pending => "pending",
            ChallengeStatus::Processing => "processing",
            ChallengeStatus::Valid => "valid",
            ChallengeStatus::Invalid => "invalid",
        }
    }
}

impl Challenge {
    /// Its status.
    pub fn status(&self) -> ChallengeStatus {
        match (self.failed, self.validated, self.requested) {
            (Some(_), _, _) => ChallengeStatus::Invalid,
            (None, Some(_), _) => ChallengeStatus::Valid,
            (None, None, Some(_)) => ChallengeStatus::Processing,
            (None, None, None) => ChallengeStatus::Pending,
        }
    }

    /// As it stands once this was stored of it.
    pub fn settled(self, asked: Time, result: ValidationResult) -> Challenge {
        let asked = Challenge { requested: self.requested.or(Some(asked)), ..self };
        match result {
            ValidationResult::Valid { at, caa_checked, .. } => {
                Challenge { validated: Some(at), caa_checked: caa_checked.then_some(at), ..asked }
            }
            ValidationResult::Invalid { at, class, detail } => {
                Challenge { failed: Some(at), error: Some((class, detail)), ..asked }
            }
        }
    }
}

/// How a validation ended.
#[derive(Clone, Debug)]
pub enum ValidationResult {
    /// The name was proved.
    Valid {
        /// When.
        at: Time,
        /// Until when the authorization serves.
        expires: Time,
        /// Whether CAA was asked, and permits the name.
        caa_checked: bool,
    },
    /// It failed for good.
    Invalid {
        /// When.
        at: Time,
        /// The name of the class.
        class: String,
        /// The sentence.
        detail: String,
    },
}

/// What a validator has to know.
#[derive(Clone, Debug)]
pub struct ValidationJob {
    /// The challenge.
    pub challenge: i64,
    /// Its type.
    pub kind: String,
    /// Its token.
    pub token: String,
    /// The account, whose share of the validators is bounded.
    pub account: i64,
    /// The account key's thumbprint.
    pub thumbprint: String,
    /// `dns` or `ip`.
    pub identifier_type: String,
    /// What is to be validated, without a leading `*.`.
    pub identifier: String,
    /// Whether it is the wildcard of that name.
    pub wildcard: bool,
    /// Whether it is to serve the names below it as well.
    pub subdomains: bool,
    /// The issuer of the account.
    pub issuer: i64,
}

impl Read<'_> {
    /// A challenge.
    ///
    /// # Errors
    /// The database's.
    pub fn challenge(&self, id: i64) -> Result<Option<Challenge>> {
        let sql = format!("SELECT {CHALLENGE_COLUMNS} FROM challenges WHERE id = ?1");
        self.optional(&sql, [id], challenge_from)
    }

    /// The validations that were asked for, have no result, and could still have one.
    ///
    /// # Errors
    /// The database's.
    pub fn due_validations(&self, now: Time) -> Result<Vec<ValidationJob>> {
        self.all(&format!("{JOBS} AND c.requested IS NOT NULL ORDER BY c.id"), [now], job_from)
    }

    /// What a validator has to know; `None` when there is nothing to do any more.
    ///
    /// # Errors
    /// The database's.
    pub fn validation_job(&self, challenge: i64, now: Time) -> Result<Option<ValidationJob>> {
        self.optional(&format!("{JOBS} AND c.id = ?2"), (now, challenge), job_from)
    }
}

impl Write<'_> {
    /// Make the challenges of an authorization, each a type and a token, by one statement: each costs what all cost.
    ///
    /// # Errors
    /// The database's.
    pub(super) fn insert_challenges(
        &self,
        authorization: i64,
        new: &[(String, String)],
        validated: Option<Time>,
    ) -> Result<Vec<Challenge>> {
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let rows = vec!["(?, ?, ?, ?, ?)"; new.len()].join(", ");
        let sql = format!("INSERT INTO challenges (authorization, type, token, requested, validated) VALUES {rows}");
        let values = new
            .iter()
            .flat_map(|(kind, token)| -> [&dyn ToSql; 5] { [&authorization, kind, token, &validated, &validated] });
        self.execute(&sql, params_from_iter(values))?;
        // A statement numbers its rows in their order, one after the other.
        let first = self.db.last_insert_rowid().saturating_sub(new.len() as i64).saturating_add(1);
        Ok((first..)
            .zip(new)
            .map(|(id, (kind, token))| Challenge {
                id,
                authorization,
                kind: kind.clone(),
                token: token.clone(),
                requested: validated,
                validated,
                failed: None,
                caa_checked: None,
                error: None,
            })
            .collect())
    }

    /// Note that the client asked for validation, unless it had asked before or the authorization waits for none any more, and
    /// see how it stands.
    ///
    /// # Errors
    /// The database's.
    pub fn request_validation(&self, challenge: i64, now: Time) -> Result<Option<Challenge>> {
        self.execute_on_record(
            "UPDATE challenges SET requested = ?2
             WHERE id = ?1 AND requested IS NULL AND validated IS NULL AND failed IS NULL
             AND EXISTS (SELECT 1 FROM authorizations a
                         WHERE a.id = authorization AND a.deactivated IS NULL AND a.expires > ?2)
             AND NOT EXISTS (SELECT 1 FROM challenges o WHERE o.authorization = challenges.authorization
                             AND (o.validated IS NOT NULL OR o.failed IS NOT NULL))",
            (challenge, now),
        )?;
        let now = self.challenge(challenge)?;
        if let Some(now) = &now {
            self.leave(Trace::Challenge(now.clone()));
        }
        Ok(now)
    }

    /// Note how a validation ended that was asked for at a time. False when it came too late, since the authorization was
    /// decided, or, for a proof, was deactivated or has expired: then nothing is changed.
    ///
    /// # Errors
    /// The database's.
    pub fn settle_validation(&self, challenge: i64, asked: Time, result: &ValidationResult) -> Result<bool> {
        let settled = match result {
            ValidationResult::Valid { at, caa_checked, .. } => self.execute_on_record(
                "UPDATE challenges SET requested = coalesce(requested, ?4), validated = ?2, caa_checked = ?3
                 WHERE id = ?1 AND validated IS NULL AND failed IS NULL
                 AND EXISTS (SELECT 1 FROM authorizations a
                             WHERE a.id = authorization AND a.deactivated IS NULL AND a.expires > ?2)
                 AND NOT EXISTS (SELECT 1 FROM challenges o WHERE o.authorization = challenges.authorization
                                 AND o.failed IS NOT NULL)",
                (challenge, at, caa_checked.then_some(*at), asked),
            )?,
            ValidationResult::Invalid { at, class, detail } => self.execute_on_record(
                "UPDATE challenges SET requested = coalesce(requested, ?5), failed = ?2, error_class = ?3, error_detail = ?4
                 WHERE id = ?1 AND validated IS NULL AND failed IS NULL
                 AND NOT EXISTS (SELECT 1 FROM challenges o WHERE o.authorization = challenges.authorization
                                 AND o.validated IS NOT NULL)",
                params![challenge, at, class, detail, asked],
            )?,
        };
        if let (1, ValidationResult::Valid { expires, .. }) = (settled, result) {
            self.execute_on_record(
                "UPDATE authorizations SET expires = ?2 WHERE id = (SELECT authorization FROM challenges WHERE id = ?1)",
                (challenge, expires),
            )?;
        }
        if settled == 1 {
            self.leave(Trace::Settled { challenge, asked, result: result.clone() });
        }
        Ok(settled == 1)
    }
}

/// What can be validated at `?1`.
const JOBS: &str = "SELECT c.id, c.type, c.token, a.account, n.thumbprint, a.identifier_type, a.identifier, a.wildcard,
    a.subdomains, n.issuer
    FROM challenges c JOIN authorizations a ON a.id = c.authorization JOIN accounts n ON n.id = a.account
    WHERE c.validated IS NULL AND c.failed IS NULL
    AND a.deactivated IS NULL AND a.expires > ?1
    AND NOT EXISTS (SELECT 1 FROM challenges o WHERE o.authorization = a.id
                    AND (o.validated IS NOT NULL OR o.failed IS NOT NULL))";

fn job_from(row: &Row<'_>) -> rusqlite::Result<ValidationJob> {
    Ok(ValidationJob {
        challenge: row.get(0)?,
        kind: row.get(1)?,
        token: row.get(2)?,
        account: row.get(3)?,
        thumbprint: row.get(4)?,
        identifier_type: row.get(5)?,
        identifier: row.get(6)?,
        wildcard: row.get(7)?,
        subdomains: row.get(8)?,
        issuer: row.get(9)?,
    })
}

pub(super) const CHALLENGE_COLUMNS: &str =
    "id, authorization, type, token, requested, validated, failed, error_class, error_detail, caa_checked";

pub(super) fn challenge_from(row: &Row<'_>) -> rusqlite::Result<Challenge> {
    let error: (Option<String>, Option<String>) = (row.get(7)?, row.get(8)?);
    Ok(Challenge {
        id: row.get(0)?,
        authorization: row.get(1)?,
        kind: row.get(2)?,
        token: row.get(3)?,
        requested: row.get(4)?,
        validated: row.get(5)?,
        failed: row.get(6)?,
        caa_checked: row.get(9)?,
        error: error.0.zip(error.1),
    })
}
