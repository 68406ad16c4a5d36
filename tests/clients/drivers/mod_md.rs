//! Apache's mod_md, Debian's: a web server that asks for the certificates of its domains by itself, and shows them after
//! the next graceful restart.

use crate::as_printed;
use crate::evidence::{KeyKind, Leaf};
use crate::journal::Journal;
use crate::operation::Operation;
use crate::stage::{FIRST_CONTACT, Server, Stage};
use crate::world::issuer::Eab;
use crate::world::patience::{eventually, seconds};
use std::path::PathBuf;

const BY_HTTP: &str = "MDCAChallenges http-01";

/// mod_md calls it with setup or teardown, the domain and the value.
const HOOK: &str = r#"#!/bin/sh
case $1 in
    setup) exec "$TXT_RECORD" add "_acme-challenge.$2" "$3" ;;
    teardown) exec "$TXT_RECORD" remove "_acme-challenge.$2" "$3" ;;
esac
"#;

pub fn drive(journal: &mut Journal) {
    let stage = Stage::new();
    let mut apache = Apache { stage: &stage, eab: stage.eab(), domains: Vec::new(), server: None };
    let www = stage.host("www");

    let mut first = None;
    journal.does(&stage, Operation::RegisterWithEab, || {
        first = Some(apache.obtain(&[&www], BY_HTTP));
        stage.assert_registered(&apache.eab);
        stage.assert_contact(FIRST_CONTACT);
    });
    journal.does(&stage, Operation::Http01, || {
        apache.obtain(&[&stage.host("http")], BY_HTTP);
    });
    journal.does(&stage, Operation::SeveralNames, || {
        let names = ["a", "b", "c"].map(|label| stage.host(label));
        apache.obtain(&names.each_ref().map(String::as_str), BY_HTTP);
    });
    journal.does(&stage, Operation::RsaKey, || {
        let leaf = apache.obtain(&[&stage.host("rsa")], &format!("{BY_HTTP}\nMDPrivateKeys RSA 2048"));
        assert_eq!(leaf.key, KeyKind::Rsa);
    });
    journal.does(&stage, Operation::EcKey, || {
        let leaf = apache.obtain(&[&stage.host("ec")], &format!("{BY_HTTP}\nMDPrivateKeys secp384r1"));
        assert_eq!(leaf.key, KeyKind::P384);
    });
    journal.does(&stage, Operation::Renew, || {
        let before = first.take().expect("a certificate to renew");
        // When less than 90 days of its life are left, which is so from the start: it is dated back.
        let renewed = apache.obtain(&[&www], &format!("{BY_HTTP}\nMDRenewWindow 90d"));
        assert_ne!(before.serial, renewed.serial);
        apache.domains.retain(|(names, _)| names[0] != www);
    });
    journal.does(&stage, Operation::WildcardByDns01, || {
        let wild = stage.host("wild");
        apache.obtain(&[&wild, &format!("*.{wild}")], "MDCAChallenges dns-01");
    });
    journal.does(&stage, Operation::TlsAlpn01, || {
        apache.obtain(&[&stage.host("alpn")], "MDCAChallenges tls-alpn-01");
    });
    journal.cannot(Operation::Revoke, "mod_md has no directive for it");
    journal.cannot(Operation::ChangeContact, "mod_md tells it when it makes the account and never again");
    journal.cannot(Operation::ChangeKey, "mod_md has no directive for it");
    journal.cannot(Operation::Deactivate, "mod_md has no directive for it");
    as_printed::mod_md(journal);
}

struct Apache<'a> {
    stage: &'a Stage,
    eab: Eab,
    /// Names and directives.
    domains: Vec<(Vec<String>, String)>,
    server: Option<Server>,
}

impl Apache<'_> {
    /// Add a domain, or give it other directives, wait until Apache has a new certificate for it, and let it take that.
    #[track_caller]
    fn obtain(&mut self, names: &[&str], directives: &str) -> Leaf {
        self.domains.retain(|(others, _)| others[0] != names[0]);
        self.domains.push((names.iter().map(ToString::to_string).collect(), directives.to_string()));
        self.stage.file("apache.conf", &self.configuration());
        let log = self.stage.home.join("error.log");
        let said = |from: usize| std::fs::read_to_string(&log).unwrap_or_default().split_off(from);
        let from = said(0).len();
        self.restart();
        let words = format!("The Managed Domain {} has been setup", names[0]);
        let server = self.server.as_mut().expect("Apache runs");
        server.awaits_or_shows(&words, 60, || said(from).contains(&words).then_some(()), || said(from));
        let before = self.files(names[0]);
        self.restart();
        let [chain, key] = eventually("Apache takes the certificate", seconds(30), || {
            let files = self.files(names[0]);
            (files.is_some() && files != before).then_some(files).flatten()
        })
        .map(|(path, _)| path);
        self.stage.accept(&chain, &key, names)
    }

    /// Start it, or have it read its configuration again.
    fn restart(&mut self) {
        let mut command = self.stage.command("/usr/sbin/apache2");
        command.arg("-f").arg(self.stage.ca.place.file("apache.conf"));
        if self.server.is_none() {
            command.arg("-DFOREGROUND");
            self.server = Some(self.stage.launch("apache", command));
        } else {
            command.args(["-k", "graceful"]);
            self.stage.finish("apache2 -k graceful", command).succeeded();
        }
    }

    fn configuration(&self) -> String {
        let (home, stage) = (self.stage.home.display(), self.stage);
        let (http, https) = (stage.http_01(), stage.tls_alpn_01());
        let modules = ["mpm_event", "ssl", "md"];
        let modules = modules.map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"));
        let settings = [
            format!("ServerRoot {home}\nDefaultRuntimeDir {home}\nPidFile {home}/apache.pid"),
            format!("ServerName {}\nErrorLog {home}/error.log\nLogLevel warn md:debug", http.ip()),
            format!("Listen {http}\nListen {https}\nProtocols http/1.1 acme-tls/1\nSSLSessionCache none"),
            format!("MDStoreDir {home}/md\nMDCertificateAuthority {}", stage.issuer.directory),
            format!("MDCertificateAgreement accepted\nMDContactEmail {}", FIRST_CONTACT),
            format!("MDCACertificateFile {}\nMDRetryDelay 1s", stage.root.display()),
            format!("MDExternalAccountBinding {} {}", self.eab.kid, self.eab.mac_key),
            format!("MDPortMap http:{} https:{}", http.port(), https.port()),
            format!("MDChallengeDns01 {}", stage.script("hook", HOOK).display()),
        ];
        let domains = self.domains.iter().map(|(names, directives)| {
            let aliases: String = names[1..].iter().map(|name| format!("ServerAlias {name}\n")).collect();
            format!(
                "<MDomainSet {}>\n{directives}\n</MDomainSet>\n\
                 <VirtualHost {https}>\nServerName {}\n{aliases}SSLEngine on\n</VirtualHost>\n",
                names.join(" "),
                names[0],
            )
        });
        format!("{}{}\n{}", modules.concat(), settings.join("\n"), domains.collect::<String>())
    }

    /// Chain and key that Apache uses for a domain, each with what it holds. Their names tell the key's algorithm.
    fn files(&self, name: &str) -> Option<[(PathBuf, String); 2]> {
        let directory = self.stage.home.join("md/domains").join(name);
        let file = |beginning: &str| {
            let entries = std::fs::read_dir(&directory).ok()?.flatten();
            let mut paths = entries.map(|entry| entry.path()).filter(|path| {
                path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(beginning))
            });
            let path = paths.next()?;
            let text = std::fs::read_to_string(&path).ok()?;
            Some((path, text))
        };
        Some([file("pubcert")?, file("privkey")?])
    }
}
