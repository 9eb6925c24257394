//! A node: a follower, and the feed that does what it says.

use std::collections::VecDeque;

use saacms_realtime_core::{Ask, Follower, Span, Told};

use super::KEEP;
use super::client::Id;
use super::engine::{Answer, Event};

/// An event in the ring of a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    sequence: u64,
    pub(crate) event: Event,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) follower: Follower<Event>,
    pub(crate) is_up: bool,
    /// Readers may begin.
    pub(crate) has_begun: bool,
    /// It joined, and nobody who is never behind has confirmed since that it missed nothing.
    pub(crate) is_fresh: bool,
    /// The ring has all that the engine keeps, so there is no need to look back.
    pub(crate) is_complete: bool,
    ring: VecDeque<Entry>,
    /// The event before the ring.
    before: Option<Entry>,
    /// Nothing after this sequence is missing in the ring.
    floor: u64,
    /// The life that the engine was in when it told where the record stands.
    place_life: u64,
    /// Up to this sequence, it was told of all there was.
    pub(crate) heard_upto: u64,
    pub(crate) ask: Option<Ask>,
    /// What the engine answers to `ask`, on its way.
    pub(crate) answer: Option<Answer>,
    /// The life that the engine was in when it answered.
    pub(crate) answer_life: u64,
    /// How many asks were asked.
    pub(crate) asks: u64,
    /// The number of the last ask whose answer confirmed for certain that nothing was missed.
    pub(crate) confirmed: u64,
    /// Live copies on their way.
    pub(crate) wire: VecDeque<Told<Event>>,
}

impl Entry {
    fn of(told: &Told<Event>) -> Self {
        Self {
            sequence: told.mark.sequence,
            event: told.event,
        }
    }

    /// What a client that gets this event will name.
    pub(crate) fn id(&self, names_positions: bool) -> Id {
        if names_positions {
            Id::Position {
                life: self.event.life,
                sequence: self.sequence,
            }
        } else {
            Id::Event(self.event.id)
        }
    }
}

impl Node {
    pub(crate) fn new(is_up: bool) -> Self {
        Self {
            follower: Follower::new(KEEP),
            is_up,
            has_begun: false,
            is_fresh: false,
            is_complete: false,
            ring: VecDeque::new(),
            before: None,
            floor: 0,
            place_life: 0,
            heard_upto: 0,
            ask: None,
            answer: None,
            answer_life: 0,
            asks: 0,
            confirmed: 0,
            wire: VecDeque::new(),
        }
    }

    /// The newest event that it passed on.
    pub(crate) fn newest(&self) -> Option<Entry> {
        self.ring.back().copied().or(self.before)
    }

    /// Gives up the ask that is out: its answer will not come.
    pub(crate) fn fail(&mut self) {
        self.answer = None;
        if self.ask.take().is_some() {
            self.follower.failed();
        }
    }

    /// Its follower joined at an event, or where there is none.
    pub(crate) fn begin(&mut self, newest: Option<&Told<Event>>, span: Span) {
        self.has_begun = true;
        self.is_complete = newest.is_none();
        self.before = newest.map(Entry::of);
        self.floor = newest.map_or(span.since, |told| told.mark.sequence);
        self.place_life = self.answer_life;
        self.ring.clear();
    }

    pub(crate) fn push(&mut self, told: &Told<Event>) {
        self.heard_upto = self.heard_upto.max(told.mark.sequence);
        self.ring.push_back(Entry::of(told));
        if self.ring.len() > KEEP {
            self.evict();
        }
    }

    fn evict(&mut self) {
        if let Some(oldest) = self.ring.pop_front() {
            self.before = Some(oldest);
            self.floor = oldest.sequence;
        }
    }

    /// Puts what the engine keeps before what the ring has.
    pub(crate) fn look_back(&mut self, history: &[Told<Event>], floor: u64) {
        self.is_complete = true;
        let first = self.ring.front().map_or(u64::MAX, |entry| entry.sequence);
        let older = history.iter().map(Entry::of);
        let older: Vec<Entry> = older.filter(|entry| entry.sequence < first).collect();
        if older.is_empty() {
            return;
        }

        (self.before, self.floor) = (None, floor);
        for entry in older.into_iter().rev() {
            self.ring.push_front(entry);
        }
        while self.ring.len() > KEEP {
            self.evict();
        }
    }

    /// Notes that the place moved on by an answer.
    pub(crate) fn placed(&mut self) {
        self.place_life = self.answer_life;
    }

    /// What a client is told that it has seen.
    pub(crate) fn id(&self, names_positions: bool) -> Id {
        match self.newest() {
            Some(entry) => entry.id(names_positions),
            None => Id::Position {
                life: self.place_life,
                sequence: self.follower.place(),
            },
        }
    }

    /// Where a client that names an ID begins in the ring. `life`: that of the engine.
    pub(crate) fn find(&self, named: Id, life: u64, is_confirmed: bool) -> Option<usize> {
        match named {
            Id::Event(id) => {
                let at = self.ring.iter().position(|entry| entry.event.id == id);
                let is_before = self.before.is_some_and(|entry| entry.event.id == id);
                at.map(|at| at + 1).or(is_before.then_some(0))
            }
            Id::Position { life: of, sequence } => {
                // Where it is ahead of this node, there may be events that nobody here has heard of.
                let is_known = sequence <= self.follower.place() || is_confirmed;
                let is_here = of == life && of == self.place_life && sequence >= self.floor;
                let after = self.ring.iter().position(|entry| entry.sequence > sequence);
                (is_known && is_here).then(|| after.unwrap_or(self.ring.len()))
            }
        }
    }

    /// The events of the ring from an index on.
    pub(crate) fn replay(&self, from: usize) -> Vec<Entry> {
        self.ring.iter().skip(from).copied().collect()
    }
}
