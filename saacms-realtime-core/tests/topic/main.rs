//! The public API of `Topic`: which IDs events get, and what follows a last event ID.
#![cfg(feature = "alloc")]

mod ids;
mod log;
mod positions;

use log::{AS_THE_PLUGIN, Log, POSITION, QUIET};

#[test]
fn without_a_last_event_id_a_reader_begins_live() {
    let mut log = Log::new(QUIET, 4);
    log.publish("abc");
    assert_eq!(log.answer(None), "");
}

#[test]
fn a_known_id_is_answered_with_every_event_after_it() {
    for policy in [QUIET, AS_THE_PLUGIN] {
        let mut log = Log::new(policy, 4);
        log.publish("abcd");
        assert_eq!(log.answer(Some("a")), "bcd");
        assert_eq!(log.answer(Some("d")), "");
    }
}

#[test]
fn a_repeated_id_stands_for_its_oldest_copy() {
    let mut log = Log::new(QUIET, 4);
    log.publish("abac");
    assert_eq!(
        log.answer(Some("a")),
        "bac",
        "too much, never too little (Q20)"
    );
}

#[test]
fn an_id_that_nobody_knows_is_answered_with_one_resync() {
    for policy in [QUIET, AS_THE_PLUGIN, POSITION] {
        let mut log = Log::new(policy, 4);
        log.publish("abcdef");
        let future = Log::position(7);
        for id in [
            "zz",
            "",
            "a, b",
            "ee.1",
            "00000000000000ee",
            "00000000000000ee.",
            "00000000000000ee.x",
            "00000000000000ee.-1",
            "00000000000000EE.1",
            &future,
            "ab",
        ] {
            assert_eq!(log.answer(Some(id)), "<buffer-miss>", "{policy:?} {id:?}");
        }
    }
}

#[test]
fn ids_are_compared_as_bytes_without_outer_blanks() {
    let mut log = Log::new(QUIET, 4);
    log.publish_as("é", 'a');
    log.publish_as("W/\"2\"", 'b');
    assert_eq!(log.answer(Some(" \té ")), "b");
    assert_eq!(log.answer_bytes(Some(b"\xc3\xa9")), "b");
    assert_eq!(
        log.answer_bytes(Some(b"\xe9")),
        "<buffer-miss>",
        "Latin-1 (Q07)"
    );
    assert_eq!(log.answer(Some("w/\"2\"")), "<buffer-miss>");
}

#[test]
fn only_what_http_drops_is_dropped_around_an_id() {
    // HTTP strips blanks alone, so an ETag may begin with a no-break space.
    let mut log = Log::new(QUIET, 4);
    log.publish_as("\u{a0}v1", 'a');
    log.publish("b");
    assert_eq!(log.answer(Some("\u{a0}v1")), "b");
    assert_eq!(log.answer(Some("v1")), "<buffer-miss>");
}

#[test]
fn an_id_that_left_the_replay_window_is_unknown_though_the_ring_still_holds_it() {
    let mut log = Log::new(AS_THE_PLUGIN, 2);
    log.publish("abcd");
    assert_eq!(
        log.topic.ring().len(),
        4,
        "held for readers that are behind"
    );
    assert_eq!(log.answer(Some("c")), "d");
    assert_eq!(
        log.answer(Some("b")),
        "<buffer-miss>",
        "the neighbour (Q22)"
    );

    log.advance(Log::MAX_AGE);
    assert_eq!(log.answer(Some("c")), "d", "exactly this old stays (Q26)");

    log.advance(1);
    assert_eq!(log.answer(Some("c")), "<buffer-miss>");
}

#[test]
fn with_quiet_resume_the_id_before_the_window_is_known() {
    let mut log = Log::new(QUIET, 2);
    log.publish("abcd");
    assert_eq!(log.answer(Some("b")), "cd", "still held");
    assert_eq!(log.answer(Some("a")), "<buffer-miss>", "`b` is lost for it");

    log.publish("efghij");
    assert_eq!(log.topic.ring().first(), 5, "the ring holds six");
    assert_eq!(log.answer(Some("h")), "ij");
    assert_eq!(
        log.answer(Some("d")),
        "<buffer-miss>",
        "left the ring, but is not the neighbour"
    );

    log.advance(100 * Log::MAX_AGE);
    assert_eq!(log.answer(Some("j")), "", "the newest, gone by age");
    assert_eq!(log.topic.ring().len(), 0);
    assert_eq!(log.answer(Some("i")), "<buffer-miss>");
}

#[test]
fn live_only_topics_know_their_newest_id_with_quiet_resume_alone() {
    for (policy, answer) in [(QUIET, ""), (AS_THE_PLUGIN, "<buffer-miss>")] {
        let mut log = Log::new(policy, 0);
        log.publish("ab");
        assert_eq!(log.answer(Some("b")), answer, "{policy:?} (Q28)");
        assert_eq!(log.answer(Some("a")), "<buffer-miss>", "{policy:?}");
    }
}
