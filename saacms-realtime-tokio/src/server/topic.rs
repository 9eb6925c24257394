//! The streams of one record in a lane.

use core::task::Waker;
use std::sync::Arc;
use std::task::Wake;

use saacms_realtime_core::hub::Group;
use saacms_realtime_core::time::Instant;

use super::inbox::Inbox;

/// The streams of one record in this lane.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) group: Group,
    pub(super) waker: Waker,
    pub(super) members: Vec<usize>,
    /// `members[..pending]` are still to be served in this round. From the end, as whoever leaves is
    /// replaced by the last one: nobody is passed over.
    pub(super) pending: usize,
    /// Something came since the round began.
    pub(super) is_woken: bool,
    pub(super) due: Option<Instant>,
}

/// Tells the lane of a change of a topic. Called by whoever publishes.
#[derive(Debug)]
pub(super) struct TopicWaker {
    pub(super) inbox: Arc<Inbox>,
    pub(super) topic: usize,
}

impl Wake for TopicWaker {
    fn wake(self: Arc<Self>) {
        self.inbox.wake(self.topic);
    }
}
