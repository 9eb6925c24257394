use alloc::vec::Vec;
use core::task::Waker;

use crate::config::HubConfig;
use crate::event::Event;
use crate::feed::{Feed, NoStore};
use crate::position::Epoch;
use crate::time::{Instant, Now};

/// A topic with its subscribers: what stands behind one lock.
pub(super) struct TopicCell {
    pub(super) feed: Feed,
    subscribers: usize,
    slots: WakerSlots,
    /// When the last event came or the last reader went, whichever is later.
    idle_since: Instant,
    /// It is no longer in the map; whoever still holds it must look there again.
    pub(super) is_removed: bool,
}

impl TopicCell {
    pub(super) fn new(config: &HubConfig, epoch: Epoch, now: Instant) -> Self {
        Self {
            feed: Feed::new(config, epoch),
            subscribers: 0,
            slots: WakerSlots::default(),
            idle_since: now,
            is_removed: false,
        }
    }

    pub(super) fn publish(&mut self, event: Event, now: Now) {
        let Ok(_) = self.feed.publish(event, now, &NoStore);
        self.idle_since = self.idle_since.max(now.instant);
    }

    /// Frees what has expired, and what is only kept for speed.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.feed.topic.evict(now);
        self.feed.forget_joined();
    }

    /// Frees the older half of the history, and what is only kept for speed.
    pub(super) fn halve(&mut self) {
        let topic = &mut self.feed.topic;
        let target = topic.ring().bytes() / 2;
        while topic.ring().bytes() > target && topic.evict_oldest() {}
        self.feed.forget_joined();
    }

    /// Bytes that count against the limit of the hub.
    pub(super) fn history_bytes(&self) -> usize {
        self.feed.history_bytes()
    }

    /// Since when nobody reads it and nothing came; `None` while somebody reads.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (self.subscribers == 0).then_some(self.idle_since)
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

    /// A place for a waker. Several subscribers may share one.
    pub(super) fn add_waker_slot(&mut self) -> usize {
        self.slots.add()
    }

    pub(super) fn release_waker_slot(&mut self, slot: usize) {
        self.slots.release(slot);
    }

    /// Has `waker` called at the next change.
    pub(super) fn register_waker(&mut self, slot: usize, waker: &Waker) {
        self.slots.register(slot, waker);
    }

    /// All wakers that wait. To be called after the lock is released.
    pub(super) fn take_wakers(&mut self) -> Vec<Waker> {
        self.slots
            .wakers
            .iter_mut()
            .filter_map(Option::take)
            .collect()
    }
}

/// The places for wakers.
#[derive(Default)]
struct WakerSlots {
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

impl WakerSlots {
    fn add(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.wakers.push(None);
            self.wakers.len() - 1
        })
    }

    fn release(&mut self, slot: usize) {
        self.wakers[slot] = None;
        self.free.push(slot);
        if self.free.len() == self.wakers.len() {
            *self = Self::default();
        }
    }

    fn register(&mut self, slot: usize, waker: &Waker) {
        match &mut self.wakers[slot] {
            Some(waiting) => waiting.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_history_the_older_half_goes_and_no_more() {
        let key = crate::name::ResourceKey::new("posts", "1").expect("a valid key");
        let mut cell = TopicCell::new(&HubConfig::default(), Epoch::from_number(0), Instant::ZERO);
        for _ in 0..4 {
            cell.publish(Event::deleted(key.clone()), Now::default());
        }
        for left in [2, 1, 0, 0] {
            cell.halve();
            assert_eq!(cell.feed.topic.ring().len(), left);
        }
    }

    #[test]
    fn waker_slots_are_used_again_and_given_back() {
        let mut slots = WakerSlots::default();
        let taken = [slots.add(), slots.add(), slots.add()];
        slots.release(taken[1]);
        assert_eq!(slots.add(), taken[1]);
        for slot in taken {
            slots.release(slot);
        }
        assert_eq!((slots.wakers.capacity(), slots.free.capacity()), (0, 0));
    }
}
