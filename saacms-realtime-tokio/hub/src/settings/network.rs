//! Addresses, paths and origins.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::net::ToSocketAddrs as _;

use saacms_realtime_core::route::{Api, Cors, InvalidOrigin};

use super::values::quoted;

/// Where to listen: what was written, and the addresses that it stands for.
#[derive(Clone, Debug)]
pub(crate) struct Listen {
    text: String,
    addresses: Vec<SocketAddr>,
}

impl Listen {
    /// Reads `host:port`. A name is looked up here and never again, so the addresses that are
    /// checked are those that are listened on.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str = "must be host:port, such as 127.0.0.1:8787 or [::1]:8787";
        if let Ok(address) = text.parse() {
            return Ok(Self {
                text: text.to_owned(),
                addresses: vec![address],
            });
        }
        let (host, port) = text.rsplit_once(':').ok_or(FORM)?;
        if host.contains(':') && !host.contains(['[', ']']) {
            return Err("must have an IPv6 address in brackets, such as [::1]:8787".to_owned());
        }
        let name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        if host.is_empty() || !host.bytes().all(name) {
            return Err(FORM.to_owned());
        }
        let port: u16 = port.parse().map_err(|_| "must end in a port, 0 to 65535")?;
        let found = (host, port).to_socket_addrs();
        let addresses: Vec<_> = found
            .map_err(|error| format!("the name {host} has no address: {error}"))?
            .collect();
        if addresses.is_empty() {
            return Err(format!("the name {host} has no address"));
        }
        Ok(Self {
            text: text.to_owned(),
            addresses,
        })
    }

    /// The addresses to listen on, of which there is at least one; several where a name has
    /// several.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Whether only this machine can connect.
    pub(super) fn is_loopback(&self) -> bool {
        // Canonical, because ::ffff:127.0.0.1 is the IPv4 address.
        self.addresses
            .iter()
            .all(|address| address.ip().to_canonical().is_loopback())
    }
}

impl Default for Listen {
    fn default() -> Self {
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8787);
        Self {
            text: address.to_string(),
            addresses: vec![address],
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A base path, empty for the root.
pub(super) fn base_path(text: &str) -> Result<String, String> {
    match Api::default().at(text) {
        Ok(api) => Ok(api.base_path().to_owned()),
        Err(wrong) => Err(wrong.to_string()),
    }
}

/// The origins in `texts`, each a list with commas, as browsers write them.
pub(super) fn origins(texts: &[String]) -> Result<Vec<String>, String> {
    let items = texts.iter().flat_map(|text| text.split(',')).map(str::trim);
    match Cors::new(items.filter(|item| !item.is_empty())) {
        Ok(cors) => Ok(cors.origins().map(str::to_owned).collect()),
        Err(InvalidOrigin { origin, reason, .. }) => Err(format!("{} {reason}", quoted(&origin))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for (text, loopback) in [
            ("127.0.0.1:8787", true),
            ("127.8.8.8:0", true),
            ("[::1]:8787", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("localhost:8787", true),
            ("0.0.0.0:8787", false),
            ("[::]:8787", false),
            ("192.0.2.1:80", false),
        ] {
            let listen = Listen::parse(text).expect(text);
            assert_eq!(listen.is_loopback(), loopback, "{text}");
            assert_eq!(listen.to_string(), text);
            assert!(!listen.addresses().is_empty());
        }
        for text in [
            "",
            "8787",
            ":8787",
            "127.0.0.1",
            "[::1]",
            "::1:80",
            "a b:1",
            "localhost:65536",
            "x:",
        ] {
            assert!(Listen::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_base_path_has_no_slash_at_the_end() {
        for (text, path) in [("", ""), ("/", ""), ("/a/b", "/a/b")] {
            assert_eq!(base_path(text).as_deref(), Ok(path));
        }
        for text in ["api", "//", "/a?b", "/{id}", "/:id", "/*"] {
            assert!(base_path(text).is_err(), "{text}");
        }
    }

    #[test]
    fn origins_are_listed_with_commas_or_one_by_one() {
        let texts = [
            "https://a, https://b".to_owned(),
            "https://A:443".to_owned(),
            String::new(),
        ];
        assert_eq!(
            origins(&texts),
            Ok(vec!["https://a".to_owned(), "https://b".to_owned()])
        );
    }
}
