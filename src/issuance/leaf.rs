//! Leaves for ready orders: prepare, lint, sign, verify, commit; only then may the reply leave.

use super::Issuance;
use crate::ca::{CertificateRequest, Leaf, Serial, Validity, prepare_leaf, verify_for_names};
use crate::clock::Time;
use crate::error::{Class, Error, Result};
use crate::identifier::Identifier;
use crate::keys::{hex, random};
use crate::policy::IssuerPolicy;
use crate::store::{AuditEntry, ItemKind, NewCertificate, NewItem, Order, OrderStatus, Outcome, Purpose, Write};
use std::collections::BTreeSet;

/// The proof that a certificate may be issued: an order whose authorizations are all valid, for names that the policy
/// permits now, and a request for exactly these names.
pub struct ReadyOrder {
    order: Order,
    policy: IssuerPolicy,
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
        now: Time,
    ) -> Result<ReadyOrder> {
        let status = order.status(now);
        if status != OrderStatus::Ready {
            return Err(Error::new(
                Class::OrderNotReady,
                format!("the order is {}, so it cannot be finalized", status.as_str()),
            ));
        }
        let identifiers = order
            .authorizations
            .iter()
            .map(|a| Identifier::parse(&a.identifier_type, &a.full_identifier()))
            .collect::<Result<Vec<_>>>()?;
        let wanted: BTreeSet<Identifier> = identifiers.iter().cloned().collect();
        if &wanted != request.identifiers() {
            let missing = wanted.difference(request.identifiers()).map(|i| format!("{i} is missing"));
            let surplus = request.identifiers().difference(&wanted).map(|i| format!("{i} is not in the order"));
            let why = missing.chain(surplus).collect::<Vec<_>>().join(", ");
            return Err(Error::new(Class::BadCsr, format!("the CSR must name exactly what the order names: {why}")));
        }
        for identifier in &identifiers {
            // The policy may have changed since the order was made.
            policy.names.check(identifier)?;
        }
        let csr_hash = ring::digest::digest(&ring::digest::SHA256, csr).as_ref().to_vec();
        Ok(ReadyOrder { order, policy, request, identifiers, csr_hash })
    }
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
            key_usage: ready.policy.key_usage_for(ready.request.public_key())?,
            key_usage_critical: ready.policy.key_usage_critical(),
            extended_key_usage: ready.policy.extended_key_usage(),
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
        let (order, csr_hash) = (ready.order.id, ready.csr_hash);
        let certificate = self.store.change(move |write| {
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

/// What the order asked for, within what the issuer and its signer allow.
fn validity(ready: &ReadyOrder, now: Time, signer: Validity) -> Validity {
    let full = Validity::starting_within(now, ready.policy.ttl, signer);
    let not_before = ready.order.not_before.map_or(full.not_before, |wanted| wanted.max(full.not_before));
    let longest = not_before.plus(ready.policy.ttl).minus(crate::clock::Span(1)).min(signer.not_after);
    let not_after = ready.order.not_after.map_or(longest, |wanted| wanted.min(longest));
    Validity { not_before, not_after }
}
