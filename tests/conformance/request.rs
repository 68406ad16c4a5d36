//! Certificate signing requests (RFC 2986) of every shape, well formed or not.

use crate::der::{self, UTF8, bits, critical, element, integer, octets, oid, sequence};
use crate::world::account_key::AccountKey;
use crate::world::base64url;
use crate::world::csr::Csr;
use std::net::IpAddr;

pub const COMMON_NAME: &str = "2.5.4.3";
pub const SUBJECT_ALT_NAME: &str = "2.5.29.17";
pub const BASIC_CONSTRAINTS: &str = "2.5.29.19";
pub const KEY_USAGE: &str = "2.5.29.15";
pub const TLS_FEATURE: &str = "1.3.6.1.5.5.7.1.24";

/// What a request is made of. `build` signs it.
pub struct Request {
    pub key: AccountKey,
    pub version: u8,
    pub common_names: Vec<String>,
    /// GeneralNames, each in DER; no extension at all when there are none.
    pub names: Vec<Vec<u8>>,
    /// Further extensions, each in DER.
    pub extensions: Vec<Vec<u8>>,
}

impl Request {
    /// An empty subject and the names as subjectAltName, under a fresh key.
    pub fn new(names: &[&str]) -> Request {
        let mut request =
            Request { key: AccountKey::es256(), version: 0, common_names: vec![], names: vec![], extensions: vec![] };
        for name in names {
            request.names.push(match name.parse::<IpAddr>() {
                Ok(address) => ip_name(address),
                Err(_) => dns_name(name),
            });
        }
        request
    }

    pub fn with_key(mut self, key: &AccountKey) -> Request {
        self.key = key.clone();
        self
    }

    pub fn with_common_name(mut self, name: &str) -> Request {
        self.common_names.push(name.to_owned());
        self
    }

    pub fn with_name(mut self, general_name: Vec<u8>) -> Request {
        self.names.push(general_name);
        self
    }

    pub fn with_extension(mut self, kind: &str, is_critical: bool, value: &[u8]) -> Request {
        self.extensions.push(extension(kind, is_critical, value));
        self
    }

    pub fn build(&self) -> Csr {
        let information = self.information(&spki(&self.key));
        Csr { der: signed(&self.key, &information) }
    }

    /// The request for this public key, signed by `self.key` all the same.
    pub fn build_for(&self, public_key: &[u8]) -> Csr {
        Csr { der: signed(&self.key, &self.information(public_key)) }
    }

    fn information(&self, public_key: &[u8]) -> Vec<u8> {
        let subject: Vec<Vec<u8>> = self
            .common_names
            .iter()
            .map(|name| element(der::SET, &[&sequence(&[&oid(COMMON_NAME), &element(UTF8, &[name.as_bytes()])])]))
            .collect();
        let mut extensions = self.extensions.clone();
        if !self.names.is_empty() {
            extensions.insert(0, extension(SUBJECT_ALT_NAME, false, &sequence(&[&self.names.concat()])));
        }
        let attributes = match extensions.is_empty() {
            true => vec![],
            false => {
                let wanted = element(der::SET, &[&sequence(&[&extensions.concat()])]);
                sequence(&[&oid("1.2.840.113549.1.9.14"), &wanted])
            }
        };
        let subject = sequence(&[&subject.concat()]);
        sequence(&[&integer(&[self.version]), &subject, public_key, &element(0xa0, &[&attributes])])
    }
}

/// What honest clients send.
pub fn csr(names: &[&str]) -> Csr {
    Request::new(names).build()
}

pub fn dns_name(name: &str) -> Vec<u8> {
    element(0x82, &[name.as_bytes()])
}

pub fn ip_name(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(four) => element(0x87, &[&four.octets()]),
        IpAddr::V6(six) => element(0x87, &[&six.octets()]),
    }
}

pub fn extension(kind: &str, is_critical: bool, value: &[u8]) -> Vec<u8> {
    let flag = if is_critical { critical() } else { vec![] };
    sequence(&[&oid(kind), &flag, &octets(value)])
}

/// SubjectPublicKeyInfo of an EC key.
pub fn spki(key: &AccountKey) -> Vec<u8> {
    let coordinate = |name: &str| base64url::decode(key.jwk[name].as_str().unwrap());
    point_spki(key.jwk["crv"].as_str().unwrap(), &coordinate("x"), &coordinate("y"))
}

pub fn point_spki(curve: &str, x: &[u8], y: &[u8]) -> Vec<u8> {
    let curve = if curve == "P-256" { "1.2.840.10045.3.1.7" } else { "1.3.132.0.34" };
    sequence(&[&sequence(&[&oid("1.2.840.10045.2.1"), &oid(curve)]), &bits(&[&[4], x, y].concat())])
}

fn signed(key: &AccountKey, information: &[u8]) -> Vec<u8> {
    let algorithm = if key.algorithm == "ES256" { "1.2.840.10045.4.3.2" } else { "1.2.840.10045.4.3.3" };
    let raw = key.sign(information);
    let (r, s) = raw.split_at(raw.len() / 2);
    let signature = sequence(&[&integer(r), &integer(s)]);
    sequence(&[information, &sequence(&[&oid(algorithm)]), &bits(&signature)])
}
