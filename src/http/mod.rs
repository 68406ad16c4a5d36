//! The HTTP application: tiny_http on a Unix socket that only the front door connects to, a fixed pool of workers, exact
//! routes. Each reply is one buffer, written once.

mod reply;
mod routes;

pub use reply::http_date;
pub use routes::{Door, HEADER_FROM_DOOR, Routes};

use crate::error::{Error, Result};
use reply::Answer;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use tiny_http::{Method, Request, Server};

/// Bodies are no longer than the front door lets through.
const LARGEST_BODY: u64 = 128 * 1024;

/// The workers and their socket.
pub struct HttpServer {
    server: Arc<Server>,
    workers: Vec<JoinHandle<()>>,
    socket: PathBuf,
}

impl HttpServer {
    /// Listen at a path in a directory that only the daemon can enter; an old socket file there is removed, so the state
    /// lock must be held.
    ///
    /// # Errors
    /// Unavailable when the socket or the threads cannot be made.
    pub fn start(socket: &Path, workers: usize, routes: Arc<Routes>) -> Result<HttpServer> {
        let failed =
            |e: &dyn std::fmt::Display| Error::unavailable(format!("{} cannot be listened on: {e}", socket.display()));
        let _ = std::fs::remove_file(socket);
        let listener = UnixListener::bind(socket).map_err(|e| failed(&e))?;
        let server = Arc::new(Server::from_listener(listener, None).map_err(|e| failed(&e))?);
        let workers = (0..workers)
            .map(|number| {
                let (server, routes) = (Arc::clone(&server), Arc::clone(&routes));
                let work = move || {
                    while let Ok(request) = server.recv() {
                        serve(&routes, request);
                    }
                };
                std::thread::Builder::new().name(format!("worker-{number}")).spawn(work).map_err(|e| failed(&e))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(HttpServer { server, workers, socket: socket.to_owned() })
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        for _ in &self.workers {
            self.server.unblock();
        }
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// Answer one request; a panic costs this request only.
fn serve(routes: &Routes, mut request: Request) {
    let head_only = *request.method() == Method::Head;
    let answer = answer_whatever_happens(&mut request, |request| answer(routes, request));
    let bytes = answer.into_bytes(head_only);
    // tiny_http would send long replies chunked, so the reply is written past it.
    let mut writer = request.into_writer();
    if let Err(e) = writer.write_all(&bytes).and_then(|()| writer.flush()) {
        log::debug!("a reply could not be handed to the front door: {e}");
    }
}

fn answer_whatever_happens(request: &mut Request, answer: impl FnOnce(&mut Request) -> Answer) -> Answer {
    catch_unwind(AssertUnwindSafe(|| answer(request))).unwrap_or_else(|_| {
        log::error!("a request panicked: {} {}", request.method(), request.url());
        Answer::problem(500, "serverInternal", "the server met a fault; its log tells more")
    })
}

fn answer(routes: &Routes, request: &mut Request) -> Answer {
    // As large as the door says, which has the whole body.
    let mut body =
        Vec::with_capacity(request.body_length().unwrap_or_default().min(LARGEST_BODY as usize).saturating_add(1));
    if request.as_reader().take(LARGEST_BODY + 1).read_to_end(&mut body).is_err() || body.len() as u64 > LARGEST_BODY {
        return Answer::problem(413, "malformed", "the body is larger than 128 KiB");
    }
    routes.answer(request, &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_costs_its_request_only() {
        let mut request = Request::from(tiny_http::TestRequest::new());
        let answer = answer_whatever_happens(&mut request, |_| panic!("on purpose"));
        let text = String::from_utf8(answer.into_bytes(false)).unwrap();
        assert!(text.starts_with("HTTP/1.1 500 ") && text.contains("serverInternal"), "{text}");
        assert!(!text.contains("on purpose"), "what went wrong is the log's: {text}");
    }
}
