//! Explores the orders in which threads can take a hub's locks: no wake-up is lost, no thread waits
//! for ever, and nothing is left over.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p saacms-realtime-core --release --test loom`

#![cfg(loom)]

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use loom::future::{AtomicWaker, block_on};
use loom::sync::Arc;
use loom::thread;
use saacms_realtime_core::engine::{EngineSpec, Life, Report, Request};
use saacms_realtime_core::{
    EnginePort, Event, EventIds, Hub, HubConfig, Lane, Now, Outgoing, Output, Piece, Refusal,
    ResourceKey, Span, Subscription,
};

/// How many switches between threads an order may have beyond those that a lock forces.
const PREEMPTIONS: usize = 3;

fn model(scenario: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(scenario);
}

#[test]
fn a_publish_wakes_a_reader_that_is_about_to_sleep() {
    model(|| {
        let (hub, mut reader) = hub_with_reader();
        let publisher = spawn(&hub, |hub| publish(hub, NOW));
        assert!(next(&mut reader).is_some_and(|frames| frames.contains("deleted")));
        publisher.join().expect("no panic");
        leaves_nothing(hub, reader);
    });
}

#[test]
fn a_publish_between_two_turns_of_a_lane_reaches_every_stream() {
    model(|| {
        let (hub, first) = hub_with_reader();
        let second = hub.subscribe(&key(), None, NOW).expect("room");
        let (mut lane, news) = lane();
        let streams = [lane.insert(first, ()), lane.insert(second, ())];
        let publisher = spawn(&hub, |hub| publish(hub, NOW));
        let mut missing = streams.to_vec();
        block_on(poll_fn(|cx| {
            news.register_by_ref(cx.waker());
            // One stream per turn, so that a publish can come between two turns of one record.
            while lane.collect(NOW) > 0 {
                let mut outgoing = Vec::new();
                lane.turn(1, NOW, &mut outgoing);
                for Outgoing { stream, piece } in outgoing {
                    let Piece::Frames(frames) = piece else {
                        panic!("no end")
                    };
                    if frames.windows(7).any(|part| part == b"deleted") {
                        missing.retain(|it| *it != stream);
                    }
                }
            }

            if missing.is_empty() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }));

        publisher.join().expect("no panic");
        drop(lane);
        leaves_no_topic(&hub);
    });
}

#[test]
fn a_drain_wakes_a_lane_that_is_about_to_sleep() {
    model(|| {
        let (hub, reader) = hub_with_reader();
        let (mut lane, news) = lane();
        lane.insert(reader, ());
        let drainer = spawn(&hub, Hub::drain);
        block_on(poll_fn(|cx| {
            news.register_by_ref(cx.waker());
            let mut outgoing = Vec::new();
            while lane.collect(NOW) > 0 {
                lane.turn(1, NOW, &mut outgoing);
            }
            let is_over = outgoing.iter().any(|given| given.piece == Piece::End);
            if is_over {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }));

        drainer.join().expect("no panic");
        drop(lane);
        leaves_no_topic(&hub);
    });
}

#[test]
fn a_drain_wakes_a_reader_that_is_about_to_sleep() {
    model(|| {
        let (hub, mut reader) = hub_with_reader();
        let drainer = spawn(&hub, Hub::drain);
        assert!(next(&mut reader).is_some_and(|frames| frames.starts_with("retry: ")));
        assert_eq!(next(&mut reader), None);
        drainer.join().expect("no panic");
        leaves_nothing(hub, reader);
    });
}

#[test]
fn a_lost_source_wakes_a_reader_that_is_about_to_sleep() {
    model(|| {
        let (hub, mut reader) = hub_with_reader();
        let source = spawn(&hub, |hub| hub.source_lost(&key()));
        assert!(next(&mut reader).is_some_and(|frames| frames.contains("source-lost")));
        source.join().expect("no panic");
        drop(reader);
        assert_eq!(hub.stats().subscribers, 0);
    });
}

#[test]
fn a_reader_that_subscribes_during_a_sweep_gets_the_next_event() {
    model(|| {
        let hub = hub();
        publish(&hub, NOW);
        let sweeper = spawn(&hub, |hub| sweep(hub, LATER));
        let mut reader = hub.subscribe(&key(), None, LATER).expect("room");
        publish(&hub, LATER);
        assert!(next(&mut reader).is_some_and(|frames| frames.contains("deleted")));
        sweeper.join().expect("no panic");
        drop(reader);
        assert_eq!((hub.stats().subscribers, hub.stats().topics), (0, 1));
    });
}

#[test]
fn a_reader_may_leave_while_it_is_woken() {
    model(|| {
        let (hub, reader) = hub_with_reader();
        let publisher = spawn(&hub, |hub| publish(hub, NOW));
        drop(reader);
        publisher.join().expect("no panic");
        assert_eq!((hub.stats().subscribers, hub.stats().topics), (0, 1));
        sweep(&hub, LATER);
        assert_eq!((hub.stats().topics, hub.stats().history_bytes), (0, 0));
    });
}

#[test]
fn the_first_topic_wakes_a_sweeper_that_is_about_to_sleep() {
    model(|| {
        let hub = hub();
        let publisher = spawn(&hub, |hub| publish(hub, NOW));
        let due = block_on(poll_fn(|cx| match hub.poll_sweep(cx, NOW) {
            Some(due) => Poll::Ready(due),
            None => Poll::Pending,
        }));
        assert!(due > NOW.instant);
        publisher.join().expect("no panic");
    });
}

#[test]
fn a_reader_of_two_records_that_is_cut_misses_nothing_after_the_place_it_was_told() {
    model(|| {
        let config = HubConfig {
            event_ids: EventIds::Position,
            ..HubConfig::default()
        };
        let hub = Hub::new(config, 1).expect("valid");
        let start = told(&read(&hub, &key(), None));
        let publisher = spawn(&hub, |hub| {
            publish(hub, NOW);
            publish_to(hub, other_key(), NOW);
        });

        // It is told a place first, reads both records, and is cut.
        let place = told(&read(&hub, &key(), None));
        let mut got = read(&hub, &key(), Some(&start));
        got += &read(&hub, &other_key(), Some(&start));
        publisher.join().expect("no panic");

        // What it did not get by then comes after the place.
        got += &read(&hub, &key(), Some(&place));
        got += &read(&hub, &other_key(), Some(&place));
        assert!(!got.contains("resync"), "{got}");
        for id in ["1", "2"] {
            assert!(got.contains(&format!("{{\"id\":\"{id}\"}}")), "{got}");
        }
    });
}

#[test]
fn an_engine_that_is_about_to_sleep_gets_a_publish_and_its_publisher_the_answer() {
    model(|| {
        let (hub, port) = hub_with_engine();
        let engine = thread::spawn(move || answer_one(port));
        let published = block_on(hub.submit(Event::deleted(key()), NOW));
        assert_eq!(published, Ok(()));
        drop(engine.join().expect("no panic"));
        assert_eq!(in_flight(&hub), 0);
    });
}

#[test]
fn a_publish_that_nobody_waits_for_leaves_nothing_behind() {
    model(|| {
        let (hub, port) = hub_with_engine();
        let engine = thread::spawn(move || answer_one(port));
        drop(hub.submit(Event::deleted(key()), NOW));
        let _port = engine.join().expect("no panic");
        assert_eq!((in_flight(&hub), hub.stats().published), (0, 1));
    });
}

#[test]
fn a_publish_ends_with_the_port_of_its_engine() {
    model(|| {
        let (hub, port) = hub_with_engine();
        let engine = thread::spawn(move || drop(port));
        let refused = block_on(hub.submit(Event::deleted(key()), NOW));
        assert_eq!(refused, Err(Refusal::EngineAway));
        engine.join().expect("no panic");
        assert_eq!(in_flight(&hub), 0);
    });
}

#[test]
fn a_reader_that_is_about_to_wait_begins_with_the_answer_of_the_engine() {
    model(|| {
        let (hub, port) = hub_with_engine();
        let engine = thread::spawn(move || answer_one(port));
        let mut reader = hub.subscribe(&key(), None, NOW).expect("room");
        let greeting = next(&mut reader).expect("it goes on");
        assert_eq!(told(&greeting), "0000000000000007.0");
        drop(engine.join().expect("no panic"));
        drop(reader);
        assert_eq!(hub.stats().subscribers, 0);
    });
}

const NOW: Now = Now::from_millis(1_000, 0);
/// A moment when everything has expired.
const LATER: Now = Now::from_millis(100_000_000, 0);

fn hub() -> Hub {
    Hub::new(HubConfig::default(), 1).expect("the defaults are valid")
}

/// A hub with a reader that has read its greeting, and whose waker is not registered.
fn hub_with_reader() -> (Hub, Subscription) {
    let hub = hub();
    let mut reader = hub.subscribe(&key(), None, NOW).expect("room");
    let greeting = reader.poll(&Context::from_waker(Waker::noop()), NOW);
    assert!(matches!(greeting, Output::Frames(_)));
    (hub, reader)
}

/// A hub whose engine is up and empty.
fn hub_with_engine() -> (Hub, EnginePort) {
    let spec = EngineSpec {
        keep: 101,
        stamps: true,
        audit_every: None,
        max_event_bytes: 1_000,
        publish_timeout: std::time::Duration::from_secs(15),
    };
    let (hub, port) = Hub::with_engine(HubConfig::default(), 1, spec).expect("valid");
    let life = Life { number: 7, lost: 0 };
    port.reporter().report(Report::Up { life, last: 0 }, NOW);
    (hub, port)
}

fn in_flight(hub: &Hub) -> usize {
    hub.stats().engine.expect("an engine").in_flight
}

/// Waits for a publish or for an ask, and answers it.
fn answer_one(mut port: EnginePort) -> EnginePort {
    let requests = block_on(poll_fn(|cx| {
        let mut requests = Vec::new();
        let _ = port.poll_requests(cx, NOW, &mut requests);
        requests.retain(|request| !matches!(request, Request::Watch(_)));
        if requests.is_empty() {
            Poll::Pending
        } else {
            Poll::Ready(requests)
        }
    }));

    let reporter = port.reporter();
    for request in requests {
        match request {
            Request::Publish { ticket, .. } => reporter.report(Report::Stored(ticket, Ok(1)), NOW),
            Request::Newest { of, .. } => {
                for (key, number) in of {
                    let nothing = Ok((None, Span { since: 0, upto: 0 }));
                    reporter.report(Report::Newest(key, number, nothing), NOW);
                }
            }
            other => panic!("{other:?}"),
        }
    }
    port
}

fn key() -> ResourceKey {
    ResourceKey::new("posts", "1").expect("a valid key")
}

fn publish(hub: &Hub, now: Now) {
    publish_to(hub, key(), now);
}

fn publish_to(hub: &Hub, key: ResourceKey, now: Now) {
    hub.publish(Event::deleted(key), now).expect("room");
}

fn other_key() -> ResourceKey {
    ResourceKey::new("posts", "2").expect("a valid key")
}

/// What a stream begins with, which is then cut.
fn read(hub: &Hub, key: &ResourceKey, last_event_id: Option<&str>) -> String {
    let id = last_event_id.map(str::as_bytes);
    let mut reader = hub.subscribe(key, id, NOW).expect("room");
    match reader.poll(&Context::from_waker(Waker::noop()), NOW) {
        Output::Frames(frames) => String::from_utf8_lossy(&frames).into_owned(),
        other => panic!("{other:?}"),
    }
}

/// The place that a new reader is told first.
fn told(frames: &str) -> String {
    let id = frames.lines().find_map(|line| line.strip_prefix("id: "));
    id.expect("a position greets").to_owned()
}

fn sweep(hub: &Hub, now: Now) {
    let _ = hub.poll_sweep(&Context::from_waker(Waker::noop()), now);
}

fn spawn(hub: &Hub, act: impl FnOnce(&Hub) + 'static) -> thread::JoinHandle<()> {
    let hub = hub.clone();
    thread::spawn(move || act(&hub))
}

/// Waits for the next frames; `None` at the end.
fn next(reader: &mut Subscription) -> Option<String> {
    block_on(poll_fn(|cx| match reader.poll(cx, NOW) {
        Output::Frames(frames) => Poll::Ready(Some(String::from_utf8_lossy(&frames).into_owned())),
        Output::Idle { .. } => Poll::Pending,
        Output::End => Poll::Ready(None),
    }))
}

/// A lane, and the waker to register with: the lane wakes the last one registered.
fn lane() -> (Lane<()>, Arc<AtomicWaker>) {
    struct News(Arc<AtomicWaker>);
    impl std::task::Wake for News {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.wake();
        }
    }
    let news = Arc::new(AtomicWaker::new());
    let waker = Waker::from(std::sync::Arc::new(News(Arc::clone(&news))));
    (Lane::new(Default::default(), waker), news)
}

fn leaves_nothing(hub: Hub, reader: Subscription) {
    drop(reader);
    leaves_no_topic(&hub);
}

fn leaves_no_topic(hub: &Hub) {
    sweep(hub, LATER);
    let stats = hub.stats();
    assert_eq!(
        (stats.topics, stats.subscribers, stats.history_bytes),
        (0, 0, 0)
    );
}
