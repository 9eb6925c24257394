//! What is missed between an engine and its hubs, and what the engine loses.

use core::time::Duration;

use saacms_realtime_core::Span;
use saacms_realtime_core::engine::{Report, Request};

use super::cluster::{Cluster, unreadable};
use crate::support::{Client, key, padded, quiet_config};

#[test]
fn what_was_missed_while_the_engine_was_away_is_filled_in() {
    let mut cluster = Cluster::of(2, quiet_config());
    let (mut client, _) = cluster.join(1, "1", None);
    cluster.publish(0, "1", [1]);
    assert_eq!(cluster.read(&mut client), ["1"]);

    cluster.report(1, Report::Down);
    cluster.nodes[1].watched.clear();
    cluster.publish(0, "1", 2..=4);
    assert_eq!(cluster.read(&mut client), [""; 0]);
    cluster.up(1);
    cluster.publish(0, "1", [5]);
    cluster.advance(2_000);
    assert_eq!(cluster.read(&mut client), ["2", "3", "4", "5"]);
    assert_eq!(cluster.hub(1).stats().resyncs, 0);
}

#[test]
fn a_reader_that_missed_more_than_is_kept_refetches_whatever_another_one_makes_the_hub_read() {
    let mut cluster = Cluster::of(2, quiet_config());
    let (mut client, _) = cluster.join(1, "1", None);
    cluster.publish(0, "1", [1]);
    cluster.read(&mut client);
    cluster.report(1, Report::Down);
    cluster.nodes[1].watched.clear();
    cluster.publish(0, "1", 2..=150);
    cluster.up(1);
    cluster.advance(3_000);

    // It has not been polled since, and the events before the newest are read for another one.
    let (_other, said) = cluster.join(1, "1", Some("v140"));
    assert_eq!(said.len(), 11, "{said:?}");
    assert_eq!(cluster.read(&mut client), ["resync source-lost"]);
    assert_eq!(client.last_event_id(), "v150");
}

#[test]
fn a_check_after_the_join_finds_what_was_not_told() {
    let mut cluster = Cluster::of(2, quiet_config());
    let (mut client, _) = cluster.join(1, "1", None);
    cluster.nodes[1].drops_live = true;
    cluster.publish(0, "1", [1]);
    cluster.advance(999);
    assert_eq!(cluster.read(&mut client), [""; 0]);
    cluster.advance(1);
    assert_eq!(cluster.read(&mut client), ["1"]);
    let stats = cluster.hub(1).stats().engine.expect("an engine");
    assert_eq!((stats.repaired, stats.refetched), (0, 0));
}

#[test]
fn an_audit_finds_what_was_not_told_and_is_counted() {
    let mut cluster = Cluster::new();
    let node = cluster.add_with(quiet_config(), |spec| {
        spec.audit_every = Some(Duration::from_secs(30));
    });
    let other = cluster.add(quiet_config());
    cluster.up(node);
    cluster.up(other);
    let (mut client, _) = cluster.join(node, "1", None);
    cluster.advance(2_000);
    cluster.nodes[node].drops_live = true;
    cluster.publish(other, "1", [1]);
    cluster.advance(20_000);
    assert_eq!(cluster.read(&mut client), [""; 0]);
    cluster.advance(20_000);
    assert_eq!(cluster.read(&mut client), ["1"]);
    let repaired = |cluster: &Cluster| {
        let stats = cluster.hub(node).stats().engine;
        stats.expect("an engine").repaired
    };
    assert_eq!(repaired(&cluster), 1);
    cluster.advance(120_000);
    assert_eq!(repaired(&cluster), 1, "nothing else was missed");
}

#[test]
fn a_doubt_is_followed_by_what_was_missed() {
    let mut cluster = Cluster::of(2, quiet_config());
    let (mut one, _) = cluster.join(1, "1", None);
    let (mut other, _) = cluster.join(1, "2", None);
    cluster.nodes[1].drops_live = true;
    cluster.publish(0, "1", [1]);
    cluster.publish(0, "2", [2]);
    cluster.report(1, Report::Doubt(Some(vec![key("1"), key("9")])));
    assert_eq!(cluster.read(&mut one), ["1"]);
    assert_eq!(cluster.read(&mut other), [""; 0]);
    cluster.report(1, Report::Doubt(None));
    assert_eq!(cluster.read(&mut other), ["2"]);
}

#[test]
fn asks_that_fail_are_asked_again() {
    let mut cluster = Cluster::of(1, quiet_config());
    cluster.publish(0, "1", 1..=2);
    cluster.nodes[0].fails = true;
    let (mut client, said) = cluster.join(0, "1", Some("v1"));
    assert_eq!(said, [""; 0]);
    cluster.advance(4_000);
    let asked = cluster.take_log(0).len();
    assert!((4..=8).contains(&asked), "{asked}");
    cluster.nodes[0].fails = false;
    cluster.advance(5_000);
    assert_eq!(cluster.read(&mut client), ["keepalive", "2"]);
}

#[test]
fn readers_refetch_once_after_a_loss_and_miss_nothing_after_that() {
    let mut cluster = Cluster::of(2, quiet_config());
    let (mut client, _) = cluster.join(1, "1", None);
    cluster.publish(0, "1", 1..=5);
    cluster.read(&mut client);
    cluster.lose(2);
    assert_eq!(cluster.read(&mut client), ["resync source-lost"]);
    assert_eq!(client.last_event_id(), "000000000000feee.3");
    let (mut client, said) = cluster.move_to(0, "1", client);
    assert_eq!(said, ["keepalive"]);
    cluster.publish(1, "1", [6]);
    assert_eq!(cluster.read(&mut client), ["6"]);

    // IDs of the earlier life are not known, whether the events are still there or not.
    for (known, reason) in [
        ("v2", "resync buffer-miss"),
        ("v5", "resync buffer-miss"),
        ("000000000000feed.2", "resync restarted"),
    ] {
        for node in [0, 1] {
            let (_, said) = cluster.join(node, "1", Some(known));
            assert_eq!(said, ["keepalive", reason], "{known}");
        }
    }
    let stats = cluster.hub(1).stats().engine.expect("an engine");
    assert_eq!((stats.lost, stats.refetched), (1, 1));
}

#[test]
fn readers_refetch_only_once_it_is_known_where_their_record_stands() {
    let mut cluster = Cluster::of(2, quiet_config());
    let (mut client, _) = cluster.join(1, "1", None);
    cluster.publish(0, "1", 1..=3);
    cluster.read(&mut client);
    cluster.nodes[1].is_held = true;
    cluster.lose(1);
    assert_eq!(cluster.read(&mut client), [""; 0]);

    // A refetch before this event would not show it, and it is not delivered either.
    cluster.nodes[1].drops_live = true;
    cluster.publish(0, "1", [4]);
    cluster.nodes[1].is_held = false;
    assert_eq!(cluster.read(&mut client), ["resync source-lost"]);
    assert_eq!(client.last_event_id(), "v4");
}

#[test]
fn events_from_before_a_loss_lend_no_id_to_a_hub_that_comes_after_it() {
    let mut cluster = Cluster::of(1, quiet_config());
    cluster.publish(0, "1", 1..=5);
    cluster.lose(1);
    cluster.publish(0, "1", 6..=7);
    let late = cluster.add(quiet_config());
    cluster.up(late);
    for (known, answer) in [
        ("v4", &["keepalive", "resync buffer-miss"][..]),
        ("v6", &["keepalive", "7"]),
        ("000000000000feee.4", &["keepalive", "6", "7"]),
        ("000000000000feee.3", &["keepalive", "resync buffer-miss"]),
    ] {
        assert_eq!(cluster.join(late, "1", Some(known)).1, answer, "{known}");
    }
}

#[test]
fn a_newest_event_from_before_a_loss_is_not_known_by_its_id() {
    let mut cluster = Cluster::of(1, quiet_config());
    cluster.publish(0, "1", 1..=5);
    cluster.lose(1);
    let late = cluster.add(quiet_config());
    cluster.up(late);
    let (client, said) = cluster.join(late, "1", Some("v4"));
    assert_eq!(said, ["keepalive", "resync buffer-miss"]);
    assert_eq!(client.last_event_id(), "000000000000feee.4");
    let (_, said) = cluster.move_to(late, "1", client);
    assert_eq!(said, ["keepalive"]);
}

#[test]
fn an_engine_that_comes_back_in_another_life_makes_everybody_refetch() {
    let mut cluster = Cluster::of(1, quiet_config());
    let (mut client, _) = cluster.join(0, "1", None);
    cluster.publish(0, "1", 1..=3);
    cluster.read(&mut client);
    cluster.report(0, Report::Down);
    cluster.lose_silently(1);
    cluster.life.number += 1;
    cluster.life.lost = cluster.sequence;
    cluster.up(0);
    assert_eq!(cluster.read(&mut client), ["resync source-lost"]);
    assert_eq!(client.last_event_id(), "000000000000feee.2");
}

#[test]
fn a_loss_that_the_engine_has_not_noticed_is_declared() {
    let mut cluster = Cluster::of(2, quiet_config());
    let (mut client, _) = cluster.join(1, "1", None);
    cluster.publish(0, "1", 1..=5);
    cluster.read(&mut client);
    cluster.lose_silently(2);
    // Somebody names an ID that is not known, so that the server that decides is asked.
    let (_other, said) = cluster.join(1, "1", Some("v5x"));
    assert!(cluster.take_log(1).contains(&"declare lost".to_owned()));
    assert_eq!(said.last().map(String::as_str), Some("resync buffer-miss"));
    assert_eq!(cluster.read(&mut client), ["resync source-lost"]);
    assert_eq!(cluster.life.number, 0xfeee);
}

#[test]
fn the_same_loss_twice_is_one() {
    let mut cluster = Cluster::of(1, quiet_config());
    let (mut client, _) = cluster.join(0, "1", None);
    cluster.lose(0);
    assert_eq!(cluster.read(&mut client), ["resync source-lost"]);
    cluster.report(0, Report::Lost(cluster.life));
    assert_eq!(cluster.read(&mut client), [""; 0]);
}

#[test]
fn a_lost_source_makes_readers_refetch_though_the_engine_has_the_events() {
    let mut cluster = Cluster::of(1, quiet_config());
    let (mut client, _) = cluster.join(0, "1", None);
    cluster.publish(0, "1", 1..=3);
    cluster.read(&mut client);
    cluster.hub(0).source_lost(&key("1"));
    cluster.hub(0).source_lost(&key("nobody reads it"));
    assert_eq!(cluster.read(&mut client), ["resync source-lost"]);
    let (_, said) = cluster.join(0, "1", Some("v2"));
    assert_eq!(said, ["keepalive", "resync buffer-miss"]);
    let (_, said) = cluster.move_to(0, "1", client);
    assert_eq!(said, ["keepalive"]);
}

#[test]
fn an_event_that_cannot_be_read_is_not_skipped() {
    let mut cluster = Cluster::of(2, quiet_config());
    let (mut client, _) = cluster.join(0, "1", None);
    cluster.publish(0, "1", [1]);
    cluster.read(&mut client);
    cluster.store(key("1"), unreadable());
    assert_eq!(cluster.read(&mut client), ["resync source-lost"]);
    assert_eq!(client.last_event_id(), "000000000000feed.2");

    // A hub that begins with it knows it as a place; one that reads it, as the end of history.
    let (_, said) = cluster.join(1, "1", Some("000000000000feed.2"));
    assert_eq!(said, ["keepalive"]);
    cluster.publish(0, "1", 3..=4);
    for node in [0, 1] {
        let (_, said) = cluster.join(node, "1", Some("v1"));
        assert_eq!(said, ["keepalive", "resync buffer-miss"]);
        let (_, said) = cluster.join(node, "1", Some("v3"));
        assert_eq!(said, ["keepalive", "4"]);
    }
    let late = cluster.add(quiet_config());
    cluster.up(late);
    let (_, said) = cluster.join(late, "1", Some("v1"));
    assert_eq!(said, ["keepalive", "resync buffer-miss"]);
    let (_, said) = cluster.join(late, "1", Some("000000000000feed.2"));
    assert_eq!(said, ["keepalive", "3", "4"]);
}

#[test]
fn a_loss_that_an_engine_was_told_of_just_before_it_went_away_is_declared_again() {
    let mut cluster = Cluster::of(2, quiet_config());
    let (mut client, _) = cluster.join(1, "1", None);
    cluster.publish(0, "1", 1..=5);
    cluster.read(&mut client);
    cluster.advance(2_000);
    cluster.lose_silently(2);
    let hub = cluster.hub(1).clone();
    let _other = Client::connect(&hub, &key("1"), Some("v5x"), cluster.now());
    cluster.nodes[1].is_held = true;
    let is_declaration = |request: &Request| matches!(request, Request::DeclareLost);
    while !cluster.nodes[1].waiting.iter().any(is_declaration) {
        let request = cluster.nodes[1].waiting.pop_front();
        if let Some(request) = request {
            cluster.carry_out(1, request);
        }
        cluster.collect(1);
    }

    // It never hears of that.
    cluster.report(1, Report::Down);
    cluster.nodes[1].is_held = false;
    cluster.take_log(1);
    cluster.up(1);
    assert!(cluster.take_log(1).contains(&"declare lost".to_owned()));
}

#[test]
fn large_events_that_come_while_something_is_asked_are_read_and_not_kept() {
    let mut cluster = Cluster::of(2, quiet_config());
    let (mut client, _) = cluster.join(1, "1", None);
    cluster.publish(0, "1", [1]);
    cluster.read(&mut client);
    cluster.advance(2_000);
    cluster.take_log(1);

    cluster.nodes[1].is_held = true;
    cluster.report(1, Report::Doubt(None));
    cluster.collect(1);
    let Some(Request::Newest { of, .. }) = cluster.nodes[1].waiting.pop_front() else {
        panic!("it is in doubt")
    };
    let newest = cluster.records[&key("1")].back().cloned();
    let span = Span { since: 0, upto: 1 };
    // Its answer does not have these two, and only one of them may wait for it.
    for etag in ["v2", "v3"] {
        let event = padded(&key("1"), 600_000, Some(etag));
        let publishing = cluster.hub(0).submit(event, cluster.now());
        cluster.run();
        drop(publishing);
    }
    let [(key, number)] = <[_; 1]>::try_from(of).expect("one record");
    cluster.report(1, Report::Newest(key, number, Ok((newest, span))));
    cluster.nodes[1].is_held = false;
    assert_eq!(cluster.read(&mut client).len(), 2);
    assert_eq!(client.last_event_id(), "v3");
    assert_eq!(cluster.take_log(1), ["sure newest", "run 1"]);
}
