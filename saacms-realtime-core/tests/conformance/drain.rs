//! Draining: open streams get what they have missed and a reconnection time; new ones are refused.

use core::time::Duration;

use saacms_realtime_core::HubConfig;

use super::client::Request;
use super::stream::Stream;
use super::world::{
    PUBLISH, World, changed, expect_problem, expect_unavailable, frame, path, quiet,
};
use super::{Start, scenarios};

scenarios![
    each_stream_gets_a_reconnection_time_and_ends,
    a_stream_gets_all_waiting_events_before_it_ends,
    a_drained_server_refuses_new_streams,
    a_drained_server_tells_an_event_source_to_come_back_when_the_drain_is_over,
    a_drained_server_refuses_publishes_and_closes_their_connections,
    every_answer_of_a_drained_server_closes_its_connection,
    streams_of_quiet_records_end_too,
];

/// Reads the reconnection time, in milliseconds, and then the end of the stream.
fn expect_retry(stream: &mut Stream) -> u64 {
    let block = stream.block();
    let millis = block
        .strip_prefix("retry: ")
        .and_then(|rest| rest.strip_suffix("\n\n"));
    let millis = millis.and_then(|millis| millis.parse().ok());
    stream.expect_end();
    millis.unwrap_or_else(|| panic!("a reconnection time, not {block:?}"))
}

fn each_stream_gets_a_reconnection_time_and_ends(start: Start) {
    let config = HubConfig {
        drain_retry: Duration::from_millis(500),
        ..quiet()
    };
    let world = World::configured(start, config);
    let mut streams: Vec<_> = (0..20)
        .map(|number| world.subscribe(&(number % 3).to_string()))
        .collect();

    world.drain();
    let mut times: Vec<_> = streams.iter_mut().map(expect_retry).collect();
    assert!(
        times.iter().all(|millis| (500..=2_000).contains(millis)),
        "{times:?}"
    );

    times.sort_unstable();
    times.dedup();
    // The times are random, so a few may coincide.
    assert!(times.len() > 10, "not all reconnect at once: {times:?}");
    world.wait_until("no subscriber is left", |stats| stats.subscribers == 0);
}

fn a_stream_gets_all_waiting_events_before_it_ends(start: Start) {
    let world = World::configured(
        start,
        HubConfig {
            max_lag_bytes: 1 << 30,
            ..quiet()
        },
    );
    let mut streams = [world.subscribe("1"), world.subscribe("1")];
    let record = format!("\"{}\"", "x".repeat(256 << 10));

    for number in 0..60 {
        world.publish_event(&changed("1", &format!("v{number}"), &record));
    }

    let last = world.publish("1", "last");
    // No client has read anything yet, and the socket buffers do not hold this much.
    world.drain();

    for stream in &mut streams {
        (0..60).for_each(|number| stream.expect(frame(&format!("v{number}"), &record)));
        stream.expect(&last);
        let millis = expect_retry(stream);
        assert!((1_000..=4_000).contains(&millis), "{millis}");
    }
}

fn a_drained_server_refuses_new_streams(start: Start) {
    let world = World::start(start);
    let mut stream = world.subscribe("1");
    let mut before = world.connect();
    assert_eq!(
        before.exchange(&Request::post(PUBLISH, "nope")).status(),
        400
    );

    world.drain();
    let request = Request::get(&path("1")).header("Last-Event-ID", "v1");
    for answer in [world.ask(&request), before.exchange(&request)] {
        expect_problem(&answer, 503, "draining", "shutting down");
        assert_eq!(answer.header("connection"), Some("close"));
        // The drain may last 10 s, and a hub that comes after it must not meet all clients at once.
        let seconds = answer
            .header("retry-after")
            .and_then(|text| text.parse().ok());
        assert!(
            seconds.is_some_and(|seconds: u64| (11..=14).contains(&seconds)),
            "{answer:?}"
        );
    }
    assert!(before.ends());
    expect_retry(&mut stream);
}

fn a_drained_server_tells_an_event_source_to_come_back_when_the_drain_is_over(start: Start) {
    let world = World::start(start);
    let mut before = world.connect();
    assert_eq!(
        before.exchange(&Request::post(PUBLISH, "nope")).status(),
        400
    );

    world.drain();
    let request = Request::get(&path("1")).header("Accept", "text/event-stream");
    for answer in [world.ask(&request), before.exchange(&request)] {
        let millis = expect_unavailable(&answer, "draining");
        assert!((11_000..=14_000).contains(&millis), "{millis}");
        assert_eq!(answer.header("connection"), Some("close"));
    }
    assert!(before.ends());
}

fn a_drained_server_refuses_publishes_and_closes_their_connections(start: Start) {
    let world = World::start(start);
    let mut pooled = world.connect();
    let event = Request::post(PUBLISH, changed("1", "v1", "1"));
    assert_eq!(pooled.exchange(&event).status(), 204);

    world.drain();
    let ndjson = event.clone().header("Content-Type", "application/x-ndjson");
    let answer = world.ask(&ndjson);
    assert_eq!(
        (answer.status(), answer.header("connection")),
        (200, Some("close"))
    );
    assert!(answer.text().contains(r#""status":503"#), "{answer:?}");
    for answer in [world.ask(&event), pooled.exchange(&event)] {
        expect_problem(&answer, 503, "draining", "shutting down");
        assert_eq!(answer.header("connection"), Some("close"));
    }
    assert!(pooled.ends());
    assert_eq!(world.stats().published, 1);
}

fn every_answer_of_a_drained_server_closes_its_connection(start: Start) {
    let world = World::start(start);
    world.drain();
    for (request, status) in [
        (Request::new("OPTIONS", PUBLISH), 204),
        (Request::post(PUBLISH, "nope"), 400),
        (Request::get("/api/saacms/v1/nothing"), 404),
        (Request::get(PUBLISH), 405),
        (Request::get(&path("1")).header("Accept", "text/html"), 406),
    ] {
        let answer = world.ask(&request);
        assert_eq!(
            (answer.status(), answer.header("connection")),
            (status, Some("close")),
            "{request:?}"
        );
    }
}

fn streams_of_quiet_records_end_too(start: Start) {
    let world = World::start(start);
    let mut greeted = world.subscribe("1");
    // This client has not even read its greeting.
    let mut unread = world.open(&Request::get(&path("2")));
    world.drain();
    world.drain();
    expect_retry(&mut greeted);
    unread.greeting();
    expect_retry(&mut unread);
}
