use core::fmt;
use core::task::Context;

use super::registry::Held;
use super::subscription::Seat;
use super::sync::Arc;
use super::{Output, Subscription};
use crate::time::Now;

/// Subscriptions of one record that one thread serves: one waker for all of them, so that a publish
/// wakes the thread once, and one lock for many polls.
///
/// ```
/// use core::task::{Context, Waker};
/// use saacms_realtime_core::{event::Event, time::Now};
/// use saacms_realtime_core::hub::{Group, Hub, HubConfig, Output};
///
/// let hub = Hub::new(HubConfig::default(), 0)?;
/// let now = Now::from_millis(0, 0);
/// let event = Event::from_json(br#"{"type":"deleted","slug":"posts","id":"1"}"#)?;
/// let mut first = hub.subscribe(event.key(), None, now)?;
/// let group = Group::of(&first);
/// let mut second = hub.subscribe(event.key(), None, now)?;
/// assert!(group.admit(&mut second));
/// hub.publish(event, now)?;
///
/// let mut round = group.round(&Context::from_waker(Waker::noop()), now);
/// let outputs = [&mut first, &mut second].map(|member| round.poll(member));
/// drop(round);
/// assert!(outputs.iter().all(|output| matches!(output, Output::Frames(_))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Group {
    seat: Arc<Seat>,
}

impl Group {
    /// The group that `subscription` is in; of a new one it is the only member.
    pub fn of(subscription: &Subscription) -> Self {
        Self { seat: Arc::clone(&subscription.seat) }
    }

    /// Takes `subscription` in: from now on the waker of the group's rounds is called for it, and
    /// none that it was polled with. To be followed by a round in which it is polled.
    ///
    /// False where it is not of this topic, or of a former life of it; then nothing has changed.
    #[must_use = "a subscription that was not admitted must be polled elsewhere"]
    pub fn admit(&self, subscription: &mut Subscription) -> bool {
        let is_of_this_topic = Arc::ptr_eq(&self.seat.cell, &subscription.seat.cell);
        if is_of_this_topic {
            subscription.seat = Arc::clone(&self.seat);
        }
        is_of_this_topic
    }

    /// Begins to poll members, as many as wanted. The waker of `cx` is called at the first change
    /// after this, so that whatever comes between two rounds, or behind the poll of a member, is
    /// heard of.
    pub fn round(&self, cx: &Context<'_>, now: Now) -> Round<'_> {
        let seat = &*self.seat;
        let mut cell = seat.hub.shared.registry.hold(&seat.cell);
        if let Some(cell) = &mut cell {
            cell.wait(seat.place, cx.waker());
        }
        Round { seat: &self.seat, cell, now }
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("key", &self.seat.key).finish_non_exhaustive()
    }
}

/// Polls of a [`Group`]'s members at one moment, behind the lock of their topic: nobody else of the
/// topic is served meanwhile, so frames are to be written after it is dropped.
///
/// # Deadlocks
///
/// Whatever else takes that lock waits for the round to be dropped, and for ever where that is up to
/// the same thread: to publish to the record or subscribe to it, to drop one of its subscriptions, to
/// admit one to a group, to drain the hub. So a member that has ended is dropped behind the round.
pub struct Round<'a> {
    seat: &'a Arc<Seat>,
    cell: Option<Held<'a>>,
    now: Now,
}

impl Round<'_> {
    /// What to do next for a member, as [`Subscription::poll`] says it.
    ///
    /// # Panics
    ///
    /// Where `member` is not of this group.
    pub fn poll(&mut self, member: &mut Subscription) -> Output {
        assert!(Arc::ptr_eq(&member.seat, self.seat), "a round is for members of its group");
        match &mut self.cell {
            Some(cell) => member.reader.poll(cell, &self.seat.hub.shared, self.now),
            None => Output::End,
        }
    }
}

impl fmt::Debug for Round<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Round").field("key", &self.seat.key).finish_non_exhaustive()
    }
}
