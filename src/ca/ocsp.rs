//! OCSP (RFC 6960): requests read, answers built. Who is asked about, and what is known of it, is for others to say.

use super::extension::extension;
use super::time::generalized_time;
use crate::clock::Time;
use crate::der::{self, Reader, oid};
use crate::error::{Error, Result};
use crate::keys::{PublicKey, Signer, sha256};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

/// More are not answered at once.
const MOST_QUESTIONS: usize = 16;
/// RFC 8954, 2.1.
const LONGEST_NONCE: usize = 32;

/// A request (RFC 6960, 4.1.1). Its signature, if it has one, says nothing to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OcspRequest {
    /// What is asked; at least one.
    pub questions: Vec<CertId>,
    /// The whole value of the nonce extension.
    pub nonce: Option<Vec<u8>>,
}

/// Which certificate is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertId {
    /// The whole CertID, which the answer repeats.
    pub der: Vec<u8>,
    /// The serial number, big-endian without leading zeros.
    pub serial: Vec<u8>,
    /// In which of the few ways its issuer is named, so that an answer to one question serves all that are alike.
    pub form: CertIdForm,
    hash: CertIdHash,
    issuer_name_hash: Vec<u8>,
    issuer_key_hash: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum CertIdHash {
    Sha1,
    Sha256,
}

/// How a CertID is written: its hash, and whether the algorithm has parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CertIdForm(CertIdHash, bool);

impl OcspRequest {
    /// Parse the DER of a request.
    ///
    /// # Errors
    /// Malformed when it is not one, or asks about too much at once.
    pub fn parse(request: &[u8]) -> Result<OcspRequest> {
        let mut outer = Reader::new(request);
        let mut parts = outer.enter(der::SEQUENCE)?;
        outer.finish()?;
        let mut content = parts.enter(der::SEQUENCE)?;
        parts.optional(der::context_constructed(0))?;
        parts.finish()?;
        // Version and requestor's name.
        content.optional(der::context_constructed(0))?;
        content.optional(der::context_constructed(1))?;
        let mut list = content.enter(der::SEQUENCE)?;
        let mut questions = Vec::new();
        while !list.is_empty() {
            let mut question = list.enter(der::SEQUENCE)?;
            questions.push(CertId::parse(&mut question)?);
            question.optional(der::context_constructed(0))?;
            question.finish()?;
            if questions.len() > MOST_QUESTIONS {
                return Err(Error::malformed("the request asks about too many certificates"));
            }
        }
        if questions.is_empty() {
            return Err(Error::malformed("the request asks about no certificate"));
        }
        let mut nonce = None;
        if let Some(explicit) = content.optional(der::context_constructed(2))? {
            let mut extensions = Reader::new(explicit).enter(der::SEQUENCE)?;
            while !extensions.is_empty() {
                let (oid, _, value) = super::parsed::extension(&mut extensions)?;
                if oid == oid::OCSP_NONCE && value.len() <= LONGEST_NONCE.saturating_add(2) {
                    nonce = Some(value.to_vec());
                }
            }
        }
        content.finish()?;
        Ok(OcspRequest { questions, nonce })
    }
}

impl CertId {
    fn parse(reader: &mut Reader<'_>) -> Result<CertId> {
        let (tag, content, whole) = reader.any()?;
        if tag != der::SEQUENCE {
            return Err(Error::malformed("a CertID is not a sequence"));
        }
        let mut parts = Reader::new(content);
        let mut algorithm = parts.enter(der::SEQUENCE)?;
        let hash = match algorithm.read(der::OID)? {
            oid::SHA1 => CertIdHash::Sha1,
            oid::SHA256 => CertIdHash::Sha256,
            _ => return Err(Error::malformed("a CertID has a hash other than SHA-1 and SHA-256")),
        };
        let parameters = algorithm.optional(der::NULL)?;
        if parameters.is_some_and(|content| !content.is_empty()) {
            return Err(Error::malformed("a CertID's NULL is not empty"));
        }
        algorithm.finish()?;
        let issuer_name_hash = parts.read(der::OCTET_STRING)?.to_vec();
        let issuer_key_hash = parts.read(der::OCTET_STRING)?.to_vec();
        let serial = parts.unsigned()?.to_vec();
        parts.finish()?;
        let form = CertIdForm(hash, parameters.is_some());
        Ok(CertId { der: whole.to_vec(), serial, form, hash, issuer_name_hash, issuer_key_hash })
    }

    /// Whether it is about certificates of the CA with this name (the DER of it) and key.
    pub fn is_of(&self, name: &[u8], key: &PublicKey) -> bool {
        let hash = |bytes: &[u8]| match self.hash {
            CertIdHash::Sha1 => digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().to_vec(),
            CertIdHash::Sha256 => sha256(bytes).to_vec(),
        };
        self.issuer_name_hash == hash(name) && self.issuer_key_hash == hash(&key.key_bits())
    }
}

/// What is known of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertStatus {
    /// It was issued and not revoked.
    Good,
    /// When, and why.
    Revoked(Time, u8),
    /// It was never issued.
    Unknown,
}

/// What an answer says of one certificate.
#[derive(Clone, Debug)]
pub struct SingleResponse {
    /// Which one.
    pub id: CertId,
    /// What is known.
    pub status: CertStatus,
}

/// An answer to be signed.
#[derive(Clone, Debug)]
pub struct OcspAnswer {
    /// What it says.
    pub responses: Vec<SingleResponse>,
    /// From when it is true.
    pub this_update: Time,
    /// Until when it may be kept.
    pub next_update: Time,
    /// The nonce that the request had, if it is to be repeated.
    pub nonce: Option<Vec<u8>>,
}

/// Build and sign an answer (RFC 6960, 4.2.1) by the responder whose certificate is given.
///
/// # Errors
/// Internal when the responder's key fails.
pub fn sign_answer(answer: &OcspAnswer, responder: &Signer, certificate: &[u8]) -> Result<Vec<u8>> {
    let key_hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &responder.public_key().key_bits());
    let by_key = der::constructed(der::context_constructed(2), &[der::octet_string(key_hash.as_ref())]);
    let responses: Vec<Vec<u8>> = answer.responses.iter().map(|r| single(r, answer)).collect();
    let mut parts = vec![by_key, generalized_time(answer.this_update), der::sequence(&responses)];
    if let Some(nonce) = &answer.nonce {
        let extensions = der::sequence(&[extension(oid::OCSP_NONCE, false, nonce)]);
        parts.push(der::constructed(der::context_constructed(1), &[extensions]));
    }
    let content = der::sequence(&parts);
    let signature = der::bit_string(&responder.sign(&content)?);
    let certificates = der::constructed(der::context_constructed(0), &[der::sequence(&[certificate])]);
    let basic = der::sequence(&[content, responder.signature_identifier(), signature, certificates]);
    let bytes = der::sequence(&[der::object_identifier(oid::OCSP_BASIC), der::octet_string(&basic)]);
    Ok(der::sequence(&[der::element(der::ENUMERATED, &[0]), der::constructed(der::context_constructed(0), &[bytes])]))
}

fn single(response: &SingleResponse, answer: &OcspAnswer) -> Vec<u8> {
    let status = match response.status {
        CertStatus::Good => der::element(der::context(0), &[]),
        CertStatus::Revoked(at, reason) => {
            let mut parts = vec![generalized_time(at)];
            if reason != 0 {
                let reason = der::element(der::ENUMERATED, &[reason]);
                parts.push(der::constructed(der::context_constructed(0), &[reason]));
            }
            der::constructed(der::context_constructed(1), &parts)
        }
        CertStatus::Unknown => der::element(der::context(2), &[]),
    };
    der::sequence(&[
        response.id.der.clone(),
        status,
        generalized_time(answer.this_update),
        der::constructed(der::context_constructed(0), &[generalized_time(answer.next_update)]),
    ])
}

/// Why there is no answer (RFC 6960, 4.2.1). Nothing of it is signed, so that it costs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OcspRefusal {
    /// The request is not one.
    MalformedRequest,
    /// A fault of ours.
    InternalError,
    /// Not at the moment.
    TryLater,
    /// It is about certificates of another CA.
    Unauthorized,
}

impl OcspRefusal {
    /// The whole response.
    pub fn to_der(self) -> Vec<u8> {
        let code = match self {
            OcspRefusal::MalformedRequest => 1,
            OcspRefusal::InternalError => 2,
            OcspRefusal::TryLater => 3,
            OcspRefusal::Unauthorized => 6,
        };
        der::sequence(&[der::element(der::ENUMERATED, &[code])])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(parameters: &[u8]) -> Vec<u8> {
        let algorithm = der::sequence(&[der::object_identifier(oid::SHA1), parameters.to_vec()]);
        let hash = der::octet_string(&[0; 20]);
        let id = der::sequence(&[algorithm, hash.clone(), hash, der::unsigned(&[0x4f, 1])]);
        der::sequence(&[der::sequence(&[der::sequence(&[der::sequence(&[id])])])])
    }

    #[test]
    fn a_question_has_few_forms_so_that_few_answers_are_kept() {
        let parse = |parameters: &[u8]| OcspRequest::parse(&request(parameters));
        let (without, with) = (parse(&[]).unwrap(), parse(&der::null()).unwrap());
        assert_eq!(without.questions[0].serial, [0x4f, 1]);
        assert_ne!(without.questions[0].form, with.questions[0].form);
        assert!(parse(&der::element(der::NULL, &[0; 100])).is_err(), "a NULL with something in it");
        assert!(parse(&der::octet_string(&[])).is_err(), "other parameters");
    }
}
