//! What the kernel tells of a running daemon (proc(5)).

use super::daemon::Ca;
use super::place::{NOBODY, running_as_root};
use std::path::PathBuf;

/// The folder of a process in /proc.
pub struct Process(PathBuf);

impl Ca {
    pub fn process(&self) -> Process {
        Process(PathBuf::from(format!("/proc/{}", self.pid().as_raw_nonzero())))
    }
}

impl Process {
    /// How many descriptors it has open.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(self.0.join("fd")).unwrap().count()
    }

    /// The most memory that it ever had, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let text = self.status("VmHWM");
        let kibibytes: u64 = text.trim_end_matches(" kB").parse().unwrap();
        kibibytes * 1024
    }

    /// What its status says of this.
    pub fn status(&self, field: &str) -> String {
        let text = std::fs::read_to_string(self.0.join("status")).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {field} in {text}")).trim().to_owned()
    }

    /// Its arguments and its environment, as everybody on the machine could see the former.
    pub fn arguments_and_environment(&self) -> Vec<u8> {
        let read = |name: &str| std::fs::read(self.0.join(name)).unwrap();
        [read("cmdline"), read("environ")].concat()
    }
}

#[test]
fn the_daemon_of_a_story_runs_unprivileged() {
    let ca = Ca::start();
    let process = ca.process();
    let own = rustix::process::geteuid().as_raw();
    let expected = if running_as_root() { NOBODY } else { own };
    let shown = expected.to_string();
    assert_eq!(process.status("Uid").split_whitespace().collect::<Vec<_>>(), [shown.as_str(); 4]);
    assert_ne!(expected, 0);
    if running_as_root() {
        assert_eq!(process.status("Gid").split_whitespace().collect::<Vec<_>>(), [shown.as_str(); 4]);
        assert_eq!(process.status("Groups"), "");
    }
    for capabilities in ["CapPrm", "CapEff", "CapInh", "CapAmb"] {
        assert_eq!(process.status(capabilities).trim_matches('0'), "", "{capabilities}");
    }
}
