//! Before which ends people want to hear of it, and what they were told already.

use super::{Read, Write};
use crate::clock::{Span, Time};
use crate::error::Result;

/// A certificate whose end comes near.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueNotice {
    /// What kind of certificate.
    pub subject: NoticeSubject,
    /// Its row id.
    pub id: i64,
    /// The name of its item.
    pub name: String,
    /// Its end.
    pub not_after: Time,
    /// The smallest number of days that was asked for and has come.
    pub days: i64,
}

/// Whose end comes near.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeSubject {
    /// A leaf that nothing has replaced.
    Leaf,
    /// The certificate of a signer.
    Signer,
}

impl NoticeSubject {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            NoticeSubject::Leaf => "certificate",
            NoticeSubject::Signer => "signer",
        }
    }
}

impl Read<'_> {
    /// How many days before an end somebody wants to hear of it.
    ///
    /// # Errors
    /// The database's.
    pub fn expiry_warnings(&self, item: i64) -> Result<Vec<i64>> {
        self.all("SELECT days FROM expiry_warnings WHERE item = ?1 ORDER BY days DESC", [item], |row| row.get(0))
    }

    /// The leaves that nothing has replaced whose issuer wants a warning that has not been given.
    ///
    /// # Errors
    /// The database's.
    pub fn due_leaf_notices(&self, now: Time) -> Result<Vec<DueNotice>> {
        self.all(
            "SELECT d.id, d.name, d.not_after, d.days FROM
             (SELECT c.id, coalesce(i.name, lower(hex(c.serial))) AS name, c.not_after, min(w.days) AS days
              FROM expiry_warnings w CROSS JOIN certificates c ON c.issuer = w.item LEFT JOIN items i ON i.id = c.item
              WHERE c.not_after >= ?1 AND c.not_after < ?1 + w.days * 86400 AND c.purpose = 'acme'
              AND NOT EXISTS (SELECT 1 FROM revocations r WHERE r.certificate = c.id)
              AND NOT EXISTS (SELECT 1 FROM certificates n WHERE n.item = c.item AND n.version > c.version)
              GROUP BY c.id) d
             WHERE NOT EXISTS (SELECT 1 FROM expiry_notices s
                               WHERE s.subject = 'certificate' AND s.id = d.id AND s.days <= d.days)",
            [now],
            |row| {
                Ok(DueNotice {
                    subject: NoticeSubject::Leaf,
                    id: row.get(0)?,
                    name: row.get(1)?,
                    not_after: row.get(2)?,
                    days: row.get(3)?,
                })
            },
        )
    }

    /// The certificates of the signers that are in use, each with the smallest warning that has come and was not given;
    /// `unasked` are the days of those for which nobody asked for any.
    ///
    /// # Errors
    /// The database's.
    pub fn due_signer_notices(&self, now: Time, unasked: &[i64]) -> Result<Vec<DueNotice>> {
        let mut due = Vec::new();
        for key in self.key_items()? {
            let asked = self.expiry_warnings(key)?;
            let warnings = if asked.is_empty() { unasked } else { &asked };
            let current = self.key(key)?.current;
            for certificate in self.ca_certificates(current.id)? {
                let comes = |days: &&i64| certificate.not_after < now.plus(Span::days(**days));
                let Some(days) = warnings.iter().filter(comes).min().copied() else { continue };
                if certificate.not_after < now || self.was_noticed(NoticeSubject::Signer, certificate.id, days)? {
                    continue;
                }
                due.push(DueNotice {
                    subject: NoticeSubject::Signer,
                    id: certificate.id,
                    name: self.item(key)?.name,
                    not_after: certificate.not_after,
                    days,
                });
            }
        }
        Ok(due)
    }

    fn was_noticed(&self, subject: NoticeSubject, id: i64, days: i64) -> Result<bool> {
        let sql = "SELECT 1 FROM expiry_notices WHERE subject = ?1 AND id = ?2 AND days <= ?3";
        Ok(self.optional(sql, (subject.as_str(), id, days), |_| Ok(()))?.is_some())
    }
}

impl Write<'_> {
    /// Set how many days before an end somebody wants to hear of it.
    ///
    /// # Errors
    /// The database's.
    pub fn set_expiry_warnings(&self, item: i64, days: &[i64]) -> Result<()> {
        self.execute("DELETE FROM expiry_warnings WHERE item = ?1", [item])?;
        for days in days {
            self.execute("INSERT OR IGNORE INTO expiry_warnings (item, days) VALUES (?1, ?2)", (item, days))?;
        }
        Ok(())
    }

    /// Note that a warning was given.
    ///
    /// # Errors
    /// The database's.
    pub fn insert_expiry_notice(&self, notice: &DueNotice) -> Result<()> {
        self.execute(
            "INSERT OR IGNORE INTO expiry_notices (subject, id, days) VALUES (?1, ?2, ?3)",
            (notice.subject.as_str(), notice.id, notice.days),
        )?;
        Ok(())
    }
}
