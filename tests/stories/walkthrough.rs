//! The published walk-through, run from start to end by a real certbot.

use crate::world::certbot::Certbot;
use crate::world::daemon::Ca;
use crate::world::issuer::{CERTIFICATES, CSR_CONF, ISSUER, Issuer, SIGNER_KEY, text};
use crate::world::judges::{self, assert_trusted};
use crate::world::outcome::Outcome;
use serde_json::{Value, json};
use std::process::Command;

const DAY: i64 = 24 * 60 * 60;

#[test]
fn certbot_gets_and_renews_a_certificate_by_the_published_commands() {
    let mut ca = Ca::start();
    let shell = Shell { ca: &ca };

    shell.run(&format!("cat <<EOF > csr.conf\n{CSR_CONF}EOF")).succeeded();
    let made = shell.run(
        "certwright create-dfc-key --name /ACME/Server/SignerKey --alg RSA2048 --generate-self-signed-certificate true \
         --certificate-ttl 365 --certificate-format pem --conf-file-path csr.conf",
    );
    assert!(!made.succeeded().stdout.is_empty(), "a person is told what was made");
    shell
        .run(
            "certwright create-pki-cert-issuer --name /ACME/Server/ACMEIssuer --signer-key-name /ACME/Server/SignerKey \
             --gw-cluster-url 'https://ca.lan:8000' --destination-path /ACME/Server/Certificates --ttl 90d \
             --allowed-domains acme.com --enable-acme true",
        )
        .succeeded();
    let display_id =
        shell.run("certwright describe-item --name /ACME/Server/ACMEIssuer | jq -r '.display_id'").succeeded();
    let display_id = display_id.stdout.trim();
    let eab = shell.run("certwright generate-acme-eab --cert-issuer-name /ACME/Server/ACMEIssuer").succeeded().json();

    let issuer = ca.issuer(ISSUER, SIGNER_KEY, "ca.lan");
    assert_eq!(issuer.directory, format!("{}/acme/{display_id}/directory", ca.cluster_url("ca.lan")));
    let client = Certbot::new(&ca, &issuer, "certbot");
    shell
        .run_with(
            &client,
            &format!(
                "certbot certonly --standalone --server https://ca.lan:8000/acme/{display_id}/directory --domain acme.com \
                 --eab-kid {} --eab-hmac-key {} {}",
                text(&eab, "kid"),
                text(&eab, "mac_key"),
                client.confinement().join(" "),
            ),
        )
        .succeeded();

    let chain = client.live("acme.com", "fullchain.pem");
    assert_trusted(&ca.place, &issuer.root_pem, &chain, "acme.com");
    assert_is_as_promised(&ca, &issuer, &chain);

    let accounts =
        shell.run("certwright list-acme-accounts --cert-issuer-name /ACME/Server/ACMEIssuer").succeeded().json();
    assert_eq!(accounts["accounts"].as_array().unwrap().len(), 1);
    let account = &accounts["accounts"][0];
    assert_eq!(account["status"], "valid");
    assert_eq!(text(account, "key_digest"), certbot_account_thumbprint(&client));
    assert!(!text(account, "account_id").is_empty());

    let stored = shell.run("certwright get-certificate-value --name /ACME/Server/Certificates/acme.com").succeeded();
    assert_eq!(stored.stdout, chain, "a person can redirect it into a file");
    assert_eq!(ca.certificate_value("/ACME/Server/Certificates/acme.com"), chain);
    assert_eq!(ca.describe(&format!("{CERTIFICATES}/acme.com"))["item_type"], "CERTIFICATE");

    client.renew().succeeded();
    let renewed = client.live("acme.com", "fullchain.pem");
    assert_trusted(&ca.place, &issuer.root_pem, &renewed, "acme.com");
    let (first, second) = (&judges::facts(&ca.place, &chain)[0], &judges::facts(&ca.place, &renewed)[0]);
    assert_ne!(first["serial"], second["serial"]);
    assert_eq!(ca.certificate_value("/ACME/Server/Certificates/acme.com"), renewed);
    assert_eq!(ca.item_names(CERTIFICATES), [format!("{CERTIFICATES}/acme.com")], "a version, not a second item");

    let log = ca.log();
    assert!(!log.contains(&text(&eab, "mac_key")), "the MAC key is in the log");
    assert!(!log.contains("PRIVATE KEY"), "a private key is in the log");
    assert!(ca.stop().success());
}

#[test]
fn the_walk_through_of_the_readme_is_true() {
    let ca = Ca::start();
    let shell = Shell { ca: &ca };
    let mut ran = 0;
    for block in code_blocks_of_the_readme() {
        if block.starts_with("packaging/build-deb") {
            // Installing takes root and systemd: tests/package/walkthrough follows it on a machine of its own.
            continue;
        }
        if let Some((trust, certbot)) = block.split_once("certbot certonly") {
            let issuer = ca.issuer(ISSUER, SIGNER_KEY, "ca.lan");
            let display_id = text(&ca.describe(ISSUER), "display_id");
            // The root as a host fetches it; its store is not this machine's to change.
            let url = trust.split_whitespace().find(|word| word.starts_with("http://")).expect("where the root is");
            let url = url.replace("<display-id>", &display_id).replace("ca.lan:8080", &ca.plain_listen.to_string());
            let fetched = shell.run(&format!("curl -sS --fail --noproxy '*' {url}")).succeeded().stdout;
            assert_eq!(fetched, issuer.root_pem);

            let client = Certbot::new(&ca, &issuer, "certbot");
            let eab = ca.make_eab(&issuer);
            let line = format!("certbot certonly{certbot}")
                .replace("<display-id>", &display_id)
                .replace("<kid>", &eab.kid)
                .replace("<mac_key>", &eab.mac_key);
            shell.run_with(&client, &format!("{} {}", line.trim_end(), client.confinement().join(" "))).succeeded();
            assert_trusted(&ca.place, &issuer.root_pem, &client.live("acme.com", "fullchain.pem"), "acme.com");
        } else {
            shell.run(&block).succeeded();
        }
        ran += 1;
    }
    assert!(ran >= 5, "only {ran} blocks of commands were found");
}

/// What is indented under "The walk-through".
fn code_blocks_of_the_readme() -> Vec<String> {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let section = readme.split("\n## ").find(|section| section.starts_with("The walk-through")).expect("the section");
    let mut blocks = vec![String::new()];
    for line in section.lines() {
        match line.strip_prefix("    ") {
            Some(code) => blocks.last_mut().unwrap().push_str(&format!("{code}\n")),
            None if !blocks.last().unwrap().is_empty() => blocks.push(String::new()),
            None => {}
        }
    }
    blocks.retain(|block| !block.is_empty());
    blocks
}

fn assert_is_as_promised(ca: &Ca, issuer: &Issuer, chain: &str) {
    let certificates = judges::facts(&ca.place, chain);
    assert_eq!(certificates.len(), 2, "leaf and signer");
    let (leaf, signer) = (&certificates[0], &certificates[1]);
    assert_eq!(judges::certificates(chain)[1], judges::certificates(&issuer.root_pem)[0]);

    assert_eq!(leaf["subject"], "");
    assert_eq!(leaf["issuer"], signer["subject"]);
    // The order in the certificate is that of the file; RFC 4514 reads it backwards.
    assert_eq!(signer["subject"], "CN=acme.com,OU=Security,O=Akeyless,L=NY,ST=NY,C=US");
    assert_eq!(
        signer["extensions"]["basicConstraints"],
        json!({"critical": true, "value": {"ca": true, "path_length": 3}})
    );
    assert_eq!(
        signer["extensions"]["keyUsage"],
        json!({"critical": true, "value": ["digital_signature", "key_cert_sign", "crl_sign"]})
    );

    let (not_before, not_after) = (seconds(leaf, "not_before"), seconds(leaf, "not_after"));
    assert_eq!(not_after, not_before + 90 * DAY - 1);
    assert!(not_before >= seconds(signer, "not_before"), "the leaf is valid before its signer is");
    assert!(seconds(signer, "not_after") - seconds(signer, "not_before") <= 365 * DAY);
    assert!(leaf["serial_bits"].as_i64().unwrap() > 32, "64 random bits are hardly ever this few");
    assert_eq!(leaf["version"], "v3");
    assert_eq!(leaf["hash"], "sha256");

    let extensions = &leaf["extensions"];
    assert_eq!(extensions["subjectAltName"], json!({"critical": true, "value": ["DNSName:acme.com"]}));
    assert_eq!(extensions["keyUsage"]["critical"], true);
    let usages = extensions["keyUsage"]["value"].as_array().unwrap();
    assert!(usages.contains(&json!("digital_signature")), "{usages:?}");
    assert!(!usages.contains(&json!("key_cert_sign")) && !usages.contains(&json!("crl_sign")), "{usages:?}");
    assert_eq!(extensions["extendedKeyUsage"], json!({"critical": false, "value": ["serverAuth"]}));
    assert_eq!(extensions["basicConstraints"]["value"]["ca"], false);
    assert_eq!(extensions["authorityKeyIdentifier"]["value"], signer["extensions"]["subjectKeyIdentifier"]["value"]);
    assert_eq!(extensions["authorityKeyIdentifier"]["critical"], false);
    assert_eq!(extensions["subjectKeyIdentifier"]["critical"], false);
}

fn seconds(certificate: &Value, member: &str) -> i64 {
    certificate[member].as_i64().unwrap()
}

/// RFC 7638 over the key that certbot keeps for itself.
fn certbot_account_thumbprint(client: &Certbot) -> String {
    let script = r#"
import glob, json, sys
import josepy
[path] = glob.glob(sys.argv[1] + "/config/accounts/**/private_key.json", recursive=True)
key = josepy.JWK.from_json(json.load(open(path)))
print(josepy.b64encode(key.thumbprint()).decode())
"#;
    let output = Command::new("/usr/bin/python3").args(["-I", "-c", script]).arg(client.home()).output().unwrap();
    Outcome::new("the thumbprint of certbot's key", output).succeeded().stdout.trim().to_string()
}

/// A person's shell. The published texts say `ca.lan:8000`; the daemon of a story has a port of its own.
struct Shell<'a> {
    ca: &'a Ca,
}

impl Shell<'_> {
    fn run(&self, script: &str) -> Outcome {
        self.finish(Command::new("/bin/bash"), script)
    }

    fn run_with(&self, client: &Certbot, script: &str) -> Outcome {
        let mut command = Command::new("/bin/bash");
        command.env_clear().envs(client.environment());
        self.finish(command, script)
    }

    fn finish(&self, mut command: Command, script: &str) -> Outcome {
        let script = script.replace("ca.lan:8000", &format!("ca.lan:{}", self.ca.listen.port()));
        let path = format!("{}:/usr/bin:/bin", crate::world::binary::directory().display());
        command.env("PATH", path).env("CERTWRIGHT_ADMIN_SOCKET", self.ca.admin_socket());
        command.current_dir(self.ca.place.path()).args(["-euo", "pipefail", "-c", &script]);
        Outcome::new(script, command.output().unwrap())
    }
}
