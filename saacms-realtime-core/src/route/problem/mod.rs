#[rustfmt::skip] // one kind, one line
mod kind;

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use kind::Kind;

use super::limits::{MAX_FAILED_LINES, MAX_RESULTS_BYTES};
use super::reply::Header;
use crate::event::EventError;
use crate::excerpt::excerpt;
use crate::name::{InvalidKey, ResourceKey};
use crate::notice::Notice;
use crate::refusal::Refusal;
use crate::time::whole_millis;

/// An error as the client gets it: a problem document (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    kind: Kind,
    detail: String,
    headers: Vec<Header>,
    /// When to try again; `None` if that does not help.
    retry: Option<Retry>,
}

/// When a client may try again: after a time, and up to `spread` later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Retry {
    after: Duration,
    spread: Duration,
}

/// When a limit may have room again.
const LATER: Retry = Retry {
    after: Duration::from_secs(10),
    spread: Duration::from_secs(30),
};

/// When an engine that is away may be back. Publishers that wait at once are few.
const ENGINE_BACK: Retry = Retry {
    after: Duration::from_secs(5),
    spread: Duration::ZERO,
};

/// When an engine has stored what waits for it.
const ENGINE_FREE: Retry = Retry {
    after: Duration::from_secs(1),
    spread: Duration::ZERO,
};

impl Problem {
    /// The status code.
    pub fn status(&self) -> u16 {
        self.kind.status
    }

    /// The cause, and what is allowed.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The document, on one line.
    pub fn to_json(&self) -> String {
        let Kind {
            name,
            status,
            title,
        } = self.kind;
        // Serializing a string cannot fail. Name and title are constants that need no escapes.
        let detail = serde_json::to_string(&self.detail).unwrap_or_default();
        format!(
            r#"{{"type":"urn:saacms-realtime:{name}","title":"{title}","status":{status},"detail":{detail}}}"#
        )
    }

    /// 413: the body is larger than `max_body_bytes`.
    pub fn body_too_large(max_body_bytes: usize) -> Self {
        let detail = format!("the body is larger than the limit of {max_body_bytes} bytes");
        Self::new(kind::BODY_TOO_LARGE, detail)
    }

    /// 400: the body ended early.
    pub fn body_incomplete() -> Self {
        Self::new(
            kind::BODY_INCOMPLETE,
            "the body ended early; nothing was published",
        )
    }

    /// 408: the body did not arrive in time.
    pub fn body_too_slow(seconds: u64) -> Self {
        let detail = format!("the body did not arrive within {seconds} s; nothing was published");
        Self::new(kind::BODY_TOO_SLOW, detail)
    }

    /// 503: bodies that have not arrived whole, or are being published, hold all the room there is
    /// for them.
    pub fn too_many_bodies() -> Self {
        Self::new(
            kind::TOO_MANY_BODIES,
            "too many large bodies arrive or are published at once; nothing of this one was published",
        )
        .with("retry-after", "1")
    }

    /// 404: an object serves nothing at this path.
    pub fn nothing_here() -> Self {
        Self::new(
            kind::NOT_FOUND,
            "an object has only GET .../subscribe and POST .../publish",
        )
    }

    /// 409: an object that serves one record received an event of another.
    pub fn other_record(own: &ResourceKey, named: &ResourceKey) -> Self {
        let [own, named] = [own, named].map(|key| excerpt(&key.to_string()));
        let detail = format!("this object serves {own}, but the event is about {named}");
        Self::new(kind::OTHER_RECORD, detail)
    }

    /// 500: the event could not be stored. It was not published.
    pub fn not_stored() -> Self {
        Self::new(
            kind::NOT_STORED,
            "the event could not be stored; nothing was published",
        )
    }

    /// 502: the object of the record gave no valid answer.
    pub fn record_unreachable() -> Self {
        Self::new(
            kind::RECORD_UNREACHABLE,
            "the object of this record failed; the event may or may not have been published",
        )
    }

    /// The notice to count if a publish is refused for this. The hub counts its own refusals.
    pub(super) fn notice(&self) -> Option<Notice> {
        match self.kind {
            kind::BODY_INCOMPLETE | kind::INVALID_EVENT | kind::UNKNOWN_CONTENT_CODING => {
                Some(Notice::PublishInvalid)
            }
            kind::TOKEN_MISSING => Some(Notice::PublishUnauthorized),
            kind::FOREIGN_ORIGIN | kind::PUBLISHING_OFF | kind::TOKEN_WRONG => {
                Some(Notice::PublishForbidden)
            }
            kind::FOREIGN_HOST => Some(Notice::ForeignHost),
            kind::BODY_TOO_SLOW => Some(Notice::PublishTooSlow),
            kind::BODY_TOO_LARGE => Some(Notice::PublishTooLarge),
            kind::TOO_MANY_BODIES => Some(Notice::PublishTooMany),
            _ => None,
        }
    }

    /// 413: the lines after those that were tried, as the last result of an NDJSON body.
    pub(super) fn lines_not_tried(lines: usize) -> Self {
        let detail = format!(
            "the last {lines} lines were not tried, because {MAX_FAILED_LINES} lines failed or the \
             results have more than {MAX_RESULTS_BYTES} bytes; publish those lines again"
        );
        Self::new(kind::LINES_NOT_TRIED, detail)
    }

    pub(super) fn into_headers(self) -> Vec<Header> {
        let mut headers = self.headers;
        if let Some(Retry { after, .. }) = self.retry {
            let secs = whole_millis(after).div_ceil(1_000);
            headers.push(("retry-after", secs.to_string().into()));
        }
        headers
    }

    /// When an `EventSource` may try again, in milliseconds; `None` if that does not help.
    pub(super) fn retry_millis(&self, jitter: u64) -> Option<u64> {
        let retry = match self.kind {
            // It has no `Retry-After`, as a publisher that repeats the event may publish it twice.
            kind::RECORD_UNREACHABLE => Some(LATER),
            _ => self.retry,
        };
        let Retry { after, spread } = retry?;
        let later = jitter % (whole_millis(spread) + 1);
        Some(whole_millis(after).saturating_add(later))
    }

    pub(super) fn host_missing() -> Self {
        Self::new(
            kind::HOST_MISSING,
            "a request over HTTP/1.1 must have exactly one header `Host`",
        )
    }

    pub(super) fn unknown_transfer_coding() -> Self {
        Self::new(
            kind::UNKNOWN_TRANSFER_CODING,
            "the only `Transfer-Encoding` of a request that is understood is `chunked`",
        )
        // The end of the body is not known, so nothing may follow it.
        .with("connection", "close")
    }

    pub(super) fn unknown_content_coding() -> Self {
        Self::new(
            kind::UNKNOWN_CONTENT_CODING,
            "the body of a publish must not be compressed: send it without `Content-Encoding`",
        )
        .with("accept-encoding", "identity")
    }

    pub(super) fn not_found(base_path: &str) -> Self {
        // A router may take its base path from the request.
        let base_path = excerpt(base_path);
        let detail = format!(
            "the API has only GET {base_path}/{{collection}}/{{id}}/subscribe and POST \
             {base_path}/publish"
        );
        Self::new(kind::NOT_FOUND, detail)
    }

    /// 405: the path has other methods. `allowed` is the value of `Allow`.
    pub fn method_not_allowed(allowed: &'static str) -> Self {
        let detail = format!("allowed here: {allowed}");
        Self::new(kind::METHOD_NOT_ALLOWED, detail).with("allow", allowed)
    }

    pub(super) fn not_acceptable() -> Self {
        Self::new(
            kind::NOT_ACCEPTABLE,
            "the stream is text/event-stream: accept that, text/* or */*, or send no Accept header",
        )
    }

    /// 400: a part of the key in the path is not UTF-8.
    pub fn path_not_utf8(part: &'static str) -> Self {
        let detail = format!("the {part} in the path is not UTF-8 after percent-decoding");
        Self::new(kind::INVALID_KEY, detail)
    }

    pub(super) fn dot_segment() -> Self {
        Self::new(
            kind::DOT_SEGMENT,
            "the path has a segment `.` or `..`, raw or percent-encoded; send it resolved",
        )
    }

    pub(super) fn foreign_host() -> Self {
        Self::new(
            kind::FOREIGN_HOST,
            "this server answers only requests to localhost, another loopback name or address, or \
             a host that it lists (--allowed-host)",
        )
    }

    pub(super) fn publishing_is_off() -> Self {
        Self::new(
            kind::PUBLISHING_OFF,
            "this server accepts no publishes over HTTP: it has no publish token, and publishing \
             without one is not opened",
        )
    }

    pub(super) fn proxied_without_token() -> Self {
        Self::new(
            kind::TOKEN_MISSING,
            "this publish came through a proxy (it has a Via, Forwarded or X-Forwarded-For header), \
             so its client may be anywhere. Start the server with a publish token, or publish \
             without the proxy",
        )
        .with("www-authenticate", "Bearer")
    }

    pub(super) fn token_missing() -> Self {
        Self::new(
            kind::TOKEN_MISSING,
            "publishing needs the header `Authorization: Bearer <publish token>`",
        )
        .with("www-authenticate", "Bearer")
    }

    pub(super) fn token_wrong() -> Self {
        Self::new(kind::TOKEN_WRONG, "the token sent is not the publish token")
    }

    pub(super) fn foreign_origin() -> Self {
        Self::new(
            kind::FOREIGN_ORIGIN,
            "without a publish token, a page may publish only from an origin that the server lists, or \
             from the server's own page on a loopback name",
        )
    }

    pub(super) fn foreign_page() -> Self {
        Self::new(
            kind::FOREIGN_PAGE,
            "a page may open a WebSocket only from an origin that the server lists, or from the server's \
             own; an application that passes requests on passes them with their own URL",
        )
    }

    fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            headers: Vec::new(),
            retry: None,
        }
    }

    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Kind { status, title, .. } = self.kind;
        write!(f, "{status} {title}: {}", self.detail)
    }
}

impl core::error::Error for Problem {}

impl From<InvalidKey> for Problem {
    fn from(error: InvalidKey) -> Self {
        Self::new(kind::INVALID_KEY, error.to_string())
    }
}

impl From<EventError> for Problem {
    fn from(error: EventError) -> Self {
        Self::new(kind::INVALID_EVENT, error.to_string())
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (kind, retry) = match refusal {
            Refusal::Draining { retry_after } => {
                // The hub has jittered it already.
                let spread = Duration::ZERO;
                let after = retry_after;
                (kind::DRAINING, Some(Retry { after, spread }))
            }
            Refusal::TooManyTopics { .. } => (kind::TOO_MANY_TOPICS, Some(LATER)),
            Refusal::TooManySubscribers { .. } => (kind::TOO_MANY_SUBSCRIBERS, Some(LATER)),
            Refusal::TooManySubscribersOfTopic { .. } => {
                (kind::TOO_MANY_SUBSCRIBERS_OF_TOPIC, Some(LATER))
            }
            Refusal::TooManyStreamsOfAddress { .. } => {
                (kind::TOO_MANY_STREAMS_OF_ADDRESS, Some(LATER))
            }
            Refusal::EngineAway => (kind::ENGINE_AWAY, Some(ENGINE_BACK)),
            Refusal::EngineBusy => (kind::ENGINE_BUSY, Some(ENGINE_FREE)),
            Refusal::MaybePublished => (kind::MAYBE_PUBLISHED, Some(ENGINE_BACK)),
            // Nobody knows when there is room again, and the event does not become smaller.
            Refusal::EngineFull => (kind::ENGINE_FULL, None),
            Refusal::EventTooLarge { .. } => (kind::EVENT_TOO_LARGE, None),
            Refusal::NeedsSubmit => (kind::NOT_STORED, None),
        };
        let mut problem = Self::new(kind, refusal.to_string());
        problem.retry = retry;
        problem
    }
}
