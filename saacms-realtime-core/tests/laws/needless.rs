//! Law 2: a client that missed nothing is never told to refetch.

use core::task::{Context, Waker};
use core::time::Duration;

use bytes::Bytes;
use saacms_realtime_core::{EventIds, HubConfig, Output};

use crate::support::{Client, Clock, hub, key, publish, quiet_config, sweep};

const BOTH: [EventIds; 2] = [EventIds::Etag, EventIds::Position];

#[test]
fn the_newest_id_is_known_after_its_frame_has_expired() {
    for event_ids in BOTH {
        let max_age = Duration::from_secs(100);
        let config = HubConfig {
            event_ids,
            max_age,
            ..quiet_config()
        };
        let (hub, key, mut clock) = (hub(config), key("1"), Clock::new());
        let (mut client, _) = Client::join(&hub, &key, None, clock.now());

        publish(&hub, &key, 1..=2, clock.now());
        client.read(clock.now());

        // The reader keeps the topic alive while the history expires.
        sweep(&hub, clock.advance(200_000));
        assert_eq!(hub.stats().history_bytes, 0);

        let (_, said) = client.reconnect(&hub, clock.now());
        assert_eq!(said, ["keepalive"], "{event_ids:?}");
    }
}

#[test]
fn a_client_that_had_the_event_evicted_last_gets_all_the_others() {
    for event_ids in BOTH {
        let config = HubConfig {
            event_ids,
            max_events: 3,
            max_lag: 3,
            ..quiet_config()
        };
        let (hub, key, clock) = (hub(config), key("1"), Clock::new());
        let (mut client, _) = Client::join(&hub, &key, None, clock.now());

        publish(&hub, &key, 1..=1, clock.now());
        client.read(clock.now());
        publish(&hub, &key, 2..=4, clock.now());
        let id = client.last_event_id().to_owned();

        drop(client);
        let (_, said) = Client::join(&hub, &key, Some(&id), clock.now());
        assert_eq!(said, ["keepalive", "2", "3", "4"], "{event_ids:?}");
    }
}

#[test]
fn one_resync_is_enough_on_a_record_without_events() {
    let (hub, key, mut clock) = (hub(quiet_config()), key("1"), Clock::new());
    let (mut client, said) = Client::join(&hub, &key, Some("of a former life"), clock.now());
    assert_eq!(said, ["keepalive", "resync buffer-miss"]);

    for _ in 0..20 {
        let said;
        (client, said) = client.reconnect(&hub, clock.advance(777));
        assert_eq!(said, ["keepalive"], "(Q24)");
    }

    let id = client.last_event_id().to_owned();
    drop(client);
    publish(&hub, &key, 1..=2, clock.now());
    let (_, said) = Client::join(&hub, &key, Some(&id), clock.now());
    assert_eq!(said, ["keepalive", "1", "2"]);
    assert_eq!(hub.stats().resyncs, 1);
}

#[test]
fn a_client_that_has_seen_no_event_resumes_from_its_greeting() {
    for (event_ids, quiet_resume) in [
        (EventIds::Etag, true),
        (EventIds::Etag, false),
        (EventIds::Position, true),
    ] {
        let config = HubConfig {
            event_ids,
            quiet_resume,
            ..quiet_config()
        };
        let (hub, key, clock) = (hub(config), key("1"), Clock::new());
        let (client, said) = Client::join(&hub, &key, None, clock.now());

        assert_eq!(
            said,
            ["keepalive"],
            "a block with an ID alone dispatches nothing"
        );
        assert_eq!(client.last_event_id(), "000000000000feed.0");

        let (client, said) = client.reconnect(&hub, clock.now());
        assert_eq!(said, ["keepalive"]);

        publish(&hub, &key, 1..=2, clock.now());
        let (_, said) = client.reconnect(&hub, clock.now());
        assert_eq!(said, ["keepalive", "1", "2"]);
    }
}

#[test]
fn a_greeting_is_a_place_in_every_record() {
    let (hub, clock) = (hub(quiet_config()), Clock::new());
    publish(&hub, &key("1"), 1..=2, clock.now());
    publish(&hub, &key("2"), 1..=2, clock.now());
    let (client, _) = Client::join(&hub, &key("1"), None, clock.now());
    let place = client.last_event_id();
    assert_eq!(place, "000000000000feed.4");

    publish(&hub, &key("2"), 3..=3, clock.now());
    let (_, said) = Client::join(&hub, &key("2"), Some(place), clock.now());
    assert_eq!(said, ["keepalive", "3"]);
    let (_, said) = Client::join(&hub, &key("3"), Some(place), clock.now());
    assert_eq!(said, ["keepalive"], "a record without events");
}

#[test]
fn a_host_that_takes_the_position_before_it_reads_its_store_loses_nothing() {
    let (hub, key, clock) = (hub(quiet_config()), key("1"), Clock::new());
    let nothing = hub.position(&key).to_string();
    publish(&hub, &key, 1..=1, clock.now());
    let one = hub.position(&key).to_string();
    assert_eq!(
        (&*nothing, &*one),
        ("000000000000feed.0", "000000000000feed.1")
    );
    assert_eq!(hub.stats().topics, 1);

    publish(&hub, &key, 2..=2, clock.now());
    for (position, expected) in [
        (nothing, &["keepalive", "1", "2"][..]),
        (one, &["keepalive", "2"]),
    ] {
        let (_, said) = Client::join(&hub, &key, Some(&position), clock.now());
        assert_eq!(said, expected, "{position}");
    }
    assert_eq!(hub.stats().resyncs, 0);
}

#[test]
fn a_position_is_taken_without_a_topic() {
    let hub = hub(quiet_config());
    hub.position(&key("1"));
    assert_eq!(hub.stats().topics, 0);
}

#[test]
fn without_greetings_a_stream_begins_as_the_plugins() {
    for event_ids in BOTH {
        let config = HubConfig {
            event_ids,
            greeting: false,
            ..quiet_config()
        };
        let (hub, key, clock) = (hub(config), key("1"), Clock::new());
        let mut subscription = hub.subscribe(&key, None, clock.now()).expect("subscribed");
        let frames = subscription.poll(&Context::from_waker(Waker::noop()), clock.now());
        assert_eq!(
            frames,
            Output::Frames(Bytes::from_static(b":keepalive\n\n"))
        );
    }
}

#[test]
fn a_client_that_names_an_id_is_not_greeted_with_a_place() {
    for event_ids in BOTH {
        let config = HubConfig {
            event_ids,
            ..quiet_config()
        };
        let (hub, key, clock) = (hub(config), key("1"), Clock::new());
        let place = hub.position(&key).to_string();
        publish(&hub, &key, 1..=1, clock.now());

        for id in [&*place, "", "unknown"] {
            let subscription = hub.subscribe(&key, Some(id.as_bytes()), clock.now());
            let mut subscription = subscription.expect("subscribed");
            let frames = subscription.poll(&Context::from_waker(Waker::noop()), clock.now());
            let Output::Frames(bytes) = frames else {
                panic!("{id:?}: {frames:?}")
            };
            // A cut right after the greeting must not move the client past what it missed.
            assert!(
                bytes.starts_with(b":keepalive\n\nevent: "),
                "{id:?}: {bytes:?}"
            );
        }
    }
}

#[test]
fn the_greeting_is_the_place_of_the_join_and_not_of_the_first_poll() {
    let config = HubConfig {
        event_ids: EventIds::Position,
        ..quiet_config()
    };
    let (hub, key, clock) = (hub(config), key("1"), Clock::new());
    let mut subscription = hub.subscribe(&key, None, clock.now()).expect("subscribed");
    publish(&hub, &key, 1..=1, clock.now());
    let frames = subscription.poll(&Context::from_waker(Waker::noop()), clock.now());
    // A client that loses its connection between the two blocks has the ID of the first, and is
    // then replayed the second.
    let expected = b":keepalive\n\nid: 000000000000feed.0\n\nevent: changed\nid: 000000000000feed.1\ndata: 1\n\n";
    assert_eq!(frames, Output::Frames(Bytes::from_static(expected)));
}

#[test]
fn a_reader_within_its_lag_is_never_resynced_however_short_the_replay_is() {
    let max_age = Duration::from_secs(1);
    let config = HubConfig {
        max_events: 0,
        max_lag: 10,
        max_age,
        ..quiet_config()
    };
    let (hub, key, mut clock) = (hub(config), key("1"), Clock::new());
    let (mut client, _) = Client::join(&hub, &key, None, clock.now());

    for first in (1..=50).step_by(10) {
        publish(&hub, &key, first..first + 10, clock.now());
        // Events stay in the ring for at least a minute, even if `max_age` is shorter.
        sweep(&hub, clock.advance(59_000));
        let numbers: Vec<_> = (first..first + 10)
            .map(|number| number.to_string())
            .collect();
        assert_eq!(client.read(clock.now()), numbers);
    }
}

#[test]
fn quiet_resume_off_gives_the_answers_of_the_plugin() {
    let config = HubConfig {
        quiet_resume: false,
        max_events: 2,
        ..quiet_config()
    };
    let (hub, key, clock) = (hub(config), key("1"), Clock::new());
    publish(&hub, &key, 1..=3, clock.now());
    let (_, said) = Client::join(&hub, &key, Some("v1"), clock.now());
    assert_eq!(said, ["keepalive", "resync buffer-miss"], "(Q22)");
    let (_, said) = Client::join(&hub, &key, Some("v2"), clock.now());
    assert_eq!(said, ["keepalive", "3"]);
}
