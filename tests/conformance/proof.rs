//! Steps that many tests take: orders with any members, challenges of any kind, and answers to them.

use crate::request::csr;
use crate::scene::{Scene, scene};
use crate::tls_responder::text_hash;
use crate::world::acme::{Client, Order};
use crate::world::issuer::text;
use crate::world::wire::Reply;
use serde_json::{Value, json};
use std::sync::Barrier;

/// Steps of a client that its own module does not have.
pub trait Steps {
    /// newOrder with this payload.
    fn request_order(&self, payload: &Value) -> Reply;
    /// The same, which must succeed.
    fn place(&self, payload: &Value) -> Order;
    fn order_of(&self, identifiers: &[Value]) -> Order;
    fn challenge(&self, authorization: &str, kind: &str) -> Value;
    fn start(&self, challenge: &Value) -> Reply;
    /// The content of a TXT record for dns-01.
    fn dns_value(&self, challenge: &Value) -> String;
    /// Ask for validation of this challenge of an authorization, and wait for the outcome.
    fn attempt(&self, authorization: &str, kind: &str) -> Value;
    /// Publish what dns-01 wants, and wait for the outcome.
    fn prove_by_dns(&self, authorization: &str) -> Value;
    /// A finished order, its certificate's chain in PEM.
    fn issue(&self, names: &[&str]) -> String;
    /// An order whose names are all proved by http-01.
    fn ready(&self, names: &[&str]) -> Order;
    fn status_of(&self, order: &Order) -> String;
}

impl Steps for Client {
    fn request_order(&self, payload: &Value) -> Reply {
        self.post(&self.url("newOrder"), payload)
    }

    fn place(&self, payload: &Value) -> Order {
        let reply = self.request_order(payload).expect(201);
        reply.into()
    }

    fn order_of(&self, identifiers: &[Value]) -> Order {
        self.place(&json!({ "identifiers": identifiers }))
    }

    fn challenge(&self, authorization: &str, kind: &str) -> Value {
        let body = self.fetch(authorization).expect(200).json();
        let challenges = body["challenges"].as_array().unwrap();
        let found = challenges.iter().find(|challenge| challenge["type"] == kind);
        found.unwrap_or_else(|| panic!("no {kind} in {body}")).clone()
    }

    fn start(&self, challenge: &Value) -> Reply {
        self.post(&text(challenge, "url"), &json!({}))
    }

    fn dns_value(&self, challenge: &Value) -> String {
        text_hash(&self.key_authorization(&text(challenge, "token")))
    }

    fn attempt(&self, authorization: &str, kind: &str) -> Value {
        self.start(&self.challenge(authorization, kind)).expect(200);
        scene().decided(self, authorization)
    }

    fn prove_by_dns(&self, authorization: &str) -> Value {
        let body = self.fetch(authorization).expect(200).json();
        let name = format!("_acme-challenge.{}", text(&body["identifier"], "value"));
        let challenge = self.challenge(authorization, "dns-01");
        scene().names.publish(&name, &[&self.dns_value(&challenge)]);
        self.attempt(authorization, "dns-01")
    }

    fn issue(&self, names: &[&str]) -> String {
        let order = self.ready(names);
        self.finalize(&order, &csr(names)).expect(200);
        self.certificate(&order)
    }

    fn ready(&self, names: &[&str]) -> Order {
        self.ready_order(names, &scene().http)
    }

    fn status_of(&self, order: &Order) -> String {
        text(&self.fetch(&order.url).expect(200).json(), "status")
    }
}

pub fn dns(name: &str) -> Value {
    json!({"type": "dns", "value": name})
}

pub fn ip(address: &str) -> Value {
    json!({"type": "ip", "value": address})
}

/// The only authorization of an order for one name.
pub fn only(order: &Order) -> String {
    let all = order.authorizations();
    assert_eq!(all.len(), 1, "{}", order.body);
    all[0].clone()
}

/// The error of the challenge that failed, in an authorization that is invalid.
#[track_caller]
pub fn error_of(authorization: &Value) -> Value {
    assert_eq!(authorization["status"], "invalid", "{authorization}");
    let challenges = authorization["challenges"].as_array().unwrap();
    let failed: Vec<_> = challenges.iter().filter(|challenge| challenge["status"] == "invalid").collect();
    assert_eq!(failed.len(), 1, "{authorization}");
    failed[0]["error"].clone()
}

#[track_caller]
pub fn error_type(authorization: &Value) -> String {
    let error = error_of(authorization);
    text(&error, "type").strip_prefix("urn:ietf:params:acme:error:").expect("an ACME error type").to_owned()
}

#[track_caller]
pub fn assert_valid(authorization: &Value) {
    assert_eq!(authorization["status"], "valid", "{authorization}");
}

/// Do something so many times at the same moment.
pub fn at_once<T: Send>(count: usize, act: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let (barrier, act) = (Barrier::new(count), &act);
    let barrier = &barrier;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|number| {
                scope.spawn(move || {
                    barrier.wait();
                    act(number)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

impl Scene {
    /// The DER of the leaf in a chain.
    pub fn leaf(chain: &str) -> Vec<u8> {
        crate::world::judges::certificates(chain)[0].to_vec()
    }
}
