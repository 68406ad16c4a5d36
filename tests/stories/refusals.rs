//! Commands that the daemon refuses: exit status 1, a sentence that names the flag or the thing, and nothing changed.

use crate::world::daemon::Ca;
use crate::world::issuer::{CSR_CONF, ISSUER, SIGNER_KEY};
use crate::world::outcome::assert_says;
use serde_json::Value;

#[test]
fn a_refused_key_says_why_and_leaves_nothing() {
    let ca = Ca::start();
    ca.make_issuer("acme.com");
    let before = everything(&ca);
    let key = |flags: &[&'static str]| [&["create-dfc-key", "--name", "/K"], flags].concat();
    for (typed, words) in [
        (key(&["--alg", "RSA1024"]), &["RSA1024", "weak"][..]),
        (key(&["--alg", "AES256GCM"]), &["AES256GCM", "not a signing key"]),
        (key(&["--alg", "DSA"]), &["DSA"]),
        (
            key(&["--alg", "EC256", "--generate-self-signed-certificate", "--certificate-common-name", "x"]),
            &["certificate-ttl"],
        ),
        (key(&["--alg", "EC256", "--certificate-ttl", "10"]), &["generate-self-signed-certificate"]),
        (
            key(&["--alg", "EC256", "--generate-self-signed-certificate", "--certificate-ttl", "10"]),
            &["certificate-common-name"],
        ),
        (
            key(&[
                "--alg",
                "EC256",
                "--generate-self-signed-certificate",
                "--certificate-ttl",
                "10",
                "--certificate-common-name",
                "x",
                "--certificate-country",
                "USA",
            ]),
            &["country", "USA"],
        ),
        (key(&["--alg", "EC256", "--split-level", "0"]), &["split-level"]),
        (key(&["--alg", "EC256", "--split-level", "many"]), &["split-level", "many"]),
        (vec!["generate-acme-eab", "--cert-issuer-name", ISSUER, "--ttl", "soon"], &["--ttl", "soon"]),
        (vec!["set-item-state", "--name", ISSUER, "--desired-state", "Asleep"], &["Asleep", "Disabled"]),
        (key(&["--alg", "EC256", "--certificate-format", "p12"]), &["certificate-format", "p12"]),
        (key(&["--alg", "RSA2048", "--hash-algorithm", "SHA1"]), &["hash-algorithm", "SHA1"]),
        (vec!["create-dfc-key", "--name", SIGNER_KEY, "--alg", "EC256"], &[SIGNER_KEY, "exists"]),
        (vec!["create-dfc-key", "--name", "/a//b", "--alg", "EC256"], &["/a//b"]),
        (vec!["create-dfc-key", "--name", "/a/../b", "--alg", "EC256"], &["/a/../b"]),
        (vec!["create-dfc-key", "--name", "/", "--alg", "EC256"], &["name"]),
        (vec!["create-dfc-key", "--name", "/a\nb", "--alg", "EC256"], &["control"]),
        (vec!["create-dfc-key", "--name", "/a\u{202e}b", "--alg", "EC256"], &["turn the direction"]),
    ] {
        assert_says(&ca.run(&typed).refused(), words);
        assert_eq!(everything(&ca), before, "{typed:?} has changed something");
    }
}

#[test]
fn a_refused_issuer_says_why_and_leaves_nothing() {
    let ca = Ca::start();
    ca.make_issuer("acme.com");
    ca.run(&["create-dfc-key", "--name", "/Bare", "--alg", "EC256"]).succeeded();
    let url = ca.cluster_url("ca.lan");
    let before = everything(&ca);
    let issuer = |flags: &[&'static str]| {
        let flags: Vec<&str> = flags.iter().map(|flag| if *flag == "URL" { &url } else { *flag }).collect();
        [&["create-pki-cert-issuer"], &flags[..]].concat()
    };
    for (typed, words) in [
        (issuer(&["-n", "/I", "-s", "/Nowhere", "-t", "90d"]), &["/Nowhere"][..]),
        (issuer(&["-n", "/I", "-s", "/Bare", "-t", "90d"]), &["/Bare", "certificate"]),
        (issuer(&["-n", "/I", "-s", ISSUER, "-t", "90d"]), &[ISSUER]),
        (issuer(&["-n", ISSUER, "-s", SIGNER_KEY, "-t", "90d"]), &[ISSUER, "exists"]),
        (issuer(&["-n", "/I", "-s", SIGNER_KEY, "-t", "9m"]), &["ttl", "ten minutes"]),
        (
            issuer(&["-n", "/I", "-s", SIGNER_KEY, "-t", "91d", "--enable-acme", "--gw-cluster-url", "URL"]),
            &["ttl", "90"],
        ),
        (issuer(&["-n", "/I", "-s", SIGNER_KEY, "-t", "90d", "--enable-acme"]), &["gw-cluster-url"]),
        (
            issuer(&["-n", "/I", "-s", SIGNER_KEY, "-t", "90d", "--enable-acme", "--gw-cluster-url", "ca.lan:8000"]),
            &["gw-cluster-url", "https://"],
        ),
        (
            issuer(&["-n", "/I", "-s", SIGNER_KEY, "-t", "90d", "--enable-acme", "--gw-cluster-url", "http://ca.lan"]),
            &["gw-cluster-url", "https://"],
        ),
        (issuer(&["-n", "/I", "-s", SIGNER_KEY, "-t", "90d", "--allowed-domains", "a b.lan"]), &["a b.lan"]),
        (issuer(&["-n", "/I", "-s", SIGNER_KEY, "-t", "90d", "--allowed-domains", "a.*.lan"]), &["a.*.lan"]),
        (issuer(&["-n", "/I", "-s", SIGNER_KEY, "-t", "90d", "--key-usage", "CertSign"]), &["key-usage", "CertSign"]),
        (
            issuer(&[
                "-n",
                "/I",
                "-s",
                SIGNER_KEY,
                "-t",
                "90d",
                "--enable-acme",
                "--gw-cluster-url",
                "URL",
                "--server-flag=false",
            ]),
            &["server-flag"],
        ),
        (
            issuer(&["-n", "/I", "-s", SIGNER_KEY, "-t", "90d", "--challenges", "email-reply-00"]),
            &["challenge", "email-reply-00"],
        ),
    ] {
        assert_says(&ca.run(&typed).refused(), words);
        assert_eq!(everything(&ca), before, "{typed:?} has changed something");
    }
}

#[test]
fn what_does_not_exist_is_named() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    for typed in [
        vec!["describe-item", "--name", "/Nowhere"],
        vec!["delete-item", "--name", "/Nowhere"],
        vec!["set-item-state", "--name", "/Nowhere", "--desired-state", "Disabled"],
        vec!["update-pki-cert-issuer", "--name", "/Nowhere", "--signer-key-name", SIGNER_KEY, "--ttl", "1d"],
        vec!["generate-acme-eab", "--cert-issuer-name", "/Nowhere"],
        vec!["list-acme-accounts", "--cert-issuer-name", "/Nowhere"],
        vec!["get-certificate-value", "--name", "/Nowhere"],
        vec!["deactivate-acme-account", "--cert-issuer-name", &issuer.name, "--acme-account-id", "/Nowhere"],
    ] {
        assert_says(&ca.run(&typed).refused(), &["/Nowhere"]);
    }
    // A thing of another kind is no better than none.
    assert_says(&ca.run(&["generate-acme-eab", "--cert-issuer-name", SIGNER_KEY]).refused(), &[SIGNER_KEY]);
    assert_says(&ca.run(&["get-certificate-value", "--name", ISSUER]).refused(), &[ISSUER]);
}

#[test]
fn a_wrong_csr_conf_is_refused_by_file_line_and_key() {
    let ca = Ca::start();
    let before = everything(&ca);
    for (published, spoiled, words) in [
        ("countryName= US", "countryName= USA", &["line 1", "countryName", "USA"][..]),
        ("localityName= NY", "localName= NY", &["line 3", "localName"]),
        ("localityName= NY", "countryName= NY", &["line 3", "countryName"]),
        ("CA:TRUE, pathlen:3", "CA:FALSE", &["line 8", "basicConstraints"]),
        ("pathlen:3", "pathlen:-1", &["line 8", "basicConstraints"]),
        ("keyCertSign", "keyCertSing", &["line 9", "keyUsage", "keyCertSing"]),
        (", keyCertSign", "", &["keyUsage", "keyCertSign"]),
        ("[ v3_req ]", "[ v3_req", &["line 7"]),
        ("commonName= acme.com", "commonName acme.com", &["line 6"]),
        ("[ v3_req ]", "[ v3_req ]\nsubjectAltName = DNS:acme.com", &["line 8", "subjectAltName"]),
    ] {
        let conf = ca.place.write("wrong.conf", CSR_CONF.replace(published, spoiled));
        let sentence = make_key(&ca, "/K", conf.to_str().unwrap()).refused();
        assert_says(&sentence, &["wrong.conf"]);
        assert_says(&sentence, words);
        assert_eq!(everything(&ca), before);
    }
    assert_says(&make_key(&ca, "/K", "/nonexistent/csr.conf").refused(), &["/nonexistent/csr.conf"]);
}

#[test]
fn a_csr_conf_may_be_written_in_every_way_that_people_write_it() {
    let ca = Ca::start();
    let published = make_subject(&ca, "/Published", CSR_CONF);
    let shouting =
        CSR_CONF.replace("keyUsage", "KEYUSAGE").replace("commonName", "CN").replace("keyCertSign", "KeyCertSign");
    assert_eq!(make_subject(&ca, "/Shouting", &shouting), published);
    let windows = format!("\u{feff}# made elsewhere\r\n; by hand\r\n{}", CSR_CONF.replace('\n', "\r\n"));
    assert_eq!(make_subject(&ca, "/Windows", &windows), published);
    let (subject, extensions) = CSR_CONF.split_once("[ v3_req ]").unwrap();
    let ordinary =
        format!("[req]\ndistinguished_name = dn\nreq_extensions = ext\n\n[dn]\n{subject}\n[ext]{extensions}");
    assert_eq!(make_subject(&ca, "/Ordinary", &ordinary), published);
}

fn make_subject(ca: &Ca, name: &str, conf: &str) -> Value {
    let path = ca.place.write("variant.conf", conf);
    make_key(ca, name, path.to_str().unwrap()).succeeded();
    let pem = crate::world::issuer::text(&ca.describe(name), "certificates");
    let mut facts = crate::world::judges::facts(&ca.place, &pem).remove(0);
    let extensions = facts["extensions"].take();
    serde_json::json!([facts["subject"], extensions["basicConstraints"], extensions["keyUsage"]])
}

fn make_key(ca: &Ca, name: &str, conf: &str) -> crate::world::outcome::Outcome {
    ca.run(&[
        "create-dfc-key",
        "--name",
        name,
        "--alg",
        "EC256",
        "--generate-self-signed-certificate",
        "true",
        "--certificate-ttl",
        "365",
        "--conf-file-path",
        conf,
    ])
}

fn everything(ca: &Ca) -> Value {
    ca.run(&["list-items", "--json"]).succeeded().json()
}
