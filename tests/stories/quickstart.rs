//! Trying it out: one command, one line pasted into a second terminal, one certificate.

use crate::world::binary::{self, certwright, unprivileged_certwright};
use crate::world::judges::assert_trusted;
use crate::world::outcome::{Outcome, assert_says};
use crate::world::patience::{eventually, seconds};
use crate::world::place::{NOBODY, Place, running_as_root};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

#[test]
fn the_printed_line_gets_a_certificate_as_it_stands() {
    let place = Place::new();
    let first = Quickstart::start(&place, SocketAddr::from((place.address, 0)));
    let said = first.said();
    assert_says(&said, &["trying", "/directory"]);
    let root = first.printed_root();

    // The second terminal: the same directory, an ordinary person, nothing else.
    in_second_terminal(&place, &first.printed_certbot_line()).succeeded();
    let chain = std::fs::read_to_string(only_live_chain(&place)).unwrap();
    let name = only_live_chain(&place).parent().unwrap().file_name().unwrap().to_str().unwrap().to_string();
    assert!(name.ends_with(".localhost"), "{name}");
    assert_trusted(&place, &root, &chain, &name);

    let socket = said.lines().find(|line| line.contains("CERTWRIGHT_ADMIN_SOCKET=")).expect("the line for the socket");
    let status = in_second_terminal(&place, &format!("{}\ncertwright status --json", socket.trim())).succeeded().json();
    assert_eq!(status["issuers"].as_array().unwrap().len(), 1);

    let listen: SocketAddr = status["listen"].as_str().unwrap().parse().unwrap();
    first.end();
    let second = Quickstart::start(&place, listen);
    assert_eq!(second.printed_root(), root, "a second run resumes");
    let again = format!("{} --force-renewal", second.printed_certbot_line());
    in_second_terminal(&place, &again).succeeded();
    second.end();
}

#[test]
fn a_busy_port_is_named() {
    let place = Place::new();
    let taken = TcpListener::bind((place.address, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let output = command(&place, taken.local_addr().unwrap()).stdin(Stdio::null()).output().unwrap();
    let outcome = Outcome::new("certwright quickstart", output);
    assert_eq!(outcome.status, Some(1), "{}", outcome.seen());
    assert_says(&outcome.stderr, &[&port.to_string(), "in use"]);
}

#[test]
fn quickstart_belongs_to_the_map_of_commands() {
    let help = Outcome::new("certwright --help", certwright().arg("--help").output().unwrap()).succeeded();
    assert_says(&help.seen(), &["quickstart", "serve", "create-dfc-key"]);
}

struct Quickstart {
    child: Child,
    stdout: PathBuf,
}

impl Quickstart {
    fn start(place: &Place, listen: SocketAddr) -> Quickstart {
        let stdout = place.file("quickstart.out");
        let log = File::create(place.file("quickstart.err")).unwrap();
        let mut command = command(place, listen);
        command.stdin(Stdio::null()).stdout(File::create(&stdout).unwrap()).stderr(log);
        let mut quickstart = Quickstart { child: command.spawn().unwrap(), stdout };
        eventually("quickstart prints its certbot line", seconds(60), || {
            if let Some(ended) = quickstart.child.try_wait().unwrap() {
                let log = std::fs::read_to_string(place.file("quickstart.err")).unwrap();
                panic!("quickstart ended by itself: {ended}\n{}\n{log}", quickstart.said());
            }
            quickstart.said().contains("certbot certonly").then_some(())
        });
        quickstart
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.stdout).unwrap()
    }

    fn printed_certbot_line(&self) -> String {
        first_line_of(&self.said())
    }

    /// The root certificate, read from the path that was printed.
    fn printed_root(&self) -> String {
        let said = self.said();
        let directory = self.stdout.parent().unwrap();
        let mut paths = said.split_whitespace().filter(|word| word.ends_with(".pem"));
        let path = paths.next().unwrap_or_else(|| panic!("no path of a root certificate in {said}"));
        std::fs::read_to_string(directory.join(path)).unwrap()
    }

    fn end(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let ended = eventually("quickstart ends", seconds(10), || self.child.try_wait().unwrap());
        assert!(ended.success());
    }
}

impl Drop for Quickstart {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The one line with the whole certbot command.
fn first_line_of(said: &str) -> String {
    let line = said.lines().find(|line| line.contains("certbot certonly")).expect("a certbot line");
    line.trim().to_string()
}

fn command(place: &Place, listen: SocketAddr) -> Command {
    let mut command = unprivileged_certwright(&[]);
    let plain = SocketAddr::from((place.address, 0));
    command.current_dir(place.path()).arg("quickstart");
    command.args(["--listen", &listen.to_string(), "--plain-listen", &plain.to_string()]);
    command.args(["--http-01-port", &free_everywhere().to_string()]);
    command
}

/// certbot's printed line names no address, so it binds the port on all of them.
fn free_everywhere() -> u16 {
    TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap().local_addr().unwrap().port()
}

fn in_second_terminal(place: &Place, script: &str) -> Outcome {
    let mut command = Command::new("/usr/bin/setpriv");
    if running_as_root() {
        command.args(["--reuid", &NOBODY.to_string(), "--regid", &NOBODY.to_string(), "--clear-groups"]);
    }
    command.args(["--", "/bin/sh", "-c", script]).current_dir(place.path()).stdin(Stdio::null());
    command.env_clear().env("HOME", place.path());
    command.env("PATH", format!("{}:/usr/bin:/bin", binary::directory().display()));
    Outcome::new(script, command.output().unwrap())
}

fn only_live_chain(place: &Place) -> PathBuf {
    let mut found = Vec::new();
    find_chains(&place.file("certwright-data"), &mut found);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

fn find_chains(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            find_chains(&path, found);
        } else if path.ends_with("fullchain.pem") && path.components().any(|part| part.as_os_str() == "live") {
            found.push(path);
        }
    }
}
