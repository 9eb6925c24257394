//! The sockets of a lane, and which of them are full.

use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::Relaxed;
use std::collections::HashMap;
use std::sync::Arc;

use saacms_realtime_core::stall::{Cut, CutReason, Stall};
use saacms_realtime_core::{Lane, Notice};

use super::inbox::Inbox;
use super::socket::{Outcome, Socket};
use super::stalls::{Watch, abort_at_close};

/// The streams of a lane with their sockets. The hub knows of each socket that is full.
#[derive(Debug)]
pub(super) struct Sockets {
    /// The number of a stream is the token of its socket.
    pub(super) lane: Lane<Socket>,
    /// By the number of the stream; nothing is kept for the others.
    full: HashMap<usize, Full>,
    watch: Watch,
    inbox: Arc<Inbox>,
}

/// A socket that is full.
#[derive(Debug)]
struct Full {
    stall: Stall,
    order: Arc<CutOrder>,
}

/// The order to cut a stream, which arrives by the inbox.
#[derive(Debug)]
struct CutOrder {
    inbox: Arc<Inbox>,
    stream: usize,
    is_given: AtomicBool,
}

impl Cut for CutOrder {
    fn cut(&self, _: CutReason) {
        // The inbox has a lock, so the lane that finds the order there sees this.
        self.is_given.store(true, Relaxed);
        self.inbox.order_cut(self.stream);
    }
}

impl Sockets {
    pub(super) fn new(lane: Lane<Socket>, watch: Watch, inbox: Arc<Inbox>) -> Self {
        Self {
            lane,
            full: HashMap::new(),
            watch,
            inbox,
        }
    }

    /// Applies the outcome of a write.
    pub(super) fn apply(&mut self, stream: usize, outcome: Outcome) {
        match outcome {
            Outcome::Done => {}
            Outcome::Blocked => self.block(stream),
            Outcome::Over => self.remove(stream),
        }
    }

    /// Writes what waits for room in a socket that has some now.
    pub(super) fn flush(&mut self, stream: usize) {
        let Some(socket) = self.lane.get_mut(stream).filter(|it| it.is_blocked()) else {
            return;
        };

        let before = socket.unsent_len();
        match socket.flush() {
            Outcome::Done => {
                self.full.remove(&stream);
                self.lane.unblock(stream);
            }
            Outcome::Blocked => {
                let has_taken = socket.unsent_len() < before;
                if has_taken && let Some(full) = self.full.get_mut(&stream) {
                    full.stall.progress(self.watch.now());
                }
            }
            Outcome::Over => self.remove(stream),
        }
    }

    /// Discards what the client of a stream sends; removes the stream if that is too much.
    pub(super) fn discard(&mut self, stream: usize) {
        let socket = self.lane.get_mut(stream);
        if socket.is_some_and(|socket| socket.discard() == Outcome::Over) {
            self.watch.notice(Notice::ReaderSends);
            self.remove(stream);
        }
    }

    /// Removes a stream, if it is still there, and closes its socket.
    pub(super) fn remove(&mut self, stream: usize) {
        self.full.remove(&stream);
        drop(self.lane.remove(stream));
    }

    /// Removes a stream whose order to be cut has arrived.
    pub(super) fn cut(&mut self, stream: usize) {
        // Another stream may have the number by now, or this one has gone on in the meantime.
        let full = self.full.get(&stream);
        if !full.is_some_and(|full| full.order.is_given.load(Relaxed)) {
            return;
        }

        if let Some(socket) = self.lane.get_mut(stream) {
            abort_at_close(&**socket.shared());
        }
        self.remove(stream);
    }

    /// Gives memory back while there is no stream.
    pub(super) fn shrink(&mut self) {
        self.full = HashMap::new();
    }

    fn block(&mut self, stream: usize) {
        self.lane.block(stream);
        let (watch, inbox) = (&self.watch, &self.inbox);
        self.full.entry(stream).or_insert_with(|| {
            let order = Arc::new(CutOrder {
                inbox: Arc::clone(inbox),
                stream,
                is_given: AtomicBool::new(false),
            });
            Full {
                stall: watch.begin(Arc::clone(&order) as _),
                order,
            }
        });
    }
}
