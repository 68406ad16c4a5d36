//! JOSE as ACME uses it (RFC 8555, 6.2): strict base64url, JWKs and their thumbprints, flattened JWS, and the JWS with
//! a MAC that binds an external account.

pub mod base64url;
mod eab;
pub mod json;
mod jwk;
mod jws;

pub use eab::{ExternalAccountBinding, MacAlgorithm};
pub use jwk::{jwk_of, parse_jwk, thumbprint};
pub use jws::{Jws, KeyReference, SignatureAlgorithm};
