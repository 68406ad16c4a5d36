//! Accounts (RFC 8555, 7.3): registering, reading, changing contacts, deactivating.

use super::issuer::IssuerContext;
use super::request::{Authenticated, SelfSigned};
use super::request_limits::Refused;
use super::route::Resource;
use super::{Acme, Reply, Request, problem};
use crate::error::{Class, Error, Result};
use crate::identifier::{DnsName, printable};
use crate::jose::{ExternalAccountBinding, thumbprint};
use crate::store::{Account, AccountStatus, AuditEntry, NewAccount};
use serde_json::{Map, Value, json};

const MOST_CONTACTS: usize = 10;
const LONGEST_CONTACT: usize = 320;
const ORDERS_PER_PAGE: usize = 100;

impl Acme {
    /// newAccount (RFC 8555, 7.3). The key is looked up first: a client that repeats its request, binding and all, gets
    /// its account, and no credential is looked at or used.
    pub(super) fn new_account(&self, issuer: &IssuerContext, request: &Request<'_>) -> Result<Reply> {
        let SelfSigned { key, url, payload } = self.self_signed(issuer, request)?;
        let thumbprint = thumbprint(&key);
        if let Some(existing) = self.store.read(|read| read.account_by_key(issuer.item.id, &thumbprint))? {
            return existing_account(issuer, &existing);
        }
        if boolean(&payload, "onlyReturnExisting")? {
            return Err(Error::new(Class::AccountDoesNotExist, "no account is registered with this key"));
        }
        issuer.check_enabled()?;
        self.store.check_not_blocked(&key.to_spki())?;
        self.issuance.check_can_sign(&issuer.policy)?;
        let terms_agreed = boolean(&payload, "termsOfServiceAgreed")?;
        if let (Some(terms), false) = (&issuer.policy.terms_of_service, terms_agreed) {
            return Ok(problem::terms_not_agreed(terms));
        }
        let contacts = contacts(&payload)?.unwrap_or_default();
        let eab = match self.checked_binding(issuer, &payload, &key, &url, request.address) {
            Ok(eab) => eab,
            // The same request may have been sent twice, and the other one used the credential up meanwhile.
            Err(e) => {
                let made = self.store.read(|read| read.account_by_key(issuer.item.id, &thumbprint))?;
                return made.map_or(Err(e), |account| existing_account(issuer, &account));
            }
        };
        let new = NewAccount { issuer: issuer.item.id, spki: key.to_spki(), thumbprint, contacts, terms_agreed, eab };
        let now = self.clock.now();
        let address = request.address.to_owned();
        let (account, created) = self.store.change(move |write| {
            let (account, created) = write.register_account(&new, now)?;
            if created {
                let detail = new.eab.as_ref().map_or_else(String::new, |kid| format!("with EAB {kid}"));
                let entry = AuditEntry::done(own_name(&account), "newAccount", own_name(&account));
                write.append_audit(now, &entry.from(&address).detail(detail))?;
            }
            Ok((account, created))
        })?;
        if !created {
            return existing_account(issuer, &account);
        }
        self.limits.count_account(request.address, account.id);
        log::info!(account = account.id, issuer = issuer.item.name, address = request.address; "registered");
        let mut object = account_object(issuer, &account);
        // RFC 8555, 7.3.4: the new account shows what it was bound with.
        if let (Some(members), Some(binding)) = (object.as_object_mut(), payload.get("externalAccountBinding")) {
            members.insert("externalAccountBinding".into(), binding.clone());
        }
        Ok(Reply::json(201, &object).header("Location", issuer.url_of(Resource::Account(account.id))))
    }

    /// An account is read, changed and deactivated at its URL (RFC 8555, 7.3.2 and 7.3.6).
    pub(super) fn account(&self, request: &Authenticated<'_>, id: i64, address: &str) -> Result<Reply> {
        request.check_owns(Some(id), "account")?;
        let mut account = Account::clone(&request.account);
        if !request.is_post_as_get() {
            let payload = request.object()?;
            // Any other status is ignored (RFC 8555, 7.3.2): clients send back the whole account that they know.
            if payload.get("status").and_then(Value::as_str) == Some("deactivated") {
                return self.deactivate(request, address);
            }
            if let Some(contacts) = contacts(&payload)? {
                account.contacts.clone_from(&contacts);
                self.store.change(move |write| write.set_contacts(id, &contacts))?;
            }
        }
        Ok(Reply::json(200, &account_object(request.issuer, &account)))
    }

    /// The orders of an account, in pages (RFC 8555, 7.1.2.1).
    pub(super) fn account_orders(&self, request: &Authenticated<'_>, id: i64, query: Option<&str>) -> Result<Reply> {
        request.post_as_get()?;
        request.check_owns(Some(id), "list of orders")?;
        let after = match query {
            None => 0,
            Some(query) => query
                .strip_prefix("cursor=")
                .and_then(|cursor| cursor.parse::<i64>().ok())
                .ok_or_else(|| Error::malformed("follow the link \"next\" of the page before"))?,
        };
        // RFC 8555, 7.1.2.1: invalid orders are left out.
        let now = self.clock.believed();
        let mut ids = self.store.read(|read| read.orders_of(id, after, ORDERS_PER_PAGE + 1, now))?;
        let more = ids.len() > ORDERS_PER_PAGE;
        ids.truncate(ORDERS_PER_PAGE);
        let urls: Vec<String> = ids.iter().map(|id| request.issuer.url_of(Resource::Order(*id))).collect();
        let reply = Reply::json(200, &json!({ "orders": urls }));
        match ids.last().filter(|_| more) {
            Some(last) => {
                let page = request.issuer.url_of(Resource::AccountOrders(id));
                Ok(reply.header("Link", format!("<{page}?cursor={last}>;rel=\"next\"")))
            }
            None => Ok(reply),
        }
    }

    fn deactivate(&self, request: &Authenticated<'_>, address: &str) -> Result<Reply> {
        let now = self.clock.now();
        let id = request.account.id;
        let name = own_name(&request.account);
        let entry = AuditEntry::done(name.as_str(), "deactivate-account", name.as_str()).from(address);
        self.store.change(move |write| {
            write.deactivate_account(id, now)?;
            write.append_audit(now, &entry)
        })?;
        let account = Account { deactivated: Some(now), ..Account::clone(&request.account) };
        Ok(Reply::json(200, &account_object(request.issuer, &account)))
    }

    /// The credential of an external account binding whose MAC is right (RFC 8555, 7.3.4). It is used up only in the
    /// change that makes the account; a wrong MAC does not burn it.
    fn checked_binding(
        &self,
        issuer: &IssuerContext,
        payload: &Map<String, Value>,
        key: &crate::keys::PublicKey,
        url: &str,
        address: &str,
    ) -> Result<Option<String>> {
        let Some(value) = payload.get("externalAccountBinding") else {
            return if issuer.policy.require_eab {
                Err(Error::new(
                    Class::ExternalAccountRequired,
                    "an external account binding is required; ask the administrator for a kid and a MAC key",
                ))
            } else {
                Ok(None)
            };
        };
        let binding = ExternalAccountBinding::parse(value, key, url)?;
        // One sentence for unknown, foreign and wrong, so that nobody can try out identifiers.
        let refused = || {
            Error::unauthorized(
                "the external account binding is not valid: its kid is unknown here or its MAC is wrong",
            )
        };
        let eab = self.store.read(|read| read.eab(binding.kid()))?;
        let eab = eab.filter(|e| e.issuer == issuer.item.id).ok_or_else(refused)?;
        let mac_key = self.issuance.open_mac_key(&eab.kid, &eab.sealed_mac_key)?;
        if !binding.verify(&mac_key) {
            // Whoever has seen a kid can come this far, so this is for the log and not for the audit.
            let level = self.limits.level(Refused::wrong_mac(&eab.kid));
            log::log!(level, eab = eab.kid, address; "refused: a wrong MAC");
            return Err(refused());
        }
        // One that has ended serves no more, even if the clock steps back.
        let now = self.clock.latest();
        if let Err(e) = eab.check_serves(now) {
            let level = self.limits.level(Refused::credential(&eab.kid));
            log::log!(level, eab = eab.kid, address, error:% = e; "refused");
            if level == log::Level::Debug {
                return Err(e);
            }
            let entry = AuditEntry::done(format!("EAB {}", eab.kid), "newAccount", issuer.item.name.as_str())
                .refused(&e)
                .from(address);
            self.store.change(move |write| write.append_audit(now, &entry))?;
            return Err(e);
        }
        Ok(Some(eab.kid))
    }
}

/// As the audit log names it.
fn own_name(account: &Account) -> String {
    format!("account {}", account.id)
}

fn existing_account(issuer: &IssuerContext, account: &Account) -> Result<Reply> {
    if account.status() != AccountStatus::Valid {
        return Err(Error::new(
            Class::AccountDeactivated,
            "the account of this key is deactivated; register with another key",
        ));
    }
    let location = issuer.url_of(Resource::Account(account.id));
    Ok(Reply::json(200, &account_object(issuer, account)).header("Location", location))
}

pub(super) fn account_object(issuer: &IssuerContext, account: &Account) -> Value {
    let mut members = Map::new();
    members.insert("status".into(), account.status().as_str().into());
    members.insert("contact".into(), json!(account.contacts));
    if account.terms_agreed.is_some() {
        members.insert("termsOfServiceAgreed".into(), true.into());
    }
    members.insert("orders".into(), issuer.url_of(Resource::AccountOrders(account.id)).into());
    Value::Object(members)
}

fn boolean(payload: &Map<String, Value>, name: &str) -> Result<bool> {
    match payload.get(name) {
        None => Ok(false),
        Some(Value::Bool(value)) => Ok(*value),
        Some(_) => Err(Error::malformed(format!("\"{name}\" is neither true nor false"))),
    }
}

/// The contact URLs of a request (RFC 8555, 7.3): mail addresses.
fn contacts(payload: &Map<String, Value>) -> Result<Option<Vec<String>>> {
    let Some(value) = payload.get("contact") else { return Ok(None) };
    let list = value.as_array().ok_or_else(|| Error::malformed("\"contact\" is not a list"))?;
    if list.len() > MOST_CONTACTS {
        return Err(Error::new(Class::InvalidContact, format!("give {MOST_CONTACTS} contacts at most")));
    }
    let mut contacts = Vec::new();
    for contact in list {
        let contact = contact.as_str().ok_or_else(|| Error::malformed("a contact is not text"))?;
        // HAProxy sends this when it has no contact.
        if contact != "mailto:" {
            check_contact(contact)?;
            contacts.push(contact.to_owned());
        }
    }
    Ok(Some(contacts))
}

/// A mailto URL of one address without header fields (RFC 8555, 7.3; RFC 6068, 2).
fn check_contact(contact: &str) -> Result<()> {
    let invalid = |why: &str| {
        let why = format!("the contact \"{}\" is not a single mail address: {why}", printable(contact));
        Err(Error::new(Class::InvalidContact, why))
    };
    let address = match contact.split_once(':') {
        Some((scheme, address)) if scheme.eq_ignore_ascii_case("mailto") => address,
        _ => {
            let why = format!("the contact \"{}\" is not a mailto URL", printable(contact));
            return Err(Error::new(Class::UnsupportedContact, why));
        }
    };
    if address.contains(|c: char| !c.is_ascii_graphic() || "/?#[]&;=,<>\"".contains(c)) {
        return invalid("it has a character that stands for something else there");
    }
    let Some(decoded) = percent_decoded(address) else { return invalid("its percent-encoding is broken") };
    let Some((local, domain)) = decoded.rsplit_once('@') else { return invalid("it has no @") };
    let is_dot_atom = !local.split('.').any(str::is_empty);
    let is_plain = !local.contains(|c: char| c.is_control() || c.is_whitespace() || "@,;:<>()[]\\\"".contains(c));
    if local.is_empty() || !is_dot_atom || !is_plain {
        return invalid("what stands before the @ is no mailbox");
    }
    if decoded.len() > LONGEST_CONTACT || DnsName::parse(domain).is_err() || domain.starts_with('*') {
        return invalid("what stands behind the @ is no domain");
    }
    Ok(())
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok().filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}
