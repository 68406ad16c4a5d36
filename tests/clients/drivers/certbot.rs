//! certbot: Debian's, and the newest of PyPI.

use crate::as_printed;
use crate::evidence::{KeyKind, Leaf};
use crate::journal::Journal;
use crate::operation::Operation;
use crate::stage::{DOMAIN, FIRST_CONTACT, SECOND_CONTACT, Stage, installed};
use crate::world::outcome::Outcome;
use std::path::PathBuf;

pub fn debian(journal: &mut Journal) {
    drive(journal, "/usr/bin/certbot".into());
}

pub fn pypi(journal: &mut Journal) {
    drive(journal, installed("certbot/bin/certbot"));
}

fn drive(journal: &mut Journal, program: PathBuf) {
    let stage = Stage::new();
    let certbot = Certbot { stage: &stage, program };
    let www = stage.host("www");

    journal.does(&stage, Operation::RegisterWithEab, || {
        let eab = stage.eab();
        let arguments = ["register", "--agree-tos", "--no-eff-email", "--email", FIRST_CONTACT];
        certbot.run(&[&arguments, ["--eab-kid", &eab.kid, "--eab-hmac-key", &eab.mac_key].as_slice()].concat());
        stage.assert_registered(&eab);
    });
    let mut first = None;
    journal.does(&stage, Operation::Http01, || first = Some(certbot.certonly(&[&www], &[])));
    journal.does(&stage, Operation::SeveralNames, || {
        let names = ["a", "b", "c"].map(|label| stage.host(label));
        certbot.certonly(&names.each_ref().map(String::as_str), &[]);
    });
    let rsa = stage.host("rsa");
    let mut second = None;
    journal.does(&stage, Operation::RsaKey, || {
        let leaf = certbot.certonly(&[&rsa], &["--key-type", "rsa"]);
        assert_eq!(leaf.key, KeyKind::Rsa);
        second = Some(leaf);
    });
    journal.does(&stage, Operation::EcKey, || {
        let flags = ["--key-type", "ecdsa", "--elliptic-curve", "secp384r1"];
        assert_eq!(certbot.certonly(&[&stage.host("ec")], &flags).key, KeyKind::P384);
    });
    journal.does(&stage, Operation::Renew, || {
        let before = first.take().expect("a certificate to renew");
        certbot.run(&["renew", "--cert-name", &www, "--force-renewal", "--no-random-sleep-on-renew"]);
        let renewed = certbot.accept(&[&www]);
        assert_ne!(before.serial, renewed.serial);
        first = Some(renewed);
    });
    journal.does(&stage, Operation::WildcardByDns01, || {
        let hook = |name: &str, verb: &str| {
            let line =
                format!("exec \"$TXT_RECORD\" {verb} \"_acme-challenge.$CERTBOT_DOMAIN\" \"$CERTBOT_VALIDATION\"");
            stage.script(name, &format!("#!/bin/sh\n{line}\n")).display().to_string()
        };
        let (add, remove) = (hook("auth-hook", "add"), hook("cleanup-hook", "remove"));
        let wildcard = format!("*.{DOMAIN}");
        let flags =
            ["certonly", "--manual", "--preferred-challenges", "dns", "--domain", DOMAIN, "--domain", &wildcard];
        certbot.run(&[&flags, ["--manual-auth-hook", &add, "--manual-cleanup-hook", &remove].as_slice()].concat());
        certbot.accept(&[DOMAIN, &wildcard]);
    });
    journal.cannot(Operation::TlsAlpn01, "certbot answers http-01 and dns-01 only");
    journal.does(&stage, Operation::Revoke, || {
        let leaf = first.as_ref().expect("a certificate to revoke");
        stage.assert_not_revoked(leaf);
        certbot.run(&["revoke", "--cert-name", &www, "--reason", "superseded", "--no-delete-after-revoke"]);
        stage.assert_revoked(leaf);
        let leaf = second.as_ref().expect("another one, to revoke by its own key");
        stage.assert_not_revoked(leaf);
        let file = |name: &str| certbot.live(&rsa).join(name).display().to_string();
        let files = ["--cert-path", &file("cert.pem"), "--key-path", &file("privkey.pem")];
        certbot.run(&[&["revoke", "--no-delete-after-revoke"], files.as_slice()].concat());
        stage.assert_revoked(leaf);
    });
    journal.does(&stage, Operation::ChangeContact, || {
        stage.assert_contact(FIRST_CONTACT);
        certbot.run(&["update_account", "--no-eff-email", "--email", SECOND_CONTACT]);
        stage.assert_contact(SECOND_CONTACT);
    });
    journal.cannot(Operation::ChangeKey, "certbot has no command for it");
    journal.does(&stage, Operation::Deactivate, || {
        certbot.run(&["unregister"]);
        stage.assert_deactivated();
    });
    as_printed::certbot(journal, certbot.program.parent().expect("a directory"));
}

struct Certbot<'a> {
    stage: &'a Stage,
    program: PathBuf,
}

impl Certbot<'_> {
    #[track_caller]
    fn certonly(&self, names: &[&str], flags: &[&str]) -> Leaf {
        let http_01 = self.stage.http_01();
        let (address, port) = (http_01.ip().to_string(), http_01.port().to_string());
        let mut arguments = vec!["certonly", "--standalone", "--http-01-address", &address, "--http-01-port", &port];
        arguments.extend(names.iter().flat_map(|name| ["--domain", name]));
        arguments.extend(flags);
        self.run(&arguments);
        self.accept(names)
    }

    #[track_caller]
    fn accept(&self, names: &[&str]) -> Leaf {
        let live = self.live(names[0]);
        self.stage.accept(&live.join("fullchain.pem"), &live.join("privkey.pem"), names)
    }

    fn live(&self, name: &str) -> PathBuf {
        self.stage.home.join("config/live").join(name)
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) -> Outcome {
        let mut command = self.stage.command(&self.program);
        command.env("REQUESTS_CA_BUNDLE", &self.stage.root);
        command.args(arguments).args(["--non-interactive", "--server", &self.stage.issuer.directory]);
        for directory in ["config", "work", "logs"] {
            command.arg(format!("--{directory}-dir")).arg(self.stage.home.join(directory));
        }
        self.stage.finish(&format!("certbot {}", arguments.join(" ")), command).succeeded()
    }
}
