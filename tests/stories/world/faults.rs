//! Faults of the machine that a daemon runs on: a power cut, and a disk that is full, broken, slow or read-only. The library
//! of `faults.c` stands between the daemon and the system, and is built by the first story that needs it.

use super::binary;
use super::daemon::Ca;
use super::outcome::Outcome;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What a power cut takes or leaves as a whole.
const BLOCK: usize = 4096;

pub struct Faults {
    /// The files of the state directory as they were last synced.
    disk: PathBuf,
    orders: PathBuf,
    state: PathBuf,
}

impl Faults {
    /// Every start of this daemon from now on is under these faults, of which there are none yet.
    pub fn of(ca: &mut Ca) -> Faults {
        let state = ca.state_dir().canonicalize().unwrap();
        let faults = Faults { disk: ca.place.make_directory("disk"), orders: ca.place.file("orders"), state };
        faults.order("");
        ca.set_variable("LD_PRELOAD", library());
        ca.set_variable("FAULTS_WATCHED", &faults.state);
        ca.set_variable("FAULTS_DISK", &faults.disk);
        ca.set_variable("FAULTS_ORDERS", &faults.orders);
        faults
    }

    /// One of the orders that `faults.c` knows, or none.
    pub fn order(&self, order: &str) {
        let fresh = self.orders.with_extension("new");
        fs::write(&fresh, order).unwrap();
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o644)).unwrap();
        fs::rename(fresh, &self.orders).unwrap();
    }

    /// While no daemon runs: all that is there is on the disk, also what others wrote.
    pub fn everything_is_synced(&self) {
        for entry in fs::read_dir(&self.disk).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }

    /// After the daemon was killed: its files become what the disk has of them. Of what was not synced a block is there
    /// after all where `survives` says so, since a disk writes in whatever order it likes. Says how many bytes were lost.
    pub fn cut_power(&self, mut survives: impl FnMut() -> bool) -> usize {
        let mut lost = 0;
        for entry in fs::read_dir(&self.disk).unwrap() {
            let on_disk = entry.unwrap().path();
            let name = on_disk.file_name().unwrap().to_str().unwrap().replace('%', "/");
            let path = self.state.join(name);
            // Its name went while its content was written.
            let Ok(cached) = fs::read(&path) else { continue };
            let mut left = fs::read(&on_disk).unwrap();
            for at in (0..cached.len().max(left.len())).step_by(BLOCK) {
                let of = |content: &[u8]| content[at.min(content.len())..(at + BLOCK).min(content.len())].to_vec();
                let newer = of(&cached);
                if newer == of(&left) {
                    continue;
                }
                if survives() && !newer.is_empty() {
                    left.resize(left.len().max(at + newer.len()), 0);
                    left[at..at + newer.len()].copy_from_slice(&newer);
                } else {
                    lost += newer.len();
                }
            }
            // The owner and the mode stay.
            fs::write(&path, &left).unwrap();
            fs::write(&on_disk, &left).unwrap();
        }
        // It lives in memory.
        let _ = fs::remove_file(self.state.join("certwright.db-shm"));
        lost
    }
}

fn library() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let path = binary::directory().join("libfaults.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stories/world/faults.c");
        let flags = ["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o"];
        let output = Command::new("cc").args(flags).arg(&path).arg(source).output().unwrap();
        Outcome::new("cc faults.c", output).succeeded();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    })
}
