//! What the door answers by itself.

use crate::acme::problem_document;
use crate::metrics::Turned;

/// Why a request is not handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Malformed(&'static str),
    HeadTooLarge,
    BodyTooLarge,
    UnknownExpectation,
    Busy,
    Overdue,
}

impl Refusal {
    /// As what it is counted.
    pub(super) fn turned(self) -> Turned {
        match self {
            Refusal::Malformed(_) | Refusal::UnknownExpectation => Turned::Malformed,
            Refusal::HeadTooLarge | Refusal::BodyTooLarge => Turned::TooLarge,
            Refusal::Busy => Turned::Busy,
            Refusal::Overdue => Turned::Overdue,
        }
    }

    /// The whole reply. Framing is lost or the server is crowded, so the connection ends with it.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let (status, reason, kind, detail, extra) = match self {
            Refusal::Malformed(why) => (400, "Bad Request", "malformed", why, ""),
            Refusal::HeadTooLarge => (
                431,
                "Request Header Fields Too Large",
                "malformed",
                "the head of the request is larger than 8 KiB or has more than 64 fields",
                "",
            ),
            Refusal::BodyTooLarge => (413, "Content Too Large", "malformed", "the body is larger than 128 KiB", ""),
            Refusal::UnknownExpectation => {
                (417, "Expectation Failed", "malformed", "only Expect: 100-continue is known", "")
            }
            Refusal::Busy => (
                503,
                "Service Unavailable",
                "serverInternal",
                "the server is busy; try again in a moment",
                "Retry-After: 2\r\n",
            ),
            Refusal::Overdue => (
                503,
                "Service Unavailable",
                "serverInternal",
                "the server did not answer in time; try again",
                "Retry-After: 5\r\n",
            ),
        };
        let body = problem_document(kind, detail, status);
        format!(
            "HTTP/1.1 {status} {reason}\r\nContent-Type: application/problem+json\r\nAccess-Control-Allow-Origin: *\r\n{extra}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }
}
