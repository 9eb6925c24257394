//! The cases of `http.json` with target `do`: requests to a Durable Object.
//!
//! An object serves one record. Here its requests are translated: subscribes go to the record's
//! subscribe path, publishes to the publish path, and other paths lie under the base path.
//!
//! | group | the contract |
//! | --- | --- |
//! | method (Q52) | GET by Accept; HEAD 200 without a stream; others 405 with Allow (section 1) |
//! | accept (Q51) | a stream for `text/event-stream`, `text/*`, `*/*` or no header, else 406 |
//! | path (Q50) | each method at its own path; the other method there 405; elsewhere 404 |
//! | post (Q16, Q53) | an event is 204 with any Content-Type; anything else is 400 and not kept |
//! | last-event-id | one lookup (section 3); the query counts where there is no header (section 1) |
//!
//! The expected beginning of a stream is computed from the frames that a live reader got. Unless
//! the case has a quirk that the contract fixes, it must also match the plugin's bytes.

use saacms_realtime_core::{Event, HubConfig};
use serde_json::Value;

use super::Start;
use super::client::Request;
use super::positions::is_position;
use super::stream::Stream;
use super::vectors::{percent_decoded, text};
use super::world::{KEEPALIVE, PUBLISH, World, id_of, quiet, resync};

const BASE: &str = "/api/saacms/v1";

/// Checks a case with exactly the plugin's answers, and once more with our defaults.
pub(super) fn check(start: Start, case: &Value, quirks: &Value) {
    let as_plugin = HubConfig {
        quiet_resume: false,
        greeting: false,
        ..quiet()
    };
    check_with(start, as_plugin, case, quirks);
    check_with(start, quiet(), case, quirks);
}

fn check_with(start: Start, config: HubConfig, case: &Value, quirks: &Value) {
    let world = World::configured(start, config);
    let history = set_up(&world, config, case);
    let request = translated(case);

    match contract_of(case) {
        Expected::Stream(last_event_id) => {
            let expected = beginning(config, &history, last_event_id.as_deref());
            if !config.greeting && agrees_with_contract(case, quirks) {
                let plugin = text(&case["expect"], "body");
                assert_eq!(without_times(&expected.concat()), without_times(plugin));
            }

            let mut stream = world.open(&request);
            expect_stream_headers(&stream);

            expected
                .iter()
                .for_each(|block| expect_block(&mut stream, block));

            // Nothing else was sent: the next event follows directly.
            world.publish_event(&marker(case));
            stream.expect("event: changed\nid: marker\ndata: 1\n\n");
            assert_eq!(world.stats().subscribers, 1);
        }
        Expected::Answer(status) => {
            let before = world.stats();
            let answer = world.ask(&request);
            assert_eq!(answer.status(), status, "{answer:?}");

            // A 404 outside the API may be the application's, without a problem document.
            let is_problem = answer.header("content-type") == Some("application/problem+json");
            assert!(is_problem == (status >= 400) || status == 404, "{answer:?}");
            assert!(
                status != 405 || answer.header("allow").is_some(),
                "{answer:?}"
            );

            let is_publish = status == 204 && text(&case["request"], "method") == "POST";
            assert_eq!(
                world.stats().published,
                before.published + u64::from(is_publish)
            );
            assert_eq!(world.stats().subscribers, 0);
        }
    }
}

/// Publishes the case's earlier events. Returns the frames that a live reader got.
fn set_up(world: &World, config: HubConfig, case: &Value) -> Vec<String> {
    let mut live = world.open(&Request::get(&record_path(case)));
    live.expect(KEEPALIVE);
    if config.greeting {
        live.place();
    }

    let mut history = Vec::new();
    for event in case["setup"].as_array().expect("a list") {
        let event = event.as_str().expect("the text of an event");
        match Event::from_json(event.as_bytes()) {
            Ok(_) => {
                world.publish_event(event);
                history.push(live.block());
            }
            Err(_) => assert_eq!(world.ask(&Request::post(PUBLISH, event)).status(), 400),
        }
    }

    drop(live);
    world.wait_until("the live reader left", |stats| stats.subscribers == 0);
    history
}

/// The beginning of a stream after these frames (contract, section 3).
fn beginning(config: HubConfig, history: &[String], last_event_id: Option<&[u8]>) -> Vec<String> {
    let mut blocks = vec![KEEPALIVE.to_owned()];
    let Some(id) = last_event_id.map(<[u8]>::trim_ascii) else {
        blocks.extend(config.greeting.then(|| format!("id: {POSITION}\n\n")));
        return blocks;
    };
    match history
        .iter()
        .position(|frame| id_of(frame).as_bytes() == id)
    {
        Some(oldest_copy) => blocks.extend_from_slice(&history[oldest_copy + 1..]),
        None => {
            // The plugin names the current time if its buffer is empty.
            let none = if config.quiet_resume {
                POSITION
            } else {
                "2023-11-14T22:13:20.000Z"
            };
            let newest = history.last().map_or(none, |frame| id_of(frame));
            blocks.push(resync(newest, "buffer-miss"));
        }
    }
    blocks
}

/// Whether the plugin's stream agrees with the contract.
fn agrees_with_contract(case: &Value, quirks: &Value) -> bool {
    let mut named = case["quirks"].as_array().expect("a list").iter();
    let is_kept = named.all(|quirk| {
        let number = quirk.as_str().expect("a number");
        quirks[number][0] == "keep"
    });
    let by_query = id_of_query(text(&case["request"], "path")).is_some();
    is_kept && !by_query && case["expect"]["stream_open"] == true
}

/// Translates a request to the object into one to the API.
fn translated(case: &Value) -> Request {
    let request = &case["request"];
    let (method, target) = (text(request, "method"), text(request, "path"));
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, format!("?{query}")),
        None => (target, String::new()),
    };
    let target = match place(case, path, method) {
        Place::Publish => PUBLISH.to_owned(),
        Place::Record => record_path(case) + &query,
        Place::Elsewhere => format!("{BASE}{path}{query}"),
    };
    let translated = match request["body"].as_str() {
        Some(body) => Request::post(&target, body),
        None => Request::new(method, &target).header("Content-Length", "0"),
    };
    let headers = request["headers"].as_object().expect("an object");

    headers.iter().fold(translated, |request, (name, value)| {
        request.header(name, value.as_str().expect("the value of a header"))
    })
}

enum Place {
    Publish,
    Record,
    Elsewhere,
}

/// The plugin's object ignores the path, so only cases about paths keep theirs.
fn place(case: &Value, path: &str, method: &str) -> Place {
    let is_about_paths = case["group"] == "path";
    match path {
        "/publish" => Place::Publish,
        "/subscribe" if is_about_paths => Place::Record,
        _ if is_about_paths => Place::Elsewhere,
        _ if method == "POST" => Place::Publish,
        _ => Place::Record,
    }
}

enum Expected {
    /// A stream for a client that names this last event ID.
    Stream(Option<Vec<u8>>),
    /// An answer with this status.
    Answer(u16),
}

fn contract_of(case: &Value) -> Expected {
    let request = &case["request"];
    let (method, target) = (text(request, "method"), text(request, "path"));
    let path = target.split('?').next().unwrap_or_default();
    match (place(case, path, method), method) {
        (Place::Elsewhere, _) => Expected::Answer(404),
        (Place::Publish | Place::Record, "OPTIONS") => Expected::Answer(204),
        (Place::Publish, "POST") => {
            let body = request["body"].as_str().unwrap_or_default();
            let is_event = Event::from_json(body.as_bytes()).is_ok();
            Expected::Answer(if is_event { 204 } else { 400 })
        }
        (Place::Record, "GET" | "HEAD") if !takes_stream(request) => Expected::Answer(406),
        (Place::Record, "HEAD") => Expected::Answer(200),
        (Place::Record, "GET") => {
            let by_header = header(request, "last-event-id").map(|id| id.as_bytes().to_vec());
            Expected::Stream(by_header.or_else(|| id_of_query(target)))
        }
        (Place::Publish | Place::Record, _) => Expected::Answer(405),
    }
}

fn id_of_query(target: &str) -> Option<Vec<u8>> {
    let (_, query) = target.split_once('?')?;
    let id = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("lastEventId="))?;
    Some(percent_decoded(id))
}

fn takes_stream(request: &Value) -> bool {
    let Some(accept) = header(request, "accept") else {
        return true;
    };
    accept.split(',').any(|range| {
        let mut parts = range
            .split(';')
            .map(|part| part.trim().to_ascii_lowercase());
        let matches = parts
            .next()
            .is_some_and(|range| matches!(&*range, "text/event-stream" | "text/*" | "*/*"));
        matches && !parts.any(|parameter| matches!(&*parameter, "q=0" | "q=0.0" | "q=0.00"))
    })
}

fn header<'a>(request: &'a Value, name: &str) -> Option<&'a str> {
    let headers = request["headers"].as_object().expect("an object");
    let (_, value) = headers
        .iter()
        .find(|(header, _)| header.eq_ignore_ascii_case(name))?;
    value.as_str()
}

/// The slug and ID of the object's record.
fn record(case: &Value) -> (String, String) {
    let first: Option<Value> = case["setup"][0]
        .as_str()
        .and_then(|event| serde_json::from_str(event).ok());
    let member = |name: &str| Some(first.as_ref()?[name].as_str()?.to_owned());
    (
        member("slug").unwrap_or("posts".to_owned()),
        member("id").unwrap_or("p1".to_owned()),
    )
}

fn record_path(case: &Value) -> String {
    let encoded =
        |text: String| -> String { text.bytes().map(|byte| format!("%{byte:02X}")).collect() };
    let (slug, id) = record(case);
    format!("{BASE}/{}/{}/subscribe", encoded(slug), encoded(id))
}

fn marker(case: &Value) -> String {
    let (slug, id) = record(case);
    let event = serde_json::json!({
        "type": "changed", "slug": slug, "id": id, "record": 1, "etag": "marker",
    });
    event.to_string()
}

fn expect_stream_headers(stream: &Stream) {
    for (name, value) in [
        ("cache-control", "no-cache, no-transform"),
        ("connection", "keep-alive"),
        ("content-type", "text/event-stream"),
    ] {
        assert_eq!(stream.head.header(name), Some(value));
    }
}

/// Any position: which one it is, `positions` checks.
const POSITION: &str = "0000000000000000.0";

/// Checks that the next block is this one. A time ID may be any time, and a position any position.
#[track_caller]
fn expect_block(stream: &mut Stream, expected: &str) {
    let block = stream.block();
    assert_eq!(without_times(&block), without_times(expected), "{block:?}");
}

fn without_times(text: &str) -> String {
    let without = |line: &str| {
        let id = line.strip_prefix("id: ").unwrap_or_default();
        let shape: String = id
            .chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect();
        match &*shape {
            "0000-00-00T00:00:00.000Z" => "id: <time>".to_owned(),
            _ if is_position(id) => "id: <position>".to_owned(),
            _ => line.to_owned(),
        }
    };
    let lines = text.split('\n').map(without);
    lines.collect::<Vec<_>>().join("\n")
}
