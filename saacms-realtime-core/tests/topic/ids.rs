//! The IDs of events and resyncs.

use crate::log::{AS_THE_PLUGIN, Log, QUIET};

#[test]
fn events_of_one_millisecond_do_not_share_an_id() {
    let mut log = Log::new(QUIET, 4);
    let ids = [
        log.publish_untagged('a'),
        log.publish_untagged('b'),
        log.publish_untagged('c'),
    ];

    assert_eq!(
        ids,
        [
            "2023-11-14T22:13:20.000Z",
            "2023-11-14T22:13:20.001Z",
            "2023-11-14T22:13:20.002Z"
        ]
    );
    assert_eq!(log.answer(Some(&ids[0])), "bc");
}

#[test]
fn a_clock_that_is_set_back_repeats_no_id_and_one_set_forward_expires_nothing() {
    let mut log = Log::new(QUIET, 8);
    let before = log.publish_untagged('a');
    log.wall -= 5_000;
    let after = log.publish_untagged('b');
    assert_eq!(
        (before.as_str(), after.as_str()),
        ("2023-11-14T22:13:20.000Z", "2023-11-14T22:13:20.001Z")
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
    for policy in [QUIET, AS_THE_PLUGIN] {
        let mut log = Log::new(policy, 4);
        assert!(log.topic.is_blank());
        assert_eq!(log.answer(Some("zz")), "<buffer-miss>");

        let marker = log.resync_id();
        assert_eq!(marker, "2023-11-14T22:13:20.000Z");
        assert!(!log.topic.is_blank(), "a client holds one of its IDs");
        assert_eq!(log.answer(Some(&marker)), "", "no second resync (Q24)");
        assert_eq!(log.resync_id(), marker, "in the same millisecond");

        for other in [
            marker.clone() + "0",
            marker.replace('Z', ""),
            marker[..4].to_owned(),
        ] {
            assert_eq!(log.answer(Some(&other)), "<buffer-miss>", "{other}");
        }

        let id = log.publish_untagged('a');
        assert_eq!(
            id, "2023-11-14T22:13:20.001Z",
            "it is not given to an event"
        );
        assert_eq!(log.answer(Some(&marker)), "a");

        log.publish("bcde");
        assert_eq!(
            log.answer(Some(&marker)),
            "<buffer-miss>",
            "`a` left the window"
        );
    }
}

#[test]
fn markers_are_few_and_all_name_the_same_place() {
    let mut log = Log::new(QUIET, 4);
    let mut markers = Vec::new();
    for _ in 0..100 {
        markers.push(log.resync_id());
        log.advance(1);
    }

    assert!(
        markers[..8].is_sorted_by(|one, next| one < next),
        "each its own time: {markers:?}"
    );

    let last = markers[99].clone();
    assert_eq!(
        markers[7..]
            .iter()
            .filter(|marker| **marker == last)
            .count(),
        93
    );

    log.publish("ab");
    for marker in markers {
        assert_eq!(log.answer(Some(&marker)), "ab");
    }
}

#[test]
fn a_marker_is_no_time_that_an_event_had() {
    let mut log = Log::new(QUIET, 4);
    let id = log.publish_untagged('a');
    log.topic.interrupt();
    let marker = log.resync_id();
    assert_eq!(
        (id.as_str(), marker.as_str()),
        ("2023-11-14T22:13:20.000Z", "2023-11-14T22:13:20.001Z",)
    );
    assert_eq!(log.answer(Some(&marker)), "");
    assert_eq!(log.answer(Some(&id)), "<buffer-miss>");
}

#[test]
fn a_marker_names_its_own_place_and_no_later_one() {
    let mut log = Log::new(AS_THE_PLUGIN, 4);
    let first = log.resync_id();
    log.publish("a");
    log.advance(Log::MAX_AGE + 1);

    let second = log.resync_id();
    assert_ne!(first, second);

    log.publish("b");
    assert_eq!(log.answer(Some(&second)), "b");
    assert_eq!(
        log.answer(Some(&first)),
        "<buffer-miss>",
        "`a` is lost for it"
    );
}
