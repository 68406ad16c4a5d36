//! What a backup is for: the machine is lost, or what is on it is worth less than what was.

mod replaced;

use crate::world::account_key::AccountKey;
use crate::world::acme::Client;
use crate::world::csr::Csr;
use crate::world::daemon::Ca;
use crate::world::hex::unhex;
use crate::world::issuer::{ISSUER, Issuer, SIGNER_KEY, text};
use crate::world::judges::{assert_trusted_by_webpki, judge_crl};
use crate::world::outcome::{Outcome, assert_says};
use crate::world::patience::{eventually, seconds};
use crate::world::plain::CHECKED;
use crate::world::reading::{crl_number, lists, serial_of, shard_path};
use crate::world::responder::Responder;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;

/// A daemon with an issuer of whose certificates everybody can ask.
struct Scene {
    ca: Ca,
    issuer: Issuer,
}

impl Scene {
    fn new() -> Scene {
        let ca = Ca::start();
        let issuer = ca.make_issuer_with("acme.com", &CHECKED);
        Scene { ca, issuer }
    }

    /// With a client and its chain; the daemon is stopped.
    fn of_a_certificate_revoked_since_the_backup() -> (Scene, Client, String) {
        let mut scene = Scene::new();
        let client = scene.ca.unchallenged_client(&scene.issuer, "acme.com");
        let chain = scene.issue(&client);
        scene.backup(&[]);
        scene.revoke(&chain);
        assert!(scene.ca.stop().success());
        (scene, client, chain)
    }

    fn backup(&self, flags: &[&str]) {
        self.ca.run(&[&["backup", "--to", "backup.tar"][..], flags].concat()).succeeded();
    }

    fn restore(&self, flags: &[&str]) -> Outcome {
        let state = self.ca.state_dir();
        let fixed = ["restore", "--from", "backup.tar", "--state-dir", state.to_str().unwrap(), "--json"];
        self.ca.run(&[&fixed[..], flags].concat())
    }

    /// The machine is gone, and another one is set up: nothing is there but an empty directory for the service.
    fn lose_machine(&mut self) {
        assert!(self.ca.stop().success());
        std::fs::remove_dir_all(self.ca.state_dir()).unwrap();
        self.ca.place.make_directory("state");
    }

    fn complete_crl(&self) -> Vec<u8> {
        let der = self.ca.fetch(&format!("/crl/{}.crl", self.ca.key_identifier(SIGNER_KEY))).expect(200).body;
        judge_crl(&der, &self.issuer.root_pem);
        der
    }

    fn accounts(&self) -> Vec<(String, String)> {
        let accounts = self.ca.accounts(&self.issuer);
        accounts.iter().map(|a| (text(a, "account_id"), text(a, "status"))).collect()
    }

    /// The same issuer for a client that comes anew.
    fn issue(&self, client: &Client) -> String {
        let order = client.order(&["acme.com"]);
        client.finalize(&order, &Csr::for_names(&["acme.com"])).expect(200);
        client.certificate(&order)
    }

    fn revoke(&self, chain: &str) {
        self.ca.run(&["revoke-certificate", "--serial-number", &format!("0x{}", serial_of(chain))]).succeeded();
    }
}

fn id_of(client: &Client) -> String {
    client.account.as_ref().unwrap().rsplit('/').next().unwrap().to_string()
}

#[test]
fn after_losing_the_machine_a_client_renews_with_its_old_account() {
    let mut scene = Scene::new();
    let responder = Responder::start(scene.ca.place.address, scene.ca.http_01_port);
    let client = scene.ca.client(&scene.issuer);
    client.obtain(&["acme.com"], &responder);
    let own = client.wire.handshake().unwrap().0;
    scene.backup(&["--with-fragments"]);
    // Lists that the backup knows nothing of.
    for _ in 0..2 {
        scene.revoke(&client.obtain(&["acme.com"], &responder));
    }
    let last_before = crl_number(&scene.complete_crl());

    scene.lose_machine();
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    eventually("a second in which no list was signed", seconds(10), || (now() > last_before).then_some(()));
    let told = scene.restore(&[]).succeeded().json();
    assert_eq!(
        (&told["replaced"], &told["from_replaced"], &told["warnings"]),
        (&Value::Null, &Value::Null, &json!([]))
    );
    assert_eq!(told["accounts"][0]["id"], id_of(&client), "nothing tells what became of it since: {told}");
    for file in ["certwright.db", "keys", "fragments"] {
        let about = std::fs::metadata(scene.ca.state_dir().join(file)).unwrap();
        let directory = std::fs::metadata(scene.ca.state_dir()).unwrap();
        assert_eq!((about.uid(), about.mode() & 0o077), (directory.uid(), 0), "{file}");
    }
    scene.ca.launch();
    scene.ca.run(&["check"]).succeeded();
    assert_says(&scene.ca.run(&["audit", "--verify"]).succeeded().stdout, &["whole"]);
    assert_eq!(client.wire.handshake().unwrap().0, own, "its TLS key came along");
    let chain = client.obtain(&["acme.com"], &responder);
    assert_trusted_by_webpki(&chain, &scene.issuer.root_pem, "acme.com");
    assert!(crl_number(&scene.complete_crl()) > last_before, "CRL numbers go on");
}

/// What was given out after the backup, and is forgotten, is not given to somebody else.
#[test]
fn no_id_is_given_out_twice() {
    for with_others in [false, true] {
        no_id_is_given_out_twice_among(with_others);
    }
}

fn no_id_is_given_out_twice_among(with_others: bool) {
    let mut scene = Scene::new();
    if with_others {
        scene.ca.client(&scene.issuer).order(&["acme.com"]);
    }
    scene.backup(&["--with-fragments"]);
    let forgotten = scene.ca.client(&scene.issuer);
    let order = forgotten.order(&["acme.com"]);
    scene.lose_machine();
    scene.restore(&[]).succeeded();
    scene.ca.launch();
    let somebody = scene.ca.client(&scene.issuer);
    assert_ne!(somebody.account, forgotten.account);
    assert_ne!(somebody.order(&["acme.com"]).url, order.url);
    forgotten.fetch(&order.url).problem(400, "accountDoesNotExist");
}

#[test]
fn fragments_go_back_to_the_places_that_are_named() {
    let mut scene = Scene::new();
    scene.backup(&["--with-fragments"]);
    scene.lose_machine();
    let (one, two) = (scene.ca.place.make_directory("one"), scene.ca.place.make_directory("two"));
    let whole = std::fs::read(scene.ca.place.file("backup.tar")).unwrap();
    let flags = ["--fragment-dir", one.to_str().unwrap(), "--fragment-dir", two.to_str().unwrap()];
    scene.ca.place.write("backup.tar", &whole[..whole.len() - 1]);
    scene.restore(&flags).refused();
    let count = |directory: &PathBuf| std::fs::read_dir(directory).unwrap().count();
    assert_eq!((count(&one), count(&two)), (0, 0), "of an archive that is not whole nothing stays anywhere");
    scene.ca.place.write("backup.tar", &whole);
    assert_eq!(scene.restore(&flags).succeeded().json()["warnings"], json!([]));
    assert_eq!((count(&one), count(&two), count(&scene.ca.state_dir().join("fragments"))), (2, 2, 2));
    scene.ca.add_flags(&flags);
    scene.ca.launch();
    scene.ca.run(&["check"]).succeeded();
}

#[test]
fn without_the_later_state_the_published_crl_tells_what_was_revoked() {
    let mut scene = Scene::new();
    let client = scene.ca.unchallenged_client(&scene.issuer, "acme.com");
    let early = scene.issue(&client);
    scene.backup(&["--with-fragments"]);
    let late = scene.issue(&client);
    scene.revoke(&early);
    scene.revoke(&late);
    let published = scene.complete_crl();
    scene.ca.place.write("published.crl", &published);
    scene.ca.place.write("shard.crl", scene.ca.fetch(&shard_path(&early)).expect(200).body);
    let stranger = Ca::start();
    stranger.make_issuer_with("acme.com", &CHECKED);
    let foreign = stranger.fetch(&format!("/crl/{}.crl", stranger.key_identifier(SIGNER_KEY))).expect(200).body;
    scene.ca.place.write("foreign.crl", foreign);
    let mut forged = published.clone();
    let serial = unhex(&serial_of(&early));
    let at = forged.windows(serial.len()).position(|bytes| bytes == serial).unwrap();
    forged[at + 3] ^= 1;
    scene.ca.place.write("forged.crl", forged);

    scene.lose_machine();
    for (list, words) in [
        ("foreign.crl", &["foreign.crl", "signature is not by this key"][..]),
        ("forged.crl", &["forged.crl", "signature is not by this key"]),
        ("shard.crl", &["shard.crl", "part only"]),
        ("nothing.crl", &["nothing.crl", "cannot be read"]),
    ] {
        assert_says(&scene.restore(&["--crl", list]).refused(), words);
        assert!(!scene.ca.state_dir().join("certwright.db").exists(), "{list}: nothing was changed");
    }
    let url = serve_once(&scene.ca, published.clone());
    let told = scene.restore(&["--crl", &url]).succeeded().json();
    assert_eq!(told["listed_revocations"], 2, "{told}");
    scene.ca.launch();
    scene.ca.run(&["check"]).succeeded();
    let crl = scene.complete_crl();
    assert!(crl_number(&crl) > crl_number(&published));
    let shard = scene.ca.fetch(&shard_path(&early)).expect(200).body;
    for revoked in [&early, &late] {
        assert!(lists(&crl, &serial_of(revoked)) && lists(&shard, &serial_of(revoked)));
    }
}

/// A web server that still has the list.
fn serve_once(ca: &Ca, body: Vec<u8>) -> String {
    let listener = TcpListener::bind((ca.place.address, 0)).unwrap();
    let url = format!("http://{}/complete.crl", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let asked =
            BufReader::new(stream.try_clone().unwrap()).lines().take_while(|line| !line.as_ref().unwrap().is_empty());
        assert!(asked.count() > 0);
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len()).unwrap();
        stream.write_all(&body).unwrap();
    });
    url
}

#[test]
fn accounts_are_held_where_that_is_asked_for_and_let_go_one_by_one() {
    let mut scene = Scene::new();
    let client = scene.ca.unchallenged_client(&scene.issuer, "acme.com");
    scene.backup(&["--with-fragments"]);
    scene.lose_machine();
    let told = scene.restore(&["--suspend-accounts"]).succeeded().json();
    assert_eq!(told["held_accounts"], 1);
    scene.ca.launch();
    let said = client.ask_for(&["acme.com"]).problem(429, "rateLimited");
    assert_says(&said, &["administrator"]);
    assert_eq!(scene.accounts(), [(id_of(&client), "valid".to_string())], "it is held, not ended");
    let id = id_of(&client);
    let set = ["set-limits", "--cert-issuer-name", ISSUER, "--acme-account-id", &id];
    let lifted = ["--pending-orders", "0", "--pending-authorizations", "0", "--certificates-per-week", "0"];
    scene.ca.run(&[&set[..], &lifted].concat()).succeeded();
    scene.issue(&client);
}

#[test]
fn people_are_told_what_nothing_tells_and_what_to_do() {
    let mut scene = Scene::new();
    let mut client = scene.issuer.client(AccountKey::es256());
    let eab = scene.ca.make_eab(&scene.issuer);
    let binding = client.binding(&eab, "HS256", &ring::hmac::HMAC_SHA256);
    client.register_with(&json!({"contact": ["mailto:ann@acme.com"], "externalAccountBinding": binding})).expect(201);
    scene.backup(&["--with-fragments"]);
    scene.lose_machine();
    let state = scene.ca.state_dir();
    let said = scene.ca.run(&["restore", "--from", "backup.tar", "--state-dir", state.to_str().unwrap()]).succeeded();
    assert_eq!(said.stderr, "");
    let account = format!("account {} of {ISSUER} (mailto:ann@acme.com)", id_of(&client));
    for words in [
        &["as it was at 20", "Withdrawn: 0"][..],
        &["certificates that were issued after", "revoke-certificate --serial-number", "--not-after"],
        &["what was revoked after", "--crl"],
        &[&account, "--suspend-accounts"],
    ] {
        assert_says(&said.stdout, words);
    }
}

#[test]
fn fragments_that_do_not_fit_are_named_and_those_that_come_later_are_found() {
    let mut scene = Scene::new();
    scene.backup(&[]);
    let fragments: Vec<(std::ffi::OsString, Vec<u8>)> = std::fs::read_dir(scene.ca.state_dir().join("fragments"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name(), std::fs::read(entry.path()).unwrap()))
        .collect();
    scene.lose_machine();
    let told = scene.restore(&[]).succeeded().json();
    let warnings = told["warnings"].to_string();
    assert_says(&warnings, &[SIGNER_KEY, "fragment 1 of 3", "missing", scene.ca.state_dir().to_str().unwrap()]);
    scene.ca.launch();
    // Without its key it cannot sign a list, and one of the backup's day would say less than what was published since.
    let list = format!("/crl/{}.crl", scene.ca.key_identifier(SIGNER_KEY));
    assert_eq!(scene.ca.fetch(&list).status, 404);
    assert!(scene.ca.stop().success());
    for (name, content) in fragments {
        let path = scene.ca.state_dir().join("fragments").join(name);
        std::fs::write(&path, content).unwrap();
        std::os::unix::fs::chown(&path, Some(crate::world::place::NOBODY), None).unwrap();
    }
    scene.ca.launch();
    scene.ca.run(&["check"]).succeeded();
    scene.complete_crl();
    // The daemon's TLS key was not in the backup, and is made anew.
    let client = scene.ca.unchallenged_client(&scene.issuer, "acme.com");
    assert_trusted_by_webpki(&scene.issue(&client), &scene.issuer.root_pem, "acme.com");
}

#[test]
fn what_is_no_whole_backup_or_comes_at_the_wrong_time_changes_nothing() {
    let mut scene = Scene::new();
    scene.backup(&["--with-fragments"]);
    assert_says(&scene.restore(&[]).refused(), &["running", "stop it"]);
    let described = scene.ca.describe(ISSUER);
    assert!(scene.ca.stop().success());
    let whole = std::fs::read(scene.ca.place.file("backup.tar")).unwrap();
    let mut altered = whole.clone();
    altered[whole.len() / 2] ^= 1;
    for (content, words) in [
        (&whole[..whole.len() - 1], &["backup.tar", "too early"][..]),
        (&whole[..whole.len() / 2], &["too early"]),
        (&whole[..0], &["too early"]),
        (&altered, &["altered"]),
        (&[b'x'; 4096], &["no backup"]),
    ] {
        scene.ca.place.write("backup.tar", content);
        assert_says(&scene.restore(&[]).refused(), words);
    }
    let beside: Vec<String> = std::fs::read_dir(scene.ca.place.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("state."))
        .collect();
    assert!(beside.is_empty(), "what was half unpacked is gone: {beside:?}");
    scene.ca.launch();
    assert_eq!(scene.ca.describe(ISSUER), described);
    scene.ca.run(&["check"]).succeeded();
}

/// Killed at any moment it leaves what was before or what is wanted, and the next one comes to its end.
#[test]
fn a_restore_that_is_killed_leaves_one_state_or_the_other() {
    let mut scene = Scene::new();
    scene.backup(&["--with-fragments"]);
    scene.ca.make_signer_key("/Late");
    assert!(scene.ca.stop().success());
    let state = scene.ca.state_dir();
    let state = state.to_str().unwrap();
    let restore = ["restore", "--from", "backup.tar", "--state-dir", state];
    let start = Instant::now();
    scene.ca.run(&restore).succeeded();
    let (whole, steps) = (start.elapsed(), 12);
    let mut killed = 0;
    for step in 0..steps {
        let mut child = scene.ca.command(&restore).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(whole * step / steps);
        child.kill().unwrap();
        killed += usize::from(!child.wait().unwrap().success());
        scene.ca.run(&["check", "--offline", "--state-dir", state]).succeeded();
    }
    assert!(killed > 3, "hardly one of them was killed before its end");
    let told = scene.restore(&[]).succeeded().json();
    let beside = std::fs::read_dir(scene.ca.place.path()).unwrap().map(|e| e.unwrap().file_name());
    let left = beside.filter(|name| name.to_str().unwrap().starts_with("state.restoring-")).count();
    let told = told["warnings"].as_array().unwrap().iter().filter(|w| w.to_string().contains("look into it")).count();
    assert_eq!(told, left, "each that was left is named");
    scene.ca.launch();
    scene.ca.run(&["check"]).succeeded();
}

#[test]
fn a_backup_of_a_newer_certwright_is_refused_in_one_sentence() {
    let mut scene = Scene::new();
    scene.ca.tamper("PRAGMA user_version = 999");
    scene.backup(&["--with-fragments"]);
    scene.lose_machine();
    assert_says(&scene.restore(&[]).refused(), &["the backup", "schema 999", "newer than this certwright"]);
    assert!(!scene.ca.state_dir().join("certwright.db").exists());
}
