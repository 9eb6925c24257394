//! The engine under the hubs: what it has stored, and what it has lost.

use std::collections::HashMap;

use saacms_realtime_core::engine::{Life, Packed, Stamp};
use saacms_realtime_core::{Position, Span, Timestamp, Told};

use super::Settings;
use crate::history::{History, Kind};

/// An event that the engine stored, whether it still has it or not.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// The number of its publish.
    pub(crate) number: usize,
    pub(crate) sequence: u64,
    /// The life of the engine in which it was stored.
    pub(crate) life: u64,
    pub(crate) etag: Option<String>,
    /// The wall clock at its stamp.
    pub(crate) at: i64,
    /// Whether the stamp may be its ID.
    pub(crate) is_id: bool,
    packed: Packed,
}

/// One record of the engine.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) history: History,
    /// The history as the slowest replica has it.
    stale: History,
}

#[derive(Debug)]
pub(crate) struct Engine {
    kind: Kind,
    keep: usize,
    stamps: bool,
    names_times: bool,
    pub(crate) records: Vec<Record>,
    /// All events that were ever stored. Histories have their indices as IDs.
    pub(crate) events: Vec<Event>,
    /// The event of a record that has an ETag or a time as its ID.
    by_id: HashMap<(usize, String), usize>,
    /// The newest sequence of any record.
    pub(crate) sequence: u64,
    pub(crate) life: Life,
    /// Losses of events, told or not.
    pub(crate) losses: u64,
    /// The sequences that were given before a loss of this life that nobody was told of, and after it
    /// again: places among them do not say which of the two they mean.
    given_again: Option<(u64, u64)>,
    /// The latest time that was given as an ID.
    latest_time: i64,
}

/// Which events a client has, according to its last event ID.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meaning {
    /// The index of the first event after it; `None` if that cannot be told.
    pub(crate) next: Option<usize>,
    /// The life of the engine that it is of; `None` if it is of none.
    pub(crate) life: Option<u64>,
    /// It names an event that was lost.
    pub(crate) is_lost: bool,
    /// It may mean two places, see [`Engine::given_again`].
    pub(crate) is_ambiguous: bool,
}

/// A run and its span, or the newest event as a run of one.
pub(crate) type Answer = (Vec<Told<Packed>>, Span);

impl Engine {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            kind: settings.kind,
            keep: settings.spec.keep,
            stamps: settings.spec.stamps,
            names_times: settings.names_times,
            records: (0..settings.records).map(|_| Record::default()).collect(),
            events: Vec::new(),
            by_id: HashMap::new(),
            sequence: 0,
            life: Life {
                number: 0xfeed,
                lost: 0,
            },
            losses: 0,
            given_again: None,
            latest_time: i64::MIN,
        }
    }

    /// Stores an event, and returns its live copy.
    pub(crate) fn store(
        &mut self,
        record: usize,
        number: usize,
        etag: Option<String>,
        mut packed: Packed,
        wall: i64,
    ) -> Told<Packed> {
        if self.stamps {
            let is_id = self.names_times && wall > self.latest_time;
            let at = Timestamp::from_millis(wall);
            packed.stamp(Stamp { at, is_id });
        }
        let parts = packed.parse().expect("a hub packed it");
        let stamp = parts.stamp.expect("a hub or the engine stamped it");
        if stamp.is_id {
            self.latest_time = stamp.at.as_millis();
        }

        let index = self.events.len();
        let time = stamp.is_id.then(|| stamp.at.to_string());
        if let Some(id) = etag.clone().or(time) {
            self.by_id.insert((record, id), index);
        }
        self.sequence += 1;
        self.events.push(Event {
            number,
            sequence: self.sequence,
            life: self.life.number,
            etag,
            at: stamp.at.as_millis(),
            is_id: stamp.is_id,
            packed,
        });
        let history = &mut self.records[record].history;
        history.push(index as u64, self.sequence, self.keep);
        let history = &self.records[record].history;
        self.told(history, history.all.len() - 1, true)
    }

    fn told(&self, history: &History, index: usize, is_live: bool) -> Told<Packed> {
        let (mark, link) = history.name(self.kind, self.life.number, index, is_live);
        let event = &self.events[history.all[index].id as usize];
        Told {
            mark,
            link,
            event: event.packed.clone(),
        }
    }

    /// The newest event of a record, from the replica that is furthest behind if `is_stale`.
    pub(crate) fn newest(&self, record: usize, is_stale: bool) -> Answer {
        let (history, span) = self.look(record, is_stale);
        let newest = history.kept_indices().last();
        let newest = newest.map(|index| self.told(history, index, false));
        (newest.into_iter().collect(), span)
    }

    /// The events of a record from a sequence on.
    pub(crate) fn run(&self, record: usize, from: u64, is_stale: bool) -> Answer {
        let (history, span) = self.look(record, is_stale);
        let kept = history.kept_indices();
        let run = kept.filter(|index| history.all[*index].sequence >= from);
        let run = run.map(|index| self.told(history, index, false));
        (run.collect(), span)
    }

    fn look(&self, record: usize, is_stale: bool) -> (&History, Span) {
        let Record { history, stale } = &self.records[record];
        let is_alone = self.records.len() == 1;
        let (history, upto) = if is_stale {
            (stale, stale.newest_sequence())
        } else {
            (history, self.sequence)
        };
        let since = history.since(self.kind, is_alone);
        (history, Span { since, upto })
    }

    /// Brings all replicas up to date.
    pub(crate) fn replicate(&mut self) {
        for record in &mut self.records {
            record.stale = record.history.clone();
        }
    }

    /// Loses the newest events, at most `count` of all records together and `depth` of each. Their
    /// numbers are given again. Returns how many.
    pub(crate) fn lose(&mut self, count: usize, depth: usize) -> usize {
        let before = self.sequence;
        let mut lost = 0;
        while lost < count {
            let newest = |record: &Record| record.history.all.last().map(|it| it.sequence);
            let newest = (0..self.records.len()).max_by_key(|it| newest(&self.records[*it]));
            let newest = newest.map(|record| &mut self.records[record].history);
            let Some(history) = newest.filter(|it| it.losable(depth) > 0) else {
                break;
            };
            history.lose(1);
            lost += 1;
        }
        if lost == 0 {
            return 0;
        }

        let left = self.records.iter().map(|it| it.history.newest_sequence());
        self.sequence = left.max().unwrap_or(0);
        self.losses += 1;
        let (first, last) = self.given_again.unwrap_or((u64::MAX, 0));
        self.given_again = Some((first.min(self.sequence + 1), last.max(before)));
        // No replica knows more than the one that is left.
        self.replicate();
        lost
    }

    /// Begins another life: everybody will be told of the loss.
    pub(crate) fn begin_life(&mut self) {
        self.life = Life {
            number: self.life.number + 1,
            lost: self.sequence,
        };
        self.given_again = None;
    }

    /// Drops all events, by age or for room.
    pub(crate) fn drop_all(&mut self) {
        for record in &mut self.records {
            record.history.drop_all(self.sequence);
        }
        self.replicate();
    }

    /// Which events of a record a client has that names this ID.
    pub(crate) fn meaning(&self, record: usize, id: &str) -> Result<Meaning, String> {
        let history = &self.records[record].history;
        if let Some(event) = self.by_id.get(&(record, id.to_owned())) {
            let index = history.index(*event as u64);
            return Ok(Meaning {
                next: index.map(|index| index + 1),
                life: Some(self.events[*event].life),
                is_lost: index.is_none(),
                is_ambiguous: false,
            });
        }

        let Some(position) = Position::parse(id.as_bytes()) else {
            return Ok(Meaning::default());
        };
        let life = u64::from_str_radix(&id[..16], 16).expect("it is a position");
        if life != self.life.number {
            return Ok(Meaning {
                life: Some(life),
                ..Meaning::default()
            });
        }
        let sequence = position.sequence;
        let is_ambiguous = self
            .given_again
            .is_some_and(|(first, last)| (first..=last).contains(&sequence));
        if sequence > self.sequence && !is_ambiguous {
            let newest = self.sequence;
            return Err(format!("{id} is a place after the newest one, {newest}"));
        }
        let next = history.all.partition_point(|it| it.sequence <= sequence);
        Ok(Meaning {
            next: Some(next).filter(|_| !is_ambiguous),
            life: Some(life),
            is_lost: false,
            is_ambiguous,
        })
    }
}
