//! The object in use, and the runtime's calls that use it later than a request.

use std::cell::RefMut;

use js_sys::ArrayBuffer;
use saacms_realtime_core::Now;
use saacms_realtime_core::route::PublishFormat;
use wasm_bindgen::prelude::*;
use web_sys::ReadableStreamDefaultController;

use super::callbacks::{Handler, StreamNews};
use super::inner::{Inner, JsObject};
use super::platform;

/// The object in use. Dropping the guard sends what is in the outbox, handles what the runtime
/// reported in the meantime, and sets the timers.
pub(super) struct ObjectGuard<'a> {
    inner: &'a Inner,
    had_streams: bool,
    object: RefMut<'a, JsObject>,
    pub(super) now: Now,
}

impl<'a> ObjectGuard<'a> {
    pub(super) fn new(inner: &'a Inner, object: RefMut<'a, JsObject>, now: Now) -> Self {
        Self {
            inner,
            had_streams: object.streams() > 0,
            object,
            now,
        }
    }

    fn handle(&mut self, number: u32, news: StreamNews) {
        match news {
            StreamNews::Writable => {
                self.inner.streams.has_room(number);
                self.object.writable(number, self.now);
            }
            StreamNews::ClientGone => self.object.remove(number),
        }
    }
}

impl Drop for ObjectGuard<'_> {
    fn drop(&mut self) {
        self.object.serve_sockets(self.now);
        if let Some(sockets) = &self.inner.sockets {
            for number in sockets.flush_and_take_ended() {
                self.object.remove_socket(number);
            }
        }

        loop {
            // Sending may call back into `notify`, so the news is checked after it.
            for number in self.inner.streams.flush_and_take_ended() {
                self.object.remove(number);
            }
            let Some((number, news)) = self.inner.news.borrow_mut().pop() else {
                break;
            };
            self.handle(number, news);
        }

        let Inner {
            timers,
            callbacks,
            store,
            alarm,
            ..
        } = self.inner;
        if self.had_streams && self.object.streams() == 0 {
            self.inner.last_has_left(self.now.instant);
        }
        if let Some(store) = store.as_ref().filter(|store| store.has_frames()) {
            alarm.set(store.storage(), self.object.forget_at(), self.now.instant);
        }

        // The last turn of a round ends here too, and sets the deadline.
        if self.object.wants_turn() {
            timers.set_turn(callbacks.turn());
        } else {
            timers.set_wake(self.object.wake_at(), self.now.instant, callbacks.wake());
        }
    }
}

impl core::ops::Deref for ObjectGuard<'_> {
    type Target = JsObject;

    fn deref(&self) -> &Self::Target {
        &self.object
    }
}

impl core::ops::DerefMut for ObjectGuard<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.object
    }
}

impl Handler for Inner {
    fn register(&self, number: u32, controller: ReadableStreamDefaultController) {
        self.streams.register(number, controller);
    }

    fn pulled(&self, number: u32) -> JsValue {
        let was_handled = self.notify(number, StreamNews::Writable);
        self.streams.pulled(number, was_handled)
    }

    fn publish(&self, format: PublishFormat, body: &ArrayBuffer) -> Result<JsValue, JsValue> {
        let reply = self.publish_body(format, body)?;
        platform::answer(&reply)
    }

    fn notify(&self, number: u32, news: StreamNews) -> bool {
        // Called back by a send. The guard that made it handles the news when it is dropped.
        if self.object.try_borrow_mut().is_err() {
            self.news.borrow_mut().push((number, news));
            return false;
        }
        if let Some(mut object) = self.lock_or_report() {
            object.handle(number, news);
        }
        true
    }

    fn wake(&self) {
        self.timers.wake_has_fired();
        if let Some(mut object) = self.lock_or_report() {
            let now = object.now;
            object.handle_timeout(now);
        }
    }

    fn alarm_is_at(&self, at_millis: &JsValue) {
        let now = self.now().instant;
        self.alarm.is_at(at_millis, now);
        // Dropping the object sets the alarm if there is none.
        drop(self.lock_or_report());
        self.report_unused();
    }

    fn turn(&self) {
        self.timers.turn_has_fired();
        if let Some(mut object) = self.lock_or_report() {
            let now = object.now;
            object.turn(now);
        }
    }
}
