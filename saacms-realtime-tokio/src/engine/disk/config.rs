use core::fmt;
use core::time::Duration;
use std::io;
use std::path::PathBuf;

use saacms_realtime_core::engine::EngineSpec;
use saacms_realtime_core::{ConfigError, HubConfig};

use super::{Keep, OpenError};

/// The longest event that is stored, in bytes.
const MAX_EVENT_BYTES: usize = 16 << 20;

/// Where the history of a hub is kept, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskConfig {
    /// The folder. It is created, for this user alone, and must be on a local disk: locks and syncs
    /// of network file systems are not to be relied on.
    pub dir: PathBuf,
    /// How long a record is kept after its newest event, at least the hub's `max_age`. Default 24
    /// hours.
    pub remember: Duration,
    /// The longest that the file may become. Default 1 GiB; see [`Keep::max_bytes`].
    pub max_bytes: u64,
    /// How long a publish waits for the history, if that cannot be written at all, before it is
    /// refused. Default 15 s.
    pub publish_timeout: Duration,
}

impl DiskConfig {
    /// The default settings for a folder.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        let keep = Keep::default();
        Self {
            dir: dir.into(),
            remember: keep.remember,
            max_bytes: keep.max_bytes,
            publish_timeout: Duration::from_secs(15),
        }
    }

    /// What the store of a hub keeps.
    pub(crate) fn keep(&self, hub: &HubConfig) -> Keep {
        Keep {
            // The ID of the event before the replay window counts as known, too.
            events: hub.max_events.saturating_add(1),
            remember: self.remember.max(hub.max_age),
            max_bytes: self.max_bytes,
        }
    }

    pub(crate) fn spec(&self, keep: Keep) -> EngineSpec {
        EngineSpec {
            keep: keep.events,
            stamps: true,
            // One thread tells of events in the order in which it stores them: none is missed.
            audit_every: None,
            max_event_bytes: MAX_EVENT_BYTES,
            publish_timeout: self.publish_timeout,
        }
    }
}

/// Why a hub with a history on disk could not be started.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// A setting of the hub is out of its range.
    Config(ConfigError),
    /// The history could not be opened.
    Open(OpenError),
    /// The system gave no thread.
    Thread(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Open(error) => error.fmt(f),
            Self::Thread(error) => write!(f, "no thread for the history: {error}"),
        }
    }
}

impl core::error::Error for StartError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Config(error) => Some(error),
            Self::Open(error) => Some(error),
            Self::Thread(error) => Some(error),
        }
    }
}

impl From<ConfigError> for StartError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<OpenError> for StartError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}
