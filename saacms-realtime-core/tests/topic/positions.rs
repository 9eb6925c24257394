//! Positions, and the effect of an interruption on both kinds of ID.

use saacms_realtime_core::EventId;

use crate::log::{Log, POSITION, QUIET};

#[test]
fn a_position_is_answered_exactly() {
    let mut log = Log::new(POSITION, 3);
    assert_eq!(log.resync_id(), "e.0");

    log.publish("aaa");
    let etag = EventId::new("etag").ok();
    assert_eq!(log.topic.next_id(etag, log.now().wall).to_string(), "e.4");

    for (position, answer) in [
        ("e.0", "aaa"),
        ("e.2", "a"),
        ("e.3", ""),
        ("e.4", "<buffer-miss>"),
    ] {
        assert_eq!(log.answer(Some(position)), answer, "{position}");
    }

    log.publish("b");
    assert_eq!(log.answer(Some("e.1")), "aab", "nothing after it is lost");
    assert_eq!(log.answer(Some("e.0")), "<buffer-miss>");
    assert_eq!(log.answer(Some("e.18446744073709551615")), "<buffer-miss>");
    assert_eq!(log.resync_id(), "e.4");
    assert_eq!(
        log.topic
            .position()
            .map(|position| position.to_string())
            .as_deref(),
        Some("e.4")
    );
}

#[test]
fn a_position_of_another_life_is_answered_with_restarted() {
    let mut log = Log::new(POSITION, 3);
    log.publish("ab");
    for other in ["d.1", "ee.1", "0.0", "ffffffffffffffff.2"] {
        assert_eq!(log.answer(Some(other)), "<restarted>", "{other}");
    }
}

#[test]
fn an_interrupt_resyncs_every_reader_and_forgets_every_id() {
    for (policy, [old, newest]) in [(QUIET, ["a", "b"]), (POSITION, ["e.1", "e.2"])] {
        let mut log = Log::new(policy, 4);
        log.publish("ab");
        let mut live = log.reader(None);
        log.topic.interrupt();
        assert_eq!(log.read(&mut live), "<source-lost>");
        assert_eq!(log.answer(Some(newest)), "<buffer-miss>");
        let resync_id = log.resync_id();
        assert_eq!(log.answer(Some(&resync_id)), "");
        log.publish("c");
        assert_eq!(log.read(&mut live), "c");
        assert_eq!(log.answer(Some(&resync_id)), "c");
        assert_eq!(log.answer(Some(newest)), "<buffer-miss>");
        assert_eq!(log.answer(Some(old)), "<buffer-miss>");
    }
}

#[test]
fn history_that_is_freed_early_is_no_silent_gap() {
    let mut log = Log::new(QUIET, 4);
    log.publish("abc");
    let mut behind = log.reader(Some("a"));
    assert!(log.topic.evict_oldest() && log.topic.evict_oldest());
    assert_eq!(log.read(&mut behind), "<lagged>");
    assert_eq!(log.answer(Some("b")), "c", "left last");
    assert_eq!(log.answer(Some("a")), "<buffer-miss>");
    assert!(log.topic.evict_oldest());
    assert!(!log.topic.evict_oldest());
    assert_eq!(log.answer(Some("c")), "");
}

#[test]
fn an_interrupt_forgets_an_id_that_had_been_evicted() {
    let mut log = Log::new(QUIET, 4);
    log.publish("abcdefgh");
    assert_eq!(log.topic.ring().first(), 3, "`b` left last");
    log.topic.interrupt();
    assert_eq!(log.answer(Some("b")), "<buffer-miss>");
    assert_eq!(
        log.resync_id(),
        "2023-11-14T22:13:20.000Z",
        "no event is left to lend its own"
    );
}
