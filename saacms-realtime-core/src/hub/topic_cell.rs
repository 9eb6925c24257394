use alloc::boxed::Box;
use alloc::vec::Vec;
use core::task::Waker;

use super::engine::Followed;
use crate::config::HubConfig;
use crate::event::Event;
use crate::feed::{Feed, NoStore};
use crate::position::Epoch;
use crate::time::{Instant, Now};
use crate::unread::Ledger;

/// A topic is kept for at least this long after its last event or subscriber.
pub(super) const MIN_LINGER_MILLIS: u64 = 60_000;

/// A topic with its subscribers: what one lock protects.
pub(super) struct TopicCell {
    pub(super) feed: Feed,
    /// Where the engine stands; `None` in a hub without one.
    pub(super) followed: Option<Box<Followed>>,
    subscribers: usize,
    slots: WakerSlots,
    /// When the last event was published or the last subscriber left, whichever is later.
    idle_since: Instant,
    /// The topic is no longer in the map: a thread that found it there earlier must look its key up
    /// again. Never cleared.
    pub(super) is_removed: bool,
}

impl TopicCell {
    /// A topic without events, which answers for none up to the sequence `floor`.
    pub(super) fn new(
        config: &HubConfig,
        epoch: Epoch,
        floor: u64,
        ledger: Ledger,
        now: Instant,
    ) -> Self {
        let mut feed = Feed::counted(config, epoch, ledger);
        feed.topic.raise_floor(floor);
        Self {
            feed,
            followed: None,
            subscribers: 0,
            slots: WakerSlots::default(),
            idle_since: now,
            is_removed: false,
        }
    }

    /// Publishes an event, whose `sequence` was taken under the lock of this topic.
    pub(super) fn publish(&mut self, event: Event, sequence: u64, now: Now) {
        let known = self.feed.topic.position().sequence;
        debug_assert!(sequence > known, "numbers rise under one lock");
        self.feed.topic.raise_head(sequence);
        let Ok(_) = self.feed.publish(event, now, &NoStore);
        self.idle_since = self.idle_since.max(now.instant);
    }

    /// Drops all history, as its source lost data before `sequence`, which was taken under the lock
    /// of this topic.
    pub(super) fn interrupt(&mut self, sequence: u64) {
        self.feed.topic.raise_head(sequence);
        self.feed.interrupt();
    }

    /// Frees expired events, and what is kept only for speed.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.feed.topic.evict(now);
        self.feed.forget_joined();
    }

    /// Frees the older half of the history, and the joined frames, which are kept only for speed.
    pub(super) fn halve(&mut self) {
        let topic = &mut self.feed.topic;
        let target = topic.ring().bytes() / 2;
        while topic.ring().bytes() > target && topic.evict_oldest() {}
        self.feed.forget_joined();
        if let Some(followed) = &mut self.followed {
            // The engine has those events still.
            followed.is_complete = false;
        }
    }

    /// Bytes that count against `max_history_bytes`.
    pub(super) fn history_bytes(&self) -> usize {
        self.feed.history_bytes()
    }

    /// When the last event was published or the last subscriber left; `None` while there is a
    /// subscriber.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (self.subscribers == 0).then_some(self.idle_since)
    }

    /// Whether it has no event and has been idle for longer than `linger_millis`. Events that an engine
    /// keeps do not count: they are read again.
    pub(super) fn has_expired(&self, linger_millis: u64, now: Instant) -> bool {
        let linger_millis = match self.followed {
            Some(_) => MIN_LINGER_MILLIS,
            None if self.feed.topic.ring().is_empty() => linger_millis,
            None => return false,
        };
        self.idle_since()
            .is_some_and(|since| now.millis_since(since) > linger_millis)
    }

    pub(super) fn subscribers(&self) -> usize {
        self.subscribers
    }

    pub(super) fn add_subscriber(&mut self) {
        self.subscribers += 1;
    }

    pub(super) fn remove_subscriber(&mut self, now: Instant) {
        self.subscribers -= 1;
        self.idle_since = self.idle_since.max(now);
    }

    /// Reserves a slot for a waker. Several subscribers may share one.
    pub(super) fn add_waker_slot(&mut self) -> usize {
        self.slots.add()
    }

    pub(super) fn release_waker_slot(&mut self, slot: usize) {
        self.slots.release(slot);
    }

    /// Registers `waker` for the next change, in place of an earlier one in `slot`.
    pub(super) fn register_waker(&mut self, slot: usize, waker: &Waker) {
        self.slots.register(slot, waker);
    }

    /// Takes all registered wakers. Wake them only after the lock is released.
    pub(super) fn take_wakers(&mut self) -> Vec<Waker> {
        self.slots
            .wakers
            .iter_mut()
            .filter_map(Option::take)
            .collect()
    }
}

/// The wakers of a topic's subscribers.
#[derive(Default)]
struct WakerSlots {
    /// By slot; `None` if no waker is registered there.
    wakers: Vec<Option<Waker>>,
    /// Indices into `wakers` that are not reserved, each once.
    unused: Vec<usize>,
}

impl WakerSlots {
    fn add(&mut self) -> usize {
        self.unused.pop().unwrap_or_else(|| {
            self.wakers.push(None);
            self.wakers.len() - 1
        })
    }

    fn release(&mut self, slot: usize) {
        self.wakers[slot] = None;
        self.unused.push(slot);
        if self.unused.len() == self.wakers.len() {
            // No slot is in use. Free the memory: the topic may stay for an hour without readers.
            *self = Self::default();
        }
    }

    fn register(&mut self, slot: usize, waker: &Waker) {
        match &mut self.wakers[slot] {
            // Clones only if the two wake different tasks.
            Some(registered) => registered.clone_from(waker),
            empty => *empty = Some(waker.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_half_of_a_history_is_freed_and_no_more() {
        let key = crate::name::ResourceKey::new("posts", "1").expect("a valid key");
        let epoch = Epoch::from_number(0);
        let (config, ledger) = (HubConfig::default(), Ledger::default());
        let mut cell = TopicCell::new(&config, epoch, 0, ledger, Instant::ZERO);
        for sequence in 1..=4 {
            cell.publish(Event::deleted(key.clone()), sequence, Now::default());
        }
        for left in [2, 1, 0, 0] {
            cell.halve();
            assert_eq!(cell.feed.topic.ring().len(), left);
        }
    }

    #[test]
    fn waker_slots_are_reused_and_their_memory_is_freed() {
        let mut slots = WakerSlots::default();
        let taken = [slots.add(), slots.add(), slots.add()];
        slots.release(taken[1]);
        assert_eq!(slots.add(), taken[1]);
        for slot in taken {
            slots.release(slot);
        }
        assert_eq!((slots.wakers.capacity(), slots.unused.capacity()), (0, 0));
    }
}
