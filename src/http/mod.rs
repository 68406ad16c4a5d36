//! The HTTP application: tiny_http on a Unix socket that only this daemon connects to, a fixed pool of workers, exact
//! routes. Requests and replies pass between the front door and the workers in memory.

mod passage;
mod probe;
mod queue;
mod reply;
mod routes;
mod scrape;

pub use passage::{Door, Passage, Reply, Request, Ticket};
pub use probe::Probe;
pub use queue::PATIENCE;
pub use reply::http_date;
pub use routes::Routes;
pub use scrape::Scrapes;

use crate::absence::{self, Watch};
use crate::error::{Error, Result};
use passage::Errand;
use reply::Answer;
use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tiny_http::Server;

/// A bound for a function that needs one; nothing is missed meanwhile.
const FOR_EVER: Duration = Duration::from_secs(3600);
/// How long a worker whose server has ended waits before it looks for another.
const BETWEEN_SERVERS: Duration = Duration::from_millis(20);

/// The workers and their socket.
pub struct HttpServer {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

/// tiny_http stops accepting for good when it cannot once, for want of a descriptor or a thread: this begins anew.
#[derive(Clone)]
pub struct Renewal(Arc<Shared>);

struct Shared {
    socket: PathBuf,
    workers: usize,
    /// None once the end has come.
    server: Mutex<Option<Arc<Server>>>,
    generation: AtomicU64,
}

impl HttpServer {
    /// Listen at a path in a directory that only the daemon can enter; an old socket file there is removed, so the state
    /// lock must be held.
    ///
    /// # Errors
    /// Unavailable when the socket or the threads cannot be made.
    pub fn start(socket: &Path, workers: usize, routes: Arc<Routes>, passage: &Arc<Passage>) -> Result<HttpServer> {
        let (server, generation) = (Mutex::new(None), AtomicU64::new(0));
        let shared = Arc::new(Shared { socket: socket.to_owned(), workers, server, generation });
        *shared.server() = Some(shared.listen()?);
        let mut started = HttpServer { shared, workers: Vec::with_capacity(workers) };
        for number in 0..workers {
            let (shared, routes, passage) = (Arc::clone(&started.shared), Arc::clone(&routes), Arc::clone(passage));
            let work = move || {
                absence::watch(Rc::new(Absences { shared: Arc::clone(&shared), passage: Arc::clone(&passage) }));
                passage.sleeps();
                while let Some(server) = shared.current() {
                    let word = server.recv_timeout(FOR_EVER);
                    match word.map(|word| word.is_none_or(|word| is_to_take(&passage, word))) {
                        // Or another worker is about to wait (`unblock`), or there is another server.
                        Ok(true) => take_all(&routes, &passage, &server),
                        Ok(false) => {}
                        // This server has ended; there is or will be another, or the end has come.
                        Err(_) => std::thread::sleep(BETWEEN_SERVERS),
                    }
                }
            };
            let thread = std::thread::Builder::new().name(format!("worker-{number}")).spawn(work);
            started.workers.push(thread.map_err(|e| started.shared.failed(&e))?);
        }
        Ok(started)
    }

    /// How to begin anew.
    pub fn renewal(&self) -> Renewal {
        Renewal(Arc::clone(&self.shared))
    }
}

impl Renewal {
    /// Listen at the same path with a new server. Connections to the old one are of no use any more.
    ///
    /// # Errors
    /// Unavailable when there still is no room for it.
    pub fn renew(&self) -> Result<()> {
        let fresh = self.0.listen()?;
        let old = self.0.server().replace(fresh);
        if let Some(old) = old {
            self.0.release(&old);
        }
        Ok(())
    }
}

impl Shared {
    fn server(&self) -> MutexGuard<'_, Option<Arc<Server>>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> Option<Arc<Server>> {
        self.server().clone()
    }

    /// Whoever waits for a request of this server waits no more.
    fn release(&self, server: &Server) {
        for _ in 0..self.workers {
            server.unblock();
        }
    }

    /// A server whose socket gets its name last: tiny_http removes at its end what stands at the name that it was made with.
    fn listen(&self) -> Result<Arc<Server>> {
        let own = self.socket.with_extension(self.generation.fetch_add(1, Ordering::Relaxed).to_string());
        let _ = std::fs::remove_file(&own);
        let listener = UnixListener::bind(&own).map_err(|e| self.failed(&e))?;
        // It panics when there is no thread for it.
        let made = catch_unwind(|| Server::from_listener(listener, None));
        let server = made.map_err(|_| self.failed(&"there is no thread for it"))?.map_err(|e| self.failed(&e))?;
        std::fs::rename(&own, &self.socket).map_err(|e| self.failed(&e))?;
        Ok(Arc::new(server))
    }

    fn failed(&self, why: &dyn std::fmt::Display) -> Error {
        Error::unavailable(format!("{} cannot be listened on: {why}", self.socket.display()))
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        let last = self.shared.server().take();
        if let Some(server) = &last {
            self.shared.release(server);
        }
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
        drop(last);
        // Wakes the thread that waits in accept.
        drop(UnixStream::connect(&self.shared.socket));
        let _ = std::fs::remove_file(&self.shared.socket);
    }
}

/// What becomes of the absences of a worker.
struct Absences {
    shared: Arc<Shared>,
    passage: Arc<Passage>,
}

impl Watch for Absences {
    fn leaves(&self) {
        if self.passage.leaves()
            && let Some(server) = self.shared.current()
        {
            // Wakes one of the others.
            server.unblock();
        }
    }

    fn is_back(&self) {
        self.passage.is_back();
    }
}

/// Whether a word that tiny_http has read is to take what waits; any other is answered.
fn is_to_take(passage: &Passage, word: tiny_http::Request) -> bool {
    let errand = passage.errand(word.url());
    // tiny_http would answer by itself where nobody has taken this.
    let mut writer = word.into_writer();
    let answer = match errand {
        Some(Errand::Take) => return true,
        Some(Errand::Probe) => Answer::new(204),
        None => Answer::problem(403, "unauthorized", "this socket is for the front door"),
    };
    // Whoever tries out a connection waits for its answer there.
    if let Err(e) = writer.write_all(&answer.into_reply(false).bytes).and_then(|()| writer.flush()) {
        log::debug!(error:% = e; "a reply could not be handed on");
    }
    false
}

fn take_all(routes: &Arc<Routes>, passage: &Arc<Passage>, server: &Server) {
    let answer = |taken| whatever_happens(|| routes.answer(taken));
    let listen = || {
        while let Ok(Some(word)) = server.try_recv() {
            if is_to_take(passage, word) {
                passage.hears();
            }
        }
    };
    passage.take_all(answer, listen);
}

/// A panic costs its request only, which hears of it.
fn whatever_happens(answer: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(answer));
}

#[cfg(test)]
mod tests {
    use super::passage::Taken;
    use super::*;

    #[test]
    fn a_panic_costs_its_request_only_whose_client_hears_of_it() {
        let passage = Arc::new(Passage::new("secret".into()));
        let [address, method, target] = ["192.0.2.1", "GET", "/"].map(str::to_owned);
        let request = Request { door: Door::Plain, address, method, target, content_type: None, body: Vec::new() };
        let (ticket, _) = passage.hand_over(request);
        let answer = |taken| {
            whatever_happens(|| {
                let _taken: Taken = taken;
                panic!("on purpose");
            })
        };
        passage.take_all(answer, || ());
        let replies = passage.take_replies();
        let [(number, reply)] = replies.as_slice() else { panic!("one reply to one request") };
        let text = str::from_utf8(&reply.bytes).unwrap();
        assert_eq!(*number, ticket.number());
        assert!(text.starts_with("HTTP/1.1 500 ") && text.contains("serverInternal"), "{text}");
        assert!(!text.contains("on purpose"), "what went wrong is the log's: {text}");
    }
}
