//! explain: the story of an issuance, from orders, challenges, certificates and the audit log.

use super::revocation::parse_serial;
use super::{Administration, Arguments, Peer, items};
use crate::acme::problem_type;
use crate::clock::Time;
use crate::error::{Class, Error, Result};
use crate::housekeeping::event_of;
use crate::identifier::{Identifier, printable};
use crate::keys::hex;
use crate::store::{
    Authorization, AuthorizationStatus, Certificate, Challenge, ItemKind, Order, OrderStatus, Read, RevokedBy,
};
use serde_json::{Value, json};

/// How many orders of a name are told of.
const NEWEST: usize = 3;
/// How many refusals are shown for a name that nobody could order.
const REFUSALS: usize = 5;

pub(super) fn explain(admin: &Administration, _: Peer, arguments: &mut Arguments) -> Result<Value> {
    let (order, domain) = (arguments.text("order")?, arguments.text("domain")?);
    let certificate = arguments.text("certificate")?;
    arguments.finish()?;
    match (order, domain, certificate) {
        (Some(order), None, None) => by_order(admin, &order),
        (None, Some(domain), None) => by_domain(admin, &domain),
        (None, None, Some(certificate)) => by_certificate(admin, &certificate),
        _ => Err(Error::malformed("say what is to be explained: one of --order, --domain and --certificate")),
    }
}

fn by_order(admin: &Administration, text: &str) -> Result<Value> {
    // A client's log has the whole URL.
    let id = text.rsplit("/order/").next().unwrap_or_default().split('/').next().and_then(|id| id.parse().ok());
    let unknown = || {
        Error::not_found(format!(
            "there is no order {}; it is the number at the end of the order's URL, and orders are kept for --retain after \
             their end; --domain finds the newest of a name",
            printable(text)
        ))
    };
    let id: i64 = id.ok_or_else(unknown)?;
    let now = admin.now();
    let story = admin.store.read(|read| read.order(id)?.map(|order| of_order(read, &order, now)).transpose())?;
    Ok(json!({ "orders": [story.ok_or_else(unknown)?] }))
}

fn by_domain(admin: &Administration, domain: &str) -> Result<Value> {
    let domain = domain.trim();
    let host = Identifier::parse_host(domain.strip_suffix('.').unwrap_or(domain));
    let domain = host.map_err(|e| e.context("--domain"))?.to_string();
    let now = admin.now();
    let (stories, refusals) = admin.store.read(|read| {
        let mut stories = Vec::new();
        for id in read.newest_orders_for(&domain, NEWEST)? {
            stories.extend(read.order(id)?.map(|order| of_order(read, &order, now)).transpose()?);
        }
        // What was refused at once has no order.
        let refusals = if stories.is_empty() { read.refusals_mentioning(&domain, REFUSALS)? } else { Vec::new() };
        Ok((stories, refusals))
    })?;
    if stories.is_empty() && refusals.is_empty() {
        return Err(Error::not_found(format!(
            "nobody has ordered {} of late, and nobody was refused it: see that the client uses the right directory \
             (status shows it) and that it reaches this machine; its own log tells",
            printable(&domain)
        )));
    }
    Ok(json!({ "orders": stories, "refusals": refusals.iter().map(event_of).collect::<Vec<_>>() }))
}

fn by_certificate(admin: &Administration, text: &str) -> Result<Value> {
    let now = admin.now();
    let certificate = match text.contains('/') {
        true => {
            let item = items::item_of_kind(admin, "certificate", text, ItemKind::Certificate)?;
            admin.store.read(|read| read.certificate_version(item.id, None))?
        }
        false => {
            let serial = parse_serial(text).map_err(|_| {
                Error::malformed(format!(
                    "--certificate {} is neither a name (with slashes) nor a serial number; list-certificates shows both",
                    printable(text)
                ))
            })?;
            admin.store.read(|read| read.certificate_by_serial(&serial))?
        }
    };
    let certificate = certificate.ok_or_else(|| {
        Error::not_found(format!("there is no certificate {}; list-certificates shows them", printable(text)))
    })?;
    admin.store.read(|read| {
        let order = read.order_of_certificate(&certificate)?;
        let order = order.map(|id| read.order(id)).transpose()?.flatten();
        match order {
            Some(order) => Ok(json!({ "orders": [of_order(read, &order, now)?] })),
            None => {
                let mut story = Story::default();
                let (shown, next) = of_certificate(read, &certificate, now, &mut story)?;
                let told = story.into_json();
                let next = format!("its order is gone: it was tidied, or there never was one; {next}");
                Ok(json!({ "orders": [{ "certificate": shown, "story": told, "next": next }] }))
            }
        }
    })
}

/// What happened, in the order of time.
#[derive(Default)]
struct Story(Vec<(Time, String, Option<String>)>);

impl Story {
    fn tell(&mut self, at: Time, what: impl Into<String>) {
        self.0.push((at, what.into(), None));
    }

    fn into_json(mut self) -> Vec<Value> {
        // Stable: what happened within one second stays in the order in which it was told.
        self.0.sort_by_key(|(at, _, _)| *at);
        let line = |(at, what, address): &(Time, String, Option<String>)| json!({ "at": at.to_string(), "what": what, "address": address });
        self.0.iter().map(line).collect()
    }
}

fn of_order(read: &Read<'_>, order: &Order, now: Time) -> Result<Value> {
    let status = order.status(now);
    let names: Vec<&str> = order.names.iter().map(|name| name.value.as_str()).collect();
    let account = read.account(order.account)?;
    let issuer = account.as_ref().map(|account| read.item(account.issuer)).transpose()?;
    let mut story = Story::default();
    let who = match &account {
        None => format!("account {}, which is deleted", order.account),
        Some(account) => {
            let eab = account.eab.as_ref().map_or_else(String::new, |kid| format!(" with the credential {kid}"));
            let contact = account.contacts.first().map_or_else(String::new, |c| format!(", {}", printable(c)));
            let ended = account.deactivated.map_or("", |_| ", deactivated since");
            format!("account {}, registered {}{eab}{contact}{ended}", account.id, account.created)
        }
    };
    let profile = order.profile.as_ref().map_or_else(String::new, |profile| format!(" by the profile {profile}"));
    story.tell(order.created, format!("ordered {}{profile}: {who}", names.join(", ")));
    let mut challenges = Vec::new();
    // Several names may share one for a domain above them.
    let mut authorizations: Vec<&Authorization> = Vec::with_capacity(order.authorizations.len());
    for authorization in &order.authorizations {
        if authorizations.iter().all(|other| other.id != authorization.id) {
            authorizations.push(authorization);
        }
    }
    for authorization in &authorizations {
        of_authorization(&mut story, order, authorization);
        challenges.extend(authorization.challenges.iter().map(|c| challenge_members(authorization, c)));
    }
    let certificate = order.certificate.map(|id| read.certificate(id)).transpose()?.flatten();
    let until = certificate.as_ref().map_or(order.expires, |certificate| certificate.issued);
    audited(read, order, &authorizations, until, &mut story)?;
    let (certificate, next) = match &certificate {
        Some(certificate) => {
            let (shown, next) = of_certificate(read, certificate, now, &mut story)?;
            (Some(shown), next)
        }
        None => (None, next_step(order, &authorizations, status, now)),
    };
    Ok(json!({
        "order_id": order.id.to_string(),
        "status": status.as_str(),
        "issuer": issuer.map(|item| item.name),
        "account_id": order.account.to_string(),
        "names": names,
        "created": order.created.to_string(),
        "expires": order.expires.to_string(),
        "challenges": challenges,
        "certificate": certificate,
        "story": story.into_json(),
        "next": next,
    }))
}

fn of_authorization(story: &mut Story, order: &Order, authorization: &Authorization) {
    let name = authorization.full_identifier();
    if authorization.unchallenged {
        story.tell(order.created, format!("{name} needs no challenge: the account's credential stands for it"));
        return;
    }
    let earlier = authorization.created < order.created;
    for challenge in &authorization.challenges {
        let kind = &challenge.kind;
        if let Some(at) = challenge.requested {
            story.tell(at, format!("the client said that {kind} for {name} can be asked"));
        }
        if let Some(at) = challenge.validated {
            let caa = challenge.caa_checked.map_or("", |_| ", and its CAA records permit it");
            let serves = if earlier { ", which serves this order too" } else { "" };
            story.tell(at, format!("{kind} for {name} succeeded{caa}{serves}"));
        }
        if let Some(at) = challenge.failed {
            let (class, detail) = challenge.error.clone().unwrap_or_default();
            story.tell(at, format!("{kind} for {name} failed ({}): {detail}", problem_name(&class)));
        }
    }
    if let Some(at) = authorization.deactivated {
        story.tell(at, format!("the client gave up its proof of {name}"));
    }
}

/// What the audit log has of an order: who asked for what from where, and what was refused.
fn audited(
    read: &Read<'_>,
    order: &Order,
    authorizations: &[&Authorization],
    until: Time,
    story: &mut Story,
) -> Result<()> {
    let whole = format!("order {}", order.id);
    let mut paths = vec![format!("/order/{}/", order.id)];
    for authorization in authorizations {
        paths.push(format!("/authz/{}/", authorization.id));
        paths.extend(authorization.challenges.iter().map(|c| format!("/challenge/{}/", c.id)));
    }
    let is_of_order = |object: &str| {
        // The last number of a path ends with it.
        let ended = format!("{object}/");
        object == whole || paths.iter().any(|path| ended.contains(path.as_str()))
    };
    for row in read.audit_of(&format!("account {}", order.account), order.created, until, is_of_order)? {
        let what = match row.outcome.as_str() {
            "refused" => format!("refused at {}: {}", row.object, row.detail),
            _ => format!("{}: {}", row.action, row.detail),
        };
        story.0.push((row.at, what, row.address));
    }
    Ok(())
}

/// What became of a certificate, and what is left to do.
fn of_certificate(read: &Read<'_>, certificate: &Certificate, now: Time, story: &mut Story) -> Result<(Value, String)> {
    let serial = hex(&certificate.serial);
    let name = read.name_of_certificate(certificate)?;
    let filed = match (&name, certificate.version) {
        (Some(name), Some(version)) => format!(", filed as {name}, version {version}"),
        _ => String::new(),
    };
    let not_after = certificate.not_after;
    story.tell(certificate.issued, format!("issued the certificate {serial}, good until {not_after}{filed}"));
    let revoked = read.revoked_by(certificate)?;
    if let Some(RevokedBy { at, reason, by }) = &revoked {
        story.tell(*at, format!("revoked by {by}, reason {reason}"));
    }
    let next = match &revoked {
        Some(_) => "it is revoked, and another one has to be ordered".to_owned(),
        None if now > not_after => {
            "it has ended, so the client has not renewed: look at its timer and its log".to_owned()
        }
        None => "nothing is left to do".to_owned(),
    };
    let shown = json!({
        "serial_number": serial,
        "name": name,
        "version": certificate.version,
        "issued": certificate.issued.to_string(),
        "not_after": not_after.to_string(),
        "revoked": revoked.as_ref().map(|r| r.at.to_string()),
    });
    Ok((shown, next))
}

fn challenge_members(authorization: &Authorization, challenge: &Challenge) -> Value {
    let time = |at: Option<Time>| at.map(|at| at.to_string());
    json!({
        "identifier": authorization.full_identifier(),
        "type": challenge.kind,
        "status": challenge.status().as_str(),
        "requested": time(challenge.requested),
        "validated": time(challenge.validated),
        "failed": time(challenge.failed),
        "error": challenge.error.as_ref().map(|(class, _)| problem_name(class)),
        "detail": challenge.error.as_ref().map(|(_, detail)| detail),
    })
}

/// What has to be done so that there is a certificate.
fn next_step(order: &Order, authorizations: &[&Authorization], status: OrderStatus, now: Time) -> String {
    match status {
        OrderStatus::Valid => "the certificate is gone: it was tidied after its end".into(),
        OrderStatus::Ready => format!("all names are proved; the client has until {} to finalize", order.expires),
        OrderStatus::Pending => {
            let waiting: Vec<String> = authorizations.iter().filter_map(|a| waits_for(a, now)).collect();
            format!("{} (the order ends on {})", waiting.join("; "), order.expires)
        }
        OrderStatus::Invalid => {
            let failed = authorizations.iter().flat_map(|a| a.challenges.iter().map(move |c| (a, c)));
            let failed = failed.filter_map(|(a, c)| Some((a, c.error.as_ref().filter(|_| c.failed.is_some())?)));
            let advice: Vec<String> = failed.map(|(a, (class, _))| advice(&a.identifier, class)).collect();
            match advice.is_empty() {
                true => format!(
                    "it can no longer be finalized (it ran until {}); let the client order again",
                    order.expires
                ),
                false => {
                    format!("{}; then let the client order again, since a failed order stays failed", advice.join("; "))
                }
            }
        }
    }
}

fn waits_for(authorization: &Authorization, now: Time) -> Option<String> {
    if authorization.status(now) != AuthorizationStatus::Pending {
        return None;
    }
    let name = authorization.full_identifier();
    let asked = authorization.challenges.iter().find(|c| c.requested.is_some());
    Some(match asked {
        Some(challenge) => format!("{} for {name} is being looked at", challenge.kind),
        None => {
            let kinds: Vec<&str> = authorization.challenges.iter().map(|c| c.kind.as_str()).collect();
            format!("the client has yet to say by which challenge it proves {name} ({})", kinds.join(", "))
        }
    })
}

/// What an administrator looks at first after a failure of this class.
fn advice(name: &str, class: &str) -> String {
    match Class::parse(class) {
        Some(Class::Connection) => format!(
            "see that this machine reaches the address above (firewall, port, --validation-allow), and that {name} is meant to \
             have it"
        ),
        Some(Class::Dns) => {
            format!("see what the DNS that this daemon asks (--dns-server, else the system's) says of {name}")
        }
        Some(Class::IncorrectResponse) => {
            format!(
                "see that {name} leads to the host where the client runs, and that nothing else answers for it there"
            )
        }
        Some(Class::Unauthorized) => format!("see that what proves {name} is the client's, and of this attempt"),
        Some(Class::Caa) => format!("see that the CAA records of {name} name this CA"),
        Some(Class::Tls) => format!("see that the client itself answers TLS at {name}, with nothing in between"),
        _ => format!("see what the failure of {name} says"),
    }
}

/// The name of RFC 8555, 6.7, which is what clients show.
fn problem_name(class: &str) -> &'static str {
    problem_type(Class::parse(class).unwrap_or(Class::Internal))
}
