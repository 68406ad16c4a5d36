//! How the daemon is, in datagrams to the socket that NOTIFY_SOCKET names (sd_notify(3)). The protocol is a line of text, so
//! there is no crate for it.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// systemd reads at once; a manager that does not must not hold up the daemon.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where systemd hears how the daemon is; nowhere when it did not ask.
pub struct Notifier {
    to: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// As the environment says.
    pub fn from_environment() -> Notifier {
        let to = std::env::var_os("NOTIFY_SOCKET").and_then(|name| {
            let opened = open(&name);
            opened.inspect_err(|e| log::warn!(error:% = e; "systemd cannot be told how the daemon is")).ok()
        });
        let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
        let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|limit| *limit > 0 && is_ours && to.is_some());
        Notifier { to, watchdog: watchdog.map(Duration::from_micros) }
    }

    /// After how long without [`Notifier::alive`] systemd ends the daemon, if it does.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Requests and commands are answered from now on, or again.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// What the daemon does, for `systemctl status`.
    pub fn status(&self, status: &str) {
        self.tell(&format!("STATUS={status}"));
    }

    /// Files are read again; [`Notifier::ready`] follows.
    pub fn reloading(&self) {
        self.tell("RELOADING=1");
    }

    /// The end begins.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=finishing what runs");
    }

    /// It still works.
    pub fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    fn tell(&self, what: &str) {
        if let Some((socket, address)) = &self.to
            && let Err(e) = socket.send_to_addr(what.as_bytes(), address)
        {
            log::warn!(what, error:% = e; "systemd could not be told");
        }
    }
}

/// A path, or `@` and the name of an abstract socket.
fn open(name: &OsStr) -> std::io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok((socket, address))
}
