//! One reader of a ring: a cursor and a heartbeat, no queue.

use core::time::Duration;

use crate::name::ResyncReason;
use crate::ring::{At, Entry, Ring, Storage};
use crate::time::{Instant, whole_millis};

/// Where a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// With the item that has this number, which may be the next one to be pushed.
    At(u64),
    /// With a resync: the next item for this reader is unknown or gone.
    Lost(ResyncReason),
}

/// What to do next for a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Step<'a, T> {
    /// Send this item, replayed or live.
    Deliver(&'a T),
    /// The next item is gone: tell the reader to refetch. Exactly one per gap.
    Resync {
        /// Why.
        reason: ResyncReason,
    },
    /// Send a comment: nothing was sent for one heartbeat.
    KeepAlive,
    /// Nothing until something is pushed, or until `wake_at`.
    Idle {
        /// When the heartbeat is due; `None` if it is off.
        wake_at: Option<Instant>,
    },
}

/// A reader of a ring: a small plain value.
///
/// The first step is always [`Step::KeepAlive`], the greeting of a stream. A keep-alive that is due
/// goes before items that wait: a reader that is polled less often than its heartbeat gets one
/// before each item.
///
/// A driver carries out each step and polls again until [`Step::Idle`]. Each step counts as done: if
/// it is not carried out, the reader never gets it. An idle reader is polled again after a push,
/// and at `wake_at`.
///
/// ```
/// use saacms_realtime_core::{Instant, Resume, Retention, Ring, Slots, Step, Subscriber};
///
/// let mut ring = Ring::new(Slots::new([const { None }; 4]), Retention::default());
/// let now = Instant::ZERO;
/// ring.push("a", 1, now, drop);
/// let mut subscriber = Subscriber::new(Resume::At(1), core::time::Duration::ZERO);
/// assert_eq!(subscriber.poll(&ring, now), Step::KeepAlive);
/// assert_eq!(subscriber.poll(&ring, now), Step::Deliver(&"a"));
/// assert_eq!(subscriber.poll(&ring, now), Step::Idle { wake_at: None });
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Subscriber {
    /// Number of the next item. No item has number 0: a reader there gets a resync first.
    cursor: u64,
    /// The reason of the next resync unless the source is lost: at first why the reader began lost,
    /// after that `Lagged`.
    reason: ResyncReason,
    /// 0 is off. It has 32 bits because every idle stream keeps it.
    heartbeat_millis: u32,
    /// When the next keep-alive is due. The start of the clock at first, so that a reader is
    /// greeted; `None` after that if the heartbeat is off.
    keep_alive_at: Option<Instant>,
}

impl Subscriber {
    /// A reader that begins at `resume` and gets a keep-alive after each `heartbeat` of silence;
    /// zero = never. More than 49 days count as 49 days.
    pub const fn new(resume: Resume, heartbeat: Duration) -> Self {
        let (cursor, reason) = start_of(resume);
        let millis = whole_millis(heartbeat);
        let is_short = millis < u32::MAX as u64;
        Self {
            cursor,
            reason,
            heartbeat_millis: if is_short { millis as u32 } else { u32::MAX },
            keep_alive_at: Some(Instant::ZERO),
        }
    }

    /// A reader that was greeted in an earlier life, and has no heartbeat.
    #[cfg(feature = "alloc")]
    pub(crate) const fn resumed(resume: Resume) -> Self {
        let mut subscriber = Self::new(resume, Duration::ZERO);
        subscriber.keep_alive_at = None;
        subscriber
    }

    /// What to do next. O(1); cannot fail.
    pub fn poll<'a, T, S: Storage<Entry<T>>>(
        &mut self,
        ring: &'a Ring<T, S>,
        now: Instant,
    ) -> Step<'a, T> {
        if self.keep_alive_at.is_some_and(|due| due <= now) {
            self.wrote(now);
            return Step::KeepAlive;
        }

        match ring.at(self.cursor) {
            At::Item(item) => {
                self.cursor += 1;
                self.wrote(now);
                Step::Deliver(item)
            }
            At::Next => Step::Idle {
                wake_at: self.keep_alive_at,
            },
            At::Gone => {
                // A reader that began lost keeps its own reason, even if the source was lost as well.
                let interrupted = self.cursor != 0 && self.cursor < ring.lost_before();
                let reason = if interrupted {
                    ResyncReason::SourceLost
                } else {
                    self.reason
                };
                // From here on the reader is live, so it can only lag or lose its source.
                self.reason = ResyncReason::Lagged;
                self.cursor = ring.next();
                self.wrote(now);
                Step::Resync { reason }
            }
        }
    }

    /// Number of the next item; 0 before the resync of a reader that began lost.
    pub const fn cursor(&self) -> u64 {
        self.cursor
    }

    /// When the next keep-alive is due; `None` if the heartbeat is off.
    pub const fn keep_alive_at(&self) -> Option<Instant> {
        self.keep_alive_at
    }

    /// Moves on to item `next`: the caller sent all items before it at `now`.
    #[cfg(feature = "alloc")]
    pub(crate) fn skip_to(&mut self, next: u64, now: Instant) {
        debug_assert!(next >= self.cursor, "a cursor never moves back");
        self.cursor = next;
        self.wrote(now);
    }

    /// Moves to where a reader begins that has got nothing but keep-alives.
    #[cfg(feature = "std")]
    pub(crate) const fn begin_at(&mut self, resume: Resume) {
        (self.cursor, self.reason) = start_of(resume);
    }

    /// Puts off the keep-alive: something was sent.
    fn wrote(&mut self, now: Instant) {
        self.keep_alive_at = match self.heartbeat_millis {
            0 => None,
            millis => Some(Instant::from_millis(
                now.as_millis().saturating_add(u64::from(millis)),
            )),
        };
    }
}

/// The first cursor of a reader, and the reason of its next resync.
const fn start_of(resume: Resume) -> (u64, ResyncReason) {
    match resume {
        Resume::At(cursor) => (cursor, ResyncReason::Lagged),
        Resume::Lost(reason) => (0, reason),
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use crate::ring::Retention;
    use alloc::collections::VecDeque;

    type Letters = Ring<char, VecDeque<Entry<char>>>;

    fn ring(max_lag: usize, letters: &str) -> Letters {
        let retention = Retention {
            max_events: 2,
            max_lag,
            ..Retention::default()
        };
        let mut ring = Ring::new(VecDeque::new(), retention);
        push(&mut ring, letters);
        ring
    }

    fn push(ring: &mut Letters, letters: &str) {
        for letter in letters.chars() {
            ring.push(letter, 1, Instant::ZERO, drop);
        }
    }

    fn greeted(resume: Resume, heartbeat_millis: u64, ring: &Letters) -> Subscriber {
        let mut subscriber = Subscriber::new(resume, Duration::from_millis(heartbeat_millis));
        assert_eq!(
            subscriber.poll(ring, Instant::ZERO),
            Step::KeepAlive,
            "the greeting"
        );
        subscriber
    }

    const IDLE: Step<'_, char> = Step::Idle { wake_at: None };

    #[test]
    fn a_heartbeat_of_more_than_49_days_is_one_of_49_days() {
        let ring = ring(4, "");
        let mut subscriber = Subscriber::new(Resume::At(1), Duration::MAX);
        assert_eq!(subscriber.poll(&ring, Instant::ZERO), Step::KeepAlive);
        let due = Instant::from_millis(u64::from(u32::MAX));
        assert_eq!(subscriber.keep_alive_at(), Some(due));
    }

    #[test]
    fn replay_and_live_are_the_same_call() {
        let mut ring = ring(4, "abc");
        let mut subscriber = greeted(Resume::At(2), 0, &ring);
        assert_eq!(subscriber.poll(&ring, Instant::ZERO), Step::Deliver(&'b'));
        push(&mut ring, "d");
        assert_eq!(subscriber.poll(&ring, Instant::ZERO), Step::Deliver(&'c'));
        assert_eq!(subscriber.poll(&ring, Instant::ZERO), Step::Deliver(&'d'));
        assert_eq!(subscriber.poll(&ring, Instant::ZERO), IDLE);
    }

    #[test]
    fn a_reader_that_has_lagged_gets_one_resync_and_continues_live() {
        let mut ring = ring(4, "a");
        let mut subscriber = greeted(Resume::At(2), 0, &ring);
        push(&mut ring, "bcde");
        assert_eq!(
            subscriber.poll(&ring, Instant::ZERO),
            Step::Deliver(&'b'),
            "the oldest in the ring"
        );
        push(&mut ring, "fgh");
        let lagged = Step::Resync {
            reason: ResyncReason::Lagged,
        };
        assert_eq!(subscriber.poll(&ring, Instant::ZERO), lagged);
        assert_eq!(subscriber.poll(&ring, Instant::ZERO), IDLE);
        push(&mut ring, "i");
        assert_eq!(subscriber.poll(&ring, Instant::ZERO), Step::Deliver(&'i'));
    }

    #[test]
    fn a_reader_that_begins_with_a_resync_is_given_the_reason_once() {
        let mut ring = ring(4, "ab");
        let mut subscriber = greeted(Resume::Lost(ResyncReason::BufferMiss), 0, &ring);
        let resync = Step::Resync {
            reason: ResyncReason::BufferMiss,
        };
        assert_eq!(subscriber.poll(&ring, Instant::ZERO), resync);
        assert_eq!(subscriber.poll(&ring, Instant::ZERO), IDLE);
        push(&mut ring, "cdefgh");
        let lagged = Step::Resync {
            reason: ResyncReason::Lagged,
        };
        assert_eq!(subscriber.poll(&ring, Instant::ZERO), lagged);
    }

    #[test]
    fn a_lost_source_resyncs_every_reader_once() {
        let mut ring = ring(4, "abc");
        let mut behind = greeted(Resume::At(2), 0, &ring);
        let mut live = greeted(Resume::At(4), 0, &ring);
        ring.interrupt();
        let lost = Step::Resync {
            reason: ResyncReason::SourceLost,
        };
        assert_eq!(behind.poll(&ring, Instant::ZERO), lost);
        assert_eq!(live.poll(&ring, Instant::ZERO), lost);
        push(&mut ring, "d");
        assert_eq!(behind.poll(&ring, Instant::ZERO), Step::Deliver(&'d'));
        assert_eq!(live.poll(&ring, Instant::ZERO), Step::Deliver(&'d'));
    }

    #[test]
    fn a_reader_that_is_slow_after_a_lost_source_has_lagged() {
        let mut ring = ring(4, "abc");
        let mut live = greeted(Resume::At(4), 0, &ring);
        ring.interrupt();
        let lost = Step::Resync {
            reason: ResyncReason::SourceLost,
        };
        assert_eq!(live.poll(&ring, Instant::ZERO), lost);
        push(&mut ring, "defghi");
        let lagged = Step::Resync {
            reason: ResyncReason::Lagged,
        };
        assert_eq!(live.poll(&ring, Instant::ZERO), lagged);
    }

    #[test]
    fn a_heartbeat_is_due_after_silence_and_a_write_postpones_it() {
        let at = Instant::from_millis;
        let mut ring = ring(4, "");
        let mut subscriber = greeted(Resume::At(1), 100, &ring);
        assert_eq!(
            subscriber.poll(&ring, at(99)),
            Step::Idle {
                wake_at: Some(at(100))
            }
        );
        push(&mut ring, "a");
        assert_eq!(subscriber.poll(&ring, at(99)), Step::Deliver(&'a'));
        assert_eq!(
            subscriber.poll(&ring, at(198)),
            Step::Idle {
                wake_at: Some(at(199))
            }
        );
        assert_eq!(subscriber.poll(&ring, at(199)), Step::KeepAlive);
        assert_eq!(
            subscriber.poll(&ring, at(199)),
            Step::Idle {
                wake_at: Some(at(299))
            }
        );
    }

    #[test]
    fn a_due_keep_alive_precedes_waiting_items() {
        let at = Instant::from_millis;
        let mut ring = ring(4, "");
        let mut subscriber = greeted(Resume::At(1), 100, &ring);
        push(&mut ring, "ab");
        assert_eq!(subscriber.poll(&ring, at(100)), Step::KeepAlive);
        assert_eq!(subscriber.poll(&ring, at(200)), Step::KeepAlive);
        assert_eq!(subscriber.poll(&ring, at(299)), Step::Deliver(&'a'));
        assert_eq!(subscriber.poll(&ring, at(299)), Step::Deliver(&'b'));
    }
}
