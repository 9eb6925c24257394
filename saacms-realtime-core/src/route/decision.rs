use alloc::vec::Vec;

use super::{Header, PublishFormat, Reply};
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
    /// Subscribe and send `head`, then the stream. If the hub refuses, send
    /// [`Problem::from`](super::Problem) its refusal.
    #[non_exhaustive]
    Subscribe {
        /// The record.
        key: ResourceKey,
        /// The last event ID that the client sent.
        last_event_id: Option<Vec<u8>>,
        /// Status and headers of the stream.
        head: Reply,
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
