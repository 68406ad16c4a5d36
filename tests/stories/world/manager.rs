//! What a service manager hears of a daemon: systemd's side of NOTIFY_SOCKET.

use super::daemon::Ca;
use super::patience::seconds;
use std::fs::Permissions;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

const ALIVE: &str = "WATCHDOG=1";

pub struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    /// Every start of this daemon from now on tells it how it is.
    pub fn of(ca: &mut Ca) -> Manager {
        let path = ca.place.file("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
        ca.set_variable("NOTIFY_SOCKET", path);
        Manager { socket }
    }

    /// The same by a socket that has no file, as containers have it.
    pub fn abstract_of(ca: &mut Ca) -> Manager {
        let name = format!("certwright-story-{}", ca.place.address);
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        ca.set_variable("NOTIFY_SOCKET", format!("@{name}"));
        Manager { socket: UnixDatagram::bind_addr(&address).unwrap() }
    }

    /// What is heard next, within so long.
    pub fn hear(&self, limit: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(limit)).unwrap();
        let mut bytes = [0; 4096];
        let length = self.socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8(bytes[..length].to_vec()).unwrap())
    }

    /// The next that begins like this; what comes before it is let go.
    pub fn await_word(&self, word: &str) -> String {
        let start = Instant::now();
        loop {
            let heard = self.hear(seconds(30));
            assert!(heard.is_some() && start.elapsed() < seconds(60), "{word} was not heard");
            if let Some(heard) = heard.filter(|heard| heard.starts_with(word)) {
                return heard;
            }
        }
    }

    /// The longest of so many times between signs of life.
    pub fn longest_pause(&self, count: usize) -> Duration {
        self.pauses(count).max().unwrap()
    }

    /// The shortest of so many: the pace, whatever else this machine does.
    pub fn shortest_pause(&self, count: usize) -> Duration {
        self.pauses(count).min().unwrap()
    }

    /// The times between so many signs of life from now on.
    fn pauses(&self, count: usize) -> impl Iterator<Item = Duration> {
        // What nobody listened to so far would seem to come at once.
        while self.hear(Duration::from_millis(1)).is_some() {}
        self.await_word(ALIVE);
        (0..count).map(|_| {
            let start = Instant::now();
            self.await_word(ALIVE);
            start.elapsed()
        })
    }

    /// Return once there has been no sign of life for so long.
    pub fn await_silence(&self, length: Duration) {
        let start = Instant::now();
        while self.hear(length).is_some() {
            assert!(start.elapsed() < seconds(60), "it goes on telling that it is alive");
        }
    }
}
