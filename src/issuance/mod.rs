//! Every signature that is ever made here, one function for each purpose, each demanding its own proof: a ready order, an
//! administrator's request for a signer, the daemon's own host. Signers are reachable from nowhere else.

mod chains;
mod check;
mod crls;
mod leaf;
mod ocsp;
mod own_tls;
mod points;
mod revocation;
mod rotation;
mod signer_key;
mod tls_table;
mod vault;
mod verified;

pub use check::{check, fragment_findings};
pub use leaf::ReadyOrder;
pub use ocsp::OcspReply;
pub use own_tls::PreparedTls;
pub use revocation::{Reason, RevokedAll, Revoker, ToRevoke};
pub use rotation::Rotation;
pub use signer_key::{CaWish, Certified, FormerSigner, NewSigner, PreparedSigner};
pub use tls_table::TlsTable;

use crate::clock::Clock;
use crate::error::Result;
use crate::keys::Places;
use crate::policy::IssuerPolicy;
use crate::settings::Settings;
use crate::store::{Store, Write};
use chains::Chains;
use ocsp::Responders;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use vault::Vault;
use zeroize::Zeroizing;

/// The one who signs.
pub struct Issuance {
    store: Arc<Store>,
    clock: Clock,
    vault: Vault,
    chains: Chains,
    tls_keys: PathBuf,
    tls: TlsTable,
    /// Held while the daemon's own certificates are renewed.
    refreshing: Mutex<()>,
    /// Held while CRLs are signed.
    publishing: Mutex<()>,
    crls_wanted: (Mutex<bool>, Condvar),
    responders: Responders,
    /// The port at which CRLs and CA certificates are fetched, where it is the same at every start.
    plain_port: Option<u16>,
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
        Ok(Issuance {
            store,
            clock,
            vault,
            chains: Chains::default(),
            tls_keys: settings.state_dir.join("keys"),
            tls,
            refreshing: Mutex::new(()),
            publishing: Mutex::new(()),
            crls_wanted: Default::default(),
            responders: Responders::default(),
            plain_port: Some(settings.plain_listen.port())
                .filter(|port| *port != 0 && settings.behind_proxy.is_empty()),
        })
    }

    /// The certificates that the daemon shows.
    pub fn tls(&self) -> &TlsTable {
        &self.tls
    }

    /// What cannot be signed at the moment, and why; one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        self.vault.warnings()
    }

    /// Whether everything can be opened that signs or binds accounts, keys aside that an administrator disabled.
    ///
    /// # Errors
    /// Unavailable, naming the fragment that is missing.
    pub fn check_open(&self) -> Result<()> {
        self.vault.check_open()
    }

    /// Whether accounts can be bound and certificates signed for an issuer.
    ///
    /// # Errors
    /// Unavailable, naming the fragment that is missing, or while the clock is not to be believed.
    pub fn check_can_sign(&self, policy: &IssuerPolicy) -> Result<()> {
        self.clock.trusted()?;
        self.vault.signer(policy.signer_key).map(|_| ())
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
    pub fn open_mac_key(&self, kid: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        self.vault.open_mac_key(kid, sealed)
    }

    /// Forget a key for good: its fragments and what is in memory. To be called after its item is deleted.
    pub fn destroy_key(&self, key: i64) {
        self.vault.destroy(key);
    }

    /// Where fragments are.
    pub fn places(&self) -> &Places {
        self.vault.places()
    }

    /// The fragments of a key, for a backup that is to hold them: file names and texts.
    ///
    /// # Errors
    /// Unavailable, naming the fragment that is missing.
    pub fn fragments(&self, set: &str, count: usize) -> Result<Vec<(String, Zeroizing<String>)>> {
        self.vault.places().all(set, count)
    }

    /// Where the keys of the daemon's own certificates and of its OCSP responders are.
    pub fn key_directory(&self) -> &Path {
        &self.tls_keys
    }

    /// Change the fragments of a key, keeping the key: those that were there before are useless from then on. With
    /// `new_kek` they no longer open earlier backups either.
    ///
    /// # Errors
    /// Unavailable when a fragment is missing or cannot be written.
    pub fn refresh_key(
        &self,
        key: i64,
        new_kek: bool,
        audit: impl FnOnce(&Write<'_>) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        self.vault.refresh(key, new_kek, audit)
    }

    /// The last fragment of every version of a key, for somebody else to keep: file names and texts, the newest first.
    ///
    /// # Errors
    /// Unavailable when one is missing or damaged.
    pub fn last_fragments(&self, key: i64) -> Result<Vec<(String, Zeroizing<String>)>> {
        self.vault.last_fragments(key)
    }

    /// Forget these, once somebody else has them safely.
    ///
    /// # Errors
    /// The store's.
    pub fn forget_last_fragments(&self, key: i64) -> Result<()> {
        self.vault.forget_last_fragments(key)
    }
}
