use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::task::Waker;
use std::task::Wake;

use crate::hub::sync::{Mutex, lock};

/// The records of a lane that changed since it last looked. Publishing threads ring it.
///
/// It is bounded: a change takes a record's waker, and only the lane's next poll registers it again.
pub(super) struct Bell {
    woken: Mutex<Vec<usize>>,
    waker: Waker,
}

impl Bell {
    pub(super) fn new(waker: Waker) -> Self {
        Self {
            woken: Mutex::new(Vec::new()),
            waker,
        }
    }

    fn ring(&self, record: usize) {
        let is_first = {
            let mut woken = lock(&self.woken);
            woken.push(record);
            woken.len() == 1
        };

        // The lane takes all records at once, so only the first one wakes it. The lock is released
        // by now: a waker may come straight back to `take_woken`.
        if is_first {
            self.waker.wake_by_ref();
        }
    }

    /// Takes the records that changed since the last call. The next change wakes the lane again.
    pub(super) fn take_woken(&self) -> Vec<usize> {
        mem::take(&mut *lock(&self.woken))
    }
}

/// The waker of one record.
pub(super) struct RecordWaker {
    pub(super) bell: Arc<Bell>,
    pub(super) record: usize,
}

impl Wake for RecordWaker {
    fn wake(self: Arc<Self>) {
        self.bell.ring(self.record);
    }
}
