use alloc::vec::Vec;

use super::{Header, PublishFormat, Reply};
use crate::name::ResourceKey;

/// What to do with a request, and the headers that its answer carries in any case.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Decision {
    /// What to do.
    pub action: Action,
    /// The headers that every answer to this request carries.
    pub answer: AnswerHeaders,
}

/// What to do with a request.
///
/// Exhaustive, because every adapter must handle every action.
#[derive(Clone, Debug)]
#[must_use]
pub enum Action {
    /// Subscribe and send `head`, then the stream. If the hub refuses, send
    /// [`Problem::from`](super::Problem) its refusal.
    #[non_exhaustive]
    Subscribe {
        /// Which record.
        key: ResourceKey,
        /// What the client names as its last event ID.
        last_event_id: Option<Vec<u8>>,
        /// Status and headers of the stream.
        head: Reply,
    },
    /// Read the body and send what [`PublishFormat::run`] answers.
    #[non_exhaustive]
    Publish {
        /// How the body is read.
        format: PublishFormat,
        /// Most bytes that the body may have.
        max_body_bytes: usize,
    },
    /// Send this.
    Reply(Reply),
}

/// The headers that every answer to a request carries, those for CORS.
#[derive(Clone, Debug)]
pub struct AnswerHeaders(Vec<Header>);

impl AnswerHeaders {
    pub(super) fn new(headers: Vec<Header>) -> Self {
        Self(headers)
    }

    /// The reply with these headers.
    #[must_use]
    pub fn add_to(self, mut reply: Reply) -> Reply {
        reply.headers.extend(self.0);
        reply
    }
}
