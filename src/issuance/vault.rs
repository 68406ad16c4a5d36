//! Opening what is sealed: signers and the data key, from their fragments, once, and again when they were not all there.

use crate::error::{Error, Result};
use crate::keys::{Hash, KeyAlgorithm, Places, Sealed, SecretKey, Share, Signer, hex, key_part, random};
use crate::store::{DataKey, Key, KeyVersion, Store, Write};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use zeroize::Zeroizing;

pub(super) const EAB_KEY: &str = "eab";
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
            log::error!(error = warning; "not everything can be signed");
        }
        Ok(vault)
    }

    /// The current signer of a key, opened if it is not open yet.
    pub(super) fn signer(&self, key: i64) -> Result<Arc<Signer>> {
        self.signer_of_version(&self.current_version(key)?)
    }

    /// The version of an enabled key that signs now.
    pub(super) fn current_version(&self, key: i64) -> Result<KeyVersion> {
        let (item, key) = self.store.read(|read| Ok((read.item(key)?, read.key(key)?)))?;
        if !item.enabled {
            return Err(Error::unavailable(format!(
                "{} is {}; enable it with set-item-state",
                item.name,
                item.state()
            )));
        }
        Ok(key.current)
    }

    /// The signer of a version, the present one or not, whether its item is enabled or not: what was signed once needs CRLs
    /// and OCSP answers until its end.
    pub(super) fn signer_of_version(&self, version: &KeyVersion) -> Result<Arc<Signer>> {
        if let Some(signer) = self.open_signers().get(&version.id) {
            return Ok(Arc::clone(signer));
        }
        let key = self.store.read(|read| read.key(version.key))?;
        let signer = Arc::new(open_signer(&self.places, &key, version)?);
        self.open_signers().insert(version.id, Arc::clone(&signer));
        Ok(signer)
    }

    fn open_signers(&self) -> MutexGuard<'_, HashMap<i64, Arc<Signer>>> {
        self.signers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seal a private key and put its fragments into their places.
    pub(super) fn seal_private_key(&self, pkcs8: &[u8], split_level: usize) -> Result<SealedKey> {
        let fragments = format!("{}-{}", hex(&random::<16>()?), hex(&random::<4>()?));
        let kek = SecretKey::generate()?;
        let sealed = kek.seal(pkcs8, &private_key_context(&fragments))?;
        let times = self.write_fragments(&kek, &fragments, split_level)?;
        Ok(SealedKey { fragments, sealed: sealed.0, times })
    }

    /// Put the fragments of a key-encryption key into their places. The database knows of them before, so that a crash leaves
    /// none behind.
    fn write_fragments(&self, kek: &SecretKey, fragments: &str, split_level: usize) -> Result<Vec<Duration>> {
        let noted = fragments.to_owned();
        self.store.change(move |write| write.note_passing_fragments(&noted, split_level))?;
        let written = self.places.write(&Share::split(kek, fragments, split_level)?);
        written.inspect_err(|_| self.abandon(fragments, split_level))
    }

    /// Take the fragments away of a key that did not come into the store, or that has others now.
    pub(super) fn abandon(&self, fragments: &str, split_level: usize) {
        self.places.remove(fragments, split_level);
        let gone = fragments.to_owned();
        if let Err(e) = self.store.change(move |write| write.forget_passing_fragments(&gone)) {
            log::warn!(fragments, error:% = e; "it could not be noted that fragments are gone");
        }
    }

    pub(super) fn destroy(&self, key: i64) {
        match self.store.read(|read| Ok((read.key(key)?.split_level, read.key_versions(key)?))) {
            Ok((split_level, versions)) => {
                for version in versions {
                    self.places.remove(&version.fragments, split_level);
                    self.open_signers().remove(&version.id);
                }
            }
            Err(e) => log::error!(error:% = e; "the fragments of a deleted key stay, since it could not be read"),
        }
    }

    /// A key is destroyed, and its shares are changed, in the database first; a crash may have left old fragments.
    fn finish_destroying(&self) -> Result<()> {
        for (fragments, split_level) in self.store.read(|read| read.destroyed_keys())? {
            self.places.remove(&fragments, split_level);
        }
        let (in_use, data_key) = self.store.read(|read| Ok((read.fragments_in_use()?, read.data_key(EAB_KEY)?)))?;
        for (fragments, split_level) in &in_use {
            self.places.remove_other_sets(fragments, *split_level);
        }
        // Not those of a key-encryption key in use: they may be all that there is of it under a database from a backup.
        let is_in_use = |set: &str| in_use.iter().any(|(fragments, _)| key_part(fragments) == key_part(set));
        for (fragments, split_level) in self.store.read(|read| read.passing_fragments())? {
            match is_in_use(&fragments) {
                false => self.abandon(&fragments, split_level),
                true => self.store.change(move |write| write.forget_passing_fragments(&fragments))?,
            }
        }
        self.places.remove_cut_short();
        let data_key = data_key.map(|key| key.fragments);
        let known: Vec<&str> =
            in_use.iter().map(|(fragments, _)| fragments).chain(&data_key).map(|f| key_part(f)).collect();
        for stray in self.places.keys_found().iter().filter(|key| !known.contains(&key.as_str())) {
            log::warn!(
                fragments = stray;
                "there are fragments, called so, that belong to no key here: of a key that was not finished, or of another \
                 database; remove them once it is clear that no backup needs them"
            );
        }
        Ok(())
    }

    /// Change the shares of every version of a key: of the same key-encryption key, so that the new ones open every backup,
    /// or of another one, so that they open none.
    pub(super) fn refresh(
        &self,
        key: i64,
        new_kek: bool,
        audit: impl FnOnce(&Write<'_>) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let (key, versions) = self.store.read(|read| Ok((read.key(key)?, read.key_versions(key)?)))?;
        let mut changes = Vec::new();
        let mut written = Vec::new();
        let prepared = versions.iter().try_for_each(|version| {
            let sealed = version.sealed.clone().ok_or_else(|| Error::conflict("the signer key has been deleted"))?;
            let kek = self.places.join(&version.fragments, key.split_level)?;
            let pkcs8 = kek.open(&Sealed(sealed.clone()), &private_key_context(&version.fragments))?;
            let set = hex(&random::<4>()?);
            let (fragments, kek, sealed) = if new_kek {
                let (fragments, kek) = (format!("{}-{set}", hex(&random::<16>()?)), SecretKey::generate()?);
                let sealed = kek.seal(&pkcs8, &private_key_context(&fragments))?.0;
                (fragments, kek, sealed)
            } else {
                (format!("{}-{set}", key_part(&version.fragments)), kek, sealed)
            };
            self.write_fragments(&kek, &fragments, key.split_level)?;
            written.push(fragments.clone());
            changes.push((version.id, version.fragments.clone(), fragments, sealed));
            Ok(())
        });
        let split_level = key.split_level;
        let kept = prepared.and_then(|()| {
            let changes = changes.clone();
            self.store.change(move |write| {
                for (version, before, fragments, sealed) in &changes {
                    write.reseal_private_key(*version, before, fragments, split_level, sealed)?;
                }
                audit(write)
            })
        });
        if let Err(e) = kept {
            written.iter().for_each(|fragments| self.abandon(fragments, split_level));
            return Err(e);
        }
        changes.iter().for_each(|(_, before, _, _)| self.abandon(before, split_level));
        Ok(())
    }

    /// The last fragment of every version of a key that can sign, the newest first: file names and texts.
    pub(super) fn last_fragments(&self, key: i64) -> Result<Vec<(String, Zeroizing<String>)>> {
        let (split_level, sets) = self.sets_of(key)?;
        sets.iter().map(|set| self.places.last(set, split_level)).collect()
    }

    /// Forget these, which somebody else keeps now.
    pub(super) fn forget_last_fragments(&self, key: i64) -> Result<()> {
        let (split_level, sets) = self.sets_of(key)?;
        sets.iter().for_each(|set| self.places.forget_last(set, split_level));
        Ok(())
    }

    fn sets_of(&self, key: i64) -> Result<(usize, Vec<String>)> {
        let (key, versions) = self.store.read(|read| Ok((read.key(key)?, read.key_versions(key)?)))?;
        let living = versions.into_iter().rev().filter(|version| version.sealed.is_some());
        Ok((key.split_level, living.map(|version| version.fragments).collect()))
    }

    pub(super) fn places(&self) -> &Places {
        &self.places
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

    /// Whether every enabled key can be opened, and the one that binds accounts.
    pub(super) fn check_open(&self) -> Result<()> {
        self.eab_key()?;
        let keys = self.store.read(|read| {
            let items = read.key_items()?.into_iter().map(|id| read.item(id));
            items.filter(|item| item.as_ref().map_or(true, |item| item.enabled)).collect::<Result<Vec<_>>>()
        })?;
        keys.iter().try_for_each(|key| self.signer(key.id).map(|_| ()))
    }

    pub(super) fn seal_mac_key(&self, kid: &str, mac_key: &[u8]) -> Result<Vec<u8>> {
        self.eab_key()?.seal(mac_key, &mac_key_context(kid)).map(|sealed| sealed.0)
    }

    pub(super) fn open_mac_key(&self, kid: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        open_mac_key(&self.eab_key()?, kid, sealed)
    }

    fn eab_key(&self) -> Result<SecretKey> {
        let mut open = self.eab_key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = &*open {
            return Ok(key.clone());
        }
        let stored =
            self.store.read(|read| read.data_key(EAB_KEY))?.ok_or_else(|| Error::internal("the data key is gone"))?;
        let key = open_data_key(&self.places, stored)?;
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

/// Open the private key of a version, which must be the one of its certificates.
pub(super) fn open_signer(places: &Places, key: &Key, version: &KeyVersion) -> Result<Signer> {
    let sealed = version.sealed.clone().ok_or_else(|| Error::conflict("the signer key has been deleted"))?;
    let kek = places.join(&version.fragments, key.split_level)?;
    let pkcs8 = kek.open(&Sealed(sealed), &private_key_context(&version.fragments))?;
    let signer = Signer::from_pkcs8(KeyAlgorithm::parse(&key.algorithm)?, Hash::parse(&key.hash)?, &pkcs8)?;
    if signer.public_key().to_spki() != version.spki {
        return Err(Error::internal("the private key does not belong to its certificate; the database is damaged"));
    }
    Ok(signer)
}

/// Open the key that seals MAC keys.
pub(super) fn open_data_key(places: &Places, stored: DataKey) -> Result<SecretKey> {
    places.join(&stored.fragments, stored.split_level)?.open_key(&Sealed(stored.sealed), EAB_KEY)
}

/// Open the MAC key of a credential.
pub(super) fn open_mac_key(data_key: &SecretKey, kid: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    data_key.open(&Sealed(sealed.to_vec()), &mac_key_context(kid))
}

fn private_key_context(fragments: &str) -> String {
    format!("private key {}", key_part(fragments))
}

fn mac_key_context(kid: &str) -> String {
    format!("MAC key {kid}")
}
