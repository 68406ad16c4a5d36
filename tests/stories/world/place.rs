//! Where a story plays: a directory that goes when the story ends, and a loopback address of its own.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use tempfile::TempDir;

/// The uid and gid that a daemon runs under when the tests run as root: Debian's nobody and nogroup.
pub const NOBODY: u32 = 65534;

/// A uid that is nobody's.
pub const STRANGER: u32 = 60_001;

pub struct Place {
    directory: TempDir,
    /// Nobody else binds here, so a port that was free a moment ago is still free when a client binds it.
    pub address: Ipv4Addr,
}

impl Place {
    pub fn new() -> Place {
        let directory = tempfile::Builder::new().prefix("certwright-story-").tempdir().unwrap();
        let place = Place { directory, address: own_address() };
        place.give_to_daemon(place.path());
        place
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.file(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// A directory that the daemon may write to.
    pub fn make_directory(&self, name: &str) -> PathBuf {
        let path = self.file(name);
        std::fs::create_dir_all(&path).unwrap();
        self.give_to_daemon(&path);
        path
    }

    /// The daemon may read this file, whoever made it.
    pub fn make_readable(&self, name: &str) {
        self.give_to_daemon(&self.file(name));
    }

    /// A port that is free on this story's own address, and that no other story or daemon is given by chance: they are counted
    /// below those that the kernel hands out for port 0.
    pub fn free_port(&self) -> u16 {
        static NEXT: AtomicU16 = AtomicU16::new(10_000);
        loop {
            let port = NEXT.fetch_add(1, Ordering::Relaxed);
            assert!(port < 32_768, "more ports than stories could need");
            if TcpListener::bind((self.address, port)).is_ok() {
                return port;
            }
        }
    }

    fn give_to_daemon(&self, path: &Path) {
        if running_as_root() {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
}

pub fn running_as_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// In 127.0.0.0/8, twelve bits from the process and twelve counted: neither a second test process nor a second test meets it.
fn own_address() -> Ipv4Addr {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    assert!(count < 1 << 12, "more places than addresses");
    // Neither 127.0.x.x, where others are, nor the broadcast address.
    let process = 16 + std::process::id() % 4_079;
    Ipv4Addr::from(127 << 24 | process << 12 | count)
}
