//! A stream of the platform: a `ReadableStream` held by its controller.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use js_sys::{Array, Function, Map, Object, Promise, Reflect, Uint8Array, WeakMap};
use wasm_bindgen::prelude::*;
use web_sys::{ReadableStream, ReadableStreamDefaultController};

use crate::object::Sink;
use crate::platform::{bound, member, set_member};

/// The streams of one object, as the platform's callbacks find them.
#[derive(Debug)]
pub(crate) struct Streams {
    open: RefCell<BTreeMap<u32, Rc<Handle>>>,
    /// The controllers once more, where the next life of this object finds them after a panic.
    orphans: Map,
    chunk: RefCell<Option<(Bytes, Uint8Array)>>,
    high_water_mark: usize,
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
    pub(crate) fn new(ctx: &JsValue, high_water_mark: usize) -> Self {
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
        Self { open: RefCell::default(), orphans, chunk: RefCell::default(), high_water_mark }
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
        let init = Object::new();
        set_member(&init, "highWaterMark", &(self.high_water_mark as f64).into());
        let by_bytes = member(&js_sys::global(), "ByteLengthQueuingStrategy");
        let strategy =
            Reflect::construct(by_bytes.unchecked_ref::<Function>(), &Array::of1(init.as_ref()))?;
        let stream = ReadableStream::new_with_underlying_source_and_strategy(
            &source,
            strategy.unchecked_ref(),
        )?;
        let handle = self.open.borrow().get(&number).cloned();
        let handle = handle.ok_or("the runtime did not start the stream")?;
        Ok((stream, JsSink { number, handle, streams: Rc::clone(self) }))
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

    /// The bytes as the runtime takes them: one array for all streams that are sent the same.
    fn chunk(&self, bytes: &Bytes) -> Uint8Array {
        let mut last = self.chunk.borrow_mut();
        if let Some((known, array)) = &*last
            && known.as_ptr() == bytes.as_ptr()
            && known.len() == bytes.len()
        {
            return array.clone();
        }
        let array = Uint8Array::from(&bytes[..]);
        *last = Some((bytes.clone(), array.clone()));
        array
    }
}

/// The way to one stream. Who drops it gives the stream up.
#[derive(Debug)]
pub(crate) struct JsSink {
    number: u32,
    handle: Rc<Handle>,
    streams: Rc<Streams>,
}

impl Sink for JsSink {
    fn queued(&self) -> Option<usize> {
        let room = self.handle.controller.desired_size()?;
        Some((self.streams.high_water_mark as f64 - room).max(0.0) as usize)
    }

    fn send(&self, bytes: &Bytes) {
        // It throws where the stream is over, which the next look at the queue shows.
        let _ = self.handle.controller.enqueue_with_chunk(&self.streams.chunk(bytes));
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
