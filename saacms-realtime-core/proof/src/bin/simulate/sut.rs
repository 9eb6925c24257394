use core::cell::RefCell;
use core::task::{Context, Waker};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Wake;

use saacms_realtime_core::config::HubConfig;
use saacms_realtime_core::event::Event;
use saacms_realtime_core::hub::{
    self as core_hub, Hub, Outgoing, Output, Piece, Stats, Subscription,
};
use saacms_realtime_core::name::ResourceKey;
use saacms_realtime_core::refusal::Refusal;
use saacms_realtime_core::time::{Instant, Now};

/// The system under test: the way from a publisher to the streams.
///
/// The simulated world knows a hub only through this trait, so that something else (an engine between
/// two hubs, an adapter) can be put under the same clients and the same reference.
pub(crate) trait Sut: Sized {
    /// One open stream; dropping it is how a server leaves it.
    type Reader;
    /// Whether heartbeats of several streams go out together, a little late.
    const SHARES_TIMERS: bool;

    fn start(config: HubConfig, seed: u64) -> Self;
    fn publish(&self, event: Event, now: Now) -> Result<(), Refusal>;
    fn subscribe(
        &self,
        key: &ResourceKey,
        last_event_id: Option<&[u8]>,
        now: Now,
    ) -> Result<Self::Reader, Refusal>;
    fn poll(reader: &mut Self::Reader, cx: &Context<'_>, now: Now) -> Output;
    /// The socket has taken all of what the last poll gave it, or has no room for the rest.
    fn has_taken(reader: &Self::Reader, all: bool);
    fn poll_sweep(&self, cx: &Context<'_>, now: Now) -> Option<Instant>;
    fn source_lost(&self, key: &ResourceKey);
    fn drain(&self);
    fn stats(&self) -> Stats;
}

impl Sut for Hub {
    type Reader = Subscription;
    const SHARES_TIMERS: bool = false;

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

    fn has_taken(_: &Subscription, _: bool) {}

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

/// The same hub with its streams in one lane, as a server's thread keeps them. What the lane hands to
/// a stream while another one is polled waits for it, as in a socket that has no room; what it hands
/// to the one that is polled may be taken at once.
pub(crate) struct HubWithLane {
    hub: Hub,
    lane: Rc<RefCell<core_hub::Lane<Stream>>>,
    bell: Arc<Bell>,
}

/// A stream of the lane.
pub(crate) struct Member {
    index: usize,
    lane: Rc<RefCell<core_hub::Lane<Stream>>>,
    bell: Arc<Bell>,
}

/// What the lane writes to: what came, and who is to be told of it.
struct Stream {
    came: Option<Output>,
    waker: Waker,
}

/// Streams in a turn: few, so that a turn does not reach all of them.
const TURN: usize = 2;

/// The waker of the lane: everybody who was polled since the last call is to be polled again.
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

impl Sut for HubWithLane {
    type Reader = Member;
    const SHARES_TIMERS: bool = true;

    fn start(config: HubConfig, seed: u64) -> Self {
        let bell = Arc::<Bell>::default();
        let lane = core_hub::Lane::new(config.heartbeat, Waker::from(Arc::clone(&bell)));
        Self {
            hub: Hub::start(config, seed),
            lane: Rc::new(RefCell::new(lane)),
            bell,
        }
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
        let subscription = self.hub.subscribe(key, last_event_id, now)?;
        let stream = Stream {
            came: None,
            waker: Waker::noop().clone(),
        };
        let index = self.lane.borrow_mut().insert(subscription, stream);
        Ok(Member {
            index,
            lane: Rc::clone(&self.lane),
            bell: Arc::clone(&self.bell),
        })
    }

    fn poll(reader: &mut Member, cx: &Context<'_>, now: Now) -> Output {
        let mut lane = reader.lane.borrow_mut();
        reader.bell.wait(cx.waker());
        let stream = lane
            .get_mut(reader.index)
            .expect("it is there until it is dropped");
        stream.waker.clone_from(cx.waker());
        if let Some(came) = stream.came.take() {
            return came;
        }
        let mut outgoing = Vec::new();
        while lane.collect(now) > 0 {
            lane.turn(TURN, now, &mut outgoing);
            let mut own = None;
            for Outgoing {
                stream: index,
                piece,
            } in outgoing.drain(..)
            {
                let came = match piece {
                    Piece::Frames(frames) => Output::Frames(frames),
                    Piece::End => Output::End,
                };
                if index == reader.index {
                    own = Some(came);
                    continue;
                }
                lane.block(index);
                let stream = lane.get_mut(index).expect("it was just polled");
                assert!(stream.came.is_none(), "two pieces at once");
                stream.came = Some(came);
                stream.waker.wake_by_ref();
            }
            if let Some(own) = own {
                // There may be turns left, and this one may not be the next to be polled.
                Arc::clone(&reader.bell).wake();
                return own;
            }
        }
        Output::Idle {
            wake_at: lane.wake_at(),
        }
    }

    fn has_taken(reader: &Member, all: bool) {
        let mut lane = reader.lane.borrow_mut();
        if all {
            lane.unblock(reader.index)
        } else {
            lane.block(reader.index)
        }
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

impl Drop for Member {
    fn drop(&mut self) {
        self.lane.borrow_mut().remove(self.index);
    }
}
