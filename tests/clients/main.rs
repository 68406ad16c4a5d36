//! Real clients against the real daemon, each through all that it can do, and a table of client by operation at the end.
//!
//! Arguments choose clients by a part of their names. A cell that a client can do and that fails, fails the run; so does
//! a client that is not installed (`tests/clients/install` installs them all).

// A test says that something went wrong by panicking.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing,
    clippy::string_slice
)]

mod as_printed;
mod drivers;
mod evidence;
mod journal;
mod machine;
mod operation;
mod panics;
mod stage;
mod tls_alpn_responder;
mod txt_records;
mod web_root;

/// What the stories are played with, of which this needs a part.
#[allow(dead_code, unused_imports)]
#[path = "../stories/world/mod.rs"]
mod world;

use journal::{Cell, Journal};
use operation::Operation;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

/// Clients mostly wait for the daemon and the daemon for them, so a few more than processors run at once.
const AT_ONCE: usize = 4;

fn main() -> ExitCode {
    panics::remember_panics();
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()));
    let clients: Vec<_> = drivers::CLIENTS.iter().filter(|client| is_wanted(client.name)).collect();

    let start = Instant::now();
    let (waiting, journals) = (Mutex::new(clients.iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap().next();
                    let Some(client) = next else { break };
                    let journal = Journal::of(client.name, client.drive);
                    println!("client {} ... {} in {:.0?}", client.name, journal.verdict(), journal.took);
                    journals.lock().unwrap().push(journal);
                }
            });
        }
    });
    let mut journals = journals.into_inner().unwrap();
    journals.sort_by_key(|journal| drivers::CLIENTS.iter().position(|client| client.name == journal.client));

    for journal in &journals {
        print!("{}", journal.complaints());
    }
    if !journals.is_empty() {
        print!("\n{}", table(&journals));
    }
    let count =
        |wanted: fn(&Cell) -> bool| journals.iter().flat_map(Journal::cells).filter(|cell| wanted(cell)).count();
    let failed = count(|cell| matches!(cell, Cell::Failed(_)));
    println!("\nreal clients took {:.0?}", start.elapsed());
    println!("clients: {} passed, {failed} failed", count(|cell| matches!(cell, Cell::Done(_))));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One line a client, one column an operation; then why a client cannot do what it cannot do.
fn table(journals: &[Journal]) -> String {
    let width = journals.iter().map(|journal| journal.client.len()).max().unwrap_or(0);
    let mut text = " ".repeat(width);
    for operation in Operation::ALL {
        text += &format!("  {:6}", operation.title());
    }
    text.push('\n');
    for journal in journals {
        text += &format!("{:width$}", journal.client);
        for (operation, cell) in journal.notes() {
            // As wide as its title, and "ok 10s" fits under the shortest.
            text += &format!("  {:1$}", cell.mark(), operation.title().len().max(6));
        }
        text.push('\n');
    }
    for journal in journals {
        for (operation, cell) in journal.notes() {
            if let Cell::Cannot(why) = cell {
                text += &format!("– {}, {}: {why}\n", journal.client, operation.title());
            }
        }
    }
    text
}
