//! systemd listens, and the daemon comes and goes: whoever connects meanwhile waits, and nobody is refused.

use crate::world::binary::certwright;
use crate::world::csr::Csr;
use crate::world::daemon::Ca;
use crate::world::openssl::openssl;
use crate::world::outcome::{Outcome, assert_says};
use crate::world::patience::{Over, eventually, seconds};
use crate::world::plain::ask;
use rustix::process::{Pid, Signal, kill_process};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Keeps the sockets while daemons come and go, as systemd does: a daemon is begun anew as soon as one ends.
const SUPERVISOR: &str = r#"
while [ ! -e ended ]; do
    sh -c 'export LISTEN_PID=$$; exec "$@"' sh "$@" &
    echo $! > daemon.pid.new && mv daemon.pid.new daemon.pid
    wait $!
done"#;

#[test]
fn a_restart_under_load_refuses_nobody() {
    let activated = Activated::start();
    let ca = &activated.ca;
    let issuer = ca.make_issuer("acme.com");
    let socket = std::fs::metadata(ca.admin_socket()).unwrap();
    let (served, stopping) = (AtomicUsize::new(0), AtomicBool::new(false));
    let again = |act: &dyn Fn()| {
        while !stopping.load(Ordering::SeqCst) {
            act();
            served.fetch_add(1, Ordering::SeqCst);
        }
    };
    let (again, issuer) = (&again, &issuer);
    std::thread::scope(|scope| {
        let _over = Over(&stopping);
        for _ in 0..3 {
            scope.spawn(move || again(&|| assert_eq!(ca.fetch("/ca/none.pem").status, 404)));
            scope.spawn(move || {
                again(&|| assert_eq!(issuer.wire().request("GET", &issuer.directory, &[], b"").status, 200))
            });
        }
        let metrics = activated.metrics;
        scope.spawn(move || again(&|| assert_eq!(ask(metrics, "GET", "/metrics", &[], b"").unwrap().status, 200)));
        scope.spawn(move || again(&|| drop(ca.run(&["status", "--json"]).succeeded())));
        for _ in 0..5 {
            let before = served.load(Ordering::SeqCst);
            eventually("others are served", seconds(30), || {
                (served.load(Ordering::SeqCst) > before + 50).then_some(())
            });
            activated.restart();
        }
    });
    let after = std::fs::metadata(ca.admin_socket()).unwrap();
    assert_eq!(
        (after.ino(), after.mode(), after.uid()),
        (socket.ino(), socket.mode(), socket.uid()),
        "it is systemd's"
    );
}

#[test]
fn certificates_and_people_are_told_of_the_addresses_that_were_passed() {
    let activated = Activated::start();
    let ca = &activated.ca;
    let settings = ca.run(&["config", "--json"]).succeeded().json();
    for (name, address) in [
        ("listen", ca.listen.to_string()),
        ("plain_listen", ca.plain_listen.to_string()),
        ("metrics_listen", activated.metrics.to_string()),
        ("admin_socket", ca.admin_socket().display().to_string()),
    ] {
        assert_eq!(settings[name]["value"], address.as_str(), "{settings}");
        assert_eq!(settings[name]["from"], "systemd", "{settings}");
    }
    let issuer = ca.make_issuer("acme.com");
    let client = ca.unchallenged_client(&issuer, "acme.com");
    let order = client.order(&["acme.com"]);
    client.finalize(&order, &Csr::for_names(&["acme.com"])).expect(200);
    ca.place.write("leaf.pem", client.certificate(&order));
    let said = openssl(&ca.place, &["x509", "-in", "leaf.pem", "-noout", "-text"]).succeeded().stdout;
    assert_says(&said, &[&format!(":{}/crl/", ca.plain_listen.port())]);
}

#[test]
fn programs_that_the_daemon_starts_get_no_socket() {
    let program = r#"#!/bin/sh
cat > /dev/null
ls -l /proc/self/fd > "$(dirname "$0")/state/seen.new" && mv "$(dirname "$0")/state/seen.new" "$(dirname "$0")/state/seen"
"#;
    let activated = Activated::start_with(|ca| {
        let path = ca.place.write("tell", program);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        ca.add_flags(&["--event-command", path.to_str().unwrap()]);
    });
    activated.ca.make_issuer("acme.com");
    let seen = activated.ca.state_dir().join("seen");
    let seen = eventually("an event was told", seconds(30), || std::fs::read_to_string(&seen).ok());
    assert!(seen.contains("/proc") && !seen.contains("socket:"), "{seen}");
}

#[test]
fn a_socket_that_fits_no_flag_is_an_error_that_says_so() {
    for (names, extra, words) in [
        (
            &["listen", "plane-listen"][..],
            &[][..],
            &["plane-listen", "fits no flag", "plain-listen", "FileDescriptorName="][..],
        ),
        (&["listen", "listen"], &[], &["listen", "one too many"]),
        (&["admin"], &[], &["admin", "ListenStream=/PATH"]),
        (&["listen"], &["--datagram"], &["listen", "ListenStream=PORT"]),
        (&["listen"], &["--listen", "127.0.0.1:9"], &["--listen", "127.0.0.1:9", "ListenStream="]),
    ] {
        let ca = Ca::planned(&[]);
        let (of_socket, of_daemon) = extra.split_at(usize::from(extra.first() == Some(&"--datagram")));
        let sockets: Vec<SocketAddr> = names.iter().map(|_| (ca.place.address, ca.place.free_port()).into()).collect();
        let mut command = activate(names, sockets.iter().map(ToString::to_string));
        command.args(of_socket).args(["--", certwright().get_program().to_str().unwrap(), "serve", "--state-dir"]);
        command.arg(ca.state_dir());
        let mut child = command.args(of_daemon).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let _connection = eventually("there is somebody to connect to", seconds(10), || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}");
            reach(sockets[0], !of_socket.is_empty())
        });
        let outcome = Outcome::new(names.join(":"), child.wait_with_output().unwrap());
        let said = outcome.stderr.lines().last().unwrap().to_owned();
        assert!(matches!(outcome.status, Some(1 | 2)), "{said}");
        assert_says(&said, words);
    }
}

/// The first word to a socket, which brings the daemon.
fn reach(address: SocketAddr, is_datagram: bool) -> Option<Box<dyn std::any::Any>> {
    if !is_datagram {
        return Some(Box::new(TcpStream::connect(address).ok()?));
    }
    let socket = std::net::UdpSocket::bind((address.ip(), 0)).unwrap();
    socket.send_to(b"x", address).ok()?;
    socket.set_read_timeout(Some(seconds(1))).unwrap();
    // Nobody answers, but where nobody listens the kernel says so.
    let refused = socket.connect(address).and_then(|()| socket.send(b"x")).and_then(|_| socket.recv(&mut [0]));
    refused.is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock).then(|| Box::new(socket) as _)
}

/// A daemon that is started by the first connection to one of its sockets, which somebody else holds.
struct Activated {
    ca: Ca,
    metrics: SocketAddr,
    supervisor: Child,
}

impl Activated {
    fn start() -> Activated {
        Activated::start_with(|_| {})
    }

    fn start_with(plan: impl FnOnce(&mut Ca)) -> Activated {
        let mut ca = Ca::planned(&[]);
        plan(&mut ca);
        for address in [&mut ca.listen, &mut ca.plain_listen] {
            address.set_port(ca.place.free_port());
        }
        let metrics = SocketAddr::from((ca.place.address, ca.place.free_port()));
        let tcp = [ca.listen, ca.plain_listen, metrics].map(|address| address.to_string());
        let addresses = tcp.into_iter().chain([ca.admin_socket().display().to_string()]);
        let serve = ca.serve_command();
        let mut command = activate(&["listen", "plain-listen", "metrics-listen", "admin"], addresses);
        command.current_dir(ca.place.path()).args(["--", "sh", "-c", SUPERVISOR, "sh"]);
        // As in the unit: where it listens is said by nobody but systemd.
        let mut flags: Vec<_> = serve.get_args().map(|flag| flag.to_str().unwrap()).collect();
        for flag in ["--listen", "--plain-listen", "--admin-socket"] {
            let at = flags.iter().position(|said| *said == flag).unwrap();
            flags.drain(at..at + 2);
        }
        command.arg(serve.get_program()).args(flags);
        let supervisor = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        eventually("the sockets are there", seconds(10), || UnixStream::connect(ca.admin_socket()).ok());
        eventually("the daemon answers", seconds(30), || ca.status());
        Activated { ca, metrics, supervisor }
    }

    fn pid(&self) -> i32 {
        std::fs::read_to_string(self.ca.place.file("daemon.pid")).unwrap().trim().parse().unwrap()
    }

    /// End the daemon politely, and return when it is another process.
    fn restart(&self) {
        let before = self.pid();
        kill_process(Pid::from_raw(before).unwrap(), Signal::TERM).unwrap();
        eventually("another daemon is there", seconds(15), || (self.pid() != before).then_some(()))
    }
}

impl Drop for Activated {
    fn drop(&mut self) {
        std::fs::write(self.ca.place.file("ended"), "").unwrap();
        let _ = self.supervisor.kill();
        let _ = self.supervisor.wait();
    }
}

/// systemd-socket-activate(1) with these names and sockets, dying with the test.
fn activate(names: &[&str], sockets: impl Iterator<Item = String>) -> Command {
    let mut command = Command::new("/usr/bin/setpriv");
    command.args(["--pdeathsig", "KILL", "--", "/usr/bin/systemd-socket-activate"]);
    command.arg(format!("--fdname={}", names.join(":"))).stdin(Stdio::null());
    for socket in sockets {
        command.args(["--listen", &socket]);
    }
    command
}
