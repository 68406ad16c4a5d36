//! The front door: the only code that meets the network. It accepts, speaks TLS, reads heads and bodies within limits and
//! deadlines, and hands on only whole, well-formed requests, in memory, with a word over a Unix socket to tiny_http where its
//! workers sleep, which by itself has no deadline, no limit on heads or threads, and frames odd requests wrongly.
//!
//! One thread, one event loop, in which addresses take turns. A connection that waits owns no buffer beyond rustls's own.

mod backend;
mod body;
mod clients;
mod connection;
mod event_loop;
mod head;
mod known;
mod listen;
mod pace;
mod peers;
mod proxies;
mod refusal;
mod stream;
mod tls;
mod turns;
mod waiting;

pub use event_loop::LoopTurns;
pub use listen::{Listener, listen, raise_descriptor_limit};

use crate::error::{Error, Result};
use crate::http::{Door, Passage, Renewal};
use crate::identifier::Network;
use crate::issuance::Issuance;
use event_loop::EventLoop;
use mio::Waker;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// What the door needs to know.
pub struct FrontSettings {
    /// tiny_http's socket.
    pub application: PathBuf,
    /// How many connections to keep to it; as many as there are workers.
    pub connections: usize,
    /// By which requests go and replies come.
    pub passage: Arc<Passage>,
    /// What to do when it accepts no connection any more.
    pub renewal: Renewal,
    /// The largest number of clients at a time.
    pub most_clients: usize,
    /// Where the proxies are by which ACME clients come, and then in the clear; none where these come by themselves.
    pub behind_proxy: Vec<Network>,
}

/// The running door.
pub struct Front {
    stopping: Arc<AtomicBool>,
    waker: Arc<Waker>,
    ready: Receiver<()>,
    turns: LoopTurns,
    thread: Option<JoinHandle<()>>,
}

impl Front {
    /// Open the doors.
    ///
    /// # Errors
    /// Unavailable when the event loop cannot be set up.
    pub fn start(listeners: Vec<(Door, Listener)>, issuance: Arc<Issuance>, settings: FrontSettings) -> Result<Front> {
        let failed = |e: std::io::Error| Error::unavailable(format!("the front door cannot be opened: {e}"));
        let stopping = Arc::new(AtomicBool::new(false));
        let (tell_ready, ready) = sync_channel(1);
        let tls_configs = tls::TlsConfigs::new(issuance)?;
        let event_loop =
            EventLoop::new(listeners, tls_configs, settings, Arc::clone(&stopping), tell_ready).map_err(failed)?;
        let (waker, turns) = (event_loop.waker(), event_loop.turns());
        let thread =
            std::thread::Builder::new().name("front".into()).spawn(move || event_loop.run()).map_err(failed)?;
        Ok(Front { stopping, waker, ready, turns, thread: Some(thread) })
    }

    /// Wait until all workers answer.
    ///
    /// # Errors
    /// Unavailable when that takes too long.
    pub fn wait_until_ready(&self) -> Result<()> {
        self.ready.recv_timeout(Duration::from_secs(10)).map_err(|_| {
            Error::unavailable(
                "the HTTP workers do not all answer, most likely for want of threads; raise the limit (TasksMax=, \
                     ulimit -u), or start with fewer --workers",
            )
        })
    }

    /// A count of the turns of its event loop.
    pub fn turns(&self) -> LoopTurns {
        self.turns.clone()
    }

    /// Accept nobody any more and finish what runs, within a few seconds.
    pub fn stop(mut self) {
        self.finish();
    }

    fn finish(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        let _ = self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Read a request's head from foreign bytes, for fuzzing.
#[cfg(fuzzing)]
pub fn fuzz_head(bytes: &[u8]) {
    if let Ok(Some((head, _))) = head::HeadScanner::default().scan(bytes) {
        let everybody = ["0.0.0.0/0", "::/0"].iter().filter_map(|text| Network::parse(text).ok()).collect();
        let _ = proxies::Proxies::new(everybody).client([127, 0, 0, 1].into(), &head.hops);
    }
}

/// Read a chunked body from foreign bytes, for fuzzing.
#[cfg(fuzzing)]
pub fn fuzz_body(bytes: &[u8]) {
    let mut reader = body::BodyReader::new(head::Framing::Chunked);
    let _ = reader.take(bytes);
}
