//! The pages of packaging/: manual pages and completions are what the definitions behind `--help` say, and are good in the
//! eyes of those who read them.

mod bash;
mod fish;
mod man;
mod zsh;

use crate::world::binary::directory;
use crate::world::outcome::Outcome;
use argh::{FlagInfo, FlagInfoKind, Optionality};
use certwright::cli::definitions;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What writes them anew.
const WRITER: &str = "WRITE_PAGES=1 cargo test --locked --test stories pages::";

const MANUALS: [&str; 2] = ["man/certwright.1", "man/certwright.8"];
const BASH: &str = "completions/certwright.bash";
const ZSH: &str = "completions/_certwright";
const FISH: &str = "completions/certwright.fish";

#[test]
fn the_pages_are_those_of_the_definitions() {
    let date = run("/usr/bin/date", &["-u", "+%Y-%m-%d"]).stdout.trim().to_owned();
    let manual = |name: &str, page: fn(&str) -> String| {
        // A page is dated by the day on which it was changed.
        let before = man::date(&committed(name).unwrap_or_default()).unwrap_or_default();
        if committed(name).is_some_and(|text| text == page(&before)) { page(&before) } else { page(&date) }
    };
    let pages = [
        (MANUALS[0], manual(MANUALS[0], man::commands)),
        (MANUALS[1], manual(MANUALS[1], man::daemon)),
        (BASH, bash::completion()),
        (ZSH, zsh::completion()),
        (FISH, fish::completion()),
    ];
    let write = std::env::var_os("WRITE_PAGES").is_some();
    for (name, page) in pages {
        if write {
            std::fs::create_dir_all(file(name).parent().unwrap()).unwrap();
            std::fs::write(file(name), page).unwrap();
        } else {
            assert!(committed(name).is_some_and(|text| text == page), "packaging/{name} is not up to date: {WRITER}");
        }
    }
}

#[test]
fn manual_pages_are_without_fault() {
    for name in MANUALS {
        let path = file(name);
        let path = path.to_str().unwrap();
        let man = ["--warnings", "-E", "UTF-8", "-Tutf8", "-Z", "-l", path];
        let output = Command::new("/usr/bin/man")
            .args(man)
            .env("LC_ALL", "C.UTF-8")
            .env("MANROFFSEQ", "")
            .env("MANWIDTH", "80")
            .output();
        assert_eq!(Outcome::new("man", output.unwrap()).succeeded().stderr, "", "{name}");
        assert_eq!(run("/usr/bin/groff", &["-ww", "-man", "-T", "utf8", "-z", path]).seen(), "", "{name}");
        assert_eq!(run("/usr/bin/mandoc", &["-T", "lint", path]).seen(), "", "{name}");
    }
}

#[test]
fn manual_pages_tell_of_every_command_and_flag() {
    let shown = |name: &str| {
        let text = run("/usr/bin/mandoc", &["-T", "ascii", "-O", "width=1000", file(name).to_str().unwrap()]).stdout;
        // Bold and underlined letters are typed twice.
        let mut plain = String::new();
        for letter in text.chars() {
            if letter != '\u{8}' {
                plain.push(letter);
            } else if let Some((at, _)) = plain.char_indices().next_back() {
                plain.truncate(at);
            }
        }
        plain
    };
    let (commands, daemon) = (shown(MANUALS[0]), shown(MANUALS[1]));
    let common = section(&commands, "COMMON FLAGS");
    for command in definitions().commands {
        let is_daemon = command.name == "serve";
        let page = if is_daemon { daemon.clone() } else { section(&commands, &format!("   {}", command.name)) };
        let is_within_flag = |c: char| c == '-' || c.is_ascii_alphanumeric();
        for flag in flags(command.command.flags) {
            let page = if !is_daemon && man::COMMON.contains(&flag.long) { &common } else { &page };
            // At the head of an entry; examples have it too.
            let mut heads = page.lines().filter(|line| line.trim_start().starts_with('-'));
            let is_told = heads.any(|line| line.split(|c| !is_within_flag(c)).any(|word| word == flag.long));
            assert!(is_told, "{} {}: {page}", command.name, flag.long);
        }
        for example in command.command.examples {
            assert!(page.contains(example), "{example}: {page}");
        }
    }
}

/// What a shown page says below this heading, to the next one that is as high.
fn section(page: &str, heading: &str) -> String {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let mut lines = page.lines().skip_while(|line| line.trim_end() != heading);
    assert!(lines.next().is_some(), "no section is about {heading}");
    lines.take_while(|line| line.is_empty() || depth(line) > depth(heading)).collect::<Vec<_>>().join("\n")
}

#[test]
fn bash_proposes_commands_flags_and_values() {
    let proposed = |line: &str| {
        let script = format!(
            "source {}; line='{line}'; COMP_LINE=$line COMP_POINT=${{#line}}; \
             read -ra COMP_WORDS <<< \"${{line//=/ = }}\"; [[ $line != *' ' ]] || COMP_WORDS+=(''); \
             COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _certwright; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            file(BASH).display()
        );
        // As under `set -u`, which some people have in their shell.
        let output = Command::new("/bin/bash").args(["--norc", "-uc", &script]).current_dir(directory()).output();
        let outcome = Outcome::new(line, output.unwrap());
        assert_eq!(outcome.stderr, "", "{line}");
        words(&outcome.stdout)
    };
    assert_proposes(proposed);
    assert_eq!(proposed("certwright create-dfc-key --alg=RSA"), ["RSA2048", "RSA3072", "RSA4096"]);
    let two = "certwright create-pki-cert-issuer --profiles classic,tls";
    assert_eq!(proposed(two), ["classic,tlsserver"]);
    assert_eq!(proposed("certwright import-signer --key-file certw"), ["certwright"], "a file of this directory");
    let again = proposed("certwright create-pki-cert-issuer --name /I --allowed-domains a --");
    assert!(again.contains(&"--allowed-domains".to_owned()), "{again:?}");
    assert!(!again.contains(&"--name".to_owned()), "it is given already: {again:?}");
    let truths = proposed("certwright create-pki-cert-issuer --enable-acme t");
    assert_eq!(truths, ["true"]);
    assert_eq!(proposed("certwright create-pki-cert-issuer --enable-acme="), ["false", "true"]);
    let registered = format!("source {}; complete -p certwright", file(BASH).display());
    assert!(run("/bin/bash", &["--norc", "-c", &registered]).stdout.contains("-F _certwright certwright"));
}

#[test]
fn fish_proposes_commands_flags_and_values() {
    run("/usr/bin/fish", &["--no-execute", file(FISH).to_str().unwrap()]);
    assert_proposes(|line| {
        let script = format!("source {}; complete --do-complete '{line}'", file(FISH).display());
        let outcome = run("/usr/bin/fish", &["--no-config", "-c", &script]);
        assert_eq!(outcome.stderr, "", "{line}");
        // A proposal, a tab, and what it means.
        let lines: Vec<&str> = outcome.stdout.lines().map(|line| line.split('\t').next().unwrap()).collect();
        words(&lines.join("\n"))
    });
}

#[test]
fn zsh_proposes_commands_flags_and_values() {
    let path = file(ZSH);
    run("/usr/bin/zsh", &["-f", "-n", path.to_str().unwrap()]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stories/pages/proposals.zsh");
    let arguments = ["-f", script.to_str().unwrap(), path.parent().unwrap().to_str().unwrap()];
    let proposed = |line: &str| {
        let said = run("/usr/bin/zsh", &[&arguments[..], &[line]].concat()).stdout;
        let lines: Vec<&str> = said.lines().filter_map(|said| Some(said.split_once("PROPOSED:")?.1)).collect();
        words(&lines.join("\n"))
    };
    assert_proposes(proposed);
    assert_eq!(proposed("certwright create-pki-cert-issuer --profiles classic,tls"), ["tlsserver"]);
}

/// What any shell proposes.
fn assert_proposes(proposed: impl Fn(&str) -> Vec<String>) {
    assert_eq!(proposed("certwright create-"), ["create-dfc-key", "create-pki-cert-issuer"]);
    let mut names: Vec<String> = definitions().commands.iter().map(|command| command.name.to_owned()).collect();
    names.sort();
    let all = proposed("certwright ");
    assert!(names.iter().all(|name| all.contains(name)), "{all:?}");
    for command in definitions().commands {
        let offered = proposed(&format!("certwright {} --", command.name));
        for flag in flags(command.command.flags) {
            assert!(offered.iter().any(|word| word == flag.long), "{} {}: {offered:?}", command.name, flag.long);
        }
    }
    assert_eq!(proposed("certwright create-dfc-key --alg RSA"), ["RSA2048", "RSA3072", "RSA4096"]);
    assert_eq!(proposed("certwright create-dfc-key -a E"), ["EC256", "EC384", "ED25519"]);
    assert_eq!(proposed("certwright revoke-certificate --reason key"), ["keyCompromise"]);
    assert_eq!(proposed("certwright set-item-state --desired-state "), ["Disabled", "Enabled"]);
}

/// The flags that are a command's own.
fn flags<'f>(all: &'f [FlagInfo<'f>]) -> impl Iterator<Item = &'f FlagInfo<'f>> {
    all.iter().filter(|flag| flag.long != "--help" && !flag.hidden)
}

/// What is written behind a flag, as far as its definition knows.
enum Takes<'a> {
    /// Nothing, or true or false.
    Truth,
    Words(Vec<&'a str>),
    File,
    Directory,
    Text,
}

fn takes<'a>(flag: &FlagInfo<'a>) -> Takes<'a> {
    match flag.kind {
        FlagInfoKind::Switch => Takes::Truth,
        FlagInfoKind::Option { arg_name } if arg_name.contains('|') => Takes::Words(arg_name.split('|').collect()),
        FlagInfoKind::Option { arg_name: "file" | "socket" | "program" } => Takes::File,
        FlagInfoKind::Option { arg_name: "dir" } => Takes::Directory,
        FlagInfoKind::Option { .. } => Takes::Text,
    }
}

fn is_repeatable(flag: &FlagInfo<'_>) -> bool {
    matches!(flag.optionality, Optionality::Repeating)
}

/// For a shell, between single quotes.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(name)
}

fn committed(name: &str) -> Option<String> {
    std::fs::read_to_string(file(name)).ok()
}

fn run(program: &str, arguments: &[&str]) -> Outcome {
    let output = Command::new(program).args(arguments).env("LC_ALL", "C.UTF-8").output();
    Outcome::new(format!("{program} {}", arguments.join(" ")), output.unwrap()).succeeded()
}

fn words(lines: &str) -> Vec<String> {
    let mut words: Vec<String> =
        lines.lines().map(|word| word.trim_end().to_owned()).filter(|w| !w.is_empty()).collect();
    words.sort();
    words
}
