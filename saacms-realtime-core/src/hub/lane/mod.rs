mod bell;
mod group;
mod topic;

use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::mem;
use core::task::Waker;
use core::time::Duration;
use std::collections::HashMap;

use bytes::Bytes;
use slab::Slab;

use super::Subscription;
use crate::name::ResourceKey;
use crate::time::{Instant, Now, whole_millis};

use bell::{Bell, TopicWaker};
use group::Group;
use topic::{Topic, earliest};

/// Heartbeats that are due within this part of their interval go out together.
const BEATS: u64 = 128;

/// A stream of a [`Lane`] by its number, and the frames it is to be given; `None` is its end.
pub type Outgoing = (usize, Option<Bytes>);

/// The streams that one thread serves: whose turn it is, and when. `S` is what a stream is written
/// to, such as a socket; a lane does no I/O and owns no timer.
///
/// A publish calls the lane's waker once, not one for each stream, and streams of a record are polled
/// 64 behind one lock. Nobody has a queue: a stream is handed one piece, and the next one when it is
/// its turn again, unless it is [blocked](Self::block) meanwhile.
///
/// 1. When the waker was called, or at [`wake_at`](Self::wake_at), [`hear`](Self::hear) what
///    happened; it says how many turns are to be had.
/// 2. Each [`turn`](Self::turn) says which streams are to be given what. Write it to them;
///    [`block`](Self::block) those that did not take all of it, [`remove`](Self::remove) those that
///    are gone or at their end.
/// 3. [`unblock`](Self::unblock) those that have room again, [`insert`](Self::insert) those that
///    come. Both take effect with the next `hear`.
///
/// Records with many streams hold nobody up: a turn is about one record, or about those that came or
/// have room again, and what is left of it comes behind the turns of the others.
///
/// ```
/// use core::{task::Waker, time::Duration};
/// use saacms_realtime_core::{event::Event, time::Now};
/// use saacms_realtime_core::config::HubConfig;
/// use saacms_realtime_core::hub::{Hub, Lane};
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
/// while lane.hear(now) > 0 {
///     lane.turn(1_024, now, &mut outgoing);
///     for (stream, frames) in outgoing.drain(..) {
///         let frames = frames.expect("no stream is at its end");
///         lane.get_mut(stream).unwrap().push_str(str::from_utf8(&frames)?);
///     }
/// }
/// assert!(lane.get_mut(first).unwrap().contains("\nevent: deleted\n"));
/// assert_eq!(lane.remove(first), lane.remove(second));
/// assert_eq!(hub.stats().subscribers, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Lane<S> {
    streams: Slab<Stream<S>>,
    topics: Slab<Topic>,
    by_key: HashMap<ResourceKey, usize>,
    turns: VecDeque<Turn>,
    /// Streams that are polled apart from their topic.
    singles: VecDeque<usize>,
    /// When which topic is to be polled although nothing is published.
    due: BTreeSet<(Instant, usize)>,
    bell: Arc<Bell>,
    /// Deadlines are whole multiples of this.
    beat_millis: u64,
}

struct Stream<S> {
    subscription: Subscription,
    sink: S,
    /// Which topic of the lane, and which member of it.
    topic: usize,
    place: usize,
    state: State,
    /// It stands among the singles. What stands there otherwise is left of a former stream.
    is_single: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Blocked,
    /// Its end was handed out.
    Over,
}

#[derive(Clone, Copy)]
enum Turn {
    Topic(usize),
    /// The first of the singles.
    Singles,
}

impl<S> Lane<S> {
    /// A lane without streams. `waker` is called when there is something to [`hear`](Self::hear):
    /// once until it is heard. `heartbeat` is that of the hub: 0 = off.
    pub fn new(heartbeat: Duration, waker: Waker) -> Self {
        Self {
            streams: Slab::new(),
            topics: Slab::new(),
            by_key: HashMap::new(),
            turns: VecDeque::new(),
            singles: VecDeque::new(),
            due: BTreeSet::new(),
            bell: Arc::new(Bell::new(waker)),
            beat_millis: (whole_millis(heartbeat) / BEATS).max(1),
        }
    }

    /// How many streams there are.
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// Whether there is no stream.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// What a stream is written to.
    pub fn get_mut(&mut self, stream: usize) -> Option<&mut S> {
        self.streams.get_mut(stream).map(|stream| &mut stream.sink)
    }

    /// Takes a stream in. Its number is that of no other stream until it is removed.
    pub fn insert(&mut self, mut subscription: Subscription, sink: S) -> usize {
        if self.streams.len() == self.streams.capacity() {
            // To grow by a quarter costs a little more time than to double, and half as much memory.
            self.streams.reserve_exact(self.streams.len() / 4 + 64);
        }
        let topic = self.admit(&mut subscription);
        let members = &mut self.topics[topic].members;
        let (place, state, is_single) = (members.len(), State::Open, false);
        let stream = Stream {
            subscription,
            sink,
            topic,
            place,
            state,
            is_single,
        };
        let stream = self.streams.insert(stream);
        members.push(stream);
        self.single_out(stream);
        stream
    }

    /// The stream did not take all of what it was to be given: it is passed over until it is
    /// unblocked, and what it was given is the caller's to keep.
    pub fn block(&mut self, stream: usize) {
        self.change(stream, State::Open, State::Blocked);
    }

    /// The stream has taken all that it was given.
    pub fn unblock(&mut self, stream: usize) {
        if self.change(stream, State::Blocked, State::Open) {
            self.single_out(stream);
        }
    }

    /// Ends a stream here; its subscription is dropped. `None` where there is none of this number.
    pub fn remove(&mut self, stream: usize) -> Option<S> {
        let Stream {
            subscription,
            sink,
            topic: index,
            place,
            ..
        } = self.streams.try_remove(stream)?;
        let topic = &mut self.topics[index];
        topic.members.swap_remove(place);
        topic.pending = topic.pending.min(topic.members.len());
        if let Some(moved) = topic.members.get(place) {
            self.streams[*moved].place = place;
        }
        if topic.members.is_empty() {
            self.set_due(index, None);
            self.topics.remove(index);
            if self.by_key.get(subscription.key()) == Some(&index) {
                self.by_key.remove(subscription.key());
            }
        }
        if self.streams.is_empty() {
            self.shrink();
        }
        Some(sink)
    }

    /// Takes note of what came and what is due; answers how many turns are to be had now.
    ///
    /// Whoever comes behind this calls the waker again.
    pub fn hear(&mut self, now: Now) -> usize {
        for topic in self.bell.take() {
            self.wake(topic);
        }
        while let Some((due, topic)) = self.due.first().copied()
            && due <= now.instant
        {
            self.set_due(topic, None);
            self.wake(topic);
        }
        self.turns.len()
    }

    /// When to [`hear`](Self::hear) although the waker is not called: [`Instant::ZERO`] while there
    /// are turns to be had, `None` where there is nothing to wait for.
    pub fn wake_at(&self) -> Option<Instant> {
        if !self.turns.is_empty() {
            return Some(Instant::ZERO);
        }
        self.due.first().map(|(due, _)| *due)
    }

    /// Polls at most `most` streams, those whose turn it is, and adds what they are to be given to
    /// `outgoing`, where none is named twice in one turn.
    pub fn turn(&mut self, most: usize, now: Now, outgoing: &mut Vec<Outgoing>) {
        match self.turns.pop_front() {
            Some(Turn::Topic(topic)) => self.serve(topic, most, now, outgoing),
            Some(Turn::Singles) => self.serve_singles(most, now, outgoing),
            None => {}
        }
    }

    fn serve(&mut self, index: usize, most: usize, now: Now, outgoing: &mut Vec<Outgoing>) {
        let Some(topic) = self.topics.get_mut(index) else {
            return;
        };
        if !mem::take(&mut topic.has_turn) {
            return;
        }
        let members = topic.take_pending(most.max(1));
        let before = outgoing.len();
        let due = topic.poll(&topic.members[members], &mut self.streams, now, outgoing);
        // There may be more for those that took something.
        topic.is_woken |= outgoing.len() > before;
        self.bring_forward(index, due);
        self.begin(index);
    }

    fn serve_singles(&mut self, most: usize, now: Now, outgoing: &mut Vec<Outgoing>) {
        let count = most.max(1).min(self.singles.len());
        let streams = &mut self.streams;
        let is_here = |stream: &usize| {
            streams
                .get_mut(*stream)
                .is_some_and(|stream| mem::take(&mut stream.is_single))
        };
        let singles: Vec<usize> = self.singles.drain(..count).filter(is_here).collect();
        if !self.singles.is_empty() {
            self.turns.push_back(Turn::Singles);
        }
        let mut rest = &singles[..];
        while let Some(first) = rest.first() {
            let index = self.streams[*first].topic;
            let is_other = |stream: &usize| self.streams[*stream].topic != index;
            let len = rest.iter().position(is_other).unwrap_or(rest.len());
            let (members, others) = rest.split_at(len);
            rest = others;
            let before = outgoing.len();
            let due = self.topics[index].poll(members, &mut self.streams, now, outgoing);
            self.bring_forward(index, due);
            // There may be more for those that took something.
            outgoing[before..]
                .iter()
                .for_each(|(stream, _)| self.single_out(*stream));
        }
    }

    /// The topic of a subscription, which comes into its group.
    fn admit(&mut self, subscription: &mut Subscription) -> usize {
        let known = self.by_key.get(subscription.key()).copied();
        let known = known.filter(|topic| self.topics[*topic].group.admit(subscription));
        known.unwrap_or_else(|| {
            let entry = self.topics.vacant_entry();
            let topic = entry.key();
            let waker = Waker::from(Arc::new(TopicWaker {
                bell: Arc::clone(&self.bell),
                topic,
            }));
            entry.insert(Topic::new(Group::of(subscription), waker));
            self.by_key.insert(subscription.key().clone(), topic);
            topic
        })
    }

    fn change(&mut self, stream: usize, from: State, to: State) -> bool {
        let stream = self
            .streams
            .get_mut(stream)
            .filter(|stream| stream.state == from);
        stream.map(|stream| stream.state = to).is_some()
    }

    /// Has a stream polled apart from its topic.
    fn single_out(&mut self, stream: usize) {
        if mem::replace(&mut self.streams[stream].is_single, true) {
            return;
        }
        if self.singles.is_empty() {
            self.turns.push_back(Turn::Singles);
        }
        self.singles.push_back(stream);
    }

    fn wake(&mut self, index: usize) {
        if let Some(topic) = self.topics.get_mut(index) {
            topic.is_woken = true;
            self.begin(index);
        }
    }

    fn begin(&mut self, index: usize) {
        if self.topics[index].begin() {
            self.turns.push_back(Turn::Topic(index));
        }
    }

    /// Has the topic polled at `due` at the latest.
    fn bring_forward(&mut self, index: usize, due: Option<Instant>) {
        self.set_due(index, earliest(self.topics[index].due, due));
    }

    /// Has the topic polled at `due`, or a little later, together with others.
    fn set_due(&mut self, index: usize, due: Option<Instant>) {
        let beat = self.beat_millis;
        let due = due
            .map(|due| Instant::from_millis(due.as_millis().div_ceil(beat).saturating_mul(beat)));
        let former = mem::replace(&mut self.topics[index].due, due);
        if former != due {
            former.map(|former| self.due.remove(&(former, index)));
            self.due.extend(due.map(|due| (due, index)));
        }
    }

    /// Gives memory back once nobody is there.
    fn shrink(&mut self) {
        self.streams.shrink_to_fit();
        self.topics.shrink_to_fit();
        self.by_key.shrink_to_fit();
        self.turns = VecDeque::new();
        self.singles = VecDeque::new();
    }
}

impl<S> fmt::Debug for Lane<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane")
            .field("streams", &self.streams.len())
            .field("topics", &self.topics.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HubConfig;
    use crate::hub::Hub;

    #[test]
    fn a_stream_takes_little_memory() {
        // 64 bytes are what the server keeps for a socket.
        assert!(
            size_of::<Stream<[u64; 8]>>() <= 192,
            "{}",
            size_of::<Stream<[u64; 8]>>()
        );
    }

    #[test]
    fn room_for_streams_grows_by_a_quarter_and_is_given_back_with_the_last() {
        let hub = Hub::new(HubConfig::default(), 0).expect("valid");
        let (key, now) = (
            ResourceKey::new("posts", "1").expect("valid"),
            Now::from_millis(0, 0),
        );
        let mut lane = Lane::new(Duration::ZERO, Waker::noop().clone());
        let rooms: Vec<usize> = (0..=144)
            .map(|_| {
                lane.insert(hub.subscribe(&key, None, now).expect("room"), ());
                lane.streams.capacity()
            })
            .collect();
        assert_eq!(
            (rooms[0], rooms[63], rooms[64], rooms[143]),
            (64, 64, 144, 144)
        );
        assert_eq!(rooms[144], 144 + 144 / 4 + 64);
        assert!((0..=144).all(|stream| lane.remove(stream).is_some()));
        let rooms = [
            lane.streams.capacity(),
            lane.topics.capacity(),
            lane.by_key.capacity(),
        ];
        assert_eq!(
            (rooms, lane.turns.capacity(), lane.singles.capacity()),
            ([0; 3], 0, 0)
        );
    }
}
