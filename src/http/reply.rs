//! A reply as one buffer of HTTP/1.1.

use super::passage::Reply;
use crate::acme;
use crate::clock::Time;
use crate::identifier::is_plain;
use crate::keys::{hex, sha256};
use crate::publication::Document;
use std::borrow::Cow;
use std::io::Write;

/// A reply of any room.
pub(super) struct Answer {
    status: u16,
    headers: Vec<(&'static str, Cow<'static, str>)>,
    body: Vec<u8>,
    at: Option<Time>,
}

impl Answer {
    pub(super) fn new(status: u16) -> Answer {
        Answer { status, headers: Vec::new(), body: Vec::new(), at: None }
    }

    pub(super) fn problem(status: u16, kind: &str, detail: &str) -> Answer {
        let mut answer = Answer::new(status).header("Content-Type", "application/problem+json");
        answer.body = acme::problem_document(kind, detail, status).into_bytes();
        answer
    }

    pub(super) fn text(status: u16, content_type: &'static str, text: &str) -> Answer {
        let mut answer = Answer::new(status).header("Content-Type", content_type).header("Cache-Control", "no-store");
        answer.body = text.as_bytes().to_vec();
        answer
    }

    pub(super) fn from_acme(reply: acme::Reply) -> Answer {
        Answer { status: reply.status, headers: reply.headers, body: reply.body, at: None }
    }

    pub(super) fn from_document(document: Document) -> Answer {
        let caching = match document.max_age {
            // RFC 5019, 6.2.
            Some(seconds) => format!("max-age={seconds}, public, no-transform, must-revalidate"),
            None => "no-store".to_owned(),
        };
        let mut answer =
            Answer::new(200).header("Content-Type", document.content_type).header("Cache-Control", caching);
        if let Some((made, until)) = document.life {
            let tag = hex(&sha256(&document.body));
            answer = answer
                .header("Last-Modified", http_date(made))
                .header("Expires", http_date(until))
                .header("ETag", format!("\"{tag}\""));
        }
        if let Some(policy) = document.security_policy {
            answer = answer
                .header("Content-Security-Policy", policy)
                .header("X-Content-Type-Options", "nosniff")
                .header("Referrer-Policy", "no-referrer");
        }
        answer.body = document.body;
        answer
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Answer {
        self.headers.push((name, value.into()));
        self
    }

    /// Date the reply (RFC 9110, 6.6.1).
    pub(super) fn at(mut self, now: Time) -> Answer {
        self.at = Some(now);
        self
    }

    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// Status line, headers, Content-Length, body; the body stays out for HEAD, and a 204 has neither (RFC 9110, 8.6).
    pub(super) fn into_reply(self, head_only: bool) -> Reply {
        let mut out = Vec::with_capacity(self.body.len().saturating_add(512));
        // Writing to memory does not fail.
        let _ = write!(out, "HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        if let Some(now) = self.at {
            out.extend_from_slice(b"Date: ");
            out.extend_from_slice(http_date(now).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        for (name, value) in &self.headers {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            // Values are ours or were checked; this is the last place that could let one split a reply.
            match is_plain(value) {
                true => out.extend_from_slice(value.as_bytes()),
                false => value.split(char::is_control).for_each(|part| out.extend_from_slice(part.as_bytes())),
            }
            out.extend_from_slice(b"\r\n");
        }
        if self.status != 204 {
            let _ = write!(out, "Content-Length: {}\r\n", self.body.len());
        }
        out.extend_from_slice(b"\r\n");
        let head = out.len();
        if !head_only && self.status != 204 {
            out.extend_from_slice(&self.body);
        }
        Reply { bytes: out, head }
    }
}

/// IMF-fixdate (RFC 9110, 5.6.7).
pub fn http_date(at: Time) -> String {
    at.written("%a, %d %b %Y %H:%M:%S GMT")
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_one_buffer_whose_length_is_told() {
        let answer = || Answer::problem(404, "malformed", "x").header("X", "a\r\nb: c").at(Time(784_111_777));
        let reply = answer().into_reply(false);
        let text = String::from_utf8(reply.bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(reply.head, head.len() + 4);
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
        assert!(head.contains("\r\nX: ab: c\r\n"), "a value cannot split the head");
        assert!(head.contains("Date: Sun, 06 Nov 1994 08:49:37 GMT"));
        assert!(answer().into_reply(true).bytes.ends_with(b"\r\n\r\n"));
        assert!(!String::from_utf8(Answer::new(204).into_reply(false).bytes).unwrap().contains("Content-Length"));
    }
}
