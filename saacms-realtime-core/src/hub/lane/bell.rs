use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::task::Waker;
use std::task::Wake;

use crate::hub::sync::{Mutex, lock};

/// Which records of a lane changed. Rung by the threads that publish.
///
/// It cannot overflow: a record is woken at most once until the lane polls it again.
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
        // The lane takes all that came, so it is woken for the first one only.
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
