//! What a person sees on a terminal, and a program in a pipe does not: colours, lines that fit, progress.

use crate::world::binary::directory;
use crate::world::csr::Csr;
use crate::world::daemon::Ca;
use crate::world::issuer::{CERTIFICATES, ISSUER};
use crate::world::openssl_ca::OpensslCa;
use crate::world::outcome::{Outcome, assert_says};
use std::process::{Command, Stdio};

const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const BOLD: &str = "\x1b[1m";

#[test]
fn tables_have_colours_and_fit_on_a_terminal_only() {
    let ca = Ca::start();
    let issuer = ca.make_issuer_with("acme.com", &["--allow-subdomains"]);
    let client = ca.unchallenged_client(&issuer, "acme.com,*.acme.com");
    let long = format!("{}.acme.com", "a-long-name".repeat(4));
    for name in ["acme.com", &long] {
        client.finalize(&client.order(&[name]), &Csr::for_names(&[name])).expect(200);
    }
    ca.run(&["revoke-certificate", "-n", &format!("{CERTIFICATES}/acme.com"), "--reason", "superseded"]).succeeded();

    let seen = on_terminal(&ca, "certwright list-certificates", 80, &[]);
    for part in [&format!("{BOLD}NAME"), &format!("{GREEN}Valid"), &format!("{RED}Revoked"), "…"] {
        assert!(seen.contains(part), "{part:?} in {seen:?}");
    }
    assert!(seen.lines().all(|line| visible(line) <= 80), "{seen}");
    assert!(!seen.contains(&long), "{seen}");
    let wide = on_terminal(&ca, "certwright list-certificates", 300, &[]);
    assert!(wide.contains(&long) && !wide.contains('…'), "{wide}");

    for variable in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let plain = on_terminal(&ca, "certwright list-certificates", 80, &[variable]);
        assert!(plain.contains("Revoked") && plain.contains('…') && !plain.contains('\x1b'), "{plain:?}");
    }
    assert!(
        on_terminal(&ca, "certwright list-certificates", 80, &[("NO_COLOR", "")]).contains(BOLD),
        "empty is not set"
    );

    let piped = in_pipe(&ca, "list-certificates").stdout;
    assert!(piped.contains(&long) && !piped.contains(['\x1b', '…']), "{piped}");
    let at = piped.find("STATUS").unwrap();
    let statuses: Vec<&str> = piped.lines().skip(1).map(|line| line[at..].split(' ').next().unwrap()).collect();
    assert_eq!(statuses, ["Valid", "Revoked"], "one below the other: {piped}");
}

#[test]
fn every_list_command_has_a_table_and_json() {
    let ca = Ca::start();
    let issuer = ca.make_issuer("acme.com");
    let client = ca.unchallenged_client(&issuer, "acme.com");
    client.finalize(&client.order(&["acme.com"]), &Csr::for_names(&["acme.com"])).expect(200);
    for (typed, heading, row) in [
        (&["list-items"][..], "NAME", ISSUER),
        (&["list-certificates"], "NOT AFTER", "acme.com"),
        (&["list-acme-eabs", "-n", ISSUER], "NO CHALLENGE", "yes"),
    ] {
        let shown = ca.run(typed).succeeded().stdout;
        assert_says(shown.lines().next().unwrap(), &[heading]);
        assert_says(&shown, &[row]);
        ca.run(&[typed, &["--json"]].concat()).succeeded().json();
    }
    let nothing = ca.run(&["list-items", "--filter", "nothing like it"]).succeeded().stdout;
    assert_says(&nothing, &["no such items"]);
}

#[test]
fn long_work_shows_progress_on_a_terminal_and_nothing_in_a_pipe() {
    let mut ca = Ca::start();
    for number in ["1", "2"] {
        ca.make_signer_key(&format!("/Turned{number}"));
        let other = OpensslCa::new();
        ca.place.write(&format!("ca{number}.key"), other.read("ca.key"));
        ca.place.write(&format!("ca{number}.pem"), &other.root_pem);
    }
    for (typed, words) in [
        ("create-dfc-key --name /Key@ --alg RSA4096", "making the key, "),
        ("rotate-key --name /Turned@", "making the next key, "),
        ("import-signer --name /Other@ --key-file ca@.key --chain-file ca@.pem --no-former-crl", "taking over the "),
        ("check", "checking, "),
        ("backup --with-fragments --to backup@.tar", " MiB of "),
    ] {
        assert_shows_progress(&ca, typed, words);
    }
    assert!(ca.stop().success());
    let state = format!("--state-dir {}", ca.state_dir().display());
    assert_shows_progress(&ca, &format!("check --offline {state}"), "checking, ");
    assert_shows_progress(&ca, &format!("restore --from backup@.tar {state}"), "restoring, ");
}

/// A command whose names have an @, which is 1 on a terminal and 2 in a pipe.
fn assert_shows_progress(ca: &Ca, typed: &str, words: &str) {
    let seen = on_terminal(ca, &format!("certwright {}", typed.replace('@', "1")), 80, &[]);
    let (_, after) = seen.rsplit_once(words).unwrap_or_else(|| panic!("{typed}: no \"{words}\" in {seen:?}"));
    assert!(after.contains("\r\x1b[K"), "{typed}: it stays on the terminal: {seen:?}");

    let piped = in_pipe(ca, &typed.replace('@', "2"));
    // Notes are for everybody.
    let said: Vec<&str> = piped.stderr.lines().filter(|line| !line.starts_with("certwright: note: ")).collect();
    assert_eq!(said, [""; 0], "{typed}");
    assert!(!piped.seen().contains(['\x1b', '\r']), "{typed}: {}", piped.seen());
}

/// What a command shows on a terminal of so many columns; standard error comes there as well.
fn on_terminal(ca: &Ca, line: &str, columns: usize, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new("/usr/bin/script");
    command.args(["--quiet", "--return", "--command", &format!("stty cols {columns}; {line}"), "/dev/null"]);
    command.env_clear().env("PATH", format!("{}:/usr/bin:/bin", directory().display()));
    command.env("TERM", "xterm").env("SHELL", "/bin/sh").env("CERTWRIGHT_ADMIN_SOCKET", ca.admin_socket());
    command.envs(variables.iter().copied()).current_dir(ca.place.path()).stdin(Stdio::null());
    Outcome::new(line, command.output().unwrap()).succeeded().stdout
}

/// The same command from a terminal whose output goes elsewhere.
fn in_pipe(ca: &Ca, typed: &str) -> Outcome {
    let output = ca.command(&typed.split(' ').collect::<Vec<_>>()).env("TERM", "xterm").output().unwrap();
    Outcome::new(typed, output).succeeded()
}

/// How many letters of a line are seen, without what sets its colours.
fn visible(line: &str) -> usize {
    let mut parts = line.trim_end().split('\x1b');
    let first = parts.next().unwrap_or_default().chars().count();
    first + parts.map(|part| part.split_once('m').map_or(0, |(_, text)| text.chars().count())).sum::<usize>()
}
