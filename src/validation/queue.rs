//! Who is validated next: the first that is due and whose name and account have a validator to spare, so that a slow
//! target holds up only itself.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const PER_NAME: usize = 2;
const PER_ACCOUNT: usize = 8;

/// One validation to be made.
pub(super) struct Ticket {
    pub(super) challenge: i64,
    /// Attempts made so far.
    pub(super) attempts: usize,
    /// When the first attempt was due.
    pub(super) started: Instant,
    account: i64,
    name: String,
    due: Instant,
}

impl Ticket {
    pub(super) fn new(challenge: i64, account: i64, name: String) -> Ticket {
        let now = Instant::now();
        Ticket { challenge, attempts: 0, started: now, account, name, due: now }
    }
}

#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Ticket>,
    /// Account and name of what is running.
    running: Vec<(i64, String)>,
    closed: bool,
}

impl Queue {
    pub(super) fn add(&self, ticket: Ticket) {
        self.lock().waiting.push_back(ticket);
        self.changed.notify_one();
    }

    /// Wait for the next ticket; `None` when the queue is closed.
    pub(super) fn take(&self) -> Option<Ticket> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            let now = Instant::now();
            let next = state.waiting.iter().position(|t| t.due <= now && state.has_room_for(t));
            if let Some(ticket) = next.and_then(|at| state.waiting.remove(at)) {
                state.running.push((ticket.account, ticket.name.clone()));
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

    /// A ticket has been worked on; with a pause it comes back after it.
    pub(super) fn done(&self, ticket: Ticket, again_after: Option<Duration>) {
        let mut state = self.lock();
        let at = state.running.iter().position(|(account, name)| *account == ticket.account && *name == ticket.name);
        if let Some(at) = at {
            state.running.swap_remove(at);
        }
        if let Some(pause) = again_after {
            state.waiting.push_back(Ticket { attempts: ticket.attempts + 1, due: Instant::now() + pause, ..ticket });
        }
        self.changed.notify_all();
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has_room_for(&self, ticket: &Ticket) -> bool {
        let of_name = self.running.iter().filter(|(_, name)| *name == ticket.name).count();
        let of_account = self.running.iter().filter(|(account, _)| *account == ticket.account).count();
        of_name < PER_NAME && of_account < PER_ACCOUNT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_its_share_running_waits_and_others_go_by() {
        let queue = Queue::default();
        for challenge in 1..=3 {
            queue.add(Ticket::new(challenge, challenge, "slow.lan".into()));
        }
        queue.add(Ticket::new(4, 4, "quick.lan".into()));
        let first = queue.take().unwrap();
        let second = queue.take().unwrap();
        assert_eq!(queue.take().unwrap().challenge, 4);
        queue.done(first, None);
        assert_eq!(queue.take().unwrap().challenge, 3);
        queue.done(second, Some(Duration::from_millis(1)));
        let again = queue.take().unwrap();
        assert_eq!((again.challenge, again.attempts), (2, 1));
        queue.close();
        assert!(queue.take().is_none());
    }
}
