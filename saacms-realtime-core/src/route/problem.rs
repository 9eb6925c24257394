use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use super::reply::Header;
use crate::event::EventError;
use crate::name::{InvalidKey, ResourceKey};
use crate::refusal::Refusal;

/// A refusal as the client gets it: a problem document (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    kind: &'static str,
    status: u16,
    title: &'static str,
    detail: String,
    headers: Vec<Header>,
}

impl Problem {
    /// The status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// What is wrong and what is allowed.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The document, on one line.
    pub fn to_json(&self) -> String {
        let Self {
            kind,
            status,
            title,
            ..
        } = self;
        let detail = serde_json::to_string(&self.detail).unwrap_or_default();
        format!(
            r#"{{"type":"urn:saacms-realtime:{kind}","title":"{title}","status":{status},"detail":{detail}}}"#
        )
    }

    /// 413: the body is larger than `max_body_bytes`.
    pub fn body_too_large(max_body_bytes: usize) -> Self {
        let detail = format!("the body has more than {max_body_bytes} bytes, which is the limit");
        Self::new("body-too-large", 413, "Body too large", detail)
    }

    /// 400: the body did not arrive whole.
    pub fn body_incomplete() -> Self {
        Self::new(
            "body-incomplete",
            400,
            "Body incomplete",
            "the body did not arrive whole; nothing was published",
        )
    }

    /// 408: the body did not arrive in time.
    pub fn body_too_slow(seconds: u64) -> Self {
        let detail = format!("the body did not arrive within {seconds} s; nothing was published");
        Self::new("body-too-slow", 408, "Body too slow", detail)
    }

    /// 404: nothing is served there.
    pub fn nothing_here() -> Self {
        Self::new(
            "not-found",
            404,
            "Not found",
            "an object has GET .../subscribe for an event stream, and POST .../publish",
        )
    }

    /// 409: an object that serves one record was given the event of another.
    pub fn other_record(own: &ResourceKey, named: &ResourceKey) -> Self {
        let detail = format!("this object serves {own}, the event is about {named}");
        Self::new("other-record", 409, "Another record", detail)
    }

    /// 500: the event could not be stored. It was not published.
    pub fn not_stored() -> Self {
        Self::new(
            "not-stored",
            500,
            "Not stored",
            "the event could not be stored; nothing was published",
        )
    }

    /// 502: what serves the record did not answer as it should.
    pub fn record_unreachable() -> Self {
        Self::new(
            "record-unreachable",
            502,
            "Record unreachable",
            "what serves this record failed; whether the event was published is not known",
        )
    }

    pub(super) fn into_headers(self) -> Vec<Header> {
        self.headers
    }

    pub(super) fn not_found(base_path: &str) -> Self {
        let detail = format!(
            "there is only GET {base_path}/{{collection}}/{{id}}/subscribe and POST \
             {base_path}/publish"
        );
        Self::new("not-found", 404, "Not found", detail)
    }

    pub(super) fn method_not_allowed(allowed: &'static str) -> Self {
        let detail = format!("allowed here: {allowed}");
        Self::new("method-not-allowed", 405, "Method not allowed", detail).with("allow", allowed)
    }

    pub(super) fn not_acceptable() -> Self {
        Self::new(
            "not-acceptable",
            406,
            "Not acceptable",
            "the stream is text/event-stream; accept that, text/*, */*, or send no Accept header",
        )
    }

    /// 400: a part of the key, as the path has it, is not UTF-8.
    pub fn path_not_utf8(part: &'static str) -> Self {
        let detail = format!("`{part}` in the path is not UTF-8 after percent-decoding");
        Self::new("invalid-key", 400, "Invalid resource key", detail)
    }

    pub(super) fn token_missing() -> Self {
        Self::new(
            "token-missing",
            401,
            "Publish token missing",
            "publishing needs the header `Authorization: Bearer <publish token>`",
        )
        .with("www-authenticate", "Bearer")
    }

    pub(super) fn token_wrong() -> Self {
        Self::new(
            "token-wrong",
            403,
            "Publish token wrong",
            "this is not the publish token",
        )
    }

    pub(super) fn foreign_origin() -> Self {
        Self::new(
            "foreign-origin",
            403,
            "Origin not allowed",
            "without a publish token a page may publish only from an origin that the hub lists, or \
             from the hub's own page on this machine",
        )
    }

    fn new(
        kind: &'static str,
        status: u16,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            status,
            title,
            detail: detail.into(),
            headers: Vec::new(),
        }
    }

    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status, self.title, self.detail)
    }
}

impl core::error::Error for Problem {}

impl From<InvalidKey> for Problem {
    fn from(error: InvalidKey) -> Self {
        Self::new(
            "invalid-key",
            400,
            "Invalid resource key",
            error.to_string(),
        )
    }
}

impl From<EventError> for Problem {
    fn from(error: EventError) -> Self {
        Self::new("invalid-event", 400, "Invalid event", error.to_string())
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (kind, status, title, retry_after) = match refusal {
            Refusal::Draining => ("draining", 503, "Shutting down", "1"),
            Refusal::TooManyTopics { .. } => ("too-many-topics", 503, "Too many records", "10"),
            Refusal::TooManySubscribers { .. } => {
                ("too-many-subscribers", 503, "Too many subscribers", "10")
            }
            Refusal::TooManySubscribersOfTopic { .. } => (
                "too-many-subscribers-of-topic",
                429,
                "Too many subscribers of this record",
                "10",
            ),
        };
        Self::new(kind, status, title, refusal.to_string()).with("retry-after", retry_after)
    }
}
