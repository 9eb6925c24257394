//! The HTTP API in front of the objects: a whole Worker.

use std::cell::OnceCell;
use std::rc::Rc;

use js_sys::{Object, Promise, Uint8Array};
use saacms_realtime_core::route::{
    Action, Batch, Decision, EVENT_STREAM, HEARTBEAT_HEADER, LAST_EVENT_ID_HEADER, Problem,
    PublishFormat, Reply, StreamRefusal,
};
use saacms_realtime_core::settings::VARIABLE_PREFIX;
use saacms_realtime_core::{Event, ResourceKey};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Headers, ReadableStreamDefaultReader, Request, Response};

use super::inner::PASSES_IDS_ON;
use super::platform::{self, Head, Namespace, member, set_member};
use crate::settings::{Environment, RouterSettings};

/// Answers a request to the API. Subscribing and publishing go to the object of the record, by the
/// binding that the [settings](RouterSettings) name.
///
/// # Errors
///
/// An exception of the runtime, or an invalid setting.
pub async fn fetch(request: Request, env: JsValue) -> Result<Response, JsValue> {
    platform::report_panics();
    let settings = settings(&env)?;
    let router = Router {
        settings: &settings,
        env: &env,
    };

    let head = Head::of(&request);
    if let Some(reply) = router.health(&head) {
        return platform::response(&reply, None);
    }

    let Decision { action, answer, .. } = settings.api.decide(&head.as_request());
    let reply = match action {
        Action::Subscribe {
            key,
            last_event_id,
            mut head,
            is_websocket,
            refuse,
            ..
        } => {
            let subscription = Subscription {
                last_event_id: last_event_id.as_deref(),
                is_websocket,
                refuse,
            };
            match router.subscribe(&key, subscription, &request).await? {
                // It cannot be made anew: it has the other end.
                Answer::WebSocket(response) => return Ok(response),
                // Of a class without WebSockets, whose client asks for a stream next.
                Answer::Stream(stream) if is_websocket => return Ok(stream),
                Answer::Stream(stream) => {
                    pass_on_headers(&stream, &mut head)?;
                    let body = stream.body();
                    return platform::response(&answer.add_to(head), body.as_ref());
                }
                Answer::Reply(reply) => reply,
            }
        }
        Action::Head { key, mut head, .. } => match router.head(&key).await {
            Ok(told) => {
                pass_on_headers(&told, &mut head)?;
                head
            }
            Err(error) => unreachable(&error),
        },
        Action::Publish {
            format,
            max_body_bytes,
            ..
        } => match read_body(&request, max_body_bytes).await {
            Ok(body) => router.publish(format, &body).await?,
            Err(problem) => {
                let reply = problem.into();
                platform::report(&reply);
                reply
            }
        },
        Action::Reply(reply) => {
            platform::report(&reply);
            reply
        }
    };

    platform::response(&answer.add_to(reply), None)
}

/// The settings, read once per isolate, whose environment does not change.
fn settings(env: &JsValue) -> Result<Rc<RouterSettings>, JsValue> {
    thread_local! {
        static SETTINGS: OnceCell<Rc<RouterSettings>> = const { OnceCell::new() };
    }
    SETTINGS.with(|known| {
        if let Some(settings) = known.get() {
            return Ok(Rc::clone(settings));
        }

        let settings = RouterSettings::read(Environment(&|name| platform::variable(env, name)))
            .map_err(|error| js_sys::Error::new(&error.to_string()))?;
        if !settings.has_publishers {
            let text = format!(
                "saacms-realtime: nobody can publish through the router, as there is neither a secret \
                 {VARIABLE_PREFIX}PUBLISH_TOKEN nor {VARIABLE_PREFIX}OPEN_PUBLISH=true, which would let \
                 everybody publish"
            );
            web_sys::console::warn_1(&text.into());
        }
        Ok(Rc::clone(known.get_or_init(|| Rc::new(settings))))
    })
}

struct Router<'a> {
    settings: &'a RouterSettings,
    env: &'a JsValue,
}

impl Router<'_> {
    /// The answer to a probe of health, which needs no object: the server's, at the same paths.
    fn health(&self, head: &Head) -> Option<Reply> {
        let request = head.as_request();
        if !matches!(request.method, "GET" | "HEAD") {
            return None;
        }

        let answer = |status, word: &str| {
            let version = env!("CARGO_PKG_VERSION");
            let body = format!(r#"{{"status":"{word}","version":"{version}"}}"#);
            Some(Reply::passed_on(
                status,
                Some("application/json".to_owned()),
                body.into_bytes(),
            ))
        };
        match request.path {
            "/healthz" => answer(200, "ok"),
            "/readyz" if member(self.env, &self.settings.binding).is_object() => answer(200, "ok"),
            "/readyz" => answer(503, "no-binding"),
            _ => None,
        }
    }

    /// Subscribes at the object of a record. The object's refusal is passed on unchanged.
    async fn subscribe(
        &self,
        key: &ResourceKey,
        subscription: Subscription<'_>,
        request: &Request,
    ) -> Result<Answer, JsValue> {
        let Subscription {
            last_event_id,
            is_websocket,
            refuse,
        } = subscription;
        let init = subscribe_init(refuse.accept(), is_websocket)?;
        if !is_websocket {
            // Tells the object when the client has gone.
            set_member(&init, "signal", &request.signal());
        }
        let url = subscribe_url(last_event_id);
        let request = Request::new_with_str_and_init(&url, init.unchecked_ref())?;

        let answer = match self.ask(key, &request).await {
            Ok(answer) if answer.status() == 101 => Answer::WebSocket(answer),
            Ok(answer) if answer.status() == 200 => Answer::Stream(answer),
            Ok(answer) => Answer::Reply(reply_of(&answer).await?),
            Err(error) => {
                web_sys::console::error_1(&error);
                let problem = Problem::record_unreachable();
                Answer::Reply(refuse.reply(problem, platform::jitter()))
            }
        };
        Ok(answer)
    }

    /// Asks the object of a record for the head of its stream.
    async fn head(&self, key: &ResourceKey) -> Result<Response, JsValue> {
        let init = subscribe_init(EVENT_STREAM, false)?;
        set_member(&init, "method", &"HEAD".into());
        let url = subscribe_url(None);
        let request = Request::new_with_str_and_init(&url, init.unchecked_ref())?;
        self.ask(key, &request).await
    }

    async fn publish(&self, format: PublishFormat, body: &[u8]) -> Result<Reply, JsValue> {
        match format {
            PublishFormat::Json => self.publish_one(body).await,
            PublishFormat::Ndjson => self.publish_lines(body).await,
        }
    }

    async fn publish_one(&self, body: &[u8]) -> Result<Reply, JsValue> {
        // Parsed for its key; the object parses it again.
        let event = match Event::from_json(body) {
            Ok(event) => event,
            Err(error) => return Ok(Problem::from(error).into()),
        };
        match self.post(event.key(), PublishFormat::Json, body).await {
            Ok(answer) => reply_of(&answer).await,
            Err(error) => Ok(unreachable(&error)),
        }
    }

    async fn publish_lines(&self, body: &[u8]) -> Result<Reply, JsValue> {
        let mut batch = Batch::new(body);

        while let Some(part) = batch.next_part() {
            match self
                .post(part.key(), PublishFormat::Ndjson, part.lines())
                .await
            {
                Ok(answer) if answer.status() == 200 => {
                    batch.insert(&part, &reply_of(&answer).await?.body);
                }
                // Only the lines of this object fail.
                Ok(_) => {}
                Err(error) => web_sys::console::error_1(&error),
            }
        }

        Ok(batch.into_reply())
    }

    async fn post(
        &self,
        key: &ResourceKey,
        format: PublishFormat,
        body: &[u8],
    ) -> Result<Response, JsValue> {
        let init = Object::new();
        set_member(&init, "method", &"POST".into());
        set_member(&init, "body", &Uint8Array::from(body));
        let headers = Headers::new()?;
        headers.set("content-type", format.content_type())?;
        set_member(&init, "headers", &headers);
        let request =
            Request::new_with_str_and_init("https://object/publish", init.unchecked_ref())?;
        self.ask(key, &request).await
    }

    /// Sends a request to the object of a record.
    async fn ask(&self, key: &ResourceKey, request: &Request) -> Result<Response, JsValue> {
        let binding = &self.settings.binding;
        let namespace = member(self.env, binding);
        // Checked here, because the error of a call on `undefined` names no binding.
        if !namespace.is_object() {
            let message = format!("there is no Durable Object binding `{binding}`");
            return Err(js_sys::Error::new(&message).into());
        }

        let namespace: Namespace = namespace.unchecked_into();
        let id = namespace.id_from_name(&object_name(key))?;
        let answer: Promise = namespace.get(&id)?.fetch(request)?;
        Ok(JsFuture::from(answer).await?.unchecked_into())
    }
}

/// The name of a record's object. No two records share one, as a slug has no colon.
fn object_name(key: &ResourceKey) -> String {
    format!("{}:{}", key.slug(), key.id())
}

/// The URL of a subscription at an object. The last event ID is in the query, byte for byte, because
/// a header of JavaScript is text.
fn subscribe_url(last_event_id: Option<&[u8]>) -> String {
    let mut url = format!("https://object/subscribe?{PASSES_IDS_ON}");
    if let Some(id) = last_event_id {
        url.push_str("&lastEventId=");
        id.iter()
            .for_each(|byte| url.push_str(&format!("%{byte:02X}")));
    }
    url
}

/// The options of a request for a stream: one of its own, because the object's contract reads no
/// other header.
fn subscribe_init(accept: &str, is_websocket: bool) -> Result<Object, JsValue> {
    let headers = Headers::new()?;
    headers.set("accept", accept)?;
    if is_websocket {
        headers.set("upgrade", "websocket")?;
    }
    let init = Object::new();
    set_member(&init, "headers", &headers);
    Ok(init)
}

/// Adds what only the object knows to the head of a stream. Its settings may be those of another
/// Worker, and another class than ours tells nothing.
fn pass_on_headers(answer: &Response, head: &mut Reply) -> Result<(), JsValue> {
    for name in [HEARTBEAT_HEADER, LAST_EVENT_ID_HEADER] {
        if let Some(value) = answer.headers().get(name)? {
            head.headers.push((name, value.into()));
        }
    }
    Ok(())
}

/// What a client asks an object for.
#[derive(Clone, Copy)]
struct Subscription<'a> {
    last_event_id: Option<&'a [u8]>,
    is_websocket: bool,
    refuse: StreamRefusal,
}

/// An object's answer to a subscription.
enum Answer {
    WebSocket(Response),
    Stream(Response),
    Reply(Reply),
}

/// Reads an answer that is not a stream.
async fn reply_of(answer: &Response) -> Result<Reply, JsValue> {
    let body = Uint8Array::new(&JsFuture::from(answer.array_buffer()?).await?).to_vec();
    let content_type = answer.headers().get("content-type")?;
    let mut reply = Reply::passed_on(answer.status(), content_type, body);
    if let Some(seconds) = answer.headers().get("retry-after")? {
        reply.headers.push(("retry-after", seconds.into()));
    }
    Ok(reply)
}

/// The answer for an object that gives none.
fn unreachable(error: &JsValue) -> Reply {
    web_sys::console::error_1(error);
    Problem::record_unreachable().into()
}

/// Reads the whole body of a publish, but stops as soon as it is too long.
async fn read_body(request: &Request, max_body_bytes: usize) -> Result<Vec<u8>, Problem> {
    let mut body = Vec::new();
    let Some(stream) = request.body() else {
        return Ok(body);
    };

    // Chunk by chunk: `array_buffer` would first collect a body of any length.
    let reader: ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
    loop {
        let read = JsFuture::from(reader.read()).await;
        let read = read.map_err(|_| Problem::body_incomplete())?;
        if member(&read, "done").is_truthy() {
            return Ok(body);
        }

        let chunk = Uint8Array::new(&member(&read, "value"));
        let len = body.len() + chunk.length() as usize;
        if len > max_body_bytes {
            // Not awaited: whether the client stops does not matter.
            let _ = reader.cancel();
            return Err(Problem::body_too_large(max_body_bytes));
        }
        body.extend(chunk.to_vec());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_event_id_is_carried_byte_for_byte() {
        assert_eq!(subscribe_url(None), "https://object/subscribe?passesIds");
        assert_eq!(
            subscribe_url(Some(b"")),
            "https://object/subscribe?passesIds&lastEventId="
        );
        assert_eq!(
            subscribe_url(Some(b"W/\"\xc3\xa9+ ")),
            "https://object/subscribe?passesIds&lastEventId=%57%2F%22%C3%A9%2B%20"
        );
    }

    #[test]
    fn no_two_records_share_an_object() {
        let name = |slug, id| object_name(&ResourceKey::new(slug, id).expect("valid"));
        assert_eq!(name("posts", "a:b"), "posts:a:b");
        assert!(ResourceKey::new("posts:a", "b").is_err());
    }
}
