//! A backup is made while everybody works, and is worth what it says.

use crate::world::csr::Csr;
use crate::world::daemon::Ca;
use crate::world::issuer::{SIGNER_KEY, text};
use crate::world::openssl::{blocks, ocsp_request};
use crate::world::outcome::{Outcome, assert_says};
use crate::world::patience::{eventually, seconds};
use crate::world::place::{NOBODY, STRANGER};
use crate::world::plain::CHECKED;
use crate::world::reading::{contains, serial_of};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// Every fragment of the state, with its content.
fn fragments(ca: &Ca) -> Vec<(String, Vec<u8>)> {
    files(ca, "fragments")
}

fn files(ca: &Ca, directory: &str) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(ca.state_dir().join(directory)).unwrap();
    entries
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())
        })
        .collect()
}

fn tar_list(ca: &Ca, file: &str) -> BTreeSet<String> {
    let output = Command::new("tar").args(["-tf", file]).current_dir(ca.place.path()).output().unwrap();
    let listed = Outcome::new("tar -tf", output).succeeded();
    assert_eq!(listed.stderr, "");
    listed.stdout.lines().map(str::to_owned).collect()
}

fn names(ca: &Ca) -> BTreeSet<String> {
    let entries = std::fs::read_dir(ca.place.path()).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn it_holds_everything_but_private_keys() {
    let mut ca = Ca::planned(&["--validation-allow", "127.0.0.0/8"]);
    // What a crash in the middle of another one left.
    ca.place.write("state/certwright.db.copy", "half of it");
    ca.launch();
    assert!(!ca.state_dir().join("certwright.db.copy").exists(), "it is removed at the start");
    let issuer = ca.make_issuer_with("acme.com", &CHECKED);
    let client = ca.unchallenged_client(&issuer, "acme.com");
    let order = client.order(&["acme.com"]);
    client.finalize(&order, &Csr::for_names(&["acme.com"])).expect(200);
    // Whoever asks for a status makes the daemon make a responder's key.
    let leaf = &blocks(&client.certificate(&order))[0];
    let request = ocsp_request(&ca.place, &issuer.root_pem, leaf, &[]);
    ca.ask_ocsp(&ca.key_identifier(SIGNER_KEY), &request).expect(200);
    let before = names(&ca);
    let said = ca.run(&["backup", "--to", "a.tar"]).succeeded().stdout;
    assert_says(&said, &["a.tar", "but private keys", "fragments", SIGNER_KEY]);
    let mut expected = before;
    expected.insert("a.tar".into());
    assert_eq!(names(&ca), expected, "nothing else is left beside it");
    let mode = std::fs::metadata(ca.place.file("a.tar")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);

    let members = tar_list(&ca, "a.tar");
    for member in ["backup.json", "certwright.db", "SHA256"] {
        assert!(members.contains(member), "{member} in {members:?}");
    }
    assert_eq!(members.len(), 3, "{members:?}");
    let archive = std::fs::read(ca.place.file("a.tar")).unwrap();
    for (name, content) in fragments(&ca) {
        let share = String::from_utf8(content).unwrap();
        let share = share.lines().find_map(|line| line.strip_prefix("share ")).unwrap();
        assert!(!contains(&archive, share.as_bytes()), "{name} is in it");
    }
    let keys = files(&ca, "keys");
    for kind in ["tls-", "ocsp-"] {
        assert!(keys.iter().any(|(name, _)| name.starts_with(kind)), "there is no {kind} key to look for");
    }
    for (name, content) in &keys {
        assert!(!contains(&archive, content), "{name} is in it");
    }

    ca.run(&["backup", "--to", "whole.tar", "--with-fragments"]).succeeded();
    let members = tar_list(&ca, "whole.tar");
    let whole = std::fs::read(ca.place.file("whole.tar")).unwrap();
    for (directory, files) in [("fragments", fragments(&ca)), ("keys", keys)] {
        for (name, content) in files {
            assert!(members.contains(&format!("{directory}/{name}")), "{name} in {members:?}");
            assert!(contains(&whole, &content), "{name} is not in it");
        }
    }
    let state: BTreeSet<String> =
        std::fs::read_dir(ca.state_dir()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert!(!state.iter().any(|name| name.contains("copy")), "the daemon keeps no copy: {state:?}");
    let rows = ca.run(&["audit", "--action", "backup", "--json"]).succeeded().json();
    let details: Vec<String> = rows["rows"].as_array().unwrap().iter().map(|row| text(row, "detail")).collect();
    assert_eq!(details.len(), 2, "{details:?}");
    assert_says(&details[0], &["without fragments"]);
    assert_says(&details[1], &["with fragments"]);
}

#[test]
fn the_group_may_have_one_and_not_the_fragments() {
    let ca = Ca::start();
    ca.make_issuer("acme.com");
    let place = ca.place.make_directory("members");
    std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o777)).unwrap();
    ca.run_as(STRANGER, NOBODY, &["backup", "--to", "members/mine.tar"]).succeeded();
    let refused = ca.run_as(STRANGER, NOBODY, &["backup", "--to", "members/all.tar", "--with-fragments"]).refused();
    assert_says(&refused, &["root", "sudo"]);
    let left: Vec<_> = std::fs::read_dir(&place).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["mine.tar"]);
    let rows = ca.run(&["audit", "--action", "backup", "--outcome", "refused", "--json"]).succeeded().json();
    assert_eq!(rows["rows"].as_array().unwrap().len(), 1);
    ca.run_as(NOBODY, NOBODY, &["backup", "--to", "members/daemons.tar", "--with-fragments"]).succeeded();
}

#[test]
fn a_fragment_that_is_missing_is_no_reason_for_none_at_all() {
    let ca = Ca::start();
    ca.make_issuer("acme.com");
    let (name, _) = fragments(&ca).into_iter().find(|(name, _)| name.contains('-')).unwrap();
    std::fs::remove_file(ca.state_dir().join("fragments").join(&name)).unwrap();
    let before = names(&ca);
    let refused = ca.run(&["backup", "--to", "a.tar", "--with-fragments"]).refused();
    assert_says(&refused, &["without --with-fragments", "is missing"]);
    assert_eq!(names(&ca), before, "nothing is left of it");
    ca.run(&["backup", "--to", "a.tar"]).succeeded();
}

#[test]
fn no_file_is_replaced_unasked() {
    let ca = Ca::start();
    ca.place.write("notes.tar", "mine");
    let refused = ca.run(&["backup", "--to", "notes.tar"]).refused();
    assert_says(&refused, &["notes.tar", "--force"]);
    assert_eq!(std::fs::read(ca.place.file("notes.tar")).unwrap(), b"mine");
    let nowhere = ca.run(&["backup", "--to", "nowhere/a.tar"]).refused();
    assert_says(&nowhere, &["nowhere/a.tar"]);
    assert_says(&ca.run(&["backup", "--to", "state"]).refused(), &["directory"]);
    let before = names(&ca);
    ca.run(&["backup", "--to", "notes.tar", "--force"]).succeeded();
    assert_eq!(names(&ca), before);
    assert!(tar_list(&ca, "notes.tar").contains("certwright.db"));
}

/// Four clients order without a pause; what was issued before the backup was asked for is in it.
#[test]
fn under_load_it_is_of_one_moment_and_passes_every_check() {
    let mut ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let stop = AtomicBool::new(false);
    let issued = Mutex::new(Vec::new());
    let before = std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let client = ca.unchallenged_client(&issuer, "acme.com");
                while !stop.load(Ordering::SeqCst) {
                    let order = client.order(&["acme.com"]);
                    client.finalize(&order, &Csr::for_names(&["acme.com"])).expect(200);
                    let serial = serial_of(&client.certificate(&order));
                    issued.lock().unwrap().push(serial);
                }
            });
        }
        let count = || issued.lock().unwrap().len();
        let _stop = StopAtEnd(&stop);
        eventually("some are issued", seconds(60), || (count() >= 20).then_some(()));
        // A small database is copied in a moment, so until one of them was made while something was issued.
        let before = (0..50).find_map(|_| {
            let before = issued.lock().unwrap().clone();
            ca.run(&["backup", "--to", "a.tar", "--with-fragments", "--force"]).succeeded();
            (count() > before.len()).then_some(before)
        });
        before.expect("nothing was issued while any of them was made")
    });
    let restored = ca.place.file("restored");
    let restored = restored.to_str().unwrap();
    ca.run(&["restore", "--from", "a.tar", "--state-dir", restored]).succeeded();
    ca.run(&["check", "--offline", "--state-dir", restored]).succeeded();
    assert!(ca.stop().success());
    let found = serials(PathBuf::from(restored).join("certwright.db"));
    let missing: Vec<_> = before.iter().filter(|serial| !found.contains(*serial)).collect();
    assert!(missing.is_empty(), "issued before the backup and not in it: {missing:?}");
}

/// Whichever way a story ends, those who work for it end too.
struct StopAtEnd<'s>(&'s AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn serials(database: PathBuf) -> BTreeSet<String> {
    let db = rusqlite::Connection::open(database).unwrap();
    let mut rows = db.prepare("SELECT lower(hex(serial)) FROM certificates").unwrap();
    rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// Somebody asks, reads a little and goes away, or does not read at all.
#[test]
fn whoever_hangs_up_in_the_middle_harms_nobody() {
    let ca = Ca::start();
    ca.make_issuer("acme.com");
    for read in [0, 10_000] {
        eventually("it is given another one", seconds(10), || {
            let mut stream = BufReader::new(UnixStream::connect(ca.admin_socket()).unwrap());
            stream.get_mut().write_all(b"{\"command\":\"backup\"}\n").unwrap();
            let mut line = String::new();
            stream.read_line(&mut line).unwrap();
            // The one before may not have noticed yet that nobody reads.
            (!line.contains("another backup")).then(|| stream.read_exact(&mut vec![0; read]).unwrap())
        });
    }
    eventually("it goes on", seconds(10), || (ca.run(&["backup", "--to", "a.tar"]).status == Some(0)).then_some(()));
    ca.run(&["check"]).succeeded();
}
