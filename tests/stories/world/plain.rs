//! What clients fetch in the clear: CRLs, OCSP answers, CA certificates.

use super::daemon::Ca;
use super::wire::{Reply, read_reply};
use std::io::Write;
use std::net::TcpStream;

/// What issuers of stories call the plain door. Nobody resolves it: stories go by the path.
pub const PUBLIC_URL: &str = "http://ca.lan:8080";

impl Ca {
    pub fn fetch(&self, path: &str) -> Reply {
        self.ask_in_the_clear("GET", path, &[], b"")
    }

    /// The URL in a certificate, at the door where the daemon of this story really is.
    pub fn fetch_url(&self, url: &str) -> Reply {
        self.fetch(url.strip_prefix(PUBLIC_URL).unwrap_or_else(|| panic!("{url} is elsewhere")))
    }

    pub fn ask_in_the_clear(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        self.try_ask_in_the_clear(method, path, headers, body).unwrap()
    }

    /// The same of a daemon that may be gone before it answers.
    pub fn try_ask_in_the_clear(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<Reply> {
        let mut stream = TcpStream::connect(self.plain_listen)?;
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: ca.lan\r\nConnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if method == "POST" {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        stream.write_all(&[head.as_bytes(), body].concat())?;
        read_reply(&mut stream, method)
    }
}
