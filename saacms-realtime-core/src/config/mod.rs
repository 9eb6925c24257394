//! Retention, heartbeat and limits of a hub, or of an object that serves one record.

mod setting;
pub mod text;

use core::fmt;
use core::ops::RangeInclusive;
use core::time::Duration;

pub use setting::{Field, HUB_SETTINGS, HubSetting, VARIABLE_PREFIX, variable};

use crate::ring::Retention;
use crate::topic::IdPolicy;

/// How long streams may take to end when a hub drains, unless configured.
pub const DEFAULT_DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// The kind of event ID that the frames of a hub carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EventIds {
    /// `id:` is the record's ETag, or a time if it has none. Resume is a lookup.
    #[default]
    Etag,
    /// `id:` is `<epoch>.<sequence>`. Resume is arithmetic and exact.
    Position,
}

/// Retention, heartbeat and limits of a hub.
///
/// It is not `#[non_exhaustive]`: `HubConfig { max_events: 7, ..Default::default() }` is how users set
/// some of it. A new field is therefore a breaking change for whoever names all of them.
///
/// Every limit is finite by default. A hub refuses a configuration that [`check`](Self::check)
/// refuses; [`HUB_SETTINGS`] has the ranges, and how each field is read from text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HubConfig {
    /// Events per record that a reconnect can be answered from; 0 = live only. Default 100.
    pub max_events: usize,
    /// Age after which an event is no longer replayed. Default 1 hour.
    pub max_age: Duration,
    /// Events that a connected reader may fall behind before it is told to refetch. Default 1,024.
    pub max_lag: usize,
    /// Bytes that a connected reader may fall behind. Default 4 MiB.
    ///
    /// Bounds what a ring holds beyond its newest `max_events` events.
    pub max_lag_bytes: usize,
    /// Silence after which a stream gets a comment; zero = off. Default 30 s.
    pub heartbeat: Duration,
    /// The kind of event ID on the wire. Default [`EventIds::Etag`].
    pub event_ids: EventIds,
    /// Whether the event evicted last still counts as known (contract, section 3). Default true.
    pub quiet_resume: bool,
    /// Whether a client that names no last event ID is told its place (contract, section 2), so
    /// that it can resume before its first event. Default true.
    pub greeting: bool,
    /// The most records that may have history or subscribers at once. Default 100,000.
    pub max_topics: usize,
    /// Subscribers of all records together. Default 100,000.
    pub max_subscribers: usize,
    /// Subscribers of one record. Default 50,000.
    pub max_subscribers_per_topic: usize,
    /// Streams of one address, or of one /64 network over IPv6; 0 = any number. Default 0.
    pub max_streams_per_address: usize,
    /// Bytes of history of all records together; idle ones are dropped first. Default 256 MiB.
    pub max_history_bytes: usize,
    /// Unread bytes of all streams and answers together; the readers that have waited longest are
    /// cut first. Default 64 MiB.
    ///
    /// A buffer that many readers share counts once. Frames in a history do not count here.
    pub max_unread_bytes: usize,
    /// Time after which a stream is cut if its client takes none of the bytes that wait for it;
    /// zero = never. Default 2 min. The client comes back with its last event ID.
    pub stall_timeout: Duration,
    /// Shortest reconnection time of a client when the hub drains. Default 1 s.
    ///
    /// Each client gets its own, 1 to 4 times this, so that they do not return at once.
    pub drain_retry: Duration,
}

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            max_events: 100,
            max_age: Duration::from_secs(3_600),
            max_lag: 1_024,
            max_lag_bytes: 4 << 20,
            heartbeat: Duration::from_secs(30),
            event_ids: EventIds::Etag,
            quiet_resume: true,
            greeting: true,
            max_topics: 100_000,
            max_subscribers: 100_000,
            max_subscribers_per_topic: 50_000,
            max_streams_per_address: 0,
            max_history_bytes: 256 << 20,
            max_unread_bytes: 64 << 20,
            stall_timeout: Duration::from_secs(120),
            drain_retry: Duration::from_secs(1),
        }
    }
}

impl HubConfig {
    /// The retention of a record's ring.
    pub fn retention(&self) -> Retention {
        let Self {
            max_events,
            max_age,
            max_lag,
            max_lag_bytes,
            ..
        } = *self;

        Retention {
            max_events,
            max_age,
            max_lag,
            max_lag_bytes,
        }
    }

    /// How the events of a record get their IDs.
    pub fn id_policy(&self) -> IdPolicy {
        match self.event_ids {
            EventIds::Etag => IdPolicy::Etag {
                quiet_resume: self.quiet_resume,
            },
            EventIds::Position => IdPolicy::Position,
        }
    }

    /// Refuses values that are out of range.
    ///
    /// # Errors
    ///
    /// The first setting that is out of its range, with the range that is allowed.
    pub fn check(&self) -> Result<(), ConfigError> {
        for setting in HUB_SETTINGS {
            setting.check(self)?;
        }
        Ok(())
    }
}

/// A setting is out of range.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigError {
    /// Name of the field of [`HubConfig`].
    pub setting: &'static str,
    /// Its value, in `unit`.
    pub value: u64,
    /// The allowed range, in `unit`.
    pub allowed: RangeInclusive<u64>,
    /// `events`, `bytes`, `ms`, `topics`, `subscribers` or `streams`.
    pub unit: &'static str,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            setting,
            value,
            allowed,
            unit,
        } = self;
        let (low, high) = (allowed.start(), allowed.end());

        let zero = if setting::OFF_AT_0.contains(setting) {
            ", or 0 for off"
        } else {
            ""
        };

        write!(
            f,
            "{setting} is {value} {unit}, but must be {low} to {high} {unit}{zero}"
        )
    }
}

impl core::error::Error for ConfigError {}
