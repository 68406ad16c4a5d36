//! What the kernel tells of a running daemon (proc(5)).

use super::daemon::Ca;
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
}
