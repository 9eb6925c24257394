/// The number of streams that are written to in one turn.
///
/// It is small, because a publish that arrives in the meantime waits for them, but more than one,
/// because each turn costs a timer.
pub(super) const PORTION: usize = 16;

/// The round of an object over its streams, which are served in the order of their numbers.
///
/// Waking a stream costs the runtime the same for one frame as for twenty, and what is sent to a
/// stream while it is busy only waits in its queue. So streams are served a portion at a time. Between
/// two portions the runtime has its turn: it writes what it was given, and reads what arrived. Events
/// that are published in the meantime wait in the ring, and go to every stream at its next turn, joined
/// into one chunk.
///
/// Each turn is a [`begin_turn`](Self::begin_turn) and an [`end_turn`](Self::end_turn).
#[derive(Debug)]
pub(super) struct Round {
    /// The next stream to serve; `None` if no round is under way.
    next: Option<u32>,
    /// Whether streams that have had their turn lack something.
    is_stale: bool,
    /// Events published since the round began.
    events: usize,
    /// Bytes of these events.
    bytes: usize,
    limits: Limits,
}

/// The most that may be published during a round.
///
/// A stream that waits for its turn can be two such amounts behind: the events of this round, and
/// those after its turn in the last one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) events: usize,
    pub(super) bytes: usize,
}

/// The bytes that a waiting event counts in addition to its frame: more than it costs in the ring.
const EVENT_BYTES: usize = 512;

impl Round {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            next: None,
            is_stale: false,
            events: 0,
            bytes: 0,
            limits,
        }
    }

    /// Whether streams wait for their turn, while the runtime has its turn.
    pub(super) fn is_under_way(&self) -> bool {
        self.next.is_some()
    }

    /// Adds an event for all streams, by the length of its frame.
    pub(super) fn add(&mut self, frame_bytes: usize) {
        self.is_stale = true;
        self.events += 1;
        self.bytes = self
            .bytes
            .saturating_add(frame_bytes)
            .saturating_add(EVENT_BYTES);
    }

    /// Whether too much waits to leave it to turns.
    pub(super) fn is_full(&self) -> bool {
        self.events > self.limits.events || self.bytes > self.limits.bytes
    }

    /// Records that something other than an event is due.
    pub(super) fn mark_stale(&mut self) {
        self.is_stale = true;
    }

    /// Begins a turn at the stream that is returned; `None` if every stream has everything.
    pub(super) fn begin_turn(&mut self) -> Option<u32> {
        let next = self.next.or(self.is_stale.then_some(0))?;
        // This round starts at the first stream, so it covers everything published so far.
        if next == 0 {
            self.reset();
        }
        Some(next)
    }

    /// Ends a turn; `next` is the first stream that had none.
    pub(super) fn end_turn(&mut self, next: Option<u32>) {
        // The round's first streams lack the events published during it, so another round follows.
        self.next = next.or(self.is_stale.then_some(0));
    }

    /// Ends the round, because all streams are served at once.
    pub(super) fn end(&mut self) {
        self.reset();
        self.next = None;
    }

    fn reset(&mut self) {
        self.is_stale = false;
        self.events = 0;
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round() -> Round {
        Round::new(Limits {
            events: 3,
            bytes: 4_000,
        })
    }

    #[test]
    fn a_round_continues_where_the_last_turn_ended_and_is_over_after_the_last_stream() {
        let mut round = round();
        assert_eq!(round.begin_turn(), None, "nothing came");
        round.add(10);
        assert_eq!(round.begin_turn(), Some(0));
        round.end_turn(Some(7));
        assert!(round.is_under_way());
        assert_eq!(round.begin_turn(), Some(7));
        round.end_turn(None);
        assert!(!round.is_under_way());
        assert_eq!(round.begin_turn(), None);
    }

    #[test]
    fn events_published_during_a_round_are_sent_in_the_next_one() {
        let mut round = round();
        round.add(10);
        round.begin_turn();
        round.end_turn(Some(7));
        round.add(10);
        assert_eq!(round.begin_turn(), Some(7));
        round.end_turn(None);
        assert!(round.is_under_way());
        assert_eq!(round.begin_turn(), Some(0));
        round.end_turn(None);
        assert!(!round.is_under_way());
    }

    #[test]
    fn a_round_is_full_by_events_or_by_bytes() {
        let mut round = round();
        (0..3).for_each(|_| round.add(10));
        assert!(!round.is_full());
        round.add(10);
        assert!(round.is_full());
        round.end();
        assert!(!round.is_full() && !round.is_under_way());
        round.add(4_000);
        assert!(round.is_full());
    }
}
