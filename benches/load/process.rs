//! What the kernel knows of a server's process.

use rustix::process::Pid;
use std::time::Duration;

/// A running server.
#[derive(Clone, Copy)]
pub struct Process(pub Pid);

impl Process {
    /// The CPU time that it has used, in all threads, those that have ended too.
    pub fn cpu(self) -> Duration {
        let stat = self.read("stat");
        // After the name, which may hold anything, come the fields from the third on.
        let (_, fields) = stat.rsplit_once(')').expect("a stat line");
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks: u64 = [11, 12].iter().map(|at| fields[*at].parse::<u64>().expect("ticks")).sum();
        // USER_HZ, which is 100 wherever Linux runs.
        Duration::from_millis(ticks * 10)
    }

    /// What is in memory of it, in MiB.
    pub fn resident(self) -> f64 {
        let status = self.read("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse::<f64>().expect("kB") / 1024.0
    }

    /// How many threads it has.
    pub fn threads(self) -> usize {
        std::fs::read_dir(format!("/proc/{}/task", self.0.as_raw_nonzero())).expect("it runs").count()
    }

    fn read(self, what: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{what}", self.0.as_raw_nonzero())).expect("it runs")
    }
}
