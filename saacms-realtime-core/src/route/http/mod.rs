//! Conversions between [`route`](super) and the `http` crate, for every adapter that uses it.

mod body;
mod requests;

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::net::IpAddr;

use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderValue, Response, StatusCode, Version, header};

pub use body::{BodyBudget, BodyShare, ResponseBody, read_body};
pub use requests::{Answering, IdleWatch, InProgress, KeepAlive, Requests};

use super::request::joined;
use super::{Decision, Headers, Reply, Request};

/// Decides on a request, and keeps only its extensions and its body.
///
/// Its headers, up to 64 KiB of them, are dropped: a body can take its whole time to arrive.
pub fn decide<B>(
    request: http::Request<B>,
    decide: impl FnOnce(&Request<'_>) -> Decision,
) -> (Decision, Extensions, B) {
    let decision = decide(&(&request).into());
    // Not in the `async` functions that call this: they would hold `parts` while they wait.
    let (parts, body) = request.into_parts();
    (decision, parts.extensions, body)
}

/// The address at the other end of the connection, as an extension of a request.
///
/// A server adds it where `max_streams_per_address` is set. Without it, streams are not counted by
/// address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub IpAddr);

impl<'a, B> From<&'a http::Request<B>> for Request<'a> {
    fn from(request: &'a http::Request<B>) -> Self {
        Self {
            method: request.method().as_str(),
            path: request.uri().path(),
            query: request.uri().query(),
            authority: request.uri().authority().map(http::uri::Authority::as_str),
            is_http_1_1: request.version() == Version::HTTP_11,
            peer: request.extensions().get::<PeerAddress>().map(|peer| peer.0),
            headers: request.headers(),
        }
    }
}

impl Headers for HeaderMap {
    fn value(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        joined(self.get_all(name).iter().map(HeaderValue::as_bytes))
    }
}

impl Reply {
    /// The reply as a response without a stream.
    ///
    /// # Panics
    ///
    /// If the status is not one of HTTP. Every status of the contract is.
    pub fn into_response<S>(self) -> Response<ResponseBody<S>> {
        self.into_shared_response(Bytes::from)
    }

    /// As [`into_response`](Self::into_response); `share` makes the document a `Bytes`, as
    /// `Hub::share` does.
    ///
    /// # Panics
    ///
    /// As [`into_response`](Self::into_response).
    pub fn into_shared_response<S>(
        mut self,
        share: impl FnOnce(Vec<u8>) -> Bytes,
    ) -> Response<ResponseBody<S>> {
        let document = share(core::mem::take(&mut self.body));
        self.into_head(ResponseBody::document(document))
    }

    /// The reply as the head of a response whose body is `stream`.
    ///
    /// # Panics
    ///
    /// As [`into_response`](Self::into_response).
    pub fn into_stream<S>(self, stream: S) -> Response<ResponseBody<S>> {
        self.into_head(ResponseBody::stream(stream))
    }

    fn into_head<B>(self, body: B) -> Response<B> {
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(self.status).expect("a status of HTTP");
        for (name, value) in self.headers {
            // Cannot fail: every value is a constant, or arrived in a header itself.
            if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(value.into_owned())) {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}

/// Tells an HTTP/1 client that its connection closes after this response. hyper closes it then.
///
/// Over HTTP/2 the header is forbidden (RFC 9113, 8.2.2), and GOAWAY says the same.
pub fn close_connection<B>(response: &mut Response<B>, version: Version) {
    if version <= Version::HTTP_11 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_arrived() {
        let request = http::Request::put("http://hub.example:80/a/%20?x=1&y")
            .header("accept", "a")
            .header("accept", "b;q=1")
            .body(())
            .expect("a request");
        let request = Request::from(&request);
        assert_eq!((request.method, request.path), ("PUT", "/a/%20"));
        assert_eq!(
            (request.query, request.authority),
            (Some("x=1&y"), Some("hub.example:80"))
        );
        assert_eq!(
            request.headers.value("accept").as_deref(),
            Some(&b"a, b;q=1"[..])
        );
        assert_eq!(request.headers.value("origin"), None);
        assert!(request.is_http_1_1);

        let request = http::Request::get("/")
            .version(Version::HTTP_2)
            .body(())
            .expect("valid");
        let request = Request::from(&request);
        assert_eq!((request.query, request.authority), (None, None));
        assert!(!request.is_http_1_1);
    }
}
