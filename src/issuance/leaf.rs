//! Leaves for ready orders: prepare, lint, sign, verify, commit; only then may the reply leave.

use super::Issuance;
use super::chains::{check_chain, check_enabled};
use super::points::LeafPoints;
use crate::ca::{CertificateRequest, Leaf, Serial, Validity, prepare_leaf, verify_for_names};
use crate::clock::{Span, Time};
use crate::error::{Class, Error, Result};
use crate::identifier::Identifier;
use crate::keys::hex;
use crate::metrics;
use crate::policy::{IssuerPolicy, Permission, Profile};
use crate::store::{
    AuditEntry, Authorization, ItemKind, LimitKind, Limits, NewCertificate, NewItem, Order, Purpose, Write,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The proof that a certificate may be issued: an order whose authorizations are all valid, for names that are permitted
/// now, and a request for exactly these names.
pub struct ReadyOrder {
    order: Order,
    policy: Arc<IssuerPolicy>,
    profile: Profile,
    request: CertificateRequest,
    identifiers: Vec<Identifier>,
    csr_hash: Vec<u8>,
}

impl ReadyOrder {
    /// Check that an order can be finalized with this request, whose DER has this hash.
    ///
    /// # Errors
    /// OrderNotReady, BadCsr, Unauthorized, or RejectedIdentifier.
    pub fn check(
        order: Order,
        permission: &Permission,
        request: CertificateRequest,
        csr_hash: &[u8],
        now: Time,
    ) -> Result<ReadyOrder> {
        order.check_ready(now)?;
        let policy = Arc::clone(&permission.policy);
        let identifiers =
            order.names.iter().map(|name| Identifier::parse(&name.kind, &name.value)).collect::<Result<Vec<_>>>()?;
        let wanted: BTreeSet<Identifier> = identifiers.iter().cloned().collect();
        if &wanted != request.identifiers() {
            let missing = wanted.difference(request.identifiers()).map(|i| format!("{i} is missing"));
            let surplus = request.identifiers().difference(&wanted).map(|i| format!("{i} is not in the order"));
            let why = missing.chain(surplus).take(5).collect::<Vec<_>>().join(", ");
            return Err(Error::new(Class::BadCsr, format!("the CSR must name exactly what the order names: {why}")));
        }
        for (identifier, authorization) in identifiers.iter().zip(&order.authorizations) {
            // The policy may have changed since the order was made.
            permission.check(identifier)?;
            check_authorization(&policy, identifier, authorization, now)?;
        }
        let profile = policy.profile(order.profile.as_deref())?;
        Ok(ReadyOrder { order, policy, profile, request, identifiers, csr_hash: csr_hash.to_vec() })
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
    if let (Some(oldest), false) = (policy.caa_since(identifier, now), authorization.unchallenged) {
        let checked = authorization.challenges.iter().filter_map(|c| c.caa_checked).max();
        if checked.is_none_or(|at| at < oldest) {
            return stale("its CAA records were not checked within the last eight hours");
        }
    }
    Ok(())
}

/// A certificate that is signed and verified, and nobody's until it is committed.
pub struct SignedLeaf {
    order: Order,
    csr_hash: Vec<u8>,
    /// Of the settings that permit it.
    settings_version: u64,
    signer_key: i64,
    spki: Vec<u8>,
    new: NewCertificate,
    item: Option<String>,
    audit: AuditEntry,
    limits: Arc<Limits>,
    now: Time,
}

impl Issuance {
    /// Sign the certificate of a ready order.
    ///
    /// # Errors
    /// Unavailable when the signer cannot sign, and the order stays ready; BadPublicKey, RejectedIdentifier; Internal when a lint
    /// or webpki refuses.
    pub fn leaf_for(&self, ready: ReadyOrder, address: &str) -> Result<SignedLeaf> {
        let now = self.clock.trusted()?;
        let spki = ready.request.public_key().to_spki();
        let (issuer, signer_key) = (ready.policy.item, ready.policy.signer_key);
        // Before anything of them is read.
        let settings_version = self.store.settings_version();
        // Before anything is signed for it.
        self.store.check_not_blocked(&spki)?;
        let (ca, signer) = self.signing(signer_key)?;
        self.check_enabled(issuer, signer_key)?;
        if !ca.validity.covers(now) {
            return Err(Error::unavailable(
                "the issuer's own certificate has expired; its administrator has to make a new one",
            ));
        }
        let validity = validity(&ready, now, ca.validity)?;
        let LeafPoints { points, shard } = self.leaf_points(&ready.policy, &ca)?;
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
            points,
        };
        let signed = prepare_leaf(&leaf, &signer, &ca.signer)?.sign(&signer)?;
        verify_for_names(&signed.der, &ca.ders, &ready.identifiers, now.max(signed.validity.not_before))?;
        self.chains.verified.note(&signed.der);

        let new = NewCertificate {
            serial: signed.serial.octets().to_vec(),
            purpose: Purpose::Acme,
            issuer,
            signer: ca.version,
            ordered: Some((ready.order.account, ready.order.id)),
            item: None,
            shard,
            not_before: signed.validity.not_before,
            not_after: signed.validity.not_after,
            der: signed.der,
        };
        let names: Vec<String> = ready.identifiers.iter().map(ToString::to_string).collect();
        let audit = AuditEntry::done(
            format!("account {}", ready.order.account),
            "finalize",
            format!("order {}", ready.order.id),
        )
        .from(address)
        .detail(format!("serial {} for {}", hex(&new.serial), names.join(" ")));
        let item =
            ready.policy.destination_path.as_ref().zip(names.first()).map(|(folder, name)| item_name(folder, name));
        let limits = self.store.limits(new.issuer)?;
        let (order, csr_hash) = (ready.order, ready.csr_hash);
        Ok(SignedLeaf { order, csr_hash, settings_version, signer_key, spki, new, item, audit, limits, now })
    }

    /// Make a certificate that was signed last. `then` hears of the order as it is once that is so, or why it is not: Unavailable
    /// when the store cannot commit, or the issuer was disabled meanwhile, and the order stays ready; OrderNotReady when another
    /// request finalized it meanwhile.
    pub fn commit(&self, signed: SignedLeaf, then: impl FnOnce(Result<Order>) + Send + 'static) {
        let SignedLeaf { mut order, csr_hash, settings_version, signer_key, spki, new, item, audit, limits, now } =
            signed;
        let (id, account) = (order.id, order.account);
        order.csr_hash = Some(csr_hash.clone());
        let work = move |write: &Write<'_>| {
            // What may have changed since it was looked at.
            if !write.has_settings_of(settings_version) {
                check_enabled(write, new.issuer, signer_key)?;
                check_chain(write, new.signer)?;
                write.check_not_blocked(&spki)?;
            }
            write.check_limits(&limits, account, &[LimitKind::CertificatesPerWeek], now)?;
            write.finalize_order(id, &csr_hash, now)?;
            let item = item.map(|item| certificate_item(write, &item, now)).transpose()?;
            let id = write.insert_certificate(&NewCertificate { item, ..new }, now)?;
            write.append_audit(now, &audit)?;
            Ok(id)
        };
        self.store.change_then(work, move |certificate| {
            then(certificate.map(|certificate| {
                metrics::count(&metrics::ISSUED, metrics::Issued::Leaf as usize);
                Order { certificate: Some(certificate), ..order }
            }));
        });
    }
}

/// `<destination-path>/<first name>`, a wildcard's `*` written `~`.
fn item_name(folder: &str, name: &str) -> String {
    format!("{folder}/{}", name.replace('*', "~"))
}

/// The item that the certificate is a version of, made if it is the first.
fn certificate_item(write: &Write<'_>, name: &str, now: Time) -> Result<i64> {
    match write.holder_of_name(name)? {
        Some((item, ItemKind::Certificate)) => Ok(item),
        Some((_, kind)) => Err(Error::conflict(format!(
            "the certificate cannot be filed as {name}, which is a {}; its administrator has to move one of them",
            kind.as_str()
        ))),
        None => write.insert_item(&NewItem::new(name, ItemKind::Certificate)?, now),
    }
}

/// What the order asked for, to the second, or nothing (RFC 8555, 7.4): newOrder has looked, but time has passed since, and
/// the issuer may have changed. What the order left open is as long as the issuer and its signer allow.
fn validity(ready: &ReadyOrder, now: Time, signer: Validity) -> Result<Validity> {
    let lifetime = ready.profile.lifetime(ready.policy.ttl);
    let full = Validity::starting_within(now, lifetime, signer);
    let order = &ready.order;
    let not_before = match (order.not_before, order.not_after) {
        (Some(wanted), _) => wanted,
        // An end that is far away leaves less room for a beginning in the past.
        (None, Some(end)) => full.not_before.max(end.minus(lifetime).plus(Span(1))),
        (None, None) => full.not_before,
    };
    let longest = not_before.plus(lifetime).minus(Span(1)).min(signer.not_after);
    let not_after = order.not_after.unwrap_or(longest);
    let is_possible = not_before >= signer.not_before
        && not_before >= now.minus(Span::DAY)
        && not_after <= longest
        && not_after > now.max(not_before);
    if is_possible {
        Ok(Validity { not_before, not_after })
    } else {
        Err(Error::malformed(
            "the validity that the order asks for is over, or more than the issuer can give by now; make a new order",
        ))
    }
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
        let signer = self.signer_chain(policy.signer_key)?.validity;
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
