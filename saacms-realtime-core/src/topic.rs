//! The events of one record: a ring, the IDs of its events, and what a last event ID means.

use core::fmt;
use core::ops::Range;

use crate::name::{EventId, IdText, ResyncReason};
use crate::position::{Epoch, Position};
use crate::ring::{At, Entry, Retention, Ring, Storage};
use crate::subscriber::{Resume, Step, Subscriber};
use crate::time::{Instant, Now, Timestamp};

/// An item with its event ID. What the storage of a topic's ring holds.
#[derive(Clone, Debug)]
pub struct Filed<I, T> {
    id: EventId<I>,
    item: T,
}

impl<I, T> Filed<I, T> {
    /// The event ID.
    pub fn id(&self) -> &EventId<I> {
        &self.id
    }

    /// The item.
    pub fn item(&self) -> &T {
        &self.item
    }
}

/// Which kind of event ID a topic gives, and how it reads a last event ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdPolicy {
    /// ETags and times; a last event ID is looked up.
    Etag {
        /// The event evicted last still counts as known: nothing behind it is lost.
        quiet_resume: bool,
    },
    /// Positions; a last event ID is compared.
    Position {
        /// The life of this topic's ring.
        epoch: Epoch,
    },
}

/// The events of one record.
///
/// IDs are [`EventId<I>`], so `I` is any memory for text.
///
/// - *Getters*: [`ring`](Self::ring), [`position`](Self::position), [`greeting`](Self::greeting),
///   [`is_blank`](Self::is_blank).
/// - *Inputs*: [`next_id`](Self::next_id) and then [`publish`](Self::publish) with it;
///   [`resume`](Self::resume); [`evict`](Self::evict); [`interrupt`](Self::interrupt).
/// - *Polls*: [`Subscriber::poll`] on the ring, and [`resync_id`](Self::resync_id) for the frame
///   that a [`Step::Resync`] asks for, before anything else is published. [`poll`](Self::poll)
///   does both.
///
/// Nothing here can fail, and nothing allocates but the storage.
#[derive(Clone)]
pub struct Topic<I, T, S> {
    ring: Ring<Filed<I, T>, S>,
    policy: IdPolicy,
    /// ID of the event that left the ring last: the one before the oldest that is held.
    evicted: Option<EventId<I>>,
    clock: IdClock,
    markers: Markers,
}

impl<I: AsRef<str>, T, S: Storage<Entry<Filed<I, T>>>> Topic<I, T, S> {
    /// A topic without events; `storage` must be empty.
    pub fn new(storage: S, retention: Retention, policy: IdPolicy) -> Self {
        let (clock, markers) = (IdClock::default(), Markers::default());
        Self {
            ring: Ring::new(storage, retention),
            policy,
            evicted: None,
            clock,
            markers,
        }
    }

    /// Has no time up to `latest` given as an ID: a former life of this topic may have done so.
    pub fn begin_after(&mut self, latest: Timestamp) {
        self.clock.latest = self.clock.latest.max(Some(latest));
    }

    /// The latest time that was given as an ID, or kept from being given.
    pub fn latest_time(&self) -> Option<Timestamp> {
        self.clock.latest
    }

    /// Lets the next event have this number, 1 or more; what was held before it is forgotten.
    #[cfg(feature = "alloc")]
    pub(crate) fn begin_at(&mut self, number: u64) {
        self.ring.begin_at(number);
        self.evicted = None;
    }

    /// Most time IDs of resyncs that may follow the time of the newest event.
    #[cfg(feature = "alloc")]
    pub(crate) const MAX_MARKERS: usize = Markers::MAX;

    /// The ID of the event that is published next: its ETag where it has one, otherwise a time
    /// that was never given in the life of this topic; always a position under that policy.
    pub fn next_id<'a>(&mut self, etag: Option<EventId<&'a str>>, wall: Timestamp) -> IdText<'a> {
        match (self.policy, etag) {
            (IdPolicy::Position { epoch }, _) => IdText::Position(Position {
                epoch,
                sequence: self.ring.next(),
            }),
            (IdPolicy::Etag { .. }, Some(etag)) => IdText::Etag(etag),
            (IdPolicy::Etag { .. }, None) => IdText::Time(self.clock.tick(wall)),
        }
    }

    /// Adds an event of `size` bytes.
    pub fn publish(&mut self, id: EventId<I>, item: T, size: usize, now: Instant) {
        let evicted = &mut self.evicted;
        self.ring
            .push(Filed { id, item }, size, now, |old| *evicted = Some(old.id));
    }

    /// Lets go what is too old or too much at `now`.
    pub fn evict(&mut self, now: Instant) {
        let evicted = &mut self.evicted;
        self.ring.evict(now, |old| *evicted = Some(old.id));
    }

    /// Lets go the oldest event, whatever retention says, to free memory; false where none is left.
    pub fn evict_oldest(&mut self) -> bool {
        match self.ring.pop() {
            Some(old) => {
                self.evicted = Some(old.id);
                true
            }
            None => false,
        }
    }

    /// Forgets all history: what feeds this topic lost data. Every reader is told to refetch.
    pub fn interrupt(&mut self) {
        self.ring.interrupt();
        self.evicted = None;
        self.markers = Markers::default();
    }

    /// Where a reader with this last event ID begins. Compared as bytes, without outer blanks.
    pub fn resume(&mut self, last_event_id: Option<&[u8]>, now: Instant) -> Resume {
        self.resume_among(last_event_id, now, |_, window| window)
    }

    /// [`resume`](Self::resume), where `places` knows which events may have an ID: all that have it
    /// in the given window, in order, and maybe others.
    pub(crate) fn resume_among<P: Iterator<Item = u64>>(
        &mut self,
        last_event_id: Option<&[u8]>,
        now: Instant,
        places: impl FnOnce(&[u8], Range<u64>) -> P,
    ) -> Resume {
        self.evict(now);
        let Some(last_event_id) = last_event_id.map(without_outer_blanks) else {
            return Resume::At(self.ring.next());
        };
        let replay_start = self.ring.replay_start(now);
        let from = match self.policy {
            IdPolicy::Etag { quiet_resume } => {
                let places = places(last_event_id, replay_start..self.ring.next());
                match self.look_up(last_event_id, replay_start, quiet_resume, places) {
                    Some(from) => from,
                    None => return Resume::Lost(ResyncReason::BufferMiss),
                }
            }
            IdPolicy::Position { epoch } => match Position::parse(last_event_id) {
                Some(position) if position.epoch == epoch => position.sequence.saturating_add(1),
                Some(_) => return Resume::Lost(ResyncReason::Restarted),
                None => return Resume::Lost(ResyncReason::BufferMiss),
            },
        };
        if (replay_start..=self.ring.next()).contains(&from) {
            Resume::At(from)
        } else {
            Resume::Lost(ResyncReason::BufferMiss)
        }
    }

    /// Number of the first event that a client which names `id` has not seen.
    fn look_up(
        &self,
        id: &[u8],
        replay_start: u64,
        quiet_resume: bool,
        mut places: impl Iterator<Item = u64>,
    ) -> Option<u64> {
        // A marker stands before every event that could have been given the same text.
        self.markers.find(id).or_else(|| {
            let oldest_copy =
                places.find(|number| *number >= replay_start && self.has_id(*number, id));
            match oldest_copy {
                Some(number) => Some(number + 1),
                None if quiet_resume && self.id_before(replay_start) == Some(id) => {
                    Some(replay_start)
                }
                None => None,
            }
        })
    }

    fn has_id(&self, number: u64, id: &[u8]) -> bool {
        matches!(self.ring.at(number), At::Item(filed) if filed.id.as_str().as_bytes() == id)
    }

    /// ID of the event before the one with this number, which is in the ring or next, where it is
    /// remembered.
    fn id_before(&self, number: u64) -> Option<&[u8]> {
        let id = match self.ring.at(number - 1) {
            At::Item(filed) => &filed.id,
            At::Gone | At::Next => self.evicted.as_ref()?,
        };
        Some(id.as_str().as_bytes())
    }

    /// [`Subscriber::poll`] on this topic's ring.
    pub fn poll<'a>(&'a self, subscriber: &mut Subscriber, now: Instant) -> Step<'a, Filed<I, T>> {
        subscriber.poll(&self.ring, now)
    }

    /// The ID of a resync frame: from here the reader's next reconnect goes on.
    ///
    /// That of the newest event ever; without quiet resume, of the newest that is replayed. Where
    /// there is none, the current time, filed as a place in the sequence and never given to an
    /// event.
    pub fn resync_id(&mut self, now: Now) -> IdText<'_> {
        let next = self.ring.next();
        let quiet_resume = match self.policy {
            IdPolicy::Position { epoch } => {
                return IdText::Position(Position {
                    epoch,
                    sequence: next - 1,
                });
            }
            IdPolicy::Etag { quiet_resume } => quiet_resume,
        };
        let replayed = self.ring.replay_start(now.instant) < next;
        match self.ring.at(next - 1) {
            At::Item(newest) if replayed || quiet_resume => IdText::Etag(newest.id.borrowed()),
            At::Item(_) | At::Gone | At::Next => match &self.evicted {
                Some(newest) if quiet_resume => IdText::Etag(newest.borrowed()),
                _ => {
                    let exact = !quiet_resume;
                    IdText::Time(self.markers.file(next, now.wall, &mut self.clock, exact))
                }
            },
        }
    }

    /// What a client that names this last event ID is told right after the first keep-alive: under
    /// the position policy a new one gets a place to resume from, before it has seen any event.
    pub fn greeting(&self, last_event_id: Option<&[u8]>) -> Option<IdText<'static>> {
        match last_event_id {
            None => self.position().map(IdText::Position),
            Some(_) => None,
        }
    }

    /// The place behind the newest event, under the position policy.
    pub fn position(&self) -> Option<Position> {
        match self.policy {
            IdPolicy::Position { epoch } => Some(Position {
                epoch,
                sequence: self.ring.next() - 1,
            }),
            IdPolicy::Etag { .. } => None,
        }
    }

    /// The events that are held.
    pub fn ring(&self) -> &Ring<Filed<I, T>, S> {
        &self.ring
    }

    /// Whether there is nothing to remember: no event ever, and no ID given to anybody.
    pub fn is_blank(&self) -> bool {
        self.ring.next() == 1 && self.markers.len == 0 && self.position().is_none()
    }
}

impl<I: AsRef<str>, T, S: Storage<Entry<Filed<I, T>>>> fmt::Debug for Topic<I, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topic")
            .field("ring", &self.ring)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// Gives out times as IDs, none of them to two events.
#[derive(Clone, Copy, Debug, Default)]
struct IdClock {
    latest: Option<Timestamp>,
}

impl IdClock {
    /// `wall`, or the next free millisecond where that was given before.
    fn tick(&mut self, wall: Timestamp) -> Timestamp {
        let time = match self.latest {
            Some(latest) if wall <= latest => latest.next(),
            _ => wall,
        };
        self.latest = Some(time);
        time
    }

    /// Whether `wall` was never given.
    fn is_free(&self, wall: Timestamp) -> bool {
        self.latest.is_none_or(|latest| latest < wall)
    }
}

/// Time IDs of resync frames that no event could lend its own: names of one place in the sequence.
///
/// They all name the same place, as a place that events have passed has newer IDs.
#[derive(Clone, Copy, Debug, Default)]
struct Markers {
    place: u64,
    times: [Timestamp; Self::MAX],
    len: usize,
}

impl Markers {
    const MAX: usize = 8;

    /// A name for `place`: the current time, where that was never given.
    ///
    /// Where it was, or all names are in use, the last name of this place does as well. `exact` is
    /// what the JavaScript plugin does: it names the current time whatever that meant before, so
    /// that the ID means what it meant, and too much is replayed but never too little.
    fn file(&mut self, place: u64, wall: Timestamp, clock: &mut IdClock, exact: bool) -> Timestamp {
        let is_free = clock.is_free(wall);
        if exact && !is_free {
            return wall;
        }
        if self.place != place {
            *self = Self {
                place,
                ..Self::default()
            };
        }
        if !exact && (!is_free || self.len >= Self::MAX) && self.len > 0 {
            return self.times[(self.len - 1) % Self::MAX];
        }
        let time = clock.tick(wall);
        self.times[self.len % Self::MAX] = time;
        self.len += 1;
        time
    }

    /// The place that `id` names.
    fn find(&self, id: &[u8]) -> Option<u64> {
        let times = &self.times[..self.len.min(Self::MAX)];
        times
            .iter()
            .any(|time| is_text_of(id, time))
            .then_some(self.place)
    }
}

/// `id` without what HTTP drops around it, which is what no ID begins or ends with.
fn without_outer_blanks(mut id: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = id {
        id = rest;
    }
    id
}

/// Whether `text` is what `value` is written as.
fn is_text_of(text: &[u8], value: &impl fmt::Display) -> bool {
    struct Expect<'a>(&'a [u8]);
    impl fmt::Write for Expect<'_> {
        fn write_str(&mut self, part: &str) -> fmt::Result {
            self.0 = self.0.strip_prefix(part.as_bytes()).ok_or(fmt::Error)?;
            Ok(())
        }
    }
    let mut expect = Expect(text);
    fmt::write(&mut expect, format_args!("{value}")).is_ok() && expect.0.is_empty()
}
