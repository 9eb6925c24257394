//! History in a folder, which outlives the process.
//!
//! [`Realtime::with_disk`](crate::Realtime::with_disk) starts a hub with one; the rest of this module is
//! its parts, for tools and tests.
//!
//! One SQLite file in WAL mode, one connection, and one transaction per batch of publishes: an event
//! that is stored is on the disk. The parts, in the order in which they are opened:
//!
//! 1. [`Folder::open`] locks the folder for this process; the lock lasts as long as the value.
//! 2. [`File::open`] opens the file in it, or begins a new one if it is damaged.
//! 3. [`Store::new`] reads and writes. After [`StoreError::Damaged`] it is unusable: drop it and its
//!    file, and [recover](File::recover) with the same folder.
//!
//! None of these has a thread or a clock: time comes in as `now`.

mod config;
mod driver;
mod erase;
mod error;
mod file;
mod folder;
mod forget;
mod inspect;
mod meta;
mod probe;
mod read;
mod record;
mod row;
mod statements;
mod store;
mod thread;
mod witness;
mod write;

use core::time::Duration;

pub use config::{DiskConfig, StartError};
pub use error::{OpenError, StoreError};
pub use file::{Damage, File};
pub use folder::Folder;
pub use inspect::{Contents, Inspection, User, inspect};
pub use store::{Batch, Store};
pub(crate) use thread::DiskThread;

/// What a [`Store`] keeps, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Events of one record; the oldest are dropped first. 1 to 1,048,576. Default 101: one more than
    /// a hub replays, as the ID of the event before those counts as known, too.
    pub events: usize,
    /// How long a record is kept after its newest event. A record is also kept for as long as it is
    /// watched. Default 24 hours.
    pub remember: Duration,
    /// The longest that the file may become, without the write-ahead log beside it, which has at most
    /// about 64 MiB more. Default 1 GiB.
    ///
    /// [1 MiB](Self::MIN_BYTES) to [32 GiB](Self::MAX_BYTES). At this length, the records that have
    /// been idle longest are forgotten. A file that is longer already keeps its length, but does not
    /// grow.
    pub max_bytes: u64,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            events: 101,
            remember: Duration::from_secs(24 * 3_600),
            max_bytes: 1 << 30,
        }
    }
}

impl Keep {
    /// The least value of [`max_bytes`](Self::max_bytes).
    pub const MIN_BYTES: u64 = 1 << 20;
    /// The greatest value of [`max_bytes`](Self::max_bytes).
    pub const MAX_BYTES: u64 = 32 << 30;

    /// The number of slots of a record.
    fn slots(&self) -> u64 {
        (self.events as u64).clamp(1, row::MAX_SLOTS)
    }
}
