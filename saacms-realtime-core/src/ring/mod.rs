//! The ring of one record: the last items with their times. It never looks inside an item.

mod storage;

use core::fmt;
use core::marker::PhantomData;
use core::time::Duration;

pub use storage::{Slots, Storage};

use crate::time::{Instant, whole_millis};

/// What leaves a ring, and when. Readers have no say in it.
///
/// A reconnect is answered from the *replay window*: the newest `max_events` items that are at most
/// `max_age` old. A reader that is connected may be further behind: the ring holds up to `max_lag`
/// items, of at most `max_lag_bytes` together, for at least a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Items in the replay window; 0 = none.
    pub max_events: usize,
    /// Age up to which an item is in the replay window; exactly this old still is.
    pub max_age: Duration,
    /// Items that the ring holds for readers that are behind; never less than `max_events` count.
    pub max_lag: usize,
    /// Bytes beyond which nothing is held but the newest `max_events` items.
    pub max_lag_bytes: usize,
}

impl Default for Retention {
    /// 100 items, 1 hour, 1,024 items, 4 MiB.
    fn default() -> Self {
        Self {
            max_events: 100,
            max_age: Duration::from_secs(3_600),
            max_lag: 1_024,
            max_lag_bytes: 4 << 20,
        }
    }
}

/// A reader that is connected is not hurried by a `max_age` shorter than this.
const LAG_AGE_MILLIS: u64 = 60_000;

/// An item with what retention must know of it.
#[derive(Clone, Debug)]
pub struct Entry<T> {
    pushed_at: Instant,
    size: usize,
    item: T,
}

/// What a ring has at a sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At<'a, T> {
    /// This item.
    Item(&'a T),
    /// Nothing yet: it is the number that the next item will get.
    Next,
    /// Nothing any more, or nothing ever.
    Gone,
}

/// The last items of a sequence, in order. Items are numbered from 1, without gaps.
///
/// - *Getters*, all O(1) but [`replay_start`](Self::replay_start), which is O(log n).
/// - *Inputs*: [`push`](Self::push), [`evict`](Self::evict), [`interrupt`](Self::interrupt). They
///   cannot fail; each item is pushed once and evicted once, so that their work is amortised O(1).
#[derive(Clone)]
pub struct Ring<T, S> {
    storage: S,
    retention: Retention,
    max_age_millis: u64,
    next: u64,
    bytes: usize,
    latest: Instant,
    lost_before: u64,
    items: PhantomData<fn() -> T>,
}

impl<T, S: Storage<Entry<T>>> Ring<T, S> {
    /// An empty ring. `storage` must be empty; where it holds less than `retention` asks for, its
    /// capacity is the limit.
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

    /// Adds an item of `size` bytes and lets go what must go for it; answers its number.
    pub fn push(&mut self, item: T, size: usize, now: Instant, mut evicted: impl FnMut(T)) -> u64 {
        self.latest = self.latest.max(now);
        let limit = self.max_len();
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
                // A storage that holds less than it said: the sequence must stay without holes.
                while let Some(oldest) = self.pop() {
                    evicted(oldest);
                }
                evicted(entry.item);
            }
        }
        self.evict(now, evicted);
        number
    }

    /// Lets go what is too old or too much at `now`.
    pub fn evict(&mut self, now: Instant, mut evicted: impl FnMut(T)) {
        self.latest = self.latest.max(now);
        while let Some(oldest) = self.storage.get(0)
            && self.must_go(oldest)
            && let Some(item) = self.pop()
        {
            evicted(item);
        }
    }

    /// Lets go the oldest item, whatever retention says, to free memory.
    pub fn pop(&mut self) -> Option<T> {
        let entry = self.storage.pop_front()?;
        self.bytes = self.bytes.saturating_sub(entry.size);
        Some(entry.item)
    }

    /// Drops everything and leaves a hole behind it, so that every reader is told to refetch.
    pub fn interrupt(&mut self) {
        while self.pop().is_some() {}
        self.next += 1;
        self.lost_before = self.next;
    }

    /// Drops everything; the next item gets this number, 1 or more.
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

    /// Number of the oldest item that is held; [`next`](Self::next) where none is.
    pub fn first(&self) -> u64 {
        self.next - self.storage.len() as u64
    }

    /// Number that the next item will get.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Number of the oldest item in the replay window; [`next`](Self::next) where it is empty.
    pub fn replay_start(&self, now: Instant) -> u64 {
        let now = self.latest.max(now);
        let len = self.storage.len();
        let (mut old, mut fresh) = (len - len.min(self.retention.max_events), len);
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

    /// Number before which items were lost by [`interrupt`](Self::interrupt); 0 where none were.
    pub fn lost_before(&self) -> u64 {
        self.lost_before
    }

    /// Bytes of all items that are held, as their pushers said.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Number of items that are held.
    pub fn len(&self) -> usize {
        self.storage.len()
    }

    /// Whether no item is held.
    pub fn is_empty(&self) -> bool {
        self.storage.is_empty()
    }

    /// Most items that are held at one time.
    fn max_len(&self) -> usize {
        let wanted = self.retention.max_events.max(self.retention.max_lag).max(1);
        wanted.min(self.storage.capacity())
    }

    fn must_go(&self, oldest: &Entry<T>) -> bool {
        let age = self.latest.millis_since(oldest.pushed_at);
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
mod tests {
    use super::*;

    type Small = Ring<char, Slots<[Option<Entry<char>>; 4]>>;

    fn ring(max_events: usize, max_age_millis: u64, max_lag: usize, max_lag_bytes: usize) -> Small {
        let max_age = Duration::from_millis(max_age_millis);
        let retention = Retention {
            max_events,
            max_age,
            max_lag,
            max_lag_bytes,
        };
        Ring::new(Slots::new([const { None }; 4]), retention)
    }

    fn push(ring: &mut Small, items: &str, at: u64) {
        for item in items.chars() {
            ring.push(item, 10, Instant::from_millis(at), |_| {});
        }
    }

    fn held(ring: &Small) -> std::string::String {
        (ring.first()..ring.next())
            .map(|number| match ring.at(number) {
                At::Item(item) => *item,
                At::Next | At::Gone => '!',
            })
            .collect()
    }

    #[test]
    fn the_oldest_item_leaves_when_one_too_many_comes() {
        let mut ring = ring(2, 1_000, 3, 1_000);
        push(&mut ring, "abcd", 0);
        assert_eq!(held(&ring), "bcd");
        assert_eq!((ring.first(), ring.next(), ring.bytes()), (2, 5, 30));
        assert_eq!(ring.at(1), At::Gone);
        assert_eq!(ring.at(5), At::Next);
        assert_eq!(ring.at(6), At::Gone);
        assert_eq!(
            ring.replay_start(Instant::ZERO),
            3,
            "the window is shorter than the ring"
        );
    }

    #[test]
    fn an_item_of_exactly_max_age_is_replayed_and_an_older_one_is_not() {
        let mut ring = ring(4, 1_000, 4, 1_000);
        push(&mut ring, "a", 0);
        push(&mut ring, "b", 600);
        assert_eq!(ring.replay_start(Instant::from_millis(1_000)), 1);
        assert_eq!(ring.replay_start(Instant::from_millis(1_001)), 2);
        assert_eq!(ring.replay_start(Instant::from_millis(1_601)), 3);
        ring.evict(Instant::from_millis(60_000), |_| {});
        assert_eq!(held(&ring), "ab", "a reader that is behind still gets it");
        ring.evict(Instant::from_millis(60_001), |_| {});
        assert_eq!(held(&ring), "b");
    }

    #[test]
    fn a_clock_that_steps_back_neither_shields_nor_expels() {
        let mut ring = ring(4, 100_000, 4, 1_000);
        push(&mut ring, "a", 50_000);
        push(&mut ring, "b", 0);
        ring.evict(Instant::from_millis(150_000), |_| {});
        assert_eq!(held(&ring), "ab");
        ring.evict(Instant::from_millis(150_001), |_| {});
        assert_eq!(held(&ring), "");
    }

    #[test]
    fn bytes_bound_the_lag_and_never_the_replay_window() {
        let mut ring = ring(2, 1_000, 4, 25);
        push(&mut ring, "abcd", 0);
        assert_eq!(held(&ring), "cd");
        let mut live_only = self::ring(0, 1_000, 4, 5);
        push(&mut live_only, "ab", 0);
        assert_eq!(
            held(&live_only),
            "b",
            "the newest item waits for its readers"
        );
        assert_eq!(live_only.replay_start(Instant::ZERO), 3);
    }

    #[test]
    fn bytes_up_to_the_limit_are_held_for_readers_that_are_behind() {
        let mut ring = ring(1, 1_000, 4, 30);
        push(&mut ring, "abc", 0);
        assert_eq!(held(&ring), "abc", "exactly `max_lag_bytes`");
        push(&mut ring, "d", 0);
        assert_eq!(held(&ring), "bcd");
    }

    #[test]
    fn a_push_answers_the_number_of_its_item() {
        let mut ring = ring(2, 1_000, 2, 1_000);
        let numbers = "abcd"
            .chars()
            .map(|item| ring.push(item, 1, Instant::ZERO, |_| {}));
        assert!(numbers.eq(1..=4));
        assert_eq!((ring.len(), ring.is_empty()), (2, false));
        while ring.pop().is_some() {}
        assert_eq!((ring.len(), ring.is_empty()), (0, true));
    }

    #[test]
    fn a_storage_without_room_holds_nothing_and_counts_on() {
        let mut ring = Ring::<char, _>::new(Slots::new([]), Retention::default());
        let mut evicted = 0;
        for _ in 0..3 {
            ring.push('x', 1, Instant::ZERO, |_| evicted += 1);
        }
        assert_eq!(
            (ring.len(), ring.next(), ring.bytes(), evicted),
            (0, 4, 0, 3)
        );
        assert_eq!(ring.at(3), At::Gone);
    }
}
