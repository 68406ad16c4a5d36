//! IP networks in CIDR notation (RFC 4632, RFC 4291).

use crate::error::{Error, Result};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A block of addresses of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Parse `ADDRESS/PREFIX`; a bare address is a network of one.
    ///
    /// # Errors
    /// Malformed when it is not a network or has bits set beyond the prefix.
    pub fn parse(text: &str) -> Result<Network> {
        let wrong =
            || Error::malformed(format!("\"{text}\" is not a network; write ADDRESS/PREFIX, such as 10.0.0.0/8"));
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix: u8 = match prefix {
            None => width,
            Some(digits) => digits.parse().map_err(|_| wrong())?,
        };
        if prefix > width {
            return Err(wrong());
        }
        if matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
            return Err(Error::malformed(format!("\"{text}\" is an IPv4 network in IPv6 clothes; write it as IPv4")));
        }
        let network = Network { address: masked(address, prefix), prefix };
        if network.address == address {
            Ok(network)
        } else {
            Err(Error::malformed(format!("\"{text}\" has bits set beyond its prefix; write {network}")))
        }
    }

    /// Whether `address` lies in the network. An IPv4 address never lies in an IPv6 network.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4() && masked(address, self.prefix) == self.address
    }

    /// The first address and the mask, as a name constraint wants them (RFC 5280, 4.2.1.10): 8 or 32 bytes.
    pub fn octets_and_mask(&self) -> Vec<u8> {
        match self.address {
            IpAddr::V4(a) => [a.octets(), mask_v4(self.prefix).to_be_bytes()].concat(),
            IpAddr::V6(a) => [a.octets(), mask_v6(self.prefix).to_be_bytes()].concat(),
        }
    }

    /// The network that [`Network::octets_and_mask`] wrote.
    ///
    /// # Errors
    /// Malformed when it is neither 8 nor 32 bytes, or the mask is not a prefix.
    pub fn from_octets_and_mask(octets: &[u8]) -> Result<Network> {
        let wrong = || Error::malformed("a network in name constraints is not an address and a mask");
        let (address, mask) = octets.split_at_checked(octets.len() / 2).ok_or_else(wrong)?;
        let prefix = mask.iter().map(|b| b.leading_ones()).sum::<u32>();
        let address = match (<[u8; 4]>::try_from(address), <[u8; 16]>::try_from(address)) {
            (Ok(four), _) => IpAddr::from(four),
            (_, Ok(sixteen)) => IpAddr::from(sixteen),
            _ => return Err(wrong()),
        };
        let network = Network { address, prefix: u8::try_from(prefix).map_err(|_| wrong())? };
        if network.octets_and_mask() == octets { Ok(network) } else { Err(wrong()) }
    }

    /// Whether it is a network of IPv4 addresses.
    pub fn is_ipv4(&self) -> bool {
        self.address.is_ipv4()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(a) => IpAddr::V4(Ipv4Addr::from(u32::from(a) & mask_v4(prefix))),
        IpAddr::V6(a) => IpAddr::V6(Ipv6Addr::from(u128::from(a) & mask_v6(prefix))),
    }
}

fn mask_v4(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32u32.saturating_sub(prefix.into())).unwrap_or(0)
}

fn mask_v6(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128u32.saturating_sub(prefix.into())).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_what_lies_in_them() {
        let ten = Network::parse("10.0.0.0/8").unwrap();
        assert!(ten.contains("10.255.0.1".parse().unwrap()));
        assert!(!ten.contains("11.0.0.0".parse().unwrap()));
        assert!(!ten.contains("::ffff:10.0.0.1".parse().unwrap()));
        assert!(Network::parse("0.0.0.0/0").unwrap().contains("8.8.8.8".parse().unwrap()));
        assert!(Network::parse("::/0").unwrap().contains("::1".parse().unwrap()));
        for text in ["10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "x", "10.0.0.0/-1", "10/8"] {
            assert!(Network::parse(text).is_err(), "{text}");
        }
    }
}
