//! One record of an engine: what has been passed on, and what to ask the engine next.
//!
//! An engine keeps the history of all records outside of this process, and reports new events to each
//! node. Reports may be lost, repeated or late; a stale replica may answer; and an engine can lose what
//! it has stored. A [`Follower`] turns all of that into a sequence of events without a silent gap. It is
//! pure: no clock, no I/O, and events are opaque to it.

mod ask;
mod early;
mod state;
mod told;

use alloc::vec::Vec;

pub use ask::{Ask, Effect};
pub use told::{Link, Mark, Span, Told};

use early::Early;
use state::{Fit, State};

/// Where one node stands in one record of an engine.
///
/// - *What the engine says*: [`live`](Self::live), and as answers [`newest`](Self::newest),
///   [`run`](Self::run) and [`failed`](Self::failed).
/// - *What happened to the engine*: [`doubt`](Self::doubt), [`lost`](Self::lost).
/// - *What readers need*: [`look_back`](Self::look_back), [`make_sure`](Self::make_sure).
/// - *What to do*: the effects that inputs append, and [`ask`](Self::ask).
///
/// A driver calls `ask` after every input, and passes the answer to the input of the same name. At most
/// one ask is outstanding at a time. A driver numbers its asks, and drops the answer to an earlier one,
/// or from before the last loss: a follower cannot distinguish it from the answer that it waits for.
///
/// ```
/// use saacms_realtime_core::{Ask, Effect, Follower, Link, Mark, Span, Told};
///
/// let told = |sequence, before| Told {
///     mark: Mark { sequence, print: 7 },
///     link: Link::After { sequence: before, print: None },
///     event: "an event",
/// };
/// let mut follower = Follower::new(101);
/// let mut effects = Vec::new();
///
/// // A join: the newest event is where readers begin.
/// assert_eq!(follower.ask(), Some(Ask::Newest { sure: false }));
/// let span = Span { since: 0, upto: 9 };
/// follower.newest(Some(told(4, 2)), span, &mut effects);
/// assert_eq!(effects, [Effect::Begin(Some(told(4, 2)), span)]);
///
/// // The event after it, which other records' events lie between.
/// follower.live(told(11, 4), &mut effects);
/// assert_eq!(effects[1..], [Effect::Push(told(11, 4))]);
///
/// // The event at 15 did not arrive.
/// follower.live(told(17, 15), &mut effects);
/// assert_eq!(follower.ask(), Some(Ask::Run { from: 11, sure: false }));
/// let run = vec![told(11, 4), told(15, 11), told(17, 15)];
/// follower.run(run, Span { since: 0, upto: 17 }, &mut effects);
/// let confirmed = Effect::Confirmed { sure: false };
/// assert_eq!(
///     effects[2..],
///     [Effect::Push(told(15, 11)), Effect::Push(told(17, 15)), confirmed]
/// );
/// assert_eq!(follower.ask(), None);
/// ```
#[derive(Clone, Debug)]
pub struct Follower<E> {
    state: State,
    /// The newest event that was passed on, or that was the newest when this node joined.
    tail: Option<Mark>,
    /// All events of the record up to this sequence were passed on, or readers never wait for them.
    /// Never before the tail.
    place: u64,
    early: Early<E>,
    /// Whether the ask that is out, or the next one, must not be answered by a stale replica.
    sure: bool,
    /// Whether an ask is out.
    is_asked: bool,
    /// A doubt came while the ask was out, so the engine may have looked before it.
    asks_again: bool,
    /// Somebody wants to begin before the place at which this node joined.
    looks_back: bool,
    /// Most events of one record that the engine keeps.
    keep: usize,
}

impl<E> Follower<E> {
    /// A follower that has not joined. `keep`: most events of one record that the engine keeps.
    ///
    /// Where a hub replays `max_events`, the engine should keep one more: the event before the window,
    /// so that a client that names it is known to have missed exactly the window.
    pub const fn new(keep: usize) -> Self {
        Self {
            state: State::Joining { interrupt: false },
            tail: None,
            place: 0,
            early: Early::new(),
            sure: false,
            is_asked: false,
            asks_again: false,
            looks_back: false,
            keep,
        }
    }

    /// What to ask the engine now; `None` while an ask is out, or nothing is open. To be called after
    /// every input.
    pub fn ask(&mut self) -> Option<Ask> {
        let sure = self.sure;
        let ask = match self.state {
            _ if self.is_asked => return None,
            State::Live => return None,
            State::Joining { .. } | State::Checking => Ask::Newest { sure },
            State::Reading => {
                let from = self.tail.filter(|_| !self.looks_back);
                let from = from.map_or(0, |tail| tail.sequence);
                Ask::Run { from, sure }
            }
        };

        self.is_asked = true;
        self.asks_again = false;
        self.early.asked();
        Some(ask)
    }

    /// The sequence up to which nothing is missing: a place from which readers may resume.
    ///
    /// 0 before the join.
    pub const fn place(&self) -> u64 {
        self.place
    }

    /// Whether no question is open: events are passed on as they arrive.
    pub fn is_live(&self) -> bool {
        self.state == State::Live
    }

    /// The live events that wait until it is known what comes before them, at most 200.
    #[cfg(feature = "std")]
    pub(crate) fn early(&self) -> impl Iterator<Item = &Told<E>> {
        self.early.events()
    }

    /// The engine reports a new event.
    pub fn live(&mut self, told: Told<E>, effects: &mut Vec<Effect<E>>) {
        if self.state != State::Live {
            self.early.push(told);
            return;
        }

        match self.fit(&told) {
            Fit::Next => self.push(told, effects),
            Fit::Old => {}
            Fit::Gap => {
                self.early.push(told);
                self.turn(State::Reading, false);
            }
        }
    }

    /// The answer to [`Ask::Newest`]: the newest event that the engine keeps.
    pub fn newest(&mut self, newest: Option<Told<E>>, span: Span, effects: &mut Vec<Effect<E>>) {
        if !core::mem::take(&mut self.is_asked) {
            return;
        }

        match self.state {
            State::Joining { interrupt } => {
                self.tail = newest.as_ref().map(|told| told.mark);
                self.place = self.tail.map_or(0, |tail| tail.sequence).max(span.upto);
                // Readers are told to refetch only now that the tail is known. A reader that refetched
                // earlier would miss the events between its refetch and the tail.
                effects.push(if interrupt {
                    Effect::Interrupt(newest, span)
                } else {
                    Effect::Begin(newest, span)
                });
                self.settle(effects);
            }
            State::Checking => {
                let is_unchanged = match &newest {
                    Some(told) => Some(told.mark) == self.tail,
                    None => self.is_dropped(span),
                };
                if is_unchanged {
                    self.confirm(span, effects);
                } else {
                    self.turn(State::Reading, self.sure);
                }
            }
            // The engine was asked for something else, and is asked again.
            State::Live | State::Reading => {}
        }
    }

    /// The answer to [`Ask::Run`]: the events that the engine keeps, oldest first, without holes.
    pub fn run(&mut self, run: Vec<Told<E>>, span: Span, effects: &mut Vec<Effect<E>>) {
        if !core::mem::take(&mut self.is_asked) || self.state != State::Reading {
            return;
        }

        // What comes after the tail is complete. Where the tail is no longer kept, the run must show by
        // itself that nothing is missing between the two.
        let anchor = self
            .tail
            .and_then(|tail| run.iter().position(|told| told.mark == tail));
        if let Some(anchor) = anchor {
            self.pass_on(run, anchor + 1, span, effects);
        } else if self.is_whole(&run, span) {
            self.pass_on(run, 0, span, effects);
        } else if self.sure {
            self.turn(State::Joining { interrupt: true }, true);
        } else {
            self.turn(State::Reading, true);
        }
    }

    /// The engine could not answer. The next [`ask`](Self::ask) is the same again; the driver decides
    /// when.
    pub fn failed(&mut self) {
        self.is_asked = false;
    }

    /// An event may have been missed: the connection to the engine was lost, a queue overflowed.
    pub fn doubt(&mut self) {
        if self.state == State::Live {
            self.turn(State::Checking, false);
            return;
        }
        self.early.doubt();
        self.asks_again |= self.is_asked;
    }

    /// The engine has lost stored events: all readers refetch, whatever they know.
    ///
    /// The answer to an outstanding ask must not be passed in any more.
    pub fn lost(&mut self) {
        let interrupt = self.state != State::Joining { interrupt: false };
        self.is_asked = false;
        self.early.clear();
        self.turn(State::Joining { interrupt }, true);
    }

    /// A reader names an event that was not passed on here: asks for all that the engine keeps.
    ///
    /// Has no effect while another question is open: call it again once the follower is live.
    pub fn look_back(&mut self) {
        if self.state == State::Live {
            self.looks_back = true;
            self.turn(State::Reading, false);
        }
    }

    /// A reader names an event that is unknown here: asks whether the engine knows it, and accepts no
    /// stale answer, before the reader has to refetch.
    ///
    /// Has no effect while another question is open: call it again once the follower is live.
    pub fn make_sure(&mut self) {
        if self.state == State::Live {
            self.turn(State::Checking, true);
        }
    }

    fn turn(&mut self, state: State, sure: bool) {
        (self.state, self.sure) = (state, sure);
    }

    /// Whether the tail, if there is one, left the engine by age or for room, and everything that did
    /// so was passed on before.
    fn is_dropped(&self, span: Span) -> bool {
        self.tail.is_none_or(|tail| tail.sequence <= span.since) && span.since <= self.place
    }

    /// Whether a run without the tail in it has all events that came after the tail.
    fn is_whole(&self, run: &[Told<E>], span: Span) -> bool {
        let Some(first) = run.first() else {
            return self.is_dropped(span);
        };

        match (first.link, self.tail) {
            // Without the print it could be another event that got the tail's sequence.
            (Link::After { sequence, print }, Some(tail)) => {
                sequence == tail.sequence && print == Some(tail.print)
            }
            // Up to `since` it may have been dropped before this node joined. After that, nobody here
            // has seen it.
            (Link::After { sequence, .. }, None) => sequence <= span.since && self.is_dropped(span),
            (Link::First, _) => self.is_dropped(span),
            (Link::Unknown, _) => self.is_dropped(span) && self.is_short(run),
        }
    }

    /// Whether a run is so short that the engine cannot have dropped an older event for it.
    ///
    /// Half of `keep` rather than all of it: an engine that lost some of its newest events may have
    /// dropped as many of the oldest for them before.
    fn is_short(&self, run: &[Told<E>]) -> bool {
        run.len() <= self.keep / 2
    }

    /// Passes on a run from an index on. If readers want what is before, it is history.
    fn pass_on(
        &mut self,
        mut run: Vec<Told<E>>,
        index: usize,
        span: Span,
        effects: &mut Vec<Effect<E>>,
    ) {
        let floor = match run.first().map(|told| (told.link, told.mark)) {
            Some((Link::After { sequence, .. }, _)) => sequence,
            Some((Link::First | Link::Unknown, mark)) if !self.is_short(&run) => mark.sequence,
            Some(_) | None => span.since,
        };

        let new = run.split_off(index);
        if core::mem::take(&mut self.looks_back) {
            effects.push(Effect::History(run, floor));
        }
        for told in new {
            self.push(told, effects);
        }
        self.confirm(span, effects);
    }

    fn push(&mut self, told: Told<E>, effects: &mut Vec<Effect<E>>) {
        self.tail = Some(told.mark);
        self.place = self.place.max(told.mark.sequence);
        effects.push(Effect::Push(told));
    }

    /// The engine has no event that was not passed on.
    fn confirm(&mut self, span: Span, effects: &mut Vec<Effect<E>>) {
        self.place = self.place.max(span.upto);
        effects.push(Effect::Confirmed { sure: self.sure });
        self.settle(effects);
    }

    /// Takes the events that arrived early, and is live if nothing is open after that.
    fn settle(&mut self, effects: &mut Vec<Effect<E>>) {
        let was_sure = self.sure;
        if self.early.is_void() {
            self.early.clear();
            // A replica that is behind may not have the events that were void.
            self.turn(State::Checking, true);
            return;
        }
        if self.asks_again {
            self.turn(State::Checking, false);
            return;
        }

        while let Some((told, was_there)) = self.early.pop() {
            match self.fit(&told) {
                Fit::Next => self.push(told, effects),
                Fit::Old => {}
                // The engine was asked after this event arrived, and does not have it.
                Fit::Gap if was_there && was_sure => {}
                Fit::Gap => {
                    self.early.put_back(told);
                    self.turn(State::Reading, was_there);
                    return;
                }
            }
        }
        self.early.clear();
        self.turn(State::Live, false);
    }

    fn fit(&self, told: &Told<E>) -> Fit {
        let is_next = match (told.link, self.tail) {
            (Link::After { sequence, print }, Some(tail)) => {
                sequence == tail.sequence
                    && told.mark.sequence > sequence
                    && print.is_none_or(|print| print == tail.print)
            }
            (Link::After { .. } | Link::First | Link::Unknown, _) => false,
        };

        if is_next {
            Fit::Next
        } else if told.mark.sequence > self.place {
            // `First`, too: what came before it may have been dropped for room.
            Fit::Gap
        } else {
            Fit::Old
        }
    }
}

#[cfg(test)]
mod tests;
