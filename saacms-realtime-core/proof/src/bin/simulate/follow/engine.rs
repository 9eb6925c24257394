//! The engine of the attack: what it keeps of the record, and what it answers.

use saacms_realtime_core::{Ask, Span, Told};

use super::KEEP;
use crate::history::{History, Kind};

/// An event as it is told: what the followers never look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: u64,
    /// The life of the engine that told it.
    pub(crate) life: u64,
}

#[derive(Debug)]
pub(crate) struct Engine {
    kind: Kind,
    is_alone: bool,
    pub(crate) history: History,
    /// The history as the slowest replica has it.
    stale: History,
    /// The newest sequence of any record.
    pub(crate) sequence: u64,
    /// How many events the record ever had, and the ID of the newest one.
    pub(crate) ids: u64,
    /// Another one after each loss.
    pub(crate) life: u64,
}

/// An answer, of one moment.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Newest(Option<Told<Event>>, Span),
    Run(Vec<Told<Event>>, Span),
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
        }
    }

    /// Publishes an event, after `others` events of other records.
    pub(crate) fn publish(&mut self, others: u64) -> Told<Event> {
        self.sequence += 1 + others;
        self.ids += 1;
        self.history.push(self.ids, self.sequence, KEEP);
        self.told(&self.history, self.history.all.len() - 1, true)
    }

    /// Whether answers are always of the newest state.
    pub(crate) fn is_exact(&self) -> bool {
        self.kind.is_exact()
    }

    /// Brings all replicas up to date.
    pub(crate) fn replicate(&mut self) {
        self.stale = self.history.clone();
    }

    /// Answers an ask, from the replica that is furthest behind if `is_stale`.
    pub(crate) fn answer(&self, ask: Ask, is_stale: bool) -> Answer {
        let history = if is_stale { &self.stale } else { &self.history };
        let upto = if is_stale {
            history.newest_sequence()
        } else {
            self.sequence
        };
        let since = history.since(self.kind, self.is_alone);
        let span = Span { since, upto };

        let kept = history.kept_indices();
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
        let (mark, link) = history.name(self.kind, self.life, index, is_live);
        Told {
            mark,
            link,
            event: Event {
                id: history.all[index].id,
                life: self.life,
            },
        }
    }

    /// How many of the newest events may be lost.
    pub(crate) fn losable(&self, depth: usize) -> usize {
        self.history.losable(depth)
    }

    /// Loses the newest events. Their numbers are given again.
    pub(crate) fn lose(&mut self, count: usize) {
        self.history.lose(count);
        self.sequence = self.history.newest_sequence();
        self.life += 1;
        // No replica knows more than the one that is left.
        self.replicate();
    }

    /// Drops all events, by age or for room.
    pub(crate) fn drop_all(&mut self) {
        self.history.drop_all(self.sequence);
        self.replicate();
    }
}
