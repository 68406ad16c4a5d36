//! Requests that wait for a worker, and which workers come for them: as many as there are processors, and first those who
//! would look by themselves or have just had nothing to do. To wake another costs more than most requests, and what is in
//! the caches of the last one is of use to the next request.

use super::passage::Request;
use std::collections::BTreeMap;
use std::thread::{Thread, ThreadId};

pub(super) struct Queue {
    /// The number of the last one; none is ever used again, so that a late reply finds nobody else.
    last: u64,
    /// By number, so that the oldest is taken first.
    waiting: BTreeMap<u64, Waiting>,
    /// How many of those that wait a sleeping worker was called for, who is on the way.
    called: usize,
    /// How many workers take what waits, one after the other.
    awake: usize,
    /// Workers who have just had nothing to do, the last of them at the end.
    lingering: Vec<Thread>,
    /// More workers at a time would wait for a processor.
    enough: usize,
}

struct Waiting {
    request: Request,
    is_called: bool,
}

/// Who is to come.
pub(super) enum Call {
    /// This worker, who counts as awake from now on.
    Lingering(Thread),
    /// One of those who wait for tiny_http.
    Sleeping,
}

impl Queue {
    /// For so many processors.
    pub(super) fn new(processors: usize) -> Queue {
        let (waiting, lingering, enough) = (BTreeMap::new(), Vec::new(), processors.max(1));
        Queue { last: 0, waiting, called: 0, awake: 0, lingering, enough }
    }

    /// Let a request wait; its number.
    pub(super) fn push(&mut self, request: Request) -> u64 {
        self.last = self.last.saturating_add(1);
        self.waiting.insert(self.last, Waiting { request, is_called: false });
        self.last
    }

    /// Whom to call, where somebody more has to come.
    pub(super) fn call(&mut self) -> Option<Call> {
        let coming = self.awake.saturating_add(self.called);
        if coming >= self.waiting.len().min(self.enough) {
            return None;
        }
        if let Some(thread) = self.wake_lingering() {
            return Some(Call::Lingering(thread));
        }
        let waiting = self.waiting.values_mut().find(|waiting| !waiting.is_called)?;
        waiting.is_called = true;
        self.called = self.called.saturating_add(1);
        Some(Call::Sleeping)
    }

    /// Whoever was to take these may have to wait for something: whom to call for each that nobody was called for, with its
    /// number.
    pub(super) fn call_for_all(&mut self) -> Vec<(u64, Call)> {
        let uncalled: Vec<u64> = self.waiting.iter().filter(|(_, w)| !w.is_called).map(|(number, _)| *number).collect();
        let mut calls = Vec::with_capacity(uncalled.len());
        for number in uncalled {
            calls.push(match self.wake_lingering() {
                Some(thread) => (number, Call::Lingering(thread)),
                None => {
                    self.waiting.entry(number).and_modify(|waiting| waiting.is_called = true);
                    self.called = self.called.saturating_add(1);
                    (number, Call::Sleeping)
                }
            });
        }
        calls
    }

    /// The oldest.
    pub(super) fn take(&mut self) -> Option<(u64, Request)> {
        let number = *self.waiting.first_key_value()?.0;
        self.withdraw(number).map(|request| (number, request))
    }

    /// This one, if it still waits.
    pub(super) fn withdraw(&mut self, number: u64) -> Option<Request> {
        let Waiting { request, is_called } = self.waiting.remove(&number)?;
        self.called = self.called.saturating_sub(usize::from(is_called));
        Some(request)
    }

    /// A worker takes what waits from now on.
    pub(super) fn begin(&mut self) {
        self.awake = self.awake.saturating_add(1);
    }

    /// It does so no more, or not for now.
    pub(super) fn end(&mut self) {
        self.awake = self.awake.saturating_sub(1);
    }

    /// The same, and it would come back at once.
    pub(super) fn linger(&mut self, worker: Thread) {
        self.end();
        self.lingering.push(worker);
    }

    /// Whether a worker has not been called since it began to linger.
    pub(super) fn lingers(&self, worker: ThreadId) -> bool {
        self.lingering.iter().any(|thread| thread.id() == worker)
    }

    /// It goes to sleep.
    pub(super) fn leave(&mut self, worker: ThreadId) {
        self.lingering.retain(|thread| thread.id() != worker);
    }

    fn wake_lingering(&mut self) -> Option<Thread> {
        let thread = self.lingering.pop()?;
        self.begin();
        Some(thread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Door;

    fn pushed(queue: &mut Queue) -> (u64, Option<Call>) {
        let [address, method, target] = ["192.0.2.1", "GET", "/"].map(str::to_owned);
        let request = Request { door: Door::Plain, address, method, target, content_type: None, body: Vec::new() };
        (queue.push(request), queue.call())
    }

    fn taken(queue: &mut Queue) -> Option<u64> {
        queue.take().map(|(number, _)| number)
    }

    /// Workers, whose threads need not run.
    fn workers<const N: usize>() -> [Thread; N] {
        [(); N].map(|()| std::thread::spawn(|| ()).thread().clone())
    }

    #[test]
    fn somebody_is_called_for_what_nobody_comes_for_and_not_more_than_there_are_processors() {
        let mut queue = Queue::new(2);
        assert!(matches!(pushed(&mut queue), (1, Some(Call::Sleeping))));
        assert!(matches!(pushed(&mut queue), (2, Some(Call::Sleeping))));
        assert!(matches!(pushed(&mut queue), (3, None)), "two are on the way");
        queue.begin();
        assert_eq!(taken(&mut queue), Some(1));
        assert!(matches!(pushed(&mut queue), (4, None)));
        // The other comes, and finds that the first has taken what it was called for.
        assert_eq!(taken(&mut queue), Some(2));
        queue.begin();
        assert_eq!([taken(&mut queue), taken(&mut queue), taken(&mut queue)], [Some(3), Some(4), None]);
        queue.end();
        assert!(matches!(pushed(&mut queue), (5, None)), "one is awake");
        assert!(matches!(pushed(&mut queue), (6, Some(Call::Sleeping))));
    }

    #[test]
    fn whoever_waits_is_followed_by_another_if_there_is_something_to_take() {
        let mut queue = Queue::new(1);
        queue.begin();
        queue.end();
        assert!(queue.call().is_none(), "there is nothing to take");
        queue.begin();
        assert!(matches!(pushed(&mut queue), (1, None)));
        queue.end();
        assert!(matches!(queue.call(), Some(Call::Sleeping)));
        assert!(queue.call().is_none(), "once");
        queue.begin();
        queue.begin();
        assert_eq!(taken(&mut queue), Some(1));
    }

    #[test]
    fn the_last_who_had_nothing_to_do_is_the_first_to_come_and_whoever_sleeps_does_not() {
        let mut queue = Queue::new(3);
        let all: [Thread; 3] = workers();
        for worker in &all {
            queue.begin();
            queue.linger(worker.clone());
        }
        queue.leave(all[1].id());
        for expected in [2, 0] {
            let (_, call) = pushed(&mut queue);
            assert!(matches!(call, Some(Call::Lingering(thread)) if thread.id() == all[expected].id()));
            assert!(!queue.lingers(all[expected].id()));
        }
        assert!(matches!(pushed(&mut queue), (3, Some(Call::Sleeping))));
    }

    #[test]
    fn what_has_waited_for_long_is_called_for_one_by_one_and_once() {
        let mut queue = Queue::new(1);
        let [worker] = workers();
        queue.begin();
        queue.begin();
        (0..3).for_each(|_| assert!(pushed(&mut queue).1.is_none()));
        queue.linger(worker.clone());
        let calls = queue.call_for_all();
        let [(1, Call::Lingering(thread)), (2, Call::Sleeping), (3, Call::Sleeping)] = calls.as_slice() else {
            panic!("one lingers, the others sleep")
        };
        assert_eq!(thread.id(), worker.id());
        // Nobody sleeps for the first: that one is awake.
        assert!(matches!(queue.call_for_all().as_slice(), [(1, Call::Sleeping)]));
        assert!(queue.call_for_all().is_empty());
        assert!(queue.withdraw(2).is_some() && queue.withdraw(2).is_none());
        assert_eq!([taken(&mut queue), taken(&mut queue), taken(&mut queue)], [Some(1), Some(3), None]);
        assert_eq!((queue.called, queue.awake), (0, 2));
    }
}
