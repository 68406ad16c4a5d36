//! The flattened JSON serialisation of JWS (RFC 7515, 7.2.2) as RFC 8555, 6.2, narrows it.

use super::{base64url, json, parse_jwk};
use crate::error::{Class, Error, Result};
use crate::identifier::printable;
use crate::keys::{ClaimedKey, Hash, PublicKey, SignatureEncoding};
use serde_json::{Map, Value};

/// A JWS that is well formed. Nothing in it may be believed before [`Jws::verify`].
#[derive(Debug)]
pub struct Jws {
    algorithm: SignatureAlgorithm,
    key: KeyReference,
    nonce: Option<String>,
    url: String,
    payload: Vec<u8>,
    signing_input: Vec<u8>,
    signature: Vec<u8>,
}

/// How a JWS says whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyReference {
    /// By the key itself.
    Jwk(ClaimedKey),
    /// By an account URL.
    Kid(String),
}

/// The signature algorithms that are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SignatureAlgorithm {
    Es256,
    Es384,
    Rs256,
    EdDsa,
}

impl Jws {
    /// Parse the body of a request.
    ///
    /// # Errors
    /// Malformed, BadSignatureAlgorithm or BadPublicKey, each with what is wrong.
    pub fn parse(body: &[u8]) -> Result<Jws> {
        let members = json::parse_object(body)?;
        let parts = Parts::of(&members)?;
        let mut header = parts.header()?;
        let algorithm = SignatureAlgorithm::parse(required_text(&header, "alg")?)?;
        let key = match (header.remove("jwk"), header.remove("kid")) {
            (Some(jwk), None) => KeyReference::Jwk(parse_jwk(&jwk)?),
            (None, Some(Value::String(kid))) => KeyReference::Kid(kid),
            (None, Some(_)) => return Err(Error::malformed("\"kid\" is not text")),
            _ => return Err(Error::malformed("the protected header must have exactly one of \"jwk\" and \"kid\"")),
        };
        if let KeyReference::Jwk(key) = &key {
            algorithm.check_fits(key.unproved())?;
        }
        let nonce = match header.remove("nonce") {
            None => None,
            Some(Value::String(nonce)) => Some(nonce),
            Some(_) => return Err(Error::malformed("\"nonce\" is not text")),
        };
        Ok(Jws {
            algorithm,
            key,
            nonce,
            url: required_text(&header, "url")?.to_owned(),
            payload: parts.payload_bytes()?,
            signing_input: parts.signing_input(),
            signature: parts.signature()?,
        })
    }

    /// Whose it claims to be.
    pub fn key(&self) -> &KeyReference {
        &self.key
    }

    /// The anti-replay nonce, if it has one.
    pub fn nonce(&self) -> Option<&str> {
        self.nonce.as_deref()
    }

    /// The URL that it was signed for.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Verify the signature by the key that the JWS shows; give that key, no longer merely claimed, and the payload.
    ///
    /// # Errors
    /// As [`Jws::verify`]; BadPublicKey when the key is weak.
    pub fn verify_own(&self, key: &ClaimedKey) -> Result<(PublicKey, &[u8])> {
        let key = key.proved_by(|key| self.verify(key).map(drop))?;
        Ok((key, &self.payload))
    }

    /// Verify the signature and give the payload.
    ///
    /// # Errors
    /// BadSignatureAlgorithm when the algorithm does not fit the key; Malformed when the signature does not verify.
    pub fn verify(&self, key: &PublicKey) -> Result<&[u8]> {
        self.algorithm.check_fits(key)?;
        let (hash, signature_length) = match self.algorithm {
            SignatureAlgorithm::Es256 => (Hash::Sha256, Some(64)),
            SignatureAlgorithm::Es384 => (Hash::Sha384, Some(96)),
            SignatureAlgorithm::Rs256 => (Hash::Sha256, None),
            SignatureAlgorithm::EdDsa => (Hash::Sha512, Some(64)),
        };
        if let Some(length) = signature_length.filter(|length| *length != self.signature.len()) {
            return Err(Error::malformed(format!(
                "the signature has {} bytes instead of {length}; each half keeps its leading zeros (RFC 7518, 3.4)",
                self.signature.len()
            )));
        }
        key.verify(hash, SignatureEncoding::Fixed, &self.signing_input, &self.signature)
            .map_err(|_| Error::malformed("the signature of the JWS does not verify under its key"))?;
        Ok(&self.payload)
    }
}

impl SignatureAlgorithm {
    /// The names of all of them, for the error document (RFC 8555, 6.2).
    pub const NAMES: [&str; 4] = ["ES256", "ES384", "RS256", "EdDSA"];

    fn parse(name: &str) -> Result<SignatureAlgorithm> {
        match name {
            "ES256" => Ok(SignatureAlgorithm::Es256),
            "ES384" => Ok(SignatureAlgorithm::Es384),
            "RS256" => Ok(SignatureAlgorithm::Rs256),
            "EdDSA" => Ok(SignatureAlgorithm::EdDsa),
            other => Err(Error::new(
                Class::BadSignatureAlgorithm,
                format!(
                    "the algorithm \"{}\" is not supported; use one of {}",
                    printable(other),
                    Self::NAMES.join(", ")
                ),
            )),
        }
    }

    fn check_fits(self, key: &PublicKey) -> Result<()> {
        use crate::keys::KeyParts::{Ec, Okp, Rsa};
        match (self, key.parts()) {
            (SignatureAlgorithm::Es256, Ec { curve: "P-256", .. })
            | (SignatureAlgorithm::Es384, Ec { curve: "P-384", .. })
            | (SignatureAlgorithm::Rs256, Rsa { .. })
            | (SignatureAlgorithm::EdDsa, Okp { .. }) => Ok(()),
            _ => Err(Error::new(Class::BadSignatureAlgorithm, "\"alg\" does not fit the type or curve of the key")),
        }
    }
}

/// The three texts of a flattened JWS.
pub(super) struct Parts<'a> {
    protected: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl<'a> Parts<'a> {
    pub(super) fn of(members: &'a Map<String, Value>) -> Result<Parts<'a>> {
        // Members that are not understood are ignored (RFC 7515, 7.2.1); these two are understood.
        if members.contains_key("header") {
            return Err(Error::malformed("a JWS must not have an unprotected header here"));
        }
        if members.contains_key("signatures") {
            return Err(Error::malformed("send the flattened JWS with a single signature"));
        }
        let text = |name: &str| {
            members
                .get(name)
                .and_then(Value::as_str)
                .ok_or_else(|| Error::malformed(format!("the JWS has no text member \"{name}\"")))
        };
        Ok(Parts { protected: text("protected")?, payload: text("payload")?, signature: text("signature")? })
    }

    pub(super) fn header(&self) -> Result<Map<String, Value>> {
        let header = json::parse_object(&base64url::decode(self.protected)?)?;
        for name in ["crit", "b64"] {
            if header.contains_key(name) {
                return Err(Error::malformed(format!("the header parameter \"{name}\" is not supported")));
            }
        }
        Ok(header)
    }

    pub(super) fn payload_bytes(&self) -> Result<Vec<u8>> {
        base64url::decode(self.payload)
    }

    pub(super) fn signature(&self) -> Result<Vec<u8>> {
        base64url::decode(self.signature)
    }

    pub(super) fn signing_input(&self) -> Vec<u8> {
        [self.protected.as_bytes(), b".", self.payload.as_bytes()].concat()
    }
}

pub(super) fn required_text<'a>(members: &'a Map<String, Value>, name: &str) -> Result<&'a str> {
    members
        .get(name)
        .and_then(Value::as_str)
        .ok_or_else(|| Error::malformed(format!("the protected header has no text member \"{name}\"")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{KeyAlgorithm, Signer, generate};

    fn flattened(header: &str, payload: &str, signer: &Signer) -> String {
        let protected = base64url::encode(header.as_bytes());
        let payload = base64url::encode(payload.as_bytes());
        let signature = base64url::encode(&signer.sign(format!("{protected}.{payload}").as_bytes()).unwrap());
        format!(r#"{{"protected":"{protected}","payload":"{payload}","signature":"{signature}"}}"#)
    }

    fn ed25519() -> (Signer, String) {
        let pkcs8 = generate(KeyAlgorithm::Ed25519).unwrap();
        let signer = Signer::from_pkcs8(KeyAlgorithm::Ed25519, Hash::Sha256, &pkcs8).unwrap();
        let jwk = crate::jose::jwk_of(signer.public_key());
        (signer, jwk)
    }

    #[test]
    fn a_sound_jws_verifies_and_a_changed_one_does_not() {
        let (signer, jwk) = ed25519();
        let text = flattened(&format!(r#"{{"alg":"EdDSA","jwk":{jwk},"nonce":"n","url":"u"}}"#), "{}", &signer);
        let jws = Jws::parse(text.as_bytes()).unwrap();
        assert_eq!(jws.verify(signer.public_key()), Ok(&b"{}"[..]));
        assert_eq!((jws.nonce(), jws.url()), (Some("n"), "u"));
        let other = ed25519().0;
        assert!(jws.verify(other.public_key()).is_err());
    }

    #[test]
    fn everything_but_the_narrow_form_is_refused() {
        let (signer, jwk) = ed25519();
        let sound = format!(r#"{{"alg":"EdDSA","jwk":{jwk},"nonce":"n","url":"u"}}"#);
        for header in [
            sound.replace("EdDSA", "none"),
            sound.replace("EdDSA", "HS256"),
            sound.replace("EdDSA", "ES256"),
            sound.replace(r#""nonce""#, r#""crit":["x"],"nonce""#),
            sound.replace(r#""nonce""#, r#""b64":false,"nonce""#),
            sound.replace(r#""nonce""#, r#""kid":"k","nonce""#),
            sound.replace(r#""nonce":"n""#, r#""nonce":7"#),
            sound.replace(r#","url":"u""#, ""),
            sound.replace(r#""url":"u""#, r#""url":"u","url":"u""#),
            "[]".into(),
        ] {
            assert!(Jws::parse(flattened(&header, "{}", &signer).as_bytes()).is_err(), "{header}");
        }
        let text = flattened(&sound, "{}", &signer);
        for body in [
            text.replacen('{', r#"{"header":{},"#, 1),
            text.replacen('{', r#"{"signatures":[],"#, 1),
            text.replace(r#""payload""#, r#""payloaf""#),
            text.replace(r#"","payload":""#, r#"=","payload":""#),
            text.trim_matches(['{', '}']).into(),
        ] {
            assert!(Jws::parse(body.as_bytes()).is_err(), "{body}");
        }
    }
}
