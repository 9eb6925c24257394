//! Counts what was received, and checks that each event came once and in order.

use hdrhistogram::Histogram;

use crate::stream::Item;

/// The counts of many streams.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    /// From publish to receive, in microseconds.
    pub(crate) latency: Histogram<u64>,
    pub(crate) deliveries: u64,
    pub(crate) bytes: u64,
    pub(crate) keep_alives: u64,
    pub(crate) resyncs: u64,
    pub(crate) retries: u64,
    pub(crate) ended: u64,
    pub(crate) faults: Faults,
}

/// Counts of what must not happen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    pub(crate) reordered: u64,
    pub(crate) malformed: u64,
    /// Connections that were refused or broke.
    pub(crate) failed: u64,
    /// The first fault, in words.
    pub(crate) first: Option<String>,
}

/// The place of one reader in the sequence of its key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Number of the next event; 0 after a resync, when any may follow.
    pub(crate) next: u64,
    /// How many events were skipped. If they still come, they were not lost but out of order.
    holes: u32,
}

impl Default for Place {
    fn default() -> Self {
        Self { next: 1, holes: 0 }
    }
}

impl Default for Tally {
    fn default() -> Self {
        const MINUTE: u64 = 60_000_000;
        let latency = Histogram::new_with_bounds(1, MINUTE, 3).expect("bounds are valid");
        let faults = Faults::default();
        Self {
            latency,
            deliveries: 0,
            bytes: 0,
            keep_alives: 0,
            resyncs: 0,
            retries: 0,
            ended: 0,
            faults,
        }
    }
}

impl Tally {
    /// Counts an item of a stream; `now` in nanoseconds, as `at` of an event.
    pub(crate) fn record(&mut self, place: &mut Place, item: &Item<'_>, now: u64) {
        match *item {
            Item::Event { number, at } => {
                self.deliveries += 1;
                self.latency
                    .saturating_record(now.saturating_sub(at) / 1_000);
                place.advance(number, &mut self.faults);
            }
            Item::KeepAlive => self.keep_alives += 1,
            Item::Resync => {
                self.resyncs += 1;
                // Events were lost and the client knows it, so any number may come next.
                *place = Place { next: 0, holes: 0 };
            }
            Item::Retry => self.retries += 1,
            Item::Head(_) | Item::Place => {}
            Item::Malformed(frame) => {
                self.faults.malformed += 1;
                self.faults
                    .note(|| format!("no frame: {:?}", String::from_utf8_lossy(frame)));
            }
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.latency.add(&other.latency).expect("the same bounds");
        self.deliveries += other.deliveries;
        self.bytes += other.bytes;
        self.keep_alives += other.keep_alives;
        self.resyncs += other.resyncs;
        self.retries += other.retries;
        self.ended += other.ended;
        self.faults.add(&other.faults);
    }
}

impl Place {
    fn advance(&mut self, number: u64, faults: &mut Faults) {
        if number == self.next || self.next == 0 {
            self.next = number + 1;
        } else if number > self.next {
            faults.lost += number - self.next;
            faults.note(|| format!("event {number} came where {} was next", self.next));
            self.holes += (number - self.next) as u32;
            self.next = number + 1;
        } else if self.holes > 0 {
            // It was counted as lost when a later event came.
            self.holes -= 1;
            faults.lost -= 1;
            faults.reordered += 1;
        } else {
            faults.duplicated += 1;
            faults.note(|| format!("event {number} came again, {} was next", self.next));
        }
    }

    /// Checks at the end that everything up to `last` has come.
    pub(crate) fn finish(&self, last: u64, faults: &mut Faults) {
        if self.next != 0 && self.next <= last {
            faults.lost += last + 1 - self.next;
            faults.note(|| format!("a stream ended before event {}, {last} was last", self.next));
        }
    }
}

impl Faults {
    /// Keeps the first fault in words: the ones after it often follow from it.
    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        self.first.get_or_insert_with(what);
    }

    pub(crate) fn count(&self) -> u64 {
        self.lost + self.duplicated + self.reordered + self.malformed + self.failed
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.malformed += other.malformed;
        self.failed += other.failed;
        if let Some(first) = &other.first {
            self.note(|| first.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(numbers: &[u64], last: u64) -> [u64; 3] {
        let (mut tally, mut place) = (Tally::default(), Place::default());
        for number in numbers {
            tally.record(
                &mut place,
                &Item::Event {
                    number: *number,
                    at: 0,
                },
                0,
            );
        }
        place.finish(last, &mut tally.faults);
        let Faults {
            lost,
            duplicated,
            reordered,
            ..
        } = tally.faults;
        [lost, duplicated, reordered]
    }

    #[test]
    fn each_kind_of_failure_is_counted_apart() {
        assert_eq!(faults(&[1, 2, 3], 3), [0, 0, 0]);
        assert_eq!(faults(&[1, 3], 3), [1, 0, 0], "lost");
        assert_eq!(faults(&[1, 2], 4), [2, 0, 0], "lost at the end");
        assert_eq!(faults(&[1, 2, 2, 3], 3), [0, 1, 0], "duplicated");
        assert_eq!(faults(&[1, 3, 2, 4], 4), [0, 0, 1], "out of order");
    }
}
