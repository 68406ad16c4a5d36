//! OCSP answers (RFC 6960, RFC 5019). A responder key for each signer version, certified for a month, lies in a file; answers
//! are signed once and kept, so that no stranger can buy signatures by asking again.

use super::Issuance;
use crate::ca::{
    CertId, CertIdForm, CertStatus, OcspAnswer, OcspRefusal, OcspRequest, ParsedCertificate, ResponderCertificate,
    Serial, SingleResponse, Validity, prepare_responder, sign_answer,
};
use crate::clock::{Seldom, Span, Time};
use crate::error::{Error, Result};
use crate::identifier::Peer;
use crate::keys::{Hash, KeyAlgorithm, PublicKey, Signer, generate, hex, write_private};
use crate::metrics;
use crate::policy::IssuerPolicy;
use crate::store::{AuditEntry, KeyVersion, NewCertificate, Purpose, Read};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use zeroize::Zeroizing;

const RESPONDER_LIFETIME: Span = Span::days(30);
/// Answers that are kept; the oldest goes first.
const MOST_ANSWERS: usize = 10_000;
/// Answers that have to be signed, for one client and for all of them in a minute.
const MOST_SIGNED_FOR_ONE: u32 = 600;
const MOST_SIGNED: u32 = 30_000;
/// Unless a client's clock is behind ours by more.
const BACKDATED: Span = Span(300);

/// What is in memory of responders and their answers.
#[derive(Default)]
pub(super) struct Responders {
    signers: Mutex<HashMap<i64, Arc<Responder>>>,
    answers: Mutex<HashMap<Question, KeptAnswer>>,
    signed: Mutex<Signed>,
    /// That requests cannot be answered.
    unanswered: Seldom,
}

/// Signer, serial number, and how the request wrote them: what an answer is kept under.
type Question = (i64, Vec<u8>, CertIdForm);

/// Answers that were signed in one minute: for each client, and for all.
#[derive(Default)]
struct Signed {
    minute: i64,
    by_peer: HashMap<Peer, u32>,
    all: u32,
}

pub(super) struct Responder {
    row: i64,
    signer: Signer,
    certificate: Vec<u8>,
    validity: Validity,
}

#[derive(Clone)]
struct KeptAnswer {
    status: CertStatus,
    /// The row of the responder's certificate.
    responder: i64,
    reply: OcspReply,
}

/// A whole OCSP response.
#[derive(Clone, Debug)]
pub struct OcspReply {
    /// The DER.
    pub der: Vec<u8>,
    /// From when to when caches may keep it; `None` for refusals and for answers to a nonce.
    pub life: Option<(Time, Time)>,
}

impl From<OcspRefusal> for OcspReply {
    fn from(refusal: OcspRefusal) -> OcspReply {
        OcspReply { der: refusal.to_der(), life: None }
    }
}

impl Issuance {
    /// Answer a request about certificates of the signer with this subject key identifier. `None` when no issuer of it
    /// offers OCSP, or there is no such signer.
    ///
    /// # Errors
    /// The store's.
    pub fn answer_ocsp(&self, key_identifier: &[u8], request: &[u8], address: &str) -> Result<Option<OcspReply>> {
        let Some(version) = self.store.read(|read| read.key_version_by_identifier(key_identifier))? else {
            return Ok(None);
        };
        let Some(policy) = self.ocsp_policy(&version)? else { return Ok(None) };
        let reply = match OcspRequest::parse(request) {
            Err(_) => OcspRefusal::MalformedRequest.into(),
            Ok(request) => self.answer_parsed(&version, &policy, &request, address).unwrap_or_else(|e| {
                let level = if self.responders.unanswered.is_due() { e.level() } else { log::Level::Debug };
                log::log!(level, signer = version.id, error:% = e; "OCSP cannot be answered");
                OcspRefusal::TryLater.into()
            }),
        };
        Ok(Some(reply))
    }

    /// The first issuer of a key that offers OCSP, enabled and there or not; or the one that did, since its certificates are
    /// about.
    fn ocsp_policy(&self, version: &KeyVersion) -> Result<Option<IssuerPolicy>> {
        let (issuers, former) = self.store.read(|read| {
            let former = match read.newest_responder(version.id)? {
                Some(responder) => Some(read.issuer(responder.issuer)?),
                None => None,
            };
            Ok((read.issuers_of_key(version.key)?, former))
        })?;
        // One that cannot be read does not silence the others.
        let offering = issuers.iter().filter(|issuer| issuer.create_private_ocsp);
        Ok(offering.chain(&former).find_map(|issuer| IssuerPolicy::parse(issuer).ok()))
    }

    fn answer_parsed(
        &self,
        version: &KeyVersion,
        policy: &IssuerPolicy,
        request: &OcspRequest,
        address: &str,
    ) -> Result<OcspReply> {
        let Some(signer) = &version.certificate else { return Ok(OcspRefusal::Unauthorized.into()) };
        let (signer, key) = (ParsedCertificate::parse(signer)?, PublicKey::known(&version.spki)?);
        if !request.questions.iter().all(|id| id.is_of(&signer.subject, &key)) {
            return Ok(OcspRefusal::Unauthorized.into());
        }
        let statuses = self.store.read(|read| {
            request.questions.iter().map(|id| status_of(read, version.id, id)).collect::<Result<Vec<_>>>()
        })?;
        let now = self.clock.now();
        let nonce = request.nonce.clone().filter(|_| policy.ocsp_nonce);
        let kept = match (request.questions.as_slice(), statuses.as_slice(), &nonce) {
            ([id], [status], None) if *status != CertStatus::Unknown => {
                Some(((version.id, id.serial.clone(), id.form), *status))
            }
            _ => None,
        };
        if let Some((question, status)) = &kept
            && let Some(answer) = self.responders.kept(question)
            && answer.status == *status
            && answer.reply.life.is_some_and(|(from, to)| now >= from && now < middle(from, to))
            && !self.store.read(|read| read.is_revoked(answer.responder))?
        {
            return Ok(answer.reply);
        }
        self.clock.trusted()?;
        if !self.responders.may_sign(address, now) {
            return Ok(OcspRefusal::TryLater.into());
        }
        let chain = self.own_chain(version.id)?;
        if !chain.validity.covers(now) {
            return Err(Error::unavailable("the signer's certificate, or one above it, has ended"));
        }
        let responder = self.responder(version, policy, chain.validity.not_after, now)?;
        let from = now.minus(BACKDATED).max(responder.validity.not_before);
        let to = now.plus(policy.ocsp_ttl).min(responder.validity.not_after);
        let pairs = request.questions.iter().zip(&statuses);
        let answer = OcspAnswer {
            responses: pairs.map(|(id, status)| SingleResponse { id: id.clone(), status: *status }).collect(),
            this_update: from,
            next_update: to,
            nonce,
        };
        let der = sign_answer(&answer, &responder.signer, &responder.certificate)?;
        let life = answer.nonce.is_none().then_some((from, to));
        let reply = OcspReply { der, life };
        if let Some((question, status)) = kept {
            self.responders.keep(question, KeptAnswer { status, responder: responder.row, reply: reply.clone() });
        }
        Ok(reply)
    }

    /// The responder of a version, with a new key and certificate where the old one's life is two thirds over or it was
    /// revoked. While the signer is away the old one goes on to its end.
    pub(super) fn responder(
        &self,
        version: &KeyVersion,
        policy: &IssuerPolicy,
        chain_end: Time,
        now: Time,
    ) -> Result<Arc<Responder>> {
        let mut open = self.responders.signers();
        let is_revoked = |r: &Responder| self.store.read(|read| read.is_revoked(r.row));
        let mut known = open.get(&version.id).cloned();
        if known.is_none() {
            known = self.stored_responder(version)?.map(Arc::new);
        }
        let known = match known {
            Some(responder) if responder.validity.covers(now) && !is_revoked(&responder)? => Some(responder),
            _ => None,
        };
        let responder = match known {
            // One that ends with its signer would be followed by one that ends no later.
            Some(responder) if is_fresh(responder.validity, now) || responder.validity.not_after >= chain_end => {
                responder
            }
            known => match (self.make_responder(version, policy, now), known) {
                (Ok(responder), _) => Arc::new(responder),
                (Err(e), Some(old)) => {
                    log::warn!(signer = version.id, error:% = e; "an OCSP responder could not be renewed");
                    old
                }
                (Err(e), None) => return Err(e),
            },
        };
        open.insert(version.id, Arc::clone(&responder));
        Ok(responder)
    }

    /// The one of before the start, if its key can be used.
    fn stored_responder(&self, version: &KeyVersion) -> Result<Option<Responder>> {
        let Some(certificate) = self.store.read(|read| read.newest_responder(version.id))? else { return Ok(None) };
        let file = self.responder_file(&certificate.serial);
        let key = std::fs::read(&file).map(Zeroizing::new).map_err(|e| Error::unavailable(e.to_string()));
        match key.and_then(|pkcs8| Signer::from_pkcs8(KeyAlgorithm::Ec256, Hash::Sha256, &pkcs8)) {
            Ok(signer) => {
                let validity = Validity { not_before: certificate.not_before, not_after: certificate.not_after };
                Ok(Some(Responder { row: certificate.id, signer, certificate: certificate.der, validity }))
            }
            Err(e) => {
                log::warn!(file:% = file.display(), error:% = e; "an OCSP key cannot be used, so another is made");
                Ok(None)
            }
        }
    }

    fn make_responder(&self, version: &KeyVersion, policy: &IssuerPolicy, now: Time) -> Result<Responder> {
        let chain = self.own_chain(version.id)?;
        let by = self.vault.signer_of_version(version)?;
        let pkcs8 = generate(KeyAlgorithm::Ec256)?;
        let signer = Signer::from_pkcs8(KeyAlgorithm::Ec256, Hash::Sha256, &pkcs8)?;
        let validity = Validity::starting_within(now, RESPONDER_LIFETIME, chain.validity);
        let certificate =
            ResponderCertificate { serial: Serial::generate()?, validity, public_key: signer.public_key().clone() };
        let signed = prepare_responder(&certificate, &by, &chain.signer)?.sign(&by)?;
        let before = self.store.read(|read| read.newest_responder(version.id))?;
        let file = self.responder_file(signed.serial.octets());
        write_private(&file, &pkcs8)
            .map_err(|e| Error::unavailable(format!("the OCSP key {} cannot be written: {e}", file.display())))?;
        let new = NewCertificate {
            serial: signed.serial.octets().to_vec(),
            purpose: Purpose::Ocsp,
            issuer: policy.item,
            signer: version.id,
            ordered: None,
            item: None,
            shard: None,
            not_before: signed.validity.not_before,
            not_after: signed.validity.not_after,
            der: signed.der.clone(),
        };
        let entry = AuditEntry::done("daemon", "ocsp-responder", format!("signer {}", version.id))
            .detail(format!("serial {}", hex(&new.serial)));
        let row = self
            .store
            .change(move |write| {
                let row = write.insert_certificate(&new, now)?;
                write.append_audit(now, &entry)?;
                Ok(row)
            })
            .inspect_err(|_| {
                let _ = std::fs::remove_file(&file);
            })?;
        metrics::count(&metrics::ISSUED, metrics::Issued::Responder as usize);
        if let Some(before) = before {
            let _ = std::fs::remove_file(self.responder_file(&before.serial));
        }
        Ok(Responder { row, signer, certificate: signed.der, validity: signed.validity })
    }

    pub(super) fn responder_file(&self, serial: &[u8]) -> PathBuf {
        self.tls_keys.join(format!("ocsp-{}.key", hex(serial)))
    }
}

impl Responders {
    fn signers(&self) -> MutexGuard<'_, HashMap<i64, Arc<Responder>>> {
        self.signers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answers(&self) -> MutexGuard<'_, HashMap<Question, KeptAnswer>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self, question: &Question) -> Option<KeptAnswer> {
        self.answers().get(question).cloned()
    }

    fn keep(&self, question: Question, answer: KeptAnswer) {
        let mut answers = self.answers();
        if answers.len() >= MOST_ANSWERS && !answers.contains_key(&question) {
            let oldest = answers.iter().min_by_key(|(_, kept)| kept.reply.life).map(|(question, _)| question.clone());
            if let Some(oldest) = oldest {
                answers.remove(&oldest);
            }
        }
        answers.insert(question, answer);
    }

    /// Whether a client may have one more signature in this minute.
    fn may_sign(&self, address: &str, now: Time) -> bool {
        let mut signed = self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = now.0.div_euclid(60);
        if signed.minute != minute {
            *signed = Signed { minute, ..Signed::default() };
        }
        // Behind the front door every address is one; anything else shares a count.
        let peer = Peer::of(address.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)));
        if signed.all >= MOST_SIGNED {
            return false;
        }
        let count = signed.by_peer.entry(peer).or_default();
        if *count >= MOST_SIGNED_FOR_ONE {
            return false;
        }
        *count = count.saturating_add(1);
        signed.all = signed.all.saturating_add(1);
        true
    }
}

/// What the store knows of a certificate.
fn status_of(read: &Read<'_>, signer: i64, id: &CertId) -> Result<CertStatus> {
    if let Some(revocation) = read.revocation(signer, &id.serial)? {
        return Ok(CertStatus::Revoked(revocation.at, revocation.reason));
    }
    Ok(match read.has_signed(signer, &id.serial)? {
        true => CertStatus::Good,
        false => CertStatus::Unknown,
    })
}

fn middle(from: Time, to: Time) -> Time {
    from.plus(Span(to.since(from).0 / 2))
}

fn is_fresh(validity: Validity, now: Time) -> bool {
    let life = validity.not_after.since(validity.not_before).0;
    now < validity.not_before.plus(Span((life / 3).saturating_mul(2)))
}
