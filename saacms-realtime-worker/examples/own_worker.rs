//! A Worker with its own handler, which exports the object in one line. The handler answers what it
//! likes and leaves the rest to the router.

use wasm_bindgen::prelude::*;
use web_sys::{Request, Response};

pub use saacms_realtime_worker::SaacmsRealtimeDO;

/// The Worker's handler.
///
/// # Errors
///
/// An exception of the runtime.
#[wasm_bindgen]
pub async fn fetch(request: Request, env: JsValue, _ctx: JsValue) -> Result<Response, JsValue> {
    if request.url().ends_with("/hello") {
        return Response::new_with_opt_str(Some("hello"));
    }
    saacms_realtime_worker::router::fetch(request, env).await
}
