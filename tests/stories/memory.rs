//! What is in memory stays there.

use crate::world::daemon::Ca;
use crate::world::place::{NOBODY, running_as_root};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Output};

#[test]
fn no_other_process_of_the_daemons_user_reads_its_memory_and_no_crash_writes_it_down() {
    let ca = Ca::start();
    ca.make_issuer("acme.com");
    let pid = ca.pid().as_raw_nonzero();
    assert!(as_daemons_user("/proc/self/environ").status.success(), "a process reads what is its own");
    for file in ["environ", "maps", "mem", "auxv"] {
        let file = format!("/proc/{pid}/{file}");
        assert_eq!(std::fs::metadata(&file).unwrap().uid(), 0, "{file} belongs to the daemon's user");
        let output = as_daemons_user(&file);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains("Permission denied"), "{file}: {told}");
    }
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    // What a command does belongs to whoever typed it.
    ca.run(&["status"]).succeeded();
}

/// Read a byte of a file as the user that the daemon runs under.
fn as_daemons_user(file: &str) -> Output {
    let mut command = Command::new("/usr/bin/setpriv");
    if running_as_root() {
        command.args(["--reuid", &NOBODY.to_string(), "--regid", &NOBODY.to_string(), "--clear-groups"]);
    }
    command.args(["--", "/usr/bin/head", "-c", "1", file]).env("LC_ALL", "C").output().unwrap()
}
