/// Names one event of an engine exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark {
    /// The place of the event in the engine's sequence, which rises over all records. At least 1: 0 is
    /// the place before the first event.
    pub sequence: u64,
    /// Tells two events apart that had the same sequence, because the engine lost the first one. No
    /// two events have had the same print at the same sequence.
    pub print: u64,
}

/// What an engine says about the predecessor of an event in its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// The previous event.
    After {
        /// Its sequence.
        sequence: u64,
        /// Its print, where the engine knows it.
        print: Option<u64>,
    },
    /// The engine keeps no earlier event of the record. If it had some, they left by age or for room,
    /// and none because the record had more than the engine keeps.
    First,
    /// The engine does not say.
    Unknown,
}

/// An event as an engine reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told<E> {
    /// The name of the event.
    pub mark: Mark,
    /// The event before it.
    pub link: Link,
    /// The event.
    pub event: E,
}

/// The part of an engine's sequence that an answer covers.
///
/// An engine that cannot name `upto` exactly names a lower one: at worst, it is asked once more. A
/// higher one would claim events that the answer does not have, which is a silent gap: a replica that may
/// be stale must not take it from its leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Of the events after this sequence, the engine has dropped only the oldest of records that
    /// had more than it keeps. Never after `upto`.
    pub since: u64,
    /// The newest sequence of any record when the engine answered: the answer lacks no event up to it
    /// that is kept.
    pub upto: u64,
}
