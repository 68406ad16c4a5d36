//! How the disk does. That it takes nothing is said once when it begins and once when it is over, not for everybody who meets
//! it; while each commit takes long, not everybody may wait for one, so that somebody is left to answer who only reads.

use crate::clock::Seldom;
use crate::error::{Error, Result};
use crate::metrics;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A commit that takes this long is slow.
const SLOW: Duration = Duration::from_secs(1);
/// SQLite writes this much before it brings the WAL back into the database.
const FEWEST_BYTES: u64 = 4 << 20;

/// Below this much free space, or this share of it, a disk is low.
const LOW_BYTES: u64 = 256 << 20;
const LOW_SHARE: u64 = 20;

/// What is left of a disk, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What may still be written.
    pub free: u64,
    /// All of it.
    pub all: u64,
}

impl Space {
    /// Of the disk where this path lies, where the system tells.
    pub fn at(path: &Path) -> Option<Space> {
        let found = rustix::fs::statvfs(path).ok()?;
        Some(Space {
            free: found.f_bavail.saturating_mul(found.f_frsize),
            all: found.f_blocks.saturating_mul(found.f_frsize),
        })
    }

    /// Whether an administrator should hear of it.
    pub fn is_low(&self) -> bool {
        self.free < LOW_BYTES.min(self.all / LOW_SHARE)
    }

    /// Whether there is no room for a few more commits.
    pub fn is_over(&self) -> bool {
        self.free < FEWEST_BYTES
    }
}

pub(super) struct Disk {
    most_waiting: AtomicUsize,
    state: Mutex<State>,
    failing: Seldom,
    slow: Seldom,
}

#[derive(Default)]
struct State {
    /// When the commit that runs now began, and how many changes are in it.
    running: Option<(Instant, usize)>,
    was_slow: bool,
    /// Changes that were not kept since one last was.
    failed: usize,
    /// Whether that was told of.
    is_told: bool,
}

impl Default for Disk {
    fn default() -> Disk {
        Disk {
            most_waiting: AtomicUsize::new(usize::MAX),
            state: Mutex::default(),
            failing: Seldom::default(),
            slow: Seldom::default(),
        }
    }
}

impl Disk {
    /// Let no more than so many wait for a disk that is slow.
    pub(super) fn bound_waiting(&self, count: usize) {
        self.most_waiting.store(count, Ordering::Relaxed);
    }

    /// Whether somebody may wait for a commit, behind `queued` others.
    ///
    /// # Errors
    /// Unavailable when the disk is slow and enough wait for it.
    pub(super) fn check_may_wait(&self, queued: usize) -> Result<()> {
        let most = self.most_waiting.load(Ordering::Relaxed);
        let state = self.state();
        let (lasts, running) = state.running.map_or((Duration::ZERO, 0), |(begun, count)| (begun.elapsed(), count));
        if (state.was_slow || lasts >= SLOW) && queued.saturating_add(running) >= most {
            return Err(Error::unavailable("the disk is slow, and enough wait for it already").told());
        }
        Ok(())
    }

    /// Whether the last commit failed.
    pub(super) fn is_failing(&self) -> bool {
        self.state().failed > 0
    }

    /// A commit of so many changes begins.
    pub(super) fn begin(&self, count: usize) {
        self.state().running = Some((Instant::now(), count));
    }

    /// The commit ended, this way. What it says to the log nobody else has to say.
    pub(super) fn end(&self, outcome: Result<()>) -> Result<()> {
        let mut state = self.state();
        let (begun, count) = state.running.take().unwrap_or((Instant::now(), 0));
        let took = begun.elapsed();
        state.was_slow = took >= SLOW;
        metrics::COMMITS.took(took);
        metrics::COMMIT_SIZES.observe(u64::try_from(count).unwrap_or(u64::MAX), &metrics::SIZES);
        if state.was_slow && self.slow.is_due() {
            log::warn!(
                ms = took.as_millis() as u64;
                "a commit took long: the disk is slow, and so is everything that waits for it"
            );
        }
        match outcome {
            Ok(()) => {
                if std::mem::take(&mut state.is_told) {
                    log::info!(failed = state.failed; "changes are kept again, after some that were not");
                }
                state.failed = 0;
                Ok(())
            }
            Err(e) => {
                // A commit without a change is none, so that this is never left at zero.
                state.failed = state.failed.saturating_add(count.max(1));
                metrics::COMMITS_FAILED.count();
                if self.failing.is_due() {
                    state.is_told = true;
                    log::error!(failed = state.failed, error:% = e; "changes are refused until this is over");
                }
                Err(e.told())
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> Result<()> {
        Err(Error::unavailable("no space"))
    }

    #[test]
    fn a_trouble_is_told_once_and_whoever_meets_it_knows() {
        let disk = Disk::default();
        for count in 1..=3 {
            disk.begin(1);
            assert_eq!(disk.end(failed()).map_err(|e| e.level()), Err(log::Level::Debug));
            let state = disk.state();
            assert_eq!((state.failed, state.is_told), (count, true));
        }
        disk.begin(1);
        disk.end(Ok(())).unwrap();
        disk.begin(1);
        let _ = disk.end(failed());
        assert!(!disk.state().is_told, "one that comes and goes fills no log, nor does its end");
    }

    #[test]
    fn only_a_slow_disk_is_waited_for_by_a_few() {
        let disk = Disk::default();
        disk.bound_waiting(2);
        assert!(disk.check_may_wait(100).is_ok(), "a disk that is quick may be waited for by all");
        disk.state().running = Instant::now().checked_sub(SLOW).map(|begun| (begun, 1));
        assert!(disk.check_may_wait(0).is_ok());
        assert!(disk.check_may_wait(1).is_err(), "one that runs and one that waits are two");
        disk.end(Ok(())).unwrap();
        disk.begin(2);
        assert!(disk.check_may_wait(0).is_err(), "the last one was slow");
        disk.end(Ok(())).unwrap();
        assert!(disk.check_may_wait(100).is_ok());
    }
}
