//! Signer keys: made here or brought from elsewhere, certified by themselves, by another key of ours, or by another CA.

use super::Issuance;
use super::chains::SignerChain;
use crate::ca::{
    CaCertificate, CaChain, CaProfile, FormerCrl, KeyUsage, Linted, ParsedCertificate, Points, Serial, Validity,
    prepare_ca, signer_request, verify_signature,
};
use crate::clock::{Span, Time};
use crate::error::{Error, Result};
use crate::keys::{Hash, KeyAlgorithm, Signer, generate};
use crate::store::{
    CaOrigin, KeyVersion, NewCaCertificate, NewKey, NewVersion, Revocable, RevocablePlace, RevocationGrounds, Write,
};
use std::time::Duration;
use zeroize::Zeroizing;

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
    /// Who certifies it.
    pub certified: Certified,
}

/// Who certifies a signer key.
#[derive(Clone, Debug)]
pub enum Certified {
    /// Nobody yet; another CA can, when it is known what the certificate is to say.
    Later(Option<CaWish>),
    /// The key itself, for so long.
    ByItself(CaWish, Span),
    /// The signer key of this item, for so long at most.
    By(i64, CaWish, Span),
}

/// What a CA certificate is to say.
#[derive(Clone, Debug)]
pub struct CaWish {
    /// The DER of its Name.
    pub subject: Vec<u8>,
    /// The rest.
    pub profile: CaProfile,
}

/// A signer that another CA had: its key and its chain, its own certificate first and the root last.
pub struct FormerSigner {
    /// The kind of key.
    pub algorithm: KeyAlgorithm,
    /// The private key.
    pub pkcs8: Zeroizing<Vec<u8>>,
    /// The chain.
    pub chain: Vec<Vec<u8>>,
    /// Its former CRL, if it had one.
    pub crl: Option<Vec<u8>>,
    /// How many fragments.
    pub split_level: usize,
}

/// A key whose fragments are in place, ready to come into the store. Dropped without that, the fragments go again.
pub struct PreparedSigner<'i> {
    issuance: &'i Issuance,
    key: NewKey,
    version: Option<NewVersion>,
    times: Vec<Duration>,
    /// The number of its last CRL and what that revoked, where it had one.
    former: Option<FormerCrl>,
}

impl Issuance {
    /// Generate a signer key, have its certificate signed, seal it and write its fragments.
    ///
    /// # Errors
    /// Malformed for a certificate that cannot be; Unavailable when a fragment cannot be written, or when the key that is
    /// to sign it cannot sign.
    pub fn prepare_signer(&self, new: &NewSigner) -> Result<PreparedSigner<'_>> {
        let pkcs8 = generate(new.algorithm)?;
        let signer = Signer::from_pkcs8(new.algorithm, new.hash, &pkcs8)?;
        let (request, certificates) = match &new.certified {
            Certified::Later(None) => (None, Vec::new()),
            Certified::Later(Some(wish)) => (Some(signer_request(&wish.subject, &wish.profile, &signer)?), Vec::new()),
            Certified::ByItself(wish, lifetime) => (None, vec![self.self_sign(&signer, wish, *lifetime)?]),
            Certified::By(key, wish, lifetime) => (None, vec![self.sign_below(*key, &signer, wish, *lifetime)?]),
        };
        let key = NewKey {
            algorithm: new.algorithm.name(),
            hash: new.hash.name(),
            split_level: new.split_level,
            certificate_format: new.certificate_format,
        };
        let (version, times) = self.seal_version(&signer, &pkcs8, new.split_level, request, certificates)?;
        Ok(PreparedSigner { issuance: self, key, version: Some(version), times, former: None })
    }

    /// Take over the key of another CA.
    ///
    /// # Errors
    /// Malformed when key, chain and CRL do not belong together; Unavailable when a fragment cannot be written.
    pub fn prepare_former_signer(&self, former: &FormerSigner) -> Result<PreparedSigner<'_>> {
        let signer = Signer::from_pkcs8(former.algorithm, former.algorithm.default_hash(), &former.pkcs8)
            .map_err(|e| Error::malformed(format!("--key-file: {e}")))?;
        self.store.check_not_blocked(&signer.public_key().to_spki())?;
        let chain = CaChain::verify(&former.chain, self.clock.trusted()?).map_err(|e| e.context("--chain-file"))?;
        let certificate = chain.signer()?;
        if certificate.spki != signer.public_key().to_spki() {
            return Err(Error::malformed("--key-file is not the key of the first certificate in --chain-file"));
        }
        let crl = former.crl.as_ref().map(|crl| FormerCrl::parse(crl, certificate)).transpose();
        let crl = crl.map_err(|e| e.context("--crl"))?;
        let own = foreign_certificate(&former.chain)?;
        let key = NewKey {
            algorithm: former.algorithm.name(),
            hash: former.algorithm.default_hash().name(),
            split_level: former.split_level,
            certificate_format: "pem",
        };
        let (mut version, times) = self.seal_version(&signer, &former.pkcs8, former.split_level, None, vec![own])?;
        if let Some(identifier) = certificate.subject_key_identifier() {
            version.key_identifier = identifier.to_vec();
        }
        Ok(PreparedSigner { issuance: self, key, version: Some(version), times, former: crl })
    }

    /// How many places there are for fragments.
    pub fn fragment_places(&self) -> usize {
        self.vault.places().count()
    }

    /// What another CA is to sign: for the version that waits for it, or for the one in use.
    ///
    /// # Errors
    /// Conflict when it is not known what the certificate is to say; Unavailable when the key cannot sign.
    pub fn signer_request(&self, key: i64) -> Result<Vec<u8>> {
        let versions = self.store.read(|read| read.key_versions(key))?;
        let newest = versions.last().ok_or_else(|| Error::internal("a key without versions"))?;
        match (&newest.request, &newest.certificate) {
            (Some(request), None) => Ok(request.clone()),
            (None, None) => Err(Error::conflict(
                "the key was made without a subject; make another one, with --certificate-common-name",
            )),
            (_, Some(certificate)) => {
                let certificate = ParsedCertificate::parse(certificate)?;
                let signer = self.vault.signer_of_version(newest)?;
                signer_request(&certificate.subject, &certificate.ca_profile()?, &signer)
            }
        }
    }

    /// Take the certificate that another CA signed, with the chain above it; the version that waited for it signs from
    /// then on.
    ///
    /// # Errors
    /// Malformed when the chain does not hold together or is not of this key.
    pub fn import_certificate(
        &self,
        key: i64,
        chain: &[Vec<u8>],
        audit: impl FnOnce(&Write<'_>) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let now = self.clock.trusted()?;
        let verified = CaChain::verify(chain, now).map_err(|e| e.context("--chain-file"))?;
        let certificate = verified.signer()?;
        let versions = self.store.read(|read| read.key_versions(key))?;
        let version = versions.iter().rev().find(|v| v.spki == certificate.spki).ok_or_else(|| {
            Error::malformed(
                "the first certificate in --chain-file is not of this key; export-signer-csr has its request",
            )
        })?;
        let identifier = certificate.subject_key_identifier().unwrap_or(&version.key_identifier).to_vec();
        let (id, is_first) = (version.id, version.certificate.is_none());
        if !is_first && identifier != version.key_identifier {
            return Err(Error::malformed("the certificate calls the key by another identifier than the one in use"));
        }
        if let Some(before) = &version.certificate
            && ParsedCertificate::parse(before)?.subject != certificate.subject
        {
            return Err(Error::malformed(
                "the certificate has another subject than the one in use, under which certificates and CRLs are issued already",
            ));
        }
        let own = foreign_certificate(chain)?;
        self.store.change(move |write| {
            if is_first {
                write.set_key_identifier(id, &identifier)?;
            }
            write.insert_ca_certificate(id, &own, now)?;
            audit(write)
        })?;
        self.show_new_chain();
        Ok(())
    }

    pub(super) fn self_sign(&self, signer: &Signer, wish: &CaWish, lifetime: Span) -> Result<NewCaCertificate> {
        let validity = Validity::starting(self.clock.trusted()?, lifetime);
        let certificate = certificate(signer, wish, validity, Points::default())?;
        let signed = prepare_ca(&certificate, signer, None)?;
        finished(CaOrigin::SelfSigned, signed, signer)
    }

    /// Sign a key of ours by another: cut to what the chain above allows.
    pub(super) fn sign_below(
        &self,
        above: i64,
        signer: &Signer,
        wish: &CaWish,
        lifetime: Span,
    ) -> Result<NewCaCertificate> {
        let (chain, by) = self.signing(above)?;
        self.sign_under(CaOrigin::Subordinate(chain.version), &chain, &by, signer, wish, lifetime)
    }

    pub(super) fn sign_under(
        &self,
        origin: CaOrigin,
        chain: &SignerChain,
        by: &Signer,
        signer: &Signer,
        wish: &CaWish,
        lifetime: Span,
    ) -> Result<NewCaCertificate> {
        let now = self.clock.trusted()?;
        self.store.check_not_blocked(&signer.public_key().to_spki())?;
        if !chain.validity.covers(now) {
            return Err(Error::unavailable("the certificate that is to sign has ended"));
        }
        let longest = chain.chain.path_len_below()?;
        let path_len = match (wish.profile.path_len, longest) {
            (Some(wished), Some(longest)) if wished > longest && matches!(origin, CaOrigin::Subordinate(_)) => {
                return Err(Error::malformed(format!(
                    "pathlen {wished} is more than the CA above allows below it ({longest})"
                )));
            }
            (wished, longest) => wished.into_iter().chain(longest).min(),
        };
        let wish = CaWish { profile: CaProfile { path_len, ..wish.profile.clone() }, ..wish.clone() };
        let validity = Validity::starting_within(now, lifetime, chain.validity);
        let points = self.ca_points(chain)?;
        let certificate = certificate(signer, &wish, validity, points)?;
        let linted = prepare_ca(&certificate, by, Some(&chain.signer))?;
        finished(origin, linted, by)
    }

    /// Seal a private key, put its fragments into their places, and give what the store is to keep.
    pub(super) fn seal_version(
        &self,
        signer: &Signer,
        pkcs8: &[u8],
        split_level: usize,
        request: Option<Vec<u8>>,
        certificates: Vec<NewCaCertificate>,
    ) -> Result<(NewVersion, Vec<Duration>)> {
        let sealed = self.vault.seal_private_key(pkcs8, split_level)?;
        let version = NewVersion {
            fragments: sealed.fragments,
            sealed: sealed.sealed,
            spki: signer.public_key().to_spki(),
            key_identifier: signer.public_key().key_identifier().to_vec(),
            request,
            certificates,
        };
        Ok((version, sealed.times))
    }
}

impl PreparedSigner<'_> {
    /// Whether the former CRL had ended, so that a later one may have revoked more.
    pub fn has_old_crl(&self) -> bool {
        let now = self.issuance.clock.now();
        self.former.as_ref().and_then(|crl| crl.next_update).is_some_and(|at| at < now)
    }

    /// How long each fragment took to write.
    pub fn fragment_times(&self) -> Vec<Duration> {
        self.times.clone()
    }

    /// Bring it into the store: `insert` makes its item in the same change and gives the item's row id.
    ///
    /// # Errors
    /// Those of `insert` and of the store; the fragments are gone then.
    pub fn keep(mut self, insert: impl FnOnce(&Write<'_>) -> Result<i64> + Send + 'static) -> Result<()> {
        let Some(version) = self.version.clone() else { return Err(Error::internal("a prepared key was kept twice")) };
        let now = self.issuance.clock.now();
        let (key, former) = (self.key.clone(), self.former.take());
        self.issuance.store.change(move |write| {
            let item = insert(write)?;
            write.insert_key(item, &key)?;
            let id = write.insert_key_version(item, &version, now)?;
            if let Some(former) = former {
                keep_former_crl(write, id, &former, &version)?;
            }
            Ok(())
        })?;
        self.version = None;
        self.issuance.publish_crls();
        Ok(())
    }
}

impl Drop for PreparedSigner<'_> {
    fn drop(&mut self) {
        if let Some(version) = &self.version {
            self.issuance.vault.abandon(&version.fragments, self.key.split_level);
        }
    }
}

/// What the former CRL revoked stays revoked, and its numbers go on from where they were.
fn keep_former_crl(write: &Write<'_>, signer: i64, former: &FormerCrl, version: &NewVersion) -> Result<()> {
    // Nothing tells when these certificates end; the signer's own end is the latest that it can be.
    let not_after = version.certificates.iter().map(|c| c.not_after).max().unwrap_or(Time::NEVER);
    write.begin_crls(signer, former.number.unwrap_or(0))?;
    for entry in &former.entries {
        let what = Revocable { signer, serial: entry.serial.clone(), not_after, place: RevocablePlace::Unknown };
        let grounds =
            RevocationGrounds { reason: entry.reason, invalid_since: entry.invalid_since, by: "former CRL".into() };
        write.insert_revocation(&what, &grounds, entry.at)?;
    }
    Ok(())
}

fn certificate(signer: &Signer, wish: &CaWish, validity: Validity, points: Points) -> Result<CaCertificate> {
    Ok(CaCertificate {
        serial: Serial::generate()?,
        validity,
        subject: wish.subject.clone(),
        public_key: signer.public_key().clone(),
        key_identifier: signer.public_key().key_identifier().to_vec(),
        profile: wish.profile.clone(),
        points,
    })
}

/// A certificate that came with its chain, as it is kept.
fn foreign_certificate(chain: &[Vec<u8>]) -> Result<NewCaCertificate> {
    let (own, above) =
        chain.split_first().ok_or_else(|| Error::malformed("--chain-file holds no certificate in PEM"))?;
    let parsed = ParsedCertificate::parse(own)?;
    let usages = parsed.key_usage()?;
    if !usages.contains(&KeyUsage::KeyCertSign) {
        return Err(Error::malformed("the certificate may not sign others (keyUsage without keyCertSign)"));
    }
    if parsed.subject_key_identifier().is_some_and(|identifier| !(1..=64).contains(&identifier.len())) {
        return Err(Error::malformed("the certificate's subjectKeyIdentifier is empty or longer than 64 bytes"));
    }
    let Validity { not_before, not_after } = parsed.life()?;
    Ok(NewCaCertificate {
        origin: if above.is_empty() { CaOrigin::SelfSigned } else { CaOrigin::Foreign(above.to_vec()) },
        serial: parsed.serial,
        der: own.clone(),
        not_before,
        not_after,
    })
}

fn finished(origin: CaOrigin, linted: Linted, by: &Signer) -> Result<NewCaCertificate> {
    let signed = linted.sign(by)?;
    verify_signature(&signed.der, by.public_key())
        .map_err(|e| Error::internal(format!("a CA certificate was not kept, since clients would refuse it: {e}")))?;
    Ok(NewCaCertificate {
        origin,
        serial: signed.serial.octets().to_vec(),
        not_before: signed.validity.not_before,
        not_after: signed.validity.not_after,
        der: signed.der,
    })
}

/// What the next certificate of a version is to say: what this one says.
pub(super) fn wish_of(version: &KeyVersion) -> Result<CaWish> {
    let der = version
        .certificate
        .as_ref()
        .ok_or_else(|| Error::conflict("the key has no certificate yet; bring it with import-signer-certificate"))?;
    let certificate = ParsedCertificate::parse(der)?;
    Ok(CaWish { subject: certificate.subject.clone(), profile: certificate.ca_profile()? })
}
