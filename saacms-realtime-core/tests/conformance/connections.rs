//! Connections: reused, pipelined, HTTP/1.0, and slow senders.

use super::client::Request;
use super::stream::Stream;
use super::world::{KEEPALIVE, PUBLISH, World, changed, frame, path};
use super::{Start, scenarios};

scenarios![
    a_connection_is_used_again_after_refusals,
    pipelined_requests_are_answered_in_order,
    a_publish_of_http_1_0_is_answered,
    a_stream_of_http_1_0_has_no_connection_header_and_no_chunks,
    a_request_that_comes_byte_by_byte_is_a_request,
    a_body_announced_with_expect_is_asked_for,
    a_body_that_breaks_off_publishes_nothing,
];

fn a_connection_is_used_again_after_refusals(start: Start) {
    let world = World::start(start);
    let mut connection = world.connect();
    for (status, request) in [
        (404, Request::get("/api/saacms/v1/posts")),
        (204, Request::post(PUBLISH, changed("1", "v1", "1"))),
        (405, Request::new("DELETE", &path("1"))),
        (
            405,
            Request::new("PUT", PUBLISH).header("Content-Length", "0"),
        ),
        (406, Request::get(&path("1")).header("Accept", "text/html")),
        (400, Request::get("/api/saacms/v1/a%2Fb/1/subscribe")),
        (400, Request::post(PUBLISH, "nope")),
        (
            403,
            Request::post(PUBLISH, "{}").header("Origin", "https://evil.example"),
        ),
        (200, Request::new("HEAD", &path("1"))),
        (204, Request::new("OPTIONS", &path("1"))),
        (204, Request::post(PUBLISH, changed("1", "v2", "1"))),
    ] {
        assert_eq!(
            connection.exchange(&request).status(),
            status,
            "{request:?}"
        );
    }

    let request = Request::get(&path("1")).header("Last-Event-ID", "v1");
    Stream::over(connection, &request).expect([KEEPALIVE, &frame("v2", "1")].concat());
}

fn pipelined_requests_are_answered_in_order(start: Start) {
    let world = World::start(start);
    let requests = [
        ("POST", Request::post(PUBLISH, changed("1", "v1", "1")), 204),
        ("GET", Request::get("/api/saacms/v1/posts"), 404),
        ("HEAD", Request::new("HEAD", &path("1")), 200),
        ("POST", Request::post(PUBLISH, "nope"), 400),
        ("POST", Request::post(PUBLISH, changed("1", "v2", "1")), 204),
    ];
    let mut connection = world.connect();
    let bytes: Vec<_> = requests
        .iter()
        .flat_map(|(_, request, _)| request.bytes())
        .collect();
    let subscribe = Request::get(&path("1")).header("Last-Event-ID", "v1");

    connection.send([bytes, subscribe.bytes()].concat());
    for (method, request, status) in requests {
        assert_eq!(connection.response(method).status(), status, "{request:?}");
    }

    assert_eq!(connection.head().map(|head| head.status), Some(200));
    assert_eq!(
        connection.chunk(),
        Some([KEEPALIVE, &frame("v2", "1")].concat().into_bytes())
    );
}

fn a_publish_of_http_1_0_is_answered(start: Start) {
    let world = World::start(start);
    let mut stream = world.subscribe("1");
    let event = changed("1", "v1", "1");
    let mut connection = world.connect();

    connection.send(format!(
        "POST {PUBLISH} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{event}",
        event.len()
    ));
    assert_eq!(connection.response("POST").status(), 204);
    assert!(
        connection.ends(),
        "without `Connection: keep-alive` it is closed"
    );
    stream.expect(frame("v1", "1"));
}

fn a_stream_of_http_1_0_has_no_connection_header_and_no_chunks(start: Start) {
    let world = World::start(start);
    world.publish("1", "v1");
    let replayed = world.publish("1", "v2");
    let mut connection = world.connect();

    connection.send(format!(
        "GET {} HTTP/1.0\r\nLast-Event-ID: v1\r\n\r\n",
        path("1")
    ));

    let head = connection.head().expect("an answer");
    assert_eq!(head.status, 200);
    assert_eq!(
        head.meaning(),
        [
            ("cache-control", "no-cache, no-transform"),
            ("content-type", "text/event-stream"),
            ("x-accel-buffering", "no"),
        ]
    );
    assert_eq!(
        (
            head.header("transfer-encoding"),
            head.header("content-length")
        ),
        (None, None)
    );

    let mut expect = |text: &str| {
        let come = connection.take_exactly(text.len());
        assert_eq!(String::from_utf8_lossy(&come), text);
    };

    expect(KEEPALIVE);
    expect(&replayed);
    expect(&world.publish("1", "v3"));
    world.drain();
    expect("retry: ");

    let end = connection.rest();
    assert!(end.ends_with(b"\n\n"), "{}", String::from_utf8_lossy(&end));
}

fn a_request_that_comes_byte_by_byte_is_a_request(start: Start) {
    let world = World::start(start);
    let mut stream = world.subscribe("1");
    let mut connection = world.connect();
    for byte in Request::post(PUBLISH, changed("1", "v1", "\"é\"")).bytes() {
        connection.send([byte]);
    }
    assert_eq!(connection.response("POST").status(), 204);
    stream.expect(frame("v1", "\"é\""));
}

fn a_body_announced_with_expect_is_asked_for(start: Start) {
    let world = World::start(start);
    let event = changed("1", "v1", "1");
    let head = |len: usize| {
        Request::new("POST", PUBLISH)
            .header("Content-Length", len.to_string())
            .header("Expect", "100-continue")
            .bytes()
    };
    let mut connection = world.connect();

    connection.send(head(event.len()));
    assert_eq!(connection.response("POST").status(), 100);

    connection.send(&event);
    assert_eq!(connection.response("POST").status(), 204);

    // A body whose length is already too large is never asked for.
    let mut connection = world.connect();
    connection.send(head(9_999_999));
    assert_eq!(connection.response("POST").status(), 413);
}

fn a_body_that_breaks_off_publishes_nothing(start: Start) {
    let world = World::start(start);
    let mut stream = world.subscribe("1");
    let whole = Request::post(PUBLISH, changed("1", "v1", "1")).bytes();
    for left_out in [1, 10, 40, whole.len() - 1] {
        let mut connection = world.connect();
        connection.send(&whole[..whole.len() - left_out]);
        connection.finish_sending();
        if let Some(answer) = connection.try_response("POST") {
            assert_eq!(answer.status(), 400, "{answer:?}");
        }
        assert!(connection.ends());
    }

    // With a `Content-Length` that is too short, the rest is neither an event nor a request.
    let mut connection = world.connect();
    let mut bytes = Request::new("POST", PUBLISH)
        .header("Content-Length", "5")
        .bytes();

    bytes.extend_from_slice(changed("1", "v1", "1").as_bytes());
    connection.send(bytes);
    assert_eq!(connection.response("POST").status(), 400);
    assert_eq!(world.stats().published, 0);
    stream.expect(world.publish("1", "v2"));
}
