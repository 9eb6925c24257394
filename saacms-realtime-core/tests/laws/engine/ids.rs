//! What events are called, and the places that are told.

use saacms_realtime_core::engine::Report;
use saacms_realtime_core::{Event, EventIds, HubConfig};

use super::cluster::Cluster;
use crate::support::{changed, key, quiet_config, sweep};

fn positions() -> HubConfig {
    HubConfig {
        event_ids: EventIds::Position,
        ..quiet_config()
    }
}

fn submit(cluster: &mut Cluster, event: Event) {
    let mut publishing = cluster.hub(0).submit(event, cluster.now());
    cluster.run();
    assert_eq!(super::cluster::outcome(&mut publishing), Some(Ok(())));
}

#[test]
fn every_hub_calls_an_event_by_the_same_id_whether_it_was_told_or_has_read_it() {
    for (config, stamps_ids, ids) in [
        (quiet_config(), true, ["v1", "2023-11-14T22:13:20.000Z"]),
        (quiet_config(), false, ["v1", "000000000000feed.2"]),
        (
            positions(),
            true,
            ["000000000000feed.1", "000000000000feed.2"],
        ),
    ] {
        let mut cluster = Cluster::of(2, config);
        cluster.stamps_ids = stamps_ids;
        let (mut live, _) = cluster.join(0, "1", None);
        for (index, etag) in [Some("v1"), None].into_iter().enumerate() {
            submit(&mut cluster, changed(&key("1"), index, etag));
            cluster.read(&mut live);
            assert_eq!(live.last_event_id(), ids[index]);
        }

        // The other hub knows the newest one by its join, and the one before by reading.
        let (_client, said) = cluster.join(1, "1", Some(ids[1]));
        assert_eq!(said, ["keepalive"], "{ids:?}");
        let (client, said) = cluster.join(1, "1", Some(ids[0]));
        assert_eq!(said, ["keepalive", "1"], "{ids:?}");
        assert_eq!(client.last_event_id(), ids[1]);
    }
}

#[test]
fn a_position_is_good_for_every_record_on_every_hub() {
    let mut cluster = Cluster::of(2, positions());
    cluster.publish(0, "1", 1..=3);
    cluster.publish(1, "2", 4..=6);
    for node in [0, 1] {
        for (known, answer) in [
            ("000000000000feed.1", &["keepalive", "4", "5", "6"][..]),
            ("000000000000feed.3", &["keepalive", "4", "5", "6"]),
            ("000000000000feed.5", &["keepalive", "6"]),
            ("000000000000feed.6", &["keepalive"]),
            ("000000000000feed.7", &["keepalive", "resync buffer-miss"]),
            ("000000000000beef.1", &["keepalive", "resync restarted"]),
        ] {
            assert_eq!(cluster.join(node, "2", Some(known)).1, answer, "{known}");
        }
    }
}

#[test]
fn a_place_that_is_told_for_a_record_is_one_that_the_engine_has_confirmed() {
    let mut cluster = Cluster::of(2, quiet_config());
    let (_reader, _) = cluster.join(1, "1", None);
    let (_other, _) = cluster.join(1, "2", None);
    // An event of the first record does not arrive; one of the other record does.
    cluster.nodes[1].drops_live = true;
    cluster.publish(0, "1", [1]);
    cluster.nodes[1].drops_live = false;
    cluster.publish(0, "2", [2]);
    assert_eq!(
        cluster.hub(1).position(&key("1")).to_string(),
        "000000000000feed.2"
    );

    let (client, said) = cluster.join(1, "1", None);
    assert_eq!(said, ["keepalive"]);
    assert_eq!(client.last_event_id(), "000000000000feed.0");
    let (_, said) = cluster.move_to(0, "1", client);
    assert_eq!(said, ["keepalive", "1"]);
}

#[test]
fn a_place_that_the_engine_has_confirmed_is_told_to_the_next_reader() {
    let mut cluster = Cluster::of(1, quiet_config());
    let (_reader, _) = cluster.join(0, "1", None);
    cluster.publish(0, "2", 1..=3);
    cluster.report(0, Report::Doubt(None));
    cluster.run();
    let (client, _) = cluster.join(0, "1", None);
    assert_eq!(client.last_event_id(), "000000000000feed.3");
}

#[test]
fn the_position_of_a_hub_follows_every_event_that_it_was_told_of() {
    let mut cluster = Cluster::of(2, quiet_config());
    let position = |cluster: &Cluster, node: usize| cluster.hub(node).position(&key("1"));
    cluster.publish(0, "2", 1..=3);
    assert_eq!(position(&cluster, 0).sequence, 3, "it has published them");
    assert_eq!(position(&cluster, 1).sequence, 0);
    let (_client, _) = cluster.join(1, "9", None);
    assert_eq!(position(&cluster, 1).sequence, 3, "an answer says so");
    let late = cluster.add(quiet_config());
    cluster.up(late);
    assert_eq!(
        position(&cluster, late).sequence,
        3,
        "the engine began with it"
    );

    // A server of the engine that is behind does not take it back.
    let (life, last) = (cluster.life, 1);
    cluster.report(0, Report::Up { life, last });
    assert_eq!(position(&cluster, 0).sequence, 3);
}

#[test]
fn a_host_reads_its_store_after_the_position_and_its_page_misses_nothing() {
    let mut cluster = Cluster::of(2, quiet_config());
    cluster.publish(0, "1", 1..=2);
    let position = cluster.hub(0).position(&key("1")).to_string();
    cluster.publish(0, "1", [3]);
    // The page comes to another hub, whose answers are from before the position.
    cluster.nodes[1].is_behind_by = 2;
    let (_, said) = cluster.join(1, "1", Some(&position));
    assert_eq!(said, ["keepalive", "3"]);
}

#[test]
fn a_position_from_before_the_engine_was_reached_tells_to_refetch() {
    let mut cluster = Cluster::new();
    let node = cluster.add(quiet_config());
    let position = cluster.hub(node).position(&key("1")).to_string();
    cluster.up(node);
    let (_, said) = cluster.join(node, "1", Some(&position));
    assert_eq!(said, ["keepalive", "resync restarted"]);
}

#[test]
fn an_event_is_called_by_its_time_by_a_hub_that_has_told_of_it_before() {
    let mut cluster = Cluster::of(2, quiet_config());
    cluster.stamps_ids = true;
    let (mut client, _) = cluster.join(1, "1", None);
    submit(&mut cluster, changed(&key("1"), 1, None));
    cluster.read(&mut client);
    let id = client.last_event_id().to_owned();
    drop(client);
    cluster.advance(80_000);
    sweep(cluster.hub(1), cluster.now());
    assert_eq!(cluster.hub(1).stats().topics, 0);

    // It joins before the event, at a server that is behind, and is told of it then.
    cluster.nodes[1].is_behind_by = 1;
    let (mut client, _) = cluster.join(1, "1", None);
    cluster.advance(1_000);
    assert_eq!(cluster.read(&mut client), ["1"]);
    assert_eq!(client.last_event_id(), id);
}
