//! What `client-config` prints for clients. tests/clients runs it as it is printed for those that are there; here stands what
//! holds for all of them, and parsers judge what nothing runs.

use crate::world::daemon::Ca;
use crate::world::issuer::{ISSUER, SIGNER_KEY, text};
use crate::world::openssl::openssl;
use crate::world::openssl_ca::OpensslCa;
use crate::world::outcome::{Outcome, assert_says, fed};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const CLIENTS: [&str; 13] = [
    "acme.sh",
    "caddy",
    "cert-manager",
    "certbot",
    "dehydrated",
    "haproxy",
    "lego",
    "mod_md",
    "nginx",
    "proxmox",
    "traefik",
    "uacme",
    "win-acme",
];

#[test]
fn every_client_is_told_where_who_and_whom_to_trust() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com,*.acme.com");
    for client in CLIENTS {
        let said = printed(&ca, client, &[]).stdout;
        for part in [issuer.directory.as_str(), "acme.com", "<kid>", "<mac_key>", "generate-acme-eab", ISSUER] {
            assert!(said.contains(part), "{client} is not told {part}:\n{said}");
        }
        // cert-manager takes it in base64 once more.
        let root = issuer.root_pem.trim_end();
        assert!(said.contains(root) || client == "cert-manager", "{client} is not told the root:\n{said}");
        assert!(said.to_lowercase().contains("renew"), "{client} is not told of renewing:\n{said}");
        let elsewhere = printed(&ca, client, &["--domain", "other.acme.com", "--webroot", "/srv/www"]).stdout;
        assert!(elsewhere.contains("other.acme.com"), "{client}: {elsewhere}");
    }
    let audit = ca.run(&["audit", "--action", "generate-acme-eab", "--json"]).succeeded().json();
    assert_eq!(audit["rows"].as_array().unwrap().len(), 0, "nobody asked for a credential");
}

#[test]
fn a_credential_is_made_only_on_demand_and_audited() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let reply = printed(&ca, "certbot", &["--with-eab", "--json"]).json();
    let kid = text(&reply["eab"], "kid");
    assert!(all_parts(&reply).contains(&kid) && !all_parts(&reply).contains("<kid>"));
    let audit = ca.run(&["audit", "--action", "generate-acme-eab", "--json"]).succeeded().json();
    let rows = audit["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 1);
    assert_says(&rows[0].to_string(), &[&kid, ISSUER]);
    let outstanding = ca.run(&["list-acme-eabs", "--json", "--cert-issuer-name", &issuer.name]).succeeded().json();
    assert_eq!(outstanding["eabs"][0]["kid"], kid.as_str());
}

#[test]
fn where_no_credential_is_needed_none_is_spoken_of() {
    let ca = Ca::start();
    ca.make_issuer_with("acme.com", &["--require-eab=false"]);
    for client in CLIENTS {
        let said = printed(&ca, client, &[]).stdout.to_lowercase();
        for word in ["eab", "kid", "mac_key", "hmac", "external_account"] {
            assert!(!said.contains(word), "{client} is told of {word}:\n{said}");
        }
    }
}

#[test]
fn who_asks_for_what_is_not_there_is_told_what_is() {
    let ca = Ca::start();
    ca.make_issuer("acme.com");
    ca.run(&["create-pki-cert-issuer", "-n", "/Silent", "-s", SIGNER_KEY, "-t", "90d"]).succeeded();
    let config = |flags: &[&'static str]| ca.run(&[&["client-config"], flags].concat());
    assert_says(
        &config(&["-n", ISSUER, "--client", "certbott"]).misused(),
        &["certbott", "did you mean certbot", "uacme"],
    );
    assert_says(&config(&["-n", ISSUER, "--client", "certbot", "--domain", "a;b"]).misused(), &["--domain", "a;b"]);
    assert_says(&config(&["-n", ISSUER, "--client", "certbot", "--domain", "*.acme.com"]).misused(), &["dns-01"]);
    assert_says(&config(&["-n", ISSUER, "--client", "lego", "--webroot", "/srv/$x"]).misused(), &["--webroot"]);
    assert_says(&config(&["-n", SIGNER_KEY, "--client", "certbot"]).refused(), &[SIGNER_KEY, "no issuer"]);
    assert_says(&config(&["-n", "/Silent", "--client", "certbot"]).refused(), &["/Silent", "--enable-acme"]);
    assert_says(&config(&["-n", "/Nowhere", "--client", "certbot"]).refused(), &["/Nowhere"]);
}

/// Of several issuers with one host the oldest certifies it: that is whom clients have to trust first.
#[test]
fn the_root_is_the_one_that_the_directory_is_certified_by() {
    let ca = Ca::start();
    let first = ca.make_issuer("acme.com");
    ca.make_signer_key("/Other");
    let second = ca.make_issuer_named("/Second", "/Other", "ca.lan", "acme.com", &[]);
    assert_ne!(first.root_pem, second.root_pem);
    let reply = ca.run(&["client-config", "-n", "/Second", "--client", "certbot", "--json"]).succeeded().json();
    assert_eq!(text(&reply, "root_certificates"), first.root_pem, "what the door shows");
    // Whoever has it reaches the directory.
    let wire = crate::world::wire::Wire::new(ca.listen, "ca.lan", &text(&reply, "root_certificates"));
    wire.request("GET", &second.directory, &[], b"").expect(200);
    ca.run(&["update-pki-cert-issuer", "-n", "/Second", "-s", "/Other", "-t", "90d", "--tls-issuer", "true"])
        .succeeded();
    let reply = ca.run(&["client-config", "-n", ISSUER, "--client", "certbot", "--json"]).succeeded().json();
    assert_eq!(text(&reply, "root_certificates"), second.root_pem, "another one was chosen");
}

#[test]
fn a_root_that_is_not_known_is_not_made_up() {
    let company = OpensslCa::new();
    let mut ca = Ca::planned(&[]);
    let leaf = company.leaf();
    let [certificate, key] = [ca.place.write("tls.pem", leaf), ca.place.write("tls.key", company.read("leaf.key"))];
    ca.place.make_readable("tls.key");
    ca.add_flags(&["--tls-cert", certificate.to_str().unwrap(), "--tls-key", key.to_str().unwrap()]);
    ca.launch();
    ca.make_issuer("acme.com");
    for client in CLIENTS {
        let said = printed(&ca, client, &[]).stdout;
        assert!(!said.contains("BEGIN CERTIFICATE") && !said.contains("caBundle"), "{client}: {said}");
        let tells = said.contains("--tls-cert") || ["cert-manager", "win-acme"].contains(&client);
        assert!(tells, "{client} is not told whose root it needs: {said}");
    }
}

#[test]
fn what_nothing_runs_here_is_well_formed_at_least() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    for client in ["cert-manager", "traefik"] {
        let reply = printed(&ca, client, &["--with-eab", "--json"]).json();
        let documents: Vec<Value> = parts(&reply)
            .filter(|(place, _)| !place.contains("as root") && !place.contains("environment"))
            .flat_map(|(_, text)| yaml(&text))
            .collect();
        let all = Value::from(documents.clone()).to_string();
        assert!(all.contains(&issuer.directory) && all.contains(&text(&reply["eab"], "kid")), "{all}");
        if client == "cert-manager" {
            assert_eq!(documents.len(), 3);
            let bundle = text(&documents[1]["spec"]["acme"], "caBundle");
            ca.place.write("bundle.b64", bundle);
            let decode = ["base64", "-d", "-A", "-in", "bundle.b64", "-out", "bundle.pem"];
            openssl(&ca.place, &decode).succeeded();
            openssl(&ca.place, &["x509", "-in", "bundle.pem", "-noout"]).succeeded();
        }
    }
    for client in CLIENTS {
        let reply = printed(&ca, client, &["--with-eab", "--json"]).json();
        for (_, text) in parts(&reply).filter(|(place, _)| place.contains("as root")) {
            let output = Command::new("/bin/bash").args(["-nc", &text]).output().unwrap();
            Outcome::new(format!("{client}: {text}"), output).succeeded();
        }
    }
}

/// What they write is written below a folder of the test, with the few programs that it takes; the clients are not there.
#[test]
fn what_is_pasted_shows_secrets_to_root_alone() {
    let ca = Ca::start();
    ca.make_issuer("acme.com");
    for program in ["cat", "openssl"] {
        std::os::unix::fs::symlink(Path::new("/usr/bin").join(program), ca.place.make_directory("bin").join(program))
            .unwrap();
    }
    let mut with_secrets = 0;
    for client in CLIENTS {
        let top = ca.place.make_directory(client);
        let reply = printed(&ca, client, &["--with-eab", "--json"]).json();
        let mac_key = text(&reply["eab"], "mac_key");
        for (_, pasted) in parts(&reply).filter(|(place, _)| place.contains("as root")) {
            let moved = |line: &str| line.replace(" /", &format!(" {}/", top.display()));
            let pasted: String = pasted.lines().map(|line| moved(line) + "\n").collect();
            for written in
                pasted.split("> ").skip(1).filter_map(|rest| Path::new(rest.split_whitespace().next()?).parent())
            {
                std::fs::create_dir_all(written).unwrap();
            }
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", &format!("umask 022\n{pasted}")]).env_clear().env("PATH", ca.place.file("bin"));
            shell.current_dir(&top).stdin(Stdio::null()).output().unwrap();
        }
        for (path, mode, content) in files_below(&top) {
            if content.contains(&mac_key) || content.contains("PRIVATE KEY") {
                with_secrets += 1;
                assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
            }
        }
    }
    assert_eq!(with_secrets, 5, "dehydrated's settings, HAProxy's key, certificate and credential, and lego's job");
}

fn files_below(directory: &Path) -> Vec<(PathBuf, u32, String)> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let below = entries.flat_map(|entry| match entry.file_type().unwrap().is_dir() {
        true => files_below(&entry.path()),
        false => {
            let content = std::fs::read_to_string(entry.path()).unwrap();
            vec![(entry.path(), entry.metadata().unwrap().permissions().mode(), content)]
        }
    });
    below.collect()
}

fn printed(ca: &Ca, client: &str, flags: &[&str]) -> Outcome {
    ca.run(&[&["client-config", "--cert-issuer-name", ISSUER, "--client", client], flags].concat()).succeeded()
}

fn parts(reply: &Value) -> impl Iterator<Item = (String, String)> {
    reply["parts"].as_array().unwrap().iter().map(|part| (text(part, "where"), text(part, "text")))
}

fn all_parts(reply: &Value) -> String {
    parts(reply).map(|(_, text)| text).collect()
}

/// The documents of a YAML text, as python3-yaml reads them.
fn yaml(text: &str) -> Vec<Value> {
    let script = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(sys.stdin))))";
    let output = fed(Command::new("/usr/bin/python3").args(["-I", "-c", script]), text.as_bytes());
    let outcome = Outcome::new(text, output).succeeded();
    serde_json::from_value(outcome.json()).unwrap()
}
