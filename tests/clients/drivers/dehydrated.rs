//! dehydrated, Debian's: bash, curl and openssl.

use crate::as_printed;
use crate::evidence::{KeyKind, Leaf};
use crate::journal::Journal;
use crate::operation::Operation;
use crate::stage::{DOMAIN, FIRST_CONTACT, SECOND_CONTACT, Stage};
use crate::tls_alpn_responder;
use crate::world::issuer::Eab;
use std::path::Path;

/// dehydrated calls it with the handler's name, the domain, a token, and the record's value.
const HOOK: &str = r#"#!/bin/sh
case $1 in
    deploy_challenge) exec "$TXT_RECORD" add "_acme-challenge.$2" "$4" ;;
    clean_challenge) exec "$TXT_RECORD" remove "_acme-challenge.$2" "$4" ;;
esac
"#;

pub fn drive(journal: &mut Journal) {
    let stage = Stage::new();
    let web = stage.start_web_root();
    let alpn = stage.ca.place.make_directory("alpn");
    tls_alpn_responder::start(alpn.clone(), stage.tls_alpn_01());
    let dehydrated = Dehydrated { stage: &stage };
    dehydrated.configure(&web.challenges(), FIRST_CONTACT, None);
    let www = stage.host("www");

    journal.does(&stage, Operation::RegisterWithEab, || {
        let eab = stage.eab();
        dehydrated.configure(&web.challenges(), FIRST_CONTACT, Some(&eab));
        dehydrated.run(&["--register", "--accept-terms"]);
        stage.assert_registered(&eab);
        dehydrated.configure(&web.challenges(), FIRST_CONTACT, None);
    });
    let mut first = None;
    journal.does(&stage, Operation::Http01, || first = Some(dehydrated.sign(&[&www], &[])));
    journal.does(&stage, Operation::SeveralNames, || {
        let names = ["a", "b", "c"].map(|label| stage.host(label));
        dehydrated.sign(&names.each_ref().map(String::as_str), &[]);
    });
    journal.does(&stage, Operation::RsaKey, || {
        assert_eq!(dehydrated.sign(&[&stage.host("rsa")], &["--algo", "rsa"]).key, KeyKind::Rsa);
    });
    journal.does(&stage, Operation::EcKey, || {
        assert_eq!(dehydrated.sign(&[&stage.host("ec")], &["--algo", "prime256v1"]).key, KeyKind::P256);
    });
    journal.does(&stage, Operation::Renew, || {
        let before = first.take().expect("a certificate to renew");
        let renewed = dehydrated.sign(&[&www], &["--force"]);
        assert_ne!(before.serial, renewed.serial);
        first = Some(renewed);
    });
    journal.does(&stage, Operation::WildcardByDns01, || {
        let hook = stage.script("hook", HOOK).display().to_string();
        let wildcard = format!("*.{DOMAIN}");
        dehydrated.sign(&[DOMAIN, &wildcard], &["--challenge", "dns-01", "--hook", &hook]);
    });
    journal.does(&stage, Operation::TlsAlpn01, || {
        let directory = alpn.display().to_string();
        dehydrated.sign(&[&stage.host("alpn")], &["--challenge", "tls-alpn-01", "--alpn", &directory]);
    });
    journal.does(&stage, Operation::Revoke, || {
        let leaf = first.as_ref().expect("a certificate to revoke");
        stage.assert_not_revoked(leaf);
        let certificate = stage.home.join("certs").join(&www).join("cert.pem").display().to_string();
        dehydrated.run(&["--revoke", &certificate]);
        stage.assert_revoked(leaf);
        // With the certificate's own key it cannot: it asks for that key's account first.
    });
    journal.does(&stage, Operation::ChangeContact, || {
        stage.assert_contact(FIRST_CONTACT);
        dehydrated.configure(&web.challenges(), SECOND_CONTACT, None);
        dehydrated.run(&["--account"]);
        stage.assert_contact(SECOND_CONTACT);
    });
    journal.cannot(Operation::ChangeKey, "dehydrated has no command for it");
    journal.does(&stage, Operation::Deactivate, || {
        dehydrated.run(&["--deactivate"]);
        stage.assert_deactivated();
    });
    as_printed::dehydrated(journal);
}

struct Dehydrated<'a> {
    stage: &'a Stage,
}

impl Dehydrated<'_> {
    fn configure(&self, challenges: &Path, contact: &str, eab: Option<&Eab>) {
        let (directory, home) = (&self.stage.issuer.directory, self.stage.home.display());
        let mut text =
            format!("CA={directory}\nBASEDIR={home}\nWELLKNOWN={}\nCONTACT_EMAIL={contact}\n", challenges.display());
        if let Some(Eab { kid, mac_key, .. }) = eab {
            text += &format!("EAB_KID={kid}\nEAB_HMAC_KEY={mac_key}\n");
        }
        self.stage.file("dehydrated-config", &text);
    }

    #[track_caller]
    fn sign(&self, names: &[&str], flags: &[&str]) -> Leaf {
        let alias = names[0];
        self.run(&[&["--cron", "--domain", &names.join(" "), "--alias", alias], flags].concat());
        let directory = self.stage.home.join("certs").join(alias);
        self.stage.accept(&directory.join("fullchain.pem"), &directory.join("privkey.pem"), names)
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) {
        let mut command = self.stage.command("/usr/bin/dehydrated");
        command.env("CURL_CA_BUNDLE", &self.stage.root);
        command.args(arguments).arg("--config").arg(self.stage.ca.place.file("dehydrated-config"));
        self.stage.finish(&format!("dehydrated {}", arguments.join(" ")), command).succeeded();
    }
}
