//! The events of one record: a ring, the IDs of its events, and what a last event ID means.

#[cfg(feature = "std")]
mod followed;
mod gone;
mod id_clock;
mod opening;
#[cfg(feature = "alloc")]
mod stored;

use core::fmt;

use crate::name::{EventId, IdText, ResyncReason};
use crate::position::{Epoch, Position};
use crate::ring::{At, Entry, Retention, Ring, Storage};
use crate::subscriber::{Resume, Step, Subscriber};
use crate::time::{Instant, Now, Timestamp};

#[cfg(feature = "std")]
pub(crate) use followed::{OlderEvent, Start};
pub use opening::Opening;

use gone::Gone;
use id_clock::IdClock;

/// An item with its event ID: what the ring of a topic holds.
#[derive(Clone, Debug)]
pub struct Named<I, T> {
    id: EventId<I>,
    /// Its place in the sequence; rises strictly within a ring.
    sequence: u64,
    item: T,
}

impl<I, T> Named<I, T> {
    /// The event ID.
    pub fn id(&self) -> &EventId<I> {
        &self.id
    }

    /// The item.
    pub fn item(&self) -> &T {
        &self.item
    }
}

/// The kind of event ID that a topic gives, and how it resolves a last event ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdPolicy {
    /// ETags and times; a last event ID is looked up, and then read as a position.
    Etag {
        /// Whether a client may still resume from the event just before the replay window: nothing
        /// after that is lost.
        quiet_resume: bool,
    },
    /// Positions; a last event ID is compared.
    Position,
}

/// The events of one record.
///
/// IDs are [`EventId<I>`], so `I` is any memory for text.
///
/// - *Getters*: [`ring`](Self::ring), [`position`](Self::position),
///   [`latest_time`](Self::latest_time), [`is_blank`](Self::is_blank).
/// - *Inputs*: [`begin_after`](Self::begin_after), [`raise_floor`](Self::raise_floor);
///   [`raise_head`](Self::raise_head), [`next_id`](Self::next_id), [`publish`](Self::publish);
///   [`resume`](Self::resume); [`evict`](Self::evict), [`evict_oldest`](Self::evict_oldest);
///   [`interrupt`](Self::interrupt).
/// - *Polls*: [`poll`](Self::poll) and [`resync_id`](Self::resync_id).
///
/// A driver calls `begin_after` first, if at all: a time that was handed out cannot be taken back.
/// It calls `next_id` and then `publish` with that ID, and publishes nothing else in between,
/// or two events share a position. If several topics share one sequence, it calls `raise_head`
/// before both, with the number of the event. On [`Step::Resync`] it calls `resync_id` before the next
/// `publish`, or the ID names an event that the reader never gets. `resume` evicts by itself;
/// `evict` only frees memory earlier.
///
/// Nothing here can fail, and only the storage allocates.
#[derive(Clone)]
pub struct Topic<I, T, S> {
    ring: Ring<Named<I, T>, S>,
    policy: IdPolicy,
    /// The life of the sequence.
    epoch: Epoch,
    /// The sequence of the next event, unless others take it first. Every one below is taken. It
    /// never goes down.
    head: u64,
    gone: Gone<I>,
    clock: IdClock,
}

impl<I: AsRef<str>, T, S: Storage<Entry<Named<I, T>>>> Topic<I, T, S> {
    /// A topic without events; `storage` must be empty.
    ///
    /// `epoch` is the life of the sequence that counts its events: that of this topic alone, or one
    /// that several topics share.
    pub fn new(storage: S, retention: Retention, policy: IdPolicy, epoch: Epoch) -> Self {
        Self {
            ring: Ring::new(storage, retention),
            policy,
            epoch,
            head: 1,
            gone: Gone::default(),
            clock: IdClock::default(),
        }
    }

    /// Never hands out a time ID up to `latest`: an earlier life of this topic may have used it.
    pub fn begin_after(&mut self, latest: Timestamp) {
        self.clock.begin_after(latest);
    }

    /// Never answers for events up to `sequence`: an earlier life of this topic may have had them.
    pub fn raise_floor(&mut self, sequence: u64) {
        self.gone.forget_up_to(sequence);
        self.raise_head(sequence.saturating_add(1));
    }

    /// Every sequence below `head` is taken, by this topic or by another one that shares its
    /// sequence: the next event has `head` or more.
    ///
    /// Only for topics that share a sequence; one that stands alone counts by itself.
    pub fn raise_head(&mut self, head: u64) {
        self.head = self.head.max(head);
    }

    /// The ID of the event that is published next.
    ///
    /// Under the position policy, a position; otherwise the ETag of the event, or `wall` if that
    /// millisecond and all later ones were never handed out, or a position.
    pub fn next_id<'a>(&mut self, etag: Option<EventId<&'a str>>, wall: Timestamp) -> IdText<'a> {
        match (self.policy, etag) {
            (IdPolicy::Position, _) => IdText::Position(self.position_at(self.head)),
            (IdPolicy::Etag { .. }, Some(etag)) => IdText::Etag(etag),
            (IdPolicy::Etag { .. }, None) => match self.clock.tick(wall) {
                Some(time) => IdText::Time(time),
                None => IdText::Position(self.position_at(self.head)),
            },
        }
    }

    /// Adds an event of `size` bytes.
    pub fn publish(&mut self, id: EventId<I>, item: T, size: usize, now: Instant) {
        self.push(id, self.head, item, size, now);
    }

    /// Adds an event of `size` bytes that has this sequence.
    fn push(&mut self, id: EventId<I>, sequence: u64, item: T, size: usize, now: Instant) {
        self.raise_head(sequence.saturating_add(1));
        let named = Named { id, sequence, item };
        let gone = &mut self.gone;
        self.ring
            .push(named, size, now, |old| gone.record(old.id, old.sequence));
    }

    /// Evicts the events that retention does not keep at `now`.
    pub fn evict(&mut self, now: Instant) {
        self.ring
            .evict(now, |old| self.gone.record(old.id, old.sequence));
    }

    /// Evicts the oldest event to free memory, even if retention keeps it. Returns false if the ring
    /// is empty.
    pub fn evict_oldest(&mut self) -> bool {
        match self.ring.pop() {
            Some(old) => {
                self.gone.record(old.id, old.sequence);
                true
            }
            None => false,
        }
    }

    /// Drops all history because the source of this topic lost data. Every reader gets a resync.
    ///
    /// It takes a sequence, as an event does: whoever knows the newest event has missed something.
    pub fn interrupt(&mut self) {
        self.ring.interrupt();
        self.raise_floor(self.head);
    }

    /// Where a reader with this last event ID begins, and what it is greeted with.
    ///
    /// The ID is compared as bytes, without outer blanks. A position finds the first event after it,
    /// whichever topic of this sequence it was given by.
    pub fn resume(&mut self, last_event_id: Option<&[u8]>, now: Instant) -> Opening {
        self.evict(now);
        let Some(last_event_id) = last_event_id else {
            return Opening {
                resume: Resume::At(self.ring.next()),
                greeting: Some(self.position()),
            };
        };

        let window = self.ring.replay_start(now)..self.ring.next();
        self.resume_among(without_outer_blanks(last_event_id), now, window)
    }

    /// [`resume`](Self::resume) with an index: `candidates` are the numbers of all events that have
    /// the ID, oldest first, and maybe of others. The ID has no outer blanks.
    pub(crate) fn resume_among(
        &mut self,
        last_event_id: &[u8],
        now: Instant,
        candidates: impl Iterator<Item = u64>,
    ) -> Opening {
        self.evict(now);
        Opening {
            resume: self.resume_named(last_event_id, self.ring.replay_start(now), candidates),
            // The client has a place already. Another one would skip what is replayed, if the
            // connection is cut before that.
            greeting: None,
        }
    }

    /// Where a reader begins that names this ID.
    fn resume_named(
        &self,
        last_event_id: &[u8],
        replay_start: u64,
        candidates: impl Iterator<Item = u64>,
    ) -> Resume {
        if let IdPolicy::Etag { quiet_resume } = self.policy
            && let Some(from) = self.look_up(last_event_id, replay_start, quiet_resume, candidates)
        {
            return Resume::At(from);
        }

        match Position::parse(last_event_id) {
            Some(position) => self.resume_after(position, replay_start),
            None => Resume::Lost(ResyncReason::BufferMiss),
        }
    }

    /// Where a reader begins that has everything up to `position`, if that can be replayed.
    pub(crate) fn resume_after(&self, position: Position, replay_start: u64) -> Resume {
        if position.epoch != self.epoch {
            return Resume::Lost(ResyncReason::Restarted);
        }

        let gone = match self.ring.at(replay_start - 1) {
            At::Item(event) => event.sequence,
            At::Gone | At::Next => self.gone.sequence,
        };
        if position.sequence >= self.head || gone > position.sequence {
            return Resume::Lost(ResyncReason::BufferMiss);
        }

        Resume::At(self.first_after(position.sequence, replay_start))
    }

    /// Number of the first event in the replay window with a later sequence.
    fn first_after(&self, sequence: u64, replay_start: u64) -> u64 {
        let (mut from, mut end) = (replay_start, self.ring.next());
        while from < end {
            let middle = from + (end - from) / 2;
            match self.ring.at(middle) {
                At::Item(event) if event.sequence <= sequence => from = middle + 1,
                At::Item(_) | At::Next | At::Gone => end = middle,
            }
        }
        from
    }

    /// Number of the first event after the one with this ID.
    fn look_up(
        &self,
        id: &[u8],
        replay_start: u64,
        quiet_resume: bool,
        mut candidates: impl Iterator<Item = u64>,
    ) -> Option<u64> {
        // If an ID is repeated, the oldest copy counts: too much is replayed rather than too little.
        let oldest_copy =
            candidates.find(|number| *number >= replay_start && self.has_id(*number, id));
        match oldest_copy {
            Some(number) => Some(number + 1),
            None if quiet_resume && self.id_before(replay_start) == Some(id) => Some(replay_start),
            None => None,
        }
    }

    /// [`Subscriber::poll`] on the ring of this topic.
    pub fn poll<'a>(&'a self, subscriber: &mut Subscriber, now: Instant) -> Step<'a, Named<I, T>> {
        subscriber.poll(&self.ring, now)
    }

    /// The ID of a resync: a reconnect with it resumes here.
    ///
    /// It is the ID of the newest event, or the position if there is none. Without quiet resume it is
    /// what the JavaScript plugin names: the newest ID that can be replayed, or the current time, from
    /// which no reconnect resumes. No later event gets that time.
    pub fn resync_id(&mut self, now: Now) -> IdText<'_> {
        let next = self.ring.next();
        let as_the_plugin = self.policy
            == IdPolicy::Etag {
                quiet_resume: false,
            };
        if as_the_plugin && self.ring.replay_start(now.instant) == next {
            self.clock.begin_after(now.wall);
            return IdText::Time(now.wall);
        }

        match (self.ring.at(next - 1), &self.gone.id) {
            (At::Item(newest), _) => IdText::Etag(newest.id.borrowed()),
            // The newest event is evicted, but a reader that resumes after it has missed nothing.
            (At::Gone | At::Next, Some(newest)) => IdText::Etag(newest.borrowed()),
            (At::Gone | At::Next, None) => IdText::Position(self.position()),
        }
    }

    /// The place after everything that this topic knows of, its events and those counted elsewhere.
    pub fn position(&self) -> Position {
        self.position_at(self.head - 1)
    }

    /// The sequence of the newest event that this topic had, at least its floor.
    pub fn newest_sequence(&self) -> u64 {
        match self.ring.at(self.ring.next() - 1) {
            At::Item(newest) => newest.sequence,
            At::Gone | At::Next => self.gone.sequence,
        }
    }

    /// The latest time that was handed out as an ID, or ruled out by
    /// [`begin_after`](Self::begin_after).
    pub fn latest_time(&self) -> Option<Timestamp> {
        self.clock.latest()
    }

    /// The events in the ring.
    pub fn ring(&self) -> &Ring<Named<I, T>, S> {
        &self.ring
    }

    /// Whether there is nothing to remember: there never was an event.
    pub fn is_blank(&self) -> bool {
        self.ring.next() == 1
    }

    fn position_at(&self, sequence: u64) -> Position {
        Position {
            epoch: self.epoch,
            sequence,
        }
    }

    fn has_id(&self, number: u64, id: &[u8]) -> bool {
        matches!(self.ring.at(number), At::Item(event) if event.id.as_str().as_bytes() == id)
    }

    /// The ID of the event before number `number`, which is in the ring or next; `None` if it is
    /// forgotten.
    fn id_before(&self, number: u64) -> Option<&[u8]> {
        let id = match self.ring.at(number - 1) {
            At::Item(event) => &event.id,
            At::Gone | At::Next => self.gone.id.as_ref()?,
        };
        Some(id.as_str().as_bytes())
    }
}

impl<I: AsRef<str>, T, S: Storage<Entry<Named<I, T>>>> fmt::Debug for Topic<I, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topic")
            .field("ring", &self.ring)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// `id` without the blanks that HTTP drops around it; no valid ID begins or ends with one.
pub(crate) fn without_outer_blanks(mut id: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = id {
        id = rest;
    }
    id
}
