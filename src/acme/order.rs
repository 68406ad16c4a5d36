//! Orders (RFC 8555, 7.4): making and reading them.

use super::issuer::IssuerContext;
use super::request::Authenticated;
use super::route::Resource;
use super::{Acme, Reply, no_such, not_yours, problem};
use crate::clock::{Span, Time};
use crate::error::{Class, Error, Result};
use crate::identifier::{DnsName, Identifier, printable};
use crate::policy::{CAA_LIFETIME, ChallengeType, EabBounds};
use crate::store::{Eab, LimitKind, Name, NewAuthorization, NewOrder, Order, OrderName, OrderStatus, Read};
use crate::validation::token;
use serde_json::{Map, Value, json};

const MOST_NAMES: usize = 100;
const PENDING_LIFETIME: Span = Span::days(7);
/// An authorization on the strength of an EAB is made anew for each order, so it need not last.
const UNCHALLENGED_LIFETIME: Span = Span::DAY;

impl Acme {
    /// newOrder (RFC 8555, 7.4; profiles; RFC 9773, 5; RFC 9444, 4.3).
    pub(super) fn new_order(&self, request: &Authenticated<'_>) -> Result<Reply> {
        let issuer = request.issuer;
        issuer.check_enabled()?;
        let payload = request.object()?;
        let now = self.clock.now();
        let (not_before, not_after) = (moment(&payload, "notBefore")?, moment(&payload, "notAfter")?);
        let profile = match payload.get("profile") {
            None => None,
            Some(Value::String(name)) => Some(issuer.policy.profile(Some(name))?.name().to_owned()),
            Some(_) => return Err(Error::malformed("\"profile\" is not text")),
        };
        let lifetime = issuer.policy.profile(profile.as_deref())?.lifetime(issuer.policy.ttl);
        self.issuance.check_asked_validity(&issuer.policy, lifetime, not_before, not_after)?;
        let credential = self.credential(request)?;
        let wanted = self.wanted(issuer, &payload, credential.as_ref(), now)?;
        let names: Vec<&OrderName> = wanted.iter().map(|w| &w.order_name).collect();
        let replaces = self.replaced_certificate(request, &payload, &names)?;

        let account = request.account.id;
        let expires = now.plus(PENDING_LIFETIME);
        // Without reuse only those of newAuthz serve, which need no moment of validation.
        let since = match issuer.policy.reuse_authorizations {
            Span(0) => Time::NEVER,
            reuse => now.minus(reuse),
        };
        let caa_since = (!issuer.policy.caa_identities.is_empty()).then(|| now.minus(CAA_LIFETIME));
        let issuer_id = issuer.item.id;
        let subdomains = issuer.policy.authorizes_subdomains();
        let new = NewOrder { account, expires, not_before, not_after, profile, replaces };
        let order = self.store.change(move |write| {
            write.touch_account(account, now)?;
            let names_wanted: Vec<&Name> = wanted.iter().map(|w| &w.authorization.name).collect();
            check_limits(write, issuer_id, account, &names_wanted, now)?;
            let mut names: Vec<(OrderName, i64)> = Vec::with_capacity(wanted.len());
            let mut made: Vec<(&Name, i64)> = Vec::new();
            let proved = if subdomains { write.proved_domains(account, now)? } else { Vec::new() };
            for Wanted { order_name, authorization, below } in &wanted {
                // Several names may be proved by one domain above them.
                let already = made.iter().find(|(name, _)| *below && **name == authorization.name).map(|(_, id)| *id);
                let reusable = match (already, authorization.unchallenged) {
                    (Some(id), _) => Some(id),
                    (None, true) => None,
                    (None, false) => {
                        let own = write.reusable_authorization(
                            account,
                            &authorization.name,
                            *below,
                            now,
                            since,
                            caa_since,
                        )?;
                        match own {
                            None if subdomains => domain_above(&proved, &authorization.name),
                            own => own,
                        }
                    }
                };
                let id = match reusable {
                    Some(id) => id,
                    None => write.insert_authorization(account, authorization, now)?,
                };
                if *below {
                    made.push((&authorization.name, id));
                }
                names.push((order_name.clone(), id));
            }
            let id = write.insert_order(&new, &names, now)?;
            write.order(id)?.ok_or_else(|| Error::internal("a new order is not there"))
        })?;
        let location = issuer.url_of(Resource::Order(order.id));
        Ok(Reply::json(201, &self.order_object(issuer, &order, now)?).header("Location", location))
    }

    /// An order is read at its URL.
    pub(super) fn show_order(&self, request: &Authenticated<'_>, id: i64) -> Result<Reply> {
        request.post_as_get()?;
        let order = self.own_order(request, id)?;
        let now = self.clock.now();
        let reply = Reply::json(200, &self.order_object(request.issuer, &order, now)?);
        Ok(if order.status(now) == OrderStatus::Pending { reply.header("Retry-After", "1") } else { reply })
    }

    pub(super) fn own_order(&self, request: &Authenticated<'_>, id: i64) -> Result<Order> {
        let order = self.store.read(|read| read.order(id))?.ok_or_else(|| no_such("order"))?;
        if order.account == request.account.id { Ok(order) } else { Err(not_yours("order")) }
    }

    /// The credential that an account was made with, whose bounds it keeps.
    pub(super) fn credential(&self, request: &Authenticated<'_>) -> Result<Option<Eab>> {
        match &request.account.eab {
            None => Ok(None),
            Some(kid) => {
                // Without its bounds an account must not go on as if it had none.
                let gone =
                    || Error::internal(format!("the credential {kid} of account {} is gone", request.account.id));
                self.store.read(|read| read.eab(kid))?.ok_or_else(gone).map(Some)
            }
        }
    }

    pub(super) fn order_object(&self, issuer: &IssuerContext, order: &Order, now: Time) -> Result<Value> {
        let identifiers: Vec<Value> = order.names.iter().map(|n| json!({ "type": n.kind, "value": n.value })).collect();
        let mut authorizations: Vec<String> = Vec::new();
        for authorization in &order.authorizations {
            let url = issuer.url_of(Resource::Authorization(authorization.id));
            if !authorizations.contains(&url) {
                authorizations.push(url);
            }
        }
        let mut members = Map::new();
        members.insert("status".into(), order.status(now).as_str().into());
        members.insert("expires".into(), order.expires.to_string().into());
        members.insert("identifiers".into(), identifiers.into());
        for (name, moment) in [("notBefore", order.not_before), ("notAfter", order.not_after)] {
            if let Some(moment) = moment {
                members.insert(name.into(), moment.to_string().into());
            }
        }
        if let Some(profile) = &order.profile {
            members.insert("profile".into(), profile.as_str().into());
        }
        if let Some(replaced) = order.replaces {
            members.insert("replaces".into(), self.certificate_identifier(replaced)?.into());
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
        Ok(Value::Object(members))
    }

    /// What an order is to consist of, each identifier once, if policy, credential and chain permit them all; otherwise
    /// one error that has a part for each that is not permitted (RFC 8555, 6.7.1).
    fn wanted(
        &self,
        issuer: &IssuerContext,
        payload: &Map<String, Value>,
        credential: Option<&Eab>,
        now: Time,
    ) -> Result<Vec<Wanted>> {
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
        let mut wanted: Vec<Wanted> = Vec::with_capacity(list.len());
        let mut refusals = Vec::new();
        for value in list {
            match self.wanted_one(issuer, value, credential, now) {
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
            _ => {
                let first = refusals.first().map_or(Class::RejectedIdentifier, Error::class);
                let class = if refusals.iter().all(|e| e.class() == first) { first } else { Class::Compound };
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

    fn wanted_one(&self, issuer: &IssuerContext, value: &Value, credential: Option<&Eab>, now: Time) -> Result<Wanted> {
        let identifier = parse_identifier(value)?;
        let bounds = bounds_of(credential)?;
        self.check_permitted(issuer, &identifier, bounds.as_ref())?;
        let ancestor = match value.get("ancestorDomain") {
            None => None,
            Some(Value::String(ancestor)) => Some(self.ancestor(issuer, &identifier, ancestor, bounds.as_ref())?),
            Some(_) => return Err(Error::malformed("\"ancestorDomain\" is not text")),
        };
        let order_name = OrderName { kind: identifier.kind().to_owned(), value: identifier.to_string() };
        let unchallenged = credential.is_some_and(|eab| eab.authorizes(now)) && ancestor.is_none();
        let below = ancestor.is_some();
        let subject = ancestor.unwrap_or(identifier);
        let offered = match (unchallenged, below) {
            // One valid challenge of a standard type, whatever could have proved it.
            (true, _) => vec![ChallengeType::Http01],
            (false, true) => dns_challenges(issuer, &subject)?,
            (false, false) => issuer.policy.challenges_for(&subject)?,
        };
        let expires = match (unchallenged, credential.and_then(|eab| eab.authorized_until)) {
            (false, _) => now.plus(PENDING_LIFETIME),
            (true, None) => now.plus(UNCHALLENGED_LIFETIME),
            (true, Some(until)) => now.plus(UNCHALLENGED_LIFETIME).min(until),
        };
        let name = name_of(&subject);
        let challenges = tokens(&offered)?;
        let authorization =
            NewAuthorization { name, challenges, standing: false, subdomains: below, unchallenged, expires };
        Ok(Wanted { order_name, authorization, below })
    }

    /// Whether the policy, the bounds of the account's credential, and the chain permit a name.
    pub(super) fn check_permitted(
        &self,
        issuer: &IssuerContext,
        identifier: &Identifier,
        bounds: Option<&EabBounds>,
    ) -> Result<()> {
        issuer.policy.names.check(identifier)?;
        if let Some(bounds) = bounds {
            bounds.check(identifier)?;
        }
        issuer.policy.challenges_for(identifier)?;
        self.issuance.check_carried(&issuer.policy, identifier)
    }

    /// The domain above a name that is to be proved in its stead (RFC 9444, 4.3).
    fn ancestor(
        &self,
        issuer: &IssuerContext,
        identifier: &Identifier,
        ancestor: &str,
        bounds: Option<&EabBounds>,
    ) -> Result<Identifier> {
        let about = |e: Error| e.about(identifier.to_string());
        if !issuer.policy.authorizes_subdomains() {
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
        self.check_permitted(issuer, &ancestor, bounds).map_err(about)?;
        Ok(ancestor)
    }
}

/// An identifier of an order, and the authorization that it would need.
struct Wanted {
    order_name: OrderName,
    authorization: NewAuthorization,
    /// Whether that is for a domain above it.
    below: bool,
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
pub(super) fn dns_challenges(issuer: &IssuerContext, identifier: &Identifier) -> Result<Vec<ChallengeType>> {
    let offered: Vec<ChallengeType> =
        issuer.policy.challenges_for(identifier)?.into_iter().filter(|c| c.is_dns()).collect();
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

pub(super) fn bounds_of(credential: Option<&Eab>) -> Result<Option<EabBounds>> {
    credential.and_then(|eab| eab.allowed_domains.as_ref()).map(|domains| EabBounds::parse(domains)).transpose()
}

/// The authorization for the nearest domain above a name that was proved with all below it (RFC 9444).
fn domain_above(proved: &[(String, i64)], name: &Name) -> Option<i64> {
    let is_above = |domain: &str| {
        let below = name.base.strip_suffix(domain).is_some_and(|front| front.ends_with('.'));
        name.kind == "dns" && (below || (name.wildcard && name.base == domain))
    };
    proved.iter().filter(|(domain, _)| is_above(domain)).max_by_key(|(domain, _)| domain.len()).map(|(_, id)| *id)
}

/// Limits are off unless an administrator set them.
fn check_limits(read: &Read<'_>, issuer: i64, account: i64, names: &[&Name], now: Time) -> Result<()> {
    if !read.has_limits(issuer)? {
        return Ok(());
    }
    let authorizations = i64::try_from(names.len()).unwrap_or(i64::MAX);
    for (kind, more) in [
        (LimitKind::PendingOrders, 1),
        (LimitKind::PendingAuthorizations, authorizations),
        (LimitKind::CertificatesPerWeek, 1),
    ] {
        read.check_limit(issuer, account, kind, more, now)?;
    }
    names.iter().try_for_each(|name| read.check_failures(issuer, account, &name.base, now))
}

fn moment(payload: &Map<String, Value>, name: &str) -> Result<Option<Time>> {
    match payload.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Time::parse(text).map(Some).map_err(|e| e.context(format!("\"{name}\""))),
        Some(_) => Err(Error::malformed(format!("\"{name}\" is not text"))),
    }
}
