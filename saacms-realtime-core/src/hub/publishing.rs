use alloc::vec::Vec;
use core::pin::Pin;
use core::sync::atomic::Ordering::Relaxed;
use core::task::{Context, Poll, Waker};

use super::Hub;
use super::engine::{Outbox, Outcome};
use super::sync::Arc;
use crate::engine::{Packed, Stamp};
use crate::event::Event;
use crate::notice::Notice;
use crate::refusal::Refusal;
use crate::time::Now;

/// An event on its way to the history of its record. [`Hub::submit`] returns it.
///
/// It resolves to `Ok` once the event is kept. The publish has begun already: dropping this does not
/// take the event back, and its outcome is then unknown to the caller.
#[derive(Debug)]
#[must_use = "whether the event was published is known only once this is awaited"]
pub struct Publishing(State);

#[derive(Debug)]
enum State {
    /// The outcome is known.
    Done(Result<(), Refusal>),
    /// The engine has not said that it has the event.
    Waiting(Arc<Outcome>),
}

impl Publishing {
    /// A publish that has ended, such as every publish of a hub whose history is in memory.
    pub(super) fn done(result: Result<(), Refusal>) -> Self {
        Self(State::Done(result))
    }
}

impl Future for Publishing {
    type Output = Result<(), Refusal>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &self.0 {
            State::Done(result) => Poll::Ready(*result),
            State::Waiting(outcome) => outcome.poll(cx.waker()),
        }
    }
}

impl Hub {
    /// Publishes an event, and returns a future that resolves once the event is in its record's
    /// history.
    ///
    /// The publish begins with this call, whether the future is polled or not: events of a record
    /// are published in the order of the calls. If the history is in memory, the future is ready at
    /// once, and this costs no more than [`publish`](Self::publish).
    ///
    /// # Errors
    ///
    /// The future resolves to any [`Refusal`] of a publish. After [`Refusal::MaybePublished`] the
    /// event may have been published; after every other one it was not.
    pub fn submit(&self, event: Event, now: Now) -> Publishing {
        match &self.shared.registry.engine {
            None => Publishing::done(self.keep(event, now)),
            Some(engine) => match self.submit_to(engine, &event, now) {
                Ok(outcome) => Publishing(State::Waiting(outcome)),
                Err(refusal) => {
                    self.count_refused_publish(refusal);
                    Publishing::done(Err(refusal))
                }
            },
        }
    }

    /// Publishes an event of a hub without an engine.
    pub(super) fn keep(&self, event: Event, now: Now) -> Result<(), Refusal> {
        let shared = &*self.shared;
        let registry = &shared.registry;
        shared.observe_time(now);
        self.check_running()
            .inspect_err(|refusal| self.count_refused_publish(*refusal))?;

        let wakers = loop {
            let Ok(cell) = shared.find_or_create(event.key(), now) else {
                if registry.find_or_raise_floor(event.key()).is_some() {
                    // A reader has come in between: the event is for it.
                    continue;
                }
                self.notice(Notice::PublishNotKept);
                break Vec::new();
            };
            // Between the two locks the topic may be removed; its key is then looked up again.
            if let Some(mut topic) = registry.lock_topic(&cell) {
                topic.publish(event, registry.take_sequence(), now);
                break topic.take_wakers();
            }
        };

        shared.counters.published.fetch_add(1, Relaxed);
        // No lock is held here: a waker may use the hub.
        wakers.into_iter().for_each(Waker::wake);
        // Last: this may walk over all topics, and no subscriber should wait for that.
        registry.reclaim_bytes(now.instant);
        // What left a ring may still be held by readers.
        shared.stalls.check_limit();
        Ok(())
    }

    /// Queues an event for the engine.
    fn submit_to(&self, engine: &Outbox, event: &Event, now: Now) -> Result<Arc<Outcome>, Refusal> {
        self.shared.observe_time(now);
        self.check_running()?;

        let mut packed = Packed::new(event);
        if !engine.stamps() {
            let at = now.wall;
            packed.stamp(Stamp { at, is_id: false });
        }
        let (outcome, is_first) = engine.publish(event.key().clone(), packed, now.instant)?;
        // No lock is held here: a waker may use the hub.
        engine.wake();
        if is_first {
            self.shared.wake_sweeper();
        }
        Ok(outcome)
    }

    /// Counts an event that the engine has stored.
    pub(super) fn count_published(&self) {
        self.shared.counters.published.fetch_add(1, Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::config::HubConfig;
    use crate::name::ResourceKey;

    fn poll(publishing: &mut Publishing) -> Poll<Result<(), Refusal>> {
        Pin::new(publishing).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn an_event_is_published_by_the_call_and_its_outcome_is_ready_at_once() {
        let hub = Hub::new(HubConfig::default(), 0).expect("valid");
        let key = ResourceKey::new("posts", "1").expect("valid");
        let submit = || hub.submit(Event::deleted(key.clone()), Now::from_millis(0, 0));

        let mut publishing = submit();
        assert_eq!(hub.stats().published, 1);
        assert_eq!(poll(&mut publishing), Poll::Ready(Ok(())));
        drop(submit());
        assert_eq!(hub.stats().published, 2);

        hub.drain_within(Duration::ZERO);
        let refused = poll(&mut submit());
        assert!(
            matches!(refused, Poll::Ready(Err(Refusal::Draining { .. }))),
            "{refused:?}"
        );
        assert_eq!(hub.stats().published, 2);
    }
}
