use super::Named;
use super::Topic;
use crate::name::EventId;
use crate::ring::{At, Entry, Storage};

/// For topics whose events a store keeps.
impl<I: AsRef<str>, T, S: Storage<Entry<Named<I, T>>>> Topic<I, T, S> {
    /// Gives the next event this number, 1 or more, as its sequence, too, and forgets the events
    /// before it.
    pub(crate) fn begin_at(&mut self, number: u64) {
        self.ring.begin_at(number);
        self.raise_floor(number.saturating_sub(1));
    }

    /// Continues after the event with this number, which is gone, but whose ID is known.
    pub(crate) fn begin_after_event(&mut self, number: u64, id: EventId<I>) {
        self.begin_at(number.saturating_add(1));
        self.gone.record(id, number);
    }

    /// The ID of the newest event; `None` if it is not known.
    pub(crate) fn newest_id(&self) -> Option<&EventId<I>> {
        match self.ring.at(self.ring.next() - 1) {
            At::Item(newest) => Some(&newest.id),
            At::Gone | At::Next => self.gone.id.as_ref(),
        }
    }
}
