//! Live events that arrive while it is open what comes before them.

use alloc::collections::VecDeque;

use super::told::Told;

/// Most events that wait at a time. An engine answers within seconds, and few records have as many
/// events in that time; a record that does is read once more.
pub(super) const MAX_EARLY: usize = 200;

/// Live events in order of arrival, at most [`MAX_EARLY`].
#[derive(Clone, Debug)]
pub(super) struct Early<E> {
    events: VecDeque<Told<E>>,
    /// How many of them were there when the ask that is out was asked.
    before_ask: usize,
    /// A doubt came after some of them. They may be of a history that the engine has lost; a link
    /// by sequence alone would still fit.
    is_void: bool,
}

impl<E> Early<E> {
    pub(super) const fn new() -> Self {
        Self {
            events: VecDeque::new(),
            before_ask: 0,
            is_void: false,
        }
    }

    pub(super) fn push(&mut self, told: Told<E>) {
        if self.events.len() == MAX_EARLY {
            // The next one will not link to what comes before, so the gap is noticed.
            self.events.pop_front();
            self.before_ask = self.before_ask.saturating_sub(1);
        }
        self.events.push_back(told);
    }

    /// All events, the oldest first.
    #[cfg(feature = "std")]
    pub(super) fn events(&self) -> impl Iterator<Item = &Told<E>> {
        self.events.iter()
    }

    /// Puts back what [`pop`](Self::pop) took.
    pub(super) fn put_back(&mut self, told: Told<E>) {
        self.events.push_front(told);
    }

    /// Takes the oldest, and whether it was there before the ask was asked.
    pub(super) fn pop(&mut self) -> Option<(Told<E>, bool)> {
        let told = self.events.pop_front()?;
        let was_there = self.before_ask > 0;
        self.before_ask = self.before_ask.saturating_sub(1);
        Some((told, was_there))
    }

    /// To be called when something is asked.
    pub(super) fn asked(&mut self) {
        self.before_ask = self.events.len();
    }

    /// To be called when the engine may have missed or lost something.
    pub(super) fn doubt(&mut self) {
        self.is_void |= !self.events.is_empty();
    }

    /// Drops all events, and frees their memory.
    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }

    /// Whether the events must not be believed.
    pub(super) const fn is_void(&self) -> bool {
        self.is_void
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.events.capacity()
    }
}
