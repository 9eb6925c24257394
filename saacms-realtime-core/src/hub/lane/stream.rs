use bytes::Bytes;

use crate::hub::Subscription;

/// A piece for one stream of a [`Lane`](super::Lane).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Outgoing {
    /// The number of the stream.
    pub stream: usize,
    /// What to write to it.
    pub piece: Piece,
}

/// One piece of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Piece {
    /// Whole frames to write, up to 64 KiB or one larger frame. Streams with the same cursor share them.
    Frames(Bytes),
    /// The stream ends here: no more pieces follow.
    End,
}

/// A subscription in a lane, and what it is written to.
pub(super) struct Stream<S> {
    pub(super) subscription: Subscription,
    pub(super) sink: S,
    /// The number of its record, and its index among the members of that record.
    pub(super) record: usize,
    pub(super) member: usize,
    pub(super) state: State,
    /// It is queued in the lane's `singles`. An entry there without this mark was left by an earlier
    /// stream with the same number.
    pub(super) is_single: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Open,
    /// It has not taken all of its last piece, and is not polled.
    Blocked,
    /// Its end was handed out, and it is not polled again.
    Ended,
}
