//! The addresses to listen on.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::net::ToSocketAddrs as _;

use saacms_realtime_core::route::Api;

/// The addresses to listen on, and the text that named them.
#[derive(Clone, Debug)]
pub(crate) struct Listen {
    text: String,
    /// Never empty; several if the text is a name that has several.
    addresses: Vec<SocketAddr>,
}

impl Listen {
    /// Reads `host:port`, or a port alone, which means 127.0.0.1. A name is resolved only here, so
    /// that the server listens on the same addresses that are checked.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str =
            "must be host:port, such as 127.0.0.1:8787 or [::1]:8787, or a port alone";
        // An address must not depend on a resolver.
        if let Ok(address) = text.parse() {
            return Ok(Self {
                text: text.to_owned(),
                addresses: vec![address],
            });
        }

        // Other programs take `:8787` for every address. Here, whoever means that has to say so.
        let alone = text.strip_prefix(':').unwrap_or(text);
        if !alone.is_empty() && alone.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Self {
                text: text.to_owned(),
                addresses: vec![(Ipv4Addr::LOCALHOST, port(alone)?).into()],
            });
        }

        let (host, port_text) = text.rsplit_once(':').ok_or(FORM)?;
        if host.contains(':') && !host.contains(['[', ']']) {
            return Err("must have an IPv6 address in brackets, such as [::1]:8787".to_owned());
        }
        let name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        if host.is_empty() || !host.bytes().all(name) {
            return Err(FORM.to_owned());
        }
        let port = port(port_text)?;

        // Every address of the name: `localhost` can be both 127.0.0.1 and ::1.
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

    /// The addresses to listen on: at least one, several if a name has several.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Whether `api` may be served at all of the addresses.
    pub(super) fn may_serve(&self, api: &Api) -> bool {
        self.addresses
            .iter()
            .all(|address| api.may_be_served_at(address.ip()))
    }
}

fn port(text: &str) -> Result<u16, String> {
    text.parse()
        .map_err(|_| "must end in a port, 0 to 65535".to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        let api = Api::default().with_local_publish();
        for (text, may_serve) in [
            ("127.0.0.1:8787", true),
            ("127.8.8.8:0", true),
            ("[::1]:8787", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("localhost:8787", true),
            ("0.0.0.0:8787", false),
            ("[::]:8787", false),
            ("192.0.2.1:80", false),
            ("8787", true),
            (":8787", true),
            ("0", true),
        ] {
            let listen = Listen::parse(text).expect(text);
            assert_eq!(listen.may_serve(&api), may_serve, "{text}");
            assert_eq!(listen.to_string(), text);
            assert!(!listen.addresses().is_empty());
        }
        for text in [
            "",
            ":",
            "65536",
            ":65536",
            "::80",
            "+80",
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
}
