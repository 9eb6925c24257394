//! Clients that ask and do not read, by the hundred: what a hub must survive without its honest
//! clients noticing. Also used by the bench that measures how much they notice.

// The bench and the tests use different parts of it.
#![allow(dead_code)]

pub(crate) mod http2;

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use socket2::{Domain, Socket, Type};

use http2::Http2;

/// Large enough that a hundred of them fill no socket, so each stuck reader needs memory of its own.
const EVENT_BYTES: usize = 5_000;
const EVENTS: usize = 100;

/// How long a client tries to send more than the server reads.
const SENDING: Duration = Duration::from_millis(50);

/// An attack that goes on until it is dropped.
pub(crate) struct Attack {
    is_over: Arc<AtomicBool>,
    answering: Option<JoinHandle<()>>,
    silent: Vec<TcpStream>,
}

impl Attack {
    /// Starts all attackers at once: 40 HTTP/2 connections that ask for 1,000 pages each with a
    /// closed window, 5 with 1,000 readers whose window takes one byte, 10 publishers that do not read
    /// a long answer, 500 connections over HTTP/1.1 that never read.
    pub(crate) fn start(address: SocketAddr) -> Self {
        publish_history(address);
        let pages = (0..40).map(|_| unread_pages(address));
        let readers = (0..5).map(|_| pinned_readers(address));
        let connections: Vec<_> = pages.chain(readers).collect();

        let mut silent: Vec<_> = (0..10).map(|_| unread_answer(address)).collect();
        silent.extend((0..250).map(|_| unread_stream(address)));
        silent.extend((0..250).map(|_| unread_pipeline(address)));

        let is_over = Arc::new(AtomicBool::new(false));
        let answering = {
            let is_over = Arc::clone(&is_over);
            thread::spawn(move || answer_pings(connections, &is_over))
        };
        Self {
            is_over,
            answering: Some(answering),
            silent,
        }
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(answering) = self.answering.take() {
            let _ = answering.join();
        }
    }
}

/// Keeps HTTP/2 connections alive: the server closes those that do not answer its pings.
fn answer_pings(mut connections: Vec<Http2>, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        for connection in &mut connections {
            connection.answer_pings();
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Fills the history of the record that the attackers read.
fn publish_history(address: SocketAddr) {
    let record = "x".repeat(EVENT_BYTES);
    let events: String = (0..EVENTS)
        .map(|number| {
            format!(
                r#"{{"type":"changed","slug":"attack","id":"1","record":"{record}","etag":"a{number}"}}"#
            ) + "\n"
        })
        .collect();

    let mut socket = connect(address);
    socket.write_all(&post(&events)).expect("a publish is read");
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200");
}

fn unread_pages(address: SocketAddr) -> Http2 {
    let mut connection = Http2::connect(connect(address), 0);
    for _ in 0..1_000 {
        connection.get("/", None);
    }
    connection
}

/// Each of them is stuck at another event, so no two of them wait for the same bytes.
fn pinned_readers(address: SocketAddr) -> Http2 {
    let mut connection = Http2::connect(connect(address), 1);
    for number in 0..1_000 {
        let last_event_id = format!("a{}", number % EVENTS);
        connection.get("/api/saacms/v1/attack/1/subscribe", Some(&last_event_id));
    }
    connection
}

fn unread_answer(address: SocketAddr) -> TcpStream {
    let mut socket = connect(address);
    let _ = socket.write_all(&post(&"x\n".repeat(500_000)));
    socket
}

fn unread_stream(address: SocketAddr) -> TcpStream {
    let mut socket = connect(address);
    let request = "GET /api/saacms/v1/attack/1/subscribe HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: a0\r\n\r\n";
    let _ = socket.write_all(request.as_bytes());
    socket
}

fn unread_pipeline(address: SocketAddr) -> TcpStream {
    let mut socket = connect(address);
    let requests = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(1_000);
    let _ = socket.write_all(requests.as_bytes());
    socket
}

fn post(body: &str) -> Vec<u8> {
    format!(
        "POST /api/saacms/v1/publish HTTP/1.1\r\nHost: localhost\r\nContent-Type: \
         application/x-ndjson\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Connects with as small a receive buffer as the system allows: what waits is to wait at the server.
fn connect(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(1).expect("a socket");
    socket.connect(&address.into()).expect("a connection");
    socket.set_write_timeout(Some(SENDING)).expect("not zero");
    socket.into()
}
