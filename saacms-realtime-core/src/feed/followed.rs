use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use super::joined::Joined;
use super::poll::boxed;
use super::{Feed, Fingerprints, Reader, event_size};
use crate::engine::{Stamp, Unpacked};
use crate::name::{EventId, IdText};
use crate::position::{Epoch, Position};
use crate::ring::At;
use crate::sse::{Frame, OpenFrame};
use crate::subscriber::Resume;
use crate::time::{Instant, Now};
use crate::topic::{IdPolicy, OlderEvent, Opening, Start, without_outer_blanks};

/// An event of an engine, with its place in the engine's sequence.
pub(crate) struct EngineEvent<'a> {
    pub(crate) sequence: u64,
    pub(crate) parts: Unpacked<'a>,
}

/// For a hub with an engine, which gives its events their numbers and keeps them.
impl Feed {
    /// Continues after an event that the engine has, or after `floor` if `last` is not to be named.
    ///
    /// No event is missing after `floor`, and all up to `place` are known. Readers are told nothing.
    pub(crate) fn start(
        &mut self,
        epoch: Epoch,
        last: Option<&EngineEvent<'_>>,
        floor: u64,
        place: u64,
    ) {
        self.epoch = epoch;
        let last = last.map(|last| self.name(last, last.parts.stamp));
        self.topic.start(Start {
            epoch,
            last,
            floor,
            place,
        });
        self.fingerprints = self.fingerprints.take().map(|_| Fingerprints::default());
        self.joined = Joined::default();
    }

    /// Adds the next event of the engine. Its age counts from here: the clock of another machine must
    /// not make it leave before readers have it.
    pub(crate) fn tell(&mut self, event: &EngineEvent<'_>, now: Instant) {
        let mut stamp = event.parts.stamp;
        if event.parts.etag.is_none() {
            stamp = stamp.filter(|stamp| !stamp.is_id || self.topic.takes_time(stamp.at));
        }
        let id = self.name(event, stamp);
        let frame = self.write(&id, event);

        let number = self.topic.ring().next();
        let size = event_size(frame.as_bytes().len(), &id);
        let fingerprint = Fingerprints::of(id.as_str().as_bytes());
        self.topic.tell(id, event.sequence, frame, size, now);
        if let Some(fingerprints) = &mut self.fingerprints {
            fingerprints.push(number, fingerprint, self.topic.ring().len());
        }
    }

    /// Adds what the engine keeps from before the events that are held: all that there is after
    /// `floor`, oldest first. Ages are those of the engine.
    pub(crate) fn look_back(&mut self, events: &[EngineEvent<'_>], floor: u64, now: Now) {
        let held_from = self.topic.held_from();
        let older: Vec<_> = events
            .iter()
            .filter(|event| event.sequence < held_from)
            .map(|event| {
                let id = self.name(event, event.parts.stamp);
                let frame = self.write(&id, event);
                OlderEvent {
                    sequence: event.sequence,
                    size: event_size(frame.as_bytes().len(), &id),
                    item: frame,
                    pushed_at: arrival(event.parts.stamp, now),
                    id,
                }
            })
            .collect();

        self.topic.prepend(older, floor, now.instant);
        self.joined = Joined::default();
        self.index_all();
    }

    /// Where a reader with this last event ID begins.
    pub(crate) fn locate(&mut self, last_event_id: &[u8], now: Instant) -> Resume {
        let id = without_outer_blanks(last_event_id);
        let candidates = self.fingerprints.iter().flat_map(|it| it.candidates(id));
        self.topic.resume_among(id, now, candidates).resume
    }

    /// A reader that gets no event yet, only keep-alives.
    pub(crate) fn reader_at_end(&self, heartbeat: Duration) -> Reader {
        let opening = Opening {
            resume: Resume::At(self.topic.ring().next()),
            greeting: None,
        };
        Reader::new(opening, heartbeat)
    }

    /// Lets such a reader begin. If it is to be told a place, it is greeted (again).
    pub(crate) fn begin(&self, reader: &mut Reader, mut opening: Opening, heartbeat: Duration) {
        if !self.has_greeting {
            opening.greeting = None;
        }
        match opening.greeting {
            Some(_) => *reader = Reader::new(opening, heartbeat),
            None => reader.subscriber.begin_at(opening.resume),
        }
    }

    /// The ID of an event of the engine; every hub of the engine gives it the same one.
    fn name(&self, event: &EngineEvent<'_>, stamp: Option<Stamp>) -> EventId<Box<str>> {
        let position = IdText::Position(Position {
            epoch: self.epoch,
            sequence: event.sequence,
        });
        let time = stamp.filter(|stamp| stamp.is_id);

        boxed(match (self.topic.policy(), event.parts.etag, time) {
            (IdPolicy::Position, ..) => position,
            (IdPolicy::Etag { .. }, Some(etag), _) => IdText::Etag(etag),
            (IdPolicy::Etag { .. }, None, Some(stamp)) => IdText::Time(stamp.at),
            (IdPolicy::Etag { .. }, None, None) => position,
        })
    }

    /// The frame of an event. It counts with what the ring counts for it.
    fn write(&self, id: &EventId<Box<str>>, event: &EngineEvent<'_>) -> Frame {
        let Unpacked {
            event_type, data, ..
        } = event.parts;
        let open = OpenFrame::new(event_type, id.as_str().len(), data.len(), |out| {
            out.extend_from_slice(data.as_bytes());
        });
        open.close(id, |buffer, start| {
            let size = event_size(buffer.len() - start, id);
            self.ledger.share_as(buffer, size)
        })
    }

    /// Indexes the IDs of all events that are held.
    fn index_all(&mut self) {
        let Some(fingerprints) = &mut self.fingerprints else {
            return;
        };
        *fingerprints = Fingerprints::default();
        let ring = self.topic.ring();
        for number in ring.first()..ring.next() {
            if let At::Item(event) = ring.at(number) {
                let fingerprint = Fingerprints::of(event.id().as_str().as_bytes());
                fingerprints.push(number, fingerprint, ring.len());
            }
        }
    }
}

/// When an event with this stamp would have arrived, at the latest now.
fn arrival(stamp: Option<Stamp>, now: Now) -> Instant {
    let age = stamp.map_or(0, |stamp| {
        now.wall.as_millis().saturating_sub(stamp.at.as_millis())
    });
    let age = u64::try_from(age).unwrap_or(0);
    Instant::from_millis(now.instant.as_millis().saturating_sub(age))
}
