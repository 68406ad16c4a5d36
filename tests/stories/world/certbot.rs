//! Debian's certbot, as a person would run it, with everything of it in a story's directory.

use super::binary;
use super::daemon::Ca;
use super::issuer::{Eab, Issuer};
use super::outcome::Outcome;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub struct Certbot {
    home: PathBuf,
    root: PathBuf,
    hosts: String,
    http_01: [String; 2],
    directory: String,
}

impl Certbot {
    pub fn new(ca: &Ca, issuer: &Issuer, name: &str) -> Certbot {
        let home = ca.place.make_directory(name);
        ca.place.make_directory("hosts");
        ca.place.write("hosts/sitecustomize.py", SITECUSTOMIZE_PY);
        Certbot {
            root: ca.place.write("root.pem", &issuer.root_pem),
            hosts: format!("{}={}", issuer.host, ca.listen.ip()),
            http_01: [ca.place.address.to_string(), ca.http_01_port.to_string()],
            directory: issuer.directory.clone(),
            home,
        }
    }

    /// `certbot certonly` as the walk-through has it, for one domain and with an external account.
    pub fn certonly(&self, domain: &str, eab: &Eab) -> Outcome {
        let mut command = self.command();
        command.args(["certonly", "--standalone", "--server", &self.directory, "--domain", domain]);
        command.args(["--eab-kid", &eab.kid, "--eab-hmac-key", &eab.mac_key]);
        self.finish(command, "certbot certonly")
    }

    pub fn register(&self, eab: &Eab) -> Outcome {
        let mut command = self.command();
        command.args(["register", "--server", &self.directory, "--eab-kid", &eab.kid, "--eab-hmac-key", &eab.mac_key]);
        self.finish(command, "certbot register")
    }

    /// `certbot certonly` with the account that it has.
    pub fn certonly_again(&self, domain: &str) -> Outcome {
        let mut command = self.command();
        command.args(["certonly", "--standalone", "--server", &self.directory, "--domain", domain]);
        self.finish(command, "certbot certonly, with its account")
    }

    pub fn renew(&self) -> Outcome {
        let mut command = self.command();
        command.args(["renew", "--force-renewal", "--no-random-sleep-on-renew"]);
        self.finish(command, "certbot renew --force-renewal")
    }

    pub fn live(&self, domain: &str, file: &str) -> String {
        std::fs::read_to_string(self.home.join("config/live").join(domain).join(file)).unwrap()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.home.join("logs/letsencrypt.log")).unwrap()
    }

    pub fn has_certificate(&self, domain: &str) -> bool {
        self.home.join("config/live").join(domain).exists()
    }

    /// What makes certbot find and trust the daemon. No resolver of the machine is asked.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let site = self.home.parent().unwrap().join("hosts");
        vec![
            ("REQUESTS_CA_BUNDLE", self.root.display().to_string()),
            ("PYTHONPATH", site.display().to_string()),
            ("STORY_HOSTS", self.hosts.clone()),
            ("HOME", self.home.display().to_string()),
            ("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", binary::directory().display())),
        ]
    }

    /// What keeps certbot to the story's directory and port, and from asking questions.
    pub fn confinement(&self) -> Vec<String> {
        let [address, port] = self.http_01.clone();
        let directory = |name: &str| self.home.join(name).display().to_string();
        [
            ["--config-dir", &directory("config")].as_slice(),
            &["--work-dir", &directory("work"), "--logs-dir", &directory("logs")],
            &["--http-01-address", &address, "--http-01-port", &port],
            &["--non-interactive", "--agree-tos", "--register-unsafely-without-email"],
        ]
        .concat()
        .iter()
        .map(ToString::to_string)
        .collect()
    }

    pub fn home(&self) -> &Path {
        &self.home
    }

    fn command(&self) -> Command {
        let mut command = Command::new("/usr/bin/certbot");
        command.env_clear().envs(self.environment()).stdin(Stdio::null());
        command
    }

    fn finish(&self, mut command: Command, what: &str) -> Outcome {
        let renewing = what.contains("renew");
        let mut confinement = self.confinement();
        if renewing {
            // The port comes from the renewal's own configuration: what certonly noted down must be enough.
            confinement.drain(6..10);
        }
        Outcome::new(what, command.args(confinement).output().unwrap())
    }
}

/// Python reads this at its start. It answers for the names of STORY_HOSTS and asks nobody.
const SITECUSTOMIZE_PY: &str = r#"
import os
import socket

hosts = dict(entry.split("=") for entry in os.environ["STORY_HOSTS"].split(","))
resolve = socket.getaddrinfo


def getaddrinfo(host, *arguments, **named):
    return resolve(hosts.get(host, host), *arguments, **named)


socket.getaddrinfo = getaddrinfo
"#;
