//! acme-tiny, Debian's. It asks for no name but those of a CSR that somebody else made, by http-01, and does nothing else.

use crate::evidence::{KeyKind, Leaf};
use crate::journal::Journal;
use crate::operation::Operation;
use crate::stage::{FIRST_CONTACT, SECOND_CONTACT, Stage};
use crate::world::outcome::Outcome;
use std::path::PathBuf;
use std::process::Command;

pub fn drive(journal: &mut Journal) {
    let stage = Stage::with(&["--require-eab=false"]);
    let web = stage.start_web_root();
    let tiny =
        AcmeTiny { stage: &stage, challenges: web.challenges(), account_key: stage.ca.place.file("account.pem") };
    tiny.openssl(&["genrsa", "-out", &tiny.account_key.display().to_string(), "2048"]);
    stage.ca.place.make_readable("account.pem");
    let www = stage.host("www");
    let p256 = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];

    journal.cannot(Operation::RegisterWithEab, "acme-tiny has no external account binding");
    let mut first = None;
    journal.does(&stage, Operation::Http01, || {
        tiny.make_csr(&[&www], &["rsa:2048"]);
        first = Some(tiny.sign(&[&www], FIRST_CONTACT));
    });
    journal.does(&stage, Operation::SeveralNames, || {
        let names = ["a", "b", "c"].map(|label| stage.host(label));
        let names = names.each_ref().map(String::as_str);
        tiny.make_csr(&names, &p256);
        tiny.sign(&names, FIRST_CONTACT);
    });
    journal.does(&stage, Operation::RsaKey, || {
        let name = stage.host("rsa");
        tiny.make_csr(&[&name], &["rsa:3072"]);
        assert_eq!(tiny.sign(&[&name], FIRST_CONTACT).key, KeyKind::Rsa);
    });
    journal.does(&stage, Operation::EcKey, || {
        let name = stage.host("ec");
        tiny.make_csr(&[&name], &p256);
        assert_eq!(tiny.sign(&[&name], FIRST_CONTACT).key, KeyKind::P256);
    });
    journal.does(&stage, Operation::Renew, || {
        let before = first.take().expect("a certificate to renew");
        assert_ne!(before.serial, tiny.sign(&[&www], FIRST_CONTACT).serial);
    });
    journal.cannot(Operation::WildcardByDns01, "acme-tiny answers http-01 only");
    journal.cannot(Operation::TlsAlpn01, "acme-tiny answers http-01 only");
    journal.cannot(Operation::Revoke, "acme-tiny has no command for it");
    journal.does(&stage, Operation::ChangeContact, || {
        stage.assert_contact(FIRST_CONTACT);
        tiny.sign(&[&www], SECOND_CONTACT);
        stage.assert_contact(SECOND_CONTACT);
    });
    journal.cannot(Operation::ChangeKey, "acme-tiny has no command for it");
    journal.cannot(Operation::Deactivate, "acme-tiny has no command for it");
    journal.cannot(Operation::AsPrinted, "client-config does not know it, since it cannot be bound to a credential");
}

struct AcmeTiny<'a> {
    stage: &'a Stage,
    challenges: PathBuf,
    account_key: PathBuf,
}

impl AcmeTiny<'_> {
    /// `key` is what follows `openssl req -newkey`.
    fn make_csr(&self, names: &[&str], key: &[&str]) {
        let file = |ending: &str| self.file(names, ending).display().to_string();
        let alternatives: Vec<String> = names.iter().map(|name| format!("DNS:{name}")).collect();
        let alternatives = format!("subjectAltName={}", alternatives.join(","));
        let request = ["req", "-new", "-nodes", "-subj", "/", "-addext", &alternatives, "-newkey"];
        self.openssl(&[&request, key, &["-keyout", &file("key"), "-out", &file("csr")]].concat());
        self.stage.ca.place.make_readable(&format!("{}.csr", names[0]));
    }

    #[track_caller]
    fn sign(&self, names: &[&str], contact: &str) -> Leaf {
        let mut command = self.stage.command("/usr/bin/acme-tiny");
        command.env("SSL_CERT_FILE", &self.stage.root).arg("--account-key").arg(&self.account_key);
        command.arg("--csr").arg(self.file(names, "csr")).arg("--acme-dir").arg(&self.challenges);
        // It would look at the challenge itself first, through the machine's resolver.
        command.args(["--disable-check", "--directory-url", &self.stage.issuer.directory]);
        command.args(["--contact", &format!("mailto:{contact}")]);
        let chain = self.stage.finish(&format!("acme-tiny {}", names.join(" ")), command).succeeded().stdout;
        std::fs::write(self.file(names, "pem"), chain).unwrap();
        self.stage.accept(&self.file(names, "pem"), &self.file(names, "key"), names)
    }

    fn file(&self, names: &[&str], ending: &str) -> PathBuf {
        self.stage.ca.place.file(&format!("{}.{ending}", names[0]))
    }

    #[track_caller]
    fn openssl(&self, arguments: &[&str]) {
        let output = Command::new("/usr/bin/openssl").args(arguments).output().unwrap();
        Outcome::new(format!("openssl {}", arguments.join(" ")), output).succeeded();
    }
}
