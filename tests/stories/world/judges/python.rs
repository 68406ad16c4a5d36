//! Python's cryptography, and pkilint: tests/judges/bench.py, which sits for as long as the tests run, since it takes it
//! longer to sit down than to judge.

use super::Complaint;
use super::ignored::is_ignored;
use crate::world::hex::hex;
use crate::world::outcome::Outcome;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// cryptography's opinion; `judgement` is one of the functions of bench.py, with its arguments.
pub(super) fn cryptography(judgement: &str, arguments: Value) -> Vec<Complaint> {
    let mut request = arguments;
    request["judge"] = judgement.into();
    let complaints = ask(&request);
    let complaints = complaints.as_array().unwrap().iter();
    complaints.map(|says| Complaint { judge: "cryptography", says: says.as_str().unwrap().into() }).collect()
}

/// pkilint's findings in these documents, of which WARNING, ERROR and FATAL count unless they are ignored for a reason.
pub(super) fn pkilint(linter: &str, documents: &[&[u8]]) -> Vec<Complaint> {
    let documents: Vec<String> = documents.iter().map(|document| hex(document)).collect();
    let findings = ask(&json!({"judge": "lint", "linter": linter, "documents": documents}));
    let mut complaints = Vec::new();
    for finding in findings.as_array().unwrap() {
        let says = match finding.as_array().map(|parts| parts.iter().map(|part| part.as_str()).collect::<Vec<_>>()) {
            Some(parts) => {
                let [Some(severity), Some(code), Some(what)] = parts[..] else { panic!("an odd finding: {finding}") };
                if matches!(severity, "NOTICE" | "INFO" | "DEBUG") || is_ignored(linter, code, what) {
                    continue;
                }
                format!("{linter}: {severity} {code} at {what}")
            }
            // It could not even be read.
            None => format!("{linter}: {}", finding.as_str().unwrap()),
        };
        complaints.push(Complaint { judge: "pkilint", says });
    }
    complaints
}

struct Bench {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

fn ask(request: &Value) -> Value {
    static BENCH: Mutex<Option<Bench>> = Mutex::new(None);
    let mut seat = BENCH.lock().unwrap_or_else(PoisonError::into_inner);
    let mut bench = seat.take().unwrap_or_else(Bench::sit_down);
    writeln!(bench.requests, "{request}").expect("bench.py listens");
    let mut answer = String::new();
    bench.answers.read_line(&mut answer).unwrap();
    let answer = serde_json::from_str(&answer).unwrap_or_else(|_| {
        panic!("tests/judges/bench.py ended ({:?}) at the request {request}", bench.child.wait());
    });
    *seat = Some(bench);
    answer
}

impl Bench {
    fn sit_down() -> Bench {
        let mut command = Command::new(home().join("bin/python"));
        command.arg("-I").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/judges/bench.py"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (requests, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Bench { child, requests, answers }
    }
}

/// Where tests/judges/install has put them.
fn home() -> PathBuf {
    let judges = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/judges");
    let output = Command::new(format!("{judges}/install")).arg("--where").output().unwrap();
    let home = PathBuf::from(Outcome::new("tests/judges/install --where", output).succeeded().stdout.trim());
    let installed = std::fs::read(home.join("requirements.txt")).ok();
    let wanted = std::fs::read(format!("{judges}/requirements.txt")).ok();
    assert!(
        installed.is_some() && installed == wanted,
        "there are no judges in {}; run tests/judges/install",
        home.display()
    );
    home
}
