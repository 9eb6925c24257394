use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::Problem;
use crate::sse;

/// A header: its lower-case name and its value.
pub type Header = (&'static str, Cow<'static, str>);

/// Status, headers and body of an answer. The body of a stream comes from its subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: Vec<Header>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// 204.
    pub(super) fn no_content() -> Self {
        Self {
            status: 204,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// 200 with a body.
    pub(super) fn ok(content_type: &'static str, body: Vec<u8>) -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            body,
        }
        .with("content-type", content_type)
    }

    /// The head of a stream. Nothing between hub and browser may gather or change it.
    pub(super) fn stream(is_http_1_1: bool) -> Self {
        let reply = Self::ok(sse::CONTENT_TYPE, Vec::new())
            .with("cache-control", "no-cache, no-transform")
            .with("x-accel-buffering", "no");
        // HTTP/2 forbids it (RFC 9113, 8.2.2), HTTP/1.0 means something else by it.
        if is_http_1_1 {
            reply.with("connection", "keep-alive")
        } else {
            reply
        }
    }

    /// The reply with one more header.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl From<Problem> for Reply {
    fn from(problem: Problem) -> Self {
        let body = problem.to_json().into_bytes();
        let mut reply = Self {
            status: problem.status(),
            headers: Vec::new(),
            body,
        }
        .with("content-type", "application/problem+json");
        reply.headers.extend(problem.into_headers());
        reply
    }
}
