//! Every kind of problem, by status.

/// The parts that all problems of one kind share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// The last part of the URN that is the document's `type`.
    pub(super) name: &'static str,
    pub(super) status: u16,
    pub(super) title: &'static str,
}

const fn kind(name: &'static str, status: u16, title: &'static str) -> Kind {
    Kind {
        name,
        status,
        title,
    }
}

pub(super) const BODY_INCOMPLETE: Kind = kind("body-incomplete", 400, "Body incomplete");
pub(super) const DOT_SEGMENT: Kind = kind("dot-segment", 400, "Dot segment in the path");
pub(super) const HOST_MISSING: Kind = kind("host-missing", 400, "Host missing");
pub(super) const INVALID_EVENT: Kind = kind("invalid-event", 400, "Invalid event");
pub(super) const INVALID_KEY: Kind = kind("invalid-key", 400, "Invalid resource key");
pub(super) const TOKEN_MISSING: Kind = kind("token-missing", 401, "Publish token missing");
pub(super) const FOREIGN_HOST: Kind = kind("foreign-host", 403, "Host not allowed");
pub(super) const FOREIGN_ORIGIN: Kind = kind("foreign-origin", 403, "Origin not allowed");
pub(super) const FOREIGN_PAGE: Kind = kind("foreign-page", 403, "Origin not allowed");
pub(super) const PUBLISHING_OFF: Kind = kind("publishing-is-off", 403, "Publishing is off");
pub(super) const TOKEN_WRONG: Kind = kind("token-wrong", 403, "Publish token wrong");
pub(super) const NOT_FOUND: Kind = kind("not-found", 404, "Not found");
pub(super) const METHOD_NOT_ALLOWED: Kind = kind("method-not-allowed", 405, "Method not allowed");
pub(super) const NOT_ACCEPTABLE: Kind = kind("not-acceptable", 406, "Not acceptable");
pub(super) const BODY_TOO_SLOW: Kind = kind("body-too-slow", 408, "Body too slow");
pub(super) const OTHER_RECORD: Kind = kind("other-record", 409, "Another record");
pub(super) const BODY_TOO_LARGE: Kind = kind("body-too-large", 413, "Body too large");
pub(super) const EVENT_TOO_LARGE: Kind = kind("event-too-large", 413, "Event too large");
pub(super) const LINES_NOT_TRIED: Kind = kind("lines-not-tried", 413, "Lines not tried");
pub(super) const UNKNOWN_CONTENT_CODING: Kind = kind("unknown-content-coding", 415, "Compressed body");
pub(super) const TOO_MANY_STREAMS_OF_ADDRESS: Kind = kind("too-many-streams-of-address", 429, "Too many streams of this address");
pub(super) const TOO_MANY_SUBSCRIBERS_OF_TOPIC: Kind = kind("too-many-subscribers-of-topic", 429, "Too many subscribers of this record");
pub(super) const NOT_STORED: Kind = kind("not-stored", 500, "Not stored");
pub(super) const UNKNOWN_TRANSFER_CODING: Kind = kind("unknown-transfer-coding", 501, "Transfer coding not understood");
pub(super) const RECORD_UNREACHABLE: Kind = kind("record-unreachable", 502, "Record unreachable");
pub(super) const DRAINING: Kind = kind("draining", 503, "Shutting down");
pub(super) const ENGINE_AWAY: Kind = kind("engine-away", 503, "Engine away");
pub(super) const ENGINE_BUSY: Kind = kind("engine-busy", 503, "Engine busy");
pub(super) const MAYBE_PUBLISHED: Kind = kind("maybe-published", 503, "Maybe published");
pub(super) const TOO_MANY_BODIES: Kind = kind("too-many-bodies", 503, "Too many bodies at once");
pub(super) const TOO_MANY_SUBSCRIBERS: Kind = kind("too-many-subscribers", 503, "Too many subscribers");
pub(super) const TOO_MANY_TOPICS: Kind = kind("too-many-topics", 503, "Too many records");
pub(super) const ENGINE_FULL: Kind = kind("engine-full", 507, "Engine full");
