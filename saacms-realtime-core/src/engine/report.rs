use alloc::vec::Vec;
use core::fmt;

use super::{Life, Number, Packed, Ticket};
use crate::follow::{Span, Told};
use crate::name::ResourceKey;

/// What an engine reports to its hub.
#[derive(Clone, Debug)]
pub enum Report {
    /// The engine can be reached, and this is the life of its history. The engine watches no record,
    /// and has forgotten all asks: the hub sends its watches and asks again.
    Up {
        /// The life.
        life: Life,
        /// The newest sequence of any record: the position of the hub begins there.
        last: u64,
    },
    /// The engine cannot be reached.
    Down,
    /// Live events of these records may have been missed; `None` = of all records.
    Doubt(Option<Vec<ResourceKey>>),
    /// Stored events are gone, and this is the life that begins. Asks without an answer are
    /// forgotten; records that are watched stay watched.
    Lost(Life),
    /// An event of a watched record was stored.
    Live(ResourceKey, Told<Packed>),
    /// Answers [`Request::Newest`](super::Request::Newest) for one record. There may be no event.
    Newest(
        ResourceKey,
        Number,
        Result<(Option<Told<Packed>>, Span), Failed>,
    ),
    /// Answers [`Request::Run`](super::Request::Run), oldest event first.
    Run(
        ResourceKey,
        Number,
        Result<(Vec<Told<Packed>>, Span), Failed>,
    ),
    /// What became of a publish: the sequence of the event if it was stored.
    Stored(Ticket, Result<u64, NotStored>),
}

/// An ask was not answered; the hub repeats it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failed;

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the engine did not answer")
    }
}

impl core::error::Error for Failed {}

/// Why an engine did not store an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotStored {
    /// The engine has no room. Nothing was stored.
    Full,
    /// The engine cannot be reached. Nothing was stored.
    Away,
    /// The event may have been stored, because the answer was lost.
    Unknown,
    /// The event is too large for the engine. Nothing was stored.
    TooLarge {
        /// The most bytes that it takes.
        limit: usize,
    },
}

impl fmt::Display for NotStored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the engine has no room"),
            Self::Away => f.write_str("the engine cannot be reached"),
            Self::Unknown => f.write_str("the event may have been stored"),
            Self::TooLarge { limit } => {
                write!(f, "the event is too large: the engine takes {limit} bytes")
            }
        }
    }
}

impl core::error::Error for NotStored {}
