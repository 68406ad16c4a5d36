//! Problem documents (RFC 7807) for errors: the one place where a class becomes a type of RFC 8555, 6.7, and a status.

use super::Reply;
use crate::error::{Class, Error};
use crate::jose::{MacAlgorithm, SignatureAlgorithm};
use crate::metrics;
use serde_json::{Map, Value, json};
use std::net::IpAddr;

/// Seconds; acme.sh gives up above 600.
const RETRY_UNAVAILABLE: &str = "5";
const RETRY_RATE_LIMITED: &str = "60";

pub(super) fn reply(error: &Error, request_id: &str) -> Reply {
    let (_, status) = type_and_status(error.class());
    metrics::count(&metrics::REFUSED, error.class() as usize);
    let mut members = members_of(error);
    // RFC 8555, 6.7.1: only subproblems name identifiers.
    members.remove("identifier");
    // Paths, keys and the database are the administrator's business.
    let told_to_clients = match error.class() {
        Class::Internal => Some(format!("the server met a fault; its log tells more under request {request_id}")),
        Class::Unavailable => Some(format!(
            "this cannot be done at the moment; try again, and if it lasts, the server's log tells why under request {request_id}"
        )),
        _ => None,
    };
    if let Some(detail) = told_to_clients {
        members.insert("detail".into(), detail.into());
    }
    if error.class() == Class::BadSignatureAlgorithm {
        // RFC 8555, 6.2.
        members.insert("algorithms".into(), json!(SignatureAlgorithm::NAMES));
    }
    if error.class() == Class::BadMacAlgorithm {
        members.insert("algorithms".into(), json!(MacAlgorithm::NAMES));
    }
    members.insert("status".into(), status.into());
    let mut reply = problem(status, &Value::Object(members));
    if let Some(location) = error.location() {
        reply = reply.header("Location", location.to_owned());
    }
    match error.class() {
        Class::Unavailable => reply.header("Retry-After", RETRY_UNAVAILABLE),
        Class::RateLimited => {
            let wait = error.wait().map_or_else(|| RETRY_RATE_LIMITED.to_owned(), |seconds| seconds.to_string());
            reply.header("Retry-After", wait)
        }
        _ => reply,
    }
}

/// That a person has to agree to the terms first: where, and what they are (RFC 8555, 6.7 and 7.3.3).
pub(super) fn terms_not_agreed(terms: &str) -> Reply {
    metrics::count(&metrics::REFUSED, Class::UserActionRequired as usize);
    let detail = format!("agree to the terms of service at {terms}");
    let members = json!({
        "type": urn("userActionRequired"),
        "detail": detail,
        "instance": terms,
        "status": 403,
    });
    problem(403, &members).header("Link", format!("<{terms}>;rel=\"terms-of-service\""))
}

pub(super) fn method_not_allowed(methods: &[&str]) -> Reply {
    let detail = format!("this resource answers {} only", methods.join(", "));
    let members = json!({ "type": urn("malformed"), "detail": detail, "status": 405 });
    problem(405, &members).header("Allow", methods.join(", "))
}

fn problem(status: u16, members: &Value) -> Reply {
    Reply { body: members.to_string().into_bytes(), ..Reply::new(status) }
        .header("Content-Type", "application/problem+json")
}

/// A problem document as text, for rooms that answer before a request has come this far.
pub fn problem_document(kind: &str, detail: &str, status: u16) -> String {
    json!({ "type": urn(kind), "detail": detail, "status": status }).to_string()
}

/// The error of a challenge or an order, which is kept as the name of its class.
pub(super) fn stored(class: &str, detail: &str) -> Value {
    let class = Class::parse(class).unwrap_or(Class::Internal);
    let (kind, status) = type_and_status(class);
    let detail = match class {
        Class::Internal | Class::Unavailable => "the server met a fault; make a new order",
        _ => detail,
    };
    json!({ "type": urn(kind), "detail": detail, "status": status })
}

fn members_of(error: &Error) -> Map<String, Value> {
    let (kind, _) = type_and_status(error.class());
    let mut members = Map::new();
    members.insert("type".into(), urn(kind).into());
    members.insert("detail".into(), error.detail().into());
    if let Some(name) = error.identifier() {
        let implied = if name.parse::<IpAddr>().is_ok() { "ip" } else { "dns" };
        let kind = error.identifier_type().unwrap_or(implied);
        members.insert("identifier".into(), json!({ "type": kind, "value": name }));
    }
    if !error.parts().is_empty() {
        let parts: Vec<Value> = error.parts().iter().map(|part| Value::Object(members_of(part))).collect();
        members.insert("subproblems".into(), parts.into());
    }
    members
}

fn urn(kind: &str) -> String {
    format!("urn:ietf:params:acme:error:{kind}")
}

/// The problem type of a class, without what all of them begin with.
pub fn problem_type(class: Class) -> &'static str {
    type_and_status(class).0
}

fn type_and_status(class: Class) -> (&'static str, u16) {
    match class {
        // RFC 8555, 7.3.6, asks for 401 here.
        Class::AccountDeactivated => ("unauthorized", 401),
        Class::AccountDoesNotExist => ("accountDoesNotExist", 400),
        Class::AlreadyReplaced => ("alreadyReplaced", 409),
        Class::AlreadyRevoked => ("alreadyRevoked", 400),
        Class::BadCsr => ("badCSR", 400),
        Class::BadMacAlgorithm => ("badSignatureAlgorithm", 400),
        Class::BadNonce => ("badNonce", 400),
        Class::BadPublicKey => ("badPublicKey", 400),
        Class::BadRevocationReason => ("badRevocationReason", 400),
        Class::BadSignatureAlgorithm => ("badSignatureAlgorithm", 400),
        Class::Caa => ("caa", 403),
        Class::Compound => ("compound", 400),
        Class::Conflict => ("malformed", 409),
        Class::Connection => ("connection", 400),
        Class::Dns => ("dns", 400),
        Class::ExternalAccountRequired => ("externalAccountRequired", 403),
        Class::IncorrectResponse => ("incorrectResponse", 403),
        Class::Internal => ("serverInternal", 500),
        Class::InvalidContact => ("invalidContact", 400),
        Class::InvalidProfile => ("invalidProfile", 400),
        Class::Malformed => ("malformed", 400),
        Class::NotFound => ("malformed", 404),
        Class::OrderNotReady => ("orderNotReady", 403),
        Class::RateLimited => ("rateLimited", 429),
        Class::RejectedIdentifier => ("rejectedIdentifier", 400),
        Class::Tls => ("tls", 400),
        Class::Unauthorized => ("unauthorized", 403),
        Class::Unavailable => ("serverInternal", 503),
        Class::UnsupportedContact => ("unsupportedContact", 400),
        Class::UnsupportedIdentifier => ("unsupportedIdentifier", 400),
        Class::UnsupportedMediaType => ("malformed", 415),
        Class::UserActionRequired => ("userActionRequired", 403),
    }
}
