//! The boundary between a hub and an engine, which keeps events longer than the process lives.
//!
//! A [`Request`] goes out of the hub, a [`Report`] comes in, both through the
//! [`EnginePort`](crate::EnginePort) of a [`Hub`](crate::Hub). They are plain values, and there is no
//! trait: an engine is a task or a thread that carries out requests. One engine has one sequence,
//! which counts the events of all its records, so that a position names a place in every record.
//!
//! # What an engine must do
//!
//! 1. The events of a record have one order, in which their sequences rise.
//! 2. A publish is reported as [stored](Report::Stored) only when it is kept as safely as the engine
//!    can. A ticket is stored once, however often the engine tries. Every ticket is answered, if only
//!    by [`NotStored::Unknown`]: until then, or the next [`Report::Up`], the publish counts against
//!    those that may wait.
//! 3. The newest [`keep`](EngineSpec::keep) events of a record are kept; the oldest are dropped first.
//! 4. Answers to [`Request::Newest`] and [`Request::Run`] describe one moment, with a true
//!    [`Span`](crate::Span).
//! 5. An ask that must be sure is answered by the authoritative server, never by a replica that may be
//!    stale.
//! 6. [`Report::Doubt`] follows whenever a live event may have been missed. [`Report::Down`] is reported
//!    when the connection is lost, and [`Report::Up`] when it is back.
//! 7. [`Report::Lost`] follows whenever stored events may be gone.
//! 8. Everything is bounded: what does not fit becomes a doubt.
//! 9. Every ask is answered within 5 s, if only by [`Failed`].
//! 10. Live events are reported in the order in which they arrive. [`Report::Lost`], and an
//!     [`Report::Up`] with another life, come before everything that belongs to that life.

mod packed;
mod report;
mod request;

use core::time::Duration;

use crate::position::Epoch;

pub use packed::{InvalidPacked, Packed, Stamp, Unpacked};
pub use report::{Failed, NotStored, Report};
pub use request::Request;

/// What an engine can do, and what a hub may expect of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineSpec {
    /// The events of a record that it keeps: one more than
    /// [`max_events`](crate::HubConfig::max_events). The ID of the event before the replay window
    /// counts as known, too.
    pub keep: usize,
    /// Whether it [stamps](Packed::stamp) events with its own clock. Otherwise the hub stamps them
    /// with the hub's clock, before it publishes them.
    pub stamps: bool,
    /// How often the hub asks for the newest event of each record, even if nothing suggests that a
    /// live event was missed; `None` = never.
    pub audit_every: Option<Duration>,
    /// The longest [`Packed`] event that it takes, in bytes.
    pub max_event_bytes: usize,
    /// How long a publish waits for the engine, and how long the engine may be away until publishes
    /// are refused at once. 15 s by default.
    pub publish_timeout: Duration,
}

/// One life of an engine's history. After a loss it has another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// The epoch of positions in this life. No two lives share one.
    pub number: u64,
    /// Events up to this sequence may be gone, or may differ from those that readers got.
    pub lost: u64,
}

impl Life {
    /// The epoch of this life's positions.
    pub const fn epoch(self) -> Epoch {
        Epoch::from_number(self.number)
    }
}

/// The number of an ask. Its answer carries it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number(pub(crate) u64);

/// The number of a publish. Its [`Report::Stored`] carries it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(crate) u64);
