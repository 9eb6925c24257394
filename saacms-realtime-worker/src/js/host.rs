//! What a JavaScript host asks of an object beyond requests. The npm package calls these.

use js_sys::{ArrayBuffer, Function};
use saacms_realtime_core::ResourceKey;
use saacms_realtime_core::route::{Problem, PublishFormat};
use wasm_bindgen::prelude::*;

use super::callbacks::Handler;
use super::durable_object::SaacmsRealtimeDO;
use crate::object::Object;

#[wasm_bindgen]
impl SaacmsRealtimeDO {
    /// Publishes the event of a body that is JSON. Returns the response.
    ///
    /// # Errors
    ///
    /// An exception of the runtime.
    pub fn publish(&self, body: &ArrayBuffer) -> Result<JsValue, JsValue> {
        self.inner.publish(PublishFormat::Json, body)
    }

    /// Reads the time from `now`, which returns milliseconds since 1970, instead of the platform's
    /// clock. Call this before anything else.
    #[wasm_bindgen(js_name = setClock)]
    pub fn set_clock(&self, now: Function) {
        self.inner.clock.replace(Some(now));
    }

    /// The number of open streams.
    pub fn subscribers(&self) -> usize {
        // Not locked: that would send and set timers.
        let object = self.inner.object.borrow();
        object.as_ref().map_or(0, Object::streams)
    }

    /// The number of events that a client can be replayed.
    ///
    /// # Errors
    ///
    /// The stored ring could not be read.
    pub fn replayable(&self) -> Result<usize, JsValue> {
        let object = self.inner.lock()?;
        Ok(object.replayable(object.now))
    }

    /// The bytes of history in memory.
    #[wasm_bindgen(js_name = historyBytes)]
    pub fn history_bytes(&self) -> usize {
        let object = self.inner.object.borrow();
        object.as_ref().map_or(0, Object::history_bytes)
    }

    /// Whether a timer waits for a heartbeat or another deadline.
    #[wasm_bindgen(js_name = isTimed)]
    pub fn is_timed(&self) -> bool {
        self.inner.timers.is_wake_armed()
    }

    /// Stops heartbeats and every other deadline until the next stream is opened. Streams stay open
    /// and get events.
    pub fn stop(&self) {
        self.inner.timers.stop();
    }

    /// Cuts every stream, so that its client reconnects.
    ///
    /// # Errors
    ///
    /// The stored ring could not be read.
    #[wasm_bindgen(js_name = cutAll)]
    pub fn cut_all(&self) -> Result<(), JsValue> {
        self.inner.lock()?.cut_all();
        Ok(())
    }

    /// Serves every stream, and whatever is due.
    ///
    /// For a runtime that drops the timers of a request with the request: there, each stream calls
    /// this from a timer of its own.
    ///
    /// # Errors
    ///
    /// The stored ring could not be read.
    pub fn tick(&self) -> Result<(), JsValue> {
        let mut object = self.inner.lock()?;
        let now = object.now;
        object.handle_timeout(now);
        while object.wants_turn() {
            object.turn(now);
        }
        Ok(())
    }
}

/// The problem document of a key that no record can have; `undefined` for every other.
#[wasm_bindgen(js_name = keyProblem)]
#[expect(unreachable_pub, reason = "the macro exports public functions only")]
pub fn key_problem(slug: &str, id: &str) -> Option<String> {
    let error = ResourceKey::new(slug, id).err()?;
    Some(Problem::from(error).to_json())
}
