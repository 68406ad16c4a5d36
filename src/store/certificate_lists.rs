//! Lists of issued certificates as people ask for them: by name, serial number, state, end.

use super::certificates::{COLUMNS, certificate_from};
use super::{Certificate, Read};
use crate::clock::Time;
use crate::error::Result;
use rusqlite::ToSql;

/// What people call the state of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateState {
    /// More than a third of its life is left.
    Valid,
    /// Less is left.
    AboutToExpire,
    /// Nothing is left.
    Expired,
    /// It was revoked, whatever is left.
    Revoked,
}

impl CertificateState {
    /// All of them.
    pub const ALL: [CertificateState; 4] = [
        CertificateState::Valid,
        CertificateState::AboutToExpire,
        CertificateState::Expired,
        CertificateState::Revoked,
    ];

    /// The words that people read.
    pub fn as_str(self) -> &'static str {
        match self {
            CertificateState::Valid => "Valid",
            CertificateState::AboutToExpire => "About to Expire",
            CertificateState::Expired => "Expired",
            CertificateState::Revoked => "Revoked",
        }
    }

    fn of(certificate: &Certificate, is_revoked: bool, now: Time) -> CertificateState {
        let left = certificate.not_after.since(now).0;
        let life = certificate.not_after.since(certificate.not_before).0;
        if is_revoked {
            CertificateState::Revoked
        } else if left < 0 {
            CertificateState::Expired
        } else if left.saturating_mul(3) < life {
            CertificateState::AboutToExpire
        } else {
            CertificateState::Valid
        }
    }

    /// The same, as a condition on a certificate `c` and its revocation `r` at `?1`.
    pub(super) fn condition(self) -> &'static str {
        match self {
            CertificateState::Revoked => "r.certificate IS NOT NULL",
            CertificateState::Expired => "r.certificate IS NULL AND c.not_after < ?1",
            CertificateState::AboutToExpire => {
                "r.certificate IS NULL AND c.not_after >= ?1 AND (c.not_after - ?1) * 3 < c.not_after - c.not_before"
            }
            CertificateState::Valid => "r.certificate IS NULL AND (c.not_after - ?1) * 3 >= c.not_after - c.not_before",
        }
    }
}

/// Which certificates to list.
#[derive(Clone, Debug, Default)]
pub struct CertificateFilter {
    /// Only those whose item's name contains this.
    pub name: Option<String>,
    /// Only the one with this serial number.
    pub serial: Option<Vec<u8>>,
    /// Only those in this state.
    pub state: Option<CertificateState>,
    /// Only those that end before this moment, and have not ended.
    pub ends_before: Option<Time>,
    /// Only those of this issuer.
    pub issuer: Option<i64>,
}

/// A certificate in a list.
#[derive(Clone, Debug)]
pub struct ListedCertificate {
    /// The certificate.
    pub certificate: Certificate,
    /// The name of its item, if it is filed.
    pub name: Option<String>,
    /// Its state.
    pub state: CertificateState,
    /// When and why it was revoked, if it was.
    pub revoked: Option<(Time, u8)>,
}

impl Read<'_> {
    /// The certificates that a filter lets through, the newest first, at most `limit` of them, below the row id `before`.
    ///
    /// # Errors
    /// The database's.
    pub fn certificates<'f>(
        &self,
        filter: &'f CertificateFilter,
        before: Option<&'f i64>,
        limit: usize,
        now: Time,
    ) -> Result<Vec<ListedCertificate>> {
        // Only the conditions that were asked for, so that each finds its index.
        let mut conditions = vec!["c.purpose = 'acme'".to_owned()];
        let mut parameters: Vec<&dyn ToSql> = vec![&now, &limit];
        conditions.extend(filter.state.map(|state| format!("({})", state.condition())));
        let mut compare = |condition: &str, value: &'f dyn ToSql| {
            parameters.push(value);
            conditions.push(condition.replace("??", &format!("?{}", parameters.len())));
        };
        if let Some(name) = &filter.name {
            compare("c.item IN (SELECT id FROM items WHERE instr(name, ??) > 0)", name);
        }
        if let Some(serial) = &filter.serial {
            compare("c.serial = ??", serial);
        }
        if let Some(moment) = &filter.ends_before {
            compare("c.not_after < ?? AND c.not_after >= ?1", moment);
        }
        if let Some(issuer) = &filter.issuer {
            // Without its index, which would have everything sorted to find the newest few.
            compare("+c.issuer = ??", issuer);
        }
        if let Some(before) = before {
            compare("c.id < ??", before);
        }
        let sql = format!(
            "SELECT {COLUMNS}, i.name, r.at, r.reason FROM certificates c
             LEFT JOIN items i ON i.id = c.item LEFT JOIN revocations r ON r.certificate = c.id
             WHERE ?1 = ?1 AND {} ORDER BY c.id DESC LIMIT ?2",
            conditions.join(" AND ")
        );
        let parameters = rusqlite::params_from_iter(parameters);
        self.all(&sql, parameters, |row| {
            let certificate = certificate_from(row)?;
            let revoked = row.get::<_, Option<Time>>(12)?.zip(row.get::<_, Option<u8>>(13)?);
            let state = CertificateState::of(&certificate, revoked.is_some(), now);
            Ok(ListedCertificate { certificate, name: row.get(11)?, state, revoked })
        })
    }
}
