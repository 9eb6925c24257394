//! What a reconnecting client gets: replay or resync, and how it names its last event ID.

use saacms_realtime_core::HubConfig;

use super::client::Request;
use super::positions::expect_position;
use super::streams::expect_time;
use super::world::{KEEPALIVE, World, changed, frame, id_of, path, quiet, resync};
use super::{Start, scenarios};

scenarios![
    a_known_id_is_answered_with_the_events_after_it,
    an_unknown_id_is_answered_with_one_resync,
    a_resync_of_an_empty_history_names_a_place_to_resume_from,
    ids_are_compared_as_bytes,
    blanks_around_an_id_are_ignored,
    an_empty_id_is_an_unknown_id,
    repeated_last_event_id_headers_are_joined_into_one_id,
    the_query_names_the_id_if_no_header_does,
    the_oldest_copy_of_a_repeated_id_counts,
    waiting_events_are_sent_in_one_chunk,
    quiet_resume_knows_the_id_that_was_evicted_last,
    without_quiet_resume_an_evicted_id_is_unknown,
    live_only_with_quiet_resume_knows_the_newest_id,
    live_only_without_quiet_resume_resyncs_every_reconnect,
    a_connected_reader_gets_what_no_reconnect_would,
];

fn a_known_id_is_answered_with_the_events_after_it(start: Start) {
    let world = World::start(start);
    let frames = ["v1", "v2", "v3"].map(|etag| world.publish("1", etag));
    for (id, missed) in [("v1", &frames[1..]), ("v2", &frames[2..]), ("v3", &[])] {
        let mut stream = world.resume("1", id);
        stream.expect(missed.concat());
        // Nothing else was replayed: the next event follows directly.
        stream.expect(world.publish("1", "v3"));
    }
    assert_eq!(world.stats().resyncs, 0);
}

fn an_unknown_id_is_answered_with_one_resync(start: Start) {
    let world = World::start(start);
    world.publish("1", "v1");
    world.publish("1", "v2");

    for id in [
        "v0",
        "V1",
        "v",
        "v11",
        "2024-01-01T00:00:00.000Z",
        "0.1",
        "é",
        "*",
    ] {
        let mut stream = world.resume("1", id);
        stream.expect(resync("v2", "buffer-miss"));
        let live = world.publish("1", "v2");
        stream.expect(live);
    }
    assert_eq!(world.stats().resyncs, 8);
}

fn a_resync_of_an_empty_history_names_a_place_to_resume_from(start: Start) {
    let world = World::start(start);
    let mut stream = world.resume("1", "v1");
    let block = stream.block();
    let place = id_of(&block).to_owned();
    expect_position(&place);
    assert_eq!(block, resync(&place, "buffer-miss"));

    let mut again = world.resume("1", &place);
    let live = [world.publish("1", "v1"), world.publish("1", "v2")].concat();
    stream.expect(&live);
    again.expect(&live);

    world.resume("1", &place).expect(&live);
    assert_eq!(world.stats().resyncs, 1);
}

fn ids_are_compared_as_bytes(start: Start) {
    let world = World::start(start);
    // The second is the first one's UTF-8, read as Latin-1.
    world.publish("1", "é");
    let second = world.publish("1", "Ã©");

    world.resume("1", "é".as_bytes()).expect(&second);
    let mut after_second = world.resume("1", "Ã©".as_bytes());
    let mut not_utf_8 = world.resume("1", b"\xe9");
    not_utf_8.expect(resync("Ã©", "buffer-miss"));

    world.publish_event(&changed("1", "日本 \u{1f600}", "1"));
    let third = frame("日本 \u{1f600}", "1");
    after_second.expect(&third);
    not_utf_8.expect(&third);

    let mut last = world.resume("1", "日本 \u{1f600}");
    let fourth = world.publish("1", "x");
    last.expect(&fourth);

    world
        .resume("1", "é")
        .expect([second, third, fourth].concat());
}

fn blanks_around_an_id_are_ignored(start: Start) {
    let world = World::start(start);
    world.publish("1", "a b");
    let second = world.publish("1", "v2");
    for id in ["a b", " a b", "a b \t", "\t a b  "] {
        world.resume("1", id).expect(&second);
    }
    for query in ["a%20b", "+a+b+", "%20%09a%20b"] {
        let target = format!("{}?lastEventId={query}", path("1"));
        let mut stream = world.open(&Request::get(&target));
        stream.expect([KEEPALIVE, &second].concat());
    }
    world.resume("1", "ab").expect(resync("v2", "buffer-miss"));
}

fn an_empty_id_is_an_unknown_id(start: Start) {
    let world = World::start(start);
    world.publish("1", "v1");
    world.resume("1", "").expect(resync("v1", "buffer-miss"));
    world.resume("1", "  ").expect(resync("v1", "buffer-miss"));
    for query in ["lastEventId=", "lastEventId", "a=b&lastEventId=+"] {
        let mut stream = world.open(&Request::get(&format!("{}?{query}", path("1"))));
        stream.expect([KEEPALIVE, &resync("v1", "buffer-miss")].concat());
    }
}

fn repeated_last_event_id_headers_are_joined_into_one_id(start: Start) {
    let world = World::start(start);
    world.publish("1", "v1");
    world.publish("1", "v2");
    let request = Request::get(&path("1"))
        .header("Last-Event-ID", "v1")
        .header("Last-Event-ID", "v1");

    world
        .open(&request)
        .expect([KEEPALIVE, &resync("v2", "buffer-miss")].concat());

    // HTTP joins repeated headers with a comma, and the result is an ordinary ID.
    world.publish("1", "v1, v1");
    let fourth = world.publish("1", "v4");
    world.open(&request).expect([KEEPALIVE, &fourth].concat());
}

fn the_query_names_the_id_if_no_header_does(start: Start) {
    let world = World::start(start);
    world.publish("1", "W/\"é&+\"");
    let missed = ["v2", "v3"].map(|etag| world.publish("1", etag));
    let open = |query: &str, id: Option<&str>| {
        let request = Request::get(&format!("{}?{query}", path("1")));
        let mut stream = world.open(&match id {
            Some(id) => request.header("Last-Event-ID", id),
            None => request,
        });
        stream.expect(KEEPALIVE);
        stream
    };

    open("lastEventId=W%2F%22%C3%A9%26%2B%22", None).expect(missed.concat());
    open("token=x&lastEventId=v2&lastEventId=v1", None).expect(&missed[1]);
    open("lastEventId=v1", Some("v2")).expect(&missed[1]);
    open("lastEventId=v2", Some("v1")).expect(resync("v3", "buffer-miss"));
    open("lastEventId=v2", Some("")).expect(resync("v3", "buffer-miss"));

    // Other parameter names do not count.
    let mut others = ["last-event-id=v2", "lasteventid=v2", "x=lastEventId=v2", ""].map(|query| {
        let mut stream = open(query, None);
        stream.place();
        stream
    });
    let live = world.publish("1", "v4");
    others.iter_mut().for_each(|stream| stream.expect(&live));
}

fn the_oldest_copy_of_a_repeated_id_counts(start: Start) {
    let world = World::start(start);
    let [_, b, a, c] = ["a", "b", "a", "c"].map(|etag| world.publish("1", etag));
    world.resume("1", "a").expect([b, a, c].concat());
}

fn waiting_events_are_sent_in_one_chunk(start: Start) {
    let world = World::start(start);
    world.publish("1", "v0");
    let etags: Vec<_> = (1..=50).map(|number| format!("v{number}")).collect();
    let frames: String = etags.iter().map(|etag| world.publish("1", etag)).collect();
    let mut stream = world.open(&Request::get(&path("1")).header("Last-Event-ID", "v0"));
    assert_eq!(stream.chunk(), KEEPALIVE.to_owned() + &frames);
}

/// A world whose history holds two events, after one that was evicted.
fn world_after_three_events(start: Start, quiet_resume: bool) -> (World, [String; 3]) {
    let world = World::configured(
        start,
        HubConfig {
            max_events: 2,
            quiet_resume,
            ..quiet()
        },
    );
    let frames = ["v1", "v2", "v3"].map(|etag| world.publish("1", etag));
    (world, frames)
}

fn quiet_resume_knows_the_id_that_was_evicted_last(start: Start) {
    let (world, frames) = world_after_three_events(start, true);
    world.resume("1", "v1").expect(frames[1..].concat());
    let fourth = world.publish("1", "v4");
    world.resume("1", "v1").expect(resync("v4", "buffer-miss"));
    world
        .resume("1", "v2")
        .expect([&*frames[2], &*fourth].concat());
}

fn without_quiet_resume_an_evicted_id_is_unknown(start: Start) {
    let (world, frames) = world_after_three_events(start, false);
    world.resume("1", "v1").expect(resync("v3", "buffer-miss"));
    world.resume("1", "v2").expect(&frames[2]);
}

fn live_only_with_quiet_resume_knows_the_newest_id(start: Start) {
    let world = World::configured(
        start,
        HubConfig {
            max_events: 0,
            ..quiet()
        },
    );

    world.publish("1", "v1");
    world.publish("1", "v2");
    let mut quiet = world.resume("1", "v2");
    let mut missed = world.resume("1", "v1");
    missed.expect(resync("v2", "buffer-miss"));

    let live = world.publish("1", "v3");
    quiet.expect(&live);
    missed.expect(&live);
}

fn live_only_without_quiet_resume_resyncs_every_reconnect(start: Start) {
    let config = HubConfig {
        max_events: 0,
        quiet_resume: false,
        ..quiet()
    };
    let world = World::configured(start, config);

    world.publish("1", "v1");
    let mut stream = world.resume("1", "v1");
    let block = stream.block();
    expect_time(id_of(&block));
    assert_eq!(block, resync(id_of(&block), "buffer-miss"));

    // As the plugin: from that time no reconnect resumes.
    let mut again = world.resume("1", id_of(&block));
    let block = again.block();
    assert_eq!(block, resync(id_of(&block), "buffer-miss"));
    let live = world.publish("1", "v2");
    stream.expect(&live);
    again.expect(&live);
}

fn a_connected_reader_gets_what_no_reconnect_would(start: Start) {
    let world = World::configured(
        start,
        HubConfig {
            max_events: 0,
            ..quiet()
        },
    );
    let mut stream = world.subscribe("1");
    let frames: String = (0..100)
        .map(|number| world.publish("1", &format!("v{number}")))
        .collect();

    stream.expect(frames);
    assert_eq!(world.stats().resyncs, 0);
}
