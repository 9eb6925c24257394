use std::time::SystemTime;

use saacms_realtime_core::{Instant, Now};

/// Reads both clocks. The monotonic one is tokio's, so that a test can pause and advance it.
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

    /// The time of tokio's clock at `instant`.
    pub(crate) fn deadline(self, instant: Instant) -> tokio::time::Instant {
        // 34 years: longer than any timer has to wait, and still within the range of the clock.
        const FAR_MILLIS: u64 = 1 << 40;

        self.start + std::time::Duration::from_millis(instant.as_millis().min(FAR_MILLIS))
    }
}
