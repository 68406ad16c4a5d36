//! How often one address, and one account, may make us verify a signature. Looked at before each of them.
//!
//! What an account signs is counted against that account alone, and only once it is verified, so that nobody uses up what
//! belongs to another. What only shows a key, and what names an account and is not signed by it, is counted against the
//! address that it comes from; yet accounts that have signed something there pass, so that an attacker does not keep out
//! those behind the same router. Whoever names one of these from there has its signatures verified, in the turns that the
//! front door gives his address: to keep somebody out is worse than to verify in vain.

use crate::error::{Class, Error, Result};
use crate::identifier::Peer;
use crate::keys::sha256;
use crate::policy::{Buckets, Rate};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Requests that show a key of their own, from one address. Six hundred machines that are set up at once behind one router
/// get their accounts; a hundred signatures a second are a hundredth of a core.
const STRANGERS: Rate = Rate { burst: 600, interval: Duration::from_millis(10) };

/// Requests from one address that are not signed by the account that they name. A client with the right key makes none.
const IMPOSTORS: Rate = STRANGERS;

/// For how long an account is remembered at an address where it signed something: longer than any certificate lives, since
/// most clients come only to renew theirs.
const AT_HOME: Rate = Rate { burst: 1, interval: Duration::from_secs(100 * 86_400) };

/// Requests of one account. A thousand certificates at once and then fifty a second are more than clients need that renew
/// by the hundred; one in a loop gets a tenth of what a core answers.
const ACCOUNTS: Rate = Rate { burst: 6_000, interval: Duration::from_micros(3_333) };

/// Refusals of one account, or of one credential, that are audited and logged at the usual level; the others are logged at
/// debug. The audit log is kept for years, and a client in a loop would write millions of rows a day.
const AUDITED: Rate = Rate { burst: 100, interval: Duration::from_secs(10) };

/// Whose refusals are audited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Refused {
    Account(i64),
    /// The beginning of the hash of its kid.
    Credential([u8; 16]),
    /// The same of those who do not know its MAC key, so that they hide nothing of those who do.
    WrongMac([u8; 16]),
    /// Anybody, by a fault of ours.
    Fault,
}

impl Refused {
    pub(super) fn credential(kid: &str) -> Refused {
        Refused::Credential(beginning_of_hash(kid))
    }

    pub(super) fn wrong_mac(kid: &str) -> Refused {
        Refused::WrongMac(beginning_of_hash(kid))
    }
}

fn beginning_of_hash(kid: &str) -> [u8; 16] {
    sha256(kid.as_bytes()).first_chunk().copied().unwrap_or_default()
}

pub(super) struct RequestLimits {
    /// Not the clock of the machine: when that is set back, nobody must be kept out until it has caught up.
    start: Instant,
    strangers: Buckets<Peer>,
    impostors: Buckets<Peer>,
    /// Whoever has taken theirs signed something within the interval.
    at_home: Buckets<(Peer, i64)>,
    accounts: Buckets<i64>,
    audited: Buckets<Refused>,
    /// Whether the machine itself is counted as others are.
    counts_this_machine: bool,
}

impl RequestLimits {
    /// Where proxies say who asks, even the machine itself is somebody.
    pub(super) fn new(is_proxied: bool) -> RequestLimits {
        RequestLimits {
            counts_this_machine: is_proxied,
            start: Instant::now(),
            strangers: Buckets::new(STRANGERS),
            impostors: Buckets::new(IMPOSTORS),
            at_home: Buckets::new(AT_HOME),
            accounts: Buckets::new(ACCOUNTS),
            audited: Buckets::new(AUDITED),
        }
    }

    /// Let a request in that shows a key of its own.
    ///
    /// # Errors
    /// RateLimited, with how long to wait.
    pub(super) fn admit_stranger(&self, address: &str) -> Result<()> {
        let Some(peer) = self.peer_at(address) else { return Ok(()) };
        let now = self.start.elapsed();
        wait(self.strangers.wait(peer, now), "from your address by keys without an account")?;
        self.strangers.take(peer, now);
        Ok(())
    }

    /// Whether a request that names this account may have its signature verified. To be counted afterwards.
    ///
    /// # Errors
    /// RateLimited, with how long to wait.
    pub(super) fn check_account(&self, address: &str, account: i64) -> Result<()> {
        let now = self.start.elapsed();
        wait(self.accounts.wait(account, now), "by this account")?;
        let Some(peer) = self.peer_at(address) else { return Ok(()) };
        match self.impostors.wait(peer, now) {
            Some(time) if self.at_home.wait((peer, account), now).is_none() => {
                wait(Some(time), "from your address with wrong signatures")
            }
            _ => Ok(()),
        }
    }

    /// Count a request that this account has signed.
    pub(super) fn count_account(&self, address: &str, account: i64) {
        let now = self.start.elapsed();
        self.accounts.take(account, now);
        if let Some(peer) = self.peer_at(address) {
            self.at_home.take((peer, account), now);
        }
    }

    /// At which level one more refusal is to be logged: info while it is to be audited as well, else debug.
    pub(super) fn level(&self, refused: Refused) -> log::Level {
        let now = self.start.elapsed();
        if self.audited.wait(refused, now).is_some() {
            return log::Level::Debug;
        }
        self.audited.take(refused, now);
        log::Level::Info
    }

    /// Count a request that is not signed by the account that it names.
    pub(super) fn count_impostor(&self, address: &str) {
        if let Some(peer) = self.peer_at(address) {
            self.impostors.take(peer, self.start.elapsed());
        }
    }

    /// Whom requests from an address are counted against. The machine itself is nobody: whoever passes connections on to us
    /// there shows all clients under this one address, and who is on the machine has better ways to keep it busy.
    fn peer_at(&self, address: &str) -> Option<Peer> {
        let address: IpAddr = address.parse().ok()?;
        let itself = [IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])];
        (self.counts_this_machine || !itself.contains(&address.to_canonical())).then(|| Peer::of(address))
    }
}

fn wait(wait: Option<Duration>, which: &str) -> Result<()> {
    let Some(wait) = wait else { return Ok(()) };
    let begun = i64::from(wait.subsec_nanos() > 0);
    let seconds = i64::try_from(wait.as_secs()).unwrap_or(i64::MAX).saturating_add(begun);
    let what = format!("there are too many requests {which}; wait for {seconds} s, and send them more slowly");
    Err(Error::new(Class::RateLimited, what).retry_after(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(result: Result<()>) -> Option<Class> {
        result.err().map(|e| e.class())
    }

    /// Before its start no time passes.
    fn standing_still() -> RequestLimits {
        RequestLimits { start: Instant::now() + Duration::from_secs(86_400), ..RequestLimits::new(false) }
    }

    #[test]
    fn strangers_are_held_back_by_address_and_no_account_behind_it_is() {
        let limits = standing_still();
        assert_eq!((0..2_000).filter(|_| limits.admit_stranger("192.0.2.1").is_ok()).count(), 600);
        assert_eq!(class(limits.admit_stranger("::ffff:192.0.2.1")), Some(Class::RateLimited));
        assert_eq!(limits.admit_stranger("192.0.2.2"), Ok(()));
        assert_eq!(limits.check_account("192.0.2.1", 7), Ok(()));
    }

    #[test]
    fn impostors_are_held_back_by_address_and_the_accounts_that_were_there_before_are_not() {
        let limits = standing_still();
        limits.count_account("2001:db8::1", 1);
        for host in 0..1_000 {
            limits.count_impostor(&format!("2001:db8::{host:x}"));
        }
        assert_eq!(class(limits.check_account("2001:db8::ffff:1", 2)), Some(Class::RateLimited));
        assert_eq!(limits.check_account("2001:db8::1", 1), Ok(()), "even where it is the one that they name");
        assert_eq!(limits.check_account("2001:db8:0:1::1", 2), Ok(()), "in another network");
    }

    #[test]
    fn an_account_in_a_loop_is_held_back_wherever_it_is_and_nobody_else() {
        let limits = standing_still();
        for _ in 0..100_000 {
            limits.count_account("192.0.2.1", 7);
        }
        assert_eq!(class(limits.check_account("192.0.2.1", 7)), Some(Class::RateLimited));
        assert_eq!(class(limits.check_account("127.0.0.1", 7)), Some(Class::RateLimited));
        assert_eq!(limits.check_account("192.0.2.1", 8), Ok(()));
    }

    #[test]
    fn the_machine_itself_is_not_held_back_by_address() {
        let limits = standing_still();
        for address in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert!((0..2_000).all(|_| limits.admit_stranger(address).is_ok()), "{address}");
        }
    }
}
