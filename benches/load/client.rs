//! An ACME client under load: it keeps what can be kept (connection, nonce, CSR) and does everything else anew each time.

use super::connection::{Connection, Reply, Target};
use crate::world::account_key::AccountKey;
use crate::world::acme::external_account_binding;
use crate::world::base64url;
use crate::world::csr::Csr;
use crate::world::issuer::{Eab, text};
use crate::world::wire::path;
use serde_json::Value;
use std::time::{Duration, Instant};

/// How long a client waits before it looks again whether a server has got on; doubled each time.
const FIRST_POLL: Duration = Duration::from_millis(3);
const LAST_POLL: Duration = Duration::from_millis(48);

pub struct Client {
    target: Target,
    keep_alive: bool,
    connection: Option<Connection>,
    key: AccountKey,
    thumbprint: String,
    account: String,
    directory: Value,
    nonce: Option<String>,
    requests: usize,
    name: String,
    csr: String,
}

/// How long the parts of an issuance took.
#[derive(Clone, Copy, Debug)]
pub struct Issuance {
    /// From newOrder to the certificate.
    pub whole: Duration,
    /// Without what the client waited and polled: the replies that an order consists of.
    pub polls_aside: Duration,
    /// How many requests it took.
    pub requests: usize,
}

impl Client {
    /// A client with an account, for one name.
    pub fn register(target: Target, keep_alive: bool, directory_path: &str, name: &str, eab: Option<&Eab>) -> Client {
        let key = AccountKey::es256();
        let mut client = Client {
            connection: None,
            thumbprint: key.thumbprint(),
            account: String::new(),
            directory: Value::Null,
            nonce: None,
            requests: 0,
            name: name.to_owned(),
            csr: base64url::encode(Csr::for_names(&[name]).der),
            key,
            target,
            keep_alive,
        };
        let directory = client.exchange("GET", directory_path, "").expect("a directory");
        client.directory = serde_json::from_slice(&directory.body).expect("JSON");
        let url = text(&client.directory, "newAccount");
        let payload = match eab {
            Some(eab) => {
                let binding = external_account_binding(&client.key, &url, eab, "HS256", &ring::hmac::HMAC_SHA256);
                serde_json::json!({"termsOfServiceAgreed": true, "externalAccountBinding": binding})
            }
            None => serde_json::json!({"termsOfServiceAgreed": true}),
        };
        let reply = client.post(&url, &payload.to_string());
        assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(&reply.body));
        client.account = reply.location.expect("the account's URL");
        client
    }

    /// What follows each token in its answers to http-01.
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// newOrder, authorization, challenge, polls, finalize, download.
    pub fn issue(&mut self) -> Issuance {
        let (start, before) = (Instant::now(), self.requests);
        let mut polled = Duration::ZERO;
        let url = text(&self.directory, "newOrder");
        let payload = format!(r#"{{"identifiers":[{{"type":"dns","value":"{}"}}]}}"#, self.name);
        let reply = self.expect(201, &url, &payload);
        let order_url = reply.location.clone().expect("the order's URL");
        let order = json(&reply);
        let authorization = json(&self.expect(200, order["authorizations"][0].as_str().unwrap(), ""));
        let challenges = authorization["challenges"].as_array().unwrap();
        let challenge = challenges.iter().find(|c| c["type"] == "http-01").expect("http-01");
        // Pebble gives some authorizations a second time, whatever it is told.
        if authorization["status"] == "pending" {
            let challenge = json(&self.expect(200, challenge["url"].as_str().unwrap(), "{}"));
            // As lego does.
            if challenge["status"] != "valid" {
                self.poll(&order_url, &["pending"], &mut polled);
            }
        }
        let payload = format!(r#"{{"csr":"{}"}}"#, self.csr);
        let mut order = json(&self.expect(200, order["finalize"].as_str().unwrap(), &payload));
        if order["certificate"].as_str().is_none() {
            order = self.poll(&order_url, &["ready", "processing"], &mut polled);
        }
        let chain = self.expect(200, order["certificate"].as_str().expect("a certificate"), "");
        assert!(chain.body.starts_with(b"-----BEGIN CERTIFICATE-----"));
        let whole = start.elapsed();
        Issuance { whole, polls_aside: whole.saturating_sub(polled), requests: self.requests - before }
    }

    /// Requests that need no account.
    pub fn fetch(&mut self, method: &str, path: &str) -> Reply {
        self.exchange(method, path, "").expect("a reply")
    }

    fn poll(&mut self, url: &str, passing: &[&str], polled: &mut Duration) -> Value {
        let start = Instant::now();
        let mut wait = FIRST_POLL;
        loop {
            std::thread::sleep(wait);
            let order = json(&self.expect(200, url, ""));
            let status = order["status"].as_str().unwrap();
            if !passing.contains(&status) {
                assert!(status == "ready" || status == "valid", "{order}");
                *polled += start.elapsed();
                return order;
            }
            assert!(start.elapsed() < Duration::from_secs(60), "{order}");
            wait = (wait * 2).min(LAST_POLL);
        }
    }

    fn expect(&mut self, status: u16, url: &str, payload: &str) -> Reply {
        let reply = self.post(url, payload);
        assert_eq!(reply.status, status, "{url}: {}", String::from_utf8_lossy(&reply.body));
        reply
    }

    /// A signed request; a nonce that the server does not want is replaced once.
    fn post(&mut self, url: &str, payload: &str) -> Reply {
        for _ in 0..8 {
            let nonce = match self.nonce.take() {
                Some(nonce) => nonce,
                None => {
                    let path = path(&text(&self.directory, "newNonce")).to_owned();
                    self.exchange("HEAD", &path, "").expect("a nonce").nonce.expect("Replay-Nonce")
                }
            };
            let identity = match self.account.as_str() {
                "" => format!(r#""jwk":{}"#, self.key.jwk),
                account => format!(r#""kid":"{account}""#),
            };
            let protected = format!(r#"{{"alg":"ES256","nonce":"{nonce}","url":"{url}",{identity}}}"#);
            let input = format!("{}.{}", base64url::encode(protected), base64url::encode(payload));
            let signature = base64url::encode(self.key.sign(input.as_bytes()));
            let (protected, payload) = input.split_once('.').unwrap();
            let body = format!(r#"{{"protected":"{protected}","payload":"{payload}","signature":"{signature}"}}"#);
            let reply = self.exchange("POST", path(url), &body);
            let mut reply = reply.unwrap_or_else(|e| panic!("{} gives no reply: {e}", self.target.host));
            self.nonce = reply.nonce.take();
            if reply.status == 400 && String::from_utf8_lossy(&reply.body).contains("badNonce") {
                continue;
            }
            return reply;
        }
        panic!("the server wants no nonce of its own");
    }

    fn exchange(&mut self, method: &str, path: &str, body: &str) -> std::io::Result<Reply> {
        self.requests += 1;
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.target.connect()?,
        };
        let reply = connection.ask(method, path, &self.target.host, body, !self.keep_alive)?;
        if self.keep_alive {
            self.connection = Some(connection);
        }
        Ok(reply)
    }
}

fn json(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).expect("JSON")
}
