use alloc::vec::Vec;

use super::{Number, Packed, Ticket};
use crate::name::ResourceKey;

/// What a hub wants from its engine.
#[derive(Clone, Debug)]
pub enum Request {
    /// Report this record's live events from now on. It precedes the first ask about the record, and
    /// is repeated after each [`Report::Up`](super::Report::Up).
    Watch(ResourceKey),
    /// This record's live events are no longer needed.
    Unwatch(ResourceKey),
    /// Report the newest event of each of these records, at most 1,000.
    Newest {
        /// The records, each with the number of its ask.
        of: Vec<(ResourceKey, Number)>,
        /// Whether the answer must come from the authoritative server, not from a replica.
        sure: bool,
    },
    /// Report the events of a record from a sequence on, oldest first.
    Run {
        /// The record.
        key: ResourceKey,
        /// The number of the ask.
        number: Number,
        /// The sequence of the first event that is wanted; 0 = all that are kept.
        from: u64,
        /// Whether the answer must come from the authoritative server, not from a replica.
        sure: bool,
    },
    /// Store an event.
    Publish {
        /// The number of the publish.
        ticket: Ticket,
        /// The record.
        key: ResourceKey,
        /// The event.
        packed: Packed,
    },
    /// The hub has proof that stored events are gone: begin another [life](super::Life).
    DeclareLost,
}
