//! A store that has been in use for long: certificates, their items and orders, accounts, written straight into the file of a
//! daemon that does not run.

use crate::world::daemon::Ca;
use crate::world::issuer::CERTIFICATES;
use rusqlite::{Connection, Transaction, params};

pub const DAY: i64 = 86_400;
pub const LIFE: i64 = 90 * DAY;

/// What is to be written.
pub struct Filling<'l> {
    /// A certificate that was really issued. The others are this one with other serial numbers.
    pub leaf: &'l [u8],
    pub certificates: i64,
    /// How many of those that have not ended are revoked.
    pub revoked: i64,
    /// How many accounts own them, beside the one that is there.
    pub accounts: i64,
    /// Whether their orders, authorizations and challenges, and a row of the audit log for each, are there as well.
    pub orders: bool,
}

impl Filling<'_> {
    /// Write it, and tell which certificates are in force.
    pub fn write(&self, ca: &Ca) -> Vec<i64> {
        let mut db = Connection::open(ca.state_dir().join("certwright.db")).unwrap();
        db.execute_batch("PRAGMA cache_size = -262144; PRAGMA synchronous = OFF").unwrap();
        let tx = db.transaction().unwrap();
        let now: i64 = tx.query_row("SELECT unixepoch()", [], |row| row.get(0)).unwrap();
        let accounts = self.write_accounts(&tx, now);
        let living = self.write_certificates(&tx, now, &accounts);
        if self.orders {
            write_orders(&tx, now);
        }
        tx.commit().unwrap();
        db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        living
    }

    fn write_accounts(&self, tx: &Transaction<'_>, now: i64) -> Vec<i64> {
        let first = "SELECT id FROM accounts ORDER BY id LIMIT 1";
        let first: i64 = tx.query_row(first, [], |row| row.get(0)).unwrap();
        let mut account = tx
            .prepare(
                "INSERT INTO accounts (issuer, spki, thumbprint, contacts, terms_agreed, eab, created, last_used)
                 SELECT issuer, ?1, ?2, contacts, terms_agreed, eab, ?3, ?3 FROM accounts WHERE id = ?4",
            )
            .unwrap();
        let mut accounts = vec![first];
        for number in 0..self.accounts {
            let spki = [&[0x30, 0x59][..], &serial(-number - 1), &[7; 73]].concat();
            let thumbprint: String = serial(-number - 1).iter().map(|octet| format!("{octet:02x}")).collect();
            accounts.push(account.insert(params![spki, thumbprint, now - LIFE, first]).unwrap());
        }
        accounts
    }

    fn write_certificates(&self, tx: &Transaction<'_>, now: i64, accounts: &[i64]) -> Vec<i64> {
        let first = "SELECT issuer, signer FROM certificates WHERE purpose = 'acme'";
        let (issuer, signer): (i64, i64) = tx.query_row(first, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let serial_at = serial_at(self.leaf);
        let mut item = tx
            .prepare(
                "INSERT INTO items (item_id, display_id, name, kind, created, modified)
                 VALUES (?1, ?1, ?2, 'CERTIFICATE', ?3, ?3)",
            )
            .unwrap();
        let mut certificate = tx
            .prepare(
                "INSERT INTO certificates (serial, purpose, issuer, signer, account, order_id, item, version, not_before,
                 not_after, issued, shard, certificate)
                 VALUES (?1, 'acme', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?8, ?10, ?11)",
            )
            .unwrap();
        let mut revocation = tx
            .prepare(
                "INSERT INTO revocations (signer, serial, certificate, shard, not_after, at, reason, revoked_by)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 4, 'uid 0')",
            )
            .unwrap();
        let mut items = Vec::new();
        for number in 0..self.certificates / 10 {
            let name = format!("{CERTIFICATES}/host-{number}.acme.com");
            items.push(item.insert(params![format!("bench-{number}"), name, now]).unwrap());
        }
        let first_order = self.orders.then(|| {
            let last = "SELECT coalesce(max(id), 0) FROM orders";
            tx.query_row(last, [], |row| row.get::<_, i64>(0)).unwrap() + 1
        });
        let (mut living, mut ends_later, mut left) = (Vec::new(), 0, self.revoked);
        for number in 0..self.certificates {
            // From a month ago to three months ahead.
            let not_after = now - LIFE / 3 + number * (LIFE / 3 * 4) / self.certificates;
            let serial = serial(number);
            let mut der = self.leaf.to_vec();
            der[serial_at..serial_at + 16].copy_from_slice(&serial);
            let shard = number / 10_000;
            let row = params![
                serial,
                issuer,
                signer,
                accounts[number as usize % accounts.len()],
                first_order.map(|first| first + number),
                items[(number % (self.certificates / 10)) as usize],
                number / (self.certificates / 10) + 1,
                not_after - LIFE,
                not_after,
                shard,
                der
            ];
            let id = certificate.insert(row).unwrap();
            if not_after <= now + DAY {
                continue;
            }
            ends_later += 1;
            if left > 0 && ends_later % 7 == 0 {
                left -= 1;
                revocation.execute(params![signer, serial, id, shard, not_after, now - DAY]).unwrap();
            } else {
                living.push(number);
            }
        }
        assert_eq!(left, 0, "too few to revoke");
        tx.execute_batch(
            "INSERT OR IGNORE INTO crls (signer, shard, base_url)
                 SELECT DISTINCT c.signer, c.shard, l.base_url FROM certificates c
                 JOIN crls l ON l.signer = c.signer AND l.shard = 0 WHERE c.shard IS NOT NULL;
             UPDATE crls SET changes = changes + 1,
                 leaves = (SELECT count(*) FROM certificates c WHERE c.signer = crls.signer AND c.shard = crls.shard);",
        )
        .unwrap();
        living
    }
}

/// What each certificate with the number of an order came from: one authorization, one challenge that was met.
fn write_orders(tx: &Transaction<'_>, now: i64) {
    let ended = now - DAY;
    tx.execute_batch(&format!(
        "INSERT INTO authorizations (account, identifier_type, identifier, wildcard, created, expires)
             SELECT c.account, 'dns', substr(i.name, {skip}), 0, c.issued, {ended}
             FROM certificates c JOIN items i ON i.id = c.item
             WHERE c.order_id IS NOT NULL AND c.order_id NOT IN (SELECT id FROM orders) ORDER BY c.order_id;
         INSERT INTO orders (id, account, created, expires, csr_hash)
             SELECT order_id, account, issued, {ended}, zeroblob(32) FROM certificates
             WHERE order_id IS NOT NULL AND order_id NOT IN (SELECT id FROM orders) ORDER BY order_id;
         INSERT INTO challenges (authorization, type, token, requested, validated)
             SELECT id, 'http-01', hex(zeroblob(16)), created, created FROM authorizations
             WHERE id NOT IN (SELECT authorization FROM challenges);
         INSERT INTO order_authorizations (order_id, position, identifier_type, identifier, authorization)
             SELECT o.id, 0, 'dns', a.identifier, a.id
             FROM (SELECT id, row_number() OVER (ORDER BY id) n FROM orders
                   WHERE id NOT IN (SELECT order_id FROM order_authorizations)) o
             JOIN (SELECT id, identifier, row_number() OVER (ORDER BY id) n FROM authorizations
                   WHERE id NOT IN (SELECT authorization FROM order_authorizations)) a ON a.n = o.n;
         INSERT INTO audit (at, actor, action, object, outcome, detail, address, hash)
             SELECT issued, 'account ' || account, 'finalize', 'order ' || order_id, 'done',
                    'serial ' || lower(hex(serial)) || ' for a host', '192.0.2.1',
                    (SELECT hash FROM audit ORDER BY id DESC LIMIT 1)
             FROM certificates WHERE order_id IS NOT NULL;",
        skip = CERTIFICATES.len() + 2,
    ))
    .unwrap();
}

/// As ours: 16 octets, of which the first does not make it negative.
pub fn serial(number: i64) -> [u8; 16] {
    let digest = ring::digest::digest(&ring::digest::SHA256, &number.to_be_bytes());
    let mut serial: [u8; 16] = digest.as_ref()[..16].try_into().unwrap();
    serial[0] = 0x40 | serial[0] & 0x3f;
    serial
}

/// Where the last 16 octets stand of the first INTEGER after the version.
fn serial_at(leaf: &[u8]) -> usize {
    let [0xa0, 3, 2, 1, 2, 2, length, ..] = &leaf[8..] else { panic!("not a certificate of version 3") };
    15 + usize::from(*length) - 16
}

/// The serial number of a certificate.
pub fn serial_of(leaf: &[u8]) -> &[u8] {
    let at = serial_at(leaf);
    &leaf[at..at + 16]
}
