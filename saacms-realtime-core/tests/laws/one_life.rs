//! Law 8: a ring that is dropped and recreated has a new epoch. A position of the old ring is
//! answered with a resync, never with the wrong history.

use saacms_realtime_core::{EventIds, HubConfig};

use crate::support::{Client, Clock, hub, key, publish, quiet_config, sweep};

const DAY: u64 = 86_400_000;

#[test]
fn a_position_of_a_ring_that_expired_is_answered_with_restarted() {
    let config = HubConfig {
        event_ids: EventIds::Position,
        ..quiet_config()
    };
    let (hub, key, mut clock) = (hub(config), key("1"), Clock::new());
    let (mut client, _) = Client::join(&hub, &key, None, clock.now());

    publish(&hub, &key, 1..=3, clock.now());
    client.read(clock.now());
    assert_eq!(client.last_event_id(), "feed.3");

    drop(client);
    sweep(&hub, clock.advance(DAY));
    assert_eq!(hub.stats().topics, 0);

    // More events than before, so that the sequence 3 exists in the new ring too.
    publish(&hub, &key, 4..=9, clock.now());
    let (mut client, said) = Client::join(&hub, &key, Some("feed.3"), clock.now());
    assert_eq!(said, ["keepalive", "resync restarted"]);
    assert_eq!(client.last_event_id(), "feee.6", "another epoch");

    publish(&hub, &key, 10..=10, clock.now());
    assert_eq!(client.read(clock.now()), ["10"]);
}

#[test]
fn a_position_of_a_ring_that_made_room_is_answered_with_restarted() {
    let config = HubConfig {
        event_ids: EventIds::Position,
        max_topics: 1,
        ..quiet_config()
    };
    let (hub, key, clock) = (hub(config), key("1"), Clock::new());
    publish(&hub, &key, 1..=3, clock.now());

    // There is room for one topic, so this one replaces the first.
    publish(&hub, &crate::support::key("2"), 1..=1, clock.now());
    publish(&hub, &key, 4..=6, clock.now());
    let (_, said) = Client::join(&hub, &key, Some("feed.1"), clock.now());
    assert_eq!(said, ["keepalive", "resync restarted"]);
}

#[test]
fn no_two_records_share_an_epoch() {
    let config = HubConfig {
        event_ids: EventIds::Position,
        ..quiet_config()
    };
    let (hub, clock) = (hub(config), Clock::new());
    publish(&hub, &key("1"), 1..=3, clock.now());
    publish(&hub, &key("2"), 1..=3, clock.now());
    let (_, said) = Client::join(&hub, &key("2"), Some("feed.1"), clock.now());
    assert_eq!(said, ["keepalive", "resync restarted"]);
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
