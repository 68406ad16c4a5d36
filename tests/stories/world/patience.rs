//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

/// Look again and again until `look` has something to show; past `limit` the story has failed.
pub fn eventually<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
