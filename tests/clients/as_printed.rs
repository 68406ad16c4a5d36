//! What `client-config` prints is run as it is printed, by root on a machine of its own, to a certificate. What differs from
//! an administrator's machine is told to the client beside it: the ports of the stage, and where its web server has its files.

use crate::journal::Journal;
use crate::machine::Machine;
use crate::operation::Operation;
use crate::stage::{Stage, installed};
use crate::world::issuer::{Eab, text};
use crate::world::patience::{eventually, seconds};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Texts of client-config for one client.
struct Printed {
    reply: Value,
    eab: Eab,
}

impl Printed {
    /// With a credential of its own, and a web root where one is said.
    #[track_caller]
    fn new(stage: &Stage, client: &str, domain: &str, webroot: Option<&Path>) -> Printed {
        let webroot = webroot.map(|path| path.display().to_string());
        let mut arguments = vec!["client-config", "--cert-issuer-name", &stage.issuer.name, "--client", client];
        arguments.extend(["--domain", domain, "--with-eab"]);
        arguments.extend(webroot.iter().flat_map(|path| ["--webroot", path]));
        arguments.push("--json");
        let reply = stage.ca.run(&arguments).succeeded().json();
        Printed { eab: Eab::read(&reply["eab"]), reply }
    }

    /// What belongs into this place.
    #[track_caller]
    fn part(&self, place: &str) -> String {
        let parts = self.reply["parts"].as_array().unwrap();
        let part = parts.iter().find(|part| text(part, "where").contains(place));
        text(part.unwrap_or_else(|| panic!("nothing is for {place}: {parts:?}")), "text")
    }
}

pub fn certbot(journal: &mut Journal, directory: &Path) {
    let stage = Stage::new();
    let www = stage.host("www");
    journal.does(&stage, Operation::AsPrinted, || {
        let machine = Machine::new(&stage);
        let printed = Printed::new(&stage, "certbot", &www, None);
        let (address, port) = (stage.http_01().ip(), stage.http_01().port());
        let ports = format!("http-01-address = {address}\nhttp-01-port = {port}\n");
        std::fs::write(machine.file("/etc/letsencrypt/cli.ini"), ports).unwrap();
        let path = directory.display().to_string();
        machine.paste_with(&path, &printed.part("as root"));
        stage.assert_registered(&printed.eab);
        let live = machine.file("/etc/letsencrypt/live").join(&www);
        let accept = || stage.accept(&live.join("fullchain.pem"), &live.join("privkey.pem"), &[&www]);
        let first = accept();
        assert_eq!(machine.systemctl(), "daemon-reload\n");
        // As the timer does it, with what its service was given.
        let given = std::fs::read_to_string(machine.file("/etc/systemd/system/certbot.service.d/certwright.conf"));
        let given = given.unwrap();
        let variable = given.lines().find_map(|line| line.strip_prefix("Environment=")).unwrap();
        machine.paste_with(&path, &format!("{variable} certbot -q renew --force-renewal --no-random-sleep-on-renew"));
        assert_ne!(first.serial, accept().serial);
    });
}

pub fn lego(journal: &mut Journal) {
    through_web_root(journal, "lego", "/var/lib/lego/certificates/", |certificates, www| {
        [".crt", ".key"].map(|ending| certificates.join(format!("{www}{ending}")))
    });
}

pub fn dehydrated(journal: &mut Journal) {
    through_web_root(journal, "dehydrated", "/var/lib/dehydrated/certs", |certificates, www| {
        ["fullchain.pem", "privkey.pem"].map(|name| certificates.join(www).join(name))
    });
}

pub fn uacme(journal: &mut Journal) {
    through_web_root(journal, "uacme", "/etc/ssl/uacme", |certificates, www| {
        [certificates.join(www).join("cert.pem"), certificates.join("private").join(www).join("key.pem")]
    });
}

/// Clients of which everything is pasted into a shell, and which leave a script that renews.
fn through_web_root(journal: &mut Journal, client: &str, place: &str, files: fn(&Path, &str) -> [PathBuf; 2]) {
    let stage = Stage::new();
    let web = stage.start_web_root();
    let www = stage.host("www");
    journal.does(&stage, Operation::AsPrinted, || {
        let machine = Machine::new(&stage);
        let printed = Printed::new(&stage, client, &www, Some(&web.directory));
        machine.paste(&printed.part("as root"));
        stage.assert_registered(&printed.eab);
        let [chain, key] = files(&machine.file(place), &www);
        stage.accept(&chain, &key, &[&www]);
        // uacme says 1 where nothing is due.
        machine.paste(&format!("/etc/cron.daily/{client}-certwright || [ $? = 1 ]"));
    });
}

pub fn caddy(journal: &mut Journal) {
    let stage = Stage::new();
    let www = stage.host("www");
    journal.does(&stage, Operation::AsPrinted, || {
        let machine = Machine::new(&stage);
        let printed = Printed::new(&stage, "caddy", &www, None);
        machine.paste(&printed.part("as root"));
        let (http, https) = (stage.http_01(), stage.tls_alpn_01());
        let home = stage.home.display();
        let stage_facts = format!(
            "{{\n\tadmin off\n\tdefault_bind {}\n\thttp_port {}\n\thttps_port {}\n\tstorage file_system {home}/caddy\n}}\n",
            http.ip(),
            http.port(),
            https.port()
        );
        let caddyfile = stage.file("Caddyfile", &(stage_facts + &printed.part("Caddyfile")));
        let mut command = machine.command(&installed("caddy/usr/bin/caddy").display().to_string());
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(caddyfile);
        let mut server = stage.launch("caddy", command);
        server.awaits_words("certificate obtained successfully", 60);
        server.stop();
        stage.assert_registered(&printed.eab);
        let authorities = stage.home.join("caddy/certificates");
        let authority = std::fs::read_dir(authorities).unwrap().next().unwrap().unwrap().path();
        let file = |ending: &str| authority.join(&www).join(format!("{www}.{ending}"));
        stage.accept(&file("crt"), &file("key"), &[&www]);
    });
}

pub fn mod_md(journal: &mut Journal) {
    let stage = Stage::new();
    let www = stage.host("www");
    journal.does(&stage, Operation::AsPrinted, || {
        let machine = Machine::new(&stage);
        let printed = Printed::new(&stage, "mod_md", &www, None);
        machine.paste(&printed.part("as root"));
        let (http, https, home) = (stage.http_01(), stage.tls_alpn_01(), stage.home.display());
        let modules: String = ["mpm_event", "ssl", "md"]
            .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
            .concat();
        // An administrator's configuration, as far as there has to be one.
        let around = format!(
            "{modules}ServerRoot {home}\nDefaultRuntimeDir {home}\nPidFile {home}/apache.pid\nErrorLog {home}/error.log\n\
             ServerName {ip}\nListen {http}\nListen {https}\nProtocols http/1.1 acme-tls/1\nSSLSessionCache none\n\
             LogLevel warn md:debug\nMDStoreDir {home}/md\nMDPortMap http:{} https:{}\n\
             <VirtualHost {https}>\nServerName {www}\nSSLEngine on\n</VirtualHost>\n",
            http.port(),
            https.port(),
            ip = http.ip(),
        );
        let configuration = stage.file("apache.conf", &(around + &printed.part("Apache")));
        let apache = || {
            let mut command = machine.command_of_nobody("/usr/sbin/apache2");
            command.arg("-f").arg(&configuration);
            command
        };
        let mut command = apache();
        command.arg("-DFOREGROUND");
        let mut server = stage.launch("apache", command);
        let log = stage.home.join("error.log");
        let said = || std::fs::read_to_string(&log).unwrap_or_default();
        let words = format!("The Managed Domain {www} has been setup");
        server.awaits_or_shows(&words, 60, || said().contains(&words).then_some(()), said);
        let mut reload = apache();
        reload.args(["-k", "graceful"]);
        stage.finish("apache2 -k graceful", reload).succeeded();
        let domain = stage.home.join("md/domains").join(&www);
        let file = |beginning: &str| {
            let entries = std::fs::read_dir(&domain).ok()?.flatten().map(|entry| entry.path());
            let mut named = entries.filter(|p| p.file_name().unwrap().to_string_lossy().starts_with(beginning));
            named.next()
        };
        let [chain, key] = eventually("Apache takes the certificate", seconds(30), || {
            Some([file("pubcert")?, file("privkey")?])
        });
        stage.assert_registered(&printed.eab);
        stage.accept(&chain, &key, &[&www]);
    });
}
