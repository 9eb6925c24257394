//! What clients get from a hub that was started again.

use std::fs;

use crate::client::{Connection, Request};
use crate::hub::{Hub, expect_changes, expect_resync, next_event};

const BOTH_IDS: [&str; 2] = ["etag", "position"];

#[test]
fn a_client_of_a_killed_hub_gets_what_it_missed_and_then_what_comes() {
    for event_ids in BOTH_IDS {
        let mut hub = Hub::start(&["--event-ids", event_ids]);
        let mut stream = hub.subscribe("1", "");
        for name in ["a", "b", "c"] {
            hub.publish("1", name);
        }
        stream.greeting();
        let first = expect_changes(&mut stream, &["a"]);

        hub.kill();
        hub.start_again();
        let mut stream = hub.subscribe("1", &first);
        expect_changes(&mut stream, &["b", "c"]);
        hub.publish("1", "d");
        expect_changes(&mut stream, &["d"]);
    }
}

#[test]
fn a_client_that_missed_nothing_is_told_nothing() {
    for event_ids in BOTH_IDS {
        let mut hub = Hub::start(&["--event-ids", event_ids]);
        let mut stream = hub.subscribe("1", "");
        hub.publish("1", "a");
        stream.greeting();
        let last = expect_changes(&mut stream, &["a"]);

        // A crash, then a deployment.
        hub.kill();
        hub.start_again();
        let mut stream = hub.subscribe("1", &last);
        stream.expect(":keepalive\n\n");
        hub.terminate();
        hub.start_again();
        let mut stream = hub.subscribe("1", &last);
        hub.publish("1", "b");
        expect_changes(&mut stream, &["b"]);
        assert_eq!(hub.health("/healthz").1["resyncs"], 0);
    }
}

#[test]
fn a_quiet_record_is_remembered_after_its_events_have_expired() {
    let flags = ["--max-age", "1s", "--engine-remember", "1h"];
    let mut hub = Hub::start(&flags);
    hub.publish("1", "a");
    std::thread::sleep(core::time::Duration::from_millis(1_200));

    hub.kill();
    hub.start_again();
    let mut stream = hub.subscribe("1", "a");
    hub.publish("1", "b");
    expect_changes(&mut stream, &["b"]);
}

#[test]
fn a_place_without_any_event_and_a_position_outlive_the_hub() {
    for event_ids in BOTH_IDS {
        let mut hub = Hub::start(&["--event-ids", event_ids]);
        hub.publish("other", "x");
        let place = hub.subscribe("1", "").greeting();
        let position = hub.position("1");

        hub.kill();
        hub.start_again();
        for from in [&place, &position] {
            let mut stream = hub.subscribe("1", from);
            stream.expect(":keepalive\n\n");
        }
        let mut waiting = hub.subscribe("1", &place);
        hub.publish("1", "a");
        expect_changes(&mut waiting, &["a"]);
        for from in [&place, &position] {
            expect_changes(&mut hub.subscribe("1", from), &["a"]);
        }
    }
}

#[test]
fn a_host_may_take_its_position_after_the_restart_and_before_any_reader() {
    let mut hub = Hub::start(&[]);
    hub.publish("1", "a");
    hub.kill();
    hub.start_again();

    let position = hub.position("1");
    hub.publish("1", "b");
    expect_changes(&mut hub.subscribe("1", &position), &["b"]);
}

#[test]
fn events_without_an_etag_are_resumed_by_their_time() {
    let mut hub = Hub::start(&[]);
    let mut stream = hub.subscribe("1", "");
    for number in 1..=3 {
        assert_eq!(hub.try_publish("1", None, &number.to_string()), 204);
    }
    stream.greeting();
    let (_, first, _) = next_event(&mut stream);

    hub.kill();
    hub.start_again();
    let mut stream = hub.subscribe("1", &first);
    for number in 2..=3 {
        assert_eq!(next_event(&mut stream).2, number.to_string());
    }
}

#[test]
fn another_max_events_counts_from_the_next_start() {
    let mut hub = Hub::start(&["--max-events", "10"]);
    for name in ["a", "b", "c", "d", "e", "f"] {
        hub.publish("1", name);
    }

    hub.terminate();
    hub.start_again_with(&["--max-events", "2"]);
    expect_resync(&mut hub.subscribe("1", "c"), "buffer-miss");
    expect_changes(&mut hub.subscribe("1", "d"), &["e", "f"]);
    hub.publish("1", "g");
    expect_resync(&mut hub.subscribe("1", "d"), "buffer-miss");

    // More again: what was dropped does not come back, and is not passed over.
    hub.kill();
    hub.start_again_with(&["--max-events", "20"]);
    hub.publish("1", "h");
    expect_resync(&mut hub.subscribe("1", "a"), "buffer-miss");
    expect_changes(&mut hub.subscribe("1", "e"), &["f", "g", "h"]);
}

#[test]
fn what_was_deleted_is_replayed_to_nobody_and_is_not_in_the_folder() {
    let mut hub = Hub::start(&[]);
    let secret = "a secret that its author deletes";
    hub.publish("1", "a");
    assert_eq!(
        hub.try_publish("1", Some("b"), &format!("\"{secret}\"")),
        204
    );
    let mut stream = hub.subscribe("1", "a");
    assert_eq!(next_event(&mut stream).1, "b");
    assert_eq!(
        hub.post(r#"{"type":"deleted","slug":"posts","id":"1"}"#),
        204
    );
    assert_eq!(next_event(&mut stream).0, "deleted");

    hub.terminate();
    for entry in fs::read_dir(&hub.dir).expect("the folder") {
        let path = entry.expect("a file").path();
        let bytes = fs::read(&path).expect("a file");
        let found = bytes
            .windows(secret.len())
            .any(|window| window == secret.as_bytes());
        assert!(!found, "{path:?}");
    }

    hub.start_again();
    let mut stream = hub.subscribe("1", "a");
    expect_resync(&mut stream, "buffer-miss");
    hub.publish("1", "c");
    expect_changes(&mut stream, &["c"]);
}

#[test]
fn lines_of_one_body_are_all_on_the_disk_once_they_are_answered() {
    let mut hub = Hub::start(&["--max-events", "2000"]);
    let lines: String = (0..1_000)
        .map(|number| {
            format!(
                "{{\"type\":\"changed\",\"slug\":\"posts\",\"id\":\"1\",\"record\":{number},\
                 \"etag\":\"v{number}\"}}\n"
            )
        })
        .collect();
    let request = Request::post("/api/saacms/v1/publish", lines)
        .header("Content-Type", "application/x-ndjson");
    let answer = Connection::open(hub.address()).exchange(&request);
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.text().lines().count(), 1_000);

    hub.kill();
    hub.start_again();
    let mut stream = hub.subscribe("1", "v0");
    for number in 1..1_000 {
        assert_eq!(next_event(&mut stream).2, number.to_string());
    }
}
