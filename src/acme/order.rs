//! Orders (RFC 8555, 7.4): making and reading them.

use super::issuer::IssuerContext;
use super::request::Authenticated;
use super::route::Resource;
use super::{Acme, Answer, Reply, no_such, problem};
use crate::ca::MOST_NAMES;
use crate::clock::{Span, Time};
use crate::error::{Class, Error, Result};
use crate::identifier::{DnsName, Identifier, printable};
use crate::jose::base64url;
use crate::keys::random;
use crate::policy::{ChallengeType, EabBounds, IssuerPolicy, Permission};
use crate::store::{
    Authorization, Eab, LimitKind, Limits, Name, NewAuthorization, NewOrder, Order, OrderName, OrderStatus, Write,
};
use serde_json::{Map, Value};
use std::sync::Arc;

/// How long orders and authorizations wait for their client.
pub(super) const PENDING_LIFETIME: Span = Span::days(7);
/// An authorization on the strength of an EAB is made anew for each order, so it need not last.
const UNCHALLENGED_LIFETIME: Span = Span::DAY;

impl Acme {
    /// newOrder (RFC 8555, 7.4; profiles; RFC 9773, 5; RFC 9444, 4.3).
    pub(super) fn new_order(&self, request: &Authenticated<'_>) -> Result<Answer> {
        let issuer = request.issuer;
        issuer.check_enabled()?;
        let payload = request.object()?;
        let now = self.clock.trusted()?;
        let (not_before, not_after) = (moment(&payload, "notBefore")?, moment(&payload, "notAfter")?);
        let profile = match payload.get("profile") {
            None => None,
            Some(Value::String(name)) => Some(issuer.policy.profile(Some(name))?.name().to_owned()),
            Some(_) => return Err(Error::malformed("\"profile\" is not text")),
        };
        let lifetime = issuer.policy.profile(profile.as_deref())?.lifetime(issuer.policy.ttl);
        self.issuance.check_asked_validity(&issuer.policy, lifetime, not_before, not_after)?;
        let permission = self.permission(request)?;
        let wanted = wanted(&permission, &payload, request.account.credential.as_ref(), now)?;
        let names: Vec<&OrderName> = wanted.iter().map(|w| &w.order_name).collect();
        let replaces = self.replaced_certificate(request, &payload, &names)?;
        let shown_as_replaced = self.shown_as_replaced(replaces)?;

        let account = request.account.id;
        let expires = now.plus(PENDING_LIFETIME);
        // Without reuse only those of newAuthz serve, which need no moment of validation.
        let since = match issuer.policy.reuse_authorizations {
            Span(0) => None,
            reuse => Some(now.minus(reuse)),
        };
        let limits = self.store.limits(issuer.item.id)?;
        let subdomains = issuer.policy.authorizes_subdomains();
        let new = NewOrder { account, expires, not_before, not_after, profile, replaces };
        let work = move |write: &Write<'_>| {
            write.touch_account(account, now)?;
            let limited = [LimitKind::PendingOrders, LimitKind::CertificatesPerWeek];
            write.check_limits(&limits, account, &limited, now)?;
            let mut names: Vec<(OrderName, Arc<Authorization>)> = Vec::with_capacity(wanted.len());
            let mut made: Vec<(&Name, Arc<Authorization>)> = Vec::new();
            let proved = if subdomains { write.proved_domains(account, now)? } else { Vec::new() };
            for Wanted { order_name, authorization, below, caa_since } in &wanted {
                let name = &authorization.name;
                // Several names may be proved by one domain above them.
                let already = made.iter().find(|(other, _)| *below && *other == name).map(|(_, made)| Arc::clone(made));
                let standing = match (&already, authorization.unchallenged) {
                    (Some(_), _) | (None, true) => None,
                    (None, false) => {
                        let own = write.reusable_authorization(account, name, *below, now, since, *caa_since)?;
                        own.or_else(|| domain_above(&proved, name).filter(|_| subdomains))
                    }
                };
                let authorization = match (already, standing) {
                    (Some(already), _) => already,
                    (None, Some(id)) => Arc::new(write.authorization(id)?.ok_or_else(|| no_such("authorization"))?),
                    (None, None) => Arc::new(new_authorization(write, &limits, account, authorization, now)?),
                };
                if *below {
                    made.push((name, Arc::clone(&authorization)));
                }
                names.push((order_name.clone(), authorization));
            }
            write.insert_order(new, names, now)
        };
        let (store, issuer) = (Arc::clone(&self.store), Arc::clone(issuer));
        let reply = move |order: Order| {
            let location = issuer.url_of(Resource::Order(order.id));
            order_reply(201, &issuer, &order, shown_as_replaced, now).header("Location", location)
        };
        Ok(Answer::later(move |tell| store.change_then(work, move |order| tell(order.map(reply)))))
    }

    /// An order is read at its URL.
    pub(super) fn show_order(&self, request: &Authenticated<'_>, id: i64) -> Result<Reply> {
        request.post_as_get()?;
        let order = self.own_order(request, id)?;
        let now = self.clock.believed();
        let reply = order_reply(200, request.issuer, &order, self.shown_as_replaced(order.replaces)?, now);
        Ok(if order.status(now) == OrderStatus::Pending { reply.header("Retry-After", "1") } else { reply })
    }

    pub(super) fn own_order(&self, request: &Authenticated<'_>, id: i64) -> Result<Order> {
        let order = self.store.order(id)?.ok_or_else(|| no_such("order"))?;
        request.check_owns(Some(order.account), "order")?;
        Ok(order)
    }

    /// What the account of a request may ask its issuer for.
    pub(super) fn permission(&self, request: &Authenticated<'_>) -> Result<Permission> {
        let issuer = request.issuer;
        let domains = request.account.credential.as_ref().and_then(|eab| eab.allowed_domains.as_ref());
        let bounds = domains.map(|domains| EabBounds::parse(domains)).transpose();
        Ok(Permission {
            policy: Arc::clone(&issuer.policy),
            own_hosts: issuer.own_hosts()?,
            bounds: bounds
                .map_err(|e| Error::internal(format!("what {} permits cannot be told: {e}", issuer.item.name)))?,
            constraints: self.issuance.name_constraints(&issuer.policy)?,
        })
    }

    /// What an order says of the certificate that it replaces (RFC 9773, 5).
    pub(super) fn shown_as_replaced(&self, replaced: Option<i64>) -> Result<Option<String>> {
        replaced.map(|replaced| self.certificate_identifier(replaced)).transpose()
    }
}

/// A reply that tells of an order (RFC 8555, 7.1.3).
pub(super) fn order_reply(
    status: u16,
    issuer: &IssuerContext,
    order: &Order,
    replaces: Option<String>,
    now: Time,
) -> Reply {
    let mut authorizations: Vec<String> = Vec::with_capacity(order.authorizations.len());
    for authorization in &order.authorizations {
        let url = issuer.url_of(Resource::Authorization(authorization.id));
        if !authorizations.contains(&url) {
            authorizations.push(url);
        }
    }
    Reply::object(status, |object| {
        object.member("authorizations", authorizations);
        if let Some(certificate) = order.certificate {
            object.member("certificate", issuer.url_of(Resource::Certificate(certificate)));
        }
        // An order is invalid because of what a challenge met.
        let met = order.authorizations.iter().flat_map(|a| &a.challenges).find_map(|c| c.error.as_ref());
        if let Some((class, detail)) = met {
            object.member("error", problem::stored(class, detail));
        }
        object.member("expires", order.expires.to_string());
        object.member("finalize", issuer.url_of(Resource::Finalize(order.id)));
        object.objects("identifiers", order.names.iter(), |object, name| {
            object.member("type", &name.kind);
            object.member("value", &name.value);
        });
        for (name, moment) in [("notAfter", order.not_after), ("notBefore", order.not_before)] {
            if let Some(moment) = moment {
                object.member(name, moment.to_string());
            }
        }
        if let Some(profile) = &order.profile {
            object.member("profile", profile);
        }
        if let Some(replaces) = replaces {
            object.member("replaces", replaces);
        }
        object.member("status", order.status(now).as_str());
    })
}

/// What an order is to consist of, each identifier once, if all are permitted; otherwise one error that has a part for each
/// that is not (RFC 8555, 6.7.1).
fn wanted(
    permission: &Permission,
    payload: &Map<String, Value>,
    credential: Option<&Eab>,
    now: Time,
) -> Result<Vec<Wanted>> {
    let list = payload
        .get("identifiers")
        .and_then(Value::as_array)
        .filter(|list| !list.is_empty())
        .ok_or_else(|| Error::malformed("the payload has no list \"identifiers\" with at least one identifier"))?;
    if list.len() > MOST_NAMES {
        let why = format!("an order has {MOST_NAMES} identifiers at most, this one {}", list.len());
        return Err(Error::malformed(why));
    }
    let mut wanted: Vec<Wanted> = Vec::with_capacity(list.len());
    let mut refusals = Vec::new();
    for value in list {
        match wanted_one(permission, value, credential, now) {
            Ok(one) if wanted.iter().any(|w| w.order_name == one.order_name) => {}
            Ok(one) => wanted.push(one),
            // An error that concerns no identifier in particular concerns the request.
            Err(e) if e.identifier().is_none() => return Err(e),
            Err(e) => refusals.push(e),
        }
    }
    match refusals.as_slice() {
        [] => Ok(wanted),
        [single] if list.len() == 1 => Err(single.clone()),
        [first, ..] => {
            let class = first.class();
            let class = if refusals.iter().all(|e| e.class() == class) { class } else { Class::Compound };
            let names: Vec<&str> = refusals.iter().filter_map(Error::identifier).collect();
            let (refused, of) = (refusals.len(), list.len());
            let detail = format!("{refused} of {of} identifiers cannot be certified: {}", names.join(", "));
            Err(Error::new(class, detail).with_parts(refusals))
        }
    }
}

fn wanted_one(permission: &Permission, value: &Value, credential: Option<&Eab>, now: Time) -> Result<Wanted> {
    let identifier = parse_identifier(value)?;
    permission.check(&identifier)?;
    let policy = &permission.policy;
    // A name that nothing could prove is refused even where nothing has to.
    policy.challenges_for(&identifier)?;
    let ancestor = match value.get("ancestorDomain") {
        None => None,
        Some(Value::String(ancestor)) => Some(domain_instead(permission, &identifier, ancestor)?),
        Some(_) => return Err(Error::malformed("\"ancestorDomain\" is not text")),
    };
    let order_name = OrderName { kind: identifier.kind().to_owned(), value: identifier.to_string() };
    let unchallenged = credential.is_some_and(|eab| eab.authorizes(now)) && ancestor.is_none();
    let below = ancestor.is_some();
    let subject = ancestor.unwrap_or(identifier);
    let offered = match (unchallenged, below) {
        // One valid challenge of a standard type, whatever could have proved it.
        (true, _) => vec![ChallengeType::Http01],
        (false, true) => dns_challenges(policy, &subject)?,
        (false, false) => policy.challenges_for(&subject)?,
    };
    let expires = match (unchallenged, credential.and_then(|eab| eab.authorized_until)) {
        (false, _) => now.plus(PENDING_LIFETIME),
        (true, None) => now.plus(UNCHALLENGED_LIFETIME),
        (true, Some(until)) => now.plus(UNCHALLENGED_LIFETIME).min(until),
    };
    let caa_since = policy.caa_since(&subject, now);
    let name = name_of(&subject);
    let challenges = tokens(&offered)?;
    let authorization =
        NewAuthorization { name, challenges, standing: false, subdomains: below, unchallenged, expires };
    Ok(Wanted { order_name, authorization, below, caa_since })
}

/// The domain above a name that is to be proved in its stead (RFC 9444, 4.3).
fn domain_instead(permission: &Permission, identifier: &Identifier, ancestor: &str) -> Result<Identifier> {
    let about = |e: Error| e.about(identifier.to_string());
    if !permission.policy.authorizes_subdomains() {
        let why = format!("{identifier}: this issuer takes no ancestorDomain");
        return Err(about(Error::new(Class::RejectedIdentifier, why)));
    }
    let name = DnsName::parse(ancestor).map_err(about)?;
    let is_above = matches!(identifier, Identifier::Dns(below) if below.is_below(name.as_str()));
    if name.is_wildcard() || !is_above {
        let why = format!("{identifier}: {} is not a domain above it", printable(ancestor));
        return Err(about(Error::malformed(why)));
    }
    let ancestor = Identifier::Dns(name);
    permission.check(&ancestor).map_err(about)?;
    Ok(ancestor)
}

/// Make an authorization, within the limits that are set.
pub(super) fn new_authorization(
    write: &Write<'_>,
    limits: &Limits,
    account: i64,
    new: &NewAuthorization,
    now: Time,
) -> Result<Authorization> {
    // What needs no challenge is never pending and never fails.
    if !new.unchallenged {
        write.check_limits(limits, account, &[LimitKind::PendingAuthorizations], now)?;
        write.check_failures(limits, account, &new.name.base, now)?;
    }
    write.insert_authorization(account, new, now)
}

/// An identifier of an order, and the authorization that it would need.
struct Wanted {
    order_name: OrderName,
    authorization: NewAuthorization,
    /// Whether that is for a domain above it.
    below: bool,
    /// Since when CAA must have been asked for one that is there already to serve.
    caa_since: Option<Time>,
}

/// The identifier object of RFC 8555, 7.1.3.
pub(super) fn parse_identifier(value: &Value) -> Result<Identifier> {
    let text = |name: &str| {
        value
            .get(name)
            .and_then(Value::as_str)
            .ok_or_else(|| Error::malformed("each identifier has the text members \"type\" and \"value\""))
    };
    Identifier::parse(text("type")?, text("value")?)
}

/// The challenges that prove a domain with all that is below it.
pub(super) fn dns_challenges(policy: &IssuerPolicy, identifier: &Identifier) -> Result<Vec<ChallengeType>> {
    let offered: Vec<ChallengeType> = policy.challenges_for(identifier)?.into_iter().filter(|c| c.is_dns()).collect();
    if offered.is_empty() {
        let why =
            format!("{identifier}: this issuer offers no DNS challenge, which alone proves a domain with all below it");
        return Err(Error::new(Class::RejectedIdentifier, why).about(identifier.to_string()));
    }
    Ok(offered)
}

pub(super) fn name_of(identifier: &Identifier) -> Name {
    let (base, wildcard) = match identifier {
        Identifier::Dns(name) => (name.base().to_owned(), name.is_wildcard()),
        Identifier::Ip(address) => (address.to_string(), false),
    };
    Name { kind: identifier.kind(), base, wildcard }
}

/// A fresh token for each challenge that has one.
pub(super) fn tokens(challenges: &[ChallengeType]) -> Result<Vec<(String, String)>> {
    challenges.iter().map(|c| Ok((c.name().to_owned(), if c.has_token() { token()? } else { String::new() }))).collect()
}

/// 256 random bits (RFC 8555, 8.1, asks for 128).
fn token() -> Result<String> {
    Ok(base64url::encode(&random::<32>()?))
}

/// The authorization for the nearest domain above a name that was proved with all below it (RFC 9444).
fn domain_above(proved: &[(String, i64)], name: &Name) -> Option<i64> {
    let is_above = |domain: &str| {
        let below = name.base.strip_suffix(domain).is_some_and(|front| front.ends_with('.'));
        name.kind == "dns" && (below || (name.wildcard && name.base == domain))
    };
    proved.iter().filter(|(domain, _)| is_above(domain)).max_by_key(|(domain, _)| domain.len()).map(|(_, id)| *id)
}

fn moment(payload: &Map<String, Value>, name: &str) -> Result<Option<Time>> {
    match payload.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Time::parse(text).map(Some).map_err(|e| e.context(format!("\"{name}\""))),
        Some(_) => Err(Error::malformed(format!("\"{name}\" is not text"))),
    }
}
