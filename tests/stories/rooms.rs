//! The house has one way through it: a room uses rooms below it, never above and never beside.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

/// The layers, from the ground up. A new room gets its place here.
const LAYERS: &[&[&str]] = &[
    &["error"],
    &["clock", "identifier", "der", "near", "metrics", "absence", "systemd"],
    &["settings", "keys", "logging"],
    &["jose", "ca", "store"],
    &["policy"],
    &["issuance", "validation"],
    &["acme", "publication", "housekeeping", "backup", "health"],
    &["admin"],
    &["http"],
    &["front"],
    &["daemon"],
    &["cli", "main"],
];

#[test]
fn no_room_reaches_upwards_or_sideways() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let layers = layers();
    let mut complaints = Vec::new();
    let mut files = Vec::new();
    collect(&source, &mut files);
    assert!(files.len() > 20, "where is the source?");
    for file in files {
        let shown = file.strip_prefix(&source).unwrap();
        if shown == Path::new("lib.rs") || shown == Path::new("main.rs") {
            continue;
        }
        let room = shown.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        let Some(own) = layers.get(room) else {
            complaints.push(format!("{}: the room {room} has no layer", shown.display()));
            continue;
        };
        let text = fs::read_to_string(&file).unwrap();
        for (line, used) in rooms_used(&text, is_door(shown)) {
            match layers.get(used.as_str()) {
                _ if used == room => {}
                None => complaints.push(format!("{}:{line}: {used} is no room", shown.display())),
                Some(other) if other < own => {}
                Some(_) => complaints.push(format!("{}:{line}: {room} must not use {used}", shown.display())),
            }
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

/// Each file that needs it says why at its top.
#[test]
fn unsafe_code_is_where_it_has_a_reason() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&source, &mut files);
    let has_unsafe = |file: &&PathBuf| {
        let text = fs::read_to_string(file).unwrap();
        text.lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .any(|line| line.contains("unsafe {") || line.contains("unsafe_code"))
    };
    // lib.rs denies it.
    let found: Vec<_> = files.iter().filter(has_unsafe).map(|file| file.strip_prefix(&source).unwrap()).collect();
    let found: BTreeSet<_> = found.into_iter().collect();
    assert_eq!(found, BTreeSet::from([Path::new("lib.rs"), Path::new("systemd/sockets.rs")]));
}

/// What comes from outside makes nothing panic and wraps no number, and nobody says that here it may.
#[test]
fn what_could_panic_or_wrap_is_denied_everywhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let lints = manifest.split("\n[lints.clippy]\n").nth(1).unwrap().split("\n[").next().unwrap();
    for lint in ["unwrap_used", "expect_used", "panic", "unreachable", "indexing_slicing", "string_slice"] {
        assert!(lints.lines().any(|line| line == format!("{lint} = \"deny\"")), "{lint}");
    }
    let release = manifest.split("\n[profile.release]\n").nth(1).unwrap().split("\n[").next().unwrap();
    assert!(release.lines().any(|line| line == "overflow-checks = true"), "{release}");
    let (source, mut files, mut allowed) = (root.join("src"), Vec::new(), BTreeSet::new());
    collect(&source, &mut files);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let shown = file.strip_prefix(&source).unwrap().to_path_buf();
        if shown == Path::new("lib.rs") {
            assert!(text.contains("\n#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]\n"));
        }
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
        let exempts = |line: &str| {
            (line.contains("allow(") || line.contains("expect("))
                && (line.contains("clippy::") || line.contains("warnings"))
        };
        allowed.extend(code.lines().any(exempts).then_some(shown));
    }
    // Sums of the calendar, and a table that is made while compiling.
    assert_eq!(allowed, BTreeSet::from(["clock.rs", "der/base64.rs"].map(PathBuf::from)));
}

/// Another door to the signer, beside the one that asks for a ready order or a command, is how others signed what nobody
/// was authorized to have.
#[test]
fn nobody_but_issuance_asks_a_signer_to_sign() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut files, mut seen, mut complaints) = (Vec::new(), 0, Vec::new());
    collect(&source, &mut files);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        // What a test of a unit does reaches nobody.
        let code = text.split("#[cfg(test)]\n").next().unwrap();
        let shown = file.strip_prefix(&source).unwrap();
        let room = shown.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        let mut used: Vec<usize> = code.match_indices(".sign(").map(|(at, _)| at).collect();
        for (at, rest) in tails(code, "crate::keys::") {
            let names = rest.strip_prefix('{').map_or_else(|| vec![identifier(rest)], group_heads);
            used.extend(names.iter().any(|name| name == "Signer").then_some(at));
        }
        match room {
            "keys" | "ca" | "issuance" => seen += used.len(),
            _ => complaints.extend(used.iter().map(|at| format!("{}:{}", shown.display(), line_of(code, *at)))),
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
    assert!(seen > 10, "where are the signers?");
}

#[test]
fn every_way_of_naming_a_room_is_seen() {
    let text =
        "use crate::{store::{self, Order}, jose};\nfn f() { crate::acme::g(super::super::h) }\n// $crate::keys\n";
    let seen: Vec<String> = rooms_used(text, false).into_iter().map(|(line, room)| format!("{line} {room}")).collect();
    assert_eq!(seen, ["1 store", "1 jose", "2 acme", "3 keys", "2 super::super"]);
    let seen = rooms_used("use super::front;\nmod tests {\n    use super::*;\n}\n", true);
    assert_eq!(seen, [(1, "front".to_string())]);
    assert!(rooms_used("pub(crate) fn mycrate() {}\nuse super::order;", false).is_empty());
}

fn layers() -> HashMap<&'static str, usize> {
    let numbered = LAYERS.iter().enumerate();
    numbered.flat_map(|(layer, rooms)| rooms.iter().map(move |room| (*room, layer))).collect()
}

/// Does `super` in this file mean the crate itself?
fn is_door(file: &Path) -> bool {
    file.iter().count() == 1 || (file.iter().count() == 2 && file.ends_with("mod.rs"))
}

/// Each room that the text names, with its line.
fn rooms_used(text: &str, is_door: bool) -> Vec<(usize, String)> {
    let mut used = Vec::new();
    for (at, rest) in tails(text, "crate::") {
        let names = match rest.strip_prefix('{') {
            Some(group) => group_heads(group),
            None => vec![identifier(rest)],
        };
        used.extend(names.into_iter().map(|name| (line_of(text, at), name)));
    }
    for (at, _) in tails(text, "super::super") {
        used.push((line_of(text, at), "super::super".to_string()));
    }
    if is_door {
        // An indented `super` belongs to a module inside the file, where it means the file.
        for (at, rest) in tails(text, "super::") {
            if text[..at].rfind('\n').is_none_or(|end| !text[end + 1..].starts_with(' ')) {
                used.push((line_of(text, at), identifier(rest)));
            }
        }
    }
    used
}

/// Where the word begins, and what follows it.
fn tails<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    text.match_indices(word).filter_map(move |(at, _)| {
        let before = text[..at].chars().next_back();
        let inside = before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_' || letter == ':');
        (!inside).then(|| (at, &text[at + word.len()..]))
    })
}

/// The first name of each path in a `{a::b, c::{d, e}}` whose opening brace is behind us.
fn group_heads(group: &str) -> Vec<String> {
    let (mut heads, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                heads.push(identifier(group[start..at].trim_start()));
                start = at + 1;
                if letter == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    heads.retain(|head| !head.is_empty());
    heads
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
