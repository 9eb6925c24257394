mod typed;

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::pin::Pin;
use core::sync::atomic::Ordering::Relaxed;
use core::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;

use super::Hub;
use super::addresses::AddressGuard;
use super::engine::Waiting;
use super::shared::Shared;
use super::sync::{Arc, Mutex, lock};
use super::topic_cell::TopicCell;
use crate::feed;
use crate::name::ResourceKey;
use crate::refusal::Refusal;
use crate::sse::write_retry;
use crate::subscriber::Resume;
use crate::time::{Instant, Now};
use crate::topic::Opening;

pub use typed::TypedOutput;

/// What a subscriber does next, as [`Subscription::poll`] returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Output {
    /// Whole frames to write: all that wait, up to 64 KiB, or one larger frame. Poll again after
    /// they are written.
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
/// it waits for the waker or for `wake_at`, whichever comes first, and polls again. Only an idle
/// poll registers the waker: a driver that waits without one misses the next publish. A driver that
/// polls again before the frames are written must buffer them, and nothing bounds that buffer.
///
/// As a [`Stream`] it yields the greeting and then what is published, but no heartbeats, because
/// `poll_next` is passed no time. That suits readers in the same process.
pub struct Subscription {
    pub(super) registration: Arc<Registration>,
    pub(super) cursor: Cursor,
    /// Counts it for the address of its client, if those are limited.
    pub(super) address: Option<Box<AddressGuard>>,
}

/// A waker slot of a topic, freed on drop. In a lane, all subscriptions to one record share a slot;
/// every other subscription has its own.
pub(super) struct Registration {
    pub(super) hub: Hub,
    pub(super) key: ResourceKey,
    pub(super) cell: Arc<Mutex<TopicCell>>,
    pub(super) slot: usize,
}

/// A subscription's place in its topic: the part that is polled under the topic's lock.
pub(super) struct Cursor {
    reader: feed::Reader,
    /// The reconnection time was handed out: only the end is left.
    has_ended: bool,
    /// The `now` of the last poll. If the last subscriber leaves, the topic has been idle since
    /// then at the earliest.
    polled_at: Instant,
    /// It has not begun, because the engine has not answered. Never without an engine.
    waiting: Option<Box<Waiting>>,
}

impl Subscription {
    /// Registers a subscriber that the caller has already counted.
    pub(super) fn open(
        hub: &Hub,
        key: &ResourceKey,
        last_event_id: Option<&[u8]>,
        now: Now,
    ) -> Result<Self, Refusal> {
        let registry = &hub.shared.registry;
        loop {
            let cell = hub.shared.find_or_create(key, now)?;
            // Read before the lock: what has a number below it is in the topic by then.
            let head = registry.next_sequence();
            let place = registry.engine.as_ref().and_then(|it| it.position());
            let Some(mut topic) = registry.lock_topic(&cell) else {
                // The topic was removed between the two locks: its key is looked up again.
                continue;
            };

            let limit = hub.config().max_subscribers_per_topic;
            if topic.subscribers() >= limit {
                return Err(Refusal::TooManySubscribersOfTopic { limit });
            }

            let cursor = match &registry.engine {
                None => {
                    topic.feed.topic.raise_head(head);
                    let heartbeat = hub.config().heartbeat;
                    Cursor::new(topic.feed.subscribe(last_event_id, heartbeat, now), now)
                }
                Some(engine) => {
                    topic.watch(engine, now.instant);
                    let waiting = Waiting::new(last_event_id, place, now.instant);
                    Cursor::at_engine(&mut topic, &hub.shared, waiting, now)
                }
            };
            topic.add_subscriber();
            let slot = topic.add_waker_slot();
            drop(topic);
            hub.shared.wake_engine();

            let registration = Registration {
                hub: hub.clone(),
                key: key.clone(),
                cell,
                slot,
            };
            return Ok(Self {
                registration: Arc::new(registration),
                cursor,
                address: None,
            });
        }
    }

    /// Returns what to do next. If that is [`Output::Idle`], the waker of `cx` is registered under
    /// the same lock, so that no publish in between is missed.
    ///
    /// O(1) when idle. Frames that wait together are joined once for all subscribers with the same
    /// cursor; at most 16 KiB are copied for one subscriber alone.
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

        let may_ask = self.cursor.waiting.is_some();
        let output = self.cursor.poll(&mut topic, shared, now);
        if let Output::Idle { .. } = output {
            topic.register_waker(self.registration.slot, cx.waker());
        }
        if may_ask {
            drop(topic);
            shared.wake_engine();
        }
        output
    }

    /// The record that this subscribes to.
    pub fn key(&self) -> &ResourceKey {
        &self.registration.key
    }

    /// The number of subscribers of its record at this moment, itself included.
    pub fn subscribers_of_topic(&self) -> usize {
        lock(&self.registration.cell).subscribers()
    }
}

impl Cursor {
    fn new(reader: feed::Reader, now: Now) -> Self {
        Self {
            reader,
            has_ended: false,
            polled_at: now.instant,
            waiting: None,
        }
    }

    /// The cursor of a reader whose record an engine keeps: it may have to wait for the engine.
    fn at_engine(topic: &mut TopicCell, shared: &Shared, mut waiting: Waiting, now: Now) -> Self {
        let mut cursor = Self::new(topic.feed.reader_at_end(shared.config.heartbeat), now);
        topic.add_waiting(&mut waiting);
        cursor.waiting = Some(Box::new(waiting));
        cursor.try_to_begin(topic, shared, now);
        cursor
    }

    /// Begins, if the engine has answered.
    fn try_to_begin(&mut self, topic: &mut TopicCell, shared: &Shared, now: Now) {
        let (Some(waiting), Some(engine)) = (&self.waiting, &shared.registry.engine) else {
            return;
        };
        if let Some(opening) = topic.admit(waiting, engine, now) {
            topic.remove_waiting();
            self.waiting = None;
            topic
                .feed
                .begin(&mut self.reader, opening, shared.config.heartbeat);
        }
    }

    /// When a reader is greeted that is still to be silent, as it waits for the engine. It is polled
    /// before everything else.
    #[cold]
    pub(super) fn wait(
        &mut self,
        topic: &mut TopicCell,
        shared: &Shared,
        now: Now,
    ) -> Option<Instant> {
        self.try_to_begin(topic, shared, now);
        let waiting = self.waiting.as_mut()?;
        if shared.draining.load(Relaxed) {
            // It ends without its answer, and must not come back without a place: what happened
            // meanwhile would be lost.
            let opening = Opening {
                resume: Resume::At(topic.feed.topic.ring().next()),
                greeting: waiting.leave(),
            };
            let heartbeat = shared.config.heartbeat;
            topic.feed.begin(&mut self.reader, opening, heartbeat);
            return None;
        }

        // No event is for it: it is told where it begins.
        self.reader.skip_all(&topic.feed);
        Some(waiting.greeted_at).filter(|at| now.instant < *at)
    }

    /// [`Subscription::poll`] without registering a waker.
    pub(super) fn poll(&mut self, topic: &mut TopicCell, shared: &Shared, now: Now) -> Output {
        if self.has_ended {
            return Output::End;
        }

        self.polled_at = now.instant;
        if self.waiting.is_some()
            && let Some(greeted_at) = self.wait(topic, shared, now)
        {
            // Not `idle`: a drain that begins now wakes it, and it is then told its place.
            return Output::Idle {
                wake_at: Some(greeted_at),
            };
        }
        // The feed counts for all its readers. The topic is locked, so what is added is this one's.
        let resyncs_before = topic.feed.resyncs();
        match topic.feed.poll(&mut self.reader, now) {
            feed::Output::Frames(frames) => {
                let resyncs = topic.feed.resyncs() - resyncs_before;
                shared.counters.resyncs.fetch_add(resyncs, Relaxed);
                Output::Frames(frames)
            }
            feed::Output::Idle { wake_at } => self.idle(wake_at, shared),
        }
    }

    /// What an idle subscriber does: nothing, or it ends.
    fn idle(&mut self, wake_at: Option<Instant>, shared: &Shared) -> Output {
        match self.last_retry(shared) {
            Some(millis) => {
                let mut retry = String::new();
                write_retry(&mut retry, millis).expect("a String is never full");
                Output::Frames(shared.ledger.share(retry.into_bytes()))
            }
            None => Output::Idle { wake_at },
        }
    }

    /// The reconnection time of an idle subscriber if the hub drains; its end is next.
    ///
    /// Call this only when the subscriber is idle: it must get everything first.
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
        // At the start of the clock only the greeting is due: every heartbeat is due later.
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
        // A drop is passed no time, and polls do not report theirs to the hub: take the later one.
        let now = shared.latest().instant.max(self.cursor.polled_at);
        // The topic is unlocked before `remove_if_blank`, which must lock its shard first.
        let was_last = {
            let mut topic = lock(&self.registration.cell);
            if self.cursor.waiting.is_some() {
                topic.remove_waiting();
            }
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
