//! The hub: what every threaded adapter would otherwise write again.
//!
//! Key to topic map, locks, wakers, limits, sweep. It takes `now`, owns no timer, spawns nothing
//! and never holds a lock while it calls a waker.

mod lane;
mod registry;
mod subscription;
mod sync;
mod topic_cell;

use core::fmt;
use core::sync::atomic::Ordering::Relaxed;
use core::task::{Context, Waker};
use std::sync::PoisonError;

use crate::config::{ConfigError, HubConfig};
use crate::event::Event;
use crate::name::ResourceKey;
use crate::refusal::Refusal;
use crate::time::{Instant, Now};

pub use lane::{Lane, Outgoing};
pub use subscription::{Output, Subscription};

use registry::Registry;
use sync::{Arc, AtomicBool, AtomicI64, AtomicU64, Mutex, MutexGuard};
use topic_cell::TopicCell;

/// Time between two sweeps, in milliseconds.
const SWEEP_MILLIS: u64 = 10_000;

/// All topics of one process. Cheap to clone; every clone is the same hub.
///
/// - *Getters*: [`config`](Self::config), [`stats`](Self::stats).
/// - *Commands*: [`publish`](Self::publish), [`subscribe`](Self::subscribe),
///   [`source_lost`](Self::source_lost), [`drain`](Self::drain).
/// - *Polls*: [`poll_sweep`](Self::poll_sweep), and [`Subscription::poll`].
/// - *For one thread that serves many subscribers*: [`Lane`].
///
/// ```
/// use core::task::{Context, Waker};
/// use saacms_realtime_core::{config::HubConfig, event::Event, hub::{Hub, Output}, time::Now};
///
/// let hub = Hub::new(HubConfig::default(), 0)?;
/// let now = Now::from_millis(0, 1_700_000_000_000);
/// let event = Event::from_json(br#"{"type":"deleted","slug":"posts","id":"1"}"#)?;
/// let mut subscription = hub.subscribe(event.key(), None, now)?;
/// hub.publish(event, now)?;
/// let Output::Frames(bytes) = subscription.poll(&mut Context::from_waker(Waker::noop()), now)
///     else { panic!() };
/// assert_eq!(
///     bytes,
///     ":keepalive\n\nevent: deleted\nid: 2023-11-14T22:13:20.000Z\ndata: {\"id\":\"1\"}\n\n"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Hub {
    shared: Arc<Shared>,
}

struct Shared {
    config: HubConfig,
    registry: Registry,
    counters: Counters,
    draining: AtomicBool,
    /// Retry times told so far; each gives another one.
    retries: AtomicU64,
    seed: u64,
    /// The latest moment that anybody has told, in milliseconds: for what happens without a `now`.
    latest: AtomicU64,
    latest_wall: AtomicI64,
    sweeper: Mutex<Sweeper>,
}

#[derive(Default)]
struct Sweeper {
    next: Instant,
    waker: Option<Waker>,
}

#[derive(Default)]
struct Counters {
    published: AtomicU64,
    resyncs: AtomicU64,
}

impl Hub {
    /// An empty hub. `seed` must be random: epochs start from it, and with it no two processes
    /// share one.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] where a setting is out of its range.
    pub fn new(config: HubConfig, seed: u64) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self {
            shared: Arc::new(Shared {
                config,
                registry: Registry::new(config, seed),
                counters: Counters::default(),
                draining: AtomicBool::new(false),
                retries: AtomicU64::new(0),
                seed,
                latest: AtomicU64::new(0),
                latest_wall: AtomicI64::new(0),
                sweeper: Mutex::new(Sweeper::default()),
            }),
        })
    }

    /// What it was made with.
    pub fn config(&self) -> &HubConfig {
        &self.shared.config
    }

    /// Publishes an event: once this returns `Ok` it is in the topic's history.
    ///
    /// # Errors
    ///
    /// [`Refusal::TooManyTopics`]; nothing was published then.
    pub fn publish(&self, event: Event, now: Now) -> Result<(), Refusal> {
        self.shared.observe_time(now);

        let wakers = loop {
            let cell = self.find_or_create(event.key(), now)?;
            // The topic may be forgotten between the two locks: then there is another one to find.
            if let Some(mut topic) = self.shared.registry.lock_topic(&cell) {
                topic.publish(event, now);
                break topic.take_wakers();
            }
        };

        self.shared.counters.published.fetch_add(1, Relaxed);
        // No lock is held here: a waker may use the hub.
        wakers.into_iter().for_each(Waker::wake);
        self.shared.registry.reclaim_bytes(now.instant);
        Ok(())
    }

    /// Subscribes to a record; `last_event_id` is what the client named, as bytes.
    ///
    /// Lookup, replay and registration are one step: whoever joins in the middle of a burst gets
    /// every event once and in order.
    ///
    /// # Errors
    ///
    /// Any [`Refusal`]; nobody is registered then.
    pub fn subscribe(
        &self,
        key: &ResourceKey,
        last_event_id: Option<&[u8]>,
        now: Now,
    ) -> Result<Subscription, Refusal> {
        self.shared.observe_time(now);
        if self.is_draining() {
            return Err(Refusal::Draining);
        }

        let registry = &self.shared.registry;
        registry.add_subscriber()?;
        let opened = Subscription::open(self, key, last_event_id, now);
        if opened.is_err() {
            registry.remove_subscriber();
        }
        opened
    }

    /// Says that what feeds this record lost data: its history is dropped, and everybody who
    /// watches it is told to refetch.
    pub fn source_lost(&self, key: &ResourceKey) {
        let registry = &self.shared.registry;
        let Some(cell) = registry.find(key) else {
            return;
        };
        // A topic that was forgotten meanwhile has no readers to tell.
        let Some(mut topic) = registry.lock_topic(&cell) else {
            return;
        };

        topic.feed.interrupt();
        let wakers = topic.take_wakers();
        drop(topic);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Begins to end: new subscriptions are refused, every open one gets what it has not yet had,
    /// then a reconnection time of its own, then its end. Publishing still works.
    pub fn drain(&self) {
        self.shared.draining.store(true, Relaxed);
        // The flag is read under the lock of each topic, which this takes once: whoever polled
        // before has a waker here, whoever polls after sees the flag.
        let wakers = self.shared.registry.take_wakers();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Whether [`drain`](Self::drain) was called.
    pub fn is_draining(&self) -> bool {
        self.shared.draining.load(Relaxed)
    }

    /// Sweeps when that is due: frees expired history and forgets idle topics.
    ///
    /// Answers when to poll next. `None` while there is no topic: the waker is called when the
    /// first one comes or the last clone of the hub goes, no timer need run until then.
    pub fn poll_sweep(&self, cx: &Context<'_>, now: Now) -> Option<Instant> {
        self.shared.observe_time(now);
        let now = now.instant;
        let mut sweeper = lock(&self.shared.sweeper);
        if sweeper.next <= now {
            self.shared.registry.sweep(now);
            sweeper.next = now.saturating_add(core::time::Duration::from_millis(SWEEP_MILLIS));
        }
        sweeper.waker = Some(cx.waker().clone());
        (self.shared.registry.topics() > 0).then_some(sweeper.next)
    }

    /// Figures for logs and health checks.
    pub fn stats(&self) -> Stats {
        let Shared {
            registry, counters, ..
        } = &*self.shared;
        Stats {
            topics: registry.topics(),
            subscribers: registry.subscribers(),
            history_bytes: registry.history_bytes(),
            published: counters.published.load(Relaxed),
            resyncs: counters.resyncs.load(Relaxed),
        }
    }

    /// The topic of `key`, which is made where there is none; the first one wakes the sweeper.
    ///
    /// It may be forgotten before the caller locks it: then there is another one to find.
    fn find_or_create(
        &self,
        key: &ResourceKey,
        now: Now,
    ) -> Result<Arc<Mutex<TopicCell>>, Refusal> {
        let (cell, is_first) = self.shared.registry.find_or_create(key, now.instant)?;
        if is_first {
            let sweeper = lock(&self.shared.sweeper).waker.take();
            sweeper.into_iter().for_each(Waker::wake);
        }
        Ok(cell)
    }
}

impl Shared {
    fn observe_time(&self, now: Now) {
        self.latest.fetch_max(now.instant.as_millis(), Relaxed);
        self.latest_wall.store(now.wall.as_millis(), Relaxed);
    }

    /// The latest moment that anybody has told.
    fn latest(&self) -> Now {
        Now::from_millis(self.latest.load(Relaxed), self.latest_wall.load(Relaxed))
    }

    /// A reconnection time that hardly anybody else is told: 1 to 4 times the configured one.
    fn next_retry_millis(&self) -> u64 {
        let base = crate::time::whole_millis(self.config.drain_retry);
        let count = self.retries.fetch_add(1, Relaxed);
        base + scramble(self.seed.wrapping_add(count)) % (3 * base + 1)
    }
}

/// Whoever waits for the first topic learns that there will be none.
impl Drop for Shared {
    fn drop(&mut self) {
        let sweeper = lock(&self.sweeper).waker.take();
        sweeper.into_iter().for_each(Waker::wake);
    }
}

/// The output function of SplitMix64 (Steele, Lea, Flood 2014): spreads neighbouring numbers.
const fn scramble(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A panic elsewhere leaves every value of the hub whole: nothing is half done between two calls.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// Figures of a hub at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Records with history or subscribers.
    pub topics: usize,
    /// Open subscriptions.
    pub subscribers: usize,
    /// Bytes of history, as they count against `max_history_bytes`.
    pub history_bytes: usize,
    /// Events published so far.
    pub published: u64,
    /// Resyncs told so far.
    pub resyncs: u64,
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_spread_as_splitmix64_spreads_them() {
        // Its first three outputs from the state 1,234,567, as its other implementations give them.
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
