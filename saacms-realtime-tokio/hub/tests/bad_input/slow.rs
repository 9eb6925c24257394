//! Clients that send slowly or not at all are cut after ten seconds, in any protocol.

use core::time::Duration;
use std::thread;
use std::time::Instant;

use crate::client::{Connection, PATIENCE, Request};
use crate::{Attacked, MIB, PUBLISH, event};

/// How long the server waits for a head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

#[test]
fn a_connection_without_a_head_is_cut() {
    let mut attacked = Attacked::start(&[]);
    let begins: [&[u8]; 6] = [
        b"",
        b"G",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n",
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
fn a_connection_between_two_requests_is_closed_after_the_idle_timeout() {
    let mut attacked = Attacked::start(&["--idle-timeout", "1s"]);
    attacked.during(|server| {
        let health = Request::get("/healthz");
        let mut idle = Connection::open(server.address);
        let answer = idle.exchange(&health);
        assert_eq!(answer.header("keep-alive"), Some("timeout=1"));

        // A head that has begun in time has more time than that.
        let mut begun = Connection::open(server.address);
        begun.exchange(&health);
        let (begin, rest) = (&health.bytes()[..10], &health.bytes()[10..]);
        begun.send(begin);

        let answered = Instant::now();
        assert!(idle.ends());
        let waited = answered.elapsed();
        assert!(waited > Duration::from_millis(900), "{waited:?}");
        assert!(waited < HEAD_TIMEOUT, "{waited:?}");

        thread::sleep(Duration::from_secs(1));
        begun.send(rest);
        assert_eq!(begun.response("GET").status(), 200);
    });
}

#[test]
fn connections_beyond_the_limit_wait_no_longer_than_silent_ones_have_been_silent_for_a_second() {
    let mut attacked = Attacked::start(&["--max-connections", "40"]);
    attacked.during(|server| {
        let started = Instant::now();
        let silent: Vec<_> = (0..60).map(|_| Connection::open(server.address)).collect();
        let mut last = Connection::open(server.address);
        let answer = last.exchange(&Request::post(PUBLISH, event("attack", "1", "1")));
        assert_eq!(answer.status(), 204);
        let waited = started.elapsed();
        assert!(waited > Duration::from_millis(900), "after {waited:?}");
        assert!(waited < HEAD_TIMEOUT, "after {waited:?}");
        drop(silent);
    });
    attacked.expect_memory_below(16 * MIB);
}

#[test]
fn clients_whose_streams_were_refused_leave_room_for_publishers() {
    let mut attacked = Attacked::start(&["--max-connections", "40"]);
    attacked.during(|server| {
        // As browsers do: each keeps the connection of its refusal for its next request.
        let subscribe =
            Request::get("/api/saacms/v1/attack/1/subscribe").header("Accept", "text/event-stream");
        let mut connections: Vec<_> = (0..38).map(|_| Connection::open(server.address)).collect();
        for connection in &mut connections {
            assert_eq!(connection.exchange_head(&subscribe).status, 200);
        }

        let started = Instant::now();
        let mut last = Connection::open(server.address);
        let answer = last.exchange(&Request::post(PUBLISH, event("attack", "1", "1")));
        assert_eq!(answer.status(), 204);
        let waited = started.elapsed();
        assert!(waited < HEAD_TIMEOUT, "after {waited:?}");
    });
    assert_eq!(attacked.figure("subscribers"), 0, "the streams have ended");
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

#[test]
fn large_bodies_that_are_never_finished_hold_64_mib_together() {
    const BODIES: usize = 100;

    let mut attacked = Attacked::start(&[]);
    let head = Request::new("POST", PUBLISH).header("Content-Length", MIB.to_string());
    let almost = [head.bytes(), vec![b' '; MIB - 1]].concat();

    let (mut waiting, _) = attacked.during(|server| {
        let mut waiting: Vec<_> = (0..BODIES)
            .map(|_| {
                let mut connection = Connection::open(server.address);
                // A refusal may come before all is sent.
                let _ = connection.try_send(&almost);
                connection
            })
            .collect();

        // Whoever is refused is told so at once, and when to try again.
        let started = Instant::now();
        while waiting.len() > 64 {
            assert!(started.elapsed() < PATIENCE, "{} wait", waiting.len());
            waiting.retain_mut(|connection| {
                let answer = connection.response_within("POST", Duration::from_millis(5));
                if let Some(answer) = &answer {
                    assert_eq!(answer.status(), 503, "{answer:?}");
                    assert!(answer.text().contains("too-many-bodies"), "{answer:?}");
                    assert_eq!(answer.header("retry-after"), Some("1"));
                }
                answer.is_none()
            });
        }
        waiting
    });
    assert!(waiting.len() >= 60, "only {} were taken", waiting.len());
    // The bodies, and up to 64 KiB that hyper has read for each connection.
    attacked.expect_memory_falls_below(80 * MIB);
    // A body that has outgrown its buffer gets one of twice the size: until the allocator gives the
    // former ones back, there is as much of them as of the bodies.
    attacked.expect_memory_below((80 + 64) * MIB);

    // What one of them gives back, another can have.
    let mut finished = waiting.pop().expect("they wait");
    finished.send(b" ");
    assert_eq!(
        finished.response("POST").status(),
        400,
        "it was only blanks"
    );
    let padded = event("attack", "1", "1") + &" ".repeat(MIB / 2);
    let published = attacked.ask(&Request::post(PUBLISH, padded));
    assert_eq!(published.status(), 204);
}
