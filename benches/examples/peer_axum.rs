//! The straightforward server, without this project: axum's `Sse` over a tokio broadcast channel
//! per record, and a queue of the last 100 events for clients that come back. `load` measures it
//! beside the server.
//!
//! With `--data-dir FOLDER`, each publish is a commit of SQLite before it is sent on and answered.
//!
//! It keeps none of the laws. A reader that lags or names an unknown ID gets a resync, but IDs are
//! not unique, nothing is bounded in bytes, nothing is swept and nothing is checked.

use core::convert::Infallible;
use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{self, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use futures_util::{Stream, StreamExt as _, stream};
use rusqlite::Connection;
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

type Topics = Mutex<HashMap<(String, String), Arc<Topic>>>;

struct Server {
    topics: Topics,
    store: Option<Store>,
}

/// The events on disk. It never deletes any, which makes it faster than what has to.
struct Store(Mutex<Connection>);

impl Store {
    fn open(folder: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(folder.join("events.db"))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch(
            "CREATE TABLE event (number INTEGER PRIMARY KEY, slug TEXT, id TEXT, etag TEXT, record TEXT);
             CREATE INDEX event_of_record ON event (slug, id);",
        )?;
        Ok(Self(Mutex::new(connection)))
    }

    /// One statement is one transaction: this returns once it is on the disk.
    fn insert(&self, change: &Change) -> rusqlite::Result<usize> {
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        connection.execute(
            "INSERT INTO event (slug, id, etag, record) VALUES (?, ?, ?, ?)",
            (&change.slug, &change.id, &change.etag, change.record.get()),
        )
    }
}

fn topic(topics: &Topics, slug: String, id: String) -> Arc<Topic> {
    let mut topics = topics.lock().unwrap_or_else(PoisonError::into_inner);
    let new = || {
        let (sender, last) = (broadcast::channel(CHANNEL).0, Mutex::default());
        Arc::new(Topic { sender, last })
    };
    Arc::clone(topics.entry((slug, id)).or_insert_with(new))
}

async fn subscribe(
    State(server): State<Arc<Server>>,
    extract::Path((slug, id)): extract::Path<(String, String)>,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let topic = topic(&server.topics, slug, id);
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

async fn publish(State(server): State<Arc<Server>>, body: Bytes) -> StatusCode {
    let Ok(change) = serde_json::from_slice::<Change>(&body) else {
        return StatusCode::BAD_REQUEST;
    };

    let change = Arc::new(change);
    if server.store.is_some() {
        let (server, change) = (Arc::clone(&server), Arc::clone(&change));
        let insert = move || server.store.as_ref().map(|store| store.insert(&change));
        // A commit waits for the disk, so it must not hold up a thread that serves sockets.
        if !matches!(tokio::task::spawn_blocking(insert).await, Ok(Some(Ok(1)))) {
            return StatusCode::INTERNAL_SERVER_ERROR;
        }
    }

    let topic = topic(&server.topics, change.slug.clone(), change.id.clone());
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
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let store = match &arguments[..] {
        [] => None,
        [option, folder] if option == "--data-dir" => Some(Store::open(folder.as_ref())?),
        _ => return Err("usage: peer_axum [--data-dir FOLDER]".into()),
    };

    let server = Server {
        topics: Topics::default(),
        store,
    };
    let app = Router::new()
        .route("/api/saacms/v1/{slug}/{id}/subscribe", get(subscribe))
        .route("/api/saacms/v1/publish", post(publish))
        .with_state(Arc::new(server));
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    let listener: TcpListener = socket.listen(4_096)?;
    println!("open http://{}/ in a browser", listener.local_addr()?);
    std::io::stdout().flush()?;
    let listener = listener.tap_io(|stream| {
        // As our server does: an event is not delayed by Nagle's algorithm.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, app).await?;
    Ok(())
}
