//! A thread that writes to many sockets: what is left of a stream once its head is out.

use core::task::{Context, Waker};
use core::time::Duration;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::mem;
use std::sync::Arc;

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use saacms_realtime_core::hub::{Group, Output, Subscription};
use saacms_realtime_core::name::ResourceKey;
use saacms_realtime_core::time::Instant;
use slab::Slab;
use tokio::sync::OwnedSemaphorePermit;

use super::inbox::{BELL, Inbox};
use super::stream::{Progress, Stream};
use super::topic::{Topic, TopicWaker};
use super::writer::Writer;
use crate::clock::Clock;

/// Members of a topic that are served before other topics have their turn.
const TURN: usize = 1_024;
/// Members that are polled behind one lock. Others of the topic wait for it, so it is short.
const ROUND: usize = 64;
/// Pieces that one stream is given at a time, 4 MiB: all that it may be behind by default.
const PIECES: usize = 64;
/// Heartbeats that are due within this part of their interval go out together.
const BEATS: u32 = 128;

/// What a lane is given: a socket whose response head is out.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) socket: TcpStream,
    pub(super) subscription: Subscription,
    pub(super) permit: OwnedSemaphorePermit,
}

/// The thread's own state: its sockets, and which of them are about the same record.
#[derive(Debug)]
pub(super) struct Lane {
    poll: Poll,
    inbox: Arc<Inbox>,
    clock: Clock,
    /// Heartbeats are due at whole multiples of this, in milliseconds.
    beat_millis: u64,
    streams: Slab<Stream>,
    topics: Slab<Topic>,
    by_key: HashMap<ResourceKey, usize>,
    /// Topics whose members are to be served.
    ready: VecDeque<usize>,
    /// When which topic is to be served although nothing is published.
    due: BTreeSet<(Instant, usize)>,
    writer: Writer,
}

impl Lane {
    pub(super) fn new(poll: Poll, inbox: Arc<Inbox>, clock: Clock, heartbeat: Duration) -> Self {
        let beat = (heartbeat / BEATS).as_millis().max(1);
        Self {
            poll,
            inbox,
            clock,
            beat_millis: u64::try_from(beat).unwrap_or(u64::MAX),
            streams: Slab::new(),
            topics: Slab::new(),
            by_key: HashMap::new(),
            ready: VecDeque::new(),
            due: BTreeSet::new(),
            writer: Writer::new(),
        }
    }

    /// Serves until the inbox is closed; whoever is still there then is cut off.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1_024);
        loop {
            match self.poll.poll(&mut events, self.patience()) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                Ok(()) | Err(_) => {}
            }
            for event in events.iter().filter(|event| event.token() != BELL) {
                self.hear(event);
            }
            let mail = self.inbox.empty();
            if mail.is_closed {
                return Ok(());
            }
            mail.woken.into_iter().for_each(|topic| self.wake(topic));
            mail.arrivals.into_iter().for_each(|arrival| self.take_in(arrival));
            self.wake_due();
            // Those that are ready now: whoever becomes ready meanwhile comes behind the sockets.
            for _ in 0..self.ready.len() {
                self.serve_next();
            }
            self.writer.check()?;
        }
    }

    /// How long to wait for something to happen.
    fn patience(&self) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        let (due, _) = self.due.first()?;
        // A millisecond more, as what is left of this one is not counted.
        Some(Duration::from_millis(due.millis_since(self.clock.now().instant) + 1))
    }

    fn hear(&mut self, event: &Event) {
        let Token(index) = event.token();
        let Some(stream) = self.streams.get_mut(index) else { return };
        if event.is_read_closed() || event.is_error() {
            self.remove(index);
        } else if event.is_writable() && stream.is_blocked() {
            match stream.write_on() {
                Progress::Done => self.serve_one(index),
                Progress::Blocked => {}
                Progress::Over => self.remove(index),
            }
        }
    }

    fn wake(&mut self, index: usize) {
        let Some(topic) = self.topics.get_mut(index) else { return };
        topic.is_woken = true;
        if topic.pending == 0 {
            self.begin_round(index);
        }
    }

    fn wake_due(&mut self) {
        while let Some((due, index)) = self.due.first().copied()
            && due <= self.clock.now().instant
        {
            self.set_due(index, None);
            self.wake(index);
        }
    }

    fn begin_round(&mut self, index: usize) {
        let topic = &mut self.topics[index];
        if mem::take(&mut topic.is_woken) && !topic.members.is_empty() {
            topic.pending = topic.members.len();
            self.ready.push_back(index);
        }
    }

    /// Gives the topic that is next its turn.
    fn serve_next(&mut self) {
        let Some(index) = self.ready.pop_front() else { return };
        let Some(topic) = self.topics.get_mut(index) else { return };
        let start = topic.pending.saturating_sub(TURN);
        let members = topic.members[start..topic.pending].to_vec();
        topic.pending = start;
        let served = self.serve(index, &members);
        let Some(topic) = self.topics.get_mut(index) else { return };
        // There may be more for those that took something.
        topic.is_woken |= served;
        if topic.pending > 0 {
            self.ready.push_back(index);
        } else {
            self.begin_round(index);
        }
    }

    /// Serves one stream, and nobody else of its topic.
    fn serve_one(&mut self, index: usize) {
        for _ in 0..PIECES {
            let Some(stream) = self.streams.get(index) else { return };
            if !self.serve(stream.topic, &[index]) {
                return;
            }
        }
        // It is still behind.
        if let Some(stream) = self.streams.get(index) {
            self.wake(stream.topic);
        }
    }

    /// Gives every member that is not blocked what waits for it, one piece each. Answers whether
    /// anybody took something.
    fn serve(&mut self, index: usize, members: &[usize]) -> bool {
        let Self { topics, streams, writer, .. } = self;
        let topic = &mut topics[index];
        let now = self.clock.now();
        let cx = Context::from_waker(&topic.waker);
        let (mut outputs, mut over, mut due) =
            (Vec::with_capacity(members.len()), Vec::new(), None);
        let mut is_served = false;
        for members in members.chunks(ROUND) {
            let mut round = topic.group.round(&cx, now);
            for &member in members {
                let Some(stream) = streams.get_mut(member) else { continue };
                if stream.is_blocked() {
                    continue;
                }
                match round.poll(&mut stream.subscription) {
                    Output::Frames(frames) => outputs.push((member, Some(frames))),
                    Output::Idle { wake_at } => {
                        due = [due, wake_at].into_iter().flatten().min();
                    }
                    Output::End => outputs.push((member, None)),
                }
            }
            drop(round);
            is_served |= !outputs.is_empty();
            if outputs.len() >= writer.batch() {
                writer.write(streams, &mut outputs, &mut over);
            }
        }
        writer.write(streams, &mut outputs, &mut over);
        let due = [topic.due, due].into_iter().flatten().min();
        self.set_due(index, due);
        over.into_iter().for_each(|member| self.remove(member));
        is_served
    }

    /// Has the topic served at `due`, or a little later, together with others.
    fn set_due(&mut self, index: usize, due: Option<Instant>) {
        let Some(topic) = self.topics.get_mut(index) else { return };
        let beat = self.beat_millis;
        let due = due
            .map(|due| Instant::from_millis(due.as_millis().div_ceil(beat).saturating_mul(beat)));
        if topic.due == due {
            return;
        }
        if let Some(former) = mem::replace(&mut topic.due, due) {
            self.due.remove(&(former, index));
        }
        self.due.extend(due.map(|due| (due, index)));
    }

    fn take_in(&mut self, arrival: Arrival) {
        let Arrival { mut socket, mut subscription, permit } = arrival;
        if self.streams.len() == self.streams.capacity() {
            // To grow by a quarter costs a little more time than to double, and half as much memory.
            self.streams.reserve_exact(self.streams.len() / 4 + 64);
        }
        let entry = self.streams.vacant_entry();
        let member = entry.key();
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(&mut socket, Token(member), interest) {
            tracing::error!(%error, "cannot watch a connection, so it is closed");
            return;
        }
        let known = self.by_key.get(subscription.key()).copied();
        let known = known.filter(|index| self.topics[*index].group.admit(&mut subscription));
        let index = known.unwrap_or_else(|| {
            let entry = self.topics.vacant_entry();
            let topic = entry.key();
            let waker = Waker::from(Arc::new(TopicWaker { inbox: Arc::clone(&self.inbox), topic }));
            let group = Group::of(&subscription);
            let (members, pending, is_woken, due) = Default::default();
            entry.insert(Topic { group, waker, members, pending, is_woken, due });
            self.by_key.insert(subscription.key().clone(), topic);
            topic
        });
        let members = &mut self.topics[index].members;
        entry.insert(Stream::new(socket, subscription, permit, index, members.len()));
        members.push(member);
        self.serve_one(member);
    }

    fn remove(&mut self, member: usize) {
        let Some(stream) = self.streams.try_remove(member) else { return };
        let topic = &mut self.topics[stream.topic];
        topic.members.swap_remove(stream.place);
        topic.pending = topic.pending.min(topic.members.len());
        if let Some(moved) = topic.members.get(stream.place) {
            self.streams[*moved].place = stream.place;
        }
        if topic.members.is_empty() {
            self.set_due(stream.topic, None);
            self.topics.remove(stream.topic);
            let key = stream.subscription.key();
            if self.by_key.get(key) == Some(&stream.topic) {
                self.by_key.remove(key);
            }
        }
        self.shrink();
    }

    /// Gives memory back once most of it is unused.
    fn shrink(&mut self) {
        if self.streams.is_empty() {
            self.streams.shrink_to_fit();
            self.topics.shrink_to_fit();
            self.by_key.shrink_to_fit();
            self.ready.shrink_to_fit();
            self.writer.shrink();
        }
    }
}
