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
/// `GET …/subscribe` answers with the record's event stream, `HEAD …/subscribe` with its head and the
/// record's position, `POST …/publish` publishes an event. Settings are the variables of
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
