//! ACME (RFC 8555): one file for each resource of section 7. A request that reaches a resource has been authenticated;
//! what it may do is decided there.

mod account;
mod authorization;
mod certificate;
mod challenge;
mod directory;
mod finalize;
mod issuer;
mod key_change;
mod nonce;
mod object;
mod order;
mod problem;
mod renewal_info;
mod request;
mod request_limits;
mod revoke;
mod route;

pub use problem::{problem_document, problem_type};

use crate::clock::Clock;
use crate::error::{Class, Error, Result};
use crate::issuance::Issuance;
use crate::metrics;
use crate::store::{AuditEntry, Remembered, Store};
use crate::validation::Validation;
use issuer::{IssuerContext, Issuers};
use nonce::Nonces;
use object::Object;
use request::{Authenticated, KnownAccount};
use request_limits::{Refused, RequestLimits};
use route::{Resource, Route};
use serde_json::Value;
use std::borrow::Cow;
use std::sync::Arc;

/// What a reply is given room for at first: its headers, and an order or an authorization.
const MOST_HEADERS: usize = 8;
const USUAL_BODY: usize = 1024;

/// The ACME side of all issuers.
pub struct Acme {
    store: Arc<Store>,
    issuance: Arc<Issuance>,
    validation: Arc<Validation>,
    clock: Clock,
    nonces: Nonces,
    limits: RequestLimits,
    issuers: Issuers,
    accounts: Remembered<i64, KnownAccount>,
}

/// A request as the HTTP room hands it in.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Method, as written.
    pub method: &'a str,
    /// Path without query, beginning with `/acme/`.
    pub path: &'a str,
    /// The query, if there is one.
    pub query: Option<&'a str>,
    /// Content-Type, if there is one.
    pub content_type: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
    /// The client's address.
    pub address: &'a str,
    /// What the log calls this request.
    pub id: &'a str,
}

/// What a resource has to say to a request.
enum Answer {
    /// This, now.
    Now(Reply),
    /// What is told when a change has become durable, which this asks for. Nobody waits for it.
    Later(Box<dyn FnOnce(Tell) + Send>),
}

/// Where an answer goes that comes later.
type Tell = Box<dyn FnOnce(Result<Reply>) + Send>;

impl Answer {
    fn later(begin: impl FnOnce(Tell) + Send + 'static) -> Answer {
        Answer::Later(Box::new(begin))
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Answer {
        Answer::Now(reply)
    }
}

/// What is kept of a request that is not answered at once, or refused.
struct Asked {
    path: String,
    address: String,
    id: String,
    seen: Seen,
}

/// What became known of a request while it was looked at.
#[derive(Default)]
struct Seen {
    /// Whether it is a POST, whose reply has a nonce.
    is_post: bool,
    /// The issuer, once it is known, for a link to its directory.
    issuer: Option<Arc<IssuerContext>>,
    /// The account, once it is authenticated.
    account: Option<i64>,
    /// What it is about, for the counters.
    resource: Option<metrics::Resource>,
}

/// What is answered.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Headers, Content-Type among them, Content-Length not.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// The body.
    pub body: Vec<u8>,
    /// What the request was about, for the counters.
    pub resource: metrics::Resource,
}

impl Reply {
    fn new(status: u16) -> Reply {
        let headers = Vec::with_capacity(MOST_HEADERS);
        Reply { status, headers, body: Vec::new(), resource: metrics::Resource::Other }
    }

    fn json(status: u16, value: &Value) -> Reply {
        let mut reply = Reply::new(status).header("Content-Type", "application/json");
        reply.body = value.to_string().into_bytes();
        reply
    }

    /// The object that has the members that `members` writes.
    fn object(status: u16, members: impl FnOnce(&mut Object<'_>)) -> Reply {
        let mut reply = Reply::new(status).header("Content-Type", "application/json");
        reply.body.reserve(USUAL_BODY);
        Object::write(&mut reply.body, members);
        reply
    }

    fn header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Reply {
        self.headers.push((name, value.into()));
        self
    }
}

impl Acme {
    /// The ACME side of all issuers of a store.
    ///
    /// # Errors
    /// Internal when the system gives no random bytes.
    pub fn new(
        store: Arc<Store>,
        issuance: Arc<Issuance>,
        validation: Arc<Validation>,
        clock: Clock,
        is_proxied: bool,
    ) -> Result<Acme> {
        Ok(Acme {
            store,
            issuance,
            validation,
            clock,
            nonces: Nonces::new()?,
            limits: RequestLimits::new(is_proxied),
            issuers: Issuers::default(),
            accounts: Remembered::default(),
        })
    }

    /// Answer a request: `tell` hears the reply, at once or from whoever makes durable what it tells of. Nothing that a client
    /// sends makes this fail.
    pub fn answer(self: &Arc<Self>, request: &Request<'_>, tell: impl FnOnce(Reply) + Send + 'static) {
        let mut seen = Seen { is_post: request.method == "POST", ..Seen::default() };
        let begin = match self.dispatch(request, &mut seen) {
            Ok(Answer::Now(reply)) => return tell(self.completed(reply, &seen)),
            Ok(Answer::Later(begin)) => Ok(begin),
            Err(e) => Err(e),
        };
        let [path, address, id] = [request.path, request.address, request.id].map(str::to_owned);
        let asked = Asked { path, address, id, seen };
        let acme = Arc::clone(self);
        let hear = move |result| match result {
            Ok(reply) => tell(acme.completed(reply, &asked.seen)),
            Err(e) => acme.refuse(&e, &asked, tell),
        };
        match begin {
            Ok(begin) => begin(Box::new(hear)),
            Err(e) => hear(Err(e)),
        }
    }

    /// A reply with what every reply has.
    fn completed(&self, mut reply: Reply, seen: &Seen) -> Reply {
        reply.resource = seen.resource.unwrap_or(metrics::Resource::Other);
        if seen.is_post {
            reply = reply.header("Replay-Nonce", self.nonces.issue()).header("Cache-Control", "no-store");
        }
        if let Some(issuer) = &seen.issuer {
            reply = reply.header("Link", issuer.index_link().to_owned());
        }
        // RFC 8555, 6.1: clients may be web pages.
        reply
            .header("Access-Control-Allow-Origin", "*")
            .header("Access-Control-Expose-Headers", "Link, Location, Replay-Nonce, Retry-After")
    }

    /// Tell why not, once that is audited where it has to be.
    fn refuse(&self, e: &Error, asked: &Asked, tell: impl FnOnce(Reply) + Send + 'static) {
        self.tell_fault(e);
        let reply = self.completed(problem::reply(e, &asked.id), &asked.seen);
        let Some(entry) = self.audited_refusal(e, asked) else { return tell(reply) };
        let now = self.clock.now();
        self.store.change_then(
            move |write| write.append_audit(now, &entry),
            move |appended| {
                if let Err(e) = appended {
                    log::log!(e.level(), error:% = e; "a refusal could not be audited");
                }
                tell(reply);
            },
        );
    }

    /// What went wrong with us; not for everybody who meets it, since strangers meet it as often as they like.
    fn tell_fault(&self, e: &Error) {
        if matches!(e.class(), Class::Internal | Class::Unavailable) {
            let is_seldom = e.level() == log::Level::Error && self.limits.level(Refused::Fault) == log::Level::Info;
            let level = if is_seldom { log::Level::Error } else { log::Level::Debug };
            log::log!(level, error:% = e; "a request could not be answered");
        }
    }

    /// Refusals of authenticated accounts are audited, unless there are very many; those of strangers are not, or they could
    /// fill the disk.
    fn audited_refusal(&self, e: &Error, asked: &Asked) -> Option<AuditEntry> {
        let Asked { path, address, .. } = asked;
        let account = asked.seen.account.filter(|_| !matches!(e.class(), Class::Internal | Class::Unavailable))?;
        let level = self.limits.level(Refused::Account(account));
        log::log!(level, account, path, address, error:% = e; "refused");
        let entry = || AuditEntry::done(format!("account {account}"), "acme", path.as_str()).refused(e).from(address);
        (level != log::Level::Debug).then(entry)
    }

    /// Find the resource and hand the request to it.
    fn dispatch(&self, request: &Request<'_>, seen: &mut Seen) -> Result<Answer> {
        let route = Route::parse(request.path).ok_or_else(|| Error::not_found("there is no such resource"))?;
        seen.resource = Some(route.resource.counted());
        if request.method == "OPTIONS" {
            return Ok(preflight(route.resource.methods()).into());
        }
        if !route.resource.allows(request.method) {
            return Ok(problem::method_not_allowed(route.resource.methods()).into());
        }
        let issuer = self.issuers.find(&self.store, route)?;
        if route.resource != Resource::Directory {
            seen.issuer = Some(Arc::clone(&issuer));
        }
        if request.method != "POST" {
            return self.unsigned(request, route.resource, &issuer).map(Answer::Now);
        }
        match route.resource {
            Resource::NewAccount => return self.new_account(&issuer, request).map(Answer::Now),
            Resource::RevokeCert => return self.revoke(&issuer, request, seen).map(Answer::Now),
            _ => {}
        }
        let authenticated = self.authenticated(&issuer, request)?;
        seen.account = Some(authenticated.account.id);
        // What every issuance needs waits for no commit.
        match route.resource {
            Resource::NewOrder => self.new_order(&authenticated),
            Resource::Challenge(id) => self.challenge(&authenticated, id),
            Resource::Finalize(id) => self.finalize(&authenticated, id, request.address),
            other => self.signed(&authenticated, other, request).map(Answer::Now),
        }
    }

    /// What needs no signature.
    fn unsigned(&self, request: &Request<'_>, resource: Resource<'_>, issuer: &IssuerContext) -> Result<Reply> {
        match resource {
            Resource::Directory => Ok(directory::show(issuer)),
            Resource::NewNonce => Ok(self.new_nonce(request.method == "HEAD")),
            Resource::RenewalInfo(identifier) => self.renewal_info(issuer, identifier),
            _ => Err(no_such("resource")),
        }
    }

    /// What an account asks for and gets at once.
    fn signed(
        &self,
        authenticated: &Authenticated<'_>,
        resource: Resource<'_>,
        request: &Request<'_>,
    ) -> Result<Reply> {
        match resource {
            Resource::Directory => {
                authenticated.post_as_get()?;
                Ok(directory::show(authenticated.issuer))
            }
            Resource::NewNonce => {
                authenticated.post_as_get()?;
                Ok(Reply::new(200))
            }
            Resource::KeyChange => self.key_change(authenticated, request.address),
            Resource::NewAuthz => self.new_authorization(authenticated),
            Resource::Account(id) => self.account(authenticated, id, request.address),
            Resource::AccountOrders(id) => self.account_orders(authenticated, id, request.query),
            Resource::Order(id) => self.show_order(authenticated, id),
            Resource::Authorization(id) => self.authorization(authenticated, id),
            Resource::Certificate(id) => self.certificate(authenticated, id, 0),
            Resource::AlternateCertificate(id, number) => self.certificate(authenticated, id, number),
            Resource::NewAccount | Resource::RevokeCert | Resource::RenewalInfo(_) => Err(no_such("resource")),
            Resource::NewOrder | Resource::Challenge(_) | Resource::Finalize(_) => Err(no_such("resource")),
        }
    }

    /// RFC 8555, 7.2: 200 to HEAD, 204 to GET.
    fn new_nonce(&self, head: bool) -> Reply {
        Reply::new(if head { 200 } else { 204 })
            .header("Replay-Nonce", self.nonces.issue())
            .header("Cache-Control", "no-store")
    }
}

/// What a browser asks before it lets a page of another origin send a request.
fn preflight(methods: &[&str]) -> Reply {
    Reply::new(204)
        .header("Allow", methods.join(", "))
        .header("Access-Control-Allow-Methods", methods.join(", "))
        .header("Access-Control-Allow-Headers", "Content-Type")
        .header("Access-Control-Max-Age", "86400")
}

fn no_such(what: &str) -> Error {
    Error::not_found(format!("there is no such {what}"))
}
