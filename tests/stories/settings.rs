//! `certwright config`: what the running daemon was told, and what another start would make of an environment.

use crate::world::binary::certwright;
use crate::world::daemon::Ca;
use crate::world::outcome::{Outcome, assert_says};
use serde_json::json;

#[test]
fn config_tells_what_the_running_daemon_uses_and_who_said_so() {
    let mut ca = Ca::planned(&["--validation-allow", "127.0.0.0/8"]);
    ca.set_variable("CERTWRIGHT_RETAIN", "2d");
    ca.set_variable("CERTWRIGHT_WORKERS", "5");
    ca.set_variable("CERTWRIGHT_EVENT_URL", "http://user:secret@127.0.0.1:9/token");
    ca.add_flags(&["--workers", "6"]);
    ca.launch();
    let shown = ca.run(&["config", "--json"]).succeeded().json();
    for (setting, value, from) in [
        ("state_dir", json!(ca.state_dir()), "flag"),
        ("listen", json!(ca.listen.to_string()), "flag"),
        ("workers", json!("6"), "flag"),
        ("validation_allow", json!(["127.0.0.0/8"]), "flag"),
        ("retain", json!("2d"), "environment"),
        ("event_url", json!("http://127.0.0.1:9/…"), "environment"),
        ("retain_records", json!("730d"), "default"),
        ("fragment_dir", json!([]), "default"),
        ("tls_cert", json!(null), "default"),
    ] {
        assert_eq!(shown[setting], json!({ "value": value, "from": from }), "{setting}");
    }
    // The variables of whoever asks are not the daemon's.
    let output = ca.command(&["config"]).env("CERTWRIGHT_RETAIN", "9d").output().unwrap();
    let table = Outcome::new("config", output).succeeded().stdout;
    let row = |setting: &str| table.lines().find(|line| line.starts_with(setting)).unwrap().to_owned();
    assert_eq!(words(&row("retain ")), ["retain", "2d", "CERTWRIGHT_RETAIN"]);
    assert_eq!(words(&row("workers ")), ["workers", "6", "--workers"]);
    assert_eq!(words(&row("tls-key ")), ["tls-key", "-", "default"]);
    assert!(!table.contains("secret") && !table.contains("token"), "{table}");
}

#[test]
fn config_offline_reads_an_environment_as_serve_would() {
    let config = |variables: &[(&str, &str)]| {
        let mut command = certwright();
        command.args(["config", "--offline"]).envs(variables.iter().copied());
        Outcome::new(format!("config --offline with {variables:?}"), command.output().unwrap())
    };
    let table = config(&[("CERTWRIGHT_DNS_SERVER", "192.0.2.1, 192.0.2.2:54"), ("PATH", "/bin")]).succeeded().stdout;
    let rows: Vec<Vec<&str>> = table.lines().map(words).collect();
    assert!(rows.contains(&vec!["dns-server", "192.0.2.1:53,192.0.2.2:54", "CERTWRIGHT_DNS_SERVER"]), "{table}");
    assert!(rows.contains(&vec!["state-dir", "/var/lib/certwright", "default"]), "{table}");
    for (variable, value, said) in [
        ("CERTWRIGHT_STATEDIR", "/srv", &["CERTWRIGHT_STATEDIR", "did you mean CERTWRIGHT_STATE_DIR?"][..]),
        ("CERTWRIGHT_WORKERS", "many", &["CERTWRIGHT_WORKERS many", "not a number"]),
        ("CERTWRIGHT_VALIDATION_DENY", "10.0.0.0/33", &["CERTWRIGHT_VALIDATION_DENY"]),
        ("CERTWRIGHT_TLS_CERT", "cert.pem", &["--tls-key"]),
    ] {
        assert_says(&config(&[(variable, value)]).misused(), said);
    }
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}
