use alloc::vec::Vec;
use core::mem;
use core::ops::Range;
use core::task::{Context, Waker};

use slab::Slab;

use super::group::Group;
use super::{Outgoing, State, Stream};
use crate::hub::Output;
use crate::time::{Instant, Now};

/// Members that are polled behind one lock. Others of the topic wait for it, so it is short.
const ROUND: usize = 64;

/// The streams of one record in a lane.
pub(super) struct Topic {
    pub(super) group: Group,
    pub(super) waker: Waker,
    pub(super) members: Vec<usize>,
    /// `members[..pending]` are still to be polled in this pass over them. From the end, as whoever
    /// leaves is replaced by the last one: nobody is passed over.
    pub(super) pending: usize,
    /// Something came since the pass began.
    pub(super) is_woken: bool,
    /// It stands among the turns. What stands there otherwise is left of a former topic.
    pub(super) has_turn: bool,
    pub(super) due: Option<Instant>,
}

impl Topic {
    pub(super) fn new(group: Group, waker: Waker) -> Self {
        let (members, pending, is_woken, has_turn, due) = Default::default();
        Self {
            group,
            waker,
            members,
            pending,
            is_woken,
            has_turn,
            due,
        }
    }

    /// Begins a pass over the members where one is over and another is wanted. Answers whether the
    /// topic is to be put among the turns.
    pub(super) fn begin(&mut self) -> bool {
        if self.pending == 0 && mem::take(&mut self.is_woken) {
            self.pending = self.members.len();
        }
        self.pending > 0 && !mem::replace(&mut self.has_turn, true)
    }

    /// Which members are next.
    pub(super) fn take_pending(&mut self, most: usize) -> Range<usize> {
        let end = self.pending;
        self.pending = end.saturating_sub(most);
        self.pending..end
    }

    /// Polls those of `members` that have room, one piece each. Answers when to poll them again
    /// although nothing is published.
    pub(super) fn poll<S>(
        &self,
        members: &[usize],
        streams: &mut Slab<Stream<S>>,
        now: Now,
        outgoing: &mut Vec<Outgoing>,
    ) -> Option<Instant> {
        let cx = Context::from_waker(&self.waker);
        let mut due = None;
        for members in members.chunks(ROUND) {
            let mut round = self.group.round(&cx, now);
            for &member in members {
                let stream = &mut streams[member];
                if stream.state != State::Open {
                    continue;
                }
                match round.poll(&mut stream.subscription) {
                    Output::Frames(frames) => outgoing.push((member, Some(frames))),
                    Output::Idle { wake_at } => due = earliest(due, wake_at),
                    Output::End => {
                        stream.state = State::Over;
                        outgoing.push((member, None));
                    }
                }
            }
        }
        due
    }
}

pub(super) fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}
