use alloc::boxed::Box;
use alloc::vec::Vec;
use core::task::Waker;

use super::config::HubConfig;
use crate::feed::Feed;
use crate::name::EventId;
use crate::position::Epoch;
use crate::sse::OpenFrame;
use crate::time::{Instant, Now};

/// A topic with its readers: what stands behind one lock.
pub(super) struct Cell {
    pub(super) feed: Feed,
    readers: Readers,
    /// When the last event came or the last reader went, whichever is later.
    idle_since: Instant,
    /// It is no longer in the map; whoever still holds it must look there again.
    pub(super) removed: bool,
}

impl Cell {
    pub(super) fn new(config: &HubConfig, epoch: Epoch, now: Instant) -> Self {
        Self {
            feed: Feed::new(config.retention(), config.id_policy(epoch)),
            readers: Readers::default(),
            idle_since: now,
            removed: false,
        }
    }

    pub(super) fn publish(&mut self, etag: Option<&EventId<Box<str>>>, frame: OpenFrame, now: Now) {
        self.feed.publish_frame(etag, frame, now);
        self.idle_since = self.idle_since.max(now.instant);
    }

    /// Frees what has expired, and what is only kept for speed.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.feed.topic.evict(now);
        self.feed.forget_joined();
    }

    /// Frees the older half of the history. False where there is none.
    pub(super) fn halve(&mut self) -> bool {
        let topic = &mut self.feed.topic;
        let target = topic.ring().bytes() / 2;
        let mut freed = false;
        while topic.ring().bytes() > target && topic.evict_oldest() {
            freed = true;
        }
        self.feed.forget_joined() > 0 || freed
    }

    /// Bytes that count against the limit of the hub.
    pub(super) fn history_bytes(&self) -> usize {
        self.feed.history_bytes()
    }

    /// Since when nobody reads it and nothing came; `None` while somebody reads.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (self.readers.len == 0).then_some(self.idle_since)
    }

    pub(super) fn readers(&self) -> usize {
        self.readers.len
    }

    pub(super) fn add_reader(&mut self) -> usize {
        self.readers.add()
    }

    pub(super) fn remove_reader(&mut self, reader: usize, now: Instant) {
        self.readers.remove(reader);
        self.idle_since = self.idle_since.max(now);
    }

    /// Has `waker` called at the next change.
    pub(super) fn wait(&mut self, reader: usize, waker: &Waker) {
        self.readers.wait(reader, waker);
    }

    /// The wakers of all readers that wait. To be called after the lock is released.
    pub(super) fn take_wakers(&mut self) -> Vec<Waker> {
        self.readers.wakers.iter_mut().filter_map(Option::take).collect()
    }
}

/// The readers of a topic, each with a place for its waker.
#[derive(Default)]
struct Readers {
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
    len: usize,
}

impl Readers {
    fn add(&mut self) -> usize {
        self.len += 1;
        self.free.pop().unwrap_or_else(|| {
            self.wakers.push(None);
            self.wakers.len() - 1
        })
    }

    fn remove(&mut self, reader: usize) {
        self.len -= 1;
        if self.len == 0 {
            *self = Self::default();
        } else {
            self.wakers[reader] = None;
            self.free.push(reader);
        }
    }

    fn wait(&mut self, reader: usize, waker: &Waker) {
        match &mut self.wakers[reader] {
            Some(waiting) => waiting.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_readers_are_used_again_and_given_back() {
        let mut readers = Readers::default();
        let places = [readers.add(), readers.add(), readers.add()];
        readers.remove(places[1]);
        assert_eq!(readers.add(), places[1]);
        for place in places {
            readers.remove(place);
        }
        assert_eq!((readers.wakers.capacity(), readers.free.capacity()), (0, 0));
    }
}
