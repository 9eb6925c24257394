//! A Worker of one's own that has the object: one line. Its handler may answer what it likes and
//! leave the rest to the router.

use wasm_bindgen::prelude::*;
use web_sys::{Request, Response};

pub use saacms_realtime_worker::SaacmsRealtimeDO;

/// The Worker's handler.
///
/// # Errors
///
/// What the runtime throws.
#[wasm_bindgen]
pub async fn fetch(request: Request, env: JsValue, _ctx: JsValue) -> Result<Response, JsValue> {
    if request.url().ends_with("/hello") {
        return Response::new_with_opt_str(Some("hello"));
    }
    saacms_realtime_worker::router::fetch(request, env).await
}
