//! The object of one record, without the platform, which supplies its streams and its store.

mod backlog;
mod note;
mod round;
mod socket;
mod sockets;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::mem;

use bytes::Bytes;
use core::time::Duration;

use saacms_realtime_core::feed::{self, Feed, Store, StoredPlace, StoredRing};
use saacms_realtime_core::route::Problem;
use saacms_realtime_core::{Epoch, Event, EventType, Instant, Now, Position, Refusal, ResourceKey};

pub(crate) use self::note::{ClientMessage, Closing, Note, Violation, common_place};
pub(crate) use self::socket::SocketSink;

use self::round::{Limits, PORTION, Round};
use self::sockets::Sockets;
use self::stream::Stream;
use crate::settings::Settings;

/// The most bytes that may wait for the streams' turns. Above this, every stream is sent everything
/// at once.
const MAX_WAITING_BYTES: usize = 256 << 10;

/// How long the events of a deleted record stay stored: long enough for a client that reconnects.
const KEPT_AFTER_DELETED: Duration = Duration::from_secs(60);

/// Stored events stay at least this long, because an alarm costs as much as a row.
const KEPT_AT_LEAST: Duration = Duration::from_secs(1);

/// The receiving end of a stream.
pub(crate) trait Sink {
    /// The number of bytes sent but still queued; `None` if the stream has ended.
    fn queued(&self) -> Option<usize>;

    /// Sends bytes, now or together with those of other streams. If that shows that the stream has
    /// ended, whoever owns the sink must call [`Object::remove`].
    fn send(&self, bytes: &Bytes);

    /// Asks for a call of [`Object::writable`] once the queue is below its limit.
    fn want_room(&self);

    /// Ends the stream after the bytes sent so far.
    fn end(&self);

    /// Cuts the stream off and discards its queue.
    fn cut(&self);
}

/// Where an object begins.
#[derive(Debug)]
pub(crate) enum Begin {
    /// With the ring that was stored.
    Stored(StoredRing),
    /// Nothing is stored, but WebSockets of an earlier life are open, and agree on what its newest event
    /// was. See [`common_place`].
    After(Position),
    /// As a new one. The epoch must be random.
    New(Epoch),
}

/// The streams, the WebSockets and the ring of one record.
///
/// Commands are [`publish`](Self::publish), [`reserve`](Self::reserve) with
/// [`subscribe`](Self::subscribe), and [`reserve_socket`](Self::reserve_socket) with
/// [`open_socket`](Self::open_socket). Inputs are [`restore_socket`](Self::restore_socket),
/// [`writable`](Self::writable), [`remove`](Self::remove), [`handle_read`](Self::handle_read),
/// [`refuse_socket`](Self::refuse_socket), [`remove_socket`](Self::remove_socket),
/// [`handle_timeout`](Self::handle_timeout) and [`turn`](Self::turn). After
/// each of them, call [`serve_sockets`](Self::serve_sockets). Then, if the object [`wants_turn`](Self::wants_turn), call [`turn`](Self::turn) once the
/// runtime has had its turn; otherwise set the timer to [`wake_at`](Self::wake_at). Without either, a
/// stream that waits is never served again.
#[derive(Debug)]
pub(crate) struct Object<S, K> {
    settings: Settings,
    /// The object's record; `None` until the platform or the first event names it.
    key: Option<ResourceKey>,
    feed: Feed,
    /// When the stored events are too old, all of them.
    forget_at: Instant,
    /// Streams by number, which is the order of their turns.
    streams: BTreeMap<u32, Stream<S>>,
    next_number: u32,
    round: Round,
    sockets: Sockets<K>,
    /// Whether streams get no turns.
    serves_at_once: bool,
}

impl<S: Sink, K: SocketSink> Object<S, K> {
    /// Creates an object.
    pub(crate) fn new(
        settings: Settings,
        key: Option<ResourceKey>,
        begin: Begin,
        now: Now,
    ) -> Self {
        let (stored, epoch) = match &begin {
            Begin::Stored(stored) => (Some(stored), stored.epoch()),
            Begin::After(place) => (None, place.epoch),
            Begin::New(epoch) => (None, *epoch),
        };
        let stored_key = stored.map(|stored| stored.key().clone());
        // What has no frame any more is older than any event.
        let forget_at = match stored.and_then(StoredRing::newest_event) {
            Some(event) => forget_at(&settings, event.frame.event_type(), event.pushed_at),
            None => now.instant,
        };

        let mut feed = Feed::new(&settings.hub, epoch);
        match begin {
            Begin::Stored(stored) => {
                let (place, events) = stored.into_parts();
                feed.restore(place, events, now);
            }
            Begin::After(place) => feed.continue_after(place.sequence, now),
            Begin::New(_) => {}
        }

        // A stream may be two rounds behind, plus the event that makes the second one full.
        let held_events = settings.hub.max_lag.max(settings.hub.max_events);
        let held_bytes = settings
            .hub
            .max_lag_bytes
            .min(settings.hub.max_history_bytes);
        let limits = Limits {
            events: held_events.saturating_sub(1) / 2,
            bytes: (held_bytes / 2).min(MAX_WAITING_BYTES),
        };
        Self {
            settings,
            key: key.or(stored_key),
            feed,
            forget_at,
            streams: BTreeMap::new(),
            next_number: 0,
            round: Round::new(limits),
            sockets: Sockets::new(),
            serves_at_once: false,
        }
    }

    /// Replaces what is known of the ring, if that is only its newest event, by all that is stored.
    ///
    /// Nothing may have been published meanwhile. Streams stay where they are, at the end of the ring.
    pub(crate) fn complete(&mut self, stored: StoredRing, now: Now) {
        let mut feed = Feed::new(&self.settings.hub, stored.epoch());
        let (place, events) = stored.into_parts();
        feed.restore(place, events, now);
        self.feed = feed;
    }

    /// Sends to all streams at once from now on, instead of in turns.
    pub(crate) fn serve_at_once(&mut self) {
        self.serves_at_once = true;
    }

    /// The number of slots that its store has.
    pub(crate) fn slots(settings: &Settings) -> u64 {
        feed::slots(&settings.hub.retention())
    }

    /// The place after every event so far.
    pub(crate) fn position(&self) -> Position {
        self.feed.position()
    }

    /// The record and the place of its newest event; `None` if that is not known.
    pub(crate) fn newest(&self) -> Option<(&ResourceKey, StoredPlace)> {
        Some((self.key.as_ref()?, self.feed.newest()?))
    }

    /// When the store may forget all events: the newest is too old to be replayed, or the record was
    /// deleted.
    pub(crate) fn forget_at(&self) -> Instant {
        self.forget_at
    }

    /// The number of open streams.
    pub(crate) fn streams(&self) -> usize {
        self.streams.len()
    }

    /// The number of open streams and WebSockets.
    pub(crate) fn subscribers(&self) -> usize {
        self.streams.len() + self.sockets.len()
    }

    /// The number of events that a client can be replayed.
    pub(crate) fn replayable(&self, now: Now) -> usize {
        self.feed.replayable(now)
    }

    /// The bytes of history.
    pub(crate) fn history_bytes(&self) -> usize {
        self.feed.history_bytes()
    }

    /// Publishes an event: stores it, adds it to the ring, and sends it to the streams that have
    /// room, now or at their next turn.
    pub(crate) fn publish(
        &mut self,
        event: Event,
        now: Now,
        store: Option<&dyn Store<Error = String>>,
    ) -> Result<(), Problem> {
        if let Some(own) = self.key.as_ref().filter(|own| *own != event.key()) {
            return Err(Problem::other_record(own, event.key()));
        }

        // The first event names the object's record, but only once it is stored.
        let first_key = self.key.is_none().then(|| event.key().clone());
        let event_type = event.event_type();
        let frame_bytes = self
            .feed
            .publish(event, now, &store)
            .map_err(|_| Problem::not_stored())?;
        if let Some(key) = first_key {
            self.key = Some(key);
        }

        self.forget_at = forget_at(&self.settings, event_type, now.instant);
        self.round.add(frame_bytes);
        self.sockets.mark_stale();
        // Any later, a stream that waits could fall behind what the ring holds.
        if self.round.is_full() || self.serves_at_once {
            self.send_all(now);
        } else if !self.round.is_under_way() {
            self.turn(now);
        }
        Ok(())
    }

    /// Reserves a number for a new stream.
    pub(crate) fn reserve(&mut self) -> Result<u32, Refusal> {
        self.check_room()?;
        let number = self.next_number;
        self.next_number = number.wrapping_add(1);
        Ok(number)
    }

    /// Subscribes the stream with a reserved number, and sends its first bytes. `can_resume` says
    /// whether the last event ID of a client reaches the object: only then may an idle stream end.
    pub(crate) fn subscribe(
        &mut self,
        number: u32,
        sink: S,
        last_event_id: Option<&[u8]>,
        can_resume: bool,
        now: Now,
    ) {
        let heartbeat = self.settings.hub.heartbeat;
        let reader = self.feed.subscribe(last_event_id, heartbeat, now);
        let stream = Stream::new(reader, sink, can_resume, now.instant);
        self.streams.insert(number, stream);
        self.send_one(number, now);
    }

    /// Refuses one subscriber more than the record may have, of both kinds together.
    fn check_room(&self) -> Result<(), Refusal> {
        let limit = self.settings.hub.max_subscribers_per_topic;
        if self.subscribers() >= limit {
            return Err(Refusal::TooManySubscribersOfTopic { limit });
        }
        Ok(())
    }

    /// Sends a stream that has room again what is waiting for it.
    pub(crate) fn writable(&mut self, number: u32, now: Now) {
        self.send_one(number, now);
    }

    /// Removes a stream that has ended, or whose client has gone.
    pub(crate) fn remove(&mut self, number: u32) {
        if let Some(stream) = self.streams.remove(&number) {
            stream.cut();
        }
    }

    /// Removes every stream.
    pub(crate) fn cut_all(&mut self) {
        for stream in mem::take(&mut self.streams).values() {
            stream.cut();
        }
    }

    /// Handles the deadline [`wake_at`](Self::wake_at).
    pub(crate) fn handle_timeout(&mut self, now: Now) {
        if self.serves_at_once {
            self.send_all(now);
            return;
        }
        self.round.mark_stale();
        self.turn(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due; `None` if there is no deadline, such as
    /// without streams.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        self.streams.values().filter_map(Stream::wake_at).min()
    }

    /// Whether [`turn`](Self::turn) is due once the runtime has had its turn.
    pub(crate) fn wants_turn(&self) -> bool {
        self.round.is_under_way()
    }

    /// Serves the streams whose turn it is.
    pub(crate) fn turn(&mut self, now: Now) {
        let Some(first) = self.round.begin_turn() else {
            return;
        };

        let mut served = 0;
        let mut next = None;
        let mut ended = Vec::new();
        for (number, stream) in self.streams.range_mut(first..) {
            if served == PORTION {
                next = Some(*number);
                break;
            }
            // A stream that is sent nothing costs the runtime no wake-up, so it does not count.
            let sent_before = stream.total_sent();
            if !stream.send(&mut self.feed, &self.settings, now) {
                ended.push(*number);
            }
            served += usize::from(stream.total_sent() != sent_before);
        }

        for number in ended {
            self.streams.remove(&number);
        }
        self.round.end_turn(next);
    }

    fn send_all(&mut self, now: Now) {
        self.streams
            .retain(|_, stream| stream.send(&mut self.feed, &self.settings, now));
        self.serve_sockets(now);
        self.round.end();
    }

    fn send_one(&mut self, number: u32, now: Now) {
        let Some(stream) = self.streams.get_mut(&number) else {
            return;
        };
        if !stream.send(&mut self.feed, &self.settings, now) {
            self.streams.remove(&number);
        }
    }
}

/// When the stored events may be forgotten if an event published at `at` stays the newest.
fn forget_at(settings: &Settings, event_type: EventType, at: Instant) -> Instant {
    let max_age = settings.hub.max_age;
    let kept = if event_type == EventType::Deleted {
        max_age.min(KEPT_AFTER_DELETED)
    } else {
        max_age
    };
    // An event of exactly this age is still replayed.
    let kept = kept.max(KEPT_AT_LEAST) + Duration::from_millis(1);
    at.saturating_add(kept)
}
