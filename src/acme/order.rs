//! Orders (RFC 8555, 7.4): making, reading, finalizing.

use super::issuer::IssuerContext;
use super::request::Authenticated;
use super::route::Resource;
use super::{Acme, Reply, no_such, not_yours, problem};
use crate::ca::CertificateRequest;
use crate::clock::{Span, Time};
use crate::error::{Class, Error, Result};
use crate::identifier::Identifier;
use crate::issuance::ReadyOrder;
use crate::jose::base64url;
use crate::store::{NewOrder, Order, OrderStatus};
use crate::validation::token;
use serde_json::{Map, Value, json};

const MOST_NAMES: usize = 100;
const PENDING_LIFETIME: Span = Span::days(7);

impl Acme {
    /// newOrder (RFC 8555, 7.4).
    pub(super) fn new_order(&self, request: &Authenticated<'_>) -> Result<Reply> {
        let issuer = request.issuer;
        issuer.check_enabled()?;
        let payload = request.object()?;
        let now = self.clock.now();
        let (not_before, not_after) = (moment(&payload, "notBefore")?, moment(&payload, "notAfter")?);
        check_moments(not_before, not_after, now)?;
        let identifiers = self.permitted_identifiers(issuer, &payload)?;
        let mut wanted = Vec::with_capacity(identifiers.len());
        for identifier in &identifiers {
            wanted.push(Wanted::of(issuer, identifier)?);
        }
        let (account, reuse) = (request.account.id, issuer.policy.reuse_authorizations);
        let expires = now.plus(PENDING_LIFETIME);
        let order = self.store.change(move |write| {
            write.touch_account(account, now)?;
            let mut authorizations = Vec::with_capacity(wanted.len());
            for name in &wanted {
                let identifier = (name.kind, name.base.as_str(), name.wildcard);
                let reusable = match reuse.0 {
                    0 => None,
                    _ => write.reusable_authorization(account, identifier, now, now.minus(reuse))?,
                };
                authorizations.push(match reusable {
                    Some(id) => id,
                    None => write.insert_authorization(account, identifier, &name.challenges, now, expires)?,
                });
            }
            let id = write.insert_order(&NewOrder { account, expires, not_before, not_after }, &authorizations, now)?;
            write.order(id)?.ok_or_else(|| Error::internal("a new order is not there"))
        })?;
        let location = issuer.url_of(Resource::Order(order.id));
        Ok(Reply::json(201, &order_object(issuer, &order, now)).header("Location", location))
    }

    /// An order is read at its URL.
    pub(super) fn show_order(&self, request: &Authenticated<'_>, id: i64) -> Result<Reply> {
        request.post_as_get()?;
        let order = self.own_order(request, id)?;
        let now = self.clock.now();
        let reply = Reply::json(200, &order_object(request.issuer, &order, now));
        Ok(if order.status(now) == OrderStatus::Pending { reply.header("Retry-After", "1") } else { reply })
    }

    /// finalize (RFC 8555, 7.4). Asked again with the same CSR, it answers with the order, since some clients poll it.
    pub(super) fn finalize(&self, request: &Authenticated<'_>, id: i64, address: &str) -> Result<Reply> {
        let issuer = request.issuer;
        issuer.check_enabled()?;
        let payload = request.object()?;
        let order = self.own_order(request, id)?;
        let csr = payload
            .get("csr")
            .and_then(Value::as_str)
            .ok_or_else(|| Error::malformed("the payload has no text member \"csr\""))?;
        let csr = base64url::decode(csr).map_err(|e| Error::new(Class::BadCsr, format!("\"csr\": {e}")))?;
        let now = self.clock.now();
        let hash = ring::digest::digest(&ring::digest::SHA256, &csr);
        let is_repeated = |order: &Order| order.csr_hash.as_deref() == Some(hash.as_ref());
        let location = issuer.url_of(Resource::Order(id));
        let show =
            |order: &Order| Reply::json(200, &order_object(issuer, order, now)).header("Location", location.clone());
        if order.status(now) == OrderStatus::Valid && is_repeated(&order) {
            return Ok(show(&order));
        }
        // The state first: a CSR costs a signature check.
        if order.status(now) != OrderStatus::Ready {
            let status = order.status(now).as_str();
            return Err(Error::new(Class::OrderNotReady, format!("the order is {status}, so it cannot be finalized")));
        }
        let certificate_request = CertificateRequest::parse(&csr)?;
        if certificate_request.public_key().to_spki() == request.account.spki {
            return Err(Error::new(
                Class::BadCsr,
                "the CSR has the key of the account; a certificate needs a key of its own",
            ));
        }
        let ready = ReadyOrder::check(order, issuer.policy.clone(), certificate_request, &csr, now)?;
        match self.issuance.issue(ready, address) {
            Ok(issued) => {
                log::info!("order={id} account={} certificate={} issued", request.account.id, issued.certificate)
            }
            // Two requests at once: the other one was first.
            Err(e) if e.class() == Class::OrderNotReady => {
                let order = self.own_order(request, id)?;
                return if is_repeated(&order) { Ok(show(&order)) } else { Err(e) };
            }
            Err(e) => return Err(e),
        }
        Ok(show(&self.own_order(request, id)?))
    }

    fn own_order(&self, request: &Authenticated<'_>, id: i64) -> Result<Order> {
        let order = self.store.read(|read| read.order(id))?.ok_or_else(|| no_such("order"))?;
        if order.account == request.account.id { Ok(order) } else { Err(not_yours("order")) }
    }

    /// The identifiers of a request, each once, if the policy and the chain permit them all; otherwise one error that has
    /// a part for each that is not permitted (RFC 8555, 6.7.1).
    fn permitted_identifiers(&self, issuer: &IssuerContext, payload: &Map<String, Value>) -> Result<Vec<Identifier>> {
        let list =
            payload.get("identifiers").and_then(Value::as_array).filter(|list| !list.is_empty()).ok_or_else(|| {
                Error::malformed("the payload has no list \"identifiers\" with at least one identifier")
            })?;
        if list.len() > MOST_NAMES {
            return Err(Error::malformed(format!(
                "an order has {MOST_NAMES} identifiers at most, this one {}",
                list.len()
            )));
        }
        let mut identifiers: Vec<Identifier> = Vec::with_capacity(list.len());
        let mut refusals = Vec::new();
        for value in list {
            match self.permitted_identifier(issuer, value) {
                Ok(identifier) if identifiers.contains(&identifier) => {}
                Ok(identifier) => identifiers.push(identifier),
                // An error that concerns no identifier in particular concerns the request.
                Err(e) if e.identifier().is_none() => return Err(e),
                Err(e) => refusals.push(e),
            }
        }
        match refusals.as_slice() {
            [] => Ok(identifiers),
            [single] if list.len() == 1 => Err(single.clone()),
            _ => {
                let first = refusals.first().map(Error::class).unwrap_or(Class::RejectedIdentifier);
                let same = refusals.iter().all(|e| e.class() == first);
                let class = if same { first } else { Class::Malformed };
                let names: Vec<&str> = refusals.iter().filter_map(Error::identifier).collect();
                let detail = format!(
                    "{} of {} identifiers cannot be certified: {}",
                    refusals.len(),
                    list.len(),
                    names.join(", ")
                );
                Err(Error::new(class, detail).with_parts(refusals))
            }
        }
    }

    fn permitted_identifier(&self, issuer: &IssuerContext, value: &Value) -> Result<Identifier> {
        let text = |name: &str| {
            value.get(name).and_then(Value::as_str).ok_or_else(|| {
                Error::malformed("each identifier has the text members \"type\" and \"value\" and nothing else")
            })
        };
        let kind = text("type")?;
        let identifier = match kind {
            "dns" => Identifier::parse(kind, text("value")?)?,
            // IP addresses are known, but no issuer offers them yet.
            other => {
                let other = crate::identifier::printable(other);
                let shown = crate::identifier::printable(text("value")?);
                let why = format!("identifiers of type \"{other}\" are not supported; use \"dns\"");
                return Err(Error::new(Class::UnsupportedIdentifier, why).about(shown));
            }
        };
        issuer.policy.names.check(&identifier)?;
        issuer.policy.challenges_for(&identifier)?;
        self.issuance.check_carried(&issuer.policy, &identifier)?;
        Ok(identifier)
    }
}

/// An authorization to be made.
struct Wanted {
    kind: &'static str,
    base: String,
    wildcard: bool,
    /// Type and token.
    challenges: Vec<(String, String)>,
}

impl Wanted {
    fn of(issuer: &IssuerContext, identifier: &Identifier) -> Result<Wanted> {
        let (base, wildcard) = match identifier {
            Identifier::Dns(name) => (name.base().to_owned(), name.is_wildcard()),
            Identifier::Ip(address) => (address.to_string(), false),
        };
        let challenges = issuer.policy.challenges_for(identifier)?;
        let challenges = challenges.into_iter().map(|c| Ok((c.name().to_owned(), token()?))).collect::<Result<_>>()?;
        Ok(Wanted { kind: identifier.kind(), base, wildcard, challenges })
    }
}

fn order_object(issuer: &IssuerContext, order: &Order, now: Time) -> Value {
    let identifiers: Vec<Value> = order
        .authorizations
        .iter()
        .map(|a| json!({ "type": a.identifier_type, "value": a.full_identifier() }))
        .collect();
    let authorizations: Vec<String> =
        order.authorizations.iter().map(|a| issuer.url_of(Resource::Authorization(a.id))).collect();
    let mut members = Map::new();
    members.insert("status".into(), order.status(now).as_str().into());
    members.insert("expires".into(), order.expires.to_string().into());
    members.insert("identifiers".into(), identifiers.into());
    for (name, moment) in [("notBefore", order.not_before), ("notAfter", order.not_after)] {
        if let Some(moment) = moment {
            members.insert(name.into(), moment.to_string().into());
        }
    }
    members.insert("authorizations".into(), authorizations.into());
    members.insert("finalize".into(), issuer.url_of(Resource::Finalize(order.id)).into());
    if let Some(certificate) = order.certificate {
        members.insert("certificate".into(), issuer.url_of(Resource::Certificate(certificate)).into());
    }
    // An order is invalid because of its own error, or because of what a challenge met.
    let met = order.authorizations.iter().flat_map(|a| &a.challenges).find_map(|c| c.error.as_ref());
    if let Some((class, detail)) = order.error.as_ref().or(met) {
        members.insert("error".into(), problem::stored(class, detail));
    }
    Value::Object(members)
}

fn moment(payload: &Map<String, Value>, name: &str) -> Result<Option<Time>> {
    match payload.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Time::parse(text).map(Some).map_err(|e| e.context(format!("\"{name}\""))),
        Some(_) => Err(Error::malformed(format!("\"{name}\" is not text"))),
    }
}

fn check_moments(not_before: Option<Time>, not_after: Option<Time>, now: Time) -> Result<()> {
    if not_after.is_some_and(|end| end <= now.max(not_before.unwrap_or(now))) {
        return Err(Error::malformed("\"notAfter\" lies in the past or before \"notBefore\""));
    }
    if not_before.is_some_and(|start| start > now.plus(Span::days(90))) {
        return Err(Error::malformed("\"notBefore\" lies more than 90 days ahead"));
    }
    Ok(())
}
