//! The reports of a follower to the printer.

use core::time::Duration;
use std::sync::Arc;

use saacms_realtime_core::sse::Message;
use saacms_realtime_core::{ResourceKey, Timestamp};

/// A report about one record.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) at: Timestamp,
    pub(super) key: Arc<ResourceKey>,
    pub(super) news: News,
}

/// Something that happened on the stream of a record.
#[derive(Debug)]
pub(super) enum News {
    /// The stream began. The request named this last event ID; empty = none.
    Connected {
        last_event_id: String,
        /// Whether there was a stream before.
        again: bool,
    },
    /// The connection is lost, or there was none. The next attempt follows after `wait`.
    Lost {
        reason: String,
        wait: Duration,
        /// Whether this is the first attempt in a row that got nothing of a stream.
        is_outage: bool,
    },
    /// The hub ended the stream for good.
    Ended,
    /// Another attempt would fail as well.
    Refused { reason: String },
    /// An event, or a resync.
    Message {
        message: Message,
        replayed: Option<Replayed>,
    },
}

/// The reason to think that an event is a replay. The hub does not mark replays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replayed {
    /// It came right after the first connection, which named a last event ID.
    AfterConnect,
    /// It came right after a reconnect.
    AfterReconnect,
}
