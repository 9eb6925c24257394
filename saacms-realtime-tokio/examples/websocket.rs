//! WebSocket messages instead of Server-Sent Events: another protocol on the hub.
//!
//! A client connects to `/COLLECTION/ID`, or after a reconnect to `/COLLECTION/ID?LAST_EVENT_ID`,
//! and gets JSON messages: `{"type":"changed","id":"v1","data":{..}}`; `{"resync":"ID"}` where
//! events were lost and the client must refetch the record; `{}` as a greeting and a heartbeat, with
//! an `id` if that is where the client's next connection is to begin.
//!
//! Without an argument the program is its own test: it serves, publishes, follows and reconnects.
//!
//! ```sh
//! cargo run -p saacms-realtime-tokio --example websocket
//! cargo run -p saacms-realtime-tokio --example websocket -- 127.0.0.1:7778
//! ```

use std::error::Error;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Poll, ready};
use std::time::{Duration, SystemTime};

use futures_util::{SinkExt as _, StreamExt as _};
use saacms_realtime_tokio::realtime_core::{Instant, Now, Subscription, TypedOutput};
use saacms_realtime_tokio::{Event, Hub, HubConfig, ResourceKey};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::{accept_hdr_async, connect_async};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Clone)]
struct Server {
    hub: Hub,
    started: tokio::time::Instant,
}

impl Server {
    async fn run(self, listener: TcpListener) -> Result<()> {
        loop {
            let (socket, _) = listener.accept().await?;
            let server = self.clone();
            // A client that breaks the protocol, or disconnects, ends only its own task.
            tokio::spawn(async move {
                if let Err(error) = server.serve(socket).await {
                    eprintln!("{error}");
                }
            });
        }
    }

    async fn serve(&self, socket: TcpStream) -> Result<()> {
        let mut target = String::new();
        #[expect(
            clippy::result_large_err,
            reason = "the callback's type is tungstenite's"
        )]
        let read_target = |request: &Request, response: Response| {
            target = request.uri().to_string();
            Ok(response)
        };
        let socket = accept_hdr_async(socket, read_target).await?;

        let (path, last_event_id) = match target.split_once('?') {
            Some((path, id)) => (path, Some(id.as_bytes())),
            None => (&*target, None),
        };
        let (slug, id) = path[1..].split_once('/').ok_or("not /COLLECTION/ID")?;
        let key = ResourceKey::new(slug, id)?;
        let mut subscription = self.hub.subscribe(&key, last_event_id, self.now())?;

        let (mut sink, mut source) = socket.split();
        loop {
            tokio::select! {
                output = self.next(&mut subscription) => match message(output)? {
                    // Waits while the client does not read. What it misses stays in the ring.
                    Some(message) => sink.send(Message::text(message)).await?,
                    None => return Ok(sink.close().await?),
                },
                // Reading answers pings, and shows that the client has left.
                incoming = source.next() => match incoming {
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Ok(()),
                },
            }
        }
    }

    /// Waits for the next output, which may be a heartbeat.
    async fn next(&self, subscription: &mut Subscription) -> TypedOutput {
        let mut timer = pin!(sleep(Duration::ZERO));
        poll_fn(|cx| {
            loop {
                match subscription.poll_typed(cx, self.now()) {
                    TypedOutput::Idle { wake_at: None } => return Poll::Pending,
                    TypedOutput::Idle { wake_at: Some(due) } => {
                        let due = Duration::from_millis(due.as_millis());
                        timer.as_mut().reset(self.started + due);
                        ready!(timer.as_mut().poll(cx));
                    }
                    output @ (TypedOutput::Event(_)
                    | TypedOutput::Resync { .. }
                    | TypedOutput::KeepAlive { .. }
                    | TypedOutput::ReconnectionTime { .. }
                    | TypedOutput::End) => return Poll::Ready(output),
                }
            }
        })
        .await
    }

    fn now(&self) -> Now {
        let millis = self.started.elapsed().as_millis() as u64;
        Now {
            instant: Instant::from_millis(millis),
            wall: SystemTime::now().into(),
        }
    }
}

/// The message for an output; `None` at the end of the stream.
///
/// This protocol has no reconnection time: a client reconnects when it likes.
fn message(output: TypedOutput) -> Result<Option<String>> {
    Ok(match output {
        TypedOutput::Event(frame) => {
            let (event_type, data) = (frame.event_type(), frame.data());
            let id = serde_json::to_string(frame.id().as_str())?;
            let data = std::str::from_utf8(&data)?;
            Some(format!(
                r#"{{"type":"{event_type}","id":{id},"data":{data}}}"#
            ))
        }
        TypedOutput::Resync { id, .. } => {
            let id = serde_json::to_string(id.as_str())?;
            Some(format!(r#"{{"resync":{id}}}"#))
        }
        TypedOutput::KeepAlive { id: Some(id) } => {
            let id = serde_json::to_string(id.as_str())?;
            Some(format!(r#"{{"id":{id}}}"#))
        }
        TypedOutput::KeepAlive { id: None } | TypedOutput::Idle { .. } => Some("{}".to_owned()),
        TypedOutput::ReconnectionTime { .. } | TypedOutput::End => None,
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let server = Server {
        // A real server needs a seed that nobody can guess.
        hub: Hub::new(HubConfig::default(), 0)?,
        started: tokio::time::Instant::now(),
    };
    if let Some(address) = std::env::args().nth(1) {
        return server.run(TcpListener::bind(address).await?).await;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(server.clone().run(listener));
    demonstrate(&server, address).await
}

/// Shows that a client that reconnects gets what it missed, or is told that it is gone.
async fn demonstrate(server: &Server, address: SocketAddr) -> Result<()> {
    for (etag, title) in [("v1", "Draft"), ("v2", "Better"), ("v3", "Done")] {
        let record = std::collections::BTreeMap::from([("title", title)]);
        let event = Event::changed(ResourceKey::new("posts", "1")?, &record, Some(etag))?;
        server.hub.publish(event, server.now())?;
    }

    for (target, expected) in [
        (
            "posts/1?v1",
            &[
                r#"{}"#,
                r#"{"type":"changed","id":"v2","data":{"title":"Better"}}"#,
                r#"{"type":"changed","id":"v3","data":{"title":"Done"}}"#,
            ][..],
        ),
        ("posts/1?v0", &[r#"{}"#, r#"{"resync":"v3"}"#]),
    ] {
        let (mut client, _) = connect_async(format!("ws://{address}/{target}")).await?;
        println!("> {target}");
        for expected in expected {
            let message = client.next().await.ok_or("the stream ended")??;
            println!("{message}");
            assert_eq!(message.to_text()?, *expected);
        }
    }
    Ok(())
}
