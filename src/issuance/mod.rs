//! Every signature that is ever made here, one function for each purpose, each demanding its own proof: a ready order, an
//! administrator's request for a signer, the daemon's own host. Signers are reachable from nowhere else.

mod leaf;
mod own_tls;
mod revocation;
mod signer_key;
mod tls_table;
mod vault;

pub use leaf::{IssuedLeaf, ReadyOrder};
pub use own_tls::PreparedTls;
pub use revocation::{Reason, Revoker};
pub use signer_key::{NewSigner, PreparedSigner, SelfSigned};
pub use tls_table::TlsTable;

use crate::ca::{NameConstraints, ParsedCertificate, Validity};
use crate::clock::Clock;
use crate::der::to_pem;
use crate::error::{Error, Result};
use crate::keys::Places;
use crate::policy::IssuerPolicy;
use crate::settings::Settings;
use crate::store::{Certificate, Store};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use vault::Vault;

/// The one who signs.
pub struct Issuance {
    store: Arc<Store>,
    clock: Clock,
    vault: Vault,
    tls_keys: PathBuf,
    tls: TlsTable,
    /// Held while the daemon's own certificates are renewed.
    refreshing: Mutex<()>,
}

impl Issuance {
    /// Open what is needed to sign. A signer whose fragments are not all there is reported and left out; everything else
    /// goes on.
    ///
    /// # Errors
    /// The store's, and those of TLS files that were given and cannot be used.
    pub fn open(store: Arc<Store>, clock: Clock, settings: &Settings) -> Result<Issuance> {
        let places = Places::new(&settings.state_dir, &settings.fragment_dirs);
        let vault = Vault::open(Arc::clone(&store), places)?;
        let tls = TlsTable::new(settings.tls_files.clone())?;
        Ok(Issuance { store, clock, vault, tls_keys: settings.state_dir.join("keys"), tls, refreshing: Mutex::new(()) })
    }

    /// The certificates that the daemon shows.
    pub fn tls(&self) -> &TlsTable {
        &self.tls
    }

    /// What cannot be signed at the moment, and why; one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        self.vault.warnings()
    }

    /// Whether accounts can be bound and certificates signed for an issuer.
    ///
    /// # Errors
    /// Unavailable, naming the fragment that is missing.
    pub fn check_can_sign(&self, policy: &IssuerPolicy) -> Result<()> {
        self.vault.signer(policy.signer_key).map(|_| ())
    }

    /// The names that the chain above an issuer can carry (RFC 5280, 4.2.1.10).
    ///
    /// # Errors
    /// The store's; Conflict when the key has no certificate.
    pub fn name_constraints(&self, policy: &IssuerPolicy) -> Result<NameConstraints> {
        self.signer_certificate(policy.signer_key).map(|c| c.name_constraints)
    }

    /// The CA certificates above an issuer's leaves, the signer's first.
    ///
    /// # Errors
    /// The store's; Conflict when the key has no certificate.
    pub fn chain_of_key(&self, key: i64) -> Result<Vec<Vec<u8>>> {
        self.signer_certificate(key).map(|c| vec![c.der])
    }

    /// The CA certificates above a leaf that this key version signed, the signer's first.
    ///
    /// # Errors
    /// The store's; Internal when the version has no certificate.
    pub fn chain_above(&self, signer: i64) -> Result<Vec<Vec<u8>>> {
        let version = self.store.read(|read| read.key_version(signer))?;
        version.certificate.map(|c| vec![c]).ok_or_else(|| Error::internal("a signer without a certificate"))
    }

    /// A leaf and the CA certificates above it, as PEM (RFC 8555, 9.1).
    ///
    /// # Errors
    /// As [`Issuance::chain_above`].
    pub fn pem_chain(&self, certificate: &Certificate) -> Result<String> {
        let chain = self.chain_above(certificate.signer)?;
        Ok([&certificate.der].into_iter().chain(&chain).map(|der| to_pem("CERTIFICATE", der)).collect())
    }

    /// Seal the MAC key of a credential for the database.
    ///
    /// # Errors
    /// Unavailable, naming the fragment of the data key that is missing.
    pub fn seal_mac_key(&self, kid: &str, mac_key: &[u8]) -> Result<Vec<u8>> {
        self.vault.seal_mac_key(kid, mac_key)
    }

    /// Open the MAC key of a credential.
    ///
    /// # Errors
    /// Unavailable, naming the fragment of the data key that is missing; Internal when it is damaged.
    pub fn open_mac_key(&self, kid: &str, sealed: &[u8]) -> Result<zeroize::Zeroizing<Vec<u8>>> {
        self.vault.open_mac_key(kid, sealed)
    }

    /// Forget a key for good: its fragments and what is in memory. To be called after its item is deleted.
    pub fn destroy_key(&self, key: i64) {
        self.vault.destroy(key);
    }

    /// The CA certificate of a key's current version; it can be read without the private key.
    fn signer_certificate(&self, key: i64) -> Result<CaCertificate> {
        let version = self.store.read(|read| read.key(key))?.current;
        let der = version.certificate.ok_or_else(|| {
            Error::conflict(
                "the signer key has no certificate; create another key with --generate-self-signed-certificate true",
            )
        })?;
        let parsed = ParsedCertificate::parse(&der)?;
        let (not_before, not_after) =
            version.validity.ok_or_else(|| Error::internal("a CA certificate without its life"))?;
        Ok(CaCertificate {
            version: version.id,
            name_constraints: parsed.name_constraints()?,
            parsed,
            validity: Validity { not_before, not_after },
            der,
        })
    }
}

/// A signer's certificate, read.
struct CaCertificate {
    version: i64,
    der: Vec<u8>,
    parsed: ParsedCertificate,
    validity: Validity,
    name_constraints: NameConstraints,
}
