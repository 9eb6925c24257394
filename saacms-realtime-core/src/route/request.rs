use alloc::borrow::Cow;
use core::fmt;
use core::net::IpAddr;

use super::Problem;

/// The parts of a request that the contract uses.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a str,
    /// The path as it stands in the request line, percent-encoded.
    pub path: &'a str,
    /// The query as it stands in the request line, without its `?`.
    pub query: Option<&'a str>,
    /// Host and port of the target, if they are not in a `Host` header (HTTP/2).
    pub authority: Option<&'a str>,
    /// Whether the request was made over HTTP/1.1.
    pub is_http_1_1: bool,
    /// The address at the other end of the connection, if it is known.
    pub peer: Option<IpAddr>,
    /// The headers.
    pub headers: &'a dyn Headers,
}

impl<'a> Request<'a> {
    pub(super) fn header(&self, name: &str) -> Option<Cow<'a, [u8]>> {
        self.headers.value(name)
    }

    /// Host and port that the client addresses. Over HTTP/2 they are in `:authority`, and there is no
    /// `Host` header.
    pub(super) fn host(&self) -> Option<Cow<'a, [u8]>> {
        let authority = || self.authority.map(|text| Cow::Borrowed(text.as_bytes()));
        self.header("host").or_else(authority)
    }

    /// Refuses a request whose head leaves open what it asks for, at whatever path.
    ///
    /// Every proxy on the way must understand a request as the server does: where they differ on
    /// its host or on the end of its body, a client can smuggle requests past the proxy.
    ///
    /// # Errors
    ///
    /// 400 without exactly one `Host` over HTTP/1.1 (RFC 9112, 3.2); 501 for a transfer coding
    /// other than `chunked` (6.1).
    pub(super) fn check_head(&self) -> Result<(), Problem> {
        let host = self.header("host");
        // The values of several headers are joined by commas, which no host contains.
        let has_one_host = host.is_some_and(|host| !host.contains(&b','));
        if self.is_http_1_1 && !has_one_host {
            return Err(Problem::host_missing());
        }

        match self.header("transfer-encoding") {
            Some(coding) if !coding.eq_ignore_ascii_case(b"chunked") => {
                Err(Problem::unknown_transfer_coding())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn content_length(&self) -> Option<u64> {
        core::str::from_utf8(&self.header("content-length")?)
            .ok()?
            .trim()
            .parse()
            .ok()
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// The headers of a request.
pub trait Headers {
    /// The value of the header with this lower-case name. Several values are joined by `, ` (RFC
    /// 9110, 5.3).
    fn value(&self, name: &str) -> Option<Cow<'_, [u8]>>;
}

/// Names and values, in any case.
impl<N: AsRef<[u8]>, V: AsRef<[u8]>> Headers for &[(N, V)] {
    fn value(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let named = self
            .iter()
            .filter(|(other, _)| other.as_ref().eq_ignore_ascii_case(name.as_bytes()));
        joined(named.map(|(_, value)| value.as_ref()))
    }
}

/// All values of one header. A single one, the usual case, is not copied.
pub(super) fn joined<'v>(mut values: impl Iterator<Item = &'v [u8]>) -> Option<Cow<'v, [u8]>> {
    let first = Cow::Borrowed(values.next()?);
    Some(values.fold(first, |joined, value| {
        [&*joined, value].join(&b", "[..]).into()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_found_in_any_case_and_its_values_are_joined() {
        let headers = &[("Accept", "a"), ("host", "h"), ("ACCEPT", "b;q=1")][..];
        assert_eq!(headers.value("accept").as_deref(), Some(&b"a, b;q=1"[..]));
        assert_eq!(headers.value("host").as_deref(), Some(&b"h"[..]));
        assert_eq!(headers.value("origin"), None);
    }
}
