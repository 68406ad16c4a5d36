//! Opening what is sealed: signers and the data key, from their fragments, once, and again when they were not all there.

use crate::error::{Error, Result};
use crate::keys::{Hash, KeyAlgorithm, Places, Sealed, SecretKey, Share, Signer, hex, random};
use crate::store::{DataKey, Key, Store};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use zeroize::Zeroizing;

const EAB_KEY: &str = "eab";
const DATA_KEY_SPLIT_LEVEL: usize = 3;

pub(super) struct Vault {
    store: Arc<Store>,
    places: Places,
    /// By the row id of the key version.
    signers: Mutex<HashMap<i64, Arc<Signer>>>,
    eab_key: Mutex<Option<SecretKey>>,
}

/// A private key on its way into the store: sealed, its fragments in their places.
pub(super) struct SealedKey {
    pub(super) fragments: String,
    pub(super) sealed: Vec<u8>,
    pub(super) times: Vec<Duration>,
}

impl Vault {
    pub(super) fn open(store: Arc<Store>, places: Places) -> Result<Vault> {
        let vault = Vault { store, places, signers: Mutex::default(), eab_key: Mutex::new(None) };
        if vault.store.read(|read| read.data_key(EAB_KEY))?.is_none() {
            vault.make_eab_key()?;
        }
        vault.finish_destroying()?;
        for warning in vault.warnings() {
            log::error!("{warning}");
        }
        Ok(vault)
    }

    /// The current signer of a key, opened if it is not open yet.
    pub(super) fn signer(&self, key: i64) -> Result<Arc<Signer>> {
        let (item, key) = self.store.read(|read| Ok((read.item(key)?, read.key(key)?)))?;
        if !item.enabled {
            return Err(Error::unavailable(format!(
                "{} is {}; enable it with set-item-state",
                item.name,
                item.state()
            )));
        }
        let open = self.signers.lock().unwrap_or_else(PoisonError::into_inner).get(&key.current.id).cloned();
        match open {
            Some(signer) => Ok(signer),
            None => {
                let signer = Arc::new(self.open_signer(&key)?);
                self.keep(key.current.id, Arc::clone(&signer));
                Ok(signer)
            }
        }
    }

    pub(super) fn keep(&self, version: i64, signer: Arc<Signer>) {
        self.signers.lock().unwrap_or_else(PoisonError::into_inner).insert(version, signer);
    }

    /// Seal a private key and put its fragments into their places.
    pub(super) fn seal_private_key(&self, pkcs8: &[u8], split_level: usize) -> Result<SealedKey> {
        let fragments = hex(&random::<16>()?);
        let kek = SecretKey::generate()?;
        let sealed = kek.seal(pkcs8, &private_key_context(&fragments))?;
        let times = self.places.write(&Share::split(&kek, &fragments, split_level)?)?;
        Ok(SealedKey { fragments, sealed: sealed.0, times })
    }

    /// Take the fragments of a key away again that did not come into the store.
    pub(super) fn abandon(&self, fragments: &str, split_level: usize) {
        self.places.remove(fragments, split_level);
    }

    pub(super) fn destroy(&self, key: i64) {
        match self.store.read(|read| read.key(key)) {
            Ok(key) => {
                self.places.remove(&key.current.fragments, key.split_level);
                self.signers.lock().unwrap_or_else(PoisonError::into_inner).remove(&key.current.id);
            }
            Err(e) => log::error!("the fragments of a deleted key stay, since it could not be read: {e}"),
        }
    }

    /// A key is destroyed in the database first; a crash may have left its fragments.
    fn finish_destroying(&self) -> Result<()> {
        for (fragments, split_level) in self.store.read(|read| read.destroyed_keys())? {
            self.places.remove(&fragments, split_level);
        }
        Ok(())
    }

    pub(super) fn places(&self) -> usize {
        self.places.count()
    }

    /// One sentence for each key that cannot be opened at the moment.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Err(e) = self.eab_key() {
            warnings.push(format!("external accounts cannot be bound: {e}"));
        }
        let keys = self.store.read(|read| {
            read.key_items()?.into_iter().map(|id| Ok((read.item(id)?.name, id))).collect::<Result<Vec<_>>>()
        });
        match keys {
            Err(e) => warnings.push(format!("the keys cannot be listed: {e}")),
            Ok(keys) => {
                for (name, key) in keys {
                    if let Err(e) = self.signer(key) {
                        warnings.push(format!("{name} cannot sign: {e}"));
                    }
                }
            }
        }
        warnings
    }

    pub(super) fn seal_mac_key(&self, kid: &str, mac_key: &[u8]) -> Result<Vec<u8>> {
        self.eab_key()?.seal(mac_key, &mac_key_context(kid)).map(|sealed| sealed.0)
    }

    pub(super) fn open_mac_key(&self, kid: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        self.eab_key()?.open(&Sealed(sealed.to_vec()), &mac_key_context(kid))
    }

    fn open_signer(&self, key: &Key) -> Result<Signer> {
        let version = &key.current;
        let sealed = version.sealed.clone().ok_or_else(|| Error::conflict("the signer key has been deleted"))?;
        let kek = self.places.join(&version.fragments, key.split_level)?;
        let pkcs8 = kek.open(&Sealed(sealed), &private_key_context(&version.fragments))?;
        let signer = Signer::from_pkcs8(KeyAlgorithm::parse(&key.algorithm)?, Hash::parse(&key.hash)?, &pkcs8)?;
        if signer.public_key().to_spki() != version.spki {
            return Err(Error::internal("the private key does not belong to its certificate; the database is damaged"));
        }
        Ok(signer)
    }

    fn eab_key(&self) -> Result<SecretKey> {
        let mut open = self.eab_key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = &*open {
            return Ok(key.clone());
        }
        let stored =
            self.store.read(|read| read.data_key(EAB_KEY))?.ok_or_else(|| Error::internal("the data key is gone"))?;
        let kek = self.places.join(&stored.fragments, stored.split_level)?;
        let key = kek.open_key(&Sealed(stored.sealed), EAB_KEY)?;
        *open = Some(key.clone());
        Ok(key)
    }

    fn make_eab_key(&self) -> Result<()> {
        let fragments = hex(&random::<16>()?);
        let kek = SecretKey::generate()?;
        let sealed = kek.seal_key(&SecretKey::generate()?, EAB_KEY)?.0;
        self.places.write(&Share::split(&kek, &fragments, DATA_KEY_SPLIT_LEVEL)?)?;
        let stored = DataKey { fragments: fragments.clone(), split_level: DATA_KEY_SPLIT_LEVEL, sealed };
        self.store.change(move |write| write.insert_data_key(EAB_KEY, &stored)).inspect_err(|_| {
            self.places.remove(&fragments, DATA_KEY_SPLIT_LEVEL);
        })
    }
}

fn private_key_context(fragments: &str) -> String {
    format!("private key {fragments}")
}

fn mac_key_context(kid: &str) -> String {
    format!("MAC key {kid}")
}
