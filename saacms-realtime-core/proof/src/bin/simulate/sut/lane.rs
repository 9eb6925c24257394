//! A hub whose streams are in a lane.

use core::cell::RefCell;
use core::task::{Context, Waker};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Wake;

use saacms_realtime_core::{
    Event, Hub, Instant, Lane, Now, Outgoing, Output, Piece, Position, Refusal, ResourceKey, Stats,
};

use super::Sut;

/// The same hub with all streams in one lane, as a thread of a server has them.
///
/// The world polls one stream at a time, but a turn of the lane hands out pieces for many. Those for
/// other streams wait in a mailbox, as if their sockets had no room.
pub(crate) struct HubWithLane {
    hub: Hub,
    lane: Rc<RefCell<Lane<Mailbox>>>,
    waker_of_all: Arc<SharedWaker>,
}

/// One stream of the lane.
pub(crate) struct LaneReader {
    index: usize,
    lane: Rc<RefCell<Lane<Mailbox>>>,
    waker_of_all: Arc<SharedWaker>,
}

/// Where a stream's piece waits until the stream is polled.
struct Mailbox {
    piece: Option<Output>,
    /// Wakes the connection of the stream.
    waker: Waker,
}

/// Streams in a turn: few, so that one turn does not reach all of them.
const PER_TURN: usize = 2;

/// The waker of the lane. It wakes every connection that was polled since it was last called,
/// because any of them may run the lane.
#[derive(Default)]
struct SharedWaker(Mutex<Vec<Waker>>);

impl SharedWaker {
    fn register(&self, waker: &Waker) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.iter().any(|known| known.will_wake(waker)) {
            waiting.push(waker.clone());
        }
    }
}

impl Wake for SharedWaker {
    fn wake(self: Arc<Self>) {
        let waiting = core::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Sut for HubWithLane {
    type Reader = LaneReader;
    const SHARES_TIMERS: bool = true;

    fn over(hub: Hub) -> Self {
        let waker_of_all = Arc::<SharedWaker>::default();
        let waker = Waker::from(Arc::clone(&waker_of_all));
        let lane = Lane::new(hub.config().heartbeat, waker);
        Self {
            hub,
            lane: Rc::new(RefCell::new(lane)),
            waker_of_all,
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
    ) -> Result<LaneReader, Refusal> {
        let subscription = self.hub.subscribe(key, last_event_id, now)?;
        let mailbox = Mailbox {
            piece: None,
            waker: Waker::noop().clone(),
        };
        let index = self.lane.borrow_mut().insert(subscription, mailbox);
        Ok(LaneReader {
            index,
            lane: Rc::clone(&self.lane),
            waker_of_all: Arc::clone(&self.waker_of_all),
        })
    }

    fn position(&self, key: &ResourceKey) -> Position {
        self.hub.position(key)
    }

    fn poll(reader: &mut LaneReader, cx: &Context<'_>, now: Now) -> Output {
        let mut lane = reader.lane.borrow_mut();
        reader.waker_of_all.register(cx.waker());

        let mailbox = lane
            .get_mut(reader.index)
            .expect("a stream is in the lane until its reader is dropped");
        mailbox.waker.clone_from(cx.waker());
        if let Some(piece) = mailbox.piece.take() {
            return piece;
        }

        // Turns go on until one has a piece for this stream, or none is left.
        let mut outgoing = Vec::new();
        while lane.collect(now) > 0 {
            lane.turn(PER_TURN, now, &mut outgoing);
            let mut own = None;
            for Outgoing {
                stream: index,
                piece,
            } in outgoing.drain(..)
            {
                let output = match piece {
                    Piece::Frames(frames) => Output::Frames(frames),
                    Piece::End => Output::End,
                };
                if index == reader.index {
                    own = Some(output);
                    continue;
                }

                // Blocked like a full socket, until its connection is polled and has written the
                // piece.
                lane.block(index);
                let mailbox = lane
                    .get_mut(index)
                    .expect("the lane just handed out its piece");
                assert!(mailbox.piece.is_none(), "two pieces at once");
                mailbox.piece = Some(output);
                mailbox.waker.wake_by_ref();
            }

            if let Some(own) = own {
                // Turns may be left, and any connection may be polled next.
                Arc::clone(&reader.waker_of_all).wake();
                return own;
            }
        }

        Output::Idle {
            wake_at: lane.wake_at(),
        }
    }

    fn wrote(reader: &LaneReader, all: bool) {
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

impl Drop for LaneReader {
    fn drop(&mut self) {
        self.lane.borrow_mut().remove(self.index);
    }
}
