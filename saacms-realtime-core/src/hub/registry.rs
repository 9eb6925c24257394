use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::hash::BuildHasher as _;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::Ordering::Relaxed;
use core::task::Waker;
use std::collections::HashMap;
use std::hash::RandomState;

use super::lock;
use super::sync::{Arc, AtomicI64, AtomicU64, AtomicUsize, Mutex, MutexGuard};
use super::topic_cell::TopicCell;
use crate::config::HubConfig;
use crate::name::ResourceKey;
use crate::position::Epoch;
use crate::refusal::Refusal;
use crate::time::{Instant, Timestamp, whole_millis};

/// Key to topic map, and the limits over all topics.
///
/// Locks are taken in this order: `reclaiming`, a shard, a topic. No two of one kind are held
/// together.
pub(super) struct Registry {
    config: HubConfig,
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    next_epoch: AtomicU64,
    topics: AtomicUsize,
    subscribers: AtomicUsize,
    history_bytes: AtomicUsize,
    /// No topic that was forgotten gave a later time as an ID, in milliseconds. Whoever holds one
    /// must not find an event of the topic's next life under it.
    latest_removed_time: AtomicI64,
    reclaiming: Mutex<Reclaiming>,
}

type Shard = HashMap<ResourceKey, Arc<Mutex<TopicCell>>>;

#[derive(Default)]
struct Reclaiming {
    /// A walk found no idle topic: none need look again before this moment.
    futile_until: Instant,
}

// The model checker wants few locks, and the same ones in every run.
const SHARDS: usize = if cfg!(loom) { 1 } else { 64 };
/// A topic is remembered for at least this long after its last event or reader.
const MIN_LINGER_MILLIS: u64 = 60_000;
/// After a walk that found nothing to forget, the next one waits this long.
const FUTILE_MILLIS: u64 = 1_000;

impl Registry {
    pub(super) fn new(config: HubConfig, seed: u64) -> Self {
        Self {
            config,
            shards: core::iter::repeat_with(|| Mutex::new(Shard::new()))
                .take(SHARDS)
                .collect(),
            hasher: RandomState::new(),
            next_epoch: AtomicU64::new(seed),
            topics: AtomicUsize::new(0),
            subscribers: AtomicUsize::new(0),
            history_bytes: AtomicUsize::new(0),
            latest_removed_time: AtomicI64::new(i64::MIN),
            reclaiming: Mutex::new(Reclaiming::default()),
        }
    }

    pub(super) fn topics(&self) -> usize {
        self.topics.load(Relaxed)
    }

    pub(super) fn subscribers(&self) -> usize {
        self.subscribers.load(Relaxed)
    }

    pub(super) fn history_bytes(&self) -> usize {
        self.history_bytes.load(Relaxed)
    }

    /// Counts one more subscriber of all topics.
    pub(super) fn add_subscriber(&self) -> Result<(), Refusal> {
        let limit = self.config.max_subscribers;
        match reserve(&self.subscribers, limit) {
            Some(_) => Ok(()),
            None => Err(Refusal::TooManySubscribers { limit }),
        }
    }

    pub(super) fn remove_subscriber(&self) {
        self.subscribers.fetch_sub(1, Relaxed);
    }

    /// The topic of `key`, made where there is none, and whether there was none at all before.
    ///
    /// It may be removed before the caller locks it, see [`with_cell`](Self::with_cell).
    pub(super) fn find_or_create(
        &self,
        key: &ResourceKey,
        now: Instant,
    ) -> Result<(Arc<Mutex<TopicCell>>, bool), Refusal> {
        if let Some(cell) = self.find(key) {
            return Ok((cell, false));
        }

        let others = self.reserve_topic(now)?;
        let mut shard = lock(self.shard(key));
        if let Some(cell) = shard.get(key) {
            // Another thread was faster, and may have counted this one before its own.
            self.topics.fetch_sub(1, Relaxed);
            return Ok((Arc::clone(cell), others == 0));
        }
        let epoch = Epoch::from_number(self.next_epoch.fetch_add(1, Relaxed));
        let mut cell = TopicCell::new(&self.config, epoch, now);
        cell.feed.topic.begin_after(Timestamp::from_millis(
            self.latest_removed_time.load(Relaxed),
        ));
        let cell = Arc::new(Mutex::new(cell));
        shard.insert(key.clone(), Arc::clone(&cell));
        Ok((cell, others == 0))
    }

    /// The topic of `key` where there is one. It may be removed before the caller locks it.
    pub(super) fn find(&self, key: &ResourceKey) -> Option<Arc<Mutex<TopicCell>>> {
        lock(self.shard(key)).get(key).cloned()
    }

    /// Locks a topic; what is done to its bytes is counted when it is let go. `None` where it was
    /// removed.
    pub(super) fn lock_topic<'a>(&'a self, cell: &'a Mutex<TopicCell>) -> Option<TopicGuard<'a>> {
        let cell = lock(cell);
        if cell.is_removed {
            return None;
        }
        let before = cell.history_bytes();
        Some(TopicGuard {
            registry: self,
            cell,
            before,
        })
    }

    /// The wakers that wait at any topic.
    pub(super) fn take_wakers(&self) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for shard in &self.shards {
            for cell in lock(shard).values() {
                wakers.append(&mut lock(cell).take_wakers());
            }
        }
        wakers
    }

    /// Forgets the topic of `key` where nobody reads it and it has nothing to remember.
    pub(super) fn remove_if_blank(&self, key: &ResourceKey) {
        let mut shard = lock(self.shard(key));
        let Some(topic) = shard.get(key).and_then(|cell| self.lock_topic(cell)) else {
            return;
        };
        if topic.idle_since().is_some() && topic.feed.topic.is_blank() {
            topic.mark_removed();
            shard.remove(key);
        }
    }

    /// Frees expired history everywhere and forgets topics that have been idle for long enough.
    pub(super) fn sweep(&self, now: Instant) {
        let linger = whole_millis(self.config.max_age).max(MIN_LINGER_MILLIS);
        for shard in &self.shards {
            let mut shard = lock(shard);
            shard.retain(|_, cell| {
                let Some(mut topic) = self.lock_topic(cell) else {
                    return false;
                };
                topic.sweep(now);
                let has_expired = topic.feed.topic.ring().is_empty()
                    && topic
                        .idle_since()
                        .is_some_and(|since| now.millis_since(since) > linger);
                if has_expired {
                    topic.mark_removed();
                }
                !has_expired
            });
            // With room to grow, so that no sweep undoes what the next publishes need.
            let wanted = 4 * shard.len();
            shard.shrink_to(wanted);
        }
    }

    /// Brings the history within its limit: idle topics go first, then older halves, those of the
    /// longest histories first.
    ///
    /// It makes an eighth of the limit free, so that the walk is paid by many publishes.
    pub(super) fn reclaim_bytes(&self, now: Instant) {
        let limit = self.config.max_history_bytes;
        if self.history_bytes() <= limit {
            return;
        }
        let _one_at_a_time = lock(&self.reclaiming);
        let target = limit - limit / 8;
        if self.history_bytes() <= limit {
            return;
        }
        self.sweep(now);
        for (since, key) in self.idle_longest_first() {
            if self.history_bytes() <= target {
                return;
            }
            self.remove_if_idle_since(&key, since);
        }

        // What is left is read: a pass over all takes half of each, so that a few passes are enough.
        while self.history_bytes() > target {
            let longest_first = self.longest_first();
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

    fn halve(&self, key: &ResourceKey) {
        if let Some(cell) = self.find(key)
            && let Some(mut topic) = self.lock_topic(&cell)
        {
            topic.halve();
        }
    }

    /// All topics with history. The order is the same in every process, whatever its hashes are.
    fn longest_first(&self) -> Vec<(Reverse<usize>, ResourceKey)> {
        let mut topics = Vec::new();
        for shard in &self.shards {
            let shard = lock(shard);
            topics.extend(shard.iter().filter_map(|(key, cell)| {
                let bytes = lock(cell).history_bytes();
                (bytes != 0).then(|| (Reverse(bytes), key.clone()))
            }));
        }
        topics.sort_unstable();
        topics
    }

    /// Makes room for one more topic, where topics are idle.
    fn reclaim_topics(&self, now: Instant) {
        let limit = self.config.max_topics;
        let mut reclaiming = lock(&self.reclaiming);
        if self.topics() < limit || now < reclaiming.futile_until {
            return;
        }
        let target = limit - limit.div_ceil(8);
        for (since, key) in self.idle_longest_first() {
            if self.topics() <= target {
                return;
            }
            self.remove_if_idle_since(&key, since);
        }
        if self.topics() >= limit {
            reclaiming.futile_until =
                now.saturating_add(core::time::Duration::from_millis(FUTILE_MILLIS));
        }
    }

    /// All topics that nobody reads, the one that was idle longest first.
    fn idle_longest_first(&self) -> Vec<(Instant, ResourceKey)> {
        let mut idle = Vec::new();
        for shard in &self.shards {
            let shard = lock(shard);
            idle.extend(shard.iter().filter_map(|(key, cell)| {
                lock(cell).idle_since().map(|since| (since, key.clone()))
            }));
        }
        idle.sort_unstable();
        idle
    }

    /// Forgets the topic of `key` where nobody came and nothing was published after `since`.
    fn remove_if_idle_since(&self, key: &ResourceKey, since: Instant) {
        let mut shard = lock(self.shard(key));
        let Some(topic) = shard.get(key).and_then(|cell| self.lock_topic(cell)) else {
            return;
        };
        if topic.idle_since() == Some(since) {
            topic.mark_removed();
            shard.remove(key);
        }
    }

    /// Counts one more topic, for which idle ones may be forgotten; answers how many there were.
    fn reserve_topic(&self, now: Instant) -> Result<usize, Refusal> {
        let limit = self.config.max_topics;
        if let Some(others) = reserve(&self.topics, limit) {
            return Ok(others);
        }
        self.reclaim_topics(now);
        reserve(&self.topics, limit).ok_or(Refusal::TooManyTopics { limit })
    }

    fn shard(&self, key: &ResourceKey) -> &Mutex<Shard> {
        let hash = self.hasher.hash_one(key);
        &self.shards[(hash % SHARDS as u64) as usize]
    }

    fn count_bytes(&self, before: usize, after: usize) {
        // Most polls change nothing, and the counter is shared by all topics.
        if after != before {
            // It wraps, so that to add less than nothing takes away.
            self.history_bytes
                .fetch_add(after.wrapping_sub(before), Relaxed);
        }
    }
}

/// A topic behind its lock.
pub(super) struct TopicGuard<'a> {
    registry: &'a Registry,
    cell: MutexGuard<'a, TopicCell>,
    before: usize,
}

impl TopicGuard<'_> {
    /// Marks the topic as removed; the caller holds its shard, and takes it out of there.
    fn mark_removed(mut self) {
        let registry = self.registry;
        self.cell.is_removed = true;
        if let Some(latest) = self.cell.feed.topic.latest_time() {
            registry
                .latest_removed_time
                .fetch_max(latest.as_millis(), Relaxed);
        }
        // What it held counts no more, and the guard that is let go counts no change of that.
        let bytes = self.cell.history_bytes();
        registry.count_bytes(self.before, 0);
        self.before = bytes;
        registry.topics.fetch_sub(1, Relaxed);
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
            .count_bytes(self.before, self.cell.history_bytes());
    }
}

/// Counts one more, up to `limit`; answers how many there were.
fn reserve(counter: &AtomicUsize, limit: usize) -> Option<usize> {
    counter
        .fetch_update(Relaxed, Relaxed, |count| {
            (count < limit).then_some(count + 1)
        })
        .ok()
}

#[cfg(test)]
mod tests;
