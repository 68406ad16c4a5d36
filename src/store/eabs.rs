//! External account binding credentials.

use super::{MOST_SEEN, Read, Write};
use crate::clock::Time;
use crate::error::{Error, Result};
use rusqlite::Row;

/// A credential; its MAC key is sealed.
#[derive(Clone, Debug)]
pub struct Eab {
    /// The key identifier that a client shows.
    pub kid: String,
    /// The issuer that it is for.
    pub issuer: i64,
    /// The MAC key, sealed under the data key.
    pub sealed_mac_key: Vec<u8>,
    /// From when it no longer serves.
    pub expires: Time,
    /// How often it may be used in all.
    pub uses: i64,
    /// How often it has been used.
    pub used: i64,
    /// The only names that its accounts may ask for, if they are bounded.
    pub allowed_domains: Option<Vec<String>>,
    /// Whether its account needs no challenge for these names.
    pub no_challenge: bool,
    /// Until when it needs none.
    pub authorized_until: Option<Time>,
    /// What the administrator says of it.
    pub note: String,
    /// When it was taken back.
    pub revoked: Option<Time>,
}

impl Eab {
    /// Whether an account can still be made with it.
    ///
    /// # Errors
    /// Unauthorized, with what is in the way.
    pub fn check_serves(&self, now: Time) -> Result<()> {
        let why = if self.revoked.is_some() {
            "was taken back"
        } else if self.used >= self.uses {
            "has been used already"
        } else if now >= self.expires {
            "has expired"
        } else {
            return Ok(());
        };
        Err(Error::unauthorized(format!("the external account binding {why}; ask for a new one")))
    }

    /// Whether its account is authorized without a challenge at this time.
    pub fn authorizes(&self, now: Time) -> bool {
        self.no_challenge && self.revoked.is_none() && self.authorized_until.is_none_or(|until| now < until)
    }
}

const COLUMNS: &str =
    "kid, issuer, sealed_mac_key, expires, uses, used, allowed_domains, no_challenge, authorized_until,
    note, revoked";

impl Read<'_> {
    /// The credential with this key identifier.
    ///
    /// # Errors
    /// The database's.
    pub fn eab(&self, kid: &str) -> Result<Option<Eab>> {
        self.optional(&format!("SELECT {COLUMNS} FROM eabs WHERE kid = ?1"), [kid], eab_from)
    }

    /// See the key identifier of every credential that was not taken back, or of a hundred thousand.
    ///
    /// # Errors
    /// The database's.
    pub fn each_kid(&self, mut see: impl FnMut(&str)) -> Result<()> {
        let sql = format!("SELECT kid FROM eabs WHERE revoked IS NULL LIMIT {MOST_SEEN}");
        self.each(&sql, [], |row| Ok(row.get_ref(0)?.as_str().map(&mut see)?))
    }

    /// The credentials of an issuer that can still be used, or whose account needs no challenge.
    ///
    /// # Errors
    /// The database's.
    pub fn outstanding_eabs(&self, issuer: i64, now: Time) -> Result<Vec<Eab>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM eabs WHERE issuer = ?1 AND revoked IS NULL
             AND (expires > ?2 AND used < uses OR no_challenge = 1 AND used > 0) ORDER BY created"
        );
        self.all(&sql, (issuer, now), eab_from)
    }
}

impl Write<'_> {
    /// Keep a new credential.
    ///
    /// # Errors
    /// The database's.
    pub fn insert_eab(&self, eab: &Eab, now: Time) -> Result<()> {
        self.execute(
            "INSERT INTO eabs (kid, issuer, sealed_mac_key, created, expires, uses, allowed_domains, no_challenge,
             authorized_until, note) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            (
                &eab.kid,
                eab.issuer,
                &eab.sealed_mac_key,
                now,
                eab.expires,
                eab.uses,
                eab.allowed_domains.as_ref().map(|d| d.join("\n")),
                eab.no_challenge,
                eab.authorized_until,
                &eab.note,
            ),
        )?;
        Ok(())
    }

    /// Use a credential once, if it still serves.
    ///
    /// # Errors
    /// Unauthorized when it is used up, expired, unknown, or another issuer's.
    pub fn use_eab(&self, kid: &str, issuer: i64, now: Time) -> Result<()> {
        let unknown = || Error::unauthorized("the external account binding is unknown here; ask for a new one");
        self.eab(kid)?.filter(|eab| eab.issuer == issuer).ok_or_else(unknown)?.check_serves(now)?;
        self.execute_on_record("UPDATE eabs SET used = used + 1 WHERE kid = ?1", [kid])?;
        Ok(())
    }

    /// Take a credential back: it makes no account any more, and what it gave without a challenge ends.
    ///
    /// # Errors
    /// Conflict when it was taken back before.
    pub fn revoke_eab(&self, kid: &str, now: Time) -> Result<()> {
        let changed = self.execute("UPDATE eabs SET revoked = ?2 WHERE kid = ?1 AND revoked IS NULL", (kid, now))?;
        if changed != 1 {
            return Err(Error::conflict("the credential was taken back before"));
        }
        self.execute(
            "UPDATE authorizations SET deactivated = ?2 WHERE unchallenged = 1 AND deactivated IS NULL
             AND account IN (SELECT id FROM accounts WHERE eab = ?1)",
            (kid, now),
        )?;
        Ok(())
    }
}

fn eab_from(row: &Row<'_>) -> rusqlite::Result<Eab> {
    let domains: Option<String> = row.get(6)?;
    Ok(Eab {
        kid: row.get(0)?,
        issuer: row.get(1)?,
        sealed_mac_key: row.get(2)?,
        expires: row.get(3)?,
        uses: row.get(4)?,
        used: row.get(5)?,
        allowed_domains: domains.map(|d| d.lines().map(str::to_owned).collect()),
        no_challenge: row.get(7)?,
        authorized_until: row.get(8)?,
        note: row.get(9)?,
        revoked: row.get(10)?,
    })
}
