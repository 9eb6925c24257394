//! Bindings to the runtime that no crate has, and helpers that object and router share.

use std::borrow::Cow;
use std::sync::Once;

use js_sys::{Array, Function, Object, Promise, Reflect};
use saacms_realtime_core::Epoch;
use saacms_realtime_core::route::{self, Problem, Reply};
use wasm_bindgen::prelude::*;
use web_sys::{Headers, ReadableStream, Request, Response, ResponseInit};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(callback: &JsValue, millis: f64) -> JsValue;

    #[wasm_bindgen(js_name = clearTimeout)]
    pub(crate) fn clear_timeout(timer: &JsValue);

    #[wasm_bindgen(extends = Object)]
    #[derive(Debug)]
    pub(crate) type Sql;

    #[wasm_bindgen(method, variadic, catch)]
    pub(crate) fn exec(this: &Sql, query: &str, bindings: &Array) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(extends = Object)]
    #[derive(Debug)]
    pub(crate) type Storage;

    #[wasm_bindgen(method, js_name = deleteAll, catch)]
    pub(crate) fn delete_all(this: &Storage) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, js_name = getAlarm, catch)]
    pub(crate) fn get_alarm(this: &Storage) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, js_name = setAlarm, catch)]
    pub(crate) fn set_alarm(this: &Storage, at_millis: f64) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(extends = Object)]
    #[derive(Debug)]
    pub(crate) type Namespace;

    #[wasm_bindgen(method, js_name = idFromName, catch)]
    pub(crate) fn id_from_name(this: &Namespace, name: &str) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    pub(crate) fn get(this: &Namespace, id: &JsValue) -> Result<Stub, JsValue>;

    #[wasm_bindgen(extends = Object)]
    #[derive(Debug)]
    pub(crate) type Stub;

    #[wasm_bindgen(method, catch)]
    pub(crate) fn fetch(this: &Stub, request: &Request) -> Result<Promise, JsValue>;
}

/// Arms a timer that does not keep a process alive.
pub(crate) fn set_timer(callback: &JsValue, millis: f64) -> JsValue {
    let timer = set_timeout(callback, millis);
    // A number in a Worker, which has no such thing.
    if timer.is_object() {
        let unref = member(&timer, "unref");
        if let Some(unref) = unref.dyn_ref::<Function>() {
            let _ = unref.call0(&timer);
        }
    }
    timer
}

/// The member `name` of a JavaScript object; `undefined` if there is none, or reading it throws.
pub(crate) fn member(object: &JsValue, name: &str) -> JsValue {
    Reflect::get(object, &name.into()).unwrap_or(JsValue::UNDEFINED)
}

/// Sets a member of a plain JavaScript object.
pub(crate) fn set_member(object: &Object, name: &str, value: &JsValue) {
    // Only a frozen object refuses.
    let _ = Reflect::set(object, &name.into(), value);
}

/// A variable of the environment: a string, a number or a boolean.
pub(crate) fn variable(env: &JsValue, name: &str) -> Option<String> {
    let value = member(env, name);
    value
        .as_string()
        .or_else(|| value.as_bool().map(|switch| switch.to_string()))
        .or_else(|| value.as_f64().map(|number| number.to_string()))
}

/// Binds `function` to its first argument.
pub(crate) fn bound(function: &JsValue, argument: u32) -> JsValue {
    let bind: Function = member(function, "bind").unchecked_into();
    bind.call2(function, &JsValue::UNDEFINED, &argument.into())
        .unwrap_or(JsValue::UNDEFINED)
}

/// `promise.then(done, failed)`.
pub(crate) fn then(
    promise: &Promise,
    done: &JsValue,
    failed: &JsValue,
) -> Result<JsValue, JsValue> {
    let then: Function = member(promise, "then").unchecked_into();
    then.call2(promise, done, failed)
}

/// The head of a request, as the contract reads it.
#[derive(Debug)]
pub(crate) struct Head {
    method: String,
    url: String,
    headers: JsHeaders,
}

#[derive(Debug)]
struct JsHeaders(Headers);

impl Head {
    pub(crate) fn of(request: &Request) -> Self {
        Self {
            method: request.method(),
            url: request.url(),
            headers: JsHeaders(request.headers()),
        }
    }

    pub(crate) fn as_request(&self) -> route::Request<'_> {
        let (authority, path, query) = parts(&self.url);
        route::Request {
            method: &self.method,
            path,
            query,
            authority: Some(authority),
            // The edge writes the headers that only HTTP/1.1 has; the runtime would drop ours.
            is_http_1_1: false,
            peer: None,
            headers: &self.headers,
        }
    }
}

impl route::Headers for JsHeaders {
    fn value(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        // The runtime joins the values of repeated headers, as the contract requires.
        Some(Cow::Owned(self.0.get(name).ok()??.into_bytes()))
    }
}

/// Host and port, path and query of a URL.
pub(crate) fn parts(url: &str) -> (&str, &str, Option<&str>) {
    let url = url.split('#').next().unwrap_or_default();
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    match target.split_once('?') {
        Some((path, query)) => (authority, path, Some(query)),
        None => (authority, target, None),
    }
}

/// The response of a reply, with `stream` as its body if there is one.
pub(crate) fn response(
    reply: &Reply,
    stream: Option<&ReadableStream>,
) -> Result<Response, JsValue> {
    let init = ResponseInit::new();
    init.set_status(reply.status);
    if !reply.headers.is_empty() {
        let headers = Headers::new()?;
        for (name, value) in &reply.headers {
            headers.append(name, value)?;
        }
        init.set_headers(&headers);
    }

    match stream {
        Some(stream) => Response::new_with_opt_readable_stream_and_init(Some(stream), &init),
        // A response with status 204 must not have a body, not even an empty one.
        None if reply.body.is_empty() => Response::new_with_opt_str_and_init(None, &init),
        None => {
            let body = String::from_utf8_lossy(&reply.body);
            Response::new_with_opt_str_and_init(Some(&body), &init)
        }
    }
}

/// The response that opens a WebSocket, whose client's end is `client`.
pub(crate) fn websocket_response(head: &Reply, client: &JsValue) -> Result<Response, JsValue> {
    let init = ResponseInit::new();
    init.set_status(head.status);
    set_member(init.unchecked_ref(), "webSocket", client);
    Response::new_with_opt_str_and_init(None, &init)
}

/// Logs a refusal with its problem document. What is not found is not logged: scanners ask for it.
pub(crate) fn report(reply: &Reply) {
    let is_refusal = reply.status >= 400 && reply.status != 404;
    if is_refusal || reply.notice.is_some() {
        let problem = String::from_utf8_lossy(&reply.body);
        let text = format!("saacms-realtime: refused, {}: {problem}", reply.status);
        web_sys::console::warn_1(&text.trim_end().into());
    }
}

/// Logs where a panic happened, before it ends the module. A panic is a bug.
pub(crate) fn report_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            web_sys::console::error_1(&panic.to_string().into());
        }));
    });
}

/// A random number, for jitter.
pub(super) fn jitter() -> u64 {
    // `Math.random` has 53 bits.
    (js_sys::Math::random() * 9_007_199_254_740_992.0) as u64
}

/// An epoch that no other life has.
pub(super) fn random_epoch() -> Epoch {
    // Two halves, because `Math.random` has fewer than 64 bits.
    let random = || (js_sys::Math::random() * 4_294_967_296.0) as u64;
    Epoch::from_number(random() << 32 | random())
}

/// The response that refuses a request.
pub(super) fn refuse(problem: Problem) -> Result<JsValue, JsValue> {
    answer(&problem.into())
}

/// The response of a reply that is not a stream. A refusal is logged.
pub(super) fn answer(reply: &Reply) -> Result<JsValue, JsValue> {
    report(reply);
    Ok(response(reply, None)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_host_a_path_and_maybe_a_query() {
        assert_eq!(
            parts("https://a.example/b/c?d=e?f#g"),
            ("a.example", "/b/c", Some("d=e?f"))
        );
        assert_eq!(
            parts("http://localhost:8787/"),
            ("localhost:8787", "/", None)
        );
        assert_eq!(parts("https://do"), ("do", "", None));
        assert_eq!(parts("https://do?x"), ("do", "", Some("x")));
    }
}
