//! The one daemon that all tests of this suite share, with the network around it. Each test makes an issuer, an account
//! and names of its own, so that none meets another.

use crate::nameserver::Nameserver;
use crate::tls_responder::TlsResponder;
use crate::world::acme::Client;
use crate::world::daemon::Ca;
use crate::world::issuer::Issuer;
use crate::world::patience::{eventually, seconds};
use crate::world::place::Place;
use crate::world::responder::Responder;
use serde_json::Value;
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

pub const SIGNER: &str = "/Conformance/Signer";

pub struct Scene {
    pub ca: Ca,
    /// Any name that a test has not set points at `ca.place.address`, where the responders listen.
    pub names: Nameserver,
    pub http: Responder,
    pub tls: TlsResponder,
    issuers: AtomicUsize,
}

pub fn scene() -> &'static Scene {
    static SCENE: OnceLock<Scene> = OnceLock::new();
    SCENE.get_or_init(Scene::start)
}

impl Scene {
    /// The daemon dies with the thread that starts it, so that thread must outlive every test.
    fn start() -> Scene {
        let (send, receive) = channel();
        std::thread::spawn(move || {
            send.send(Scene::build()).unwrap();
            loop {
                std::thread::park();
            }
        });
        receive.recv().unwrap()
    }

    fn build() -> Scene {
        let mut ca = Ca::planned(&["--validation-allow", "127.0.0.0/8,::1/128"]);
        let names = Nameserver::start(ca.place.address);
        ca.dns.address = names.address;
        remove_at_exit(&ca.place);
        ca.launch_with(|command| {
            command.env("RUST_LOG", "info");
        });
        ca.make_signer_key(SIGNER);
        let http = Responder::start(ca.place.address, ca.http_01_port);
        let tls = TlsResponder::start(ca.place.address, ca.tls_alpn_01_port);
        Scene { ca, names, http, tls, issuers: AtomicUsize::new(0) }
    }

    pub fn issuer(&self, domains: &str) -> Issuer {
        self.issuer_with(domains, &[])
    }

    pub fn issuer_with(&self, domains: &str, flags: &[&str]) -> Issuer {
        let number = self.issuers.fetch_add(1, Ordering::Relaxed);
        self.ca.make_issuer_named(&format!("/Conformance/Issuer{number}"), SIGNER, "ca.lan", domains, flags)
    }

    /// A client with an account at an issuer of its own.
    pub fn client(&self, domains: &str) -> Client {
        self.client_with(domains, &[])
    }

    pub fn client_with(&self, domains: &str, flags: &[&str]) -> Client {
        self.ca.client(&self.issuer_with(domains, flags))
    }

    pub fn address(&self) -> IpAddr {
        self.ca.place.address.into()
    }

    /// An address of its own for a name whose web server is not honest.
    pub fn web_server_of(&self, name: &str) -> Responder {
        let address = Place::new().address;
        self.names.point(name, address);
        Responder::start(address, self.ca.http_01_port)
    }

    /// Change a setting of an issuer by command.
    pub fn update(&self, issuer: &Issuer, flags: &[&str]) {
        let arguments = [&["update-pki-cert-issuer", "--name", &issuer.name], flags].concat();
        self.ca.run(&arguments).succeeded();
    }

    pub fn set_state(&self, issuer: &Issuer, state: &str) {
        self.ca.run(&["set-item-state", "--name", &issuer.name, "--desired-state", state]).succeeded();
    }

    /// The authorization, once it is decided.
    pub fn decided(&self, client: &Client, authorization: &str) -> Value {
        eventually("the authorization is decided", seconds(60), || {
            let body = client.fetch(authorization).expect(200).json();
            (body["status"] != "pending").then_some(body)
        })
    }
}

/// Nothing in a static is ever dropped, so somebody else waits for this process to end, and removes its directory.
fn remove_at_exit(place: &Place) {
    let waiting = Command::new("/bin/sh")
        .args(["-c", "cat >/dev/null; sleep 1; rm -rf -- \"$0\""])
        .arg(place.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Its standard input closes with this process.
    std::mem::forget(waiting);
}
