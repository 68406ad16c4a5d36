//! The daemon as a service: what systemd hears of it, and when its watchdog hears nothing any more.

use crate::world::daemon::Ca;
use crate::world::faults::Faults;
use crate::world::manager::Manager;
use crate::world::outcome::assert_says;
use crate::world::patience::{Over, eventually, seconds};
use crate::world::plain;
use rustix::process::Signal;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Of this a sixth passes between two looks.
const WATCHDOG: &str = "3000000";
/// Half of it: systemd asks for a sign of life by then (sd_watchdog_enabled(3)).
const PACE: Duration = Duration::from_millis(1_500);
/// Ten times what passes between two signs of life.
const SILENCE: Duration = Duration::from_secs(6);
/// A third of what the unit's WatchdogSec= allows.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

#[test]
fn systemd_hears_of_the_start_a_reload_and_the_end() {
    for manager_of in [Manager::of, Manager::abstract_of] {
        let mut ca = Ca::planned(&[]);
        let manager = manager_of(&mut ca);
        let port = ca.place.free_port();
        ca.plain_listen = (ca.place.address, port).into();
        std::thread::scope(|scope| {
            let (manager, door) = (&manager, ca.plain_listen);
            let listening = scope.spawn(move || {
                let status = manager.await_word("STATUS=");
                assert_says(&status, &["database"]);
                let ready = manager.await_word("READY=1");
                // Not a moment later.
                let reply = plain::ask(door, "GET", "/ca/none.pem", &[], b"").unwrap();
                (ready, reply.status)
            });
            ca.launch();
            let (ready, status) = listening.join().unwrap();
            assert_eq!(status, 404);
            assert_says(&ready, &["\nSTATUS=", &ca.listen.to_string(), &ca.plain_listen.to_string()]);
        });
        ca.signal(Signal::HUP);
        assert_eq!(manager.hear(seconds(10)).as_deref(), Some("RELOADING=1"));
        manager.await_word("READY=1");
        assert!(ca.stop().success());
        manager.await_word("STOPPING=1");
        assert_eq!(manager.hear(Duration::from_millis(1)), None, "nobody asked for signs of life");
    }
}

#[test]
fn a_start_that_fails_is_never_ready_and_says_why() {
    let mut ca = Ca::planned(&[]);
    let manager = Manager::of(&mut ca);
    ca.launch();
    manager.await_word("READY=1");
    // On the same state directory.
    let output = ca.serve_command().stdin(Stdio::null()).output().unwrap();
    assert!(!output.status.success());
    let mut heard = Vec::new();
    while let Some(word) = manager.hear(Duration::from_millis(1)) {
        heard.push(word);
    }
    assert!(!heard.iter().any(|word| word.contains("READY")), "{heard:?}");
    assert_says(heard.last().unwrap(), &["STATUS=", ca.state_dir().to_str().unwrap()]);
}

#[test]
fn an_idle_daemon_and_one_with_a_full_disk_tell_that_they_are_alive() {
    let (mut ca, manager) = watched(&[]);
    let faults = Faults::of(&mut ca);
    ca.launch();
    assert!(manager.shortest_pause(5) < PACE);
    assert!(manager.longest_pause(3) < LONGEST_PAUSE);
    let issuer = ca.make_issuer("acme.com");
    faults.order("enospc 0");
    ca.run(&["generate-acme-eab", "--cert-issuer-name", &issuer.name]).refused();
    assert!(manager.longest_pause(3) < LONGEST_PAUSE);
    assert!(!ca.log().contains("changes are kept again"), "a look writes nothing, so it says nothing about the disk");
}

#[test]
fn a_disk_that_takes_seconds_is_not_taken_for_the_end() {
    let (mut ca, manager) = watched(&["--workers", "4"]);
    let faults = Faults::of(&mut ca);
    ca.launch();
    let issuer = ca.make_issuer("acme.com");
    let eab = ["generate-acme-eab", "--cert-issuer-name", issuer.name.as_str()];
    faults.order("slow 4000");
    let stopping = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _over = Over(&stopping);
        for _ in 0..4 {
            scope.spawn(|| {
                while !stopping.load(Ordering::SeqCst) {
                    ca.run(&eab);
                }
            });
        }
        eventually("a commit is slow", seconds(30), || ca.log().contains("the disk is slow").then_some(()));
        let longest = manager.longest_pause(4);
        faults.order("");
        assert!(longest < LONGEST_PAUSE, "{longest:?}");
    });
}

#[test]
fn a_besieged_daemon_tells_that_it_is_alive() {
    let (mut ca, manager) = watched(&[]);
    ca.set_limit("--nofile=320");
    ca.launch();
    // As many as there are places for, and those who come then have others let go.
    let crowd: Vec<_> = (0..400).filter_map(|_| TcpStream::connect(ca.plain_listen).ok()).collect();
    assert!(manager.longest_pause(3) < LONGEST_PAUSE);
    drop(crowd);
}

#[test]
fn a_daemon_whose_workers_are_always_busy_tells_that_it_is_alive() {
    let (mut ca, manager) = watched(&["--workers", "1"]);
    ca.launch();
    let (address, stopping) = (ca.plain_listen, AtomicBool::new(false));
    let ask_on_and_on = || {
        let mut stream = TcpStream::connect(address).unwrap();
        while !stopping.load(Ordering::SeqCst) {
            stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: ca.lan\r\n\r\n").unwrap();
            let mut reply = Vec::new();
            while !reply.ends_with(b"ok\n") {
                let mut some = [0; 1024];
                let length = stream.read(&mut some).unwrap();
                assert_ne!(length, 0, "{}", String::from_utf8_lossy(&reply));
                reply.extend_from_slice(&some[..length]);
            }
        }
    };
    std::thread::scope(|scope| {
        let _over = Over(&stopping);
        // There is always one that waits.
        (0..12).for_each(|_| drop(scope.spawn(ask_on_and_on)));
        assert!(manager.shortest_pause(5) < PACE);
    });
    assert!(manager.shortest_pause(5) < PACE);
}

#[test]
fn a_writer_that_cannot_have_the_database_is_not_alive() {
    let (mut ca, manager) = watched(&[]);
    ca.launch();
    ca.make_issuer("acme.com");
    assert!(manager.shortest_pause(5) < PACE);
    let lock = DatabaseLock::take(&ca);
    manager.await_silence(SILENCE);
    ca.run(&["status"]).succeeded();
    eventually("the log says who is waited for", seconds(30), || {
        ca.log().contains("the database's writer").then_some(())
    });
    drop(lock);
    manager.longest_pause(1);
}

#[test]
fn a_writer_that_does_not_come_back_from_the_disk_is_not_alive() {
    let (mut ca, manager) = watched(&[]);
    let faults = Faults::of(&mut ca);
    ca.launch();
    let issuer = ca.make_issuer("acme.com");
    assert!(manager.shortest_pause(5) < PACE);
    faults.order("slow 3600000");
    let mut command = ca.command(&["generate-acme-eab", "--cert-issuer-name", &issuer.name]);
    let mut asking = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    manager.await_silence(SILENCE);
    ca.run(&["status"]).succeeded();
    ca.kill();
    asking.wait().unwrap();
}

#[test]
fn a_fragment_directory_that_the_sandbox_keeps_read_only_is_refused_with_what_to_do() {
    let mut ca = Ca::planned(&[]);
    let elsewhere = ca.place.make_directory("elsewhere").canonicalize().unwrap();
    ca.add_flags(&["--fragment-dir", elsewhere.to_str().unwrap()]);
    let faults = Faults::of(&mut ca);
    // Only this place is under faults, as only it lies outside of the service's own directories.
    ca.set_variable("FAULTS_WATCHED", &elsewhere);
    ca.launch();
    let create = ["create-dfc-key", "-n", "/K", "-a", "EC256"];
    faults.order("rofs");
    let drop_in = format!("ReadWritePaths=-{} under [Service]", elsewhere.display());
    assert_says(&ca.run(&create).refused(), &[&drop_in, "systemctl edit certwright"]);
    faults.order("");
    ca.run(&create).succeeded();
}

#[test]
fn whoever_is_not_meant_by_the_watchdog_does_not_feed_it() {
    let mut ca = Ca::planned(&[]);
    let manager = Manager::of(&mut ca);
    ca.set_variable("WATCHDOG_USEC", WATCHDOG);
    ca.set_variable("WATCHDOG_PID", "1");
    ca.launch();
    manager.await_word("READY=1");
    assert_eq!(manager.hear(seconds(3)), None);
}

/// A daemon whose watchdog waits for signs of life.
fn watched(flags: &[&str]) -> (Ca, Manager) {
    let mut ca = Ca::planned(flags);
    let manager = Manager::of(&mut ca);
    ca.set_variable("WATCHDOG_USEC", WATCHDOG);
    (ca, manager)
}

/// Another program that changes the database of a daemon that runs, and takes its time.
struct DatabaseLock(Child);

impl DatabaseLock {
    fn take(ca: &Ca) -> DatabaseLock {
        let script = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30); \
                      db.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.read()";
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-I", "-c", script]).arg(ca.state_dir().join("certwright.db"));
        let mut holder = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "held\n");
        DatabaseLock(holder)
    }
}

impl Drop for DatabaseLock {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
