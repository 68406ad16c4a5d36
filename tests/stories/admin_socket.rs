//! The admin socket: who may speak to it, what it bears, and what stands beside it.

use crate::world::daemon::Ca;
use crate::world::issuer::Issuer;
use crate::world::openssl_ca::OpensslCa;
use crate::world::outcome::{Outcome, assert_says};
use crate::world::place::{NOBODY, STRANGER};
use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[test]
fn only_its_group_may_speak_to_it() {
    let ca = Ca::start();
    let socket = std::fs::metadata(ca.admin_socket()).unwrap();
    assert!(socket.file_type().is_socket());
    assert_eq!(socket.mode() & 0o7777, 0o660);

    assert_eq!(socket.uid(), NOBODY);
    let sentence = ca.run_as(STRANGER, STRANGER, &["status"]).refused();
    assert_says(&sentence, &[ca.admin_socket().to_str().unwrap(), "may not"]);
}

#[test]
fn its_group_may_administer_and_not_walk_off_with_a_key() {
    let ca = Ca::start();
    let company = OpensslCa::new();
    for (name, content) in [("ca.key", company.read("ca.key")), ("ca.pem", company.root_pem.clone().into_bytes())] {
        std::fs::set_permissions(ca.place.write(name, content), Permissions::from_mode(0o644)).unwrap();
    }
    let member = |arguments: &[&str]| ca.run_as(STRANGER, NOBODY, arguments);
    let create = ["create-dfc-key", "-n", "/K", "-a", "EC256", "--generate-self-signed-certificate"];
    member(&[&create[..], &["--certificate-common-name", "Acme CA", "--certificate-ttl", "30"]].concat()).succeeded();
    member(&["refresh-key", "-n", "/K"]).succeeded();
    let before = ca.describe("/K");
    for command in [
        &["import-signer", "-n", "/Other", "--key-file", "ca.key", "--chain-file", "ca.pem", "--no-former-crl"][..],
        &["rotate-key", "-n", "/K"],
        &["rotate-key", "-n", "/K", "--finish"],
        &["refresh-key", "-n", "/K", "--export-fragment", "mine"],
    ] {
        assert_says(&member(command).refused(), &["root", "sudo"]);
    }
    assert_eq!(ca.describe("/K"), before);
    assert_eq!(ca.item_names("/"), ["/K"]);
    // The daemon's own user may.
    ca.run_as(NOBODY, NOBODY, &["rotate-key", "-n", "/K"]).succeeded();
}

#[test]
fn who_gave_a_command_is_logged() {
    let ca = Ca::start();
    ca.make_issuer("acme.com");
    let log = ca.log();
    let line = log.lines().find(|line| line.contains("create-dfc-key")).expect("the command is in the log");
    assert_says(line, &[&format!("uid={}", rustix::process::geteuid().as_raw())]);
}

#[test]
fn a_second_daemon_on_the_same_state_is_refused_in_one_sentence() {
    let ca = Ca::start();
    let mut second = ca.serve_command();
    // Its last word counts: only the state directory is shared.
    second.env_remove("RUST_LOG").arg("--workers=4").stdin(Stdio::null());
    let sentence = Outcome::new("a second serve", second.output().unwrap()).refused();
    assert_says(&sentence, &[ca.state_dir().to_str().unwrap()]);
    ca.run(&["status", "--json"]).succeeded();
}

#[test]
fn a_socket_path_that_the_kernel_would_cut_is_refused() {
    let mut ca = Ca::planned(&[]);
    let long = format!("{}/{}", ca.place.path().display(), "s".repeat(108 - 1 - ca.place.path().as_os_str().len()));
    assert_eq!(long.len(), 108);
    for arguments in [vec!["status"], vec!["serve", "--state-dir", ca.state_dir().to_str().unwrap()]] {
        let mut command = ca.command(&arguments);
        let outcome =
            Outcome::new("a long path", command.env_clear().args(["--admin-socket", &long]).output().unwrap());
        assert!(matches!(outcome.status, Some(1 | 2)), "{outcome:?}");
        assert_says(&outcome.stderr, &["107", &long]);
        assert_eq!(outcome.stderr.trim().lines().count(), 1, "{}", outcome.stderr);
    }
    ca.launch();
}

#[test]
fn whatever_comes_in_is_answered_or_hung_up_on_and_harms_nobody() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let endless = vec![b'a'; 64 * 1024 * 1024];
    let deep = "[".repeat(100_000) + "\n";
    for (what, bytes) in [
        ("nothing", &b""[..]),
        ("an empty line", b"\n"),
        ("binary", b"\x00\xff\xfe\x16\x03\x01\n"),
        ("no JSON", b"status\n"),
        ("no object", b"[\"status\"]\n"),
        ("an object without a command", b"{}\n"),
        ("an unknown command", b"{\"command\": \"format-disk\"}\n"),
        ("half a line", b"{\"comm"),
        ("a line without end", &endless),
        ("deep nesting", deep.as_bytes()),
    ] {
        let mut socket = UnixStream::connect(ca.admin_socket()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
        // It may hang up in the middle.
        let taken = socket.write_all(bytes);
        assert!(what != "a line without end" || taken.is_err(), "all of it was taken");
        let _ = socket.shutdown(Shutdown::Write);
        let mut reply = Vec::new();
        let end = socket.read_to_end(&mut reply);
        assert!(!matches!(&end, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock), "{what}: left hanging");
        if let Some(line) = reply.split(|byte| *byte == b'\n').next().filter(|line| !line.is_empty()) {
            let reply: serde_json::Value = serde_json::from_slice(line).unwrap_or_else(|_| panic!("{what}: {line:?}"));
            assert!(reply["error"].is_string(), "{what}: {reply}");
        }
    }
    still_well(&ca, &issuer);
}

#[test]
fn silent_connections_do_not_keep_an_administrator_out() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let silent: Vec<UnixStream> = (0..100).map(|_| UnixStream::connect(ca.admin_socket()).unwrap()).collect();
    still_well(&ca, &issuer);
    make_room(&silent);
}

#[test]
fn unfinished_commands_do_not_keep_an_administrator_out() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let mut unfinished: Vec<UnixStream> = Vec::new();
    for round in 0..3 {
        // Twice as many as have a place; whoever was let go comes again.
        for number in 0..128 {
            if unfinished.get_mut(number).is_none_or(|socket| socket.write_all(b"a").is_err()) {
                let mut socket = UnixStream::connect(ca.admin_socket()).unwrap();
                let begun = [&b"{\"command\": \"status"[..], b"\x00\xff\xfe", b"[[[["][number % 3];
                socket.write_all(begun).unwrap();
                match unfinished.get_mut(number) {
                    Some(place) => *place = socket,
                    None => unfinished.push(socket),
                }
            }
        }
        still_well(&ca, &issuer);
        assert_eq!(unfinished.len(), 128, "round {round}");
        make_room(&unfinished);
    }
}

/// Whoever waited longest is let go, so that no number of them takes all descriptors and threads.
fn make_room(waiting: &[UnixStream]) {
    let is_open = |mut socket: &UnixStream| {
        socket.set_nonblocking(true).unwrap();
        let end = socket.read(&mut [0; 64]);
        socket.set_nonblocking(false).unwrap();
        matches!(end, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    };
    crate::world::patience::eventually("the oldest are let go", Duration::from_secs(5), || {
        (waiting.iter().filter(|socket| is_open(socket)).count() <= 64).then_some(())
    });
}

#[test]
fn commands_are_answered_while_clients_keep_every_worker_busy() {
    let ca = Ca::start_with(&["--validation-allow", "127.0.0.0/8", "--workers", "4"]);
    let issuer = ca.make_issuer("acme.com");
    let client = ca.client(&issuer);
    let (over, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let reply = client.ask_for(&["acme.com"]);
                    assert!(matches!(reply.status, 201 | 503), "{reply}");
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let _over = Over(&over);
        crate::world::patience::eventually("the clients are at work", Duration::from_secs(30), || {
            (served.load(Ordering::Relaxed) > 20).then_some(())
        });
        let start = Instant::now();
        for number in 0..5 {
            ca.make_eab(&issuer);
            ca.run(&["create-dfc-key", "--name", &format!("/Busy/{number}"), "--alg", "EC256"]).succeeded();
        }
        assert!(start.elapsed() < Duration::from_secs(10), "ten commands took {:?}", start.elapsed());
    });
}

/// Ends the clients even when the story fails in the middle.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn still_well(ca: &Ca, issuer: &Issuer) {
    let start = Instant::now();
    ca.run(&["status", "--json"]).succeeded();
    ca.make_eab(issuer);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let ca = Ca::planned(&[]);
    let file = ca.place.write("run/admin.sock", "precious");
    let output = ca.serve_command().stdin(std::process::Stdio::null()).output().unwrap();
    let outcome = Outcome::new("certwright serve", output);
    assert_eq!(outcome.status, Some(1), "{}", outcome.seen());
    assert_says(&outcome.stderr, &["admin.sock"]);
    assert_eq!(std::fs::read_to_string(file).unwrap(), "precious");
}
