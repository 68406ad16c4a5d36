//! Making a signer key, with a self-signed certificate or without.

use super::Issuance;
use crate::ca::{DistinguishedName, KeyUsage, NameConstraints, Serial, SignerCertificate, Validity, prepare_signer};
use crate::clock::Span;
use crate::error::{Error, Result};
use crate::keys::{Hash, KeyAlgorithm, Signer, generate};
use crate::store::{NewKey, Write};
use std::sync::Arc;
use std::time::Duration;

/// What an administrator asks for.
#[derive(Clone, Debug)]
pub struct NewSigner {
    /// The kind of key.
    pub algorithm: KeyAlgorithm,
    /// The hash of an RSA key's signatures.
    pub hash: Hash,
    /// How many fragments.
    pub split_level: usize,
    /// `pem` or `der`.
    pub certificate_format: &'static str,
    /// The self-signed certificate, if there is to be one.
    pub certificate: Option<SelfSigned>,
}

/// What an administrator wants in a self-signed certificate.
#[derive(Clone, Debug)]
pub struct SelfSigned {
    /// How long it lasts.
    pub lifetime: Span,
    /// Its subject.
    pub subject: DistinguishedName,
    /// The path length.
    pub path_len: Option<u8>,
    /// The key usage; keyCertSign among it.
    pub key_usage: Vec<KeyUsage>,
    /// The names that it limits its descendants to.
    pub name_constraints: NameConstraints,
}

/// A key whose fragments are in place, ready to come into the store. Dropped without that, the fragments go again.
pub struct PreparedSigner<'i> {
    issuance: &'i Issuance,
    key: Option<NewKey>,
    times: Vec<Duration>,
}

impl Issuance {
    /// Generate a signer key, sign its certificate, seal it and write its fragments.
    ///
    /// # Errors
    /// Malformed for a certificate that cannot be; Unavailable when a fragment cannot be written.
    pub fn prepare_signer(&self, new: &NewSigner) -> Result<PreparedSigner<'_>> {
        let pkcs8 = generate(new.algorithm)?;
        let signer = Arc::new(Signer::from_pkcs8(new.algorithm, new.hash, &pkcs8)?);
        let certificate = match &new.certificate {
            Some(wanted) => Some(self.self_sign(&signer, wanted)?),
            None => None,
        };
        let sealed = self.vault.seal_private_key(&pkcs8, new.split_level)?;
        let key = NewKey {
            algorithm: new.algorithm.name(),
            hash: new.hash.name(),
            split_level: new.split_level,
            certificate_format: new.certificate_format,
            fragments: sealed.fragments,
            sealed: sealed.sealed,
            spki: signer.public_key().to_spki(),
            key_identifier: signer.public_key().key_identifier().to_vec(),
            certificate,
        };
        Ok(PreparedSigner { issuance: self, key: Some(key), times: sealed.times })
    }

    /// How many places there are for fragments.
    pub fn fragment_places(&self) -> usize {
        self.vault.places()
    }

    fn self_sign(
        &self,
        signer: &Signer,
        wanted: &SelfSigned,
    ) -> Result<(Vec<u8>, crate::clock::Time, crate::clock::Time)> {
        let certificate = SignerCertificate {
            serial: Serial::generate()?,
            validity: Validity::starting(self.clock.now(), wanted.lifetime),
            subject: wanted.subject.clone(),
            path_len: wanted.path_len,
            key_usage: wanted.key_usage.clone(),
            name_constraints: wanted.name_constraints.clone(),
        };
        let signed = prepare_signer(&certificate, signer)?.sign(signer)?;
        Ok((signed.der, signed.validity.not_before, signed.validity.not_after))
    }
}

impl PreparedSigner<'_> {
    /// How long each fragment took to write.
    pub fn fragment_times(&self) -> Vec<Duration> {
        self.times.clone()
    }

    /// Bring it into the store: `insert` makes its item in the same change and gives the item's row id.
    ///
    /// # Errors
    /// Those of `insert` and of the store; the fragments are gone then.
    pub fn keep(mut self, insert: impl FnOnce(&Write<'_>) -> Result<i64> + Send + 'static) -> Result<()> {
        let Some(key) = self.key.clone() else { return Err(Error::internal("a prepared key was kept twice")) };
        let now = self.issuance.clock.now();
        self.issuance.store.change(move |write| {
            let item = insert(write)?;
            write.insert_key(item, &key, now)
        })?;
        self.key = None;
        Ok(())
    }
}

impl Drop for PreparedSigner<'_> {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            self.issuance.vault.abandon(&key.fragments, key.split_level);
        }
    }
}
