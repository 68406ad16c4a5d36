//! What the documents name is there.

use std::path::Path;

#[test]
fn every_path_in_the_documents_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut complaints = Vec::new();
    let mut count = 0;
    for document in ["README.md", "ARCHITECTURE.md", "docs/watching.md"] {
        let text = std::fs::read_to_string(root.join(document)).unwrap_or_else(|error| panic!("{document}: {error}"));
        for path in paths(&text) {
            count += 1;
            // ARCHITECTURE.md calls the rooms by their names.
            if !root.join(&path).exists() && !root.join("src").join(&path).exists() {
                complaints.push(format!("{document} names {path}, which is not there"));
            }
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
    assert!(count > 5, "the documents name hardly a path");
}

#[test]
fn every_promise_in_security_has_its_test() {
    let text = read("SECURITY.md").unwrap();
    let rows = rows(&text);
    assert!(rows.len() > 20, "SECURITY.md lists hardly a promise");
    for row in rows {
        let tests = row.trim_matches('|').rsplit('|').next().unwrap();
        for test in tests.split(';').map(str::trim) {
            assert!(is_there(test), "SECURITY.md names {test}, which is not there");
        }
    }
}

#[test]
fn paths_are_told_from_other_things_in_backticks() {
    let text = "`src/der/oid.rs`, `front/` and `main.rs`, but `/ACME/Server`, `application/json`, `https://ca.lan/x`,\
                `cargo test`, `./certwright-data`, `<state-dir>/fragments`.\n```sh\ncat src/nothing.rs\n```\n";
    assert_eq!(paths(text), ["src/der/oid.rs", "front/", "main.rs"]);
}

#[test]
fn the_rows_of_every_table_are_seen() {
    let text = "| a | b |\n| --- | --- |\n| 1 | 2 |\n\nWords.\n\n| c | d |\n| --- | --- |\n| 3 | 4 |\n| 5 | 6 |\n";
    assert_eq!(rows(text), ["| 1 | 2 |", "| 3 | 4 |", "| 5 | 6 |"]);
}

#[test]
fn readme_begins_with_trying_it_out() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let beginning: Vec<&str> = readme.lines().take(30).collect();
    assert!(beginning.iter().any(|line| line.trim() == "cargo run --release -- quickstart"), "{beginning:?}");
}

#[test]
fn readme_comes_to_the_first_real_certificate_within_two_screens() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let at = readme.lines().position(|line| line.trim().starts_with("certbot certonly --standalone --server"));
    assert!(at.expect("certbot's line") < 2 * 50, "{at:?}");
}

/// Whether what SECURITY.md calls a test is one that is run: "`file` name" or "`file`" for each of its tests, "unit in
/// `file`", or "`fuzz/run`".
fn is_there(test: &str) -> bool {
    let parts: Vec<&str> = test.split('`').map(str::trim).collect();
    match parts[..] {
        ["unit in", file, ""] => read(&format!("src/{file}")).is_some_and(|text| text.contains("#[test]\n")),
        ["", "fuzz/run", ""] => {
            let stages = read("tests/run").unwrap();
            stages.lines().any(|line| line.trim_start().starts_with("stage ") && line.contains(" fuzz/run"))
        }
        ["", file, name] => {
            let wanted = if name.is_empty() { "#[test]\nfn ".to_owned() } else { format!("#[test]\nfn {name}(") };
            let folders = ["tests/stories", "tests/conformance"];
            folders.iter().filter_map(|folder| read(&format!("{folder}/{file}"))).any(|text| text.contains(&wanted))
        }
        _ => false,
    }
}

/// The rows of all tables, without their heads and the lines below these.
fn rows(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().collect();
    let is_rule = |line: &str| line.starts_with("| --");
    let is_head = |at: usize| lines.get(at + 1).is_some_and(|next| is_rule(next));
    let rows = lines.iter().enumerate().filter(|(at, line)| line.starts_with("| ") && !is_rule(line) && !is_head(*at));
    rows.map(|(_, line)| *line).collect()
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).ok()
}

/// Whatever stands in single backticks and looks like a path of this repository.
fn paths(text: &str) -> Vec<String> {
    let prose: String = text.split("```").step_by(2).collect();
    let quoted = prose.split('`').skip(1).step_by(2);
    quoted.filter(|quoted| is_path(quoted)).map(ToString::to_string).collect()
}

fn is_path(quoted: &str) -> bool {
    let letters = quoted.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte));
    let begins_outside = quoted.starts_with(['/', '-']) || quoted.starts_with("./") || quoted.starts_with("../");
    letters
        && !begins_outside
        && !quoted.starts_with("application/")
        && (quoted.contains('/') || quoted.ends_with(".rs"))
}
