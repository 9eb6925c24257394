use alloc::vec::Vec;
use core::mem;
use core::ops::Range;
use core::task::Waker;

use slab::Slab;

use super::stream::{Outgoing, Piece, State, Stream};
use crate::hub::subscription::Registration;
use crate::hub::sync::Arc;
use crate::hub::{Output, Subscription};
use crate::time::{Instant, Now};

/// How many members are polled under one lock. Small, because publishers of the topic wait for it.
const ROUND: usize = 64;

/// The streams of one record in a lane.
///
/// They share a waker, so that a publish calls it once, and up to 64 are polled under one lock.
pub(super) struct Record {
    /// The slot of the shared waker: the first member's, which all later members adopted.
    registration: Arc<Registration>,
    waker: Waker,
    /// Streams by number. Never empty: a record leaves the lane with its last member.
    pub(super) members: Vec<usize>,
    /// `members[..pending]` are still to be polled in this pass. Polled from the end: `swap_remove`
    /// moves the last member into a gap, so no member is skipped.
    pub(super) pending: usize,
    /// Something changed after the pass began, so another pass follows.
    pub(super) is_woken: bool,
    /// It is queued in the lane's `turns`. An entry there without this mark was left by an earlier
    /// record with the same number.
    pub(super) has_turn: bool,
    /// Its entry in the lane's `deadlines`.
    pub(super) due: Option<Instant>,
}

impl Record {
    /// A record without members; `subscription` must be the first member added.
    pub(super) fn new(subscription: &Subscription, waker: Waker) -> Self {
        Self {
            registration: Arc::clone(&subscription.registration),
            waker,
            members: Vec::new(),
            pending: 0,
            is_woken: false,
            has_turn: false,
            due: None,
        }
    }

    /// Makes `subscription` share the waker of this record instead of any waker it was polled with
    /// before. Poll it after this: an earlier change may have called only that other waker.
    ///
    /// Returns false, and changes nothing, if it belongs to another topic or to another life of this
    /// one.
    #[must_use = "a subscription that does not share the waker needs a record of its own"]
    pub(super) fn adopt(&self, subscription: &mut Subscription) -> bool {
        let is_of_this_topic =
            Arc::ptr_eq(&self.registration.cell, &subscription.registration.cell);
        if is_of_this_topic {
            subscription.registration = Arc::clone(&self.registration);
        }
        is_of_this_topic
    }

    /// Begins a pass over the members if the last one is over and a change came since it began.
    /// Returns whether the caller must queue the record for a turn.
    pub(super) fn begin_pass(&mut self) -> bool {
        if self.pending == 0 && mem::take(&mut self.is_woken) {
            self.pending = self.members.len();
        }
        self.pending > 0 && !mem::replace(&mut self.has_turn, true)
    }

    /// Takes the next members of the pass, at most `most`, and returns their indices.
    pub(super) fn take_pending(&mut self, most: usize) -> Range<usize> {
        let end = self.pending;
        self.pending = end.saturating_sub(most);
        self.pending..end
    }

    /// Polls the open streams among `members`, for one piece each. Returns when to poll them again
    /// even if nothing is published.
    pub(super) fn poll<S>(
        &self,
        members: &[usize],
        streams: &mut Slab<Stream<S>>,
        now: Now,
        outgoing: &mut Vec<Outgoing>,
    ) -> Option<Instant> {
        let shared = &self.registration.hub.shared;
        let mut due = None;
        for round in members.chunks(ROUND) {
            let mut topic = shared.registry.lock_topic(&self.registration.cell);
            if let Some(topic) = &mut topic {
                // In every round, because a publish between two rounds takes the waker.
                topic.register_waker(self.registration.slot, &self.waker);
            }

            for &member in round {
                let stream = &mut streams[member];
                if stream.state != State::Open {
                    continue;
                }
                // All members share the registration, so its topic and waker are theirs too.
                debug_assert!(Arc::ptr_eq(
                    &stream.subscription.registration,
                    &self.registration
                ));
                let output = match &mut topic {
                    Some(topic) => stream.subscription.cursor.poll(topic, shared, now),
                    // Cannot happen: a topic with subscribers is not removed.
                    None => Output::End,
                };
                match output {
                    Output::Frames(frames) => outgoing.push(Outgoing {
                        stream: member,
                        piece: Piece::Frames(frames),
                    }),
                    Output::Idle { wake_at } => due = earliest(due, wake_at),
                    Output::End => {
                        stream.state = State::Ended;
                        outgoing.push(Outgoing {
                            stream: member,
                            piece: Piece::End,
                        });
                    }
                }
            }
            drop(topic);
            shared.wake_engine();
        }
        due
    }
}

/// The earlier of two deadlines, either of which may be absent.
pub(super) fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}
