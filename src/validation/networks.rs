//! Which addresses a validation may connect to. A client chooses the name, so without this the CA would be a probe into
//! every network that it can reach.

use crate::identifier::Network;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// The networks that an administrator allowed and denied, and the daemon's own listeners.
#[derive(Clone, Debug)]
pub struct ReachableNetworks {
    /// Reachable although denied by default.
    pub allow: Vec<Network>,
    /// Never reachable.
    pub deny: Vec<Network>,
    /// Never reachable, whatever is allowed: a validation must not talk to the CA itself.
    pub listeners: Vec<SocketAddr>,
}

impl ReachableNetworks {
    /// Why an address must not be connected to, if it must not.
    pub fn refusal(&self, target: SocketAddr) -> Option<&'static str> {
        let address = unwrapped(target.ip());
        if self.deny.iter().any(|n| n.contains(address) || n.contains(target.ip())) {
            return Some("it lies in a network that --validation-deny names");
        }
        if self.is_own_listener(address, target.port()) {
            return Some("it is the certificate authority's own listener");
        }
        if self.allow.iter().any(|n| n.contains(address)) {
            return None;
        }
        denied_by_default(address)
    }

    fn is_own_listener(&self, address: IpAddr, port: u16) -> bool {
        self.listeners.iter().any(|listener| {
            let same_address = unwrapped(listener.ip()) == address;
            // A socket on all addresses listens on every address of this machine, which is what can be bound to.
            let any_of_ours = listener.ip().is_unspecified() && UdpSocket::bind((address, 0)).is_ok();
            listener.port() == port && (same_address || any_of_ours)
        })
    }
}

fn denied_by_default(address: IpAddr) -> Option<&'static str> {
    let (loopback, link_local) = match address {
        IpAddr::V4(a) => (a.is_loopback(), a.is_link_local()),
        IpAddr::V6(a) => (a.is_loopback(), a.is_unicast_link_local()),
    };
    // The metadata service of a cloud, which hands out credentials to whoever can reach it.
    const METADATA: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254));
    if loopback {
        Some("it is a loopback address; --validation-allow can allow it")
    } else if link_local {
        Some("it is a link-local address; --validation-allow can allow it")
    } else if address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST) {
        Some("it is a multicast or broadcast address")
    } else if address.is_unspecified() || matches!(address, IpAddr::V4(a) if a.octets()[0] == 0) {
        Some("it is the unspecified address")
    } else if address == METADATA {
        Some("it is a cloud's metadata service")
    } else {
        None
    }
}

/// The IPv4 address inside an IPv6 one: mapped (RFC 4291, 2.5.5.2), NAT64 (RFC 6052, 2.1) and 6to4 (RFC 3056).
fn unwrapped(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    if let Some(mapped) = v6.to_ipv4_mapped() {
        return IpAddr::V4(mapped);
    }
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let embedded = match (a, b, c, d, e, f) {
        // The local-use prefix of RFC 8215 is used with its longest form.
        (0x64, 0xff9b, 0, 0, 0, 0) | (0x64, 0xff9b, 1, ..) => Some((g, h)),
        (0x2002, ..) => Some((b, c)),
        // The unspecified address and loopback are IPv6's own; the rest of ::/96 is the old compatible form.
        (0, 0, 0, 0, 0, 0) if g != 0 || h > 1 => Some((g, h)),
        _ => None,
    };
    match embedded {
        Some((high, low)) => IpAddr::V4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))),
        None => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(allow: &[&str], deny: &[&str]) -> ReachableNetworks {
        let parse = |list: &[&str]| list.iter().map(|n| Network::parse(n).unwrap()).collect();
        ReachableNetworks { allow: parse(allow), deny: parse(deny), listeners: vec!["[::]:8000".parse().unwrap()] }
    }

    fn reaches(networks: &ReachableNetworks, target: &str) -> bool {
        networks.refusal(target.parse().unwrap()).is_none()
    }

    #[test]
    fn what_is_denied_by_default_is_denied_in_every_disguise() {
        let default = networks(&[], &[]);
        for target in ["10.0.0.1:80", "192.168.1.1:80", "[fd00::1]:80", "8.8.8.8:80", "[2001:db8::1]:443"] {
            assert!(reaches(&default, target), "{target}");
        }
        for target in [
            "127.0.0.1:80",
            "127.9.9.9:80",
            "[::1]:80",
            "[::ffff:127.0.0.1]:80",
            "[64:ff9b::7f00:1]:80",
            "[2002:7f00:1::]:80",
            "[::7f00:1]:80",
            "169.254.169.254:80",
            "[fe80::1]:80",
            "224.0.0.1:80",
            "[ff02::1]:80",
            "255.255.255.255:80",
            "0.0.0.0:80",
            "0.1.2.3:80",
            "[::]:80",
            "[fd00:ec2::254]:80",
        ] {
            assert!(!reaches(&default, target), "{target}");
        }
    }

    #[test]
    fn deny_goes_before_allow_and_own_listeners_before_both() {
        let some = networks(&["127.0.0.0/8", "10.0.0.0/8"], &["10.1.0.0/16"]);
        assert!(reaches(&some, "127.0.0.1:80"));
        assert!(reaches(&some, "[::ffff:127.0.0.1]:80"));
        assert!(!reaches(&some, "10.1.2.3:80"));
        assert!(!reaches(&some, "[::ffff:10.1.2.3]:80"));
        assert!(!reaches(&some, "127.0.0.1:8000"), "own listener");
    }
}
