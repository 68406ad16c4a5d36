//! `--help`, from the same definitions as everything else. argh's own would be a second copy of all words in the binary,
//! and would not say beside a flag what it takes.

use super::definitions;
use argh::{CommandInfoWithArgs, FlagInfo, FlagInfoKind, Optionality};

/// Where descriptions begin, and where lines end.
const INDENT: usize = 24;
const WIDTH: usize = 80;

/// What the program is, and its commands.
pub(super) fn of_program() -> String {
    let program = definitions();
    let mut page = format!("{}\n\nUsage: certwright COMMAND [--flag VALUE]...\n\nCommands:\n", program.description);
    for command in &program.commands {
        entry(&mut page, command.name, command.command.description);
    }
    page.push_str("\ncertwright COMMAND --help shows the flags of a command.\n");
    notes(&mut page, program.notes, "certwright");
    page
}

/// What a command does, and its flags.
pub(super) fn of_command(command: &CommandInfoWithArgs) -> String {
    let name = format!("certwright {}", command.name);
    let is_needed = |flag: &&FlagInfo<'_>| matches!(flag.optionality, Optionality::Required);
    let mut page = String::new();
    wrapped(&mut page, "", 0, command.description);
    page.push_str(&format!("\nUsage: {name}"));
    for flag in command.flags.iter().filter(is_needed) {
        page.push_str(&format!(" {}{}", flag.long, value(flag)));
    }
    page.push_str(" [--flag VALUE]...\n\nFlags:\n");
    for flag in command.flags.iter().filter(|flag| flag.long != "--help") {
        let short = flag.short.map_or_else(String::new, |letter| format!("-{letter}, "));
        entry(&mut page, &format!("{short}{}{}", flag.long, value(flag)), flag.description);
    }
    if !command.examples.is_empty() {
        page.push_str("\nExample:\n");
        command
            .examples
            .iter()
            .for_each(|example| page.push_str(&format!("  {example}\n").replace("{command_name}", &name)));
    }
    notes(&mut page, command.notes, &name);
    page
}

/// What a flag takes, as it stands behind it.
fn value(flag: &FlagInfo<'_>) -> String {
    match flag.kind {
        FlagInfoKind::Option { arg_name } => format!(" <{arg_name}>"),
        FlagInfoKind::Switch => String::new(),
    }
}

fn notes(page: &mut String, notes: &[&str], name: &str) {
    if !notes.is_empty() {
        page.push('\n');
        notes.iter().for_each(|note| wrapped(page, "", 0, &note.replace("{command_name}", name)));
    }
}

/// A word and what it means, beside it where there is room.
fn entry(page: &mut String, word: &str, meaning: &str) {
    let mut word = format!("  {word}");
    if word.chars().count() >= INDENT {
        page.push_str(&format!("{word}\n"));
        word.clear();
    }
    wrapped(page, &word, INDENT, meaning);
}

/// Words in lines; `begun` stands in the first one already.
fn wrapped(page: &mut String, begun: &str, indent: usize, text: &str) {
    let mut line = format!("{begun:indent$}");
    let mut is_empty = true;
    for word in text.split_whitespace() {
        let width = line.chars().count().saturating_add(word.chars().count());
        if !is_empty && width >= WIDTH {
            page.push_str(&format!("{line}\n"));
            line = " ".repeat(indent);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    page.push_str(&format!("{line}\n"));
}
