//! Settings that were read and understood once. They change by commands, requests come by the thousand; what was made of
//! them is kept until the writer has committed a change to any of them.

use super::{Read, Store};
use crate::error::Result;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock};

/// More than an installation has of anything; a bound for what strangers could make us keep.
const MOST: usize = 4096;

/// What was made of settings, by what it was asked for.
pub struct Remembered<K, V> {
    held: RwLock<Held<K, V>>,
}

struct Held<K, V> {
    /// The version of the settings that all of these were made of.
    version: u64,
    values: HashMap<K, Arc<V>>,
}

impl<K, V> Default for Remembered<K, V> {
    fn default() -> Remembered<K, V> {
        Remembered { held: RwLock::new(Held { version: 0, values: HashMap::new() }) }
    }
}

impl<K: Eq + Hash, V> Remembered<K, V> {
    /// What `make` made of the settings that are in force, now or at an earlier call.
    ///
    /// # Errors
    /// Those of `make`, which are not kept.
    pub fn find(&self, store: &Store, key: K, make: impl FnOnce() -> Result<V>) -> Result<Arc<V>> {
        // Before anything is read: what changes meanwhile makes the result old.
        let version = store.writer.settings_version();
        {
            let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(value) = held.values.get(&key).filter(|_| held.version == version) {
                return Ok(Arc::clone(value));
            }
        }
        let value = Arc::new(make()?);
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if held.version < version || held.values.len() >= MOST {
            held.values.clear();
            held.version = held.version.max(version);
        }
        if held.version == version {
            held.values.insert(key, Arc::clone(&value));
        }
        Ok(value)
    }

    /// The same, made in one snapshot.
    ///
    /// # Errors
    /// Those of `make`, which are not kept, and the database's.
    pub fn read(&self, store: &Store, key: K, make: impl FnOnce(&Read<'_>) -> Result<V>) -> Result<Arc<V>> {
        self.find(store, key, || store.read(make))
    }
}

/// Tables that requests write to. A change to any other makes everything that is remembered old: whoever adds a table and
/// forgets it here makes the daemon slower, not wrong.
const RECORDS: [&str; 13] = [
    "authorizations",
    "challenges",
    "orders",
    "order_authorizations",
    "certificates",
    "audit",
    "clock_mark",
    "crls",
    "event_cursors",
    "expiry_notices",
    "former_versions",
    "tidying",
    "audit_checkpoint",
];

/// Whether a statement writes records only, and nothing that [`Remembered`] may hold.
pub(super) fn writes_records(sql: &str) -> bool {
    let mut words = sql.split_whitespace().skip_while(|word| {
        matches!(*word, "INSERT" | "OR" | "IGNORE" | "REPLACE" | "INTO" | "UPDATE" | "DELETE" | "FROM")
    });
    let table = words.next().unwrap_or_default();
    let is_insert = sql.starts_with("INSERT INTO") && !sql.contains("ON CONFLICT");
    // New rows of these are remembered by nobody yet.
    RECORDS.contains(&table) || (is_insert && matches!(table, "items" | "accounts"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::store::Write;

    #[test]
    fn what_was_made_of_settings_is_kept_until_a_change_to_one_is_answered() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("db")).unwrap();
        let remembered = Remembered::<i64, usize>::default();
        let made = std::cell::Cell::new(0);
        let find = || {
            let make = || {
                made.set(made.get() + 1);
                Ok(made.get())
            };
            remembered.find(&store, 7, make).map(|value| *value)
        };
        let settings = |write: &Write<'_>| write.execute("UPDATE items SET enabled = 1 WHERE id = 0", []);
        let records = |write: &Write<'_>| write.execute("UPDATE orders SET expires = 1 WHERE id = 0", []);
        assert_eq!((find(), find()), (Ok(1), Ok(1)));
        store.change(records).unwrap();
        assert_eq!(find(), Ok(1), "records are no settings");
        store.change(settings).unwrap();
        assert_eq!((find(), find()), (Ok(2), Ok(2)));
        let refused: Result<()> = store.change(move |write| settings(write).and(Err(Error::conflict("no"))));
        assert!(refused.is_err());
        assert_eq!(find(), Ok(2), "what was undone changed nothing");

        let late = |store: &Store| {
            store.change(settings)?;
            Ok(0)
        };
        assert_eq!(remembered.find(&store, 8, || late(&store)).map(|value| *value), Ok(0));
        assert_eq!(
            remembered.find(&store, 8, || Ok(9)).map(|value| *value),
            Ok(9),
            "what was made while settings changed is not kept"
        );
        let refusal = || Err(Error::conflict("not yet"));
        assert!(remembered.find(&store, 10, refusal).is_err());
        assert_eq!(remembered.find(&store, 10, || Ok(1)).map(|value| *value), Ok(1), "errors are not kept");
    }

    #[test]
    fn a_change_knows_whether_settings_were_changed_since_somebody_looked() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("db")).unwrap();
        let version = store.settings_version();
        let holds = |version| store.change(move |write| Ok(write.has_settings_of(version))).unwrap();
        store.change(|write| write.execute("UPDATE orders SET expires = 1 WHERE id = 0", [])).unwrap();
        assert!(holds(version), "records are no settings");
        store.change(|write| write.execute("UPDATE items SET enabled = 1 WHERE id = 0", [])).unwrap();
        assert!(!holds(version) && holds(store.settings_version()));
    }

    #[test]
    fn statements_about_settings_are_told_from_those_about_records() {
        assert!(writes_records("INSERT INTO orders (account) VALUES (?1)"));
        assert!(writes_records("UPDATE challenges SET requested = ?2"));
        assert!(writes_records("INSERT INTO accounts (issuer) VALUES (?1)"));
        assert!(writes_records("DELETE FROM orders WHERE id = ?1"));
        for settings in [
            "UPDATE accounts SET deactivated = ?1",
            "UPDATE accounts SET eab = NULL WHERE eab = ?1",
            "DELETE FROM eabs WHERE kid = ?1",
            "DELETE FROM items WHERE id = ?1",
            "DELETE FROM revocations WHERE signer = ?1 AND serial = ?2",
            "INSERT INTO issuers (item) VALUES (?1)",
            "DELETE FROM issuer_values WHERE issuer = ?1",
            "INSERT OR IGNORE INTO issuer_urls (issuer) VALUES (?1)",
            "INSERT INTO revocations (signer) VALUES (?1)",
            "UPDATE items SET enabled = ?1",
            "INSERT INTO items (name) VALUES (?1) ON CONFLICT (name) DO UPDATE SET enabled = 0",
            "WITH x AS (SELECT 1) UPDATE orders SET csr_hash = ?1",
            "",
        ] {
            assert!(!writes_records(settings), "{settings}");
        }
    }
}
