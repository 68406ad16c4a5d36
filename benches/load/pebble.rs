//! Pebble from Debian's package, the test server that keeps everything in memory, measured by the same clients.

use super::client::Client;
use super::connection::Target;
use super::process::Process;
use super::responder::Responder;
use crate::world::dns::Dns;
use crate::world::place::Place;
use crate::world::wire::roots;
use rustix::process::Pid;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const PROGRAM: &str = "/usr/bin/pebble";

pub struct Pebble {
    child: Child,
    target: Target,
    responder: Responder,
    dns: Dns,
    place: Place,
    named: usize,
}

impl Pebble {
    /// None where it is not installed.
    pub fn start() -> Option<Pebble> {
        if !Path::new(PROGRAM).exists() {
            return None;
        }
        let (place, dns) = (Place::new(), Dns::start());
        let [listen, management, http, tls] = [0; 4].map(|_| place.free_port());
        let (key, certificate) = (place.file("key.pem"), place.file("certificate.pem"));
        let made = Command::new("/usr/bin/openssl")
            .args("req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /CN=pebble.lan".split(' '))
            .args(["-addext", "subjectAltName=DNS:pebble.lan", "-addext", "basicConstraints=CA:FALSE"])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let address = |port: u16| SocketAddr::from((place.address, port)).to_string();
        let config = serde_json::json!({"pebble": {
            "listenAddress": address(listen),
            "managementListenAddress": address(management),
            "certificate": certificate,
            "privateKey": key,
            "httpPort": http,
            "tlsPort": tls,
        }});
        let config = place.write("pebble.json", config.to_string());
        let child = Command::new(PROGRAM)
            .arg("-config")
            .arg(config)
            .args(["-dnsserver", &dns.address.to_string()])
            // As fast as it can: neither does it wait before a validation, nor refuse nonces for practice, nor reuse
            // authorizations.
            .envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "0"), ("PEBBLE_AUTHZREUSE", "0")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let root = std::fs::read_to_string(certificate).unwrap();
        let target = Target::new(SocketAddr::from((place.address, listen)), "pebble.lan", roots(&root));
        crate::world::patience::eventually("Pebble listens", Duration::from_secs(30), || target.connect().ok());
        let responder = Responder::start(SocketAddr::from((place.address, http)));
        // What is good for the one may be good for the other.
        crate::service::schedule_as_the_unit_does(Pid::from_child(&child));
        Some(Pebble { child, target, responder, dns, place, named: 0 })
    }

    pub fn process(&self) -> Process {
        Process(Pid::from_child(&self.child))
    }

    pub fn clients(&mut self, count: usize, keep_alive: bool) -> Vec<Client> {
        let client = |number: usize| {
            let name = format!("c{number}.acme.com");
            self.dns.point(&name, self.place.address);
            let client = Client::register(self.target.clone(), keep_alive, "/dir", &name, None);
            self.responder.serve(&name, client.thumbprint());
            client
        };
        let clients = (self.named..self.named + count).map(client).collect();
        self.named += count;
        clients
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
