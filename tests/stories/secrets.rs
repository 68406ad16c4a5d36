//! Fragments, private keys and MAC keys stay where they belong: a daemon lives through all that it can do, talks as much as
//! it can, and then everything that it said and wrote is searched.

mod opened;
mod search;

use crate::world::account_key::AccountKey;
use crate::world::base64url;
use crate::world::csr::Csr;
use crate::world::daemon::Ca;
use crate::world::issuer::{CERTIFICATES, Eab, Issuer, SIGNER_KEY};
use crate::world::openssl::openssl;
use crate::world::openssl_ca::OpensslCa;
use crate::world::plain::{CHECKED, ask};
use crate::world::responder::{Answer, Responder};
use opened::{Secret, opened, private_parts, shares};
use search::count;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

#[test]
fn no_secret_is_found_but_where_it_belongs() {
    let mut life = Life::begin();
    life.issue();
    life.fail_on_purpose();
    life.administer();
    life.ca.restart();
    life.issue();
    life.search();
}

struct Life {
    ca: Ca,
    issuer: Issuer,
    responder: Responder,
    eabs: Vec<Eab>,
    /// What was secret at some time.
    secrets: Vec<Secret>,
    replies: Arc<Mutex<String>>,
    /// What everybody on the machine can see of the daemon's process.
    process: Vec<u8>,
}

impl Life {
    fn begin() -> Life {
        let ca = Ca::start();
        let issuer = ca.make_issuer_with("acme.com", &CHECKED);
        ca.run(&["create-dfc-key", "-n", "/Rsa", "-a", "RSA2048"]).succeeded();
        for (name, kind) in [("ed25519", "ED25519"), ("p384", "EC384")] {
            ca.run(&["create-dfc-key", "-n", &format!("/{name}"), "-a", kind]).succeeded();
        }
        let responder = Responder::start(ca.place.address, ca.http_01_port);
        let mut life = Life {
            ca,
            issuer,
            responder,
            eabs: Vec::new(),
            secrets: Vec::new(),
            replies: Arc::default(),
            process: Vec::new(),
        };
        life.import();
        life.learn();
        life
    }

    /// A key that comes from outside.
    fn import(&mut self) {
        let company = OpensslCa::new();
        self.ca.place.write("company.pem", &company.root_pem);
        let file = self.ca.place.write("company.key", company.read("ca.key"));
        let import =
            ["import-signer", "-n", "/Company", "--key-file", "company.key", "--no-former-crl", "--chain-file"];
        self.ca.run(&[&import[..], &["company.pem"]].concat()).succeeded();
        // Another key than the certificate's is refused, in a sentence without either.
        let other = OpensslCa::new();
        self.ca.place.write("other.pem", &other.root_pem);
        let wrong = ["import-signer", "-n", "/Other", "--key-file", "company.key", "--no-former-crl", "--chain-file"];
        self.ca.run(&[&wrong[..], &["other.pem"]].concat()).refused();
        openssl(&self.ca.place, &["pkcs8", "-topk8", "-nocrypt", "-in", "company.key", "-outform", "DER", "-out", "k"])
            .succeeded();
        let pkcs8 = std::fs::read(self.ca.place.file("k")).unwrap();
        self.secrets.extend(private_parts(&pkcs8).into_iter().map(|part| Secret::new("imported key", part)));
        std::fs::remove_file(self.ca.place.file("k")).unwrap();
        std::fs::remove_file(file).unwrap();
    }

    /// Remember what is secret at the moment.
    fn learn(&mut self) {
        let mut found = shares(&self.ca);
        found.extend(opened(&self.ca));
        for file in files(&self.ca.state_dir().join("keys")) {
            let parts = private_parts(&std::fs::read(&file).unwrap());
            found.extend(parts.into_iter().map(|part| Secret::new("key of a file", part)));
        }
        found.retain(|new| !self.secrets.iter().any(|known| known.bytes == new.bytes));
        self.secrets.extend(found);
        self.process.extend(self.ca.process().arguments_and_environment());
    }

    fn make_eab(&mut self) -> Eab {
        let eab = self.ca.make_eab(&self.issuer);
        self.secrets.push(Secret::new(format!("MAC key of {}", eab.kid), base64url::decode(&eab.mac_key)));
        self.eabs.push(eab.clone());
        eab
    }

    fn client(&mut self) -> crate::world::acme::Client {
        let mut client = self.issuer.client(AccountKey::es256());
        client.wire.record = Some(self.replies.clone());
        client.register(&self.make_eab()).expect(201);
        client
    }

    fn issue(&mut self) {
        let client = self.client();
        client.obtain(&["acme.com"], &self.responder);
        let path = format!("/ocsp/{}", self.ca.key_identifier(SIGNER_KEY));
        let said =
            ask(self.ca.plain_listen, "POST", &path, &[("Content-Type", "application/ocsp-request")], b"0").unwrap();
        self.replies.lock().unwrap().push_str(&said.to_string());
    }

    /// Errors are where secrets slip out.
    fn fail_on_purpose(&mut self) {
        let eab = self.make_eab();
        let mut stranger = self.issuer.client(AccountKey::es256());
        stranger.wire.record = Some(self.replies.clone());
        let wrong = Eab { mac_key: base64url::encode([7; 32]), ..eab.clone() };
        stranger.register(&wrong).refused_as("unauthorized");
        let swapped = Eab { kid: self.eabs[0].kid.clone(), ..eab.clone() };
        stranger.register(&swapped).refused_as("unauthorized");
        let mut binding = stranger.binding(&eab, "HS256", &ring::hmac::HMAC_SHA256);
        binding["signature"] = json!({"odd": true});
        stranger.register_with(&json!({"externalAccountBinding": binding})).refused();

        let client = self.client();
        client.ask_for(&["evil.example"]).refused();
        client.send_text(&client.url("newOrder"), "{").refused();
        self.responder.answer_with(Answer::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx".to_vec()));
        let order = client.order(&["acme.com"]);
        client.prove(&order, &self.responder);
        client.settled(&order.url, &["pending"]);
        self.responder.answer_with(Answer::Truth);
        let order = client.ready_order(&["acme.com"], &self.responder);
        client.finalize(&order, &Csr::for_names(&["other.com"])).refused();

        // A fragment that is damaged, and one that is missing, in turn.
        let fragments = files(&self.ca.state_dir().join("fragments"));
        let contents: Vec<Vec<u8>> = fragments.iter().map(|file| std::fs::read(file).unwrap()).collect();
        assert!(self.ca.stop().success());
        for (file, content) in fragments.iter().zip(&contents) {
            let digit = content.windows(6).position(|word| word == b"share ").unwrap() + 6;
            let mut damaged = content.clone();
            damaged[digit] = if damaged[digit] == b'0' { b'1' } else { b'0' };
            std::fs::write(file, damaged).unwrap();
        }
        self.ca.launch();
        self.ca.run(&["check"]).refused();
        assert_eq!(client.finalize(&order, &Csr::for_names(&["acme.com"])).status, 503);
        self.ca.run(&["generate-acme-eab", "--cert-issuer-name", &self.issuer.name]).refused();
        for file in &fragments {
            std::fs::remove_file(file).unwrap();
        }
        assert_eq!(client.finalize(&order, &Csr::for_names(&["acme.com"])).status, 503);
        self.ca.run(&["check"]).refused();
        self.ca.run(&["status"]).succeeded();
        assert!(self.ca.stop().success());
        for (file, content) in fragments.iter().zip(&contents) {
            std::fs::write(file, content).unwrap();
            let name = file.strip_prefix(self.ca.place.path()).unwrap();
            self.ca.place.make_readable(name.to_str().unwrap());
        }
        self.ca.launch();
        client.finalize(&order, &Csr::for_names(&["acme.com"])).expect(200);
    }

    fn administer(&mut self) {
        self.ca.run(&["refresh-key", "-n", SIGNER_KEY]).succeeded();
        self.learn();
        self.ca.run(&["refresh-key", "-n", "/Rsa", "--new-kek"]).succeeded();
        self.ca.run(&["rotate-key", "-n", SIGNER_KEY]).succeeded();
        self.learn();
        for command in [
            &["status"][..],
            &["status", "--json"],
            &["check"],
            &["audit"],
            &["audit", "--json"],
            &["audit", "--verify"],
            &["list-items", "--path", "/", "--json"],
            &["describe-item", "--name", SIGNER_KEY],
            &["describe-item", "--name", "/Company"],
            &["list-acme-eabs", "--json", "--cert-issuer-name", &self.issuer.name],
            &["list-acme-accounts", "--cert-issuer-name", &self.issuer.name],
            &["get-certificate-value", "--name", &format!("{CERTIFICATES}/acme.com"), "--json"],
        ] {
            self.ca.run(command).succeeded();
        }
        self.learn();
    }

    fn search(&self) {
        assert!(self.secrets.len() > 40, "only {} secrets were learnt", self.secrets.len());
        let log = self.ca.log();
        assert!(log.contains("TRACE") && log.contains("DEBUG"), "the daemon did not say all that it could");
        let said = self.ca.said.lock().unwrap().clone();
        let replies = self.replies.lock().unwrap().clone();
        assert!(replies.contains("BEGIN CERTIFICATE") && said.contains("mac_key"));
        let mut places: Vec<(PathBuf, Vec<u8>)> = files(self.ca.place.path())
            .into_iter()
            .map(|file| (file.strip_prefix(self.ca.place.path()).unwrap().to_owned(), std::fs::read(&file).unwrap()))
            .collect();
        for wanted in ["daemon.log", "state/certwright.db", "state/certwright.db-wal"] {
            assert!(places.iter().any(|(name, _)| name == Path::new(wanted)), "no {wanted}");
        }
        places.push(("what commands said".into(), said.into_bytes()));
        places.push(("what clients were told".into(), replies.into_bytes()));
        places.push(("arguments and environment".into(), self.process.clone()));
        let mut at_home = 0;
        for secret in &self.secrets {
            for (name, content) in &places {
                let found = count(secret, content);
                let belongs = match &*secret.name {
                    share if share.starts_with("share ") => name.starts_with("state/fragments"),
                    "key of a file" => name.starts_with("state/keys"),
                    mac if mac.starts_with("MAC key ") => name == Path::new("what commands said"),
                    _ => false,
                };
                let most = usize::from(belongs);
                assert!(found <= most, "{} is {found} times in {}", secret.name, name.display());
                at_home += found;
            }
        }
        assert!(at_home >= 20, "only {at_home} secrets were found where they belong, so the search is blind");
    }
}

/// Every file below this folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => all.extend(files(&entry.path())),
            kind if kind.is_file() => all.push(entry.path()),
            _ => {}
        }
    }
    all.sort();
    all
}
