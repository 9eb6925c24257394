use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::task::Waker;
use std::task::Wake;

use crate::hub::sync::{Mutex, lock};

/// Which topics of a lane something happened to. Called by whoever publishes.
///
/// It cannot overflow: a topic is woken once until the lane polls it again.
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

    fn ring(&self, topic: usize) {
        let is_first = {
            let mut woken = lock(&self.woken);
            woken.push(topic);
            woken.len() == 1
        };
        if is_first {
            self.waker.wake_by_ref();
        }
    }

    /// What came since the last call. Whoever comes behind it calls the lane's waker again.
    pub(super) fn take(&self) -> Vec<usize> {
        mem::take(&mut *lock(&self.woken))
    }
}

/// The waker of one topic.
pub(super) struct TopicWaker {
    pub(super) bell: Arc<Bell>,
    pub(super) topic: usize,
}

impl Wake for TopicWaker {
    fn wake(self: Arc<Self>) {
        self.bell.ring(self.topic);
    }
}
