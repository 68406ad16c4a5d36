//! Requests that wait for a worker, and which workers come for them: as many as there are processors, and first those who
//! would look by themselves or have just had nothing to do. To wake another costs more than most requests, and what is in
//! the caches of the last one is of use to the next request.

use super::passage::Request;
use std::collections::{BTreeMap, VecDeque};
use std::thread::{Thread, ThreadId};
use std::time::{Duration, Instant};

/// How long a request waits for those who are awake.
pub const PATIENCE: Duration = Duration::from_millis(1);
/// Whoever was called and has not come after so long does not count as coming.
const LOST: Duration = Duration::from_millis(5);

pub(super) struct Queue {
    /// The number of the last one; none is ever used again, so that a late reply finds nobody else.
    last: u64,
    /// By number, so that the oldest is taken first.
    waiting: BTreeMap<u64, Waiting>,
    /// How many workers take what waits, one after the other.
    awake: usize,
    /// Workers who have just had nothing to do, the last of them at the end.
    lingering: Vec<Thread>,
    /// How many wait for tiny_http.
    asleep: usize,
    /// When those of them were called who have not come yet.
    called: VecDeque<Instant>,
    /// More workers at a time would wait for a processor.
    enough: usize,
}

struct Waiting {
    request: Request,
    since: Instant,
}

/// Who is to come.
#[derive(Debug)]
pub(super) enum Call {
    /// This worker, who counts as awake from now on.
    Lingering(Thread),
    /// One of those who wait for tiny_http.
    Sleeping,
}

impl Queue {
    /// For so many processors.
    pub(super) fn new(processors: usize) -> Queue {
        let (waiting, lingering, called) = (BTreeMap::new(), Vec::new(), VecDeque::new());
        Queue { last: 0, waiting, awake: 0, lingering, asleep: 0, called, enough: processors.max(1) }
    }

    /// Let a request wait; its number.
    pub(super) fn push(&mut self, request: Request, now: Instant) -> u64 {
        self.last = self.last.saturating_add(1);
        self.waiting.insert(self.last, Waiting { request, since: now });
        self.last
    }

    /// Whom to call, where somebody more has to come and can.
    pub(super) fn call(&mut self, now: Instant) -> Option<Call> {
        let coming = self.awake.saturating_add(self.on_the_way(now));
        if coming < self.waiting.len().min(self.enough) { self.call_one(now) } else { None }
    }

    /// Whom to call for those that have waited for long enough, by their numbers, though any worker takes the oldest: whoever is
    /// awake may wait for something.
    pub(super) fn call_for_all(&mut self, now: Instant) -> Vec<(u64, Call)> {
        let on_the_way = self.on_the_way(now);
        let is_late = |waiting: &Waiting| now.saturating_duration_since(waiting.since) >= PATIENCE;
        let late = self.waiting.iter().filter(|(_, waiting)| is_late(waiting)).map(|(number, _)| *number);
        let numbers: Vec<u64> = late.skip(on_the_way).collect();
        numbers.into_iter().map_while(|number| self.call_one(now).map(|call| (number, call))).collect()
    }

    /// How many who sleep were called and will come.
    fn on_the_way(&mut self, now: Instant) -> usize {
        while self.called.front().is_some_and(|at| now.saturating_duration_since(*at) > LOST) {
            self.called.pop_front();
        }
        self.called.len()
    }

    fn call_one(&mut self, now: Instant) -> Option<Call> {
        if let Some(thread) = self.lingering.pop() {
            self.awake = self.awake.saturating_add(1);
            return Some(Call::Lingering(thread));
        }
        // Otherwise all are busy, and the first who is not takes it.
        let one_sleeps = self.called.len() < self.asleep;
        if one_sleeps {
            self.called.push_back(now);
        }
        one_sleeps.then_some(Call::Sleeping)
    }

    /// Whether no worker waits for tiny_http.
    pub(super) fn is_sleepless(&self) -> bool {
        self.asleep == 0
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The oldest.
    pub(super) fn take(&mut self) -> Option<(u64, Request)> {
        self.waiting.pop_first().map(|(number, waiting)| (number, waiting.request))
    }

    /// This one, if it still waits.
    pub(super) fn withdraw(&mut self, number: u64) -> Option<Request> {
        self.waiting.remove(&number).map(|waiting| waiting.request)
    }

    /// One more worker waits for tiny_http.
    pub(super) fn sleep(&mut self) {
        self.asleep = self.asleep.saturating_add(1);
    }

    /// One who slept takes what waits from now on.
    pub(super) fn wake(&mut self) {
        self.asleep = self.asleep.saturating_sub(1);
        self.hear();
        self.come_back();
    }

    /// A call for one who sleeps has come to somebody.
    pub(super) fn hear(&mut self) {
        self.called.pop_front();
    }

    /// A worker who took what waits has to wait for something itself.
    pub(super) fn leave(&mut self) {
        self.awake = self.awake.saturating_sub(1);
    }

    /// It takes what waits again.
    pub(super) fn come_back(&mut self) {
        self.awake = self.awake.saturating_add(1);
    }

    /// A worker who took what waits has nothing to do.
    pub(super) fn linger(&mut self, worker: Thread) {
        self.leave();
        self.lingering.push(worker);
    }

    /// Whether it has not been called since.
    pub(super) fn lingers(&self, worker: ThreadId) -> bool {
        self.lingering.iter().any(|thread| thread.id() == worker)
    }

    /// It has lingered for long enough. Whether it is to wait for tiny_http; otherwise it takes what waits.
    pub(super) fn may_sleep(&mut self, worker: ThreadId) -> bool {
        self.lingering.retain(|thread| thread.id() != worker);
        if self.is_empty() {
            self.sleep()
        } else {
            self.come_back()
        }
        self.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Door;

    /// With so many workers, all asleep.
    fn queue(processors: usize, workers: usize) -> Queue {
        let mut queue = Queue::new(processors);
        (0..workers).for_each(|_| queue.sleep());
        queue
    }

    fn pushed(queue: &mut Queue) -> (u64, Option<Call>) {
        let [address, method, target] = ["192.0.2.1", "GET", "/"].map(str::to_owned);
        let request = Request { door: Door::Plain, address, method, target, content_type: None, body: Vec::new() };
        (queue.push(request, Instant::now()), queue.call(Instant::now()))
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
        let mut queue = queue(2, 9);
        assert!(matches!(pushed(&mut queue), (1, Some(Call::Sleeping))));
        assert!(matches!(pushed(&mut queue), (2, Some(Call::Sleeping))));
        assert!(matches!(pushed(&mut queue), (3, None)), "two are on the way");
        queue.wake();
        assert_eq!(taken(&mut queue), Some(1));
        assert!(matches!(pushed(&mut queue), (4, None)));
        // The other comes, and finds that the first has taken what it was called for.
        assert_eq!(taken(&mut queue), Some(2));
        queue.wake();
        assert_eq!([taken(&mut queue), taken(&mut queue), taken(&mut queue)], [Some(3), Some(4), None]);
        queue.leave();
        assert!(matches!(pushed(&mut queue), (5, None)), "one is awake");
        assert!(matches!(pushed(&mut queue), (6, Some(Call::Sleeping))));
    }

    #[test]
    fn whoever_waits_is_followed_by_another_if_there_is_something_to_take() {
        let mut queue = queue(1, 2);
        queue.wake();
        queue.leave();
        assert!(queue.call(Instant::now()).is_none(), "there is nothing to take");
        queue.come_back();
        assert!(matches!(pushed(&mut queue), (1, None)));
        queue.leave();
        assert!(matches!(queue.call(Instant::now()), Some(Call::Sleeping)));
        assert!(queue.call(Instant::now()).is_none(), "once");
        queue.come_back();
        queue.wake();
        assert_eq!(taken(&mut queue), Some(1));
    }

    #[test]
    fn the_last_who_had_nothing_to_do_is_the_first_to_come_and_whoever_sleeps_the_last() {
        let mut queue = queue(4, 4);
        let all: [Thread; 3] = workers();
        for worker in &all {
            queue.wake();
            queue.linger(worker.clone());
        }
        assert!(queue.may_sleep(all[1].id()));
        for expected in [2, 0] {
            let (_, call) = pushed(&mut queue);
            assert!(matches!(call, Some(Call::Lingering(thread)) if thread.id() == all[expected].id()));
            assert!(!queue.lingers(all[expected].id()));
        }
        assert!(matches!(pushed(&mut queue), (3, Some(Call::Sleeping))));
        assert!(matches!(pushed(&mut queue), (4, Some(Call::Sleeping))));
        assert_eq!((queue.awake, queue.asleep, queue.called.len()), (2, 2, 2));
    }

    #[test]
    fn what_has_waited_for_long_is_called_for_and_nobody_is_called_who_cannot_come() {
        let mut queue = queue(1, 4);
        let [worker] = workers();
        queue.wake();
        queue.wake();
        (0..5).for_each(|_| assert!(pushed(&mut queue).1.is_none(), "two are awake"));
        queue.linger(worker.clone());
        assert!(queue.call_for_all(Instant::now()).is_empty(), "they have not waited for long");
        let now = Instant::now() + PATIENCE;
        let calls = queue.call_for_all(now);
        let [(1, Call::Lingering(thread)), (2, Call::Sleeping), (3, Call::Sleeping)] = calls.as_slice() else {
            panic!("one lingers, two sleep, one is busy: {calls:?}")
        };
        assert_eq!(thread.id(), worker.id());
        assert!(queue.call_for_all(now + LOST).is_empty(), "all are on their way");
        assert_eq!(queue.call_for_all(now + LOST + Duration::from_millis(1)).len(), 2, "they do not come");
        queue.wake();
        queue.hear();
        queue.linger(worker.clone());
        assert!(!queue.may_sleep(worker.id()), "something waits");
        assert!(queue.withdraw(2).is_some() && queue.withdraw(2).is_none());
        assert_eq!([(); 5].map(|()| taken(&mut queue)), [Some(1), Some(3), Some(4), Some(5), None]);
        assert_eq!((queue.awake, queue.asleep, queue.called.len()), (3, 1, 0));
    }
}
