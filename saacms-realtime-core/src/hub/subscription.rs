mod typed;

use alloc::string::String;
use core::fmt;
use core::pin::Pin;
use core::sync::atomic::Ordering::Relaxed;
use core::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;

use super::Hub;
use super::shared::Shared;
use super::sync::{Arc, Mutex, lock};
use super::topic_cell::TopicCell;
use crate::feed;
use crate::name::ResourceKey;
use crate::refusal::Refusal;
use crate::sse::write_retry;
use crate::time::{Instant, Now};

pub use typed::TypedOutput;

/// What a subscriber does next, as [`Subscription::poll`] returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Output {
    /// Whole frames to write: all that wait, up to 64 KiB or one frame. Poll again after they are
    /// written.
    Frames(Bytes),
    /// Nothing to write until the waker is called, or until `wake_at`.
    Idle {
        /// When the heartbeat is due; `None` if it is off.
        wake_at: Option<Instant>,
    },
    /// The stream ends here. The waker is not called again.
    End,
}

/// A subscriber of a hub: a cursor and a slot for a waker. It has no queue.
///
/// - *Getters*: [`key`](Self::key), [`subscribers_of_topic`](Self::subscribers_of_topic).
/// - *Polls*: [`poll`](Self::poll) for bytes, [`poll_typed`](Self::poll_typed) for other protocols.
///
/// A driver polls until [`Output::Idle`], writing every [`Output::Frames`] before the next poll; then
/// it waits for the waker or for `wake_at`, whichever comes first, and polls again. Only the idle
/// poll registers the waker: a driver that waits before it never learns of the next publish. One
/// that polls before the frames are written buffers for its client, which nothing bounds.
///
/// As a [`Stream`] it yields what is published, and no heartbeats after the greeting: a stream is
/// passed no time. That is for readers in the same process.
pub struct Subscription {
    pub(super) registration: Arc<Registration>,
    pub(super) cursor: Cursor,
}

/// A waker's slot at a topic, freed on drop. A subscription has its own, or shares that of the others
/// of its record in a lane.
pub(super) struct Registration {
    pub(super) hub: Hub,
    pub(super) key: ResourceKey,
    pub(super) cell: Arc<Mutex<TopicCell>>,
    pub(super) slot: usize,
}

/// Where a subscription is in its topic: what is polled under the topic's lock.
pub(super) struct Cursor {
    reader: feed::Reader,
    /// Its reconnection time was handed out: all that is left is its end.
    has_ended: bool,
    /// The `now` of the last poll. A topic counts as idle from there on, at the earliest.
    polled_at: Instant,
}

impl Subscription {
    /// Registers a subscriber, which the caller has counted.
    pub(super) fn open(
        hub: &Hub,
        key: &ResourceKey,
        last_event_id: Option<&[u8]>,
        now: Now,
    ) -> Result<Self, Refusal> {
        loop {
            let cell = hub.shared.find_or_create(key, now)?;
            let Some(mut topic) = hub.shared.registry.lock_topic(&cell) else {
                // The topic was removed between the two locks; now there is another one to find.
                continue;
            };

            let limit = hub.config().max_subscribers_per_topic;
            if topic.subscribers() >= limit {
                return Err(Refusal::TooManySubscribersOfTopic { limit });
            }

            let heartbeat = hub.config().heartbeat;
            let cursor = Cursor {
                reader: topic.feed.subscribe(last_event_id, heartbeat, now),
                has_ended: false,
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

    /// What to do next. If that is [`Output::Idle`], the waker of `cx` is registered under the lock
    /// that was polled, so that no publish between the two is missed.
    ///
    /// O(1) when idle. Copies and allocates only if several frames wait at once, and then once for
    /// all subscribers with the same cursor.
    ///
    /// # Deadlocks
    ///
    /// The waker is cloned, and an earlier one dropped, while the topic is locked: its `clone` and
    /// its `drop` must not use the hub. Its `wake` may.
    pub fn poll(&mut self, cx: &Context<'_>, now: Now) -> Output {
        let shared = &self.registration.hub.shared;
        let Some(mut topic) = shared.registry.lock_topic(&self.registration.cell) else {
            // Cannot happen: a topic with subscribers is not removed.
            return Output::End;
        };

        let output = self.cursor.poll(&mut topic, shared, now);
        if let Output::Idle { .. } = output {
            topic.register_waker(self.registration.slot, cx.waker());
        }
        output
    }

    /// The record that it is subscribed to.
    pub fn key(&self) -> &ResourceKey {
        &self.registration.key
    }

    /// The number of subscribers of its record at this moment, itself included.
    pub fn subscribers_of_topic(&self) -> usize {
        lock(&self.registration.cell).subscribers()
    }
}

impl Cursor {
    /// As [`Subscription::poll`], but registers no waker.
    pub(super) fn poll(&mut self, topic: &mut TopicCell, shared: &Shared, now: Now) -> Output {
        if self.has_ended {
            return Output::End;
        }

        self.polled_at = now.instant;
        let resyncs_before = topic.feed.resyncs();
        match topic.feed.poll(&mut self.reader, now) {
            feed::Output::Frames(frames) => {
                let resyncs = topic.feed.resyncs() - resyncs_before;
                shared.counters.resyncs.fetch_add(resyncs, Relaxed);
                Output::Frames(frames)
            }
            feed::Output::Idle { wake_at } => match self.last_retry(shared) {
                Some(millis) => {
                    let mut retry = String::new();
                    write_retry(&mut retry, millis).expect("a String is never full");
                    Output::Frames(Bytes::from(retry))
                }
                None => Output::Idle { wake_at },
            },
        }
    }

    /// The reconnection time of an idle subscriber if the hub drains; its end is next.
    ///
    /// Only an idle subscriber is drained: it has got everything first.
    fn last_retry(&mut self, shared: &Shared) -> Option<u64> {
        if !shared.draining.load(Relaxed) {
            return None;
        }
        self.has_ended = true;
        Some(shared.next_retry_millis())
    }
}

impl Stream for Subscription {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        // At the start of the clock only the greeting is due, never a later heartbeat.
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
        let shared = &self.registration.hub.shared;
        // A drop is passed no time. The last poll may be later than all that the hub was passed.
        let now = shared.latest().instant.max(self.cursor.polled_at);
        let was_last = {
            let mut topic = lock(&self.registration.cell);
            topic.remove_subscriber(now);
            topic.subscribers() == 0
        };

        shared.registry.remove_subscriber();
        if was_last {
            shared.registry.remove_if_blank(&self.registration.key);
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
