//! Revoking: one function for clients and administrators, which takes who did it and on what strength.

use super::Issuance;
use crate::ca::ParsedCertificate;
use crate::clock::Time;
use crate::error::{Class, Error, Result};
use crate::keys::hex;
use crate::store::{AuditEntry, Certificate, Revocable, RevocationGrounds};

/// How many revocations make one change.
const REVOKED_AT_ONCE: usize = 500;

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

    /// A reason that an administrator may choose: a number or the name in RFC 5280.
    ///
    /// # Errors
    /// Malformed for what is none, or has a meaning only for lists that we do not make (certificateHold, removeFromCRL).
    pub fn of_administrator(text: &str) -> Result<Reason> {
        const NAMES: [(u8, &str); 8] = [
            (0, "unspecified"),
            (1, "keyCompromise"),
            (2, "cACompromise"),
            (3, "affiliationChanged"),
            (4, "superseded"),
            (5, "cessationOfOperation"),
            (9, "privilegeWithdrawn"),
            (10, "aACompromise"),
        ];
        let is_meant = |(code, name): &&(u8, &str)| name.eq_ignore_ascii_case(text) || code.to_string() == text;
        NAMES.iter().find(is_meant).map(|(code, _)| Reason(*code)).ok_or_else(|| {
            let known = NAMES.map(|(code, name)| format!("{code} {name}")).join(", ");
            Error::malformed(format!("--reason {text} is not known; known are {known}"))
        })
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
    /// Whoever gave a command, by uid: keyCompromise blocks the key.
    Administrator(u32),
}

impl Revoker {
    fn name(&self) -> String {
        match self {
            Revoker::Subscriber(account) | Revoker::Controller(account) => format!("account {account}"),
            Revoker::KeyHolder => "certificate key".into(),
            Revoker::Administrator(uid) => format!("uid {uid}"),
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
        let (what, serial) = (certificate.revocable(), hex(&certificate.serial));
        let entry = AuditEntry::done(by.name(), "revokeCert", format!("serial {serial}"))
            .from(address)
            .detail(format!("reason {}", reason.code()));
        let revoked = self.store.change(move |write| {
            let grounds = RevocationGrounds { reason: reason.code(), invalid_since: None, by: entry.actor.clone() };
            let revoked = write.insert_revocation(&what, &grounds, now)?;
            let blocked = match compromised {
                Some(spki) => write.block_key(&spki, &format!("keyCompromise of serial {serial}"), now)?,
                None => false,
            };
            if revoked || blocked {
                write.append_audit(now, &entry)?;
            }
            Ok(revoked)
        })?;
        if !revoked {
            return Err(Error::new(Class::AlreadyRevoked, "the certificate is revoked already"));
        }
        self.want_crls();
        Ok(())
    }

    /// Revoke what an administrator says, each with its key's SubjectPublicKeyInfo where that is known. Gives how many
    /// were not revoked before (those that were stay as they are), and whether every CRL says so already.
    ///
    /// # Errors
    /// The store's; what was done by then is done.
    pub fn revoke_all(
        &self,
        what: Vec<(Revocable, Option<Vec<u8>>)>,
        reason: Reason,
        invalid_since: Option<Time>,
        by: &Revoker,
    ) -> Result<(usize, bool)> {
        let now = self.clock.now();
        let mut count = 0usize;
        // In parts, so that nobody else waits for long.
        for part in what.chunks(REVOKED_AT_ONCE) {
            let (part, by) = (part.to_vec(), by.name());
            let grounds = RevocationGrounds { reason: reason.code(), invalid_since, by: by.clone() };
            let done = self.store.change(move |write| {
                let mut done = 0usize;
                for (what, spki) in &part {
                    if !write.insert_revocation(what, &grounds, now)? {
                        continue;
                    }
                    let serial = hex(&what.serial);
                    if let (Reason::KEY_COMPROMISE, Some(spki)) = (reason, spki) {
                        write.block_key(spki, &format!("keyCompromise of serial {serial}"), now)?;
                    }
                    let entry = AuditEntry::done(by.as_str(), "revoke-certificate", format!("serial {serial}"))
                        .detail(format!("reason {}", reason.code()));
                    write.append_audit(now, &entry)?;
                    done = done.saturating_add(1);
                }
                Ok(done)
            })?;
            count = count.saturating_add(done);
        }
        Ok((count, self.publish_crls()))
    }
}
