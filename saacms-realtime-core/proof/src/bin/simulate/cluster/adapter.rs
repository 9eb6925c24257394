//! The connection between the engine and one hub: requests, and reports in flight.

use std::collections::{BTreeSet, VecDeque};

use saacms_realtime_core::engine::{Packed, Report, Request, Ticket};

/// A publish that the engine has not looked at yet.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) ticket: Ticket,
    pub(crate) record: usize,
    pub(crate) number: usize,
    pub(crate) packed: Packed,
}

#[derive(Debug, Default)]
pub(crate) struct Adapter {
    pub(crate) is_up: bool,
    /// The records whose live events are reported.
    pub(crate) watched: BTreeSet<usize>,
    /// Watches and asks that were not carried out yet, in order.
    pub(crate) asks: VecDeque<Request>,
    /// In the order of the requests.
    pub(crate) publishes: VecDeque<Waiting>,
    /// The newest publish that was sent.
    pub(crate) newest: Option<usize>,
    /// Answers in flight. Each says what the engine had when it was asked.
    pub(crate) answers: Vec<Report>,
    /// Live copies in flight.
    pub(crate) wire: VecDeque<Report>,
    /// Outcomes of publishes in flight.
    pub(crate) outcomes: VecDeque<Report>,
}

impl Adapter {
    /// Nothing is to be done, and nothing is on its way.
    pub(crate) fn is_idle(&self) -> bool {
        self.asks.is_empty()
            && self.publishes.is_empty()
            && self.answers.is_empty()
            && self.wire.is_empty()
            && self.outcomes.is_empty()
    }

    /// Forgets the asks that are out. Answers on their way may still arrive, under old numbers.
    pub(crate) fn forget_asks(&mut self, keeps_answers: bool) {
        let is_watch = |it: &Request| matches!(it, Request::Watch(_) | Request::Unwatch(_));
        self.asks.retain(is_watch);
        if !keeps_answers {
            self.answers.clear();
        }
    }

    /// The connection is lost, and with it what was on its way to the hub.
    pub(crate) fn cut(&mut self, keeps_answers: bool) {
        self.is_up = false;
        self.watched.clear();
        self.asks.clear();
        self.wire.clear();
        if !keeps_answers {
            self.answers.clear();
        }
    }
}
