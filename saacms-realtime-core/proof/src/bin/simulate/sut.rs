//! The system under test, as a trait.

mod lane;

use core::task::Context;

use saacms_realtime_core::{
    Event, Hub, HubConfig, Instant, Now, Output, Position, Refusal, ResourceKey, Stats,
    Subscription,
};

pub(crate) use lane::HubWithLane;

/// The system under test: the way from a publisher to the streams.
///
/// The simulated world uses a hub only through this trait, so that something else (an engine between
/// two hubs, an adapter) can be run with the same clients and the same reference.
pub(crate) trait Sut: Sized {
    /// One open stream; a server ends it by dropping it.
    type Reader;
    /// Whether the streams have one timer, so that heartbeats go out together and a little late.
    const SHARES_TIMERS: bool;

    fn start(config: HubConfig, seed: u64) -> Self {
        Self::over(Hub::new(config, seed).expect("the scenario draws valid settings"))
    }
    fn over(hub: Hub) -> Self;
    fn publish(&self, event: Event, now: Now) -> Result<(), Refusal>;
    fn subscribe(
        &self,
        key: &ResourceKey,
        last_event_id: Option<&[u8]>,
        now: Now,
    ) -> Result<Self::Reader, Refusal>;
    fn position(&self, key: &ResourceKey) -> Position;
    fn poll(reader: &mut Self::Reader, cx: &Context<'_>, now: Now) -> Output;
    /// The socket took all that the last poll returned, or has no room for the rest.
    fn wrote(reader: &Self::Reader, all: bool);
    fn poll_sweep(&self, cx: &Context<'_>, now: Now) -> Option<Instant>;
    fn source_lost(&self, key: &ResourceKey);
    fn drain(&self);
    fn stats(&self) -> Stats;
}

impl Sut for Hub {
    type Reader = Subscription;
    const SHARES_TIMERS: bool = false;

    fn over(hub: Hub) -> Self {
        hub
    }

    fn publish(&self, event: Event, now: Now) -> Result<(), Refusal> {
        self.publish(event, now)
    }

    fn subscribe(
        &self,
        key: &ResourceKey,
        last_event_id: Option<&[u8]>,
        now: Now,
    ) -> Result<Subscription, Refusal> {
        self.subscribe(key, last_event_id, now)
    }

    fn position(&self, key: &ResourceKey) -> Position {
        self.position(key)
    }

    fn poll(reader: &mut Subscription, cx: &Context<'_>, now: Now) -> Output {
        reader.poll(cx, now)
    }

    fn wrote(_: &Subscription, _: bool) {}

    fn poll_sweep(&self, cx: &Context<'_>, now: Now) -> Option<Instant> {
        self.poll_sweep(cx, now)
    }

    fn source_lost(&self, key: &ResourceKey) {
        self.source_lost(key);
    }

    fn drain(&self) {
        self.drain();
    }

    fn stats(&self) -> Stats {
        self.stats()
    }
}
