//! What an engine keeps of one record, and what it says of it: the model that the simulations of
//! followers and of clusters share.

use core::ops::Range;

use saacms_realtime_core::{Link, Mark};

/// How an engine names events and links them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Live copies link by number alone, and events that are read not at all. Answers may be stale.
    /// A loss always interrupts the connections (NATS).
    Numbers,
    /// Links carry the print of each event. A loss may go unnoticed (Redis).
    Prints,
    /// The print of all events is the life of the engine, which tells of every loss (a file).
    Life,
}

impl Kind {
    /// Whether answers are always of the newest state.
    pub(crate) fn is_exact(self) -> bool {
        self != Self::Numbers
    }
}

/// An event as it is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored {
    /// Never used twice; later events have larger ones.
    pub(crate) id: u64,
    pub(crate) sequence: u64,
    /// The sequence of the event that was the newest kept when this one came.
    before: Option<u64>,
}

/// The history of the record.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// All events, also those that are no longer kept, but without those that were lost.
    pub(crate) all: Vec<Stored>,
    /// The index of the oldest event that is kept.
    first: usize,
    /// The newest sequence that was dropped by age or for room.
    pub(crate) dropped: u64,
    /// Events before this index were dropped so. No loss reaches back to them.
    settled: usize,
    /// The most events that there ever were.
    peak: usize,
}

impl History {
    /// Adds an event; at most `keep` are kept.
    pub(crate) fn push(&mut self, id: u64, sequence: u64, keep: usize) {
        let before = self.kept().last().map(|stored| stored.sequence);
        self.all.push(Stored {
            id,
            sequence,
            before,
        });
        if self.kept().len() > keep {
            self.first += 1;
        }
        self.peak = self.peak.max(self.all.len());
    }

    pub(crate) fn kept(&self) -> &[Stored] {
        &self.all[self.first..]
    }

    /// The indices of the events that are kept.
    pub(crate) fn kept_indices(&self) -> Range<usize> {
        self.first..self.all.len()
    }

    /// The index of an event; `None` if it was lost.
    pub(crate) fn index(&self, id: u64) -> Option<usize> {
        self.all.binary_search_by_key(&id, |stored| stored.id).ok()
    }

    /// The newest sequence of this record that the owner of this history knows of.
    pub(crate) fn newest_sequence(&self) -> u64 {
        let newest = self.all.last().map_or(0, |stored| stored.sequence);
        newest.max(self.dropped)
    }

    /// Nothing after this was dropped, except the oldest events of a full record. `is_alone`: the
    /// engine keeps no other record.
    pub(crate) fn since(&self, kind: Kind, is_alone: bool) -> u64 {
        // An engine that knows only the oldest event of all records, and that is one of this record.
        let is_oldest = is_alone && !kind.is_exact() && self.first > self.settled;
        let oldest = self.kept().first().filter(|_| is_oldest);
        oldest.map_or(self.dropped, |stored| stored.sequence - 1)
    }

    /// What names an event, and what it links to, as an engine in this life tells of it.
    pub(crate) fn name(&self, kind: Kind, life: u64, index: usize, is_live: bool) -> (Mark, Link) {
        let print = |stored: Stored| if kind == Kind::Life { life } else { stored.id };
        let stored = self.all[index];
        let before = index.checked_sub(1).map(|index| self.all[index]);

        let link = match (kind, stored.before, before) {
            (Kind::Numbers, Some(sequence), _) if is_live => Link::After {
                sequence,
                print: None,
            },
            (Kind::Numbers, None, _) if is_live => Link::First,
            (Kind::Numbers, ..) => Link::Unknown,
            // A file links by the row before, so where that is gone it cannot tell.
            (Kind::Life, ..) if !is_live && index > 0 && index == self.first => Link::Unknown,
            (_, _, None) => Link::First,
            (_, _, Some(before)) => Link::After {
                sequence: before.sequence,
                print: Some(print(before)),
            },
        };
        let mark = Mark {
            sequence: stored.sequence,
            print: print(stored),
        };
        (mark, link)
    }

    /// How many of the newest events may be lost: none of those that were dropped, and not so many
    /// that the oldest ones that were kept with them are gone, too.
    pub(crate) fn losable(&self, depth: usize) -> usize {
        let least = self.peak.saturating_sub(depth).max(self.settled);
        self.all.len().saturating_sub(least)
    }

    /// Loses the newest events.
    pub(crate) fn lose(&mut self, count: usize) {
        let left = self.all.len() - count;
        self.all.truncate(left);
        self.first = self.first.min(left);
    }

    /// Drops all events, by age or for room. `sequence`: the newest one of the engine.
    pub(crate) fn drop_all(&mut self, sequence: u64) {
        self.first = self.all.len();
        self.settled = self.all.len();
        self.dropped = sequence;
    }
}
