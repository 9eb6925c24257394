use alloc::boxed::Box;
use alloc::string::String;

use bytes::Bytes;

use super::joined::MAX_PIECE;
use super::pieces::Pieces;
use super::{Feed, Reader};
use crate::name::{EventId, IdText, ResyncReason};
use crate::position::Position;
use crate::ring::At;
use crate::sse::{self, Frame, KEEPALIVE};
use crate::subscriber::Step;
use crate::time::{Instant, Now};

/// Most bytes that are copied for one reader, to join its greeting and the events that it missed.
///
/// Such a copy is shared with no other reader, so this bounds the memory that a reader who never
/// reads can hold alone.
pub(super) const MAX_COPY: usize = 16 << 10;

/// What a poll of a [`Feed`] returns: bytes of an event stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Output {
    /// Whole frames to write: all that wait, up to 64 KiB, or one larger frame. Poll again once they
    /// are written. Readers at the same place share the same bytes.
    Frames(Bytes),
    /// Nothing to write until something is published, or until `wake_at`.
    Idle {
        /// When the heartbeat is due; `None` if it is off.
        wake_at: Option<Instant>,
    },
}

/// What a typed poll of a [`Feed`] returns, for protocols that are not event streams.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum TypedOutput {
    /// An event: its type, ID and data, and its frame.
    Event(Frame),
    /// The reader missed events and must refetch the record.
    Resync {
        /// Why.
        reason: ResyncReason,
        /// The last event ID that the reader has from here on.
        id: EventId<Box<str>>,
    },
    /// The greeting of a new reader, or a heartbeat that is due.
    KeepAlive {
        /// The last event ID that a new reader starts with, if it named none.
        id: Option<EventId<Box<str>>>,
    },
    /// Nothing to do until something is published, or until `wake_at`.
    Idle {
        /// When the heartbeat is due; `None` if it is off.
        wake_at: Option<Instant>,
    },
}

/// What is next for a reader, before anything is written.
enum Next<'a> {
    Event {
        number: u64,
    },
    Resync {
        reason: ResyncReason,
        id: IdText<'a>,
    },
    KeepAlive {
        greeting: Option<Position>,
    },
    Idle {
        wake_at: Option<Instant>,
    },
}

/// The polls.
impl Feed {
    /// The next bytes for `reader`. They count as written.
    ///
    /// O(1) when idle. Frames that wait together are joined once for all readers at the same place.
    /// At most 16 KiB are copied for one reader alone: events that follow its greeting or a resync.
    pub fn poll(&mut self, reader: &mut Reader, now: Now) -> Output {
        let mut pieces = Pieces::default();

        while pieces.len() < MAX_PIECE {
            // To go back to, if the event does not fit.
            let before = reader.subscriber;
            match self.next(reader, now) {
                Next::Event { number } => {
                    let Some((frames, next)) = self.run(number) else {
                        // Cannot happen: the ring holds what a step delivers.
                        break;
                    };
                    // Too much to copy for one reader: the next poll returns it alone, and shared.
                    if pieces.len() > 0 && pieces.len() + frames.len() > MAX_COPY {
                        reader.subscriber = before;
                        break;
                    }

                    // The step moved past one event, and these frames may be of many.
                    reader.subscriber.skip_to(next, now.instant);
                    pieces.push(frames);
                }
                Next::Resync { reason, id } => {
                    pieces.write(|out| sse::write_resync(out, id, reason));
                }
                Next::KeepAlive { greeting } => {
                    pieces.push(Bytes::from_static(KEEPALIVE.as_bytes()));
                    if let Some(place) = greeting {
                        pieces.write(|out| sse::write_id(out, IdText::Position(place)));
                    }
                }
                Next::Idle { wake_at } if pieces.len() == 0 => return Output::Idle { wake_at },
                Next::Idle { .. } => break,
            }
        }

        Output::Frames(pieces.into_bytes(&self.ledger))
    }

    /// The next thing for `reader`. It counts as written.
    ///
    /// This is [`poll`](Self::poll), one thing at a time and not as bytes. A reader may be polled
    /// either way at any time.
    ///
    /// ```
    /// use saacms_realtime_core::{Epoch, Event, HubConfig, Now};
    /// use saacms_realtime_core::feed::{Feed, NoStore, TypedOutput};
    ///
    /// let mut feed = Feed::new(&HubConfig::default(), Epoch::from_number(0));
    /// let now = Now::from_millis(0, 0);
    /// let mut reader = feed.subscribe(None, core::time::Duration::ZERO, now);
    /// let event = Event::from_json(
    ///     br#"{"type":"changed","slug":"posts","id":"1","record":{},"etag":"v1"}"#,
    /// ).unwrap();
    /// feed.publish(event, now, &NoStore).unwrap();
    /// let TypedOutput::KeepAlive { id: Some(place) } = feed.poll_typed(&mut reader, now) else { panic!() };
    /// assert_eq!(place.as_str(), "0000000000000000.0");
    /// let TypedOutput::Event(frame) = feed.poll_typed(&mut reader, now) else { panic!() };
    /// assert_eq!((frame.event_type().as_str(), frame.id().as_str()), ("changed", "v1"));
    /// assert_eq!(frame.data(), "{}");
    /// ```
    pub fn poll_typed(&mut self, reader: &mut Reader, now: Now) -> TypedOutput {
        match self.next(reader, now) {
            Next::Event { number } => {
                let frame = self
                    .frame(number)
                    .expect("the ring holds what a step delivers");
                TypedOutput::Event(frame.clone())
            }
            Next::Resync { reason, id } => TypedOutput::Resync {
                reason,
                id: boxed(id),
            },
            Next::KeepAlive { greeting } => TypedOutput::KeepAlive {
                id: greeting.map(|place| boxed(IdText::Position(place))),
            },
            Next::Idle { wake_at } => TypedOutput::Idle { wake_at },
        }
    }

    /// Whether a poll of `reader` would return [`Output::Idle`].
    pub fn is_idle(&self, reader: &Reader, now: Instant) -> bool {
        // A copy is polled, so that the reader stays where it is.
        let step = self.topic.poll(&mut reader.subscriber.clone(), now);
        matches!(step, Step::Idle { .. })
    }

    /// Moves `reader` by one step. All polls come through here.
    #[inline(always)]
    fn next(&mut self, reader: &mut Reader, now: Now) -> Next<'_> {
        // Before the poll, which moves the cursor past the event.
        let number = reader.cursor();
        match self.topic.poll(&mut reader.subscriber, now.instant) {
            Step::Deliver(_) => Next::Event { number },
            Step::Resync { reason } => {
                self.resyncs += 1;
                let id = self.topic.resync_id(now);
                Next::Resync { reason, id }
            }
            // Only the first keep-alive names a place: an event may have set another since.
            Step::KeepAlive => Next::KeepAlive {
                greeting: reader.greeting.take(),
            },
            Step::Idle { wake_at } => Next::Idle { wake_at },
        }
    }

    /// The frames from number `from` on as one piece, and the number of the event after them.
    fn run(&mut self, from: u64) -> Option<(Bytes, u64)> {
        let ring = self.topic.ring();
        self.joined.run(from, ring.next(), &self.ledger, |number| {
            match ring.at(number) {
                At::Item(event) => Some(event.item().as_bytes().clone()),
                At::Next | At::Gone => None,
            }
        })
    }

    fn frame(&self, number: u64) -> Option<&Frame> {
        match self.topic.ring().at(number) {
            At::Item(event) => Some(event.item()),
            At::Next | At::Gone => None,
        }
    }
}

/// Copies an ID into memory of its own.
pub(super) fn boxed(id: IdText<'_>) -> EventId<Box<str>> {
    id.to_event_id::<String>()
        .expect("a String is never full")
        .into_boxed()
}
