//! Streams that a lane has taken over from hyper: what they free, their turns, and their end.

#![cfg(feature = "server")]

mod served;

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

use saacms_realtime_core::{Event, HubConfig, ResourceKey};
use saacms_realtime_tokio::{Api, Realtime};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

const ROOM: usize = 10_000;
/// The end of a greeting, and of its chunk, before the first event of a hub.
const GREETED: &str = ".0\n\n\r\n";
/// Far longer than anything here takes; only a failing test waits this long.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_stream_over_http_1_1_leaves_no_task_and_continues() {
    let server = Server::start();
    let mut stream = server.subscribe("1", "HTTP/1.1");
    assert!(
        stream
            .read_until(":keepalive\n\n")
            .contains("transfer-encoding: chunked")
    );

    // hyper's task ends once the lane has the socket.
    server.wait_for("no task", |server| server.connection_tasks() == 0);
    server.publish("1", "v1");
    assert!(stream.read_until("data: 1\n\n").contains("id: v1\n"));
}

#[test]
fn a_stream_over_http_1_0_stays_with_hyper() {
    let server = Server::start();
    let mut stream = server.subscribe("1", "HTTP/1.0");
    assert!(!stream.read_until(":keepalive\n\n").contains("chunked"));
    server.publish("1", "v1");
    assert!(stream.read_until("data: 1\n\n").contains("id: v1\n"));
    assert_eq!(server.connection_tasks(), 1);
}

#[test]
fn a_stream_may_follow_other_answers_on_its_connection() {
    let server = Server::start();
    let mut client = Client::connect(server.address);
    let body = r#"{"type":"changed","slug":"posts","id":"1","record":1,"etag":"v1"}"#;
    let len = body.len();

    client.send(&format!(
        "POST /api/saacms/v1/publish HTTP/1.1\r\nhost: a\r\ncontent-length: {len}\r\n\r\n{body}\
         GET /api/saacms/v1/posts/1/subscribe?lastEventId=v0 HTTP/1.1\r\nhost: a\r\n\r\n"
    ));

    let text = client.read_until("buffer-miss\"}\n\n");
    assert!(
        text.contains("204 No Content") && text.contains("200 OK"),
        "{text}"
    );
    server.wait_for("no task", |server| server.connection_tasks() == 0);
}

#[test]
fn a_client_that_leaves_makes_room() {
    let server = Server::start();
    let mut streams: Vec<_> = (0..3).map(|_| server.subscribe("1", "HTTP/1.1")).collect();
    streams
        .iter_mut()
        .for_each(|stream| drop(stream.read_until(":keepalive")));
    assert_eq!(server.room.available_permits(), ROOM - 3);

    drop(streams.pop());
    server.wait_for("a place", |server| {
        server.room.available_permits() == ROOM - 2
    });
    assert_eq!(server.realtime.hub().stats().subscribers, 2);

    // As in hyper, a client that closes its sending side counts as gone.
    streams[0]
        .socket
        .shutdown(std::net::Shutdown::Write)
        .expect("a socket");
    server.wait_for("a place", |server| {
        server.room.available_permits() == ROOM - 1
    });
    server.publish("1", "v1");
    assert!(streams[1].read_until("data: 1\n\n").contains("id: v1\n"));
}

#[test]
fn bytes_that_a_client_sends_after_its_request_are_ignored() {
    let server = Server::start();
    let mut stream = server.subscribe("1", "HTTP/1.1");
    stream.read_until(":keepalive\n\n");
    stream.send(&"x".repeat(50_000));
    server.publish("1", "v1");
    stream.read_until("data: 1\n\n");

    // Closing a socket with unread bytes sends a reset, which could discard the end.
    server.realtime.drain();
    assert!(
        stream.read_to_end().ends_with("0\r\n\r\n"),
        "the end is not taken by a reset"
    );
}

#[test]
fn a_record_with_more_subscribers_than_a_turn_delays_no_other() {
    // More than two turns of a lane, of 1,024 streams each.
    const MANY: usize = 2_500;

    let limit = rlimit::increase_nofile_limit(u64::MAX).expect("a limit of open files");
    // Both ends of each connection are files of this process.
    assert!(
        limit >= 2 * MANY as u64 + 100,
        "{limit} open files are too few: see `ulimit -n`"
    );

    let server = Server::start();
    let mut many: Vec<_> = (0..MANY)
        .map(|_| server.subscribe("many", "HTTP/1.1"))
        .collect();
    let mut one = server.subscribe("one", "HTTP/1.1");

    many.iter_mut()
        .chain([&mut one])
        .for_each(|it| drop(it.read_until(GREETED)));

    for number in 1..=3 {
        server.publish("many", &format!("v{number}"));
        server.publish("one", &format!("v{number}"));
    }

    for stream in many.iter_mut().chain([&mut one]) {
        let text = stream.read_until("id: v3\ndata: 1\n\n");
        let ids: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("id: "))
            .collect();
        assert_eq!(ids, ["v1", "v2", "v3"]);
    }

    // Half of the clients leave. The others still get every event.
    let mut index = 0;
    many.retain(|_| {
        index += 1;
        index % 2 == 0
    });
    server.publish("many", "v4");
    many.iter_mut()
        .for_each(|stream| drop(stream.read_until("id: v4\ndata: 1\n\n")));
    server.wait_for("the others are gone", |server| {
        server.realtime.hub().stats().subscribers == MANY / 2 + 1
    });
}

#[test]
fn a_drain_ends_the_chunks_and_the_connection() {
    let server = Server::start();
    let mut stream = server.subscribe("1", "HTTP/1.1");
    stream.read_until(":keepalive\n\n");
    server.realtime.drain();
    let rest = stream.read_to_end();
    assert!(
        rest.contains("retry: ") && rest.ends_with("\r\n0\r\n\r\n"),
        "{rest}"
    );
    server.wait_for("a place", |server| server.room.available_permits() == ROOM);
}

#[test]
fn streams_that_are_left_when_the_connections_are_dropped_are_cut() {
    let mut server = Server::start();
    let mut stream = server.subscribe("1", "HTTP/1.1");
    stream.read_until(GREETED);
    server.wait_for("no task", |server| server.connection_tasks() == 0);
    drop(server.runtime.take());
    assert_eq!(stream.read_to_end(), "");
    assert_eq!(server.realtime.hub().stats().subscribers, 0);
}

struct Server {
    address: SocketAddr,
    realtime: Realtime,
    room: Arc<Semaphore>,
    /// How many tasks are not connections.
    other_tasks: usize,
    runtime: Option<Runtime>,
}

impl Server {
    fn start() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let _entered = runtime.enter();
        let config = HubConfig {
            heartbeat: Duration::ZERO,
            ..HubConfig::default()
        };
        let realtime = Realtime::new(config, Api::default().with_open_publish()).expect("valid");
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a free port");
        let address = listener.local_addr().expect("bound");
        let room = Arc::new(Semaphore::new(ROOM));

        runtime.spawn(served::accept(
            listener,
            realtime.clone(),
            Arc::clone(&room),
        ));

        let mut server = Self {
            address,
            realtime,
            room,
            other_tasks: 0,
            runtime: Some(runtime),
        };

        server.other_tasks = server.connection_tasks();
        server
    }

    fn connection_tasks(&self) -> usize {
        let metrics = self.runtime.as_ref().expect("it runs").metrics();
        metrics.num_alive_tasks() - self.other_tasks
    }

    fn subscribe(&self, id: &str, version: &str) -> Client {
        let mut client = Client::connect(self.address);
        client.send(&format!(
            "GET /api/saacms/v1/posts/{id}/subscribe {version}\r\nhost: a\r\n\r\n"
        ));
        client
    }

    fn publish(&self, id: &str, etag: &str) {
        let key = ResourceKey::new("posts", id).expect("valid");
        let event = Event::changed(key, &1, Some(etag)).expect("valid");
        self.realtime.publish(event).expect("room");
    }

    #[track_caller]
    fn wait_for(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let started = Instant::now();
        while !holds(self) {
            assert!(started.elapsed() < PATIENCE, "{what}");
            std::thread::yield_now();
        }
    }
}

struct Client {
    socket: TcpStream,
}

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).expect("it listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        Self { socket }
    }

    fn send(&mut self, text: &str) {
        self.socket.write_all(text.as_bytes()).expect("it reads");
    }

    /// Reads up to `end`, and whatever arrives with it.
    #[track_caller]
    fn read_until(&mut self, end: &str) -> String {
        let mut text = String::new();
        while !text.contains(end) {
            let more = self.read().expect("more");
            assert!(!more.is_empty(), "it ended after {text:?}");
            text.push_str(&more);
        }
        text
    }

    fn read_to_end(&mut self) -> String {
        let mut text = String::new();
        loop {
            match self.read() {
                Ok(more) if more.is_empty() => return text,
                Ok(more) => text.push_str(&more),
                Err(ErrorKind::ConnectionReset) => return text,
                Err(error) => panic!("{error:?} after {text:?}"),
            }
        }
    }

    fn read(&mut self) -> Result<String, ErrorKind> {
        let mut buffer = [0; 4_096];
        let len = self
            .socket
            .read(&mut buffer)
            .map_err(|error| error.kind())?;
        Ok(String::from_utf8_lossy(&buffer[..len]).into_owned())
    }
}
