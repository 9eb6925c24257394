//! Law 8: a new ring never answers for what an old one had. A position before the newest event of
//! the old ring is answered with a resync, never with the wrong history.

use saacms_realtime_core::{EventIds, HubConfig};

use crate::support::{Client, Clock, hub, key, publish, quiet_config, sweep};

const DAY: u64 = 86_400_000;

fn positions() -> HubConfig {
    HubConfig {
        event_ids: EventIds::Position,
        ..quiet_config()
    }
}

#[test]
fn of_a_ring_that_expired_only_its_newest_position_is_known() {
    let (hub, key, mut clock) = (hub(positions()), key("1"), Clock::new());
    let (mut client, _) = Client::join(&hub, &key, None, clock.now());

    publish(&hub, &key, 1..=3, clock.now());
    client.read(clock.now());
    assert_eq!(client.last_event_id(), "000000000000feed.3");

    drop(client);
    sweep(&hub, clock.advance(DAY));
    assert_eq!(hub.stats().topics, 0);

    publish(&hub, &key, 4..=5, clock.now());
    let (mut client, said) = Client::join(&hub, &key, Some("000000000000feed.2"), clock.now());
    assert_eq!(said, ["keepalive", "resync buffer-miss"]);
    assert_eq!(client.last_event_id(), "000000000000feed.5");

    publish(&hub, &key, 6..=6, clock.now());
    assert_eq!(client.read(clock.now()), ["6"]);

    let (_, said) = Client::join(&hub, &key, Some("000000000000feed.3"), clock.now());
    assert_eq!(
        said,
        ["keepalive", "4", "5", "6"],
        "it missed nothing of the old ring"
    );
}

#[test]
fn of_a_ring_that_made_room_only_its_newest_position_is_known() {
    let config = HubConfig {
        max_topics: 1,
        ..positions()
    };
    let (hub, key, clock) = (hub(config), key("1"), Clock::new());
    publish(&hub, &key, 1..=3, clock.now());

    // There is room for one topic, so this one replaces the first.
    publish(&hub, &crate::support::key("2"), 1..=1, clock.now());
    publish(&hub, &key, 4..=6, clock.now());
    for (known, answer) in [
        (
            "000000000000feed.1",
            &["keepalive", "resync buffer-miss"][..],
        ),
        ("000000000000feed.3", &["keepalive", "4", "5", "6"]),
        ("000000000000feed.4", &["keepalive", "4", "5", "6"]),
    ] {
        let (_, said) = Client::join(&hub, &key, Some(known), clock.now());
        assert_eq!(said, answer, "{known}");
    }
}

#[test]
fn a_position_is_good_for_every_record() {
    let (hub, clock) = (hub(positions()), Clock::new());
    publish(&hub, &key("1"), 1..=3, clock.now());
    publish(&hub, &key("2"), 1..=3, clock.now());
    for (known, answer) in [
        ("000000000000feed.1", &["keepalive", "1", "2", "3"][..]),
        ("000000000000feed.3", &["keepalive", "1", "2", "3"]),
        ("000000000000feed.5", &["keepalive", "3"]),
        ("000000000000feed.6", &["keepalive"]),
        ("000000000000feed.7", &["keepalive", "resync buffer-miss"]),
    ] {
        let (_, said) = Client::join(&hub, &key("2"), Some(known), clock.now());
        assert_eq!(said, answer, "{known}");
    }
}

#[test]
fn a_source_that_is_lost_while_nobody_reads_is_no_silent_gap() {
    let (hub, key, clock) = (hub(positions()), key("1"), Clock::new());
    publish(&hub, &crate::support::key("2"), 1..=3, clock.now());
    hub.source_lost(&key);
    let (client, said) = Client::join(&hub, &key, Some("000000000000feed.3"), clock.now());
    assert_eq!(said, ["keepalive", "resync buffer-miss"]);
    let (_, said) = client.reconnect(&hub, clock.now());
    assert_eq!(said, ["keepalive"]);
}

#[test]
fn a_blank_topic_leaves_with_its_last_reader_and_its_position_stays_good() {
    let (hub, key, clock) = (hub(positions()), key("1"), Clock::new());
    let (client, _) = Client::join(&hub, &key, None, clock.now());
    let position = client.last_event_id().to_owned();
    drop(client);
    assert_eq!(hub.stats().topics, 0);
    publish(&hub, &key, 1..=2, clock.now());
    let (_, said) = Client::join(&hub, &key, Some(&position), clock.now());
    assert_eq!(said, ["keepalive", "1", "2"]);
}

#[test]
fn an_etag_of_a_ring_that_is_gone_is_unknown() {
    let config = HubConfig {
        max_topics: 1,
        ..quiet_config()
    };
    let (hub, key, clock) = (hub(config), key("1"), Clock::new());
    publish(&hub, &key, 1..=3, clock.now());

    // There is room for one topic, so this one replaces the first.
    publish(&hub, &crate::support::key("2"), 1..=1, clock.now());
    publish(&hub, &key, 4..=6, clock.now());
    let (_, said) = Client::join(&hub, &key, Some("v3"), clock.now());
    assert_eq!(said, ["keepalive", "resync buffer-miss"]);
}
