//! An application that embeds the realtime API under its own base path, state and middleware.
//!
//! ```sh
//! cargo run -p saacms-realtime-tokio --example embed_in_axum
//! curl -N http://127.0.0.1:3000/live/posts/1/subscribe
//! curl -X PUT http://127.0.0.1:3000/posts/1 -d 'A new title'
//! ```
//!
//! Events are published in the order of the writes. Readers see a record's events in the order in
//! which they were published: if two requests each wrote and then published, the second could
//! overtake the first in between, and every reader would end on the older record. Here one lock
//! orders the writes, and the event is published before it is released. With a database, publish in
//! the order in which transactions commit: from the one task that reads them in that order (an
//! outbox, a change stream), or under a lock of the record around commit and publish.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex};

use axum::extract::{FromRef, Path, State};
use axum::http::{HeaderValue, StatusCode};
use axum::routing::put;
use axum::{Router, middleware};
use saacms_realtime_tokio::{Event, Problem, Realtime, ResourceKey, router};

#[derive(Clone)]
pub(crate) struct App {
    posts: Arc<Mutex<HashMap<String, Post>>>,
    realtime: Realtime,
}

#[derive(Default)]
struct Post {
    version: u64,
    title: String,
}

/// Makes `State<Realtime>` work in handlers, such as `handlers::subscribe`.
impl FromRef<App> for Realtime {
    fn from_ref(app: &App) -> Self {
        app.realtime.clone()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Nobody publishes over HTTP: the API has no token.
    let realtime = Realtime::new(Default::default(), Default::default())?;
    let app = App::new(realtime.clone());

    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!(
        "subscribe: curl -N http://{}/live/posts/1/subscribe",
        listener.local_addr()?
    );
    axum::serve(listener, app.routes())
        .with_graceful_shutdown(async move {
            let _ = tokio::signal::ctrl_c().await;
            // Streams never end by themselves, and a graceful shutdown waits for them.
            realtime.drain();
        })
        .await?;
    Ok(())
}

impl App {
    pub(crate) fn new(realtime: Realtime) -> Self {
        Self {
            posts: Arc::default(),
            realtime,
        }
    }

    fn routes(self) -> Router {
        Router::new()
            .route("/posts/{id}", put(edit))
            // The application's middleware, such as access checks, wraps the API as usual.
            .nest(
                "/live",
                router(&self.realtime).layer(middleware::map_response(with_name)),
            )
            .with_state(self)
    }
}

/// Writes the record first and then publishes, so that a client that refetches after a resync finds
/// this state.
pub(crate) async fn edit(
    State(app): State<App>,
    Path(id): Path<String>,
    title: String,
) -> Result<StatusCode, (StatusCode, String)> {
    let key = ResourceKey::new("posts", &id).map_err(bad_request)?;

    let mut posts = app.posts.lock().expect("no holder of this lock panics");
    let post = posts.entry(id).or_default();
    post.version += 1;
    post.title = title;

    let record = HashMap::from([("title", &post.title)]);
    let etag = format!("v{}", post.version);
    let event = Event::changed(key, &record, Some(&etag)).map_err(bad_request)?;
    // Still under the lock. It never waits for readers, so the lock is held for microseconds.
    app.realtime.publish(event).map_err(|refusal| {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            Problem::from(refusal).to_string(),
        )
    })?;
    Ok(StatusCode::NO_CONTENT)
}

fn bad_request(error: impl Error) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, error.to_string())
}

async fn with_name(mut response: axum::response::Response) -> axum::response::Response {
    let name = HeaderValue::from_static("embed_in_axum");
    response.headers_mut().insert("x-served-by", name);
    response
}
