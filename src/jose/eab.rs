//! External account binding (RFC 8555, 7.3.4): a JWS by MAC, over the account key, inside newAccount.

use super::jws::{Parts, required_text};
use super::{json, parse_jwk, thumbprint};
use crate::error::{Class, Error, Result};
use crate::identifier::printable;
use crate::keys::PublicKey;
use ring::hmac;
use serde_json::Value;

/// A binding that is well formed, for the right account key and URL. Its MAC is not verified yet.
#[derive(Debug)]
pub struct ExternalAccountBinding {
    kid: String,
    algorithm: MacAlgorithm,
    signing_input: Vec<u8>,
    mac: Vec<u8>,
}

/// The MAC algorithms of RFC 7518, 3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum MacAlgorithm {
    Hs256,
    Hs384,
    Hs512,
}

impl MacAlgorithm {
    /// The names of all of them, for the error document.
    pub const NAMES: [&str; 3] = ["HS256", "HS384", "HS512"];
}

impl ExternalAccountBinding {
    /// Parse the member `externalAccountBinding` of a newAccount request that was signed by `account_key` for `url`.
    ///
    /// # Errors
    /// Malformed, BadMacAlgorithm or BadPublicKey, each with what is wrong.
    pub fn parse(value: &Value, account_key: &PublicKey, url: &str) -> Result<ExternalAccountBinding> {
        let inner = |e: Error| e.context("externalAccountBinding");
        let members =
            value.as_object().ok_or_else(|| Error::malformed("externalAccountBinding is not a JSON object"))?;
        let parts = Parts::of(members).map_err(inner)?;
        let header = parts.header().map_err(inner)?;
        let algorithm = match required_text(&header, "alg").map_err(inner)? {
            "HS256" => MacAlgorithm::Hs256,
            "HS384" => MacAlgorithm::Hs384,
            "HS512" => MacAlgorithm::Hs512,
            other => {
                return Err(Error::new(
                    Class::BadMacAlgorithm,
                    format!(
                        "externalAccountBinding: \"{}\" is not a MAC algorithm; use HS256, HS384 or HS512",
                        printable(other)
                    ),
                ));
            }
        };
        if header.contains_key("nonce") {
            return Err(Error::malformed("externalAccountBinding must not have a nonce (RFC 8555, 7.3.4)"));
        }
        if header.contains_key("jwk") {
            return Err(Error::malformed("externalAccountBinding names its key by \"kid\", not by \"jwk\""));
        }
        if required_text(&header, "url").map_err(inner)? != url {
            return Err(Error::malformed("externalAccountBinding has another \"url\" than the request"));
        }
        let bound = parse_jwk(&json::parse(&parts.payload_bytes().map_err(inner)?).map_err(inner)?).map_err(inner)?;
        // By thumbprint, since clients write the same key with members in another order.
        if thumbprint(bound.unproved()) != thumbprint(account_key) {
            return Err(Error::malformed(
                "externalAccountBinding binds another key than the one that signed the request",
            ));
        }
        Ok(ExternalAccountBinding {
            kid: required_text(&header, "kid").map_err(inner)?.to_owned(),
            algorithm,
            signing_input: parts.signing_input(),
            mac: parts.signature().map_err(inner)?,
        })
    }

    /// The credential that it claims.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Whether the MAC is right; compared in constant time.
    pub fn verify(&self, mac_key: &[u8]) -> bool {
        let algorithm = match self.algorithm {
            MacAlgorithm::Hs256 => hmac::HMAC_SHA256,
            MacAlgorithm::Hs384 => hmac::HMAC_SHA384,
            MacAlgorithm::Hs512 => hmac::HMAC_SHA512,
        };
        hmac::verify(&hmac::Key::new(algorithm, mac_key), &self.signing_input, &self.mac).is_ok()
    }
}
