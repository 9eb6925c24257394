//! Refused events: each answer names the member and the reason, and nothing is published.

use super::client::Request;
use super::world::{KEEPALIVE, PUBLISH, World, changed, expect_problem, frame, path};
use super::{Start, scenarios};

scenarios![
    a_body_that_is_no_event_is_refused,
    a_missing_or_ill_typed_member_is_named,
    an_invalid_key_is_refused,
    an_etag_that_no_client_could_send_back_is_refused,
    an_etag_of_any_visible_characters_comes_back_as_the_last_event_id,
    a_refusal_repeats_no_more_than_an_excerpt_of_the_body,
    a_body_that_is_not_utf_8_is_refused,
    nesting_up_to_128_is_accepted_and_deeper_is_refused,
];

/// Checks that each body is refused with this detail and reaches no subscriber.
fn expect_refusals<B: AsRef<[u8]>>(
    start: Start,
    refusals: impl IntoIterator<Item = (B, &'static str)>,
) {
    let world = World::start(start);
    let mut stream = world.subscribe("1");
    for (body, detail) in refusals {
        let answer = world.ask(&Request::post(PUBLISH, body));
        expect_problem(&answer, 400, "invalid-event", detail);
    }
    assert_eq!(world.stats().published, 0);
    stream.expect(world.publish("1", "v1"));
}

fn a_body_that_is_no_event_is_refused(start: Start) {
    const NOT_AN_EVENT: &str = "not a JSON object with the members";

    let event = changed("1", "v", "1");
    let bodies = [
        "",
        " ",
        "nope",
        "null",
        "5",
        "\"x\"",
        "[]",
        "[{}]",
        "{",
        "}",
        "{]",
        "{\"type\"",
        "\u{feff}x",
        "{'type':'changed'}",
        "{\"a\":01}",
        "{\"a\":NaN}",
        "{\"a\":\"\n\"}",
        "{\"a\":1,}",
        "{\"a\":\"\\x\"}",
    ];
    let wrong = bodies.iter().map(|body| ((*body).to_owned(), NOT_AN_EVENT));
    let spoilt = [
        event.clone() + "x",
        event.clone() + &event,
        event.clone() + "\0",
        event[..event.len() - 1].to_owned(),
        format!("[{event}]"),
        format!("\u{feff}\u{feff}{event}"),
    ];

    expect_refusals(
        start,
        wrong.chain(spoilt.into_iter().map(|body| (body, NOT_AN_EVENT))),
    );
}

fn a_missing_or_ill_typed_member_is_named(start: Start) {
    let allowed = r#"must be "snapshot", "changed" or "deleted""#;
    expect_refusals(
        start,
        [
            (r#"{}"#, "`slug` is missing"),
            (r#"{"slug":"posts","type":"deleted"}"#, "`id` is missing"),
            (r#"{"slug":"posts","id":"1"}"#, "`type` is missing"),
            (
                r#"{"type":"changed","slug":"posts","id":"1"}"#,
                "`record` is missing",
            ),
            (
                r#"{"type":"snapshot","slug":"posts","id":"1","etag":"v"}"#,
                "`record` is missing",
            ),
            (
                r#"{"type":"changed","slug":5,"id":"1","record":1}"#,
                "`slug` must be a string, found 5",
            ),
            (
                r#"{"type":"changed","slug":null,"id":"1","record":1}"#,
                "`slug` must be a string",
            ),
            (
                r#"{"type":"changed","slug":"posts","id":1,"record":1}"#,
                "`id` must be a string",
            ),
            (
                r#"{"type":"changed","slug":"posts","id":["1"],"record":1}"#,
                "`id` must be a string",
            ),
            (
                r#"{"type":["changed"],"slug":"posts","id":"1","record":1}"#,
                "`type` must be a string",
            ),
            (
                r#"{"type":"updated","slug":"posts","id":"1","record":1}"#,
                allowed,
            ),
            (r#"{"type":"","slug":"posts","id":"1","record":1}"#, allowed),
            (
                r#"{"type":"Changed","slug":"posts","id":"1","record":1}"#,
                allowed,
            ),
            (
                r#"{"type":"saacms-resync","slug":"posts","id":"1","record":1}"#,
                allowed,
            ),
            (
                r#"{"type":"changed\nid: x","slug":"posts","id":"1","record":1}"#,
                allowed,
            ),
            (
                r#"{"type":"changed","slug":"posts","id":"1","record":1,"etag":5}"#,
                "`etag` must be a string, found 5",
            ),
            (
                r#"{"type":"changed","slug":"posts","id":"1","record":1,"etag":false}"#,
                "`etag` must be a string",
            ),
            (
                r#"{"type":"changed","slug":"posts","id":"1","record":1,"etag":{}}"#,
                "`etag` must be a string",
            ),
        ],
    );
}

fn an_invalid_key_is_refused(start: Start) {
    let event =
        |slug: &str, id: &str| format!(r#"{{"type":"deleted","slug":"{slug}","id":"{id}"}}"#);
    let [long_slug, long_id] = ["s".repeat(129), "é".repeat(257)];
    expect_refusals(
        start,
        [
            (event("", "1"), "`slug`: the collection must not be empty"),
            (event("posts", ""), "`id`: the ID must not be empty"),
            (
                event("a:b", "1"),
                "`slug`: the collection must not contain `:` or `/`",
            ),
            (
                event("a\\/b", "1"),
                "`slug`: the collection must not contain `:` or `/`",
            ),
            (
                event("a\\u0000", "1"),
                "`slug`: the collection must not contain control characters",
            ),
            (
                event("posts", "1\\n"),
                "`id`: the ID must not contain control characters",
            ),
            (
                event("posts", "\u{7f}"),
                "`id`: the ID must not contain control characters",
            ),
            (
                event("posts", "\\u0085"),
                "`id`: the ID must not contain control characters",
            ),
            (
                event(".", "1"),
                "`slug`: the collection must not be `.` or `..`",
            ),
            (
                event("..", "1"),
                "`slug`: the collection must not be `.` or `..`",
            ),
            (event("posts", "."), "`id`: the ID must not be `.` or `..`"),
            (
                event("posts", "\\u002e."),
                "`id`: the ID must not be `.` or `..`",
            ),
            (event("posts", "*"), "`id`: the ID must not be `*`"),
            (event("posts", "\\ud800"), "`id` has a lone surrogate"),
            (
                event(&long_slug, "1"),
                "`slug`: the collection has 129 bytes; at most 128 are allowed",
            ),
            (
                event("posts", &long_id),
                "`id`: the ID has 514 bytes; at most 512 are allowed",
            ),
        ],
    );
}

fn an_etag_that_no_client_could_send_back_is_refused(start: Start) {
    let long = "v".repeat(513);
    let etags = [
        (
            "a\n\nevent: changed\nid: evil\ndata: {}",
            "`etag` must not contain control characters",
        ),
        ("a\rdata: x", "`etag` must not contain control characters"),
        ("\0", "`etag` must not contain control characters"),
        ("a\u{1}", "visible characters are allowed"),
        ("\u{1f}b", "visible characters are allowed"),
        ("a\u{7f}b", "visible characters are allowed"),
        ("a  b", "`etag` must not contain two blanks in a row"),
        ("a \tb", "`etag` must not contain two blanks in a row"),
        (" v", "`etag` must not begin or end with a space or a tab"),
        ("v\t", "`etag` must not begin or end with a space or a tab"),
        (&*long, "`etag` has 513 bytes; at most 512 are allowed"),
    ];
    let lone =
        r#"{"type":"changed","slug":"posts","id":"1","record":1,"etag":"\udc00"}"#.to_owned();
    let refusals = etags.map(|(etag, detail)| (changed("1", etag, "1"), detail));

    expect_refusals(
        start,
        refusals
            .into_iter()
            .chain([(lone, "`etag` has a lone surrogate")]),
    );

    let world = World::start(start);
    world.publish("1", "v0");
    let frame = world.publish("1", &long[..512]);

    world.resume("1", "v0").expect(frame);
    world
        .resume("1", &long[..512])
        .expect(world.publish("1", "v1"));
}

fn an_etag_of_any_visible_characters_comes_back_as_the_last_event_id(start: Start) {
    let world = World::start(start);
    for etag in [
        "v",
        "!",
        "~",
        "a b c",
        "a\tb",
        "W/\"5f1\"",
        "\"with: colon, comma\"",
        "é",
        "\u{80}\u{9f}\u{a0}\u{ff}",
        "日本 語",
        "\u{10ffff}",
    ] {
        let (event, next) = (changed("1", etag, "1"), changed("1", "next", "2"));
        world.publish_event(&event);
        world.publish_event(&next);
        world.resume("1", etag).expect(frame("next", "2"));

        let query: String = etag.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let mut stream = world.open(&Request::get(&format!("{}?lastEventId={query}", path("1"))));
        stream.expect([KEEPALIVE, &frame("next", "2")].concat());
    }
}

fn a_refusal_repeats_no_more_than_an_excerpt_of_the_body(start: Start) {
    let world = World::start(start);
    let control = "\\u0001".repeat(160_000);
    let long = "x".repeat(900_000);
    for body in [
        format!("\"{control}\""),
        format!("\"{long}\""),
        long.clone(),
        format!(r#"{{"type":"{long}","slug":"posts","id":"1"}}"#),
        format!(r#"{{"type":"deleted","slug":"{long}","id":"1"}}"#),
        format!(r#"{{"type":"deleted","slug":"posts","id":"{control}"}}"#),
        format!(r#"{{"type":"deleted","slug":{{"{long}":1}},"id":"1"}}"#),
    ] {
        let answer = world.ask(&Request::post(PUBLISH, &body));
        expect_problem(&answer, 400, "invalid-event", "`");
        let len = answer.body.len();
        assert!(len < 500, "{len} bytes: {}", answer.text());

        let lines = Request::post(PUBLISH, &body).header("Content-Type", "application/x-ndjson");
        assert_eq!(
            world.ask(&lines).body.len(),
            len + 1,
            "its result is the same document"
        );
    }
}

fn a_body_that_is_not_utf_8_is_refused(start: Start) {
    let event = |bytes: &[u8]| {
        let text = changed("1", "v", "\"?\"");
        let at = text.find('?').expect("a place");
        [&text.as_bytes()[..at], bytes, &text.as_bytes()[at + 1..]].concat()
    };
    let wrong: [&[u8]; 6] = [
        b"\xff",
        b"\x80",
        b"\xc3",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf5\x80\x80\x80",
    ];

    expect_refusals(
        start,
        wrong.map(|bytes| (event(bytes), "not UTF-8: byte 52 is invalid")),
    );

    // UTF-16, with and without a byte order mark.
    let utf_16: Vec<u8> = "{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let marked = [b"\xff\xfe", &utf_16[..]].concat();
    expect_refusals(
        start,
        [
            (utf_16, "not a JSON object"),
            (marked, "not UTF-8: byte 0 is invalid"),
        ],
    );
}

fn nesting_up_to_128_is_accepted_and_deeper_is_refused(start: Start) {
    let arrays = |depth: usize| changed("1", "v", &("[".repeat(depth) + &"]".repeat(depth)));
    let objects = |depth: usize| {
        changed(
            "1",
            "v",
            &("{\"a\":".repeat(depth) + "1" + &"}".repeat(depth)),
        )
    };
    let ignored = |depth: usize| {
        let deep = "[".repeat(depth) + &"]".repeat(depth);
        format!(r#"{{"type":"deleted","slug":"posts","id":"1","other":{deep}}}"#)
    };
    let world = World::start(start);

    for event in [arrays(127), objects(127), ignored(127)] {
        world.publish_event(&event);
    }

    let deep = "nested 129 deep; at most 128 levels are allowed";
    expect_refusals(
        start,
        [
            (arrays(128), deep),
            (objects(128), deep),
            (ignored(128), deep),
            (arrays(500_000), "nested 500001 deep"),
            ("[".repeat(1 << 20), "nested 1048576 deep"),
        ],
    );
}
