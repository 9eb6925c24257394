//! A stream of the platform: a `ReadableStream` held by its controller.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::rc::Rc;

use bytes::Bytes;
use js_sys::{Function, Map, Object, Promise, Reflect, Uint8Array, Uint32Array, WeakMap};
use wasm_bindgen::prelude::*;
use web_sys::{ReadableStream, ReadableStreamDefaultController};

use super::batch::{self, enqueue_all};
use super::platform::set_member;
use crate::object::Sink;

/// The streams of one object, for the platform's callbacks to find by number.
#[derive(Debug)]
pub(crate) struct Streams {
    open: RefCell<BTreeMap<u32, Rc<Handle>>>,
    /// The controllers by number, on the JavaScript side: for [`enqueue_all`], and for the object's
    /// next life, which finds them here after a panic.
    controllers: Map,
    outbox: RefCell<Outbox>,
    /// Streams that a send found to have ended.
    ended: RefCell<Vec<u32>>,
}

/// Bytes that go to many streams at once.
///
/// A call into JavaScript costs as much as the rest of a delivery, so there is one for all streams
/// that are sent the same.
#[derive(Debug, Default)]
struct Outbox {
    bytes: Bytes,
    /// The streams that the bytes go to, in order.
    numbers: Vec<u32>,
    /// How often the outbox was emptied. What was posted in an earlier round has been sent.
    round: u64,
}

impl Outbox {
    /// Empties the outbox, which ends a round.
    fn take(&mut self) -> (Bytes, Vec<u32>) {
        self.round += 1;
        (mem::take(&mut self.bytes), mem::take(&mut self.numbers))
    }
}

/// The state of a stream that its callbacks need.
#[derive(Debug)]
struct Handle {
    controller: ReadableStreamDefaultController,
    /// Whether the stream waits for room.
    wants_room: Cell<bool>,
    /// Resolves the promise that `pull` returned. Until then the runtime does not call `pull` again.
    parked: RefCell<Option<Function>>,
}

/// The callbacks of a stream.
#[derive(Debug)]
pub(crate) struct StreamCallbacks {
    pub(crate) start: JsValue,
    pub(crate) pull: JsValue,
    pub(crate) cancel: JsValue,
}

impl Streams {
    /// Creates the streams of the object whose state is `ctx`. Streams that an earlier life of the
    /// object has left are cut, so that their clients reconnect.
    pub(crate) fn new(ctx: &JsValue) -> Self {
        let controllers = Map::new();
        let registry = registry();
        if ctx.is_object() {
            let left: Map = registry.get(ctx.unchecked_ref()).unchecked_into();
            if left.is_object() {
                left.for_each(&mut |controller, _| {
                    let controller: ReadableStreamDefaultController = controller.unchecked_into();
                    controller.error_with_e(&js_sys::Error::new("the object was restarted"));
                });
            }
            registry.set(ctx.unchecked_ref(), &controllers);
        }

        Self {
            open: RefCell::default(),
            controllers,
            outbox: RefCell::default(),
            ended: RefCell::default(),
        }
    }

    /// Opens a stream, and returns it with its sink.
    ///
    /// The runtime calls `start` before this returns. `start` must [`register`](Self::register) the
    /// controller.
    pub(crate) fn open(
        self: &Rc<Self>,
        number: u32,
        callbacks: &StreamCallbacks,
    ) -> Result<(ReadableStream, JsSink), JsValue> {
        let source = Object::new();
        set_member(&source, "start", &callbacks.start);
        set_member(&source, "pull", &callbacks.pull);
        set_member(&source, "cancel", &callbacks.cancel);

        // Without a strategy the queue counts chunks and asks for more once it is empty. One that
        // counts bytes would be asked for the size of every chunk: a call from the runtime into
        // JavaScript each, a fifth of what a delivery costs.
        let stream = ReadableStream::new_with_underlying_source(&source)?;

        let handle = self.open.borrow().get(&number).cloned();
        let handle = handle.ok_or("the runtime did not start the stream")?;
        let sink = JsSink {
            number,
            handle,
            streams: Rc::clone(self),
            queued_lens: RefCell::default(),
            posted_in: Cell::new(None),
        };
        Ok((stream, sink))
    }

    /// Registers the controller of a stream that starts.
    pub(crate) fn register(&self, number: u32, controller: ReadableStreamDefaultController) {
        self.controllers.set(&number.into(), &controller);
        let handle = Handle {
            controller,
            wants_room: Cell::new(false),
            parked: RefCell::default(),
        };
        self.open.borrow_mut().insert(number, Rc::new(handle));
    }

    /// The result of a `pull`, which the runtime calls when there is room. `was_handled` tells whether
    /// the stream was already sent what waits.
    ///
    /// While the stream keeps up, the result is a pending promise: the runtime does not call again
    /// before [`want_room`](Sink::want_room) resolves it. So a stream that keeps up costs no call per
    /// chunk, and one that falls behind is reported as soon as it has room.
    pub(crate) fn pulled(&self, number: u32, was_handled: bool) -> JsValue {
        let handle = self.open.borrow().get(&number).cloned();
        let Some(handle) = handle else {
            return JsValue::UNDEFINED;
        };
        // It fell behind again, so the next room must be reported too.
        if handle.wants_room.get() && was_handled {
            return JsValue::UNDEFINED;
        }

        let promise = Promise::new(&mut |resolve, _| {
            *handle.parked.borrow_mut() = Some(resolve.unchecked_into());
        });
        promise.into()
    }

    /// Records that a stream has room, and is about to be sent what waits.
    pub(crate) fn has_room(&self, number: u32) {
        if let Some(handle) = self.open.borrow().get(&number) {
            handle.wants_room.set(false);
        }
    }

    /// Posts `bytes` to a stream; [`flush`](Self::flush) sends them. Returns the round of the outbox.
    fn post(&self, number: u32, bytes: &Bytes) -> u64 {
        // Compared by address: the streams of a record are given clones of one `Bytes`.
        let is_other = {
            let outbox = self.outbox.borrow();
            (outbox.bytes.as_ptr(), outbox.bytes.len()) != (bytes.as_ptr(), bytes.len())
        };
        if is_other {
            self.flush();
        }

        let mut outbox = self.outbox.borrow_mut();
        if is_other {
            outbox.bytes = bytes.clone();
        }
        outbox.numbers.push(number);
        outbox.round
    }

    /// Sends what was posted. The runtime may call back while it does.
    fn flush(&self) {
        let (bytes, numbers) = self.outbox.borrow_mut().take();
        if numbers.is_empty() {
            return;
        }

        // Copies, because a call back may grow the module's memory, which detaches every view of it.
        let (numbers, chunk) = (
            Uint32Array::from(&numbers[..]),
            Uint8Array::from(&bytes[..]),
        );
        let ended = enqueue_all(&self.controllers, &numbers, &chunk);
        self.ended.borrow_mut().extend(batch::numbers(&ended));
    }

    /// Sends what was posted, and returns the streams that sends since the last call found to have
    /// ended.
    pub(crate) fn flush_and_take_ended(&self) -> Vec<u32> {
        self.flush();
        self.ended.take()
    }
}

/// The sink of one stream. Dropping it forgets the stream.
#[derive(Debug)]
pub(crate) struct JsSink {
    number: u32,
    handle: Rc<Handle>,
    streams: Rc<Streams>,
    /// The lengths of the chunks that may still be queued, oldest first.
    queued_lens: RefCell<VecDeque<usize>>,
    /// The outbox's round in which the last bytes were posted.
    posted_in: Cell<Option<u64>>,
}

/// The number of chunks at which a queue without a strategy counts as full.
const HIGH_WATER_MARK: f64 = 1.0;

impl Sink for JsSink {
    fn queued(&self) -> Option<usize> {
        // The controller does not count what is still in the outbox.
        if self.posted_in.get() == Some(self.streams.outbox.borrow().round) {
            self.streams.flush();
        }

        // The controller counts chunks, and the last ones are those still queued.
        let room = self.handle.controller.desired_size()?;
        let chunks = (HIGH_WATER_MARK - room).max(0.0) as usize;
        let mut lens = self.queued_lens.borrow_mut();
        let left = lens.len().saturating_sub(chunks);
        lens.drain(..left);
        Some(lens.iter().sum())
    }

    fn send(&self, bytes: &Bytes) {
        self.queued_lens.borrow_mut().push_back(bytes.len());
        self.posted_in
            .set(Some(self.streams.post(self.number, bytes)));
    }

    fn want_room(&self) {
        self.handle.wants_room.set(true);
        let parked = self.handle.parked.borrow_mut().take();
        if let Some(resolve) = parked {
            let _ = resolve.call0(&JsValue::UNDEFINED);
        }
    }

    fn end(&self) {
        self.streams.flush();
        // Throws only if the stream has already ended.
        let _ = self.handle.controller.close();
    }

    fn cut(&self) {
        self.handle
            .controller
            .error_with_e(&js_sys::Error::new("the stream was cut"));
    }
}

impl Drop for JsSink {
    fn drop(&mut self) {
        self.streams.controllers.delete(&self.number.into());
        let handle = self.streams.open.borrow_mut().remove(&self.number);
        // The promise that its `pull` returned stays pending: the stream has ended.
        drop(handle);
    }
}

/// A map from the state of an object to its controllers. It is on the JavaScript side, because a
/// panic loses everything in this module's memory.
fn registry() -> WeakMap {
    let global: Object = js_sys::global();
    let name = js_sys::Symbol::for_("saacms-realtime.streams");
    let known = Reflect::get(&global, &name).unwrap_or(JsValue::UNDEFINED);
    if known.is_object() {
        return known.unchecked_into();
    }
    let registry = WeakMap::new();
    let _ = Reflect::set(&global, &name, &registry);
    registry
}
