use alloc::boxed::Box;
use alloc::vec::Vec;
use core::convert::Infallible;

use crate::name::{EventId, ResourceKey};
use crate::position::Epoch;
use crate::ring::Retention;
use crate::sse::Frame;
use crate::time::{Instant, Timestamp};

/// Keeps published events, so that a feed can continue after a restart.
///
/// A store has one slot for each of a record's newest events. [`Feed::publish`](super::Feed::publish)
/// saves the event before any reader gets it.
pub trait Store {
    /// The reason why a row was not saved.
    type Error;

    /// Saves a row in its slot, replacing what the slot held, or changes nothing.
    ///
    /// # Errors
    ///
    /// The reason why the row was not saved; the event is then not published.
    fn save(&self, row: Row<'_>) -> Result<(), Self::Error>;
}

/// A store that keeps nothing: the feed ends with its process.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoStore;

impl Store for NoStore {
    type Error = Infallible;

    fn save(&self, _: Row<'_>) -> Result<(), Infallible> {
        Ok(())
    }
}

/// `None` keeps nothing.
impl<S: Store + ?Sized> Store for Option<&S> {
    type Error = S::Error;

    fn save(&self, row: Row<'_>) -> Result<(), S::Error> {
        match self {
            Some(store) => store.save(row),
            None => Ok(()),
        }
    }
}

/// What a store keeps of one event.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Row<'a> {
    /// Where the store keeps the event.
    pub slot: u64,
    /// The record.
    pub key: &'a ResourceKey,
    /// The life of the sequence that gave the event its number.
    pub epoch: Epoch,
    /// The event.
    pub event: &'a StoredEvent,
}

impl<'a> Row<'a> {
    /// The row of an event in a store with this number of [`slots`].
    pub const fn new(
        key: &'a ResourceKey,
        epoch: Epoch,
        event: &'a StoredEvent,
        slots: u64,
    ) -> Self {
        Self {
            slot: event.slot(slots),
            key,
            epoch,
            event,
        }
    }
}

/// A published event with everything that a feed needs to continue after a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its number in the ring, which is its sequence, too.
    pub number: u64,
    /// When it was published, on a clock that continues across restarts.
    pub pushed_at: Instant,
    /// The latest time used as an ID so far.
    pub latest_time: Option<Timestamp>,
    /// Its ID.
    pub id: EventId<Box<str>>,
    /// Its frame, as every reader gets it.
    pub frame: Frame,
}

impl StoredEvent {
    /// Its slot in a store with this number of [`slots`], at least 1.
    pub const fn slot(&self, slots: u64) -> u64 {
        self.number % slots
    }
}

/// The events of one record, read back from a store.
#[derive(Clone, Debug)]
pub struct StoredRing {
    /// The record.
    pub key: ResourceKey,
    /// The life of the ring, which continues.
    pub epoch: Epoch,
    /// The events, oldest first.
    pub events: Vec<StoredEvent>,
}

impl StoredRing {
    /// Drops the oldest events until the rest fit in this number of [`slots`].
    pub fn truncate(&mut self, slots: u64) {
        let room = usize::try_from(slots).unwrap_or(usize::MAX);
        let surplus = self.events.len().saturating_sub(room);
        self.events.drain(..surplus);
    }

    /// The rows of this ring in a store with this number of [`slots`].
    pub fn rows(&self, slots: u64) -> impl Iterator<Item = Row<'_>> {
        self.events
            .iter()
            .map(move |event| Row::new(&self.key, self.epoch, event, slots))
    }
}

/// The slots that a store has per record: one for each event of the replay window, and one for the
/// event before it.
///
/// A client that names the event before the window missed only events that can be replayed.
pub const fn slots(retention: &Retention) -> u64 {
    // Saturating, because `usize::MAX` may stand for "no limit", and numbers are divided by this.
    (retention.max_events as u64).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(numbers: core::ops::RangeInclusive<u64>) -> StoredRing {
        let event = |number| StoredEvent {
            number,
            pushed_at: Instant::ZERO,
            latest_time: None,
            id: EventId::new("v").expect("valid").into_boxed(),
            frame: Frame::parse("event: deleted\nid: v\ndata: \n\n".into()).expect("a frame"),
        };
        StoredRing {
            key: ResourceKey::new("s", "i").expect("valid"),
            epoch: Epoch::from_number(7),
            events: numbers.map(event).collect(),
        }
    }

    #[test]
    fn the_replay_window_and_the_event_before_it_each_have_a_slot() {
        let retention = Retention {
            max_events: 3,
            ..Retention::default()
        };
        assert_eq!(slots(&retention), 4);
        let unlimited = Retention {
            max_events: usize::MAX,
            ..retention
        };
        assert_ne!(slots(&unlimited), 0, "numbers are divided by it");
        let slots: Vec<_> = ring(3..=6).rows(4).map(|row| row.slot).collect();
        assert_eq!(slots, [3, 0, 1, 2], "the next event replaces the oldest");
    }

    #[test]
    fn a_ring_that_is_too_long_for_its_store_keeps_the_newest_events() {
        let mut ring = ring(3..=6);
        ring.truncate(9);
        assert_eq!(ring.events.len(), 4);
        ring.truncate(3);
        let numbers: Vec<_> = ring.events.iter().map(|event| event.number).collect();
        assert_eq!(numbers, [4, 5, 6]);
    }
}
