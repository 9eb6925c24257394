use std::borrow::Cow;
use std::string::ToString as _;

use serde_json::value::RawValue;

use super::posted::unescaped;
use super::*;

fn error(body: &str) -> EventError {
    Event::from_json(body.as_bytes()).expect_err(body)
}

#[test]
fn the_record_stays_as_it_was_written() {
    let event = Event::from_json(
        br#" {"record" : {"b":1.0, "a":-0 ,"a":"\u00e9\/ "}, "type":"changed","slug":"s","id":"i"} "#,
    )
    .expect("valid");
    assert_eq!(event.data(), br#"{"b":1.0,"a":-0,"a":"\u00e9\/ "}"#);
    assert_eq!(event.etag(), None);
}

#[test]
fn null_is_a_record_and_absence_is_not() {
    let event =
        Event::from_json(br#"{"type":"snapshot","slug":"s","id":"i","record":null}"#).expect("");
    assert_eq!(event.data(), b"null");
    assert_eq!(
        error(r#"{"type":"snapshot","slug":"s","id":"i"}"#),
        EventError::Missing { member: "record" }
    );
}

#[test]
fn the_last_of_repeated_members_counts_however_it_is_escaped() {
    let event = Event::from_json(
        br#"{"type":5,"slug":"s","id":"a","id":"b","t\u0079pe":"deleted","etag":[]}"#,
    )
    .expect("valid");
    assert_eq!(
        (event.event_type(), event.key().id()),
        (EventType::Deleted, "b")
    );
    assert_eq!(event.data(), br#"{"id":"b"}"#);
}

#[test]
fn a_refusal_names_the_member_and_what_is_allowed() {
    let message = |body: &str| error(body).to_string();
    assert_eq!(
        message(r#"{"type":"updated","slug":"s","id":"i"}"#),
        r#"`type` is "updated", but must be "snapshot", "changed" or "deleted""#
    );
    assert_eq!(
        message(r#"{"type":"changed","slug":"s","id":6}"#),
        "`id` must be a string, found 6"
    );
    assert_eq!(
        message(r#"{"type":"changed","slug":"s","id":"i","record":1,"etag":"a\r"}"#),
        "`etag` must not contain control characters: visible characters are allowed, with single \
         blanks between them"
    );
    assert_eq!(
        message(r#"{"type":"changed","slug":"s","id":"\ud800"}"#),
        "`id` has a lone surrogate, which UTF-8 cannot carry"
    );
    assert!(message("[]").contains("invalid type: sequence"));
    assert!(message(r#"{"type":"changed"} x"#).contains("trailing characters"));
}

#[test]
fn an_event_made_in_the_process_has_the_parts_it_was_made_of() {
    let key = || ResourceKey::new("s", "a\"b").expect("valid");
    let changed = Event::changed(key(), "x", Some("v1")).expect("valid");
    assert_eq!(
        (changed.event_type(), changed.data()),
        (EventType::Changed, &b"\"x\""[..])
    );
    assert_eq!(changed.etag().map(EventId::as_str), Some("v1"));
    let snapshot = Event::snapshot(key(), &[1], Some("")).expect("valid");
    assert_eq!(
        (snapshot.event_type(), snapshot.data()),
        (EventType::Snapshot, &b"[1]"[..])
    );
    assert_eq!(snapshot.etag(), None, "an empty ETag is none (Q05)");
    let deleted = Event::deleted(key());
    assert_eq!(
        (deleted.event_type(), deleted.key()),
        (EventType::Deleted, &key())
    );
    assert_eq!(deleted.data(), br#"{"id":"a\"b"}"#);
    let nested = |depth: usize| {
        let record = "[".repeat(depth) + &"]".repeat(depth);
        let record = RawValue::from_string(record).expect("JSON");
        Event::changed(key(), &*record, None).map(drop)
    };
    // Within the event that a client could have posted.
    assert_eq!(
        (nested(127), nested(128)),
        (Ok(()), Err(EventError::TooDeep { depth: 129 }))
    );
}

#[test]
fn a_string_is_copied_only_where_it_has_escapes() {
    assert!(matches!(
        unescaped(r#""plain""#),
        Some(Cow::Borrowed("plain"))
    ));
    assert_eq!(unescaped(r#""\u0061""#).as_deref(), Some("a"));
    assert_eq!((unescaped("5"), unescaped(r#""\ud800""#)), (None, None));
}

#[test]
fn nesting_over_128_is_refused_wherever_it_is() {
    let nested = |member: &str, depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        let body = std::format!(
            r#"{{"type":"changed","slug":"s","id":"i","record":1,"{member}":{open}{close}}}"#
        );
        Event::from_json(body.as_bytes())
    };
    assert!(nested("record", 127).is_ok());
    assert_eq!(
        nested("record", 128).unwrap_err(),
        EventError::TooDeep { depth: 129 }
    );
    assert_eq!(
        nested("other", 100_000).unwrap_err(),
        EventError::TooDeep { depth: 100_001 }
    );
}
