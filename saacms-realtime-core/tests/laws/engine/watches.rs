//! Which records a hub watches, and for how long.

use core::time::Duration;

use saacms_realtime_core::engine::{Report, Request};
use saacms_realtime_core::{Lane, Piece, Span};

use super::cluster::Cluster;
use crate::support::{Client, CountingWaker, key, quiet_config, sweep};

#[test]
fn only_records_with_readers_are_watched_and_take_memory() {
    let mut cluster = Cluster::of(1, quiet_config());
    cluster.publish(0, "1", 1..=3);
    assert_eq!(cluster.hub(0).stats().topics, 0);
    assert_eq!(cluster.take_log(0), [""; 0]);

    let (first, _) = cluster.join(0, "1", None);
    let (second, _) = cluster.join(0, "1", None);
    assert_eq!(cluster.take_log(0), ["watch", "newest"]);
    drop((first, second));
    cluster.advance(60_000);
    sweep(cluster.hub(0), cluster.now());
    assert_eq!(cluster.hub(0).stats().topics, 1);
    cluster.advance(10_000);
    sweep(cluster.hub(0), cluster.now());
    cluster.run();
    let stats = cluster.hub(0).stats();
    assert_eq!((stats.topics, stats.history_bytes), (0, 0));
    assert_eq!(
        cluster.take_log(0),
        ["sure newest", "unwatch"],
        "one check after the join"
    );
    assert!(cluster.nodes[0].watched.is_empty());
}

#[test]
fn a_record_that_is_watched_again_before_that_was_sent_stays_watched() {
    let mut cluster = Cluster::of(1, quiet_config());
    let (reader, _) = cluster.join(0, "1", None);
    drop(reader);
    cluster.clock.advance(80_000);
    sweep(cluster.hub(0), cluster.now());
    let hub = cluster.hub(0).clone();
    let mut again = Client::connect(&hub, &key("1"), None, cluster.now());
    cluster.take_log(0);
    assert_eq!(cluster.read(&mut again), ["keepalive"]);
    assert_eq!(cluster.take_log(0), ["newest"]);
    cluster.publish(0, "1", [1]);
    assert_eq!(cluster.read(&mut again), ["1"]);
}

#[test]
fn a_record_whose_reader_leaves_before_that_was_sent_is_not_watched() {
    let mut cluster = Cluster::of(1, quiet_config());
    let hub = cluster.hub(0).clone();
    drop(Client::connect(&hub, &key("1"), None, cluster.now()));
    cluster.run();
    assert_eq!(cluster.take_log(0), [""; 0]);
}

#[test]
fn records_are_watched_anew_whenever_the_engine_is_back() {
    let mut cluster = Cluster::of(1, quiet_config());
    let (mut client, _) = cluster.join(0, "1", None);
    cluster.report(0, Report::Down);
    cluster.up(0);
    cluster.advance(2_000);
    assert_eq!(cluster.nodes[0].watched.len(), 1);
    cluster.publish(0, "1", [1]);
    assert_eq!(cluster.read(&mut client), ["1"]);
}

#[test]
fn after_an_absence_the_records_are_asked_about_within_two_seconds() {
    let mut cluster = Cluster::of(1, quiet_config());
    let readers: Vec<_> = (0..50)
        .map(|id| cluster.join(0, &id.to_string(), None))
        .collect();
    cluster.advance(2_000);
    cluster.report(0, Report::Down);
    cluster.take_log(0);
    cluster.up(0);
    let asked = |log: Vec<String>| log.iter().filter(|line| *line == "newest").count();
    assert!(asked(cluster.take_log(0)) <= 1);
    cluster.advance(1_000);
    assert!((10..=40).contains(&asked(cluster.take_log(0))));
    cluster.advance(1_000);
    assert!(asked(cluster.take_log(0)) >= 10);
    cluster.advance(10_000);
    assert_eq!(asked(cluster.take_log(0)), 0);
    assert_eq!(readers.len(), 50);
}

#[test]
fn an_answer_to_an_ask_from_before_an_absence_is_not_believed() {
    let mut cluster = Cluster::of(2, quiet_config());
    let (mut client, _) = cluster.join(1, "1", None);
    cluster.nodes[1].is_held = true;
    cluster.report(1, Report::Doubt(None));
    cluster.collect(1);
    let Some(Request::Newest { of, .. }) = cluster.nodes[1].waiting.pop_front() else {
        panic!("a doubt is asked about")
    };
    let (key, number) = of.into_iter().next().expect("one record");

    cluster.report(1, Report::Down);
    cluster.nodes[1].watched.clear();
    cluster.publish(0, "1", [1]);
    cluster.up(1);
    let span = Span { since: 0, upto: 1 };
    // It says that nothing was missed up to the event that was missed.
    cluster.report(1, Report::Newest(key, number, Ok((None, span))));
    cluster.nodes[1].is_held = false;
    cluster.advance(2_000);
    assert_eq!(cluster.read(&mut client), ["1"]);
    assert_eq!(client.last_event_id(), "v1");
}

#[test]
fn an_answer_to_an_ask_of_an_earlier_reader_is_not_believed() {
    let mut cluster = Cluster::of(1, quiet_config());
    cluster.nodes[0].is_held = true;
    let (reader, _) = cluster.join(0, "1", None);
    let early = std::mem::take(&mut cluster.nodes[0].waiting);
    drop(reader);
    cluster.advance(80_000);
    sweep(cluster.hub(0), cluster.now());

    // The ask of the first reader is answered while that of the second is out.
    let (mut client, _) = cluster.join(0, "1", None);
    for request in early {
        cluster.carry_out(0, request);
    }
    assert_eq!(cluster.read(&mut client), [""; 0]);
    cluster.nodes[0].is_held = false;
    assert_eq!(cluster.read(&mut client), ["keepalive"]);
}

#[test]
fn a_watch_that_began_anew_is_checked_a_second_later() {
    let mut cluster = Cluster::of(2, quiet_config());
    let (mut client, _) = cluster.join(1, "1", None);
    cluster.advance(2_000);
    cluster.report(1, Report::Down);
    cluster.take_log(1);
    cluster.up(1);
    while !cluster.take_log(1).contains(&"newest".to_owned()) {
        cluster.advance(1);
    }
    // The answer is there, and live events are not yet told.
    cluster.nodes[1].drops_live = true;
    cluster.publish(0, "1", [1]);
    cluster.advance(1_000);
    assert_eq!(cluster.read(&mut client), ["1"]);
}

#[test]
fn a_reconnect_storm_is_a_few_requests() {
    let mut cluster = Cluster::of(1, quiet_config());
    cluster.nodes[0].is_held = true;
    let readers: Vec<_> = (0..2_500)
        .map(|id| cluster.join(0, &id.to_string(), None))
        .collect();
    cluster.nodes[0].is_held = false;
    cluster.run();
    let newest = cluster.take_log(0);
    let newest = newest.iter().filter(|line| *line == "newest").count();
    assert!((3..=5).contains(&newest), "{newest}");
    assert_eq!(readers.len(), 2_500);
}

#[test]
fn a_confirmation_wakes_no_reader_that_waits_for_events() {
    let mut cluster = Cluster::of(1, quiet_config());
    let (mut client, _) = cluster.join(0, "1", None);
    let (counter, waker) = CountingWaker::new();
    client.read_with(&core::task::Context::from_waker(&waker), cluster.now());
    cluster.report(0, Report::Doubt(None));
    cluster.run();
    assert_eq!((cluster.take_log(0).len(), counter.count()), (3, 0));
    cluster.publish(0, "1", [1]);
    assert_eq!(counter.count(), 1);
}

#[test]
fn a_reader_that_waits_is_woken_by_every_answer() {
    let mut cluster = Cluster::of(1, quiet_config());
    cluster.publish(0, "1", 1..=3);
    let (_other, _) = cluster.join(0, "1", Some("v1"));
    let hub = cluster.hub(0).clone();
    let mut client = Client::connect(&hub, &key("1"), Some("unknown"), cluster.now());
    let (counter, waker) = CountingWaker::new();
    client.read_with(&core::task::Context::from_waker(&waker), cluster.now());
    cluster.run();
    assert_eq!(
        counter.count(),
        1,
        "nothing was missed, and so the ID is unknown"
    );
    assert_eq!(
        client.read(cluster.now()),
        ["keepalive", "resync buffer-miss"]
    );
}

#[test]
fn the_port_is_woken_by_whatever_there_is_for_the_engine() {
    let mut cluster = Cluster::of(1, quiet_config());
    let (hub, now) = (cluster.hub(0).clone(), cluster.now());
    let mut port = cluster.nodes[0].port.take().expect("a port");
    let (counter, waker) = CountingWaker::new();
    let cx = core::task::Context::from_waker(&waker);
    let mut poll = || {
        let mut requests = Vec::new();
        let _ = port.poll_requests(&cx, now, &mut requests);
        requests.into_iter().next_back()
    };
    assert!(poll().is_none());

    let publishing = cluster.submit(0, "1", 1);
    assert_eq!(counter.count(), 1);
    assert!(matches!(poll(), Some(Request::Publish { .. })));
    let mut client = Client::connect(&hub, &key("1"), Some("unknown"), now);
    assert_eq!(counter.count(), 2);
    let Some(Request::Newest { of, .. }) = poll() else {
        panic!("the reader is the first of its record")
    };
    let (key, number) = of.into_iter().next().expect("one record");
    let span = Span { since: 0, upto: 0 };
    cluster.report(0, Report::Newest(key, number, Ok((None, span))));
    assert_eq!(
        counter.count(),
        3,
        "it is to poll again when a check is due"
    );
    assert!(poll().is_none());
    assert_eq!(client.read(now), [""; 0]);
    assert_eq!(counter.count(), 4, "the reader needs to know more");
    assert!(matches!(poll(), Some(Request::Newest { sure: true, .. })));
    drop(publishing);
}

#[test]
fn streams_of_a_lane_wait_for_the_engine_and_begin_with_its_answer() {
    let mut cluster = Cluster::of(1, quiet_config());
    cluster.publish(0, "1", 1..=3);
    let (counter, waker) = CountingWaker::new();
    let mut lane = Lane::new(Duration::ZERO, waker);
    let now = cluster.now();
    let known = [Some("v1"), Some("v2"), None];
    let streams = known.map(|known| {
        let id = known.map(str::as_bytes);
        let subscription = cluster.hub(0).subscribe(&key("1"), id, now);
        lane.insert(subscription.expect("room"), String::new())
    });
    let drive = |lane: &mut Lane<String>| {
        let mut outgoing = Vec::new();
        while lane.collect(now) > 0 {
            lane.turn(64, now, &mut outgoing);
        }
        for given in outgoing {
            let Piece::Frames(frames) = given.piece else {
                panic!("no end")
            };
            let text = lane.get_mut(given.stream).expect("open");
            text.push_str(core::str::from_utf8(&frames).expect("text"));
        }
    };
    drive(&mut lane);
    let before = counter.count();
    cluster.run();
    assert!(counter.count() > before, "the answer wakes the lane");
    // Those that named an ID are read for in a second step.
    for _ in 0..3 {
        drive(&mut lane);
        cluster.run();
    }

    let events = streams.map(|stream| {
        let text = lane.get_mut(stream).expect("open");
        (
            text.matches("event: changed").count(),
            text.matches(":keepalive").count(),
        )
    });
    assert_eq!(events, [(2, 1), (1, 1), (0, 1)]);
}
