//! The log, on standard error: a line for each event, `LEVEL time place: what happened key=value …`.
//!
//! What happened is in words of ours; whatever came from outside is a value, and values are quoted, so that nobody's text looks
//! like a line or a key of ours. A line that is written while a request is answered ends with the request's id.
//!
//! - error: something of ours failed, and an administrator has to look;
//! - warn: it goes on, and somebody should look;
//! - info: something was changed, refused to somebody known, or began or ended;
//! - debug: each request, and what strangers get wrong: off by default, since it is theirs to cause;
//! - trace: each statement to the database.

use crate::clock::{Clock, Time};
use crate::identifier::{is_plain, turns};
use crate::metrics::{LOG_LINES, count};
use log::kv::{self, Key, VisitSource};
use std::cell::RefCell;
use std::io::Write;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};

/// More of a line than this, in bytes, tells nobody anything.
const LONGEST: usize = 48 * 1024;

static LAST_ERROR: Mutex<Option<LastError>> = Mutex::new(None);

thread_local! {
    /// The id of the request that this thread works for, if it works for one.
    static REQUEST: RefCell<Option<Arc<str>>> = const { RefCell::new(None) };
}

/// The last line at level error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    /// When it was written.
    pub at: Time,
    /// The line, without its level and time.
    pub line: String,
}

/// Begin to log. RUST_LOG says what, or else `default`. Where standard error is the journal, lines begin with its priorities
/// instead of level and time, which it shows by itself.
pub fn start(default: &str) {
    let filter = std::env::var("RUST_LOG").unwrap_or_else(|_| default.to_owned());
    let is_journal = std::env::var("JOURNAL_STREAM").is_ok_and(|stream| is_stderr(&stream));
    let clock = Clock::system();
    let format = move |out: &mut env_logger::fmt::Formatter, record: &log::Record<'_>| {
        count(&LOG_LINES, (record.level() as usize).saturating_sub(1));
        let (line, now) = (line_of(record), clock.now());
        match is_journal {
            true => writeln!(out, "<{}>{line}", priority(record.level()))?,
            false => writeln!(out, "{} {now} {line}", record.level())?,
        }
        if record.level() == log::Level::Error {
            *LAST_ERROR.lock().unwrap_or_else(PoisonError::into_inner) = Some(LastError { at: now, line });
        }
        Ok(())
    };
    if env_logger::Builder::new().parse_filters(&filter).format(format).try_init().is_err() {
        eprintln!("certwright: the log is set up already");
    }
}

/// The last line at level error since the start, if there was one.
pub fn last_error() -> Option<LastError> {
    LAST_ERROR.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The id of the request that this thread works for, if it works for one.
pub fn request() -> Option<Arc<str>> {
    REQUEST.with_borrow(Clone::clone)
}

/// Until this is dropped, what this thread does is about a request, and then about what it was before.
pub struct OfRequest(Option<Arc<str>>);

impl OfRequest {
    /// About the request with this id, or about none.
    pub fn begin(id: Option<Arc<str>>) -> OfRequest {
        OfRequest(REQUEST.replace(id))
    }
}

impl Drop for OfRequest {
    fn drop(&mut self) {
        REQUEST.set(self.0.take());
    }
}

/// Whether standard error is what the journal gave to this service (systemd.exec(5), JOURNAL_STREAM): somebody may have
/// sent it elsewhere and left the variable.
fn is_stderr(stream: &str) -> bool {
    let Some((device, inode)) = stream.split_once(':') else { return false };
    let found = rustix::fs::fstat(std::io::stderr().as_fd());
    found.is_ok_and(|found| device.parse() == Ok(found.st_dev) && inode.parse() == Ok(found.st_ino))
}

/// As syslog(3) numbers them.
fn priority(level: log::Level) -> u8 {
    match level {
        log::Level::Error => 3,
        log::Level::Warn => 4,
        log::Level::Info => 6,
        log::Level::Debug | log::Level::Trace => 7,
    }
}

fn line_of(record: &log::Record<'_>) -> String {
    let mut line = record.target().strip_prefix("certwright::").unwrap_or(record.target()).to_owned();
    line.push_str(": ");
    match record.args().as_str() {
        Some(words) => push_clean(&mut line, words),
        None => push_clean(&mut line, &record.args().to_string()),
    }
    let mut pairs = Pairs(line);
    // Pushing to memory does not fail.
    let _ = record.key_values().visit(&mut pairs);
    REQUEST.with_borrow(|request| {
        if let Some(id) = request {
            pairs.push("request", id);
        }
    });
    pairs.0
}

struct Pairs(String);

impl Pairs {
    fn push(&mut self, key: &str, value: &str) {
        self.0.push(' ');
        self.0.push_str(key);
        self.0.push('=');
        let is_bare = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\');
        if !value.is_empty() && value.chars().all(is_bare) {
            return push_clean(&mut self.0, value);
        }
        self.0.push('"');
        push_clean(&mut self.0, &value.replace('\\', "\\\\").replace('"', "\\\""));
        self.0.push('"');
    }
}

impl<'kvs> VisitSource<'kvs> for Pairs {
    fn visit_pair(&mut self, key: Key<'kvs>, value: kv::Value<'kvs>) -> Result<(), kv::Error> {
        self.push(key.as_str(), &value.to_string());
        Ok(())
    }
}

/// Text without what ends a line, moves a cursor or turns the direction of what follows.
fn push_clean(line: &mut String, text: &str) {
    // Nearly always there is nothing of the kind.
    if is_plain(text) && line.len().saturating_add(text.len()) <= LONGEST {
        return line.push_str(text);
    }
    for c in text.chars() {
        if line.len() > LONGEST {
            return line.push('…');
        }
        line.push(match c {
            '\n' | '\r' | '\t' => ' ',
            // Some readers take these for the end of a line too.
            '\u{2028}' | '\u{2029}' => '\u{fffd}',
            c if c.is_control() || turns(c) => '\u{fffd}',
            c => c,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(pairs: &[(&str, &str)], words: std::fmt::Arguments<'_>) -> String {
        line_of(&log::Record::builder().target("certwright::acme").args(words).key_values(&pairs).build())
    }

    #[test]
    fn values_are_quoted_where_they_are_not_plain_and_nothing_ends_a_line() {
        assert_eq!(
            line(&[("account", "7"), ("path", "/a?b=c")], format_args!("seen")),
            "acme: seen account=7 path=/a?b=c"
        );
        assert_eq!(
            line(&[("error", "no \"x\\y\" here"), ("a", "")], format_args!("w")),
            r#"acme: w error="no \"x\\y\" here" a="""#
        );
        let forged = "x\nERROR 2030-01-01T00:00:00Z acme: forged\u{1b}[2K\u{202e}";
        assert_eq!(
            line(&[("name", forged)], format_args!("a\r\nb")),
            "acme: a  b name=\"x ERROR 2030-01-01T00:00:00Z acme: forged\u{fffd}[2K\u{fffd}\""
        );
        assert!(line(&[("long", &"é".repeat(LONGEST))], format_args!("w")).len() < LONGEST + 32);
    }

    #[test]
    fn what_happens_while_a_request_is_answered_says_which() {
        let of = OfRequest::begin(Some("ab-1".into()));
        assert_eq!(line(&[], format_args!("w")), "acme: w request=ab-1");
        let of_another = OfRequest::begin(Some("ab-2".into()));
        assert_eq!(line(&[], format_args!("w")), "acme: w request=ab-2");
        drop(of_another);
        assert_eq!(line(&[], format_args!("w")), "acme: w request=ab-1");
        drop(of);
        assert_eq!(line(&[], format_args!("w")), "acme: w");
    }

    #[test]
    fn only_standard_error_itself_is_the_journal() {
        let found = rustix::fs::fstat(std::io::stderr().as_fd()).unwrap();
        assert!(is_stderr(&format!("{}:{}", found.st_dev, found.st_ino)));
        for other in [format!("{}:{}", found.st_dev, found.st_ino + 1), "1".into(), String::new(), ":".into()] {
            assert!(!is_stderr(&other), "{other}");
        }
    }
}
