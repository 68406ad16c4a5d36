//! Proving control of names, off the request path: a durable queue, a bounded pool, one file for each kind of challenge.
//!
//! The queue is the database: a challenge that was asked for and has no result is due, and is taken up at every start.

mod http01;
mod networks;
mod queue;
mod resolver;

pub use networks::ReachableNetworks;

use crate::clock::{Clock, Span};
use crate::error::{Class, Error, Result};
use crate::identifier::Identifier;
use crate::jose::base64url;
use crate::keys::random;
use crate::policy::ChallengeType;
use crate::settings::Settings;
use crate::store::{Store, ValidationJob};
use queue::Queue;
use resolver::Resolver;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const VALIDATORS: usize = 32;
/// Network trouble is tried again, after these pauses; a wrong answer is final.
const PAUSES: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(5)];
/// What one attempt may take, and all of them together.
const ATTEMPT: Duration = Duration::from_secs(10);
const ALL_ATTEMPTS: Duration = Duration::from_secs(30);
/// A valid authorization lasts this long, or as long as the issuer reuses it.
const VALID_AUTHORIZATION: Span = Span::DAY;

/// The validators and their queue.
pub struct Validation {
    queue: Arc<Queue>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Validation {
    /// Start the validators and take up what was due when the daemon last stopped.
    ///
    /// # Errors
    /// The store's, and Unavailable when threads cannot be started.
    pub fn start(
        store: Arc<Store>,
        clock: Clock,
        settings: &Settings,
        networks: ReachableNetworks,
    ) -> Result<Validation> {
        let queue = Arc::new(Queue::default());
        let prober = Arc::new(Prober {
            resolver: Resolver::start(&settings.dns_servers)?,
            networks,
            http_01_port: settings.http_01_port,
            tls_alpn_01_port: settings.tls_alpn_01_port,
        });
        let mut threads = Vec::new();
        for number in 0..VALIDATORS {
            let (queue, store, clock, prober) =
                (Arc::clone(&queue), Arc::clone(&store), clock.clone(), Arc::clone(&prober));
            let thread = std::thread::Builder::new().name(format!("validator-{number}")).spawn(move || {
                while let Some(ticket) = queue.take() {
                    let next = work(&store, &clock, &prober, &ticket);
                    queue.done(ticket, next);
                }
            });
            threads.push(thread.map_err(|e| Error::unavailable(format!("a validator thread cannot be started: {e}")))?);
        }
        let validation = Validation { queue, threads: Mutex::new(threads) };
        let now = clock.now();
        for challenge in store.read(|read| read.due_validations())? {
            if let Some(job) = store.read(|read| read.validation_job(challenge, now))? {
                validation.enqueue(&job);
            }
        }
        Ok(validation)
    }

    /// Validate a challenge soon.
    pub fn enqueue(&self, job: &ValidationJob) {
        self.queue.add(queue::Ticket::new(job.challenge, job.account, job.identifier.clone()));
    }

    /// Stop: what is running ends without a result and is taken up at the next start.
    pub fn stop(&self) {
        self.queue.close();
        // Running validations have nothing to lose, so nobody waits for them.
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A fresh token (RFC 8555, 8.1, asks for 128 bits).
///
/// # Errors
/// Internal when the system gives no random bytes.
pub fn token() -> Result<String> {
    random::<24>().map(|bytes| base64url::encode(&bytes))
}

/// What probes need.
struct Prober {
    resolver: Resolver,
    networks: ReachableNetworks,
    http_01_port: u16,
    tls_alpn_01_port: u16,
}

/// Why a validation did not succeed.
struct Failure {
    error: Error,
    /// Whether the network was at fault, so that another attempt makes sense.
    passing: bool,
}

impl Failure {
    fn passing(class: Class, detail: impl Into<String>) -> Failure {
        Failure { error: Error::new(class, detail), passing: true }
    }

    fn last(class: Class, detail: impl Into<String>) -> Failure {
        Failure { error: Error::new(class, detail), passing: false }
    }
}

/// Make one attempt. Some pause means that another is to follow.
fn work(store: &Store, clock: &Clock, prober: &Prober, ticket: &queue::Ticket) -> Option<Duration> {
    let challenge = ticket.challenge;
    let job = match store.read(|read| read.validation_job(challenge, clock.now())) {
        Ok(Some(job)) => job,
        Ok(None) => return None,
        Err(e) => {
            log::error!("validation of challenge {challenge} is put off: {e}");
            return Some(PAUSES[0]);
        }
    };
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| probe(prober, &job)))
        .unwrap_or_else(|_| Err(Failure::last(Class::Internal, "the validation met a fault of the server")));
    let now = clock.now();
    let recorded = match outcome {
        Ok(()) => {
            let expires = now.plus(VALID_AUTHORIZATION.max(job.reuse));
            log::info!("challenge={challenge} name={} valid", job.identifier);
            store.change(move |write| write.complete_validation(challenge, now, expires).map(|_| ()))
        }
        Err(failure) => {
            let pause = PAUSES.get(ticket.attempts).filter(|pause| ticket.started.elapsed() + **pause < ALL_ATTEMPTS);
            if let (true, Some(pause)) = (failure.passing, pause) {
                log::debug!("challenge={challenge} name={} try again: {}", job.identifier, failure.error);
                return Some(*pause);
            }
            log::info!("challenge={challenge} name={} invalid: {}", job.identifier, failure.error);
            let class = format!("{:?}", failure.error.class());
            let detail = failure.error.detail().to_owned();
            store.change(move |write| write.fail_validation(challenge, &class, &detail, now))
        }
    };
    match recorded {
        Ok(()) => None,
        Err(e) => {
            log::error!("the result of challenge {challenge} could not be kept, so it will be validated again: {e}");
            Some(PAUSES[0])
        }
    }
}

/// Where a challenge type comes in: its name, then its own file.
fn probe(prober: &Prober, job: &ValidationJob) -> std::result::Result<(), Failure> {
    let internal = |e: Error| Failure { error: e, passing: false };
    let deadline = Instant::now() + ATTEMPT;
    let identifier = Identifier::parse(&job.identifier_type, &job.identifier).map_err(internal)?;
    match ChallengeType::parse(&job.kind).map_err(internal)? {
        ChallengeType::Http01 => http01::validate(prober, &identifier, job, deadline),
    }
}
