//! The answers to publishes, and the limits on their bodies.

use saacms_realtime_core::route::{Api, Token};

use super::client::Request;
use super::world::{PUBLISH, World, changed, expect_problem, frame, open, path};
use super::{Start, scenarios};

scenarios![
    a_publish_that_is_answered_is_in_the_history,
    the_content_type_of_one_event_does_not_matter,
    a_body_in_chunks_is_one_body,
    ndjson_is_answered_line_by_line_in_order,
    a_bad_line_fails_alone,
    after_a_thousand_bad_lines_the_rest_is_refused_in_one_result,
    an_empty_ndjson_body_has_no_results,
    a_byte_order_mark_before_a_body_is_skipped,
    a_body_of_exactly_the_limit_is_accepted,
    a_body_over_the_limit_is_refused_before_it_is_read,
    a_body_without_a_length_is_refused_once_it_exceeds_the_limit,
    bytes_after_a_refused_body_are_never_read_as_a_request,
    a_publisher_needs_the_token_if_one_is_set,
    publishing_is_off_without_a_token_unless_it_is_opened,
    a_publish_through_a_proxy_needs_a_token,
];

const NDJSON: &str = "application/x-ndjson";

fn a_publish_that_is_answered_is_in_the_history(start: Start) {
    let world = World::start(start);
    let answer = world.ask(&Request::post(PUBLISH, changed("1", "v1", "1")));
    assert_eq!((answer.status(), answer.text()), (204, ""));
    assert_eq!(answer.head.meaning(), []);
    assert_eq!((world.stats().published, world.stats().topics), (1, 1));
    world.publish("1", "v2");
    world.resume("1", "v1").expect(frame("v2", "1"));
}

fn the_content_type_of_one_event_does_not_matter(start: Start) {
    let world = World::start(start);
    let mut stream = world.subscribe("1");
    for content_type in [
        "application/json",
        "text/plain;charset=UTF-8",
        "application/x-www-form-urlencoded",
        "",
        "é",
    ] {
        let request = Request::post(PUBLISH, changed("1", "v", "1"));
        let answer = world.ask(&request.header("Content-Type", content_type));
        assert_eq!(answer.status(), 204, "{content_type}");
        stream.expect(frame("v", "1"));
    }

    // Two lines are not one event.
    let two = [changed("1", "v", "1"), changed("1", "v", "1")].join("\n");
    expect_problem(
        &world.ask(&Request::post(PUBLISH, two)),
        400,
        "invalid-event",
        "trailing",
    );
}

fn a_body_in_chunks_is_one_body(start: Start) {
    let world = World::start(start);
    let mut stream = world.subscribe("1");
    let mut connection = world.connect();
    let request = Request::new("POST", PUBLISH).header("Transfer-Encoding", "chunked");
    connection.send(request.bytes());
    for byte in changed("1", "v1", "\"é\"").bytes() {
        connection.send([b"1\r\n", &[byte][..], b"\r\n"].concat());
    }
    connection.send("0\r\n\r\n");
    assert_eq!(connection.response("POST").status(), 204);
    stream.expect(frame("v1", "\"é\""));
}

fn ndjson_is_answered_line_by_line_in_order(start: Start) {
    let world = World::start(start);
    let mut stream = world.subscribe("1");
    let etags: Vec<_> = (0..200).map(|number| format!("v{number}")).collect();
    let lines: Vec<_> = etags
        .iter()
        .map(|etag| changed("1", etag, "{ \"x\" : 1 }"))
        .collect();

    // Lines may end with CRLF, and the last line end may be missing.
    for body in [lines.join("\n"), lines.join("\r\n") + "\r\n"] {
        let request = Request::post(PUBLISH, body);
        let answer =
            world.ask(&request.header("Content-Type", "Application/X-NDJSON; charset=utf-8"));
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.head.meaning(), [("content-type", NDJSON)]);
        assert_eq!(answer.text(), "{\"status\":204}\n".repeat(200));
        let frames: String = etags.iter().map(|etag| frame(etag, "{\"x\":1}")).collect();
        stream.expect(frames);
    }
}

fn a_bad_line_fails_alone(start: Start) {
    let world = World::start(start);
    let mut stream = world.subscribe("1");
    let [good, other] = [changed("1", "v1", "1"), changed("1", "v2", "1")];
    let lines: [&[u8]; 7] = [
        good.as_bytes(),
        b"nope",
        b"",
        br#"{"type":"changed","slug":"posts","id":"1"}"#,
        b"\"\xff\"",
        b" \t\r",
        other.as_bytes(),
    ];

    // The two blank lines have no result, so there are five.
    let request = Request::post(PUBLISH, lines.join(&b'\n')).header("Content-Type", NDJSON);
    let answer = world.ask(&request);

    assert_eq!(answer.status(), 200);
    let results: Vec<_> = answer.text().lines().collect();
    let ok = r#"{"status":204}"#;
    assert_eq!(
        (results.len(), results[0], results[4]),
        (5, ok, ok),
        "{results:?}"
    );

    for (result, detail) in
        results[1..4]
            .iter()
            .zip(["not a JSON object", "`record` is missing", "not UTF-8"])
    {
        let problem: serde_json::Value = serde_json::from_str(result).expect("a document");
        assert_eq!(problem["type"], "urn:saacms-realtime:invalid-event");
        assert_eq!(problem["status"], 400);
        assert!(
            problem["detail"]
                .as_str()
                .is_some_and(|text| text.contains(detail)),
            "{result}"
        );
    }

    stream.expect([frame("v1", "1"), frame("v2", "1")].concat());
    assert_eq!(world.stats().published, 2);
}

fn after_a_thousand_bad_lines_the_rest_is_refused_in_one_result(start: Start) {
    let world = World::start(start);
    let mut stream = world.subscribe("1");
    let ask = |body: String| {
        let answer = world.ask(&Request::post(PUBLISH, body).header("Content-Type", NDJSON));
        assert_eq!(answer.status(), 200);
        answer
    };

    let [first, last] = [changed("1", "v1", "1"), changed("1", "v2", "1")];
    let answer = ask([&*first, "\n", &"x\n".repeat(1_000), &last, "\n\n", &first].concat());
    let results: Vec<_> = answer.text().lines().collect();
    assert_eq!((results.len(), results[0]), (1_002, r#"{"status":204}"#));
    let closing: serde_json::Value = serde_json::from_str(results[1_001]).expect("a document");
    assert_eq!(closing["type"], "urn:saacms-realtime:lines-not-tried");
    assert_eq!(closing["status"], 413);
    let said = closing["detail"].as_str().expect("a text");
    assert!(said.contains("last 2 lines"), "{said}");

    // Whatever the body is, the answer stays a fraction of a megabyte.
    let answer = ask("x\n".repeat(1 << 19));
    assert!(answer.body.len() < 300_000, "{}", answer.body.len());
    assert!(answer.text().contains("last 523288 lines"));

    // Only the tried lines were published.
    stream.expect([frame("v1", "1"), world.publish("1", "v3")].concat());
}

fn a_byte_order_mark_before_a_body_is_skipped(start: Start) {
    let world = World::start(start);
    let mut stream = world.subscribe("1");
    let marked = ["\u{feff}", &changed("1", "v1", "1")].concat();

    world.publish_event(&marked);
    let request = Request::post(PUBLISH, [&*marked, "\n", &changed("1", "v2", "1")].concat());
    let answer = world.ask(&request.header("Content-Type", NDJSON));
    assert_eq!(answer.text(), "{\"status\":204}\n".repeat(2));
    stream.expect([frame("v1", "1"), frame("v1", "1"), frame("v2", "1")].concat());
}

fn an_empty_ndjson_body_has_no_results(start: Start) {
    let world = World::start(start);
    for body in ["", "\n", "\r\n \n\t\n"] {
        let answer = world.ask(&Request::post(PUBLISH, body).header("Content-Type", NDJSON));
        assert_eq!((answer.status(), answer.text()), (200, ""), "{body:?}");
    }
}

/// An event whose body has exactly `len` bytes.
fn event_of(len: usize) -> String {
    let rest = changed("1", "v", "\"\"").len();
    changed("1", "v", &format!("\"{}\"", "x".repeat(len - rest)))
}

fn a_body_of_exactly_the_limit_is_accepted(start: Start) {
    let world = World::start(start);
    assert_eq!(
        world
            .ask(&Request::post(PUBLISH, event_of(1 << 20)))
            .status(),
        204
    );

    let small = World::with_api(start, open().with_max_body_bytes(1_000));
    assert_eq!(
        small.ask(&Request::post(PUBLISH, event_of(1_000))).status(),
        204
    );

    let chunked = Request::new("POST", PUBLISH).header("Transfer-Encoding", "chunked");
    let mut connection = small.connect();
    connection.send(chunked.bytes());
    connection.send(["3e8\r\n", &event_of(1_000), "\r\n0\r\n\r\n"].concat());
    assert_eq!(connection.response("POST").status(), 204);
    assert_eq!(small.stats().published, 2);
}

fn a_body_over_the_limit_is_refused_before_it_is_read(start: Start) {
    let world = World::start(start);
    for len in ["1048577", "99999999999999"] {
        let mut connection = world.connect();
        connection.send(
            Request::new("POST", PUBLISH)
                .header("Content-Length", len)
                .bytes(),
        );
        let detail = "larger than the limit of 1048576 bytes";
        expect_problem(&connection.response("POST"), 413, "body-too-large", detail);
    }

    let mut connection = world.connect();
    // It may be refused while it is still being sent.
    let _ = connection.try_send(Request::post(PUBLISH, event_of((1 << 20) + 1)).bytes());
    assert_eq!(connection.response("POST").status(), 413);
    assert_eq!(world.stats().published, 0);
}

fn a_body_without_a_length_is_refused_once_it_exceeds_the_limit(start: Start) {
    let world = World::with_api(start, open().with_max_body_bytes(1_000));
    let chunked = Request::new("POST", PUBLISH).header("Transfer-Encoding", "chunked");
    let mut connection = world.connect();
    connection.send(chunked.bytes());
    // The chunk that ends the body is never sent.
    connection.send(["3e8\r\n", &event_of(1_000), "\r\n1\r\n \r\n"].concat());
    let detail = "larger than the limit of 1000 bytes";
    expect_problem(&connection.response("POST"), 413, "body-too-large", detail);
    assert_eq!(world.stats().published, 0);
}

fn bytes_after_a_refused_body_are_never_read_as_a_request(start: Start) {
    let world = World::with_api(start, open().with_max_body_bytes(100));
    // The body contains a request, which a server that skips only the head would answer.
    let hidden = Request::post(PUBLISH, changed("1", "v", "1")).bytes();
    let mut connection = world.connect();
    let mut request = Request::new("POST", PUBLISH)
        .header("Content-Length", "4096")
        .bytes();
    request.extend_from_slice(&hidden);
    connection.send(&request);
    assert_eq!(connection.response("POST").status(), 413);
    connection.finish_sending();
    assert!(connection.ends(), "the body was answered as a request");
    assert_eq!(world.stats().published, 0);
}

fn a_publisher_needs_the_token_if_one_is_set(start: Start) {
    let token = Token::new("0123456789abcdef").expect("a token");
    let world = World::with_api(start, Api::default().with_publish_token(token));
    let mut stream = world.subscribe("1");
    let request = Request::post(PUBLISH, changed("1", "v1", "1"));
    let shown = |value: &str| world.ask(&request.clone().header("Authorization", value));

    let missing = world.ask(&request);
    expect_problem(&missing, 401, "token-missing", "Authorization: Bearer");
    assert_eq!(missing.header("www-authenticate"), Some("Bearer"));

    // Another scheme counts as no token.
    for value in ["", "Bearer", "Basic 0123456789abcdef", "0123456789abcdef"] {
        assert_eq!(shown(value).status(), 401, "{value}");
    }

    for value in [
        "Bearer 0123456789abcdeF",
        "Bearer 0123456789abcdef0",
        "Bearer 0123456789abcde",
        "Bearer é",
    ] {
        expect_problem(&shown(value), 403, "token-wrong", "not the publish token");
    }

    assert_eq!(world.stats().published, 0);
    // The token is checked before the body's length.
    let large = Request::new("POST", PUBLISH).header("Content-Length", "9999999");
    assert_eq!(world.ask(&large).status(), 401);

    assert_eq!(shown("Bearer 0123456789abcdef").status(), 204);
    assert_eq!(shown("bearer   0123456789abcdef").status(), 204);
    stream.expect([frame("v1", "1"), frame("v1", "1")].concat());
}

fn publishing_is_off_without_a_token_unless_it_is_opened(start: Start) {
    let world = World::with_api(start, Api::default());
    let mut stream = world.subscribe("1");
    let event = changed("1", "v1", "1");
    for content_type in ["application/json", NDJSON] {
        let request = Request::post(PUBLISH, &event).header("Content-Type", content_type);
        expect_problem(
            &world.ask(&request),
            403,
            "publishing-is-off",
            "no publish token",
        );
    }
    assert_eq!(world.stats().published, 0);

    // The program itself still publishes.
    let now = saacms_realtime_core::Now::from_millis(0, 0);
    let event = saacms_realtime_core::Event::from_json(event.as_bytes()).expect("an event");
    world
        .running
        .hub
        .publish(event, now)
        .expect("within the limits");
    stream.expect(frame("v1", "1"));
}

fn a_publish_through_a_proxy_needs_a_token(start: Start) {
    let world = World::with_api(start, Api::default().with_local_publish());
    let request = Request::post(PUBLISH, changed("1", "v1", "1")).host("localhost");
    for (name, value) in [
        ("Via", "1.1 proxy"),
        ("X-Forwarded-For", "192.0.2.1"),
        ("x-forwarded-for", ""),
        ("Forwarded", "for=192.0.2.1"),
    ] {
        let answer = world.ask(&request.clone().header(name, value));
        expect_problem(&answer, 401, "token-missing", "came through a proxy");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        // Reading is not publishing.
        world.open(&Request::get(&path("1")).header(name, value));
    }
    assert_eq!(world.ask(&request).status(), 204);

    let token = Token::new("0123456789abcdef").expect("a token");
    let guarded = World::with_api(start, Api::default().with_publish_token(token));
    let request = request.header("Via", "1.1 proxy");
    let request = request.header("Authorization", "Bearer 0123456789abcdef");
    assert_eq!(guarded.ask(&request).status(), 204);
}
