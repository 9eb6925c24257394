//! Why a hub refuses to subscribe or to publish.

use core::fmt;
use core::time::Duration;

/// Why a hub refuses to subscribe or to publish: a limit is reached, it drains, or its engine does not
/// keep the event.
///
/// A publish is refused while the hub drains; the other causes each refuse only one of the two. In a
/// hub without an engine, nothing else refuses a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The hub is shutting down.
    Draining {
        /// When to come back, jittered: whoever comes back earlier may reach this hub again.
        retry_after: Duration,
    },
    /// `max_topics` records have subscribers, so none can be dropped to subscribe to another.
    TooManyTopics {
        /// The limit.
        limit: usize,
    },
    /// `max_subscribers` are subscribed.
    TooManySubscribers {
        /// The limit.
        limit: usize,
    },
    /// `max_subscribers_per_topic` are subscribed to this record.
    TooManySubscribersOfTopic {
        /// The limit.
        limit: usize,
    },
    /// This address has `max_streams_per_address` already.
    TooManyStreamsOfAddress {
        /// The limit.
        limit: usize,
    },
    /// The engine could not be reached in time. The event was not published.
    EngineAway,
    /// As many events as are allowed wait for the engine. The event was not published.
    EngineBusy,
    /// The engine has no room left. The event was not published.
    EngineFull,
    /// The engine took the event and did not confirm it: the event may have been published.
    ///
    /// It can be published again, because each event carries the whole record: if it arrives twice,
    /// readers end with the same record.
    MaybePublished,
    /// The hub has an engine, so whether an event is published is known only later: it is to be
    /// [submitted](crate::Hub::submit). It was not published.
    NeedsSubmit,
    /// The event is larger than the engine accepts. It was not published.
    EventTooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Draining { .. } => f.write_str("the hub is shutting down; try again in a moment"),
            Self::TooManyTopics { limit } => {
                write!(f, "the hub is at its limit of {limit} records")
            }
            Self::TooManySubscribers { limit } => {
                write!(f, "the hub is at its limit of {limit} subscribers")
            }
            Self::TooManySubscribersOfTopic { limit } => {
                write!(f, "this record is at its limit of {limit} subscribers")
            }
            Self::TooManyStreamsOfAddress { limit } => {
                write!(f, "this address is at its limit of {limit} streams")
            }
            Self::EngineAway => f.write_str(
                "the engine that keeps the history is away; the event was not published, try again \
                 in a moment",
            ),
            Self::EngineBusy => f.write_str(
                "too many events wait for the engine that keeps the history; the event was not \
                 published, try again in a moment",
            ),
            Self::EngineFull => f.write_str(
                "the engine that keeps the history has no room left; the event was not published",
            ),
            Self::MaybePublished => f.write_str(
                "the engine that keeps the history did not confirm the event, so it may have been \
                 published; publishing it again does no harm to the state",
            ),
            Self::NeedsSubmit => f.write_str(
                "the hub has an engine that keeps the history: events must be submitted to it; the \
                 event was not published",
            ),
            Self::EventTooLarge { limit } => write!(
                f,
                "the event is larger than the limit of {limit} bytes of the engine that keeps the \
                 history; it was not published"
            ),
        }
    }
}

impl core::error::Error for Refusal {}
