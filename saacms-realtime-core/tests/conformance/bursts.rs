//! Readers that join during a burst, that are slow, and that are too slow.

use std::thread;

use saacms_realtime_core::HubConfig;

use super::client::{Connection, Request};
use super::stream::Stream;
use super::world::{KEEPALIVE, PUBLISH, World, changed, frame, path, quiet, resync};
use super::{Start, scenarios};

scenarios![
    a_client_that_joins_during_a_burst_gets_every_event_once_and_in_order,
    a_client_that_reconnects_during_a_burst_misses_nothing,
    concurrent_publishers_are_seen_in_one_order,
    a_reader_that_pauses_gets_what_it_missed,
    a_reader_that_is_too_slow_gets_one_resync_and_continues_live,
    a_reader_that_is_too_slow_delays_no_other,
];

/// More bytes than the socket buffers of one connection hold.
const MORE_THAN_SOCKETS_TAKE: usize = 24 << 20;
/// The length of a large record.
const LARGE: usize = 256 << 10;

/// Publishes `v1`, `v2`… on one connection while `joins` runs, then `end`.
fn during_a_burst(world: &World, joins: impl FnOnce() + Send) {
    thread::scope(|scope| {
        let joining = scope.spawn(joins);
        let mut connection = world.connect();
        let mut publish = |etag: &str| {
            let answer = connection.exchange(&Request::post(PUBLISH, changed("1", etag, "1")));
            assert_eq!(answer.status(), 204);
        };
        for number in 1.. {
            publish(&format!("v{number}"));
            if joining.is_finished() {
                break;
            }
        }
        joining.join().expect("everybody joined");
        publish("end");
    });
}

/// Reads up to `end` and checks that no event is missing or repeated, from `first` on or from the
/// first one received.
fn expect_contiguous(stream: &mut Stream, first: Option<u64>) {
    let mut next = first;
    loop {
        let block = stream.block();
        if block == frame("end", "1") {
            return;
        }
        let number = next.unwrap_or_else(|| {
            let number = block
                .strip_prefix("event: changed\nid: v")
                .and_then(|rest| rest.split('\n').next()?.parse().ok());
            number.unwrap_or_else(|| panic!("no event: {block:?}"))
        });
        assert_eq!(block, frame(&format!("v{number}"), "1"));
        next = Some(number + 1);
    }
}

fn a_client_that_joins_during_a_burst_gets_every_event_once_and_in_order(start: Start) {
    let world = World::start(start);
    let address = world.running.address;
    let mut streams = Vec::new();

    during_a_burst(&world, || {
        for _ in 0..60 {
            let mut stream = Stream::open(address, &Request::get(&path("1")));
            stream.greeting();
            streams.push(stream);
        }
    });
    streams
        .iter_mut()
        .for_each(|stream| expect_contiguous(stream, None));
}

fn a_client_that_reconnects_during_a_burst_misses_nothing(start: Start) {
    // No event may leave the replay window during the burst, however fast it is.
    let config = HubConfig {
        max_events: 1_000_000,
        max_lag_bytes: 1 << 30,
        ..quiet()
    };
    let world = World::configured(start, config);

    world.publish("1", "v0");
    let (address, hub) = (world.running.address, world.running.hub.clone());
    let mut streams = Vec::new();

    during_a_burst(&world, || {
        for _ in 0..60 {
            // The first event is `v0`, so the newest has one less than the count.
            let known = hub.stats().published - 1;
            let request = Request::get(&path("1")).header("Last-Event-ID", format!("v{known}"));
            let mut stream = Stream::open(address, &request);
            stream.expect(KEEPALIVE);
            streams.push((stream, known + 1));
        }
    });

    for (mut stream, first) in streams {
        expect_contiguous(&mut stream, Some(first));
    }
    assert_eq!(world.stats().resyncs, 0);
}

fn concurrent_publishers_are_seen_in_one_order(start: Start) {
    let world = World::start(start);
    world.publish("1", "first");
    let mut streams: Vec<_> = (0..4).map(|_| world.subscribe("1")).collect();
    thread::scope(|scope| {
        for publisher in 0..4 {
            let address = world.running.address;
            scope.spawn(move || {
                let mut connection = Connection::open(address);
                for number in 0..20 {
                    let event = changed("1", &format!("p{publisher}-{number}"), "1");
                    assert_eq!(
                        connection.exchange(&Request::post(PUBLISH, event)).status(),
                        204
                    );
                }
            });
        }
    });

    let order: Vec<_> = (0..80).map(|_| streams[0].block()).collect();
    let whole = order.concat();
    streams[1..]
        .iter_mut()
        .for_each(|stream| stream.expect(&whole));
    world.resume("1", "first").expect(&whole);

    for publisher in 0..4 {
        let own = order
            .iter()
            .filter(|block| block.contains(&format!("id: p{publisher}-")));
        let expected = (0..20).map(|number| frame(&format!("p{publisher}-{number}"), "1"));
        assert!(
            own.cloned().eq(expected),
            "what one publisher waited for comes in its order"
        );
    }
}

/// The record of a large event.
fn large(number: usize) -> String {
    format!("\"{number} {}\"", "x".repeat(LARGE))
}

fn publish_large(world: &World, count: usize) {
    let mut connection = world.connect();
    for number in 1..=count {
        let event = changed("1", &format!("v{number}"), &large(number));
        assert_eq!(
            connection.exchange(&Request::post(PUBLISH, event)).status(),
            204
        );
    }
}

fn a_reader_that_pauses_gets_what_it_missed(start: Start) {
    let config = HubConfig {
        max_lag_bytes: 1 << 30,
        ..quiet()
    };
    let world = World::configured(start, config);
    let mut stream = world.subscribe("1");
    let count = MORE_THAN_SOCKETS_TAKE / LARGE;
    publish_large(&world, count);
    (1..=count).for_each(|number| stream.expect(frame(&format!("v{number}"), &large(number))));
    stream.expect(world.publish("1", "end"));
    assert_eq!(world.stats().resyncs, 0);
}

fn a_reader_that_is_too_slow_gets_one_resync_and_continues_live(start: Start) {
    let world = World::configured(
        start,
        HubConfig {
            max_events: 2,
            max_lag: 4,
            ..quiet()
        },
    );
    let mut stream = world.subscribe("1");
    let count = MORE_THAN_SOCKETS_TAKE / LARGE;
    let mut told = 0;

    for round in 1..=2 {
        publish_large(&world, count);
        // First come the events that the sockets held, then one resync for the rest. On a busy
        // machine the reader may lag more than once; each resync names the newest event of its
        // moment, and the stream continues after that one.
        let mut next = 1;
        while next <= count {
            let block = stream.block();
            if block == frame(&format!("v{next}"), &large(next)) {
                next += 1;
                continue;
            }
            let is_news_of = |number: &usize| block == resync(&format!("v{number}"), "lagged");
            let newest = (next..=count).find(is_news_of);
            next = newest.unwrap_or_else(|| panic!("number {next} is due, or a resync")) + 1;
            told += 1;
        }

        assert!(told >= round, "the sockets took everything");
        assert_eq!(world.stats().resyncs, told, "one for each fall");
        stream.expect(world.publish("1", "live"));
    }
}

fn a_reader_that_is_too_slow_delays_no_other(start: Start) {
    let world = World::configured(
        start,
        HubConfig {
            max_events: 2,
            max_lag: 4,
            ..quiet()
        },
    );
    let _stalled: Vec<_> = (0..5).map(|_| world.subscribe("1")).collect();
    let mut reader = world.subscribe("1");
    let mut connection = world.connect();

    for number in 1..=MORE_THAN_SOCKETS_TAKE / LARGE {
        let event = changed("1", &format!("v{number}"), &large(number));
        assert_eq!(
            connection.exchange(&Request::post(PUBLISH, event)).status(),
            204
        );
        reader.expect(frame(&format!("v{number}"), &large(number)));
    }
}
