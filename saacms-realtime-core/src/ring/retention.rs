use core::time::Duration;

/// How many items a ring keeps, and for how long. Readers do not affect it.
///
/// A reconnect is answered from the *replay window*: the newest `max_events` items of at most
/// `max_age`. A connected reader may be further behind: the ring holds up to `max_lag` items, of at
/// most `max_lag_bytes` together, for at least a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Items in the replay window; 0 = none.
    pub max_events: usize,
    /// Age up to which an item is in the replay window; one of exactly this age still is.
    pub max_age: Duration,
    /// Items that the ring holds for readers that are behind; at least `max_events`.
    pub max_lag: usize,
    /// Bytes beyond which only the newest `max_events` items are held.
    pub max_lag_bytes: usize,
}

impl Default for Retention {
    /// 100 items, 1 hour, 1,024 items, 4 MiB.
    fn default() -> Self {
        Self {
            max_events: 100,
            max_age: Duration::from_secs(3_600),
            max_lag: 1_024,
            max_lag_bytes: 4 << 20,
        }
    }
}
