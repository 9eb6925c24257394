//! A client: what it knows of its record, and its stream.

use std::sync::Arc;

use super::engine::Meaning;
use crate::connection::Flag;

#[derive(Debug)]
pub(crate) struct Client<R> {
    pub(crate) record: usize,
    /// The last event ID that it has; empty if there is none.
    pub(crate) id: String,
    /// It knows all events before this index of its record's history.
    pub(crate) known: usize,
    /// Which events it has, according to its last event ID.
    pub(crate) has: Meaning,
    /// Its ID may mean two places, so that nothing can be said of what it gets until it refetches.
    pub(crate) is_ambiguous: bool,
    /// Its ID is the current time of a hub, given by a resync.
    pub(crate) is_marker: bool,
    pub(crate) stream: Option<Stream<R>>,
    /// When it may come back.
    pub(crate) back_at: u64,
}

/// The stream of a client, and what came by it.
pub(crate) struct Stream<R> {
    /// The hub, and which of its lives.
    pub(crate) hub: usize,
    pub(crate) reader: R,
    /// The waker that the stream is polled with.
    pub(crate) woken: Arc<Flag>,
    pub(crate) wake_at: Option<u64>,
    /// The last event ID that the client named; empty if none.
    pub(crate) named: String,
    /// The place of its hub when it came; `None` if that had not heard of the engine.
    pub(crate) place: Option<String>,
    pub(crate) opened_at: u64,
    pub(crate) has_output: bool,
    /// A place, an event or a resync came: it waits no longer.
    pub(crate) has_begun: bool,
    pub(crate) has_event: bool,
    pub(crate) has_resync: bool,
}

impl<R> core::fmt::Debug for Stream<R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Stream")
            .field("hub", &self.hub)
            .field("named", &self.named)
            .finish_non_exhaustive()
    }
}

impl<R> Client<R> {
    pub(crate) fn new(record: usize) -> Self {
        Self {
            record,
            id: String::new(),
            known: 0,
            has: Meaning::default(),
            is_ambiguous: false,
            is_marker: false,
            stream: None,
            back_at: 0,
        }
    }

    /// It has another ID.
    pub(crate) fn name(&mut self, id: &str, meaning: Meaning) {
        id.clone_into(&mut self.id);
        self.has = meaning;
        self.is_marker = meaning == Meaning::default();
    }
}
