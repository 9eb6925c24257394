//! Request lines and headers: cut off, huge, malformed, hostile.

use crate::chance::Chance;
use crate::client::{Connection, Request};
use crate::{Attacked, MIB, PUBLISH, event, refusal_of, status_of};

#[test]
fn a_request_that_breaks_off_anywhere_does_nothing() {
    let mut attacked = Attacked::start(&[]);
    let publish = Request::post(PUBLISH, event("attack", "1", "1")).bytes();
    let subscribe = Request::get("/api/saacms/v1/attack/1/subscribe").bytes();
    let (_, published) = attacked.during(|server| {
        for len in 0..publish.len() {
            let status = status_of(server, &publish[..len]);
            assert!(
                matches!(status, None | Some(400)),
                "{len} bytes: {status:?}"
            );
            // Once more with the sending side left open.
            Connection::open(server.address).send(&publish[..len]);
        }
        for len in 0..subscribe.len() {
            let status = status_of(server, &subscribe[..len]);
            assert!(
                matches!(status, None | Some(400)),
                "{len} bytes: {status:?}"
            );
        }
    });

    assert_eq!(
        attacked.figure("published"),
        published,
        "half an event was published"
    );
    assert_eq!(
        attacked.figure("topics"),
        1,
        "half a subscription was taken"
    );
    attacked.expect_memory_below(16 * MIB);
}

#[test]
fn a_page_refuses_other_methods_as_the_api_does() {
    let attacked = Attacked::start(&[]);
    for path in ["/", "/client.js", "/websocket.js", "/healthz", "/readyz"] {
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            let request = Request::new(method, path).header("Content-Length", "0");
            let answer = attacked.ask(&request);
            let headers = ["allow", "content-type"].map(|name| answer.header(name));
            assert_eq!(answer.status(), 405, "{method} {path}");
            assert_eq!(
                headers,
                [Some("GET, HEAD"), Some("application/problem+json")],
                "{method} {path}"
            );
            assert_eq!(
                answer.text(),
                concat!(
                    r#"{"type":"urn:saacms-realtime:method-not-allowed","#,
                    r#""title":"Method not allowed","status":405,"detail":"allowed here: GET, HEAD"}"#
                )
            );
        }
    }
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let mut attacked = Attacked::start(&[]);
    let heads = [
        format!(
            "GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "a".repeat(200_000)
        ),
        format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
            "a".repeat(200_000)
        ),
        format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
            "X: y\r\n".repeat(5_000)
        ),
        format!(
            "{} / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "G".repeat(200_000)
        ),
        format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\n{}: y\r\n\r\n",
            "X".repeat(200_000)
        ),
        // The head has no end.
        format!(
            "GET / HTTP/1.1\r\n{}",
            "X-Header: some value\r\n".repeat(500_000)
        ),
        "x".repeat(10 * MIB),
    ];

    attacked.during(|server| {
        for head in &heads {
            assert_eq!(
                refusal_of(server, head.as_bytes()),
                431,
                "{:?}…",
                &head[..20]
            );
        }
    });
    attacked.expect_memory_below(16 * MIB);
}

#[test]
fn a_malformed_head_is_refused() {
    let mut attacked = Attacked::start(&[]);
    let heads: [&[u8]; 22] = [
        b"\0\0\0\0\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET  / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1 x\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / http/1.1\r\n\r\n",
        b"GET / FTP/1.1\r\n\r\n",
        b"GET /a b HTTP/1.1\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\n\r\n",
        b"GET /\x01 HTTP/1.1\r\n\r\n",
        b"G\xc3\xa9T / HTTP/1.1\r\n\r\n",
        b"(){} / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\n: no name\r\n\r\n",
        b"GET / HTTP/1.1\r\nA b: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\0c\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\x07c\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nA\r: b\r\n\r\n",
        // A TLS client, and a client of another protocol.
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        b"EHLO mail.example\r\nQUIT\r\n",
    ];

    attacked.during(|server| {
        for head in heads {
            let text = String::from_utf8_lossy(head);
            assert_eq!(refusal_of(server, head), 400, "{text:?}");
        }
    });
    attacked.expect_memory_below(16 * MIB);
}

#[test]
fn a_request_without_exactly_one_host_is_refused_at_every_path() {
    let mut attacked = Attacked::start(&[]);
    let paths = [
        "/",
        "/healthz",
        "/any",
        "/api/saacms/v1/attack/1/subscribe",
        PUBLISH,
    ];

    attacked.during(|server| {
        for path in paths {
            for hosts in ["", "Host: x\r\nHost: x\r\n", "Host: x, y\r\n"] {
                let head = format!("GET {path} HTTP/1.1\r\n{hosts}\r\n");
                let mut connection = Connection::open(server.address);
                connection.send(&head);
                let answer = connection.response("GET");
                assert_eq!(answer.status(), 400, "{head:?}");
                assert!(answer.text().contains("host-missing"), "{answer:?}");
            }
        }
    });
    attacked.expect_memory_below(16 * MIB);
}

#[test]
fn any_path_is_answered() {
    const PARTS: [&str; 28] = [
        "posts",
        "1",
        "subscribe",
        "publish",
        "/",
        "/",
        "/",
        "//",
        ".",
        "..",
        "%2e%2e",
        "%2E",
        "%2F",
        "%",
        "%%",
        "%zz",
        "%00",
        "%0a",
        "%0d%0a",
        "%c3%a9",
        "%ff",
        "%ed%a0%80",
        ":",
        "%3a",
        "?",
        "lastEventId=%00%0a",
        "&",
        "é",
    ];

    let mut attacked = Attacked::start(&[]);
    let mut chance = Chance::new(0x5EED);
    attacked.during(|server| {
        let mut connection = Connection::open(server.address);
        for _ in 0..3_000 {
            let parts = (0..chance.index(12)).map(|_| PARTS[chance.index(PARTS.len())]);
            let target = format!("/api/saacms/v1/{}", parts.collect::<String>());
            let method = ["GET", "HEAD", "POST", "OPTIONS"][chance.index(4)];

            connection.send(
                Request::new(method, &target)
                    .header("Content-Length", "0")
                    .bytes(),
            );

            let head = connection
                .head()
                .unwrap_or_else(|| panic!("{method} {target}: no answer"));
            let is_clear = matches!(head.status, 200 | 204 | 400 | 404 | 405);
            assert!(is_clear, "{method} {target}: {head:?}");

            let is_stream = head.header("content-type") == Some("text/event-stream");
            if is_stream || head.status == 400 && head.header("content-length") == Some("0") {
                // A stream is opened, or hyper does not accept the text as a target.
                connection = Connection::open(server.address);
            } else if method != "HEAD" && head.status != 204 {
                let len = head.header("content-length").expect("a whole answer");
                connection.take_exactly(len.parse().expect("a length"));
            }
        }
    });
    attacked.expect_memory_below(16 * MIB);
}

#[test]
fn any_last_event_id_is_answered_with_a_resync_at_worst() {
    let mut attacked = Attacked::start(&["--event-ids", "position"]);
    let published = attacked.ask(&Request::post(PUBLISH, event("attack", "1", "1")));
    assert_eq!(published.status(), 204);

    let mut chance = Chance::new(0x1D);
    let mut ids: Vec<Vec<u8>> = (0..300)
        .map(|_| {
            let byte = |byte| {
                if matches!(byte, 0x20..=0x7e | 0x80..) {
                    byte
                } else {
                    b'0'
                }
            };
            let len = chance.index(60);
            (0..len).map(|_| byte(chance.index(256) as u8)).collect()
        })
        .collect();

    ids.extend([
        b".".to_vec(),
        b"ffffffffffffffffffff.1".to_vec(),
        vec![b'9'; 60_000],
    ]);

    let target = "/api/saacms/v1/attack/1/subscribe";
    attacked.during(|server| {
        for id in &ids {
            let request = Request::get(target).header("Last-Event-ID", id);
            let mut stream = crate::Stream::open(server.address, &request);
            stream.expect(":keepalive\n\nevent: saacms-resync\n");
        }
    });
    attacked.expect_memory_below(16 * MIB);
}
