//! The texts of errors: they name what is wrong and what is allowed.
#![cfg(feature = "std")]

use core::error::Error as _;
use core::time::Duration;
use std::collections::HashMap;

use saacms_realtime_core::route::{Api, Cors, Problem, Reply, Token};
use saacms_realtime_core::sse::Decoder;
use saacms_realtime_core::{
    Event, EventError, EventId, EventType, HubConfig, InvalidEventId, InvalidKey, KeyPart, Refusal,
    ResourceKey, ResyncReason,
};

#[test]
fn a_refusal_of_the_hub_names_the_limit_that_is_reached() {
    for (refusal, said) in [
        (
            Refusal::Draining {
                retry_after: Duration::ZERO,
            },
            "the hub is shutting down; try again in a moment",
        ),
        (
            Refusal::TooManyTopics { limit: 3 },
            "the hub is at its limit of 3 records",
        ),
        (
            Refusal::TooManySubscribers { limit: 4 },
            "the hub is at its limit of 4 subscribers",
        ),
        (
            Refusal::TooManySubscribersOfTopic { limit: 5 },
            "this record is at its limit of 5 subscribers",
        ),
        (
            Refusal::TooManyStreamsOfAddress { limit: 6 },
            "this address is at its limit of 6 streams",
        ),
        (
            Refusal::EngineAway,
            "the engine that keeps the history is away; the event was not published, try again in a \
             moment",
        ),
        (
            Refusal::EngineBusy,
            "too many events wait for the engine that keeps the history; the event was not \
             published, try again in a moment",
        ),
        (
            Refusal::EngineFull,
            "the engine that keeps the history has no room left; the event was not published",
        ),
        (
            Refusal::MaybePublished,
            "the engine that keeps the history did not confirm the event, so it may have been \
             published; publishing it again does no harm to the state",
        ),
        (
            Refusal::EventTooLarge { limit: 7 },
            "the event is larger than the limit of 7 bytes of the engine that keeps the history; it \
             was not published",
        ),
    ] {
        assert_eq!(refusal.to_string(), said);
    }
}

#[test]
fn a_publisher_is_told_whether_an_engine_may_take_the_event_later() {
    for (refusal, status, name, retry_after) in [
        (Refusal::EngineAway, 503, "engine-away", Some("5")),
        (Refusal::EngineBusy, 503, "engine-busy", Some("1")),
        (Refusal::MaybePublished, 503, "maybe-published", Some("5")),
        (Refusal::EngineFull, 507, "engine-full", None),
        (
            Refusal::EventTooLarge { limit: 7 },
            413,
            "event-too-large",
            None,
        ),
    ] {
        let reply = Reply::from(Problem::from(refusal));
        let headers = reply.headers.iter();
        let mut retries = headers.filter(|(name, _)| *name == "retry-after");

        let found = (reply.status, retries.next().map(|(_, value)| &**value));
        assert_eq!(found, (status, retry_after), "{refusal:?}");
        let said = String::from_utf8(reply.body).expect("UTF-8");
        let begin = format!(r#"{{"type":"urn:saacms-realtime:{name}","#);
        assert!(said.starts_with(&begin), "{said}");
    }
}

#[test]
fn a_refused_setting_is_named_with_its_range_and_unit() {
    let said = |config: HubConfig| config.check().expect_err("out of its range").to_string();
    assert_eq!(
        said(HubConfig {
            max_lag: 0,
            ..HubConfig::default()
        }),
        "max_lag is 0 events, but must be 1 to 1000000 events"
    );
    assert_eq!(
        said(HubConfig {
            heartbeat: Duration::from_millis(9),
            ..HubConfig::default()
        }),
        "heartbeat is 9 ms, but must be 10 to 2073600000 ms, or 0 for off"
    );
}

#[test]
fn names_are_displayed_as_on_the_wire() {
    assert_eq!(
        EventType::ALL.map(|it| it.to_string()),
        ["snapshot", "changed", "deleted"]
    );

    let reasons = ["buffer-miss", "lagged", "restarted", "source-lost"];
    assert_eq!(ResyncReason::ALL.map(|it| it.to_string()), reasons);

    let id = EventId::new("W/\"1\"").expect("valid");
    assert_eq!(
        (id.to_string().as_str(), id.as_ref()),
        ("W/\"1\"", "W/\"1\"")
    );
    assert_eq!(
        ResourceKey::new("posts", "a/1").expect("valid").to_string(),
        "posts/a/1"
    );
}

#[test]
fn a_refused_name_says_what_is_wrong_with_it() {
    for (wrong, said) in [
        (
            InvalidKey::Empty {
                part: KeyPart::Slug,
            },
            "the collection must not be empty",
        ),
        (
            InvalidKey::TooLong {
                part: KeyPart::Id,
                len: 513,
                max_len: 512,
            },
            "the ID has 513 bytes; at most 512 are allowed",
        ),
        (
            InvalidKey::ControlCharacter { part: KeyPart::Id },
            "the ID must not contain control characters",
        ),
        (
            InvalidKey::Separator,
            "the collection must not contain `:` or `/`",
        ),
        (
            InvalidKey::DotSegment { part: KeyPart::Id },
            "the ID must not be `.` or `..`, which a path cannot carry",
        ),
        (
            InvalidKey::Reserved,
            "the ID must not be `*`, which is reserved",
        ),
    ] {
        assert_eq!(wrong.to_string(), said);
    }
    for (wrong, said) in [
        (InvalidEventId::Empty, "must not be empty"),
        (
            InvalidEventId::TooLong { len: 513 },
            "has 513 bytes; at most 512 are allowed",
        ),
        (
            InvalidEventId::ControlCharacter,
            "must not contain control characters: visible characters are allowed, with single \
             blanks between them",
        ),
        (
            InvalidEventId::BlanksInARow,
            "must not contain two blanks in a row",
        ),
        (
            InvalidEventId::OuterBlank,
            "must not begin or end with a space or a tab",
        ),
    ] {
        assert_eq!(wrong.to_string(), said);
    }
}

#[test]
fn an_event_that_is_refused_names_its_member_and_its_cause() {
    let error = |body: &[u8]| Event::from_json(body).expect_err("no event");
    assert_eq!(
        error(b"{\xff").to_string(),
        "the event is not UTF-8: byte 1 is invalid"
    );

    let without_slug = error(br#"{"type":"deleted","id":"1"}"#);
    assert_eq!(
        without_slug.to_string(),
        "`slug` is missing; it must be a string"
    );

    let without_record = error(br#"{"type":"changed","slug":"s","id":"1"}"#);
    assert!(
        without_record
            .to_string()
            .starts_with("`record` is missing; ")
    );

    let deep = error("[".repeat(129).as_bytes());
    let said = "arrays and objects are nested 129 deep; at most 128 levels are allowed";
    assert_eq!(
        (deep.to_string().as_str(), deep.source().is_none()),
        (said, true)
    );

    let no_array = error(b"[]").to_string();
    assert!(no_array.contains("an object with the members type, slug, id, record and etag"));

    let key = ResourceKey::new("s", "1").expect("valid");
    let no_json = Event::changed(key.clone(), &HashMap::from([([1, 2], 3)]), None);
    let said = no_json.expect_err("keys that are no strings").to_string();
    assert!(
        said.starts_with("`record` cannot be written as JSON: "),
        "{said}"
    );

    let bad_key = error(br#"{"type":"deleted","slug":"","id":"1"}"#);
    assert_eq!(
        bad_key.to_string(),
        "`slug`: the collection must not be empty"
    );
    assert_eq!(
        bad_key.source().expect("a cause").to_string(),
        "the collection must not be empty"
    );

    let bad_etag = Event::changed(key, &1, Some(" ")).expect_err("a blank");
    assert_eq!(bad_etag, EventError::Etag(InvalidEventId::OuterBlank));
    assert_eq!(
        bad_etag.source().expect("a cause").to_string(),
        InvalidEventId::OuterBlank.to_string()
    );
}

#[test]
fn an_unknown_type_is_quoted_by_its_first_40_characters() {
    let said = |found: &str| {
        let body = format!(r#"{{"type":"{found}","slug":"s","id":"1"}}"#);
        Event::from_json(body.as_bytes())
            .expect_err("no type")
            .to_string()
    };
    let told = |found: &str| {
        format!(r#"`type` is "{found}", but must be "snapshot", "changed" or "deleted""#)
    };

    assert_eq!(said(&"x".repeat(40)), told(&"x".repeat(40)));
    assert_eq!(said(&"x".repeat(41)), told(&("x".repeat(40) + "…")));
    assert_eq!(said(&"é".repeat(40)), told(&"é".repeat(40)));
    assert_eq!(
        said("a\\u0000b"),
        told("a\u{fffd}b"),
        "nothing in it can move a terminal"
    );
    assert_eq!(
        said(&"\\u0000".repeat(41)),
        told(&("\u{fffd}".repeat(40) + "…"))
    );
}

#[test]
fn a_setting_of_the_server_that_is_refused_says_what_is_allowed() {
    let short = Token::new("short").expect_err("too short");
    assert_eq!(
        short.to_string(),
        "the publish token has 5 bytes, but must have 16 to 512"
    );

    let blank = Token::new("0123456789 abcdef").expect_err("a blank");
    assert_eq!(
        blank.to_string(),
        "the publish token must be visible ASCII without blanks"
    );

    let origin = Cors::new(["a.example"]).expect_err("no scheme").to_string();
    assert!(
        origin.starts_with("\"a.example\" must be * or scheme://host[:port]"),
        "{origin}"
    );

    let base_path = Api::default().at("x").expect_err("no `/`").to_string();
    assert!(
        base_path.starts_with("a base path is empty, or `/` and segments"),
        "{base_path}"
    );

    let mut decoder = Decoder::new(3);
    decoder.feed(b"data: 1").expect("nothing is too long yet");
    let long = decoder.feed(b"2").expect_err("a long line").to_string();
    assert_eq!(long, "the stream has an event of more than 3 bytes");

    let problem = Problem::body_too_large(10);
    let said = "413 Body too large: the body is larger than the limit of 10 bytes";
    assert_eq!(problem.to_string(), said);
    assert_eq!(
        problem.detail(),
        "the body is larger than the limit of 10 bytes"
    );
}

#[test]
fn no_message_repeats_more_than_an_excerpt_of_the_input() {
    let [long, word] = ["\u{1}".repeat(1 << 20), "x".repeat(1 << 20)];
    let bodies = [
        serde_json::Value::from(&*long).to_string(),
        word.clone(),
        format!(r#"{{"type":"deleted","slug":"s","id":"1"}} {word}"#),
        format!(r#"{{"type":"{word}","slug":"s","id":"1"}}"#),
        format!(r#"{{"type":"deleted","slug":"{word}","id":"1"}}"#),
        format!(r#"{{"type":"deleted","slug":"s","id":"{word}"}}"#),
        format!(
            r#"{{"type":"deleted","slug":[{}0],"id":"1"}}"#,
            "0,".repeat(1 << 19)
        ),
        format!(r#"{{"type":"changed","slug":"s","id":"1","record":0,"etag":"{word}"}}"#),
        format!(r#"{{"{word}":x}}"#),
        format!("1{}", "0".repeat(1 << 20)),
    ];
    for body in bodies {
        let error = Event::from_json(body.as_bytes()).expect_err("no event");
        let said = Problem::from(error).to_json();
        assert!(said.len() < 500, "{} bytes: {said}", said.len());
    }

    let key = |id: &str| ResourceKey::new(&"s".repeat(128), id).expect("a key");
    let other = Problem::other_record(&key(&word[..512]), &key("1")).to_json();
    assert!(other.len() < 500, "{other}");
    let origin = Cors::new([&*word]).expect_err("no origin").to_string();
    let host = Api::default()
        .with_allowed_hosts([&*long])
        .expect_err("no name");
    assert!(origin.len() < 300 && host.to_string().len() < 300);
}
