use std::rc::Weak;

use saacms_realtime_core::route::{Problem, PublishFormat};
use wasm_bindgen::prelude::*;
use web_sys::ReadableStreamDefaultController;

use super::durable_object::{Inner, StreamNews, refuse};
use super::platform::bound;
use super::streams::StreamCallbacks;

/// The functions of an object that the runtime calls, made once: those of a stream are bound to its
/// number.
pub(super) struct Callbacks {
    start: Closure<dyn Fn(u32, ReadableStreamDefaultController)>,
    pull: Closure<dyn Fn(u32) -> JsValue>,
    cancel: Closure<dyn Fn(u32)>,
    body: Closure<dyn Fn(u32, JsValue) -> Result<JsValue, JsValue>>,
    fail_body: Closure<dyn Fn(JsValue) -> Result<JsValue, JsValue>>,
    wake: Closure<dyn Fn()>,
    turn: Closure<dyn Fn()>,
}

impl Callbacks {
    /// The callbacks of an object, which they do not keep alive.
    pub(super) fn new(inner: &Weak<Inner>) -> Self {
        Self {
            start: start(inner.clone()),
            pull: pull(inner.clone()),
            cancel: cancel(inner.clone()),
            body: body(inner.clone()),
            fail_body: Closure::new(|_| refuse(Problem::body_incomplete())),
            wake: wake(inner.clone()),
            turn: turn(inner.clone()),
        }
    }

    /// The functions that the stream with this number calls.
    pub(super) fn of_stream(&self, number: u32) -> StreamCallbacks {
        StreamCallbacks {
            start: bound(self.start.as_ref(), number),
            pull: bound(self.pull.as_ref(), number),
            cancel: bound(self.cancel.as_ref(), number),
        }
    }

    /// Called with the whole body of a publish.
    pub(super) fn publish(&self, format: PublishFormat) -> JsValue {
        bound(
            self.body.as_ref(),
            u32::from(format == PublishFormat::Ndjson),
        )
    }

    /// Called if the body of a publish breaks off.
    pub(super) fn fail_body(&self) -> &JsValue {
        self.fail_body.as_ref()
    }

    /// Called by the timer of the earliest deadline.
    pub(super) fn wake(&self) -> &JsValue {
        self.wake.as_ref()
    }

    /// Called by the timer of the next turn.
    pub(super) fn turn(&self) -> &JsValue {
        self.turn.as_ref()
    }
}

fn start(inner: Weak<Inner>) -> Closure<dyn Fn(u32, ReadableStreamDefaultController)> {
    Closure::new(move |number, controller| {
        if let Some(inner) = inner.upgrade() {
            inner.streams.register(number, controller);
        }
    })
}

fn pull(inner: Weak<Inner>) -> Closure<dyn Fn(u32) -> JsValue> {
    Closure::new(move |number| {
        let Some(inner) = inner.upgrade() else {
            return JsValue::UNDEFINED;
        };
        let was_handled = inner.notify(number, StreamNews::Writable);
        inner.streams.pulled(number, was_handled)
    })
}

fn cancel(inner: Weak<Inner>) -> Closure<dyn Fn(u32)> {
    Closure::new(move |number| {
        if let Some(inner) = inner.upgrade() {
            inner.notify(number, StreamNews::ClientGone);
        }
    })
}

fn body(inner: Weak<Inner>) -> Closure<dyn Fn(u32, JsValue) -> Result<JsValue, JsValue>> {
    Closure::new(move |is_ndjson, bytes: JsValue| {
        let inner = inner.upgrade().ok_or("the object is gone")?;
        let format = match is_ndjson {
            0 => PublishFormat::Json,
            _ => PublishFormat::Ndjson,
        };
        inner.publish(format, bytes.unchecked_ref())
    })
}

fn wake(inner: Weak<Inner>) -> Closure<dyn Fn()> {
    Closure::new(move || {
        if let Some(inner) = inner.upgrade() {
            inner.wake();
        }
    })
}

fn turn(inner: Weak<Inner>) -> Closure<dyn Fn()> {
    Closure::new(move || {
        if let Some(inner) = inner.upgrade() {
            inner.turn();
        }
    })
}
