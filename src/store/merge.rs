//! What a restored database takes over from the one that it replaces, as far as that can be read.

use super::restored::{ListedAccount, RestoredDatabase};
use super::{Read, offline, schema};
use crate::clock::Time;
use crate::error::{Error, Result};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// What was taken over from the replaced database.
#[derive(Clone, Debug, Default)]
pub struct Merged {
    /// What was changed, and how often.
    pub taken_over: Vec<(&'static str, usize)>,
    /// What could not be taken over, and why.
    pub trouble: Vec<String>,
    /// Certificates that it had and the backup has not, as far as they have not ended.
    pub lost_certificates: Vec<LostCertificate>,
    /// Accounts that it had and the backup has not.
    pub lost_accounts: Vec<ListedAccount>,
    /// Signers and issuers that it had and the backup has not, and those of the backup that it had ended, as sentences.
    pub items: Vec<String>,
}

/// A certificate that was issued after the backup.
#[derive(Clone, Debug)]
pub struct LostCertificate {
    /// Its serial number.
    pub serial: Vec<u8>,
    /// Its end.
    pub not_after: Time,
    /// The signer key's name.
    pub signer: String,
    /// The first name of its order, as its item is called; empty for those that are not filed.
    pub name: String,
}

impl Merged {
    fn take(&mut self, what: &'static str, outcome: Result<usize>) {
        match outcome {
            Ok(0) => {}
            Ok(count) => self.taken_over.push((what, count)),
            Err(e) => self.trouble.push(format!("{what} could not be taken over: {e}")),
        }
    }
}

impl RestoredDatabase {
    /// Take over from the database that it replaces, which nobody has open and which stays as it is, each kind of thing by
    /// itself.
    ///
    /// # Errors
    /// When the replaced database cannot be read at all.
    pub fn merge(&self, replaced: &Path, now: Time) -> Result<Merged> {
        // A copy, so that its schema can be brought up to date as well.
        let scratch = self.path.with_extension("replaced");
        let failed = |e: std::io::Error| Error::unavailable(format!("{} cannot be made: {e}", scratch.display()));
        std::fs::DirBuilder::new().mode(0o700).create(&scratch).map_err(failed)?;
        let copy = scratch.join("certwright.db");
        let merged = offline::copy_at_rest(replaced, &copy).and_then(|()| self.merge_copy(&copy, now));
        std::fs::remove_dir_all(&scratch).map_err(failed)?;
        merged
    }

    fn merge_copy(&self, copy: &Path, now: Time) -> Result<Merged> {
        // Rows that do not hold together would spoil the chain here for good.
        let log = Read { db: &schema::open_copy(copy)? }.verify_audit();
        self.db.execute("ATTACH ?1 AS replaced", [copy.to_string_lossy()])?;
        let merged = self.merge_attached(log.err(), now);
        self.db.flush_prepared_statement_cache();
        self.db.execute_batch("DETACH replaced")?;
        merged
    }

    fn merge_attached(&self, log_damage: Option<Error>, now: Time) -> Result<Merged> {
        let mut merged = Merged::default();
        for (table, columns, same) in SAME {
            if let Err(e) = self.db.execute_batch(&format!("CREATE TEMP TABLE {table} AS {same}")) {
                merged.trouble.push(format!("what the replaced state has in common could not all be read: {e}"));
                self.db.execute_batch(&format!("CREATE TEMP TABLE {table} ({columns})"))?;
            }
        }
        if !self.is_same_authority()? {
            merged.trouble.push("no signer of the replaced state is in the backup: it is another CA's".to_owned());
        }
        if log_damage.is_none() && self.is_later()? {
            merged.take(KEYS.what, self.take_over(&KEYS, now));
            merged.take(AUDIT.what, self.take_over(&AUDIT, now));
            merged.take(COUNTS.what, self.take_over(&COUNTS, now));
        } else {
            merged.trouble.push(match log_damage {
                Some(e) => format!("changed keys of accounts and the rest of the audit log could not be taken over: {e}"),
                None => "the replaced state is not what became of this backup, so that changed keys of accounts and its audit \
                         log were not taken over"
                    .to_owned(),
            });
        }
        let read = Read { db: &self.db };
        for sql in [LOST_ITEMS, ENDED_ITEMS] {
            match read.all(sql, [], |row| row.get(0)) {
                Ok(found) => merged.items.extend(found),
                Err(e) => merged.trouble.push(format!("what became of items since could not be read: {e}")),
            }
        }
        for step in STEPS {
            merged.take(step.what, self.take_over(step, now));
        }
        match read.lost_certificates(now) {
            Ok(found) => merged.lost_certificates = found,
            Err(e) => merged.trouble.push(format!("which certificates were issued since could not be read: {e}")),
        }
        match read.listed_accounts(LOST_ACCOUNTS) {
            Ok(found) => merged.lost_accounts = found,
            Err(e) => merged.trouble.push(format!("which accounts were made since could not be read: {e}")),
        }
        for (table, ..) in SAME {
            self.db.execute_batch(&format!("DROP TABLE {table}"))?;
        }
        Ok(merged)
    }

    fn is_same_authority(&self) -> Result<bool> {
        let sql = "SELECT 1 FROM same_versions UNION ALL
                   SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM replaced.key_versions) LIMIT 1";
        Ok(Read { db: &self.db }.optional(sql, [], |_| Ok(()))?.is_some())
    }

    /// Whether the audit log of the replaced database goes on where ours ends. One that is older, or went another way, would give
    /// accounts keys back that they have no more.
    fn is_later(&self) -> Result<bool> {
        let sql = "SELECT 1 FROM main.audit n JOIN replaced.audit o ON o.id = n.id AND o.hash = n.hash
                   WHERE n.id = (SELECT max(id) FROM main.audit)";
        Ok(Read { db: &self.db }.optional(sql, [], |_| Ok(()))?.is_some())
    }

    /// Run the statements of a step in one transaction and say how many rows those that count changed.
    fn take_over(&self, step: &Step, now: Time) -> Result<usize> {
        let transaction = self.db.unchecked_transaction()?;
        let run = |sql: &&str| {
            let mut statement = transaction.prepare(sql)?;
            if statement.parameter_count() == 0 { statement.execute([]) } else { statement.execute([now]) }
        };
        step.before.iter().try_for_each(|sql| run(sql).map(drop))?;
        let changed = step.counted.iter().map(run).sum::<rusqlite::Result<usize>>()?;
        transaction.commit()?;
        Ok(changed)
    }
}

impl Read<'_> {
    fn lost_certificates(&self, now: Time) -> Result<Vec<LostCertificate>> {
        self.all(
            "SELECT o.serial, o.not_after, k.name, coalesce(f.name, '') FROM replaced.certificates o
             JOIN same_versions v ON v.old = o.signer JOIN main.key_versions n ON n.id = v.new
             JOIN main.items k ON k.id = n.key LEFT JOIN replaced.items f ON f.id = o.item
             WHERE o.purpose = 'acme' AND o.not_after >= ?1
             AND NOT EXISTS (SELECT 1 FROM main.certificates c WHERE c.serial = o.serial)
             AND NOT EXISTS (SELECT 1 FROM main.revocations r WHERE r.signer = v.new AND r.serial = o.serial)
             ORDER BY o.id",
            [now],
            |row| {
                Ok(LostCertificate {
                    serial: row.get(0)?,
                    not_after: row.get(1)?,
                    signer: row.get(2)?,
                    name: row.get(3)?,
                })
            },
        )
    }
}

/// Which of its rows are which of ours: rows that were made after the backup, in one life or the other, may have one id and not
/// be the same. Table, columns, query.
const SAME: [(&str, &str, &str); 4] = [
    (
        "same_items",
        "old, new",
        "SELECT o.id AS old, n.id AS new FROM replaced.items o JOIN main.items n ON n.item_id = o.item_id",
    ),
    (
        "same_versions",
        "old, new",
        "SELECT o.id AS old, n.id AS new FROM replaced.key_versions o JOIN main.key_versions n ON n.spki = o.spki",
    ),
    (
        "same_accounts",
        "old, new",
        "SELECT o.id AS old, n.id AS new FROM replaced.accounts o JOIN same_items i ON i.old = o.issuer
         JOIN main.accounts n ON n.id = o.id AND n.issuer = i.new AND n.created = o.created",
    ),
    (
        "changed_keys",
        "id, spki, thumbprint",
        "SELECT n.id, o.spki, o.thumbprint FROM replaced.accounts o
         JOIN same_accounts s ON s.old = o.id JOIN main.accounts n ON n.id = s.new
         WHERE o.deleted IS NULL AND n.deleted IS NULL AND n.thumbprint <> o.thumbprint",
    ),
];

const LOST_ACCOUNTS: &str = "SELECT n.id, i.name, n.contacts FROM replaced.accounts n
    JOIN replaced.items i ON i.id = n.issuer
    WHERE n.deactivated IS NULL AND n.deleted IS NULL
    AND NOT EXISTS (SELECT 1 FROM same_accounts s WHERE s.old = n.id) ORDER BY n.id";

/// What they signed is neither on a list nor answered for any more.
const LOST_ITEMS: &str = "SELECT 'the signer ' || i.name || ', version ' || o.version ||
        ', was made since the backup and is not in it: what it signed cannot be revoked here'
    FROM replaced.key_versions o JOIN replaced.items i ON i.id = o.key
    WHERE i.deleted IS NULL AND o.sealed IS NOT NULL AND NOT EXISTS (SELECT 1 FROM same_versions v WHERE v.old = o.id)
    UNION ALL SELECT 'the issuer ' || i.name || ' was made since the backup and is not in it'
    FROM replaced.items i WHERE i.kind = 'PKI_CERT_ISSUER' AND i.deleted IS NULL
    AND NOT EXISTS (SELECT 1 FROM same_items s WHERE s.old = i.id)";

const ENDED_ITEMS: &str = "SELECT n.name || CASE
        WHEN o.deleted IS NOT NULL THEN
            ' was deleted since the backup and stays so; to have it back, restore into another --state-dir'
        ELSE ' was disabled since the backup and stays so; set-item-state enables it' END
    FROM replaced.items o JOIN same_items s ON s.old = o.id JOIN main.items n ON n.id = s.new
    WHERE n.kind <> 'CERTIFICATE' AND n.deleted IS NULL
    AND (o.deleted IS NOT NULL OR (o.enabled = 0 AND n.enabled = 1))";

/// A kind of thing that is taken over, in a transaction of its own; `?1` is now.
struct Step {
    what: &'static str,
    before: &'static [&'static str],
    counted: &'static [&'static str],
}

/// Only what takes something away: nobody is given more by a database that is replaced for a reason.
const STEPS: &[Step] = &[
    Step {
        what: "revocations",
        // Lists that certificates name which were issued since the backup.
        before: &["INSERT INTO main.crls (signer, shard, base_url, leaves, number, this_update, next_update, crl)
             SELECT v.new, o.shard, o.base_url, o.leaves, o.number, o.this_update, o.next_update, o.crl
             FROM replaced.crls o JOIN same_versions v ON v.old = o.signer
             WHERE NOT EXISTS (SELECT 1 FROM main.crls n WHERE n.signer = v.new AND n.shard = o.shard)"],
        // A certificate that is not known here is on every list, since its shard may be another's by now.
        counted: &["INSERT INTO main.revocations
             (signer, serial, certificate, shard, not_after, at, reason, invalid_since, revoked_by)
             SELECT v.new, o.serial, c.id, iif(c.id IS NULL AND o.certificate IS NOT NULL, NULL, o.shard), o.not_after,
                 o.at, o.reason, o.invalid_since, o.revoked_by
             FROM replaced.revocations o JOIN same_versions v ON v.old = o.signer
             LEFT JOIN main.certificates c ON c.serial = o.serial AND c.signer = v.new
             WHERE NOT EXISTS (SELECT 1 FROM main.revocations n WHERE n.signer = v.new AND n.serial = o.serial)"],
    },
    Step {
        what: "newer CRLs",
        before: &[],
        counted: &["UPDATE main.crls SET number = o.number, this_update = o.this_update, next_update = o.next_update,
                 crl = o.crl, leaves = max(crls.leaves, o.leaves)
             FROM (SELECT v.new AS of_signer, r.* FROM replaced.crls r JOIN same_versions v ON v.old = r.signer) AS o
             WHERE crls.signer = o.of_signer AND crls.shard = o.shard AND crls.number < o.number"],
    },
    Step {
        what: "blocked keys",
        before: &[],
        counted: &["INSERT INTO main.blocked_keys (hash, since, why)
             SELECT hash, since, why FROM replaced.blocked_keys WHERE listed = 0
             ON CONFLICT (hash) DO UPDATE SET listed = 0 WHERE listed = 1"],
    },
    Step {
        what: "deletions of accounts",
        before: &[],
        counted: &["UPDATE main.accounts SET deleted = o.deleted, contacts = ''
             FROM (SELECT s.new, r.deleted FROM replaced.accounts r JOIN same_accounts s ON s.old = r.id
                   WHERE r.deleted IS NOT NULL) AS o
             WHERE accounts.id = o.new AND accounts.deleted IS NULL"],
    },
    Step {
        what: "deactivations of accounts",
        before: &[],
        counted: &[
            "UPDATE main.accounts SET deactivated = o.deactivated
             FROM (SELECT s.new, r.deactivated FROM replaced.accounts r JOIN same_accounts s ON s.old = r.id
                   WHERE r.deactivated IS NOT NULL) AS o
             WHERE accounts.id = o.new AND accounts.deactivated IS NULL",
            // The key of one that was made since stays refused as well.
            "INSERT INTO main.accounts (issuer, spki, thumbprint, contacts, created, last_used, deactivated)
             SELECT i.new, r.spki, r.thumbprint, '', r.created, r.last_used, r.deactivated FROM replaced.accounts r
             JOIN same_items i ON i.old = r.issuer
             WHERE r.deactivated IS NOT NULL AND r.deleted IS NULL
             AND NOT EXISTS (SELECT 1 FROM same_accounts s WHERE s.old = r.id)
             AND NOT EXISTS (SELECT 1 FROM main.accounts n
                             WHERE n.issuer = i.new AND n.thumbprint = r.thumbprint AND n.deleted IS NULL)",
            // Whoever has it here.
            "UPDATE main.accounts SET deactivated = o.deactivated
             FROM (SELECT i.new AS of_issuer, r.thumbprint, r.deactivated FROM replaced.accounts r
                   JOIN same_items i ON i.old = r.issuer WHERE r.deactivated IS NOT NULL AND r.deleted IS NULL) AS o
             WHERE accounts.issuer = o.of_issuer AND accounts.thumbprint = o.thumbprint
             AND accounts.deactivated IS NULL AND accounts.deleted IS NULL",
        ],
    },
    Step {
        what: "lower limits",
        before: &[],
        counted: &["INSERT INTO main.limits (issuer, account, kind, value)
             SELECT i.new, a.new, o.kind, o.value FROM replaced.limits o JOIN same_items i ON i.old = o.issuer
             LEFT JOIN same_accounts a ON a.old = o.account WHERE o.account IS NULL OR a.new IS NOT NULL
             ON CONFLICT (issuer, coalesce(account, 0), kind) DO UPDATE SET value = excluded.value
             WHERE excluded.value < value"],
    },
    Step {
        what: "withdrawn authorizations",
        before: &[],
        counted: &[
            "UPDATE main.authorizations SET deactivated = o.deactivated
             FROM (SELECT s.new AS of_account, r.id, r.created, r.deactivated FROM replaced.authorizations r
                   JOIN same_accounts s ON s.old = r.account WHERE r.deactivated IS NOT NULL) AS o
             WHERE authorizations.id = o.id AND authorizations.account = o.of_account
             AND authorizations.created = o.created AND authorizations.deactivated IS NULL",
            "UPDATE main.authorizations SET deactivated = ?1 WHERE deactivated IS NULL
             AND account IN (SELECT id FROM main.accounts WHERE deactivated IS NOT NULL)",
        ],
    },
    Step {
        what: "withdrawn credentials",
        before: &[],
        counted: &["UPDATE main.eabs SET revoked = o.revoked FROM replaced.eabs o
             WHERE o.kid = eabs.kid AND o.revoked IS NOT NULL AND eabs.revoked IS NULL"],
    },
    Step {
        what: "states and deletions of items",
        // The private key of one that is deleted is forgotten.
        before: &["UPDATE main.key_versions SET sealed = NULL WHERE sealed IS NOT NULL AND id IN
             (SELECT v.new FROM same_versions v JOIN replaced.key_versions o ON o.id = v.old WHERE o.sealed IS NULL)"],
        counted: &["UPDATE main.items SET enabled = min(items.enabled, o.enabled),
                 delete_at = coalesce(items.delete_at, o.delete_at), deleted = o.deleted
             FROM replaced.items o
             WHERE o.item_id = items.item_id AND items.deleted IS NULL
             AND (o.enabled < items.enabled OR o.deleted IS NOT NULL
                  OR (items.delete_at IS NULL AND o.delete_at IS NOT NULL))"],
    },
];

/// Of a later state only.
const KEYS: Step = Step {
    what: "changed keys of accounts",
    // Two accounts may have changed places.
    before: &["UPDATE main.accounts SET thumbprint = 'changing ' || id WHERE id IN (SELECT id FROM changed_keys)"],
    counted: &["UPDATE main.accounts SET spki = o.spki, thumbprint = o.thumbprint
         FROM changed_keys o WHERE accounts.id = o.id"],
};

/// The numbers that were given out, and the time that it was.
const COUNTS: Step = Step {
    what: "counts",
    before: &[
        "UPDATE main.sqlite_sequence SET seq = max(sqlite_sequence.seq, o.seq) FROM replaced.sqlite_sequence o
         WHERE o.name = sqlite_sequence.name AND o.name <> 'audit'",
        "UPDATE main.clock_mark SET at = max(clock_mark.at, o.at) FROM replaced.clock_mark o",
    ],
    counted: &[],
};

/// The rest of the audit log where it goes on from what the backup has, and how far listeners were told of it.
const AUDIT: Step = Step {
    what: "rows of the audit log",
    before: &["INSERT INTO main.event_cursors (sink, last) SELECT sink, last FROM replaced.event_cursors WHERE true
         ON CONFLICT (sink) DO UPDATE SET last = max(last, excluded.last)"],
    counted: &["INSERT INTO main.audit (id, at, actor, action, object, outcome, detail, address, hash)
         SELECT o.id, o.at, o.actor, o.action, o.object, o.outcome, o.detail, o.address, o.hash FROM replaced.audit o
         WHERE o.id > (SELECT max(id) FROM main.audit) ORDER BY o.id"],
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{AuditEntry, Write};
    use std::path::PathBuf;

    const NOW: Time = Time(1_000);

    /// A database with an issuer, an audit row, and what these statements make.
    fn database(directory: &Path, name: &str, statements: &str) -> PathBuf {
        let path = directory.join(name);
        let db = schema::open(&path).unwrap();
        db.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        db.execute_batch(
            "INSERT INTO items (id, item_id, display_id, name, kind, created, modified)
             VALUES (1, 'i', 'd', '/I', 'PKI_CERT_ISSUER', 1, 1)",
        )
        .unwrap();
        Write::new(&db).append_audit(Time(1), &AuditEntry::done("uid 0", "create", "/I")).unwrap();
        db.execute_batch(statements).unwrap();
        path
    }

    fn account(id: i64, key: &str, created: i64, deactivated: &str) -> String {
        format!(
            "INSERT INTO accounts (id, issuer, spki, thumbprint, contacts, created, last_used, deactivated)
             VALUES ({id}, 1, CAST('{key}' AS BLOB), '{key}', '', {created}, 1, {deactivated});"
        )
    }

    fn merged(backup: &str, replaced: &str) -> (tempfile::TempDir, RestoredDatabase) {
        let dir = tempfile::tempdir().unwrap();
        let replaced = database(dir.path(), "replaced.db", replaced);
        let restored = RestoredDatabase::open(&database(dir.path(), "restored.db", backup)).unwrap();
        restored.db.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        let merged = restored.merge(&replaced, NOW).unwrap();
        assert_eq!(merged.trouble, [""; 0]);
        (dir, restored)
    }

    fn number(restored: &RestoredDatabase, sql: &str) -> Option<i64> {
        restored.db.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_key_that_was_refused_stays_so_whichever_account_has_it() {
        // The same key, in another life under another number.
        let (_dir, restored) = merged(&account(7, "k1", 5, "NULL"), &account(900, "k1", 6, "77"));
        assert_eq!(number(&restored, "SELECT deactivated FROM accounts WHERE id = 7"), Some(77));

        // It went from one account to another, which was deactivated.
        let later = account(7, "k2", 5, "NULL") + &account(8, "k1", 6, "78");
        let (_dir, restored) = merged(&account(7, "k1", 5, "NULL"), &later);
        assert_eq!(number(&restored, "SELECT deactivated FROM accounts WHERE thumbprint = 'k1'"), Some(78));
        assert_eq!(number(&restored, "SELECT deactivated FROM accounts WHERE thumbprint = 'k2'"), None);
    }

    #[test]
    fn numbers_that_were_given_out_and_the_time_that_it_was_are_not_forgotten() {
        let far = "UPDATE sqlite_sequence SET seq = 5000000 WHERE name = 'items';
                   INSERT INTO clock_mark (id, at, certificate) VALUES (1, 900, 0)";
        let near = "INSERT INTO clock_mark (id, at, certificate) VALUES (1, 500, 0)";
        for (backup, replaced) in [(near, far), (far, near)] {
            let (_dir, restored) = merged(backup, replaced);
            assert_eq!(number(&restored, "SELECT seq FROM sqlite_sequence WHERE name = 'items'"), Some(5_000_000));
            assert_eq!(number(&restored, "SELECT at FROM clock_mark"), Some(900));
        }
    }
}
