//! A daemon in this process whose clock the story turns.

use super::account_key::AccountKey;
use super::acme::Client;
use super::binary::certwright;
use super::csr::Csr;
use super::issuer::{Eab, text};
use super::outcome::Outcome;
use super::patience::{eventually, seconds};
use super::place::Place;
use super::plain;
use super::wire::{Reply, Wire};
use certwright::clock::{Clock, Span, Time};
use certwright::daemon::Daemon;
use certwright::error::Class;
use certwright::settings::Settings;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

/// A daemon whose clock stands still until it is turned.
pub struct Turned {
    /// None between two runs.
    pub daemon: Option<Daemon>,
    pub clock: Clock,
    pub place: Place,
    pub settings: Settings,
}

impl Turned {
    pub fn start() -> Turned {
        Turned::start_with(|_| {})
    }

    /// With other settings than the usual ones.
    pub fn start_with(change: impl FnOnce(&mut Settings)) -> Turned {
        let place = Place::new();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let clock = Clock::manual(Time(i64::try_from(now).unwrap()));
        let anywhere = SocketAddr::from((place.address, 0));
        let (state, socket) = (place.make_directory("state"), place.file("admin.sock"));
        let mut settings = Settings { workers: 4, ..Settings::at(state, anywhere, anywhere, socket) };
        change(&mut settings);
        let mut turned = Turned { daemon: None, clock, place, settings };
        turned.boot();
        // Where clients find it again.
        let Settings { listen, plain_listen, .. } = *turned.daemon().settings();
        (turned.settings.listen, turned.settings.plain_listen) = (listen, plain_listen);
        turned
    }

    /// Start it. A command that another story is just starting holds all that this process has open for a moment, the lock of
    /// the state directory among it.
    pub fn boot(&mut self) {
        self.daemon = Some(eventually("the daemon starts", seconds(20), || {
            match Daemon::start(&self.settings, self.clock.clone()) {
                Err(e) if e.class() == Class::Conflict => None,
                started => Some(started.unwrap()),
            }
        }));
    }

    /// Stop it, and start it again with the settings that the story has changed meanwhile.
    pub fn restart(&mut self) {
        self.daemon = None;
        self.boot();
    }

    pub fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().unwrap()
    }

    /// Let days pass one by one, and what is due on each of them happen.
    pub fn days_pass(&self, days: i64) {
        (0..days).for_each(|_| self.days_later(1));
    }

    /// Let days pass at once, and what is due then happen.
    pub fn days_later(&self, days: i64) {
        self.clock.advance(Span::days(days));
        self.daemon().keep_house();
    }

    pub fn run(&self, arguments: &[&str]) -> Outcome {
        let output = certwright()
            .env("CERTWRIGHT_ADMIN_SOCKET", self.place.file("admin.sock"))
            .current_dir(self.place.path())
            .args(arguments)
            .output()
            .unwrap();
        Outcome::new(format!("certwright {}", arguments.join(" ")), output)
    }

    pub fn make_key(&self, name: &str, days: &str, flags: &[&str]) {
        let key = ["create-dfc-key", "-n", name, "-a", "EC256", "--generate-self-signed-certificate"];
        let rest = ["--certificate-ttl", days, "--certificate-common-name", "Turned CA"];
        self.run(&[&key[..], &rest, flags].concat()).succeeded();
    }

    /// A client that needs no challenge, at an issuer that warns a month ahead. Its own clock stays right.
    pub fn client(&self) -> Client {
        self.make_issuer(&["-t", "90d", "--allowed-domains", "a.lan,b.lan", "-e", "30"]);
        self.register(&["--allowed-domains", "a.lan,b.lan", "--no-challenge"], Wire::new)
    }

    /// The issuer of the key, with everything that can be asked about its certificates.
    pub fn make_issuer(&self, flags: &[&str]) {
        let url = format!("https://ca.lan:{}", self.settings.listen.port());
        let issuer = ["create-pki-cert-issuer", "-n", "/I", "--signer-key-name", "/K", "--enable-acme"];
        let names = ["--gw-cluster-url", &url, "--destination-path", "/Filed"];
        let checked = ["--public-url", "http://ca.lan:8080", "--create-private-ocsp"];
        self.run(&[&issuer[..], &names, &checked, flags].concat()).succeeded();
    }

    /// A client with an account at the issuer, by a credential with these flags. Its clock is the story's.
    pub fn account(&self, flags: &[&str]) -> Client {
        self.register(flags, |address, host, root| Wire::at_the_time_of(&self.clock, address, host, root))
    }

    fn register(&self, flags: &[&str], reach: impl Fn(SocketAddr, &str, &str) -> Wire) -> Client {
        let described = self.run(&["describe-item", "-n", "/I"]).succeeded().json();
        let eab = self.run(&[&["generate-acme-eab", "--cert-issuer-name", "/I"], flags].concat()).succeeded().json();
        let root = text(&described, "certificates");
        let wire = reach(self.settings.listen, "ca.lan", &root);
        let mut client = Client::new(wire, &text(&described, "acme_directory_url"), AccountKey::es256());
        client.register(&Eab::read(&eab)).expect(201);
        client
    }

    /// What a query of one number gives.
    pub fn count(&self, sql: &str) -> i64 {
        let path = self.settings.state_dir.join("certwright.db");
        let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        db.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|e| panic!("{sql}: {e}"))
    }

    pub fn obtain(&self, client: &Client, name: &str) -> String {
        let order = client.order(&[name]);
        client.finalize(&order, &Csr::for_names(&[name])).expect(200);
        client.certificate(&order)
    }

    pub fn audited(&self, action: &str) -> Vec<Value> {
        let reply = self.run(&["audit", "--action", action, "--json"]).succeeded().json();
        reply["rows"].as_array().unwrap().clone()
    }

    pub fn key_identifier(&self) -> String {
        let described = self.run(&["describe-item", "-n", "/K"]).succeeded().json();
        text(&described["versions"][0], "key_identifier")
    }

    pub fn ask_ocsp(&self, request: &[u8]) -> Vec<u8> {
        plain::ask_ocsp(self.daemon().settings().plain_listen, &self.key_identifier(), request)
            .unwrap()
            .expect(200)
            .body
    }

    pub fn fetch(&self, path: &str) -> Reply {
        plain::ask(self.daemon().settings().plain_listen, "GET", path, &[], b"").unwrap()
    }
}
