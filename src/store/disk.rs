//! How the disk does. That it takes nothing is said once when it begins and once when it is over, not for everybody who meets
//! it; while each commit takes long, not everybody may wait for one, so that somebody is left to answer who only reads.

use crate::error::{Error, Result};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A commit that takes this long is slow.
const SLOW: Duration = Duration::from_secs(1);
/// A trouble that comes and goes is told of once in this time.
const BETWEEN_LINES: Duration = Duration::from_secs(60);

pub(super) struct Disk {
    most_waiting: AtomicUsize,
    state: Mutex<State>,
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
    told_failing: Option<Instant>,
    told_slow: Option<Instant>,
}

impl Default for Disk {
    fn default() -> Disk {
        Disk { most_waiting: AtomicUsize::new(usize::MAX), state: Mutex::default() }
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
        if state.was_slow && is_over(state.told_slow) {
            state.told_slow = Some(Instant::now());
            log::warn!(
                "a commit took {:.1} s: the disk is slow, and so is everything that waits for it",
                took.as_secs_f32()
            );
        }
        match outcome {
            Ok(()) => {
                if std::mem::take(&mut state.is_told) {
                    log::info!("changes are kept again, after {} that were not", state.failed);
                }
                state.failed = 0;
                Ok(())
            }
            Err(e) => {
                state.failed = state.failed.saturating_add(count);
                if is_over(state.told_failing) {
                    state.told_failing = Some(Instant::now());
                    state.is_told = true;
                    log::error!("{} changes were refused, and more will be until this is over: {e}", state.failed);
                }
                Err(e.told())
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether it is time for another line.
fn is_over(last: Option<Instant>) -> bool {
    last.is_none_or(|last| last.elapsed() >= BETWEEN_LINES)
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
        let told = disk.state().told_failing;
        disk.begin(1);
        disk.end(Ok(())).unwrap();
        disk.begin(1);
        let _ = disk.end(failed());
        assert_eq!(disk.state().told_failing, told, "one that comes and goes fills no log");
        assert!(!disk.state().is_told, "nor does its end");
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
