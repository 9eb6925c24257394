//! Too much well-formed input: keys, connections, requests whose answers are never read.

use core::time::Duration;
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::thread;
use std::time::Instant;

use crate::client::{Connection, PATIENCE, Request};
use crate::real_server::Server;
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
fn streams_up_to_the_limit_of_open_files_leave_room_for_everything_else() {
    let mut attacked = Attacked::start_after("ulimit -n 200", &[]);
    let (streams, _) = attacked.during(|server| {
        let mut streams = Vec::new();
        let refused = loop {
            let mut connection = Connection::open(server.address);
            connection.send(subscribe("attack").bytes());
            let head = connection.head().expect("an answer");
            match head.status {
                200 => streams.push(connection),
                _ => break head,
            }
        };
        assert_eq!(refused.status, 503);
        assert_eq!(refused.header("retry-after"), Some("10"));

        // As often as one likes.
        for _ in 0..50 {
            let ask = |request: &Request| Connection::open(server.address).exchange(request);
            let event = event("attack", "1", "1");
            assert_eq!(ask(&Request::post(PUBLISH, event)).status(), 204);
            assert_eq!(ask(&Request::get("/healthz")).status(), 200);
            assert_eq!(ask(&subscribe("attack")).status(), 503);
        }
        streams.len()
    });

    assert!((80..200).contains(&streams), "{streams} streams");
    let log = attacked.server.log();
    assert!(
        log.contains("WARN") && log.contains("limit of open files"),
        "{log}"
    );
}

#[test]
fn streams_of_one_address_have_a_limit() {
    let flags = ["--max-streams-per-address", "4"];
    let mut attacked = Attacked::start(&flags);
    attacked.during(|server| {
        let claimed = subscribe("attack").header("X-Forwarded-For", "192.0.2.1");
        // The healthy stream has the same address.
        let mut streams: Vec<_> = (0..3)
            .map(|_| Stream::open(server.address, &subscribe("attack")))
            .collect();

        for request in [subscribe("attack"), claimed] {
            let answer = Connection::open(server.address).exchange(&request);
            assert_eq!(answer.status(), 429);
            assert_eq!(answer.header("retry-after"), Some("10"));
            assert!(answer.text().contains("too-many-streams-of-address"));
        }

        streams.pop();
        let opened = Instant::now();
        let mut again = Connection::open(server.address);
        while again.exchange_head(&subscribe("attack")).status != 200 {
            assert!(opened.elapsed() < PATIENCE, "its place is free");
            again = Connection::open(server.address);
        }
    });
}

#[test]
fn a_trusted_proxy_names_the_address_that_counts() {
    let flags = [
        "--max-streams-per-address",
        "2",
        "--trusted-proxy",
        "127.0.0.0/8",
    ];
    let server = Server::start(&flags);
    let open = |named: &str| {
        let request = subscribe("attack").header("X-Forwarded-For", named);
        let mut connection = Connection::open(server.address);
        let status = connection.exchange_head(&request).status;
        (status, connection)
    };

    let _first = [open("192.0.2.1"), open("6.6.6.6, 192.0.2.1")];
    assert_eq!(open("7.7.7.7, 192.0.2.1").0, 429);
    let _other = [open("2001:db8::1"), open("2001:db8::2")];
    assert_eq!(open("2001:db8::3").0, 429);
    assert_eq!(open("2001:db8:0:1::3").0, 200);
}

#[test]
fn the_client_of_a_stream_may_send_64_kib_after_its_request() {
    let mut attacked = Attacked::start(&[]);
    attacked.during(|server| {
        let mut sending = Stream::open(server.address, &subscribe("attack"));
        sending.greeting();
        sending.send(vec![b'x'; 60_000]);
        let answer = Connection::open(server.address)
            .exchange(&Request::post(PUBLISH, event("attack", "1", "1")));
        assert_eq!(answer.status(), 204);
        sending.expect("event: changed\nid: v\ndata: 1\n\n");

        sending.send(vec![b'x'; 10_000]);
        sending.expect_cut();
    });
    attacked.expect_memory_below(16 * MIB);
}

#[cfg(target_os = "linux")]
#[test]
fn the_kernel_holds_little_for_a_client_that_does_not_read_and_asks_whether_it_lives() {
    let mut attacked = Attacked::start(&[]);
    attacked.during(|server| {
        let mut stalled = TcpStream::connect(server.address).expect("a connection");
        stalled
            .write_all(&subscribe("attack").bytes())
            .expect("room in a socket");
        let opened = Instant::now();
        let socket = loop {
            // Of an idle stream only the timer that asks for a sign of life runs.
            match socket_of(server, &stalled) {
                Some(socket) if socket.timer == 2 && socket.unsent == 0 => break socket,
                socket => assert!(opened.elapsed() < PATIENCE, "{socket:?}"),
            }
        };
        assert_eq!(socket.unsent, 0);

        let large = event("attack", "1", &format!("\"{}\"", "x".repeat(900_000)));
        let mut publisher = Connection::open(server.address);
        for _ in 0..20 {
            let answer = publisher.exchange(&Request::post(PUBLISH, &large));
            assert_eq!(answer.status(), 204);
        }
        let socket = socket_of(server, &stalled).expect("it is open");
        assert!(
            (1..=512 << 10).contains(&socket.unsent),
            "the kernel holds {} bytes",
            socket.unsent
        );
    });
}

/// What the kernel tells of the server's end of a connection.
#[cfg(target_os = "linux")]
#[derive(Debug)]
struct KernelSocket {
    /// Bytes that are sent and not confirmed, or not sent yet.
    unsent: u64,
    /// 0 for none, 1 for sending again, 2 for asking for a sign of life.
    timer: u64,
}

#[cfg(target_os = "linux")]
fn socket_of(server: &Server, client: &TcpStream) -> Option<KernelSocket> {
    let hex = |text: &str| u64::from_str_radix(text, 16).expect("a number");
    let ports = [server.address, client.local_addr().expect("an address")];
    let ports = ports.map(|address| u64::from(address.port()));

    let table = fs::read_to_string("/proc/net/tcp").expect("the table of a kernel with TCP");
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let port = |field: &str| hex(field.split(':').next_back().expect("a port"));
        let (unsent, _) = fields[4].split_once(':')?;
        let (timer, _) = fields[5].split_once(':')?;
        (ports == [port(fields[1]), port(fields[2])]).then(|| KernelSocket {
            unsent: hex(unsent),
            timer: hex(timer),
        })
    })
}

fn subscribe(slug: &str) -> Request {
    Request::get(&format!("/api/saacms/v1/{slug}/1/subscribe"))
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
