use core::cell::RefCell;
use core::task::{Context, Waker};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Wake;

use saacms_realtime_core::event::Event;
use saacms_realtime_core::hub::{Group, Hub, HubConfig, Output, Refusal, Stats, Subscription};
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

/// The same hub, with all streams of a record in one group, as a server's thread keeps them: one
/// waker for all, and each is polled in a round.
pub(crate) struct Grouped {
    hub: Hub,
    groups: RefCell<BTreeMap<ResourceKey, Rc<Members>>>,
}

/// A stream of a group.
pub(crate) struct Member {
    subscription: Subscription,
    of: Rc<Members>,
}

struct Members {
    group: Group,
    bell: Arc<Bell>,
}

/// The waker of a group: everybody who was polled since the last call is to be polled again.
#[derive(Default)]
struct Bell(Mutex<Vec<Waker>>);

impl Bell {
    fn wait(&self, waker: &Waker) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.iter().any(|known| known.will_wake(waker)) {
            waiting.push(waker.clone());
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        let waiting = core::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Lane for Grouped {
    type Reader = Member;

    fn start(config: HubConfig, seed: u64) -> Self {
        Self { hub: Hub::start(config, seed), groups: RefCell::default() }
    }

    fn publish(&self, event: Event, now: Now) -> Result<(), Refusal> {
        self.hub.publish(event, now)
    }

    fn subscribe(
        &self,
        key: &ResourceKey,
        last_event_id: Option<&[u8]>,
        now: Now,
    ) -> Result<Member, Refusal> {
        let mut subscription = self.hub.subscribe(key, last_event_id, now)?;
        let mut groups = self.groups.borrow_mut();
        let known = groups.get(key).filter(|of| of.group.admit(&mut subscription)).cloned();
        let of = known.unwrap_or_else(|| {
            // The first one, or the first of a new life of its record.
            let members = Members { group: Group::of(&subscription), bell: Arc::default() };
            let members = Rc::new(members);
            groups.insert(key.clone(), Rc::clone(&members));
            members
        });
        Ok(Member { subscription, of })
    }

    fn poll(reader: &mut Member, cx: &Context<'_>, now: Now) -> Output {
        let Member { subscription, of } = reader;
        of.bell.wait(cx.waker());
        let waker = Waker::from(Arc::clone(&of.bell));
        of.group.round(&Context::from_waker(&waker), now).poll(subscription)
    }

    fn poll_sweep(&self, cx: &Context<'_>, now: Now) -> Option<Instant> {
        self.hub.poll_sweep(cx, now)
    }

    fn source_lost(&self, key: &ResourceKey) {
        self.hub.source_lost(key);
    }

    fn drain(&self) {
        self.hub.drain();
    }

    fn stats(&self) -> Stats {
        self.hub.stats()
    }
}
