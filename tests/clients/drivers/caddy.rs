//! Caddy, Debian's: a web server that asks for the certificates of its sites by itself.

use crate::as_printed;
use crate::evidence::{KeyKind, Leaf};
use crate::journal::Journal;
use crate::operation::Operation;
use crate::stage::{FIRST_CONTACT, Stage, installed};
use crate::world::issuer::Eab;
use serde_json::{Value, json};
use std::path::PathBuf;

const OBTAINED: &str = "certificate obtained successfully";
const RENEWED: &str = "certificate renewed successfully";

pub fn drive(journal: &mut Journal) {
    let stage = Stage::new();
    let caddy = Caddy { stage: &stage };
    let www = stage.host("www");

    journal.does(&stage, Operation::RegisterWithEab, || {
        let eab = stage.eab();
        caddy.run(&stage.host("registering"), &caddy.issuer("http", Some(&eab)), json!({}), OBTAINED);
        stage.assert_registered(&eab);
        stage.assert_contact(FIRST_CONTACT);
    });
    let http = caddy.issuer("http", None);
    let mut first = None;
    journal.does(&stage, Operation::Http01, || first = Some(caddy.run(&www, &http, json!({}), OBTAINED)));
    journal.cannot(Operation::SeveralNames, "Caddy asks for a certificate for each name");
    journal.does(&stage, Operation::RsaKey, || {
        let leaf = caddy.run(&stage.host("rsa"), &http, json!({"key_type": "rsa2048"}), OBTAINED);
        assert_eq!(leaf.key, KeyKind::Rsa);
    });
    journal.does(&stage, Operation::EcKey, || {
        let leaf = caddy.run(&stage.host("ec"), &http, json!({"key_type": "p384"}), OBTAINED);
        assert_eq!(leaf.key, KeyKind::P384);
    });
    journal.does(&stage, Operation::Renew, || {
        let before = first.take().expect("a certificate to renew");
        // As soon as less than nearly all of its life is left, which is so from the start: it is dated back.
        let renewed = caddy.run(&www, &http, json!({"renewal_window_ratio": 0.9999}), RENEWED);
        assert_ne!(before.serial, renewed.serial);
    });
    journal.cannot(Operation::WildcardByDns01, "Debian's Caddy is built without any DNS provider");
    journal.does(&stage, Operation::TlsAlpn01, || {
        caddy.run(&stage.host("alpn"), &caddy.issuer("tls-alpn", None), json!({}), OBTAINED);
    });
    journal.cannot(Operation::Revoke, "Caddy has no command for it");
    journal.cannot(Operation::ChangeContact, "to Caddy another address is another account");
    journal.cannot(Operation::ChangeKey, "Caddy has no command for it");
    journal.cannot(Operation::Deactivate, "Caddy has no command for it");
    as_printed::caddy(journal);
}

struct Caddy<'a> {
    stage: &'a Stage,
}

impl Caddy<'_> {
    /// Run it with this site until it says these words, and look at what it has then.
    #[track_caller]
    fn run(&self, name: &str, issuer: &Value, policy: Value, words: &str) -> Leaf {
        let mut policy = policy;
        policy["issuers"] = json!([issuer]);
        let config = json!({
            "admin": {"disabled": true},
            "storage": {"module": "file_system", "root": self.stage.home.join("caddy")},
            "apps": {"tls": {"certificates": {"automate": [name]}, "automation": {"policies": [policy]}}},
        });
        let mut command = self.stage.command(installed("caddy/usr/bin/caddy"));
        command.arg("run").arg("--config").arg(self.stage.file("caddy.json", &config.to_string()));
        let mut server = self.stage.launch(&format!("caddy-{name}"), command);
        server.awaits_words(words, 60);
        server.stop();
        self.stage.accept(&self.file(name, "crt"), &self.file(name, "key"), &[name])
    }

    /// One that answers only this challenge.
    fn issuer(&self, challenge: &str, eab: Option<&Eab>) -> Value {
        let address = self.stage.http_01().ip().to_string();
        let mut issuer = json!({
            "module": "acme",
            "ca": self.stage.issuer.directory,
            "email": FIRST_CONTACT,
            "trusted_roots_pem_files": [self.stage.root],
            "challenges": {
                "bind_host": address,
                "http": {"disabled": true, "alternate_port": self.stage.http_01().port()},
                "tls-alpn": {"disabled": true, "alternate_port": self.stage.tls_alpn_01().port()},
            },
        });
        issuer["challenges"][challenge]["disabled"] = json!(false);
        if let Some(Eab { kid, mac_key, .. }) = eab {
            issuer["external_account"] = json!({"key_id": kid, "mac_key": mac_key});
        }
        issuer
    }

    /// `caddy/certificates/<a name for the CA>/<name>/<name>.<ending>`
    fn file(&self, name: &str, ending: &str) -> PathBuf {
        let certificates = self.stage.home.join("caddy/certificates");
        let mut authorities = std::fs::read_dir(&certificates).unwrap().flatten();
        let authority = authorities.next().unwrap_or_else(|| panic!("nothing is in {}", certificates.display()));
        authority.path().join(name).join(format!("{name}.{ending}"))
    }
}
