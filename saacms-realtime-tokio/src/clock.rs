use std::time::SystemTime;

use saacms_realtime_core::{Instant, Now, Timestamp};

/// Reads both clocks. The monotonic one is tokio's, so that a test can pause and advance it.
///
/// Its instants begin with the time of the wall clock, so that those of events which an engine has stored
/// before this process began are among them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: tokio::time::Instant,
    start_millis: u64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let wall = Timestamp::from(SystemTime::now());
        Self {
            start: tokio::time::Instant::now(),
            start_millis: u64::try_from(wall.as_millis()).unwrap_or(0),
        }
    }

    pub(crate) fn now(self) -> Now {
        let millis = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now {
            instant: Instant::from_millis(self.start_millis.saturating_add(millis)),
            wall: SystemTime::now().into(),
        }
    }

    /// The time of tokio's clock at `instant`.
    pub(crate) fn deadline(self, instant: Instant) -> tokio::time::Instant {
        // 34 years: longer than any timer has to wait, and still within the range of the clock.
        const FAR_MILLIS: u64 = 1 << 40;

        let millis = instant.as_millis().saturating_sub(self.start_millis);
        self.start + std::time::Duration::from_millis(millis.min(FAR_MILLIS))
    }
}
