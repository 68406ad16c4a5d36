//! What the documents name is there.

use std::path::Path;

#[test]
fn every_path_in_the_documents_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut complaints = Vec::new();
    let mut count = 0;
    for document in ["README.md", "ARCHITECTURE.md"] {
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
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| ") && line.contains(".rs`")).collect();
    assert!(rows.len() > 20, "SECURITY.md lists hardly a promise");
    for row in rows {
        let tests = row.trim_matches('|').rsplit('|').next().unwrap();
        for test in tests.split(';').map(str::trim).filter(|test| test.starts_with('`')) {
            let (file, name) = test[1..].split_once('`').unwrap();
            let found = ["tests/stories", "tests/conformance"].iter().find_map(|folder| {
                std::fs::read_to_string(root.join(folder).join(file)).ok().filter(|text| text.contains(name.trim()))
            });
            assert!(found.is_some(), "SECURITY.md names {test}, which is not there");
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
fn readme_begins_with_trying_it_out() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let beginning: Vec<&str> = readme.lines().take(30).collect();
    assert!(beginning.iter().any(|line| line.trim() == "cargo run --release -- quickstart"), "{beginning:?}");
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
