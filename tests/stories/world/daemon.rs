//! A certificate authority of a story's own: the built binary as a child process, its state, and its DNS.

use super::binary::{certwright, unprivileged_certwright};
use super::dns::Dns;
use super::outcome::Outcome;
use super::patience::{eventually, seconds};
use super::place::Place;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::ffi::OsString;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

pub struct Ca {
    pub place: Place,
    pub dns: Dns,
    /// Where http-01 is asked first, on `place.address`.
    pub http_01_port: u16,
    /// The other configured port that a redirect may go to.
    pub tls_alpn_01_port: u16,
    pub listen: SocketAddr,
    pub plain_listen: SocketAddr,
    flags: Vec<String>,
    /// Beside those that every daemon of a story has.
    variables: Vec<(String, OsString)>,
    limits: Vec<String>,
    child: Option<Child>,
}

impl Ca {
    /// A daemon that may validate on loopback, where everything of a story is.
    pub fn start() -> Ca {
        Ca::start_with(&["--validation-allow", "127.0.0.0/8"])
    }

    pub fn start_with(flags: &[&str]) -> Ca {
        let mut ca = Ca::planned(flags);
        ca.launch();
        ca
    }

    /// Everything but the process.
    pub fn planned(flags: &[&str]) -> Ca {
        let place = Place::new();
        place.make_directory("state");
        place.make_directory("run");
        let listen = SocketAddr::from((place.address, 0));
        let ca = Ca {
            http_01_port: place.free_port(),
            tls_alpn_01_port: place.free_port(),
            dns: Dns::start(),
            listen,
            plain_listen: listen,
            flags: flags.iter().map(ToString::to_string).collect(),
            variables: Vec::new(),
            limits: Vec::new(),
            child: None,
            place,
        };
        ca.dns.point("acme.com", ca.place.address);
        ca
    }

    /// Start the daemon, again where it was before if it ran already, and wait until it answers a command.
    pub fn launch(&mut self) {
        self.launch_with(|_| {});
    }

    pub fn launch_with(&mut self, change: impl FnOnce(&mut Command)) {
        if let Some(ended) = self.launch_or_end(change) {
            panic!("the daemon ended by itself: {ended}");
        }
    }

    /// The same for a daemon that may not be able to start: how it ended, if it did.
    pub fn launch_or_end(&mut self, change: impl FnOnce(&mut Command)) -> Option<ExitStatus> {
        assert!(self.child.is_none(), "it runs already");
        let log = File::options().create(true).append(true).open(self.log_path()).unwrap();
        let mut command = self.serve_command();
        change(&mut command);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut child = command.spawn().unwrap();
        let status = eventually("certwright status answers", seconds(30), || match child.try_wait().unwrap() {
            Some(ended) => Some(Err(ended)),
            None => self.status().map(Ok),
        });
        match status {
            Ok(status) => {
                self.child = Some(child);
                self.listen = address(&status, "listen");
                self.plain_listen = address(&status, "plain_listen");
                None
            }
            Err(ended) => Some(ended),
        }
    }

    /// Further flags for the next start.
    pub fn add_flags(&mut self, flags: &[&str]) {
        self.flags.extend(flags.iter().map(ToString::to_string));
    }

    /// A variable of the environment of every start from now on.
    pub fn set_variable(&mut self, name: &str, value: impl Into<OsString>) {
        self.variables.push((name.to_string(), value.into()));
    }

    /// A limit of every start from now on, as a flag of prlimit(1).
    pub fn set_limit(&mut self, flag: &str) {
        self.limits.push(flag.to_string());
    }

    /// `certwright serve` with this story's flags, not yet running.
    pub fn serve_command(&self) -> Command {
        let mut command = unprivileged_certwright(&self.limits);
        // Everything of its own that it would ever say, so that a story can look for what must not be said.
        command.env("RUST_LOG", "trace,rustls=info").current_dir(self.place.path());
        command.arg("serve");
        command.arg("--state-dir").arg(self.state_dir());
        command.args(["--listen", &self.listen.to_string(), "--plain-listen", &self.plain_listen.to_string()]);
        command.arg("--admin-socket").arg(self.admin_socket());
        command.args(["--dns-server", &self.dns.address.to_string()]);
        command.args(["--http-01-port", &self.http_01_port.to_string()]);
        command.args(["--tls-alpn-01-port", &self.tls_alpn_01_port.to_string()]);
        command.args(&self.flags);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// What `status --json` says, once there is a daemon to say it.
    pub fn status(&self) -> Option<Value> {
        let outcome = self.run(&["status", "--json"]);
        (outcome.status == Some(0)).then(|| outcome.json())
    }

    /// Run a command as a person would, with the socket named in the environment.
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        let output = self.command(arguments).output().unwrap();
        Outcome::new(format!("certwright {}", arguments.join(" ")), output)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = certwright();
        command.env("CERTWRIGHT_ADMIN_SOCKET", self.admin_socket()).current_dir(self.place.path());
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// SIGTERM, and the exit status that follows.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        let child = self.child.as_mut().unwrap();
        let status = eventually("the daemon ends after SIGTERM", seconds(10), || child.try_wait().unwrap());
        self.child = None;
        status
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.child.take().unwrap().wait().unwrap();
    }

    pub fn restart(&mut self) {
        assert!(self.stop().success());
        self.launch();
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().expect("the daemon runs"))
    }

    pub fn state_dir(&self) -> PathBuf {
        self.place.file("state")
    }

    pub fn admin_socket(&self) -> PathBuf {
        self.place.file("run").join("admin.sock")
    }

    /// Everything that the daemon has said so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    fn log_path(&self) -> PathBuf {
        self.place.file("daemon.log")
    }
}

impl Drop for Ca {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- the daemon's log, its end ---\n{}", lines[lines.len().saturating_sub(60)..].join("\n"));
        }
    }
}

/// Is anybody listening there?
pub fn is_taken(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_err()
}

fn address(status: &Value, which: &str) -> SocketAddr {
    let text = status[which].as_str().unwrap_or_else(|| panic!("no {which} in {status}"));
    text.parse().unwrap_or_else(|_| panic!("not an address: {text}"))
}
