//! What clients ask for in the moments after it was made: orders, authorizations and certificates as the last commits left them.
//! To read them in a snapshot costs more than all the rest of such a reply. Only whoever commits puts anything here, under the lock
//! of the database and before anybody hears of the commit. What is not here is in the database. What is here may be older than that by
//! the moment between a commit and this, as a snapshot would be: what may have changed is read again in the transaction that
//! decides.

use super::{Authorization, Certificate, Challenge, Order, Read, Store, ValidationResult};
use crate::clock::Time;
use crate::error::Result;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

/// Of each kind. Who comes later than so many others is answered from the database.
const MOST: usize = 256;
/// Names of an order that is held.
const MOST_NAMES: usize = 8;
/// Tables of what is held, and one whose rows take some of it along.
const TABLES: [&str; 5] = ["authorizations", "challenges", "orders", "certificates", "revocations"];

/// What a change did to what may be held.
#[derive(Debug)]
pub(super) enum Trace {
    /// It made an order.
    Order(Order),
    /// It made a certificate.
    Certificate(Certificate),
    /// It changed a challenge, which is so now.
    Challenge(Challenge),
    /// It stored the result of a challenge.
    Settled { challenge: i64, asked: Time, result: ValidationResult },
    /// It changed an order.
    ChangedOrder(i64),
    /// It changed an authorization.
    ChangedAuthorization(i64),
    /// It changed nobody knows what.
    ChangedAnything,
}

/// Whether an order is small enough.
pub(super) fn may_hold(order: &Order) -> bool {
    order.names.len() <= MOST_NAMES
}

/// Whether a statement may change what is held. New rows do not, and where they belong to what may be held, whoever inserts them
/// leaves a trace. What else names one of the tables, for whatever it does, is taken to change it.
pub(super) fn may_change_held(sql: &str) -> bool {
    let is_new_row = sql.starts_with("INSERT INTO ") && !sql.contains("ON CONFLICT");
    !is_new_row && TABLES.iter().any(|table| sql.contains(table))
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
        if traces.is_empty() {
            return;
        }
        let followed = || self.with(|held| traces.into_iter().for_each(|trace| held.follow(trace)));
        // The next commit is made whatever happens, and what is half done is forgotten.
        if catch_unwind(AssertUnwindSafe(followed)).is_err() {
            log::error!("what was just committed could not be held in memory");
        }
    }

    fn with<T>(&self, look: impl FnOnce(&mut Held) -> T) -> T {
        let mut held = self.held.lock().unwrap_or_else(|poisoned| {
            // Half of what a commit did is nothing to answer from.
            self.held.clear_poison();
            let mut held = poisoned.into_inner();
            *held = Held::default();
            held
        });
        look(&mut held)
    }
}

impl Held {
    fn follow(&mut self, trace: Trace) {
        match trace {
            Trace::Order(order) => self.hold_order(order),
            Trace::Certificate(certificate) => hold(&mut self.certificates, certificate.id, Arc::new(certificate)),
            Trace::Challenge(challenge) => {
                if let Some(authorization) = self.authorizations.get_mut(&challenge.authorization) {
                    Arc::make_mut(authorization).put(challenge);
                }
            }
            Trace::Settled { challenge, asked, result } => {
                if let Some(authorization) = self.authorization_of(challenge) {
                    let settled = authorization.settled(challenge, asked, result);
                    self.authorizations.insert(settled.id, Arc::new(settled));
                }
            }
            Trace::ChangedOrder(id) => drop(self.orders.remove(&id)),
            Trace::ChangedAuthorization(id) => drop(self.authorizations.remove(&id)),
            Trace::ChangedAnything => *self = Held::default(),
        }
    }

    fn hold_order(&mut self, order: Order) {
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
    /// What is held, or else what the database says.
    fn recent<T>(
        &self,
        held: impl FnOnce(&Held) -> Option<T>,
        read: impl FnOnce(&Read<'_>) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        match self.writer.recent.with(|all| held(all)) {
            Some(held) => Ok(Some(held)),
            None => self.read(read),
        }
    }

    /// An order with its authorizations.
    ///
    /// # Errors
    /// The database's.
    pub fn order(&self, id: i64) -> Result<Option<Order>> {
        self.recent(|held| held.order(id), |read| read.order(id))
    }

    /// An authorization with its challenges.
    ///
    /// # Errors
    /// The database's.
    pub fn authorization(&self, id: i64) -> Result<Option<Arc<Authorization>>> {
        let read = |read: &Read<'_>| Ok(read.authorization(id)?.map(Arc::new));
        self.recent(|held| held.authorizations.get(&id).cloned(), read)
    }

    /// The authorization of a challenge, with its challenges.
    ///
    /// # Errors
    /// The database's.
    pub fn authorization_of(&self, challenge: i64) -> Result<Option<Arc<Authorization>>> {
        let read = |read: &Read<'_>| Ok(read.authorization_of(challenge)?.map(Arc::new));
        self.recent(|held| held.authorization_of(challenge), read)
    }

    /// A certificate by its row id.
    ///
    /// # Errors
    /// The database's.
    pub fn certificate(&self, id: i64) -> Result<Option<Arc<Certificate>>> {
        let read = |read: &Read<'_>| Ok(read.certificate(id)?.map(Arc::new));
        self.recent(|held| held.certificates.get(&id).cloned(), read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::store::{Name, NewAuthorization, NewCertificate, NewOrder, OrderName, Purpose, Write};
    use rusqlite::Connection;
    use std::sync::mpsc::channel;

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
        certified(write, account, order, now)
    }

    fn certified(write: &Write<'_>, account: i64, order: i64, now: Time) -> Result<i64> {
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

    type Work = Box<dyn FnOnce(&Write<'_>) -> Result<()> + Send>;

    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: i64) -> i64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            i64::try_from(self.0 >> 33).unwrap() % sides
        }
    }

    /// The newest row id of a table.
    fn newest(store: &Store, table: &str) -> i64 {
        let sql = format!("SELECT coalesce(max(id), 0) FROM {table}");
        store.read(|read| read.optional(&sql, [], |row| row.get(0))).unwrap().unwrap()
    }

    const KINDS: usize = 14;

    /// A change of some kind to something that was made not long ago.
    fn any_change(dice: &mut Dice, store: &Store, now: Time) -> (usize, Work) {
        let mut recent = |table: &str, back: i64| (newest(store, table) - dice.roll(back)).max(1);
        let (order, authorization) = (recent("orders", 4), recent("authorizations", 4));
        let challenge = recent("challenges", 8);
        let (account, name) = (dice.roll(2) + 1, format!("n{}.lan", dice.roll(i64::MAX)));
        let valid = ValidationResult::Valid { at: now, expires: Time(END.0 - now.0), caa_checked: now.0 % 2 == 0 };
        let invalid = ValidationResult::Invalid { at: now, class: "dns".into(), detail: "no".into() };
        let mut kind = usize::try_from(dice.roll(KINDS as i64)).unwrap();
        // What ends much is rare.
        if kind >= KINDS - 3 && dice.roll(8) > 0 {
            kind = 0;
        }
        let work: Work = match kind {
            0 | 1 => Box::new(move |write| {
                ordered(write, account, &[(name.clone(), None), (format!("w.{name}"), None)], now).map(drop)
            }),
            2 => Box::new(move |write| match write.authorization(authorization)? {
                Some(_) => ordered(write, account, &[(name, Some(authorization))], now).map(drop),
                None => Ok(()),
            }),
            3..=5 => Box::new(move |write| write.settle_validation(challenge, now, &valid).map(drop)),
            6 => Box::new(move |write| write.request_validation(challenge, now).map(drop)),
            7 => Box::new(move |write| finalized(write, account, order, now).map(drop)),
            8 => Box::new(move |write| write.finalize_order(order, b"alone", now)),
            9 => Box::new(move |write| {
                ordered(write, account, &[(name, None)], now)?;
                write.request_validation(challenge, now)?;
                Err(Error::conflict("undone"))
            }),
            10 => Box::new(move |write| {
                write.settle_validation(challenge, now, &valid)?;
                Err(Error::conflict("undone"))
            }),
            11 => Box::new(move |write| write.settle_validation(challenge, now, &invalid).map(drop)),
            12 => Box::new(move |write| write.deactivate_authorization(authorization, now)),
            _ => Box::new(move |write| match now.0 % 3 {
                0 => write.deactivate_account(account, now),
                1 => certified(write, account, order, now).map(drop),
                _ => write.execute("UPDATE orders SET expires = ?2 WHERE id = ?1", (order, END.0 - 2)).map(drop),
            }),
        };
        (kind, work)
    }

    /// Have changes made by one commit; which of them were kept.
    fn together(store: &Store, works: Vec<Work>) -> Vec<bool> {
        let (begins, has_begun) = channel();
        let (go_on, may_go_on) = channel::<()>();
        let (tell, told) = channel();
        let count = works.len();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let first = move |_: &Write<'_>| {
                    begins.send(()).unwrap();
                    may_go_on.recv().unwrap();
                    Ok(())
                };
                store.change(first).unwrap();
            });
            has_begun.recv().unwrap();
            for (number, work) in works.into_iter().enumerate() {
                let tell = tell.clone();
                store.change_then(work, move |result| tell.send((number, result.is_ok())).unwrap());
            }
            go_on.send(()).unwrap();
        });
        let mut results: Vec<(usize, bool)> = (0..count).map(|_| told.recv().unwrap()).collect();
        results.sort_unstable();
        results.into_iter().map(|(_, is_kept)| is_kept).collect()
    }

    #[test]
    fn what_is_held_is_what_the_database_says_whatever_was_done() {
        let (_dir, store) = store();
        let (mut dice, mut kept, mut held) = (Dice(7), [0; KINDS], [0; 4]);
        for moment in 1..600 {
            let batch = (0..=dice.roll(6)).map(|_| any_change(&mut dice, &store, Time(moment)));
            let (kinds, works): (Vec<usize>, Vec<Work>) = batch.collect();
            let before = store.commits_begun();
            for (kind, is_kept) in kinds.iter().zip(together(&store, works)) {
                kept[*kind] += usize::from(is_kept);
            }
            assert!(store.commits_begun() <= before + 2, "one commit for all that waited");
            let (orders, authorizations) = (newest(&store, "orders"), newest(&store, "authorizations"));
            let (challenges, certificates) = (newest(&store, "challenges"), newest(&store, "certificates"));
            for back in 0..8 {
                let id = orders - back;
                assert_eq!(store.order(id), store.read(|read| read.order(id)), "{moment}: {kinds:?}");
                held[0] += usize::from(store.writer.recent.with(|held| held.order(id)).is_some());
                let id = authorizations - back;
                let found = store.read(|read| read.authorization(id)).map(|found| found.map(Arc::new));
                assert_eq!(store.authorization(id), found, "{moment}: {kinds:?}");
                held[1] += usize::from(store.writer.recent.with(|held| held.authorizations.contains_key(&id)));
                let id = challenges - back;
                let found = store.read(|read| read.authorization_of(id)).map(|found| found.map(Arc::new));
                assert_eq!(store.authorization_of(id), found, "{moment}: {kinds:?}");
                held[2] += usize::from(store.writer.recent.with(|held| held.authorization_of(id)).is_some());
                let id = certificates - back;
                let found = store.read(|read| read.certificate(id)).map(|found| found.map(Arc::new));
                assert_eq!(store.certificate(id), found, "{moment}: {kinds:?}");
                held[3] += usize::from(store.writer.recent.with(|held| held.certificates.contains_key(&id)));
            }
        }
        let all_were_made = (0..KINDS).all(|kind| matches!(kind, 9 | 10) || kept[kind] > 10);
        assert!(all_were_made && kept[9] + kept[10] == 0, "{kept:?}");
        assert!(held.iter().all(|count| *count > 200), "{held:?}");
    }

    /// The database is what tests look at otherwise.
    #[test]
    fn what_is_held_is_given_without_the_database() {
        let (dir, store) = store();
        let order = store.change(|write| ordered(write, 1, &[("a.lan".into(), None)], Time(1))).unwrap();
        let authorization = Arc::clone(&order.authorizations[0]);
        let challenge = authorization.challenges[0].id;
        let valid = ValidationResult::Valid { at: Time(2), expires: END, caa_checked: false };
        store.change(move |write| write.settle_validation(challenge, Time(2), &valid)).unwrap();
        let behind = Connection::open(dir.path().join("db")).unwrap();
        behind.execute_batch("UPDATE orders SET profile = 'x'; UPDATE authorizations SET identifier = 'x'").unwrap();
        assert_eq!(store.order(order.id).unwrap().unwrap().profile, None);
        assert_eq!(store.authorization(authorization.id).unwrap().unwrap().identifier, "a.lan");
        assert_eq!(store.authorization_of(challenge).unwrap().unwrap().identifier, "a.lan");
        let id = store.change(move |write| finalized(write, 1, order.id, Time(3))).unwrap();
        behind
            .execute_batch("DROP TRIGGER certificates_are_never_changed; UPDATE certificates SET certificate = x'00'")
            .unwrap();
        assert_eq!(store.certificate(id).unwrap().unwrap().der, b"der");
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
        let (_dir, store) = store();
        let order = store.change(|write| ordered(write, 1, &[("a.lan".into(), None)], Time(1))).unwrap();
        let is_held = || store.writer.recent.with(|held| held.order(order.id)).is_some();
        assert!(is_held());
        // A disk that is full at the end.
        let lost = store.change(|write| {
            ordered(write, 1, &[("b.lan".into(), None)], Time(1))?;
            write.db.execute_batch("ROLLBACK")?;
            Err::<(), _>(Error::unavailable("the disk is full"))
        });
        assert!(lost.is_err() && !is_held());
        assert_eq!(store.order(order.id), Ok(Some(order)));
    }

    #[test]
    fn whoever_panics_in_the_middle_leaves_nothing_held() {
        let (_dir, store) = store();
        let order = store.change(|write| ordered(write, 1, &[("a.lan".into(), None)], Time(1))).unwrap();
        let recent = &store.writer.recent;
        assert!(recent.with(|held| held.order(order.id)).is_some());
        let _ = catch_unwind(AssertUnwindSafe(|| recent.with(|_| panic!("on purpose"))));
        assert!(recent.with(|held| held.order(order.id)).is_none());
        let next = store.change(|write| ordered(write, 1, &[("b.lan".into(), None)], Time(1))).unwrap();
        assert!(recent.with(|held| held.order(next.id)).is_some(), "and goes on");
    }

    #[test]
    fn what_lists_many_keys_leaves_one_trace() {
        let (_dir, store) = store();
        let traces = store.change(|write| {
            for _ in 0..1_000 {
                write.execute("UPDATE orders SET expires = 1", [])?;
                write.execute("INSERT OR IGNORE INTO blocked_keys (hash, since, why) VALUES (x'', 1, '')", [])?;
            }
            Ok(write.traces.borrow().len())
        });
        assert_eq!(traces, Ok(1));
    }

    #[test]
    fn statements_that_change_rows_that_may_be_held_are_told_from_others() {
        for changing in [
            "UPDATE authorizations SET deactivated = ?2 WHERE account = ?1",
            "UPDATE OR IGNORE main.challenges SET requested = ?2",
            "DELETE FROM orders WHERE id = ?1",
            "DELETE FROM order_authorizations WHERE order_id = ?1",
            "DELETE FROM certificates WHERE id = ?1",
            "DELETE FROM revocations WHERE certificate = ?1",
            "WITH x AS (SELECT 1) UPDATE orders SET csr_hash = ?1",
            "INSERT OR REPLACE INTO orders (id) VALUES (?1)",
            "INSERT INTO orders (id) VALUES (?1) ON CONFLICT (id) DO UPDATE SET expires = 1",
        ] {
            assert!(may_change_held(changing), "{changing}");
        }
        assert!(!may_change_held("INSERT INTO orders (account) VALUES (?1)"), "nobody has asked for new rows yet");
        assert!(!may_change_held("INSERT OR IGNORE INTO blocked_keys (hash) VALUES (?1)"));
        assert!(!may_change_held("UPDATE crls SET leaves = leaves + 1"));
    }
}
