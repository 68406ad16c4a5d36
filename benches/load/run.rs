//! Clients side by side, against whatever server.

use super::client::{Client, Issuance};
use super::process::Process;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What a number of clients got done.
pub struct Run {
    pub per_second: f64,
    /// The server's CPU time for each, in milliseconds.
    pub cpu: f64,
    issuances: Vec<Issuance>,
}

impl Run {
    /// Let each client issue for a while, after a first one that is not counted.
    pub fn of_issuances(clients: Vec<Client>, process: Process, length: Duration) -> Run {
        Run::of(clients, process, length, |client, issuances| issuances.push(client.issue()))
    }

    /// Let each client fetch one thing for a while.
    pub fn of_requests(clients: Vec<Client>, process: Process, length: Duration, method: &str, path: &str) -> Run {
        let nothing = Issuance { whole: Duration::ZERO, polls_aside: Duration::ZERO, requests: 1 };
        Run::of(clients, process, length, |client, done| {
            let reply = client.fetch(method, path);
            assert!(reply.status == 200 || reply.status == 204, "{method} {path}: {}", reply.status);
            done.push(nothing);
        })
    }

    fn of(
        clients: Vec<Client>,
        process: Process,
        length: Duration,
        act: impl Fn(&mut Client, &mut Vec<Issuance>) + Sync,
    ) -> Run {
        let (ready, stop) = (Barrier::new(clients.len() + 1), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let threads: Vec<_> = clients
                .into_iter()
                .map(|mut client| {
                    let (ready, stop, act) = (&ready, &stop, &act);
                    scope.spawn(move || {
                        act(&mut client, &mut Vec::new());
                        ready.wait();
                        let mut done = Vec::new();
                        while !stop.load(Ordering::Relaxed) {
                            act(&mut client, &mut done);
                        }
                        done
                    })
                })
                .collect();
            ready.wait();
            let (start, cpu) = (Instant::now(), process.cpu());
            std::thread::sleep(length);
            stop.store(true, Ordering::Relaxed);
            let issuances: Vec<Issuance> = threads.into_iter().flat_map(|t| t.join().unwrap()).collect();
            let count = issuances.len() as f64;
            let spent = process.cpu() - cpu;
            Run { per_second: count / start.elapsed().as_secs_f64(), cpu: spent.as_secs_f64() * 1e3 / count, issuances }
        })
    }

    /// Milliseconds of the whole issuance within which this share of all ended.
    pub fn whole(&self, share: f64) -> f64 {
        self.at(share, |issuance| issuance.whole)
    }

    /// The same without waiting and polls.
    pub fn polls_aside(&self, share: f64) -> f64 {
        self.at(share, |issuance| issuance.polls_aside)
    }

    /// How many requests an issuance took, polls and all.
    pub fn requests(&self) -> f64 {
        self.issuances.iter().map(|issuance| issuance.requests).sum::<usize>() as f64 / self.issuances.len() as f64
    }

    fn at(&self, share: f64, part: impl Fn(&Issuance) -> Duration) -> f64 {
        let mut times: Vec<Duration> = self.issuances.iter().map(part).collect();
        times.sort_unstable();
        times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3
    }
}
