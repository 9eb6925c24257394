//! An HTTP/2 client with prior knowledge, and its open streams.

use core::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::real_server::Server;

/// Far longer than anything here takes; only a failing test waits this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

const KEEPALIVE: &str = ":keepalive\n\n";

pub(crate) const PUBLISH: &str = "/api/saacms/v1/publish";

/// One connection. Clones share it.
#[derive(Clone)]
pub(crate) struct Client {
    requests: SendRequest<Full<Bytes>>,
    origin: String,
}

impl Client {
    pub(crate) async fn connect(server: &Server) -> Self {
        let socket = TcpStream::connect(server.address)
            .await
            .expect("a connection");
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(socket));
        let (requests, connection) = handshake.await.expect("HTTP/2");
        Self::over(server, requests, connection)
    }

    /// A client whose streams each take this many bytes before they are read.
    pub(crate) async fn with_window(server: &Server, window: u32) -> Self {
        let socket = TcpStream::connect(server.address)
            .await
            .expect("a connection");
        let handshake = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(window)
            .handshake(TokioIo::new(socket));
        let (requests, connection) = handshake.await.expect("HTTP/2");
        Self::over(server, requests, connection)
    }

    fn over(
        server: &Server,
        requests: SendRequest<Full<Bytes>>,
        connection: impl Future<Output = hyper::Result<()>> + Send + 'static,
    ) -> Self {
        tokio::spawn(connection);
        Self {
            requests,
            origin: format!("http://{}", server.address),
        }
    }

    /// Whether the server has ended the connection.
    pub(crate) fn is_closed(&self) -> bool {
        self.requests.is_closed()
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response<Incoming> {
        let answer = self.try_send(method, target, headers, body).await;
        answer.expect("an answer")
    }

    /// Sends a request on a connection that may be told to go.
    pub(crate) async fn try_send(
        &self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> hyper::Result<Response<Incoming>> {
        let uri = self.origin.clone() + target;
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .version(Version::HTTP_2);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }

        let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
        let answer = self
            .requests
            .clone()
            .send_request(request.body(body).expect("a request"));

        timeout(PATIENCE, answer).await.expect("in time")
    }

    /// Opens a stream of `posts/{id}` and reads its greeting.
    pub(crate) async fn subscribe(&self, id: &str, last_event_id: Option<&str>) -> Stream {
        let target = format!("/api/saacms/v1/posts/{id}/subscribe");
        self.open(
            &target,
            &last_event_id
                .map(|id| ("last-event-id", id))
                .into_iter()
                .collect::<Vec<_>>(),
        )
        .await
    }

    pub(crate) async fn open(&self, target: &str, headers: &[(&str, &str)]) -> Stream {
        let (head, body) = self
            .send(Method::GET, target, headers, "")
            .await
            .into_parts();
        assert_eq!(
            (head.status, head.version),
            (StatusCode::OK, Version::HTTP_2)
        );

        let mut stream = Stream {
            headers: head.headers,
            body,
            unread: Vec::new(),
        };
        stream.expect(KEEPALIVE).await;

        let names_an_id = headers.iter().any(|(name, _)| *name == "last-event-id");
        if !names_an_id && !target.contains("lastEventId=") {
            stream.place().await;
        }
        stream
    }

    /// Publishes an event of `posts/{id}`. Returns its frame.
    pub(crate) async fn publish(&self, id: &str, etag: &str, record: &str) -> String {
        let etag_json = serde_json::to_string(etag).expect("a string");
        let event = format!(
            r#"{{"type":"changed","slug":"posts","id":"{id}","record":{record},"etag":{etag_json}}}"#
        );
        let answer = self.send(Method::POST, PUBLISH, &[], &event).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        format!(
            "event: changed\nid: {etag}\ndata: {}\n\n",
            record.replace(' ', "")
        )
    }

    pub(crate) async fn subscribers(&self) -> usize {
        self.figure("subscribers").await
    }

    /// A number from the hub's health.
    pub(crate) async fn figure(&self, name: &str) -> usize {
        let answer = self.send(Method::GET, "/healthz", &[], "").await;
        let text = answer.collect().await.expect("a whole document").to_bytes();
        let health: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        health[name].as_u64().expect("a number") as usize
    }

    pub(crate) async fn wait_for_subscribers(&self, count: usize) {
        self.wait_for("subscribers", |subscribers| subscribers == count)
            .await;
    }

    /// Waits until a number from the hub's health satisfies `holds`.
    pub(crate) async fn wait_for(&self, name: &str, holds: impl Fn(usize) -> bool) {
        let waiting = async {
            while !holds(self.figure(name).await) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(PATIENCE, waiting)
            .await
            .unwrap_or_else(|_| panic!("`{name}` stays what it is"));
    }
}

/// An open event stream, with the bytes received but not yet read by the test.
pub(crate) struct Stream {
    pub(crate) headers: HeaderMap,
    body: Incoming,
    unread: Vec<u8>,
}

impl Stream {
    /// Checks that the next bytes are exactly these.
    pub(crate) async fn expect(&mut self, expected: &str) {
        if !self.begins_with(expected).await {
            let start = &self.unread[..self.unread.len().min(200)];
            panic!(
                "the stream says {:?}, not {expected:.200?}",
                String::from_utf8_lossy(start)
            );
        }
        self.unread.drain(..expected.len());
    }

    /// Whether the next bytes are these.
    pub(crate) async fn begins_with(&mut self, expected: &str) -> bool {
        let expected = expected.as_bytes();
        while self.unread.len() < expected.len() {
            if !expected.starts_with(&self.unread) || !self.receive().await {
                return false;
            }
        }
        self.unread.starts_with(expected)
    }

    /// Reads the block with the place of a client that named none.
    async fn place(&mut self) {
        self.expect("id: ").await;
        loop {
            let end = self.unread.windows(2).position(|bytes| bytes == b"\n\n");
            if let Some(end) = end {
                self.unread.drain(..end + 2);
                return;
            }
            assert!(self.receive().await, "the stream ends in its greeting");
        }
    }

    /// Reads up to the end of the stream.
    pub(crate) async fn rest(&mut self) -> String {
        while self.receive().await {}
        String::from_utf8(core::mem::take(&mut self.unread)).expect("UTF-8")
    }

    async fn receive(&mut self) -> bool {
        let frame = timeout(PATIENCE, self.body.frame()).await.expect("in time");
        let Some(frame) = frame else { return false };
        let data = frame
            .expect("a stream ends whole")
            .into_data()
            .expect("no trailers");
        self.unread.extend_from_slice(&data);
        true
    }
}
