//! Everything that was published, to check what each client got.

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard};

/// What one client got, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The event with this number.
    Event(u64),
    /// A resync, after which the client fetched the record with this number.
    Fetched(u64),
}

/// The events of one record, by number. The record is written first, then its event is published.
/// If the publish was not answered, the event may or may not exist.
#[derive(Debug, Default)]
pub(crate) struct History {
    written: AtomicU64,
    published: Mutex<BTreeSet<u64>>,
}

impl History {
    /// Writes the record again. Returns the number of its event.
    pub(crate) fn write(&self) -> u64 {
        self.written.fetch_add(1, SeqCst) + 1
    }

    /// The record's current number.
    pub(crate) fn fetch(&self) -> u64 {
        self.written.load(SeqCst)
    }

    /// Notes that the publish of this event was answered.
    pub(crate) fn published(&self, number: u64) {
        self.lock().insert(number);
    }

    /// The newest event whose publish was answered.
    pub(crate) fn newest(&self) -> u64 {
        self.lock().last().copied().unwrap_or(0)
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// The first fault in what a client got.
    pub(crate) fn fault(&self, seen: &[Seen]) -> Option<String> {
        let published = self.lock();
        let mut at = None;
        let mut last_event = 0;
        for (index, &seen) in seen.iter().enumerate() {
            match (seen, at) {
                (Seen::Event(number), _) if number <= last_event => {
                    return Some(format!("{index}: event {number} came after {last_event}"));
                }
                (Seen::Event(number), Some(at)) => {
                    if let Some(missed) = published.range(at + 1..number.max(at + 1)).next() {
                        return Some(format!("{index}: {missed} is missing before {number}"));
                    }
                }
                (Seen::Event(number), None) => {
                    return Some(format!(
                        "{index}: event {number} before the record was fetched"
                    ));
                }
                (Seen::Fetched(_), _) => {}
            }

            let (Seen::Event(number) | Seen::Fetched(number)) = seen;
            if matches!(seen, Seen::Event(_)) {
                last_event = number;
            }
            at = Some(at.map_or(number, |at: u64| at.max(number)));
        }

        None
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.published.lock().expect("not poisoned")
    }
}

#[test]
fn the_oracle_finds_what_is_missing_doubled_or_out_of_order() {
    use Seen::{Event, Fetched};

    let history = History::default();
    (1..=9)
        .filter(|number| *number != 5)
        .for_each(|number| history.published(number));

    let is_right = |seen: &[Seen]| history.fault(seen).is_none();
    assert!(
        is_right(&[Fetched(2), Event(3), Event(4), Event(6)]),
        "5 was never published"
    );
    assert!(
        is_right(&[Fetched(3), Event(2), Event(3), Event(4)]),
        "the fetch covers it"
    );
    assert!(
        is_right(&[Fetched(1), Event(2), Fetched(7), Event(8)]),
        "it was told"
    );
    assert!(!is_right(&[Fetched(1), Event(3)]), "2 is missing");
    assert!(!is_right(&[Fetched(1), Event(2), Event(2)]), "twice");
    assert!(!is_right(&[Fetched(1), Event(3), Event(2)]), "out of order");
    assert!(
        !is_right(&[Fetched(1), Event(2), Fetched(3), Event(9)]),
        "4 is missing"
    );
    assert!(!is_right(&[Event(1)]), "of what?");
}
