use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;

use super::{EVENT_STREAM, HEARTBEAT_HEADER, LAST_EVENT_ID_HEADER, Problem};
use crate::name::UNAVAILABLE;
use crate::notice::Notice;
use crate::position::Position;

/// A header: its lower-case name and its value.
pub type Header = (&'static str, Cow<'static, str>);

/// Status, headers and body of an answer. The body of a stream comes from its subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: Vec<Header>,
    /// The body.
    pub body: Vec<u8>,
    /// The notice of this refusal, if it has one. An adapter counts it with
    /// [`Hub::notice`](crate::Hub::notice) as it sends the reply.
    pub notice: Option<Notice>,
    /// Whether the connection closes after this reply: its client has no use for it until it comes
    /// back, and others may wait for the room. An adapter tells it so over HTTP/1.
    pub closes_connection: bool,
}

impl Reply {
    /// An object's answer, passed on by a router.
    pub fn passed_on(status: u16, content_type: Option<String>, body: Vec<u8>) -> Self {
        let reply = Self::new(status, body);
        match content_type {
            Some(content_type) => reply.with("content-type", content_type),
            None => reply,
        }
    }

    /// The head of a stream with the position of its record, from which a page may subscribe once it
    /// has read the record.
    #[must_use]
    pub fn with_position(self, position: Position) -> Self {
        self.with(LAST_EVENT_ID_HEADER, position.to_string())
    }

    /// 101, to which the platform adds the headers of its handshake.
    pub(super) fn switching_protocols() -> Self {
        Self::new(101, Vec::new())
    }

    /// 204.
    pub(super) fn no_content() -> Self {
        Self::new(204, Vec::new())
    }

    /// 200 with a body.
    pub(super) fn ok(content_type: &'static str, body: Vec<u8>) -> Self {
        Self::new(200, body).with("content-type", content_type)
    }

    /// The head of a stream, which nothing between hub and browser may buffer or change.
    pub(super) fn stream(is_http_1_1: bool, heartbeat: Duration) -> Self {
        let mut reply = Self::ok(EVENT_STREAM, Vec::new())
            .with("cache-control", "no-cache, no-transform")
            .with("x-accel-buffering", "no");
        if !heartbeat.is_zero() {
            reply = reply.with(HEARTBEAT_HEADER, heartbeat.as_millis().to_string());
        }
        // HTTP/2 forbids the header (RFC 9113, 8.2.2), and it means something else in HTTP/1.0.
        if is_http_1_1 {
            reply = reply.with("connection", "keep-alive");
        }
        reply
    }

    /// A stream that only says when to come back, and why there is none.
    pub(super) fn unavailable(problem: Problem, retry_millis: u64) -> Self {
        let document = problem.to_json();
        let text = format!("retry: {retry_millis}\n\nevent: {UNAVAILABLE}\ndata: {document}\n\n");

        // It is short, so it is an answer with a length.
        let mut reply = Self::stream(false, Duration::ZERO);
        reply.body = text.into_bytes();
        reply.notice = problem.notice();
        reply
    }

    fn new(status: u16, body: Vec<u8>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body,
            notice: None,
            closes_connection: false,
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
        let mut reply =
            Self::new(problem.status(), body).with("content-type", "application/problem+json");
        reply.notice = problem.notice();
        reply.headers.extend(problem.into_headers());
        reply
    }
}
