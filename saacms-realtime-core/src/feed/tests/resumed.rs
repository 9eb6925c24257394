//! Readers that continue in another life of their feed.

use super::*;

const fn at(millis: u64) -> Now {
    Now::from_millis(millis, millis as i64)
}

fn text(feed: &mut Feed, reader: &mut Reader) -> String {
    let mut text = String::new();
    while let Output::Frames(bytes) = feed.poll(reader, at(1_000_000)) {
        text.push_str(core::str::from_utf8(&bytes).expect("UTF-8"));
    }
    text
}

#[test]
fn a_reader_continues_after_its_place_without_a_greeting_and_without_a_heartbeat() {
    for event_ids in [EventIds::Etag, EventIds::Position] {
        let mut first = feed(event_ids);
        let mut reader = first.subscribe(None, Duration::from_secs(1), at(0));
        let mut stored = publish(&mut first, "v", 2, at(0));
        text(&mut first, &mut reader);
        let place = first.place_of(&reader);
        assert_eq!(place, first.position());

        stored.extend(publish(&mut first, "w", 2, at(0)));
        let missed = text(&mut first, &mut reader).replace(KEEPALIVE, "");
        let mut second = feed(event_ids);
        second.restore(None, stored, at(1_000));
        let mut again = second.resume(place, at(1_000));
        assert_eq!(text(&mut second, &mut again), missed);
        assert_eq!(second.place_of(&again), second.position());
        let idle = second.poll(&mut again, at(2_000_000));
        assert_eq!(idle, Output::Idle { wake_at: None });
    }
}

#[test]
fn a_place_is_never_taken_for_an_etag() {
    let mut feed = feed(ETAGS);
    let etag = "000000000000000e.1";
    let body = format!(r#"{{"type":"changed","slug":"s","id":"i","record":1,"etag":"{etag}"}}"#);
    publish(&mut feed, "v", 2, at(0));
    let event = Event::from_json(body.as_bytes()).expect("valid");
    feed.publish(event, at(0), &NoStore).expect("kept");

    let place = Position::parse(etag.as_bytes()).expect("a position");
    let mut reader = feed.resume(place, at(0));
    let got = text(&mut feed, &mut reader);
    assert!(got.starts_with("event: changed\nid: v1\n"), "{got}");
    assert_eq!(all(&mut feed, Some(etag), at(0)), KEEPALIVE);
}

#[test]
fn a_reader_whose_next_event_is_gone_has_lagged() {
    let mut feed = feed(ETAGS);
    publish(&mut feed, "v", 5, at(0));
    let place = |epoch, sequence| Position {
        epoch: Epoch::from_number(epoch),
        sequence,
    };
    for (place, reason) in [
        (place(0xe, 1), "lagged"),
        (place(0xe, 6), "lagged"),
        (place(0xf, 5), "restarted"),
    ] {
        let mut reader = feed.resume(place, at(0));
        let resync = format!("event: saacms-resync\nid: v4\ndata: {{\"reason\":\"{reason}\"}}\n\n");
        assert_eq!(text(&mut feed, &mut reader), resync);
    }
}

#[test]
fn a_feed_continues_after_an_event_that_nothing_is_kept_of() {
    let mut first = feed(ETAGS);
    publish(&mut first, "v", 5, at(0));
    let place = first.position();
    let mut second = feed(ETAGS);
    second.continue_after(place.sequence, at(1_000));
    assert_eq!(second.position(), place);

    let mut reader = second.resume(place, at(1_000));
    assert_eq!(text(&mut second, &mut reader), "");
    let stored = publish(&mut second, "", 1, at(1_000));
    assert_eq!(stored[0].number, 6);
    let next = text(&mut second, &mut reader);
    assert!(
        next.starts_with("event: changed\nid: 1970-01-01T00:00:01.000Z\n"),
        "{next}"
    );

    // An earlier life may have given each of these.
    for id in ["v4", "000000000000000e.4", "1970-01-01T00:00:00.999Z"] {
        let again = all(&mut second, Some(id), at(1_000));
        assert!(again.contains("\"buffer-miss\""), "{id}: {again}");
    }
}

#[test]
fn a_feed_that_continues_does_not_repeat_a_time_of_an_earlier_life() {
    let mut feed = feed(ETAGS);
    feed.continue_after(3, at(1_000));
    let before = publish(&mut feed, "", 1, Now::from_millis(1_000, 999));
    assert_eq!(before[0].id.as_str(), "000000000000000e.4");
}
