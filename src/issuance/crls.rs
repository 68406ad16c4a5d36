//! CRLs: signed again a day later at the latest, and as soon as something happened to them; kept signed, so that they are
//! served while a signer is away.

use super::Issuance;
use super::points::{ca_crl_url, can_sign_crls, crl_url};
use crate::ca::{Crl, CrlScope, RevokedEntry, prepare_crl};
use crate::clock::{Span, Time};
use crate::error::Result;
use crate::keys::hex;
use crate::store::{CrlShard, DueCrl, SignedCrl};
use std::sync::PoisonError;
use std::time::Duration;

/// How long a list is good for; clients that cannot fetch another go on for so long.
const LIFETIME: Span = Span::days(7);
/// Clients take no list from the future, and their clocks may be a little behind ours.
const BACKDATED: Span = Span(60);

impl Issuance {
    /// Sign every list that is due, each by itself: one whose signer is away stays as it was, and is tried again by
    /// housekeeping. False when that was the case with any.
    pub fn publish_crls(&self) -> bool {
        // Those who wait here find their revocation on the list that whoever was before them signed, or sign one for all.
        let _one_at_a_time = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        self.sign_due_crls().unwrap_or_else(|e| {
            log::log!(e.level(), error:% = e; "the CRLs could not be signed, which will be tried again in a minute");
            false
        })
    }

    /// Ask for the same without waiting for it: whoever serves many must not wait for signatures over long lists.
    pub(super) fn want_crls(&self) {
        *self.crls_wanted.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.crls_wanted.1.notify_all();
    }

    /// Wait until somebody asks for CRLs, for so long at most. True when somebody did.
    pub fn wait_for_wanted_crls(&self, longest: Duration) -> bool {
        let (wanted, changed) = &self.crls_wanted;
        let wanted = wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut wanted, _) =
            changed.wait_timeout_while(wanted, longest, |wanted| !*wanted).unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *wanted)
    }

    fn sign_due_crls(&self) -> Result<bool> {
        let now = self.clock.trusted()?;
        for signer in self.store.read(|read| read.signers_without_crls())? {
            self.store.change(move |write| write.begin_crls(signer, 0))?;
        }
        let mut all = true;
        for due in self.store.read(|read| read.due_crls(now, now.minus(Span::DAY).minus(BACKDATED)))? {
            let (signer, shard) = (due.signer, due.shard);
            if let Err(e) = self.sign_crl(due, now) {
                log::log!(e.level(), signer, shard:? = shard, error:% = e; "a CRL could not be signed");
                all = false;
            }
        }
        Ok(all)
    }

    fn sign_crl(&self, due: DueCrl, now: Time) -> Result<()> {
        let version = self.store.read(|read| read.key_version(due.signer))?;
        let chain = self.own_chain(version.id)?;
        if !can_sign_crls(&chain.signer)? {
            return Ok(());
        }
        let scope = match due.shard {
            CrlShard::Complete => CrlScope::Complete,
            CrlShard::CaCertificates => {
                let url = ca_crl_url(&due.base_url, &hex(&version.key_identifier));
                CrlScope::CaCertificates(Some(url).filter(|_| !due.base_url.is_empty()))
            }
            CrlShard::Leaves(shard) => CrlScope::Leaves(crl_url(&due.base_url, &hex(&version.key_identifier), shard)),
        };
        let entries = due.entries.into_iter().map(|r| RevokedEntry {
            serial: r.serial,
            at: r.at,
            reason: r.reason,
            invalid_since: r.invalid_since,
        });
        let crl = Crl {
            scope,
            // Seconds, so that numbers never run backwards, whatever backup was restored.
            number: due.number.saturating_add(1).max(now.0),
            this_update: now.minus(BACKDATED),
            next_update: now.plus(LIFETIME),
            entries: entries.collect(),
        };
        let signer = self.vault.signer_of_version(&version)?;
        let der = prepare_crl(&crl, &signer, &chain.signer)?.sign(&signer)?;
        let signed = SignedCrl { der, number: crl.number, this_update: crl.this_update, next_update: crl.next_update };
        let (signer, shard, changes) = (due.signer, due.shard, due.changes);
        self.store.change(move |write| write.put_crl(signer, shard, changes, &signed))?;
        Ok(())
    }
}
