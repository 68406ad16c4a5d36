//! Public keys as JWKs (RFC 7517, RFC 7518, 6, RFC 8037, 2) and their thumbprints (RFC 7638).

use super::base64url;
use crate::error::{Class, Error, Result};
use crate::identifier::printable;
use crate::keys::{ClaimedKey, KeyParts, PublicKey, sha256};
use serde_json::{Map, Value};

/// Members that only a private or symmetric key has.
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Parse a JWK.
///
/// # Errors
/// BadPublicKey when it is malformed, private, or of a kind or size that is not supported.
pub fn parse_jwk(jwk: &Value) -> Result<ClaimedKey> {
    parse(jwk).map(ClaimedKey::new)
}

fn parse(jwk: &Value) -> Result<PublicKey> {
    let members = jwk.as_object().ok_or_else(|| bad("the jwk is not a JSON object"))?;
    if let Some(private) = PRIVATE_MEMBERS.iter().find(|m| members.contains_key(**m)) {
        return Err(bad(format!("the jwk has the private member \"{private}\"; send the public key only")));
    }
    match text(members, "kty")? {
        "RSA" => PublicKey::rsa(&number(members, "n")?, &number(members, "e")?),
        "EC" => match text(members, "crv")? {
            "P-256" => PublicKey::p256(&number(members, "x")?, &number(members, "y")?),
            "P-384" => PublicKey::p384(&number(members, "x")?, &number(members, "y")?),
            other => Err(bad(format!("the curve \"{}\" is not supported; use P-256 or P-384", printable(other)))),
        },
        "OKP" => match text(members, "crv")? {
            "Ed25519" => PublicKey::ed25519(&number(members, "x")?),
            other => Err(bad(format!("the curve \"{}\" is not supported; use Ed25519", printable(other)))),
        },
        other => Err(bad(format!("keys of type \"{}\" are not supported; use RSA, EC or OKP", printable(other)))),
    }
}

/// The JWK with its required members only, in the order and spelling that RFC 7638, 3.2, hashes.
pub fn jwk_of(key: &PublicKey) -> String {
    let b64 = base64url::encode;
    match key.parts() {
        KeyParts::Rsa { modulus, exponent } => {
            format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, b64(exponent), b64(modulus))
        }
        KeyParts::Ec { curve, x, y } => format!(r#"{{"crv":"{curve}","kty":"EC","x":"{}","y":"{}"}}"#, b64(x), b64(y)),
        KeyParts::Okp { curve, x } => format!(r#"{{"crv":"{curve}","kty":"OKP","x":"{}"}}"#, b64(x)),
    }
}

/// The SHA-256 thumbprint of a key (RFC 7638), in base64url.
pub fn thumbprint(key: &PublicKey) -> String {
    base64url::encode(&sha256(jwk_of(key).as_bytes()))
}

fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Result<&'a str> {
    members.get(name).and_then(Value::as_str).ok_or_else(|| bad(format!("the jwk has no text member \"{name}\"")))
}

fn number(members: &Map<String, Value>, name: &str) -> Result<Vec<u8>> {
    base64url::decode(text(members, name)?).map_err(|e| bad(format!("member \"{name}\" of the jwk: {e}")))
}

fn bad(why: impl Into<String>) -> Error {
    Error::new(Class::BadPublicKey, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_8037_has_its_thumbprint() {
        let jwk = serde_json::json!({"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        assert_eq!(thumbprint(parse_jwk(&jwk).unwrap().unproved()), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn the_example_of_rfc_7638_has_its_thumbprint() {
        let jwk = serde_json::json!({"kty":"RSA","alg":"RS256","kid":"2011-04-29","e":"AQAB","n":
            "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3\
             oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdA\
             ZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-\
             kEgU8awapJzKnqDKgw"});
        assert_eq!(thumbprint(parse_jwk(&jwk).unwrap().unproved()), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn private_unknown_and_misshapen_keys_are_refused() {
        let x = base64url::encode(&[1; 32]);
        for jwk in [
            serde_json::json!({"kty":"EC","crv":"P-256","x":x,"y":x,"d":x}),
            serde_json::json!({"kty":"EC","crv":"P-521","x":x,"y":x}),
            serde_json::json!({"kty":"EC","crv":"P-384","x":x,"y":x}),
            serde_json::json!({"kty":"EC","crv":"P-256","x":x}),
            serde_json::json!({"kty":"EC","crv":"P-256","x":format!("{x}="),"y":x}),
            serde_json::json!({"kty":"oct","k":x}),
            serde_json::json!({"kty":"RSA","n":x,"e":"AQAB"}),
            serde_json::json!(["kty"]),
        ] {
            assert_eq!(parse_jwk(&jwk).map_err(|e| e.class()), Err(Class::BadPublicKey), "{jwk}");
        }
    }
}
