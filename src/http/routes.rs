//! Which room answers what, by door and path. Everything else is 404.

use super::replies::ClientId;
use super::reply::Answer;
use super::scrape::Scrapes;
use crate::acme::{Acme, Request as AcmeRequest};
use crate::clock::{Clock, Seldom};
use crate::health::Health;
use crate::keys::hex;
use crate::logging::OfRequest;
use crate::metrics::{Listener, Resource, answered};
use crate::publication::{Publication, Question};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tiny_http::Request;

/// What the daemon says of a request that it passes on: the secret that shows that it is the daemon, which door the client came
/// through, the client's address and place there, and the media type of the body, if it has one. The front door takes it away
/// from clients.
pub const HEADER_FROM_DOOR: &str = "X-Certwright";

/// The doors of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// ACME over TLS.
    Tls,
    /// In the clear.
    Plain,
    /// For who watches the daemon.
    Metrics,
    /// The daemon itself, trying out a connection.
    Probe,
}

impl Door {
    /// How it is called in the header.
    pub fn as_str(self) -> &'static str {
        match self {
            Door::Tls => "tls",
            Door::Plain => "plain",
            Door::Metrics => "metrics",
            Door::Probe => "probe",
        }
    }

    /// The listener whose clients come this way; nobody comes by the probe's.
    pub fn listener(self) -> Option<Listener> {
        match self {
            Door::Tls => Some(Listener::Acme),
            Door::Plain => Some(Listener::Plain),
            Door::Metrics => Some(Listener::Metrics),
            Door::Probe => None,
        }
    }

    fn parse(text: &str) -> Option<Door> {
        [Door::Tls, Door::Plain, Door::Metrics, Door::Probe].into_iter().find(|d| d.as_str() == text)
    }
}

/// What the front door says of a request.
struct Said<'r> {
    door: Option<Door>,
    peer: &'r str,
    /// None for a probe.
    client: Option<ClientId>,
    content_type: Option<&'r str>,
}

/// What the workers need.
pub struct Routes {
    acme: Acme,
    publication: Publication,
    health: Arc<Health>,
    scrapes: Scrapes,
    /// That something public could not be served.
    unserved: Seldom,
    secret: String,
    run: String,
    requests: AtomicU64,
    clock: Clock,
}

impl Routes {
    /// Routes to these rooms, for requests that carry the secret. `run` makes request ids differ between starts.
    pub fn new(
        acme: Acme,
        publication: Publication,
        health: Arc<Health>,
        scrapes: Scrapes,
        secret: String,
        run: [u8; 4],
        clock: Clock,
    ) -> Arc<Routes> {
        let requests = AtomicU64::new(1);
        let unserved = Seldom::default();
        Arc::new(Routes { acme, publication, health, scrapes, unserved, secret, run: hex(&run), requests, clock })
    }

    pub(super) fn answer(&self, request: &Request, body: &[u8]) -> Answer {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let id = format!("{}-{number}", self.run);
        let Some(said) = self.said(request) else {
            return Answer::problem(403, "unauthorized", "this socket is for the front door");
        };
        let of_request = OfRequest::begin(&id);
        let begun = Instant::now();
        let (resource, answer) = match said.door {
            Some(Door::Tls) => self.over_tls(request, &said, body, &id),
            Some(Door::Plain) => self.in_the_clear(request, &said, body),
            Some(Door::Metrics) => self.to_watchers(request),
            Some(Door::Probe) => (Resource::Other, Answer::new(204)),
            None => (Resource::Other, not_found()),
        };
        let took = begun.elapsed();
        if said.door != Some(Door::Probe) {
            answered(resource, answer.status(), took);
            log::debug!(
                method = request.method().as_str(),
                path = request.url(),
                status = answer.status(),
                ms = took.as_millis() as u64,
                address = said.peer;
                "answered"
            );
        }
        drop(of_request);
        answer.at(self.clock.now())
    }

    /// Whose request it is, if the front door says so.
    pub(super) fn client(&self, request: &Request) -> Option<ClientId> {
        self.said(request)?.client
    }

    /// What the front door says of a request; nothing from anybody else.
    fn said<'r>(&self, request: &'r Request) -> Option<Said<'r>> {
        let field = request.headers().iter().find(|h| h.field.equiv(HEADER_FROM_DOOR))?;
        let mut words = field.value.as_str().splitn(5, ' ');
        let secret = words.next().unwrap_or_default();
        let is_ours: bool = subtle::ConstantTimeEq::ct_eq(secret.as_bytes(), self.secret.as_bytes()).into();
        is_ours.then(|| Said {
            door: words.next().and_then(Door::parse),
            peer: words.next().unwrap_or("-"),
            client: words.next().and_then(ClientId::parse),
            content_type: words.next().filter(|said| !said.is_empty()),
        })
    }

    fn over_tls(&self, request: &Request, said: &Said<'_>, body: &[u8], id: &str) -> (Resource, Answer) {
        let (path, query) = match request.url().split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (request.url(), None),
        };
        if !path.starts_with("/acme/") {
            return (Resource::Other, not_found());
        }
        let reply = self.acme.answer(&AcmeRequest {
            method: request.method().as_str(),
            path,
            query,
            content_type: said.content_type,
            body,
            address: said.peer,
            id,
        });
        (reply.resource, Answer::from_acme(reply))
    }

    fn in_the_clear(&self, request: &Request, said: &Said<'_>, body: &[u8]) -> (Resource, Answer) {
        let path = request.url();
        let resource = match path.split('/').nth(1) {
            Some("ca") => Resource::CaCertificate,
            Some("crl") => Resource::Crl,
            Some("ocsp") => Resource::Ocsp,
            Some("healthz") if path == "/healthz" => Resource::Health,
            _ => Resource::Other,
        };
        let method = request.method().as_str();
        let is_post = method == "POST" && resource == Resource::Ocsp;
        if !is_post && method != "GET" && method != "HEAD" {
            let refused = Answer::problem(405, "malformed", "only GET and HEAD are answered here, and POST for OCSP");
            return (resource, refused.header("Allow", "GET, HEAD"));
        }
        if resource == Resource::Health {
            return (resource, self.say_how_it_is());
        }
        let question = Question { is_post, path, content_type: said.content_type, body, address: said.peer };
        let answer = match self.publication.find(&question) {
            Ok(Some(document)) => Answer::from_document(document),
            Ok(None) => Answer::problem(
                404,
                "malformed",
                "there is nothing here; CA certificates are at /ca and /ca/<display-id>.pem, CRLs at /crl/<display-id>",
            ),
            Err(e) => {
                let level = if self.unserved.is_due() { e.level() } else { log::Level::Debug };
                log::log!(level, path, error:% = e; "what is public could not be served");
                Answer::problem(503, "serverInternal", "this cannot be served at the moment").header("Retry-After", "5")
            }
        };
        (resource, answer)
    }

    /// For balancers and people who are woken. Why it is not well is the administrator's business.
    fn say_how_it_is(&self) -> Answer {
        match self.health.is_well() {
            true => Answer::text(200, "text/plain", "ok\n"),
            false => Answer::text(503, "text/plain", "not well\n").header("Retry-After", "5"),
        }
    }

    fn to_watchers(&self, request: &Request) -> (Resource, Answer) {
        if request.url().split('?').next() != Some("/metrics") {
            return (Resource::Other, Answer::problem(404, "malformed", "there is nothing here but /metrics"));
        }
        let answer = match request.method().as_str() {
            "GET" | "HEAD" => Answer::text(200, "text/plain; version=0.0.4; charset=utf-8", &self.scrapes.text()),
            _ => Answer::problem(405, "malformed", "only GET and HEAD are answered here").header("Allow", "GET, HEAD"),
        };
        (Resource::Metrics, answer)
    }
}

fn not_found() -> Answer {
    Answer::problem(404, "malformed", "there is nothing here; an ACME client is given the URL of an issuer's directory")
}
