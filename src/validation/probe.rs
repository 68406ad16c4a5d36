//! One attempt to prove a name: its addresses judged and reached, the file of its challenge type asked, and CAA after it.

use super::networks::ReachableNetworks;
use super::resolver::Resolver;
use super::{caa, dns_account01, dns_persist01, dns01, http01, tls_alpn01};
use crate::clock::{Seldom, Span, Time, later};
use crate::error::{Class, Error, Result};
use crate::identifier::Identifier;
use crate::policy::{CAA_LIFETIME, ChallengeType, GatewayUrl, IssuerPolicy, account_url};
use crate::store::{Read, Remembered, Store, ValidationJob};
use rustls::crypto::CryptoProvider;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Addresses of a name that are tried in one attempt.
const MOST_ADDRESSES: usize = 4;
/// Time that addresses do not share: in a part of it not even those who have to be asked twice let anybody in, and another
/// address would decide instead of them. Whoever asks has less.
const UNSHARED: Duration = Duration::from_secs(1);
/// In less than this nobody is asked anything.
pub(super) const LEAST: Duration = Duration::from_millis(10);
/// A valid authorization lasts this long, or as long as the issuer reuses it.
const VALID_AUTHORIZATION: Span = Span::DAY;

/// Where a challenge type comes in: its name, then its own file. CAA is asked for whoever has proved a name, for as long again.
pub(super) fn probe(
    store: &Store,
    prober: &Prober,
    job: &ValidationJob,
    now: Time,
    patience: Duration,
) -> std::result::Result<Proof, Failure> {
    let subject = Subject::load(store, prober, job, now).map_err(|e| Failure { error: e, passing: true })?;
    let deadline = later(Instant::now(), patience);
    let kind = ChallengeType::parse(&job.kind).map_err(|e| Failure { error: e, passing: false })?;
    if !subject.policy().challenges.contains(&kind) {
        return Err(Failure::last(Class::Unauthorized, format!("this issuer no longer offers {}", kind.name())));
    }
    match kind {
        ChallengeType::Http01 => http01::validate(&subject, deadline),
        ChallengeType::Dns01 => dns01::validate(&subject, deadline),
        ChallengeType::TlsAlpn01 => tls_alpn01::validate(&subject, deadline),
        ChallengeType::DnsAccount01 => dns_account01::validate(&subject, deadline),
        ChallengeType::DnsPersist01 => dns_persist01::validate(&subject, deadline),
    }?;
    let caa_checked = subject.policy().caa_since(&subject.identifier, now).is_some();
    if caa_checked {
        caa::check(&subject, later(Instant::now(), patience))?;
    }
    let full = VALID_AUTHORIZATION.max(subject.policy().reuse_authorizations);
    // Where CAA was asked, no longer than its answer is believed.
    let lifetime = if caa_checked { full.min(CAA_LIFETIME) } else { full };
    Ok(Proof { lifetime, caa_checked })
}

/// What a validation that succeeded has shown.
pub(super) struct Proof {
    /// How long it is good for.
    pub(super) lifetime: Span,
    /// Whether CAA was asked, and permits it.
    pub(super) caa_checked: bool,
}

/// What probes need.
pub(super) struct Prober {
    pub(super) resolver: Resolver,
    pub(super) networks: ReachableNetworks,
    pub(super) http_01_port: u16,
    pub(super) tls_alpn_01_port: u16,
    pub(super) issuers: Remembered<i64, Judge>,
    /// For https, which redirects may lead to.
    pub(super) crypto: Arc<CryptoProvider>,
    /// That a fault of ours stops validations.
    pub(super) put_off: Seldom,
}

/// Why a validation did not succeed.
pub(super) struct Failure {
    pub(super) error: Error,
    /// Whether the network was at fault, so that another attempt makes sense.
    pub(super) passing: bool,
}

impl Failure {
    pub(super) fn passing(class: Class, detail: impl Into<String>) -> Failure {
        Failure { error: Error::new(class, detail), passing: true }
    }

    /// What the system said. Where it has run out of something that is nothing about the name.
    pub(super) fn of_system(class: Class, e: &std::io::Error, detail: impl Into<String>) -> Failure {
        Failure::passing(if is_shortage(e) { Class::Unavailable } else { class }, detail)
    }

    pub(super) fn last(class: Class, detail: impl Into<String>) -> Failure {
        Failure { error: Error::new(class, detail), passing: false }
    }
}

/// Whether the fault is ours: no more descriptors, memory or buffers.
pub(super) fn is_shortage(e: &std::io::Error) -> bool {
    use rustix::io::Errno;
    e.raw_os_error().is_some_and(|code| {
        [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS].iter().any(|short| short.raw_os_error() == code)
    })
}

/// What is to be validated, with everything that a probe looks at.
pub(super) struct Subject<'p> {
    pub(super) prober: &'p Prober,
    pub(super) job: &'p ValidationJob,
    pub(super) identifier: Identifier,
    pub(super) issuer: Arc<Judge>,
    pub(super) now: Time,
}

/// The issuer that a name is validated for.
pub(super) struct Judge {
    pub(super) policy: IssuerPolicy,
    pub(super) display_id: String,
    /// Every URL that it ever had, the newest first.
    pub(super) urls: Vec<String>,
    /// Its CAA identities, or else the host of each of these URLs.
    pub(super) names: Vec<String>,
}

impl Judge {
    pub(super) fn load(read: &Read<'_>, issuer: i64) -> Result<Judge> {
        let policy = IssuerPolicy::parse(&read.issuer(issuer)?)?;
        let urls = read.issuer_urls(issuer)?;
        let mut names = policy.issuer_domain_names();
        if policy.caa_identities.is_empty() {
            for url in &urls {
                names.push(GatewayUrl::parse(url)?.host().to_string());
            }
        }
        Ok(Judge { policy, display_id: read.item(issuer)?.display_id, urls, names })
    }
}

impl<'p> Subject<'p> {
    pub(super) fn load(store: &Store, prober: &'p Prober, job: &'p ValidationJob, now: Time) -> Result<Subject<'p>> {
        let issuer = prober.issuers.read(store, job.issuer, |read| Judge::load(read, job.issuer))?;
        let identifier = Identifier::parse(&job.identifier_type, &job.identifier)?;
        Ok(Subject { prober, job, identifier, issuer, now })
    }

    pub(super) fn policy(&self) -> &IssuerPolicy {
        &self.issuer.policy
    }

    /// The account's URL under each URL that the issuer ever had, the newest first.
    pub(super) fn account_urls(&self) -> Vec<String> {
        let Judge { urls, display_id, .. } = &*self.issuer;
        urls.iter().map(|base| account_url(base, display_id, self.job.account)).collect()
    }

    /// What lasting records may call this CA.
    pub(super) fn issuer_names(&self) -> &[String] {
        &self.issuer.names
    }

    /// RFC 8555, 8.1.
    pub(super) fn key_authorization(&self) -> String {
        format!("{}.{}", self.job.token, self.job.thumbprint)
    }
}

impl Prober {
    /// Try the addresses of a host in turn, each judged first, until one is reached. `attempt` gets the address, how long
    /// connecting may take, and how long everything; an error of its is a reason to try the next address.
    pub(super) fn reach<T>(
        &self,
        host: &Identifier,
        port: u16,
        account: i64,
        deadline: Instant,
        attempt: impl Fn(SocketAddr, Duration, Duration) -> std::result::Result<T, Failure>,
    ) -> std::result::Result<T, Failure> {
        let addresses = match host {
            Identifier::Ip(address) => vec![*address],
            Identifier::Dns(name) => self.resolver.addresses(name, account, deadline)?,
        };
        let tried = addresses.len().min(MOST_ADDRESSES);
        let mut failure = Failure::passing(Class::Connection, format!("{host}: there was no time to connect"));
        for (at, address) in addresses.into_iter().take(tried).enumerate() {
            let target = SocketAddr::new(address, port);
            if let Some(why) = self.networks.refusal(target) {
                // Denied is final only when no other address is left to try.
                if !failure.passing || at == 0 {
                    let why = format!("{host}: {target} is not connected to, since {why}");
                    failure = Failure::last(Class::Connection, why);
                }
                continue;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            // An address that swallows packets must leave time for the next.
            let is_shared = at.saturating_add(1) < tried && left > UNSHARED;
            let share = if is_shared { left.checked_div(3).unwrap_or(left) } else { left };
            if left < LEAST {
                break;
            }
            match attempt(target, share, left) {
                Ok(reached) => return Ok(reached),
                Err(e) => failure = e,
            }
        }
        Err(failure)
    }
}
