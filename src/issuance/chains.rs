//! The CA certificates above leaves: which there are, which of them is offered first, and what they allow.

use super::Issuance;
use super::check::is_as_signed;
use super::verified::Verified;
use crate::ca::{CaChain, ChainConstraints, ParsedCertificate, Validity, verify_signature};
use crate::der::to_pem;
use crate::error::{Error, Result};
use crate::keys::{PublicKey, Signer, hex};
use crate::policy::IssuerPolicy;
use crate::store::{CaCertificate, CaOrigin, Certificate, CrlShard, KeyVersion, Read, Remembered, SignedCrl};
use std::sync::Arc;

/// No hierarchy of ours is deeper; one that is goes round in a circle.
const DEEPEST: usize = 16;

/// A signer's certificate with all that stands above it, read.
pub(super) struct SignerChain {
    /// The key version.
    pub(super) version: i64,
    /// The signer's certificate first, the root last.
    pub(super) ders: Vec<Vec<u8>>,
    pub(super) signer: ParsedCertificate,
    pub(super) chain: CaChain,
    /// When all of them are valid.
    pub(super) validity: Validity,
}

/// What is read again only when a command has changed something.
#[derive(Default)]
pub(super) struct Chains {
    /// The version that an enabled key signs with, by key.
    signing: Remembered<i64, KeyVersion>,
    /// The version of a key whose chain counts, by key.
    current: Remembered<i64, i64>,
    /// By version: the chain, whether nobody revoked a part of it, and the PEM of each chain that is offered.
    own: Remembered<i64, SignerChain>,
    unrevoked: Remembered<i64, ()>,
    /// Issuers that are enabled, each with its key, which is as well.
    enabled: Remembered<(i64, i64), ()>,
    pem: Remembered<i64, Vec<String>>,
    constraints: Remembered<i64, ChainConstraints>,
    roots: Remembered<i64, Vec<Vec<u8>>>,
    /// Leaves that need not be verified before they are given out.
    pub(super) verified: Verified,
}

impl Issuance {
    /// The names that the chain above an issuer can carry (RFC 5280, 4.2.1.10).
    ///
    /// # Errors
    /// The store's; Conflict when the key has no certificate.
    pub fn name_constraints(&self, policy: &IssuerPolicy) -> Result<Arc<ChainConstraints>> {
        let key = policy.signer_key;
        let make = || self.signer_chain(key).and_then(|chain| chain.chain.constraints());
        self.chains.constraints.find(&self.store, key, make)
    }

    /// The CA certificates above what a key signs now, the signer's first, without a root above it.
    ///
    /// # Errors
    /// The store's; Conflict when the key has no certificate.
    pub fn chain_of_key(&self, key: i64) -> Result<Vec<Vec<u8>>> {
        self.signer_chain(key).map(|chain| served(chain.ders.clone()))
    }

    /// The chains above a leaf that this key version signed, each with the signer's certificate first; the one that
    /// clients should get comes first, the others are alternates (RFC 8555, 7.4.2).
    ///
    /// # Errors
    /// The store's; Internal when the version has no certificate.
    pub fn chains_above(&self, signer: i64) -> Result<Vec<Vec<Vec<u8>>>> {
        let chains = self.store.read(|read| whole_chains(read, signer))?;
        if chains.is_empty() {
            return Err(Error::internal("a signer without a certificate"));
        }
        Ok(chains.into_iter().map(served).collect())
    }

    /// The roots that chains of what a key signs now end in, the one that clients need now first. There are two while a
    /// signer is rotated.
    ///
    /// # Errors
    /// The store's; Internal when the key has no certificate.
    pub fn roots_of_key(&self, key: i64) -> Result<Arc<Vec<Vec<u8>>>> {
        let version = self.chains.current.read(&self.store, key, |read| Ok(read.key(key)?.current.id))?;
        self.roots_of_version(*version)
    }

    /// The same of a key version.
    pub(super) fn roots_of_version(&self, version: i64) -> Result<Arc<Vec<Vec<u8>>>> {
        self.chains.roots.read(&self.store, version, |read| {
            let mut roots = Vec::new();
            for chain in whole_chains(read, version)? {
                roots.extend(chain.into_iter().next_back().filter(|root| !roots.contains(root)));
            }
            if roots.is_empty() { Err(Error::internal("a signer without a certificate")) } else { Ok(roots) }
        })
    }

    /// The chain above a leaf that clients should get.
    ///
    /// # Errors
    /// As [`Issuance::chains_above`].
    pub fn chain_above(&self, signer: i64) -> Result<Vec<Vec<u8>>> {
        self.chains_above(signer).map(|chains| chains.into_iter().next().unwrap_or_default())
    }

    /// A leaf and the CA certificates above it, as PEM (RFC 8555, 9.1).
    ///
    /// # Errors
    /// As [`Issuance::chains_above`].
    pub fn pem_chain(&self, certificate: &Certificate) -> Result<String> {
        self.check_as_signed(certificate)?;
        let chains = self.pem_above(certificate.signer)?;
        Ok(to_pem("CERTIFICATE", &certificate.der) + chains.first().map_or("", String::as_str))
    }

    /// The same for every chain that is offered.
    ///
    /// # Errors
    /// As [`Issuance::chains_above`].
    pub fn pem_chains(&self, certificate: &Certificate) -> Result<Vec<String>> {
        self.check_as_signed(certificate)?;
        let leaf = to_pem("CERTIFICATE", &certificate.der);
        Ok(self.pem_above(certificate.signer)?.iter().map(|chain| format!("{leaf}{chain}")).collect())
    }

    /// What a disk made of a certificate is not given to anybody.
    fn check_as_signed(&self, certificate: &Certificate) -> Result<()> {
        if self.chains.verified.knows(&certificate.der) {
            return Ok(());
        }
        let chain = self.own_chain(certificate.signer)?;
        if is_as_signed(certificate, &PublicKey::known(&chain.signer.spki)?) {
            self.chains.verified.note(&certificate.der);
            return Ok(());
        }
        let serial = hex(&certificate.serial);
        Err(Error::internal(format!(
            "the certificate {serial} is not what was signed; restore the database from a backup"
        )))
    }

    /// The certificate of a key version, as it was signed.
    ///
    /// # Errors
    /// The store's; Internal when it is damaged.
    pub fn ca_certificate(&self, version: i64) -> Result<Option<Vec<u8>>> {
        Ok(self.own_chain(version)?.ders.first().cloned())
    }

    /// A list that was signed before, if it is still what was signed.
    ///
    /// # Errors
    /// The store's; Internal when it is damaged.
    pub fn published_crl(&self, signer: &KeyVersion, shard: CrlShard) -> Result<Option<SignedCrl>> {
        let Some(crl) = self.store.read(|read| read.crl(signer.id, shard))? else { return Ok(None) };
        verify_signature(&crl.der, &PublicKey::known(&signer.spki)?).map_err(|e| {
            Error::internal(format!(
                "the CRL {} is not what was signed ({e}); restore the database from a backup",
                crl.number
            ))
        })?;
        Ok(Some(crl))
    }

    fn pem_above(&self, signer: i64) -> Result<Arc<Vec<String>>> {
        let pem = |chain: &Vec<Vec<u8>>| chain.iter().map(|der| to_pem("CERTIFICATE", der)).collect();
        let make = || Ok(self.chains_above(signer)?.iter().map(pem).collect());
        self.chains.pem.find(&self.store, signer, make)
    }

    /// The chain above what a key signs now; it can be read without the private key.
    pub(super) fn signer_chain(&self, key: i64) -> Result<Arc<SignerChain>> {
        let version = self.chains.current.read(&self.store, key, |read| Ok(read.key(key)?.current.id))?;
        self.chain_of(*version)
    }

    /// The chain above what an enabled key signs now, and the signer of the same version: a rotation between two reads would
    /// give a signature that does not fit its chain.
    pub(super) fn signing(&self, key: i64) -> Result<(Arc<SignerChain>, Arc<Signer>)> {
        let version = self.chains.signing.find(&self.store, key, || self.vault.current_version(key))?;
        Ok((self.chain_of(version.id)?, self.vault.signer_of_version(&version)?))
    }

    /// Whether an issuer and its key are enabled, by the settings of now.
    pub(super) fn check_enabled(&self, issuer: i64, key: i64) -> Result<()> {
        self.chains.enabled.read(&self.store, (issuer, key), |read| check_enabled(read, issuer, key)).map(|_| ())
    }

    /// The chain above what a version signs.
    fn chain_of(&self, version: i64) -> Result<Arc<SignerChain>> {
        self.chains.unrevoked.read(&self.store, version, |read| check_chain(read, version))?;
        self.own_chain(version)
    }

    /// The chain of a version, which may have been revoked: what it signed has to be spoken of all the same.
    pub(super) fn own_chain(&self, version: i64) -> Result<Arc<SignerChain>> {
        self.chains.own.read(&self.store, version, |read| {
            let chains = whole_chains(read, version)?;
            let ders = chains.into_iter().next().ok_or_else(|| {
                Error::conflict(
                    "the signer key has no certificate; have it signed with export-signer-csr and \
                     import-signer-certificate, or create another key with --generate-self-signed-certificate true",
                )
            })?;
            let chain = CaChain::parse(&ders)?;
            let (signer, validity) = (chain.signer()?.clone(), chain.validity()?);
            Ok(SignerChain { version, ders, signer, chain, validity })
        })
    }
}

/// Every chain of a version up to its root, the one to be offered first at the front.
fn chains_of_version(read: &Read<'_>, version: i64, deepest: usize) -> Result<Vec<Vec<Vec<u8>>>> {
    let mut chains = Vec::new();
    for certificate in read.ca_certificates(version)? {
        let above = above(read, &certificate, deepest)?;
        chains.push([vec![certificate.der], above].concat());
    }
    Ok(chains)
}

/// The same, each as it was signed.
fn whole_chains(read: &Read<'_>, version: i64) -> Result<Vec<Vec<Vec<u8>>>> {
    let chains = chains_of_version(read, version, DEEPEST)?;
    for chain in &chains {
        CaChain::check_signatures(chain).map_err(|e| {
            Error::internal(format!(
                "what stands above a signer is not what was signed: {e}; restore the database from a backup"
            ))
        })?;
    }
    Ok(chains)
}

fn above(read: &Read<'_>, certificate: &CaCertificate, deepest: usize) -> Result<Vec<Vec<u8>>> {
    match &certificate.origin {
        CaOrigin::SelfSigned => Ok(Vec::new()),
        CaOrigin::Foreign(above) => Ok(above.clone()),
        CaOrigin::Subordinate(signer) | CaOrigin::Cross(signer) => {
            let less =
                deepest.checked_sub(1).ok_or_else(|| Error::internal("a chain of CA certificates has no end"))?;
            let chains = chains_of_version(read, *signer, less)?;
            chains.into_iter().next().ok_or_else(|| Error::internal("a CA certificate without the one above it"))
        }
    }
}

/// An issuer that is disabled gives nothing, nor does a key.
pub(super) fn check_enabled(read: &Read<'_>, issuer: i64, key: i64) -> Result<()> {
    if read.is_usable(issuer)? && read.is_usable(key)? {
        Ok(())
    } else {
        Err(Error::unavailable("the issuer or its signer key was disabled meanwhile"))
    }
}

/// What nobody trusts signs nothing.
pub(super) fn check_chain(read: &Read<'_>, version: i64) -> Result<()> {
    if is_chain_revoked(read, version, DEEPEST)? {
        return Err(Error::unavailable(
            "the signer's certificate, or one above it, is revoked; give the issuer another signer with \
             update-pki-cert-issuer --signer-key-name",
        ));
    }
    Ok(())
}

/// Whether a certificate of the chain that is offered first was revoked by us.
fn is_chain_revoked(read: &Read<'_>, version: i64, deepest: usize) -> Result<bool> {
    let Some((signer, serial)) = read.signer_above(version)? else { return Ok(false) };
    let Some(less) = deepest.checked_sub(1) else { return Ok(true) };
    Ok(read.revocation(signer, &serial)?.is_some() || is_chain_revoked(read, signer, less)?)
}

/// What is served: the signer's certificate always, a root above it never, since who needs it has it.
fn served(mut chain: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let has_root = chain.len() > 1
        && chain.last().is_some_and(|last| ParsedCertificate::parse(last).is_ok_and(|c| c.is_self_issued()));
    if has_root {
        chain.pop();
    }
    chain
}
