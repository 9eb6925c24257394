//! Record-change streaming on Cloudflare Workers.
//!
//! [`SaacmsRealtimeDO`] is a Durable Object: one object serves one record. A Worker in Rust exports
//! it in one line:
//!
//! ```
//! pub use saacms_realtime_worker::SaacmsRealtimeDO;
//! ```
//!
//! [`router::fetch`] is the HTTP API in front of the objects. It can be the whole Worker (feature
//! `entry`), or be called from a Worker's own handler.
//!
//! Every rule of the wire is in `saacms-realtime-core`; this crate owns streams, timers, storage
//! and JavaScript values. It builds natively too: `object` decides and is tested without a runtime,
//! `js` touches JavaScript values and works in a Worker only.

#![forbid(unsafe_code)]

mod js;
mod object;
pub mod settings;

pub use js::{SaacmsRealtimeDO, router};

/// The Worker's handler: [`router::fetch`].
#[cfg(feature = "entry")]
#[wasm_bindgen::prelude::wasm_bindgen]
pub fn fetch(
    request: web_sys::Request,
    env: wasm_bindgen::JsValue,
    _ctx: wasm_bindgen::JsValue,
) -> js_sys::Promise {
    wasm_bindgen_futures::future_to_promise(async move {
        router::fetch(request, env).await.map(Into::into)
    })
}
