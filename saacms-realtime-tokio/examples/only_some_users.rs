//! Only some users, only some records: a handler of the application checks who asks for what, and
//! then lets `handlers::subscribe` answer.
//!
//! The check reads the same collection and ID that are subscribed to, so no spelling of a path can
//! get past it. A stream is not checked again: to end the streams of a user who loses access, give
//! each user a limited time, or drain.
//!
//! Without an argument the program is its own test: it serves, and asks as several users.
//!
//! ```sh
//! cargo run -p saacms-realtime-tokio --example only_some_users
//! cargo run -p saacms-realtime-tokio --example only_some_users -- 127.0.0.1:3000
//! curl -N -H 'Authorization: Bearer alice-secret' http://127.0.0.1:3000/live/posts/1
//! ```

use std::collections::HashMap;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use saacms_realtime_tokio::{Event, Realtime, ResourceKey, handlers};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Clone)]
struct App {
    realtime: Realtime,
    /// The collection that each user may read, by the user's secret. A real application has sessions.
    collections: Arc<HashMap<&'static str, &'static str>>,
}

impl App {
    /// The collection that the user who sent these headers may read; `None` for a stranger.
    fn collection_of(&self, headers: &HeaderMap) -> Option<&'static str> {
        let shown = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let secret = shown.strip_prefix("Bearer ")?;
        self.collections.get(secret).copied()
    }
}

async fn subscribe(
    State(app): State<App>,
    Path((collection, id)): Path<(String, String)>,
    request: Request,
) -> Response {
    let Some(readable) = app.collection_of(request.headers()) else {
        return (StatusCode::UNAUTHORIZED, "who are you?").into_response();
    };
    // The same answer as for a record that does not exist, which is none of this user's business.
    if collection != readable || id.starts_with("draft-") {
        return (StatusCode::NOT_FOUND, "you have no such record").into_response();
    }

    let key = Ok(Path((collection, id)));
    handlers::subscribe(State(app.realtime), key, request).await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let realtime = Realtime::new(Default::default(), Default::default())?;
    let app = App {
        realtime: realtime.clone(),
        collections: Arc::new([("alice-secret", "posts"), ("bob-secret", "pages")].into()),
    };
    // `any`, because the handler answers `HEAD` and `OPTIONS` too.
    let routes = Router::new()
        .route("/live/{collection}/{id}", any(subscribe))
        .with_state(app);

    let given = std::env::args().nth(1);
    let listener = TcpListener::bind(given.as_deref().unwrap_or("127.0.0.1:0")).await?;
    let address = listener.local_addr()?;
    let server = async move { axum::serve(listener, routes).await };
    if given.is_some() {
        println!("serving http://{address}/live/{{collection}}/{{id}}");
        return Ok(server.await?);
    }

    tokio::spawn(server);
    demonstrate(&realtime, address).await
}

/// Shows who gets which stream.
async fn demonstrate(realtime: &Realtime, address: SocketAddr) -> Result<()> {
    let key = ResourceKey::new("posts", "1")?;
    realtime.publish(Event::changed(key.clone(), "Draft", Some("v1"))?)?;
    realtime.publish(Event::changed(key, "Done", Some("v2"))?)?;

    for (secret, record, expected) in [
        ("alice-secret", "posts/1", "data: \"Done\"\n\n"),
        ("alice-secret", "po%73ts/1", "data: \"Done\"\n\n"),
        ("bob-secret", "posts/1", "you have no such record"),
        ("bob-secret", "pages/1", ":keepalive\n\n"),
        ("alice-secret", "posts/draft-1", "you have no such record"),
        ("alice-secret", "posts/%64raft-1", "you have no such record"),
        ("alice-secret", "pages/../posts/1", "404 Not Found"),
        ("mallory", "posts/1", "who are you?"),
    ] {
        let answer = ask(address, secret, record, expected).await?;
        println!(
            "{secret} asks for {record}: {}",
            answer.lines().next().unwrap_or_default()
        );
    }
    Ok(())
}

/// Asks for a stream after `v1`, and reads until `expected` has come.
async fn ask(address: SocketAddr, secret: &str, record: &str, expected: &str) -> Result<String> {
    let mut socket = TcpStream::connect(address).await?;
    let request = format!(
        "GET /live/{record} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {secret}\r\n\
         Last-Event-ID: v1\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await?;

    let mut answer = Vec::new();
    loop {
        if socket.read_buf(&mut answer).await? == 0 {
            return Err(format!("the connection ended before {expected:?}").into());
        }
        let text = String::from_utf8_lossy(&answer);
        if text.contains(expected) {
            return Ok(text.into_owned());
        }
    }
}
