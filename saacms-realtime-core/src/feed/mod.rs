//! The frames of one record, and what each of its readers is handed next: bytes in whole frames.
//!
//! What the [hub](crate::hub) keeps per record, and all that an adapter needs which serves one
//! record at a time. It writes the frames that are no events (greeting, resync, keep-alive), joins
//! what waits for a reader into one piece, and says what a store must keep for the feed to go on
//! after a restart.

mod fingerprints;
mod joined;
mod store;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use bytes::Bytes;

use crate::config::HubConfig;
use crate::event::Event;
use crate::name::{EventId, IdText};
use crate::position::Epoch;
use crate::ring::{At, Entry};
use crate::sse::{self, KEEPALIVE, OpenFrame};
use crate::subscriber::{Step, Subscriber};
use crate::time::{Instant, Now, Timestamp};
use crate::topic::{Filed, Topic};

pub use store::{NoStore, Row, Store, StoredEvent, StoredRing, slots};

use fingerprints::Fingerprints;
use joined::{Joined, MAX_PIECE};

/// Most bytes that are copied for one reader, so that its greeting and what was missed are one piece.
/// No more: one that does not read would hold them.
const MAX_COPY: usize = 16 << 10;

type Id = EventId<Box<str>>;
type Held = Entry<Filed<Box<str>, Bytes>>;

/// What an event costs beside its frame and its ID: the entry, with room that its queue keeps for
/// more, and what the allocator, the shared count of the frame and the fingerprint of the ID take.
const ENTRY_BYTES: usize = 2 * size_of::<Held>() + 128;

/// The frames of one record.
///
/// - *Getters*: [`resyncs`](Self::resyncs), [`idle`](Self::idle).
/// - *Inputs*: [`publish`](Self::publish), [`restore`](Self::restore),
///   [`subscribe`](Self::subscribe).
/// - *Polls*: [`poll`](Self::poll).
///
/// ```
/// use saacms_realtime_core::event::Event;
/// use saacms_realtime_core::feed::{Feed, NoStore, Output};
/// use saacms_realtime_core::{config::HubConfig, position::Epoch, time::Now};
///
/// let mut feed = Feed::new(&HubConfig::default(), Epoch::from_number(0));
/// let now = Now::from_millis(0, 0);
/// let mut reader = feed.subscribe(None, core::time::Duration::ZERO, now);
/// let event = Event::from_json(br#"{"type":"deleted","slug":"posts","id":"1"}"#).unwrap();
/// feed.publish(event, now, &NoStore).unwrap();
/// let Output::Frames(bytes) = feed.poll(&mut reader, now) else { panic!() };
/// assert_eq!(
///     bytes,
///     ":keepalive\n\nevent: deleted\nid: 1970-01-01T00:00:00.000Z\ndata: {\"id\":\"1\"}\n\n"
/// );
/// assert_eq!(feed.poll(&mut reader, now), Output::Idle { wake_at: None });
/// ```
pub struct Feed {
    pub(crate) topic: Topic<Box<str>, Bytes, VecDeque<Held>>,
    epoch: Epoch,
    /// How many events a store keeps of it.
    slots: u64,
    fingerprints: Fingerprints,
    joined: Joined,
    resyncs: u64,
}

impl Feed {
    /// A feed without events. `epoch` is the life of its ring: no other may have the same.
    pub fn new(config: &HubConfig, epoch: Epoch) -> Self {
        let retention = config.retention();
        Self {
            topic: Topic::new(VecDeque::new(), retention, config.id_policy(epoch)),
            epoch,
            slots: slots(&retention),
            fingerprints: Fingerprints::default(),
            joined: Joined::default(),
            resyncs: 0,
        }
    }

    /// Publishes an event once `store` has saved it; every later poll can deliver it.
    ///
    /// Returns the length of its frame.
    ///
    /// # Errors
    ///
    /// That of `store`. Nothing was published then.
    pub fn publish<S: Store + ?Sized>(
        &mut self,
        event: Event,
        now: Now,
        store: &S,
    ) -> Result<usize, S::Error> {
        let (key, etag, frame) = event.into_parts();
        let event = self.close(etag.as_ref(), frame, now);

        // Before any reader gets it: a reader must not know an event that a restart forgets.
        store.save(Row::new(&key, self.epoch, &event, self.slots))?;

        let frame_len = event.frame.len();
        self.push(event);
        Ok(frame_len)
    }

    /// Goes on where a former life of this feed ended: `stored` is what its publishes gave to be
    /// stored, or the last of it, in order. Of events with a hole between them only those behind
    /// the hole count. To be called first of all, once.
    pub fn restore(&mut self, stored: impl IntoIterator<Item = StoredEvent>, now: Now) {
        // IDs of resyncs are not stored: they may be later than the last event by this much.
        let mut latest = now.wall.as_millis() - 1;
        for event in stored {
            if event.number != self.topic.ring().next() {
                self.topic.begin_at(event.number);
            }
            if let Some(time) = event.latest_time {
                let markers = Topic::<Box<str>, Bytes, VecDeque<Held>>::MAX_MARKERS as i64;
                latest = latest.max(time.as_millis() + markers);
            }
            self.push(event);
        }
        self.topic.begin_after(Timestamp::from_millis(latest));
        self.topic.evict(now.instant);
    }

    /// A new reader, from behind `last_event_id` where it names one.
    ///
    /// Lookup, replay and registration are one step: the reader's place is in the sequence.
    pub fn subscribe(
        &mut self,
        last_event_id: Option<&[u8]>,
        heartbeat: Duration,
        now: Now,
    ) -> Reader {
        let fingerprints = &self.fingerprints;
        let resume = self
            .topic
            .resume_among(last_event_id, now.instant, |id, _| fingerprints.places(id));
        let greeting = self.topic.greeting(last_event_id);
        Reader {
            subscriber: Subscriber::new(resume, heartbeat),
            greeting,
        }
    }

    /// What to do next for `reader`. It counts as written.
    ///
    /// O(1) when idle. Copies and allocates only where several things wait at once, and then once
    /// for all readers at the same place; for one reader alone at most 16 KiB, where it gets events
    /// behind its greeting or a resync.
    pub fn poll(&mut self, reader: &mut Reader, now: Now) -> Output {
        let mut pieces = Pieces::default();
        while pieces.len() < MAX_PIECE {
            let before = reader.subscriber;
            match self.topic.poll(&mut reader.subscriber, now.instant) {
                Step::Deliver(_) => {
                    let Some((frames, next)) = self.run(before.cursor()) else {
                        break;
                    };
                    if pieces.len() > 0 && pieces.len() + frames.len() > MAX_COPY {
                        // The others share it: it goes out by itself, next.
                        reader.subscriber = before;
                        break;
                    }
                    reader.subscriber.skip_to(next, now.instant);
                    pieces.push(frames);
                }
                Step::KeepAlive => {
                    pieces.push(Bytes::from_static(KEEPALIVE.as_bytes()));
                    if let Some(id) = reader.greeting.take() {
                        pieces.write(|out| sse::write_id(out, id));
                    }
                }
                Step::Resync { reason } => {
                    self.resyncs += 1;
                    pieces.write(|out| sse::write_resync(out, self.topic.resync_id(now), reason));
                }
                Step::Idle { wake_at } if pieces.len() == 0 => return Output::Idle { wake_at },
                Step::Idle { .. } => break,
            }
        }
        Output::Frames(pieces.into_bytes())
    }

    /// What [`poll`](Self::poll) would answer, where that is [`Output::Idle`]: its `wake_at`.
    pub fn idle(&self, reader: &Reader, now: Instant) -> Option<Option<Instant>> {
        match self.topic.poll(&mut reader.subscriber.clone(), now) {
            Step::Idle { wake_at } => Some(wake_at),
            Step::Deliver(_) | Step::KeepAlive | Step::Resync { .. } => None,
        }
    }

    /// The last words to a reader that is idle: where its next connection goes on, and after how
    /// many milliseconds.
    ///
    /// The ID is that of a resync: whoever has everything is named the newest place, so that a
    /// reader which never saw an event loses none either.
    pub fn farewell(&mut self, retry_millis: u64, now: Now) -> Bytes {
        let mut pieces = Pieces::default();
        pieces.write(|out| {
            sse::write_id(out, self.topic.resync_id(now))?;
            sse::write_retry(out, retry_millis)
        });
        pieces.into_bytes()
    }

    /// Resyncs that were told so far.
    pub fn resyncs(&self) -> u64 {
        self.resyncs
    }

    /// Gives the next event its ID and number, and closes its frame.
    fn close(&mut self, etag: Option<&Id>, frame: OpenFrame, now: Now) -> StoredEvent {
        let id = self.topic.next_id(etag.map(EventId::borrowed), now.wall);
        let id = id
            .to_event_id::<String>()
            .expect("a String is never full")
            .into_boxed();
        StoredEvent {
            number: self.topic.ring().next(),
            pushed_at: now.instant,
            latest_time: self.topic.latest_time(),
            frame: frame.close(&id),
            id,
        }
    }

    /// Adds the event that has the next number to the ring, where readers find it.
    fn push(&mut self, event: StoredEvent) {
        debug_assert_eq!(event.number, self.topic.ring().next(), "no event between");
        let size = event.frame.len() + event.id.as_str().len() + ENTRY_BYTES;
        let fingerprint = Fingerprints::of(event.id.as_str().as_bytes());
        self.topic
            .publish(event.id, event.frame, size, event.pushed_at);
        self.fingerprints
            .push(event.number, fingerprint, self.topic.ring().len());
    }

    /// What waits from number `from` on, as one piece of bytes, and the number behind it.
    fn run(&mut self, from: u64) -> Option<(Bytes, u64)> {
        let ring = self.topic.ring();
        self.joined
            .run(from, ring.next(), |number| match ring.at(number) {
                At::Item(filed) => Some(filed.item().clone()),
                At::Next | At::Gone => None,
            })
    }
}

/// What only the hub asks for.
#[cfg(feature = "std")]
impl Feed {
    /// Forgets all history: every reader is told to refetch.
    pub(crate) fn interrupt(&mut self) {
        self.topic.interrupt();
        self.joined = Joined::default();
    }

    /// Bytes of history, with what is kept only for speed.
    pub(crate) fn history_bytes(&self) -> usize {
        self.topic.ring().bytes() + self.joined.len()
    }

    /// Frees what is kept only for speed.
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

/// A reader of a [`Feed`]: a cursor and a heartbeat. It has no queue.
#[derive(Clone, Debug)]
pub struct Reader {
    subscriber: Subscriber,
    /// What is still to be said after the first keep-alive.
    greeting: Option<IdText<'static>>,
}

impl Reader {
    /// Number of the next event; 0 before the resync of a reader that began lost.
    pub fn cursor(&self) -> u64 {
        self.subscriber.cursor()
    }
}

/// What a poll of a [`Feed`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Output {
    /// Whole frames to write: all that waits, up to 64 KiB or one frame. Poll again after they are
    /// taken. Readers at the same place are given the same bytes, not copies of them.
    Frames(Bytes),
    /// Nothing to write until something is published, or until `wake_at`.
    Idle {
        /// When the heartbeat is due; `None` where it is off.
        wake_at: Option<Instant>,
    },
}

/// What goes out together: one piece as it is, several as a copy.
#[derive(Default)]
struct Pieces {
    only: Bytes,
    joined: Vec<u8>,
}

impl Pieces {
    fn len(&self) -> usize {
        self.only.len() + self.joined.len()
    }

    fn push(&mut self, piece: Bytes) {
        if self.len() == 0 {
            self.only = piece;
        } else {
            self.join().extend_from_slice(&piece);
        }
    }

    fn write(&mut self, write: impl FnOnce(&mut String) -> fmt::Result) {
        let mut text = String::new();
        write(&mut text).expect("a String is never full");
        self.push(Bytes::from(text));
    }

    fn join(&mut self) -> &mut Vec<u8> {
        self.joined
            .extend_from_slice(&core::mem::take(&mut self.only));
        &mut self.joined
    }

    fn into_bytes(self) -> Bytes {
        if self.joined.is_empty() {
            self.only
        } else {
            Bytes::from(self.joined)
        }
    }
}

#[cfg(test)]
mod tests;
