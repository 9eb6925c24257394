//! Stalled readers against the program with its default settings. They neither make it exceed its
//! bounds nor slow other readers down, and get one resync when they read again.

#[path = "../../../saacms-realtime-core/tests/conformance/client.rs"]
mod client;
mod real_server;
#[path = "../../../saacms-realtime-core/tests/conformance/stream.rs"]
mod stream;

use core::net::SocketAddr;
use core::time::Duration;
use std::io::Write as _;
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::Instant;

use client::{Connection, PATIENCE, Request};
use real_server::Server;
use stream::Stream;

const STALLED: usize = 500;
const HEALTHY: usize = 4;
/// 200 MB in all.
const EVENTS: usize = 4_000;
const RECORD: usize = 50_000;
/// How many events are published before any reader stalls, to measure how long that takes.
const EVENTS_BEFORE: usize = 1_000;
/// As many events as a body of 1 MiB holds.
const EVENTS_A_BODY: usize = 20;

/// The bound in ARCHITECTURE.md, for frames of this size. A history holds its newest 100 events or
/// 4 MiB, whichever is more. A connection holds its own state, 64 KiB that its socket did not take,
/// and one piece: a frame, or 64 KiB of frames.
const HISTORY: usize = 100 * (RECORD + 1_000);
const CONNECTION: usize = (64 << 10) + (64 << 10) + (32 << 10);

/// Far more than fills the sockets of the stalled readers.
const SOCKETS_FILL: Duration = Duration::from_secs(10);

#[test]
fn stalled_readers_neither_grow_the_server_nor_slow_the_others() {
    let mut server = Server::start(&["--heartbeat", "0"]);
    let started = Instant::now();
    publish_to_healthy_readers(server.address, EVENTS_BEFORE);
    let before = started.elapsed();

    let mut stalled: Vec<_> = (0..STALLED).map(|_| subscribe(server.address)).collect();
    let memory = server.memory().0;
    let started = Instant::now();

    publish_to_healthy_readers(server.address, EVENTS);
    let during = started.elapsed();
    server.expect_alive();

    let more = server.memory().1.saturating_sub(memory);
    let history = figure(server.address, "history_bytes");
    assert!(
        history <= HISTORY,
        "a history of {history} bytes for stalled readers"
    );

    let started = Instant::now();
    let told = read_again(server.address, &mut stalled);
    let after = started.elapsed();
    server.expect_alive();

    let report = format!(
        "slow readers: {EVENTS_BEFORE} events to {HEALTHY} readers in {before:.1?}; {EVENTS} with \
         {STALLED} more that stalled in {during:.1?}, {} MiB more memory; read again in \
         {after:.1?}, {told} resyncs\n",
        more >> 20,
    );

    // `eprintln!` would be captured by the test harness.
    std::io::stderr()
        .write_all(report.as_bytes())
        .expect("standard error is open");
    assert!(more <= HISTORY + STALLED * CONNECTION, "{report}");

    // Up to five times as long, plus the time to fill the socket buffers.
    let rounds = u32::try_from(EVENTS / EVENTS_BEFORE).expect("a few");
    assert!(during < before * rounds * 5 + SOCKETS_FILL, "{report}");
}

#[test]
fn stalled_readers_delay_a_stop_no_longer_than_the_drain_timeout() {
    let mut server = Server::start(&["--drain-timeout", "500ms"]);
    let stalled: Vec<_> = (0..3).map(|_| subscribe(server.address)).collect();
    let mut connection = Connection::open(server.address);

    // More than the buffers of one connection hold.
    for first in (1..500).step_by(EVENTS_A_BODY) {
        publish(&mut connection, first..first + EVENTS_A_BODY);
    }

    let started = Instant::now();
    server.terminate();
    assert!(server.wait().success(), "{}", server.log());

    let stopped = started.elapsed();
    assert!(
        stopped >= Duration::from_millis(500),
        "they were not waited for: {stopped:?}"
    );
    assert!(stopped < Duration::from_secs(10), "after {stopped:?}");
    assert!(
        server.log().contains("stopping with streams"),
        "{}",
        server.log()
    );
    drop(stalled);
}

#[test]
fn readers_that_are_stuck_at_events_which_left_the_history_are_cut() {
    const READERS: usize = 60;
    const RECORD: usize = 900_000;
    const MIB: usize = 1 << 20;

    let limits = ["--max-history-bytes", "8MiB", "--max-unread-bytes", "8MiB"];
    let mut server = Server::start(&[&["--heartbeat", "0"], &limits[..]].concat());
    let mut healthy = subscribe(server.address);
    let mut connection = Connection::open(server.address);
    let before = server.memory().0;

    // Each of them is stuck at another event.
    let mut stuck = Vec::new();
    let record = "x".repeat(RECORD);
    for number in 1..=READERS {
        stuck.push(subscribe(server.address));
        let event = format!(
            r#"{{"type":"changed","slug":"posts","id":"1","record":"{record}","etag":"v{number}"}}"#
        );
        let answer = connection.exchange(&Request::post("/api/saacms/v1/publish", event));
        assert_eq!(answer.status(), 204);
        healthy.expect(format!(
            "event: changed\nid: v{number}\ndata: \"{record}\"\n\n"
        ));
    }

    let more = server.memory().1.saturating_sub(before);
    let cut = figure(server.address, "cut_readers");
    let unread = figure(server.address, "unread_bytes");
    assert!(cut > READERS / 3, "{cut} cut, {unread} bytes unread");
    assert!(unread <= 8 * MIB + 2 * RECORD, "{unread} bytes unread");
    // History and unread bytes, and what a publish takes for a moment.
    assert!(more <= 40 * MIB, "{} MiB more", more / MIB);
    drop(stuck);
    server.expect_alive();
}

/// Publishes events 1 to `count` while healthy readers get every one of them, in order.
fn publish_to_healthy_readers(address: SocketAddr, count: usize) {
    let progress = Progress::default();
    let streams: Vec<_> = (0..HEALTHY).map(|_| subscribe(address)).collect();
    thread::scope(|scope| {
        for (reader, mut stream) in streams.into_iter().enumerate() {
            let progress = &progress;
            scope.spawn(move || {
                for number in 1..=count {
                    stream.expect(frame(number));
                    progress.has_read(reader, number);
                }
            });
        }

        let mut connection = Connection::open(address);
        for first in (1..=count).step_by(EVENTS_A_BODY) {
            // Wait for the healthy readers so that none lags. Never wait for the stalled ones.
            progress.wait_until_all_have_read(first.saturating_sub(60));
            publish(&mut connection, first..first + EVENTS_A_BODY);
        }
    });
}

fn publish(connection: &mut Connection, numbers: impl Iterator<Item = usize>) {
    let lines: Vec<_> = numbers
        .map(|number| {
            let record = record(number);
            format!(r#"{{"type":"changed","slug":"posts","id":"1","record":{record},"etag":"v{number}"}}"#)
        })
        .collect();
    let request = Request::post("/api/saacms/v1/publish", lines.join("\n"));
    let answer = connection.exchange(&request.header("Content-Type", "application/x-ndjson"));
    assert_eq!(answer.text(), "{\"status\":204}\n".repeat(lines.len()));
}

/// Checks that each reader gets what its socket held, one resync, and all events after that.
/// Returns the number of resyncs.
fn read_again(address: SocketAddr, stalled: &mut [Stream]) -> usize {
    let told: usize = thread::scope(|scope| {
        let read = |some: &mut [Stream]| some.iter_mut().map(read_up_to_the_last_event).sum();
        let halves = stalled.chunks_mut(STALLED / 2);
        let reading: Vec<_> = halves
            .map(|half| scope.spawn(move || -> usize { read(half) }))
            .collect();
        reading
            .into_iter()
            .map(|half| half.join().expect("they read"))
            .sum()
    });

    assert_eq!(
        figure(address, "resyncs"),
        told,
        "the healthy ones were told nothing"
    );

    publish(&mut Connection::open(address), [EVENTS + 1].into_iter());
    for stream in stalled {
        stream.expect(frame(EVENTS + 1));
    }

    told
}

/// Returns how many resyncs the reader got: one, or more if on a busy machine it lagged before its
/// socket was full. After each, the stream continues after the event that the resync names.
fn read_up_to_the_last_event(stream: &mut Stream) -> usize {
    let (mut next, mut told) = (1, 0);
    while next <= EVENTS {
        if stream.begins_with(frame(next)) {
            stream.expect(frame(next));
            next += 1;
            continue;
        }
        let block = stream.block();
        let newest = block
            .strip_prefix("event: saacms-resync\nid: v")
            .and_then(|rest| rest.strip_suffix("\ndata: {\"reason\":\"lagged\"}\n\n"))
            .and_then(|number| number.parse().ok())
            .filter(|newest| (next..=EVENTS).contains(newest));
        next =
            newest.unwrap_or_else(|| panic!("{next} is due, or a resync, not {block:.100?}")) + 1;
        told += 1;
    }

    assert!(told > 0, "the sockets took everything");
    told
}

fn subscribe(address: SocketAddr) -> Stream {
    let mut stream = Stream::open(address, &Request::get("/api/saacms/v1/posts/1/subscribe"));
    stream.greeting();
    stream
}

fn record(number: usize) -> String {
    format!("\"{number} {}\"", "x".repeat(RECORD))
}

fn frame(number: usize) -> String {
    format!(
        "event: changed\nid: v{number}\ndata: {}\n\n",
        record(number)
    )
}

/// A number from the hub's health.
fn figure(address: SocketAddr, name: &str) -> usize {
    let answer = Connection::open(address).exchange(&Request::get("/healthz"));
    let health: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    health[name].as_u64().expect("a number") as usize
}

/// The last event of each healthy reader.
#[derive(Default)]
struct Progress {
    read: Mutex<[usize; HEALTHY]>,
    changed: Condvar,
}

impl Progress {
    fn has_read(&self, reader: usize, number: usize) {
        self.read.lock().expect("not poisoned")[reader] = number;
        self.changed.notify_one();
    }

    fn wait_until_all_have_read(&self, number: usize) {
        let read = self.read.lock().expect("not poisoned");
        let is_behind = |read: &mut [usize; HEALTHY]| read.iter().any(|read| *read < number);
        let waited = self.changed.wait_timeout_while(read, PATIENCE, is_behind);
        let (read, timeout) = waited.expect("not poisoned");
        assert!(
            !timeout.timed_out(),
            "a healthy reader is held up: {read:?}"
        );
    }
}
