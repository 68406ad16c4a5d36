//! Clients that are libraries. A program in the library's language does one operation each time that it is run:
//!
//!     PROGRAM register CONTACT [KID MAC_KEY]
//!     PROGRAM issue CHALLENGE KEY CHAIN NAME…     for the private key in KEY, into CHAIN
//!     PROGRAM revoke CHAIN
//!     PROGRAM contact CONTACT
//!     PROGRAM new-key
//!     PROGRAM deactivate
//!
//! In its environment are DIRECTORY, ROOT (a PEM file), CHALLENGES (a web server's directory), TLS_ALPN_01 (the ADDRESS:PORT
//! to listen at) and TXT_RECORD (a program: `add NAME VALUE`, `remove NAME VALUE`). It keeps its account in its working directory.

use crate::evidence::{KeyKind, Leaf};
use crate::journal::Journal;
use crate::operation::Operation;
use crate::stage::{DOMAIN, FIRST_CONTACT, SECOND_CONTACT, Stage, installed};
use crate::world::outcome::Outcome;
use std::path::{Path, PathBuf};
use std::process::Command;

pub fn python_acme(journal: &mut Journal) {
    Library {
        interpreter: "/usr/bin/python3".into(),
        source: Some(include_str!("../programs/python_acme.py")),
        cannot: &[
            (Operation::TlsAlpn01, "acme 2.1 shows a draft's acmeIdentifier, 1.3.6.1.5.5.7.1.30.1, not RFC 8737's"),
            (Operation::ChangeKey, "acme has no function for it"),
        ],
    }
    .drive(journal);
}

pub fn node_acme_client(journal: &mut Journal) {
    Library {
        interpreter: "/usr/bin/node".into(),
        source: Some(include_str!("../programs/node_acme_client.js")),
        cannot: &[],
    }
    .drive(journal);
}

pub fn ruby_acme_client(journal: &mut Journal) {
    Library {
        interpreter: "/usr/bin/ruby".into(),
        source: Some(include_str!("../programs/ruby_acme_client.rb")),
        cannot: &[
            (Operation::RegisterWithEab, "Debian's acme-client, 2.0.9, has no external account binding"),
            (Operation::TlsAlpn01, "acme-client answers http-01 and dns-01 only"),
        ],
    }
    .drive(journal);
}

pub fn rust_instant_acme(journal: &mut Journal) {
    Library { interpreter: installed("instant-acme/debug/instant-acme-client"), source: None, cannot: &[] }
        .drive(journal);
}

struct Library {
    /// Or the program itself, where it has no source to interpret.
    interpreter: PathBuf,
    source: Option<&'static str>,
    cannot: &'static [(Operation, &'static str)],
}

impl Library {
    fn drive(self, journal: &mut Journal) {
        let knows_eab = self.cannot.iter().all(|(operation, _)| *operation != Operation::RegisterWithEab);
        let stage = Stage::with(&["--require-eab", if knows_eab { "true" } else { "false" }]);
        let program = Program {
            stage: &stage,
            interpreter: self.interpreter,
            // The clone may lie under a home that only its owner may enter.
            source: self.source.map(|text| stage.file("program", text)),
            challenges: stage.start_web_root().challenges(),
        };
        if !knows_eab {
            program.run(&["register", FIRST_CONTACT]);
        }
        for operation in Operation::ALL {
            match self.cannot.iter().find(|(one, _)| *one == operation) {
                Some((_, why)) => journal.cannot(operation, why),
                None if operation == Operation::AsPrinted => {
                    journal.cannot(operation, "it is a library, for which nothing is printed");
                }
                None => journal.does(&stage, operation, || program.does(operation)),
            }
        }
    }
}

struct Program<'a> {
    stage: &'a Stage,
    interpreter: PathBuf,
    source: Option<PathBuf>,
    challenges: PathBuf,
}

impl Program<'_> {
    fn does(&self, operation: Operation) {
        let stage = self.stage;
        match operation {
            Operation::RegisterWithEab => {
                let eab = stage.eab();
                self.run(&["register", FIRST_CONTACT, &eab.kid, &eab.mac_key]);
                stage.assert_registered(&eab);
            }
            Operation::Http01 => {
                self.issue("http-01", KeyKind::P256, &[&stage.host("www")]);
            }
            Operation::SeveralNames => {
                let names = ["a", "b", "c"].map(|label| stage.host(label));
                self.issue("http-01", KeyKind::P256, &names.each_ref().map(String::as_str));
            }
            Operation::RsaKey => {
                self.issue("http-01", KeyKind::Rsa, &[&stage.host("rsa")]);
            }
            Operation::EcKey => {
                self.issue("http-01", KeyKind::P384, &[&stage.host("ec")]);
            }
            Operation::Renew => {
                let name = stage.host("renewed");
                let before = self.issue("http-01", KeyKind::P256, &[&name]);
                assert_ne!(before.serial, self.issue("http-01", KeyKind::P256, &[&name]).serial);
            }
            Operation::WildcardByDns01 => {
                self.issue("dns-01", KeyKind::P256, &[DOMAIN, &format!("*.{DOMAIN}")]);
            }
            Operation::TlsAlpn01 => {
                self.issue("tls-alpn-01", KeyKind::P256, &[&stage.host("alpn")]);
            }
            Operation::Revoke => {
                let name = stage.host("revoked");
                let leaf = self.issue("http-01", KeyKind::P256, &[&name]);
                stage.assert_not_revoked(&leaf);
                self.run(&["revoke", &self.file(&name, "pem").display().to_string()]);
                stage.assert_revoked(&leaf);
            }
            Operation::ChangeContact => {
                stage.assert_contact(FIRST_CONTACT);
                self.run(&["contact", SECOND_CONTACT]);
                stage.assert_contact(SECOND_CONTACT);
            }
            Operation::ChangeKey => {
                let before = stage.account_key();
                self.run(&["new-key"]);
                assert_ne!(before, stage.account_key());
                self.issue("http-01", KeyKind::P256, &[&stage.host("after")]);
            }
            Operation::AsPrinted => unreachable!("nothing is printed for libraries"),
            Operation::Deactivate => {
                self.run(&["deactivate"]);
                stage.assert_deactivated();
            }
        }
    }

    #[track_caller]
    fn issue(&self, challenge: &str, kind: KeyKind, names: &[&str]) -> Leaf {
        let (key, chain) = (self.file(names[0], "key"), self.file(names[0], "pem"));
        if !key.exists() {
            make_key(kind, &key);
            self.stage.ca.place.make_readable(&format!("home/{}.key", names[0]));
        }
        let files = [key.to_str().unwrap(), chain.to_str().unwrap()];
        self.run(&[&["issue", challenge], files.as_slice(), names].concat());
        let leaf = self.stage.accept(&chain, &key, names);
        assert_eq!(leaf.key, kind);
        leaf
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) {
        let mut command = self.stage.command(&self.interpreter);
        command.args(&self.source).args(arguments);
        command.env("DIRECTORY", &self.stage.issuer.directory).env("ROOT", &self.stage.root);
        command.env("CHALLENGES", &self.challenges).env("TLS_ALPN_01", self.stage.tls_alpn_01().to_string());
        // How each language's usual HTTP client is told whom to trust.
        for variable in ["REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"] {
            command.env(variable, &self.stage.root);
        }
        command.env("NODE_PATH", installed("node_modules"));
        let what = format!("{} … {}", self.interpreter.display(), arguments.join(" "));
        self.stage.finish(&what, command).succeeded();
    }

    fn file(&self, name: &str, ending: &str) -> PathBuf {
        self.stage.home.join(format!("{name}.{ending}"))
    }
}

/// A private key as PKCS#8 in PEM.
fn make_key(kind: KeyKind, path: &Path) {
    let options = match kind {
        KeyKind::Rsa => ["RSA", "rsa_keygen_bits:2048"],
        KeyKind::P256 => ["EC", "ec_paramgen_curve:P-256"],
        KeyKind::P384 => ["EC", "ec_paramgen_curve:P-384"],
    };
    let mut command = Command::new("/usr/bin/openssl");
    command.args(["genpkey", "-quiet", "-algorithm", options[0], "-pkeyopt", options[1], "-out"]).arg(path);
    Outcome::new("openssl genpkey", command.output().unwrap()).succeeded();
}
