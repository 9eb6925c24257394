//! The hub's limits as clients see them. A client that is gone does not stay registered.

use core::time::Duration;

use saacms_realtime_core::HubConfig;

use super::client::{Connection, Request};
use super::stream::Stream;
use super::world::{
    PUBLISH, World, changed, expect_problem, expect_unavailable, frame, path, quiet,
};
use super::{Start, scenarios};

scenarios![
    one_subscriber_too_many_is_refused_with_a_retry_time,
    one_subscriber_too_many_of_a_record_is_refused_with_a_retry_time,
    one_record_too_many_is_refused_with_a_retry_time,
    an_event_that_nobody_reads_is_accepted_however_many_records_are_read,
    an_event_source_is_told_of_a_full_record_within_its_stream,
    an_event_source_is_told_of_a_full_hub_within_its_stream,
    who_accepts_anything_else_is_told_of_a_full_record_by_the_status,
    records_without_subscribers_make_room_for_others,
    a_client_that_leaves_is_forgotten,
    a_client_that_leaves_without_reading_is_forgotten,
    a_client_that_ends_its_connection_abruptly_is_forgotten,
    a_refused_client_is_not_counted,
    a_reader_that_takes_nothing_is_cut_and_comes_back_where_it_was,
    a_compressed_body_is_refused_and_told_what_is_allowed,
];

#[track_caller]
fn expect_refusal(world: &World, request: &Request, status: u16, kind: &str, detail: &str) {
    let answer = world.ask(request);
    expect_problem(&answer, status, kind, detail);
    assert_eq!(answer.header("retry-after"), Some("10"));
}

/// Disconnects `gone` and checks that another client can subscribe in its place.
fn expect_place_of(gone: Stream, world: &World, id: &str) {
    let before = world.stats().subscribers;
    drop(gone);
    world.wait_until("the client has left", |stats| stats.subscribers < before);
    world.subscribe(id);
}

fn one_subscriber_too_many_is_refused_with_a_retry_time(start: Start) {
    let world = World::configured(
        start,
        HubConfig {
            max_subscribers: 3,
            ..quiet()
        },
    );
    let mut streams = ["1", "1", "2"].map(|id| world.subscribe(id));
    let (kind, detail) = ("too-many-subscribers", "3 subscribers");

    expect_refusal(&world, &Request::get(&path("1")), 503, kind, detail);
    expect_refusal(&world, &Request::get(&path("3")), 503, kind, detail);
    assert_eq!((world.stats().subscribers, world.stats().topics), (3, 2));

    // Whoever has to wait needs no connection, and others may need its room.
    for accept in ["*/*", "text/event-stream"] {
        let refused = world.ask(&Request::get(&path("1")).header("Accept", accept));
        assert_eq!(refused.header("connection"), Some("close"), "{accept}");
    }

    // The refusals affect neither publishers nor the streams that are open.
    let live = world.publish("1", "v1");
    streams[..2]
        .iter_mut()
        .for_each(|stream| stream.expect(&live));

    let [first, ..] = streams;
    expect_place_of(first, &world, "3");
}

fn one_subscriber_too_many_of_a_record_is_refused_with_a_retry_time(start: Start) {
    let world = World::configured(
        start,
        HubConfig {
            max_subscribers_per_topic: 2,
            ..quiet()
        },
    );
    let [first, _second] = [world.subscribe("1"), world.subscribe("1")];
    let kind = "too-many-subscribers-of-topic";

    expect_refusal(
        &world,
        &Request::get(&path("1")),
        429,
        kind,
        "2 subscribers",
    );

    world.subscribe("2");
    expect_place_of(first, &world, "1");
}

fn one_record_too_many_is_refused_with_a_retry_time(start: Start) {
    let world = World::configured(
        start,
        HubConfig {
            max_topics: 2,
            ..quiet()
        },
    );
    let [first, _second] = [world.subscribe("1"), world.subscribe("2")];
    let (kind, detail) = ("too-many-topics", "2 records");
    expect_refusal(&world, &Request::get(&path("3")), 503, kind, detail);
    assert_eq!(world.stats().topics, 2);

    drop(first);
    world.wait_until("its record is forgotten", |stats| stats.topics == 1);
    world.subscribe("3");
}

fn an_event_that_nobody_reads_is_accepted_however_many_records_are_read(start: Start) {
    let world = World::configured(
        start,
        HubConfig {
            max_topics: 2,
            ..quiet()
        },
    );
    let [first, mut second] = [world.subscribe("1"), world.subscribe("2")];
    world.publish("3", "v1");

    let body = [
        changed("2", "v1", "1"),
        changed("3", "v2", "1"),
        changed("2", "v2", "1"),
    ];
    let request =
        Request::post(PUBLISH, body.join("\n")).header("Content-Type", "application/x-ndjson");
    assert_eq!(world.ask(&request).text(), "{\"status\":204}\n".repeat(3));
    second.expect([frame("v1", "1"), frame("v2", "1")].concat());
    assert_eq!((world.stats().published, world.stats().topics), (4, 2));

    // It was not kept, so whoever comes back to its record has to refetch.
    drop(first);
    world.wait_until("its record is forgotten", |stats| stats.topics == 1);
    let mut stream = world.resume("3", "v1");
    assert!(stream.block().starts_with("event: saacms-resync\n"));
    stream.expect(world.publish("3", "v3"));
}

/// A server that is at a limit by a stream of `posts/{id}`.
fn full(start: Start, id: &str, config: HubConfig) -> (World, Stream) {
    let world = World::configured(start, config);
    let stream = world.subscribe(id);
    (world, stream)
}

/// Checks that an `EventSource` that follows `posts/1` is told of this problem, on one connection
/// again and again.
fn expect_told_within_stream(world: &World, kind: &str) {
    let request = Request::get(&path("1")).header("Accept", "text/event-stream");
    for _ in 0..5 {
        let millis = expect_unavailable(&world.ask(&request), kind);
        assert!((10_000..=40_000).contains(&millis), "{kind}: {millis}");
    }
}

fn an_event_source_is_told_of_a_full_record_within_its_stream(start: Start) {
    let config = HubConfig {
        max_subscribers_per_topic: 1,
        ..quiet()
    };
    let (world, mut stream) = full(start, "1", config);
    expect_told_within_stream(&world, "too-many-subscribers-of-topic");
    stream.expect(world.publish("1", "v1"));
}

fn an_event_source_is_told_of_a_full_hub_within_its_stream(start: Start) {
    let config = HubConfig {
        max_subscribers: 1,
        ..quiet()
    };
    let (world, _stream) = full(start, "1", config);
    expect_told_within_stream(&world, "too-many-subscribers");

    let config = HubConfig {
        max_topics: 1,
        ..quiet()
    };
    let (world, _stream) = full(start, "2", config);
    expect_told_within_stream(&world, "too-many-topics");
    assert_eq!((world.stats().topics, world.stats().subscribers), (1, 1));
}

fn who_accepts_anything_else_is_told_of_a_full_record_by_the_status(start: Start) {
    let config = HubConfig {
        max_subscribers_per_topic: 1,
        ..quiet()
    };
    let (world, _stream) = full(start, "1", config);
    for accept in [
        "*/*",
        "text/event-stream, application/problem+json",
        "text/*",
    ] {
        let answer = world.ask(&Request::get(&path("1")).header("Accept", accept));
        let (kind, detail) = ("too-many-subscribers-of-topic", "1 subscribers");
        expect_problem(&answer, 429, kind, detail);
        assert_eq!(answer.header("retry-after"), Some("10"), "{accept}");
    }
}

fn records_without_subscribers_make_room_for_others(start: Start) {
    let world = World::configured(
        start,
        HubConfig {
            max_topics: 8,
            ..quiet()
        },
    );
    let mut stream = world.subscribe("watched");
    let first = world.publish("watched", "v1");

    for number in 0..100 {
        world.publish(&number.to_string(), "v1");
        assert!(world.stats().topics <= 8);
    }

    stream.expect([first, world.publish("watched", "v2")].concat());
    world.resume("watched", "v1").expect(frame("v2", "1"));
    world.resume("99", "v1").expect(world.publish("99", "v2"));
}

fn a_client_that_leaves_is_forgotten(start: Start) {
    let world = World::start(start);
    let streams: Vec<_> = (0..20)
        .map(|number| world.subscribe(&(number % 4).to_string()))
        .collect();
    assert_eq!((world.stats().subscribers, world.stats().topics), (20, 4));
    drop(streams);
    world.wait_until("all are forgotten", |stats| {
        (stats.subscribers, stats.topics) == (0, 0)
    });
    assert_eq!(world.stats().history_bytes, 0);
}

fn a_client_that_leaves_without_reading_is_forgotten(start: Start) {
    let world = World::start(start);
    for _ in 0..20 {
        world.connect().send(Request::get(&path("1")).bytes());
    }
    // The server may or may not have registered each client before it left. None may stay.
    let mut stream = world.subscribe("1");
    world.wait_until("only one is left", |stats| stats.subscribers == 1);
    stream.expect(world.publish("1", "v1"));
}

fn a_client_that_ends_its_connection_abruptly_is_forgotten(start: Start) {
    let world = World::start(start);
    let mut connection = world.connect();
    connection.send(Request::get(&path("1")).bytes());
    assert_eq!(connection.head().map(|head| head.status), Some(200));
    world.publish("1", "v1");
    world.wait_until("it was published", |stats| stats.published == 1);
    // Closing a socket that has unread data sends a reset.
    drop(connection);
    world.wait_until("it is forgotten", |stats| stats.subscribers == 0);
    world.resume("1", "v1").expect(world.publish("1", "v2"));
}

fn a_refused_client_is_not_counted(start: Start) {
    let world = World::configured(
        start,
        HubConfig {
            max_subscribers_per_topic: 1,
            ..quiet()
        },
    );
    let _watching = world.subscribe("1");

    for _ in 0..10 {
        assert_eq!(world.ask(&Request::get(&path("1"))).status(), 429);
        let refused = Request::get(&path("2")).header("Accept", "text/html");
        assert_eq!(world.ask(&refused).status(), 406);
        assert_eq!(world.ask(&Request::new("HEAD", &path("1"))).status(), 200);
    }

    assert_eq!((world.stats().subscribers, world.stats().topics), (1, 1));
    let mut connection = Connection::open(world.running.address);
    let refused = Request::get(&path("2")).header("Accept", "text/html");
    assert_eq!(connection.exchange(&refused).status(), 406);
    Stream::over(connection, &Request::get(&path("2"))).greeting();
}

fn a_compressed_body_is_refused_and_told_what_is_allowed(start: Start) {
    let world = World::start(start);
    let mut stream = world.subscribe("1");
    let event = Request::post(PUBLISH, changed("1", "v1", "1"));

    let answer = world.ask(&event.clone().header("Content-Encoding", "gzip"));
    expect_problem(
        &answer,
        415,
        "unknown-content-coding",
        "must not be compressed",
    );
    assert_eq!(answer.header("accept-encoding"), Some("identity"));

    let answer = world.ask(&event.header("Content-Encoding", "identity"));
    assert_eq!(answer.status(), 204);
    stream.expect(frame("v1", "1"));
}

fn a_reader_that_takes_nothing_is_cut_and_comes_back_where_it_was(start: Start) {
    const EVENTS: usize = 24;

    let world = World::configured(
        start,
        HubConfig {
            stall_timeout: Duration::from_millis(200),
            ..quiet()
        },
    );
    let (mut stalled, mut reader) = (world.subscribe("1"), world.subscribe("1"));
    let first = world.publish("1", "v0");
    stalled.expect(&first);
    reader.expect(&first);

    // More than the buffers of its socket hold.
    let record = format!("\"{}\"", "x".repeat(700_000));
    for number in 1..EVENTS {
        let etag = format!("v{number}");
        world.publish_event(&changed("1", &etag, &record));
        reader.expect(frame(&etag, &record));
    }

    world.wait_until("the stalled one is cut", |stats| {
        stats.cut_readers == 1 && stats.subscribers == 1 && stats.unread_bytes == 0
    });
    let mut back = world.resume("1", "v0");
    for number in 1..EVENTS {
        back.expect(frame(&format!("v{number}"), &record));
    }
    reader.expect(world.publish("1", "live"));
}
