//! How many certificates there are in each state, and what ends next, for people and for who watches. Some of it walks over
//! all certificates, so it is asked for seldom and at length.

use super::{CertificateState, Read, TlsCertificate};
use crate::clock::Time;
use crate::error::Result;

/// The certificates of an issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateCounts {
    /// The issuer's name.
    pub issuer: String,
    /// By the order of [`CertificateState::ALL`].
    pub by_state: [u64; CertificateState::ALL.len()],
    /// Those that nothing has replaced although less than a sixth of their life is left: who had them does not renew. Those
    /// that are not filed are not among them, since nobody knows what would replace them.
    pub overdue: u64,
}

/// What ends, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The name of its item; of a certificate that is not filed its serial number.
    pub name: String,
    /// Its end, or the earliest of several.
    pub not_after: Time,
}

const UNREPLACED: &str = "NOT EXISTS (SELECT 1 FROM certificates n WHERE n.item = c.item AND n.version > c.version)";

impl Read<'_> {
    /// Count the certificates that clients got from an issuer, one that was deleted too. It looks at each of them.
    ///
    /// # Errors
    /// The database's.
    pub fn count_certificates(&self, issuer: i64, now: Time) -> Result<CertificateCounts> {
        let counts = CertificateState::ALL.map(|state| format!("count(*) FILTER (WHERE {})", state.condition()));
        let sql = format!(
            "SELECT {}, count(*) FILTER (WHERE {} AND (c.not_after - ?1) * 6 < c.not_after - c.not_before
             AND c.item IS NOT NULL AND {UNREPLACED})
             FROM certificates c LEFT JOIN revocations r ON r.certificate = c.id
             WHERE c.issuer = ?2 AND c.purpose = 'acme'",
            counts.join(", "),
            CertificateState::AboutToExpire.condition()
        );
        let name = self.item(issuer)?.name;
        let counted = self.optional(&sql, (now, issuer), |row| {
            Ok(([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?], row.get(4)?))
        })?;
        let (by_state, overdue) = counted.unwrap_or_default();
        Ok(CertificateCounts { issuer: name, by_state, overdue })
    }

    /// What ends next of an issuer's certificates, of those that nothing has replaced and nobody has revoked.
    ///
    /// # Errors
    /// The database's.
    pub fn next_ends(&self, issuer: i64, now: Time, limit: usize) -> Result<Vec<End>> {
        let sql = format!(
            "SELECT coalesce(i.name, lower(hex(c.serial))), c.not_after FROM certificates c
             LEFT JOIN items i ON i.id = c.item
             WHERE c.issuer = ?1 AND c.not_after >= ?2 AND c.purpose = 'acme' AND {UNREPLACED}
             AND NOT EXISTS (SELECT 1 FROM revocations r WHERE r.certificate = c.id)
             ORDER BY c.not_after LIMIT ?3"
        );
        self.all(&sql, (issuer, now, limit), |row| Ok(End { name: row.get(0)?, not_after: row.get(1)? }))
    }

    /// When the last backup was made, of those that the audit log has above this row.
    ///
    /// # Errors
    /// The database's.
    pub fn last_backup(&self, above: i64) -> Result<Option<Time>> {
        let sql =
            "SELECT at FROM audit WHERE id > ?1 AND action = 'backup' AND outcome = 'done' ORDER BY id DESC LIMIT 1";
        self.optional(sql, [above], |row| row.get(0))
    }

    /// When the signers in use can sign no more, by name.
    ///
    /// # Errors
    /// The database's.
    pub fn signer_ends(&self) -> Result<Vec<End>> {
        let mut ends = Vec::new();
        for key in self.key_items()? {
            let certificates = self.ca_certificates(self.key(key)?.current.id)?;
            if let Some(not_after) = certificates.iter().map(|certificate| certificate.not_after).min() {
                ends.push(End { name: self.item(key)?.name, not_after });
            }
        }
        Ok(ends)
    }

    /// When the daemon's own TLS certificates end, by the name of their issuer.
    ///
    /// # Errors
    /// The database's.
    pub fn tls_ends(&self) -> Result<Vec<End>> {
        let end =
            |tls: TlsCertificate| Ok(End { name: self.item(tls.issuer)?.name, not_after: tls.certificate.not_after });
        self.tls_certificates()?.into_iter().map(end).collect()
    }

    /// When the lists of each signer with a certificate that has not ended have to be there anew at the latest: its key's name,
    /// and the earliest of its lists.
    ///
    /// # Errors
    /// The database's.
    pub fn crl_ends(&self, now: Time) -> Result<Vec<End>> {
        self.all(
            "SELECT i.name, min(l.next_update) FROM crls l JOIN key_versions v ON v.id = l.signer JOIN items i ON i.id = v.key
             WHERE l.next_update IS NOT NULL AND v.sealed IS NOT NULL AND i.deleted IS NULL
             AND EXISTS (SELECT 1 FROM ca_certificates c WHERE c.version = v.id AND c.not_after >= ?1)
             GROUP BY i.name ORDER BY i.name",
            [now],
            |row| Ok(End { name: row.get(0)?, not_after: row.get(1)? }),
        )
    }
}
