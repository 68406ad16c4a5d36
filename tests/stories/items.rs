//! Items in an administrator's hands: listed, changed, disabled, deleted.

use crate::world::account_key::AccountKey;
use crate::world::csr::Csr;
use crate::world::daemon::Ca;
use crate::world::issuer::{CERTIFICATES, ISSUER, SIGNER_KEY, text};
use crate::world::outcome::assert_says;
use crate::world::responder::Responder;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;

#[test]
fn items_are_listed_by_type_filter_and_path() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let responder = Responder::start(ca.place.address, ca.http_01_port);
    ca.client(&issuer).obtain(&["acme.com"], &responder);
    let certificate = format!("{CERTIFICATES}/acme.com");

    let names = |flags: &[&str]| {
        let reply = ca.run(&[&["list-items", "--json"], flags].concat()).succeeded().json();
        let mut names: Vec<String> =
            reply["items"].as_array().unwrap().iter().map(|item| text(item, "item_name")).collect();
        names.sort();
        names
    };
    assert_eq!(names(&[]), [ISSUER, certificate.as_str(), SIGNER_KEY]);
    assert_eq!(names(&["--type", "DFC_KEY"]), [SIGNER_KEY]);
    assert_eq!(names(&["--type", "PKI_CERT_ISSUER"]), [ISSUER]);
    assert_eq!(names(&["--type", "CERTIFICATE"]), [certificate.as_str()]);
    assert_eq!(names(&["--filter", "Signer"]), [SIGNER_KEY]);
    assert_eq!(names(&["--filter", "no such thing"]), [""; 0]);
    assert_eq!(names(&["--path", CERTIFICATES]), [certificate.as_str()]);
    let top = ca.run(&["list-items", "--json", "--path", "/ACME/Server"]).succeeded().json();
    assert_eq!(top["folders"], json!([CERTIFICATES]));
    assert_says(&ca.run(&["list-items", "--type", "SECRET"]).stderr, &["SECRET", "DFC_KEY"]);
}

#[test]
fn an_item_is_described_by_name_display_id_and_item_id() {
    let ca = Ca::start();
    ca.make_issuer("acme.com");
    let by_name = ca.describe(ISSUER);
    for (flag, member) in [("--display-id", "display_id"), ("-d", "display_id"), ("--item-id", "item_id")] {
        let id = match &by_name[member] {
            Value::String(id) => id.clone(),
            other => other.to_string(),
        };
        assert_eq!(ca.run(&["describe-item", flag, &id]).succeeded().json(), by_name);
    }
    assert_eq!(ca.run(&["describe-item", "-n", ISSUER.trim_start_matches('/')]).succeeded().json(), by_name);
    assert_eq!(by_name["item_type"], "PKI_CERT_ISSUER");
    assert_eq!(by_name["item_state"], "Enabled");
    assert_eq!(by_name["cert_issuer_signer_key_name"], SIGNER_KEY);
    assert_eq!(by_name["delete_protection"], false);
    let details = &by_name["certificate_issue_details"];
    assert_eq!(details["max_ttl"], 90 * 24 * 60 * 60);
    assert_eq!(details["pki_cert_issuer_details"]["destination_path"], CERTIFICATES);
    assert_eq!(details["pki_cert_issuer_details"]["gw_cluster_url"], ca.cluster_url("ca.lan"));
    assert_eq!(details["pki_cert_issuer_details"]["allow_subdomains"], false);
    let key = ca.describe(SIGNER_KEY);
    assert_eq!(key["item_type"], "DFC_KEY");
    assert_says(&text(&key, "public_value"), &["BEGIN PUBLIC KEY"]);
    assert!(!key.to_string().contains("PRIVATE"));
}

#[test]
fn an_updated_issuer_allows_what_it_says_now() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let client = ca.client(&issuer);
    client.ask_for(&["new.lan"]).refused_as("rejectedIdentifier");
    let url = ca.cluster_url("ca.lan");
    let update = [
        "update-pki-cert-issuer",
        "--name",
        ISSUER,
        "--signer-key-name",
        SIGNER_KEY,
        "--ttl",
        "1d",
        "--gw-cluster-url",
        &url,
        "--destination-path",
        CERTIFICATES,
        "--enable-acme",
        "true",
        "--allowed-domains",
        "new.lan",
    ];
    let id = text(&ca.describe(ISSUER), "display_id");
    ca.run(&update).succeeded();
    assert_eq!(text(&ca.describe(ISSUER), "display_id"), id);
    client.ask_for(&["new.lan"]).expect(201);
    client.ask_for(&["acme.com"]).refused_as("rejectedIdentifier");

    ca.dns.point("new.lan", ca.place.address);
    let responder = Responder::start(ca.place.address, ca.http_01_port);
    let chain = client.obtain(&["new.lan"], &responder);
    let leaf = &crate::world::judges::facts(&ca.place, &chain)[0];
    assert_eq!(leaf["not_after"].as_i64().unwrap() - leaf["not_before"].as_i64().unwrap(), 24 * 60 * 60 - 1);
}

#[test]
fn a_disabled_issuer_refuses_new_business_clearly() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let responder = Responder::start(ca.place.address, ca.http_01_port);
    let client = ca.client(&issuer);
    let chain = client.obtain(&["acme.com"], &responder);
    let ready = client.ready_order(&["acme.com"], &responder);
    let pending = client.order(&["acme.com"]);
    let challenge = client.http_01(&pending.authorizations()[0]);
    let eab = ca.make_eab(&issuer);

    ca.run(&["set-item-state", "--name", ISSUER, "--desired-state", "Disabled"]).succeeded();
    assert_eq!(ca.describe(ISSUER)["item_state"], "Disabled");
    for reply in [
        client.ask_for(&["acme.com"]),
        client.finalize(&ready, &Csr::for_names(&["acme.com"])),
        client.post(&text(&challenge, "url"), &json!({})),
        issuer.client(AccountKey::es256()).register(&eab),
    ] {
        assert_says(&reply.refused(), &["disabled"]);
    }
    // What was issued can still be fetched, over TLS that still works.
    assert_eq!(client.fetch(&ready.url).expect(200).json()["status"], "ready");
    assert_eq!(ca.certificate_value(&format!("{CERTIFICATES}/acme.com")), chain);

    ca.run(&["set-item-state", "--name", ISSUER, "--desired-state", "Enabled"]).succeeded();
    client.finalize(&ready, &Csr::for_names(&["acme.com"])).expect(200);
    issuer.client(AccountKey::es256()).register(&eab).expect(201);
}

#[test]
fn what_is_in_use_or_protected_is_not_deleted() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let responder = Responder::start(ca.place.address, ca.http_01_port);
    ca.client(&issuer).obtain(&["acme.com"], &responder);

    let sentence = ca.run(&["delete-item", "--name", SIGNER_KEY]).refused();
    assert_says(&sentence, &[SIGNER_KEY, ISSUER]);
    let sentence = ca.run(&["delete-item", "--name", ISSUER]).refused();
    assert_says(&sentence, &[ISSUER, "--force"]);
    assert_eq!(ca.describe(ISSUER)["item_state"], "Enabled");

    ca.run(&["create-dfc-key", "--name", "/Safe", "--alg", "EC256", "--delete-protection", "true"]).succeeded();
    assert_says(&ca.run(&["delete-item", "--name", "/Safe"]).refused(), &["/Safe", "protect"]);
    assert_eq!(ca.describe("/Safe")["delete_protection"], true);
}

#[test]
fn a_forced_deletion_ends_an_issuer_and_a_key_waits_seven_days() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let responder = Responder::start(ca.place.address, ca.http_01_port);
    let client = ca.client(&issuer);
    client.obtain(&["acme.com"], &responder);
    ca.make_issuer_named("/Other/Issuer", SIGNER_KEY, "ca.lan", "b.lan", &[]);

    ca.run(&["delete-item", "--name", ISSUER, "--force"]).succeeded();
    assert!(ca.run(&["describe-item", "--name", ISSUER]).status == Some(1));
    client.wire.request("GET", &issuer.directory, &[], b"").expect(404);
    ca.run(&["delete-item", "--name", "/Other/Issuer"]).succeeded();

    ca.run(&["create-dfc-key", "--name", "/Spare", "--alg", "EC256"]).succeeded();
    ca.run(&["delete-item", "--name", "/Spare"]).succeeded();
    assert_eq!(ca.describe("/Spare")["item_state"], "PendingDeletion");
    ca.run(&["create-dfc-key", "--name", "/Hasty", "--alg", "EC256"]).succeeded();
    ca.run(&["delete-item", "--name", "/Hasty", "--delete-immediately"]).succeeded();
    assert_eq!(ca.run(&["describe-item", "--name", "/Hasty"]).status, Some(1));
}

#[test]
fn keys_are_split_into_as_many_fragments_as_asked_for_and_each_is_needed() {
    let mut ca = Ca::start();
    let before = fragments(&ca);
    let key = ["create-dfc-key", "--name", "/Five", "--alg", "EC256", "--split-level", "5"];
    let certificate =
        ["--generate-self-signed-certificate", "--certificate-ttl", "9", "--certificate-common-name", "Five"];
    ca.run(&[&key[..], &certificate].concat()).succeeded();
    let own: Vec<PathBuf> = fragments(&ca).difference(&before).cloned().collect();
    assert_eq!(own.len(), 5);
    let issuer = ca.make_issuer_named(ISSUER, "/Five", "ca.lan", "acme.com", &[]);
    let responder = Responder::start(ca.place.address, ca.http_01_port);
    let client = ca.client(&issuer);
    let ready = client.ready_order(&["acme.com"], &responder);

    let hidden = ca.place.file("hidden-fragment");
    for fragment in own {
        assert!(ca.stop().success());
        std::fs::rename(&fragment, &hidden).unwrap();
        ca.launch();
        let reply = client.finalize(&ready, &Csr::for_names(&["acme.com"]));
        assert_eq!(reply.status, 503, "{reply}");
        assert!(reply.required_header("retry-after").parse::<u32>().unwrap() <= 600);
        assert_eq!(client.fetch(&ready.url).expect(200).json()["status"], "ready");
        let name = fragment.file_name().unwrap().to_str().unwrap();
        assert_says(&ca.run(&["status", "--json"]).seen(), &[name]);
        std::fs::rename(&hidden, &fragment).unwrap();
    }
    ca.restart();
    client.finalize(&ready, &Csr::for_names(&["acme.com"])).expect(200);
}

fn fragments(ca: &Ca) -> BTreeSet<PathBuf> {
    std::fs::read_dir(ca.state_dir().join("fragments")).unwrap().map(|entry| entry.unwrap().path()).collect()
}
