//! What long work shows on a terminal while it lasts: a turning sign, words, seconds, and bytes where they are counted. It goes
//! to standard error; nothing of it into a file or a pipe.

use super::terminal::is_dumb;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    work: Arc<Work>,
    thread: Option<JoinHandle<()>>,
}

/// How far it is.
#[derive(Default)]
struct Work {
    done: AtomicU64,
    all: AtomicU64,
    is_over: AtomicBool,
}

impl Progress {
    /// The progress of a command; nothing for those that are quick, or where nobody looks.
    pub(super) fn of(command: &str) -> Progress {
        let work = Arc::new(Work::default());
        let words = LONG.iter().find(|(long, _)| *long == command).map(|(_, words)| *words);
        let words = words.filter(|_| std::io::stderr().is_terminal() && !is_dumb());
        let thread = words.and_then(|words| {
            let work = Arc::clone(&work);
            std::thread::Builder::new().name("progress".into()).spawn(move || show(words, &work)).ok()
        });
        Progress { work, thread }
    }

    /// So many bytes of so many are done.
    pub(super) fn count(&self, done: u64, all: u64) {
        self.work.all.store(all, Ordering::Relaxed);
        self.work.done.store(done, Ordering::Relaxed);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.work.is_over.store(true, Ordering::Release);
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn show(words: &str, work: &Work) {
    let start = Instant::now();
    let mut stderr = std::io::stderr();
    for sign in ['|', '/', '-', '\\'].into_iter().cycle() {
        // One more turn when it is over, for what was done since.
        let is_over = work.is_over.load(Ordering::Acquire);
        let mut line = format!("{sign} {words}, {} s", start.elapsed().as_secs());
        match work.all.load(Ordering::Relaxed) {
            0 => {}
            all => line.push_str(&format!(", {} of {}", mebibytes(work.done.load(Ordering::Relaxed)), mebibytes(all))),
        }
        // The cursor waits at the beginning, so that whatever is said meanwhile is written over it.
        let _ = write!(stderr, "\r{line}\x1b[K\r");
        if is_over {
            break;
        }
        std::thread::park_timeout(TURN);
    }
    let _ = write!(stderr, "\r\x1b[K");
}

fn mebibytes(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10).div_ceil(1 << 20);
    format!("{}.{} MiB", tenths.div_euclid(10), tenths.rem_euclid(10))
}
