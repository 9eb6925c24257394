use alloc::boxed::Box;
use core::sync::atomic::Ordering::Relaxed;
use core::task::Context;

use super::{Cursor, Subscription};
use crate::feed;
use crate::hub::shared::Shared;
use crate::hub::topic_cell::TopicCell;
use crate::name::{EventId, ResyncReason};
use crate::sse::Frame;
use crate::time::{Instant, Now};

/// What a subscriber does next, as [`Subscription::poll_typed`] returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum TypedOutput {
    /// An event: its type, ID and data, and its frame.
    Event(Frame),
    /// The subscriber missed events and must refetch the record.
    Resync {
        /// Why.
        reason: ResyncReason,
        /// The last event ID that the subscriber has from here on.
        id: EventId<Box<str>>,
    },
    /// The greeting of a new subscriber, or a heartbeat that is due.
    KeepAlive {
        /// The last event ID that a new subscriber starts with, if it named none.
        id: Option<EventId<Box<str>>>,
    },
    /// The hub drains: reconnect after this time. The end is next.
    ReconnectionTime {
        /// In milliseconds.
        millis: u64,
    },
    /// Nothing to do until the waker is called, or until `wake_at`.
    Idle {
        /// When the heartbeat is due; `None` if it is off.
        wake_at: Option<Instant>,
    },
    /// The stream ends here. The waker is not called again.
    End,
}

impl Subscription {
    /// [`poll`](Self::poll) for protocols that are not event streams: one thing at a time, and not as
    /// bytes. A subscription may be polled either way at any time.
    ///
    /// # Deadlocks
    ///
    /// The same as those of [`poll`](Self::poll).
    ///
    /// ```
    /// use core::task::{Context, Waker};
    /// use saacms_realtime_core::{Event, Hub, HubConfig, Now, TypedOutput};
    ///
    /// let hub = Hub::new(HubConfig::default(), 0)?;
    /// let now = Now::from_millis(0, 0);
    /// let event = Event::from_json(
    ///     br#"{"type":"changed","slug":"posts","id":"1","record":{},"etag":"v1"}"#,
    /// )?;
    /// let mut subscription = hub.subscribe(event.key(), None, now)?;
    /// hub.publish(event, now)?;
    ///
    /// let cx = Context::from_waker(Waker::noop());
    /// let TypedOutput::KeepAlive { id: Some(place) } = subscription.poll_typed(&cx, now)
    ///     else { panic!() };
    /// assert_eq!(place.as_str(), "0000000000000000.0");
    /// let TypedOutput::Event(frame) = subscription.poll_typed(&cx, now) else { panic!() };
    /// assert_eq!((frame.event_type().as_str(), frame.id().as_str()), ("changed", "v1"));
    /// assert_eq!(frame.data(), "{}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn poll_typed(&mut self, cx: &Context<'_>, now: Now) -> TypedOutput {
        let shared = &self.registration.hub.shared;
        let Some(mut topic) = shared.registry.lock_topic(&self.registration.cell) else {
            // Cannot happen: a topic with subscribers is not removed.
            return TypedOutput::End;
        };

        let may_ask = self.cursor.waiting.is_some();
        let output = self.cursor.poll_typed(&mut topic, shared, now);
        if let TypedOutput::Idle { .. } = output {
            topic.register_waker(self.registration.slot, cx.waker());
        }
        if may_ask {
            drop(topic);
            shared.wake_engine();
        }
        output
    }
}

impl Cursor {
    /// [`Subscription::poll_typed`] without registering a waker.
    fn poll_typed(&mut self, topic: &mut TopicCell, shared: &Shared, now: Now) -> TypedOutput {
        if self.has_ended {
            return TypedOutput::End;
        }

        self.polled_at = now.instant;
        if self.waiting.is_some()
            && let Some(greeted_at) = self.wait(topic, shared, now)
        {
            // Not `idle_typed`: a drain that begins now wakes it, and it is then told its place.
            return TypedOutput::Idle {
                wake_at: Some(greeted_at),
            };
        }
        match topic.feed.poll_typed(&mut self.reader, now) {
            feed::TypedOutput::Event(frame) => TypedOutput::Event(frame),
            feed::TypedOutput::Resync { reason, id } => {
                shared.counters.resyncs.fetch_add(1, Relaxed);
                TypedOutput::Resync { reason, id }
            }
            feed::TypedOutput::KeepAlive { id } => TypedOutput::KeepAlive { id },
            feed::TypedOutput::Idle { wake_at } => self.idle_typed(wake_at, shared),
        }
    }

    fn idle_typed(&mut self, wake_at: Option<Instant>, shared: &Shared) -> TypedOutput {
        match self.last_retry(shared) {
            Some(millis) => TypedOutput::ReconnectionTime { millis },
            None => TypedOutput::Idle { wake_at },
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::sync::Arc;
    use core::sync::atomic::AtomicUsize;
    use core::task::Waker;
    use std::task::Wake;

    use super::*;
    use crate::config::HubConfig;
    use crate::event::Event;
    use crate::hub::Hub;
    use crate::name::ResourceKey;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn a_typed_subscriber_is_woken_resynced_and_drained_like_any_other() {
        let hub = Hub::new(HubConfig::default(), 0).expect("valid");
        let (key, now) = (ResourceKey::new("s", "i").expect("valid"), Now::default());
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let cx = Context::from_waker(&waker);
        let mut subscription = hub.subscribe(&key, Some(b"lost"), now).expect("room");

        let keep_alive = subscription.poll_typed(&cx, now);
        assert_eq!(keep_alive, TypedOutput::KeepAlive { id: None });
        let resync = subscription.poll_typed(&cx, now);
        assert!(matches!(resync, TypedOutput::Resync { .. }), "{resync:?}");
        assert_eq!(hub.stats().resyncs, 1);

        let idle = subscription.poll_typed(&cx, now);
        assert!(matches!(idle, TypedOutput::Idle { .. }), "{idle:?}");
        hub.publish(Event::deleted(key), now).expect("room");
        assert_eq!(count.0.load(Relaxed), 1);

        // The event that waits comes before the end.
        hub.drain();
        let event = subscription.poll_typed(&cx, now);
        assert!(matches!(event, TypedOutput::Event(_)), "{event:?}");
        let retry = subscription.poll_typed(&cx, now);
        let TypedOutput::ReconnectionTime { millis } = retry else {
            panic!("{retry:?}")
        };
        assert!((1_000..=4_000).contains(&millis), "{millis}");
        assert_eq!(subscription.poll_typed(&cx, now), TypedOutput::End);
    }
}
