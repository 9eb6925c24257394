use std::future::poll_fn;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{Arc, Weak};
use std::task::Poll;

use saacms_realtime_core::config::{ConfigError, HubConfig};
use saacms_realtime_core::event::Event;
use saacms_realtime_core::hub::{Hub, Subscription};
use saacms_realtime_core::name::ResourceKey;
use saacms_realtime_core::refusal::Refusal;
use saacms_realtime_core::route::Api;

use crate::clock::Clock;
use crate::stream::EventStream;

/// The hub with its clock and its API. Cheap to clone; every clone is the same hub.
///
/// It is all that an application keeps: publish with it, nest [`router`](crate::router) of it.
#[derive(Clone, Debug)]
pub struct Realtime {
    hub: Arc<Hub>,
    api: Arc<Api>,
    clock: Clock,
}

impl Realtime {
    /// A hub, and a task on the current runtime that sweeps it for as long as it lives.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] where a setting is out of its range.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn new(config: HubConfig, api: Api) -> Result<Self, ConfigError> {
        // The standard library's hash keys are random: nobody can guess an epoch, or repeat one.
        let seed = RandomState::new().build_hasher().finish();
        let hub = Arc::new(Hub::new(config, seed)?);
        let clock = Clock::start();
        tokio::spawn(sweep(Arc::downgrade(&hub), clock));
        Ok(Self {
            hub,
            api: Arc::new(api),
            clock,
        })
    }

    /// Publishes an event: once this returns `Ok` it is in the record's history.
    ///
    /// # Errors
    ///
    /// [`Refusal::TooManyTopics`]; nothing was published then.
    pub fn publish(&self, event: Event) -> Result<(), Refusal> {
        self.hub.publish(event, self.clock.now())
    }

    /// Subscribes to a record, from behind `last_event_id` where one is named.
    ///
    /// # Errors
    ///
    /// Any [`Refusal`]; nobody is registered then.
    pub fn subscribe(
        &self,
        key: &ResourceKey,
        last_event_id: Option<&[u8]>,
    ) -> Result<EventStream, Refusal> {
        let subscription = self.subscription(key, last_event_id)?;
        Ok(EventStream::new(subscription, self.clock))
    }

    pub(crate) fn subscription(
        &self,
        key: &ResourceKey,
        last_event_id: Option<&[u8]>,
    ) -> Result<Subscription, Refusal> {
        self.hub.subscribe(key, last_event_id, self.clock.now())
    }

    /// Begins to end: new streams are refused, open ones get what they have not yet had, a
    /// reconnection time and their end.
    ///
    /// To be called before a server's graceful shutdown, which waits for streams to end.
    pub fn drain(&self) {
        self.hub.drain();
    }

    /// The hub, for its figures and for [`Hub::source_lost`].
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// The HTTP contract that this is served by.
    pub fn api(&self) -> &Api {
        &self.api
    }
}

/// Sweeps the hub when that is due, and sleeps without a timer while there is no topic.
async fn sweep(hub: Weak<Hub>, clock: Clock) {
    loop {
        let wake_at = poll_fn(|cx| {
            let Some(hub) = hub.upgrade() else {
                return Poll::Ready(None);
            };
            hub.poll_sweep(cx, clock.now())
                .map_or(Poll::Pending, |wake_at| Poll::Ready(Some(wake_at)))
        });
        let Some(wake_at) = wake_at.await else { return };
        tokio::time::sleep_until(clock.deadline(wake_at)).await;
    }
}
