use alloc::vec::Vec;
use core::cmp::Reverse;
use core::time::Duration;

use super::{Registry, Shard};
use crate::hub::sync::lock;
use crate::hub::topic_cell::MIN_LINGER_MILLIS;
use crate::name::ResourceKey;
use crate::notice::Notice;
use crate::time::{Instant, whole_millis};

/// After a walk that found nothing to remove, the next one waits this long.
const FUTILE_MILLIS: u64 = 1_000;

/// What one walk over all topics leaves for the next.
#[derive(Default)]
pub(super) struct Reclaiming {
    /// A walk found no idle topic: none is made again before this moment.
    futile_until: Instant,
}

/// The removal of topics: when they expire, when they are blank, and to make room for others.
impl Registry {
    /// Frees expired history everywhere, and removes topics that have been idle for long enough.
    pub(in crate::hub) fn sweep(&self, now: Instant) {
        let linger = whole_millis(self.config.max_age).max(MIN_LINGER_MILLIS);
        for shard in &self.shards {
            let Shard { topics, floor } = &mut *lock(shard);
            topics.retain(|_, cell| {
                let Some(mut topic) = self.lock_topic(cell) else {
                    // Cannot happen: a removed topic left the map under this shard's lock.
                    return false;
                };
                topic.sweep(now);
                let has_expired = topic.has_expired(linger, now);
                if has_expired {
                    topic.mark_removed(floor);
                }
                !has_expired
            });

            // Some room stays, so that a sweep does not free what the next topics need.
            topics.shrink_to(4 * topics.len());
        }
    }

    /// Removes the topic of `key` if it has no subscriber and nothing to remember.
    pub(in crate::hub) fn remove_if_blank(&self, key: &ResourceKey) {
        let Shard { topics, floor } = &mut *lock(self.shard(key));
        let Some(topic) = topics.get(key).and_then(|cell| self.lock_topic(cell)) else {
            return;
        };
        if topic.idle_since().is_some() && topic.feed.topic.is_blank() {
            topic.mark_removed(floor);
            topics.remove(key);
        }
    }

    /// Brings the history within `max_history_bytes`: idle topics go first, then the older halves of
    /// the longest histories.
    ///
    /// Frees down to seven eighths of the limit, so that many publishes share the cost of one walk.
    pub(in crate::hub) fn reclaim_bytes(&self, now: Instant) {
        let limit = self.config.max_history_bytes;
        if self.history_bytes() <= limit {
            return;
        }

        // One thread walks at a time. After a wait for another one, the work may be done.
        let _reclaiming = lock(&self.reclaiming);
        if self.history_bytes() <= limit {
            return;
        }

        let target = limit - limit / 8;
        self.sweep(now);
        if self.history_bytes() > target {
            self.notices.count(Notice::HistoryReclaimed);
            self.drop_history(target);
        }
    }

    /// Drops history that has not expired until no more than `target` bytes are left.
    fn drop_history(&self, target: usize) {
        for (since, key) in self.idle_topics() {
            if self.history_bytes() <= target {
                return;
            }
            self.remove_if_idle_since(&key, since);
        }

        // What is left has subscribers, or was used during the walk. Each pass halves every history,
        // so passes end when the target is reached or no history is left.
        while self.history_bytes() > target {
            let longest_first = self.topics_with_history();
            if longest_first.is_empty() {
                return;
            }
            for (_, key) in longest_first {
                if self.history_bytes() <= target {
                    return;
                }
                self.halve(&key);
            }
        }
    }

    /// Makes room for one more topic by removing idle ones, down to seven eighths of `max_topics`.
    pub(super) fn reclaim_topics(&self, now: Instant) {
        let limit = self.config.max_topics;
        let mut reclaiming = lock(&self.reclaiming);
        if self.topics() < limit || now < reclaiming.futile_until {
            return;
        }

        self.notices.count(Notice::TopicsReclaimed);
        // Rounded up: the smallest limit, too, must make room for one.
        let target = limit - limit.div_ceil(8);
        for (since, key) in self.idle_topics() {
            if self.topics() <= target {
                return;
            }
            self.remove_if_idle_since(&key, since);
        }
        if self.topics() >= limit {
            // Until then, new topics are refused without another walk.
            reclaiming.futile_until = now.saturating_add(Duration::from_millis(FUTILE_MILLIS));
        }
    }

    /// All idle topics, the one that has been idle longest first.
    fn idle_topics(&self) -> Vec<(Instant, ResourceKey)> {
        let mut idle = Vec::new();
        for shard in &self.shards {
            for (key, cell) in &lock(shard).topics {
                if let Some(since) = lock(cell).idle_since() {
                    idle.push((since, key.clone()));
                }
            }
        }
        // Keys break ties: the order of a map differs from process to process.
        idle.sort_unstable();
        idle
    }

    /// All topics with history, the longest history first.
    fn topics_with_history(&self) -> Vec<(Reverse<usize>, ResourceKey)> {
        let mut topics = Vec::new();
        for shard in &self.shards {
            for (key, cell) in &lock(shard).topics {
                let bytes = lock(cell).history_bytes();
                if bytes != 0 {
                    topics.push((Reverse(bytes), key.clone()));
                }
            }
        }
        topics.sort_unstable();
        topics
    }

    /// Removes the topic of `key` if it has had no subscriber and no event after `since`.
    fn remove_if_idle_since(&self, key: &ResourceKey, since: Instant) {
        let Shard { topics, floor } = &mut *lock(self.shard(key));
        let Some(topic) = topics.get(key).and_then(|cell| self.lock_topic(cell)) else {
            return;
        };
        // The topic was not locked since it was listed: it may have been used again.
        if topic.idle_since() == Some(since) {
            topic.mark_removed(floor);
            topics.remove(key);
        }
    }

    fn halve(&self, key: &ResourceKey) {
        if let Some(cell) = self.find(key)
            && let Some(mut topic) = self.lock_topic(&cell)
        {
            topic.halve();
        }
    }
}
