use std::cell::OnceCell;
use std::rc::Weak;

use js_sys::ArrayBuffer;
use saacms_realtime_core::route::{Problem, PublishFormat};
use wasm_bindgen::prelude::*;
use web_sys::ReadableStreamDefaultController;

use super::platform::{bound, refuse};
use super::streams::StreamCallbacks;

/// An object as the runtime's callbacks see it.
pub(super) trait Handler: 'static {
    /// Registers the controller of a stream that starts.
    fn register(&self, number: u32, controller: ReadableStreamDefaultController);

    /// Handles room in a stream's queue. Returns what the runtime waits for: a promise, or nothing.
    fn pulled(&self, number: u32) -> JsValue;

    /// Handles a report of the runtime, or keeps it for later while the object is in use. Returns
    /// whether it was handled.
    fn notify(&self, number: u32, news: StreamNews) -> bool;

    /// Publishes the events of a body that has arrived.
    fn publish(&self, format: PublishFormat, body: &ArrayBuffer) -> Result<JsValue, JsValue>;

    /// Handles the timer of the earliest deadline.
    fn wake(&self);

    /// Handles the timer of a turn.
    fn turn(&self);

    /// Handles the answer of the storage when its alarm is due: milliseconds since 1970, or `null`.
    fn alarm_is_at(&self, at_millis: &JsValue);
}

/// A report of the runtime about a stream.
#[derive(Clone, Copy, Debug)]
pub(super) enum StreamNews {
    Writable,
    ClientGone,
}

/// A function that is created when it is first needed.
type Lazy<F> = OnceCell<Closure<F>>;

/// What the runtime is given: a value, or an exception.
type Outcome = Result<JsValue, JsValue>;

/// The functions of an object that the runtime calls. They are created once per object, when they are
/// first needed, because they are most of what an object without streams costs. Each stream gets them
/// bound to its number.
pub(super) struct Callbacks<H> {
    handler: Weak<H>,
    start: Lazy<dyn Fn(u32, ReadableStreamDefaultController)>,
    pull: Lazy<dyn Fn(u32) -> JsValue>,
    cancel: Lazy<dyn Fn(u32)>,
    body: Lazy<dyn Fn(u32, JsValue) -> Outcome>,
    fail_body: Lazy<dyn Fn(JsValue) -> Outcome>,
    wake: Lazy<dyn Fn()>,
    turn: Lazy<dyn Fn()>,
    alarm_is_at: Lazy<dyn Fn(JsValue)>,
}

impl<H: Handler> Callbacks<H> {
    /// The callbacks of an object. They do not keep it alive.
    pub(super) fn new(handler: &Weak<H>) -> Self {
        Self {
            handler: handler.clone(),
            start: OnceCell::new(),
            pull: OnceCell::new(),
            cancel: OnceCell::new(),
            body: OnceCell::new(),
            fail_body: OnceCell::new(),
            wake: OnceCell::new(),
            turn: OnceCell::new(),
            alarm_is_at: OnceCell::new(),
        }
    }

    /// The callbacks of the stream with this number.
    pub(super) fn of_stream(&self, number: u32) -> StreamCallbacks {
        StreamCallbacks {
            start: bound(self.get(&self.start, start), number),
            pull: bound(self.get(&self.pull, pull), number),
            cancel: bound(self.get(&self.cancel, cancel), number),
        }
    }

    /// Called with the whole body of a publish.
    pub(super) fn publish(&self, format: PublishFormat) -> JsValue {
        bound(
            self.get(&self.body, body),
            u32::from(format == PublishFormat::Ndjson),
        )
    }

    /// Called if the body of a publish breaks off.
    pub(super) fn fail_body(&self) -> &JsValue {
        self.get(&self.fail_body, |_| {
            Closure::new(|_| refuse(Problem::body_incomplete()))
        })
    }

    /// Called by the timer of the earliest deadline.
    pub(super) fn wake(&self) -> &JsValue {
        self.get(&self.wake, wake)
    }

    /// Called by the timer of the next turn.
    pub(super) fn turn(&self) -> &JsValue {
        self.get(&self.turn, turn)
    }

    /// Called with the time of the storage's alarm.
    pub(super) fn alarm_is_at(&self) -> &JsValue {
        self.get(&self.alarm_is_at, alarm_is_at)
    }

    /// The function of a closure, which `create` creates at the first use.
    fn get<'a, F: ?Sized>(
        &self,
        closure: &'a Lazy<F>,
        create: impl FnOnce(Weak<H>) -> Closure<F>,
    ) -> &'a JsValue {
        closure
            .get_or_init(|| create(self.handler.clone()))
            .as_ref()
    }
}

fn start<H: Handler>(handler: Weak<H>) -> Closure<dyn Fn(u32, ReadableStreamDefaultController)> {
    Closure::new(move |number, controller| {
        if let Some(handler) = handler.upgrade() {
            handler.register(number, controller);
        }
    })
}

fn pull<H: Handler>(handler: Weak<H>) -> Closure<dyn Fn(u32) -> JsValue> {
    Closure::new(move |number| {
        let Some(handler) = handler.upgrade() else {
            return JsValue::UNDEFINED;
        };
        handler.pulled(number)
    })
}

fn cancel<H: Handler>(handler: Weak<H>) -> Closure<dyn Fn(u32)> {
    Closure::new(move |number| {
        if let Some(handler) = handler.upgrade() {
            handler.notify(number, StreamNews::ClientGone);
        }
    })
}

fn body<H: Handler>(handler: Weak<H>) -> Closure<dyn Fn(u32, JsValue) -> Result<JsValue, JsValue>> {
    Closure::new(move |is_ndjson, bytes: JsValue| {
        let handler = handler.upgrade().ok_or("the object is gone")?;
        let format = match is_ndjson {
            0 => PublishFormat::Json,
            _ => PublishFormat::Ndjson,
        };
        handler.publish(format, bytes.unchecked_ref())
    })
}

fn wake<H: Handler>(handler: Weak<H>) -> Closure<dyn Fn()> {
    Closure::new(move || {
        if let Some(handler) = handler.upgrade() {
            handler.wake();
        }
    })
}

fn turn<H: Handler>(handler: Weak<H>) -> Closure<dyn Fn()> {
    Closure::new(move || {
        if let Some(handler) = handler.upgrade() {
            handler.turn();
        }
    })
}

fn alarm_is_at<H: Handler>(handler: Weak<H>) -> Closure<dyn Fn(JsValue)> {
    Closure::new(move |at_millis| {
        if let Some(handler) = handler.upgrade() {
            handler.alarm_is_at(&at_millis);
        }
    })
}
