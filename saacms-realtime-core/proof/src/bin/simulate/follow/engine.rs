//! The engine of the attack: what it keeps of the record, and what it answers.

use saacms_realtime_core::{Ask, Link, Mark, Span, Told};

use super::KEEP;

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

/// An event as it is told: what the followers never look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: u64,
    /// The life of the engine that told it.
    pub(crate) life: u64,
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
}

#[derive(Debug)]
pub(crate) struct Engine {
    kind: Kind,
    is_alone: bool,
    pub(crate) history: History,
    /// What the replica knows that is furthest behind.
    stale: History,
    /// The newest sequence of any record.
    pub(crate) sequence: u64,
    /// How many events the record ever had, and the ID of the newest one.
    pub(crate) ids: u64,
    /// Another one after each loss.
    pub(crate) life: u64,
    /// The most events that the history ever had.
    peak: usize,
}

/// An answer, of one moment.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Newest(Option<Told<Event>>, Span),
    Run(Vec<Told<Event>>, Span),
}

impl History {
    pub(crate) fn kept(&self) -> &[Stored] {
        &self.all[self.first..]
    }

    /// The index of an event; `None` if it was lost.
    pub(crate) fn index(&self, id: u64) -> Option<usize> {
        self.all.binary_search_by_key(&id, |stored| stored.id).ok()
    }
}

impl Answer {
    pub(crate) fn span(&self) -> Span {
        match self {
            Self::Newest(_, span) | Self::Run(_, span) => *span,
        }
    }
}

impl Engine {
    pub(crate) fn new(kind: Kind, is_alone: bool) -> Self {
        Self {
            kind,
            is_alone,
            history: History::default(),
            stale: History::default(),
            sequence: 0,
            ids: 0,
            life: 0,
            peak: 0,
        }
    }

    /// Publishes an event, after `others` events of other records.
    pub(crate) fn publish(&mut self, others: u64) -> Told<Event> {
        self.sequence += 1 + others;
        self.ids += 1;
        let history = &mut self.history;
        let before = history.kept().last().map(|stored| stored.sequence);
        history.all.push(Stored {
            id: self.ids,
            sequence: self.sequence,
            before,
        });
        if history.kept().len() > KEEP {
            history.first += 1;
        }

        self.peak = self.peak.max(history.all.len());
        self.told(&self.history, self.history.all.len() - 1, true)
    }

    /// Whether answers are always of the newest state.
    pub(crate) fn is_exact(&self) -> bool {
        self.kind != Kind::Numbers
    }

    /// Brings all replicas up to date.
    pub(crate) fn replicate(&mut self) {
        self.stale = self.history.clone();
    }

    /// Answers an ask, from the replica that is furthest behind if `is_stale`.
    pub(crate) fn answer(&self, ask: Ask, is_stale: bool) -> Answer {
        let history = if is_stale { &self.stale } else { &self.history };
        let upto = if is_stale {
            let newest = history.all.last().map_or(0, |stored| stored.sequence);
            newest.max(history.dropped)
        } else {
            self.sequence
        };

        // An engine that knows only the oldest event of all records, and that is one of this record.
        let is_oldest = self.is_alone && !self.is_exact() && history.first > history.settled;
        let oldest = history.kept().first().filter(|_| is_oldest);
        let since = oldest.map_or(history.dropped, |stored| stored.sequence - 1);
        let span = Span { since, upto };

        let kept = history.first..history.all.len();
        match ask {
            Ask::Newest { .. } => {
                let newest = kept.last().map(|index| self.told(history, index, false));
                Answer::Newest(newest, span)
            }
            Ask::Run { from, .. } => {
                let run = kept.filter(|index| history.all[*index].sequence >= from);
                let run = run.map(|index| self.told(history, index, false));
                Answer::Run(run.collect(), span)
            }
        }
    }

    /// An event as it is told, live or in an answer.
    fn told(&self, history: &History, index: usize, is_live: bool) -> Told<Event> {
        let stored = history.all[index];
        let before = index.checked_sub(1).map(|index| history.all[index]);
        let link = match (self.kind, stored.before, before) {
            (Kind::Numbers, Some(sequence), _) if is_live => Link::After {
                sequence,
                print: None,
            },
            (Kind::Numbers, None, _) if is_live => Link::First,
            (Kind::Numbers, ..) => Link::Unknown,
            // A file links by the row before, so where that is gone it cannot tell.
            (Kind::Life, ..) if !is_live && index > 0 && index == history.first => Link::Unknown,
            (_, _, None) => Link::First,
            (_, _, Some(before)) => Link::After {
                sequence: before.sequence,
                print: Some(self.print(before)),
            },
        };

        Told {
            mark: Mark {
                sequence: stored.sequence,
                print: self.print(stored),
            },
            link,
            event: Event {
                id: stored.id,
                life: self.life,
            },
        }
    }

    fn print(&self, stored: Stored) -> u64 {
        if self.kind == Kind::Life {
            self.life
        } else {
            stored.id
        }
    }

    /// How many of the newest events may be lost: none of those that were dropped, and not so many
    /// that the oldest ones that were kept with them are gone, too.
    pub(crate) fn losable(&self, depth: usize) -> usize {
        let least = self.peak.saturating_sub(depth).max(self.history.settled);
        self.history.all.len().saturating_sub(least)
    }

    /// Loses the newest events. Their numbers are given again.
    pub(crate) fn lose(&mut self, count: usize) {
        let history = &mut self.history;
        let left = history.all.len() - count;
        history.all.truncate(left);
        history.first = history.first.min(left);
        let newest = history.all.last().map_or(0, |stored| stored.sequence);
        self.sequence = newest.max(history.dropped);
        self.life += 1;
        // No replica knows more than the one that is left.
        self.replicate();
    }

    /// Drops all events, by age or for room.
    pub(crate) fn drop_all(&mut self) {
        let history = &mut self.history;
        history.first = history.all.len();
        history.settled = history.all.len();
        history.dropped = self.sequence;
        self.replicate();
    }
}
