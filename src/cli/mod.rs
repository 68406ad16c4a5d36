//! What a person types: flags are understood here, commands go to the daemon over its socket, replies are shown.

mod acme_commands;
mod client;
mod commands;
mod environment;
mod flags;
mod issuer_commands;
mod quickstart;
mod serve;
mod show;

use crate::error::{Class, Error};
use commands::{Certwright, Command};
use flags::Given;
use std::process::ExitCode;

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
        Err(exit) if exit.status.is_ok() => {
            say(exit.output.trim_end());
            return Ok(());
        }
        Err(exit) => {
            let sentence = exit.output.split_whitespace().collect::<Vec<_>>().join(" ");
            return Err(Failure::Usage(format!("{sentence}; certwright {name} --help shows the flags")));
        }
    };
    match certwright.command {
        Command::Serve(_) => serve::run(&given),
        Command::Quickstart(command) => quickstart::run(&command),
        _ => command(&name, &given),
    }
}

/// A command that the daemon carries out.
fn command(name: &str, given: &[Given]) -> Result<(), Failure> {
    let socket = client::socket_path(given)?;
    let request = client::request(name, given)?;
    let reply = client::ask(&socket, &request)?;
    if let Some(warnings) = reply.get("warnings").and_then(|w| w.as_array()).filter(|_| name != "status") {
        for warning in warnings.iter().filter_map(|w| w.as_str()) {
            eprintln!("certwright: note: {warning}");
        }
    }
    let as_json = flags::is_set(given, "json");
    say(&show::reply(name, &reply, as_json)?);
    Ok(())
}

/// Print to standard output; a reader that went away is no error.
fn say(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Usage errors that only show after parsing, such as in a flag's value.
fn usage(e: Error) -> Failure {
    if e.class() == Class::Malformed { Failure::Usage(e.detail().to_owned()) } else { Failure::Refused(e) }
}
