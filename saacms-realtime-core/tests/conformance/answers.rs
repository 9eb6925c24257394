//! The answer to each method and path: status, headers, problem documents.

use super::client::Request;
use super::world::{PUBLISH, World, expect_problem, open, path};
use super::{Start, scenarios};

scenarios![
    a_stream_has_the_headers_of_the_contract_and_no_others,
    head_answers_the_headers_of_the_stream_and_registers_nobody,
    options_requests_are_answered_with_the_allowed_methods,
    other_methods_are_refused_with_the_allowed_ones,
    a_client_that_accepts_a_stream_gets_one,
    a_client_that_accepts_no_stream_is_refused,
    several_accept_headers_are_read_as_one,
    unknown_paths_are_not_found,
    a_hostile_path_is_refused_and_its_part_named,
    a_path_with_dot_segments_is_refused,
    the_longest_names_are_accepted_and_longer_ones_refused,
    the_api_is_where_its_base_path_says,
    a_refusal_has_a_whole_problem_document,
];

const STREAM_HEADERS: [(&str, &str); 4] = [
    ("cache-control", "no-cache, no-transform"),
    ("connection", "keep-alive"),
    ("content-type", "text/event-stream"),
    ("x-accel-buffering", "no"),
];

fn a_stream_has_the_headers_of_the_contract_and_no_others(start: Start) {
    let world = World::start(start);
    let mut stream = world.open(&Request::get(&path("1")).header("Accept", "text/event-stream"));
    assert_eq!(stream.head.version, "HTTP/1.1");
    assert_eq!(stream.head.meaning(), STREAM_HEADERS);
    assert_eq!(
        stream.head.header("content-length"),
        None,
        "a stream has no known length"
    );
    stream.greeting();
}

fn head_answers_the_headers_of_the_stream_and_registers_nobody(start: Start) {
    let world = World::start(start);
    let head = world.ask(&Request::new("HEAD", &path("1")));
    assert_eq!(head.status(), 200);
    let headers = head.head.meaning();
    let (position, rest): (Vec<_>, Vec<_>) = headers
        .into_iter()
        .partition(|(name, _)| *name == "saacms-last-event-id");
    assert_eq!(rest, STREAM_HEADERS);
    assert_eq!(position.len(), 1, "{head:?}");
    assert_eq!(head.header("content-length"), None, "a GET would send none");
    assert_eq!((world.stats().subscribers, world.stats().topics), (0, 0));

    let refused = world.ask(&Request::new("HEAD", &path("1")).header("Accept", "text/html"));
    assert_eq!((refused.status(), world.stats().topics), (406, 0));
}

fn options_requests_are_answered_with_the_allowed_methods(start: Start) {
    let world = World::start(start);
    for (target, allowed) in [
        (&*path("1"), "GET, HEAD, OPTIONS"),
        (PUBLISH, "POST, OPTIONS"),
    ] {
        let answer = world.ask(&Request::new("OPTIONS", target));
        assert_eq!((answer.status(), answer.text()), (204, ""), "{target}");
        assert_eq!(answer.head.meaning(), [("allow", allowed)], "{target}");
    }
    assert_eq!(world.stats().topics, 0);
}

fn other_methods_are_refused_with_the_allowed_ones(start: Start) {
    let world = World::start(start);
    let subscribe = path("1");

    // Methods are case-sensitive: `get` and `post` are other methods.
    for (target, allowed, methods) in [
        (
            &*subscribe,
            "GET, HEAD, OPTIONS",
            ["POST", "PUT", "PATCH", "DELETE", "PROPFIND", "get"],
        ),
        (
            PUBLISH,
            "POST, OPTIONS",
            ["GET", "PUT", "PATCH", "DELETE", "TRACE", "post"],
        ),
    ] {
        for method in methods {
            let answer = world.ask(&Request::new(method, target).header("Content-Length", "0"));
            expect_problem(&answer, 405, "method-not-allowed", allowed);
            assert_eq!(answer.header("allow"), Some(allowed), "{method} {target}");
        }
    }

    let head = world.ask(&Request::new("HEAD", PUBLISH));
    assert_eq!(
        (head.status(), head.header("allow")),
        (405, Some("POST, OPTIONS"))
    );
}

fn a_client_that_accepts_a_stream_gets_one(start: Start) {
    let world = World::start(start);
    world.greeted(&Request::get(&path("1")));

    for accept in [
        "text/event-stream",
        "Text/Event-Stream",
        "text/*",
        "*/*",
        "text/html, text/event-stream",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "text/event-stream;q=0.1",
        "text/event-stream; charset=utf-8",
        "text/*;q=0, text/event-stream",
        "application/json;q=0, */*;q=0.001",
    ] {
        world.greeted(&Request::get(&path("1")).header("Accept", accept));
    }
}

fn a_client_that_accepts_no_stream_is_refused(start: Start) {
    let world = World::start(start);
    for accept in [
        "",
        "application/json",
        "text/html",
        "application/x-text/event-stream+foo",
        "text/event-stream;q=0",
        "text/event-stream;q=0.000",
        "text/event-stream; Q=0, */*",
        "text/*;q=0, */*",
    ] {
        let answer = world.ask(&Request::get(&path("1")).header("Accept", accept));
        expect_problem(&answer, 406, "not-acceptable", "text/event-stream");
    }

    let not_text = world.ask(&Request::get(&path("1")).header("Accept", b"\xff"));
    assert_eq!(not_text.status(), 406);
    assert_eq!(world.stats().topics, 0, "no subscriber was registered");
}

fn several_accept_headers_are_read_as_one(start: Start) {
    let world = World::start(start);
    let request = Request::get(&path("1")).header("Accept", "text/html");
    world.greeted(&request.clone().header("Accept", "text/event-stream"));
    let answer = world.ask(&request.header("Accept", "application/json"));
    assert_eq!(answer.status(), 406);
}

fn unknown_paths_are_not_found(start: Start) {
    let world = World::start(start);
    for rest in [
        "/posts",
        "/posts/1",
        "/posts/subscribe",
        "/posts/1/subscribe/",
        "/posts/1/2/subscribe",
        "/posts/1/Subscribe",
        "/posts/1/subscribe%2F",
        "/posts/1/sub%73cribe",
        "/publish/",
        "/publish/1",
        "/Publish",
    ] {
        for method in ["GET", "POST", "OPTIONS"] {
            let target = format!("/api/saacms/v1{rest}");
            let answer = world.ask(&Request::new(method, &target).header("Content-Length", "0"));
            expect_problem(&answer, 404, "not-found", "/{collection}/{id}/subscribe");
        }
    }
}

fn a_hostile_path_is_refused_and_its_part_named(start: Start) {
    let world = World::start(start);
    for (key, detail) in [
        ("/1", "the collection must not be empty"),
        ("posts/", "the ID must not be empty"),
        ("a:b/1", "the collection must not contain `:` or `/`"),
        ("a%3Ab/1", "the collection must not contain `:` or `/`"),
        ("a%2Fb/1", "the collection must not contain `:` or `/`"),
        (
            "a%00b/1",
            "the collection must not contain control characters",
        ),
        ("posts/a%0Ab", "the ID must not contain control characters"),
        ("posts/%7F", "the ID must not contain control characters"),
        ("posts/%C2%85", "the ID must not contain control characters"),
        ("posts/*", "the ID must not be `*`"),
        ("posts/%2A", "the ID must not be `*`"),
        ("%E4%B8/1", "the collection in the path is not UTF-8"),
        ("posts/%FF", "the ID in the path is not UTF-8"),
        ("posts/%ED%A0%80", "the ID in the path is not UTF-8"),
        ("posts/%C0%AF", "the ID in the path is not UTF-8"),
    ] {
        for method in ["GET", "HEAD", "POST", "OPTIONS"] {
            let target = format!("/api/saacms/v1/{key}/subscribe");
            let answer = world.ask(&Request::new(method, &target).header("Content-Length", "0"));
            match method {
                "HEAD" => assert_eq!(answer.status(), 400, "{target}"),
                _ => expect_problem(&answer, 400, "invalid-key", detail),
            }
        }
    }
    assert_eq!(world.stats().topics, 0);
}

fn a_path_with_dot_segments_is_refused(start: Start) {
    let world = World::start(start);
    let base = "/api/saacms/v1";
    for target in [
        format!("{base}/posts/../posts/1/subscribe"),
        format!("{base}/./posts/1/subscribe"),
        format!("{base}/posts/./subscribe"),
        format!("{base}/posts/../subscribe"),
        format!("{base}/../v1/posts/1/subscribe"),
        format!("{base}/posts/%2e/subscribe"),
        format!("{base}/posts/%2E%2e/subscribe"),
        format!("{base}/.%2E/1/subscribe"),
        format!("{base}/public/%2e./posts/1/subscribe?x=1"),
        format!("{base}/./publish"),
        format!("{base}/%2E/publish"),
    ] {
        for method in ["GET", "POST", "OPTIONS"] {
            let answer = world.ask(&Request::new(method, &target).header("Content-Length", "0"));
            expect_problem(&answer, 400, "dot-segment", "`.` or `..`");
        }
    }
    assert_eq!(world.stats().topics, 0);

    // Dots that are no whole segment mean nothing.
    for id in ["...", ".a", "a..", "%252e"] {
        world.subscribe(id);
    }
}

fn the_longest_names_are_accepted_and_longer_ones_refused(start: Start) {
    let world = World::start(start);
    let target = |slug: usize, id: usize| {
        format!(
            "/api/saacms/v1/{}/{}/subscribe",
            "s".repeat(slug),
            "%C3%A9".repeat(id / 2)
        )
    };

    world.greeted(&Request::get(&target(128, 512)));
    let answer = world.ask(&Request::get(&target(129, 512)));
    expect_problem(
        &answer,
        400,
        "invalid-key",
        "the collection has 129 bytes; at most 128 are allowed",
    );

    let answer = world.ask(&Request::get(&target(128, 514)));
    expect_problem(
        &answer,
        400,
        "invalid-key",
        "the ID has 514 bytes; at most 512 are allowed",
    );
}

fn the_api_is_where_its_base_path_says(start: Start) {
    let api = open().at("/live/v2").expect("a base path");
    let world = World::with_api(start, api);
    let mut stream = world.greeted(&Request::get("/live/v2/posts/1/subscribe"));

    let event = r#"{"type":"changed","slug":"posts","id":"1","record":{},"etag":"v1"}"#;
    assert_eq!(
        world
            .ask(&Request::post("/live/v2/publish", event))
            .status(),
        204
    );
    stream.expect("event: changed\nid: v1\ndata: {}\n\n");
    assert_eq!(world.ask(&Request::get(&path("1"))).status(), 404);
    assert_eq!(
        world
            .ask(&Request::post("/live/v22/publish", event))
            .status(),
        404
    );
}

fn a_refusal_has_a_whole_problem_document(start: Start) {
    let world = World::start(start);
    let answer = world.ask(&Request::post(PUBLISH, "{}"));
    assert_eq!(
        answer.head.meaning(),
        [("content-type", "application/problem+json")]
    );
    assert_eq!(
        answer.text(),
        concat!(
            r#"{"type":"urn:saacms-realtime:invalid-event","title":"Invalid event","status":400,"#,
            r#""detail":"`slug` is missing; it must be a string"}"#
        )
    );
}
