//! Signers below others: a company's root, intermediates, rotation, renewal, and what a chain can carry.

use crate::world::csr::Csr;
use crate::world::daemon::Ca;
use crate::world::issuer::{ISSUER, Issuer, SIGNER_KEY, text};
use crate::world::judges::{facts, judge_ca_certificate, judge_chain, judge_crl, judge_ocsp_response, pem};
use crate::world::openssl::{blocks, crl_text, ocsp_request, ocsp_status, openssl, verify_with_crls};
use crate::world::openssl_ca::{CA_EXTENSIONS, OpensslCa, SUBORDINATE_EXTENSIONS};
use crate::world::outcome::{Outcome, assert_says};
use crate::world::plain::CHECKED;
use crate::world::responder::Responder;
use crate::world::wire::Wire;
use std::process::Command;

const COMPANY: &str = "/Company/Root";
const INTERMEDIATE: &str = "/Company/Intermediate";

#[test]
fn a_drill_from_a_companys_root_to_the_revocation_of_its_old_intermediate() {
    let ca = Ca::start();
    let place = &ca.place;

    // The company's root moves in, with what it revoked.
    let company = OpensslCa::new();
    company.leaf();
    company.revoke("leaf");
    let former = company.crl("proper");
    place.write("company.key", company.read("ca.key"));
    place.write("company.pem", &company.root_pem);
    place.write("company.crl", &former);
    let import = ["import-signer", "-n", COMPANY, "--key-file", "company.key", "--chain-file", "company.pem"];
    assert_says(&ca.run(&import).refused(), &["--crl", "--no-former-crl"]);
    // One by another key, one that was changed, one that tells a part only.
    let mut changed = former.clone();
    *changed.last_mut().unwrap() ^= 1;
    for (crl, words) in
        [(OpensslCa::new().crl("proper"), "sign"), (changed, "sign"), (company.crl("distributed"), "a part only")]
    {
        place.write("wrong.crl", &crl);
        assert_says(&ca.run(&[&import[..], &["--crl", "wrong.crl"]].concat()).refused(), &["--crl", words]);
    }
    ca.run(&[&import[..], &["--crl", "company.crl"]].concat()).succeeded();
    let root = text(&ca.describe(COMPANY), "certificates");
    assert_eq!(root, company.root_pem);

    // An intermediate below it, an issuer, a certificate.
    ca.run(&[
        "create-dfc-key",
        "-n",
        INTERMEDIATE,
        "-a",
        "EC384",
        "--signed-by",
        COMPANY,
        "--certificate-ttl",
        "90",
        "--certificate-common-name",
        "Acme Issuing CA",
    ])
    .succeeded();
    let issuer = ca.make_issuer_named(ISSUER, INTERMEDIATE, "ca.lan", "acme.com", &CHECKED);
    let first = blocks(&text(&ca.describe(INTERMEDIATE), "certificates"))[0].clone();
    judge_ca_certificate(&first, "", &root);
    let client = ca.client(&Issuer { root_pem: root.clone(), ..issuer });
    let responder = Responder::start(place.address, ca.http_01_port);
    let old = client.obtain(&["acme.com"], &responder);
    judge_chain(&old, &root, &["acme.com"]);
    assert_eq!(blocks(&old).len(), 2, "leaf and intermediate; who needs the root has it");
    assert_eq!(standing(&ca, &old, &root), "good");

    // A new key for the intermediate: the root signs it, and clients need nothing.
    let said = ca.run(&["rotate-key", "-n", INTERMEDIATE]).succeeded();
    assert_says(&said.stdout, &["clients need nothing"]);
    let second = blocks(&text(&ca.describe(INTERMEDIATE), "certificates"))[0].clone();
    assert_ne!(first, second);
    judge_ca_certificate(&second, "", &root);
    assert_eq!(facts(place, &second)[0]["subject"], "CN=Acme Issuing CA G2");
    let new = client.obtain(&["acme.com"], &responder);
    judge_chain(&new, &root, &["acme.com"]);
    assert_eq!(blocks(&new)[1], second);
    assert_eq!((standing(&ca, &old, &root), standing(&ca, &new, &root)), ("good".into(), "good".into()));

    // The old key's leaf is revoked, then the old intermediate itself.
    ca.run(&[
        "revoke-certificate",
        "-n",
        "/ACME/Server/Certificates/acme.com",
        "--version",
        "1",
        "--reason",
        "superseded",
    ])
    .succeeded();
    assert_eq!(standing(&ca, &old, &root), "revoked");
    ca.run(&["revoke-certificate", "-n", INTERMEDIATE, "--version", "1", "--reason", "cACompromise"]).succeeded();
    let said = verify_with_crls(place, &old, &root, &all_crls(&ca, &old, &root));
    assert_says(&said.seen(), &["certificate revoked"]);
    assert_eq!(standing(&ca, &new, &root), "good", "the new key has nothing to do with it");

    // The company's old revocation still stands, and its numbers went on.
    let list = ca.fetch(&format!("/crl/{}", text(&ca.describe(COMPANY), "display_id"))).expect(200);
    assert_eq!(list.header("content-type"), Some("application/pkix-crl"));
    judge_crl(&list.body, &root);
    let shown = crl_text(place, &list.body);
    assert_eq!(shown.matches("Serial Number:").count(), 2, "{shown}");
    assert_says(&shown, &["Key Compromise", "CA Compromise"]);
    ca.run(&["check"]).succeeded();
}

/// What a client that checks everything finds out about a chain: good or revoked. CRL and OCSP must agree.
fn standing(ca: &Ca, chain: &str, root: &str) -> String {
    let by_crl = verify_with_crls(&ca.place, chain, root, &all_crls(ca, chain, root));
    let word = match by_crl.status {
        Some(0) => "good",
        _ if by_crl.seen().contains("certificate revoked") => "revoked",
        _ => panic!("{}", by_crl.seen()),
    };
    ca.place.write("chain-of-client.pem", chain);
    let arguments =
        ["--verify", "--load-ca-certificate", "root.pem", "--load-crl", "crls.pem", "--infile", "chain-of-client.pem"];
    let output = Command::new("/usr/bin/certtool").args(arguments).current_dir(ca.place.path()).output().unwrap();
    let by_gnutls = Outcome::new("certtool --verify --load-crl", output);
    let gnutls_says = match by_gnutls.status {
        Some(0) => "good",
        _ if by_gnutls.seen().contains("revoked") => "revoked",
        _ => "neither",
    };
    assert_eq!(gnutls_says, word, "{}", by_gnutls.seen());
    let certificates = blocks(chain);
    let (leaf, issuer) = (&certificates[0], &certificates[1]);
    let request = ocsp_request(&ca.place, issuer, leaf, &["-no_nonce"]);
    let reply = ca.ask_ocsp(&key_identifier(ca, issuer), &request).expect(200);
    judge_ocsp_response(&reply.body, leaf, issuer);
    assert_eq!(ocsp_status(&ca.place, &reply.body, issuer, leaf, root, "-sha1"), word);
    word.to_string()
}

/// The CRL that the leaf names, and that of the root over its intermediates.
fn all_crls(ca: &Ca, chain: &str, root: &str) -> Vec<Vec<u8>> {
    let certificates = blocks(chain);
    let leaf = &facts(&ca.place, &certificates[0])[0];
    let point = leaf["extensions"]["cRLDistributionPoints"]["value"].as_str().unwrap();
    let url = point.split("value='").nth(1).unwrap().split('\'').next().unwrap();
    let shard = ca.fetch_url(url).expect(200).body;
    judge_crl(&shard, &certificates[1]);
    let above = ca.fetch(&format!("/crl/{}/ca.crl", key_identifier(ca, root))).expect(200).body;
    judge_crl(&above, root);
    vec![shard, above]
}

fn key_identifier(ca: &Ca, certificate: &str) -> String {
    let facts = &facts(&ca.place, certificate)[0];
    facts["extensions"]["subjectKeyIdentifier"]["value"].as_str().unwrap().to_string()
}

#[test]
fn a_root_is_rotated_while_clients_trust_the_old_one_only() {
    let ca = Ca::start();
    let issuer = ca.make_issuer_with("acme.com", &CHECKED);
    let (old_root, responder) = (issuer.root_pem.clone(), Responder::start(ca.place.address, ca.http_01_port));
    let client = ca.client(&issuer);
    client.obtain(&["acme.com"], &responder);
    let (door, _) = issuer.wire().handshake().unwrap();
    ca.run(&["rotate-key", "-n", SIGNER_KEY]).succeeded();
    let (new_door, _) = issuer.wire().handshake().unwrap();
    assert_ne!(door[0], new_door[0], "the daemon's own door is below the new key");
    assert_says(&ca.run(&["rotate-key", "-n", SIGNER_KEY]).refused(), &["not finished", "--finish"]);

    // The client trusts the old root, and gets on: the daemon's own door and the new leaf chain up to it.
    let order = client.ready_order(&["acme.com"], &responder);
    client.finalize(&order, &Csr::for_names(&["acme.com"])).expect(200);
    let chain = client.certificate(&order);
    judge_chain(&chain, &old_root, &["acme.com"]);
    let body = client.fetch(&order.url).expect(200).json();
    let download = client.fetch(&text(&body, "certificate")).expect(200);
    let links = download.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("link"));
    let alternate =
        links.filter_map(|(_, value)| value.strip_suffix(">;rel=\"alternate\"")).next().expect("an alternate");
    let alternate = client.fetch(alternate.trim_start_matches('<')).expect(200).text();
    let new_root = blocks(&alternate)[1].clone();
    assert_eq!(blocks(&alternate)[0], blocks(&chain)[0], "the same leaf");
    judge_ca_certificate(&new_root, "", &new_root);
    judge_chain(&alternate, &new_root, &["acme.com"]);
    judge_ca_certificate(&blocks(&chain)[1], "", &old_root);
    assert_eq!(pem("CERTIFICATE", &new_door[1]), blocks(&chain)[1], "the door shows the same cross certificate");

    ca.run(&["rotate-key", "-n", SIGNER_KEY, "--finish"]).succeeded();
    let mut client = client;
    client.wire = Wire::new(ca.listen, "ca.lan", &new_root);
    let chain = client.fetch(&text(&body, "certificate"));
    assert_eq!(chain.expect(200).text(), alternate, "chains end in the new root now");
    assert!(issuer.wire().try_connect().is_err(), "who trusts the old root only was to be told first");
    assert_says(&ca.run(&["rotate-key", "-n", SIGNER_KEY, "--finish"]).refused(), &["no rotation to finish"]);
    // The old key's certificates are still spoken for.
    for root in [&old_root, &new_root] {
        judge_crl(&ca.fetch(&format!("/crl/{}.crl", key_identifier(&ca, root))).expect(200).body, root);
        judge_crl(&ca.fetch(&format!("/crl/{}/ca.crl", key_identifier(&ca, root))).expect(200).body, root);
    }
    ca.run(&["check"]).succeeded();
}

#[test]
fn another_ca_signs_a_key_and_its_next_one() {
    let ca = Ca::start();
    let company = OpensslCa::new();
    ca.run(&["create-dfc-key", "-n", "/K", "-a", "EC256", "--certificate-common-name", "Acme Issuing CA"]).succeeded();
    let issuer = ["create-pki-cert-issuer", "-n", "/I", "--signer-key-name", "/K", "-t", "30d"];
    assert_says(&ca.run(&issuer).refused(), &["no certificate", "import-signer-certificate"]);
    let sign = |name: &str| {
        let request = signer_request(&ca);
        openssl(&ca.place, &["req", "-in", "signer.csr", "-noout", "-verify"]).succeeded();
        let certificate = company.certify(name, &request, 90);
        ca.place.write("chain.pem", [certificate.as_str(), &company.root_pem].concat());
        certificate
    };
    let import = ["import-signer-certificate", "-n", "/K", "--chain-file", "chain.pem"];
    let first = sign("first");
    // Without the root nothing says whether the chain holds.
    ca.place.write("part.pem", &first);
    let part = ["import-signer-certificate", "-n", "/K", "--chain-file", "part.pem"];
    assert_says(&ca.run(&part).refused(), &["root"]);
    ca.run(&import).succeeded();
    assert_eq!(text(&ca.describe("/K"), "certificates"), first);
    judge_ca_certificate(&first, "", &company.root_pem);

    let issuer = ca.make_issuer_named("/I", "/K", "ca.lan", "acme.com", &[]);
    let client = ca.client(&Issuer { root_pem: company.root_pem.clone(), ..issuer });
    let responder = Responder::start(ca.place.address, ca.http_01_port);
    judge_chain(&client.obtain(&["acme.com"], &responder), &company.root_pem, &["acme.com"]);

    // Rotation waits for the other CA, and the old key signs meanwhile.
    assert_says(&ca.run(&["rotate-key", "-n", "/K"]).succeeded().stdout, &["export-signer-csr"]);
    assert_eq!(blocks(&client.obtain(&["acme.com"], &responder))[1], first);
    assert_says(&ca.run(&["renew-signer-certificate", "-n", "/K", "--certificate-ttl", "9"]).refused(), &["waits"]);
    let second = sign("second");
    ca.run(&import).succeeded();
    let chain = client.obtain(&["acme.com"], &responder);
    assert_eq!(blocks(&chain)[1], second);
    judge_chain(&chain, &company.root_pem, &["acme.com"]);
    // Another name for a key in use would leave what it signed without CRLs and answers.
    let refused = |certificate: &str, words: &[&str]| {
        ca.place.write("chain.pem", [certificate, &company.root_pem].concat());
        assert_says(&ca.run(&import).refused(), words);
    };
    let request = signer_request(&ca);
    refused(&company.certify_as("/CN=Other", "renamed", &request), &["another subject"]);
    refused(&company.issue("other", "/CN=Acme Issuing CA", SUBORDINATE_EXTENSIONS, 30), &["not of this key"]);
    refused(&company.leaf(), &["not one of a CA"]);
    refused(&company.certify("old", &request, -1), &["has ended"]);
    assert_eq!(text(&ca.describe("/K"), "certificates"), second, "nothing of that was taken");
    // A root that allows no CA below it.
    let strict = OpensslCa::with(&CA_EXTENSIONS.replace("CA:TRUE", "CA:TRUE,pathlen:0"));
    ca.place.write("chain.pem", [strict.certify("below", &request, 30), strict.root_pem.clone()].concat());
    assert_says(&ca.run(&import).refused(), &["path length"]);
}

/// What another CA is to sign.
fn signer_request(ca: &Ca) -> String {
    let request = ca.run(&["export-signer-csr", "-n", "/K"]).succeeded().stdout;
    ca.place.write("signer.csr", &request);
    request
}

#[test]
fn what_the_chain_cannot_carry_is_refused_at_new_order() {
    let ca = Ca::start();
    let company = OpensslCa::with(&format!(
        "{CA_EXTENSIONS}\nnameConstraints=critical,permitted;DNS:corp.lan,excluded;DNS:secret.corp.lan"
    ));
    ca.run(&["create-dfc-key", "-n", "/K", "-a", "EC256", "--certificate-common-name", "Corp CA"]).succeeded();
    let certificate = company.certify("corp", &signer_request(&ca), 90);
    ca.place.write("chain.pem", [certificate.as_str(), &company.root_pem].concat());
    ca.run(&["import-signer-certificate", "-n", "/K", "--chain-file", "chain.pem"]).succeeded();
    let url = ca.cluster_url("ca.lan");
    let create = |name: &str, url: &str, domains: &str| {
        ca.run(&[
            "create-pki-cert-issuer",
            "-n",
            name,
            "--signer-key-name",
            "/K",
            "-t",
            "30d",
            "--enable-acme",
            "true",
            "--gw-cluster-url",
            url,
            "--allowed-domains",
            domains,
            "--allow-subdomains",
            "true",
        ])
    };
    assert_says(&create("/I", &url, "corp.lan").refused(), &["ca.lan", "name constraints", "--tls-cert"]);
    let url = ca.cluster_url("ca.corp.lan");
    assert_says(&create("/I", &url, "acme.com").refused(), &["acme.com", "name constraints"]);
    create("/I", &url, "corp.lan").succeeded();
    let issuer = ca.issuer("/I", "/K", "ca.corp.lan");
    let client = ca.client(&Issuer { root_pem: company.root_pem.clone(), ..issuer });
    client.ask_for(&["a.corp.lan"]).expect(201);
    let refused = client.ask_for(&["x.secret.corp.lan"]).problem(400, "rejectedIdentifier");
    assert_says(&refused, &["name constraints"]);
}

#[test]
fn path_lengths_above_are_kept() {
    let ca = Ca::start();
    let conf = |length: u8| {
        let name = format!("{length}.conf");
        ca.place.write(
            &name,
            format!("commonName = CA {length}\n[ v3_req ]\nbasicConstraints = critical, CA:TRUE, pathlen:{length}\n"),
        );
        name
    };
    let make = |name: &str, conf: &str, by: &[&str]| {
        let flags = ["create-dfc-key", "-n", name, "-a", "EC256", "--certificate-ttl", "30", "--conf-file-path", conf];
        ca.run(&[&flags[..], by].concat())
    };
    let (none, one) = (conf(0), conf(1));
    make("/Root", &one, &["--generate-self-signed-certificate"]).succeeded();
    assert_says(&make("/Below", &one, &["--signed-by", "/Root"]).refused(), &["pathlen 1", "allows"]);
    make("/Below", &none, &["--signed-by", "/Root"]).succeeded();
    assert_says(&make("/Under", &none, &["--signed-by", "/Below"]).refused(), &["path length"]);
    assert_says(
        &make("/Both", &none, &["--signed-by", "/Root", "--generate-self-signed-certificate"]).refused(),
        &["one of"],
    );
    // A root that allows nothing below it cannot sign its next key either.
    make("/Lonely", &none, &["--generate-self-signed-certificate"]).succeeded();
    assert_says(&ca.run(&["rotate-key", "-n", "/Lonely"]).refused(), &["path length"]);
    assert_eq!(ca.item_names("/").len(), 3, "what was refused left nothing behind");
}

#[test]
fn a_signer_is_extended_without_a_new_key() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let before = facts(&ca.place, &issuer.root_pem).remove(0);
    assert_says(
        &ca.run(&["renew-signer-certificate", "-n", SIGNER_KEY, "--certificate-ttl", "30"]).refused(),
        &["no later"],
    );
    ca.run(&["renew-signer-certificate", "-n", SIGNER_KEY, "--certificate-ttl", "730"]).succeeded();
    let root = text(&ca.describe(SIGNER_KEY), "certificates");
    let after = facts(&ca.place, &root).remove(0);
    assert_eq!((&after["subject"], &after["public_key"]), (&before["subject"], &before["public_key"]));
    assert!(after["not_after"].as_i64() > before["not_after"].as_i64());
    judge_ca_certificate(&root, "", &root);
    // Clients that trust the old certificate and clients that trust the new one both get on.
    let responder = Responder::start(ca.place.address, ca.http_01_port);
    let chain = ca.client(&issuer).obtain(&["acme.com"], &responder);
    judge_chain(&chain, &root, &["acme.com"]);
    judge_chain(&blocks(&chain)[0], &issuer.root_pem, &["acme.com"]);
}

#[test]
fn a_signer_from_elsewhere_is_taken_in_every_form_that_belongs_together() {
    let ca = Ca::start();
    let place = &ca.place;
    let make = |kind: &[&str], name: &str| {
        let key = format!("{name}.key");
        let pem = format!("{name}.pem");
        openssl(place, &[&["genpkey", "-out", &key], kind].concat()).succeeded();
        openssl(
            place,
            &[
                "req",
                "-x509",
                "-key",
                &key,
                "-out",
                &pem,
                "-days",
                "30",
                "-subj",
                "/CN=Old CA",
                "-addext",
                "keyUsage=critical,keyCertSign,cRLSign",
            ],
        )
        .succeeded();
    };
    let import = |name: &str, key: &str, chain: &str| {
        ca.run(&["import-signer", "-n", name, "--key-file", key, "--chain-file", chain, "--no-former-crl"])
    };
    let kinds: [(&str, &[&str]); 4] = [
        ("rsa", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]),
        ("p256", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
        ("p384", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]),
        ("ed25519", &["-algorithm", "ED25519"]),
    ];
    for (name, kind) in kinds {
        make(kind, name);
        import(&format!("/{name}"), &format!("{name}.key"), &format!("{name}.pem")).succeeded();
        let taken = text(&ca.describe(&format!("/{name}")), "certificates");
        assert_eq!(taken, std::fs::read_to_string(place.file(&format!("{name}.pem"))).unwrap());
        judge_crl(&ca.fetch(&format!("/crl/{}/ca.crl", key_identifier(&ca, &taken))).expect(200).body, &taken);
    }
    // The older forms hold the same keys.
    openssl(place, &["rsa", "-traditional", "-in", "rsa.key", "-out", "pkcs1.key"]).succeeded();
    openssl(place, &["ec", "-in", "p256.key", "-out", "sec1.key"]).succeeded();
    for (key, chain) in [("pkcs1.key", "rsa.pem"), ("sec1.key", "p256.pem")] {
        assert_says(&import("/Again", key, chain).refused(), &["already"]);
    }
    openssl(place, &["pkey", "-aes256", "-passout", "pass:x", "-in", "p384.key", "-out", "locked.key"]).succeeded();
    for (key, chain, words) in [
        ("locked.key", "p384.pem", &["encrypted", "openssl pkey -in"][..]),
        ("p256.key", "p384.pem", &["not the key of"]),
        ("p256.pem", "p256.pem", &["no private key"]),
        ("p256.key", "p256.key", &["--chain-file", "no certificate"]),
    ] {
        assert_says(&import("/Wrong", key, chain).refused(), words);
    }
    assert!(!ca.item_names("/").iter().any(|name| name == "/Wrong" || name == "/Again"));
}
