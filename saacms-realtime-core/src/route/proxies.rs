use alloc::borrow::ToOwned as _;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

use super::Request;

/// The networks whose proxies are believed when they name the client of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

impl TrustedProxies {
    /// Reads networks as `10.0.0.0/8`, `fd00::/8` or a single address.
    ///
    /// # Errors
    ///
    /// The first text that is not a network.
    pub fn new<N: AsRef<str>>(
        networks: impl IntoIterator<Item = N>,
    ) -> Result<Self, InvalidNetwork> {
        let networks = networks
            .into_iter()
            .map(|text| Network::parse(text.as_ref()));
        Ok(Self(networks.collect::<Result<_, _>>()?))
    }

    /// The networks, as they can be read again.
    pub fn networks(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(Network::to_string)
    }

    /// The address of the client that a request comes from; `None` if its peer is not known.
    ///
    /// A peer that is not trusted is the client itself: whatever it says about another is ignored.
    /// A trusted one names its own peer last in `Forwarded` (RFC 7239) or in `X-Forwarded-For`. If
    /// that address is trusted too, the one to its left is taken, and so on.
    ///
    /// Most proxies write one of the two headers and pass on the other as the client sent it. If they
    /// name different clients, one is forged, and the peer stands for both.
    pub(super) fn client_of(&self, request: &Request<'_>) -> Option<IpAddr> {
        let peer = request.peer?.to_canonical();
        if !self.trusts(peer) {
            return Some(peer);
        }

        let forwarded = request.header("forwarded");
        let forwarded = forwarded.map(|value| self.client_among(&forwarded_for(&value), peer));
        let x_forwarded_for = request.header("x-forwarded-for").map(|value| {
            let named = addresses_in(value.split(|byte| *byte == b','));
            self.client_among(&named, peer)
        });
        match (forwarded, x_forwarded_for) {
            (Some(one), Some(other)) if one != other => Some(peer),
            (one, other) => one.or(other).or(Some(peer)),
        }
    }

    /// The client of a trusted peer, of those that are named, the last of them by the peer.
    fn client_among(&self, named: &[Option<IpAddr>], peer: IpAddr) -> IpAddr {
        let mut client = peer;
        for address in named.iter().rev() {
            // What is no address hides the client; the last one that is known stands for it.
            let Some(address) = address else { break };
            client = *address;
            if !self.trusts(client) {
                break;
            }
        }
        client
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

/// The `for` of each element of `Forwarded`. `None` for one that is no address, such as `unknown`.
fn forwarded_for(value: &[u8]) -> Vec<Option<IpAddr>> {
    addresses_in(value.split(|byte| *byte == b',').map(|element| {
        let mut parameters = element.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let named = parameters.find_map(|parameter| {
            let (name, value) = parameter.split_at_checked("for=".len())?;
            name.eq_ignore_ascii_case(b"for=").then_some(value)
        });
        named.unwrap_or_default()
    }))
}

/// Reads addresses that may be quoted, have a port, or have brackets around IPv6.
fn addresses_in<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Vec<Option<IpAddr>> {
    texts
        .map(|text| {
            let text = core::str::from_utf8(text).ok()?;
            let text = text.trim().trim_matches('"');
            let address = match text.strip_prefix('[') {
                Some(rest) => rest.split(']').next()?,
                // A single colon is followed by a port; IPv6 without brackets has at least two.
                None => match text.split_once(':') {
                    Some((address, rest)) if !rest.contains(':') => address,
                    _ => text,
                },
            };
            address.parse::<IpAddr>().ok().map(|it| it.to_canonical())
        })
        .collect()
}

/// An address and how many of its first bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    fn parse(text: &str) -> Result<Self, InvalidNetwork> {
        let invalid = || InvalidNetwork(text.to_owned());
        let (address, bits) = match text.trim().split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text.trim(), None),
        };

        let address: IpAddr = address.parse().map_err(|_| invalid())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.parse().map_err(|_| invalid())?,
            None => width,
        };
        if bits > width {
            return Err(invalid());
        }
        Ok(Self { address, bits })
    }

    /// Whether an address is in the network. Canonical, so that IPv4 is never written as IPv6.
    fn contains(&self, address: IpAddr) -> bool {
        let differing = match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).leading_zeros()
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).leading_zeros()
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
        };
        differing >= u32::from(self.bits)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// The text is not a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidNetwork(String);

impl fmt::Display for InvalidNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` must be an address or a network, such as 127.0.0.1, 10.0.0.0/8 or fd00::/8",
            self.0.escape_debug()
        )
    }
}

impl core::error::Error for InvalidNetwork {}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(networks: &[&str], peer: &str, headers: &[(&str, &str)]) -> String {
        let proxies = TrustedProxies::new(networks).expect("networks");
        let request = Request {
            method: "GET",
            path: "/",
            query: None,
            authority: None,
            is_http_1_1: true,
            peer: Some(peer.parse().expect("an address")),
            headers: &headers,
        };
        proxies.client_of(&request).expect("known").to_string()
    }

    #[test]
    fn a_peer_that_is_not_trusted_is_the_client_whatever_it_says() {
        let claimed = [("x-forwarded-for", "1.1.1.1"), ("forwarded", "for=1.1.1.1")];
        assert_eq!(client(&[], "192.0.2.1", &claimed), "192.0.2.1");
        assert_eq!(client(&["10.0.0.0/8"], "11.0.0.1", &claimed), "11.0.0.1");
        assert_eq!(client(&[], "::ffff:192.0.2.1", &[]), "192.0.2.1");
    }

    #[test]
    fn the_last_address_that_is_not_trusted_is_the_client() {
        let networks = ["10.0.0.0/8", "fd00::/8"];
        let named = |name, value| client(&networks, "10.0.0.1", &[(name, value)]);
        for (value, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("6.6.6.6, 192.0.2.1", "192.0.2.1"),
            ("6.6.6.6, 192.0.2.1, 10.9.9.9", "192.0.2.1"),
            ("10.1.1.1, 10.9.9.9", "10.1.1.1"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            // What is no address hides the client: the proxy stands for it.
            ("unknown", "10.0.0.1"),
            ("192.0.2.1, unknown, 10.9.9.9", "10.9.9.9"),
            ("", "10.0.0.1"),
        ] {
            assert_eq!(named("x-forwarded-for", value), expected, "{value}");
        }
        for (value, expected) in [
            ("for=192.0.2.1", "192.0.2.1"),
            ("For=\"[2001:db8::1]:4711\";proto=https", "2001:db8::1"),
            ("for=6.6.6.6, by=10.0.0.2; for=192.0.2.1", "192.0.2.1"),
            ("for=_hidden", "10.0.0.1"),
            ("proto=https", "10.0.0.1"),
        ] {
            assert_eq!(named("forwarded", value), expected, "{value}");
        }
    }

    #[test]
    fn a_header_that_the_proxy_only_passes_on_makes_no_other_client() {
        let both = |x_forwarded_for, forwarded| {
            let headers = [
                ("x-forwarded-for", x_forwarded_for),
                ("forwarded", forwarded),
            ];
            client(&["10.0.0.0/8"], "10.0.0.1", &headers)
        };
        // Whichever of the two the proxy has written, the client cannot choose who it is.
        assert_eq!(both("192.0.2.1", "for=6.6.6.6"), "10.0.0.1");
        assert_eq!(both("6.6.6.6", "for=192.0.2.1"), "10.0.0.1");
        assert_eq!(both("192.0.2.1", "for=unknown"), "10.0.0.1");
        assert_eq!(both("6.6.6.6, 192.0.2.1", "for=192.0.2.1"), "192.0.2.1");
    }

    #[test]
    fn a_network_is_an_address_and_a_number_of_bits() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("0.0.0.0/0", "255.0.0.1", "::1"),
            ("fd00::/8", "fdff::1", "fc00::1"),
            ("::1", "::1", "::2"),
        ] {
            let network = Network::parse(network).expect(network);
            assert!(network.contains(inside.parse().expect("an address")));
            assert!(!network.contains(outside.parse().expect("an address")));
        }
        for text in [
            "",
            "10",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/-1",
            "x/8",
        ] {
            assert!(Network::parse(text).is_err(), "{text:?}");
        }
        let proxies = TrustedProxies::new(["10.0.0.0/8", "::1"]).expect("networks");
        assert!(proxies.networks().eq(["10.0.0.0/8", "::1/128"]));
    }
}
