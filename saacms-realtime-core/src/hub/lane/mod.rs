mod bell;
mod record;
mod stream;
mod turns;

use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::task::Waker;
use core::time::Duration;
use std::collections::HashMap;

use slab::Slab;

use super::Subscription;
use crate::name::ResourceKey;
use crate::time::{Instant, Now, whole_millis};

pub use stream::{Outgoing, Piece};

use bell::Bell;
use record::Record;
use stream::{State, Stream};

/// Heartbeats that are due within this part of their interval go out together.
const BEATS: u64 = 128;

/// The streams that one thread serves: whose turn it is, and when. `S` is what a stream is written
/// to, such as a socket; a lane does no I/O and owns no timer.
///
/// A publish calls the lane's waker once, not once for each stream, and 64 streams of a record are
/// polled under one lock. No stream has a queue: a turn gives it at most one piece, and none while it
/// is [blocked](Self::block).
///
/// - *Getters*: [`len`](Self::len), [`is_empty`](Self::is_empty), [`get_mut`](Self::get_mut),
///   [`wake_at`](Self::wake_at).
/// - *Inputs*: [`insert`](Self::insert), [`block`](Self::block), [`unblock`](Self::unblock),
///   [`remove`](Self::remove).
/// - *Polls*: [`collect`](Self::collect), then [`turn`](Self::turn).
///
/// A driver loops in this order:
///
/// 1. After the waker is called, and at [`wake_at`](Self::wake_at), call [`collect`](Self::collect);
///    it returns the number of turns.
/// 2. Each [`turn`](Self::turn) lists pieces and their streams. Write every piece;
///    [`block`](Self::block) a stream that did not take all of it, and [`remove`](Self::remove) one
///    that is gone or at its end.
/// 3. [`unblock`](Self::unblock) streams that have room again, and [`insert`](Self::insert) new ones.
///    Both queue a turn, so ask for `wake_at` after them.
///
/// Between two calls of `collect` the waker is called at most once: a driver that wakes up and does
/// not collect is never woken again. Every piece counts as written: a piece that is dropped is a gap,
/// and a stream that is not blocked gets the next piece even if it still holds the last one. A stream
/// that is not removed at its end counts as a subscriber until the lane is dropped.
///
/// A record with many streams does not delay the others: a turn serves one record, or streams that
/// are new or have room again, and the rest of those is queued after all other turns.
///
/// ```
/// use core::{task::Waker, time::Duration};
/// use saacms_realtime_core::{Event, Hub, HubConfig, Lane, Now, Piece};
///
/// let hub = Hub::new(HubConfig::default(), 0)?;
/// let now = Now::from_millis(0, 0);
/// let event = Event::from_json(br#"{"type":"deleted","slug":"posts","id":"1"}"#)?;
/// let mut lane = Lane::new(hub.config().heartbeat, Waker::noop().clone());
/// let first = lane.insert(hub.subscribe(event.key(), None, now)?, String::new());
/// let second = lane.insert(hub.subscribe(event.key(), None, now)?, String::new());
/// hub.publish(event, now)?;
///
/// let mut outgoing = Vec::new();
/// while lane.collect(now) > 0 {
///     lane.turn(1_024, now, &mut outgoing);
///     for given in outgoing.drain(..) {
///         match given.piece {
///             Piece::Frames(frames) => {
///                 let text = lane.get_mut(given.stream).unwrap();
///                 text.push_str(str::from_utf8(&frames)?);
///             }
///             Piece::End => drop(lane.remove(given.stream)),
///         }
///     }
/// }
/// assert!(lane.get_mut(first).unwrap().contains("\nevent: deleted\n"));
/// assert_eq!(lane.remove(first), lane.remove(second));
/// assert_eq!(hub.stats().subscribers, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Lane<S> {
    /// Streams by their number, which the slab uses again after a stream is removed.
    streams: Slab<Stream<S>>,
    records: Slab<Record>,
    /// The record that new subscriptions of a key join. A record of an earlier life of the topic
    /// stays in `records` until its last member leaves.
    by_key: HashMap<ResourceKey, usize>,
    /// What is polled next. Each record is queued at most once, and `Singles` once while there are
    /// any; entries of removed records are skipped.
    turns: VecDeque<Turn>,
    /// Streams that are polled by themselves, not with their record. Each is queued at most once;
    /// entries of removed streams are skipped.
    singles: VecDeque<usize>,
    /// When a record is polled even if nothing is published: `due` of each record, in order.
    deadlines: BTreeSet<(Instant, usize)>,
    bell: Arc<Bell>,
    /// Deadlines are rounded up to multiples of this, so that those close to each other coincide.
    beat_millis: u64,
}

#[derive(Clone, Copy)]
enum Turn {
    Record(usize),
    /// The first of the singles.
    Singles,
}

impl<S> Lane<S> {
    /// A lane without streams. `waker` is called when there is something to
    /// [`collect`](Self::collect), once until that is done. `heartbeat` is that of the hub: 0 = off.
    pub fn new(heartbeat: Duration, waker: Waker) -> Self {
        Self {
            streams: Slab::new(),
            records: Slab::new(),
            by_key: HashMap::new(),
            turns: VecDeque::new(),
            singles: VecDeque::new(),
            deadlines: BTreeSet::new(),
            bell: Arc::new(Bell::new(waker)),
            beat_millis: (whole_millis(heartbeat) / BEATS).max(1),
        }
    }

    /// The number of streams.
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// Whether there is no stream.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// What a stream is written to.
    pub fn get_mut(&mut self, stream: usize) -> Option<&mut S> {
        let stream = self.streams.get_mut(stream)?;
        Some(&mut stream.sink)
    }

    /// Adds a stream and queues its first turn. No other stream has its number until it is removed.
    pub fn insert(&mut self, mut subscription: Subscription, sink: S) -> usize {
        if self.streams.len() == self.streams.capacity() {
            // Grows by a quarter: a vector that doubles may leave half of its memory unused.
            self.streams.reserve_exact(self.streams.len() / 4 + 64);
        }

        let record = self.record_of(&mut subscription);
        let members = &mut self.records[record].members;
        let stream = self.streams.insert(Stream {
            subscription,
            sink,
            record,
            member: members.len(),
            state: State::Open,
            is_single: false,
        });
        members.push(stream);

        // Polled by itself: the other members of its record have nothing new.
        self.queue_single(stream);
        stream
    }

    /// Marks a stream that did not take all of its piece: it has no turn until it is unblocked. The
    /// caller keeps the rest of the piece.
    pub fn block(&mut self, stream: usize) {
        self.change_state(stream, State::Open, State::Blocked);
    }

    /// Marks a stream that has taken all of its piece, and queues it for a turn.
    pub fn unblock(&mut self, stream: usize) {
        if self.change_state(stream, State::Blocked, State::Open) {
            self.queue_single(stream);
        }
    }

    /// Removes a stream and drops its subscription. `None` if no stream has this number.
    pub fn remove(&mut self, stream: usize) -> Option<S> {
        let Stream {
            subscription,
            sink,
            record: index,
            member,
            ..
        } = self.streams.try_remove(stream)?;

        let record = &mut self.records[index];
        record.members.swap_remove(member);
        record.pending = record.pending.min(record.members.len());
        // The last member moved into the gap. If it was polled in this pass, it is polled once more,
        // which does no harm.
        if let Some(&moved) = record.members.get(member) {
            self.streams[moved].member = member;
        }

        if record.members.is_empty() {
            self.set_due(index, None);
            self.records.remove(index);
            // The key may belong to a later life of the topic, whose record it then names.
            if self.by_key.get(subscription.key()) == Some(&index) {
                self.by_key.remove(subscription.key());
            }
        }
        if self.streams.is_empty() {
            self.shrink();
        }
        Some(sink)
    }

    /// Collects wake-ups and due deadlines; returns the number of turns now waiting.
    ///
    /// A change after this calls the waker again.
    pub fn collect(&mut self, now: Now) -> usize {
        for record in self.bell.take_woken() {
            self.wake_record(record);
        }
        while let Some(&(due, record)) = self.deadlines.first()
            && due <= now.instant
        {
            self.set_due(record, None);
            self.wake_record(record);
        }
        self.turns.len()
    }

    /// When to [`collect`](Self::collect) even if the waker is not called: [`Instant::ZERO`] while
    /// turns are waiting, `None` if there is no deadline.
    pub fn wake_at(&self) -> Option<Instant> {
        if !self.turns.is_empty() {
            return Some(Instant::ZERO);
        }
        self.deadlines.first().map(|(due, _)| *due)
    }

    /// Polls the streams whose turn it is, at most `most` of them and at least one, and appends their
    /// pieces to `outgoing`. One turn lists no stream twice. It ends early where streams share little
    /// and get 4 MiB together: write that before the next turn, because it is memory until then.
    pub fn turn(&mut self, most: usize, now: Now, outgoing: &mut Vec<Outgoing>) {
        let most = most.max(1);
        match self.turns.pop_front() {
            Some(Turn::Record(record)) => self.poll_record(record, most, now, outgoing),
            Some(Turn::Singles) => self.poll_singles(most, now, outgoing),
            None => {}
        }
    }

    /// Changes a stream from one state to another; returns whether it was in the first.
    fn change_state(&mut self, stream: usize, from: State, to: State) -> bool {
        match self.streams.get_mut(stream) {
            Some(stream) if stream.state == from => {
                stream.state = to;
                true
            }
            _ => false,
        }
    }

    /// Gives memory back after the last stream has left.
    fn shrink(&mut self) {
        self.streams.shrink_to_fit();
        self.records.shrink_to_fit();
        self.by_key.shrink_to_fit();
        self.turns = VecDeque::new();
        self.singles = VecDeque::new();
    }
}

impl<S> fmt::Debug for Lane<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane")
            .field("streams", &self.streams.len())
            .field("records", &self.records.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
