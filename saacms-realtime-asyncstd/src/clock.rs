use std::time::{Duration, Instant as StdInstant, SystemTime};

use saacms_realtime_core::{Instant, Now};

/// Reads both clocks of the system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: StdInstant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            start: StdInstant::now(),
        }
    }

    pub(crate) fn now(self) -> Now {
        let millis = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now {
            instant: Instant::from_millis(millis),
            wall: SystemTime::now().into(),
        }
    }

    /// The moment at which the system's clock shows `instant`.
    pub(crate) fn deadline(self, instant: Instant) -> StdInstant {
        // 35 years: longer than any timer waits, and still within the range of the system's clock.
        const FAR_MILLIS: u64 = 1 << 40;
        self.start + Duration::from_millis(instant.as_millis().min(FAR_MILLIS))
    }
}
