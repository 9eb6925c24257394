//! The straightforward server, without this project: axum's `Sse` over a tokio broadcast channel
//! per record, and a queue of the last 100 events for clients that come back. `load` measures it
//! beside the server.
//!
//! It keeps none of the laws. A reader that lags or names an unknown ID gets a resync, but IDs are
//! not unique, nothing is bounded in bytes, nothing is swept and nothing is checked.

use core::convert::Infallible;
use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use futures_util::{Stream, StreamExt as _, stream};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpListener;
use tokio::sync::broadcast;

const REPLAYED: usize = 100;
const CHANNEL: usize = 1_024;

/// An event as it is posted, and as it is kept.
#[derive(Deserialize)]
struct Change {
    slug: String,
    id: String,
    etag: String,
    record: Box<RawValue>,
}

impl Change {
    fn to_event(&self) -> Event {
        Event::default()
            .event("changed")
            .id(&self.etag)
            .data(self.record.get())
    }
}

struct Topic {
    sender: broadcast::Sender<Arc<Change>>,
    last: Mutex<VecDeque<Arc<Change>>>,
}

type Topics = Arc<Mutex<HashMap<(String, String), Arc<Topic>>>>;

fn topic(topics: &Topics, slug: String, id: String) -> Arc<Topic> {
    let mut topics = topics.lock().unwrap_or_else(PoisonError::into_inner);
    let new = || {
        let (sender, last) = (broadcast::channel(CHANNEL).0, Mutex::default());
        Arc::new(Topic { sender, last })
    };
    Arc::clone(topics.entry((slug, id)).or_insert_with(new))
}

async fn subscribe(
    State(topics): State<Topics>,
    Path((slug, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let topic = topic(&topics, slug, id);
    // Locked until the receiver exists, so that no event falls between replay and live delivery.
    let last = topic.last.lock().unwrap_or_else(PoisonError::into_inner);
    let receiver = topic.sender.subscribe();
    let named = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok());
    let replay = match named.map(|id| last.iter().position(|change| change.etag == id)) {
        None => Vec::new(),
        Some(Some(seen)) => last
            .range(seen + 1..)
            .map(|change| change.to_event())
            .collect(),
        Some(None) => vec![resync()],
    };

    drop(last);
    let live = stream::unfold(receiver, |mut receiver| async {
        let event = match receiver.recv().await {
            Ok(change) => change.to_event(),
            Err(broadcast::error::RecvError::Lagged(_)) => resync(),
            Err(broadcast::error::RecvError::Closed) => return None,
        };
        Some((event, receiver))
    });

    let greeting = stream::iter([Event::default().comment("keepalive")]);
    let events = greeting.chain(stream::iter(replay)).chain(live).map(Ok);
    Sse::new(events).keep_alive(
        KeepAlive::new()
            .interval(Duration::from_secs(30))
            .text("keepalive"),
    )
}

fn resync() -> Event {
    Event::default()
        .event("saacms-resync")
        .data(r#"{"reason":"lagged"}"#)
}

async fn publish(State(topics): State<Topics>, body: Bytes) -> StatusCode {
    let Ok(change) = serde_json::from_slice::<Change>(&body) else {
        return StatusCode::BAD_REQUEST;
    };

    let change = Arc::new(change);
    let topic = topic(&topics, change.slug.clone(), change.id.clone());
    let mut last = topic.last.lock().unwrap_or_else(PoisonError::into_inner);
    if last.len() == REPLAYED {
        last.pop_front();
    }

    last.push_back(Arc::clone(&change));
    // Without readers there is nobody to send to, but the event is kept.
    let _ = topic.sender.send(change);
    StatusCode::NO_CONTENT
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let app = Router::new()
        .route("/api/saacms/v1/{slug}/{id}/subscribe", get(subscribe))
        .route("/api/saacms/v1/publish", post(publish))
        .with_state(Topics::default());
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    let listener: TcpListener = socket.listen(4_096)?;
    println!("open http://{}/ in a browser", listener.local_addr()?);
    std::io::stdout().flush()?;
    let listener = listener.tap_io(|stream| {
        // As our server does: an event is not delayed by Nagle's algorithm.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, app).await
}
