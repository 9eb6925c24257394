//! The bytes of a live stream: greeting, frames, event IDs.

use saacms_realtime_core::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};

use super::client::Request;
use super::positions::{expect_position, is_position};
use super::world::{KEEPALIVE, PUBLISH, World, changed, frame, id_of, path, resync};
use super::{Start, scenarios};

scenarios![
    a_stream_begins_with_a_keepalive_and_continues_live,
    the_record_is_sent_as_written_without_whitespace_between_tokens,
    a_deleted_event_has_the_records_id_as_data,
    an_event_without_an_etag_has_a_time_id,
    no_two_events_have_the_same_time_id,
    an_event_reaches_the_subscribers_of_its_record_and_no_others,
    all_subscribers_get_the_same_bytes,
    a_large_event_arrives_whole,
    a_source_that_lost_data_resyncs_every_subscriber,
];

fn a_stream_begins_with_a_keepalive_and_continues_live(start: Start) {
    let world = World::start(start);
    world.publish("1", "before");
    let mut stream = world.open(&Request::get(&path("1")));
    stream.expect(KEEPALIVE);
    expect_position(&stream.place());

    for (event_type, etag) in [
        ("snapshot", "v1"),
        ("changed", "W/\"v 2\""),
        ("changed", "\"\""),
    ] {
        let etag_json = serde_json::to_string(etag).expect("a string");
        world.publish_event(&format!(
            r#"{{"type":"{event_type}","slug":"posts","id":"1","record":null,"etag":{etag_json}}}"#
        ));
        stream.expect(format!("event: {event_type}\nid: {etag}\ndata: null\n\n"));
    }
}

fn the_record_is_sent_as_written_without_whitespace_between_tokens(start: Start) {
    let world = World::start(start);
    let mut stream = world.subscribe("1");
    for (record, data) in [
        (
            r#"{"b":1.0,"a":-0,"a":"é\u00e9\/"}"#,
            r#"{"b":1.0,"a":-0,"a":"é\u00e9\/"}"#,
        ),
        (
            "\r\n\t[ 1E5 , 9007199254740993 ]\n",
            "[1E5,9007199254740993]",
        ),
        ("{ \"a b\" : \" c \\n d \" }", "{\"a b\":\" c \\n d \"}"),
        (
            "\"\u{2028}\u{85}\u{a0}\u{7f}𝄞\"",
            "\"\u{2028}\u{85}\u{a0}\u{7f}𝄞\"",
        ),
        ("1e400", "1e400"),
        (r#""\ud800""#, r#""\ud800""#),
    ] {
        world.publish_event(&changed("1", "v", record));
        stream.expect(frame("v", data));
    }
}

fn a_deleted_event_has_the_records_id_as_data(start: Start) {
    let world = World::start(start);
    let id = "a/b:c \" \\ é#?%";
    let mut stream = world.greeted(&Request::get(
        "/api/saacms/v1/posts/a%2Fb:c%20%22%20%5C%20%C3%A9%23%3F%25/subscribe",
    ));

    let id = serde_json::to_string(id).expect("a string");
    // The ETag and record of a deleted event are ignored, whatever they are.
    for rest in ["", r#","record":{"title":"x"},"etag":"v9""#, r#","etag":5"#] {
        world.publish_event(&format!(
            r#"{{"type":"deleted","slug":"posts","id":{id}{rest}}}"#
        ));
        let block = stream.block();
        // Of the events of one millisecond only the first has its time.
        if !is_position(id_of(&block)) {
            expect_time(id_of(&block));
        }
        let expected = format!(
            "event: deleted\nid: {}\ndata: {{\"id\":{id}}}\n\n",
            id_of(&block)
        );
        assert_eq!(block, expected);
    }
}

fn an_event_without_an_etag_has_a_time_id(start: Start) {
    let world = World::start(start);
    let mut stream = world.subscribe("1");
    for etag in ["", r#","etag":null"#, r#","etag":"""#] {
        let before = now();
        world.publish_event(&format!(
            r#"{{"type":"changed","slug":"posts","id":"1","record":1{etag}}}"#
        ));

        let after = now();
        let block = stream.block();
        let id = id_of(&block);
        assert_eq!(block, frame(id, "1"));
        // Of the events of one millisecond only the first has its time.
        if is_position(id) {
            continue;
        }

        expect_time(id);
        let (before, after) = (before.to_string(), after.to_string());
        assert!(
            *before <= *id && *id <= *after,
            "{before} <= {id} <= {after}"
        );
    }
}

fn no_two_events_have_the_same_time_id(start: Start) {
    let world = World::start(start);
    let mut stream = world.subscribe("1");
    let line = "{\"type\":\"deleted\",\"slug\":\"posts\",\"id\":\"1\"}\n";

    // In one request, so that many events fall into the same millisecond.
    let request = Request::post(PUBLISH, line.repeat(50));
    let answer = world.ask(&request.header("Content-Type", "application/x-ndjson"));
    assert_eq!(answer.text(), "{\"status\":204}\n".repeat(50));
    let ids: Vec<_> = (0..50).map(|_| id_of(&stream.block()).to_owned()).collect();
    let (positions, times): (Vec<_>, Vec<_>) = ids.iter().partition(|id| is_position(id));
    assert!(!times.is_empty(), "{ids:?}");
    times.iter().for_each(|time| expect_time(time));
    assert!(times.is_sorted_by(|a, b| a < b), "{ids:?}");
    let mut distinct = positions.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), positions.len(), "{ids:?}");
}

fn an_event_reaches_the_subscribers_of_its_record_and_no_others(start: Start) {
    let world = World::start(start);
    let keys = [
        ("posts", "1"),
        ("posts", "2"),
        ("pages", "1"),
        ("posts", "1:2"),
        ("Posts", "1"),
    ];
    let mut streams: Vec<_> = keys
        .iter()
        .map(|(slug, id)| {
            world.greeted(&Request::get(&format!(
                "/api/saacms/v1/{slug}/{id}/subscribe"
            )))
        })
        .collect();

    for (slug, id) in keys {
        world.publish_event(&format!(
            r#"{{"type":"changed","slug":"{slug}","id":"{id}","record":"{slug} {id}","etag":"v"}}"#
        ));
    }

    for ((slug, id), stream) in keys.iter().zip(&mut streams) {
        // All are published by now, so an event that went to the wrong stream would come first.
        stream.expect(frame("v", &format!("\"{slug} {id}\"")));
    }

    world.publish_event(&changed("1", "end", "1"));
    streams[0].expect(frame("end", "1"));
}

fn all_subscribers_get_the_same_bytes(start: Start) {
    let world = World::start(start);
    let mut streams: Vec<_> = (0..20).map(|_| world.subscribe("1")).collect();
    let frames: Vec<_> = (0..20)
        .map(|number| world.publish("1", &format!("v{number}")))
        .collect();
    for stream in &mut streams {
        stream.expect(frames.concat());
    }
    assert_eq!((world.stats().subscribers, world.stats().topics), (20, 1));
    assert_eq!((world.stats().published, world.stats().resyncs), (20, 0));
}

fn a_large_event_arrives_whole(start: Start) {
    let world = World::start(start);
    let mut streams = [world.subscribe("1"), world.subscribe("1")];
    let record = format!("\"{}\"", "é".repeat(450_000));
    world.publish_event(&changed("1", "large", &record));
    let small = world.publish("1", "small");
    for stream in &mut streams {
        stream.expect(frame("large", &record));
        stream.expect(&small);
    }
}

fn a_source_that_lost_data_resyncs_every_subscriber(start: Start) {
    use saacms_realtime_core::ResourceKey;

    let world = World::start(start);
    let mut streams = [world.subscribe("1"), world.subscribe("1")];
    let mut other = world.subscribe("2");
    let first = world.publish("1", "v1");

    streams.iter_mut().for_each(|stream| stream.expect(&first));
    world
        .running
        .hub
        .source_lost(&ResourceKey::new("posts", "1").expect("a key"));

    // The history is gone, so the resync names a position.
    let told = streams.each_mut().map(|stream| stream.block());
    for block in &told {
        expect_position(id_of(block));
        assert_eq!(*block, resync(id_of(block), "source-lost"));
    }

    let [live, elsewhere] = [world.publish("1", "v2"), world.publish("2", "v1")];
    streams.iter_mut().for_each(|stream| stream.expect(&live));
    other.expect(elsewhere);
    world.resume("1", id_of(&told[0])).expect(&live);
}

fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    Timestamp::from_millis(i64::try_from(since.as_millis()).expect("a few centuries"))
}

/// Checks that an ID is a time, `YYYY-MM-DDTHH:MM:SS.sssZ`.
pub(super) fn expect_time(id: &str) {
    let shape: String = id
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000Z", "{id:?} is a time");
}
