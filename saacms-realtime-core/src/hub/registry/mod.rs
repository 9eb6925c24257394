mod reclaim;
mod topic_guard;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hash::{Hash as _, Hasher as _};
use core::iter;
use core::net::IpAddr;
use core::sync::atomic::Ordering::Relaxed;
use core::task::Waker;
use std::collections::HashMap;
use std::hash::DefaultHasher;

use super::addresses::{AddressGuard, Addresses};
use super::engine::{Followed, Outbox};
use super::notices::Notices;
use super::sync::{Arc, AtomicI64, AtomicU64, AtomicUsize, Mutex, lock};
use super::topic_cell::TopicCell;
use crate::config::HubConfig;
use crate::name::ResourceKey;
use crate::position::{Epoch, Position};
use crate::refusal::Refusal;
use crate::time::{Instant, Timestamp};
use crate::unread::Ledger;

use reclaim::Reclaiming;
pub(super) use topic_guard::TopicGuard;

/// The map from keys to topics, and the limits over all topics.
///
/// Locks are taken in the order `reclaiming`, shard, topic, outbox. A thread never holds two of one
/// kind.
pub(super) struct Registry {
    config: HubConfig,
    /// Each key is in the shard of its hash, so that publishes to different records rarely wait for
    /// one another. A topic enters and leaves the map under its shard's lock.
    shards: Box<[Mutex<Shard>]>,
    /// Random: whoever makes keys up must not know which of them share a shard. With it as its only
    /// random part, the hub does the same in every run with the same seed.
    seed: u64,
    /// The life of `next_sequence`: that of this hub.
    epoch: Epoch,
    /// The sequence of the next event of any topic. An event takes its number under the lock of its
    /// topic. So whoever reads `n` here, and locks a topic after that, finds all of its events below
    /// `n` there: relaxed accesses are enough, as the lock orders them.
    next_sequence: AtomicU64,
    /// Topics in the map, and those about to enter it. At most `max_topics`.
    topics: AtomicUsize,
    /// Open subscriptions, and those about to open. At most `max_subscribers`.
    subscribers: AtomicUsize,
    /// That of the configuration, unless a server lowers it.
    max_subscribers: AtomicUsize,
    addresses: Addresses,
    /// Counts the history of all topics in the map, and all buffers. A [`TopicGuard`] brings the
    /// history up to date when it is dropped, so it may exceed `max_history_bytes` until the publish
    /// that did so reclaims.
    ledger: Ledger,
    /// No removed topic gave out a later time as an ID, in milliseconds. The next life of a topic
    /// begins after it: a client that holds such an ID must not find another event under it.
    latest_removed_time: AtomicI64,
    /// Held for a walk over all topics: there is one at a time.
    reclaiming: Mutex<Reclaiming>,
    pub(super) notices: Notices,
    /// What goes out to the engine, if there is one.
    pub(super) engine: Option<Arc<Outbox>>,
}

/// The topics whose keys have one of the hashes.
#[derive(Default)]
struct Shard {
    topics: HashMap<ResourceKey, Arc<Mutex<TopicCell>>>,
    /// No topic that left this shard had an event with a later sequence. A new topic begins with it:
    /// it may be the next life of one of those, and must not answer for their events.
    floor: u64,
}

// The model checker wants few locks, and the same ones in every run.
const SHARDS: usize = if cfg!(loom) { 1 } else { 64 };

impl Registry {
    pub(super) fn new(
        config: HubConfig,
        seed: u64,
        ledger: Ledger,
        engine: Option<Arc<Outbox>>,
    ) -> Self {
        let shards = iter::repeat_with(|| Mutex::new(Shard::default()));
        Self {
            config,
            shards: shards.take(SHARDS).collect(),
            seed,
            epoch: Epoch::from_number(seed),
            next_sequence: AtomicU64::new(1),
            topics: AtomicUsize::new(0),
            subscribers: AtomicUsize::new(0),
            max_subscribers: AtomicUsize::new(config.max_subscribers),
            addresses: Addresses::default(),
            ledger,
            latest_removed_time: AtomicI64::new(i64::MIN),
            reclaiming: Mutex::new(Reclaiming::default()),
            notices: Notices::new(),
            engine,
        }
    }

    pub(super) fn topics(&self) -> usize {
        self.topics.load(Relaxed)
    }

    pub(super) fn subscribers(&self) -> usize {
        self.subscribers.load(Relaxed)
    }

    pub(super) fn history_bytes(&self) -> usize {
        self.ledger.history()
    }

    /// Lowers `max_subscribers` to `limit` if it is higher.
    pub(super) fn limit_subscribers(&self, limit: usize) {
        self.max_subscribers.fetch_min(limit, Relaxed);
    }

    /// Counts one more stream of `address`; `None` if those are not limited.
    pub(super) fn enter(
        &self,
        address: Option<IpAddr>,
    ) -> Result<Option<Box<AddressGuard>>, Refusal> {
        let limit = self.config.max_streams_per_address;
        match address {
            Some(address) if limit > 0 => {
                let guard = self.addresses.enter(address, limit)?;
                Ok(Some(Box::new(guard)))
            }
            _ => Ok(None),
        }
    }

    /// Counts one more subscriber, of any topic.
    pub(super) fn add_subscriber(&self) -> Result<(), Refusal> {
        let limit = self.max_subscribers.load(Relaxed);
        match reserve(&self.subscribers, limit) {
            Some(_) => Ok(()),
            None => Err(Refusal::TooManySubscribers { limit }),
        }
    }

    pub(super) fn remove_subscriber(&self) {
        self.subscribers.fetch_sub(1, Relaxed);
    }

    /// The topic of `key`, created if there is none, and whether it is the first of all topics.
    ///
    /// It may be removed before the caller locks it, see [`lock_topic`](Self::lock_topic).
    pub(super) fn find_or_create(
        &self,
        key: &ResourceKey,
        now: Instant,
    ) -> Result<(Arc<Mutex<TopicCell>>, bool), Refusal> {
        if let Some(cell) = self.find(key) {
            return Ok((cell, false));
        }

        // Before the shard is locked: this may have to remove topics of any shard.
        let others = self.reserve_topic(now)?;
        let mut shard = lock(self.shard(key));
        if let Some(cell) = shard.topics.get(key) {
            // Another thread was faster. If it reserved after this one, it did not see that its
            // topic was the first, so this call must report that.
            self.topics.fetch_sub(1, Relaxed);
            return Ok((Arc::clone(cell), others == 0));
        }

        // Any removed topic may have been an earlier life of this one.
        let latest_removed = Timestamp::from_millis(self.latest_removed_time.load(Relaxed));
        let mut topic = TopicCell::new(
            &self.config,
            self.epoch,
            shard.floor,
            self.ledger.clone(),
            now,
        );
        topic.feed.topic.begin_after(latest_removed);
        if let Some(engine) = &self.engine {
            let followed = Followed::new(key.clone(), engine.keep());
            topic.followed = Some(Box::new(followed));
        }

        let cell = Arc::new(Mutex::new(topic));
        shard.topics.insert(key.clone(), Arc::clone(&cell));
        Ok((cell, others == 0))
    }

    /// The topic of `key`, if there is one. It may be removed before the caller locks it.
    pub(super) fn find(&self, key: &ResourceKey) -> Option<Arc<Mutex<TopicCell>>> {
        lock(self.shard(key)).topics.get(key).cloned()
    }

    /// The topic of `key`; where there is none, a new one answers for nothing before this call.
    pub(super) fn find_or_raise_floor(&self, key: &ResourceKey) -> Option<Arc<Mutex<TopicCell>>> {
        let mut shard = lock(self.shard(key));
        let found = shard.topics.get(key).cloned();
        if found.is_none() {
            shard.floor = self.take_sequence();
        }
        found
    }

    /// The number of an event. The caller holds the lock of its topic, or of the shard where a new
    /// topic would be.
    pub(super) fn take_sequence(&self) -> u64 {
        self.next_sequence.fetch_add(1, Relaxed)
    }

    /// The number that the next event takes. To be read before the lock of a topic is taken.
    pub(super) fn next_sequence(&self) -> u64 {
        self.next_sequence.load(Relaxed)
    }

    /// The place after every event that has a number.
    pub(super) fn position(&self) -> Position {
        Position {
            epoch: self.epoch,
            sequence: self.next_sequence() - 1,
        }
    }

    /// Locks a topic; `None` if it was removed, so that the caller must find its key again.
    pub(super) fn lock_topic<'a>(&'a self, cell: &'a Mutex<TopicCell>) -> Option<TopicGuard<'a>> {
        TopicGuard::lock(self, cell)
    }

    /// All topics, in the order of their keys. Some may be removed before the caller locks them.
    pub(super) fn cells(&self) -> Vec<Arc<Mutex<TopicCell>>> {
        let mut by_key = Vec::new();
        for shard in &self.shards {
            let shard = lock(shard);
            let cells = shard.topics.iter();
            by_key.extend(cells.map(|(key, cell)| (key.clone(), Arc::clone(cell))));
        }

        // The order of the maps differs in every process.
        by_key.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        by_key.into_iter().map(|(_, cell)| cell).collect()
    }

    /// Takes the wakers of all topics. Wake them only after this returns, when nothing is locked.
    pub(super) fn take_wakers(&self) -> Vec<Waker> {
        let mut by_key = Vec::new();
        for shard in &self.shards {
            for (key, cell) in &lock(shard).topics {
                let wakers = lock(cell).take_wakers();
                if !wakers.is_empty() {
                    by_key.push((key.clone(), wakers));
                }
            }
        }

        // The hashes differ in every process, and the order of this must not: a run of the
        // simulation has to be repeatable.
        by_key.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        by_key.into_iter().flat_map(|(_, wakers)| wakers).collect()
    }

    /// Counts one more topic, and removes idle ones at the limit; returns how many there were.
    fn reserve_topic(&self, now: Instant) -> Result<usize, Refusal> {
        let limit = self.config.max_topics;
        if let Some(others) = reserve(&self.topics, limit) {
            return Ok(others);
        }
        self.reclaim_topics(now);
        reserve(&self.topics, limit).ok_or(Refusal::TooManyTopics { limit })
    }

    fn shard(&self, key: &ResourceKey) -> &Mutex<Shard> {
        let mut hasher = DefaultHasher::new();
        (self.seed, key).hash(&mut hasher);
        &self.shards[(hasher.finish() % SHARDS as u64) as usize]
    }

    /// Replaces `before` by `after` in the sum of all histories.
    fn count_bytes(&self, before: usize, after: usize) {
        self.ledger.count_history(before, after);
    }
}

/// Counts one more, up to `limit`; returns how many there were, `None` at the limit.
fn reserve(counter: &AtomicUsize, limit: usize) -> Option<usize> {
    counter
        .fetch_update(Relaxed, Relaxed, |count| {
            (count < limit).then_some(count + 1)
        })
        .ok()
}

#[cfg(test)]
mod tests;
