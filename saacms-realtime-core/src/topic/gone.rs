use crate::name::EventId;

/// What is remembered of the events that left a ring.
#[derive(Clone)]
pub(super) struct Gone<I> {
    /// ID of the event that left last, which is the one before the oldest in the ring.
    pub(super) id: Option<EventId<I>>,
    /// The sequence of that event, at least the floor. Less than that of each event in the ring.
    pub(super) sequence: u64,
}

impl<I> Gone<I> {
    pub(super) fn record(&mut self, id: EventId<I>, sequence: u64) {
        self.id = Some(id);
        self.sequence = sequence;
    }

    /// Forgets which event left last: those up to `sequence` may be of another life.
    pub(super) fn forget_up_to(&mut self, sequence: u64) {
        self.id = None;
        self.sequence = self.sequence.max(sequence);
    }
}

impl<I> Default for Gone<I> {
    fn default() -> Self {
        Self {
            id: None,
            sequence: 0,
        }
    }
}
