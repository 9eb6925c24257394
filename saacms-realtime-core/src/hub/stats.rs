use super::engine::EngineStats;
use super::sync::AtomicU64;

/// Figures of a hub at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Records with history or subscribers.
    pub topics: usize,
    /// Open subscriptions.
    pub subscribers: usize,
    /// Bytes of history that count against `max_history_bytes`.
    pub history_bytes: usize,
    /// Events published since the hub was created.
    pub published: u64,
    /// Resyncs sent since the hub was created.
    pub resyncs: u64,
    /// Unread bytes of all streams and answers; they count against `max_unread_bytes`.
    pub unread_bytes: usize,
    /// Readers that were cut since the hub was created, because they did not take their bytes.
    pub cut_readers: u64,
    /// What the hub knows of its engine; `None` without one.
    pub engine: Option<EngineStats>,
}

/// The counters that no other part of the hub keeps. They only grow.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) published: AtomicU64,
    pub(super) resyncs: AtomicU64,
    pub(super) cut: AtomicU64,
}
