//! What clients fetch in the clear: CRLs, OCSP answers, CA certificates.

use super::daemon::Ca;
use super::issuer::text;
use super::wire::{PATIENCE, Reply, read_reply};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};

/// What issuers of stories call the plain door. Nobody resolves it: stories go by the path.
pub const PUBLIC_URL: &str = "http://ca.lan:8080";

/// What an issuer needs so that clients can ask about its certificates.
pub const CHECKED: [&str; 4] = ["--public-url", PUBLIC_URL, "--create-private-crl=true", "--create-private-ocsp=true"];

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
        ask(self.plain_listen, method, path, headers, body)
    }

    /// What OCSP says to a request about certificates of the signer with this key identifier.
    pub fn ask_ocsp(&self, key_identifier: &str, request: &[u8]) -> Reply {
        ask_ocsp(self.plain_listen, key_identifier, request).unwrap()
    }

    /// The key identifier of a signer's first version.
    pub fn key_identifier(&self, name: &str) -> String {
        text(&self.describe(name)["versions"][0], "key_identifier")
    }
}

/// One request to a plain door, and its reply.
pub fn ask(
    door: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Reply> {
    let mut stream = TcpStream::connect(door)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
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

/// The same of an OCSP request.
pub fn ask_ocsp(door: SocketAddr, key_identifier: &str, request: &[u8]) -> std::io::Result<Reply> {
    let headers = [("Content-Type", "application/ocsp-request")];
    ask(door, "POST", &format!("/ocsp/{key_identifier}"), &headers, request)
}
