//! Comments on a silent stream. Only lower bounds are checked, so a slow machine fails no test.

use core::time::Duration;
use std::thread;
use std::time::Instant;

use saacms_realtime_core::HubConfig;

use super::client::Request;
use super::world::{KEEPALIVE, World, path, quiet};
use super::{Start, scenarios};

scenarios![
    a_silent_stream_gets_a_comment_each_heartbeat,
    a_write_postpones_the_heartbeat,
    heartbeats_are_not_replayed,
    frames_and_heartbeats_never_mix,
    a_stream_tells_its_heartbeat,
];

/// The hub's clock has whole milliseconds.
const ROUNDING: Duration = Duration::from_millis(1);

fn world(start: Start, millis: u64) -> World {
    World::configured(
        start,
        HubConfig {
            heartbeat: Duration::from_millis(millis),
            ..quiet()
        },
    )
}

fn a_silent_stream_gets_a_comment_each_heartbeat(start: Start) {
    let world = world(start, 20);
    let started = Instant::now();
    let mut stream = world.subscribe("1");
    for count in 1..=5 {
        stream.expect(KEEPALIVE);
        let earliest = (Duration::from_millis(20) - ROUNDING) * count;
        assert!(
            started.elapsed() >= earliest,
            "{count} after {:?}",
            started.elapsed()
        );
    }
}

fn a_write_postpones_the_heartbeat(start: Start) {
    const HEARTBEAT: Duration = Duration::from_millis(200);

    let world = world(start, 200);
    let mut stream = world.subscribe("1");
    for etag in ["v1", "v2"] {
        // Without the write, a heartbeat would be due in the other half.
        thread::sleep(HEARTBEAT / 2);
        let published = Instant::now();
        stream.expect(world.publish("1", etag));
        stream.expect(KEEPALIVE);
        assert!(
            published.elapsed() >= HEARTBEAT - ROUNDING,
            "after {:?}",
            published.elapsed()
        );
    }
}

fn heartbeats_are_not_replayed(start: Start) {
    let world = world(start, 10);
    let mut stream = world.subscribe("1");
    let first = world.publish("1", "v1");
    while stream.block() != first {}
    (0..3).for_each(|_| stream.expect(KEEPALIVE));
    let second = world.publish("1", "v2");
    let mut resumed = world.resume("1", "v1");
    resumed.expect(&second);
    resumed.expect(KEEPALIVE);
    // Heartbeats are not events, and they cause no resync.
    assert_eq!((world.stats().published, world.stats().resyncs), (2, 0));
}

fn frames_and_heartbeats_never_mix(start: Start) {
    let world = world(start, 10);
    let mut stream = world.subscribe("1");
    let (mut published, mut come) = (Vec::new(), Vec::new());
    for number in 0..30 {
        published.push(world.publish("1", &format!("v{number}")));
        if number % 10 == 0 {
            // Read until a heartbeat follows the newest event.
            loop {
                match stream.block() {
                    block if block != KEEPALIVE => come.push(block),
                    _ if come.len() == published.len() => break,
                    _ => {}
                }
            }
        }
    }

    while come.len() < published.len() {
        come.extend(Some(stream.block()).filter(|block| block != KEEPALIVE));
    }
    assert_eq!(come, published);
}

fn a_stream_tells_its_heartbeat(start: Start) {
    let told = |millis| {
        let world = world(start, millis);
        let stream = world.open(&Request::get(&path("1")));
        stream.head.header("saacms-heartbeat").map(str::to_owned)
    };
    assert_eq!(told(20_000).as_deref(), Some("20000"));
    assert_eq!(told(0), None, "there are no heartbeats");
}
