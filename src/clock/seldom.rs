//! What may happen to everybody at once is told seldom.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const BETWEEN_LINES: Duration = Duration::from_secs(60);

/// A line of the log that is written once a minute, however often there is a reason for it.
#[derive(Default)]
pub struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    /// Whether it is time for another line, which is then taken to be written.
    pub fn is_due(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| last.elapsed() >= BETWEEN_LINES);
        if is_due {
            *last = Some(Instant::now());
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_due_once_a_minute() {
        let line = Seldom::default();
        assert!(line.is_due() && !line.is_due());
        *line.0.lock().unwrap() = Instant::now().checked_sub(BETWEEN_LINES);
        assert!(line.is_due() && !line.is_due());
    }
}
