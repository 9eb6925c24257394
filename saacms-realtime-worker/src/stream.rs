//! A stream of the platform: a `ReadableStream` held by its controller.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use bytes::Bytes;
use js_sys::{Function, Map, Object, Promise, Reflect, Uint8Array, WeakMap};
use wasm_bindgen::prelude::*;
use web_sys::{ReadableStream, ReadableStreamDefaultController};

use crate::object::Sink;
use crate::platform::{bound, set_member};

/// The streams of one object, as the platform's callbacks find them.
#[derive(Debug)]
pub(crate) struct Streams {
    open: RefCell<BTreeMap<u32, Rc<Handle>>>,
    /// The controllers once more, where the next life of this object finds them after a panic.
    orphans: Map,
    chunk: RefCell<Option<(Bytes, Uint8Array)>>,
}

/// What the callbacks of a stream need.
#[derive(Debug)]
struct Handle {
    controller: ReadableStreamDefaultController,
    /// Waits to be told of room.
    wants_room: Cell<bool>,
    /// Lets the runtime call `pull` again. While it is held nobody is called for what is taken.
    parked: RefCell<Option<Function>>,
}

/// The functions that a stream calls, each with the stream's number first.
pub(crate) struct Callbacks<'a> {
    pub(crate) start: &'a JsValue,
    pub(crate) pull: &'a JsValue,
    pub(crate) cancel: &'a JsValue,
}

impl Streams {
    /// The streams of the object whose state is `ctx`. Those that a former life of it left behind
    /// are cut, so that their clients come back.
    pub(crate) fn new(ctx: &JsValue) -> Self {
        let orphans = Map::new();
        let registry = registry();
        if ctx.is_object() {
            let left: Map = registry.get(ctx.unchecked_ref()).unchecked_into();
            if left.is_object() {
                left.for_each(&mut |controller, _| {
                    let controller: ReadableStreamDefaultController = controller.unchecked_into();
                    controller.error_with_e(&js_sys::Error::new("the object was restarted"));
                });
            }
            registry.set(ctx.unchecked_ref(), &orphans);
        }
        Self { open: RefCell::default(), orphans, chunk: RefCell::default() }
    }

    /// A new stream, and its sink.
    ///
    /// `start` is called before this returns, and must hand its controller to [`take`](Self::take).
    pub(crate) fn open(
        self: &Rc<Self>,
        number: u32,
        callbacks: &Callbacks<'_>,
    ) -> Result<(ReadableStream, JsSink), JsValue> {
        let source = Object::new();
        set_member(&source, "start", &bound(callbacks.start, number));
        set_member(&source, "pull", &bound(callbacks.pull, number));
        set_member(&source, "cancel", &bound(callbacks.cancel, number));
        // Without a strategy the queue counts chunks and asks for more once it is empty. One that
        // counts bytes would be asked for the size of every chunk: a call from the runtime into
        // JavaScript each, a fifth of what a delivery costs.
        let stream = ReadableStream::new_with_underlying_source(&source)?;
        let handle = self.open.borrow().get(&number).cloned();
        let handle = handle.ok_or("the runtime did not start the stream")?;
        let lens = RefCell::default();
        Ok((stream, JsSink { number, handle, streams: Rc::clone(self), lens }))
    }

    /// Takes the controller of a stream that starts.
    pub(crate) fn take(&self, number: u32, controller: ReadableStreamDefaultController) {
        self.orphans.set(&number.into(), &controller);
        let (wants_room, parked) = (Cell::new(false), RefCell::default());
        self.open.borrow_mut().insert(number, Rc::new(Handle { controller, wants_room, parked }));
    }

    /// The runtime calls because there is room: what to answer it.
    ///
    /// As long as the stream keeps up, a promise that is open: no call comes before it is kept. So
    /// a stream that keeps up costs no call per chunk, and one that does not is heard at once.
    pub(crate) fn pulled(&self, number: u32, in_between: bool) -> JsValue {
        let handle = self.open.borrow().get(&number).cloned();
        let Some(handle) = handle else { return JsValue::UNDEFINED };
        if handle.wants_room.get() && !in_between {
            return JsValue::UNDEFINED;
        }
        let promise = Promise::new(&mut |resolve, _| {
            *handle.parked.borrow_mut() = Some(resolve.unchecked_into());
        });
        promise.into()
    }

    /// The stream is about to be sent what waits.
    pub(crate) fn has_room(&self, number: u32) {
        if let Some(handle) = self.open.borrow().get(&number) {
            handle.wants_room.set(false);
        }
    }

    /// The bytes as the runtime takes them: one array for all streams that are sent the same. It is
    /// lent, as a handle of one's own would cost two more calls into JavaScript.
    fn with_chunk<R>(&self, bytes: &Bytes, act: impl FnOnce(&Uint8Array) -> R) -> R {
        let mut last = self.chunk.borrow_mut();
        let is_known = last.as_ref().is_some_and(|(known, _)| {
            known.as_ptr() == bytes.as_ptr() && known.len() == bytes.len()
        });
        if !is_known {
            *last = None;
        }
        let (_, array) = last.get_or_insert_with(|| (bytes.clone(), Uint8Array::from(&bytes[..])));
        act(array)
    }
}

/// The way to one stream. Who drops it gives the stream up.
#[derive(Debug)]
pub(crate) struct JsSink {
    number: u32,
    handle: Rc<Handle>,
    streams: Rc<Streams>,
    /// The lengths of the chunks that may not have left, in order.
    lens: RefCell<VecDeque<usize>>,
}

/// Chunks that a queue without a strategy wants to hold.
const HIGH_WATER_MARK: f64 = 1.0;

impl Sink for JsSink {
    fn queued(&self) -> Option<usize> {
        let room = self.handle.controller.desired_size()?;
        let chunks = (HIGH_WATER_MARK - room).max(0.0) as usize;
        let mut lens = self.lens.borrow_mut();
        let left = lens.len().saturating_sub(chunks);
        lens.drain(..left);
        Some(lens.iter().sum())
    }

    fn send(&self, bytes: &Bytes) -> bool {
        self.lens.borrow_mut().push_back(bytes.len());
        // It throws where the stream is over.
        let controller = &self.handle.controller;
        self.streams.with_chunk(bytes, |chunk| controller.enqueue_with_chunk(chunk).is_ok())
    }

    fn want_room(&self) {
        self.handle.wants_room.set(true);
        let parked = self.handle.parked.borrow_mut().take();
        if let Some(go_on) = parked {
            let _ = go_on.call0(&JsValue::UNDEFINED);
        }
    }

    fn end(&self) {
        let _ = self.handle.controller.close();
    }

    fn cut(&self) {
        self.handle.controller.error_with_e(&js_sys::Error::new("the stream was cut"));
    }
}

impl Drop for JsSink {
    fn drop(&mut self) {
        self.streams.orphans.delete(&self.number.into());
        let handle = self.streams.open.borrow_mut().remove(&self.number);
        // Nobody is left who could keep the promise.
        drop(handle);
    }
}

/// From the state of an object to its controllers. On the JavaScript side, as it must outlive a
/// panic, which ends all that is in this module's memory.
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
