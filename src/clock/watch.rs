//! Whether the clock may be believed: it is watched against a mark, the last moment at which it was. A clock that stands
//! before the mark, or long after it while nobody vouches for it, is wrong; nothing is signed by it until it is right again
//! or an administrator accepts it.

use super::{Span, Time};
use crate::error::{Error, Result};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// Clocks that are kept by the network step back by seconds.
const BEFORE: Span = Span(300);
/// Longer than a machine is switched off between two uses.
const AFTER: Span = Span::days(90);
const NONE: i64 = i64::MIN;

pub(super) struct Watch {
    mark: AtomicI64,
    /// Whether the clock is known to be kept by the network.
    synchronised: AtomicBool,
    /// Whether the log was told that it is wrong.
    is_told: AtomicBool,
}

impl Watch {
    pub(super) fn new(synchronised: bool) -> Watch {
        Watch {
            mark: AtomicI64::new(NONE),
            synchronised: AtomicBool::new(synchronised),
            is_told: AtomicBool::new(false),
        }
    }

    pub(super) fn mark(&self) -> Option<Time> {
        Some(self.mark.load(Ordering::SeqCst)).filter(|mark| *mark != NONE).map(Time)
    }

    pub(super) fn set_mark(&self, mark: Time) {
        self.mark.store(mark.0, Ordering::SeqCst);
    }

    pub(super) fn set_synchronised(&self, synchronised: bool) {
        self.synchronised.store(synchronised, Ordering::SeqCst);
    }

    /// The time, which is the new mark, unless it is not to be believed.
    pub(super) fn judge(&self, now: Time) -> Result<Time> {
        if let Some(mark) = self.mark() {
            let wrong = |how: &str| {
                Error::unavailable(format!(
                    "the clock says {now}, {how} {mark}, when it was last known to be right, so nothing is signed; set the \
                     clock, or run certwright accept-clock if it is right"
                ))
            };
            if now.plus(BEFORE) < mark {
                return Err(wrong("which is before"));
            }
            if is_far_ahead(now, mark) && !self.synchronised.load(Ordering::SeqCst) {
                return Err(wrong("more than 90 days after"));
            }
        }
        self.mark.fetch_max(now.0, Ordering::SeqCst);
        Ok(now)
    }

    /// The same, asking the system whether it vouches for a clock that is far ahead, and telling the log of every change.
    pub(super) fn look(&self, now: Time, asks_system: bool) -> Result<Time> {
        if asks_system {
            let is_far = self.mark().is_some_and(|mark| is_far_ahead(now, mark));
            self.set_synchronised(is_far && is_synchronised());
        }
        let judged = self.judge(now);
        match (&judged, self.is_told.swap(judged.is_err(), Ordering::SeqCst)) {
            (Err(e), false) => log::error!(error:% = e; "the clock is not believed"),
            (Ok(_), true) => log::info!("the clock is right again, and what is due is signed"),
            _ => {}
        }
        judged
    }
}

fn is_far_ahead(now: Time, mark: Time) -> bool {
    now.minus(AFTER) > mark
}

/// Whether the kernel calls the clock synchronised, as systemd tells: adjtimex(2) is out of reach without unsafe code. Where
/// there is no systemd nobody vouches for the clock.
fn is_synchronised() -> bool {
    let answer = Command::new("timedatectl").args(["show", "--property=NTPSynchronized", "--value"]).output();
    answer.is_ok_and(|answer| answer.stdout.trim_ascii() == b"yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_believed_near_its_mark_and_far_ahead_only_when_the_network_keeps_it() {
        let watch = Watch::new(false);
        let now = Time(1_800_000_000);
        assert_eq!(watch.judge(now), Ok(now), "there is no mark before the first start");
        assert!(watch.judge(now.minus(BEFORE)).is_ok());
        assert!(watch.judge(now.minus(BEFORE).minus(Span(1))).is_err());
        let later = now.plus(AFTER);
        assert!(watch.judge(later.plus(Span(1))).is_err());
        assert_eq!(watch.mark(), Some(now), "what is not believed moves nothing");
        assert!(watch.judge(later).is_ok());
        assert_eq!(watch.mark(), Some(later));
        watch.set_synchronised(true);
        assert!(watch.judge(later.plus(AFTER).plus(AFTER)).is_ok());
        assert!(watch.judge(now).is_err(), "nobody vouches for a clock that runs backwards");
    }
}
