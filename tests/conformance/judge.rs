//! Judges of certificates, for many tests at a time: each judgement has a directory of its own.

use crate::world::judges;
use crate::world::place::Place;
use serde_json::Value;

pub struct Judge {
    place: Place,
}

impl Judge {
    pub fn new() -> Judge {
        Judge { place: Place::new() }
    }

    /// What Python's cryptography reads in each certificate.
    pub fn facts(&self, chain: &str) -> Vec<Value> {
        judges::facts(&self.place, chain)
    }

    /// openssl and certtool accept the chain for this name.
    #[track_caller]
    pub fn assert_trusted(&self, root: &str, chain: &str, name: &str) {
        judges::assert_trusted(&self.place, root, chain, name);
    }
}

/// The facts of the leaf.
pub fn leaf_facts(chain: &str) -> Value {
    Judge::new().facts(chain)[0].clone()
}

/// The names of the leaf, each with its type in front, in order.
pub fn names(facts: &Value) -> Vec<String> {
    let names = facts["extensions"]["subjectAltName"]["value"].as_array().unwrap();
    let mut names: Vec<String> = names.iter().map(|name| name.as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}
