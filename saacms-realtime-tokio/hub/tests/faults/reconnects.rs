//! All clients reconnect at once.

use core::net::SocketAddr;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::real_server::Server;
use crate::wire;
use crate::world::figure;

/// Events that each client misses.
const MISSED: u64 = 50;
/// Files of this process that are not connections.
const OTHER_FILES: u64 = 200;

/// Clients before the first measurement of memory, so that what is allocated once is there, and what
/// many clients at once leave scattered over pages that others use.
const FIRST: usize = 1_000;
/// Longer than the ten seconds after which the allocator returns free memory.
const GIVEN_BACK_AFTER: Duration = Duration::from_secs(60);

/// Many clients leave, miss events and reconnect at once, several times. When all have left, the
/// server has at most an eighth more memory than before.
pub(crate) fn run(wanted: usize) {
    let limit = rlimit::increase_nofile_limit(u64::MAX).expect("a limit of open files");
    let clients = wanted.min(limit.saturating_sub(OTHER_FILES) as usize);
    assert!(
        clients >= 500,
        "{limit} open files are too few: `ulimit -n` raises that"
    );

    let mut server = Server::start(&["--heartbeat", "0"]);
    let mut number = 1;
    publish(server.address, &mut number, 1);

    round(&server, &mut number, FIRST);
    let before = settled(&server, usize::MAX);
    for _ in 0..4 {
        let took = round(&server, &mut number, clients);
        println!(
            "{clients} reconnects at once (of {wanted} wanted, {limit} open files), {MISSED} events \
             replayed to each in {took:.1?}, resident the moment all have left: {} MiB",
            server.memory().0 >> 20
        );
    }

    server.expect_alive();
    let allowed = before / 8 * 9;
    let after = settled(&server, allowed);

    println!(
        "resident once the first {FIRST} clients had left: {} KiB, once all have: {} KiB",
        before >> 10,
        after >> 10
    );
    assert!(
        after <= allowed,
        "{before} bytes before, {after} when all are gone"
    );
}

/// Clients connect, leave, miss events, reconnect at once, and leave. Returns how long the replay
/// to all of them took.
fn round(server: &Server, number: &mut u64, clients: usize) -> Duration {
    let streams = come(server.address, clients, None);
    wait_for_subscribers(server.address, clients);
    drop(streams);
    wait_for_subscribers(server.address, 0);

    let last = *number - 1;
    publish(server.address, number, MISSED);
    let started = Instant::now();
    for mut stream in come(server.address, clients, Some(last)) {
        expect_events(&mut stream, last + 1..*number);
    }

    let took = started.elapsed();
    wait_for_subscribers(server.address, 0);
    took
}

/// Resident memory once it is at most `allowed` and has stopped shrinking, or after a timeout.
fn settled(server: &Server, allowed: usize) -> usize {
    let started = Instant::now();
    let mut memory = server.memory().0;
    loop {
        thread::sleep(Duration::from_secs(5));
        let now = server.memory().0;
        if (now >= memory && now <= allowed) || started.elapsed() > GIVEN_BACK_AFTER {
            return now;
        }
        memory = now;
    }
}

fn publish(address: SocketAddr, number: &mut u64, count: u64) {
    let mut stream = wire::connect(address).expect("it listens");
    for _ in 0..count {
        let request = wire::publish_request(0, *number, Some(*number), 10);
        assert_eq!(
            wire::exchange(&mut stream, &request).expect("an answer"),
            204
        );
        *number += 1;
    }
}

/// Connects all clients, then sends all their requests.
fn come(address: SocketAddr, clients: usize, last: Option<u64>) -> Vec<TcpStream> {
    let id = last.map_or_else(String::new, |last| format!("v{last}"));
    let request = wire::subscribe_request(0, &id);
    let mut streams: Vec<_> = (0..clients)
        .map(|_| wire::connect(address).expect("the server takes it"))
        .collect();
    for stream in &mut streams {
        stream.write_all(request.as_bytes()).expect("it reads");
    }
    streams
}

fn expect_events(stream: &mut TcpStream, numbers: core::ops::Range<u64>) {
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("a socket");
    let last = format!("id: v{}\n", numbers.end - 1);
    let (mut text, mut buffer) = (Vec::new(), [0; 16 << 10]);
    while !text
        .windows(last.len())
        .any(|window| window == last.as_bytes())
    {
        let len = stream.read(&mut buffer).expect("what was missed");
        assert!(len > 0, "the stream ended");
        text.extend_from_slice(&buffer[..len]);
    }

    let text = String::from_utf8(text).expect("UTF-8");
    let ids: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("id: v"))
        .collect();
    let expected: Vec<_> = numbers.map(|number| number.to_string()).collect();
    assert_eq!(ids, expected);
}

fn wait_for_subscribers(address: SocketAddr, count: usize) {
    let started = Instant::now();
    while figure(address, "subscribers") != count as u64 {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "subscribers do not come to {count}"
        );
        thread::sleep(Duration::from_millis(10));
    }
}
