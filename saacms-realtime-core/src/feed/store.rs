use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::convert::Infallible;

use super::event_size;

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

    /// Drops the frame of the event with this number, if it is still in this slot, and keeps its
    /// place. The history has become too large for it.
    ///
    /// By default nothing happens: a store may keep more than the feed does.
    fn strip(&self, slot: u64, number: u64) {
        let _ = (slot, number);
    }
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

    fn strip(&self, slot: u64, number: u64) {
        if let Some(store) = self {
            store.strip(slot, number);
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

    /// The bytes that it counts for in a history.
    pub(super) fn size(&self) -> usize {
        event_size(self.frame.as_bytes().len(), &self.id)
    }
}

/// An event whose frame is not kept. A client that names it has missed nothing up to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPlace {
    /// Its number in the ring.
    pub number: u64,
    /// The latest time used as an ID so far.
    pub latest_time: Option<Timestamp>,
    /// Its ID.
    pub id: EventId<Box<str>>,
}

impl StoredPlace {
    /// Its slot in a store with this number of [`slots`], at least 1.
    pub const fn slot(&self, slots: u64) -> u64 {
        self.number % slots
    }
}

impl From<StoredEvent> for StoredPlace {
    fn from(event: StoredEvent) -> Self {
        Self {
            number: event.number,
            latest_time: event.latest_time,
            id: event.id,
        }
    }
}

/// The events of one record, as they are read back from a store in any order.
#[derive(Clone, Debug)]
pub struct StoredRing {
    key: ResourceKey,
    epoch: Epoch,
    /// The newest event before `events` that is known.
    place: Option<StoredPlace>,
    /// By number, each greater than that of `place`.
    events: BTreeMap<u64, StoredEvent>,
    /// The bytes that `events` count for in a ring.
    bytes: usize,
    max_bytes: usize,
}

impl StoredRing {
    /// Nothing of a record yet. `epoch` is the life of the ring, which continues; `max_bytes` bounds
    /// the history that is kept, see [`HubConfig::max_history_bytes`](crate::HubConfig).
    pub fn new(key: ResourceKey, epoch: Epoch, max_bytes: usize) -> Self {
        Self {
            key,
            epoch,
            place: None,
            events: BTreeMap::new(),
            bytes: 0,
            max_bytes,
        }
    }

    /// The record.
    pub fn key(&self) -> &ResourceKey {
        &self.key
    }

    /// The life of the ring.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The number of the newest event; 0 if there is none.
    pub fn newest(&self) -> u64 {
        let place = self.place.as_ref().map_or(0, |place| place.number);
        self.events
            .last_key_value()
            .map_or(place, |(number, _)| *number)
    }

    /// Adds an event. Beyond `max_bytes` the oldest events are kept as a place only, but never the
    /// newest.
    pub fn insert(&mut self, event: StoredEvent) {
        if self
            .place
            .as_ref()
            .is_some_and(|place| place.number >= event.number)
        {
            return;
        }

        self.bytes += event.size();
        self.events.insert(event.number, event);
        while self.bytes > self.max_bytes && self.events.len() > 1 {
            self.drop_oldest();
        }
    }

    /// Adds an event whose frame is not kept. Events before it are dropped.
    pub fn insert_place(&mut self, place: StoredPlace) {
        while self
            .events
            .first_key_value()
            .is_some_and(|(number, _)| *number <= place.number)
        {
            self.drop_oldest();
        }
        if self
            .place
            .as_ref()
            .is_none_or(|known| known.number < place.number)
        {
            self.place = Some(place);
        }
    }

    /// Drops the oldest events until the rest, and their place, fit in this number of [`slots`].
    pub fn truncate(&mut self, slots: u64) {
        while self.events.len() as u64 > slots {
            self.drop_oldest();
        }
        let newest = self.newest();
        self.place = self
            .place
            .take()
            .filter(|place| newest - place.number < slots);
    }

    /// The newest event before the others that is known.
    pub fn place(&self) -> Option<&StoredPlace> {
        self.place.as_ref()
    }

    /// The newest event, if its frame is kept.
    pub fn newest_event(&self) -> Option<&StoredEvent> {
        self.events.values().next_back()
    }

    /// The rows of this ring in a store with this number of [`slots`].
    pub fn rows(&self, slots: u64) -> impl Iterator<Item = Row<'_>> {
        self.events
            .values()
            .map(move |event| Row::new(&self.key, self.epoch, event, slots))
    }

    /// Splits it for [`Feed::restore`](super::Feed::restore): the place, and the events after it,
    /// oldest first.
    pub fn into_parts(self) -> (Option<StoredPlace>, impl Iterator<Item = StoredEvent>) {
        (self.place, self.events.into_values())
    }

    fn drop_oldest(&mut self) {
        if let Some((_, event)) = self.events.pop_first() {
            self.bytes -= event.size();
            self.place = Some(event.into());
        }
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
    use std::vec;
    use std::vec::Vec;

    fn event(number: u64) -> StoredEvent {
        StoredEvent {
            number,
            pushed_at: Instant::ZERO,
            latest_time: None,
            id: EventId::new("v").expect("valid").into_boxed(),
            frame: Frame::parse("event: deleted\nid: v\ndata: \n\n".into()).expect("a frame"),
        }
    }

    fn ring(numbers: impl IntoIterator<Item = u64>, max_bytes: usize) -> StoredRing {
        let key = ResourceKey::new("s", "i").expect("valid");
        let mut ring = StoredRing::new(key, Epoch::from_number(7), max_bytes);
        numbers
            .into_iter()
            .for_each(|number| ring.insert(event(number)));
        ring
    }

    /// The number of the place, and those of the events.
    fn numbers(ring: StoredRing) -> (Option<u64>, Vec<u64>) {
        let (place, events) = ring.into_parts();
        (
            place.map(|place| place.number),
            events.map(|event| event.number).collect(),
        )
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
        let slots: Vec<_> = ring(3..=6, usize::MAX)
            .rows(4)
            .map(|row| row.slot)
            .collect();
        assert_eq!(slots, [3, 0, 1, 2], "the next event replaces the oldest");
    }

    #[test]
    fn a_ring_that_is_too_long_for_its_store_keeps_the_newest_events() {
        let mut ring = ring(3..=6, usize::MAX);
        ring.truncate(9);
        assert_eq!(numbers(ring.clone()), (None, vec![3, 4, 5, 6]));
        ring.truncate(3);
        assert_eq!(numbers(ring.clone()), (None, vec![4, 5, 6]));
        ring.insert_place(event(5).into());
        ring.truncate(2);
        assert_eq!(
            numbers(ring),
            (Some(5), vec![6]),
            "the place has a slot, too"
        );
    }

    #[test]
    fn rows_in_any_order_make_a_ring_of_the_newest_events_that_fit_in_its_bytes() {
        let room = 2 * event(1).size();
        for order in [[1, 2, 3, 4, 5], [4, 5, 1, 2, 3], [5, 4, 3, 2, 1]] {
            assert_eq!(
                numbers(ring(order, room)),
                (Some(3), vec![4, 5]),
                "{order:?}"
            );
        }
        assert_eq!(
            numbers(ring([1, 2], 0)),
            (Some(1), vec![2]),
            "the newest stays"
        );
    }

    #[test]
    fn only_events_after_the_newest_place_are_kept() {
        let mut ring = ring([2, 4], usize::MAX);
        ring.insert_place(event(3).into());
        ring.insert_place(event(1).into());
        ring.insert(event(2));
        ring.insert(event(5));
        assert_eq!((ring.newest(), numbers(ring)), (5, (Some(3), vec![4, 5])));
    }
}
