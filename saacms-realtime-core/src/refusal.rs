//! Why a hub refuses to subscribe or to publish.

use core::fmt;
use core::time::Duration;

/// Why a hub refuses to subscribe or to publish: a limit is reached, or it drains.
///
/// A publish is refused only while the hub drains.
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
        }
    }
}

impl core::error::Error for Refusal {}
