use alloc::borrow::{Cow, ToOwned as _};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::Ipv6Addr;

use super::Problem;
use super::hosts::is_loopback_host;
use super::reply::Header;
use crate::excerpt::excerpt;

/// The origins whose pages may use the API from a browser. By default only the API's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cors {
    any: bool,
    origins: Vec<String>,
    /// Whether pages of `origins` may send cookies and other credentials. Never with `any`.
    with_credentials: bool,
}

impl Cors {
    /// Allows `origins`, each `scheme://host[:port]`, or `*` for every one.
    ///
    /// Origins are compared as text, so they are kept as browsers write them: in lower case, and
    /// without the port that the scheme implies.
    ///
    /// # Errors
    ///
    /// The first text that no browser would send as an origin.
    pub fn new<'o>(origins: impl IntoIterator<Item = &'o str>) -> Result<Self, InvalidOrigin> {
        let mut cors = Self::default();
        for text in origins {
            if text == "*" {
                cors.any = true;
                continue;
            }

            let origin = origin(text).map_err(|reason| InvalidOrigin {
                origin: excerpt(text).into(),
                reason,
            })?;
            // Two spellings of one origin are kept once.
            if !cors.origins.contains(&origin) {
                cors.origins.push(origin);
            }
        }
        Ok(cors)
    }

    /// Lets pages of the allowed origins send credentials: cookies, client certificates, and those
    /// of HTTP authentication, for a proxy that checks them.
    ///
    /// # Errors
    ///
    /// Every origin is allowed: then any page could act as its visitor, so no browser permits it.
    pub fn with_credentials(mut self) -> Result<Self, InvalidOrigin> {
        if self.any {
            return Err(InvalidOrigin {
                origin: "*".into(),
                reason: "cannot be allowed to send credentials: list the origins by name",
            });
        }
        self.with_credentials = true;
        Ok(self)
    }

    /// The allowed origins, with `*` first if every origin is allowed.
    pub fn origins(&self) -> impl Iterator<Item = &str> {
        self.any
            .then_some("*")
            .into_iter()
            .chain(self.origins.iter().map(String::as_str))
    }

    /// The headers for a request from `origin` (Fetch, "CORS protocol").
    pub(super) fn headers(&self, origin: Option<&[u8]>, method: &str) -> Vec<Header> {
        let mut headers: Vec<Header> = Vec::new();
        if !self.any && !self.origins.is_empty() {
            // The answer depends on the origin, and caches must know that.
            headers.push(("vary", "Origin".into()));
        }
        let Some(origin) = origin.filter(|origin| self.allows(origin)) else {
            return headers;
        };

        // With `*` nothing depends on the origin, and an origin that is not UTF-8 is in no list.
        let allowed = match core::str::from_utf8(origin) {
            Ok(origin) if !self.any => Cow::Owned(origin.to_owned()),
            Ok(_) | Err(_) => Cow::Borrowed("*"),
        };
        headers.push(("access-control-allow-origin", allowed));
        if self.with_credentials {
            headers.push(("access-control-allow-credentials", "true".into()));
        }

        if method == "OPTIONS" {
            headers.extend([
                ("access-control-allow-methods", "GET, HEAD, POST".into()),
                (
                    "access-control-allow-headers",
                    "Authorization, Cache-Control, Content-Type, Last-Event-ID".into(),
                ),
                ("access-control-max-age", "86400".into()),
            ]);
        } else {
            // What the browser client reads beside the headers that every page may read.
            let exposed = "Retry-After, Saacms-Heartbeat, Saacms-Last-Event-ID";
            headers.push(("access-control-expose-headers", exposed.into()));
        }
        headers
    }

    /// Refuses a publish without a token from a web page, unless its origin is allowed or is the
    /// hub's own on a loopback name.
    ///
    /// A browser sends a simple request without a preflight, so any page could otherwise publish to
    /// a hub on its visitor's machine. Comparing origins is not enough: with DNS rebinding, a
    /// foreign page has the hub's own origin. But it never has a loopback name, which belongs to no
    /// other machine. Programs send no `Origin`.
    pub(super) fn check_publisher(
        &self,
        origin: Option<&[u8]>,
        host: Option<&[u8]>,
    ) -> Result<(), Problem> {
        let Some(origin) = origin else {
            return Ok(());
        };

        // An opaque origin is the text `null`, which has no host.
        let origin_host = core::str::from_utf8(origin)
            .ok()
            .and_then(|origin| origin.split_once("://"))
            .map(|(_, host)| host);
        let is_own =
            origin_host.is_some_and(|name| Some(name.as_bytes()) == host && is_loopback_host(name));

        if is_own || self.allows(origin) {
            Ok(())
        } else {
            Err(Problem::foreign_origin())
        }
    }

    /// Whether this origin is listed, or every one is.
    pub(super) fn allows(&self, origin: &[u8]) -> bool {
        self.any
            || self
                .origins
                .iter()
                .any(|known| known.as_bytes().eq_ignore_ascii_case(origin))
    }
}

/// Writes an origin as browsers do.
fn origin(text: &str) -> Result<String, &'static str> {
    const FORM: &str = "must be * or scheme://host[:port], such as https://www.example.org";
    let text = text.to_ascii_lowercase();

    // A scheme begins with a letter (RFC 3986, 3.1).
    let (scheme, authority) = text.split_once("://").ok_or(FORM)?;
    let scheme_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    if !scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        || !scheme.bytes().all(scheme_byte)
    {
        return Err(FORM);
    }

    if authority.contains('/') {
        return Err("must end after the host or port: browsers send no path");
    }

    let (host, port) = match authority
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        Some((address, rest)) => {
            // Parsed and written again, because browsers send the short form.
            let address: Ipv6Addr = address.parse().map_err(|_| FORM)?;
            let port = if rest.is_empty() {
                None
            } else {
                Some(rest.strip_prefix(':').ok_or(FORM)?)
            };
            (format!("[{address}]"), port)
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host.to_owned(), Some(port)),
            None => (authority.to_owned(), None),
        },
    };

    // Browsers send the ASCII form of an international name, and no user name.
    let host_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if host.is_empty() || !(host.starts_with('[') || host.bytes().all(host_byte)) {
        return Err(FORM);
    }

    let Some(port) = port else {
        return Ok(format!("{scheme}://{host}"));
    };
    let port: u16 = port
        .parse()
        .map_err(|_| "must have a port of 0 to 65535 after the colon")?;

    match (scheme, port) {
        ("http", 80) | ("https", 443) => Ok(format!("{scheme}://{host}")),
        _ => Ok(format!("{scheme}://{host}:{port}")),
    }
}

/// The text is not a valid origin.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidOrigin {
    /// The text, or its beginning.
    pub origin: Box<str>,
    /// The reason why it is not valid.
    pub reason: &'static str,
}

impl fmt::Display for InvalidOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.origin, self.reason)
    }
}

impl core::error::Error for InvalidOrigin {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_origins_are_allowed() {
        let cors = Cors::new(["https://a.example", "http://localhost:3000"]).expect("origins");
        let allowed = |origin: &str| {
            let headers = cors.headers(Some(origin.as_bytes()), "GET");
            assert!(headers.contains(&("vary", "Origin".into())));
            headers
                .iter()
                .any(|(name, _)| *name == "access-control-allow-origin")
        };
        assert!(allowed("https://a.example"));
        assert!(!allowed("https://a.example.evil"));
        assert!(!allowed("null"));
        assert!(
            Cors::default()
                .headers(Some(b"https://a.example"), "GET")
                .is_empty()
        );
        let any = Cors::new(["*"]).expect("any");
        assert_eq!(
            any.headers(Some(b"null"), "GET"),
            [
                ("access-control-allow-origin", "*".into()),
                (
                    "access-control-expose-headers",
                    "Retry-After, Saacms-Heartbeat, Saacms-Last-Event-ID".into()
                ),
            ]
        );
    }

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for (text, written) in [
            ("*", "*"),
            ("https://www.example.org", "https://www.example.org"),
            ("HTTPS://Example.ORG:443", "https://example.org"),
            ("http://localhost:80", "http://localhost"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("https://example.org:80", "https://example.org:80"),
            ("http://[0:0::1]:8080", "http://[::1]:8080"),
            ("tauri://localhost", "tauri://localhost"),
        ] {
            let cors = Cors::new([text]).expect(text);
            assert!(cors.origins().eq([written]), "{text}");
        }
        for text in [
            "null",
            "example.org",
            "https://",
            "://x",
            "https://a/",
            "https://a/b",
            "https://a:",
            "https://a:99999",
            "https://u@a",
            "https://a?b",
            "https://*.a",
            "https://[::1",
            "https://[::1]x",
            "https://ä.example",
            "1a://b",
            "https://a b",
        ] {
            assert!(Cors::new([text]).is_err(), "{text:?}");
        }
    }

    #[test]
    fn credentials_are_for_origins_that_are_listed_by_name() {
        let header = ("access-control-allow-credentials", "true".into());
        let cors = Cors::new(["https://a.example"]).expect("an origin");
        assert!(
            !cors
                .headers(Some(b"https://a.example"), "GET")
                .contains(&header)
        );
        let cors = cors.with_credentials().expect("no wildcard");
        for method in ["GET", "OPTIONS"] {
            assert!(
                cors.headers(Some(b"https://a.example"), method)
                    .contains(&header)
            );
            assert!(
                !cors
                    .headers(Some(b"https://b.example"), method)
                    .contains(&header)
            );
            assert!(!cors.headers(None, method).contains(&header));
        }
        for origins in [&["*"][..], &["https://a.example", "*"]] {
            let cors = Cors::new(origins.iter().copied()).expect("origins");
            let error = cors.with_credentials().expect_err("a wildcard");
            assert!(format!("{error}").contains("list the origins"));
        }
    }

    #[test]
    fn a_page_of_another_origin_cannot_publish_unless_listed() {
        let cors = Cors::new(["https://a.example"]).expect("an origin");
        let publishes = |origin: Option<&str>, host: &str| {
            cors.check_publisher(origin.map(str::as_bytes), Some(host.as_bytes()))
                .is_ok()
        };
        assert!(publishes(None, "127.0.0.1:8787"), "a program");
        assert!(
            publishes(Some("http://127.0.0.1:8787"), "127.0.0.1:8787"),
            "its own page"
        );
        assert!(
            publishes(Some("https://a.example"), "127.0.0.1:8787"),
            "a listed page"
        );
        assert!(publishes(Some("http://[::1]:8787"), "[::1]:8787"));
        assert!(publishes(Some("http://[::1]"), "[::1]"));
        assert!(publishes(Some("http://localhost"), "localhost"));
        assert!(
            !publishes(Some("http://localhost:8787"), "localhost:1"),
            "another server's page"
        );
        assert!(publishes(Some("http://hub.localhost"), "hub.localhost"));
        assert!(
            !publishes(Some("http://evil.example:8787"), "evil.example:8787"),
            "rebinding"
        );
        assert!(!publishes(
            Some("http://127.0.0.1.evil.example"),
            "127.0.0.1.evil.example"
        ));
        assert!(!publishes(Some("https://evil.example"), "127.0.0.1:8787"));
        assert!(!publishes(Some("null"), "127.0.0.1:8787"));
    }
}
