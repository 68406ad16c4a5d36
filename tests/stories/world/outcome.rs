//! What a program that has ended left behind.

use serde_json::Value;
use std::io::Write;
use std::process::{Command, Output, Stdio};

#[derive(Clone, Debug)]
pub struct Outcome {
    pub what: String,
    pub stdout: String,
    pub stderr: String,
    pub status: Option<i32>,
}

impl Outcome {
    pub fn new(what: impl Into<String>, output: Output) -> Outcome {
        Outcome {
            what: what.into(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            status: output.status.code(),
        }
    }

    #[track_caller]
    pub fn succeeded(self) -> Outcome {
        assert_eq!(self.status, Some(0), "{} failed\nstdout: {}\nstderr: {}", self.what, self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!("{}: not JSON ({error})\nstdout: {}\nstderr: {}", self.what, self.stdout, self.stderr)
        })
    }

    /// What a refused command says: exit status 1, nothing on stdout, one sentence on stderr.
    #[track_caller]
    pub fn refused(&self) -> String {
        self.sentence(1)
    }

    /// What wrong usage says: exit status 2, nothing on stdout, a sentence on stderr.
    #[track_caller]
    pub fn misused(&self) -> String {
        self.sentence(2)
    }

    /// Everything a person sees on the terminal.
    pub fn seen(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    #[track_caller]
    fn sentence(&self, status: i32) -> String {
        assert_eq!(self.status, Some(status), "{}\nstdout: {}\nstderr: {}", self.what, self.stdout, self.stderr);
        assert_eq!(self.stdout, "", "{}: a refusal belongs on stderr", self.what);
        let lines: Vec<&str> = self.stderr.lines().filter(|line| !line.trim().is_empty()).collect();
        assert_eq!(lines.len(), 1, "{}: not one sentence:\n{}", self.what, self.stderr);
        lines[0].to_string()
    }
}

/// What becomes of a command that is given all of this to read.
pub fn fed(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

/// A story's way of saying which words a sentence must hold, whatever their case.
#[track_caller]
pub fn assert_says(sentence: &str, words: &[&str]) {
    let lower = sentence.to_lowercase();
    for word in words {
        assert!(lower.contains(&word.to_lowercase()), "\"{word}\" is not in: {sentence}");
    }
}
