use core::ops::{Deref, DerefMut};
use core::sync::atomic::Ordering::Relaxed;

use super::Registry;
use crate::hub::sync::{Mutex, MutexGuard, lock};
use crate::hub::topic_cell::TopicCell;

/// A locked topic that is in the map. On drop, the change in its bytes is added to the registry's.
pub(in crate::hub) struct TopicGuard<'a> {
    registry: &'a Registry,
    cell: MutexGuard<'a, TopicCell>,
    /// The share of this topic in `history_bytes` of the registry.
    counted_bytes: usize,
}

impl<'a> TopicGuard<'a> {
    /// Locks `cell`; `None` if the topic was removed from the map.
    pub(super) fn lock(registry: &'a Registry, cell: &'a Mutex<TopicCell>) -> Option<Self> {
        let cell = lock(cell);
        if cell.is_removed {
            return None;
        }

        let counted_bytes = cell.history_bytes();
        Some(Self {
            registry,
            cell,
            counted_bytes,
        })
    }

    /// Marks the topic as removed. The caller holds the lock of its shard, and removes it there.
    ///
    /// Raises `floor`, that of the shard: the next life of the topic answers for none of its events.
    pub(super) fn mark_removed(mut self, floor: &mut u64) {
        let registry = self.registry;
        self.cell.is_removed = true;
        if let Some(engine) = &registry.engine {
            self.cell.unwatch(engine);
        }
        *floor = self.cell.feed.topic.newest_sequence().max(*floor);
        registry.topics.fetch_sub(1, Relaxed);
        if let Some(latest) = self.cell.feed.topic.latest_time() {
            let millis = latest.as_millis();
            registry.latest_removed_time.fetch_max(millis, Relaxed);
        }

        // The history is freed with the last `Arc` of the topic, but stops counting here: the drop
        // of this guard must find nothing changed.
        registry.count_bytes(self.counted_bytes, 0);
        self.counted_bytes = self.cell.history_bytes();
    }
}

impl Deref for TopicGuard<'_> {
    type Target = TopicCell;

    fn deref(&self) -> &TopicCell {
        &self.cell
    }
}

impl DerefMut for TopicGuard<'_> {
    fn deref_mut(&mut self) -> &mut TopicCell {
        &mut self.cell
    }
}

impl Drop for TopicGuard<'_> {
    fn drop(&mut self) {
        self.registry
            .count_bytes(self.counted_bytes, self.cell.history_bytes());
    }
}
