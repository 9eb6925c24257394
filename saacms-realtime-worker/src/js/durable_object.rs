//! The class of the Durable Object: the calls of the runtime.

use std::fmt;
use std::rc::Rc;

use wasm_bindgen::prelude::*;
use web_sys::Request;

use super::inner::Inner;
use super::platform;

/// The Durable Object of one record: a drop-in replacement for the JavaScript plugin's class of this
/// name.
///
/// `GET …/subscribe` answers with the record's event stream, or with a WebSocket to a client that asks for
/// one; `HEAD …/subscribe` answers with the head of the stream and the record's position, and
/// `POST …/publish` publishes an event. Settings are the variables of
/// [`settings`](crate::settings) in the Worker's environment.
#[wasm_bindgen]
pub struct SaacmsRealtimeDO {
    pub(super) inner: Rc<Inner>,
}

#[wasm_bindgen]
impl SaacmsRealtimeDO {
    /// Creates the object. The runtime calls this before the first request.
    ///
    /// `options` are variables that win over those of `env`, one `NAME=value` in a line. The object's
    /// storage keeps them for lives that are given none.
    ///
    /// # Errors
    ///
    /// A variable of the environment has an invalid value.
    #[wasm_bindgen(constructor)]
    pub fn new(ctx: JsValue, env: JsValue, options: Option<String>) -> Result<Self, JsValue> {
        platform::report_panics();
        Ok(Self {
            inner: Inner::new(&ctx, &env, options)?,
        })
    }

    /// Answers a request.
    ///
    /// # Errors
    ///
    /// An exception of the runtime.
    pub fn fetch(&self, request: Request) -> Result<JsValue, JsValue> {
        self.inner.fetch(&request)
    }

    /// Handles a message of a WebSocket's client. The runtime calls this, also to wake the object.
    ///
    /// # Errors
    ///
    /// The stored ring could not be read.
    #[wasm_bindgen(js_name = webSocketMessage)]
    pub fn web_socket_message(&self, socket: JsValue, message: JsValue) -> Result<(), JsValue> {
        self.inner.handle_message(socket.unchecked_ref(), &message)
    }

    /// Handles that the client of a WebSocket has ended it, or is gone. The runtime calls this.
    #[wasm_bindgen(js_name = webSocketClose)]
    pub fn web_socket_close(&self, socket: JsValue) {
        self.inner.handle_close(socket.unchecked_ref());
    }

    /// Handles that a WebSocket has failed. The runtime calls this.
    #[wasm_bindgen(js_name = webSocketError)]
    pub fn web_socket_error(&self, socket: JsValue) {
        self.inner.handle_close(socket.unchecked_ref());
    }

    /// Ends every stream and WebSocket with a farewell, after which its client comes back: 1 to 4 times
    /// the setting `RETRY` later, and not all at once.
    ///
    /// # Errors
    ///
    /// The stored ring could not be read.
    pub fn drain(&self) -> Result<(), JsValue> {
        self.inner.drain()
    }

    /// Forgets the stored events once the newest is too old. The runtime calls this at the time that
    /// the object has set.
    ///
    /// # Errors
    ///
    /// An exception of the storage. The runtime then calls again.
    pub fn alarm(&self) -> Result<(), JsValue> {
        self.inner.alarm()
    }
}

impl fmt::Debug for SaacmsRealtimeDO {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaacmsRealtimeDO")
            .field("key", &self.inner.key)
            .finish_non_exhaustive()
    }
}
