//! Positions: the place that a client begins with, and IDs of events. Resume is exact, and an ID of
//! another epoch is told apart from an evicted one.

use saacms_realtime_core::{EventIds, HubConfig};

use super::client::Request;
use super::stream::Stream;
use super::world::{KEEPALIVE, PUBLISH, World, changed, frame, id_of, path, quiet, resync};
use super::{Start, scenarios};

scenarios![
    the_greeting_names_the_position_where_a_client_begins,
    a_client_that_names_an_id_is_greeted_without_a_position,
    without_greetings_a_stream_begins_as_the_plugins,
    event_ids_are_positions_whatever_the_etag,
    a_client_that_saw_nothing_yet_resumes_from_its_greeting,
    a_client_that_saw_nothing_yet_is_told_of_a_restart,
    a_greeting_is_a_place_in_every_record,
    a_page_subscribes_from_the_position_that_a_head_told_before_the_store_was_read,
    every_position_is_answered_with_exactly_the_events_after_it,
    a_position_of_another_server_is_answered_with_restarted,
    a_position_before_a_forgotten_history_is_a_miss,
    an_id_that_is_no_position_of_this_history_is_a_miss,
];

const BOTH: [EventIds; 2] = [EventIds::Etag, EventIds::Position];

fn with(event_ids: EventIds) -> HubConfig {
    HubConfig {
        event_ids,
        ..quiet()
    }
}

fn positions() -> HubConfig {
    with(EventIds::Position)
}

/// Opens a stream of `posts/1` without a last event ID. Returns the position in its greeting too.
fn subscribe(world: &World) -> (Stream, String) {
    let mut stream = world.open(&Request::get(&path("1")));
    let position = stream.greeting();
    (stream, position)
}

/// The frame of the event at this position of this kind of IDs, published by [`publish`].
fn event(event_ids: EventIds, position: (&str, u64)) -> String {
    let (epoch, sequence) = position;
    match event_ids {
        EventIds::Etag => frame(&format!("v{sequence}"), "1"),
        EventIds::Position => frame(&format!("{epoch}.{sequence}"), "1"),
    }
}

/// Publishes the event that gets this sequence.
fn publish(world: &World, sequence: u64) {
    world.publish_event(&changed("1", &format!("v{sequence}"), "1"));
}

/// Whether an ID looks like a position.
pub(super) fn is_position(id: &str) -> bool {
    id.as_bytes().get(16) == Some(&b'.')
}

/// Checks that an ID is a position.
pub(super) fn expect_position(id: &str) {
    parts(id);
}

/// The epoch and sequence of a position. It contains only bytes that a cross-origin request may
/// carry without a preflight.
fn parts(position: &str) -> (&str, u64) {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._~-".contains(c);
    assert!(
        position.len() <= 37 && position.chars().all(plain),
        "{position:?}"
    );
    let (epoch, sequence) = position.split_once('.').expect("two parts");
    assert_eq!(epoch.len(), 16, "{position:?}");
    (epoch, sequence.parse().expect("a number"))
}

fn the_greeting_names_the_position_where_a_client_begins(start: Start) {
    for event_ids in BOTH {
        let world = World::configured(start, with(event_ids));
        let (mut live, position) = subscribe(&world);
        let (epoch, sequence) = parts(&position);
        assert_eq!(sequence, 0);

        publish(&world, 1);
        publish(&world, 2);
        let frames = [1, 2].map(|sequence| event(event_ids, (epoch, sequence)));
        live.expect(frames.concat());
        let (_, later) = subscribe(&world);
        assert_eq!(parts(&later), (epoch, 2));

        let mut resumed = world.resume("1", &later);
        publish(&world, 3);
        resumed.expect(event(event_ids, (epoch, 3)));
    }
}

fn a_client_that_names_an_id_is_greeted_without_a_position(start: Start) {
    for event_ids in BOTH {
        let world = World::configured(start, with(event_ids));
        let (_, position) = subscribe(&world);
        publish(&world, 1);
        // If this client is cut off after its greeting, it comes back from where it was.
        let first = event(event_ids, (parts(&position).0, 1));
        world.resume("1", &position).expect(first);
        for unknown in ["", "unknown"] {
            let mut stream = world.resume("1", unknown);
            let block = stream.block();
            assert!(block.starts_with("event: saacms-resync\n"), "{block:?}");
        }
    }
}

fn without_greetings_a_stream_begins_as_the_plugins(start: Start) {
    for event_ids in BOTH {
        let config = HubConfig {
            greeting: false,
            ..with(event_ids)
        };
        let world = World::configured(start, config);
        let mut stream = world.open(&Request::get(&path("1")));
        stream.expect(KEEPALIVE);
        publish(&world, 1);
        let block = stream.block();
        assert!(block.starts_with("event: changed\n"), "{block:?}");
    }
}

fn event_ids_are_positions_whatever_the_etag(start: Start) {
    let world = World::configured(start, positions());
    let (mut stream, position) = subscribe(&world);
    let epoch = parts(&position).0;

    world.publish_event(&changed("1", "v1", "1"));
    world.publish_event(r#"{"type":"snapshot","slug":"posts","id":"1","record":2}"#);
    world.publish_event(r#"{"type":"deleted","slug":"posts","id":"1"}"#);
    stream.expect(format!("event: changed\nid: {epoch}.1\ndata: 1\n\n"));
    stream.expect(format!("event: snapshot\nid: {epoch}.2\ndata: 2\n\n"));
    stream.expect(format!(
        "event: deleted\nid: {epoch}.3\ndata: {{\"id\":\"1\"}}\n\n"
    ));

    let answer = world.ask(&Request::post(PUBLISH, changed("1", "a\nb", "1")));
    assert_eq!(answer.status(), 400, "a bad ETag is refused, needed or not");
}

fn a_client_that_saw_nothing_yet_resumes_from_its_greeting(start: Start) {
    for event_ids in BOTH {
        let world = World::configured(start, with(event_ids));
        let (stream, position) = subscribe(&world);
        drop(stream);
        publish(&world, 1);
        let mut resumed = world.resume("1", &position);
        resumed.expect(event(event_ids, (parts(&position).0, 1)));
        assert_eq!(world.stats().resyncs, 0);
    }
}

fn a_client_that_saw_nothing_yet_is_told_of_a_restart(start: Start) {
    for event_ids in BOTH {
        let before = World::configured(start, with(event_ids));
        let (_, position) = subscribe(&before);
        drop(before);

        let world = World::configured(start, with(event_ids));
        publish(&world, 1);
        let mut stream = world.resume("1", &position);
        let block = stream.block();
        assert_eq!(block, resync(id_of(&block), "restarted"));
    }
}

fn a_greeting_is_a_place_in_every_record(start: Start) {
    for event_ids in BOTH {
        let world = World::configured(start, with(event_ids));
        world.publish("2", "before");
        let (_, position) = subscribe(&world);
        let (epoch, sequence) = parts(&position);
        assert_eq!(sequence, 1);

        world.publish_event(&changed("2", "v2", "1"));
        let missed = event(event_ids, (epoch, 2));
        world.resume("2", &position).expect(missed);
    }
}

fn a_page_subscribes_from_the_position_that_a_head_told_before_the_store_was_read(start: Start) {
    for event_ids in BOTH {
        let world = World::configured(start, with(event_ids));
        for sequence in 0..3 {
            let head = world.ask(&Request::new("HEAD", &path("1")));
            let position = head.header("saacms-last-event-id").expect("a position");
            assert_eq!(parts(position).1, sequence);

            // The store is read here, and the record changes before the page subscribes.
            publish(&world, sequence + 1);
            let missed = event(event_ids, (parts(position).0, sequence + 1));
            world.resume("1", position).expect(missed);
        }
        assert_eq!(world.stats().resyncs, 0);
    }
}

fn every_position_is_answered_with_exactly_the_events_after_it(start: Start) {
    let world = World::configured(
        start,
        HubConfig {
            max_events: 5,
            ..positions()
        },
    );
    let (mut stream, position) = subscribe(&world);
    let epoch = parts(&position).0;

    // ETags and records are equal, so only the positions tell the events apart.
    (1..=9).for_each(|_| world.publish_event(&changed("1", "same", "1")));
    let frames: Vec<_> = (1..=9)
        .map(|number| frame(&format!("{epoch}.{number}"), "1"))
        .collect();
    stream.expect(frames.concat());

    // Nine events and a window of five: position 4 is the first that can be replayed.
    for sequence in 0..=9_usize {
        let mut resumed = world.resume("1", format!("{epoch}.{sequence}"));
        match sequence {
            ..4 => resumed.expect(resync(&format!("{epoch}.9"), "buffer-miss")),
            4.. => resumed.expect(frames[sequence..].concat()),
        }
    }

    let by_query = format!("{}?lastEventId={epoch}.8", path("1"));
    world
        .open(&Request::get(&by_query))
        .expect([KEEPALIVE, &frames[8]].concat());
}

fn a_position_of_another_server_is_answered_with_restarted(start: Start) {
    let before = World::configured(start, positions());
    let (_, old) = subscribe(&before);
    drop(before);
    let world = World::configured(start, positions());
    let mut stream = world.resume("1", &old);
    let block = stream.block();
    let new = id_of(&block).to_owned();

    assert_eq!(block, resync(&new, "restarted"));
    assert!(
        parts(&new).0 != parts(&old).0 && parts(&new).1 == 0,
        "{old} and {new}"
    );

    world.publish_event(&changed("1", "v1", "1"));
    let live = frame(&format!("{}.1", parts(&new).0), "1");
    stream.expect(&live);
    world.resume("1", &new).expect(&live);
}

fn a_position_before_a_forgotten_history_is_a_miss(start: Start) {
    let world = World::configured(
        start,
        HubConfig {
            max_topics: 1,
            ..positions()
        },
    );
    let (stream, old) = subscribe(&world);

    world.publish_event(&changed("1", "v1", "1"));
    world.publish_event(&changed("1", "v2", "1"));
    drop(stream);
    world.wait_until("no subscriber is left", |stats| stats.subscribers == 0);

    // There is room for one record only, so the first is forgotten.
    world.publish_event(&changed("2", "v1", "1"));
    let mut resumed = world.resume("1", &old);
    let block = resumed.block();
    let new = id_of(&block).to_owned();
    assert_eq!(block, resync(&new, "buffer-miss"));
    assert_eq!(
        parts(&new),
        (parts(&old).0, 3),
        "the place after all events"
    );

    world.publish_event(&changed("1", "v3", "1"));
    let live = frame(&format!("{}.4", parts(&old).0), "1");
    resumed.expect(&live);
    world.resume("1", &new).expect(&live);
}

fn an_id_that_is_no_position_of_this_history_is_a_miss(start: Start) {
    let world = World::configured(start, positions());
    let (_, position) = subscribe(&world);
    world.publish_event(&changed("1", "v1", "1"));
    let epoch = parts(&position).0;
    let future = format!("{epoch}.2");
    let far = format!("{epoch}.{}", u64::MAX);

    for id in [
        "",
        "v1",
        "1",
        ".",
        &future,
        &far,
        &format!("{epoch}.-1"),
        &format!("{epoch}.x"),
    ] {
        world
            .resume("1", id)
            .expect(resync(&format!("{epoch}.1"), "buffer-miss"));
    }
}
