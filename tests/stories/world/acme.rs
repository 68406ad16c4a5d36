//! An ACME client of our own (RFC 8555), over verified TLS. It does what it is told, right or wrong.

use super::account_key::AccountKey;
use super::base64url;
use super::csr::Csr;
use super::issuer::{Eab, text};
use super::patience::{eventually, seconds};
use super::responder::Responder;
use super::wire::{Reply, Wire};
use serde_json::{Value, json};

const JOSE: (&str, &str) = ("Content-Type", "application/jose+json");

#[derive(Clone)]
pub struct Client {
    pub wire: Wire,
    pub directory: Value,
    pub key: AccountKey,
    pub account: Option<String>,
}

/// An order as the client knows it.
#[derive(Clone, Debug)]
pub struct Order {
    pub url: String,
    pub body: Value,
}

/// The three parts of a flattened JWS, each as it goes over the wire.
#[derive(Clone, Debug)]
pub struct Jws {
    pub protected: String,
    pub payload: String,
    pub signature: String,
}

impl Client {
    pub fn new(wire: Wire, directory_url: &str, key: AccountKey) -> Client {
        let directory = wire.request("GET", directory_url, &[], b"").expect(200).json();
        Client { wire, directory, key, account: None }
    }

    /// Somebody else, who has no account yet, at the same issuer.
    pub fn with_key(self, key: AccountKey) -> Client {
        Client { key, account: None, ..self }
    }

    pub fn nonce(&self) -> String {
        let reply = self.wire.request("HEAD", &self.url("newNonce"), &[], b"").expect(200);
        reply.required_header("replay-nonce")
    }

    pub fn url(&self, resource: &str) -> String {
        text(&self.directory, resource)
    }

    /// A POST signed with the account, or with the key where there is no account yet.
    pub fn post(&self, url: &str, payload: &Value) -> Reply {
        self.send(url, &self.sign(&self.header(url), payload.to_string().as_bytes()))
    }

    /// The same of a daemon that may be gone before it answers; without a payload it is a POST-as-GET.
    pub fn try_post(&self, url: &str, payload: Option<&Value>) -> std::io::Result<Reply> {
        let nonce = self.wire.try_request("HEAD", &self.url("newNonce"), &[], b"")?;
        let header = self.header_with(url, &nonce.expect(200).required_header("replay-nonce"));
        let payload = payload.map(Value::to_string).unwrap_or_default();
        let body = self.sign(&header, payload.as_bytes()).flattened().to_string();
        self.wire.try_request("POST", url, &[JOSE], body.as_bytes())
    }

    /// The same with a nonce that was fetched before; without a payload it is a POST-as-GET.
    pub fn post_with(&self, nonce: &str, url: &str, payload: Option<&Value>) -> Reply {
        let payload = payload.map(Value::to_string).unwrap_or_default();
        self.send(url, &self.sign(&self.header_with(url, nonce), payload.as_bytes()))
    }

    /// POST-as-GET.
    pub fn fetch(&self, url: &str) -> Reply {
        self.send(url, &self.sign(&self.header(url), b""))
    }

    /// The protected header of an honest request, for a story to spoil.
    pub fn header(&self, url: &str) -> Value {
        self.header_with(url, &self.nonce())
    }

    fn header_with(&self, url: &str, nonce: &str) -> Value {
        let mut header = json!({"alg": self.key.algorithm, "nonce": nonce, "url": url});
        match &self.account {
            Some(account) => header["kid"] = account.as_str().into(),
            None => header["jwk"] = self.key.jwk.clone(),
        }
        header
    }

    pub fn sign(&self, header: &Value, payload: &[u8]) -> Jws {
        self.sign_text(&header.to_string(), payload)
    }

    /// Sign a header that is given as text, since not every header can be said as a `Value`.
    pub fn sign_text(&self, header: &str, payload: &[u8]) -> Jws {
        let (protected, payload) = (base64url::encode(header), base64url::encode(payload));
        let signature = base64url::encode(self.key.sign(format!("{protected}.{payload}").as_bytes()));
        Jws { protected, payload, signature }
    }

    pub fn send(&self, url: &str, jws: &Jws) -> Reply {
        self.send_text(url, &jws.flattened().to_string())
    }

    pub fn send_text(&self, url: &str, body: &str) -> Reply {
        self.wire.request("POST", url, &[JOSE], body.as_bytes())
    }

    pub fn register(&mut self, eab: &Eab) -> Reply {
        let binding = self.binding(eab, "HS256", &ring::hmac::HMAC_SHA256);
        self.register_with(&json!({"termsOfServiceAgreed": true, "externalAccountBinding": binding}))
    }

    /// newAccount with this payload; a client that succeeds remembers its account.
    pub fn register_with(&mut self, payload: &Value) -> Reply {
        self.account = None;
        let reply = self.post(&self.url("newAccount"), payload);
        if reply.status == 200 || reply.status == 201 {
            self.account = Some(reply.required_header("location"));
        }
        reply
    }

    pub fn binding(&self, eab: &Eab, algorithm: &str, hmac: &'static ring::hmac::Algorithm) -> Value {
        external_account_binding(&self.key, &self.url("newAccount"), eab, algorithm, hmac)
    }

    pub fn ask_for(&self, names: &[&str]) -> Reply {
        let identifiers: Vec<Value> = names.iter().map(|name| json!({"type": "dns", "value": name})).collect();
        self.post(&self.url("newOrder"), &json!({"identifiers": identifiers}))
    }

    pub fn order(&self, names: &[&str]) -> Order {
        self.ask_for(names).expect(201).into()
    }

    /// Put the answers to every challenge of the order where the daemon will look for them, and say so.
    pub fn prove(&self, order: &Order, responder: &Responder) {
        for authorization in order.authorizations() {
            self.prove_one(&authorization, responder);
        }
    }

    pub fn prove_one(&self, authorization: &str, responder: &Responder) {
        let challenge = self.http_01(authorization);
        let token = text(&challenge, "token");
        responder.serve(&token, &self.key_authorization(&token));
        self.post(&text(&challenge, "url"), &json!({})).expect(200);
    }

    pub fn http_01(&self, authorization: &str) -> Value {
        let authorization = self.fetch(authorization).expect(200).json();
        let challenges = authorization["challenges"].as_array().unwrap();
        challenges.iter().find(|challenge| challenge["type"] == "http-01").expect("an http-01 challenge").clone()
    }

    pub fn key_authorization(&self, token: &str) -> String {
        format!("{token}.{}", self.key.thumbprint())
    }

    /// The resource, once its status is no longer one of `passing`.
    pub fn settled(&self, url: &str, passing: &[&str]) -> Value {
        eventually(&format!("{url} settles"), seconds(60), || {
            let body = self.fetch(url).expect(200).json();
            (!passing.contains(&text(&body, "status").as_str())).then_some(body)
        })
    }

    pub fn ready_order(&self, names: &[&str], responder: &Responder) -> Order {
        let mut order = self.order(names);
        self.prove(&order, responder);
        order.body = self.settled(&order.url, &["pending"]);
        assert_eq!(order.body["status"], "ready", "{}", order.body);
        order
    }

    pub fn finalize(&self, order: &Order, csr: &Csr) -> Reply {
        self.post(&text(&order.body, "finalize"), &json!({"csr": base64url::encode(&csr.der)}))
    }

    pub fn certificate(&self, order: &Order) -> String {
        let body = self.settled(&order.url, &["pending", "ready", "processing"]);
        assert_eq!(body["status"], "valid", "{body}");
        let reply = self.fetch(&text(&body, "certificate")).expect(200);
        assert_eq!(reply.header("content-type"), Some("application/pem-certificate-chain"));
        reply.text()
    }

    /// The whole way: order, challenge, finalize, certificate.
    pub fn obtain(&self, names: &[&str], responder: &Responder) -> String {
        self.obtain_by(&Csr::for_names(names), names, responder)
    }

    pub fn obtain_by(&self, csr: &Csr, names: &[&str], responder: &Responder) -> String {
        let order = self.ready_order(names, responder);
        self.finalize(&order, csr).expect(200);
        self.certificate(&order)
    }
}

/// The reply to newOrder.
impl From<Reply> for Order {
    fn from(reply: Reply) -> Order {
        Order { url: reply.required_header("location"), body: reply.json() }
    }
}

impl Order {
    pub fn authorizations(&self) -> Vec<String> {
        let list = self.body["authorizations"].as_array().unwrap_or_else(|| panic!("in {}", self.body));
        list.iter().map(|url| url.as_str().unwrap().to_string()).collect()
    }
}

impl Jws {
    pub fn flattened(&self) -> Value {
        json!({"protected": self.protected, "payload": self.payload, "signature": self.signature})
    }
}

/// The externalAccountBinding of RFC 8555, 7.3.4.
pub fn external_account_binding(
    key: &AccountKey,
    new_account: &str,
    eab: &Eab,
    algorithm: &str,
    hmac: &'static ring::hmac::Algorithm,
) -> Value {
    let header = json!({"alg": algorithm, "kid": eab.kid, "url": new_account});
    let (protected, payload) = (base64url::encode(header.to_string()), base64url::encode(key.jwk.to_string()));
    let hmac_key = ring::hmac::Key::new(*hmac, &base64url::decode(&eab.mac_key));
    let tag = ring::hmac::sign(&hmac_key, format!("{protected}.{payload}").as_bytes());
    json!({"protected": protected, "payload": payload, "signature": base64url::encode(tag)})
}
