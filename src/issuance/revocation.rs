//! Revoking: one function for clients and administrators, which takes who did it and on what strength.

use super::Issuance;
use crate::ca::ParsedCertificate;
use crate::error::{Class, Error, Result};
use crate::keys::hex;
use crate::store::{AuditEntry, Certificate};

/// A reason of RFC 5280, 5.3.1, that may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason(u8);

impl Reason {
    /// unspecified
    pub const UNSPECIFIED: Reason = Reason(0);
    /// keyCompromise
    pub const KEY_COMPROMISE: Reason = Reason(1);
    /// cessationOfOperation
    pub const CESSATION_OF_OPERATION: Reason = Reason(5);

    /// A reason that a client may choose.
    ///
    /// # Errors
    /// BadRevocationReason for the others.
    pub fn of_client(code: u64) -> Result<Reason> {
        match code {
            0 | 1 | 3 | 4 | 5 | 9 => Ok(Reason(code as u8)),
            _ => Err(Error::new(
                Class::BadRevocationReason,
                format!("the reason {code} cannot be chosen; 0, 1, 3, 4, 5 and 9 can (RFC 5280, 5.3.1)"),
            )),
        }
    }

    /// The code.
    pub fn code(self) -> u8 {
        self.0
    }
}

/// On what strength a certificate is revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revoker {
    /// The account that ordered it.
    Subscriber(i64),
    /// Another account, which holds valid authorizations for all its names: always cessationOfOperation.
    Controller(i64),
    /// Whoever has its key: keyCompromise then blocks the key.
    KeyHolder,
}

impl Revoker {
    fn name(&self) -> String {
        match self {
            Revoker::Subscriber(account) | Revoker::Controller(account) => format!("account {account}"),
            Revoker::KeyHolder => "certificate key".into(),
        }
    }
}

impl Issuance {
    /// Revoke a certificate. A key that its holder calls compromised is blocked even when the certificate was revoked
    /// before, for whatever reason.
    ///
    /// # Errors
    /// AlreadyRevoked; Malformed when it has ended.
    pub fn revoke(&self, certificate: &Certificate, reason: Reason, by: &Revoker, address: &str) -> Result<()> {
        let now = self.clock.now();
        if certificate.not_after < now {
            return Err(Error::malformed(format!("the certificate ended at {}", certificate.not_after)));
        }
        let reason = match by {
            Revoker::Controller(_) => Reason::CESSATION_OF_OPERATION,
            _ => reason,
        };
        let compromised = match by {
            Revoker::KeyHolder if reason == Reason::KEY_COMPROMISE => {
                Some(ParsedCertificate::parse(&certificate.der)?.spki)
            }
            _ => None,
        };
        let (id, serial) = (certificate.id, hex(&certificate.serial));
        let entry = AuditEntry::done(by.name(), "revokeCert", format!("serial {serial}"))
            .from(address)
            .detail(format!("reason {}", reason.code()));
        let revoked = self.store.change(move |write| {
            let revoked = write.insert_revocation(id, reason.code(), &entry.actor, now)?;
            let blocked = match compromised {
                Some(spki) => write.block_key(&spki, &format!("keyCompromise of serial {serial}"), now)?,
                None => false,
            };
            if revoked || blocked {
                write.append_audit(now, &entry)?;
            }
            Ok(revoked)
        })?;
        if revoked { Ok(()) } else { Err(Error::new(Class::AlreadyRevoked, "the certificate is revoked already")) }
    }
}
