use alloc::vec::Vec;
use core::net::IpAddr;

use super::accept::accepts_only_event_stream;
use super::{EVENT_STREAM, Header, Problem, PublishFormat, Reply};
use crate::name::ResourceKey;

/// The action for a request, and the headers that every answer to it carries.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Decision {
    /// The action.
    pub action: Action,
    /// The headers that every answer to this request carries.
    pub answer: AnswerHeaders,
}

/// The action for a request.
///
/// Exhaustive, because every adapter must handle every action.
#[derive(Clone, Debug)]
#[must_use]
pub enum Action {
    /// Subscribe and send `head`, then the stream. If the hub refuses, send the reply of `refuse`.
    #[non_exhaustive]
    Subscribe {
        /// The record.
        key: ResourceKey,
        /// The last event ID that the client sent.
        last_event_id: Option<Vec<u8>>,
        /// The address of the client, for `Hub::subscribe_from`; `None` if it is not known.
        client: Option<IpAddr>,
        /// Status and headers of the stream.
        head: Reply,
        /// Whether the client gets a WebSocket instead of an event stream; never unless the adapter
        /// has [them](super::Api::with_websockets).
        is_websocket: bool,
        /// How the client is told that it gets no stream.
        refuse: StreamRefusal,
    },
    /// Send `head` with the position of the record, see [`Reply::with_position`]. No stream follows:
    /// nothing is subscribed.
    #[non_exhaustive]
    Head {
        /// The record.
        key: ResourceKey,
        /// Status and headers that the stream would have.
        head: Reply,
    },
    /// Read the body and send the answer of [`PublishFormat::run`].
    #[non_exhaustive]
    Publish {
        /// The format of the body.
        format: PublishFormat,
        /// The largest body that is accepted, in bytes.
        max_body_bytes: usize,
    },
    /// Send this reply.
    Reply(Reply),
}

/// How a client is told that it gets no stream.
///
/// An `EventSource` sees neither status nor headers, and gives up for good at every status but 200. So
/// a client that accepts nothing but an event stream is told within one, if the refusal passes: when
/// to come back, and why. Everybody else gets the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamRefusal {
    accepts_only_event_stream: bool,
}

impl StreamRefusal {
    /// A status: for a client that does not read an event stream, such as that of a WebSocket.
    pub(super) const BY_STATUS: Self = Self {
        accepts_only_event_stream: false,
    };

    pub(super) fn of(accept: Option<&[u8]>) -> Self {
        Self {
            accepts_only_event_stream: accepts_only_event_stream(accept),
        }
    }

    /// The reply to a client that is refused for `problem`. `jitter` is a random number, such as that
    /// of [`Hub::jitter`](crate::Hub::jitter): not all come back at once.
    pub fn reply(self, problem: Problem, jitter: u64) -> Reply {
        let retry_millis = problem.retry_millis(jitter);
        let mut reply = match retry_millis {
            Some(millis) if self.accepts_only_event_stream => Reply::unavailable(problem, millis),
            _ => problem.into(),
        };

        // A hub that is full needs the room of a client that has to wait.
        reply.closes_connection = retry_millis.is_some();
        reply
    }

    /// An `Accept` header with which a router asks the object of a record: its refusal then has the
    /// form that the router's client understands.
    pub fn accept(self) -> &'static str {
        if self.accepts_only_event_stream {
            EVENT_STREAM
        } else {
            "text/event-stream, application/problem+json"
        }
    }
}

/// The headers that every answer to a request carries: those for CORS.
#[derive(Clone, Debug)]
pub struct AnswerHeaders(Vec<Header>);

impl AnswerHeaders {
    pub(super) fn new(headers: Vec<Header>) -> Self {
        Self(headers)
    }

    /// Adds these headers to a reply.
    #[must_use]
    pub fn add_to(self, mut reply: Reply) -> Reply {
        reply.headers.extend(self.0);
        reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Refusal;
    use alloc::string::String;
    use core::time::Duration;

    const EVENT_SOURCE: Option<&[u8]> = Some(b"text/event-stream");

    fn told(accept: Option<&[u8]>, problem: impl Into<Problem>, jitter: u64) -> (u16, String) {
        let reply = StreamRefusal::of(accept).reply(problem.into(), jitter);
        let text = String::from_utf8(reply.body).expect("UTF-8");
        (reply.status, text)
    }

    #[test]
    fn an_event_source_is_told_within_a_stream_when_to_come_back_and_why() {
        let refusal = Refusal::TooManySubscribers { limit: 3 };
        let document = Problem::from(refusal).to_json();
        for (jitter, millis) in [(0, 10_000), (1, 10_001), (30_000, 40_000), (30_001, 10_000)] {
            let stream = alloc::format!(
                "retry: {millis}\n\nevent: saacms-unavailable\ndata: {document}\n\n"
            );
            assert_eq!(told(EVENT_SOURCE, refusal, jitter), (200, stream));
        }
        assert_eq!(
            told(Some(b"text/event-stream, */*"), refusal, 0),
            (503, document)
        );
    }

    #[test]
    fn a_refusal_that_passes_closes_the_connection_of_its_client() {
        let closes = |accept, problem| {
            StreamRefusal::of(accept)
                .reply(problem, 0)
                .closes_connection
        };
        for accept in [EVENT_SOURCE, None] {
            assert!(closes(
                accept,
                Refusal::TooManySubscribers { limit: 3 }.into()
            ));
            assert!(!closes(accept, Problem::not_acceptable()));
        }
    }

    #[test]
    fn a_hub_that_drains_says_itself_when_to_come_back() {
        let refusal = Refusal::Draining {
            retry_after: Duration::from_millis(11_001),
        };
        let (status, text) = told(EVENT_SOURCE, refusal, 12_345);
        assert!(
            status == 200 && text.starts_with("retry: 11001\n\n"),
            "{text}"
        );
        let headers = Reply::from(Problem::from(refusal)).headers;
        assert!(
            headers.contains(&("retry-after", "12".into())),
            "{headers:?}"
        );
    }

    #[test]
    fn a_refusal_that_does_not_pass_has_its_status_for_everybody() {
        assert_eq!(told(EVENT_SOURCE, Problem::nothing_here(), 0).0, 404);
        assert_eq!(told(EVENT_SOURCE, Problem::record_unreachable(), 0).0, 200);
        assert_eq!(told(None, Problem::record_unreachable(), 0).0, 502);
    }
}
