//! The events of one record as frames, and what each of its readers gets next.
//!
//! A hub keeps one feed per record; an adapter that serves one record at a time needs nothing else
//! of core. A feed gives events their IDs, writes the other frames of a stream (greeting, resync,
//! keep-alive), joins what waits for a reader into one piece, and saves events in a store, so that
//! it can continue after a restart.

mod fingerprints;
#[cfg(feature = "std")]
mod followed;
mod joined;
mod pieces;
mod poll;
mod reader;
mod store;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::fmt;
use core::time::Duration;

use bytes::Bytes;

use crate::config::HubConfig;
use crate::event::Event;
use crate::name::{EventId, IdText, ResyncReason};
use crate::position::{Epoch, Position};
use crate::ring::Entry;
use crate::sse::{self, Frame, OpenFrame};
use crate::subscriber::Resume;
use crate::time::{Now, Timestamp};
use crate::topic::{IdPolicy, Named, Topic, without_outer_blanks};
use crate::unread::Ledger;

#[cfg(feature = "std")]
pub(crate) use followed::EngineEvent;
pub use poll::{Output, TypedOutput};
pub use reader::Reader;
pub use store::{NoStore, Row, Store, StoredEvent, StoredPlace, StoredRing, slots};

use fingerprints::Fingerprints;
use joined::Joined;
use pieces::Pieces;
use poll::boxed;

type Held = Entry<Named<Box<str>, Frame>>;
type FrameTopic = Topic<Box<str>, Frame, VecDeque<Held>>;

/// Bytes that an event costs besides its frame and its ID.
///
/// That is twice its entry, as a `VecDeque` doubles when it is full, and an allowance for the
/// allocator, the reference count of the frame and the fingerprint of the ID.
const ENTRY_BYTES: usize = 2 * size_of::<Held>() + 144;

/// Returns the bytes that an event counts for, in its ring and in the ledger.
fn event_size(frame_len: usize, id: &EventId<Box<str>>) -> usize {
    frame_len + id.as_str().len() + ENTRY_BYTES
}

/// The frames of one record.
///
/// - *Getters*: [`position`](Self::position), [`newest`](Self::newest), [`replayable`](Self::replayable),
///   [`history_bytes`](Self::history_bytes), [`resyncs`](Self::resyncs), [`is_idle`](Self::is_idle),
///   [`place_of`](Self::place_of).
/// - *Inputs*: [`restore`](Self::restore), [`publish`](Self::publish),
///   [`subscribe`](Self::subscribe), [`resume`](Self::resume).
/// - *Polls*: [`poll`](Self::poll) for bytes, [`poll_typed`](Self::poll_typed) for other protocols,
///   [`farewell`](Self::farewell).
///
/// A driver calls `restore` at most once, before anything else: later, numbers and IDs would be
/// used twice. After every `publish` it polls each reader until it is idle, and again when the
/// reader's heartbeat is due. A reader that is polled late loses nothing while the ring holds its
/// next event; after that it gets a resync. The feed counts everything that a poll returns as
/// written, so a driver writes it before the next poll. `farewell` is for a reader that is idle: any
/// other would skip the events that it has not read.
///
/// ```
/// use saacms_realtime_core::{Epoch, Event, HubConfig, Now};
/// use saacms_realtime_core::feed::{Feed, NoStore, Output};
///
/// let mut feed = Feed::new(&HubConfig::default(), Epoch::from_number(0));
/// let now = Now::from_millis(0, 0);
/// let mut reader = feed.subscribe(None, core::time::Duration::ZERO, now);
/// let event = Event::from_json(br#"{"type":"deleted","slug":"posts","id":"1"}"#).unwrap();
/// feed.publish(event, now, &NoStore).unwrap();
/// let Output::Frames(bytes) = feed.poll(&mut reader, now) else { panic!() };
/// assert_eq!(
///     bytes,
///     ":keepalive\n\nid: 0000000000000000.0\n\n\
///      event: deleted\nid: 1970-01-01T00:00:00.000Z\ndata: {\"id\":\"1\"}\n\n"
/// );
/// assert_eq!(feed.poll(&mut reader, now), Output::Idle { wake_at: None });
/// ```
pub struct Feed {
    pub(crate) topic: FrameTopic,
    epoch: Epoch,
    /// The number of events that a store keeps.
    slots: u64,
    /// Bytes of history beyond which the oldest events are dropped.
    max_bytes: usize,
    /// One for each event in the ring, in the same order; `None` where no ID is looked up.
    fingerprints: Option<Fingerprints>,
    /// Only for speed: dropping it costs a copy.
    joined: Joined,
    /// Counts all buffers of this feed.
    ledger: Ledger,
    /// Resyncs that polls have returned.
    resyncs: u64,
    /// Whether a client that names no last event ID is told its place.
    has_greeting: bool,
}

impl Feed {
    /// A feed without events. `epoch` is the life of the sequence that counts them: of this feed
    /// alone, or of all feeds of a hub.
    ///
    /// The feed keeps at most `max_history_bytes` of `config`, and the newest event however large it
    /// is.
    pub fn new(config: &HubConfig, epoch: Epoch) -> Self {
        Self {
            max_bytes: config.max_history_bytes,
            ..Self::counted(config, epoch, Ledger::default())
        }
    }

    /// A feed of a hub, which bounds the history of all of them together, with all buffers counted by
    /// `ledger`.
    pub(crate) fn counted(config: &HubConfig, epoch: Epoch, ledger: Ledger) -> Self {
        let retention = config.retention();
        let policy = config.id_policy();
        let is_looked_up = policy != IdPolicy::Position;
        Self {
            topic: Topic::new(VecDeque::new(), retention, policy, epoch),
            epoch,
            slots: slots(&retention),
            max_bytes: usize::MAX,
            fingerprints: is_looked_up.then(Fingerprints::default),
            joined: Joined::default(),
            ledger,
            resyncs: 0,
            has_greeting: config.greeting,
        }
    }

    /// Publishes an event once `store` has saved it; every later poll can deliver it.
    ///
    /// Returns the length of its frame.
    ///
    /// # Errors
    ///
    /// The error of `store`; then nothing was published.
    pub fn publish<S: Store + ?Sized>(
        &mut self,
        event: Event,
        now: Now,
        store: &S,
    ) -> Result<usize, S::Error> {
        let (key, etag, frame) = event.into_parts();
        let event = self.close(etag, frame, now);

        // Saved before any reader gets it: a restart must not forget an event that a reader knows.
        store.save(Row::new(&key, self.epoch, &event, self.slots))?;

        let frame_len = event.frame.as_bytes().len();
        let newest = event.number;
        self.push(event);
        let slots = self.slots;
        self.limit_bytes(|number| {
            // The slot of an older one has another event by now.
            if newest - number < slots {
                store.strip(number % slots, number);
            }
        });
        Ok(frame_len)
    }

    /// Restores a feed from what its publishes stored: the event before the others, if it is known, and
    /// the others, oldest first.
    ///
    /// If numbers are missing, only events after the last gap are kept. Call once, before anything
    /// else.
    pub fn restore(
        &mut self,
        place: Option<StoredPlace>,
        stored: impl IntoIterator<Item = StoredEvent>,
        now: Now,
    ) {
        // An earlier life may have named any time before now in a resync, which no store keeps.
        let mut latest = Timestamp::from_millis(now.wall.as_millis() - 1);
        if let Some(place) = place {
            latest = latest.max(place.latest_time.unwrap_or(latest));
            self.topic.begin_after_event(place.number, place.id);
        }

        for event in stored {
            if event.number != self.topic.ring().next() {
                self.topic.begin_at(event.number);
            }
            latest = latest.max(event.latest_time.unwrap_or(latest));
            self.push(event);
        }

        self.topic.begin_after(latest);
        self.topic.evict(now.instant);
        self.limit_bytes(|_| {});
    }

    /// Continues after an event that nothing is kept of, which has this sequence: a reader that has it has
    /// missed nothing. Call it instead of [`restore`](Self::restore).
    pub fn continue_after(&mut self, sequence: u64, now: Now) {
        self.topic.begin_at(sequence.saturating_add(1));
        // An earlier life may have named any time before now.
        self.topic
            .begin_after(Timestamp::from_millis(now.wall.as_millis() - 1));
    }

    /// Adds a reader. It begins after `last_event_id`, or with the next event if that is `None`.
    ///
    /// Lookup, replay and registration are one step, as a reader is only a place in the sequence.
    pub fn subscribe(
        &mut self,
        last_event_id: Option<&[u8]>,
        heartbeat: Duration,
        now: Now,
    ) -> Reader {
        let mut opening = match last_event_id.map(without_outer_blanks) {
            Some(id) => {
                let candidates = self.fingerprints.iter().flat_map(|it| it.candidates(id));
                self.topic.resume_among(id, now.instant, candidates)
            }
            None => self.topic.resume(None, now.instant),
        };

        if !self.has_greeting {
            opening.greeting = None;
        }
        Reader::new(opening, heartbeat)
    }

    /// Restores a reader that had everything up to `place` in an earlier life of this feed, and is still
    /// connected. It has no heartbeat.
    ///
    /// The place is one that [`place_of`](Self::place_of) returned. Unlike a last event ID it is never
    /// taken for an ETag, and the reader gets no greeting: what it is sent continues its stream.
    pub fn resume(&mut self, place: Position, now: Now) -> Reader {
        self.topic.evict(now.instant);
        let replay_start = self.topic.ring().replay_start(now.instant);
        let resume = match self.topic.resume_after(place, replay_start) {
            // It was connected when it missed the event.
            Resume::Lost(ResyncReason::BufferMiss) => Resume::Lost(ResyncReason::Lagged),
            resume @ (Resume::At(_) | Resume::Lost(_)) => resume,
        };
        Reader::resumed(resume)
    }

    /// The place of a reader, once it has been polled: it was given everything up to there.
    ///
    /// Only for a feed that counts its events by itself, not one of a hub.
    pub fn place_of(&self, reader: &Reader) -> Position {
        Position {
            epoch: self.epoch,
            sequence: reader.cursor().saturating_sub(1),
        }
    }

    /// The place after every event so far: a reader that resumes from it gets all later ones.
    pub fn position(&self) -> Position {
        self.topic.position()
    }

    /// The place after every event so far, for a store that forgets them; `None` if the newest event
    /// is not known.
    pub fn newest(&self) -> Option<StoredPlace> {
        Some(StoredPlace {
            number: self.topic.ring().next() - 1,
            latest_time: self.topic.latest_time(),
            id: self.topic.newest_id()?.clone(),
        })
    }

    /// The last bytes for a reader that is idle: the ID to resume from, and the reconnection time.
    ///
    /// The ID is that of a resync, which names the end of the sequence: even a reader
    /// that never got an event resumes without a gap.
    pub fn farewell(&mut self, retry_millis: u64, now: Now) -> Bytes {
        let mut pieces = Pieces::default();
        pieces.write(|out| {
            sse::write_id(out, self.topic.resync_id(now))?;
            sse::write_retry(out, retry_millis)
        });
        pieces.into_bytes(&self.ledger)
    }

    /// The number of events that a client can be replayed.
    pub fn replayable(&self, now: Now) -> usize {
        let ring = self.topic.ring();
        (ring.next() - ring.replay_start(now.instant)) as usize
    }

    /// Bytes of history, joined frames included.
    pub fn history_bytes(&self) -> usize {
        self.topic.ring().bytes() + self.joined.len()
    }

    /// Resyncs that polls have returned so far.
    pub fn resyncs(&self) -> u64 {
        self.resyncs
    }

    /// Drops the oldest events until the rest fit in `max_bytes`, and the newest never. `dropped` is told
    /// their numbers.
    fn limit_bytes(&mut self, dropped: impl Fn(u64)) {
        while self.topic.ring().bytes() > self.max_bytes && self.topic.ring().len() > 1 {
            let oldest = self.topic.ring().first();
            self.topic.evict_oldest();
            dropped(oldest);
        }
    }

    /// Gives the next event its ID and number, and writes the ID into its frame.
    fn close(
        &mut self,
        etag: Option<EventId<Box<str>>>,
        frame: OpenFrame,
        now: Now,
    ) -> StoredEvent {
        let text = etag.as_ref().map(EventId::borrowed);
        let generated = match self.topic.next_id(text, now.wall) {
            IdText::Etag(_) => None,
            id @ (IdText::Time(_) | IdText::Position(_)) => Some(boxed(id)),
        };
        // The ETag is moved, because a copy would be made under the lock of the topic.
        let id = generated
            .or(etag)
            .expect("an event is called by its ETag or by another ID");

        // It counts with what the ring counts for it, so that the difference is what readers hold.
        let frame = frame.close(&id, |buffer, start| {
            let size = event_size(buffer.len() - start, &id);
            self.ledger.share_as(buffer, size)
        });
        StoredEvent {
            number: self.topic.ring().next(),
            pushed_at: now.instant,
            latest_time: self.topic.latest_time(),
            frame,
            id,
        }
    }

    /// Adds the event that has the next number to the ring, where readers find it.
    fn push(&mut self, event: StoredEvent) {
        debug_assert_eq!(event.number, self.topic.ring().next(), "no event between");
        let size = event_size(event.frame.as_bytes().len(), &event.id);
        let fingerprint = self
            .fingerprints
            .is_some()
            .then(|| Fingerprints::of(event.id.as_str().as_bytes()));
        self.topic
            .publish(event.id, event.frame, size, event.pushed_at);

        if let Some(fingerprints) = &mut self.fingerprints
            && let Some(fingerprint) = fingerprint
        {
            fingerprints.push(event.number, fingerprint, self.topic.ring().len());
        }
    }
}

/// For the hub.
#[cfg(feature = "std")]
impl Feed {
    /// Drops all history, so that every reader gets a resync.
    pub(crate) fn interrupt(&mut self) {
        self.topic.interrupt();
        self.joined = Joined::default();
    }

    /// Drops the joined frames.
    pub(crate) fn forget_joined(&mut self) {
        self.joined = Joined::default();
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
