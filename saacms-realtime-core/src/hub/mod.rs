//! The hub: topics by key, with the locks, wakers and limits that every threaded adapter needs.
//!
//! Each call is passed `now`. The hub owns no timer, spawns nothing, and holds no lock while it
//! calls a waker.

mod addresses;
mod engine;
mod lane;
mod notices;
mod publishing;
mod registry;
mod shared;
mod stats;
mod subscription;
mod sweep;
mod sync;
mod topic_cell;

use alloc::vec::Vec;
use core::fmt;
use core::hash::{BuildHasher as _, Hasher as _};
use core::net::IpAddr;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::task::{Context, Waker};
use core::time::Duration;
use std::hash::RandomState;

use bytes::Bytes;

use crate::config::{ConfigError, DEFAULT_DRAIN_TIMEOUT, HubConfig};
use crate::event::Event;
use crate::name::ResourceKey;
use crate::position::Position;
use crate::refusal::Refusal;
use crate::time::{Instant, Now, whole_millis};
use crate::unread::Stalls;

pub use engine::{EnginePort, EngineStats, Reporter};
pub use lane::{Lane, Outgoing, Piece};
pub use notices::{NoticeOutput, report};
pub use publishing::Publishing;
pub use stats::Stats;
pub use subscription::{Output, Subscription, TypedOutput};
pub use sweep::sweep;

use shared::Shared;
use sync::Arc;

/// All topics of one process. Cheap to clone; every clone is the same hub.
///
/// - *Getters*: [`position`](Self::position), [`config`](Self::config), [`stats`](Self::stats),
///   [`stalls`](Self::stalls), [`jitter`](Self::jitter), [`check_running`](Self::check_running),
///   [`is_draining`](Self::is_draining).
/// - *Commands*: [`publish`](Self::publish), [`submit`](Self::submit),
///   [`subscribe`](Self::subscribe), [`source_lost`](Self::source_lost), [`drain`](Self::drain),
///   [`notice`](Self::notice).
/// - *Polls*: [`poll_sweep`](Self::poll_sweep), [`poll_notices`](Self::poll_notices), and
///   [`Subscription::poll`].
/// - *For one thread that serves many subscribers*: [`Lane`].
///
/// Commands may be called from any thread and in any order. Each wakes the subscribers that it
/// affects, which are then polled until they are idle. One task polls the sweep, and again at each
/// deadline that this returns: without it, expired history and idle topics are freed only when a
/// limit is reached. A shutdown calls `drain` and keeps polling every subscription to its end: a
/// client whose subscription is dropped earlier gets no reconnection time, and all such clients
/// reconnect at once.
///
/// Every `now` must come from the same two clocks, whichever thread reads them.
///
/// ```
/// use core::task::{Context, Waker};
/// use saacms_realtime_core::{Event, Hub, HubConfig, Now, Output};
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
///     ":keepalive\n\nid: 0000000000000000.0\n\n\
///      event: deleted\nid: 2023-11-14T22:13:20.000Z\ndata: {\"id\":\"1\"}\n\n"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Hub {
    shared: Arc<Shared>,
}

impl Hub {
    /// An empty hub. `seed` must be random: it is the epoch of the hub's positions, and no two
    /// processes may share one.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if a setting is out of its range.
    pub fn new(config: HubConfig, seed: u64) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self {
            shared: Arc::new(Shared::new(config, seed, None)),
        })
    }

    /// A hub with a random seed: that of the standard library's hash maps, which nobody can guess
    /// and no other process shares.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_random_seed(config: HubConfig) -> Result<Self, ConfigError> {
        Self::new(config, RandomState::new().build_hasher().finish())
    }

    /// Publishes an event: once this returns `Ok` it is in the topic's history.
    ///
    /// If the record has no topic, and all that `max_topics` allows have subscribers, then nobody
    /// reads the record and its event is not kept: a client that comes back to it with an earlier place
    /// is told to refetch.
    ///
    /// # Errors
    ///
    /// [`Refusal::Draining`]; then nothing was published. The hub's clients refetch when they come
    /// back, to a hub of another epoch. [`Refusal::NeedsSubmit`], always, if the hub has an engine.
    pub fn publish(&self, event: Event, now: Now) -> Result<(), Refusal> {
        if self.shared.registry.engine.is_some() {
            return Err(Refusal::NeedsSubmit);
        }
        self.keep(event, now)
    }

    /// Subscribes to a record; `last_event_id` is what the client named, as bytes.
    ///
    /// Lookup, replay and registration are one step: a subscriber that joins in the middle of a
    /// burst gets every event once and in order.
    ///
    /// # Errors
    ///
    /// Any [`Refusal`]; then nothing was registered.
    pub fn subscribe(
        &self,
        key: &ResourceKey,
        last_event_id: Option<&[u8]>,
        now: Now,
    ) -> Result<Subscription, Refusal> {
        self.subscribe_from(None, key, last_event_id, now)
    }

    /// Subscribes as [`subscribe`](Self::subscribe) does, on behalf of a client at `address`, whose
    /// streams are limited by `max_streams_per_address`.
    ///
    /// # Errors
    ///
    /// Any [`Refusal`]; then nothing was registered.
    pub fn subscribe_from(
        &self,
        address: Option<IpAddr>,
        key: &ResourceKey,
        last_event_id: Option<&[u8]>,
        now: Now,
    ) -> Result<Subscription, Refusal> {
        self.shared.observe_time(now);
        let opened = self.open(address, key, last_event_id, now);
        opened.inspect_err(|refusal| self.count_refused_subscribe(*refusal))
    }

    fn open(
        &self,
        address: Option<IpAddr>,
        key: &ResourceKey,
        last_event_id: Option<&[u8]>,
        now: Now,
    ) -> Result<Subscription, Refusal> {
        self.check_running()?;

        // Counted before it is opened: concurrent calls must not exceed a limit together.
        let registry = &self.shared.registry;
        let guard = registry.enter(address)?;
        registry.add_subscriber()?;
        let mut opened = Subscription::open(self, key, last_event_id, now);
        match &mut opened {
            Ok(subscription) => subscription.address = guard,
            Err(_) => registry.remove_subscriber(),
        }
        opened
    }

    /// Lowers `max_subscribers` to `limit` if it is higher: each stream may need a connection, and a
    /// server knows how many it can have.
    pub fn limit_subscribers(&self, limit: usize) {
        self.shared.registry.limit_subscribers(limit);
    }

    /// The place after every event of this record so far.
    ///
    /// A host takes it *before* it reads the record from its store, and subscribes from it: then no
    /// event is lost between the two, and nobody is told to refetch on a record without events. An
    /// event that the store already shows may come again. None is lost as long as each writer publishes
    /// after it has written.
    ///
    /// With an engine it is the greatest place of any record that the engine has reported; the engine is
    /// not asked. Before the engine was up, it is a place of this process alone, whose reader refetches.
    ///
    /// Creates no topic.
    ///
    /// ```
    /// use core::task::{Context, Waker};
    /// use saacms_realtime_core::{Event, Hub, HubConfig, Now, Output, ResourceKey};
    ///
    /// let hub = Hub::new(HubConfig::default(), 0)?;
    /// let (key, now) = (ResourceKey::new("posts", "1")?, Now::from_millis(0, 0));
    ///
    /// // The answer of a REST call: the place first, then the record.
    /// let position = hub.position(&key).to_string();
    /// let record = r#"{"title":"old"}"#;
    ///
    /// // Before the page subscribes, the record changes.
    /// hub.publish(Event::from_json(
    ///     br#"{"type":"changed","slug":"posts","id":"1","record":{"title":"new"},"etag":"v2"}"#,
    /// )?, now)?;
    ///
    /// let mut page = hub.subscribe(&key, Some(position.as_bytes()), now)?;
    /// let Output::Frames(frames) = page.poll(&Context::from_waker(Waker::noop()), now)
    ///     else { panic!() };
    /// assert_eq!(
    ///     frames,
    ///     ":keepalive\n\nevent: changed\nid: v2\ndata: {\"title\":\"new\"}\n\n"
    /// );
    /// # let _ = record;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn position(&self, key: &ResourceKey) -> Position {
        // One sequence counts the events of all records.
        let _ = key;
        let registry = &self.shared.registry;
        let of_engine = registry.engine.as_ref().and_then(|it| it.position());
        of_engine.unwrap_or_else(|| registry.position())
    }

    /// Reports that the source of this record's events lost data: drops the history and sends every
    /// subscriber a resync.
    ///
    /// With an engine, that follows once the engine has said where the record stands. Only subscribers of
    /// this hub are told, and only while it watches the record: report it to every hub of the engine.
    pub fn source_lost(&self, key: &ResourceKey) {
        let registry = &self.shared.registry;
        if let Some(engine) = &registry.engine {
            return self.source_lost_at(engine, key);
        }
        let wakers = loop {
            let Some(cell) = registry.find_or_raise_floor(key) else {
                return;
            };
            // The topic may be removed between the two locks; then its shard has the floor to raise.
            if let Some(mut topic) = registry.lock_topic(&cell) {
                topic.interrupt(registry.take_sequence());
                break topic.take_wakers();
            }
        };

        wakers.into_iter().for_each(Waker::wake);
    }

    /// Starts to end all streams: subscriptions and publishes are refused, and each open stream gets
    /// its remaining frames, then a reconnection time of its own, then its end.
    ///
    /// Clients that come during the drain are told to come back when it is over, 10 s later at most.
    pub fn drain(&self) {
        self.drain_within(DEFAULT_DRAIN_TIMEOUT);
    }

    /// [`drain`](Self::drain) that may last at most this long.
    pub fn drain_within(&self, timeout: Duration) {
        // Before the flag: whoever sees that finds the time.
        self.shared
            .drain_millis
            .store(whole_millis(timeout), Relaxed);
        self.shared.draining.store(true, Release);
        // Subscribers read the flag under their topic's lock, and this takes each of those locks
        // once: a waker registered earlier is taken here, and a later poll sees the flag.
        let wakers = self.shared.registry.take_wakers();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Sweeps if a sweep is due: frees expired history and removes idle topics. Cuts the readers
    /// that are to be cut, see [`stalls`](Self::stalls), and refuses the publishes that have waited too
    /// long for an engine.
    ///
    /// Returns when to poll next, unless the waker is called earlier. `None` while there is no topic
    /// and nobody waits for a reader or an engine: the waker is called when the first one is created or
    /// waited for, or the last clone of the hub is dropped, and no timer is needed until then.
    ///
    /// # Deadlocks
    ///
    /// The waker is cloned, and an earlier one dropped, while a lock of the hub is held: its `clone`
    /// and its `drop` must not use the hub. Its `wake` may.
    pub fn poll_sweep(&self, cx: &Context<'_>, now: Now) -> Option<Instant> {
        self.shared.observe_time(now);
        let due = self.shared.poll_sweep(cx, now.instant);
        // After the waker is stored: the first publish that waits from here on calls it.
        let expires = self.end_overdue_publishes(now.instant);
        due.into_iter().chain(expires).min()
    }

    /// The readers of this hub that have bytes which they have not taken. A driver that writes to
    /// readers reports them here.
    pub fn stalls(&self) -> &Stalls {
        &self.shared.stalls
    }

    /// Shares a buffer that is written to readers, such as an answer: it counts against
    /// `max_unread_bytes` until the last handle of it is dropped.
    pub fn share(&self, bytes: Vec<u8>) -> Bytes {
        self.shared.ledger.share(bytes)
    }

    /// The configuration that the hub was created with.
    pub fn config(&self) -> &HubConfig {
        &self.shared.config
    }

    /// A number for jitter: random, and another one at each call.
    pub fn jitter(&self) -> u64 {
        self.shared.jitter()
    }

    /// Whether [`drain`](Self::drain) was called.
    pub fn is_draining(&self) -> bool {
        self.shared.draining.load(Acquire)
    }

    /// Checks that the hub does not drain, for what else is served beside it.
    ///
    /// # Errors
    ///
    /// [`Refusal::Draining`].
    pub fn check_running(&self) -> Result<(), Refusal> {
        if self.is_draining() {
            Err(self.shared.refuse_draining())
        } else {
            Ok(())
        }
    }

    /// Figures for logs and health checks.
    pub fn stats(&self) -> Stats {
        let Shared {
            registry,
            counters,
            ledger,
            ..
        } = &*self.shared;
        let engine = registry.engine.as_ref();
        Stats {
            topics: registry.topics(),
            subscribers: registry.subscribers(),
            history_bytes: registry.history_bytes(),
            published: counters.published.load(Relaxed),
            resyncs: counters.resyncs.load(Relaxed),
            unread_bytes: ledger.unread(),
            cut_readers: counters.cut.load(Relaxed),
            engine: engine.map(|engine| engine.stats(self.shared.latest().instant)),
        }
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
