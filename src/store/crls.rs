//! CRLs as they are served, and which leaves each of them would list.

use super::revocations::{COLUMNS, revocation_from};
use super::{Read, Revocation, Write};
use crate::clock::Time;
use crate::error::{Error, Result};

/// A new shard begins after so many leaves, so that no list grows without bound.
const LEAVES_PER_SHARD: i64 = 10_000;

/// Which list of a key version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrlShard {
    /// Everything that it signed.
    Complete,
    /// CA certificates.
    CaCertificates,
    /// Leaves, so many thousands at a time.
    Leaves(i64),
}

impl CrlShard {
    fn number(self) -> i64 {
        match self {
            CrlShard::Complete => super::revocations::COMPLETE_SHARD,
            CrlShard::CaCertificates => super::revocations::CA_SHARD,
            CrlShard::Leaves(shard) => shard,
        }
    }

    pub(super) fn from_number(number: i64) -> CrlShard {
        match number {
            super::revocations::COMPLETE_SHARD => CrlShard::Complete,
            super::revocations::CA_SHARD => CrlShard::CaCertificates,
            shard => CrlShard::Leaves(shard),
        }
    }
}

/// A list that is to be signed again.
#[derive(Clone, Debug)]
pub struct DueCrl {
    /// The key version.
    pub signer: i64,
    /// Which list.
    pub shard: CrlShard,
    /// What its URL begins with, where it has one.
    pub base_url: String,
    /// The number of the last one; 0 before the first.
    pub number: i64,
    /// How much happened to it, to be given back with the signed list.
    pub changes: i64,
    /// What it has to list.
    pub entries: Vec<Revocation>,
}

/// A signed list.
#[derive(Clone, Debug)]
pub struct SignedCrl {
    /// The DER.
    pub der: Vec<u8>,
    /// Its number.
    pub number: i64,
    /// When it was issued.
    pub this_update: Time,
    /// When another follows at the latest.
    pub next_update: Time,
}

impl Read<'_> {
    /// The shard with room for one more leaf whose URLs begin so.
    ///
    /// # Errors
    /// The database's.
    pub fn open_shard(&self, signer: i64, base_url: &str) -> Result<Option<i64>> {
        self.optional(
            "SELECT shard FROM crls WHERE signer = ?1 AND shard >= 0 AND base_url = ?2 AND leaves < ?3
             ORDER BY shard DESC LIMIT 1",
            (signer, base_url, LEAVES_PER_SHARD),
            |row| row.get(0),
        )
    }

    /// A list as it was signed last.
    ///
    /// # Errors
    /// The database's.
    pub fn crl(&self, signer: i64, shard: CrlShard) -> Result<Option<SignedCrl>> {
        self.optional(
            "SELECT crl, number, this_update, next_update FROM crls
             WHERE signer = ?1 AND shard = ?2 AND crl IS NOT NULL",
            (signer, shard.number()),
            |row| {
                Ok(SignedCrl {
                    der: row.get(0)?,
                    number: row.get(1)?,
                    this_update: row.get(2)?,
                    next_update: row.get(3)?,
                })
            },
        )
    }

    /// The lists of key versions whose certificate has not ended that something happened to, or that were signed before
    /// `signed_before`.
    ///
    /// # Errors
    /// The database's.
    pub fn due_crls(&self, now: Time, signed_before: Time) -> Result<Vec<DueCrl>> {
        let rows: Vec<(DueCrl, Option<Time>)> = self.all(
            "SELECT l.signer, l.shard, l.base_url, l.number, l.changes, l.this_update FROM crls l
             JOIN key_versions v ON v.id = l.signer
             WHERE (l.changes <> l.signed_changes OR l.this_update IS NULL OR l.this_update <= ?2)
             AND v.sealed IS NOT NULL
             AND EXISTS (SELECT 1 FROM ca_certificates c WHERE c.version = v.id AND c.not_after >= ?1)
             ORDER BY l.signer, l.shard",
            (now, signed_before),
            |row| {
                let due = DueCrl {
                    signer: row.get(0)?,
                    shard: CrlShard::from_number(row.get(1)?),
                    base_url: row.get(2)?,
                    number: row.get(3)?,
                    changes: row.get(4)?,
                    entries: Vec::new(),
                };
                Ok((due, row.get(5)?))
            },
        )?;
        rows.into_iter()
            .map(|(due, last)| Ok(DueCrl { entries: self.revocations_for(due.signer, due.shard, last)?, ..due }))
            .collect()
    }

    /// What a list has to name: a certificate stays on it until it was listed once after its end (RFC 5280, 3.3).
    fn revocations_for(&self, signer: i64, shard: CrlShard, last: Option<Time>) -> Result<Vec<Revocation>> {
        let whose = match shard {
            CrlShard::Complete => "?2 = ?2",
            // Nobody knows what kind of certificate an unknown one is.
            CrlShard::CaCertificates | CrlShard::Leaves(_) => "(shard = ?2 OR shard IS NULL)",
        };
        let sql = format!(
            "SELECT {COLUMNS} FROM revocations WHERE signer = ?1 AND {whose} AND not_after >= ?3 ORDER BY at, serial"
        );
        self.all(&sql, (signer, shard.number(), last.unwrap_or(Time(0))), revocation_from)
    }

    /// What a list that was signed at this time has to name.
    ///
    /// # Errors
    /// The database's.
    pub fn revocations_on(&self, signer: i64, shard: CrlShard, signed: Time) -> Result<Vec<Revocation>> {
        self.revocations_for(signer, shard, Some(signed))
    }

    /// The key versions that could sign CRLs and have none yet.
    ///
    /// # Errors
    /// The database's.
    pub fn signers_without_crls(&self) -> Result<Vec<i64>> {
        self.all(
            "SELECT v.id FROM key_versions v WHERE v.sealed IS NOT NULL
             AND EXISTS (SELECT 1 FROM ca_certificates c WHERE c.version = v.id)
             AND NOT EXISTS (SELECT 1 FROM crls l WHERE l.signer = v.id AND l.shard = -2)",
            [],
            |row| row.get(0),
        )
    }
}

impl Write<'_> {
    /// Begin the lists of a key version: the complete one, with this number as that of the last one, and the one for CA
    /// certificates.
    ///
    /// # Errors
    /// The database's.
    pub fn begin_crls(&self, signer: i64, number: i64) -> Result<()> {
        for shard in [CrlShard::Complete, CrlShard::CaCertificates] {
            self.execute(
                "INSERT OR IGNORE INTO crls (signer, shard, number) VALUES (?1, ?2, ?3)",
                (signer, shard.number(), number),
            )?;
        }
        Ok(())
    }

    /// What the URL of the list of CA certificates begins with: `base_url`, unless CA certificates were signed already that
    /// name another or none.
    ///
    /// # Errors
    /// The database's.
    pub fn begin_ca_shard(&self, signer: i64, base_url: &str) -> Result<String> {
        self.begin_crls(signer, 0)?;
        self.execute(
            "UPDATE crls SET base_url = ?2, changes = changes + 1 WHERE signer = ?1 AND shard = ?3 AND base_url <> ?2
             AND NOT EXISTS (SELECT 1 FROM ca_certificates c WHERE c.signed_by = ?1 AND c.version <> ?1)",
            (signer, base_url, CrlShard::CaCertificates.number()),
        )?;
        let sql = "SELECT base_url FROM crls WHERE signer = ?1 AND shard = ?2";
        let found = self.optional(sql, (signer, CrlShard::CaCertificates.number()), |row| row.get(0))?;
        Ok(found.unwrap_or_default())
    }

    /// The shard with room for one more leaf whose URLs begin so; a new one where there is none.
    ///
    /// # Errors
    /// The database's.
    pub fn begin_shard(&self, signer: i64, base_url: &str) -> Result<i64> {
        if let Some(shard) = self.open_shard(signer, base_url)? {
            return Ok(shard);
        }
        self.execute(
            "INSERT INTO crls (signer, shard, base_url, number)
             SELECT ?1, coalesce(max(shard), -1) + 1, ?2, 0 FROM crls WHERE signer = ?1 AND shard >= 0",
            (signer, base_url),
        )?;
        self.open_shard(signer, base_url)?.ok_or_else(|| Error::internal("a new CRL shard is not there"))
    }

    /// Note that a shard has one more leaf.
    ///
    /// # Errors
    /// Unavailable when the shard was removed since the leaf was given its URL: nobody would ever sign that list.
    pub fn count_leaf(&self, signer: i64, shard: i64) -> Result<()> {
        let changed =
            self.execute("UPDATE crls SET leaves = leaves + 1 WHERE signer = ?1 AND shard = ?2", (signer, shard))?;
        match changed {
            1 => Ok(()),
            _ => Err(Error::unavailable("the CRL of the certificate was tidied away meanwhile; try again")),
        }
    }

    /// Serve a signed list, which knows so many changes, from now on. False when a later one was kept meanwhile.
    ///
    /// # Errors
    /// The database's.
    pub fn put_crl(&self, signer: i64, shard: CrlShard, changes: i64, signed: &SignedCrl) -> Result<bool> {
        let changed = self.execute(
            "UPDATE crls SET crl = ?3, number = ?4, this_update = ?5, next_update = ?6, signed_changes = ?7
             WHERE signer = ?1 AND shard = ?2 AND number < ?4",
            (signer, shard.number(), &signed.der, signed.number, signed.this_update, signed.next_update, changes),
        )?;
        Ok(changed == 1)
    }
}

#[cfg(test)]
mod tests {
    use crate::error::Class;
    use crate::store::Store;

    #[test]
    fn no_leaf_is_filed_under_a_list_that_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("db")).unwrap();
        let filed = store.change(|write| write.count_leaf(1, 0));
        assert_eq!(filed.map_err(|e| e.class()), Err(Class::Unavailable));
    }
}
