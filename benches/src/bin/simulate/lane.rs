use core::task::Context;

use saacms_realtime_core::event::Event;
use saacms_realtime_core::hub::{Hub, HubConfig, Output, Refusal, Stats, Subscription};
use saacms_realtime_core::name::ResourceKey;
use saacms_realtime_core::time::{Instant, Now};

/// The way from a publisher to the streams: what the simulated world drives.
///
/// All that the world knows of a hub goes through here, so that another lane (an engine between two
/// hubs, an adapter) can be put under the same clients and the same oracle.
pub(crate) trait Lane: Sized {
    /// One open stream; dropping it is how a server leaves it.
    type Reader;

    fn start(config: HubConfig, seed: u64) -> Self;
    fn publish(&self, event: Event, now: Now) -> Result<(), Refusal>;
    fn subscribe(
        &self,
        key: &ResourceKey,
        last_event_id: Option<&[u8]>,
        now: Now,
    ) -> Result<Self::Reader, Refusal>;
    fn poll(reader: &mut Self::Reader, cx: &Context<'_>, now: Now) -> Output;
    fn poll_sweep(&self, cx: &Context<'_>, now: Now) -> Option<Instant>;
    fn source_lost(&self, key: &ResourceKey);
    fn drain(&self);
    fn stats(&self) -> Stats;
}

impl Lane for Hub {
    type Reader = Subscription;

    fn start(config: HubConfig, seed: u64) -> Self {
        Self::new(config, seed).expect("the scenario draws valid settings")
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

    fn poll(reader: &mut Subscription, cx: &Context<'_>, now: Now) -> Output {
        reader.poll(cx, now)
    }

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
