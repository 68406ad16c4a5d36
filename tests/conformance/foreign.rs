//! What other implementations would put on the wire, rightly or wrongly: signatures, bindings and key changes with one
//! thing wrong at a time.

use crate::world::account_key::AccountKey;
use crate::world::acme::{Client, Jws};
use crate::world::base64url;
use crate::world::issuer::Eab;
use serde_json::{Value, json};

/// What is done to bytes before they are sent.
pub type Spoil = fn(&[u8]) -> Vec<u8>;

/// An externalAccountBinding whose header and payload were spoiled before the MAC was made over them.
pub struct Binding<'c> {
    pub eab: &'c Eab,
    pub hmac: ring::hmac::Algorithm,
    pub header: Value,
    pub payload: String,
}

impl<'c> Binding<'c> {
    pub fn new(client: &Client, eab: &'c Eab) -> Binding<'c> {
        Binding {
            eab,
            hmac: ring::hmac::HMAC_SHA256,
            header: json!({"alg": "HS256", "kid": eab.kid, "url": client.url("newAccount")}),
            payload: client.key.jwk.to_string(),
        }
    }

    /// The three parts, with a right MAC over the first two.
    pub fn jws(&self) -> Jws {
        let (protected, payload) = (base64url::encode(self.header.to_string()), base64url::encode(&self.payload));
        let key = ring::hmac::Key::new(self.hmac, &base64url::decode(&self.eab.mac_key));
        let tag = ring::hmac::sign(&key, format!("{protected}.{payload}").as_bytes());
        Jws { protected, payload, signature: base64url::encode(tag) }
    }

    pub fn sealed(&self) -> Value {
        self.jws().flattened()
    }
}

/// The inner JWS of a keyChange (RFC 8555, 7.3.5), for a test to spoil.
pub struct KeyChange {
    pub header: Value,
    pub payload: Value,
    /// Whose signature goes on it.
    pub signer: AccountKey,
}

impl KeyChange {
    /// From the client's key to another.
    pub fn new(client: &Client, new_key: &AccountKey) -> KeyChange {
        KeyChange {
            header: json!({"alg": new_key.algorithm, "jwk": new_key.jwk, "url": client.url("keyChange")}),
            payload: json!({"account": client.account, "oldKey": client.key.jwk}),
            signer: new_key.clone(),
        }
    }

    pub fn jws(&self) -> Jws {
        let (protected, payload) =
            (base64url::encode(self.header.to_string()), base64url::encode(self.payload.to_string()));
        let signature = base64url::encode(self.signer.sign(format!("{protected}.{payload}").as_bytes()));
        Jws { protected, payload, signature }
    }

    pub fn sealed(&self) -> Value {
        self.jws().flattened()
    }
}

/// An ECDSA signature as X.509 writes it, SEQUENCE of two INTEGERs, from the two halves of RFC 7518.
pub fn ecdsa_in_der(fixed: &[u8]) -> Vec<u8> {
    let integer = |half: &[u8]| {
        let significant = &half[half.iter().take_while(|byte| **byte == 0).count()..];
        let sign: &[u8] = if significant[0] & 0x80 == 0 { &[] } else { &[0] };
        [&[2, (sign.len() + significant.len()) as u8], sign, significant].concat()
    };
    let (r, s) = fixed.split_at(fixed.len() / 2);
    let body = [integer(r), integer(s)].concat();
    [vec![0x30, body.len() as u8], body].concat()
}

/// The padding that the text lacks, or some where it lacks none.
pub fn padded(text: &str) -> String {
    format!("{text}{}", ["====", "===", "==", "="][text.len() % 4])
}

/// The same bytes with a bit set that belongs to none of them.
pub fn with_stray_bits(text: &str) -> String {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    assert_ne!(text.len() % 4, 0, "every bit of this belongs to a byte");
    let (rest, last) = text.split_at(text.len() - 1);
    let next = ALPHABET.find(last).unwrap() + 1;
    format!("{rest}{}", &ALPHABET[next..=next])
}
