//! Whose turn it is when the same goes to many streams.
//!
//! To wake a stream costs the runtime the same for one frame and for twenty, and what is given to a
//! stream while it is busy only stands in its queue. So streams are served a portion at a time.
//! Between two portions the runtime has its turn: it writes out what it was given, and hears what
//! came in. What is published meanwhile waits in the ring, and goes to every stream at its next
//! turn, joined to one chunk.

/// Streams that are written to in one turn. Few, as a publish that comes meanwhile waits for them;
/// not one, as each turn costs a timer.
pub(crate) const PORTION: usize = 16;

/// The round of an object over its streams, which are served in the order of their numbers.
#[derive(Debug)]
pub(crate) struct Round {
    /// The stream that is next; `None` where no round is under way.
    next: Option<u32>,
    /// Whether something came that streams which had their turn have not got.
    is_stale: bool,
    /// What was published since the round began.
    events: usize,
    bytes: usize,
    limits: Limits,
}

/// How much may be published during a round. A stream that waits for its turn may be behind by two
/// such amounts: what came in this round, and in the last one behind its turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

/// What a waiting event counts beside its frame: more than what it takes in the ring.
const EVENT_BYTES: usize = 512;

impl Round {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            next: None,
            is_stale: false,
            events: 0,
            bytes: 0,
            limits,
        }
    }

    /// Whether streams wait for their turn, until the runtime had its own.
    pub(crate) fn is_under_way(&self) -> bool {
        self.next.is_some()
    }

    /// An event came for all streams, in a frame of so many bytes.
    pub(crate) fn add(&mut self, frame: usize) {
        self.is_stale = true;
        self.events += 1;
        self.bytes = self.bytes.saturating_add(frame).saturating_add(EVENT_BYTES);
    }

    /// Whether so much waits that it must not wait for turns.
    pub(crate) fn is_full(&self) -> bool {
        self.events > self.limits.events || self.bytes > self.limits.bytes
    }

    /// Something is due that is no event.
    pub(crate) fn touch(&mut self) {
        self.is_stale = true;
    }

    /// Where to go on; `None` where all have all.
    pub(crate) fn begin_turn(&mut self) -> Option<u32> {
        let next = self.next.or(self.is_stale.then_some(0))?;
        if next == 0 {
            self.begin();
        }
        Some(next)
    }

    /// The streams had their turn; `left` is the first one that had not.
    pub(crate) fn end_turn(&mut self, left: Option<u32>) {
        self.next = left.or(self.is_stale.then_some(0));
    }

    /// All streams are served at once.
    pub(crate) fn skip(&mut self) {
        self.begin();
        self.next = None;
    }

    fn begin(&mut self) {
        (self.is_stale, self.events, self.bytes) = (false, 0, 0);
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
    fn a_round_goes_on_where_the_last_turn_ended_and_is_over_behind_the_last_stream() {
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
    fn what_comes_during_a_round_has_another_one_follow() {
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
        round.skip();
        assert!(!round.is_full() && !round.is_under_way());
        round.add(4_000);
        assert!(round.is_full());
    }
}
