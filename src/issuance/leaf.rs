//! Leaves for ready orders: prepare, lint, sign, verify, commit; only then may the reply leave.

use super::Issuance;
use crate::ca::{CertificateRequest, Leaf, Serial, Validity, prepare_leaf, verify_for_names};
use crate::clock::{Span, Time};
use crate::error::{Class, Error, Result};
use crate::identifier::Identifier;
use crate::keys::{hex, random};
use crate::policy::{CAA_LIFETIME, EabBounds, IssuerPolicy, Profile};
use crate::store::{
    AuditEntry, Authorization, ItemKind, LimitKind, NewCertificate, NewItem, Order, OrderStatus, Outcome, Purpose,
    Write,
};
use std::collections::BTreeSet;

/// The proof that a certificate may be issued: an order whose authorizations are all valid, for names that the policy
/// permits now, and a request for exactly these names.
pub struct ReadyOrder {
    order: Order,
    policy: IssuerPolicy,
    profile: Profile,
    request: CertificateRequest,
    identifiers: Vec<Identifier>,
    csr_hash: Vec<u8>,
}

impl ReadyOrder {
    /// Check that an order can be finalized with this request.
    ///
    /// # Errors
    /// OrderNotReady, BadCsr, or RejectedIdentifier.
    pub fn check(
        order: Order,
        policy: IssuerPolicy,
        request: CertificateRequest,
        csr: &[u8],
        bounds: Option<&EabBounds>,
        now: Time,
    ) -> Result<ReadyOrder> {
        let status = order.status(now);
        if status != OrderStatus::Ready {
            return Err(Error::new(
                Class::OrderNotReady,
                format!("the order is {}, so it cannot be finalized", status.as_str()),
            ));
        }
        let identifiers =
            order.names.iter().map(|name| Identifier::parse(&name.kind, &name.value)).collect::<Result<Vec<_>>>()?;
        let wanted: BTreeSet<Identifier> = identifiers.iter().cloned().collect();
        if &wanted != request.identifiers() {
            let missing = wanted.difference(request.identifiers()).map(|i| format!("{i} is missing"));
            let surplus = request.identifiers().difference(&wanted).map(|i| format!("{i} is not in the order"));
            let why = missing.chain(surplus).take(5).collect::<Vec<_>>().join(", ");
            return Err(Error::new(Class::BadCsr, format!("the CSR must name exactly what the order names: {why}")));
        }
        for identifier in &identifiers {
            // The policy may have changed since the order was made.
            policy.names.check(identifier)?;
            if let Some(bounds) = bounds {
                bounds.check(identifier)?;
            }
        }
        for (identifier, authorization) in identifiers.iter().zip(&order.authorizations) {
            check_authorization(&policy, identifier, authorization, now)?;
        }
        let profile = policy.profile(order.profile.as_deref())?;
        let csr_hash = sha256(csr);
        Ok(ReadyOrder { order, policy, profile, request, identifiers, csr_hash })
    }
}

/// An authorization is judged by the policy of now, which may have changed since it was given.
fn check_authorization(
    policy: &IssuerPolicy,
    identifier: &Identifier,
    authorization: &Authorization,
    now: Time,
) -> Result<()> {
    let stale = |why: &str| Err(Error::unauthorized(format!("{identifier}: {why}; make a new order")));
    if authorization.full_identifier() != identifier.to_string() && !policy.authorizes_subdomains() {
        return stale("this issuer no longer takes the authorization of a domain above it");
    }
    let is_name = matches!(identifier, Identifier::Dns(_));
    if !policy.caa_identities.is_empty() && is_name && !authorization.unchallenged {
        let oldest = now.minus(CAA_LIFETIME);
        let checked = authorization.challenges.iter().filter_map(|c| c.caa_checked).max();
        if checked.is_none_or(|at| at < oldest) {
            return stale("its CAA records were not checked within the last eight hours");
        }
    }
    Ok(())
}

/// What was issued.
#[derive(Clone, Debug)]
pub struct IssuedLeaf {
    /// The certificate's row id.
    pub certificate: i64,
}

impl Issuance {
    /// Issue the certificate of a ready order.
    ///
    /// # Errors
    /// Unavailable when the signer cannot sign or the store cannot commit, and the order stays ready; OrderNotReady when
    /// another request finalized it meanwhile; BadPublicKey, RejectedIdentifier; Internal when a lint or webpki refuses.
    pub fn issue(&self, ready: ReadyOrder, address: &str) -> Result<IssuedLeaf> {
        let now = self.clock.now();
        let key_hash = sha256(&ready.request.public_key().to_spki());
        if self.store.read(|read| read.is_blocked_key(&key_hash))? {
            return Err(blocked());
        }
        let signer = self.vault.signer(ready.policy.signer_key)?;
        let ca = self.signer_certificate(ready.policy.signer_key)?;
        if !ca.validity.covers(now) {
            return Err(Error::unavailable(
                "the issuer's own certificate has expired; its administrator has to make a new one",
            ));
        }
        for identifier in &ready.identifiers {
            self.check_carried(&ready.policy, identifier)?;
        }
        if ready.order.not_before.is_some_and(|wanted| wanted < now.minus(Span::DAY)) {
            return Err(Error::malformed("the order's \"notBefore\" is more than a day ago by now; make a new order"));
        }
        let validity = validity(&ready, now, ca.validity);
        if validity.not_after <= now.max(validity.not_before) {
            return Err(Error::malformed(format!(
                "the order asks for a validity that is over, or that begins after the issuer's own end ({})",
                ca.validity.not_after
            )));
        }
        let leaf = Leaf {
            serial: Serial::generate()?,
            validity,
            subject: ready.policy.subject().clone(),
            identifiers: ready.identifiers.clone(),
            public_key: ready.request.public_key().clone(),
            key_usage: ready.policy.key_usage_for(ready.request.public_key(), ready.profile)?,
            key_usage_critical: ready.policy.key_usage_critical(),
            extended_key_usage: ready.profile.extended_key_usage(&ready.policy.extended_key_usage()),
            subject_key_identifier: !ready.profile.is_lean(),
        };
        let signed = prepare_leaf(&leaf, &signer, &ca.parsed)?.sign(&signer)?;
        verify_for_names(&signed.der, &[ca.der], &ready.identifiers, now.max(signed.validity.not_before))?;

        let new = NewCertificate {
            serial: signed.serial.octets().to_vec(),
            purpose: Purpose::Acme,
            issuer: ready.policy.item,
            signer: ca.version,
            ordered: Some((ready.order.account, ready.order.id)),
            item: None,
            not_before: signed.validity.not_before,
            not_after: signed.validity.not_after,
            der: signed.der,
        };
        let names: Vec<String> = ready.identifiers.iter().map(ToString::to_string).collect();
        let audit = AuditEntry {
            actor: format!("account {}", ready.order.account),
            address: Some(address.to_owned()),
            action: "finalize",
            object: format!("order {}", ready.order.id),
            outcome: Outcome::Done,
            detail: format!("serial {} for {}", hex(&new.serial), names.join(" ")),
        };
        let item =
            ready.policy.destination_path.as_ref().zip(names.first()).map(|(folder, name)| item_name(folder, name));
        let (item_id, display_id) = (hex(&random::<16>()?), hex(&random::<10>()?));
        let (order, account, csr_hash) = (ready.order.id, ready.order.account, ready.csr_hash);
        let certificate = self.store.change(move |write| {
            if write.is_blocked_key(&key_hash)? {
                return Err(blocked());
            }
            write.check_limit(new.issuer, account, LimitKind::CertificatesPerWeek, 1, now)?;
            write.finalize_order(order, &csr_hash, now)?;
            let item = match item {
                Some(name) => Some(certificate_item(write, name, item_id, display_id, now)?),
                None => None,
            };
            let id = write.insert_certificate(&NewCertificate { item, ..new }, now)?;
            write.append_audit(now, &audit)?;
            Ok(id)
        })?;
        Ok(IssuedLeaf { certificate })
    }
}

fn blocked() -> Error {
    Error::new(Class::BadPublicKey, "the key is known to be compromised; make a new one")
}

pub(super) fn sha256(bytes: &[u8]) -> Vec<u8> {
    ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().to_vec()
}

/// `<destination-path>/<first name>`, a wildcard's `*` written `~`.
fn item_name(folder: &str, name: &str) -> String {
    format!("{folder}/{}", name.replace('*', "~"))
}

/// The item that the certificate is a version of, made if it is the first.
fn certificate_item(write: &Write<'_>, name: String, item_id: String, display_id: String, now: Time) -> Result<i64> {
    match write.item_by_name(&name)? {
        Some(item) if item.kind == ItemKind::Certificate => Ok(item.id),
        Some(item) => Err(Error::conflict(format!(
            "the certificate cannot be filed as {name}, which is a {}; its administrator has to move one of them",
            item.kind.as_str()
        ))),
        None => {
            let kind = ItemKind::Certificate;
            let new = NewItem {
                item_id,
                display_id,
                name,
                kind,
                delete_protection: false,
                description: String::new(),
                tags: Vec::new(),
            };
            write.insert_item(&new, now)
        }
    }
}

/// What the order asked for, to the second: newOrder has refused what cannot be. What it left open is as long as the issuer
/// and its signer allow.
fn validity(ready: &ReadyOrder, now: Time, signer: Validity) -> Validity {
    let lifetime = ready.profile.lifetime(ready.policy.ttl);
    let full = Validity::starting_within(now, lifetime, signer);
    let order = &ready.order;
    let not_before = match (order.not_before, order.not_after) {
        (Some(wanted), _) => wanted.max(signer.not_before),
        // An end that is far away leaves less room for a beginning in the past.
        (None, Some(end)) => full.not_before.max(end.minus(lifetime).plus(Span(1))),
        (None, None) => full.not_before,
    };
    let longest = not_before.plus(lifetime).minus(Span(1)).min(signer.not_after);
    Validity { not_before, not_after: order.not_after.map_or(longest, |wanted| wanted.min(longest)) }
}

impl Issuance {
    /// Whether a certificate can have exactly this validity (RFC 8555, 7.4: an order that cannot be fulfilled as specified
    /// is an error).
    ///
    /// # Errors
    /// Malformed, with what is possible.
    pub fn check_asked_validity(
        &self,
        policy: &IssuerPolicy,
        lifetime: Span,
        not_before: Option<Time>,
        not_after: Option<Time>,
    ) -> Result<()> {
        if not_before.is_none() && not_after.is_none() {
            return Ok(());
        }
        let now = self.clock.now();
        let signer = self.signer_certificate(policy.signer_key)?.validity;
        let earliest = Validity::starting_within(now, lifetime, signer).not_before;
        let begin = not_before.unwrap_or(now);
        let latest = begin.plus(lifetime).minus(Span(1)).min(signer.not_after);
        if begin < earliest || begin >= signer.not_after || begin > now.plus(Span::DAY) {
            let why =
                format!("\"notBefore\" {begin} cannot be; certificates begin between {earliest} and a day from now");
            return Err(Error::malformed(why));
        }
        match not_after {
            Some(end) if end <= now.max(begin) || end > latest => Err(Error::malformed(format!(
                "\"notAfter\" {end} cannot be; it lies between \"notBefore\" and {latest}"
            ))),
            _ => Ok(()),
        }
    }
}
