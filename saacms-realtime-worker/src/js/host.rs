//! What a JavaScript host asks of an object beyond requests. The npm package calls these.

use js_sys::{ArrayBuffer, Function};
use saacms_realtime_core::ResourceKey;
use saacms_realtime_core::route::{Problem, PublishFormat};
use wasm_bindgen::prelude::*;
use web_sys::Response;

use super::durable_object::SaacmsRealtimeDO;
use super::platform;

#[wasm_bindgen]
impl SaacmsRealtimeDO {
    /// Publishes the event of a body that is JSON. Returns the response that refuses it, or nothing.
    ///
    /// # Errors
    ///
    /// An exception of the runtime.
    pub fn publish(&self, body: &ArrayBuffer) -> Result<Option<Response>, JsValue> {
        // A response costs as much as the rest of a publish, so there is none for an event that is
        // accepted.
        match self.inner.publish_body(PublishFormat::Json, body)? {
            reply if reply.status == 204 => Ok(None),
            // Not logged: the host throws it.
            reply => platform::response(&reply, None).map(Some),
        }
    }

    /// Sends each event to all streams at once, instead of in turns: for a runtime with timers that
    /// are slow, or that end with a request. Call this before anything else.
    #[wasm_bindgen(js_name = serveAtOnce)]
    pub fn serve_at_once(&self) {
        self.inner.serves_at_once.set(true);
    }

    /// Reads the time from `now`, which returns milliseconds since 1970, instead of the platform's
    /// clock. Call this before anything else.
    #[wasm_bindgen(js_name = setClock)]
    pub fn set_clock(&self, now: Function) {
        self.inner.clock.replace(Some(now));
    }

    /// The options that the object runs with, in the form of the constructor.
    pub fn options(&self) -> String {
        self.inner.options.as_str().to_owned()
    }

    /// Keeps other options for the object's next life.
    ///
    /// # Errors
    ///
    /// An exception of the storage.
    #[wasm_bindgen(js_name = keepOptions)]
    pub fn keep_options(&self, options: &str) -> Result<(), JsValue> {
        match &self.inner.store {
            Some(store) => store.keep_options(options),
            None => Ok(()),
        }
    }

    /// The number of open streams and WebSockets.
    pub fn subscribers(&self) -> usize {
        // Not locked: that would send and set timers.
        if let Some(object) = &*self.inner.object.borrow() {
            return object.subscribers();
        }
        let sockets = self.inner.sockets.as_ref();
        sockets.map_or(0, |sockets| sockets.count())
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
        object.as_ref().map_or(0, |object| object.history_bytes())
    }

    /// Whether a timer waits for a heartbeat or another deadline.
    #[wasm_bindgen(js_name = isTimed)]
    pub fn is_timed(&self) -> bool {
        self.inner.timers.is_wake_armed()
    }

    /// Calls `unused` a second after the last stream has left.
    ///
    /// For a runtime that does not tell when an object is collected: there, the host
    /// frees an object that [can be read back](Self::can_be_read_back).
    #[wasm_bindgen(js_name = onUnused)]
    pub fn on_unused(&self, unused: Function) {
        self.inner.unused.replace(Some(unused));
    }

    /// Whether nothing is lost, and nothing calls the object, if it is freed and created again.
    #[wasm_bindgen(js_name = canBeReadBack)]
    pub fn can_be_read_back(&self) -> bool {
        let inner = &self.inner;
        let is_used =
            inner.timers.is_any_armed() || inner.alarm.is_asked() || inner.may_be_called();
        // What a WebSocket needs is with the platform.
        let object = inner.object.borrow();
        let has_streams = object.as_ref().is_some_and(|object| object.streams() > 0);
        inner.store.is_some() && !has_streams && !is_used
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

    /// Handles whatever is due.
    ///
    /// For a runtime whose timers end with a request: there, each stream calls this from a timer of its
    /// own.
    ///
    /// # Errors
    ///
    /// The stored ring could not be read.
    pub fn tick(&self) -> Result<(), JsValue> {
        let mut object = self.inner.lock()?;
        let now = object.now;
        object.handle_timeout(now);
        Ok(())
    }
}

/// Makes room for `bytes` in the module's memory.
///
/// The allocator grows it by what an allocation needs, and each time it grows, JavaScript gets a new
/// view of all of it, which its garbage collector takes for so much young memory.
#[wasm_bindgen]
#[expect(unreachable_pub, reason = "the macro exports public functions only")]
pub fn reserve(bytes: usize) {
    // The allocator keeps what is freed. Unseen, the allocation could be optimised away.
    drop(std::hint::black_box(Vec::<u8>::with_capacity(bytes)));
}

/// The problem document of a key that no record can have; `undefined` for every other.
#[wasm_bindgen(js_name = keyProblem)]
#[expect(unreachable_pub, reason = "the macro exports public functions only")]
pub fn key_problem(slug: &str, id: &str) -> Option<String> {
    let error = ResourceKey::new(slug, id).err()?;
    Some(Problem::from(error).to_json())
}
