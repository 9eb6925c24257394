//! The IDs of events and resyncs.

use crate::log::{AS_THE_PLUGIN, Log, QUIET};

#[test]
fn of_the_events_of_one_millisecond_the_first_has_its_time_and_the_others_their_position() {
    let mut log = Log::new(QUIET, 4);
    let ids = [
        log.publish_untagged('a'),
        log.publish_untagged('b'),
        log.publish_untagged('c'),
    ];

    let time = "2023-11-14T22:13:20.000Z".to_owned();
    assert_eq!(ids, [time, Log::position(2), Log::position(3)]);
    for (id, answer) in ids.iter().zip(["bc", "c", ""]) {
        assert_eq!(log.answer(Some(id)), answer, "{id}");
    }

    log.advance(1);
    assert_eq!(log.publish_untagged('d'), "2023-11-14T22:13:20.001Z");
}

#[test]
fn a_clock_that_is_set_back_repeats_no_id_and_one_set_forward_expires_nothing() {
    let mut log = Log::new(QUIET, 8);
    let before = log.publish_untagged('a');
    log.wall -= 5_000;
    let after = log.publish_untagged('b');
    assert_eq!(
        (before.as_str(), after),
        ("2023-11-14T22:13:20.000Z", Log::position(2)),
        "no time is later than the clock"
    );

    log.wall += 1_000_000_000_000;
    log.publish_untagged('c');
    assert_eq!(
        log.answer(Some(&before)),
        "bc",
        "ages are of the monotonic clock (Q27)"
    );
}

#[test]
fn a_resync_names_the_newest_event_ever() {
    let mut log = Log::new(QUIET, 2);
    log.publish("abc");
    assert_eq!(log.resync_id(), "c");

    log.advance(100 * Log::MAX_AGE);
    log.topic.evict(log.now().instant);
    assert_eq!(log.resync_id(), "c", "evicted or not");

    let mut log = Log::new(AS_THE_PLUGIN, 2);
    log.publish("abc");
    assert_eq!(log.resync_id(), "c");

    log.advance(Log::MAX_AGE + 1);
    assert_eq!(
        log.resync_id(),
        "2023-11-14T22:13:21.001Z",
        "none is replayed any more"
    );
}

#[test]
fn the_id_of_a_resync_on_a_blank_topic_is_a_place_in_the_sequence() {
    let mut log = Log::new(QUIET, 4);
    assert_eq!(log.answer(Some("zz")), "<buffer-miss>");
    let place = log.resync_id();
    assert_eq!(place, Log::position(0));
    assert!(log.topic.is_blank(), "there is nothing to remember");
    assert_eq!(log.answer(Some(&place)), "", "no second resync (Q24)");

    let id = log.publish_untagged('a');
    assert_eq!(id, "2023-11-14T22:13:20.000Z");
    assert_eq!(log.answer(Some(&place)), "a");

    log.publish("bcde");
    assert_eq!(
        log.answer(Some(&place)),
        "<buffer-miss>",
        "`a` left the window"
    );
}

#[test]
fn without_quiet_resume_a_resync_of_an_empty_window_names_the_current_time_and_no_place() {
    let mut log = Log::new(AS_THE_PLUGIN, 4);
    let time = log.resync_id();
    assert_eq!(time, "2023-11-14T22:13:20.000Z");
    assert_eq!(log.answer(Some(&time)), "<buffer-miss>");

    let id = log.publish_untagged('a');
    assert_eq!(id, Log::position(1), "no event is given that time");
    log.advance(1);
    assert_eq!(log.publish_untagged('b'), "2023-11-14T22:13:20.001Z");
    assert_eq!(log.answer(Some(&time)), "<buffer-miss>");
}

#[test]
fn after_an_interrupt_a_resync_names_the_place_after_it() {
    let mut log = Log::new(QUIET, 4);
    let id = log.publish_untagged('a');
    log.topic.interrupt();
    let place = log.resync_id();
    assert_eq!(place, Log::position(2));
    assert_eq!(log.answer(Some(&place)), "");
    assert_eq!(log.answer(Some(&id)), "<buffer-miss>");
    assert_eq!(log.answer(Some(&Log::position(1))), "<buffer-miss>");
}
