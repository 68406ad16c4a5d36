//! A byte that is not what it was is noticed and named, whether the daemon runs or cannot.

use crate::world::acme::Client;
use crate::world::csr::Csr;
use crate::world::daemon::Ca;
use crate::world::issuer::{CERTIFICATES, SIGNER_KEY, text};
use crate::world::outcome::{Outcome, assert_says};
use crate::world::plain::CHECKED;
use crate::world::reading::serial_of;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A state at rest with a certificate, a revoked one, an account, and a credential that nobody has used.
struct Scene {
    ca: Ca,
    client: Client,
    /// Of the certificate that is not revoked, and where it is downloaded.
    serial: String,
    url: String,
}

impl Scene {
    fn new() -> Scene {
        let mut ca = Ca::start();
        let issuer = ca.make_issuer_with("acme.com", &CHECKED);
        let client = ca.unchallenged_client(&issuer, "acme.com");
        let obtain = || {
            let order = client.order(&["acme.com"]);
            client.finalize(&order, &Csr::for_names(&["acme.com"])).expect(200);
            let url = text(&client.fetch(&order.url).expect(200).json(), "certificate");
            (serial_of(&client.certificate(&order)), url)
        };
        let ((serial, url), (revoked, _)) = (obtain(), obtain());
        ca.run(&["revoke-certificate", "--serial-number", &format!("0x{revoked}")]).succeeded();
        ca.make_eab(&issuer);
        assert!(ca.stop().success());
        Scene { ca, client, serial, url }
    }

    fn check(&self) -> Outcome {
        self.ca.run(&["check", "--offline", "--state-dir", self.ca.state_dir().to_str().unwrap()])
    }

    /// Change one bit in the middle of the first value of a column.
    fn flip_in(&self, table: &str, column: &str) {
        let db = rusqlite::Connection::open(self.database()).unwrap();
        db.execute_batch("DROP TRIGGER certificates_are_never_changed").unwrap();
        let first = match table {
            "certificates" => "purpose = 'acme' ORDER BY id",
            "crls" => "true ORDER BY signer, shard",
            _ => "true ORDER BY id",
        };
        let sql = format!("SELECT {column} FROM {table} WHERE {first} LIMIT 1");
        let before: Vec<u8> = db.query_row(&sql, [], |row| row.get(0)).unwrap();
        let mut after = before.clone();
        after[before.len() / 2] ^= 1;
        let changed =
            db.execute(&format!("UPDATE {table} SET {column} = ?1 WHERE {column} = ?2"), (after, before)).unwrap();
        assert_eq!(changed, 1);
    }

    fn database(&self) -> PathBuf {
        self.ca.state_dir().join("certwright.db")
    }
}

/// What is in a directory, to the byte and to the moment.
fn all_of(directory: &Path) -> BTreeMap<PathBuf, (Vec<u8>, i64, i64)> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(all_of(&path));
        } else if path.is_file() {
            let about = path.metadata().unwrap();
            found.insert(path.clone(), (std::fs::read(&path).unwrap(), about.mtime(), about.mtime_nsec()));
        }
    }
    found
}

#[test]
fn a_state_at_rest_is_checked_and_not_a_byte_of_it_written() {
    let mut scene = Scene::new();
    let before = all_of(&scene.ca.state_dir());
    assert_says(&scene.check().succeeded().stdout, &["fits together"]);
    assert!(all_of(&scene.ca.state_dir()) == before, "after a clean stop");

    // After a kill most of it is in the WAL.
    scene.ca.launch();
    scene.ca.make_signer_key("/Another/Key");
    assert_says(&scene.check().refused(), &["running", "without --offline"]);
    scene.ca.kill();
    let before = all_of(&scene.ca.state_dir());
    assert!(before.iter().any(|(path, (content, ..))| path.ends_with("certwright.db-wal") && !content.is_empty()));
    scene.check().succeeded();
    assert!(all_of(&scene.ca.state_dir()) == before, "after a kill");
    std::fs::remove_file(fragments(&scene.ca).last().unwrap()).unwrap();
    assert_says(&scene.check().refused(), &["fragment", "missing"]);
}

fn fragments(ca: &Ca) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(ca.state_dir().join("fragments")).unwrap();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

#[test]
fn a_flipped_byte_in_any_fragment_is_named() {
    let scene = Scene::new();
    let files = fragments(&scene.ca);
    assert_eq!(files.len(), 6, "of the signer and of the data key");
    for path in files {
        let whole = std::fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        flipped[100] ^= 1;
        std::fs::write(&path, flipped).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_string();
        assert_says(&scene.check().refused(), &[&name, "damaged"]);
        std::fs::write(&path, whole).unwrap();
    }
    scene.check().succeeded();
}

#[test]
fn a_flipped_byte_in_what_the_database_keeps_is_named() {
    let scene = Scene::new();
    let whole = std::fs::read(scene.database()).unwrap();
    let ca = "the CA certificate";
    // Each value is found in the file by bytes that stand nowhere else, and one bit of them is changed.
    for (what, sql, words) in [
        (
            "a certificate",
            "SELECT certificate FROM certificates WHERE purpose = 'acme' ORDER BY id LIMIT 1",
            &[&scene.serial[..], "not what was signed"][..],
        ),
        ("a CA certificate", "SELECT certificate FROM ca_certificates", &[ca, "not what was signed"]),
        ("a private key", "SELECT sealed FROM key_versions", &[SIGNER_KEY, "does not open"]),
        ("the data key", "SELECT sealed FROM data_keys", &["the key that seals MAC keys", "does not open"]),
        ("a MAC key", "SELECT sealed_mac_key FROM eabs WHERE used = 0", &["the credential", "does not open"]),
        ("a CRL", "SELECT crl FROM crls WHERE shard = -2", &["the CRL of everything", "not what was signed"]),
        ("the key of an account", "SELECT spki FROM accounts", &["account"]),
        ("an audit row", "SELECT CAST(detail AS BLOB) FROM audit WHERE action = 'finalize'", &["the audit log", "row"]),
        ("a hash", "SELECT hash FROM audit WHERE id = 3", &["the audit log", "row"]),
    ] {
        let value: Vec<u8> = rusqlite::Connection::open(scene.database())
            .and_then(|db| db.query_row(sql, [], |row| row.get(0)))
            .unwrap_or_else(|e| panic!("{what}: {e}"));
        let at = place_of(&value, &whole).unwrap_or_else(|| panic!("{what} is not found"));
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        std::fs::write(scene.database(), flipped).unwrap();
        let said = scene.check().refused();
        assert_says(&said, words);
    }
    std::fs::write(scene.database(), &whole).unwrap();
    scene.check().succeeded();
}

/// Each page is as it was written, and what is written there does not fit together.
#[test]
fn rows_that_do_not_fit_together_are_named() {
    let scene = Scene::new();
    let whole = std::fs::read(scene.database()).unwrap();
    for (sql, words) in [
        ("UPDATE orders SET account = 999", &["a row of orders refers to none"][..]),
        ("UPDATE revocations SET reason = 5", &["the CRL of everything", "does not say how", "was revoked"]),
        ("UPDATE crls SET next_update = 1", &["filed as another", "is overdue"]),
        ("UPDATE certificates SET not_after = not_after + 1", &[&scene.serial, "not what was signed"]),
        ("DELETE FROM audit WHERE id = 3", &["the audit log"]),
    ] {
        let db = rusqlite::Connection::open(scene.database()).unwrap();
        db.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        let mut triggers = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").unwrap();
        let names: Vec<String> = triggers.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        drop(triggers);
        for name in names {
            db.execute_batch(&format!("DROP TRIGGER {name}")).unwrap();
        }
        assert!(db.execute(sql, []).unwrap() > 0, "{sql}");
        db.close().unwrap();
        assert_says(&scene.check().refused(), words);
        std::fs::write(scene.database(), &whole).unwrap();
    }
    scene.check().succeeded();
}

fn place_of(value: &[u8], file: &[u8]) -> Option<usize> {
    let places = |part: &[u8]| -> Vec<usize> {
        file.windows(part.len()).enumerate().filter(|(_, bytes)| *bytes == part).map(|(at, _)| at).take(2).collect()
    };
    let alone = value.chunks_exact(8).find_map(|part| match places(part)[..] {
        [at] => Some(at),
        _ => None,
    });
    // Or the end of what stands in a table and in its index.
    alone.or_else(|| places(value).first().map(|at| at + value.len() - 1))
}

/// Pages that cannot be read give findings, wherever they are; nothing is silently left out.
#[test]
fn a_page_of_noise_is_a_finding_and_never_a_crash() {
    let scene = Scene::new();
    let whole = std::fs::read(scene.database()).unwrap();
    let size: u32 = scene.ca.query("PRAGMA page_size").parse().unwrap();
    let noise: Vec<u8> = (0..size).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for page in 0..whole.len() / noise.len() {
        let mut damaged = whole.clone();
        damaged[page * noise.len()..(page + 1) * noise.len()].copy_from_slice(&noise);
        std::fs::write(scene.database(), damaged).unwrap();
        let outcome = scene.check();
        assert_eq!(outcome.status, Some(1), "page {page}: {}", outcome.seen());
        assert!(!outcome.stderr.contains("panicked"), "page {page}: {}", outcome.stderr);
    }
}

#[test]
fn a_database_that_is_none_and_a_state_that_is_not_there_are_told_so() {
    let scene = Scene::new();
    std::fs::write(scene.database(), "these are not the pages").unwrap();
    assert_says(&scene.check().refused(), &["the database is damaged", "restore it from a backup"]);
    let nowhere = scene.ca.run(&["check", "--offline", "--state-dir", "nowhere"]).refused();
    assert_says(&nowhere, &["nowhere/certwright.db", "--state-dir"]);
}

/// The daemon finds the same, and what is not what was signed it gives to nobody.
#[test]
fn the_daemon_finds_the_same_and_serves_nothing_of_it() {
    let mut scene = Scene::new();
    let name = format!("{CERTIFICATES}/acme.com");
    let one = ["get-certificate-value", "--name", &name, "--version", "1"];
    scene.ca.launch();
    let identifier = scene.ca.key_identifier(SIGNER_KEY);
    let (list, own) = (format!("/crl/{identifier}.crl"), format!("/ca/{identifier}.cer"));
    assert_eq!((scene.ca.fetch(&list).status, scene.ca.fetch(&own).status), (200, 200));
    scene.ca.run(&one).succeeded();
    assert!(scene.ca.stop().success());
    let whole = std::fs::read(scene.database()).unwrap();
    for (table, column, words) in [
        ("certificates", "certificate", &[&scene.serial[..], "not what was signed"][..]),
        ("crls", "crl", &["the CRL", "not what was signed"]),
        ("ca_certificates", "certificate", &["CA certificate", "not what was signed"]),
        ("accounts", "spki", &["the key of account", "not the one that it registered"]),
    ] {
        std::fs::write(scene.database(), &whole).unwrap();
        scene.flip_in(table, column);
        scene.ca.launch();
        assert_says(&scene.ca.run(&["check"]).refused(), words);
        match table {
            "certificates" => {
                assert_says(&scene.ca.run(&one).refused(), &["not what was signed"]);
                assert_eq!(scene.client.fetch(&scene.url).status, 500);
            }
            "crls" => assert_eq!(scene.ca.fetch(&list).status, 503),
            "ca_certificates" => assert_eq!(scene.ca.fetch(&own).status, 503),
            _ => assert_ne!(scene.client.fetch(&scene.url).status, 200),
        }
        assert!(scene.ca.stop().success());
    }
}
