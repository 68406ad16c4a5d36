//! Which room answers what, by door and path. Everything else is 404.

use super::passage::{Door, Request, Taken};
use super::reply::Answer;
use super::scrape::Scrapes;
use crate::acme::{Acme, Request as AcmeRequest};
use crate::clock::{Clock, Seldom};
use crate::health::Health;
use crate::keys::hex;
use crate::logging::OfRequest;
use crate::metrics::{Resource, answered};
use crate::publication::{Publication, Question};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// What the workers need.
pub struct Routes {
    acme: Arc<Acme>,
    publication: Publication,
    health: Arc<Health>,
    scrapes: Scrapes,
    /// That something public could not be served.
    unserved: Seldom,
    run: String,
    requests: AtomicU64,
    clock: Clock,
}

impl Routes {
    /// Routes to these rooms. `run` makes request ids differ between starts.
    pub fn new(
        acme: Acme,
        publication: Publication,
        health: Arc<Health>,
        scrapes: Scrapes,
        run: [u8; 4],
        clock: Clock,
    ) -> Arc<Routes> {
        let requests = AtomicU64::new(1);
        let unserved = Seldom::default();
        Arc::new(Routes {
            acme: Arc::new(acme),
            publication,
            health,
            scrapes,
            unserved,
            run: hex(&run),
            requests,
            clock,
        })
    }

    /// Answer a request, at once or when what the reply tells of is durable.
    pub(super) fn answer(self: &Arc<Self>, taken: Taken) {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let id: Arc<str> = format!("{}-{number}", self.run).into();
        let _of_request = OfRequest::begin(Some(Arc::clone(&id)));
        let (routes, request, begun) = (Arc::clone(self), taken.request(), Instant::now());
        let tell = move |(resource, answer): (Resource, Answer)| {
            let took = begun.elapsed();
            let asked = taken.request();
            answered(resource, answer.status(), took);
            log::debug!(
                method = asked.method,
                path = asked.target,
                status = answer.status(),
                ms = took.as_millis() as u64,
                address = asked.address;
                "answered"
            );
            taken.answer(answer.at(routes.clock.now()));
        };
        match request.door {
            Door::Tls => self.over_tls(&request, &id, tell),
            Door::Plain => tell(self.in_the_clear(&request)),
            Door::Metrics => tell(self.to_watchers(&request)),
        }
    }

    fn over_tls(&self, request: &Request, id: &str, tell: impl FnOnce((Resource, Answer)) + Send + 'static) {
        let (path, query) = match request.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (request.target.as_str(), None),
        };
        if !path.starts_with("/acme/") {
            return tell((Resource::Other, not_found()));
        }
        let request = AcmeRequest {
            method: &request.method,
            path,
            query,
            content_type: request.content_type.as_deref(),
            body: &request.body,
            address: &request.address,
            id,
        };
        self.acme.answer(&request, move |reply| tell((reply.resource, Answer::from_acme(reply))));
    }

    fn in_the_clear(&self, request: &Request) -> (Resource, Answer) {
        let path = request.target.as_str();
        let resource = match path.split('/').nth(1) {
            Some("ca") => Resource::CaCertificate,
            Some("crl") => Resource::Crl,
            Some("ocsp") => Resource::Ocsp,
            Some("healthz") if path == "/healthz" => Resource::Health,
            _ => Resource::Other,
        };
        let method = request.method.as_str();
        let is_post = method == "POST" && resource == Resource::Ocsp;
        if !is_post && method != "GET" && method != "HEAD" {
            let refused = Answer::problem(405, "malformed", "only GET and HEAD are answered here, and POST for OCSP");
            return (resource, refused.header("Allow", "GET, HEAD"));
        }
        if resource == Resource::Health {
            return (resource, self.say_how_it_is());
        }
        let question = Question {
            is_post,
            path,
            content_type: request.content_type.as_deref(),
            body: &request.body,
            address: &request.address,
        };
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
        if request.target.split('?').next() != Some("/metrics") {
            return (Resource::Other, Answer::problem(404, "malformed", "there is nothing here but /metrics"));
        }
        let answer = match request.method.as_str() {
            "GET" | "HEAD" => Answer::text(200, "text/plain; version=0.0.4; charset=utf-8", &self.scrapes.text()),
            _ => Answer::problem(405, "malformed", "only GET and HEAD are answered here").header("Allow", "GET, HEAD"),
        };
        (Resource::Metrics, answer)
    }
}

fn not_found() -> Answer {
    Answer::problem(404, "malformed", "there is nothing here; an ACME client is given the URL of an issuer's directory")
}
