//! What long work shows on a terminal while it lasts: a turning sign, words, seconds, and bytes where they are counted. It goes
//! to standard error; nothing of it into a file or a pipe.

use super::terminal::is_dumb;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a sign stands.
const TURN: Duration = Duration::from_millis(100);

/// The commands that may take seconds or minutes, and what they do meanwhile.
const LONG: [(&str, &str); 6] = [
    ("create-dfc-key", "making the key"),
    ("rotate-key", "making the next key"),
    ("import-signer", "taking over the signer"),
    ("backup", "writing the backup"),
    ("restore", "restoring"),
    ("check", "checking"),
];

/// Shown until it is dropped.
pub(super) struct Progress {
    bytes: Arc<Bytes>,
    shown: Option<(Sender<()>, JoinHandle<()>)>,
}

#[derive(Default)]
struct Bytes {
    done: AtomicU64,
    all: AtomicU64,
}

impl Progress {
    /// The progress of a command; nothing for those that are quick, or where nobody looks.
    pub(super) fn of(command: &str) -> Progress {
        let bytes = Arc::new(Bytes::default());
        let words = LONG.iter().find(|(long, _)| *long == command).map(|(_, words)| *words);
        let words = words.filter(|_| std::io::stderr().is_terminal() && !is_dumb());
        let shown = words.and_then(|words| {
            let (end, ended) = channel();
            let counted = Arc::clone(&bytes);
            let thread = std::thread::Builder::new().name("progress".into());
            Some((end, thread.spawn(move || show(words, &counted, &ended)).ok()?))
        });
        Progress { bytes, shown }
    }

    /// So many bytes of so many are done.
    pub(super) fn count(&self, done: u64, all: u64) {
        self.bytes.all.store(all, Ordering::Relaxed);
        self.bytes.done.store(done, Ordering::Relaxed);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.shown.take() {
            drop(end);
            let _ = thread.join();
        }
    }
}

fn show(words: &str, bytes: &Bytes, ended: &Receiver<()>) {
    let start = Instant::now();
    let mut stderr = std::io::stderr();
    let mut is_over = false;
    for sign in ['|', '/', '-', '\\'].into_iter().cycle() {
        let mut line = format!("{sign} {words}, {} s", start.elapsed().as_secs());
        match bytes.all.load(Ordering::Relaxed) {
            0 => {}
            all => line.push_str(&format!(", {} of {}", mebibytes(bytes.done.load(Ordering::Relaxed)), mebibytes(all))),
        }
        // The cursor waits at the beginning, so that whatever is said meanwhile is written over it.
        let _ = write!(stderr, "\r{line}\x1b[K\r");
        if is_over {
            break;
        }
        // Once more then, for what was done since.
        is_over = ended.recv_timeout(TURN) != Err(RecvTimeoutError::Timeout);
    }
    let _ = write!(stderr, "\r\x1b[K");
}

fn mebibytes(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10).div_ceil(1 << 20);
    format!("{}.{} MiB", tenths.div_euclid(10), tenths.rem_euclid(10))
}
