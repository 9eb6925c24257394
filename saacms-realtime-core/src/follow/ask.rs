//! What a follower asks its engine, and what the feed of its record must do.

use alloc::vec::Vec;

use super::told::{Span, Told};

/// What a follower asks its engine.
///
/// An ask that is `sure` must be answered by the authoritative part of the engine, such as the leader of
/// a cluster; any other may be answered by a stale replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// The newest event that is kept; answered by [`Follower::newest`](super::Follower::newest).
    Newest {
        /// Whether a stale answer is no use.
        sure: bool,
    },
    /// All events that are kept, as of one moment and oldest first; answered by
    /// [`Follower::run`](super::Follower::run).
    Run {
        /// The sequence of the first event that is wanted. 0 is all of them.
        from: u64,
        /// Whether a stale answer is no use.
        sure: bool,
    },
}

/// What the feed of the record must do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect<E> {
    /// Readers may begin: each event after this one will be pushed. `None` if the engine keeps no
    /// event of the record; then each event after [`Span::upto`] will be.
    ///
    /// A stale replica may lack an event that the engine reported before this node watched the record. A
    /// driver calls [`Follower::make_sure`](super::Follower::make_sure) a moment
    /// later; otherwise that event would be delivered only with the next one.
    Begin(Option<Told<E>>, Span),
    /// Deliver this event: it is the next one.
    Push(Told<E>),
    /// Tell every reader to refetch: the events up to this one are unknown. From here on it is as
    /// after [`Begin`](Self::Begin).
    Interrupt(Option<Told<E>>, Span),
    /// Events that the engine keeps, up to and with the newest one that was pushed, oldest first; so
    /// readers may begin earlier. No event after the sequence is missing.
    History(Vec<Told<E>>, u64),
    /// No event was missed up to the moment at which the engine looked.
    Confirmed {
        /// Whether the answer cannot have been stale. A stale replica confirms no more than it knows.
        sure: bool,
    },
}
