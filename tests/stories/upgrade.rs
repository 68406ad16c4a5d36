//! A database of every released schema is opened, brought up to date and worked with.

use crate::world::account_key::AccountKey;
use crate::world::csr::Csr;
use crate::world::daemon::Ca;
use crate::world::hex::hex;
use crate::world::issuer::{CERTIFICATES, ISSUER, Issuer, SIGNER_KEY};
use crate::world::judges::assert_trusted_by_webpki;
use crate::world::openssl_ca::OpensslCa;
use crate::world::outcome::assert_says;
use crate::world::place::NOBODY;
use crate::world::plain::CHECKED;
use crate::world::reading::{lists, serial_of};
use crate::world::responder::Responder;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// The schemas that were released, each with what `the_database_of_the_present_schema_can_be_kept_for_those_to_come` wrote at
/// its time.
const RELEASED: [usize; 1] = [1];

#[test]
fn a_database_of_every_released_schema_is_opened_and_goes_on() {
    for schema in RELEASED {
        goes_on(schema, &released(schema));
    }
}

fn goes_on(schema: usize, kept: &Path) {
    let mut ca = Ca::planned(&["--validation-allow", "127.0.0.0/8"]);
    lay_out(&ca, schema, kept);
    let offline = ca.run(&["check", "--offline", "--state-dir", ca.state_dir().to_str().unwrap()]);
    // Its lists end a week after it was written; everything else fits.
    assert!(offline.stderr.split("; ").all(|finding| finding.is_empty() || finding.contains("overdue")), "{offline:?}");
    ca.launch();
    let present: usize = ca.query("PRAGMA user_version").parse().unwrap();
    let kept = ca.state_dir().join(format!("certwright.db.before-schema-{present}"));
    assert_eq!(kept.exists(), present > schema, "what was before is kept where something changed");
    if kept.exists() {
        assert_eq!(version_of(&kept), schema);
        assert_says(&ca.log(), &[&format!("from schema {schema} to {present}"), "before-schema"]);
    }
    ca.run(&["check"]).succeeded();
    assert_says(&ca.run(&["audit", "--verify"]).succeeded().stdout, &["whole"]);

    let issuer = ca.issuer(ISSUER, SIGNER_KEY, "ca.lan");
    assert_eq!(ca.accounts(&issuer).len(), 2, "one of three is deleted");
    let listed = ca.run(&["list-certificates", "--json"]).succeeded().json();
    let listed = listed["certificates"].as_array().unwrap();
    assert_eq!(listed.len(), 3);
    let revoked: Vec<&str> = listed
        .iter()
        .filter(|certificate| !certificate["revoked"].is_null())
        .map(|certificate| certificate["serial_number"].as_str().unwrap())
        .collect();
    assert_eq!(revoked.len(), 1);
    let root = ca.certificate_of(SIGNER_KEY);
    // Signed by the version before the present one.
    let crl = ca.fetch(&format!("/crl/{}.crl", ca.key_identifier(SIGNER_KEY))).expect(200).body;
    assert!(lists(&crl, revoked[0]));
    let client = ca.unchallenged_client(&issuer, "acme.com");
    let order = client.order(&["acme.com"]);
    client.finalize(&order, &Csr::for_names(&["acme.com"])).expect(200);
    let chain = client.certificate(&order);
    assert_trusted_by_webpki(&chain, &root, "acme.com");
    assert!(!listed.iter().any(|c| c["serial_number"] == serial_of(&chain).as_str()));
    ca.restart();
    ca.run(&["check"]).succeeded();
}

/// Make the state of a schema: its tables, its rows, its fragments.
fn lay_out(ca: &Ca, schema: usize, from: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let database = ca.state_dir().join("certwright.db");
    let db = Connection::open(&database).unwrap();
    db.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA foreign_keys = OFF").unwrap();
    let mut scripts: Vec<PathBuf> = fs::read_dir(root.join("sql")).unwrap().map(|e| e.unwrap().path()).collect();
    scripts.sort();
    for script in &scripts[..schema] {
        db.execute_batch(&fs::read_to_string(script).unwrap()).unwrap();
    }
    db.execute_batch(&fs::read_to_string(from.join("rows.sql")).unwrap()).unwrap();
    db.execute_batch(&format!("PRAGMA user_version = {schema}")).unwrap();
    db.close().unwrap();
    let fragments = ca.place.make_directory("state/fragments");
    for entry in fs::read_dir(from.join("fragments")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), fragments.join(entry.file_name())).unwrap();
    }
    for path in fs::read_dir(fragments).unwrap().map(|e| e.unwrap().path()).chain([database]) {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

fn released(schema: usize) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/schema-{schema}"))
}

fn version_of(database: &Path) -> usize {
    Connection::open(database).unwrap().query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
}

impl Ca {
    /// The certificate of a signer that clients trust.
    fn certificate_of(&self, name: &str) -> String {
        self.issuer(ISSUER, name, "ca.lan").root_pem
    }
}

/// Some of everything that people keep. When a schema is released, and never again for it, RELEASE=1 writes it into
/// tests/data.
#[test]
fn the_database_of_the_present_schema_can_be_kept_for_those_to_come() {
    let mut ca = Ca::start();
    let make = [
        "create-dfc-key",
        "--alg",
        "EC256",
        "--certificate-common-name",
        "Acme CA",
        "--certificate-ttl",
        "7300",
        "--name",
    ];
    let own = ["--generate-self-signed-certificate", "true"];
    ca.run(&[&make[..], &[SIGNER_KEY, "--tag", "first,second"], &own].concat()).succeeded();
    ca.run(&[&make[..], &["/Below", "--signed-by", SIGNER_KEY]].concat()).succeeded();
    ca.run(&[&make[..], &["/Gone"], &own].concat()).succeeded();
    ca.run(&["delete-item", "--name", "/Gone", "--delete-immediately", "--force"]).succeeded();
    let company = OpensslCa::new();
    ca.place.write("ca.key", company.read("ca.key"));
    ca.place.write("ca.pem", &company.root_pem);
    ca.run(&["import-signer", "-n", "/Brought", "--key-file", "ca.key", "--chain-file", "ca.pem", "--no-former-crl"])
        .succeeded();
    let issuer = ca.make_issuer_named(ISSUER, SIGNER_KEY, "ca.lan", "acme.com,www.acme.com", &CHECKED);
    ca.run(&["set-limits", "--cert-issuer-name", ISSUER, "--pending-orders", "50"]).succeeded();
    some_of_everything(&ca, &issuer);
    ca.run(&["rotate-key", "-n", SIGNER_KEY]).succeeded();
    ca.run(&["check"]).succeeded();
    assert!(ca.stop().success());
    let database = ca.state_dir().join("certwright.db");
    let schema = version_of(&database);
    let is_released = std::env::var_os("RELEASE").is_some();
    let into = if is_released { released(schema) } else { ca.place.file("kept") };
    fs::create_dir_all(into.join("fragments")).unwrap();
    fs::write(into.join("rows.sql"), rows(&database)).unwrap();
    for entry in fs::read_dir(ca.state_dir().join("fragments")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), into.join("fragments").join(entry.file_name())).unwrap();
    }
    goes_on(schema, &into);
}

fn some_of_everything(ca: &Ca, issuer: &Issuer) {
    let responder = Responder::start(ca.place.address, ca.http_01_port);
    let client = ca.client(issuer);
    client.obtain(&["acme.com"], &responder);
    let renewed = client.obtain(&["acme.com"], &responder);
    let serial = format!("0x{}", serial_of(&renewed));
    ca.run(&["revoke-certificate", "--serial-number", &serial, "--reason", "keyCompromise"]).succeeded();
    client.order(&["www.acme.com"]);
    let unchallenged = ca.unchallenged_client(issuer, "acme.com");
    let order = unchallenged.order(&["acme.com"]);
    unchallenged.finalize(&order, &Csr::for_names(&["acme.com"])).expect(200);
    let mut ended = issuer.client(AccountKey::ed25519());
    ended.register(&ca.make_eab(issuer)).expect(201);
    let failed = ended.order(&["www.acme.com"]);
    ended.prove(&failed, &responder);
    ended.settled(&failed.url, &["pending"]);
    let id = ended.account.as_ref().unwrap().rsplit('/').next().unwrap();
    let end = ["deactivate-acme-account", "--cert-issuer-name", ISSUER, "--acme-account-id", id];
    ca.run(&[&end[..], &["--delete-account"]].concat()).succeeded();
    ca.make_eab(issuer);
    let taken_back = ca.make_eab(issuer);
    ca.run(&["revoke-acme-eab", "--kid", &taken_back.kid]).succeeded();
    assert!(ca.certificate_value(&format!("{CERTIFICATES}/acme.com")).contains("BEGIN"));
}

/// Every row of every table as SQL, in the order of the tables. Some tables have a row from the beginning, and sqlite_sequence
/// gets its own as the others come in.
fn rows(database: &Path) -> String {
    let db = Connection::open(database).unwrap();
    let mut tables = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY rowid").unwrap();
    let names: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut out = String::from(
        "-- Written by tests/stories/upgrade.rs when the schema was released; never edited.\nDELETE FROM sqlite_sequence;\n",
    );
    for name in names {
        let mut statement = db.prepare(&format!("SELECT * FROM {name}")).unwrap();
        let columns = statement.column_names().collect::<Vec<_>>().join(", ");
        let count = statement.column_count();
        let mut found = statement.query([]).unwrap();
        while let Some(row) = found.next().unwrap() {
            let values: Vec<String> = (0..count).map(|at| literal(row.get_ref(at).unwrap())).collect();
            writeln!(out, "INSERT OR REPLACE INTO {name} ({columns}) VALUES ({});", values.join(", ")).unwrap();
        }
    }
    out
}

fn literal(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".into(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) => format!("'{}'", String::from_utf8_lossy(text).replace('\'', "''")),
        ValueRef::Blob(bytes) => format!("x'{}'", hex(bytes)),
    }
}
