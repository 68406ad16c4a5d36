//! Token buckets: how often something may be done by one of many, most of whom are never seen again.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Places for one hash. Whoever comes when all are taken gets that of the one who owes least.
const WAYS: usize = 8;
const SETS: usize = 1024;

/// So many at once, and then one in each interval.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// How many at once.
    pub burst: u32,
    /// How long it takes until there is one more.
    pub interval: Duration,
}

/// A bucket for each of the 8,192 who took from theirs most. All memory is taken with the first of them, so that a stranger
/// with many addresses gets others forgotten, which favours them, and nothing more.
pub struct Buckets<K> {
    rate: Rate,
    hasher: RandomState,
    /// Until when some bucket may be empty, so that on a quiet day nobody takes the lock to look.
    empty_until: AtomicU64,
    places: Mutex<Vec<Place<K>>>,
}

#[derive(Clone, Copy)]
struct Place<K> {
    whose: Option<K>,
    /// When the bucket will be full again, in microseconds: all that there is to know of it.
    full_at: u64,
}

impl<K: Copy + Eq + Hash> Buckets<K> {
    /// Buckets that are full.
    pub fn new(rate: Rate) -> Buckets<K> {
        Buckets { rate, hasher: RandomState::new(), empty_until: AtomicU64::new(0), places: Mutex::default() }
    }

    /// How long somebody has to wait until there is one for them; `None` when there is. `now` is the time since any fixed
    /// moment, by a clock that never goes back.
    pub fn wait(&self, whose: K, now: Duration) -> Option<Duration> {
        let now = microseconds(now);
        if now >= self.empty_until.load(Ordering::Relaxed) {
            return None;
        }
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let place = self.set_of(&mut places, whose).iter().find(|place| place.whose == Some(whose))?;
        Some(self.not_empty_at(place.full_at).saturating_sub(now)).filter(|wait| *wait > 0).map(Duration::from_micros)
    }

    /// Take one from somebody's bucket, or leave it empty.
    pub fn take(&self, whose: K, now: Duration) {
        let now = microseconds(now);
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.is_empty() {
            *places = vec![Place { whose: None, full_at: 0 }; WAYS.saturating_mul(SETS)];
        }
        let set = self.set_of(&mut places, whose);
        let own = set.iter().position(|place| place.whose == Some(whose));
        let least = || set.iter().enumerate().min_by_key(|(_, place)| place.full_at).map(|(at, _)| at);
        let Some(place) = own.or_else(least).and_then(|at| set.get_mut(at)) else { return };
        if place.whose != Some(whose) {
            *place = Place { whose: Some(whose), full_at: 0 };
        }
        let interval = microseconds(self.rate.interval);
        let deepest = now.saturating_add(interval.saturating_mul(u64::from(self.rate.burst)));
        place.full_at = place.full_at.max(now).saturating_add(interval).min(deepest);
        let empty_until = self.not_empty_at(place.full_at);
        if empty_until > now {
            self.empty_until.fetch_max(empty_until, Ordering::Relaxed);
        }
    }

    /// When a bucket that will be full at that moment has one again.
    fn not_empty_at(&self, full_at: u64) -> u64 {
        let all_but_one = u64::from(self.rate.burst.saturating_sub(1));
        full_at.saturating_sub(microseconds(self.rate.interval).saturating_mul(all_but_one))
    }

    /// The few places that somebody's bucket can be in. Nobody outside knows the hash, so that nobody chooses whom to meet.
    fn set_of<'p>(&self, places: &'p mut [Place<K>], whose: K) -> &'p mut [Place<K>] {
        let [_, _, _, _, _, _, high, low] = self.hasher.hash_one(whose).to_be_bytes();
        let from = (usize::from(u16::from_be_bytes([high, low])) % SETS).saturating_mul(WAYS);
        places.get_mut(from..from.saturating_add(WAYS)).unwrap_or_default()
    }
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(1000);

    fn buckets(burst: u32) -> Buckets<u32> {
        Buckets::new(Rate { burst, interval: Duration::from_secs(2) })
    }

    #[test]
    fn a_burst_goes_and_then_one_in_each_interval() {
        let buckets = buckets(3);
        for _ in 0..3 {
            assert_eq!(buckets.wait(7, START), None);
            buckets.take(7, START);
        }
        assert_eq!(buckets.wait(7, START), Some(Duration::from_secs(2)));
        assert_eq!(buckets.wait(8, START), None, "somebody else");
        let later = START + Duration::from_secs(2);
        assert_eq!(buckets.wait(7, later), None);
        buckets.take(7, later);
        assert_eq!(buckets.wait(7, later), Some(Duration::from_secs(2)));
        let much_later = START + Duration::from_secs(3600);
        for _ in 0..3 {
            assert_eq!(buckets.wait(7, much_later), None, "it never holds more than a burst");
            buckets.take(7, much_later);
        }
        assert!(buckets.wait(7, much_later).is_some());
    }

    #[test]
    fn nobody_gets_deeper_into_debt_than_one_interval() {
        let buckets = buckets(3);
        for _ in 0..1000 {
            buckets.take(7, START);
        }
        assert_eq!(buckets.wait(7, START), Some(Duration::from_secs(2)));
    }

    #[test]
    fn many_strangers_are_kept_in_the_same_memory_and_the_worst_is_not_forgotten() {
        let buckets = buckets(3);
        for _ in 0..3 {
            buckets.take(0, START);
        }
        for stranger in 1..100_000 {
            buckets.take(stranger, START);
            assert_eq!(buckets.wait(stranger, START), None);
        }
        assert_eq!(buckets.places.lock().unwrap().len(), WAYS * SETS);
        assert!(buckets.wait(0, START).is_some(), "whoever owes most is remembered longest");
    }
}
