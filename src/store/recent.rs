//! What clients ask for in the moments after it was made: orders, authorizations and certificates as the last commits left them.
//! To read them in a snapshot costs more than all the rest of such a reply. Only whoever commits writes here, before anybody
//! hears of the commit. What is not here is in the database, and what decides is read there, in the transaction that decides.

use super::{Authorization, Certificate, Order, Store, ValidationResult};
use crate::clock::Time;
use crate::error::Result;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Of each kind: more than clients are busy with at the same time.
const MOST: usize = 256;
/// Names of an order that is held.
const MOST_NAMES: usize = 8;

/// What a change did to what may be held.
#[derive(Debug)]
pub(super) enum Trace {
    /// It made an order, or gave one that was there.
    Order(Order),
    /// It made a certificate.
    Certificate(Certificate),
    /// It stored the result of a challenge.
    Settled { challenge: i64, asked: Time, result: ValidationResult },
    /// It changed an order.
    ChangedOrder(i64),
    /// It changed a challenge.
    ChangedChallenge(i64),
    /// It changed nobody knows what.
    ChangedAnything,
}

/// Whether a statement may change, otherwise than by rows that are new, what is held.
pub(super) fn may_change_held(sql: &str) -> bool {
    const TABLES: [&str; 6] =
        ["authorizations", "challenges", "orders", "order_authorizations", "certificates", "revocations"];
    let table = sql.strip_prefix("UPDATE ").or_else(|| sql.strip_prefix("DELETE FROM "));
    match table.map(|rest| rest.split_whitespace().next().unwrap_or_default()) {
        Some(table) => TABLES.contains(&table),
        None => !sql.starts_with("INSERT INTO "),
    }
}

#[derive(Default)]
pub(super) struct Recent {
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    orders: BTreeMap<i64, Order>,
    authorizations: BTreeMap<i64, Arc<Authorization>>,
    certificates: BTreeMap<i64, Arc<Certificate>>,
}

impl Recent {
    /// What the changes of a commit did, in their order.
    pub(super) fn follow(&self, traces: Vec<Trace>) {
        if !traces.is_empty() {
            self.with(|held| traces.into_iter().for_each(|trace| held.follow(trace)));
        }
    }

    fn with<T>(&self, look: impl FnOnce(&mut Held) -> T) -> T {
        look(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Held {
    fn follow(&mut self, trace: Trace) {
        match trace {
            Trace::Order(order) => self.hold_order(order),
            Trace::Certificate(certificate) => hold(&mut self.certificates, certificate.id, Arc::new(certificate)),
            Trace::Settled { challenge, asked, result } => {
                if let Some(authorization) = self.authorization_of(challenge) {
                    let settled = authorization.settled(challenge, asked, result);
                    hold(&mut self.authorizations, authorization.id, Arc::new(settled));
                }
            }
            Trace::ChangedOrder(id) => drop(self.orders.remove(&id)),
            Trace::ChangedChallenge(id) => {
                if let Some(authorization) = self.authorization_of(id) {
                    self.authorizations.remove(&authorization.id);
                }
            }
            Trace::ChangedAnything => *self = Held::default(),
        }
    }

    fn hold_order(&mut self, order: Order) {
        if order.names.len() > MOST_NAMES {
            return;
        }
        for authorization in &order.authorizations {
            hold(&mut self.authorizations, authorization.id, Arc::clone(authorization));
        }
        hold(&mut self.orders, order.id, order);
    }

    /// The authorizations of an order have changed since it was made, so those are taken that are held by now.
    fn order(&self, id: i64) -> Option<Order> {
        let order = self.orders.get(&id)?;
        let held = |authorization: &Arc<Authorization>| self.authorizations.get(&authorization.id).cloned();
        let authorizations = order.authorizations.iter().map(held).collect::<Option<_>>()?;
        Some(Order { authorizations, ..order.clone() })
    }

    /// The newest are asked for most.
    fn authorization_of(&self, challenge: i64) -> Option<Arc<Authorization>> {
        let has = |authorization: &&Arc<Authorization>| authorization.challenges.iter().any(|c| c.id == challenge);
        self.authorizations.values().rev().find(has).cloned()
    }
}

/// Row ids grow, so that the oldest goes.
fn hold<T>(held: &mut BTreeMap<i64, T>, id: i64, value: T) {
    held.insert(id, value);
    if held.len() > MOST {
        held.pop_first();
    }
}

impl Store {
    /// An order with its authorizations.
    ///
    /// # Errors
    /// The database's.
    pub fn order(&self, id: i64) -> Result<Option<Order>> {
        match self.writer.recent.with(|held| held.order(id)) {
            Some(held) => Ok(Some(held)),
            None => self.read(|read| read.order(id)),
        }
    }

    /// An authorization with its challenges.
    ///
    /// # Errors
    /// The database's.
    pub fn authorization(&self, id: i64) -> Result<Option<Arc<Authorization>>> {
        match self.writer.recent.with(|held| held.authorizations.get(&id).cloned()) {
            Some(held) => Ok(Some(held)),
            None => Ok(self.read(|read| read.authorization(id))?.map(Arc::new)),
        }
    }

    /// The authorization of a challenge, with its challenges.
    ///
    /// # Errors
    /// The database's.
    pub fn authorization_of(&self, challenge: i64) -> Result<Option<Arc<Authorization>>> {
        match self.writer.recent.with(|held| held.authorization_of(challenge)) {
            Some(held) => Ok(Some(held)),
            None => Ok(self.read(|read| read.authorization_of(challenge))?.map(Arc::new)),
        }
    }

    /// A certificate by its row id.
    ///
    /// # Errors
    /// The database's.
    pub fn certificate(&self, id: i64) -> Result<Option<Arc<Certificate>>> {
        match self.writer.recent.with(|held| held.certificates.get(&id).cloned()) {
            Some(held) => Ok(Some(held)),
            None => Ok(self.read(|read| read.certificate(id))?.map(Arc::new)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::store::{Name, NewAuthorization, NewCertificate, NewOrder, OrderName, Purpose, Write};
    use rusqlite::Connection;

    const END: Time = Time(1_000_000);

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let store = Store::open(&path).unwrap();
        let rows = "PRAGMA foreign_keys = OFF;
            INSERT INTO issuers VALUES (1, 1, 1, 1, NULL, NULL, 1, 1, 1, 1, 1, 1, 1, 1, 1, NULL, NULL, NULL, 1, 1, 1, 1, NULL);
            INSERT INTO key_versions (key, version, fragments, spki, key_identifier, created) VALUES (1, 1, '', x'', x'', 1);
            INSERT INTO accounts (issuer, spki, thumbprint, contacts, created, last_used) VALUES
            (1, x'01', 'a', '', 1, 1), (1, x'02', 'b', '', 1, 1)";
        Connection::open(&path).unwrap().execute_batch(rows).unwrap();
        (dir, store)
    }

    fn ordered(write: &Write<'_>, account: i64, names: &[(String, Option<i64>)], now: Time) -> Result<Order> {
        let mut list = Vec::new();
        for (name, standing) in names {
            let authorization = match standing {
                Some(id) => write.authorization(*id)?.unwrap(),
                None => write.insert_authorization(account, &authorization_for(name), now)?,
            };
            list.push((OrderName { kind: "dns".into(), value: name.clone() }, Arc::new(authorization)));
        }
        let new = NewOrder { account, expires: END, not_before: None, not_after: None, profile: None, replaces: None };
        write.insert_order(new, list, now)
    }

    fn authorization_for(name: &str) -> NewAuthorization {
        NewAuthorization {
            name: Name { kind: "dns", base: name.into(), wildcard: false },
            challenges: vec![("http-01".into(), "x".into()), ("dns-01".into(), "y".into())],
            standing: false,
            subdomains: false,
            unchallenged: false,
            expires: END,
        }
    }

    fn finalized(write: &Write<'_>, account: i64, order: i64, now: Time) -> Result<i64> {
        write.finalize_order(order, b"hash", now)?;
        let new = NewCertificate {
            serial: order.to_be_bytes().to_vec(),
            purpose: Purpose::Acme,
            issuer: 1,
            signer: 1,
            ordered: Some((account, order)),
            item: None,
            shard: None,
            not_before: now,
            not_after: END,
            der: b"der".to_vec(),
        };
        write.insert_certificate(&new, now)
    }

    #[test]
    fn what_is_held_is_what_the_database_says_whatever_was_done() {
        let (_dir, store) = store();
        let (mut seed, mut done, mut held) = (7u64, [0; 9], 0);
        let mut dice = move |sides: i64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            i64::try_from(seed >> 33).unwrap() % sides
        };
        let (mut orders, mut authorizations, mut challenges) = (0, 0, 0);
        for moment in 1..3_000 {
            let now = Time(moment);
            let account = dice(2) + 1;
            let recent = |newest: i64, back: i64| (newest - back).max(1);
            let order = recent(orders, dice(4));
            let authorization = recent(authorizations, dice(4));
            let challenge = recent(challenges, dice(8));
            let name = format!("n{moment}.lan");
            let what = dice(12);
            let result: Result<()> = store.change(move |write| match what {
                0 | 1 => ordered(write, account, &[(name.clone(), None), (format!("w.{name}"), None)], now).map(drop),
                2 => ordered(write, account, &[(name, Some(authorization))], now).map(drop),
                3 | 4 | 5 => {
                    let result = ValidationResult::Valid { at: now, expires: Time(END.0 - 1), caa_checked: what == 3 };
                    write.settle_validation(challenge, now, &result).map(drop)
                }
                6 if moment % 4 == 0 => {
                    let result = ValidationResult::Invalid { at: now, class: "dns".into(), detail: "no".into() };
                    write.settle_validation(challenge, now, &result).map(drop)
                }
                6 => write.request_validation(challenge, now).map(drop),
                7 | 8 => finalized(write, account, order, now).map(drop),
                9 if moment % 8 == 0 => write.deactivate_authorization(authorization, now),
                9 if moment % 50 == 1 => write.deactivate_account(account, now),
                9 => write.execute("UPDATE orders SET expires = ?2 WHERE id = ?1", (order, END.0 - 2)).map(drop),
                10 => {
                    ordered(write, account, &[(name, None)], now)?;
                    write.execute("UPDATE authorizations SET deactivated = 1", [])?;
                    write.settle_validation(
                        challenge,
                        now,
                        &ValidationResult::Valid { at: now, expires: END, caa_checked: true },
                    )?;
                    Err(Error::conflict("undone"))
                }
                _ => Ok(()),
            });
            if let (Ok(()), Some(count)) = (&result, done.get_mut(usize::try_from(what).unwrap())) {
                *count += 1;
            }
            let newest = |table: &str| {
                let sql = format!("SELECT coalesce(max(id), 0) FROM {table}");
                store.read(|read| read.optional(&sql, [], |row| row.get::<_, i64>(0))).unwrap().unwrap()
            };
            (orders, authorizations) = (newest("orders"), newest("authorizations"));
            challenges = newest("challenges");
            let certificates = newest("certificates");
            for back in 0..6 {
                let (order, certificate) = (orders - back, certificates - back);
                held += usize::from(store.writer.recent.with(|held| held.order(order)).is_some());
                assert_eq!(store.order(order), store.read(|read| read.order(order)), "{moment}: {what}");
                assert_eq!(
                    store.certificate(certificate),
                    store.read(|read| read.certificate(certificate)).map(|c| c.map(Arc::new)),
                    "{moment}: {what}"
                );
            }
            for back in 0..12 {
                let (authorization, challenge) = (authorizations - back, challenges - back);
                let found = store.read(|read| read.authorization(authorization)).map(|a| a.map(Arc::new));
                assert_eq!(store.authorization(authorization), found, "{moment}: {what}");
                let found = store.read(|read| read.authorization_of(challenge)).map(|a| a.map(Arc::new));
                assert_eq!(store.authorization_of(challenge), found, "{moment}: {what}");
            }
        }
        assert!(done.iter().all(|count| *count > 10) && held > 1_000, "{done:?}, {held}");
    }

    #[test]
    fn the_oldest_goes_and_a_large_order_is_not_held() {
        let (_dir, store) = store();
        let orders = i64::try_from(MOST).unwrap() + 1;
        let one = |name: String| store.change(move |write| ordered(write, 1, &[(name, None)], Time(1)));
        for number in 0..orders {
            one(format!("n{number}.lan")).unwrap();
        }
        let is_held = |id: i64| store.writer.recent.with(|held| held.order(id)).is_some();
        assert!(!is_held(1) && is_held(2) && is_held(orders));
        assert!(
            store.order(1).unwrap().is_some() && store.authorization(1).unwrap().is_some(),
            "the database has them"
        );
        let names: Vec<_> = (0..=MOST_NAMES).map(|number| (format!("m{number}.lan"), None)).collect();
        let large = store.change(move |write| ordered(write, 1, &names, Time(1))).unwrap();
        assert!(!is_held(large.id) && store.order(large.id).unwrap() == Some(large));
    }

    #[test]
    fn a_commit_that_failed_leaves_nothing_held() {
        let (dir, store) = store();
        let order = store.change(|write| ordered(write, 1, &[("a.lan".into(), None)], Time(1))).unwrap();
        assert!(store.writer.recent.with(|held| held.order(order.id)).is_some());
        let other = Connection::open(dir.path().join("db")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        store.change(|write| write.deactivate_authorization(1, Time(2))).unwrap_err();
        assert!(store.writer.recent.with(|held| held.order(order.id)).is_none());
        assert_eq!(store.order(order.id), Ok(Some(order)));
    }

    #[test]
    fn statements_that_change_rows_that_may_be_held_are_told_from_others() {
        for changing in [
            "UPDATE authorizations SET deactivated = ?2 WHERE account = ?1",
            "UPDATE challenges SET requested = ?2",
            "DELETE FROM orders WHERE id = ?1",
            "DELETE FROM order_authorizations WHERE order_id = ?1",
            "DELETE FROM certificates WHERE id = ?1",
            "DELETE FROM revocations WHERE certificate = ?1",
            "WITH x AS (SELECT 1) UPDATE orders SET csr_hash = ?1",
            "INSERT OR REPLACE INTO orders (id) VALUES (?1)",
        ] {
            assert!(may_change_held(changing), "{changing}");
        }
        assert!(!may_change_held("INSERT INTO orders (account) VALUES (?1)"), "nobody has asked for new rows yet");
        assert!(!may_change_held("UPDATE crls SET leaves = leaves + 1"));
    }
}
