//! What a person types, right or wrong: exit status 2 for wrong usage, 1 for a refusal, and a sentence for both.

use crate::world::binary::certwright;
use crate::world::daemon::Ca;
use crate::world::issuer::{ISSUER, SIGNER_KEY};
use crate::world::outcome::{Outcome, assert_says};

#[test]
fn wrong_usage_names_what_is_wrong_and_exits_with_two() {
    for (typed, words) in [
        (&["create-dfc-key", "--alg", "EC256"][..], &["--name"][..]),
        (&["create-dfc-key", "--name", "/K"], &["--alg"]),
        (&["create-pki-cert-issuer", "--name", "/I", "--ttl", "90d"], &["--signer-key-name"]),
        (&["describe-item", "--name"], &["--name"]),
        (&["list-acme-accounts"], &["--cert-issuer-name"]),
        (&["deactivate-acme-account", "--cert-issuer-name", "/I"], &["--acme-account-id"]),
        (&["create-pki-cert-issuer", "--allowed-domain", "a.lan"], &["--allowed-domain", "--allowed-domains"]),
        (&["generate-acme-eab", "--cert-isuer-name", "/I"], &["--cert-isuer-name", "--cert-issuer-name"]),
        (&["create-dfc-kye", "--name", "/K"], &["create-dfc-kye", "create-dfc-key"]),
        (&["describe-item", "--name", "/K", "--name", "/L"], &["--name"]),
        (&["describe-item", "--name", "/K", "stray"], &["stray"]),
        (&["create-pki-cert-issuer", "--enable-acme=maybe"], &["--enable-acme", "maybe"]),
        (&["serve", "--listen", "nowhere"], &["--listen", "nowhere"]),
        (&["serve", "--validation-allow", "10.0.0.0/33"], &["--validation-allow", "10.0.0.0/33"]),
        (&["serve", "--http-01-port", "65536"], &["--http-01-port", "65536"]),
        (&["serve", "--workers", "0"], &["--workers"]),
        (&["serve", "--tls-cert", "a.pem"], &["--tls-key"]),
        (&["serve", "--retain", "forever"], &["--retain", "forever"]),
        (&["serve", "--retain", "23h"], &["--retain", "23h", "1d"]),
        (&["serve", "--retain-records=6d"], &["--retain-records", "6d", "100d"]),
    ] {
        // No daemon runs: wrong usage is known without one.
        let outcome = without_daemon(typed);
        assert_says(&outcome.misused(), words);
    }
}

#[test]
fn what_is_known_and_not_offered_is_refused_by_name() {
    let issuer = ["create-pki-cert-issuer", "--name", "/I", "--signer-key-name", "/K", "--ttl", "1d"];
    for flag in ["--is-ca", "--max-path-len=1", "--scheduled-activity=x"] {
        refused_by_name(&issuer, flag);
    }
}

fn refused_by_name(command: &[&str], flag: &str) {
    let outcome = without_daemon(&[command, &[flag]].concat());
    assert_says(&outcome.misused(), &[flag.split('=').next().unwrap()]);
}

fn without_daemon(typed: &[&str]) -> Outcome {
    let output = certwright().args(typed).env("CERTWRIGHT_ADMIN_SOCKET", "/nonexistent/admin.sock").output().unwrap();
    Outcome::new(format!("certwright {}", typed.join(" ")), output)
}

#[test]
fn every_spelling_that_published_texts_use_works() {
    let ca = Ca::start();
    ca.make_signer_key(SIGNER_KEY);
    let url = format!("--gw-cluster-url={}", ca.cluster_url("ca.lan"));
    for (number, (spelling, enabled)) in [
        (&["--enable-acme"][..], true),
        (&["--enable-acme", "true"], true),
        (&["--enable-acme=true"], true),
        (&["--enable-acme", "false"], false),
        (&["--enable-acme=false"], false),
        (&[], false),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("Spellings/{number}");
        // A flag right after the boolean must not be taken for its value, and the leading slash may be missing.
        let typed = [
            &["create-pki-cert-issuer", "-n", &name, "-s", "ACME/Server/SignerKey", &url],
            spelling,
            &["-t", "1d12h", "--allowed-domains", "a.lan,b.lan", "--allowed-domains=c.lan"],
        ]
        .concat();
        ca.run(&typed).succeeded();
        let described = ca.describe(&name);
        let details = &described["certificate_issue_details"];
        assert_eq!(described["item_name"], format!("/{name}"), "a leading slash on output, always");
        assert_eq!(details["max_ttl"], 36 * 60 * 60);
        assert_eq!(details["pki_cert_issuer_details"]["acme_enabled"], enabled, "{spelling:?}");
        let domains = &details["pki_cert_issuer_details"]["allowed_domains_list"];
        assert_eq!(domains, &serde_json::json!(["a.lan", "b.lan", "c.lan"]));
    }
}

#[test]
fn a_setting_comes_from_the_environment_and_a_flag_wins() {
    let mut ca = Ca::planned(&[]);
    let elsewhere = ca.place.make_directory("elsewhere");
    let mut command = ca.serve_command();
    command.env("CERTWRIGHT_STATE_DIR", &elsewhere).env("CERTWRIGHT_WORKERS", "none");
    let refused = Outcome::new("serve with a wrong variable", command.output().unwrap());
    assert_says(&refused.misused(), &["workers", "none"]);

    let mut command = ca.serve_command();
    let unknown = Outcome::new("serve", command.env("CERTWRIGHT_LISTNE", "127.0.0.1:0").output().unwrap());
    assert_says(&unknown.misused(), &["CERTWRIGHT_LISTNE", "CERTWRIGHT_LISTEN"]);
    let malformed =
        Outcome::new("serve", ca.serve_command().env("CERTWRIGHT_BEHIND_PROXY", "10.0.0.1/8").output().unwrap());
    assert_says(&malformed.misused(), &["CERTWRIGHT_BEHIND_PROXY", "10.0.0.0/8"]);
    assert!(std::fs::read_dir(&elsewhere).unwrap().next().is_none());
    assert!(std::fs::read_dir(ca.state_dir()).unwrap().next().is_none(), "a refused start leaves nothing behind");

    ca.launch_with(|command| {
        command.env("CERTWRIGHT_STATE_DIR", &elsewhere).env("CERTWRIGHT_VALIDATION_ALLOW", "127.0.0.0/8,::1/128");
    });
    assert!(std::fs::read_dir(&elsewhere).unwrap().next().is_none(), "the flag wins");
    assert!(std::fs::read_dir(ca.state_dir()).unwrap().next().is_some());
}

#[test]
fn people_read_one_line_and_programs_read_json() {
    let ca = Ca::start();
    ca.make_issuer("acme.com");
    for typed in [&["status"][..], &["list-items"], &["set-item-state", "--name", ISSUER, "--desired-state", "Enabled"]]
    {
        let human = ca.run(typed).succeeded().stdout;
        assert!(!human.trim().is_empty() && !human.starts_with('{'), "{typed:?}: {human}");
        ca.run(&[typed, &["--json"]].concat()).succeeded().json();
    }
    for typed in [&["describe-item", "-n", ISSUER][..], &["list-acme-accounts", "--cert-issuer-name", ISSUER]] {
        ca.run(typed).succeeded().json();
    }
    let version = Outcome::new("--version", certwright().arg("--version").output().unwrap()).succeeded();
    assert_says(&version.stdout, &[env!("CARGO_PKG_VERSION")]);
    let help = Outcome::new("--help", certwright().args(["create-dfc-key", "--help"]).output().unwrap()).succeeded();
    assert_says(
        &help.stdout,
        &["--alg <RSA2048|", "--split-level", "--conf-file-path", "Example:\n  certwright create-"],
    );
    for typed in [["create-dfc-key", "-h"], ["help", "create-dfc-key"]] {
        assert_eq!(Outcome::new("help", certwright().args(typed).output().unwrap()).succeeded().stdout, help.stdout);
    }
}

#[test]
fn variables_of_others_may_be_anything_and_ours_are_text() {
    use std::os::unix::ffi::OsStrExt;
    let odd = std::ffi::OsStr::from_bytes(b"\xff");
    let serve = |name: &str| {
        let mut command = crate::world::binary::certwright();
        command.args(["serve", "--state-dir", "/nonexistent/state"]).env(name, odd).stdin(std::process::Stdio::null());
        Outcome::new(format!("certwright serve with {name}"), command.output().unwrap())
    };
    assert_says(&serve("FOREIGN").refused(), &["/nonexistent/state"]);
    assert_says(&serve("CERTWRIGHT_WORKERS").misused(), &["CERTWRIGHT_WORKERS", "UTF-8"]);
}
