use core::net::IpAddr;
use core::time::Duration;
#[cfg(feature = "disk")]
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;

use saacms_realtime_core::route::Api;
use saacms_realtime_core::route::http::BodyBudget;
use saacms_realtime_core::{
    ConfigError, Event, Hub, HubConfig, Notice, Position, Publishing, Refusal, ResourceKey,
    Subscription, report, sweep,
};

use crate::clock::Clock;
#[cfg(feature = "disk")]
use crate::engine::disk::{DiskConfig, DiskThread, File, Folder, StartError};
use crate::stream::EventStream;

/// The hub with its clock and its API. Cheap to clone; every clone is the same hub.
///
/// An application keeps nothing else: it publishes through it and nests its
/// [`router`](crate::router).
#[derive(Clone, Debug)]
pub struct Realtime {
    hub: Arc<Hub>,
    api: Arc<Api>,
    bodies: Arc<BodyBudget>,
    clock: Clock,
    #[cfg(feature = "disk")]
    disk: Option<Arc<DiskThread>>,
}

impl Realtime {
    /// Creates a hub, and two tasks on the current runtime that live as long as it: one sweeps it, the
    /// other logs what it refuses and cuts, as events of `tracing`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if a setting is out of range.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn new(config: HubConfig, api: Api) -> Result<Self, ConfigError> {
        Ok(Self::with_hub(
            Hub::with_random_seed(config)?,
            api,
            Clock::start(),
        ))
    }

    /// Creates a hub whose history is in a folder, and outlives this process: what
    /// [`submit`](Self::submit) has published is on the disk, and clients that come back after a
    /// restart continue where they were.
    ///
    /// Besides the tasks of [`new`](Self::new), a thread named `saacms-disk` is started. It ends with
    /// the last clone of the hub, or by [`close_history`](Self::close_history).
    ///
    /// # Errors
    ///
    /// Any [`StartError`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    #[cfg(feature = "disk")]
    pub fn with_disk(config: HubConfig, api: Api, disk: DiskConfig) -> Result<Self, StartError> {
        config.check()?;
        let clock = Clock::start();
        let keep = disk.keep(&config);
        let folder = Folder::open(&disk.dir)?;
        let file = File::open(&folder, keep, clock.now().wall)?;

        // The seed of the standard library's hash maps, which no other process shares.
        let seed = RandomState::new().build_hasher().finish();
        let (hub, port) = Hub::with_engine(config, seed, disk.spec(keep))?;
        let thread = DiskThread::start(port, folder, file, keep, clock);
        let mut realtime = Self::with_hub(hub, api, clock);
        realtime.disk = Some(Arc::new(thread.map_err(StartError::Thread)?));
        Ok(realtime)
    }

    fn with_hub(hub: Hub, api: Api, clock: Clock) -> Self {
        let hub = Arc::new(hub);
        let sleep_until = move |due| tokio::time::sleep_until(clock.deadline(due));
        tokio::spawn(sweep(
            Arc::downgrade(&hub),
            move || clock.now(),
            sleep_until,
        ));
        tokio::spawn(report(
            Arc::downgrade(&hub),
            move || clock.now(),
            sleep_until,
            log,
        ));

        let api = api.with_heartbeat(hub.config().heartbeat);
        Self {
            hub,
            bodies: Arc::new(BodyBudget::new(api.max_body_bytes())),
            api: Arc::new(api),
            clock,
            #[cfg(feature = "disk")]
            disk: None,
        }
    }

    /// Publishes an event. When this returns `Ok`, the event is in the record's history.
    ///
    /// # Errors
    ///
    /// [`Refusal::Draining`]: nothing is published.
    pub fn publish(&self, event: Event) -> Result<(), Refusal> {
        self.hub.publish(event, self.clock.now())
    }

    /// Publishes an event, and waits until it is in the record's history.
    ///
    /// The publish begins with this call, whether the future is polled or not. It works whatever
    /// keeps the history; while that is memory, the future is ready at once.
    ///
    /// # Errors
    ///
    /// The future resolves to any [`Refusal`] of a publish. After [`Refusal::MaybePublished`] the
    /// event may have been published; after every other one it was not.
    pub fn submit(&self, event: Event) -> Publishing {
        self.hub.submit(event, self.clock.now())
    }

    /// Subscribes to a record, starting after `last_event_id` if there is one.
    ///
    /// # Errors
    ///
    /// Any [`Refusal`]: no subscriber is registered.
    pub fn subscribe(
        &self,
        key: &ResourceKey,
        last_event_id: Option<&[u8]>,
    ) -> Result<EventStream, Refusal> {
        let subscription = self.subscription(None, key, last_event_id)?;
        Ok(EventStream::new(subscription, self.clock))
    }

    pub(crate) fn subscription(
        &self,
        client: Option<IpAddr>,
        key: &ResourceKey,
        last_event_id: Option<&[u8]>,
    ) -> Result<Subscription, Refusal> {
        let now = self.clock.now();
        self.hub.subscribe_from(client, key, last_event_id, now)
    }

    /// The place after every event of this record so far, for a page that reads the record from its
    /// store and then subscribes.
    ///
    /// Take it *before* the store is read, and let the page name it as its last event ID: then
    /// nothing is lost between the two. An event that the store already shows may come again.
    ///
    /// ```
    /// use saacms_realtime_tokio::{Event, Realtime, ResourceKey};
    ///
    /// struct Page { record: String, last_event_id: String }
    ///
    /// fn render(realtime: &Realtime, key: &ResourceKey, read: impl Fn() -> String) -> Page {
    ///     // In this order: what is published after the position reaches the page.
    ///     let position = realtime.position(key);
    ///     Page { record: read(), last_event_id: position.to_string() }
    /// }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let realtime = Realtime::new(Default::default(), Default::default())?;
    /// let key = ResourceKey::new("posts", "1")?;
    /// let page = render(&realtime, &key, || "old".to_owned());
    /// realtime.publish(Event::changed(key.clone(), &"new", None)?)?;
    ///
    /// // Later the page subscribes from there, over HTTP as `?lastEventId=`.
    /// let stream = realtime.subscribe(&key, Some(page.last_event_id.as_bytes()))?;
    /// # drop((stream, page.record));
    /// # Ok(()) }
    /// ```
    pub fn position(&self, key: &ResourceKey) -> Position {
        self.hub.position(key)
    }

    /// Starts the drain: new streams and publishes are refused; open streams get their remaining
    /// events and a reconnection time, then end.
    ///
    /// Call it before a server's graceful shutdown, which waits for streams to end. During the
    /// drain, 10 s at most, new clients are told to come back later.
    pub fn drain(&self) {
        self.hub.drain();
    }

    /// [`drain`](Self::drain) that may take this long.
    pub fn drain_within(&self, timeout: Duration) {
        self.hub.drain_within(timeout);
    }

    /// Whether events are refused because there is no room for them on the disk, or in the history's
    /// file. Once a second the next ones are tried.
    #[cfg(feature = "disk")]
    pub fn is_disk_full(&self) -> bool {
        self.disk.as_ref().is_some_and(|disk| disk.is_full())
    }

    /// Stores what was published so far, and closes the history on disk. What is published later is
    /// refused.
    ///
    /// Blocks until that is done: for the end of a program, after its drain. Without a history on disk
    /// there is nothing to do.
    #[cfg(feature = "disk")]
    pub fn close_history(&self) {
        if let Some(disk) = &self.disk {
            disk.stop();
        }
    }

    /// The hub, for its statistics and for [`Hub::source_lost`].
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    pub(crate) fn bodies(&self) -> &BodyBudget {
        &self.bodies
    }

    /// The HTTP API that serves this hub.
    pub fn api(&self) -> &Api {
        &self.api
    }
}

/// Writes one line for `count` notices of a kind.
fn log(notice: Notice, count: u64) {
    if notice.is_warning() {
        tracing::warn!(count, "{notice}");
    } else {
        tracing::info!(count, "{notice}");
    }
}
