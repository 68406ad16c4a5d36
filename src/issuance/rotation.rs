//! A signer's next key, and a longer life for the one that it has.

use super::Issuance;
use super::signer_key::{CaWish, wish_of};
use crate::ca::{next_generation, signer_request};
use crate::clock::Span;
use crate::error::{Error, Result};
use crate::keys::{Hash, KeyAlgorithm, Signer, generate};
use crate::store::{CaCertificate, CaOrigin, Key, NewCaCertificate, Write};

/// What became of a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The new key signs. Chains end in its certificate by the old key until the rotation is finished.
    CrossSigned,
    /// The new key signs, below the same key of ours as before.
    Signed,
    /// The new key waits until another CA has signed it.
    WaitsForCertificate,
}

impl Issuance {
    /// Make the next key of a signer, with a name of its own, and have it certified in the way of the present one.
    ///
    /// # Errors
    /// Conflict when a rotation is under way, or when a path length forbids the cross-signature; Unavailable when a key
    /// cannot sign or a fragment cannot be written.
    pub fn rotate(&self, item: i64, audit: impl FnOnce(&Write<'_>) -> Result<()> + Send + 'static) -> Result<Rotation> {
        let (key, present) = self.present_certificate(item)?;
        let before = wish_of(&key.current)?;
        let wish = CaWish { subject: next_generation(&before.subject)?, ..before };
        let algorithm = KeyAlgorithm::parse(&key.algorithm)?;
        let pkcs8 = generate(algorithm)?;
        let next = Signer::from_pkcs8(algorithm, Hash::parse(&key.hash)?, &pkcs8)?;
        let lifetime = lifetime(&key);
        let (rotation, request, certificates) = match present.origin {
            CaOrigin::SelfSigned => {
                let (chain, old) = self.signing(item)?;
                let own = self.self_sign(&next, &wish, lifetime)?;
                let cross = self.sign_under(CaOrigin::Cross(chain.version), &chain, &old, &next, &wish, lifetime)?;
                (Rotation::CrossSigned, None, vec![own, cross])
            }
            CaOrigin::Subordinate(signer) => {
                let above = self.store.read(|read| read.key_version(signer))?.key;
                (Rotation::Signed, None, vec![self.sign_below(above, &next, &wish, lifetime)?])
            }
            CaOrigin::Foreign(_) => {
                let request = signer_request(&wish.subject, &wish.profile, &next)?;
                (Rotation::WaitsForCertificate, Some(request), Vec::new())
            }
            CaOrigin::Cross(_) => return Err(unfinished()),
        };
        let (version, _) = self.seal_version(&next, &pkcs8, key.split_level, request, certificates)?;
        let fragments = version.fragments.clone();
        let (now, count) = (self.clock.now(), key.current.version);
        let kept = self.store.change(move |write| {
            let newest = write.key_versions(item)?.into_iter().next_back();
            if newest.is_none_or(|v| v.version != count || v.sealed.is_none()) {
                return Err(Error::conflict("the key was rotated or deleted meanwhile"));
            }
            write.insert_key_version(item, &version, now)?;
            audit(write)
        });
        if let Err(e) = kept {
            self.vault.abandon(&fragments, key.split_level);
            return Err(e);
        }
        self.show_new_chain();
        Ok(rotation)
    }

    /// Let chains end in the new root, now that clients trust it.
    ///
    /// # Errors
    /// Conflict when there is no rotation to finish.
    pub fn finish_rotation(
        &self,
        item: i64,
        audit: impl FnOnce(&Write<'_>) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let now = self.clock.now();
        self.store.change(move |write| {
            if !write.retire_cross_certificates(item, now)? {
                return Err(Error::conflict("there is no rotation to finish: chains end in the key's own certificate"));
            }
            audit(write)
        })?;
        self.show_new_chain();
        Ok(())
    }

    /// Give a signer's key another certificate, with the same name and a later end.
    ///
    /// # Errors
    /// Conflict when another CA signed it, or a rotation is under way; Malformed when it would not end later.
    pub fn renew_signer(
        &self,
        item: i64,
        lifetime: Span,
        audit: impl FnOnce(&Write<'_>) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let (key, present) = self.present_certificate(item)?;
        let wish = wish_of(&key.current)?;
        let signer = self.vault.signer(item)?;
        let renewed: NewCaCertificate = match present.origin {
            CaOrigin::SelfSigned => self.self_sign(&signer, &wish, lifetime)?,
            CaOrigin::Subordinate(above) => {
                let above = self.store.read(|read| read.key_version(above))?.key;
                self.sign_below(above, &signer, &wish, lifetime)?
            }
            CaOrigin::Foreign(_) => {
                return Err(Error::conflict(
                    "another CA signed this key; ask it with export-signer-csr, and bring the answer with \
                     import-signer-certificate",
                ));
            }
            CaOrigin::Cross(_) => return Err(unfinished()),
        };
        if renewed.not_after <= present.not_after {
            return Err(Error::malformed(format!(
                "the certificate would end at {}, no later than the present one ({})",
                renewed.not_after, present.not_after
            )));
        }
        let (version, now) = (key.current.id, self.clock.now());
        self.store.change(move |write| {
            write.insert_ca_certificate(version, &renewed, now)?;
            audit(write)
        })?;
        self.show_new_chain();
        Ok(())
    }

    /// What was committed stands, whatever becomes of our own door, which housekeeping looks after as well.
    pub(super) fn show_new_chain(&self) {
        if let Err(e) = self.refresh_tls() {
            log::error!(error:% = e; "the daemon's own TLS certificates could not be renewed yet");
        }
        self.publish_crls();
    }

    /// A key whose newest version signs, and the certificate that its chains end in.
    fn present_certificate(&self, item: i64) -> Result<(Key, CaCertificate)> {
        // Refused where a certificate of the chain is revoked: no later one may take its place.
        if self.store.read(|read| read.key(item))?.current.certificate.is_some() {
            self.signer_chain(item)?;
        }
        self.store.read(|read| {
            let key = read.key(item)?;
            let newest = read.key_versions(item)?.last().map(|v| v.id);
            let present = read.ca_certificates(key.current.id)?.into_iter().next();
            match present {
                Some(present) if matches!(present.origin, CaOrigin::Cross(_)) => Err(unfinished()),
                Some(present) if newest == Some(key.current.id) => Ok((key, present)),
                Some(_) => Err(Error::conflict(
                    "the next version of this key waits for its certificate; bring it with import-signer-certificate",
                )),
                None => Err(Error::conflict("the key has no certificate yet; bring it with import-signer-certificate")),
            }
        })
    }
}

fn unfinished() -> Error {
    Error::conflict("the last rotation of this key is not finished; do that first with rotate-key --finish")
}

/// As long as the present certificate lives in all.
fn lifetime(key: &Key) -> Span {
    key.current.validity.map_or(Span::days(3_650), |(from, to)| Span(to.since(from).0.saturating_add(1)))
}
