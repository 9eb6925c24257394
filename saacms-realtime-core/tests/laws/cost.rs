//! Law 7, cost: an idle poll reads no entry, however many a ring holds.

use core::cell::Cell;
use core::time::Duration;
use std::collections::VecDeque;

use saacms_realtime_core::{Entry, Instant, Resume, Retention, Ring, Step, Storage, Subscriber};

#[test]
fn a_poll_looks_at_one_item_at_most_however_many_there_are() {
    for len in [1, 100, 10_000] {
        let touched = Cell::new(0);
        let ring = ring(&touched, len);
        for (resume, step) in [
            (Resume::At(ring.next()), Step::Idle { wake_at: None }),
            (Resume::At(len as u64), Step::Deliver(&len)),
            (Resume::At(ring.first()), Step::Deliver(&1)),
        ] {
            let mut reader = Subscriber::new(resume, Duration::ZERO);

            // The first poll of every subscriber is the keep-alive; the second is measured.
            let _greeting = reader.poll(&ring, Instant::ZERO);
            touched.set(0);
            assert_eq!(reader.poll(&ring, Instant::ZERO), step);
            assert!(
                touched.get() <= 1,
                "{} of {len} for {step:?}",
                touched.get()
            );
        }
    }
}

#[test]
fn a_push_looks_at_a_handful_of_items_however_many_there_are() {
    for len in [1, 100, 10_000] {
        let touched = Cell::new(0);
        let mut ring = ring(&touched, len);
        touched.set(0);
        for item in 0..1_000 {
            ring.push(item, 1, Instant::ZERO, drop);
        }
        assert!(touched.get() <= 5_000, "{} for 1,000 pushes", touched.get());
    }
}

#[test]
fn the_replay_window_is_found_in_logarithmic_time() {
    let touched = Cell::new(0);
    let ring = ring(&touched, 10_000);
    touched.set(0);
    assert_eq!(
        ring.replay_start(Instant::from_millis(u64::MAX)),
        ring.next()
    );
    assert!(touched.get() <= 15, "{} of 10,000", touched.get());
}

/// A full ring of the numbers from 1 to `len`.
fn ring(touched: &Cell<usize>, len: usize) -> Ring<usize, Watched<'_>> {
    let retention = Retention {
        max_events: len,
        max_lag: len,
        ..Retention::default()
    };
    let mut ring = Ring::new(
        Watched {
            entries: VecDeque::new(),
            touched,
        },
        retention,
    );

    for item in 1..=len {
        ring.push(item, 1, Instant::ZERO, drop);
    }

    ring
}

/// A queue that counts how often its entries are read.
struct Watched<'a> {
    entries: VecDeque<Entry<usize>>,
    touched: &'a Cell<usize>,
}

impl Watched<'_> {
    fn touch(&self) {
        self.touched.set(self.touched.get() + 1);
    }
}

impl Storage<Entry<usize>> for Watched<'_> {
    fn capacity(&self) -> usize {
        usize::MAX
    }

    fn len(&self) -> usize {
        self.entries.len()
    }

    fn get(&self, index: usize) -> Option<&Entry<usize>> {
        self.touch();
        self.entries.get(index)
    }

    fn push_back(&mut self, entry: Entry<usize>) -> Result<(), Entry<usize>> {
        self.touch();
        self.entries.push_back(entry);
        Ok(())
    }

    fn pop_front(&mut self) -> Option<Entry<usize>> {
        self.touch();
        self.entries.pop_front()
    }
}
