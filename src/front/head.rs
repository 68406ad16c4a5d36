//! Request heads (RFC 9112, 2 and 3), strictly: one way to write a thing, so that no proxy before us has read another request
//! out of the same bytes.

use super::proxies::Hops;
use super::refusal::Refusal;
use crate::http::{Door, Request};
use std::net::IpAddr;

const LARGEST_HEAD: usize = 8 * 1024;
const MOST_FIELDS: usize = 64;
pub(super) const LARGEST_BODY: usize = 128 * 1024;

/// How the body is framed (RFC 9112, 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(usize),
    Chunked,
}

/// A head that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    pub(super) framing: Framing,
    pub(super) keep_alive: bool,
    /// Whether an HTTP/1.0 client has to be told that the connection stays.
    pub(super) is_http_10: bool,
    pub(super) expects_continue: bool,
    /// The one field that anybody behind the door looks at.
    content_type: Option<String>,
    /// For whom a proxy says that it asks.
    pub(super) hops: Hops,
}

/// Looks for the end of a head as bytes come in, so that slow drips cost nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HeadScanner {
    scanned: usize,
}

impl HeadScanner {
    /// The head at the beginning of `input`, once it is whole, and its length.
    pub(super) fn scan(&mut self, input: &[u8]) -> Result<Option<(Head, usize)>, Refusal> {
        // Empty lines before a request are allowed (RFC 9112, 2.2), but not needed by anybody we know.
        let limit = input.len().min(LARGEST_HEAD);
        let mut before = self.scanned.checked_sub(1).and_then(|at| input.get(at)).copied();
        for byte in input.get(self.scanned..limit).unwrap_or_default() {
            self.scanned = self.scanned.saturating_add(1);
            match (before.replace(*byte), byte) {
                (Some(b'\r'), b'\n') => {
                    let so_far = input.get(..self.scanned).unwrap_or(input);
                    if so_far.ends_with(b"\r\n\r\n") {
                        return parse(so_far).map(|head| Some((head, so_far.len())));
                    }
                }
                (_, b'\n') => return Err(Refusal::Malformed("lines end with CR LF")),
                (Some(b'\r'), _) => return Err(Refusal::Malformed("a CR stands without its LF")),
                (_, b'\r' | b'\t' | b' '..=b'~' | 0x80..) => {}
                _ => return Err(Refusal::Malformed("the head has a control character")),
            }
        }
        if input.len() > LARGEST_HEAD { Err(Refusal::HeadTooLarge) } else { Ok(None) }
    }
}

fn parse(bytes: &[u8]) -> Result<Head, Refusal> {
    let malformed = Refusal::Malformed;
    if bytes.windows(3).any(|w| matches!(w, [b'\r', b'\n', b' ' | b'\t'])) {
        return Err(malformed("a field is folded over several lines"));
    }
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::HeadTooLarge),
        _ => return Err(malformed("the head is not HTTP/1.1")),
    }
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Err(malformed("the request line is not HTTP/1.1"));
    };
    if method.len() > 32 {
        return Err(malformed("the method is too long"));
    }
    let fields = Fields(request.headers);
    let host = fields.single("Host")?;
    if version == 1 && host.is_none() {
        return Err(malformed("there is no Host field"));
    }
    if fields.single("Upgrade")?.is_some() {
        return Err(malformed("nothing is upgraded to here"));
    }
    let connection = fields.joined("Connection");
    let says = |token: &str| connection.split(',').any(|t| t.trim().eq_ignore_ascii_case(token));
    let is_http_10 = version == 0;
    Ok(Head {
        method: method.to_owned(),
        target: origin_form(target)?,
        framing: framing(&fields, is_http_10)?,
        keep_alive: if is_http_10 { says("keep-alive") } else { !says("close") },
        is_http_10,
        expects_continue: match fields.single("Expect")? {
            None => false,
            Some(value) if value.eq_ignore_ascii_case(b"100-continue") => !is_http_10,
            Some(_) => return Err(Refusal::UnknownExpectation),
        },
        content_type: fields.single("Content-Type")?.map(text),
        hops: Hops { forwarded: fields.joined("Forwarded"), x_forwarded_for: fields.joined("X-Forwarded-For") },
    })
}

struct Fields<'h>(&'h [httparse::Header<'h>]);

impl<'h> Fields<'h> {
    fn all(&self, name: &str) -> impl Iterator<Item = &'h [u8]> {
        self.0.iter().filter(move |h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value.trim_ascii())
    }

    /// The values of a field that is a list (RFC 9110, 5.3).
    fn joined(&self, name: &str) -> String {
        self.all(name).map(text).collect::<Vec<_>>().join(",")
    }

    fn single(&self, name: &str) -> Result<Option<&'h [u8]>, Refusal> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            _ => Err(Refusal::Malformed("a field that may stand once stands twice")),
        }
    }
}

/// Tabs are white space (RFC 9110, 5.6.3); bytes outside ASCII, which nobody behind understands, become question marks.
fn text(value: &[u8]) -> String {
    let character = |byte: &u8| match byte {
        b'\t' => ' ',
        byte if byte.is_ascii_graphic() || *byte == b' ' => char::from(*byte),
        _ => '?',
    };
    value.iter().map(character).collect()
}

fn framing(fields: &Fields<'_>, is_http_10: bool) -> Result<Framing, Refusal> {
    let length = fields.single("Content-Length")?;
    match (fields.single("Transfer-Encoding")?, length) {
        (Some(_), Some(_)) => Err(Refusal::Malformed("Content-Length and Transfer-Encoding do not go together")),
        (Some(_), None) if is_http_10 => Err(Refusal::Malformed("HTTP/1.0 has no Transfer-Encoding")),
        (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        (Some(_), None) => Err(Refusal::Malformed("the only Transfer-Encoding is chunked")),
        (None, None) => Ok(Framing::Length(0)),
        (None, Some(digits)) => {
            if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
                return Err(Refusal::Malformed("Content-Length is not a number"));
            }
            match text(digits).parse::<usize>() {
                Ok(length) if length <= LARGEST_BODY => Ok(Framing::Length(length)),
                _ => Err(Refusal::BodyTooLarge),
            }
        }
    }
}

/// Path and query; a whole URL, which clients send to proxies, loses its beginning (RFC 9112, 3.2.2).
fn origin_form(target: &str) -> Result<String, Refusal> {
    let path = match ["http://", "https://"].iter().find_map(|scheme| target.strip_prefix(scheme)) {
        Some(rest) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
        None => target,
    };
    if path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(path.to_owned())
    } else {
        Err(Refusal::Malformed("the request target is not a path"))
    }
}

impl Head {
    /// What was understood, for those behind the door, and nothing else.
    pub(super) fn into_request(self, body: Vec<u8>, peer: IpAddr, door: Door) -> Request {
        let (method, target, content_type) = (self.method, self.target, self.content_type);
        Request { door, address: peer.to_canonical().to_string(), method, target, content_type, body }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(text: &str) -> Result<Option<(Head, usize)>, Refusal> {
        HeadScanner::default().scan(text.as_bytes())
    }

    #[test]
    fn a_head_is_found_however_it_drips_in() {
        let text = "POST http://ca.lan/acme/x?y HTTP/1.1\r\nhost: ca.lan\r\nContent-Length: 7\r\nX-Forwarded-For: 6.6.6.6\r\n\r\nrest";
        let mut scanner = HeadScanner::default();
        let end = text.find("rest").unwrap();
        for length in 0..end {
            assert_eq!(scanner.scan(&text.as_bytes()[..length]), Ok(None));
        }
        let (head, length) = scanner.scan(text.as_bytes()).unwrap().unwrap();
        assert_eq!((length, head.framing, head.target.as_str()), (end, Framing::Length(7), "/acme/x?y"));
        let request = head.into_request(b"1234567".to_vec(), IpAddr::from([1, 2, 3, 4]), Door::Tls);
        assert_eq!((request.address.as_str(), request.target.as_str()), ("1.2.3.4", "/acme/x?y"));
    }

    #[test]
    fn white_space_in_a_field_may_be_tabs() {
        let text = "POST / HTTP/1.1\r\nHost:\ta\r\nConnection: x,\tclose\r\nContent-Type:\ta/b;\tc=\u{e9}\t\r\nContent-Length: 5\t\r\n\r\n";
        let (head, _) = scan(text).unwrap().unwrap();
        assert!(!head.keep_alive && head.framing == Framing::Length(5), "{head:?}");
        assert_eq!(head.content_type.as_deref(), Some("a/b; c=??"));
    }

    #[test]
    fn whatever_two_readers_could_read_differently_is_refused() {
        let with = |fields: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        for text in [
            with("Content-Length: 1\r\nContent-Length: 1\r\n"),
            with("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"),
            with("Content-Length: +1\r\n"),
            with("Content-Length: 1, 1\r\n"),
            with("Content-Length: 0x1\r\n"),
            with("Content-Length:\r\n"),
            with("Content-Length : 1\r\n"),
            with("Transfer-Encoding: gzip, chunked\r\n"),
            with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
            with("Transfer-Encoding: xchunked\r\n"),
            with("X: a\r\n b\r\n"),
            with(" X: a\r\n"),
            with("X: a\0b\r\n"),
            with("Host: b\r\n"),
            with("Upgrade: h2c\r\n"),
            with("X: a\n"),
            with("X: a\rb\r\n"),
            "POST / HTTP/1.1\r\n\r\n".into(),
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
            "POST  / HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "POST / HTTP/2.0\r\nHost: a\r\n\r\n".into(),
            "POST * HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "POST a HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "GET / HTTP/1.1\nHost: a\n\n".into(),
            "\r\n\r\n".into(),
        ] {
            assert!(matches!(scan(&text), Err(Refusal::Malformed(_))), "{text:?} gave {:?}", scan(&text));
        }
        assert_eq!(scan(&with("Expect: tea\r\n")), Err(Refusal::UnknownExpectation));
        assert_eq!(scan(&with("Content-Length: 131073\r\n")), Err(Refusal::BodyTooLarge));
        assert_eq!(scan(&with("Content-Length: 99999999999999999999999\r\n")), Err(Refusal::BodyTooLarge));
        assert_eq!(scan(&with(&"X: a\r\n".repeat(70))), Err(Refusal::HeadTooLarge));
        assert_eq!(scan(&with(&format!("X: {}\r\n", "a".repeat(9000)))), Err(Refusal::HeadTooLarge));
        assert!(scan(&with("Transfer-Encoding: Chunked\r\n")).unwrap().is_some());
    }
}
