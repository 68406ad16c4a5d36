//! Proxies in front of the door: only they are let in, and they say for whom they ask, in Forwarded (RFC 7239) or in
//! X-Forwarded-For. Both grow to the right, so what stands left of a proxy's own word is anybody's.

use super::refusal::Refusal;
use crate::identifier::Network;
use std::net::{IpAddr, SocketAddr};

/// The networks that proxies are in; none where clients come by themselves.
#[derive(Clone, Debug, Default)]
pub(super) struct Proxies(Vec<Network>);

/// What a request's head says of where it comes from, as written; empty where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hops {
    /// Forwarded, all of its fields.
    pub(super) forwarded: String,
    /// X-Forwarded-For, likewise.
    pub(super) x_forwarded_for: String,
}

impl Proxies {
    pub(super) fn new(networks: Vec<Network>) -> Proxies {
        Proxies(networks)
    }

    /// Whether clients come by proxies, and so without TLS.
    pub(super) fn are_there(&self) -> bool {
        !self.0.is_empty()
    }

    pub(super) fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(address))
    }

    /// Who asks by this peer: the last hop that is not itself a proxy. Where a proxy does not know, or says what nobody
    /// understands, it is the proxy.
    ///
    /// A proxy writes one of the fields and lets the other through, which anybody may have written: where they name different
    /// clients nobody is believed.
    pub(super) fn client(&self, peer: IpAddr, hops: &Hops) -> Result<IpAddr, Refusal> {
        // Whoever leaves a quotation mark open would have what the proxy says within it.
        let standard =
            nodes_of(&hops.forwarded).ok_or(Refusal::Malformed("Forwarded has a quotation mark that is not closed"))?;
        let standard = self.last_stranger(peer, standard);
        let usual = self.last_stranger(peer, hops.x_forwarded_for.rsplit(',').map(node));
        match (hops.forwarded.is_empty(), hops.x_forwarded_for.is_empty()) {
            (true, _) => Ok(usual),
            (false, true) => Ok(standard),
            (false, false) if standard == usual => Ok(usual),
            _ => Err(Refusal::Malformed(
                "Forwarded and X-Forwarded-For name different clients; the proxy has to remove the one that it does not write",
            )),
        }
    }

    /// From the last hop on, as far as proxies are believed.
    fn last_stranger(&self, peer: IpAddr, hops: impl IntoIterator<Item = Option<IpAddr>>) -> IpAddr {
        let mut client = peer;
        for hop in hops {
            match hop {
                Some(hop) if self.contain(client) => client = hop,
                _ => break,
            }
        }
        client
    }
}

/// The addresses of Forwarded, the last one first, each None where it is missing, unknown or hidden; nothing at all where a
/// quotation mark is not closed.
fn nodes_of(forwarded: &str) -> Option<Vec<Option<IpAddr>>> {
    let node_of = |element: &str| {
        let pairs = unquoted(element, ';')?;
        let is_for = |pair: &&(&str, &str)| pair.0.trim().eq_ignore_ascii_case("for");
        let pairs: Vec<(&str, &str)> = pairs.into_iter().filter_map(|pair| pair.split_once('=')).collect();
        node(pairs.iter().find(is_for)?.1)
    };
    Some(unquoted(forwarded, ',')?.into_iter().rev().map(node_of).collect())
}

/// The parts between separators that do not stand in quotation marks, in which a backslash takes away the meaning of what
/// follows (RFC 9110, 5.6.4); nothing where the last one is open.
fn unquoted(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let parts = text.split(|c| {
        let means_itself = std::mem::take(&mut is_escaped);
        if !means_itself {
            is_quoted ^= c == '"';
            is_escaped = is_quoted && c == '\\';
        }
        c == separator && !is_quoted
    });
    let parts = parts.collect();
    (!is_quoted).then_some(parts)
}

/// An address, perhaps with a port, an IPv6 one perhaps in brackets, perhaps in quotation marks.
fn node(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &str, x_forwarded_for: &str) -> Result<String, Refusal> {
        let networks = ["10.0.0.0/8", "2001:db8::/32"].map(|text| Network::parse(text).unwrap());
        let hops = Hops { forwarded: forwarded.into(), x_forwarded_for: x_forwarded_for.into() };
        Proxies::new(networks.to_vec()).client(peer.parse().unwrap(), &hops).map(|address| address.to_string())
    }

    #[test]
    fn the_last_hop_that_is_no_proxy_is_the_client() {
        for (x_forwarded_for, expected) in [
            ("", "10.0.0.1"),
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("[2001:db9::1]:4711", "2001:db9::1"),
            ("[2001:db9::1]", "2001:db9::1"),
            // What a client says of itself stands before what the proxy says of it.
            ("6.6.6.6, 192.0.2.1", "192.0.2.1"),
            ("6.6.6.6, 10.6.6.6, 192.0.2.1, 10.0.0.2", "192.0.2.1"),
            ("6.6.6.6, 192.0.2.1, 2001:db8::5,10.0.0.2", "192.0.2.1"),
            ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
            // Nobody knows what stands before what nobody understands.
            ("6.6.6.6, unknown", "10.0.0.1"),
            ("6.6.6.6, unknown, 10.0.0.2", "10.0.0.2"),
            ("6.6.6.6,", "10.0.0.1"),
            ("6.6.6.6 192.0.2.1", "10.0.0.1"),
        ] {
            assert_eq!(client("10.0.0.1", "", x_forwarded_for), Ok(expected.into()), "{x_forwarded_for}");
        }
        for (forwarded, expected) in [
            ("for=192.0.2.1", "192.0.2.1"),
            ("For=\"192.0.2.1:80\";proto=https;by=10.0.0.1", "192.0.2.1"),
            ("proto=https; for=\"[2001:db9::1]:4711\"", "2001:db9::1"),
            ("for=6.6.6.6, for=192.0.2.1;host=\"a,b;for=7.7.7.7\", for=10.0.0.2", "192.0.2.1"),
            ("for=6.6.6.6, for=_hidden", "10.0.0.1"),
            ("for=6.6.6.6, for=unknown, for=10.0.0.2", "10.0.0.2"),
            ("for=6.6.6.6, proto=https", "10.0.0.1"),
            ("nonsense", "10.0.0.1"),
        ] {
            assert_eq!(client("10.0.0.1", forwarded, ""), Ok(expected.into()), "{forwarded}");
        }
    }

    #[test]
    fn what_the_proxy_says_is_not_hidden_in_quotation_marks() {
        for forwarded in [
            "for=\"6.6.6.6",
            "for=6.6.6.6;x=\", for=192.0.2.1",
            "for=6.6.6.6;x=\", for=\"[2001:db9::1]:4711\"",
            "for=6.6.6.6;x=\"\\, for=\"[2001:db9::1]:4711\"",
            "for=\"zz, for=192.0.2.1",
        ] {
            assert!(matches!(client("10.0.0.1", forwarded, ""), Err(Refusal::Malformed(_))), "{forwarded}");
        }
        for forwarded in ["for=6.6.6.6;x=\"\\\"\", for=192.0.2.1", "for=6.6.6.6;x=\"\\\\\", for=192.0.2.1"] {
            assert_eq!(client("10.0.0.1", forwarded, ""), Ok("192.0.2.1".into()), "{forwarded}");
        }
    }

    #[test]
    fn fields_that_name_different_clients_name_none() {
        assert_eq!(client("10.0.0.1", "for=192.0.2.1", "6.6.6.6, 192.0.2.1"), Ok("192.0.2.1".into()));
        for (forwarded, x_forwarded_for) in [("for=6.6.6.6", "192.0.2.1"), ("for=192.0.2.1", "6.6.6.6")] {
            assert!(matches!(client("10.0.0.1", forwarded, x_forwarded_for), Err(Refusal::Malformed(_))));
        }
    }
}
