//! A client that keeps its connection and takes each nonce from the reply before, for tests that ask hundreds of times.

use crate::world::acme::Client;
use crate::world::wire::{Connection, Reply, read_reply};
use serde_json::{Value, json};
use std::io::Write;

pub struct Session {
    pub client: Client,
    connection: Option<Connection>,
    nonce: Option<String>,
}

impl Session {
    pub fn new(client: Client) -> Session {
        Session { client, connection: None, nonce: None }
    }

    /// POST, signed like any request of this client, with a payload that need not be JSON.
    pub fn post(&mut self, url: &str, payload: &[u8]) -> Reply {
        let header = self.header(url);
        self.post_signed(url, &header.to_string(), payload)
    }

    /// The protected header of an honest request.
    pub fn header(&mut self, url: &str) -> Value {
        let nonce = self.nonce.take().unwrap_or_else(|| self.client.nonce());
        let mut header = json!({"alg": self.client.key.algorithm, "nonce": nonce, "url": url});
        match &self.client.account {
            Some(account) => header["kid"] = account.as_str().into(),
            None => header["jwk"] = self.client.key.jwk.clone(),
        }
        header
    }

    /// POST with a header as it stands.
    pub fn post_signed(&mut self, url: &str, header: &str, payload: &[u8]) -> Reply {
        let jws = self.client.sign_text(header, payload);
        self.post_text(url, &jws.flattened().to_string())
    }

    /// POST any text. Whatever they are, the server must not call itself the culprit, nor forget the next nonce.
    pub fn post_text(&mut self, url: &str, body: &str) -> Reply {
        let reply = self.exchange(url, body);
        assert!(reply.status < 500, "a 5xx for what a client sent\nsent: {body}\ngot: {reply}");
        assert!(reply.header("replay-nonce").is_some(), "no nonce\nsent: {body}\ngot: {reply}");
        self.nonce = reply.header("replay-nonce").map(str::to_string);
        reply
    }

    fn exchange(&mut self, url: &str, body: &str) -> Reply {
        let wire = self.client.wire.clone();
        let path = &url[url.match_indices('/').nth(2).expect("a URL with a path").0..];
        let host = format!("{}:{}", wire.host, wire.address.port());
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/jose+json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        // A connection that was kept may have been closed meanwhile; a fresh one has no such excuse.
        for fresh in [self.connection.is_none(), true] {
            let connection = self.connection.get_or_insert_with(|| wire.connect());
            let sent = connection.write_all(&[head.as_bytes(), body.as_bytes()].concat());
            match sent.and_then(|()| connection.flush()).and_then(|()| read_reply(connection, "POST")) {
                Ok(reply) => {
                    if reply.header("connection") == Some("close") {
                        self.connection = None;
                    }
                    return reply;
                }
                Err(error) => {
                    assert!(!fresh, "no reply from {url}: {error}\nsent: {body}");
                    self.connection = None;
                }
            }
        }
        unreachable!("the second attempt answers or panics")
    }
}
