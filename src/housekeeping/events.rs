//! Events: the audit log read onwards, each listener with a cursor of its own in the database, so that one that is down for
//! a day is told late and not never. To the log always, to a program and to a URL where that was asked for.

use super::sinks::{Sink, Told};
use crate::clock::{Clock, later};
use crate::error::{Error, Result};
use crate::settings::Settings;
use crate::store::{AuditFilter, AuditRow, Space, Store};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often the log is looked at.
const PAUSE: Duration = Duration::from_secs(1);
const ROWS_AT_ONCE: usize = 100;
/// A listener that fails is tried again after this, then after twice as long, up to the longest.
const FIRST_RETRY: Duration = Duration::from_secs(5);
const LONGEST_RETRY: Duration = Duration::from_secs(600);

/// The threads that tell, one for each listener, so that one that is slow holds up no other.
pub struct Events {
    stop: Arc<(Mutex<bool>, Condvar)>,
    threads: Vec<JoinHandle<()>>,
}

/// A listener, and what it takes to tell it.
struct Listener {
    store: Arc<Store>,
    clock: Clock,
    state_dir: PathBuf,
    sink: Sink,
    /// How far it has been told.
    last: i64,
    retry: Duration,
    not_before: Instant,
    is_low: bool,
}

impl Events {
    /// Tell who is to be told, from where they were told last; whoever was never told hears what comes from now on.
    ///
    /// # Errors
    /// The store's; Unavailable when a thread cannot be started.
    pub fn start(store: Arc<Store>, clock: Clock, settings: &Settings) -> Result<Events> {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let mut events = Events { stop: Arc::clone(&stop), threads: Vec::new() };
        for sink in Sink::all(settings) {
            let mut listener = Listener::new(sink, Arc::clone(&store), clock.clone(), settings)?;
            let stop = Arc::clone(&stop);
            let thread = std::thread::Builder::new()
                .name("events".into())
                .spawn(move || {
                    while !wait(&stop) {
                        listener.round(&stop);
                    }
                    // What was done up to the end is told to the log; others hear of it after the next start.
                    if matches!(listener.sink, Sink::Log) {
                        listener.round(&stop);
                    }
                })
                .map_err(|e| Error::unavailable(format!("the events thread cannot be started: {e}")))?;
            events.threads.push(thread);
        }
        Ok(events)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let (stopping, changed) = &*self.stop;
        *stopping.lock().unwrap_or_else(PoisonError::into_inner) = true;
        changed.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn is_stopping(stop: &(Mutex<bool>, Condvar)) -> bool {
    *stop.0.lock().unwrap_or_else(PoisonError::into_inner)
}

/// True when it is time to stop.
fn wait(stop: &(Mutex<bool>, Condvar)) -> bool {
    let (stopping, changed) = stop;
    let stopping = stopping.lock().unwrap_or_else(PoisonError::into_inner);
    let (stopping, _) =
        changed.wait_timeout_while(stopping, PAUSE, |stopping| !*stopping).unwrap_or_else(PoisonError::into_inner);
    *stopping
}

impl Listener {
    /// From where it was told last; one that never was begins here.
    fn new(sink: Sink, store: Arc<Store>, clock: Clock, settings: &Settings) -> Result<Listener> {
        let name = sink.name();
        let (cursor, newest) = store.read(|read| Ok((read.event_cursor(name)?, read.last_audit_id()?)))?;
        if cursor.is_none() {
            store.change(move |write| write.set_event_cursor(name, newest))?;
        }
        Ok(Listener {
            store,
            clock,
            state_dir: settings.state_dir.clone(),
            sink,
            last: cursor.unwrap_or(newest),
            retry: FIRST_RETRY,
            not_before: Instant::now(),
            is_low: false,
        })
    }

    fn round(&mut self, stop: &(Mutex<bool>, Condvar)) {
        if Instant::now() < self.not_before {
            return;
        }
        let told = self.tell_low_disk().and_then(|()| self.tell_news(stop));
        match told {
            Ok(()) => self.retry = FIRST_RETRY,
            Err(e) => {
                log::log!(
                    e.level().max(log::Level::Warn),
                    listener:% = self.sink, seconds = self.retry.as_secs(), error:% = e;
                    "a listener could not be told of an event; it will be tried again in so many seconds"
                );
                self.not_before = later(Instant::now(), self.retry);
                self.retry = self.retry.saturating_mul(2).min(LONGEST_RETRY);
            }
        }
    }

    /// An event when the disk becomes low. It is sent at once and not by way of the log, which needs the disk.
    fn tell_low_disk(&mut self) -> Told {
        let Some(space) = Space::at(&self.state_dir) else { return Ok(()) };
        let is_low = space.is_low();
        if is_low && !self.is_low {
            let detail = format!("{} has {} MiB left", self.state_dir.display(), space.free >> 20);
            let event = json!({ "event": "low-disk", "at": self.clock.now().to_string(), "detail": detail });
            self.sink.tell(&event, &self.store)?;
        }
        self.is_low = is_low;
        Ok(())
    }

    fn tell_news(&mut self, stop: &(Mutex<bool>, Condvar)) -> Told {
        let name = self.sink.name();
        loop {
            let after = self.last;
            let rows =
                self.store.read(|read| read.audit(&AuditFilter { after, ..AuditFilter::default() }, ROWS_AT_ONCE))?;
            let mut outcome = Ok(());
            for row in &rows {
                // Only the log is quick enough to hear everything while others wait for the stop.
                if is_stopping(stop) && !matches!(self.sink, Sink::Log) {
                    break;
                }
                outcome = self.sink.tell(&event_of(row), &self.store);
                if outcome.is_err() {
                    break;
                }
                self.last = row.id;
            }
            let told = self.last;
            if told != after {
                self.store.change(move |write| write.set_event_cursor(name, told))?;
            }
            outcome?;
            if rows.len() < ROWS_AT_ONCE || told == after {
                return Ok(());
            }
        }
    }
}

/// A row of the audit log as programs get it.
pub fn event_of(row: &AuditRow) -> Value {
    let kind = match (row.outcome.as_str(), row.action.as_str()) {
        ("refused", _) => "refusal",
        (_, "finalize" | "own-tls-certificate" | "ocsp-responder") => "issuance",
        (_, "revokeCert" | "revoke-certificate") => "revocation",
        (_, "expiration-event") => "expiration",
        (_, "newAccount" | "keyChange" | "deactivate-account") => "account",
        _ => "administration",
    };
    json!({
        "event": kind,
        "id": row.id,
        "at": row.at.to_string(),
        "actor": row.actor,
        "action": row.action,
        "object": row.object,
        "outcome": row.outcome,
        "detail": row.detail,
        "address": row.address,
    })
}
