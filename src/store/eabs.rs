//! External account binding credentials.

use super::{Read, Write};
use crate::clock::Time;
use crate::error::{Error, Result};

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
}

impl Read<'_> {
    /// The credential with this key identifier.
    ///
    /// # Errors
    /// The database's.
    pub fn eab(&self, kid: &str) -> Result<Option<Eab>> {
        self.optional(
            "SELECT kid, issuer, sealed_mac_key, expires, uses, used FROM eabs WHERE kid = ?1",
            [kid],
            |row| {
                Ok(Eab {
                    kid: row.get(0)?,
                    issuer: row.get(1)?,
                    sealed_mac_key: row.get(2)?,
                    expires: Time(row.get(3)?),
                    uses: row.get(4)?,
                    used: row.get(5)?,
                })
            },
        )
    }
}

impl Write<'_> {
    /// Keep a new credential.
    ///
    /// # Errors
    /// The database's.
    pub fn insert_eab(&self, eab: &Eab, now: Time) -> Result<()> {
        self.execute(
            "INSERT INTO eabs (kid, issuer, sealed_mac_key, created, expires, uses) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            (&eab.kid, eab.issuer, &eab.sealed_mac_key, now.0, eab.expires.0, eab.uses),
        )?;
        Ok(())
    }

    /// Use a credential once, if it still serves.
    ///
    /// # Errors
    /// Unauthorized when it is used up, expired, unknown, or another issuer's.
    pub fn use_eab(&self, kid: &str, issuer: i64, now: Time) -> Result<()> {
        let changed = self.execute(
            "UPDATE eabs SET used = used + 1 WHERE kid = ?1 AND issuer = ?2 AND used < uses AND expires > ?3",
            (kid, issuer, now.0),
        )?;
        if changed == 1 {
            Ok(())
        } else {
            Err(Error::unauthorized("the external account binding has been used or has expired; ask for a new one"))
        }
    }
}
