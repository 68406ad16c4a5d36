//! The TLS certificates in use: chosen by the name that a client asks for, swapped without a restart.

use crate::der::from_pem;
use crate::error::{Error, Result};
use crate::identifier::Identifier;
use crate::settings::TlsFiles;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use zeroize::Zeroizing;

/// What the daemon shows, and to whom.
#[derive(Debug)]
pub struct TlsTable {
    given: Option<TlsFiles>,
    entries: Arc<RwLock<Vec<Entry>>>,
}

#[derive(Debug)]
struct Entry {
    /// `None` for a certificate that was given, which is shown to everybody.
    host: Option<Identifier>,
    /// The version of the signer that issued it, where the daemon did.
    signer: Option<i64>,
    preferred: bool,
    key: Arc<CertifiedKey>,
}

/// The daemon's own certificate for a host, with a key that can be used.
pub(super) struct OwnCertificate(Entry);

impl OwnCertificate {
    /// `signer`: the version that issued it. `preferred`: whether it goes before those of older issuers. The leaf comes first
    /// in the chain.
    ///
    /// # Errors
    /// Internal when the key cannot be used.
    pub(super) fn new(
        host: Identifier,
        signer: i64,
        preferred: bool,
        chain: Vec<Vec<u8>>,
        pkcs8: &[u8],
    ) -> Result<OwnCertificate> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8));
        let key = any_supported_type(&key).map_err(|e| Error::internal(format!("the TLS key of {host}: {e}")))?;
        let certified = CertifiedKey::new(chain.into_iter().map(CertificateDer::from).collect(), key);
        certified.keys_match().map_err(|e| Error::internal(format!("the TLS key of {host}: {e}")))?;
        Ok(OwnCertificate(Entry { host: Some(host), signer: Some(signer), preferred, key: Arc::new(certified) }))
    }
}

impl TlsTable {
    /// An empty table, or one with the certificate that was given.
    ///
    /// # Errors
    /// Malformed, naming the file, when the given files cannot be used.
    pub(super) fn new(given: Option<TlsFiles>) -> Result<TlsTable> {
        let table = TlsTable { given, entries: Arc::default() };
        table.reload_files()?;
        Ok(table)
    }

    /// Whether a certificate was given.
    pub fn is_given(&self) -> bool {
        self.given.is_some()
    }

    /// Whether there is nothing to show.
    pub fn is_empty(&self) -> bool {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Read the files that were given again.
    ///
    /// # Errors
    /// Malformed, naming the file, when they cannot be used; the old ones stay in use.
    pub fn reload_files(&self) -> Result<()> {
        let Some(files) = &self.given else { return Ok(()) };
        let key = Arc::new(read_files(files)?);
        self.replace(vec![Entry { host: None, signer: None, preferred: false, key }]);
        Ok(())
    }

    /// Show these certificates, the oldest issuer's first.
    pub(super) fn show(&self, certificates: Vec<OwnCertificate>) {
        let mut entries: Vec<Entry> = certificates.into_iter().map(|own| own.0).collect();
        // Stable: within each kind the oldest issuer stays first.
        entries.sort_by_key(|e| !e.preferred);
        self.replace(entries);
    }

    /// The signer version above what is shown for a host, where that is the daemon's own certificate.
    pub(super) fn signer_above(&self, host: &Identifier) -> Option<i64> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.iter().find(|e| e.host.as_ref() == Some(host))?.signer
    }

    /// Chooses for connections to one local address.
    pub fn resolver(&self, local: IpAddr) -> Arc<dyn ResolvesServerCert> {
        Arc::new(Resolver { entries: Arc::clone(&self.entries), local: Identifier::Ip(local.to_canonical()) })
    }

    fn replace(&self, entries: Vec<Entry>) {
        *self.entries.write().unwrap_or_else(PoisonError::into_inner) = entries;
    }
}

/// By SNI; without it by the local address that the client reached; else the first.
#[derive(Debug)]
struct Resolver {
    entries: Arc<RwLock<Vec<Entry>>>,
    local: Identifier,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asked = match hello.server_name() {
            Some(name) => Identifier::parse_host(name).ok(),
            None => Some(self.local.clone()),
        };
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let matching = entries.iter().find(|e| e.host.is_none() || e.host == asked);
        matching.or(entries.first()).map(|e| Arc::clone(&e.key))
    }
}

fn read_files(files: &TlsFiles) -> Result<CertifiedKey> {
    let read = |path: &std::path::Path| {
        std::fs::read_to_string(path).map_err(|e| Error::malformed(format!("{} cannot be read: {e}", path.display())))
    };
    let chain =
        from_pem("CERTIFICATE", &read(&files.certificate)?).map_err(|e| e.context(files.certificate.display()))?;
    if chain.is_empty() {
        return Err(Error::malformed(format!("{} holds no certificate in PEM", files.certificate.display())));
    }
    let named = |why: String| Error::malformed(format!("{}: {why}", files.key.display()));
    let key = Zeroizing::new(read(&files.key)?);
    let block = |label: &str| from_pem(label, &key).map(|blocks| blocks.into_iter().next());
    let key = if let Some(der) = block("PRIVATE KEY")? {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der))
    } else if let Some(der) = block("EC PRIVATE KEY")? {
        PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(der))
    } else if let Some(der) = block("RSA PRIVATE KEY")? {
        PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(der))
    } else {
        return Err(named("holds no private key in unencrypted PEM".into()));
    };
    let key = any_supported_type(&key).map_err(|e| named(e.to_string()))?;
    let certified = CertifiedKey::new(chain.into_iter().map(CertificateDer::from).collect(), key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(certified),
        Err(e) => Err(named(format!("it does not belong to {} ({e})", files.certificate.display()))),
    }
}
