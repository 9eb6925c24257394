//! HTTP/2 by hand: incomplete prefaces, senseless frames, floods of frames.

use core::time::Duration;
use std::time::Instant;

use crate::attack::http2::{END_HEADERS, END_STREAM, HEADERS, PING, SETTINGS, frame};
use crate::client::{Connection, PATIENCE, Request};
use crate::real_server::Server;
use crate::{Attacked, MIB, PUBLISH, event, figure_of};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const RST_STREAM: u8 = 3;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

/// `GET http://localhost/`, in HPACK's static table.
const GET_ROOT: &[u8] = b"\x82\x84\x86\x41\x09localhost";

/// Requests that a connection may have in progress.
const STREAMS_PER_CONNECTION: u32 = 100;

/// Waits until the server has received every frame sent so far.
fn wait_for_pong(connection: &mut Connection) {
    const ACK: u8 = 1;

    connection.send(frame(PING, 0, 0, b"received"));
    let pong = frame(PING, ACK, 0, b"received");
    loop {
        let header = connection.take_exactly(9);
        let len = u32::from_be_bytes([0, header[0], header[1], header[2]]);
        let payload = connection.take_exactly(len as usize);
        if [header, payload].concat() == pong {
            return;
        }
    }
}

/// What a client sends first.
fn hello() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()
}

/// Sends everything, or as much as the server accepts, and reads only after that.
fn send(server: &Server, bytes: &[u8]) -> Connection {
    let mut connection = Connection::open(server.address);
    // A server may stop reading from a client that does not read its answers.
    connection.set_write_timeout(Duration::from_secs(1));
    let _ = connection.try_send(bytes);
    connection.finish_sending();
    connection
}

#[test]
fn a_preface_that_breaks_off_anywhere_ends_its_connection() {
    let mut attacked = Attacked::start(&[]);
    attacked.during(|server| {
        // A truncated preface, and a malformed HTTP/1.1 request.
        let cut = (0..=PREFACE.len()).map(|len| send(server, &PREFACE[..len]));
        let other = (0..PREFACE.len())
            .map(|len| send(server, &[&PREFACE[..len], b"\r\n\r\n\r\n\r\n"].concat()));
        let connections: Vec<_> = cut.chain(other).collect();
        let started = Instant::now();
        for mut connection in connections {
            connection.rest();
        }

        // The server does not wait for a client that has closed its sending side.
        assert!(
            started.elapsed() < Duration::from_secs(8),
            "after {:?}",
            started.elapsed()
        );
    });
    attacked.expect_memory_below(16 * MIB);
}

#[test]
fn invalid_frames_end_their_connection() {
    let mut attacked = Attacked::start(&[]);
    let frames = [
        frame(DATA, 0, 1, b"no stream is open"),
        frame(HEADERS, END_HEADERS, 0, GET_ROOT),
        frame(HEADERS, END_HEADERS, 2, GET_ROOT),
        frame(HEADERS, END_HEADERS, 1, &[0xff; 100]),
        frame(RST_STREAM, 0, 9, &[0; 4]),
        frame(SETTINGS, 0, 0, &[0; 5]),
        frame(SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff]),
        frame(PING, 0, 0, &[0; 7]),
        frame(WINDOW_UPDATE, 0, 0, &[0; 4]),
        frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]).repeat(2),
        frame(CONTINUATION, 0, 1, GET_ROOT),
        frame(0xee, 0xff, 0xffff_ffff, &[0xee; 1_000]),
        b"\xff\xff\xff\x00\x00\x00\x00\x00\x01".to_vec(),
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
    ];

    attacked.during(|server| {
        for frame in &frames {
            // After the client's settings, and in place of them.
            send(server, &[hello(), frame.clone()].concat()).rest();
            send(server, &[PREFACE, frame].concat()).rest();
        }
    });
    attacked.expect_memory_below(16 * MIB);
}

#[test]
fn a_client_may_go_on_sending_while_its_connection_closes() {
    let server = Server::start(&[]);
    let mut connection = Connection::open(server.address);
    connection.send([hello(), frame(PING, 0, 0, &[0; 7])].concat());
    connection.rest();

    // If the socket were closed, the first of them would be answered by a reset, and the next fail.
    for _ in 0..10 {
        connection
            .try_send(frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]))
            .expect("the server reads on");
    }
}

#[test]
fn streams_that_are_opened_and_reset_are_not_kept() {
    let mut attacked = Attacked::start(&[]);
    attacked.during(|server| {
        let mut bytes = hello();

        // Rapid reset (CVE-2023-44487): each request is cancelled right after it is sent.
        for stream in (1..60_000).step_by(2) {
            bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, GET_ROOT));
            bytes.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
        }
        for _ in 0..5 {
            send(server, &bytes).rest();
        }
    });
    attacked.expect_memory_below(16 * MIB);
}

#[test]
fn a_flood_of_frames_is_not_kept() {
    let mut attacked = Attacked::start(&[]);
    // Without END_HEADERS, so that CONTINUATION frames may follow.
    let endless_head = frame(HEADERS, END_STREAM, 1, GET_ROOT);
    let header = b"\x00\x01x\x7f\x80\x1f"
        .iter()
        .copied()
        .chain([b'y'; 4_000])
        .collect::<Vec<_>>();
    let floods = [
        [hello(), frame(PING, 0, 0, &[0; 8]).repeat(100_000)].concat(),
        [
            hello(),
            frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]).repeat(100_000),
        ]
        .concat(),
        [
            hello(),
            endless_head.clone(),
            frame(CONTINUATION, 0, 1, &[]).repeat(100_000),
        ]
        .concat(),
        [
            hello(),
            endless_head,
            frame(CONTINUATION, 0, 1, &header).repeat(4_000),
        ]
        .concat(),
        [
            hello(),
            frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]).repeat(100_000),
        ]
        .concat(),
        [hello(), frame(0xee, 0, 0, &[0; 64]).repeat(100_000)].concat(),
    ];

    attacked.during(|server| {
        for flood in &floods {
            send(server, flood).rest();
        }
    });
    attacked.expect_memory_below(16 * MIB);
}

#[test]
fn changes_of_the_window_cost_little_however_many_streams_there_are() {
    let mut attacked = Attacked::start(&[]);
    let path = b"/api/saacms/v1/attack/1/subscribe";
    let path_len = u8::try_from(path.len()).expect("a short path");
    let get = [b"\x82\x86\x41\x09localhost\x04", &[path_len][..], path].concat();
    let window = |bytes: u8| frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0x40, bytes]);

    let mut open = hello();
    for stream in 0..STREAMS_PER_CONNECTION {
        let stream = 2 * stream + 1;
        open.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &get));
    }
    // 1 MB of frames; each changes the window of every stream.
    let changes = [window(0), window(1)].concat().repeat(30_000);

    let (used, _) = attacked.during(|server| {
        let mut connection = Connection::open(server.address);
        connection.send(&open);
        wait_for_pong(&mut connection);

        // One of them is the healthy one.
        let expected = u64::from(STREAMS_PER_CONNECTION) + 1;
        let started = Instant::now();
        while figure_of(server, "subscribers") != expected {
            assert!(started.elapsed() < PATIENCE, "the streams are open");
        }

        let before = server.processor_time();
        connection.send(&changes);
        wait_for_pong(&mut connection);
        server.processor_time() - before
    });
    assert!(used < Duration::from_secs(2), "{used:?} for 1 MB of frames");
    attacked.expect_memory_below(16 * MIB);
}

#[test]
fn a_request_that_waits_for_its_body_keeps_none_of_its_headers() {
    const CONNECTIONS: usize = 20;

    let mut attacked = Attacked::start(&[]);
    // 450 times `age`, from HPACK's static table: 450 bytes here, 40 KiB as a map.
    let path_len = u8::try_from(PUBLISH.len()).expect("a short path");
    let post = [
        b"\x83\x86\x41\x09localhost\x04",
        &[path_len][..],
        PUBLISH.as_bytes(),
        &[0x95; 450],
    ]
    .concat();

    let mut bytes = hello();
    for stream in 0..STREAMS_PER_CONNECTION {
        bytes.extend(frame(HEADERS, END_HEADERS, 2 * stream + 1, &post));
        bytes.extend(frame(DATA, 0, 2 * stream + 1, b"{"));
    }

    let (connections, _) = attacked.during(|server| {
        let open = |_| {
            let mut connection = Connection::open(server.address);
            connection.send(&bytes);
            wait_for_pong(&mut connection);
            connection
        };
        (0..CONNECTIONS).map(open).collect::<Vec<_>>()
    });
    // Half of what the headers alone would be.
    attacked.expect_memory_below(40 * MIB);
    drop(connections);
}

#[test]
fn streams_whose_window_stays_closed_cost_little_and_delay_no_other() {
    const CONNECTIONS: usize = 4;

    let mut attacked = Attacked::start(&["--max-events", "2", "--max-lag", "4"]);
    // SETTINGS_INITIAL_WINDOW_SIZE is 0, so the server may send no data.
    let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])].concat();
    let path = b"/api/saacms/v1/attack/1/subscribe";
    let path_len = u8::try_from(path.len()).expect("a short path");
    let get = [b"\x82\x86\x41\x09localhost\x04", &[path_len][..], path].concat();
    // Twice as many as a connection may have; the others are refused.
    for stream in 0..2 * STREAMS_PER_CONNECTION {
        bytes.extend(frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            2 * stream + 1,
            &get,
        ));
    }

    let mut connections: Vec<_> = (0..CONNECTIONS)
        .map(|_| Connection::open(attacked.server.address))
        .collect();
    for connection in &mut connections {
        connection.send(&bytes);
        wait_for_pong(connection);
    }
    let started = Instant::now();
    let expected = CONNECTIONS as u64 * u64::from(STREAMS_PER_CONNECTION);
    while attacked.figure("subscribers") != expected {
        assert!(started.elapsed() < PATIENCE, "the streams are open");
    }

    let large = event("attack", "1", &format!("\"{}\"", "x".repeat(200 << 10)));
    attacked.during(|server| {
        let mut publisher = Connection::open(server.address);
        for _ in 0..200 {
            assert_eq!(
                publisher.exchange(&Request::post(PUBLISH, &large)).status(),
                204
            );
        }
    });
    attacked.expect_memory_below(24 * MIB);
}
