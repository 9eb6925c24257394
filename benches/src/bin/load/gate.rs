//! A gate where publishers wait until enough deliveries were received. None is woken early.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::SeqCst;
use core::time::Duration;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::Instant;

#[derive(Debug)]
pub(crate) struct Gate {
    received: AtomicU64,
    /// The smallest count that a publisher waits for.
    soonest: AtomicU64,
    waiters: Mutex<Vec<(u64, Thread)>>,
}

impl Default for Gate {
    fn default() -> Self {
        let (received, soonest) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
        Self {
            received,
            soonest,
            waiters: Mutex::default(),
        }
    }
}

impl Gate {
    pub(crate) fn received(&self) -> u64 {
        self.received.load(SeqCst)
    }

    pub(crate) fn add(&self, count: u64) {
        let received = self.received.fetch_add(count, SeqCst) + count;
        // Nearly always: readers take the lock only where a publisher can go on.
        if received < self.soonest.load(SeqCst) {
            return;
        }

        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        waiters.retain(|(wanted, thread)| {
            if *wanted <= received {
                thread.unpark();
            }
            *wanted > received
        });

        let soonest = waiters.iter().map(|waiter| waiter.0).min();
        self.soonest.store(soonest.unwrap_or(u64::MAX), SeqCst);
    }

    /// Waits until `wanted` deliveries were received; false if that takes longer than `patience`.
    pub(crate) fn wait(&self, wanted: u64, patience: Duration) -> bool {
        if self.received() >= wanted {
            return true;
        }

        let until = Instant::now() + patience;
        {
            let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
            waiters.push((wanted, thread::current()));
            self.soonest.fetch_min(wanted, SeqCst);
        }

        while self.received() < wanted {
            let Some(left) = until.checked_duration_since(Instant::now()) else {
                return false;
            };

            // Deliveries that came before the wait was registered wake nobody: read the count
            // again.
            thread::park_timeout(left.min(Duration::from_millis(20)));
        }
        true
    }
}
