//! The ring of one record: the last items with their times. It never looks inside an item.

#[cfg(feature = "std")]
mod prepend;
mod retention;
mod storage;

use core::fmt;
use core::marker::PhantomData;

#[cfg(feature = "std")]
pub(crate) use prepend::Older;
pub use retention::Retention;
pub use storage::{Slots, Storage};

use crate::time::{Instant, whole_millis};

/// The ring holds an item for at least this long, however short `max_age` is: a connected reader
/// has time to get it.
const LAG_AGE_MILLIS: u64 = 60_000;

/// An item, its age and its size.
#[derive(Clone, Debug)]
pub struct Entry<T> {
    /// Never earlier than that of the entry before it.
    pushed_at: Instant,
    /// In bytes, as the push gave it.
    size: usize,
    item: T,
}

/// What a ring has at a sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At<'a, T> {
    /// This item.
    Item(&'a T),
    /// Nothing yet: the next item gets this number.
    Next,
    /// Nothing: the item was evicted, or no item ever had this number.
    Gone,
}

/// The last items of a sequence, in order. Items are numbered from 1, without gaps.
///
/// - *Getters*, all O(1) but [`replay_start`](Self::replay_start), which is O(log n).
/// - *Inputs*: [`push`](Self::push), [`evict`](Self::evict), [`pop`](Self::pop),
///   [`interrupt`](Self::interrupt). They cannot fail, and are amortised O(1): an item is pushed
///   once and evicted once.
#[derive(Clone)]
pub struct Ring<T, S> {
    /// The items `next - storage.len() .. next`, oldest first, without gaps.
    storage: S,
    retention: Retention,
    /// `retention.max_age`, as ages are compared.
    max_age_millis: u64,
    /// Number of the next item; at least 1, and it never goes down.
    next: u64,
    /// Sum of the sizes in `storage`.
    bytes: usize,
    /// The latest time that a push or an evict was passed. Ages count from here, so a clock that
    /// steps back changes none.
    latest: Instant,
    /// At most `next`, and `storage` holds nothing before it.
    lost_before: u64,
    items: PhantomData<fn() -> T>,
}

impl<T, S: Storage<Entry<T>>> Ring<T, S> {
    /// An empty ring. `storage` must be empty; its capacity is a limit besides `retention`.
    pub fn new(storage: S, retention: Retention) -> Self {
        debug_assert!(storage.is_empty(), "a ring begins with an empty storage");
        Self {
            storage,
            retention,
            max_age_millis: whole_millis(retention.max_age),
            next: 1,
            bytes: 0,
            latest: Instant::ZERO,
            lost_before: 0,
            items: PhantomData,
        }
    }

    /// Adds an item of `size` bytes and returns its number. Evicts what retention does not keep.
    pub fn push(&mut self, item: T, size: usize, now: Instant, mut evicted: impl FnMut(T)) -> u64 {
        self.latest = self.latest.max(now);
        let limit = self.max_len();
        // Before the item is added: a storage of fixed size may be full.
        while self.storage.len() >= limit
            && let Some(oldest) = self.pop()
        {
            evicted(oldest);
        }

        let number = self.next;
        self.next += 1;
        match self.storage.push_back(Entry {
            pushed_at: self.latest,
            size,
            item,
        }) {
            Ok(()) => self.bytes += size,
            Err(entry) => {
                // The storage holds less than its capacity. The item is lost, so all before it must
                // go: the ring holds no gap.
                while let Some(oldest) = self.pop() {
                    evicted(oldest);
                }
                evicted(entry.item);
            }
        }

        self.evict(now, evicted);
        number
    }

    /// Evicts the items that retention does not keep at `now`.
    pub fn evict(&mut self, now: Instant, mut evicted: impl FnMut(T)) {
        self.latest = self.latest.max(now);
        while let Some(oldest) = self.storage.get(0)
            && self.must_go(oldest)
            && let Some(item) = self.pop()
        {
            evicted(item);
        }
    }

    /// Removes the oldest item to free memory, even if retention keeps it.
    pub fn pop(&mut self) -> Option<T> {
        let entry = self.storage.pop_front()?;
        self.bytes = self.bytes.saturating_sub(entry.size);
        Some(entry.item)
    }

    /// Drops everything and skips a number, so that every reader gets a resync.
    pub fn interrupt(&mut self) {
        while self.pop().is_some() {}
        // A reader that is up to date waits for this number, and so finds it gone.
        self.next += 1;
        self.lost_before = self.next;
    }

    /// Drops everything and gives the next item this number, 1 or more.
    #[cfg(feature = "alloc")]
    pub(crate) fn begin_at(&mut self, number: u64) {
        while self.pop().is_some() {}
        self.next = number.max(1);
    }

    /// The item with this number.
    pub fn at(&self, number: u64) -> At<'_, T> {
        if number == self.next {
            return At::Next;
        }
        match number
            .checked_sub(self.first())
            .and_then(|index| usize::try_from(index).ok())
            .and_then(|index| self.storage.get(index))
        {
            Some(entry) => At::Item(&entry.item),
            None => At::Gone,
        }
    }

    /// Number of the oldest item; [`next`](Self::next) if the ring is empty.
    pub fn first(&self) -> u64 {
        self.next - self.storage.len() as u64
    }

    /// Number of the next item.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Number of the oldest item in the replay window; [`next`](Self::next) if it is empty.
    pub fn replay_start(&self, now: Instant) -> u64 {
        let now = self.latest.max(now);
        let len = self.storage.len();

        // A binary search, as entries are in order of age: those before `old` are too old, those from
        // `fresh` on are not.
        let mut old = len - len.min(self.retention.max_events);
        let mut fresh = len;
        while old < fresh {
            let middle = old + (fresh - old) / 2;
            match self.storage.get(middle) {
                Some(entry) if now.millis_since(entry.pushed_at) <= self.max_age_millis => {
                    fresh = middle;
                }
                _ => old = middle + 1,
            }
        }

        self.first() + old as u64
    }

    /// All items before this number were lost to [`interrupt`](Self::interrupt); 0 if that was never
    /// called.
    pub fn lost_before(&self) -> u64 {
        self.lost_before
    }

    /// Bytes of all items, as the pushes gave them.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.storage.len()
    }

    /// Whether the ring has no item.
    pub fn is_empty(&self) -> bool {
        self.storage.is_empty()
    }

    /// Most items that the ring holds. At least one, so that readers can get the newest.
    fn max_len(&self) -> usize {
        let wanted = self.retention.max_events.max(self.retention.max_lag).max(1);
        wanted.min(self.storage.capacity())
    }

    /// Whether retention does not keep the oldest item.
    fn must_go(&self, oldest: &Entry<T>) -> bool {
        let age = self.latest.millis_since(oldest.pushed_at);
        // Bytes never shorten the replay window.
        let for_lag = self.storage.len() > self.retention.max_events.max(1);
        age > self.max_age_millis.max(LAG_AGE_MILLIS)
            || for_lag && self.bytes > self.retention.max_lag_bytes
    }
}

impl<T, S: Storage<Entry<T>>> fmt::Debug for Ring<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("first", &self.first())
            .field("next", &self.next)
            .field("bytes", &self.bytes)
            .field("retention", &self.retention)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
