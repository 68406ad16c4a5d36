//! lego, Debian's.

use crate::as_printed;
use crate::evidence::{KeyKind, Leaf};
use crate::journal::Journal;
use crate::operation::Operation;
use crate::stage::{DOMAIN, FIRST_CONTACT, Stage};
use crate::world::issuer::Eab;

/// lego calls it with `present` or `cleanup`, the record's name and its value.
const HOOK: &str = r#"#!/bin/sh
case $1 in
    present) verb=add ;;
    cleanup) verb=remove ;;
esac
exec "$TXT_RECORD" "$verb" "$2" "$3"
"#;

pub fn drive(journal: &mut Journal) {
    let stage = Stage::new();
    let lego = Lego { stage: &stage, eab: stage.eab() };
    let http_01 = ["--http", "--http.port", &stage.http_01().to_string()].map(String::from);
    let http_01 = http_01.each_ref().map(String::as_str);
    let www = stage.host("www");

    journal.does(&stage, Operation::RegisterWithEab, || {
        lego.run(&[&stage.host("registering")], &http_01, &["run"]);
        stage.assert_registered(&lego.eab);
        stage.assert_contact(FIRST_CONTACT);
    });
    let mut first = None;
    journal.does(&stage, Operation::Http01, || first = Some(lego.run(&[&www], &http_01, &["run"])));
    journal.does(&stage, Operation::SeveralNames, || {
        let names = ["a", "b", "c"].map(|label| stage.host(label));
        lego.run(&names.each_ref().map(String::as_str), &http_01, &["run"]);
    });
    journal.does(&stage, Operation::RsaKey, || {
        let flags = [&http_01, ["--key-type", "rsa2048"].as_slice()].concat();
        assert_eq!(lego.run(&[&stage.host("rsa")], &flags, &["run"]).key, KeyKind::Rsa);
    });
    journal.does(&stage, Operation::EcKey, || {
        let flags = [&http_01, ["--key-type", "ec384"].as_slice()].concat();
        assert_eq!(lego.run(&[&stage.host("ec")], &flags, &["run"]).key, KeyKind::P384);
    });
    journal.does(&stage, Operation::Renew, || {
        let before = first.take().expect("a certificate to renew");
        let renewed = lego.run(&[&www], &http_01, &["renew", "--days", "365", "--no-random-sleep"]);
        assert_ne!(before.serial, renewed.serial);
        first = Some(renewed);
    });
    journal.does(&stage, Operation::WildcardByDns01, || {
        let resolver = stage.ca.dns.address.to_string();
        let flags = ["--dns", "exec", "--dns.disable-cp", "--dns.resolvers", &resolver];
        lego.run(&[DOMAIN, &format!("*.{DOMAIN}")], &flags, &["run"]);
    });
    journal.does(&stage, Operation::TlsAlpn01, || {
        lego.run(&[&stage.host("alpn")], &["--tls", "--tls.port", &stage.tls_alpn_01().to_string()], &["run"]);
    });
    journal.does(&stage, Operation::Revoke, || {
        let leaf = first.as_ref().expect("a certificate to revoke");
        stage.assert_not_revoked(leaf);
        lego.say(&[&www], &[], &["revoke"]);
        stage.assert_revoked(leaf);
    });
    journal.cannot(Operation::ChangeContact, "to lego another address is another account");
    journal.cannot(Operation::ChangeKey, "lego has no command for it");
    journal.cannot(Operation::Deactivate, "lego has no command for it");
    as_printed::lego(journal);
}

struct Lego<'a> {
    stage: &'a Stage,
    eab: Eab,
}

impl Lego<'_> {
    #[track_caller]
    fn run(&self, names: &[&str], flags: &[&str], command: &[&str]) -> Leaf {
        self.say(names, flags, command);
        let certificates = self.stage.home.join("lego/certificates");
        let file = |ending: &str| certificates.join(format!("{}.{ending}", names[0].replace('*', "_")));
        self.stage.accept(&file("crt"), &file("key"), names)
    }

    #[track_caller]
    fn say(&self, names: &[&str], flags: &[&str], words: &[&str]) {
        let mut command = self.stage.command("/usr/bin/lego");
        command.env("LEGO_CA_CERTIFICATES", &self.stage.root).env("EXEC_PATH", self.stage.script("lego-hook", HOOK));
        command.args(["--accept-tos", "--email", FIRST_CONTACT, "--server", &self.stage.issuer.directory]);
        // Between two records of an order, it would wait a minute otherwise.
        command.env("EXEC_SEQUENCE_INTERVAL", "1").env("EXEC_POLLING_INTERVAL", "1");
        // It asks for them each time, and uses them once.
        command.args(["--eab", "--kid", &self.eab.kid, "--hmac", &self.eab.mac_key]);
        command.arg("--path").arg(self.stage.home.join("lego"));
        command.args(names.iter().flat_map(|name| ["--domains", name])).args(flags).args(words);
        self.stage.finish(&format!("lego {} {}", names.join(" "), words.join(" ")), command).succeeded();
    }
}
