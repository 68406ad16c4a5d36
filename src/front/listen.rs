//! Listening sockets and the limit of descriptors.

use crate::error::{Error, Result};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

const BACKLOG: i32 = 4096;

/// A bound, listening socket.
pub struct Listener {
    pub(super) socket: TcpListener,
    /// Where it listens; a port that was 0 is the real one here.
    pub address: SocketAddr,
}

impl Listener {
    /// One that somebody else has bound, and that does not block.
    ///
    /// # Errors
    /// Unavailable when it has no address.
    pub fn passed(socket: TcpListener) -> Result<Listener> {
        let address = socket.local_addr();
        let address = address.map_err(|e| Error::unavailable(format!("a passed socket has no address: {e}")))?;
        Ok(Listener { socket, address })
    }
}

/// Bind and listen. `[::]` takes IPv4 as well; on a machine without IPv6 it falls back to 0.0.0.0.
///
/// # Errors
/// Unavailable, naming the flag and the address, when it is taken or not ours.
pub fn listen(flag: &str, address: SocketAddr) -> Result<Listener> {
    let bound = match bind(address) {
        Err(rustix::io::Errno::AFNOSUPPORT | rustix::io::Errno::ADDRNOTAVAIL)
            if address.ip() == Ipv6Addr::UNSPECIFIED =>
        {
            log::warn!(flag, address:% = Ipv4Addr::UNSPECIFIED; "this machine has no IPv6, so another address is used");
            bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
        }
        other => other,
    };
    let failed = |e: &dyn std::fmt::Display| match bound {
        Err(rustix::io::Errno::ADDRINUSE) => Error::unavailable(format!(
            "--{flag} {address}: the port is in use by another program; stop it or choose another port"
        )),
        Err(rustix::io::Errno::ACCESS) => Error::unavailable(format!(
            "--{flag} {address}: ports below 1024 are for root; choose one above, or give the service the capability to bind it"
        )),
        Err(rustix::io::Errno::ADDRNOTAVAIL) => {
            Error::unavailable(format!("--{flag} {address}: this machine does not have that address"))
        }
        _ => Error::unavailable(format!("--{flag} {address} cannot be listened on: {e}")),
    };
    match &bound {
        Ok(socket) => {
            let address = socket.local_addr().map_err(|e| failed(&e))?;
            let socket = socket.try_clone().map_err(|e| failed(&e))?;
            Ok(Listener { socket, address })
        }
        Err(e) => Err(failed(e)),
    }
}

fn bind(address: SocketAddr) -> std::result::Result<TcpListener, rustix::io::Errno> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, false)?;
    }
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// Raise the soft limit of open files to the hard one, and say what it is now.
pub fn raise_descriptor_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum.unwrap_or(u64::MAX),
        Err(e) => {
            log::warn!(error:% = e; "the limit of open files stays as it is");
            limit.current.unwrap_or(u64::MAX)
        }
    }
}
