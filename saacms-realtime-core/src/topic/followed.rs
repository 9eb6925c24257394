use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::gone::Gone;
use super::{IdPolicy, Named, Topic};
use crate::name::EventId;
use crate::position::Epoch;
use crate::ring::{At, Entry, Older};
use crate::time::{Instant, Timestamp};

/// The numbers that are left free before the first event, for older ones that are read later.
const ROOM: u64 = 1 << 32;

/// Where the events of an engine begin for a topic.
pub(crate) struct Start<I> {
    /// The life of the engine's sequence.
    pub(crate) epoch: Epoch,
    /// The ID of the event at `floor`, if a client that names it is to be answered.
    pub(crate) last: Option<EventId<I>>,
    /// No event of the record is missing after this sequence.
    pub(crate) floor: u64,
    /// The place up to which everything is known, at least the floor.
    pub(crate) place: u64,
}

/// An event from before those that a topic holds.
pub(crate) struct OlderEvent<I, T> {
    pub(crate) id: EventId<I>,
    pub(crate) sequence: u64,
    pub(crate) item: T,
    pub(crate) size: usize,
    pub(crate) pushed_at: Instant,
}

/// For topics whose events an engine keeps and counts.
impl<I: AsRef<str>, T> Topic<I, T, VecDeque<Entry<Named<I, T>>>> {
    /// Drops everything, and continues from `start`. Call [`interrupt`](Self::interrupt) first if there
    /// are readers: this alone tells them nothing.
    pub(crate) fn start(&mut self, start: Start<I>) {
        debug_assert!(start.floor <= start.place, "nothing ends before it begins");
        self.ring.begin_at(self.ring.next() + ROOM);
        self.epoch = start.epoch;
        self.gone = Gone {
            id: start.last,
            sequence: start.floor,
        };
        self.head = start.place.saturating_add(1);
    }

    /// Adds the next event, which has this sequence.
    pub(crate) fn tell(
        &mut self,
        id: EventId<I>,
        sequence: u64,
        item: T,
        size: usize,
        now: Instant,
    ) {
        self.push(id, sequence, item, size, now);
    }

    /// How the topic gives IDs.
    pub(crate) fn policy(&self) -> IdPolicy {
        self.policy
    }

    /// Whether the time at which the engine stored the next event may be its ID. The engine gives each
    /// time once, but without quiet resume a resync may have named it before.
    pub(crate) fn takes_time(&mut self, time: Timestamp) -> bool {
        let names_no_time = self.policy == IdPolicy::Etag { quiet_resume: true };
        names_no_time || self.clock.tick(time).is_some()
    }

    /// Events from this sequence on are held, or not yet told.
    pub(crate) fn held_from(&self) -> u64 {
        match self.ring.at(self.ring.first()) {
            At::Item(oldest) => oldest.sequence,
            At::Next | At::Gone => self.gone.sequence.saturating_add(1),
        }
    }

    /// Adds events before those that are held, oldest first: all that there are after `floor`.
    pub(crate) fn prepend(&mut self, older: Vec<OlderEvent<I, T>>, floor: u64, now: Instant) {
        if older.is_empty() {
            return;
        }

        let older = older.into_iter().map(|event| Older {
            item: Named {
                id: event.id,
                sequence: event.sequence,
                item: event.item,
            },
            size: event.size,
            pushed_at: event.pushed_at,
        });
        self.gone = Gone {
            id: None,
            sequence: floor,
        };
        let gone = &mut self.gone;
        self.ring
            .prepend(older.collect(), |old| gone.record(old.id, old.sequence));
        self.evict(now);
    }
}
