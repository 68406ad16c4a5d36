//! Revocation by an administrator, and how everybody learns of it: ACME, ARI, CRL, OCSP, lists.

use crate::world::acme::Client;
use crate::world::base64url;
use crate::world::csr::Csr;
use crate::world::daemon::Ca;
use crate::world::issuer::{CERTIFICATES, Issuer, SIGNER_KEY, text};
use crate::world::judges::{certificates, facts, judge_chain, judge_crl, judge_ocsp_response, pem};
use crate::world::openssl::{blocks, crl_text, ocsp_request, ocsp_status, openssl};
use crate::world::openssl_ca::OpensslCa;
use crate::world::outcome::assert_says;
use crate::world::patience::{eventually, seconds};
use crate::world::plain::{CHECKED, PUBLIC_URL};
use crate::world::responder::Responder;
use crate::world::wire::Reply;

/// A daemon with one issuer and two certificates, for acme.com and www.acme.com.
struct Scene {
    ca: Ca,
    issuer: Issuer,
    client: Client,
    responder: Responder,
    first: String,
    second: String,
}

impl Scene {
    fn with(flags: &[&str]) -> Scene {
        let ca = Ca::start();
        ca.dns.point("www.acme.com", ca.place.address);
        let issuer = ca.make_issuer_with("acme.com,www.acme.com", &[&CHECKED[..], flags].concat());
        let client = ca.client(&issuer);
        let responder = Responder::start(ca.place.address, ca.http_01_port);
        let first = client.obtain(&["acme.com"], &responder);
        let second = client.obtain(&["www.acme.com"], &responder);
        Scene { ca, issuer, client, responder, first, second }
    }

    fn key_identifier(&self) -> String {
        self.ca.key_identifier(SIGNER_KEY)
    }

    fn ask(&self, chain: &str, flags: &[&str]) -> Reply {
        let request = ocsp_request(&self.ca.place, &self.issuer.root_pem, &blocks(chain)[0], flags);
        self.ca.ask_ocsp(&self.key_identifier(), &request)
    }

    fn status(&self, chain: &str) -> String {
        let (root, leaf) = (&self.issuer.root_pem, &blocks(chain)[0]);
        let reply = self.ask(chain, &["-no_nonce"]).expect(200);
        judge_ocsp_response(&reply.body, leaf, root);
        ocsp_status(&self.ca.place, &reply.body, root, leaf, root, "-sha1")
    }

    /// The serial numbers on a CRL, as openssl reads them.
    fn listed(&self, path: &str) -> Vec<String> {
        let reply = self.ca.fetch(path).expect(200);
        judge_crl(&reply.body, &self.issuer.root_pem);
        let shown = crl_text(&self.ca.place, &reply.body);
        let serials = shown.lines().filter_map(|line| line.trim().strip_prefix("Serial Number: "));
        serials.map(str::to_lowercase).collect()
    }

    fn serial(&self, chain: &str) -> String {
        self.ca.place.write("one.pem", &blocks(chain)[0]);
        let shown = openssl(&self.ca.place, &["x509", "-in", "one.pem", "-noout", "-serial"]).succeeded().stdout;
        shown.trim().trim_start_matches("serial=").to_lowercase()
    }

    fn list(&self, flags: &[&str]) -> Vec<serde_json::Value> {
        let reply = self.ca.run(&[&["list-certificates", "--json"][..], flags].concat()).succeeded().json();
        reply["certificates"].as_array().unwrap().clone()
    }
}

#[test]
fn what_a_command_revokes_shows_everywhere_at_once() {
    let scene = Scene::with(&[]);
    let ca = &scene.ca;
    judge_chain(&scene.first, &scene.issuer.root_pem, &["acme.com"]);
    let leaf = &facts(&ca.place, &scene.first)[0];
    let ski = scene.key_identifier();
    for (extension, url) in [
        ("cRLDistributionPoints", format!("{PUBLIC_URL}/crl/{ski}/0.crl")),
        ("authorityInfoAccess", format!("{PUBLIC_URL}/ocsp/{ski}")),
        ("authorityInfoAccess", format!("{PUBLIC_URL}/ca/{ski}.cer")),
    ] {
        assert!(leaf["extensions"][extension]["value"].as_str().unwrap().contains(&url), "{extension}: {leaf}");
        assert_eq!(leaf["extensions"][extension]["critical"], false);
    }
    let shard = format!("/crl/{ski}/0.crl");
    let complete = format!("/crl/{}", text(&ca.describe(&scene.issuer.name), "display_id"));
    assert_eq!((scene.listed(&shard), scene.listed(&complete)), (Vec::new(), Vec::new()));
    assert_eq!(scene.status(&scene.first), "good");

    let name = format!("{CERTIFICATES}/acme.com");
    assert_says(
        &ca.run(&["revoke-certificate", "-n", &name, "--reason", "hold"]).refused(),
        &["--reason hold", "keyCompromise"],
    );
    assert_says(&ca.run(&["revoke-certificate", "-n", &name, "--version", "7"]).refused(), &["no version 7"]);
    let revoke = ["revoke-certificate", "-n", &name, "--reason", "keyCompromise", "--invalidity-date"];
    assert_says(&ca.run(&[&revoke[..], &["2099-01-01T00:00:00Z"]].concat()).refused(), &["future"]);
    ca.run(&[&revoke[..], &["2026-01-02T03:04:05Z"]].concat()).succeeded();

    let serial = scene.serial(&scene.first);
    assert_eq!(scene.listed(&shard), [serial.as_str()]);
    assert_eq!(scene.listed(&complete), [serial.as_str()]);
    let shown = crl_text(&ca.place, &ca.fetch(&complete).expect(200).body);
    assert_says(&shown, &["Key Compromise", "Invalidity Date", "Jan  2 03:04:05 2026 GMT"]);
    assert_eq!((scene.status(&scene.first).as_str(), scene.status(&scene.second).as_str()), ("revoked", "good"));
    let revoked = scene.list(&["--status", "Revoked"]);
    assert_eq!(revoked.len(), 1);
    assert_eq!((text(&revoked[0], "serial_number"), revoked[0]["reason"].as_u64()), (serial.clone(), Some(1)));
    let valid = scene.list(&["--status", "valid"]);
    assert_eq!(text(&valid[0], "name"), format!("{CERTIFICATES}/www.acme.com"));
    assert_eq!(scene.list(&["--serial-number", &serial]).len(), 1);
    assert_eq!(scene.list(&["--expires-within", "1d"]).len(), 0);
    assert_says(&ca.run(&["revoke-certificate", "--serial-number", &serial]).refused(), &["already"]);
    // ACME knows too: a second revocation is one too many.
    let der = certificates(&scene.first).remove(0);
    let payload = serde_json::json!({ "certificate": base64url::encode(&der) });
    scene.client.post(&scene.client.url("revokeCert"), &payload).problem(400, "alreadyRevoked");
    ca.run(&["check"]).succeeded();
}

#[test]
fn an_incident_takes_all_of_an_account_or_issuer_after_asking_back() {
    let scene = Scene::with(&[]);
    let account = scene.client.account.clone().unwrap();
    let account = account.rsplit('/').next().unwrap();
    let all = ["revoke-certificate", "--all-of-account", account];
    assert_says(&scene.ca.run(&all).refused(), &["2 certificate(s)", "--yes"]);
    assert_eq!(scene.status(&scene.first), "good", "nobody said yes");
    let said = scene.ca.run(&[&all[..], &["--yes"]].concat()).succeeded();
    assert_says(&said.stdout, &["2 certificate(s) revoked"]);
    assert_eq!((scene.status(&scene.first).as_str(), scene.status(&scene.second).as_str()), ("revoked", "revoked"));
    let again = ["revoke-certificate", "--all-of-issuer", &scene.issuer.name, "--yes", "--json"];
    assert_eq!(scene.ca.run(&again).succeeded().json()["revoked"], 0, "those that are revoked stay as they are");
    assert_says(&scene.ca.run(&["revoke-certificate", "--all-of-account", "999"]).refused(), &["no account 999"]);
}

#[test]
fn a_key_that_an_administrator_calls_compromised_gets_nothing_more() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let client = ca.client(&issuer);
    let responder = Responder::start(ca.place.address, ca.http_01_port);
    let csr = Csr::for_names(&["acme.com"]);
    let order = client.ready_order(&["acme.com"], &responder);
    client.finalize(&order, &csr).expect(200);
    let revoke = ["revoke-certificate", "-n", &format!("{CERTIFICATES}/acme.com"), "--reason"];
    // What is learnt later counts as well: the certificate stays as it was revoked, the key is blocked.
    ca.run(&[&revoke[..], &["superseded"]].concat()).succeeded();
    let order = client.ready_order(&["acme.com"], &responder);
    client.finalize(&order, &csr).expect(200);
    ca.run(&[&revoke[..], &["superseded", "--version", "2"]].concat()).succeeded();
    let said = ca.run(&[&revoke[..], &["keyCompromise", "--version", "1"]].concat()).succeeded();
    assert_says(&said.stdout, &["0 certificate(s) revoked", "1 were revoked before, and their keys are blocked now"]);
    let order = client.ready_order(&["acme.com"], &responder);
    assert_says(&client.finalize(&order, &csr).problem(400, "badPublicKey"), &["compromised"]);
}

#[test]
fn a_serial_number_from_before_a_restore_can_be_revoked() {
    let scene = Scene::with(&[]);
    let unknown = "7f0102030405060708090a0b0c0d0e0f";
    let revoke = ["revoke-certificate", "--serial-number", unknown];
    assert_says(&scene.ca.run(&revoke).refused(), &["--signer-key-name", "--not-after"]);
    let flags = ["--signer-key-name", SIGNER_KEY, "--not-after", "2099-01-01T00:00:00Z"];
    scene.ca.run(&[&revoke[..], &flags].concat()).succeeded();
    let ski = scene.key_identifier();
    for list in [format!("/crl/{ski}/0.crl"), format!("/crl/{ski}/ca.crl"), format!("/crl/{ski}.crl")] {
        assert_eq!(scene.listed(&list), [unknown], "{list}");
    }
    let over = ["--signer-key-name", SIGNER_KEY, "--not-after", "2020-01-01T00:00:00Z"];
    assert_says(&scene.ca.run(&[&revoke[..], &over].concat()).refused(), &["is over"]);
    let unclear = ["revoke-certificate", "--serial-number", "1000"];
    assert_says(&scene.ca.run(&[&unclear[..], &flags].concat()).refused(), &["two ways", "0x1000"]);
}

#[test]
fn ocsp_answers_whoever_asks_properly_and_nobody_can_buy_signatures() {
    let scene = Scene::with(&[]);
    let ca = &scene.ca;
    let (root, leaf) = (&scene.issuer.root_pem, &blocks(&scene.first)[0]);
    let path = format!("/ocsp/{}", scene.key_identifier());

    let reply = scene.ask(&scene.first, &["-no_nonce"]).expect(200);
    assert_eq!(reply.header("content-type"), Some("application/ocsp-response"));
    assert_eq!(scene.ask(&scene.first, &["-no_nonce"]).body, reply.body, "signed once");
    assert_eq!(scene.ask(&scene.first, &["-nonce"]).body, reply.body, "a nonce buys no signature");
    for hash in ["-sha256", "-sha1"] {
        let body = scene.ask(&scene.first, &[hash, "-no_nonce"]).expect(200).body;
        assert_eq!(ocsp_status(&ca.place, &body, root, leaf, root, hash), "good");
    }

    // By GET, as caches like it (RFC 5019, 5 and 6).
    let request = ocsp_request(&ca.place, root, leaf, &["-no_nonce"]);
    let encoded = pem("X", &request).lines().filter(|l| !l.starts_with('-')).collect::<String>();
    for encoded in [encoded.clone(), encoded.replace('/', "%2F").replace('+', "%2b").replace('=', "%3D")] {
        let got = ca.fetch(&format!("{path}/{encoded}")).expect(200);
        assert_eq!(got.body, reply.body);
        assert_says(&got.required_header("cache-control"), &["max-age=", "public", "no-transform", "must-revalidate"]);
        for header in ["etag", "expires", "last-modified"] {
            got.required_header(header);
        }
    }
    // What is no request, of another CA, or nowhere.
    let refusal = |code: u8| vec![0x30, 3, 0x0a, 1, code];
    let ski = scene.key_identifier();
    assert_eq!(ca.ask_ocsp(&ski, b"nonsense").expect(200).body, refusal(1));
    let other = OpensslCa::new();
    let foreign = ocsp_request(&ca.place, &other.root_pem, &other.leaf(), &["-no_nonce"]);
    assert_eq!(ca.ask_ocsp(&ski, &foreign).expect(200).body, refusal(6));
    ca.ask_ocsp(&"00".repeat(20), &request).expect(404);
    ca.ask_in_the_clear("POST", &path, &[("Content-Type", "text/plain")], &request).expect(404);
    ca.ask_in_the_clear("POST", "/ca/x.pem", &[], &request).expect(405);

    // A serial number that was never issued.
    ca.place.write("issuer.pem", root);
    openssl(&ca.place, &["ocsp", "-no_nonce", "-issuer", "issuer.pem", "-serial", "0x7f01", "-reqout", "unknown.der"])
        .succeeded();
    let unknown = ca.ask_ocsp(&ski, &std::fs::read(ca.place.file("unknown.der")).unwrap()).expect(200);
    ca.place.write("unknown.resp", &unknown.body);
    let shown = openssl(&ca.place, &["ocsp", "-respin", "unknown.resp", "-noverify", "-resp_text"]).succeeded();
    assert_says(&shown.stdout, &["Cert Status: unknown"]);
}

#[test]
fn a_responder_that_is_revoked_answers_no_more() {
    let scene = Scene::with(&[]);
    let responders = || scene.ca.run(&["audit", "--action", "ocsp-responder", "--json"]).succeeded().json();
    let before = scene.ask(&scene.first, &["-no_nonce"]).expect(200).body;
    let first = text(&responders()["rows"][0], "detail");
    let serial = first.strip_prefix("serial ").unwrap().to_string();
    scene.ca.run(&["revoke-certificate", "--serial-number", &serial, "--reason", "keyCompromise"]).succeeded();
    assert_eq!(scene.status(&scene.first), "good");
    assert_ne!(scene.ask(&scene.first, &["-no_nonce"]).expect(200).body, before);
    assert_eq!(responders()["rows"].as_array().unwrap().len(), 2, "another one answers");
    // It names no list, so it is on the complete one alone.
    let ski = scene.key_identifier();
    let lists = [format!("/crl/{ski}.crl"), format!("/crl/{ski}/0.crl"), format!("/crl/{ski}/ca.crl")];
    assert_eq!(lists.map(|list| scene.listed(&list)), [vec![serial], Vec::new(), Vec::new()]);
}

#[test]
fn an_issuer_that_offers_nonces_answers_them_live() {
    let scene = Scene::with(&["--ocsp-nonce=true"]);
    let ask = || scene.ask(&scene.first, &["-nonce"]).expect(200);
    let (first, second) = (ask(), ask());
    assert_ne!(first.body, second.body);
    assert_eq!(second.header("cache-control"), Some("no-store"));
    let place = &scene.ca.place;
    place.write("response.der", &second.body);
    place.write("root.pem", &scene.issuer.root_pem);
    let checked = openssl(
        place,
        &["ocsp", "-reqin", "request.der", "-respin", "response.der", "-CAfile", "root.pem", "-issuer", "issuer.pem"],
    )
    .succeeded();
    assert_says(&checked.seen(), &["Response verify OK"]);
    assert!(!checked.seen().contains("WARNING"), "{}", checked.seen());
}

#[test]
fn published_lists_are_served_while_the_signer_is_away() {
    let mut scene = Scene::with(&[]);
    let (shard, before) = (format!("/crl/{}/0.crl", scene.key_identifier()), scene.status(&scene.first));
    assert_eq!(before, "good");
    assert!(scene.ca.stop().success());
    let fragments = scene.ca.state_dir().join("fragments");
    let away = scene.ca.place.make_directory("away");
    for file in std::fs::read_dir(&fragments).unwrap() {
        let file = file.unwrap();
        std::fs::rename(file.path(), away.join(file.file_name())).unwrap();
    }
    scene.ca.launch();
    assert_eq!(scene.listed(&shard), Vec::<String>::new());
    assert_eq!(scene.status(&scene.first), "good", "the responder has a key of its own");
    // A revocation is taken all the same, and OCSP says so; the CRL follows when the signer is back.
    scene.ca.run(&["revoke-certificate", "-n", &format!("{CERTIFICATES}/acme.com")]).succeeded();
    assert_eq!(scene.status(&scene.first), "revoked");
    assert_says(&scene.ca.run(&["check"]).refused(), &["fragment"]);
    assert!(scene.ca.stop().success());
    for file in std::fs::read_dir(&away).unwrap() {
        let file = file.unwrap();
        std::fs::rename(file.path(), fragments.join(file.file_name())).unwrap();
    }
    scene.ca.launch();
    assert_eq!(scene.listed(&shard), [scene.serial(&scene.first)]);
}

#[test]
fn what_cannot_be_promised_is_not_written_into_certificates() {
    let ca = Ca::start();
    ca.make_signer_key(SIGNER_KEY);
    let conf = "commonName = CA\n[ v3_req ]\nbasicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign\n";
    ca.place.write("no-crl.conf", conf);
    ca.run(&[
        "create-dfc-key",
        "-n",
        "/NoCrl",
        "-a",
        "EC256",
        "--generate-self-signed-certificate",
        "--certificate-ttl",
        "9",
        "--conf-file-path",
        "no-crl.conf",
    ])
    .succeeded();
    let url = ca.cluster_url("ca.lan");
    let create = |key: &str, flags: &[&str]| {
        let base =
            ["create-pki-cert-issuer", "-n", "/I", "--signer-key-name", key, "-t", "5d", "--enable-acme", "true"];
        ca.run(&[&base[..], &["--gw-cluster-url", &url, "--allowed-domains", "acme.com"], flags].concat())
    };
    for flag in ["--create-private-crl=true", "--create-private-ocsp=true"] {
        assert_says(&create(SIGNER_KEY, &[flag]).refused(), &["--public-url"]);
    }
    assert_says(&create(SIGNER_KEY, &["--public-url", "https://ca.lan"]).refused(), &["http only"]);
    assert_says(&create(SIGNER_KEY, &["--public-url", PUBLIC_URL, "--ocsp-ttl", "9m"]).refused(), &["--ocsp-ttl"]);
    let flags = ["--public-url", PUBLIC_URL, "--create-private-crl=true"];
    assert_says(&create("/NoCrl", &flags).refused(), &["cRLSign"]);
    let made = create("/NoCrl", &["--public-url", PUBLIC_URL]).succeeded();
    assert_eq!(made.stderr, "", "a signer that cannot sign CRLs names none, without further words");
    assert_eq!(ca.describe("/I")["certificate_issue_details"]["pki_cert_issuer_details"]["create_private_crl"], false);
}

#[test]
fn certificates_of_a_deleted_issuer_can_still_be_revoked_by_their_key() {
    let scene = Scene::with(&[]);
    let ca = &scene.ca;
    // Another issuer certifies the daemon's door from now on.
    ca.make_issuer_named("/Second", SIGNER_KEY, "ca.lan", "b.com", &[]);
    let key = crate::world::account_key::AccountKey::rsa(2048);
    let csr = Csr::for_key(&ca.place, &key, &["acme.com"]);
    let order = scene.client.ready_order(&["acme.com"], &scene.responder);
    scene.client.finalize(&order, &csr).expect(200);
    let chain = scene.client.certificate(&order);
    ca.run(&["delete-item", "-n", &scene.issuer.name]).refused();
    ca.run(&["delete-item", "-n", &scene.issuer.name, "--force"]).succeeded();

    let mut holder = scene.client.clone();
    (holder.key, holder.account) = (key, None);
    let der = certificates(&chain).remove(0);
    let payload = serde_json::json!({ "certificate": base64url::encode(&der), "reason": 1 });
    holder.post(&holder.url("revokeCert"), &payload).expect(200);
    assert_eq!(scene.status(&chain), "revoked");
    eventually("the list says so within a second", seconds(1), || {
        (scene.listed(&format!("/crl/{}/0.crl", scene.key_identifier())) == [scene.serial(&chain)]).then_some(())
    });
    assert_eq!(scene.client.post(&scene.client.url("newOrder"), &serde_json::json!({})).status, 404, "nothing new");
}
