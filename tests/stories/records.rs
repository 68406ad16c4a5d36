//! What happened, for whoever asks later: the audit log, its chain of hashes, events, blocked keys, fragments.

use crate::world::csr::Csr;
use crate::world::daemon::Ca;
use crate::world::hex::hex;
use crate::world::issuer::{CERTIFICATES, SIGNER_KEY, text};
use crate::world::openssl::openssl;
use crate::world::outcome::assert_says;
use crate::world::patience::{eventually, seconds};
use crate::world::responder::Responder;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;

fn rows(ca: &Ca, flags: &[&str]) -> Vec<Value> {
    let reply = ca.run(&[&["audit", "--json"][..], flags].concat()).succeeded().json();
    reply["rows"].as_array().unwrap().clone()
}

#[test]
fn the_audit_log_is_read_filtered_followed_and_verified() {
    let ca = Ca::start();
    let mut follower = ca.command(&["audit", "--follow"]).stdout(Stdio::piped()).spawn().unwrap();
    let issuer = ca.make_issuer("acme.com");
    let client = ca.client(&issuer);
    client.obtain(&["acme.com"], &Responder::start(ca.place.address, ca.http_01_port));
    ca.run(&["set-item-state", "-n", "/Nothing", "--desired-state", "Disabled"]).refused();
    ca.run(&["revoke-certificate", "-n", &format!("{CERTIFICATES}/acme.com")]).succeeded();

    let all = rows(&ca, &[]);
    let secret = ca.make_eab(&issuer).mac_key;
    assert!(!rows(&ca, &[]).iter().any(|row| row.to_string().contains(&secret)), "no secret is ever in it");
    let actions: Vec<&str> = all.iter().map(|row| row["action"].as_str().unwrap()).collect();
    for action in [
        "create-dfc-key",
        "create-pki-cert-issuer",
        "generate-acme-eab",
        "newAccount",
        "finalize",
        "revoke-certificate",
    ] {
        assert!(actions.contains(&action), "{action} in {actions:?}");
    }
    let finalized = rows(&ca, &["--action", "finalize"]);
    assert_eq!(finalized.len(), 1);
    assert!(text(&finalized[0], "actor").starts_with("account ") && text(&finalized[0], "detail").contains("acme.com"));
    assert!(finalized[0]["address"].is_string(), "who asked, from where");
    let refused = rows(&ca, &["--outcome", "refused"]);
    assert_eq!((refused.len(), text(&refused[0], "object")), (1, "/Nothing".to_string()));
    assert_eq!(rows(&ca, &["--since", "1h", "--limit", "2"]).len(), 2);
    assert_eq!(rows(&ca, &["--since", "2099-01-01T00:00:00Z"]).len(), 0);
    assert_says(&ca.run(&["audit", "--outcome", "maybe"]).refused(), &["--outcome"]);

    let mut followed = BufReader::new(follower.stdout.take().unwrap()).lines();
    let line = followed.find(|line| line.as_ref().unwrap().contains("revoke-certificate")).unwrap().unwrap();
    assert_says(&line, &["uid ", "done", "serial "]);
    follower.kill().unwrap();
    follower.wait().unwrap();
    assert_says(&ca.run(&["audit", "--verify"]).succeeded().stdout, &["whole", &format!("{} rows", all.len() + 1)]);
}

#[test]
fn a_log_that_was_changed_from_outside_says_so() {
    let mut ca = Ca::start();
    ca.make_issuer("acme.com");
    let all = rows(&ca, &[]);
    let (first, third) = (text(&all[0], "at"), text(&all[2], "at"));
    let database = ca.state_dir().join("certwright.db");
    assert!(ca.stop().success());
    let untouched = std::fs::read(&database).unwrap();
    for (how, words) in [
        ("DROP TRIGGER audit_is_never_changed; UPDATE audit SET object = '/Other' WHERE id = 1", ["row 1", &first]),
        ("DROP TRIGGER audit_is_kept; DELETE FROM audit WHERE id = 2", ["row 3", &third]),
        (
            "DROP TRIGGER audit_is_kept; DELETE FROM audit WHERE id = (SELECT max(id) FROM audit)",
            ["the audit log ends at row", "its end was removed"],
        ),
    ] {
        std::fs::write(&database, &untouched).unwrap();
        ca.tamper(how);
        ca.launch();
        for command in [&["audit", "--verify"][..], &["check"]] {
            assert_says(&ca.run(command).refused(), &words);
        }
        assert!(ca.stop().success());
    }
}

#[test]
fn events_reach_a_program_and_a_url_late_rather_than_never() {
    let mut ca = Ca::planned(&["--validation-allow", "127.0.0.0/8"]);
    let told = ca.place.write("told", "");
    ca.place.make_readable("told");
    // It does not know yet what to do.
    let program = ca.place.write("tell", "#!/bin/sh\ncat > /dev/null\nexit 1\n");
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&told, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    // Nobody listens at the URL yet.
    let address = SocketAddr::from((ca.place.address, ca.place.free_port()));
    ca.add_flags(&["--event-command", program.to_str().unwrap(), "--event-url", &format!("http://{address}/hook")]);
    ca.launch();
    ca.make_issuer("acme.com");
    eventually("the daemon says that the program failed", seconds(20), || {
        ca.log().contains("--event-command").then_some(())
    });
    let better = ca.place.write("better", format!("#!/bin/sh\ncat >> {}\n", told.display()));
    std::fs::set_permissions(&better, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::rename(better, &program).unwrap();
    let heard = eventually("the program hears of the issuer", seconds(20), || {
        let text = std::fs::read_to_string(&told).unwrap();
        text.contains("create-pki-cert-issuer").then_some(text)
    });
    let events: Vec<Value> = heard.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let created = events.iter().find(|event| event["action"] == "create-pki-cert-issuer").unwrap();
    assert_eq!((text(created, "event"), text(created, "outcome")), ("administration".into(), "done".into()));
    assert!(events.iter().any(|event| event["event"] == "issuance"), "the daemon's own certificate: {heard}");

    eventually("the daemon says that nobody listens", seconds(20), || ca.log().contains("--event-url").then_some(()));
    let listener = TcpListener::bind(address).unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut actions = Vec::new();
    while !actions.contains(&"create-pki-cert-issuer".to_string()) {
        let (mut stream, _) = eventually("the daemon posts", seconds(60), || listener.accept().ok());
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(seconds(60))).unwrap();
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        assert!(head.starts_with("post /hook http/1.1") && head.contains("content-type: application/json"), "{head}");
        let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap();
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        actions.push(text(&serde_json::from_slice::<Value>(&body).unwrap(), "action"));
        stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
    }
}

#[test]
fn keys_that_a_file_lists_get_nothing_until_they_are_listed_no_more() {
    let mut ca = Ca::planned(&["--validation-allow", "127.0.0.0/8"]);
    let [csr, compromised] = [(); 2].map(|()| Csr::for_names(&["acme.com"]));
    let [listed, both] = [&csr, &compromised].map(|csr| key_hash(&ca, csr));
    let list = ca.place.write("blocked", format!("# known weak\n{}\n", listed.to_uppercase()));
    ca.place.make_readable("blocked");
    ca.add_flags(&["--blocked-keys", list.to_str().unwrap()]);
    ca.launch();
    let issuer = ca.make_issuer("acme.com");
    let client = ca.client(&issuer);
    let responder = Responder::start(ca.place.address, ca.http_01_port);
    let order = client.ready_order(&["acme.com"], &responder);
    client.finalize(&order, &csr).problem(400, "badPublicKey");
    // Another key is compromised, and then listed as well.
    client.finalize(&order, &compromised).expect(200);
    let revoke = ["revoke-certificate", "-n", &format!("{CERTIFICATES}/acme.com"), "--reason", "keyCompromise"];
    ca.run(&revoke).succeeded();
    ca.place.write("blocked", format!("{listed}\n{both}\n"));
    ca.restart();
    ca.place.write("blocked", "# nothing\n");
    ca.restart();
    let order = client.ready_order(&["acme.com"], &responder);
    client.finalize(&order, &compromised).problem(400, "badPublicKey");
    client.finalize(&order, &csr).expect(200);
    assert!(ca.stop().success());
    ca.place.write("blocked", "zz\n");
    let output = ca.serve_command().output().unwrap();
    assert_says(&String::from_utf8_lossy(&output.stderr), &["--blocked-keys", "line 1"]);
}

/// SHA-256 of the SubjectPublicKeyInfo in a request.
fn key_hash(ca: &Ca, csr: &Csr) -> String {
    ca.place.write("request.der", &csr.der);
    let extract = ["req", "-inform", "DER", "-in", "request.der", "-noout", "-pubkey", "-out", "public.pem"];
    openssl(&ca.place, &extract).succeeded();
    openssl(&ca.place, &["pkey", "-pubin", "-in", "public.pem", "-outform", "DER", "-out", "public.der"]).succeeded();
    let hash = ring::digest::digest(&ring::digest::SHA256, &std::fs::read(ca.place.file("public.der")).unwrap());
    hex(hash.as_ref())
}

#[test]
fn fragments_are_changed_while_the_key_stays_and_one_can_be_taken_away() {
    let mut ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let files = |ca: &Ca| -> Vec<String> {
        let key =
            ca.query("SELECT fragments FROM key_versions WHERE key = (SELECT id FROM items WHERE kind = 'DFC_KEY')");
        let entries = std::fs::read_dir(ca.state_dir().join("fragments")).unwrap();
        let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
        let prefix = key.trim().split('-').next().unwrap().to_string();
        let mut names: Vec<String> = names.filter(|name| name.starts_with(&prefix)).collect();
        names.sort();
        names
    };
    let fragment = |name: &String| ca.state_dir().join("fragments").join(name);
    let shares = |names: &[String]| -> Vec<String> {
        let texts = names.iter().map(|name| std::fs::read_to_string(fragment(name)).unwrap());
        texts.map(|text| text.lines().find(|line| line.starts_with("share ")).unwrap().to_string()).collect()
    };
    let before = files(&ca);
    assert_eq!(before.len(), 3);
    let old = shares(&before);
    ca.run(&["refresh-key", "-n", SIGNER_KEY]).succeeded();
    let after = files(&ca);
    assert_eq!(after.len(), 3);
    assert!(shares(&after).iter().all(|share| !old.contains(share)), "each share is another number");
    assert!(before.iter().all(|name| !after.contains(name)), "{before:?} {after:?}");
    let kek = |names: &[String]| names[0].split('-').next().unwrap().to_string();
    assert_eq!(kek(&before), kek(&after), "the key-encryption key stays, so that they open earlier backups");
    ca.restart();
    let responder = Responder::start(ca.place.address, ca.http_01_port);
    ca.client(&issuer).obtain(&["acme.com"], &responder);

    ca.run(&["backup", "--to", "orphan.tar"]).succeeded();
    let made = text(&rows(&ca, &["--action", "backup"])[0], "at");
    let said = ca.run(&["refresh-key", "-n", SIGNER_KEY, "--new-kek"]).succeeded();
    assert_says(&said.stderr, &["no earlier backup", &made, "make a new backup"]);
    assert_ne!(kek(&files(&ca)), kek(&after));

    let nowhere = ["refresh-key", "-n", SIGNER_KEY, "--export-fragment", "nowhere/safe"];
    let refused = ca.run(&nowhere).refused();
    assert_says(&refused, &["nowhere/safe", "still with the daemon"]);
    assert!(!refused.contains("share"), "no secret on a terminal: {refused}");
    assert_eq!(files(&ca).len(), 3, "what was not written down was not forgotten");
    ca.run(&["refresh-key", "-n", SIGNER_KEY, "--export-fragment", "safe"]).succeeded();
    let safe = ca.place.file("safe");
    let held = std::fs::read_to_string(&safe).unwrap();
    assert!(held.starts_with("certwright key fragment"));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&safe).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(files(&ca).len(), 2);
    ca.restart();
    assert_says(&ca.run(&["check"]).refused(), &["fragment 3 of 3", "missing"]);
    // systemd's LoadCredential gives it back.
    assert!(ca.stop().success());
    let credentials = ca.place.make_directory("credentials");
    let name = format!("{}.3-of-3.fragment", files(&ca)[0].split('.').next().unwrap());
    std::fs::write(credentials.join(&name), held).unwrap();
    ca.launch_with(|command| {
        command.env("CREDENTIALS_DIRECTORY", &credentials);
    });
    ca.run(&["check"]).succeeded();
    ca.client(&issuer).obtain(&["acme.com"], &responder);
}

#[test]
fn the_fragments_of_now_open_the_database_of_before() {
    let mut ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    assert!(ca.stop().success());
    let database = ca.state_dir().join("certwright.db");
    let log = std::fs::metadata(ca.state_dir().join("certwright.db-wal"));
    assert_eq!(log.map_or(0, |log| log.len()), 0, "after a clean stop the file is everything");
    let backup = std::fs::read(&database).unwrap();
    ca.launch();
    ca.run(&["refresh-key", "-n", SIGNER_KEY]).succeeded();
    assert!(ca.stop().success());
    std::fs::write(&database, backup).unwrap();
    for _ in 0..2 {
        // Twice, since a start that removed them would only be noticed by the next.
        ca.launch();
        ca.run(&["check"]).succeeded();
        assert!(ca.stop().success());
    }
    ca.launch();
    let responder = Responder::start(ca.place.address, ca.http_01_port);
    ca.client(&issuer).obtain(&["acme.com"], &responder);
}
