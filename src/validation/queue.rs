//! Who is validated next: among those that are due, and whose name and account have a validator to spare, one of the
//! account that has fewest at work, so that slow targets hold up only who asked for them. What waits here is in the
//! database as well, so that there is never more of it than challenges.

use crate::clock::{Time, later};
use crate::store::{ValidationJob, ValidationResult};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const PER_NAME: usize = 2;
const PER_ACCOUNT: usize = 8;

/// One validation to be made.
pub(super) struct Ticket {
    pub(super) challenge: i64,
    /// When the client asked for it.
    pub(super) asked: Time,
    /// What is known when it was just asked for; otherwise it is read.
    pub(super) job: Option<ValidationJob>,
    /// What came out and could not be stored yet.
    pub(super) found: Option<(ValidationJob, ValidationResult)>,
    /// Attempts that the network made fail.
    pub(super) attempts: usize,
    /// When the first attempt began.
    pub(super) started: Instant,
    account: i64,
    name: String,
    due: Instant,
}

impl Ticket {
    pub(super) fn new(job: ValidationJob, asked: Time) -> Ticket {
        let (challenge, account, name, now) = (job.challenge, job.account, job.identifier.clone(), Instant::now());
        Ticket { challenge, asked, job: Some(job), found: None, attempts: 0, started: now, account, name, due: now }
    }
}

/// What becomes of a ticket that was worked on.
#[derive(Clone, Debug)]
pub(super) enum Next {
    /// Nothing more; with what was stored, if anything was.
    Over(Option<ValidationResult>),
    /// Another attempt after this pause, since the network was at fault.
    Again(Duration),
    /// The same attempt after this pause, since we were at fault.
    PutOff(Duration),
}

#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Which challenges wait or are worked on.
    known: HashSet<i64>,
    waiting: VecDeque<Ticket>,
    /// Account and name of what is running.
    running: Vec<(i64, String)>,
    closed: bool,
}

impl Queue {
    /// Let a ticket wait for a validator, unless its challenge is at work already.
    pub(super) fn add(&self, ticket: Ticket) {
        let mut state = self.lock();
        if state.admit(&ticket) {
            state.waiting.push_back(ticket);
            drop(state);
            self.changed.notify_one();
        }
    }

    /// The ticket itself where whoever brings it may work on it at once, to be followed by [`Queue::done`] and
    /// [`Queue::wake`]. Where its name or account has no room for it, it waits like others.
    pub(super) fn take_up(&self, mut ticket: Ticket) -> Option<Ticket> {
        let mut state = self.lock();
        if !state.admit(&ticket) {
            return None;
        }
        if !state.has_room(&ticket) {
            // Whoever makes room looks for it.
            state.waiting.push_back(ticket);
            return None;
        }
        state.running.push((ticket.account, ticket.name.clone()));
        ticket.started = Instant::now();
        Some(ticket)
    }

    /// Have a validator look whether anything may go now.
    pub(super) fn wake(&self) {
        if !self.lock().waiting.is_empty() {
            self.changed.notify_one();
        }
    }

    /// Wait for the next ticket; `None` when the queue is closed. Whoever has worked on one asks for the next at once, so
    /// that a place that becomes free needs nobody else to be woken.
    pub(super) fn take(&self) -> Option<Ticket> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            let now = Instant::now();
            if let Some(mut ticket) = state.next(now).and_then(|at| state.waiting.remove(at)) {
                state.running.push((ticket.account, ticket.name.clone()));
                if ticket.attempts == 0 {
                    ticket.started = now;
                }
                // Whoever slept until one of them was due may be the one who just woke.
                if !state.waiting.is_empty() {
                    self.changed.notify_one();
                }
                return Some(ticket);
            }
            // Sleep until the earliest that is not due yet; one without room is woken by who makes room.
            let soonest = state.waiting.iter().filter(|t| t.due > now).map(|t| t.due).min();
            state = match soonest {
                Some(due) => {
                    let wait = due.saturating_duration_since(now);
                    self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// A ticket has been worked on; to be followed by [`Queue::take`] or [`Queue::wake`].
    pub(super) fn done(&self, ticket: Ticket, next: Next) {
        let mut state = self.lock();
        let at = state.running.iter().position(|(account, name)| *account == ticket.account && *name == ticket.name);
        if let Some(at) = at {
            state.running.swap_remove(at);
        }
        let (pause, attempts) = match next {
            Next::Over(_) => {
                state.known.remove(&ticket.challenge);
                return;
            }
            Next::Again(pause) => (pause, ticket.attempts.saturating_add(1)),
            Next::PutOff(pause) => (pause, ticket.attempts),
        };
        let due = later(Instant::now(), pause);
        state.waiting.push_back(Ticket { attempts, due, job: None, ..ticket });
    }

    /// How many wait, and how many are under way.
    pub(super) fn lengths(&self) -> (usize, usize) {
        let state = self.lock();
        (state.waiting.len(), state.running.len())
    }

    /// Nobody waits any longer, for a ticket or for its end.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.waiting.clear();
        drop(state);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether a ticket is for a challenge that is not at work already.
    fn admit(&mut self, ticket: &Ticket) -> bool {
        !self.closed && self.known.insert(ticket.challenge)
    }

    /// Whether a name and its account have a validator to spare.
    fn has_room(&self, ticket: &Ticket) -> bool {
        let of_name = self.running.iter().filter(|(_, name)| *name == ticket.name).count();
        let of_account = self.running.iter().filter(|(account, _)| *account == ticket.account).count();
        of_name < PER_NAME && of_account < PER_ACCOUNT
    }

    /// The place of the ticket that goes next, the oldest of its account. As [`State::has_room`] for many at once, since a great
    /// many may wait.
    fn next(&self, now: Instant) -> Option<usize> {
        let mut of_account: HashMap<i64, usize> = HashMap::new();
        let mut of_name: HashMap<&str, usize> = HashMap::new();
        for (account, name) in &self.running {
            let (of_account, of_name) = (of_account.entry(*account).or_default(), of_name.entry(name).or_default());
            (*of_account, *of_name) = (of_account.saturating_add(1), of_name.saturating_add(1));
        }
        let at_work = |ticket: &Ticket| of_account.get(&ticket.account).copied().unwrap_or(0);
        let may_go = |ticket: &Ticket| {
            let name = of_name.get(ticket.name.as_str()).copied().unwrap_or(0);
            ticket.due <= now && name < PER_NAME && at_work(ticket) < PER_ACCOUNT
        };
        let eligible = self.waiting.iter().enumerate().filter(|(_, ticket)| may_go(ticket));
        eligible.min_by_key(|(_, ticket)| at_work(ticket)).map(|(at, _)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(challenge: i64, account: i64, name: &str) -> Ticket {
        let job = ValidationJob {
            challenge,
            account,
            identifier: name.into(),
            identifier_type: "dns".into(),
            kind: "http-01".into(),
            token: String::new(),
            thumbprint: String::new(),
            wildcard: false,
            subdomains: false,
            issuer: 1,
        };
        Ticket::new(job, Time(0))
    }

    #[test]
    fn a_name_with_its_share_running_waits_and_others_go_by() {
        let queue = Queue::default();
        for challenge in 1..=3 {
            queue.add(ticket(challenge, challenge, "slow.lan"));
        }
        queue.add(ticket(4, 4, "quick.lan"));
        let first = queue.take().unwrap();
        let second = queue.take().unwrap();
        assert_eq!(queue.take().unwrap().challenge, 4);
        queue.done(first, Next::Over(None));
        assert_eq!(queue.take().unwrap().challenge, 3);
        queue.done(second, Next::Again(Duration::from_millis(1)));
        let again = queue.take().unwrap();
        assert_eq!((again.challenge, again.attempts), (2, 1));
        queue.done(again, Next::PutOff(Duration::from_millis(1)));
        let put_off = queue.take().unwrap();
        assert_eq!((put_off.challenge, put_off.attempts), (2, 1), "a fault of ours costs no attempt");
        queue.close();
        assert!(queue.take().is_none());
    }

    #[test]
    fn accounts_take_turns_however_much_one_of_them_asked_for_before() {
        let queue = Queue::default();
        for challenge in 1..=100 {
            queue.add(ticket(challenge, 7, &format!("dead-{challenge}.lan")));
        }
        let busy = queue.take().unwrap();
        queue.add(ticket(200, 8, "honest.lan"));
        assert_eq!(queue.take().unwrap().challenge, 200);
        queue.done(busy, Next::Over(None));
    }

    #[test]
    fn nothing_is_worked_on_twice() {
        let queue = Queue::default();
        queue.add(ticket(1, 1, "host.lan"));
        assert!(queue.take_up(ticket(1, 1, "host.lan")).is_none(), "it waits already");
        let first = queue.take().unwrap();
        assert!(queue.take_up(ticket(1, 1, "host.lan")).is_none(), "it is worked on");
        assert_eq!(queue.lengths(), (0, 1));
        queue.done(first, Next::Again(Duration::from_millis(1)));
        let again = queue.take().unwrap();
        assert!(again.job.is_none(), "what has waited is read again");
        queue.done(again, Next::Over(None));
        let own = queue.take_up(ticket(1, 1, "host.lan")).unwrap();
        assert_eq!(queue.lengths(), (0, 1), "whoever asks may work on it");
        queue.done(own, Next::Over(None));
        queue.close();
        assert!(queue.take_up(ticket(3, 1, "host.lan")).is_none(), "at the end nothing is begun");
    }

    #[test]
    fn whoever_asks_has_no_more_room_than_a_validator_and_leaves_what_takes_longer_to_one() {
        let queue = Queue::default();
        let [first, second] = [1, 2].map(|challenge| queue.take_up(ticket(challenge, challenge, "slow.lan")).unwrap());
        assert!(queue.take_up(ticket(3, 3, "slow.lan")).is_none(), "a name has two");
        std::thread::scope(|scope| {
            let validator = scope.spawn(|| queue.take().unwrap());
            queue.done(first, Next::Over(None));
            queue.wake();
            let third = validator.join().unwrap();
            assert_eq!(third.challenge, 3);
            let validator = scope.spawn(|| queue.take().unwrap());
            queue.done(second, Next::PutOff(Duration::ZERO));
            queue.wake();
            let second = validator.join().unwrap();
            assert_eq!((second.challenge, second.attempts), (2, 0), "the asker's attempt counts for nothing");
        });
        for challenge in 10..18 {
            queue.take_up(ticket(challenge, 7, &format!("{challenge}.lan"))).unwrap();
        }
        assert!(queue.take_up(ticket(18, 7, "18.lan")).is_none(), "an account has eight");
    }

    #[test]
    fn the_clock_of_a_ticket_starts_with_its_first_attempt() {
        let queue = Queue::default();
        let mut ticket = ticket(1, 1, "slow.lan");
        ticket.started = Instant::now() - Duration::from_secs(3_600);
        queue.add(ticket);
        assert!(queue.take().unwrap().started.elapsed() < Duration::from_secs(60), "waiting for room costs nothing");
    }
}
