//! A stream of the platform: a `ReadableStream` held by its controller.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::rc::Rc;

use bytes::Bytes;
use js_sys::{Array, Function, Map, Object, Promise, Reflect, Uint8Array, Uint32Array, WeakMap};
use wasm_bindgen::prelude::*;
use web_sys::{ReadableStream, ReadableStreamDefaultController};

use super::platform::set_member;
use crate::object::Sink;

/// The streams of one object, as the platform's callbacks find them.
#[derive(Debug)]
pub(crate) struct Streams {
    open: RefCell<BTreeMap<u32, Rc<Handle>>>,
    /// The controllers once more, by number: for [`enqueue_all`], and for the next life of this
    /// object, which finds them here after a panic.
    controllers: Map,
    outbox: RefCell<Outbox>,
    /// Streams that turned out to be over.
    over: RefCell<Vec<u32>>,
}

/// Bytes that go to many streams at once.
///
/// A call into JavaScript costs as much as the rest of a delivery, so there is one for all streams
/// that are sent the same.
#[derive(Debug, Default)]
struct Outbox {
    bytes: Bytes,
    /// The streams that they go to, in order.
    numbers: Vec<u32>,
    /// How often it was emptied: what is noted in an earlier round has been sent.
    round: u64,
}

impl Outbox {
    /// Empties it, which ends a round.
    fn take(&mut self) -> (Bytes, Vec<u32>) {
        self.round += 1;
        (mem::take(&mut self.bytes), mem::take(&mut self.numbers))
    }
}

#[wasm_bindgen(inline_js = "
export function enqueueAll(controllers, numbers, chunk) {
  const over = [];
  for (const number of numbers) {
    try {
      controllers.get(number)?.enqueue(chunk);
    } catch {
      over.push(number);
    }
  }
  return over;
}
")]
extern "C" {
    /// Enqueues `chunk` at the controllers of these numbers; returns the numbers of streams that are
    /// over.
    #[wasm_bindgen(js_name = enqueueAll)]
    fn enqueue_all(controllers: &Map, numbers: &Uint32Array, chunk: &Uint8Array) -> Array;
}

/// What the callbacks of a stream need.
#[derive(Debug)]
struct Handle {
    controller: ReadableStreamDefaultController,
    /// Whether it waits for room.
    wants_room: Cell<bool>,
    /// Resolves the promise that `pull` was answered with. Until then the runtime calls no more.
    parked: RefCell<Option<Function>>,
}

/// The functions that a stream calls.
#[derive(Debug)]
pub(crate) struct StreamCallbacks {
    pub(crate) start: JsValue,
    pub(crate) pull: JsValue,
    pub(crate) cancel: JsValue,
}

impl Streams {
    /// The streams of the object whose state is `ctx`. Those that an earlier life of it has left are
    /// cut, so that their clients come back.
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
            over: RefCell::default(),
        }
    }

    /// A new stream, and its sink.
    ///
    /// The runtime calls `start` before this returns, which must [`register`](Self::register) the
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

    /// Answers the runtime, which calls because there is room. `was_handled` tells whether the stream
    /// was already sent what waits.
    ///
    /// While the stream keeps up, the answer is a promise that is open: no call comes before it is
    /// kept. So a stream that keeps up costs no call per chunk, and one that does not is heard at
    /// once.
    pub(crate) fn pulled(&self, number: u32, was_handled: bool) -> JsValue {
        let handle = self.open.borrow().get(&number).cloned();
        let Some(handle) = handle else {
            return JsValue::UNDEFINED;
        };
        if handle.wants_room.get() && was_handled {
            return JsValue::UNDEFINED;
        }

        let promise = Promise::new(&mut |resolve, _| {
            *handle.parked.borrow_mut() = Some(resolve.unchecked_into());
        });
        promise.into()
    }

    /// Notes that a stream has room, and is about to be sent what waits.
    pub(crate) fn has_room(&self, number: u32) {
        if let Some(handle) = self.open.borrow().get(&number) {
            handle.wants_room.set(false);
        }
    }

    /// Notes `bytes` for a stream; [`flush`](Self::flush) sends them. Returns the round of the outbox.
    fn post(&self, number: u32, bytes: &Bytes) -> u64 {
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

    /// Sends what was noted. The runtime may call back meanwhile.
    fn flush(&self) {
        let (bytes, numbers) = self.outbox.borrow_mut().take();
        if numbers.is_empty() {
            return;
        }

        // Copies of both, because a view would end where the memory grows in a call back.
        let (numbers, chunk) = (
            Uint32Array::from(&numbers[..]),
            Uint8Array::from(&bytes[..]),
        );
        let over = enqueue_all(&self.controllers, &numbers, &chunk);
        let over = over
            .iter()
            .filter_map(|number| number.as_f64())
            .map(|number| number as u32);
        self.over.borrow_mut().extend(over);
    }

    /// Sends what was noted, and returns the streams that turned out to be over since the last call.
    pub(crate) fn flush_and_take_over(&self) -> Vec<u32> {
        self.flush();
        self.over.take()
    }
}

/// The way to one stream. Dropping it gives the stream up.
#[derive(Debug)]
pub(crate) struct JsSink {
    number: u32,
    handle: Rc<Handle>,
    streams: Rc<Streams>,
    /// The lengths of the chunks that may not have left, oldest first.
    queued_lens: RefCell<VecDeque<usize>>,
    /// The round of the outbox in which it was sent something last.
    posted_in: Cell<Option<u64>>,
}

/// Chunks that a queue without a strategy asks for.
const HIGH_WATER_MARK: f64 = 1.0;

impl Sink for JsSink {
    fn queued(&self) -> Option<usize> {
        if self.posted_in.get() == Some(self.streams.outbox.borrow().round) {
            self.streams.flush();
        }
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
        if let Some(go_on) = parked {
            let _ = go_on.call0(&JsValue::UNDEFINED);
        }
    }

    fn end(&self) {
        self.streams.flush();
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
        // The promise that its `pull` was answered with stays open: the stream is over.
        drop(handle);
    }
}

/// A map from the state of an object to its controllers. On the JavaScript side, because it must
/// outlive a panic, which ends all that is in this module's memory.
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
