//! Proving control of names, off the request path: a durable queue, a bounded pool, one file for each kind of challenge.
//!
//! The queue is the database: a challenge that was asked for and has no result is due, and is taken up at every start. Most
//! have their result within milliseconds, so whoever asks tries for that long itself, and what was asked for is stored with it.

mod caa;
mod dns;
mod dns01;
mod dns_account01;
mod dns_persist01;
mod http01;
mod issue_value;
mod networks;
mod probe;
mod queue;
mod resolver;
mod tls_alpn01;

pub use crate::metrics::Verdict;
pub use networks::ReachableNetworks;

use crate::absence;
use crate::clock::{Clock, Seldom, Time};
use crate::error::{Class, Error, Result};
use crate::metrics::{Counter, count};
use crate::policy::ChallengeType;
use crate::settings::Settings;
use crate::store::{Remembered, Store, ValidationJob, ValidationResult, Write};
use probe::{Failure, LEAST, Prober, Proof, probe};
use queue::{Next, Queue, Ticket};
use resolver::Resolver;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Validations that ended or were put off, by challenge type and by [`Verdict`].
pub static VALIDATIONS: [[Counter; Verdict::ALL.len()]; ChallengeType::ALL.len()] =
    [const { [const { Counter::new() }; Verdict::ALL.len()] }; ChallengeType::ALL.len()];

const VALIDATORS: usize = 32;
/// Network trouble is tried again, after these pauses; a wrong answer is final.
const PAUSES: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(5)];
/// What proving a name may take in one attempt, asking CAA after it as long again, and all attempts together.
const ATTEMPT: Duration = Duration::from_secs(10);
const ALL_ATTEMPTS: Duration = Duration::from_secs(30);
/// The same for whoever asks for it. What takes longer is begun anew by a validator.
const ASKERS_ATTEMPT: Duration = Duration::from_millis(100);
/// One worker in so many may be kept by it: the others are for those who wait for nobody else.
const PART_OF_ASKERS: usize = 2;

/// The validators and their queue.
pub struct Validation {
    queue: Arc<Queue>,
    scene: Scene,
    /// How many more askers may try themselves.
    may_try: Arc<AtomicUsize>,
}

/// Where validations take place.
#[derive(Clone)]
struct Scene {
    store: Arc<Store>,
    clock: Clock,
    prober: Arc<Prober>,
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
            issuers: Remembered::default(),
            crypto: Arc::new(rustls::crypto::ring::default_provider()),
            put_off: Seldom::default(),
        });
        let scene = Scene { store, clock, prober };
        for number in 0..VALIDATORS {
            let (queue, scene) = (Arc::clone(&queue), scene.clone());
            let thread = std::thread::Builder::new().name(format!("validator-{number}")).spawn(move || {
                while let Some(mut ticket) = queue.take() {
                    let next = work(&scene, &mut ticket);
                    queue.done(ticket, next);
                }
            });
            thread.map_err(|e| Error::unavailable(format!("a validator thread cannot be started: {e}")))?;
        }
        let now = scene.clock.now();
        for job in scene.store.read(|read| read.due_validations(now))? {
            queue.add(Ticket::new(job, now));
        }
        // Slow targets keep few of the workers waiting.
        let may_try = Arc::new(AtomicUsize::new(settings.workers / PART_OF_ASKERS));
        Ok(Validation { queue, scene, may_try })
    }

    /// Validate a challenge that the client asks for now. `then` hears the result, where it is there within a moment and stored;
    /// otherwise it comes later, and the asker has to store that it was asked for.
    pub fn ask(&self, job: ValidationJob, now: Time, then: impl FnOnce(Option<ValidationResult>) + Send + 'static) {
        let ticket = Ticket::new(job, now);
        let enter = |places: usize| places.checked_sub(1);
        if self.may_try.fetch_update(Ordering::Relaxed, Ordering::Relaxed, enter).is_err() {
            self.queue.add(ticket);
            return then(None);
        }
        // To wake a validator and be woken by it costs more than most of what it does.
        let tried = self.queue.take_up(ticket).map(|mut ticket| {
            let found = absence::away(|| find_out(&self.scene, &mut ticket, ASKERS_ATTEMPT));
            (ticket, found)
        });
        self.may_try.fetch_add(1, Ordering::Relaxed);
        let queue = Arc::clone(&self.queue);
        let end = move |ticket: Ticket, next: Next| {
            let result = if let Next::Over(result) = &next { result.clone() } else { None };
            queue.done(ticket, next);
            queue.wake();
            result
        };
        match tried {
            None => then(None),
            Some((ticket, Err(next))) => then(end(ticket, next)),
            Some((mut ticket, Ok(found))) => {
                let change = settlement(&ticket, &found);
                self.scene.store.change_then(change, move |stored| {
                    let next = kept(&mut ticket, found, stored);
                    then(end(ticket, next));
                });
            }
        }
    }

    /// How many wait, and how many are under way.
    pub fn lengths(&self) -> (usize, usize) {
        self.queue.lengths()
    }

    /// Stop: what is running ends without a result and is taken up at the next start. Nobody waits for it, since it has
    /// nothing to lose.
    pub fn stop(&self) {
        self.queue.close();
    }
}

/// What was found out about a name.
type Found = (ValidationJob, ValidationResult);

/// Make one attempt, or take what came out of the last one, and store it.
fn work(scene: &Scene, ticket: &mut Ticket) -> Next {
    match find_out(scene, ticket, ATTEMPT) {
        Ok(found) => {
            let stored = scene.store.change(settlement(ticket, &found));
            kept(ticket, found, stored)
        }
        Err(next) => next,
    }
}

/// Make one attempt, which may take so long, or take what came out of the last one; otherwise what becomes of the ticket.
/// Whatever happens in an attempt, there is a next.
fn find_out(scene: &Scene, ticket: &mut Ticket, patience: Duration) -> std::result::Result<Found, Next> {
    // A proof lasts until a moment.
    if scene.clock.trusted().is_err() {
        return Err(Next::PutOff(PAUSES[1]));
    }
    if let Some(found) = ticket.found.take() {
        return Ok(found);
    }
    let challenge = ticket.challenge;
    catch_unwind(AssertUnwindSafe(|| attempt(scene, ticket, patience))).unwrap_or_else(|_| Err(panicked(challenge)))
}

fn panicked(challenge: i64) -> Next {
    log::error!(challenge; "a validation panicked");
    Next::PutOff(PAUSES[1])
}

/// What comes out, or what becomes of the ticket without that.
fn attempt(scene: &Scene, ticket: &mut Ticket, patience: Duration) -> std::result::Result<Found, Next> {
    let (Scene { store, clock, prober }, challenge, begun) = (scene, ticket.challenge, Instant::now());
    let job = match ticket.job.take() {
        Some(job) => Ok(Some(job)),
        None => store.read(|read| read.validation_job(challenge, clock.now())),
    };
    let job = job.map_err(|e| {
        log::error!(challenge, error:% = e; "validation is put off");
        Next::PutOff(PAUSES[0])
    })?;
    let job = job.ok_or(Next::Over(None))?;
    let probed = || probe(store, prober, &job, clock.now(), patience);
    let outcome = catch_unwind(AssertUnwindSafe(probed))
        .unwrap_or_else(|_| Err(Failure::last(Class::Internal, "the validation met a fault of the server")));
    let at = clock.now();
    match outcome {
        Ok(Proof { lifetime, caa_checked }) => {
            Ok((job, ValidationResult::Valid { at, expires: at.plus(lifetime), caa_checked }))
        }
        // It was not given the time that everybody has.
        Err(failure) if failure.passing && patience < ATTEMPT && begun.elapsed().saturating_add(LEAST) >= patience => {
            Err(Next::PutOff(Duration::ZERO))
        }
        // A fault of ours is no answer about the name.
        Err(failure) if failure.error.class() == Class::Unavailable => {
            let level = if prober.put_off.is_due() { failure.error.level() } else { log::Level::Debug };
            log::log!(level, challenge, error:% = failure.error; "validation is put off");
            counted(&job.kind, Verdict::PutOff);
            Err(Next::PutOff(PAUSES[1]))
        }
        Err(failure) => {
            let pause = PAUSES
                .get(ticket.attempts)
                .filter(|pause| ticket.started.elapsed().saturating_add(**pause) < ALL_ATTEMPTS);
            if let (true, Some(pause)) = (failure.passing, pause) {
                log::debug!(challenge, kind = job.kind, name = job.identifier, error:% = failure.error; "another attempt follows");
                return Err(Next::Again(*pause));
            }
            let class = failure.error.class().name().to_owned();
            Ok((job, ValidationResult::Invalid { at, class, detail: failure.error.detail().to_owned() }))
        }
    }
}

/// The change that stores what was found out.
fn settlement(ticket: &Ticket, (_, result): &Found) -> impl FnOnce(&Write<'_>) -> Result<bool> + Send + use<> {
    let (challenge, asked, result) = (ticket.challenge, ticket.asked, result.clone());
    move |write| write.settle_validation(challenge, asked, &result)
}

/// What becomes of a ticket now that this came of storing what was found out. Where that could not be, it is tried again: the
/// target is not to suffer from our disk. Whatever happens, there is a next.
fn kept(ticket: &mut Ticket, found: Found, stored: Result<bool>) -> Next {
    let challenge = ticket.challenge;
    catch_unwind(AssertUnwindSafe(|| told(ticket, found, stored))).unwrap_or_else(|_| panicked(challenge))
}

fn told(ticket: &mut Ticket, found: Found, stored: Result<bool>) -> Next {
    let (challenge, (job, result)) = (ticket.challenge, &found);
    match stored {
        Ok(true) => {
            match result {
                ValidationResult::Valid { .. } => {
                    counted(&job.kind, Verdict::Valid);
                    log::info!(challenge, kind = job.kind, name = job.identifier; "valid");
                }
                ValidationResult::Invalid { detail, .. } => {
                    counted(&job.kind, Verdict::Invalid);
                    log::info!(challenge, kind = job.kind, name = job.identifier, error:% = detail; "invalid");
                }
            }
            Next::Over(Some(found.1))
        }
        Ok(false) => Next::Over(None),
        Err(e) => {
            log::log!(e.level(), challenge, error:% = e; "the result of a validation could not be kept yet");
            ticket.found = Some(found);
            Next::PutOff(PAUSES[1])
        }
    }
}

fn counted(kind: &str, verdict: Verdict) {
    let of_kind = ChallengeType::parse(kind).ok().and_then(|kind| VALIDATIONS.get(kind as usize));
    if let Some(of_kind) = of_kind {
        count(of_kind, verdict as usize);
    }
}

/// Read a DNS server's answer from foreign bytes, for fuzzing.
#[cfg(fuzzing)]
pub fn fuzz_dns_answer(bytes: &[u8]) {
    dns::read_any_answer(bytes);
}
