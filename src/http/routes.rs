//! Which room answers what, by door and path. Everything else is 404.

use super::reply::Answer;
use crate::acme::{Acme, Request as AcmeRequest};
use crate::keys::hex;
use crate::publication::{Publication, Question};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tiny_http::Request;

/// What our front door says of a request, in three words: the secret that shows that it is the door, which door the client
/// came through, and the client's address. The front door takes it away from clients.
pub const HEADER_FROM_DOOR: &str = "X-Certwright";

/// The doors of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// ACME over TLS.
    Tls,
    /// In the clear.
    Plain,
    /// The front door itself, trying out a connection.
    Probe,
}

impl Door {
    /// How it is called in the header.
    pub fn as_str(self) -> &'static str {
        match self {
            Door::Tls => "tls",
            Door::Plain => "plain",
            Door::Probe => "probe",
        }
    }

    fn parse(text: &str) -> Option<Door> {
        [Door::Tls, Door::Plain, Door::Probe].into_iter().find(|d| d.as_str() == text)
    }
}

/// What the workers need.
pub struct Routes {
    acme: Acme,
    publication: Publication,
    secret: String,
    run: String,
    requests: AtomicU64,
    clock: crate::clock::Clock,
}

impl Routes {
    /// Routes to these rooms, for requests that carry the secret. `run` makes request ids differ between starts.
    pub fn new(
        acme: Acme,
        publication: Publication,
        secret: String,
        run: [u8; 4],
        clock: crate::clock::Clock,
    ) -> Arc<Routes> {
        Arc::new(Routes { acme, publication, secret, run: hex(&run), requests: AtomicU64::new(1), clock })
    }

    pub(super) fn answer(&self, request: &Request, body: &[u8]) -> Answer {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let id = format!("{}-{number}", self.run);
        let mut words = header(request, HEADER_FROM_DOOR).unwrap_or_default().split(' ');
        let secret = words.next().unwrap_or_default();
        if !bool::from(subtle::ConstantTimeEq::ct_eq(secret.as_bytes(), self.secret.as_bytes())) {
            return Answer::problem(403, "unauthorized", "this socket is for the front door");
        }
        let door = words.next().and_then(Door::parse);
        let peer = words.next().unwrap_or("-");
        let answer = match door {
            Some(Door::Tls) => self.over_tls(request, body, &id, peer),
            Some(Door::Plain) => self.in_the_clear(request, body, peer),
            Some(Door::Probe) => Answer::new(204),
            None => not_found(),
        };
        log::debug!(
            "request={id} peer={peer} method={} path={} status={}",
            request.method(),
            request.url(),
            answer.status()
        );
        answer.at(self.clock.now())
    }

    fn over_tls(&self, request: &Request, body: &[u8], id: &str, peer: &str) -> Answer {
        let (path, query) = match request.url().split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (request.url(), None),
        };
        if !path.starts_with("/acme/") {
            return not_found();
        }
        let reply = self.acme.answer(&AcmeRequest {
            method: request.method().as_str(),
            path,
            query,
            content_type: header(request, "Content-Type"),
            body,
            address: peer,
            id,
        });
        Answer::from_acme(reply)
    }

    fn in_the_clear(&self, request: &Request, body: &[u8], peer: &str) -> Answer {
        let method = request.method().as_str();
        let is_post = method == "POST" && request.url().starts_with("/ocsp/");
        if !is_post && method != "GET" && method != "HEAD" {
            return Answer::problem(405, "malformed", "only GET and HEAD are answered here, and POST for OCSP")
                .header("Allow", "GET, HEAD");
        }
        let question = Question {
            is_post,
            path: request.url(),
            content_type: header(request, "Content-Type"),
            body,
            address: peer,
        };
        match self.publication.find(&question) {
            Ok(Some(document)) => Answer::from_document(document),
            Ok(None) => Answer::problem(
                404,
                "malformed",
                "there is nothing here; CA certificates are at /ca and /ca/<display-id>.pem, CRLs at /crl/<display-id>",
            ),
            Err(e) => {
                log::log!(e.level(), "path={} {e}", request.url());
                Answer::problem(503, "serverInternal", "this cannot be served at the moment").header("Retry-After", "5")
            }
        }
    }
}

fn not_found() -> Answer {
    Answer::problem(404, "malformed", "there is nothing here; an ACME client is given the URL of an issuer's directory")
}

fn header<'r>(request: &'r Request, name: &'static str) -> Option<&'r str> {
    request.headers().iter().find(|h| h.field.equiv(name)).map(|h| h.value.as_str())
}
