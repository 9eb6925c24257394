//! Helpers for scenarios.

use core::time::Duration;
use std::thread;
use std::time::Instant;

use saacms_realtime_core::route::Api;
use saacms_realtime_core::{HubConfig, Stats};

use super::client::{Connection, PATIENCE, Request, Response};
use super::stream::Stream;
use super::{Running, Start};

/// The first bytes of every stream. The place of a client that named no last event ID follows, see
/// [`Stream::greeting`].
pub(super) const KEEPALIVE: &str = ":keepalive\n\n";

/// The publish path.
pub(super) const PUBLISH: &str = "/api/saacms/v1/publish";

/// The server of one scenario.
pub(super) struct World {
    pub(super) running: Running,
}

impl World {
    pub(super) fn start(start: Start) -> Self {
        Self::configured(start, quiet())
    }

    pub(super) fn configured(start: Start, config: HubConfig) -> Self {
        Self {
            running: start(config, open()),
        }
    }

    pub(super) fn with_api(start: Start, api: Api) -> Self {
        Self {
            running: start(quiet(), api),
        }
    }

    pub(super) fn connect(&self) -> Connection {
        Connection::open(self.running.address)
    }

    /// Sends a request on a new connection. Returns the answer.
    pub(super) fn ask(&self, request: &Request) -> Response {
        self.connect().exchange(request)
    }

    /// Subscribes to `posts/{id}` and reads the greeting.
    pub(super) fn subscribe(&self, id: &str) -> Stream {
        self.greeted(&Request::get(&path(id)))
    }

    /// Opens a stream without a last event ID and reads the greeting.
    #[track_caller]
    pub(super) fn greeted(&self, request: &Request) -> Stream {
        let mut stream = self.open(request);
        stream.greeting();
        stream
    }

    /// Subscribes to `posts/{id}` with a last event ID and reads the greeting.
    pub(super) fn resume(&self, id: &str, last_event_id: impl AsRef<[u8]>) -> Stream {
        let mut stream = self.open(&Request::get(&path(id)).header("Last-Event-ID", last_event_id));
        stream.expect(KEEPALIVE);
        stream
    }

    pub(super) fn open(&self, request: &Request) -> Stream {
        Stream::open(self.running.address, request)
    }

    /// Publishes an event of `posts/{id}` with an ETag, over HTTP. Returns its frame.
    pub(super) fn publish(&self, id: &str, etag: &str) -> String {
        self.publish_event(&changed(id, etag, "1"));
        frame(etag, "1")
    }

    /// Publishes an event, over HTTP.
    pub(super) fn publish_event(&self, event: &str) {
        let answer = self.ask(&Request::post(PUBLISH, event));
        assert_eq!(answer.status(), 204, "{event}: {}", answer.text());
    }

    pub(super) fn drain(&self) {
        (self.running.drain)();
    }

    pub(super) fn stats(&self) -> Stats {
        self.running.hub.stats()
    }

    /// Waits until the hub's statistics satisfy `holds`.
    pub(super) fn wait_until(&self, what: &str, holds: impl Fn(&Stats) -> bool) {
        let started = Instant::now();
        while !holds(&self.stats()) {
            let stats = self.stats();
            assert!(started.elapsed() < PATIENCE, "{what}: still {stats:?}");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// An API to which everyone may publish.
pub(super) fn open() -> Api {
    Api::default().with_open_publish()
}

/// The default configuration without heartbeats, so that a slow machine adds no bytes.
pub(super) fn quiet() -> HubConfig {
    HubConfig {
        heartbeat: Duration::ZERO,
        ..HubConfig::default()
    }
}

/// The subscribe path of `posts/{id}`.
pub(super) fn path(id: &str) -> String {
    format!("/api/saacms/v1/posts/{id}/subscribe")
}

/// An event of `posts/{id}`, as it is posted.
pub(super) fn changed(id: &str, etag: &str, record: &str) -> String {
    let etag = serde_json::to_string(etag).expect("a string");
    format!(r#"{{"type":"changed","slug":"posts","id":"{id}","record":{record},"etag":{etag}}}"#)
}

/// The frame of such an event.
pub(super) fn frame(id: &str, data: &str) -> String {
    format!("event: changed\nid: {id}\ndata: {data}\n\n")
}

/// The frame that tells a client to refetch.
pub(super) fn resync(id: &str, reason: &str) -> String {
    format!("event: saacms-resync\nid: {id}\ndata: {{\"reason\":\"{reason}\"}}\n\n")
}

/// The value of the `id:` line of a block.
pub(super) fn id_of(block: &str) -> &str {
    let line = block.lines().find_map(|line| line.strip_prefix("id: "));
    line.unwrap_or_else(|| panic!("no id in {block:?}"))
}

/// Checks that an answer is a stream that only says that there is none: a reconnection time, which it
/// returns, and a problem document of this kind.
#[track_caller]
pub(super) fn expect_unavailable(answer: &Response, kind: &str) -> u64 {
    assert_eq!(answer.status(), 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert_eq!(
        answer.header("cache-control"),
        Some("no-cache, no-transform")
    );

    let told = answer.text().strip_prefix("retry: ");
    let told = told.and_then(|rest| rest.split_once("\n\nevent: saacms-unavailable\ndata: "));
    let Some((millis, document)) = told else {
        panic!("a reconnection time and a problem, not {:?}", answer.text());
    };
    let document: serde_json::Value =
        serde_json::from_str(document).unwrap_or_else(|error| panic!("{error}: {document:?}"));
    assert_eq!(document["type"], format!("urn:saacms-realtime:{kind}"));
    assert!(answer.text().ends_with("}\n\n"), "one block: {answer:?}");
    millis.parse().expect("milliseconds")
}

/// Checks that an answer is a problem document of this kind whose detail contains `detail`.
#[track_caller]
pub(super) fn expect_problem(answer: &Response, status: u16, kind: &str, detail: &str) {
    assert_eq!(answer.status(), status, "{detail}: {answer:?}");
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json"),
        "{detail}"
    );

    let problem: serde_json::Value =
        serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
    let members = problem.as_object().expect("an object");
    assert_eq!(
        members.len(),
        4,
        "type, title, status and detail: {problem}"
    );
    assert_eq!(
        problem["type"],
        format!("urn:saacms-realtime:{kind}"),
        "{detail}"
    );
    assert_eq!(problem["status"], status, "{detail}");

    let title = problem["title"].as_str().expect("a text");
    assert!(
        !title.is_empty() && !title.contains(detail),
        "a title is the same for all: {title}"
    );

    let said = problem["detail"].as_str().expect("a text");
    assert!(said.contains(detail), "the detail {said:?} says {detail:?}");
}
