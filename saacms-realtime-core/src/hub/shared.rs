use core::sync::atomic::Ordering::Relaxed;
use core::task::{Context, Waker};
use core::time::Duration;

use super::engine::Outbox;
use super::registry::Registry;
use super::stats::Counters;
use super::sync::{Arc, AtomicBool, AtomicI64, AtomicU64, Mutex, lock};
use super::topic_cell::TopicCell;
use crate::config::HubConfig;
use crate::name::ResourceKey;
use crate::refusal::Refusal;
use crate::time::{Instant, Now, whole_millis};
use crate::unread::{Ledger, Stalls};

/// Time between two sweeps, in milliseconds.
const SWEEP_MILLIS: u64 = 10_000;

/// What all clones of a hub, and its subscriptions, have in common.
pub(super) struct Shared {
    pub(super) config: HubConfig,
    pub(super) registry: Registry,
    pub(super) counters: Counters,
    /// Counts all buffers that this hub makes.
    pub(super) ledger: Ledger,
    /// The readers that have bytes which they have not taken.
    pub(super) stalls: Stalls,
    /// Set once, never cleared. A subscription reads it under its topic's lock, and `Hub::drain`
    /// takes each of those locks after setting it: no subscription waits without having seen it.
    pub(super) draining: AtomicBool,
    /// The longest that the drain may last, in milliseconds; 0 until it begins.
    pub(super) drain_millis: AtomicU64,
    /// Numbers for jitter handed out so far. The count is what the next one is computed from.
    jitters: AtomicU64,
    seed: u64,
    /// The latest `now` that any caller passed, in milliseconds. It never goes back. A drop and a
    /// poll as a `Stream` are passed no `now` and use this one.
    latest_instant: AtomicU64,
    /// The wall clock of the `now` passed last. It may be set back, as wall clocks are.
    latest_wall: AtomicI64,
    sweeper: Mutex<Sweeper>,
}

#[derive(Default)]
struct Sweeper {
    /// When the next sweep is due.
    next: Instant,
    /// Woken when the first topic is created, when the first publish waits for an engine, and when the
    /// hub is dropped.
    waker: Option<Waker>,
}

impl Shared {
    pub(super) fn new(config: HubConfig, seed: u64, engine: Option<Arc<Outbox>>) -> Self {
        let ledger = Ledger::counting();
        Self {
            config,
            registry: Registry::new(config, seed, ledger.clone(), engine),
            counters: Counters::default(),
            stalls: Stalls::new(
                ledger.clone(),
                config.max_unread_bytes,
                config.stall_timeout,
            ),
            ledger,
            draining: AtomicBool::new(false),
            drain_millis: AtomicU64::new(0),
            jitters: AtomicU64::new(0),
            seed,
            latest_instant: AtomicU64::new(0),
            latest_wall: AtomicI64::new(0),
            sweeper: Mutex::new(Sweeper::default()),
        }
    }

    /// The topic of `key`, created if there is none. The first topic wakes the sweeper.
    ///
    /// It may be removed before the caller locks it: then `Registry::lock_topic` returns `None`,
    /// and the caller must call this again.
    pub(super) fn find_or_create(
        &self,
        key: &ResourceKey,
        now: Now,
    ) -> Result<Arc<Mutex<TopicCell>>, Refusal> {
        let (cell, is_first) = self.registry.find_or_create(key, now.instant)?;
        if is_first {
            self.wake_sweeper();
        }
        Ok(cell)
    }

    pub(super) fn poll_sweep(&self, cx: &Context<'_>, now: Instant) -> Option<Instant> {
        let (cut, stall_due) = self.stalls.poll(cx, now);
        self.counters.cut.fetch_add(cut.len() as u64, Relaxed);
        for notice in cut {
            self.registry.notices.count(notice);
        }

        let mut sweeper = lock(&self.sweeper);
        if sweeper.next <= now {
            self.registry.sweep(now);
            sweeper.next = now.saturating_add(Duration::from_millis(SWEEP_MILLIS));
        }

        // Store the waker before counting the topics: a topic created after the count finds the
        // waker, and one created before it is counted.
        sweeper.waker = Some(cx.waker().clone());
        let sweep_due = (self.registry.topics() > 0).then_some(sweeper.next);
        drop(sweeper);
        // Records that were forgotten are no longer watched.
        self.wake_engine();
        sweep_due.into_iter().chain(stall_due).min()
    }

    /// Wakes the engine if there is something for it. No lock may be held.
    pub(super) fn wake_engine(&self) {
        if let Some(engine) = &self.registry.engine {
            engine.wake();
        }
    }

    pub(super) fn wake_sweeper(&self) {
        // The lock is released before the waker is called: a waker may poll the sweep at once.
        let waker = lock(&self.sweeper).waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Records `now` as the latest moment.
    pub(super) fn observe_time(&self, now: Now) {
        let instant = now.instant.as_millis();
        // Most calls are in the millisecond of the last one.
        if self.latest_instant.load(Relaxed) < instant {
            self.latest_instant.fetch_max(instant, Relaxed);
        }
        self.latest_wall.store(now.wall.as_millis(), Relaxed);
    }

    /// The latest moment that any caller passed.
    pub(super) fn latest(&self) -> Now {
        Now::from_millis(
            self.latest_instant.load(Relaxed),
            self.latest_wall.load(Relaxed),
        )
    }

    /// A jittered reconnection time: 1 to 4 × `drain_retry`.
    pub(super) fn next_retry_millis(&self) -> u64 {
        let base = whole_millis(self.config.drain_retry);
        // Spread wide: the clients of a drained hub must not all reconnect at once.
        base + self.jitter() % (3 * base + 1)
    }

    /// The refusal while the hub drains: come back when that is over.
    pub(super) fn refuse_draining(&self) -> Refusal {
        // At most an hour each, as the configuration is checked, or whatever the driver says.
        let millis = self.drain_millis.load(Relaxed);
        let retry_after = Duration::from_millis(millis.saturating_add(self.next_retry_millis()));
        Refusal::Draining { retry_after }
    }

    /// A random number, another one at each call.
    pub(super) fn jitter(&self) -> u64 {
        let count = self.jitters.fetch_add(1, Relaxed);
        scramble(self.seed.wrapping_add(count))
    }
}

/// Wakes the sweeper, which may wait for a first topic that will never come, and whoever waits for
/// notices.
impl Drop for Shared {
    fn drop(&mut self) {
        self.wake_sweeper();
        self.registry.notices.wake();
    }
}

/// The output function of SplitMix64 (Steele, Lea, Flood 2014): spreads neighbouring numbers.
const fn scramble(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_scrambled_as_splitmix64_does() {
        // The first three outputs from state 1,234,567, as other implementations compute them.
        let outputs = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        let mut state = 1_234_567_u64;
        for output in outputs {
            assert_eq!(super::scramble(state), output);
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        }
    }
}
