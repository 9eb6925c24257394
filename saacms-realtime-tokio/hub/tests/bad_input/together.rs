//! All attackers that do not read, at once, against a server with little memory.

use core::time::Duration;
use std::thread;
use std::time::Instant;

use crate::attack::Attack;
use crate::client::{Connection, Request};
use crate::real_server::Server;
use crate::{Attacked, MIB, PUBLISH, event};

/// How long the attack lasts once it has begun.
const LASTS: Duration = Duration::from_secs(10);

/// The longest that a publish may take meanwhile.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(2);

#[test]
fn a_server_of_512_mib_survives_clients_that_do_not_read() {
    // Of address space: memory that is only reserved counts as well, such as the 64 MiB for each thread
    // of an allocator that the program does not use.
    let server = Server::start_at(
        "127.0.0.1:0",
        "export MALLOC_ARENA_MAX=1; ulimit -v 524288; ulimit -n 4096",
        &["--heartbeat", "0"],
    );
    let files = server.files();
    let memory = server.memory().1;
    let mut attacked = Attacked { server, memory };

    let (slowest, published) = attacked.during(|server| {
        let attack = Attack::start(server.address);
        let slowest = slowest_publish(server, LASTS);
        drop(attack);
        slowest
    });
    assert!(slowest < PUBLISH_TIMEOUT, "a publish took {slowest:?}");
    assert!(published > 100, "only {published} events were published");

    // Everything is given back once the attackers have left.
    let started = Instant::now();
    while attacked.figure("subscribers") > 0 || attacked.server.files() > files + 8 {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "{} subscribers and {} files are left",
            attacked.figure("subscribers"),
            attacked.server.files()
        );
        thread::sleep(Duration::from_millis(50));
    }
    let left = attacked.server.memory().0.saturating_sub(memory);
    assert!(left < 64 * MIB, "{} MiB more than at the start", left / MIB);
}

/// Publishes on a connection of its own, one at a time; returns the longest that one took.
fn slowest_publish(server: &Server, lasts: Duration) -> Duration {
    let started = Instant::now();
    let mut slowest = Duration::ZERO;
    let mut connection = Connection::open(server.address);
    while started.elapsed() < lasts {
        let asked = Instant::now();
        let request = Request::post(PUBLISH, event("honest", "1", "1"));
        assert_eq!(connection.exchange(&request).status(), 204);
        slowest = slowest.max(asked.elapsed());
        thread::sleep(Duration::from_millis(5));
    }
    slowest
}
