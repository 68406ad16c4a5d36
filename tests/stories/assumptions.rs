//! What a command or a request takes for granted may have changed by the time it is carried out; what it does not say may
//! be meant. Each story here went wrong once.

use crate::world::account_key::AccountKey;
use crate::world::acme::Order;
use crate::world::base64url;
use crate::world::csr::Csr;
use crate::world::daemon::Ca;
use crate::world::issuer::{CSR_CONF, SIGNER_KEY};
use crate::world::outcome::assert_says;
use crate::world::patience::{eventually, seconds};
use crate::world::responder::Responder;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

#[test]
fn updates_of_different_settings_at_once_lose_none() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    for round in 0..10 {
        let (domain, website) = (format!("d{round}.acme.com"), format!("https://w{round}.acme.com"));
        std::thread::scope(|scope| {
            let update = |flag: &'static str, value: String| {
                let ca = &ca;
                let name = issuer.name.clone();
                move || ca.run(&["update-pki-cert-issuer", "--name", &name, flag, &value]).succeeded()
            };
            scope.spawn(update("--allowed-domains", domain.clone()));
            scope.spawn(update("--website", website.clone()));
        });
        let details = &ca.describe(&issuer.name)["certificate_issue_details"]["pki_cert_issuer_details"];
        assert_eq!(details["allowed_domains_list"], json!([domain]));
        assert_eq!(details["website"], json!(website));
    }
}

#[test]
fn no_issuer_is_left_over_a_key_that_is_deleted_at_the_same_time() {
    let ca = Ca::start();
    for round in 0..10 {
        let (key, issuer) = (format!("/K{round}"), format!("/I{round}"));
        ca.make_signer_key(&key);
        let url = ca.cluster_url("ca.lan");
        let (made, deleted) = std::thread::scope(|scope| {
            let make = scope.spawn(|| {
                let flags = ["--enable-acme", "--gw-cluster-url", &url, "--allowed-domains", "acme.com"];
                let make = ["create-pki-cert-issuer", "-n", &issuer, "-s", &key, "-t", "90d"];
                ca.run(&[&make[..], &flags[..]].concat()).status == Some(0)
            });
            let delete = scope.spawn(|| ca.run(&["delete-item", "-n", &key, "--delete-immediately"]).status == Some(0));
            (make.join().unwrap(), delete.join().unwrap())
        });
        assert!(!(made && deleted), "round {round}: the issuer was made and its key deleted");
    }
}

#[test]
fn an_empty_list_of_permitted_domains_is_no_permission_for_everything() {
    let ca = Ca::start();
    let limited = ca.place.write("limited.conf", format!("{CSR_CONF}nameConstraints = permitted;DNS:acme.com\n"));
    let nothing = ca.place.write("nothing.conf", format!("{CSR_CONF}nameConstraints = critical\n"));
    let make = |flags: &[&str]| {
        let key = [
            "create-dfc-key",
            "-n",
            "/K",
            "-a",
            "EC256",
            "--generate-self-signed-certificate",
            "--certificate-ttl",
            "9",
        ];
        ca.run(&[&key[..], flags].concat()).refused()
    };
    assert_says(&make(&["--certificate-common-name", "K", "--permitted-domains="]), &["permitted-domains", "empty"]);
    assert_says(&make(&["--conf-file-path", limited.to_str().unwrap(), "--permitted-domains="]), &["empty"]);
    assert_says(&make(&["--conf-file-path", nothing.to_str().unwrap()]), &["nothing.conf, line 10", "permits nothing"]);
    assert!(!ca.item_names("/").contains(&"/K".to_owned()));
}

#[test]
fn a_validity_that_is_over_when_it_is_finalized_is_refused_and_no_fault() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let client = ca.client(&issuer);
    let responder = Responder::start(ca.place.address, ca.http_01_port);
    let end = now() + 4;
    let reply = client.post(&client.url("newOrder"), &order_until(end)).expect(201);
    let order = Order::from(reply);
    client.prove(&order, &responder);
    eventually("the moment passes", seconds(10), || (now() > end).then_some(()));
    assert_says(&client.finalize(&order, &Csr::for_names(&["acme.com"])).problem(400, "malformed"), &["over"]);
}

#[test]
fn a_validity_beyond_the_signers_end_is_refused_when_it_is_ordered() {
    let ca = Ca::start();
    let key = ["create-dfc-key", "-n", "/Short", "-a", "EC256", "--generate-self-signed-certificate"];
    ca.run(&[&key[..], &["--certificate-ttl", "1", "--certificate-common-name", "Short"]].concat()).succeeded();
    let client = ca.client(&ca.make_issuer_named("/Short/Issuer", "/Short", "ca.lan", "acme.com", &[]));
    let hour = 60 * 60;
    let beyond = client.post(&client.url("newOrder"), &order_until(now() + 25 * hour));
    assert_says(&beyond.problem(400, "malformed"), &["notAfter"]);
    client.post(&client.url("newOrder"), &order_until(now() + 22 * hour)).expect(201);
}

#[test]
fn a_disabled_signer_key_signs_nothing_and_says_so() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let client = ca.client(&issuer);
    let responder = Responder::start(ca.place.address, ca.http_01_port);
    let order = client.ready_order(&["acme.com"], &responder);
    ca.run(&["set-item-state", "--name", SIGNER_KEY, "--desired-state", "Disabled"]).succeeded();
    let reply = client.finalize(&order, &Csr::for_names(&["acme.com"]));
    assert_eq!(reply.status, 503, "{reply:?}");
    reply.required_header("Retry-After");
    assert_says(&reply.text(), &["serverInternal", "at the moment"]);
    assert_says(&ca.log(), &["is Disabled; enable it with set-item-state"]);
    let warnings = ca.run(&["status"]).succeeded().stdout;
    assert_says(&warnings, &[SIGNER_KEY, "Disabled"]);
    ca.run(&["set-item-state", "--name", SIGNER_KEY, "--desired-state", "Enabled"]).succeeded();
    client.finalize(&order, &Csr::for_names(&["acme.com"])).expect(200);
    let certificate = ["set-item-state", "--name", "/ACME/Server/Certificates/acme.com", "--desired-state", "Disabled"];
    assert_says(&ca.run(&certificate).refused(), &["certificate"]);
}

#[test]
fn the_host_of_another_issuer_is_not_for_sale_either() {
    let ca = Ca::start();
    let open = ca.make_issuer_with("acme.com", &["--allow-any-name"]);
    ca.make_issuer_named("/Other", SIGNER_KEY, "other.example", "acme.com", &[]);
    ca.client(&open).ask_for(&["other.example"]).refused_as("rejectedIdentifier");
    ca.client(&open).ask_for(&["another.example"]).expect(201);
}

#[test]
fn fragments_stay_in_use_when_a_place_is_added() {
    let mut ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let elsewhere = ca.place.make_directory("elsewhere");
    assert!(ca.stop().success());
    ca.launch_with(|serve| {
        serve.arg("--fragment-dir").arg(elsewhere);
    });
    let status = ca.run(&["status", "--json"]).succeeded().json();
    assert_eq!(status["warnings"], json!([]));
    let responder = Responder::start(ca.place.address, ca.http_01_port);
    ca.client(&issuer).obtain(&["acme.com"], &responder);
}

#[test]
fn strangers_with_a_wrong_mac_leave_no_audit_rows_and_refused_accounts_do() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let client = ca.client(&issuer);
    let rows = || ca.query("SELECT count(*) FROM audit WHERE outcome = 'refused'").trim().to_owned();
    assert_eq!(rows(), "0");
    let mut eab = ca.make_eab(&issuer);
    eab.mac_key = base64url::encode([7; 32]);
    let mut stranger = issuer.client(AccountKey::es256());
    stranger.register(&eab).refused_as("unauthorized");
    assert_eq!(rows(), "0");
    client.ask_for(&["evil.example"]).refused_as("rejectedIdentifier");
    assert_eq!(rows(), "1");
    let actor = ca.query("SELECT actor FROM audit WHERE outcome = 'refused'");
    assert!(actor.starts_with("account "), "{actor}");
}

fn order_until(end: i64) -> Value {
    json!({"identifiers": [{"type": "dns", "value": "acme.com"}], "notAfter": rfc3339(end)})
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

fn rfc3339(at: i64) -> String {
    certwright::clock::Time(at).to_string()
}
