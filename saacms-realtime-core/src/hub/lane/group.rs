use core::task::Context;

use crate::hub::registry::TopicGuard;
use crate::hub::subscription::Registration;
use crate::hub::sync::Arc;
use crate::hub::{Output, Subscription};
use crate::time::Now;

/// Subscriptions of one record that share a waker, so that a publish calls it once, and are polled
/// many behind one lock.
pub(super) struct Group {
    registration: Arc<Registration>,
}

impl Group {
    /// The group that `subscription` is in; of a new one it is the only member.
    pub(super) fn of(subscription: &Subscription) -> Self {
        Self {
            registration: Arc::clone(&subscription.registration),
        }
    }

    /// Takes `subscription` in: from now on the waker of the group's rounds is called for it, and
    /// none that it was polled with. To be followed by a round in which it is polled.
    ///
    /// False where it is not of this topic, or of a former life of it; then nothing has changed.
    #[must_use = "a subscription that was not admitted must be polled elsewhere"]
    pub(super) fn admit(&self, subscription: &mut Subscription) -> bool {
        let is_of_this_topic =
            Arc::ptr_eq(&self.registration.cell, &subscription.registration.cell);
        if is_of_this_topic {
            subscription.registration = Arc::clone(&self.registration);
        }
        is_of_this_topic
    }

    /// Begins to poll members, as many as wanted. The waker of `cx` is called at the first change
    /// after this, so that whatever comes between two rounds, or behind the poll of a member, is
    /// heard of.
    pub(super) fn round(&self, cx: &Context<'_>, now: Now) -> Round<'_> {
        let registration = &*self.registration;
        let mut cell = registration
            .hub
            .shared
            .registry
            .lock_topic(&registration.cell);
        if let Some(cell) = &mut cell {
            cell.register_waker(registration.slot, cx.waker());
        }
        Round {
            registration: &self.registration,
            cell,
            now,
        }
    }
}

/// Polls of a [`Group`]'s members at one moment, behind the lock of their topic. Nobody else of the
/// topic is served meanwhile; a subscription of it that is dropped meanwhile waits for itself.
pub(super) struct Round<'a> {
    registration: &'a Arc<Registration>,
    cell: Option<TopicGuard<'a>>,
    now: Now,
}

impl Round<'_> {
    /// What to do next for a member, as [`Subscription::poll`] says it.
    pub(super) fn poll(&mut self, member: &mut Subscription) -> Output {
        assert!(
            Arc::ptr_eq(&member.registration, self.registration),
            "a round is for members of its group"
        );
        match &mut self.cell {
            Some(cell) => member
                .cursor
                .poll(cell, &self.registration.hub.shared, self.now),
            None => Output::End,
        }
    }
}
