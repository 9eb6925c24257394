//! Law 1: a subscriber receives a contiguous run of the published events, or a resync between runs.

use core::time::Duration;

use saacms_realtime_core::{EventIds, HubConfig};

use crate::support::{Chance, Client, Clock, changed, hub, key, padded, publish, quiet_config};

#[test]
fn a_reconnect_gets_what_it_missed_in_both_kinds_of_id() {
    for event_ids in [EventIds::Etag, EventIds::Position] {
        let (hub, key, clock) = (
            hub(HubConfig {
                event_ids,
                ..quiet_config()
            }),
            key("1"),
            Clock::new(),
        );
        let (mut client, _) = Client::join(&hub, &key, None, clock.now());

        publish(&hub, &key, 1..=2, clock.now());
        assert_eq!(client.read(clock.now()), ["1", "2"]);

        let id = client.last_event_id().to_owned();
        // The client leaves first, so that the events can only reach it by replay.
        drop(client);
        publish(&hub, &key, 3..=5, clock.now());
        let (_, said) = Client::join(&hub, &key, Some(&id), clock.now());
        assert_eq!(said, ["keepalive", "3", "4", "5"], "{event_ids:?}");
    }
}

#[test]
fn a_client_that_was_away_for_too_many_events_is_resynced_once() {
    for event_ids in [EventIds::Etag, EventIds::Position] {
        let config = HubConfig {
            event_ids,
            max_events: 3,
            ..quiet_config()
        };
        let (hub, key, clock) = (hub(config), key("1"), Clock::new());

        publish(&hub, &key, 1..=1, clock.now());
        let mut client = Client::connect(&hub, &key, Some("v1"), clock.now());
        publish(&hub, &key, 2..=2, clock.now());
        client.read(clock.now());
        publish(&hub, &key, 3..=6, clock.now());

        let (mut client, said) = client.reconnect(&hub, clock.now());
        assert_eq!(said, ["keepalive", "resync buffer-miss"], "{event_ids:?}");

        publish(&hub, &key, 7..=7, clock.now());
        assert_eq!(client.read(clock.now()), ["7"]);

        let (_, said) = client.reconnect(&hub, clock.now());
        assert_eq!(said, ["keepalive"]);
    }
}

#[test]
fn a_client_that_was_away_for_too_long_is_resynced_if_it_missed_something() {
    let config = HubConfig {
        max_age: Duration::from_secs(1),
        ..quiet_config()
    };
    let (hub, key, mut clock) = (hub(config), key("1"), Clock::new());
    publish(&hub, &key, 1..=2, clock.now());
    let (_, said) = Client::join(&hub, &key, Some("v1"), clock.advance(1_000));
    assert_eq!(said, ["keepalive", "2"], "exactly `max_age` old");
    let (_, said) = Client::join(&hub, &key, Some("v1"), clock.advance(1));
    assert_eq!(said, ["keepalive", "resync buffer-miss"]);
}

#[test]
fn a_reader_that_falls_behind_is_resynced_once_and_continues_live() {
    let config = HubConfig {
        max_events: 2,
        max_lag: 4,
        ..quiet_config()
    };
    let (hub, key, clock) = (hub(config), key("1"), Clock::new());
    let (mut slow, _) = Client::join(&hub, &key, None, clock.now());

    publish(&hub, &key, 1..=4, clock.now());
    assert_eq!(
        slow.read(clock.now()),
        ["1", "2", "3", "4"],
        "just in reach"
    );

    publish(&hub, &key, 5..=20, clock.now());
    assert_eq!(slow.read(clock.now()), ["resync lagged"]);
    assert_eq!(slow.last_event_id(), "v20");

    publish(&hub, &key, 21..=22, clock.now());
    assert_eq!(slow.read(clock.now()), ["21", "22"]);
    assert_eq!(hub.stats().resyncs, 1);
}

#[test]
fn a_reader_that_falls_behind_by_bytes_is_resynced() {
    let config = HubConfig {
        max_events: 2,
        max_lag_bytes: 4_200,
        ..quiet_config()
    };
    let (hub, key, clock) = (hub(config), key("1"), Clock::new());
    let (mut slow, _) = Client::join(&hub, &key, None, clock.now());
    for _ in 0..3 {
        hub.publish(padded(&key, 1_000, None), clock.now())
            .expect("published");
    }

    assert_eq!(slow.read(clock.now()).len(), 3);
    // Six events exceed the 4 KiB, and the replay window protects only the newest two.
    for _ in 0..6 {
        hub.publish(padded(&key, 1_000, None), clock.now())
            .expect("published");
    }
    assert_eq!(slow.read(clock.now()), ["resync lagged"]);
}

#[test]
fn a_lost_source_resyncs_connected_and_reconnecting_clients() {
    let (hub, key, clock) = (hub(quiet_config()), key("1"), Clock::new());
    let (mut client, _) = Client::join(&hub, &key, None, clock.now());
    publish(&hub, &key, 1..=3, clock.now());
    hub.source_lost(&key);
    assert_eq!(client.read(clock.now()), ["resync source-lost"]);
    assert_eq!(client.read(clock.now()), [""; 0]);
    let (_, said) = Client::join(&hub, &key, Some("v3"), clock.now());
    assert_eq!(said, ["keepalive", "resync buffer-miss"]);
    publish(&hub, &key, 4..=4, clock.now());
    assert_eq!(client.read(clock.now()), ["4"]);
    let (_, said) = client.reconnect(&hub, clock.now());
    assert_eq!(said, ["keepalive"]);
}

#[test]
fn a_client_of_a_process_that_is_gone_is_resynced() {
    for (event_ids, reason) in [
        (EventIds::Etag, "resync buffer-miss"),
        (EventIds::Position, "resync restarted"),
    ] {
        let config = HubConfig {
            event_ids,
            ..quiet_config()
        };
        let (key, clock) = (key("1"), Clock::new());
        let before = hub(config);
        let (mut client, _) = Client::join(&before, &key, None, clock.now());
        publish(&before, &key, 1..=1, clock.now());
        client.read(clock.now());

        // Another seed, as a restarted process has, gives other epochs.
        let after = saacms_realtime_core::Hub::new(config, 0xbeef).expect("valid");
        publish(&after, &key, 2..=2, clock.now());
        let (client, said) = client.reconnect(&after, clock.now());
        assert_eq!(said, ["keepalive", reason]);
        let (_, said) = client.reconnect(&after, clock.now());
        assert_eq!(said, ["keepalive"], "one is enough");
    }
}

#[test]
fn a_wall_clock_that_jumps_neither_repeats_an_id_nor_loses_an_event() {
    let (hub, key, mut clock) = (hub(quiet_config()), key("1"), Clock::new());
    let (mut client, _) = Client::join(&hub, &key, None, clock.now());
    hub.publish(changed(&key, 0, None), clock.now())
        .expect("published");
    client.read(clock.now());

    let mut chance = Chance::new(1);
    for number in 1..=200 {
        clock.jump(chance.below(20_000) as i64 - 10_000);
        hub.publish(changed(&key, number, None), clock.now())
            .expect("published");
        if chance.percent(50) {
            let (back, said) = client.reconnect(&hub, clock.now());
            client = back;
            assert_eq!(said.last(), Some(&number.to_string()));
        } else {
            assert_eq!(client.read(clock.now()), [number.to_string()]);
        }
    }
    assert_eq!(hub.stats().resyncs, 0);
}

#[test]
fn a_time_id_of_a_dropped_ring_is_not_given_to_another_event() {
    let config = HubConfig {
        max_topics: 1,
        ..quiet_config()
    };
    let (hub, key, clock) = (hub(config), key("1"), Clock::new());
    let (mut client, _) = Client::join(&hub, &key, None, clock.now());

    hub.publish(changed(&key, 1, None), clock.now())
        .expect("published");
    client.read(clock.now());
    let id = client.last_event_id().to_owned();

    drop(client);
    // Another record takes the only topic, all within one millisecond.
    publish(&hub, &crate::support::key("2"), 1..=1, clock.now());
    hub.publish(changed(&key, 2, None), clock.now())
        .expect("published");

    let (_, said) = Client::join(&hub, &key, Some(&id), clock.now());
    assert_eq!(
        said,
        ["keepalive", "resync buffer-miss"],
        "it never got event 2"
    );
}

#[test]
fn a_history_that_was_freed_early_is_no_silent_gap() {
    let config = HubConfig {
        max_history_bytes: 65_536,
        ..quiet_config()
    };
    let (hub, key, mut clock) = (hub(config), key("1"), Clock::new());
    let (mut slow, _) = Client::join(&hub, &key, None, clock.now());

    publish(&hub, &key, 1..=3, clock.now());
    // 80,000 bytes exceed the limit of all histories, long before the reader's lag is used up.
    for _ in 0..20 {
        hub.publish(padded(&key, 4_000, None), clock.advance(1))
            .expect("published");
    }

    publish(&hub, &key, 4..=4, clock.now());
    assert_eq!(slow.read(clock.now()), ["resync lagged"]);

    let (_, said) = Client::join(&hub, &key, Some("v3"), clock.now());
    assert_eq!(said, ["keepalive", "resync buffer-miss"]);
}
