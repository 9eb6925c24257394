//! How a reader begins whose record the hub has not looked at, and what it has missed then.

use saacms_realtime_core::HubConfig;

use super::cluster::Cluster;
use crate::support::{Client, key, padded, quiet_config, sweep};

fn cluster(nodes: usize) -> Cluster {
    Cluster::of(nodes, quiet_config())
}

#[test]
fn a_reader_of_a_cold_record_is_silent_until_the_engine_has_answered() {
    let mut cluster = cluster(1);
    cluster.publish(0, "1", 1..=3);
    cluster.nodes[0].is_held = true;
    let (mut client, said) = cluster.join(0, "1", None);
    assert_eq!(said, [""; 0]);

    cluster.nodes[0].is_held = false;
    assert_eq!(cluster.read(&mut client), ["keepalive"]);
    assert_eq!(client.last_event_id(), "000000000000feed.3");
    cluster.publish(0, "1", [4]);
    assert_eq!(cluster.read(&mut client), ["4"]);
}

#[test]
fn history_outlives_the_hub_that_published_it() {
    let mut cluster = cluster(1);
    cluster.publish(0, "1", 1..=5);
    let restarted = cluster.add(quiet_config());
    cluster.up(restarted);
    let (client, said) = cluster.join(restarted, "1", Some("v2"));
    assert_eq!(said, ["keepalive", "3", "4", "5"]);
    assert_eq!(client.last_event_id(), "v5");
    for (known, answer) in [
        ("000000000000feed.3", &["keepalive", "4", "5"][..]),
        (
            "000000000000feed.0",
            &["keepalive", "1", "2", "3", "4", "5"],
        ),
        ("000000000000feed.5", &["keepalive"]),
        ("v1", &["keepalive", "2", "3", "4", "5"]),
    ] {
        assert_eq!(
            cluster.join(restarted, "1", Some(known)).1,
            answer,
            "{known}"
        );
    }
}

#[test]
fn a_client_that_names_the_newest_event_is_answered_without_reading_any() {
    let mut cluster = cluster(2);
    cluster.publish(0, "1", 1..=5);
    let (_client, said) = cluster.join(1, "1", Some("v5"));
    assert_eq!(said, ["keepalive"]);
    assert_eq!(cluster.take_log(1), ["watch", "newest"]);
}

#[test]
fn without_quiet_resume_the_window_is_read_before_an_id_counts_as_unknown() {
    let config = HubConfig {
        quiet_resume: false,
        ..quiet_config()
    };
    let mut cluster = Cluster::of(2, config);
    cluster.publish(0, "1", 1..=5);
    let (_client, said) = cluster.join(1, "1", Some("v5"));
    assert_eq!(said, ["keepalive"]);
    assert_eq!(cluster.take_log(1), ["watch", "newest", "run 0"]);
}

#[test]
fn a_client_is_told_to_refetch_only_after_the_server_that_decides_was_asked() {
    let mut cluster = cluster(2);
    cluster.publish(0, "1", 1..=3);
    let (client, said) = cluster.join(1, "1", Some("unknown"));
    assert_eq!(said, ["keepalive", "resync buffer-miss"]);
    assert_eq!(client.last_event_id(), "v3");
    let asked = ["watch", "newest", "run 0", "sure newest"];
    assert_eq!(cluster.take_log(1), asked);

    // Everything is read by now, but the server may know more than it did then.
    let (_client, said) = cluster.join(1, "1", Some("unknown"));
    assert_eq!(said, ["keepalive", "resync buffer-miss"]);
    assert_eq!(cluster.take_log(1), ["sure newest"]);
}

#[test]
fn an_id_that_a_stale_server_does_not_know_is_found_at_the_one_that_decides() {
    for known in ["v4", "000000000000feed.4"] {
        let mut cluster = cluster(2);
        cluster.publish(0, "1", 1..=5);
        // The answers of the second hub are from before the last two events.
        cluster.nodes[1].is_behind_by = 2;
        let (_client, said) = cluster.join(1, "1", Some(known));
        assert_eq!(said, ["keepalive", "5"], "{known}");
    }
}

#[test]
fn an_event_that_is_stored_after_a_reader_came_and_before_its_record_is_known_is_not_skipped() {
    let mut cluster = cluster(2);
    cluster.publish(0, "1", 1..=2);
    // It was told of these two, of another record.
    let (_other, _) = cluster.join(1, "2", None);
    cluster.nodes[1].is_held = true;
    let (mut client, said) = cluster.join(1, "1", None);
    assert_eq!(said, [""; 0]);
    // The client may fetch the record now: its stream is open.
    cluster.publish(0, "1", 3..=4);

    cluster.nodes[1].is_held = false;
    assert_eq!(cluster.read(&mut client), ["keepalive", "3", "4"]);
}

#[test]
fn a_reader_is_greeted_after_five_seconds_and_refetches_if_nobody_knows_what_it_missed() {
    let mut cluster = Cluster::new();
    let node = cluster.add(quiet_config());
    let hub = cluster.hub(node).clone();
    let mut new = Client::connect(&hub, &key("1"), None, cluster.now());
    let mut back = Client::connect(&hub, &key("1"), Some("v1"), cluster.now());
    cluster.advance(4_999);
    for client in [&mut new, &mut back] {
        assert_eq!(client.read(cluster.now()), [""; 0]);
        assert_eq!(client.wake_at.map(|at| at.as_millis()), Some(6_000));
    }

    cluster.advance(1);
    for client in [&mut new, &mut back] {
        assert_eq!(client.read(cluster.now()), ["keepalive"]);
    }

    let other = cluster.add(quiet_config());
    cluster.up(other);
    cluster.publish(other, "1", 1..=2);
    cluster.up(node);
    assert_eq!(cluster.read(&mut new), ["resync buffer-miss"]);
    assert_eq!(cluster.read(&mut back), ["2"]);
}

#[test]
fn a_reader_that_waits_gets_heartbeats() {
    let mut cluster = Cluster::new();
    let node = cluster.add(HubConfig::default());
    let hub = cluster.hub(node).clone();
    let mut client = Client::connect(&hub, &key("1"), None, cluster.now());
    cluster.advance(5_000);
    assert_eq!(client.read(cluster.now()), ["keepalive"]);
    cluster.advance(29_999);
    assert_eq!(client.read(cluster.now()), [""; 0]);
    cluster.advance(1);
    assert_eq!(client.read(cluster.now()), ["keepalive"]);
    hub.drain();
    assert!(client.read(cluster.now())[0].starts_with("retry "));
}

#[test]
fn a_reader_that_waits_as_the_hub_drains_comes_back_with_the_place_at_which_it_came() {
    let mut cluster = cluster(2);
    cluster.publish(0, "1", [1]);
    cluster.up(1);
    cluster.nodes[1].is_held = true;
    let (mut new, said) = cluster.join(1, "1", None);
    let (mut back, _) = cluster.join(1, "1", Some("v1"));
    assert_eq!(said, [""; 0]);

    cluster.publish(0, "1", [2]);
    cluster.hub(1).drain();
    for client in [&mut new, &mut back] {
        let said = client.read(cluster.now());
        assert_eq!(said[0], "keepalive");
        assert!(said[1].starts_with("retry "), "{said:?}");
    }
    assert_eq!(new.last_event_id(), "000000000000feed.1");
    assert_eq!(back.last_event_id(), "v1");
    for client in [new, back] {
        assert_eq!(cluster.move_to(0, "1", client).1, ["keepalive", "2"]);
    }
}

fn little_memory() -> HubConfig {
    HubConfig {
        max_history_bytes: 65_536,
        ..quiet_config()
    }
}

/// Publishes events of a kilobyte, with a reader that takes each of them.
fn fill(cluster: &mut Cluster, id: &str, events: usize) -> Client {
    let (mut client, _) = cluster.join(0, id, None);
    for number in 1..=events {
        let etag = format!("v{number}");
        let event = padded(&key(id), 1_000, Some(&etag));
        let publishing = cluster.hub(0).submit(event, cluster.now());
        assert_eq!(cluster.read(&mut client), ["1002 bytes"]);
        drop(publishing);
    }
    client
}

#[test]
fn what_memory_had_no_room_for_is_read_again() {
    let mut cluster = Cluster::of(1, little_memory());
    let _reader = fill(&mut cluster, "1", 40);
    let other = fill(&mut cluster, "2", 20);
    drop(other);
    cluster.advance(70_001);
    sweep(cluster.hub(0), cluster.now());
    cluster.take_log(0);

    let (client, said) = cluster.join(0, "1", Some("v5"));
    assert_eq!(said.len(), 36, "{said:?}");
    assert_eq!(client.last_event_id(), "v40");
    assert_eq!(cluster.take_log(0), ["unwatch", "run 0"]);
}

#[test]
fn a_history_for_which_there_is_no_memory_is_read_once_for_a_reader() {
    let mut cluster = Cluster::of(1, little_memory());
    let _reader = fill(&mut cluster, "1", 80);
    cluster.take_log(0);
    let (client, said) = cluster.join(0, "1", Some("v5"));
    assert_eq!(said, ["keepalive", "resync buffer-miss"]);
    assert_eq!(client.last_event_id(), "v80");
    assert_eq!(cluster.take_log(0), ["run 0", "sure newest"]);
}

#[test]
fn an_event_ages_from_its_arrival_and_one_that_is_read_from_when_it_was_stored() {
    let mut cluster = cluster(2);
    // A clock that shows less than an age cannot tell it.
    cluster.advance(10_000_000);
    let (mut client, _) = cluster.join(0, "1", None);
    // The clock of the engine is two hours slow.
    cluster.clock.jump(-7_200_000);
    cluster.publish(1, "1", [1]);
    cluster.clock.jump(7_200_000);
    cluster.publish(1, "1", [2]);
    cluster.read(&mut client);
    let (_, said) = cluster.join(0, "1", Some("000000000000feed.0"));
    assert_eq!(said, ["keepalive", "1", "2"], "both arrived just now");

    // The other hub reads that the first is too old to be replayed.
    let (_, said) = cluster.join(1, "1", Some("000000000000feed.0"));
    assert_eq!(said, ["keepalive", "resync buffer-miss"]);
    let (_, said) = cluster.join(1, "1", Some("v1"));
    assert_eq!(said, ["keepalive", "2"]);
}

#[test]
fn a_reader_that_waits_while_its_record_is_joined_anew_is_looked_for_once_more() {
    let mut cluster = Cluster::of(2, quiet_config());
    cluster.publish(0, "1", 1..=3);
    // The history that is read for it ends before the event that it names.
    cluster.nodes[1].is_behind_by = 2;
    cluster.nodes[1].is_held = true;
    let (mut client, said) = cluster.join(1, "1", Some("v3"));
    assert_eq!(said, [""; 0]);
    while !cluster.take_log(1).contains(&"run 0".to_owned()) {
        let request = cluster.nodes[1].waiting.pop_front();
        cluster.carry_out(1, request.expect("it is not known yet"));
        assert_eq!(cluster.read(&mut client), [""; 0]);
    }

    // Then the record is full, and the event that the hub has joined at is dropped.
    cluster.nodes[1].drops_live = true;
    cluster.publish(0, "1", 4..=103);
    cluster.nodes[1].is_held = false;
    let said = cluster.read(&mut client);
    assert_eq!(said[..2], ["keepalive", "4"]);
    assert_eq!(said.len(), 101);
}
