use std::time::SystemTime;

use saacms_realtime_core::time::{Instant, Now};

/// Reads both clocks. Tokio's monotonic one, so that a test which pauses it moves deadlines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: tokio::time::Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            start: tokio::time::Instant::now(),
        }
    }

    pub(crate) fn now(self) -> Now {
        let millis = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now {
            instant: Instant::from_millis(millis),
            wall: SystemTime::now().into(),
        }
    }

    /// When tokio's clock shows `instant`.
    pub(crate) fn deadline(self, instant: Instant) -> tokio::time::Instant {
        // Far beyond what any timer can wait for, and within what the clock can tell.
        const FAR_MILLIS: u64 = 1 << 40;
        self.start + std::time::Duration::from_millis(instant.as_millis().min(FAR_MILLIS))
    }
}
