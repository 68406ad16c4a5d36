//! Revoking: one function for clients and administrators, which takes who did it and on what strength.

use super::Issuance;
use crate::ca::ParsedCertificate;
use crate::clock::Time;
use crate::error::{Class, Error, Result};
use crate::keys::hex;
use crate::metrics;
use crate::store::{AuditEntry, Certificate, Revocable, RevocationGrounds, Write};

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
        let now = self.clock.believed();
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
        let wanted = ToRevoke { what: certificate.revocable(), compromised };
        let grounds = RevocationGrounds { reason: reason.code(), invalid_since: None, by: by.name() };
        let audit = Audited { action: "revokeCert", address: Some(address.to_owned()) };
        match self.store.change(move |write| revoke_one(write, &wanted, &grounds, &audit, now))? {
            Revoked::Now => {
                metrics::REVOKED.count();
                self.want_crls();
                Ok(())
            }
            Revoked::KeyOnly | Revoked::Before => {
                Err(Error::new(Class::AlreadyRevoked, "the certificate is revoked already"))
            }
        }
    }

    /// Revoke what an administrator says. Gives how many were not revoked before (those that were stay as they are), of how
    /// many only the key was blocked, and whether every CRL says so already.
    ///
    /// # Errors
    /// The store's; what was done by then is done.
    pub fn revoke_all(
        &self,
        wanted: Vec<ToRevoke>,
        reason: Reason,
        invalid_since: Option<Time>,
        actor: &str,
    ) -> Result<RevokedAll> {
        let now = self.clock.believed();
        let mut all = RevokedAll::default();
        // In parts, so that nobody else waits for long.
        for part in wanted.chunks(REVOKED_AT_ONCE) {
            let part = part.to_vec();
            let grounds = RevocationGrounds { reason: reason.code(), invalid_since, by: actor.to_owned() };
            let done = self.store.change(move |write| {
                let audit = Audited { action: "revoke-certificate", address: None };
                part.iter()
                    .map(|wanted| revoke_one(write, wanted, &grounds, &audit, now))
                    .collect::<Result<Vec<Revoked>>>()
            })?;
            let count = |kind: Revoked| done.iter().filter(|done| **done == kind).count();
            let now = count(Revoked::Now);
            metrics::REVOKED.add(u64::try_from(now).unwrap_or(u64::MAX));
            all.revoked = all.revoked.saturating_add(now);
            all.blocked_only = all.blocked_only.saturating_add(count(Revoked::KeyOnly));
        }
        all.is_published = self.publish_crls();
        Ok(all)
    }
}

/// A certificate to be revoked, with the SubjectPublicKeyInfo of its key where that is compromised.
#[derive(Clone, Debug)]
pub struct ToRevoke {
    /// The certificate.
    pub what: Revocable,
    /// The key to be blocked.
    pub compromised: Option<Vec<u8>>,
}

/// What became of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RevokedAll {
    /// How many were not revoked before.
    pub revoked: usize,
    /// Of how many, revoked before, the key was blocked now.
    pub blocked_only: usize,
    /// Whether every CRL says so already.
    pub is_published: bool,
}

/// What became of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Revoked {
    Now,
    /// It was revoked before; its key was not blocked.
    KeyOnly,
    Before,
}

/// How the audit log calls it, and from where it was asked for.
struct Audited {
    action: &'static str,
    address: Option<String>,
}

/// Revoke one, block its key if that is compromised, and record it, unless there was nothing left to do.
fn revoke_one(
    write: &Write<'_>,
    wanted: &ToRevoke,
    grounds: &RevocationGrounds,
    audit: &Audited,
    now: Time,
) -> Result<Revoked> {
    let serial = hex(&wanted.what.serial);
    let revoked = write.insert_revocation(&wanted.what, grounds, now)?;
    let blocked = match &wanted.compromised {
        Some(spki) => write.block_key(spki, &format!("keyCompromise of serial {serial}"), now)?,
        None => false,
    };
    let done = match (revoked, blocked) {
        (true, _) => Revoked::Now,
        (false, true) => Revoked::KeyOnly,
        (false, false) => return Ok(Revoked::Before),
    };
    let entry = AuditEntry::done(grounds.by.as_str(), audit.action, format!("serial {serial}"))
        .detail(format!("reason {}", grounds.reason));
    write.append_audit(now, &AuditEntry { address: audit.address.clone(), ..entry })?;
    Ok(done)
}
