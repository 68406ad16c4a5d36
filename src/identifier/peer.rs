//! Who is at the other end, as far as limits go.

use std::net::IpAddr;

/// An IPv4 address, or the /64 that an IPv6 address lies in, all of which one host can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// An address.
    V4([u8; 4]),
    /// The first half of an address.
    V6([u16; 4]),
}

impl Peer {
    /// The client at this address.
    pub fn of(address: IpAddr) -> Peer {
        match address.to_canonical() {
            IpAddr::V4(v4) => Peer::V4(v4.octets()),
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                Peer::V6([a, b, c, d])
            }
        }
    }
}
