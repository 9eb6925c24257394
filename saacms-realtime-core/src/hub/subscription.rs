use alloc::string::String;
use core::fmt;
use core::pin::Pin;
use core::sync::atomic::Ordering::Relaxed;
use core::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;

use super::sync::{Arc, Mutex};
use super::topic_cell::TopicCell;
use super::{Hub, Shared, lock};
use crate::feed;
use crate::name::ResourceKey;
use crate::refusal::Refusal;
use crate::sse::write_retry;
use crate::time::{Instant, Now};

/// What a poll of a [`Subscription`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Output {
    /// Whole frames to write, all that wait at once. Poll again after they are taken.
    Frames(Bytes),
    /// Nothing to write until the waker is called, or until `wake_at`.
    Idle {
        /// When the heartbeat is due; `None` where it is off.
        wake_at: Option<Instant>,
    },
    /// The stream ends here. The waker will not be called.
    End,
}

/// A subscriber of a hub: a cursor and a place for a waker. It has no queue.
///
/// As a [`Stream`] it yields what is published, and no heartbeats after the greeting: a stream has
/// no way to be told the time. That is for readers in the same process.
pub struct Subscription {
    pub(super) registration: Arc<Registration>,
    pub(super) cursor: Cursor,
}

/// A place for a waker at a topic, and the way there. A subscription has its own, or shares that of
/// the others of its record in a lane.
pub(super) struct Registration {
    pub(super) hub: Hub,
    pub(super) key: ResourceKey,
    pub(super) cell: Arc<Mutex<TopicCell>>,
    pub(super) slot: usize,
}

/// What a subscription is while it stands behind its topic's lock.
pub(super) struct Cursor {
    reader: feed::Reader,
    ended: bool,
    polled_at: Instant,
}

impl Subscription {
    pub(super) fn open(
        hub: &Hub,
        key: &ResourceKey,
        last_event_id: Option<&[u8]>,
        now: Now,
    ) -> Result<Self, Refusal> {
        loop {
            let cell = hub.find_or_create(key, now)?;
            // The topic may be forgotten between the two locks: then there is another one to find.
            let Some(mut topic) = hub.shared.registry.lock_topic(&cell) else {
                continue;
            };

            let limit = hub.config().max_subscribers_per_topic;
            if topic.subscribers() >= limit {
                return Err(Refusal::TooManySubscribersOfTopic { limit });
            }
            let heartbeat = hub.config().heartbeat;
            let cursor = Cursor {
                reader: topic.feed.subscribe(last_event_id, heartbeat, now),
                ended: false,
                polled_at: now.instant,
            };
            topic.add_subscriber();
            let slot = topic.add_waker_slot();
            drop(topic);

            let registration = Registration {
                hub: hub.clone(),
                key: key.clone(),
                cell,
                slot,
            };
            return Ok(Self {
                registration: Arc::new(registration),
                cursor,
            });
        }
    }

    /// What to do next. Where it answers [`Output::Idle`], the waker of `cx` is registered under the
    /// lock that was polled, so that no publish between the two is missed.
    ///
    /// O(1) when idle. Copies and allocates only where several things wait at once, and then once
    /// for all readers at the same place.
    pub fn poll(&mut self, cx: &Context<'_>, now: Now) -> Output {
        let shared = &self.registration.hub.shared;
        let Some(mut topic) = shared.registry.lock_topic(&self.registration.cell) else {
            // Never so: a topic with readers is not forgotten.
            return Output::End;
        };

        let output = self.cursor.poll(&mut topic, shared, now);
        if let Output::Idle { .. } = output {
            topic.register_waker(self.registration.slot, cx.waker());
        }
        output
    }

    /// Which record it is about.
    pub fn key(&self) -> &ResourceKey {
        &self.registration.key
    }

    /// Subscribers of its record at this moment, itself included.
    pub fn subscribers_of_topic(&self) -> usize {
        lock(&self.registration.cell).subscribers()
    }
}

impl Cursor {
    /// As [`Subscription::poll`], and no waker is registered.
    pub(super) fn poll(&mut self, cell: &mut TopicCell, shared: &Shared, now: Now) -> Output {
        if self.ended {
            return Output::End;
        }
        self.polled_at = now.instant;
        let resyncs = cell.feed.resyncs();
        match cell.feed.poll(&mut self.reader, now) {
            feed::Output::Frames(frames) => {
                shared
                    .counters
                    .resyncs
                    .fetch_add(cell.feed.resyncs() - resyncs, Relaxed);
                Output::Frames(frames)
            }
            feed::Output::Idle { .. } if shared.draining.load(Relaxed) => {
                self.ended = true;
                let mut retry = String::new();
                write_retry(&mut retry, shared.next_retry_millis())
                    .expect("a String is never full");
                Output::Frames(Bytes::from(retry))
            }
            feed::Output::Idle { wake_at } => Output::Idle { wake_at },
        }
    }
}

impl Stream for Subscription {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        // At the start of the clock no heartbeat but the greeting is ever due.
        let now = Now {
            instant: Instant::ZERO,
            ..self.registration.hub.shared.latest()
        };
        match self.poll(cx, now) {
            Output::Frames(frames) => Poll::Ready(Some(frames)),
            Output::Idle { .. } => Poll::Pending,
            Output::End => Poll::Ready(None),
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let Shared { registry, .. } = &*self.registration.hub.shared;
        // A drop is told no time; the last poll may be later than all that the hub was told.
        let now = self
            .registration
            .hub
            .shared
            .latest()
            .instant
            .max(self.cursor.polled_at);
        let was_last = {
            let mut topic = lock(&self.registration.cell);
            topic.remove_subscriber(now);
            topic.subscribers() == 0
        };

        registry.remove_subscriber();
        if was_last {
            registry.remove_if_blank(&self.registration.key);
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        lock(&self.cell).release_waker_slot(self.slot);
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("key", &self.registration.key)
            .field("cursor", &self.cursor.reader.cursor())
            .finish_non_exhaustive()
    }
}
