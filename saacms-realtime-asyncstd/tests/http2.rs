//! HTTP/2 without TLS (h2c, prior knowledge).
#![cfg(feature = "smol")]

use std::future::pending;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use futures_lite::future::or;
use http::{Method, Request, Response, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use saacms_realtime_asyncstd::{Api, HubConfig, Realtime, ResourceKey, ServeConfig, serve};
use smol::{Async, Executor, Timer};
use smol_hyper::rt::{FuturesIo, SmolExecutor};

const SUBSCRIBE: &str = "/api/saacms/v1/posts/1/subscribe";
const PUBLISH: &str = "/api/saacms/v1/publish";

#[test]
fn streams_and_publishes_share_a_connection() {
    with_server(async |client, realtime| {
        let key = ResourceKey::new("posts", "1").expect("a key");
        let place = realtime.position(&key);
        let mut streams = Vec::new();
        for _ in 0..20 {
            let answer = client.send(Method::GET, SUBSCRIBE, "").await;
            assert_eq!(
                (answer.status().as_u16(), answer.version()),
                (200, Version::HTTP_2)
            );
            assert_eq!(answer.headers()["content-type"], "text/event-stream");
            assert!(
                !answer.headers().contains_key("connection"),
                "HTTP/2 forbids it"
            );
            streams.push(answer.into_body());
        }

        // The large event needs many HTTP/2 frames, the next one needs one.
        let large = format!("\"{}\"", "x".repeat(100_000));
        for (etag, record) in [("v1", &*large), ("v2", "1")] {
            let event = format!(
                r#"{{"type":"changed","slug":"posts","id":"1","record":{record},"etag":"{etag}"}}"#
            );
            assert_eq!(
                client.send(Method::POST, PUBLISH, event).await.status(),
                204
            );
        }

        for stream in &mut streams {
            let expected = format!(
                ":keepalive\n\nid: {place}\n\nevent: changed\nid: v1\ndata: {large}\n\n\
                 event: changed\nid: v2\ndata: 1\n\n"
            );
            assert!(read(stream, expected.len()).await == expected.as_bytes());
        }
    });
}

#[test]
fn refusals_are_those_of_http_1() {
    with_server(async |client, _| {
        for (status, method, target, body) in [
            (404, Method::GET, "/api/saacms/v1/posts", String::new()),
            (405, Method::DELETE, SUBSCRIBE, String::new()),
            (400, Method::POST, PUBLISH, "nope".to_owned()),
            (413, Method::POST, PUBLISH, "x".repeat((1 << 20) + 1)),
        ] {
            let answer = client.send(method, target, body).await;
            assert_eq!(answer.status().as_u16(), status, "{target}");
            assert_eq!(answer.headers()["content-type"], "application/problem+json");
        }
    });
}

#[test]
fn a_client_that_resets_a_stream_is_forgotten() {
    with_server(async |client, realtime| {
        let kept = client.send(Method::GET, SUBSCRIBE, "").await;
        drop(client.send(Method::GET, SUBSCRIBE, "").await);
        while realtime.hub().stats().subscribers > 1 {
            Timer::after(Duration::from_millis(1)).await;
        }
        drop(kept);
    });
}

#[test]
fn a_drained_stream_ends_as_a_whole_body() {
    with_server(async |client, realtime| {
        let stream = client.send(Method::GET, SUBSCRIBE, "").await;
        realtime.drain();
        let body = stream
            .into_body()
            .collect()
            .await
            .expect("a whole body")
            .to_bytes();
        let blocks = core::str::from_utf8(&body).expect("UTF-8");
        let starts: Vec<_> = blocks.split("\n\n").map(|it| it.get(..3)).collect();
        assert_eq!(
            starts,
            [Some(":ke"), Some("id:"), Some("ret"), None],
            "{body:?}"
        );
        assert_eq!(client.send(Method::GET, SUBSCRIBE, "").await.status(), 503);
    });
}

#[test]
fn a_stop_tells_connections_to_go_and_answers_those_that_come() {
    let executor = Arc::new(Executor::new());
    let (stop, stopped) = (event_listener::Event::new(), std::cell::Cell::new(false));
    let test = async |address: SocketAddr| {
        let before = Client::connect(address, &executor).await;
        // It is not read, so the drain lasts.
        let stalled = before.send(Method::GET, SUBSCRIBE, "").await;
        for _ in 0..4 {
            let record = "x".repeat(900_000);
            let event = format!(
                r#"{{"type":"changed","slug":"posts","id":"1","record":"{record}","etag":"v"}}"#
            );
            let answer = before.send(Method::POST, PUBLISH, event).await;
            assert_eq!(answer.status(), 204);
        }

        stopped.set(true);
        stop.notify(1);
        while before.try_send(Method::GET, "/", "").await.is_ok() {
            Timer::after(Duration::from_millis(2)).await;
        }

        let client = Client::connect(address, &executor).await;
        for _ in 0..2 {
            let answer = client.send(Method::GET, SUBSCRIBE, "").await;
            assert_eq!(answer.status(), 503);
            let event = r#"{"type":"deleted","slug":"posts","id":"1"}"#;
            let answer = client.send(Method::POST, PUBLISH, event).await;
            assert_eq!(answer.status(), 503);
            assert!(!answer.headers().contains_key("connection"));
        }
        drop(stalled);
    };

    let realtime = realtime();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let server = async {
        let served = serve(listener, realtime, ServeConfig::smol(), stop.listen());
        served.await.expect("it ends");
        assert!(stopped.get(), "it was told to");
    };
    let patience = async {
        Timer::after(Duration::from_secs(30)).await;
        panic!("nothing came");
    };
    let both = async {
        futures_lite::future::zip(test(address), server).await;
    };
    smol::block_on(executor.run(or(both, patience)));
}

fn realtime() -> Realtime {
    let config = HubConfig {
        heartbeat: Duration::ZERO,
        ..HubConfig::default()
    };
    Realtime::new(config, Api::default().with_local_publish()).expect("valid settings")
}

/// Runs a test against a new server, with one connection to it.
fn with_server(test: impl AsyncFnOnce(Client, Realtime)) {
    let realtime = realtime();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let executor = Arc::new(Executor::new());
    let server = async {
        let served = serve(
            listener,
            realtime.clone(),
            ServeConfig::smol(),
            pending::<()>(),
        );
        panic!("it ended: {:?}", served.await);
    };
    let test = async {
        let client = Client::connect(address, &executor).await;
        test(client, realtime.clone()).await;
    };
    let patience = async {
        Timer::after(Duration::from_secs(30)).await;
        panic!("nothing came");
    };
    smol::block_on(executor.run(or(or(test, server), patience)));
}

struct Client {
    requests: SendRequest<Full<Bytes>>,
    origin: String,
}

impl Client {
    async fn connect(address: SocketAddr, executor: &Arc<Executor<'static>>) -> Self {
        let socket = Async::<TcpStream>::connect(address)
            .await
            .expect("a connection");
        let http2 = SmolExecutor::new(Arc::clone(executor));
        let handshake = http2::handshake(http2, FuturesIo::new(socket));
        let (requests, connection) = handshake.await.expect("HTTP/2");
        executor.spawn(connection).detach();
        Self {
            requests,
            origin: format!("http://{address}"),
        }
    }

    async fn send(
        &self,
        method: Method,
        target: &str,
        body: impl Into<Bytes>,
    ) -> Response<Incoming> {
        let answer = self.try_send(method, target, body).await;
        answer.expect("an answer")
    }

    async fn try_send(
        &self,
        method: Method,
        target: &str,
        body: impl Into<Bytes>,
    ) -> hyper::Result<Response<Incoming>> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{target}", self.origin))
            .body(Full::new(body.into()))
            .expect("a request");
        self.requests.clone().send_request(request).await
    }
}

/// Reads exactly `len` bytes, which must end where a piece ends.
async fn read(stream: &mut Incoming, len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < len {
        let frame = stream.frame().await.expect("more").expect("a frame");
        bytes.extend_from_slice(&frame.into_data().expect("no trailers"));
    }
    bytes
}
