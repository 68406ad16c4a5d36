//! The daemon's own TLS certificates: issued by the issuer whose gw-cluster-url names the host, outside its allowed
//! domains; stored; renewed by themselves before two thirds of their life.

use super::Issuance;
use super::points::LeafPoints;
use super::tls_table::OwnCertificate;
use crate::ca::{Leaf, Serial, Validity, prepare_leaf, verify_for_names};
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::identifier::Identifier;
use crate::keys::{Hash, KeyAlgorithm, Signer, generate, hex, write_private};
use crate::metrics;
use crate::policy::IssuerPolicy;
use crate::store::{AuditEntry, NewCertificate, Purpose, TlsCertificate, Write};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use zeroize::Zeroizing;

/// A key without a certificate is left alone for so long.
const STRAY: Duration = Duration::from_secs(600);

/// A certificate for the daemon's host, its key on disk, ready to come into the store. Dropped without that, the key goes.
pub struct PreparedTls {
    host: Identifier,
    new: Option<NewCertificate>,
    key_file: PathBuf,
}

impl PreparedTls {
    /// Bring it into the store, in the same change as its issuer if that is new. Call [`PreparedTls::kept`] after the
    /// commit.
    pub fn insert(&self) -> impl FnOnce(&Write<'_>, i64, Time) -> Result<()> + Send + 'static {
        let (host, new) = (self.host.to_string(), self.new.clone());
        move |write, issuer, now| {
            let new = new.ok_or_else(|| Error::internal("a prepared TLS certificate was kept twice"))?;
            let entry = AuditEntry::done("daemon", "own-tls-certificate", host.as_str())
                .detail(format!("serial {}", hex(&new.serial)));
            let certificate = write.insert_certificate(&NewCertificate { issuer, ..new }, now)?;
            write.put_tls_certificate(issuer, &host, certificate)?;
            write.append_audit(now, &entry)
        }
    }

    /// The commit succeeded: the key stays.
    pub fn kept(mut self) {
        metrics::count(&metrics::ISSUED, metrics::Issued::Tls as usize);
        self.new = None;
    }
}

impl Drop for PreparedTls {
    fn drop(&mut self) {
        if self.new.is_some() {
            let _ = std::fs::remove_file(&self.key_file);
        }
    }
}

impl Issuance {
    /// Whether the chain above an issuer can carry the host of its gw-cluster-url, where the daemon has to certify itself.
    ///
    /// # Errors
    /// Malformed when its name constraints forbid it.
    pub fn check_own_host(&self, policy: &IssuerPolicy) -> Result<()> {
        let Some(url) = policy.acme.as_ref().filter(|_| !self.tls.is_given()) else { return Ok(()) };
        let host = url.host();
        if self.signer_chain(policy.signer_key)?.chain.constraints()?.permit(host) {
            return Ok(());
        }
        Err(Error::malformed(format!(
            "the signer's name constraints do not permit {host}, the host of --gw-cluster-url, so the daemon cannot certify \
             itself; start it with --tls-cert and --tls-key, or choose another host"
        )))
    }

    /// The roots that clients need to reach the directory of an issuer, which need not be its own: of several issuers with one
    /// host, one certifies it. `None` where the daemon was given a certificate, or shows none for this host.
    ///
    /// # Errors
    /// The store's.
    pub fn roots_of_door(&self, policy: &IssuerPolicy) -> Result<Option<Arc<Vec<Vec<u8>>>>> {
        let signer = policy.acme.as_ref().and_then(|url| self.tls.signer_above(url.host()));
        signer.map(|signer| self.roots_of_version(signer)).transpose()
    }

    /// Issue a certificate for the host of an issuer's gw-cluster-url. `None` when the issuer has none, or when the daemon
    /// was given a certificate.
    ///
    /// # Errors
    /// Malformed when the chain's name constraints forbid the host; Unavailable when the signer cannot sign.
    pub fn prepare_tls(&self, policy: &IssuerPolicy) -> Result<Option<PreparedTls>> {
        let Some(url) = policy.acme.as_ref().filter(|_| !self.tls.is_given()) else { return Ok(None) };
        let host = url.host().clone();
        self.check_own_host(policy)?;
        let (ca, signer) = self.signing(policy.signer_key)?;
        let now = self.clock.trusted()?;
        let pkcs8 = generate(KeyAlgorithm::Ec256)?;
        let public_key = Signer::from_pkcs8(KeyAlgorithm::Ec256, Hash::Sha256, &pkcs8)?.public_key().clone();
        let LeafPoints { points, shard } = self.leaf_points(policy, &ca)?;
        let leaf = Leaf {
            serial: Serial::generate()?,
            validity: Validity::starting_within(now, policy.ttl, ca.validity),
            subject: policy.subject().clone(),
            identifiers: vec![host.clone()],
            key_usage: vec![crate::ca::KeyUsage::DigitalSignature],
            key_usage_critical: true,
            extended_key_usage: vec![crate::ca::ExtendedKeyUsage::ServerAuth],
            subject_key_identifier: true,
            points,
            public_key,
        };
        let signed = prepare_leaf(&leaf, &signer, &ca.signer)?.sign(&signer)?;
        verify_for_names(&signed.der, &ca.ders, &leaf.identifiers, now)?;
        let key_file = self.key_file(signed.serial.octets());
        write_private(&key_file, &pkcs8).map_err(|e| {
            Error::unavailable(format!(
                "the TLS key {} cannot be written ({e}); make its directory writable",
                key_file.display()
            ))
        })?;
        let new = NewCertificate {
            serial: signed.serial.octets().to_vec(),
            purpose: Purpose::Tls,
            issuer: policy.item,
            signer: ca.version,
            ordered: None,
            item: None,
            shard,
            not_before: signed.validity.not_before,
            not_after: signed.validity.not_after,
            der: signed.der,
        };
        Ok(Some(PreparedTls { host, new: Some(new), key_file }))
    }

    /// Renew what is due, then show what the store says. An issuer that cannot sign keeps the certificate that it has, and
    /// one whose settings or key cannot be used holds up no other.
    ///
    /// # Errors
    /// The store's.
    pub fn refresh_tls(&self) -> Result<()> {
        if self.tls.is_given() {
            return Ok(());
        }
        // Two at once would each issue a certificate, of which one is never shown.
        let _one_at_a_time = self.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let (issuers, stored) = self.store.read(|read| Ok((read.issuers()?, read.tls_certificates()?)))?;
        for issuer in &issuers {
            let current = stored.iter().find(|t| t.issuer == issuer.item);
            let renewed = IssuerPolicy::parse(issuer).and_then(|policy| self.renew_if_due(&policy, current, now));
            if let Err(e) = renewed {
                log::log!(e.level(), issuer = issuer.item, error:% = e; "a TLS certificate of the daemon could not be renewed");
            }
        }
        let stored = self.store.read(|read| read.tls_certificates())?;
        let mut shown = Vec::new();
        for tls in &stored {
            let Some(issuer) = issuers.iter().find(|i| i.item == tls.issuer && i.acme_enabled) else { continue };
            match self.own_certificate(tls, issuer.tls_issuer) {
                Ok(own) => shown.push(own),
                Err(e) => log::error!(host = tls.host, error:% = e; "a TLS certificate of the daemon cannot be shown"),
            }
        }
        self.tls.show(shown);
        self.remove_stray_keys(&stored)
    }

    /// Keys of certificates that are in use no more: of deleted issuers, or of a crash between key and commit.
    fn remove_stray_keys(&self, stored: &[TlsCertificate]) -> Result<()> {
        let responders = self.store.read(|read| read.newest_responders())?;
        let known: Vec<PathBuf> = stored
            .iter()
            .map(|t| self.key_file(&t.certificate.serial))
            .chain(responders.iter().map(|serial| self.responder_file(serial)))
            .collect();
        let files = std::fs::read_dir(&self.tls_keys).into_iter().flatten().flatten().map(|entry| entry.path());
        for file in files.filter(|file| !known.contains(file)) {
            // A key that is just being made has its certificate in a moment.
            let age = file.metadata().and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
            if age.is_some_and(|age| age > STRAY) {
                let _ = std::fs::remove_file(&file);
            }
        }
        Ok(())
    }

    fn own_certificate(&self, tls: &TlsCertificate, preferred: bool) -> Result<OwnCertificate> {
        let host = Identifier::parse_host(&tls.host)?;
        let chain = [vec![tls.certificate.der.clone()], self.chain_above(tls.certificate.signer)?].concat();
        OwnCertificate::new(host, tls.certificate.signer, preferred, chain, &self.tls_key(tls)?)
    }

    /// The private key of one of the daemon's own certificates.
    fn tls_key(&self, tls: &TlsCertificate) -> Result<Zeroizing<Vec<u8>>> {
        let file = self.key_file(&tls.certificate.serial);
        let unreadable = |e| Error::unavailable(format!("the TLS key {} cannot be read: {e}", file.display()));
        std::fs::read(&file).map(Zeroizing::new).map_err(unreadable)
    }

    fn renew_if_due(&self, policy: &IssuerPolicy, current: Option<&TlsCertificate>, now: Time) -> Result<()> {
        let Some(url) = &policy.acme else { return Ok(()) };
        let due = match current {
            None => true,
            Some(tls) => {
                let life = tls.certificate.not_after.since(tls.certificate.not_before);
                let renew_at = tls.certificate.not_before.plus(crate::clock::Span((life.0 / 5).saturating_mul(3)));
                let is_usable = || self.own_certificate(tls, policy.tls_issuer).is_ok();
                // After a rotation, or with another signer, clients are to be shown what leaves are shown.
                let signer = self.store.read(|read| read.key(policy.signer_key))?.current.id;
                tls.host != url.host().to_string()
                    || now >= renew_at
                    || tls.certificate.signer != signer
                    || !is_usable()
            }
        };
        if !due {
            return Ok(());
        }
        let Some(prepared) = self.prepare_tls(policy)? else { return Ok(()) };
        let (insert, issuer) = (prepared.insert(), policy.item);
        self.store.change(move |write| insert(write, issuer, now))?;
        prepared.kept();
        log::info!(host:% = url.host(); "issued the daemon's own TLS certificate");
        if let Some(old) = current {
            let _ = std::fs::remove_file(self.key_file(&old.certificate.serial));
        }
        Ok(())
    }

    fn key_file(&self, serial: &[u8]) -> PathBuf {
        self.tls_keys.join(format!("tls-{}.p8", hex(serial)))
    }
}
