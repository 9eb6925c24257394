//! Clients that send slowly or not at all are cut after ten seconds, in any protocol.

use core::time::Duration;
use std::thread;
use std::time::Instant;

use crate::client::{Connection, Request};
use crate::{Attacked, MIB, PUBLISH, event};

/// How long the server waits for a head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

#[test]
fn a_connection_without_a_head_is_cut() {
    let mut attacked = Attacked::start(&[]);
    let begins: [&[u8]; 6] = [
        b"",
        b"G",
        b"GET / HTTP/1.1\r\nHost: x\r\n",
        b"POST /api/saacms/v1/publish HTTP/1.1\r\nContent-Length: 5\r\nX: ",
        b"PRI * HTTP/2.0\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r",
    ];
    let (_, published) = attacked.during(|server| {
        let started = Instant::now();
        let mut connections: Vec<_> = (0..300)
            .map(|number| {
                let mut connection = Connection::open(server.address);
                connection.send(begins[number % begins.len()]);
                connection
            })
            .collect();

        // Some send a byte at a time, which must not count as progress.
        while started.elapsed() < HEAD_TIMEOUT - Duration::from_secs(1) {
            thread::sleep(Duration::from_millis(500));
            for connection in connections.iter_mut().skip(2).step_by(begins.len()) {
                connection.try_send("x").expect("it is not cut too early");
            }
        }

        for (number, mut connection) in connections.into_iter().enumerate() {
            let answer = connection.try_response("GET").map(|answer| answer.status());
            assert!(
                matches!(answer, None | Some(400 | 408)),
                "number {number}: {answer:?}"
            );
            assert!(connection.ends());

            let waited = started.elapsed();
            assert!(
                waited > HEAD_TIMEOUT - Duration::from_secs(1),
                "{number} after {waited:?}"
            );
            assert!(
                waited < HEAD_TIMEOUT * 2,
                "{number} is still there after {waited:?}"
            );
        }
    });

    assert!(
        published > 100,
        "only {published} events were published during the attack"
    );
    attacked.expect_memory_below(16 * MIB);
}

#[test]
fn connections_beyond_the_limit_wait_until_silent_ones_are_cut() {
    let mut attacked = Attacked::start(&["--max-connections", "40"]);
    attacked.during(|server| {
        let started = Instant::now();
        let silent: Vec<_> = (0..60).map(|_| Connection::open(server.address)).collect();
        let mut last = Connection::open(server.address);
        let answer = last.exchange(&Request::post(PUBLISH, event("attack", "1", "1")));
        assert_eq!(answer.status(), 204);
        let waited = started.elapsed();
        assert!(
            waited > HEAD_TIMEOUT - Duration::from_secs(1),
            "there was room after {waited:?}"
        );
        drop(silent);
    });
    attacked.expect_memory_below(16 * MIB);
}

#[test]
fn bodies_that_are_never_sent_delay_no_other() {
    let mut attacked = Attacked::start(&[]);
    let whole = Request::post(PUBLISH, event("attack", "1", "1")).bytes();
    let large = Request::new("POST", PUBLISH)
        .header("Content-Length", MIB.to_string())
        .bytes();
    let (connections, published) = attacked.during(|server| {
        (0..300)
            .map(|number| {
                let mut connection = Connection::open(server.address);
                connection.send(if number % 2 == 0 {
                    &whole[..whole.len() - 1]
                } else {
                    &large
                });

                // Ten clients send all but the last byte of a MiB, which the server holds.
                if number % 30 == 1 {
                    connection.send(vec![b' '; MIB - 1]);
                }
                connection
            })
            .collect::<Vec<_>>()
    });

    assert_eq!(attacked.figure("published"), published);
    // The last byte completes the event.
    for mut connection in connections.into_iter().step_by(2) {
        connection.send(&whole[whole.len() - 1..]);
        assert_eq!(connection.response("POST").status(), 204);
    }

    assert_eq!(attacked.figure("published"), published + 150);
    attacked.expect_memory_below(48 * MIB);
}
