//! What is counted, for Prometheus. A process is one daemon, so the numbers are statics, as the log is one: to count is an
//! atomic addition at a fixed place, without a lock, a lookup or an allocation. Labels are enums, never what a client sent.
//!
//! A number whose label is an enum of a room above lives there, beside the enum.

mod text;

pub use text::{Exposition, Kind};

use crate::error::Class;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// A number that only grows.
pub struct Counter(AtomicU64);

impl Counter {
    /// At zero.
    pub const fn new() -> Counter {
        Counter(AtomicU64::new(0))
    }

    /// One more.
    pub fn count(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, many: u64) {
        self.0.fetch_add(many, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Default for Counter {
    fn default() -> Counter {
        Counter::new()
    }
}

/// A number that goes up and down.
pub struct Gauge(AtomicI64);

impl Gauge {
    /// At zero.
    pub const fn new() -> Gauge {
        Gauge(AtomicI64::new(0))
    }

    /// So many more, or fewer.
    pub fn add(&self, many: i64) {
        self.0.fetch_add(many, Ordering::Relaxed);
    }

    /// So many now.
    pub fn set(&self, many: usize) {
        self.0.store(i64::try_from(many).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// How many there are.
    pub fn value(&self) -> u64 {
        u64::try_from(self.0.load(Ordering::Relaxed)).unwrap_or_default()
    }
}

impl Default for Gauge {
    fn default() -> Gauge {
        Gauge::new()
    }
}

/// How large or how long things are, in few steps.
pub struct Histogram {
    steps: [Counter; STEPS],
    larger: Counter,
    sum: Counter,
}

const STEPS: usize = 6;

/// The largest that each step still takes, ascending.
pub type Bounds = [u64; STEPS];

/// Of times, in microseconds: from what is felt by nobody to what makes clients give up.
pub static TIMES: Bounds = [1_000, 5_000, 25_000, 100_000, 500_000, 2_500_000];
/// Of changes in a commit.
pub static SIZES: Bounds = [1, 2, 4, 8, 16, 32];

impl Histogram {
    /// Of nothing yet.
    pub const fn new() -> Histogram {
        Histogram { steps: [const { Counter::new() }; STEPS], larger: Counter::new(), sum: Counter::new() }
    }

    /// One of this size.
    pub fn observe(&self, size: u64, bounds: &Bounds) {
        let at = bounds.iter().position(|bound| size <= *bound);
        at.and_then(|at| self.steps.get(at)).unwrap_or(&self.larger).count();
        self.sum.add(size);
    }

    /// One that took so long.
    pub fn took(&self, time: Duration) {
        self.observe(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), &TIMES);
    }
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram::new()
    }
}

/// An enum whose variants are the values of a label.
macro_rules! labels {
    ($($(#[$attribute:meta])* $name:ident { $($variant:ident $text:literal,)* })*) => {$(
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs)]
        pub enum $name {
            $($variant,)*
        }

        impl $name {
            /// All of them, in the order of their numbers.
            pub const ALL: &[$name] = &[$($name::$variant,)*];

            /// As the label says it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $text,)*
                }
            }
        }
    )*};
}

labels! {
    /// What a request is about.
    Resource {
        Other "other",
        Directory "directory",
        NewNonce "new-nonce",
        NewAccount "new-account",
        NewOrder "new-order",
        NewAuthz "new-authz",
        RevokeCert "revoke-cert",
        KeyChange "key-change",
        RenewalInfo "renewal-info",
        Account "account",
        Orders "orders",
        Order "order",
        Finalize "finalize",
        Authorization "authz",
        Challenge "challenge",
        Certificate "cert",
        CaCertificate "ca",
        Crl "crl",
        Ocsp "ocsp",
        Health "healthz",
        Metrics "metrics",
    }

    /// By which way a client comes.
    Listener {
        Acme "acme",
        Plain "plain",
        Metrics "metrics",
    }

    /// Why a connection made room for others.
    Eviction {
        Places "places",
        Descriptors "descriptors",
        Memory "memory",
    }

    /// Why the door handed a request on to nobody.
    Turned {
        Malformed "malformed",
        TooLarge "too-large",
        Busy "busy",
        Overdue "overdue",
    }

    /// What became of a validation.
    Verdict {
        Valid "valid",
        Invalid "invalid",
        PutOff "put-off",
    }

    /// What certificates are issued for.
    Issued {
        Leaf "acme",
        Tls "tls",
        Responder "ocsp",
    }
}

/// The statuses that are told apart; any other is the last.
pub const STATUSES: [u16; 15] = [200, 201, 204, 400, 401, 403, 404, 405, 409, 413, 415, 429, 500, 503, 0];

/// What is known of the requests for one resource.
pub struct Requests {
    /// By the place of the status in [`STATUSES`].
    pub by_status: [Counter; STATUSES.len()],
    /// How long the workers took.
    pub took: Histogram,
}

impl Requests {
    const fn new() -> Requests {
        Requests { by_status: [const { Counter::new() }; STATUSES.len()], took: Histogram::new() }
    }
}

/// By [`Resource`].
pub static REQUESTS: [Requests; Resource::ALL.len()] = [const { Requests::new() }; Resource::ALL.len()];
/// ACME requests that were refused, by [`Class`].
pub static REFUSED: [Counter; Class::ALL.len()] = [const { Counter::new() }; Class::ALL.len()];
/// Workers that answer a request.
pub static WORKERS_BUSY: Gauge = Gauge::new();
/// Requests that wait for a worker.
pub static REQUESTS_WAITING: Gauge = Gauge::new();
/// Open connections, by [`Listener`].
pub static CONNECTIONS: [Gauge; Listener::ALL.len()] = [const { Gauge::new() }; Listener::ALL.len()];
/// Connections that were accepted, by [`Listener`].
pub static ACCEPTED: [Counter; Listener::ALL.len()] = [const { Counter::new() }; Listener::ALL.len()];
/// From the end of a request to its answer, waiting for a worker included, by [`Listener`].
pub static ANSWERED: [Histogram; Listener::ALL.len()] = [const { Histogram::new() }; Listener::ALL.len()];
/// Connections that made room, by [`Eviction`].
pub static EVICTED: [Counter; Eviction::ALL.len()] = [const { Counter::new() }; Eviction::ALL.len()];
/// Requests that the door answered by itself, by [`Turned`].
pub static TURNED_AWAY: [Counter; Turned::ALL.len()] = [const { Counter::new() }; Turned::ALL.len()];
/// Certificates that are in the store, by [`Issued`].
pub static ISSUED: [Counter; Issued::ALL.len()] = [const { Counter::new() }; Issued::ALL.len()];
/// Certificates that were revoked.
pub static REVOKED: Counter = Counter::new();
/// How long commits took.
pub static COMMITS: Histogram = Histogram::new();
/// How many changes shared a commit.
pub static COMMIT_SIZES: Histogram = Histogram::new();
/// Commits that failed.
pub static COMMITS_FAILED: Counter = Counter::new();
/// Lines of the log, by level, errors first.
pub static LOG_LINES: [Counter; 5] = [const { Counter::new() }; 5];

/// One more of a kind: `of` is a variant of the enum that the numbers are labelled by.
pub fn count(numbers: &[Counter], of: usize) {
    if let Some(number) = numbers.get(of) {
        number.count();
    }
}

/// A request was answered.
pub fn answered(resource: Resource, status: u16, took: Duration) {
    if let Some(requests) = REQUESTS.get(resource as usize) {
        let other = STATUSES.len().saturating_sub(1);
        count(&requests.by_status, STATUSES.iter().position(|known| *known == status).unwrap_or(other));
        requests.took.took(took);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_on_a_bound_is_within_and_what_is_larger_than_all_is_counted_too() {
        let sizes = Histogram::new();
        [0, 1, 2, 4, 5, 32, 500].into_iter().for_each(|size| sizes.observe(size, &SIZES));
        let mut text = Exposition::default();
        text.family("sizes", Kind::Histogram, "Sizes.").histogram(&[("of", "a\"b\\c\nd")], &sizes, &SIZES, 1);
        let lines = |of: &str| {
            let steps = [("1", 2), ("2", 3), ("4", 4), ("8", 5), ("16", 5), ("32", 6), ("+Inf", 7)];
            let steps = steps.map(|(bound, count)| format!("sizes_bucket{{{of},le=\"{bound}\"}} {count}\n")).concat();
            format!("{steps}sizes_sum{{{of}}} 544\nsizes_count{{{of}}} 7\n")
        };
        let expected = format!("# HELP sizes Sizes.\n# TYPE sizes histogram\n{}", lines(r#"of="a\"b\\c\nd""#));
        assert_eq!(text.into_text(), expected);
    }

    #[test]
    fn times_are_counted_in_microseconds_and_told_in_seconds() {
        let times = Histogram::new();
        times.took(Duration::from_micros(1_500_020));
        let mut text = Exposition::default();
        text.family("t", Kind::Histogram, "T.").histogram(&[], &times, &TIMES, 1_000_000);
        let text = text.into_text();
        for line in
            ["t_bucket{le=\"0.001\"} 0\n", "t_bucket{le=\"0.5\"} 0\n", "t_bucket{le=\"2.5\"} 1\n", "t_sum 1.50002\n"]
        {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }

    #[test]
    fn a_status_that_nobody_knows_is_counted_as_another() {
        let before = REQUESTS[Resource::Other as usize].by_status[14].value();
        answered(Resource::Other, 418, Duration::ZERO);
        assert!(REQUESTS[Resource::Other as usize].by_status[14].value() > before);
    }
}
