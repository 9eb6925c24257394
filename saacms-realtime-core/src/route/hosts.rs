use alloc::borrow::ToOwned as _;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv6Addr};

use super::{Problem, Request};
use crate::excerpt::excerpt;

/// The names under which a server may be reached, beside those of the machine itself.
///
/// Against DNS rebinding: a web page can make its own name resolve to its visitor's machine, and
/// would then read a server there as if it were its own. But the browser still sends that name as
/// the host, and a page never has a loopback name.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts(Vec<String>);

impl Hosts {
    pub(super) fn new<'h>(hosts: impl IntoIterator<Item = &'h str>) -> Result<Self, InvalidHost> {
        let names: Result<Vec<_>, _> = hosts.into_iter().map(host_name).collect();
        Ok(Self(names?))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Refuses a request that names another host. HTTP/1.0 may name none, and browsers always do.
    pub(super) fn check(&self, request: &Request<'_>) -> Result<(), Problem> {
        let header = request.header("host");
        // Over HTTP/2, and in a target of the absolute form, the host is in the authority.
        let named = header.as_deref().into_iter();
        let mut named = named.chain(request.authority.map(str::as_bytes));

        if named.all(|host| self.has(host)) {
            Ok(())
        } else {
            Err(Problem::foreign_host())
        }
    }

    fn has(&self, host: &[u8]) -> bool {
        let Ok(host) = core::str::from_utf8(host) else {
            return false;
        };
        let (name, _) = split_port(host);
        let name = relative(name);
        let is_listed = |listed: &String| listed.eq_ignore_ascii_case(name);
        is_loopback_host(host) || self.0.iter().any(is_listed)
    }
}

/// Checks the name of a host: without a port, because every port of it is allowed.
fn host_name(text: &str) -> Result<String, InvalidHost> {
    let invalid = |reason| InvalidHost {
        host: excerpt(text).into(),
        reason,
    };

    if let Some(address) = text.strip_prefix('[') {
        let address = address.strip_suffix(']').and_then(|ip| ip.parse().ok());
        // Parsed and written again, because browsers send the short form.
        return address
            .map(|ip: Ipv6Addr| format!("[{ip}]"))
            .ok_or_else(|| invalid("must be an IPv6 address in brackets, without a port"));
    }

    let byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    // The longest name of the DNS (RFC 1035, 2.3.4).
    if !(1..=253).contains(&relative(text).len()) || !text.bytes().all(byte) {
        return Err(invalid(
            "must be a host name without scheme and port, such as hub.example.org, of at most 253 \
             bytes",
        ));
    }
    Ok(relative(text).to_owned())
}

/// A name without the dot at the end, which says only that it is absolute: the same host.
fn relative(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// Whether `host`, with or without a port, names the machine that resolves it.
pub(super) fn is_loopback_host(host: &str) -> bool {
    let (name, port) = split_port(host);
    let name = relative(name);
    let is_ip = name
        .trim_matches(['[', ']'])
        .parse()
        .is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback());
    let last_label = name.rsplit('.').next().unwrap_or_default();
    (is_ip || last_label.eq_ignore_ascii_case("localhost"))
        && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// Splits a host into its name and its port, which may be empty.
fn split_port(host: &str) -> (&str, &str) {
    match host.rsplit_once(':') {
        // A colon inside the brackets belongs to an IPv6 address.
        Some((name, port)) if !port.ends_with(']') => (name, port),
        _ => (host, ""),
    }
}

/// The text is not the name of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidHost {
    /// The text, or its beginning.
    pub host: Box<str>,
    /// The reason why it is not valid.
    pub reason: &'static str,
}

impl fmt::Display for InvalidHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.host, self.reason)
    }
}

impl core::error::Error for InvalidHost {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_name_is_one_that_no_other_machine_has() {
        for host in [
            "localhost",
            "LOCALHOST:8787",
            "hub.localhost",
            "localhost.",
            "Hub.Localhost.:80",
            "127.0.0.1",
            "127.9.9.9:1",
            "[::1]",
            "[::1]:8787",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert!(is_loopback_host(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "notlocalhost",
            "127.0.0.1.evil.example",
            "0.0.0.0:8787",
            "192.168.0.1",
            "[::]",
            "localhost:8787.evil.example",
            "localhost..",
            ".",
        ] {
            assert!(!is_loopback_host(host), "{host}");
        }
    }

    #[test]
    fn a_host_is_listed_by_its_name_alone() {
        let hosts = Hosts::new(["Hub.example", "[2001:db8:0::1]", "dot.example."]).expect("names");
        assert!(
            hosts
                .names()
                .eq(["Hub.example", "[2001:db8::1]", "dot.example"])
        );
        for host in [
            "hub.example",
            "HUB.example:8443",
            "hub.example.",
            "hub.example.:80",
            "dot.example",
            "dot.example.",
            "[2001:db8::1]:1",
            "localhost",
        ] {
            assert!(hosts.has(host.as_bytes()), "{host}");
        }
        for host in [
            "a.hub.example",
            "hub.example.evil",
            "hub.example..",
            "",
            ":80",
            "hub.example, localhost",
        ] {
            assert!(!hosts.has(host.as_bytes()), "{host}");
        }
        assert!(!hosts.has(b"\xff"));
        for text in [
            "",
            ".",
            "hub.example:80",
            "https://a",
            "*",
            "a b",
            "[::1",
            "::1",
            "[x]",
            "é",
        ] {
            assert!(Hosts::new([text]).is_err(), "{text:?}");
        }
        assert!(Hosts::new([&*"x".repeat(253)]).is_ok());
        assert!(Hosts::new([&*"x".repeat(254)]).is_err());
    }
}
