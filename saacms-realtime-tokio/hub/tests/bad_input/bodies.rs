//! Bodies of publishes: huge, endless, of a wrong length, deeply nested, corrupt.

use crate::chance::Chance;
use crate::client::{Connection, Request};
use crate::real_server::Server;
use crate::{Attacked, MIB, PUBLISH, event, refusal_of, status_of};

#[test]
fn a_body_without_an_end_is_refused_and_not_kept() {
    let mut attacked = Attacked::start(&[]);
    let (_, published) = attacked.during(|server| {
        for _ in 0..4 {
            let mut connection = Connection::open(server.address);
            let request = Request::new("POST", PUBLISH).header("Transfer-Encoding", "chunked");
            connection.send(request.bytes());
            let chunk = ["10000\r\n", &"x".repeat(0x1_0000), "\r\n"].concat();
            // Up to 64 MiB, unless the server stops reading.
            let sent = (0..1_024)
                .take_while(|_| connection.try_send(&chunk).is_ok())
                .count();
            assert_eq!(
                connection.response("POST").status(),
                413,
                "after {sent} chunks"
            );
        }
    });

    assert_eq!(attacked.figure("published"), published);
    attacked.expect_memory_below(16 * MIB);
}

#[test]
fn a_refusal_reaches_a_client_that_sends_its_whole_body_before_it_reads() {
    const LEN: usize = 3_000_000;

    let mut attacked = Attacked::start(&[]);
    let length = format!("Content-Length: {LEN}");
    let with = |line: &str, headers: &str| {
        let head = format!("{line} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n\r\n");
        [head.into_bytes(), vec![b'x'; LEN]].concat()
    };
    let post = format!("POST {PUBLISH}");
    let chunked = [
        format!(
            "{post} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{LEN:x}\r\n"
        ),
        "x".repeat(LEN),
    ];
    let refused = [
        (413, with(&post, &length)),
        (413, chunked.concat().into_bytes()),
        (
            403,
            with(&post, &format!("{length}\r\nOrigin: https://evil.example")),
        ),
        (
            415,
            with(&post, &format!("{length}\r\nContent-Encoding: gzip")),
        ),
        (405, with(&format!("PUT {PUBLISH}"), &length)),
        (404, with("POST /any", &length)),
        // Not of the API: a page, and what is no HTTP.
        (405, with("POST /", &length)),
        (400, vec![b'('; LEN]),
    ];

    attacked.during(|server| {
        for time in 0..20 {
            for (status, request) in &refused {
                let mut connection = Connection::open(server.address);
                connection.send(request);
                let answer = connection.response("POST");
                assert_eq!(answer.status(), *status, "time {time}: {answer:?}");
            }
        }
    });
    attacked.expect_memory_below(24 * MIB);
}

#[test]
fn a_wrong_length_is_refused() {
    let mut attacked = Attacked::start(&[]);
    let body = event("attack", "1", "1");
    let with = |headers: &str, body: &str| {
        format!("POST {PUBLISH} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n\r\n{body}")
    };
    let chunked = "Transfer-Encoding: chunked";
    let refused = [
        (413, with("Content-Length: 107374182400", &body)),
        (400, with("Content-Length: 99999999999999999999999", &body)),
        (400, with("Content-Length: -1", &body)),
        (400, with("Content-Length: 0x10", &body)),
        (400, with("Content-Length: +5", &body)),
        (400, with("Content-Length: 1, 2", &body)),
        (400, with("Content-Length: 5\r\nContent-Length: 6", &body)),
        (400, with("Content-Length: 3", &body)),
        (400, with("Transfer-Encoding: gzip", &body)),
        (400, with("Transfer-Encoding: chunked, gzip", &body)),
        (501, with("Transfer-Encoding: gzip, chunked", &body)),
        (501, with("Transfer-Encoding: chunked, chunked", &body)),
        (
            415,
            with("Content-Length: 5\r\nContent-Encoding: gzip", &body),
        ),
        (400, with(chunked, &body)),
        (400, with(chunked, &format!("FFFFFFFFFFFFFFFFF\r\n{body}"))),
        (400, with(chunked, &format!("-1\r\n{body}"))),
        (
            400,
            with(
                chunked,
                &format!("{:x}\r\n{body}x\r\n0\r\n\r\n", body.len()),
            ),
        ),
        (
            400,
            with(chunked, &format!("1;{}\r\n", "x".repeat(100_000))),
        ),
        (400, with("X: no length at all", &body)),
    ];
    let broken_off = [
        with(&format!("Content-Length: {}", body.len() + 1), &body),
        with(chunked, &format!("{:x}\r\n{body}", body.len())),
        with(chunked, &format!("{:x}\r\n{body}\r\n", body.len())),
    ];
    let (_, published) = attacked.during(|server| {
        for (status, request) in &refused {
            let start = &request[..request.len().min(120)];
            assert_eq!(refusal_of(server, request.as_bytes()), *status, "{start:?}");
        }
        for request in &broken_off {
            let status = status_of(server, request.as_bytes());
            assert!(
                matches!(status, None | Some(400)),
                "{request:?}: {status:?}"
            );
        }
    });

    assert_eq!(attacked.figure("published"), published);
    attacked.expect_memory_below(16 * MIB);
}

#[test]
fn nested_and_unfinished_json_is_refused() {
    let mut attacked = Attacked::start(&[]);
    let half = MIB / 2 - 100;
    let record = |json: String| event("attack", "1", &json);
    let bodies = [
        "[".repeat(MIB),
        "{\"a\":".repeat(MIB / 5),
        "[".repeat(half) + &"]".repeat(half),
        record("[".repeat(half) + &"]".repeat(half)),
        record("{\"\":".repeat(MIB / 6) + "1" + &"}".repeat(MIB / 6)),
        record("[{\"a\":".repeat(100) + "1" + &"}]".repeat(100)),
        record("\"".to_owned() + &"\\\"".repeat(half)),
        "\"".repeat(MIB),
        "\\".repeat(MIB),
        " ".repeat(MIB),
        "{\"type\":\"changed\",".repeat(50_000),
        "\u{0}".repeat(MIB),
        "-".repeat(MIB),
        "1".repeat(MIB),
    ];
    let (_, published) = attacked.during(|server| {
        let mut connection = Connection::open(server.address);
        for body in &bodies {
            let answer = connection.exchange(&Request::post(PUBLISH, body));
            assert_eq!(answer.status(), 400, "{:?}…: {answer:?}", &body[..20]);
            assert!(
                answer.body.len() < 1_000,
                "a refusal is short: {} bytes",
                answer.body.len()
            );
        }
    });

    assert_eq!(attacked.figure("published"), published);
    attacked.expect_memory_below(24 * MIB);
}

#[test]
fn an_event_with_any_corrupt_byte_is_accepted_or_refused_as_a_whole() {
    let mut attacked = Attacked::start(&["--max-topics", "500"]);
    let whole = r#"{"type":"changed","slug":"attack","id":"1","record":{"a":[1,2.5e3,"é\u00e9",null]},"etag":"W/\"v1\""}"#;
    let mut chance = Chance::new(0xB0D7);
    let (taken, published) = attacked.during(|server| {
        let mut connection = Connection::open(server.address);
        let mut taken = 0;
        for _ in 0..5_000 {
            let mut body = whole.as_bytes().to_vec();
            for _ in 0..=chance.index(3) {
                let at = chance.index(body.len());
                match chance.index(4) {
                    0 => body[at] = chance.index(256) as u8,
                    1 => body[at] = b"\"\\{}[],:0-.eE\n\r\0 "[chance.index(17)],
                    2 => drop(body.remove(at)),
                    _ => body.insert(at, b"\"\\{}[],:0-.eE\n\r\0 "[chance.index(17)]),
                }
            }

            let answer = connection.exchange(&Request::post(PUBLISH, &body));
            match answer.status() {
                204 => taken += 1,
                400 => assert!(answer.text().contains("\"detail\":\"")),
                _ => panic!("{:?}: {answer:?}", String::from_utf8_lossy(&body)),
            }
        }

        taken
    });

    assert!(
        (1..5_000).contains(&taken),
        "{taken} of the corrupt events were accepted"
    );
    assert_eq!(attacked.figure("published"), published + taken);
    attacked.expect_memory_below(16 * MIB);
}

#[test]
fn frames_of_corrupt_events_are_whole_frames() {
    let mut attacked = Attacked::start(&[]);
    let hostile = [
        r#""\r\nevent: deleted\r\n\r\n""#,
        r#""\u000a\u000adata: x\u000d""#,
        "\"\u{2028}\u{2029}\u{85}\u{feff}\u{b}\u{c}\"",
        r#"{"data: x\n\nid: y":"retry: 0\n\n"}"#,
        "{\"a\"\r\n:\n\n[\r1\n,\r\n\n2]}",
    ];

    attacked.during(|server| {
        let target = "/api/saacms/v1/attack/1/subscribe";
        let mut stream = crate::Stream::open(server.address, &Request::get(target));
        stream.greeting();

        for record in hostile {
            let status = publish(server, event("attack", "1", record).as_bytes());
            if status == 204 {
                let block = stream.block();
                let lines: Vec<_> = block.split('\n').collect();

                // Three fields, and the empty parts that the two last line ends leave.
                assert_eq!(lines.len(), 5, "{block:?}");
                assert!(
                    lines[2].starts_with("data: ") && !block.contains('\r'),
                    "{block:?}"
                );
            }
        }

        assert_eq!(
            publish(server, event("attack", "1", "\"end\"").as_bytes()),
            204
        );
        stream.expect("event: changed\nid: v\ndata: \"end\"\n\n");
    });
}

fn publish(server: &Server, body: &[u8]) -> u16 {
    Connection::open(server.address)
        .exchange(&Request::post(PUBLISH, body))
        .status()
}
