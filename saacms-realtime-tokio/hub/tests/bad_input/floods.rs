//! Too much well-formed input: keys, connections, requests whose answers are never read.

use core::time::Duration;
use std::io::Write as _;
use std::net::TcpStream;
use std::thread;
use std::time::Instant;

use crate::client::{Connection, PATIENCE, Request};
use crate::stream::Stream;
use crate::{Attacked, MIB, PUBLISH, event};

/// Publishes to `count` records, a thousand at a time.
fn publish_to_distinct_keys(connection: &mut Connection, count: usize) {
    let lines: Vec<_> = (0..count)
        .map(|number| event("attack", &number.to_string(), "1") + "\n")
        .collect();
    for lines in lines.chunks(1_000) {
        let request = Request::post(PUBLISH, lines.concat());
        let answer = connection.exchange(&request.header("Content-Type", "application/x-ndjson"));
        assert_eq!(answer.text(), "{\"status\":204}\n".repeat(lines.len()));
    }
}

#[test]
fn thousands_of_keys_find_room_for_few() {
    let mut attacked = Attacked::start(&["--max-topics", "100"]);
    attacked.during(|server| {
        let mut connection = Connection::open(server.address);
        publish_to_distinct_keys(&mut connection, 20_000);

        // Records with subscribers are never forgotten, so their number has a limit.
        let mut streams = Vec::new();
        let mut refused = 0;
        for number in 0..300 {
            let request = Request::get(&format!("/api/saacms/v1/watched/{number}/subscribe"));
            let mut connection = Connection::open(server.address);
            connection.send(request.bytes());
            let head = connection.head().expect("an answer");
            match head.status {
                200 => streams.push(connection),
                503 => {
                    assert_eq!(head.header("retry-after"), Some("10"));
                    refused += 1;
                }
                _ => panic!("{head:?}"),
            }
        }

        assert_eq!(
            (streams.len(), refused),
            (99, 201),
            "one record is the healthy one's"
        );
    });

    assert!(attacked.figure("topics") <= 100);
    attacked.expect_memory_below(16 * MIB);
}

#[test]
fn more_keys_than_the_default_limit_of_records_are_accepted() {
    let mut attacked = Attacked::start(&[]);
    let (_, published) = attacked.during(|server| {
        publish_to_distinct_keys(&mut Connection::open(server.address), 120_000);
    });
    assert!(attacked.figure("topics") <= 100_000);
    assert_eq!(attacked.figure("published"), published + 120_000);
    // The newest record is still there.
    let target = "/api/saacms/v1/attack/119999/subscribe";
    let request = Request::get(target).header("Last-Event-ID", "other");
    let mut stream = Stream::open(attacked.server.address, &request);
    stream.expect(":keepalive\n\nevent: saacms-resync\nid: v\n");
    attacked.expect_memory_below(200 * MIB);
}

#[test]
fn bodies_of_nothing_but_bad_lines_are_answered_in_few_bytes() {
    let mut attacked = Attacked::start(&[]);
    let lines = Request::post(PUBLISH, "x\n".repeat(MIB / 2));
    let lines = lines.header("Content-Type", "application/x-ndjson");
    attacked.during(|server| {
        // Answers of some are never read.
        let mut unread: Vec<_> = (0..20).map(|_| Connection::open(server.address)).collect();
        unread
            .iter_mut()
            .for_each(|connection| connection.send(lines.bytes()));
        for _ in 0..5 {
            let answer = Connection::open(server.address).exchange(&lines);
            assert_eq!(answer.status(), 200);
            assert!(answer.body.len() < 300_000, "{}", answer.body.len());
            assert!(answer.text().ends_with("\n") && answer.text().contains("last 523288 lines"));
        }
    });
    attacked.expect_memory_below(64 * MIB);
}

#[test]
fn a_flood_of_connections_beyond_the_limit_does_not_affect_open_ones() {
    let mut attacked = Attacked::start(&["--max-connections", "30"]);
    attacked.during(|server| {
        for _ in 0..5 {
            let flood: Vec<_> = (0..400)
                .map(|number| {
                    let mut stream = TcpStream::connect_timeout(&server.address, PATIENCE)
                        .expect("a place in the queue");
                    if number % 2 == 0 {
                        stream
                            .write_all(b"GET / HTTP/1.1\r\n")
                            .expect("room in a socket");
                    }
                    stream
                })
                .collect();
            drop(flood);
        }

        // All clients have left, so there is room.
        let answer = Connection::open(server.address).exchange(&Request::get("/readyz"));
        assert_eq!(answer.status(), 200);
    });
    attacked.expect_memory_below(16 * MIB);
}

#[test]
fn thousands_of_connections_that_open_and_close_leave_nothing() {
    let mut attacked = Attacked::start(&[]);
    attacked.during(|server| {
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for number in 0..500 {
                        let target = format!("/api/saacms/v1/attack/{}/subscribe", number % 50);
                        let mut connection = Connection::open(server.address);
                        connection.send(Request::get(&target).bytes());
                        if number % 2 == 0 {
                            assert_eq!(connection.head().map(|head| head.status), Some(200));
                        }
                    }
                });
            }
        });
    });

    let started = Instant::now();
    while attacked.figure("subscribers") > 0 || attacked.figure("topics") > 1 {
        assert!(
            started.elapsed() < PATIENCE,
            "{} are left",
            attacked.figure("subscribers")
        );
    }
    attacked.expect_memory_below(16 * MIB);
}

#[test]
fn answers_that_are_never_read_do_not_pile_up() {
    const CONNECTIONS: usize = 8;

    let mut attacked = Attacked::start(&[]);
    let page = Request::get("/").bytes().repeat(1_000);
    let refused = Request::post(PUBLISH, "nope").bytes().repeat(1_000);

    attacked.during(|server| {
        let write_until_it_is_not_read = |requests: &[u8]| {
            let mut socket = TcpStream::connect(server.address).expect("a connection");
            socket
                .set_write_timeout(Some(Duration::from_millis(500)))
                .expect("not zero");
            // A million requests: more than the buffers of the sockets hold.
            let is_read_to_the_end = (0..1_000).all(|_| socket.write_all(requests).is_ok());
            assert!(
                !is_read_to_the_end,
                "the server keeps answers that are never read"
            );
            socket
        };
        thread::scope(|scope| {
            let writing: Vec<_> = [&page, &refused]
                .into_iter()
                .cycle()
                .take(CONNECTIONS)
                .map(|requests| scope.spawn(|| write_until_it_is_not_read(requests)))
                .collect();
            let stalled = writing
                .into_iter()
                .map(|writing| writing.join().expect("it stalled"));
            // Keep all connections open until the last one stalls.
            assert_eq!(stalled.collect::<Vec<_>>().len(), CONNECTIONS);
        });
    });
    attacked.expect_memory_below(16 * MIB);
}
