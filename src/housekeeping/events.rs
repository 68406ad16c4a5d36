//! Events: the audit log read onwards, each listener with a cursor of its own in the database, so that one that is down for
//! a day is told late and not never. To the log always, to a program and to a URL where that was asked for.

use super::sinks::{Sink, Told};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::settings::Settings;
use crate::store::{AuditFilter, AuditRow, Store};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often the log is looked at.
const PAUSE: Duration = Duration::from_secs(1);
const ROWS_AT_ONCE: usize = 100;
/// A listener that fails is tried again after this, then after twice as long, up to the longest.
const FIRST_RETRY: Duration = Duration::from_secs(5);
const LONGEST_RETRY: Duration = Duration::from_secs(600);
/// Below this much free space of the state directory, or this share of it, the disk is low.
const LOW_BYTES: u64 = 256 << 20;
const LOW_SHARE: u64 = 20;

/// The thread that tells.
pub struct Events {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

struct Teller {
    store: Arc<Store>,
    clock: Clock,
    state_dir: PathBuf,
    listeners: Vec<Listener>,
    is_low: bool,
}

struct Listener {
    sink: Sink,
    /// How far it has been told.
    last: i64,
    retry: Duration,
    not_before: Instant,
}

impl Events {
    /// Tell who is to be told, from where they were told last; whoever was never told hears what comes from now on.
    ///
    /// # Errors
    /// The store's; Unavailable when the thread cannot be started.
    pub fn start(store: Arc<Store>, clock: Clock, settings: &Settings) -> Result<Events> {
        let sinks = std::iter::once(Sink::Log)
            .chain(settings.event_command.clone().map(Sink::Command))
            .chain(settings.event_url.clone().map(Sink::Url));
        let listeners = sinks.map(|sink| Listener::new(sink, &store)).collect::<Result<Vec<_>>>()?;
        let mut teller = Teller { store, clock, state_dir: settings.state_dir.clone(), listeners, is_low: false };
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let stopping = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("events".into())
            .spawn(move || {
                while !wait(&stopping) {
                    teller.round();
                }
                // What was done up to the end is told, at least to the log.
                teller.round();
            })
            .map_err(|e| Error::unavailable(format!("the events thread cannot be started: {e}")))?;
        Ok(Events { stop, thread: Some(thread) })
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let (stopping, changed) = &*self.stop;
        *stopping.lock().unwrap_or_else(PoisonError::into_inner) = true;
        changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// True when it is time to stop.
fn wait(stop: &(Mutex<bool>, Condvar)) -> bool {
    let (stopping, changed) = stop;
    let stopping = stopping.lock().unwrap_or_else(PoisonError::into_inner);
    let (stopping, _) =
        changed.wait_timeout_while(stopping, PAUSE, |stopping| !*stopping).unwrap_or_else(PoisonError::into_inner);
    *stopping
}

impl Teller {
    fn round(&mut self) {
        let low = self.low_disk();
        for listener in &mut self.listeners {
            if Instant::now() < listener.not_before {
                continue;
            }
            let told = listener.tell_news(&self.store).and_then(|()| match &low {
                Some(event) => listener.sink.tell(event, &self.store),
                None => Ok(()),
            });
            match told {
                Ok(()) => listener.retry = FIRST_RETRY,
                Err(e) => {
                    log::warn!(
                        "{} could not be told of an event and will be in {:?}: {e}",
                        listener.sink,
                        listener.retry
                    );
                    listener.not_before = Instant::now() + listener.retry;
                    listener.retry = listener.retry.saturating_mul(2).min(LONGEST_RETRY);
                }
            }
        }
    }

    /// An event when the disk becomes low. It is sent at once and not by way of the log, which needs the disk.
    fn low_disk(&mut self) -> Option<Value> {
        let space = free_space(&self.state_dir)?;
        let is_low = space.free < LOW_BYTES.min(space.all / LOW_SHARE);
        let was_low = std::mem::replace(&mut self.is_low, is_low);
        (is_low && !was_low).then(|| {
            let detail = format!("{} has {} MiB left", self.state_dir.display(), space.free >> 20);
            log::warn!("the disk is nearly full: {detail}");
            json!({ "event": "low-disk", "at": self.clock.now().to_string(), "detail": detail })
        })
    }
}

struct Space {
    free: u64,
    all: u64,
}

fn free_space(path: &Path) -> Option<Space> {
    let found = rustix::fs::statvfs(path).ok()?;
    Some(Space {
        free: found.f_bavail.saturating_mul(found.f_frsize),
        all: found.f_blocks.saturating_mul(found.f_frsize),
    })
}

impl Listener {
    /// From where it was told last; one that never was begins here.
    fn new(sink: Sink, store: &Store) -> Result<Listener> {
        let name = sink.name();
        let (cursor, newest) = store.read(|read| Ok((read.event_cursor(name)?, read.last_audit_id()?)))?;
        if cursor.is_none() {
            store.change(move |write| write.set_event_cursor(name, newest))?;
        }
        Ok(Listener { sink, last: cursor.unwrap_or(newest), retry: FIRST_RETRY, not_before: Instant::now() })
    }

    fn tell_news(&mut self, store: &Store) -> Told {
        let name = self.sink.name();
        loop {
            let after = self.last;
            let rows = store.read(|read| read.audit(&AuditFilter { after, ..AuditFilter::default() }, ROWS_AT_ONCE))?;
            let mut outcome = Ok(());
            for row in &rows {
                outcome = self.sink.tell(&event_of(row), store);
                if outcome.is_err() {
                    break;
                }
                self.last = row.id;
            }
            let told = self.last;
            if told != after {
                store.change(move |write| write.set_event_cursor(name, told))?;
            }
            outcome?;
            if rows.len() < ROWS_AT_ONCE {
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
