//! uacme, Debian's, with its companion ualpn.

use crate::as_printed;
use crate::evidence::{KeyKind, Leaf};
use crate::journal::Journal;
use crate::operation::Operation;
use crate::stage::{DOMAIN, FIRST_CONTACT, SECOND_CONTACT, Stage};
use std::path::PathBuf;

/// uacme calls it with begin, done or failed, the challenge's type, the name, the token and the value. It declines what
/// is not of the type `$WANTED`.
const HOOK: &str = r#"#!/bin/sh
[ "$2" = "$WANTED" ] || exit 1
case $2-$1 in
    http-01-begin) printf %s "$5" > "$CHALLENGES/$4" ;;
    http-01-*) rm "$CHALLENGES/$4" ;;
    dns-01-begin) exec "$TXT_RECORD" add "_acme-challenge.$3" "$5" ;;
    dns-01-*) exec "$TXT_RECORD" remove "_acme-challenge.$3" "$5" ;;
    tls-alpn-01-begin) [ "$(echo "auth $3 $5" | ualpn -s "$UALPN_SOCKET")" = OK ] ;;
    tls-alpn-01-*) [ "$(echo "unauth $3" | ualpn -s "$UALPN_SOCKET")" = OK ] ;;
esac
"#;

pub fn drive(journal: &mut Journal) {
    let stage = Stage::new();
    let web = stage.start_web_root();
    let uacme = Uacme { stage: &stage, hook: stage.script("hook", HOOK), challenges: web.challenges() };
    let www = stage.host("www");

    journal.does(&stage, Operation::RegisterWithEab, || {
        let eab = stage.eab();
        uacme.run("", &["--yes", "--eab", &format!("{}:{}", eab.kid, eab.mac_key), "new", FIRST_CONTACT]);
        stage.assert_registered(&eab);
    });
    let mut first = None;
    journal.does(&stage, Operation::Http01, || first = Some(uacme.issue("http-01", &[&www], &[])));
    journal.does(&stage, Operation::SeveralNames, || {
        let names = ["a", "b", "c"].map(|label| stage.host(label));
        uacme.issue("http-01", &names.each_ref().map(String::as_str), &[]);
    });
    let rsa = stage.host("rsa");
    let mut second = None;
    journal.does(&stage, Operation::RsaKey, || {
        let leaf = uacme.issue("http-01", &[&rsa], &["--type", "RSA"]);
        assert_eq!(leaf.key, KeyKind::Rsa);
        second = Some(leaf);
    });
    journal.does(&stage, Operation::EcKey, || {
        let flags = ["--type", "EC", "--bits", "384"];
        assert_eq!(uacme.issue("http-01", &[&stage.host("ec")], &flags).key, KeyKind::P384);
    });
    journal.does(&stage, Operation::Renew, || {
        let before = first.take().expect("a certificate to renew");
        let renewed = uacme.issue("http-01", &[&www], &["--force"]);
        assert_ne!(before.serial, renewed.serial);
        first = Some(renewed);
    });
    journal.does(&stage, Operation::WildcardByDns01, || {
        uacme.issue("dns-01", &[DOMAIN, &format!("*.{DOMAIN}")], &[]);
    });
    journal.does(&stage, Operation::TlsAlpn01, || {
        let address = stage.tls_alpn_01();
        let mut ualpn = stage.command("/usr/bin/ualpn");
        ualpn.args(["-v", "-b", &format!("{}@{}", address.ip(), address.port()), "-s"]).arg(uacme.ualpn_socket());
        ualpn.arg("-p").arg(stage.home.join("ualpn.pid"));
        // It wants somewhere to pass on what is no challenge; nothing ever is.
        ualpn.args(["-c", &format!("{}@{}", stage.http_01().ip(), stage.http_01().port())]);
        let mut ualpn = stage.launch("ualpn", ualpn);
        ualpn.awaits("ualpn listens", 10, || uacme.ualpn_socket().exists().then_some(()));
        uacme.issue("tls-alpn-01", &[&stage.host("alpn")], &[]);
    });
    journal.does(&stage, Operation::Revoke, || {
        let leaf = first.as_ref().expect("a certificate to revoke");
        stage.assert_not_revoked(leaf);
        uacme.run("", &["revoke", &uacme.file(&www, "cert.pem").display().to_string()]);
        stage.assert_revoked(leaf);
        let leaf = second.as_ref().expect("another one, to revoke by its own key");
        stage.assert_not_revoked(leaf);
        let files = [uacme.file(&rsa, "cert.pem"), uacme.file("private", &format!("{rsa}/key.pem"))];
        uacme.run("", &["revoke", &files[0].display().to_string(), &files[1].display().to_string()]);
        stage.assert_revoked(leaf);
    });
    journal.does(&stage, Operation::ChangeContact, || {
        stage.assert_contact(FIRST_CONTACT);
        uacme.run("", &["update", SECOND_CONTACT]);
        stage.assert_contact(SECOND_CONTACT);
    });
    journal.does(&stage, Operation::ChangeKey, || {
        let before = stage.account_key();
        uacme.run("", &["newkey"]);
        assert_ne!(before, stage.account_key());
        uacme.issue("http-01", &[&stage.host("after")], &[]);
    });
    journal.does(&stage, Operation::Deactivate, || {
        uacme.run("", &["deactivate"]);
        stage.assert_deactivated();
    });
    as_printed::uacme(journal);
}

struct Uacme<'a> {
    stage: &'a Stage,
    hook: PathBuf,
    challenges: PathBuf,
}

impl Uacme<'_> {
    #[track_caller]
    fn issue(&self, challenge: &str, names: &[&str], flags: &[&str]) -> Leaf {
        let hook = self.hook.display().to_string();
        self.run(challenge, &[flags, &["--hook", &hook, "issue"], names].concat());
        let key = self.file("private", &format!("{}/key.pem", names[0]));
        self.stage.accept(&self.file(names[0], "cert.pem"), &key, names)
    }

    #[track_caller]
    fn run(&self, challenge: &str, arguments: &[&str]) {
        // It is linked with a curl that takes no other trust store than the machine's.
        let mut command = self.stage.command_trusting_by_store("/usr/bin/uacme");
        command.env("WANTED", challenge).env("CHALLENGES", &self.challenges);
        command.env("UALPN_SOCKET", self.ualpn_socket());
        command.args(["--verbose", "--verbose", "--acme-url", &self.stage.issuer.directory, "--confdir"]);
        command.arg(self.stage.home.join("uacme")).args(arguments);
        self.stage.finish(&format!("uacme {}", arguments.join(" ")), command).succeeded();
    }

    fn file(&self, directory: &str, name: &str) -> PathBuf {
        self.stage.home.join("uacme").join(directory).join(name)
    }

    fn ualpn_socket(&self) -> PathBuf {
        self.stage.home.join("ualpn.sock")
    }
}
