//! The HTTP API in front of the objects: a whole Worker.

use std::cell::OnceCell;
use std::rc::Rc;

use js_sys::{Object, Promise, Uint8Array};
use saacms_realtime_core::event::Event;
use saacms_realtime_core::name::ResourceKey;
use saacms_realtime_core::route::{Action, Decision, Problem, PublishFormat, Reply};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Headers, ReadableStreamDefaultReader, Request, Response};

use crate::platform::{self, Namespace, member, set_member};
use crate::settings::{Environment, RouterSettings};

/// Answers a request to the API: subscribing and publishing go to the object of the record, which
/// is found by the binding that the [settings](RouterSettings) name.
///
/// # Errors
///
/// What the runtime throws; a setting that makes no sense.
pub async fn fetch(request: Request, env: JsValue) -> Result<Response, JsValue> {
    platform::report_panics();
    let settings = settings(&env)?;
    let decision = platform::with_request(&request, |head| settings.api.decide(head));
    let router = Router {
        settings: &settings,
        env: &env,
    };
    match &decision.action {
        Action::Reply(reply) => platform::response(&decision.finish(reply.clone()), None),
        Action::Subscribe {
            key,
            last_event_id,
            head,
        } => {
            router
                .subscribe(key, last_event_id.as_deref(), head, &decision, &request)
                .await
        }
        Action::Publish(format) => {
            let reply = match router.body(&request).await {
                Ok(body) => router.publish(*format, &body).await?,
                Err(problem) => problem.into(),
            };
            platform::response(&decision.finish(reply), None)
        }
    }
}

/// The settings, read once per isolate: its environment does not change.
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
        Ok(Rc::clone(known.get_or_init(|| Rc::new(settings))))
    })
}

struct Router<'a> {
    settings: &'a RouterSettings,
    env: &'a JsValue,
}

impl Router<'_> {
    async fn subscribe(
        &self,
        key: &ResourceKey,
        last_event_id: Option<&[u8]>,
        head: &Reply,
        decision: &Decision,
        request: &Request,
    ) -> Result<Response, JsValue> {
        let init = Object::new();
        set_member(&init, "headers", accept()?.as_ref());
        // The object is to hear that the client is gone.
        set_member(&init, "signal", &request.signal());
        let url = subscribe_url(last_event_id);
        let request = Request::new_with_str_and_init(&url, init.unchecked_ref())?;
        let answer = match self.ask(key, &request).await {
            Ok(answer) if answer.status() == 200 => answer,
            Ok(answer) => return passed_on(&answer, decision).await,
            Err(error) => return unreachable(&error, decision),
        };
        let reply = decision.finish(head.clone());
        platform::response(&reply, answer.body().as_ref())
    }

    /// The whole body of a publish. It is read no further than it is allowed to be long.
    async fn body(&self, request: &Request) -> Result<Vec<u8>, Problem> {
        let max_body_bytes = self.settings.api.max_body_bytes();
        let mut body = Vec::new();
        let Some(stream) = request.body() else {
            return Ok(body);
        };
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
                // Nobody waits for what the client says to that.
                let _ = reader.cancel();
                return Err(Problem::body_too_large(max_body_bytes));
            }
            body.extend(chunk.to_vec());
        }
    }

    async fn publish(&self, format: PublishFormat, body: &[u8]) -> Result<Reply, JsValue> {
        match format {
            PublishFormat::Json => {
                let key = match Event::from_json(body) {
                    Ok(event) => event.key().clone(),
                    Err(error) => return Ok(Problem::from(error).into()),
                };
                match self.post(&key, format, body).await {
                    Ok(answer) => reply_of(&answer).await,
                    Err(error) => {
                        web_sys::console::error_1(&error);
                        Ok(Problem::record_unreachable().into())
                    }
                }
            }
            PublishFormat::Ndjson => {
                let mut batch = Batch::new(format.events(body));
                while let Some((key, lines)) = batch.next() {
                    let answer = match self.post(&key, format, &lines).await {
                        Ok(answer) if answer.status() == 200 => reply_of(&answer).await?.body,
                        Ok(_) => Vec::new(),
                        Err(error) => {
                            web_sys::console::error_1(&error);
                            Vec::new()
                        }
                    };
                    batch.answer(&key, &answer);
                }
                let headers = vec![("content-type", "application/x-ndjson".into())];
                Ok(Reply {
                    status: 200,
                    headers,
                    body: batch.into_body(),
                })
            }
        }
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
        headers.set(
            "content-type",
            match format {
                PublishFormat::Json => "application/json",
                PublishFormat::Ndjson => "application/x-ndjson",
            },
        )?;
        set_member(&init, "headers", &headers);
        let request =
            Request::new_with_str_and_init("https://object/publish", init.unchecked_ref())?;
        self.ask(key, &request).await
    }

    /// Asks the object of a record.
    async fn ask(&self, key: &ResourceKey, request: &Request) -> Result<Response, JsValue> {
        let binding = &self.settings.binding;
        let namespace = member(self.env, binding);
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

/// What the object is asked for. The last event ID goes as a query, byte for byte: a header of
/// JavaScript is text.
fn subscribe_url(last_event_id: Option<&[u8]>) -> String {
    let mut url = "https://object/subscribe".to_owned();
    if let Some(id) = last_event_id {
        url.push_str("?lastEventId=");
        id.iter()
            .for_each(|byte| url.push_str(&format!("%{byte:02X}")));
    }
    url
}

fn accept() -> Result<Headers, JsValue> {
    let headers = Headers::new()?;
    headers.set("accept", "text/event-stream")?;
    Ok(headers)
}

/// An object's refusal, as it is.
async fn passed_on(answer: &Response, decision: &Decision) -> Result<Response, JsValue> {
    platform::response(&decision.finish(reply_of(answer).await?), None)
}

fn unreachable(error: &JsValue, decision: &Decision) -> Result<Response, JsValue> {
    web_sys::console::error_1(error);
    platform::response(&decision.finish(Problem::record_unreachable().into()), None)
}

/// An object's answer to a publish.
async fn reply_of(answer: &Response) -> Result<Reply, JsValue> {
    let body = Uint8Array::new(&JsFuture::from(answer.array_buffer()?).await?).to_vec();
    let content_type = answer.headers().get("content-type")?;
    let headers = content_type
        .map(|value| ("content-type", value.into()))
        .into_iter()
        .collect();
    Ok(Reply {
        status: answer.status(),
        headers,
        body,
    })
}

/// Lines of NDJSON on their way to several objects, and what became of each.
#[derive(Debug)]
struct Batch {
    results: Vec<Option<Vec<u8>>>,
    /// The lines of each record, in order, with their places in `results`.
    records: Vec<(ResourceKey, Vec<u8>, Vec<usize>)>,
    asked: usize,
}

impl Batch {
    fn new<'b>(events: impl Iterator<Item = &'b [u8]>) -> Self {
        let mut batch = Self {
            results: Vec::new(),
            records: Vec::new(),
            asked: 0,
        };
        for (place, line) in events.enumerate() {
            match Event::from_json(line) {
                Err(error) => {
                    batch
                        .results
                        .push(Some(Problem::from(error).to_json().into_bytes()));
                }
                Ok(event) => {
                    batch.results.push(None);
                    let records = &mut batch.records;
                    let known = records.iter().position(|(key, ..)| key == event.key());
                    let at = known.unwrap_or_else(|| {
                        records.push((event.key().clone(), Vec::new(), Vec::new()));
                        records.len() - 1
                    });
                    records[at].1.extend_from_slice(line);
                    records[at].1.push(b'\n');
                    records[at].2.push(place);
                }
            }
        }
        batch
    }

    /// What to send next, and to whose object.
    fn next(&mut self) -> Option<(ResourceKey, Vec<u8>)> {
        let (key, lines, _) = self.records.get_mut(self.asked)?;
        self.asked += 1;
        Some((key.clone(), core::mem::take(lines)))
    }

    /// Takes an object's answer, a line for each of its own.
    fn answer(&mut self, key: &ResourceKey, body: &[u8]) {
        let Some((.., places)) = self.records.iter().find(|(known, ..)| known == key) else {
            return;
        };
        let lines = body
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        for (place, line) in places.iter().zip(lines) {
            self.results[*place] = Some(line.to_vec());
        }
    }

    /// All results, a line each, in the order of the events.
    fn into_body(self) -> Vec<u8> {
        let failed = Problem::record_unreachable().to_json().into_bytes();
        let lines = self
            .results
            .into_iter()
            .map(|line| line.unwrap_or_else(|| failed.clone()));
        lines
            .flat_map(|mut line| {
                line.push(b'\n');
                line
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_to_their_objects_and_results_come_back_in_order() {
        let event = |id: &str, etag: &str| {
            format!(r#"{{"type":"changed","slug":"s","id":"{id}","record":1,"etag":"{etag}"}}"#)
        };
        let body = [
            event("a", "1"),
            event("b", "2"),
            "nope".to_owned(),
            event("a", "3"),
            event("c", "4"),
        ]
        .join("\n");
        let mut batch = Batch::new(PublishFormat::Ndjson.events(body.as_bytes()));
        let (key, lines) = batch.next().expect("a");
        assert_eq!(
            (key.id(), lines),
            (
                "a",
                format!("{}\n{}\n", event("a", "1"), event("a", "3")).into_bytes()
            )
        );
        batch.answer(&key, b"A1\nA3\n");
        let (key, _) = batch.next().expect("b");
        batch.answer(&key, b"B2\n");
        let (key, _) = batch.next().expect("c");
        batch.answer(&key, b"");
        assert!(batch.next().is_none());
        let body = String::from_utf8(batch.into_body()).expect("UTF-8");
        let lines: Vec<_> = body.lines().collect();
        assert_eq!((lines[0], lines[1], lines[3]), ("A1", "B2", "A3"));
        assert!(lines[2].contains("invalid-event") && lines[4].contains("record-unreachable"));
    }

    #[test]
    fn the_last_event_id_is_carried_byte_for_byte() {
        assert_eq!(subscribe_url(None), "https://object/subscribe");
        assert_eq!(
            subscribe_url(Some(b"")),
            "https://object/subscribe?lastEventId="
        );
        assert_eq!(
            subscribe_url(Some(b"W/\"\xc3\xa9+ ")),
            "https://object/subscribe?lastEventId=%57%2F%22%C3%A9%2B%20"
        );
    }

    #[test]
    fn no_two_records_share_an_object() {
        let name = |slug, id| object_name(&ResourceKey::new(slug, id).expect("valid"));
        assert_eq!(name("posts", "a:b"), "posts:a:b");
        assert!(ResourceKey::new("posts:a", "b").is_err());
    }
}
