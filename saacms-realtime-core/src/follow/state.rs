//! What a follower is doing, and what a live event means to it.

/// What a follower is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It finds out where the record stands. `interrupt`: readers have begun, and must refetch.
    Joining { interrupt: bool },
    /// Events are passed on as they arrive.
    Live,
    /// It asks whether the tail is still the newest event.
    Checking,
    /// It reads what came after the tail.
    Reading,
}

/// How a live event relates to what was passed on.
pub(super) enum Fit {
    /// It is the next one.
    Next,
    /// It was passed on, or is no more.
    Old,
    /// It is new, and something may be missing before it.
    Gap,
}
