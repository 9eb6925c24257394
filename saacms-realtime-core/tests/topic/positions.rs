//! Positions, and the effect of an interruption on both kinds of ID.

use saacms_realtime_core::EventId;

use crate::log::{AS_THE_PLUGIN, Log, POSITION, QUIET};

#[test]
fn a_position_is_answered_exactly() {
    let mut log = Log::new(POSITION, 3);
    assert_eq!(log.resync_id(), Log::position(0));

    log.publish("aaa");
    let etag = EventId::new("etag").ok();
    let next_id = log.topic.next_id(etag, log.now().wall).to_string();
    assert_eq!(next_id, Log::position(4));

    for (sequence, answer) in [(0, "aaa"), (2, "a"), (3, ""), (4, "<buffer-miss>")] {
        let position = Log::position(sequence);
        assert_eq!(log.answer(Some(&position)), answer, "{position}");
    }

    log.publish("b");
    for (sequence, answer) in [
        (1, "aab"),
        (0, "<buffer-miss>"),
        (u64::MAX, "<buffer-miss>"),
    ] {
        let position = Log::position(sequence);
        assert_eq!(log.answer(Some(&position)), answer, "{position}");
    }
    assert_eq!(log.resync_id(), Log::position(4));
    assert_eq!(log.topic.position().to_string(), Log::position(4));
}

#[test]
fn a_position_of_another_life_is_answered_with_restarted() {
    for policy in [POSITION, QUIET, AS_THE_PLUGIN] {
        let mut log = Log::new(policy, 3);
        log.publish("ab");
        for other in [
            "00000000000000ed.1",
            "0000000000000000.0",
            "ffffffffffffffff.2",
        ] {
            assert_eq!(log.answer(Some(other)), "<restarted>", "{other}");
        }
    }
}

/// Publishes letters, each with the sequence that follows: others are taken by other records.
fn publish_at(log: &mut Log, letters: &[(u64, char)]) {
    for (sequence, letter) in letters {
        log.topic.raise_head(*sequence);
        log.publish_as(&letter.to_string(), *letter);
    }
}

#[test]
fn a_position_between_two_events_is_answered_with_what_comes_after_it() {
    for policy in [POSITION, QUIET, AS_THE_PLUGIN] {
        let mut log = Log::new(policy, 3);
        publish_at(&mut log, &[(5, 'a'), (9, 'b'), (10, 'c'), (20, 'd')]);
        log.topic.raise_head(31);

        for (sequence, answer) in [
            (0, "<buffer-miss>"),
            (4, "<buffer-miss>"),
            (5, "bcd"),
            (6, "bcd"),
            (8, "bcd"),
            (9, "cd"),
            (10, "d"),
            (19, "d"),
            (20, ""),
            (30, ""),
            (31, "<buffer-miss>"),
        ] {
            let position = Log::position(sequence);
            assert_eq!(log.answer(Some(&position)), answer, "{policy:?} {position}");
        }
        assert_eq!(log.topic.newest_sequence(), 20);
        assert_eq!(log.topic.position().to_string(), Log::position(30));
    }
}

#[test]
fn a_position_is_answered_after_all_events_have_left() {
    let mut log = Log::new(POSITION, 3);
    publish_at(&mut log, &[(5, 'a'), (9, 'b')]);
    while log.topic.evict_oldest() {}
    log.topic.raise_head(20);
    assert_eq!(log.answer(Some(&Log::position(8))), "<buffer-miss>");
    for sequence in [9, 10, 19] {
        assert_eq!(log.answer(Some(&Log::position(sequence))), "", "{sequence}");
    }
    assert_eq!(log.topic.newest_sequence(), 9);
}

#[test]
fn a_topic_answers_for_nothing_up_to_its_floor() {
    let mut log = Log::new(POSITION, 3);
    log.topic.raise_floor(7);
    assert_eq!(log.answer(Some(&Log::position(6))), "<buffer-miss>");
    assert_eq!(log.answer(Some(&Log::position(7))), "");
    assert_eq!(log.resync_id(), Log::position(7), "where a client goes on");

    log.publish("a");
    assert_eq!(log.answer(Some(&Log::position(6))), "<buffer-miss>");
    assert_eq!(log.answer(Some(&Log::position(7))), "a");
    assert_eq!(log.answer(Some(&Log::position(8))), "");
}

#[test]
fn an_etag_that_reads_as_a_position_is_an_etag_first() {
    let mut log = Log::new(QUIET, 4);
    log.publish_as(&Log::position(3), 'a');
    log.publish("bcd");
    assert_eq!(log.answer(Some(&Log::position(3))), "bcd");
    assert_eq!(log.answer(Some(&Log::position(2))), "cd");
}

#[test]
fn an_interrupt_resyncs_every_reader_and_forgets_every_id() {
    let etags = ["a".to_owned(), "b".to_owned()];
    let positions = [Log::position(1), Log::position(2)];
    for (policy, [old, newest]) in [(QUIET, etags), (POSITION, positions)] {
        let mut log = Log::new(policy, 4);
        log.publish("ab");
        let mut live = log.reader(None);
        log.topic.interrupt();
        assert_eq!(log.read(&mut live), "<source-lost>");
        assert_eq!(log.answer(Some(&newest)), "<buffer-miss>");
        let resync_id = log.resync_id();
        assert_eq!(log.answer(Some(&resync_id)), "");
        log.publish("c");
        assert_eq!(log.read(&mut live), "c");
        assert_eq!(log.answer(Some(&resync_id)), "c");
        assert_eq!(log.answer(Some(&newest)), "<buffer-miss>");
        assert_eq!(log.answer(Some(&old)), "<buffer-miss>");
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
        Log::position(9),
        "no event is left to lend its own"
    );
}
