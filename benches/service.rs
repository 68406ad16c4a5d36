//! The daemon as a service runs it: it does not tell everything that it does, and its threads do not interrupt one another.

use crate::world::daemon::Ca;
use rustix::process::Pid;
use std::process::Command;

pub fn launch(ca: &mut Ca) {
    ca.launch_with(|command| {
        command.env("RUST_LOG", "info");
    });
    schedule_as_the_unit_does(ca.pid());
}

/// `CPUSchedulingPolicy=batch`, for all threads of a process.
pub fn schedule_as_the_unit_does(process: Pid) {
    let process = process.as_raw_nonzero().to_string();
    let scheduled = Command::new("/usr/bin/chrt").args(["--all-tasks", "--batch", "--pid", "0", &process]).status();
    assert!(scheduled.unwrap().success());
}
