//! What a person types: flags are understood here, commands go to the daemon over its socket, replies are shown.

mod acme_commands;
mod backup;
mod certificate_commands;
mod client;
mod client_config;
mod commands;
mod environment;
mod flags;
mod help;
mod issuer_commands;
mod lists;
mod offline;
mod progress;
mod quickstart;
mod record_commands;
mod serve;
mod show;
mod signer_commands;
mod status;
mod table;
mod terminal;
mod trust;

use crate::error::{Class, Error};
use argh::{ArgsInfo, CommandInfoWithArgs};
use commands::{Certwright, Command};
use flags::Given;
use progress::Progress;
use serde_json::Value;
use std::process::ExitCode;
use std::time::Duration;

/// How often audit --follow looks for new rows.
const FOLLOW_PAUSE: Duration = Duration::from_millis(500);

/// What went wrong, as the exit status tells it.
enum Failure {
    /// The command line itself is wrong: exit 2.
    Usage(String),
    /// The command was refused or could not be carried out: exit 1.
    Refused(Error),
}

impl From<Error> for Failure {
    fn from(e: Error) -> Failure {
        Failure::Refused(e)
    }
}

/// Every command with its flags, for --help, the pre-pass over the command line, man pages and completions.
pub fn definitions() -> CommandInfoWithArgs {
    Certwright::get_args_info()
}

/// Run the program on its own arguments and environment.
pub fn run() -> ExitCode {
    let arguments = std::env::args_os().skip(1).map(|a| a.into_string()).collect::<Result<Vec<_>, _>>();
    let outcome = match arguments {
        Ok(arguments) => carry_out(&arguments),
        Err(_) => Err(Failure::Usage("the arguments are not all UTF-8 text".into())),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(why)) => {
            eprintln!("certwright: {why}");
            ExitCode::from(2)
        }
        Err(Failure::Refused(e)) => {
            eprintln!("certwright: {e}");
            ExitCode::from(1)
        }
    }
}

fn carry_out(arguments: &[String]) -> Result<(), Failure> {
    match arguments.first().map(String::as_str) {
        Some("--version" | "-V" | "version") => {
            say(concat!("certwright ", env!("CARGO_PKG_VERSION")));
            return Ok(());
        }
        None => return Err(Failure::Usage("say which command; certwright --help lists them".into())),
        Some(_) => {}
    }
    let parsed = flags::parse(arguments)?;
    let (name, given) = match parsed {
        flags::Parsed::Help(text) => {
            say(text.trim_end());
            return Ok(());
        }
        flags::Parsed::Command(name, given) => (name, given),
    };
    let argv = flags::for_argh(&name, &given);
    let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
    let certwright = match Certwright::parse(&argv) {
        Ok(certwright) => certwright,
        Err(exit) => {
            let sentence = exit.output.split_whitespace().collect::<Vec<_>>().join(" ");
            return Err(Failure::Usage(format!("{sentence}; certwright {name} --help shows the flags")));
        }
    };
    match certwright.command {
        Command::Serve(_) => serve::run(&given),
        Command::Quickstart(command) => quickstart::run(&command),
        Command::ClientConfig(_) => client_config::run(&given),
        Command::Trust(_) => trust::run(&given),
        Command::Audit(_) if flags::is_set(&given, "follow") => follow(&given),
        Command::Backup(_) => backup::run(&given),
        Command::Restore(_) => offline::restore(&given),
        Command::Config(_) if flags::is_set(&given, "offline") => offline::config(&given),
        Command::Check(_) if flags::is_set(&given, "offline") => offline::check(&given),
        _ => command(&name, &given),
    }
}

/// A command that the daemon carries out.
fn command(name: &str, given: &[Given]) -> Result<(), Failure> {
    let socket = client::socket_path(given)?;
    let mut request = client::request(name, given)?;
    let progress = Progress::of(name);
    let mut reply = client::ask(&socket, &request)?;
    drop(progress);
    if let Some(count) = reply.get("would_revoke").and_then(|n| n.as_u64()) {
        if !ask_back(count)? {
            say("Nothing was revoked.");
            return Ok(());
        }
        if let Some(members) = request.as_object_mut() {
            members.insert("yes".into(), true.into());
        }
        reply = client::ask(&socket, &request)?;
    }
    if let Some(path) = flags::text(given, "export-fragment") {
        client::keep_fragments(&socket, path, &request, &mut reply)?;
    }
    // It shows them itself.
    if name != "status" {
        note_warnings(&reply);
    }
    let as_json = flags::is_set(given, "json");
    say(&show::reply(name, &reply, as_json)?);
    Ok(())
}

/// What a reply warns of goes where no program reads.
fn note_warnings(reply: &Value) {
    for warning in reply.get("warnings").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        eprintln!("certwright: note: {warning}");
    }
}

/// Whether somebody who sees the number is sure.
fn ask_back(count: u64) -> Result<bool, Failure> {
    use std::io::IsTerminal;
    if !std::io::stdin().is_terminal() {
        let why = format!("{count} certificate(s) would be revoked; say --yes if that is what you want");
        return Err(Failure::Refused(Error::conflict(why)));
    }
    Ok(says_yes(&format!("{count} certificate(s) will be revoked. Go on? [y/N] ")))
}

/// Ask somebody at a terminal.
fn says_yes(question: &str) -> bool {
    eprint!("{question}");
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

/// Show the audit log from its newest rows on, as it grows.
fn follow(given: &[Given]) -> Result<(), Failure> {
    if flags::is_set(given, "verify") {
        return Err(Failure::Usage("--follow does not go with --verify; give one of them".into()));
    }
    let socket = client::socket_path(given)?;
    let mut request = client::request("audit", given)?;
    let as_json = flags::is_set(given, "json");
    loop {
        let reply = client::ask(&socket, &request)?;
        for row in reply.get("rows").and_then(|rows| rows.as_array()).into_iter().flatten() {
            let line = if as_json { row.to_string() } else { show::audit_row(row) };
            if !said(&line) {
                return Ok(());
            }
        }
        if let (Some(members), Some(last)) = (request.as_object_mut(), reply.get("last")) {
            members.insert("after".into(), last.clone());
        }
        std::thread::sleep(FOLLOW_PAUSE);
    }
}

/// Print to standard output; a reader that went away is no error.
fn say(text: &str) {
    let _ = said(text);
}

/// The same; false when nobody reads any more.
fn said(text: &str) -> bool {
    use std::io::Write;
    writeln!(std::io::stdout(), "{text}").is_ok()
}

/// For a POSIX shell.
fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_');
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Usage errors that only show after parsing, such as in a flag's value.
fn usage(e: Error) -> Failure {
    if e.class() == Class::Malformed { Failure::Usage(e.detail().to_owned()) } else { Failure::Refused(e) }
}
