//! /metrics: everything that is counted, in Prometheus's text format, and what the store and the system say at the moment.

use crate::acme::problem_type;
use crate::clock::{Clock, Time};
use crate::error::{Class, Result};
use crate::health::Health;
use crate::issuance::Issuance;
use crate::metrics::{
    self, Counter, Eviction, Exposition, Issued, Kind, Listener, Resource, SIZES, STATUSES, TIMES, Turned,
};
use crate::policy::ChallengeType;
use crate::store::{CertificateState, Read, Store};
use crate::validation::{VALIDATIONS, Validation, Verdict};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How old a text may be: whoever asks in a loop gets the same again.
const OLDEST: Duration = Duration::from_secs(1);
/// How old the count of certificates may be.
const OLDEST_COUNT: Duration = Duration::from_secs(60);
/// How long a count that has begun is waited for: others wait for this text.
const PATIENCE: Duration = Duration::from_millis(100);
/// Times are counted in microseconds and told in seconds.
const MICROSECONDS: u64 = 1_000_000;

/// What /metrics is made of.
pub struct Scrapes {
    store: Arc<Store>,
    issuance: Arc<Issuance>,
    validation: Arc<Validation>,
    health: Arc<Health>,
    clock: Clock,
    last: Mutex<Option<(Instant, Arc<str>)>>,
}

impl Scrapes {
    /// Of this daemon.
    pub fn new(
        store: Arc<Store>,
        issuance: Arc<Issuance>,
        validation: Arc<Validation>,
        health: Arc<Health>,
        clock: Clock,
    ) -> Scrapes {
        Scrapes { store, issuance, validation, health, clock, last: Mutex::new(None) }
    }

    /// The text. Those who come together wait for one.
    pub(super) fn text(&self) -> Arc<str> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, text)) = last.as_ref().filter(|(at, _)| at.elapsed() < OLDEST) {
            return Arc::clone(text);
        }
        let mut out = Exposition::default();
        requests(&mut out);
        door(&mut out);
        work(&mut out);
        self.gauges(&mut out);
        if let Err(e) = self.ends(&mut out) {
            log::log!(e.level(), error:% = e; "the ends of signers and lists are missing in /metrics");
        }
        self.certificates(&mut out);
        let text: Arc<str> = out.into_text().into();
        *last = Some((Instant::now(), Arc::clone(&text)));
        text
    }

    /// What is one number.
    fn gauges(&self, out: &mut Exposition) {
        let (waiting, running) = self.validation.lengths();
        for (name, help, value) in [
            (
                "certwright_workers_busy",
                "Requests that workers have taken and not answered yet, this one among them.",
                metrics::WORKERS_BUSY.value(),
            ),
            ("certwright_requests_waiting", "Requests that wait for a worker.", metrics::REQUESTS_WAITING.value()),
            (
                "certwright_validations_waiting",
                "Validations that wait for a validator, or for another attempt.",
                waiting as u64,
            ),
            ("certwright_validations_running", "Validations that are under way.", running as u64),
            ("certwright_changes_waiting", "Changes that wait for the next commit.", self.store.waiting() as u64),
            (
                "certwright_clock_trusted",
                "Whether the clock is believed; nothing is signed by one that is not.",
                self.clock.trusted().is_ok().into(),
            ),
            (
                "certwright_signing_possible",
                "Whether every key can be opened with its fragments.",
                self.issuance.check_open().is_ok().into(),
            ),
            (
                "process_start_time_seconds",
                "When the daemon started, in seconds since 1970.",
                seconds(self.health.started()),
            ),
        ] {
            out.family(name, Kind::Gauge, help).sample(&[], value);
        }
        if let Some(space) = self.store.space() {
            let help = "What is left of the disk of the state directory.";
            out.family("certwright_disk_free_bytes", Kind::Gauge, help).sample(&[], space.free);
            let help = "Size of the disk of the state directory.";
            out.family("certwright_disk_size_bytes", Kind::Gauge, help).sample(&[], space.all);
        }
        let (database, wal) = self.store.size();
        let help = "Size of the database, and of what was not brought into it yet.";
        out.family("certwright_database_bytes", Kind::Gauge, help)
            .sample(&[("file", "database")], database)
            .sample(&[("file", "wal")], wal);
        out.family("certwright_build_info", Kind::Gauge, "The version, as a label.")
            .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    }

    fn ends(&self, out: &mut Exposition) -> Result<()> {
        let now = self.clock.believed();
        let ends = |read: &Read<'_>| Ok((read.signer_ends()?, read.crl_ends(now)?, read.tls_ends()?));
        let (signers, lists, own) = self.store.read(ends)?;
        for (name, label, help, ends) in [
            (
                "certwright_signer_expiry_timestamp_seconds",
                "signer",
                "When a signer can sign no more, in seconds since 1970.",
                signers,
            ),
            (
                "certwright_crl_next_update_timestamp_seconds",
                "signer",
                "When the CRLs of a signer have to be there anew, in seconds since 1970.",
                lists,
            ),
            (
                "certwright_tls_expiry_timestamp_seconds",
                "issuer",
                "When the daemon's own TLS certificate by an issuer ends, in seconds since 1970.",
                own,
            ),
        ] {
            out.family(name, Kind::Gauge, help);
            for end in ends {
                out.sample(&[(label, &end.name)], seconds(end.not_after));
            }
        }
        Ok(())
    }

    fn certificates(&self, out: &mut Exposition) {
        // As long as the first count goes on nobody knows.
        let Some(counts) = self.health.counts(OLDEST_COUNT, PATIENCE) else { return };
        out.family("certwright_certificates", Kind::Gauge, "Certificates that clients got, by issuer and state.");
        for of in &counts.certificates {
            for (state, count) in CertificateState::ALL.into_iter().zip(of.by_state) {
                out.sample(&[("issuer", &of.issuer), ("state", state.as_str())], count);
            }
        }
        out.family(
            "certwright_certificates_overdue",
            Kind::Gauge,
            "Filed certificates that nothing has replaced with less than a sixth of their life left.",
        );
        for of in &counts.certificates {
            out.sample(&[("issuer", &of.issuer)], of.overdue);
        }
        let last_backup = counts.last_backup.unwrap_or(Time(0));
        let help = "When the last backup was made, in seconds since 1970; 0 if none was.";
        out.family("certwright_last_backup_timestamp_seconds", Kind::Gauge, help).sample(&[], seconds(last_backup));
    }
}

fn requests(out: &mut Exposition) {
    out.family("certwright_requests_total", Kind::Counter, "Requests that workers answered, by resource and status.");
    let all = || Resource::ALL.iter().zip(&metrics::REQUESTS);
    for (resource, of) in all() {
        for (status, count) in STATUSES.iter().zip(&of.by_status) {
            // Those that never were are left out, but for one of each resource.
            if count.value() > 0 || *status == 200 {
                let status = if *status == 0 { "other".to_owned() } else { status.to_string() };
                out.sample(&[("resource", resource.as_str()), ("status", &status)], count.value());
            }
        }
    }
    out.family("certwright_request_seconds", Kind::Histogram, "How long workers took for a request.");
    for (resource, of) in all() {
        out.histogram(&[("resource", resource.as_str())], &of.took, &TIMES, MICROSECONDS);
    }
    out.family("certwright_refusals_total", Kind::Counter, "ACME requests that were refused, by problem type.");
    let mut kinds: Vec<(&str, u64)> = Vec::new();
    for (class, count) in Class::ALL.iter().zip(&metrics::REFUSED) {
        let kind = problem_type(*class);
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, sum)) => *sum = sum.saturating_add(count.value()),
            None => kinds.push((kind, count.value())),
        }
    }
    for (kind, count) in kinds {
        out.sample(&[("type", kind)], count);
    }
}

fn door(out: &mut Exposition) {
    out.family("certwright_connections", Kind::Gauge, "Open connections, by listener.");
    for (listener, open) in Listener::ALL.iter().zip(&metrics::CONNECTIONS) {
        out.sample(&[("listener", listener.as_str())], open.value());
    }
    let of_listener = Listener::ALL.iter().map(|listener| listener.as_str());
    let help = "Connections that were accepted, by listener.";
    counters(out, "certwright_connections_accepted_total", help, "listener", of_listener, &metrics::ACCEPTED);
    let why = Eviction::ALL.iter().map(|why| why.as_str());
    let help = "Connections that were closed to make room, by what was short.";
    counters(out, "certwright_connections_evicted_total", help, "short", why, &metrics::EVICTED);
    let why = Turned::ALL.iter().map(|why| why.as_str());
    let help = "Requests that no worker saw, by reason.";
    counters(out, "certwright_requests_turned_away_total", help, "reason", why, &metrics::TURNED_AWAY);
    let help = "From the end of a request to its answer, the wait for a worker included.";
    out.family("certwright_answer_seconds", Kind::Histogram, help);
    for (listener, took) in Listener::ALL.iter().zip(&metrics::ANSWERED) {
        out.histogram(&[("listener", listener.as_str())], took, &TIMES, MICROSECONDS);
    }
}

fn work(out: &mut Exposition) {
    let purposes = Issued::ALL.iter().map(|issued| issued.as_str());
    let help = "Certificates that were issued, to clients and for the daemon itself.";
    counters(out, "certwright_certificates_issued_total", help, "purpose", purposes, &metrics::ISSUED);
    out.family("certwright_certificates_revoked_total", Kind::Counter, "Certificates that were revoked.")
        .sample(&[], metrics::REVOKED.value());
    out.family(
        "certwright_validations_total",
        Kind::Counter,
        "Validations that ended or were put off, by type and result.",
    );
    for (kind, of) in ChallengeType::ALL.into_iter().zip(&VALIDATIONS) {
        for (verdict, count) in Verdict::ALL.iter().zip(of) {
            out.sample(&[("type", kind.name()), ("result", verdict.as_str())], count.value());
        }
    }
    out.family("certwright_commit_seconds", Kind::Histogram, "How long commits took.").histogram(
        &[],
        &metrics::COMMITS,
        &TIMES,
        MICROSECONDS,
    );
    out.family("certwright_commit_changes", Kind::Histogram, "How many changes shared a commit.").histogram(
        &[],
        &metrics::COMMIT_SIZES,
        &SIZES,
        1,
    );
    out.family("certwright_commits_failed_total", Kind::Counter, "Commits that failed, with all changes in them.")
        .sample(&[], metrics::COMMITS_FAILED.value());
    let levels = ["error", "warn", "info", "debug", "trace"].into_iter();
    counters(out, "certwright_log_lines_total", "Lines of the log, by level.", "level", levels, &metrics::LOG_LINES);
}

fn counters(
    out: &mut Exposition,
    name: &'static str,
    help: &str,
    label: &str,
    values: impl Iterator<Item = &'static str>,
    counts: &[Counter],
) {
    out.family(name, Kind::Counter, help);
    for (value, count) in values.zip(counts) {
        out.sample(&[(label, value)], count.value());
    }
}

/// Since 1970; what was before is told as that.
fn seconds(at: Time) -> u64 {
    u64::try_from(at.0).unwrap_or_default()
}
