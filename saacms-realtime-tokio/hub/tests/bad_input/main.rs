//! Bad input against the program: clear refusals, nothing lost, no other client affected.
//!
//! During each attack, a publisher and a subscriber on connections of their own must not be affected.

#[path = "../attack/mod.rs"]
mod attack;
mod bodies;
#[path = "../../../../saacms-realtime-core/tests/support/chance.rs"]
mod chance;
#[path = "../../../../saacms-realtime-core/tests/conformance/client.rs"]
mod client;
mod floods;
mod frames;
mod heads;
mod hosts;
#[path = "../real_server/mod.rs"]
mod real_server;
mod slow;
#[path = "../../../../saacms-realtime-core/tests/conformance/stream.rs"]
mod stream;
mod together;

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::thread;
use std::time::Instant;

use client::{Connection, PATIENCE, Request, Response};
use real_server::Server;
use stream::Stream;

const PUBLISH: &str = "/api/saacms/v1/publish";
const MIB: usize = 1 << 20;

/// A server with a healthy publisher and a healthy subscriber.
struct Attacked {
    server: Server,
    /// Resident memory before any client came.
    memory: usize,
}

impl Attacked {
    fn start(args: &[&str]) -> Self {
        Self::start_after("", args)
    }

    /// Starts the server in a shell that runs `before` first.
    fn start_after(before: &str, args: &[&str]) -> Self {
        let args = [&["--heartbeat", "0"], args].concat();
        let server = Server::start_at("127.0.0.1:0", before, &args);
        let memory = server.memory().1;
        Self { server, memory }
    }

    /// Runs `attack` and checks that the healthy clients are not affected. Returns how many events
    /// were published during the attack.
    fn during<R>(&mut self, attack: impl FnOnce(&Server) -> R) -> (R, u64) {
        let address = self.server.address;
        let target = "/api/saacms/v1/healthy/1/subscribe";
        let mut stream = Stream::open(address, &Request::get(target));
        stream.greeting();

        let is_over = AtomicBool::new(false);
        let (result, published) = thread::scope(|scope| {
            let publishing = scope.spawn(|| publish_until(Connection::open(address), &is_over));
            let reading = scope.spawn(move || read_to_the_end(stream));
            let result = {
                // Stop the healthy clients even if the attack itself fails.
                let _over = SetOnDrop(&is_over);
                attack(&self.server)
            };
            let published = publishing.join().expect("the publisher noticed nothing");
            let read = reading.join().expect("the subscriber noticed nothing");
            assert_eq!(read, published, "every event that was published arrived");
            (result, published)
        });

        self.server.expect_alive();
        assert_eq!(self.ask(&Request::get("/readyz")).status(), 200);
        (result, published)
    }

    /// Checks that resident memory never exceeded its size at the start by more than `bytes`.
    fn expect_memory_below(&self, bytes: usize) {
        let more = self.server.memory().1.saturating_sub(self.memory);
        assert!(more <= bytes, "{} MiB more than at the start", more / MIB);
    }

    /// Checks that resident memory soon exceeds its size at the start by no more than `bytes`: the
    /// allocator gives free memory back after half a second.
    fn expect_memory_falls_below(&self, bytes: usize) {
        let started = Instant::now();
        let more = || self.server.memory().0.saturating_sub(self.memory);
        while more() > bytes {
            let more = more() / MIB;
            assert!(
                started.elapsed() < PATIENCE,
                "{more} MiB more than at the start"
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn ask(&self, request: &Request) -> Response {
        Connection::open(self.server.address).exchange(request)
    }

    /// A number from the hub's health.
    fn figure(&self, name: &str) -> u64 {
        figure_of(&self.server, name)
    }
}

fn figure_of(server: &Server, name: &str) -> u64 {
    let answer = Connection::open(server.address).exchange(&Request::get("/healthz"));
    let health: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    health[name].as_u64().expect("a number")
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Publishes an event every few milliseconds, and a last one. Returns how many.
fn publish_until(mut connection: Connection, is_over: &AtomicBool) -> u64 {
    for number in 1.. {
        let last = is_over.load(Ordering::Relaxed);
        let record = if last {
            "\"end\"".to_owned()
        } else {
            number.to_string()
        };
        let event = event("healthy", "1", &record);

        assert_eq!(
            connection.exchange(&Request::post(PUBLISH, event)).status(),
            204
        );

        if last {
            return number;
        }
        thread::sleep(Duration::from_millis(3));
    }
    unreachable!("numbers do not end")
}

/// Reads every event in order up to the last one. Returns how many.
fn read_to_the_end(mut stream: Stream) -> u64 {
    let mut number = 0;
    loop {
        let block = stream.block();
        number += 1;
        if block.ends_with("\ndata: \"end\"\n\n") {
            return number;
        }
        let is_due = block.starts_with("event: changed\n")
            && block.ends_with(&format!("\ndata: {number}\n\n"));
        assert!(is_due, "number {number} is due, not {block:?}");
    }
}

/// An event, as it is posted.
fn event(slug: &str, id: &str, record: &str) -> String {
    format!(r#"{{"type":"changed","slug":"{slug}","id":"{id}","record":{record},"etag":"v"}}"#)
}

/// Sends `bytes`, which the server may refuse before it has read all of them. Returns the status of
/// the refusal.
fn refusal_of(server: &Server, bytes: &[u8]) -> u16 {
    let mut connection = Connection::open(server.address);
    let _ = connection.try_send(bytes);
    connection.response("POST").status()
}

/// Sends `bytes` and closes the sending side. Returns the status of the answer, `None` if the server
/// only closes the connection.
fn status_of(server: &Server, bytes: &[u8]) -> Option<u16> {
    let mut connection = Connection::open(server.address);
    connection.send(bytes);
    connection.finish_sending();
    let status = connection
        .try_response("POST")
        .map(|answer| answer.status());
    if status.is_some() {
        // If the server keeps reading, it must end by itself, because nothing more is sent.
        connection.rest();
    }
    status
}
