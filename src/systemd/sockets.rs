//! Sockets that systemd listens on for the daemon (sd_listen_fds(3)), so that a restart refuses nobody: while one daemon ends
//! and the next begins, whoever connects waits in a queue that belongs to systemd.

// What is passed is a number. That it is a descriptor, and nobody else's, only whoever passed it can promise, and std rightly
// calls it unsafe to believe that.
#![allow(unsafe_code)]

use crate::error::{Error, Result};
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use rustix::net::{AddressFamily, SocketType, sockopt};
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where they begin.
const FIRST: i32 = 3;
/// One for each flag, and some by mistake.
const MOST: i32 = 16;

/// The sockets that were passed and not taken yet, each with its name (FileDescriptorName=).
#[derive(Default)]
pub struct PassedSockets {
    left: Vec<(String, OwnedFd)>,
    /// The names that were asked for.
    known: Vec<&'static str>,
}

impl PassedSockets {
    /// Take those that the environment tells of, if they are meant for this process. To be called before anything else opens
    /// a file; a second call finds none.
    ///
    /// # Errors
    /// Malformed when the environment tells of something else.
    pub fn from_environment() -> Result<PassedSockets> {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        let variable = |name: &str| std::env::var(name).unwrap_or_default();
        if variable("LISTEN_PID") != std::process::id().to_string() || TAKEN.swap(true, Ordering::SeqCst) {
            return Ok(PassedSockets::default());
        }
        let count = variable("LISTEN_FDS");
        let wrong = || Error::malformed(format!("LISTEN_FDS={count} is not the number of sockets that were passed"));
        let number = count.parse().ok().filter(|n| (0..=MOST).contains(n)).ok_or_else(wrong)?;
        let names = variable("LISTEN_FDNAMES");
        let mut names = names.split(':').filter(|name| !name.is_empty());
        let mut sockets = PassedSockets::default();
        for descriptor in (FIRST..).take(usize::try_from(number).unwrap_or_default()) {
            let name = names.next().unwrap_or("unknown").to_owned();
            sockets.left.push((name, take(descriptor).ok_or_else(wrong)?));
        }
        Ok(sockets)
    }

    /// Where the socket of this name listens, as its flag would say it.
    pub fn address(&self, name: &str) -> Option<String> {
        let (_, socket) = self.left.iter().find(|(passed, _)| passed == name)?;
        let socket = socket.try_clone().ok()?;
        if sockopt::socket_domain(&socket).ok()? == AddressFamily::UNIX {
            let address = UnixListener::from(socket).local_addr().ok()?;
            return Some(address.as_pathname()?.display().to_string());
        }
        Some(TcpListener::from(socket).local_addr().ok()?.to_string())
    }

    /// The TCP socket of this name, if one was passed.
    ///
    /// # Errors
    /// Malformed when it is another kind of socket.
    pub fn tcp(&mut self, name: &'static str) -> Result<Option<TcpListener>> {
        let found = self.take(name, &[AddressFamily::INET, AddressFamily::INET6], "ListenStream=PORT")?;
        let listener = found.map(TcpListener::from);
        listener.iter().try_for_each(|l| l.set_nonblocking(true)).map_err(|e| unusable(name, &e))?;
        Ok(listener)
    }

    /// The Unix socket of this name, if one was passed.
    ///
    /// # Errors
    /// Malformed when it is another kind of socket.
    pub fn unix(&mut self, name: &'static str) -> Result<Option<UnixListener>> {
        Ok(self.take(name, &[AddressFamily::UNIX], "ListenStream=/PATH")?.map(UnixListener::from))
    }

    /// Nobody takes any more.
    ///
    /// # Errors
    /// Malformed when one is left: it fits no flag, and whoever connects to it would wait for ever.
    pub fn finish(self) -> Result<()> {
        let Some((name, _)) = self.left.first() else { return Ok(()) };
        let known = self.known.join(", ");
        let why = if self.known.contains(&name.as_str()) { "is one too many" } else { "fits no flag" };
        Err(Error::malformed(format!(
            "the socket that systemd passes as {name} {why}; there may be one of each of these names: {known} \
             (FileDescriptorName= in the .socket unit)"
        )))
    }

    fn take(&mut self, name: &'static str, families: &[AddressFamily], setting: &str) -> Result<Option<OwnedFd>> {
        self.known.push(name);
        let Some(at) = self.left.iter().position(|(passed, _)| passed == name) else { return Ok(None) };
        let (_, socket) = self.left.swap_remove(at);
        let fits = sockopt::socket_domain(&socket).is_ok_and(|family| families.contains(&family))
            && sockopt::socket_type(&socket) == Ok(SocketType::STREAM)
            && sockopt::socket_acceptconn(&socket) == Ok(true);
        if fits { Ok(Some(socket)) } else { Err(unusable(name, &format!("say {setting} in its .socket unit"))) }
    }
}

fn unusable(name: &str, why: &dyn std::fmt::Display) -> Error {
    Error::malformed(format!("the socket that systemd passes as {name} is not of the kind that listens there: {why}"))
}

/// Own a descriptor, which programs that are started later do not get. None when it is not open.
fn take(descriptor: i32) -> Option<OwnedFd> {
    // SAFETY: the number is only asked about here.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    fcntl_getfd(borrowed.as_fd()).ok()?;
    // SAFETY: it is open, LISTEN_PID says that it is this process's, and it is taken once, before anything else of this
    // process has opened a file that could have got the number.
    let owned = unsafe { OwnedFd::from_raw_fd(descriptor) };
    fcntl_setfd(&owned, FdFlags::CLOEXEC).ok()?;
    Some(owned)
}
