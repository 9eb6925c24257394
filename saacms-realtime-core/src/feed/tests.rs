use super::joined::MAX_PIECE;
use super::poll::MAX_COPY;
use super::*;
use crate::config::EventIds;
use crate::sse::KEEPALIVE;
use crate::time::Instant;
use core::cell::RefCell;
use core::convert::Infallible;
use std::format;
use std::string::{String, ToString as _};
use std::vec;
use std::vec::Vec;

mod resumed;
mod stripped;
mod typed;

const ETAGS: EventIds = EventIds::Etag;

fn feed(event_ids: EventIds) -> Feed {
    let config = HubConfig {
        max_events: 3,
        event_ids,
        ..HubConfig::default()
    };
    Feed::new(&config, Epoch::from_number(0xe))
}

/// Keeps every event, and the slots that they were saved in.
#[derive(Default)]
struct Log {
    events: RefCell<Vec<StoredEvent>>,
    slots: RefCell<Vec<u64>>,
}

impl Store for Log {
    type Error = Infallible;

    fn save(&self, row: Row<'_>) -> Result<(), Infallible> {
        assert_eq!(row.epoch, Epoch::from_number(0xe));
        self.events.borrow_mut().push(row.event.clone());
        self.slots.borrow_mut().push(row.slot);
        Ok(())
    }
}

/// Publishes `count` events, named by `etag` and their number; returns what a store would have.
fn publish(feed: &mut Feed, etag: &str, count: usize, now: Now) -> Vec<StoredEvent> {
    let log = Log::default();
    for number in 0..count {
        let etag = if etag.is_empty() {
            String::new()
        } else {
            format!("{etag}{number}")
        };
        let body = format!(
            r#"{{"type":"changed","slug":"s","id":"i","record":{number},"etag":"{etag}"}}"#
        );
        let event = Event::from_json(body.as_bytes()).expect("valid");
        feed.publish(event, now, &log).expect("saved");
    }
    log.events.into_inner()
}

fn all(feed: &mut Feed, last_event_id: Option<&str>, now: Now) -> String {
    let mut reader = feed.subscribe(last_event_id.map(str::as_bytes), Duration::ZERO, now);
    let mut text = String::new();
    while let Output::Frames(bytes) = feed.poll(&mut reader, now) {
        text.push_str(core::str::from_utf8(&bytes).expect("UTF-8"));
    }
    text
}

#[test]
fn a_restored_feed_continues_as_if_it_had_not_ended() {
    let at = |millis| Now::from_millis(millis, millis as i64);
    for event_ids in [EventIds::Etag, EventIds::Position] {
        let mut first = feed(event_ids);
        let stored = publish(&mut first, "v", 5, at(1_000));
        let mut second = feed(event_ids);
        second.restore(None, stored[1..].to_vec(), at(2_000));
        for id in [
            "v0",
            "v1",
            "v2",
            "v4",
            "000000000000000e.1",
            "000000000000000e.2",
            "000000000000000e.5",
            "000000000000000e.6",
            "x",
            "",
        ] {
            assert_eq!(
                all(&mut second, Some(id), at(2_000)),
                all(&mut first, Some(id), at(2_000)),
                "{id}"
            );
        }
        assert_eq!(
            all(&mut second, None, at(2_000)),
            all(&mut first, None, at(2_000))
        );
        let next = [&mut first, &mut second].map(|feed| publish(feed, "w", 1, at(2_000)));
        assert_eq!(next[0][0].number, next[1][0].number);
        assert_eq!(next[0][0].frame, next[1][0].frame);
    }
}

#[test]
fn ages_continue_across_a_restart() {
    let at = |millis| Now::from_millis(millis, millis as i64);
    let mut first = feed(ETAGS);
    let stored = publish(&mut first, "v", 2, at(0));
    let mut second = feed(ETAGS);
    second.restore(None, stored, at(3_600_001));
    assert_eq!(
        all(&mut second, Some("v1"), at(3_600_001)),
        KEEPALIVE,
        "the newest is known"
    );
    assert!(
        all(&mut second, Some("v0"), at(3_600_001)).contains("id: v1\n"),
        "a resync"
    );
}

#[test]
fn events_before_a_gap_are_forgotten() {
    let now = Now::from_millis(0, 0);
    let mut first = feed(ETAGS);
    let mut stored = publish(&mut first, "v", 4, now);
    stored.remove(2);
    let mut second = feed(ETAGS);
    second.restore(None, stored, now);
    assert_eq!(all(&mut second, Some("v3"), now), KEEPALIVE);
    assert!(all(&mut second, Some("v1"), now).contains("buffer-miss"));
}

#[test]
fn no_time_is_given_twice_across_a_restart_even_if_the_clock_is_set_back() {
    let mut first = feed(ETAGS);
    let now = Now::from_millis(0, 5_000);
    let stored = publish(&mut first, "", 3, now);
    let given: Vec<_> = stored
        .iter()
        .map(|stored| stored.id.as_str().to_string())
        .collect();
    assert_eq!(
        given,
        [
            "1970-01-01T00:00:05.000Z",
            "000000000000000e.2",
            "000000000000000e.3"
        ]
    );
    let mut second = feed(ETAGS);
    second.restore(None, stored, Now::from_millis(0, 1_000));
    let next = publish(&mut second, "", 1, Now::from_millis(0, 1_000));
    assert_eq!(next[0].id.as_str(), "000000000000000e.4");
    let next = publish(&mut second, "", 1, Now::from_millis(0, 5_001));
    assert_eq!(next[0].id.as_str(), "1970-01-01T00:00:05.001Z");

    let mut empty = feed(ETAGS);
    empty.restore(None, vec![], now);
    assert_eq!(
        publish(&mut empty, "", 1, now)[0].id.as_str(),
        "1970-01-01T00:00:05.000Z"
    );
}

#[test]
fn an_event_counts_with_its_share_of_the_spare_room_in_the_queue() {
    let mut queue = VecDeque::new();
    for _ in 0..1_025 {
        queue.push_back([0_u8; size_of::<Held>()]);
        let room = queue.capacity() * size_of::<Held>();
        assert!(
            room <= queue.len() * ENTRY_BYTES,
            "{room} bytes for {}",
            queue.len()
        );
    }
    assert!(
        ENTRY_BYTES < 8 * size_of::<Held>(),
        "a small event does not count like a large one"
    );
}

#[test]
fn a_frame_that_fills_a_piece_is_handed_over_alone() {
    let now = Now::from_millis(0, 0);
    let publish = |feed: &mut Feed, len: usize| {
        let key = crate::name::ResourceKey::new("s", "i").expect("valid");
        let event = Event::changed(key, &"x".repeat(len), Some("v")).expect("valid");
        feed.publish(event, now, &NoStore).expect("cannot fail")
    };
    let without_text = publish(&mut feed(ETAGS), 0);
    let mut feed = feed(ETAGS);
    let mut reader = feed.subscribe(None, Duration::ZERO, now);
    let _greeting = feed.poll(&mut reader, now);
    for len in [MAX_PIECE - without_text, 0] {
        publish(&mut feed, len);
    }
    for len in [MAX_PIECE, without_text] {
        let Output::Frames(piece) = feed.poll(&mut reader, now) else {
            panic!("a piece")
        };
        assert_eq!(piece.len(), len);
    }
}

struct Full;

impl Store for Full {
    type Error = &'static str;

    fn save(&self, _: Row<'_>) -> Result<(), &'static str> {
        Err("full")
    }
}

#[test]
fn an_event_that_cannot_be_stored_is_not_published() {
    let now = Now::from_millis(0, 0);
    let mut feed = feed(ETAGS);
    let mut reader = feed.subscribe(None, Duration::ZERO, now);
    let _ = feed.poll(&mut reader, now);
    let event = Event::from_json(br#"{"type":"deleted","slug":"s","id":"i"}"#).expect("valid");
    assert_eq!(feed.publish(event, now, &Full), Err("full"));
    assert_eq!(feed.poll(&mut reader, now), Output::Idle { wake_at: None });
    assert!(feed.is_idle(&reader, now.instant));
    assert_eq!(reader.wake_at(), None);
}

#[test]
fn an_event_is_saved_in_the_slot_of_the_one_that_left_the_window() {
    let (mut feed, log) = (feed(ETAGS), Log::default());
    let key = crate::name::ResourceKey::new("s", "i").expect("valid");
    for _ in 0..6 {
        feed.publish(Event::deleted(key.clone()), Now::default(), &log)
            .expect("saved");
    }
    assert_eq!(log.slots.into_inner(), [1, 2, 3, 0, 1, 2]);
}

#[test]
fn a_reader_that_is_disconnected_resumes_without_a_gap() {
    let now = Now::from_millis(0, 0);
    let mut feed = feed(ETAGS);
    let farewell = feed.farewell(1_000, now);
    assert_eq!(farewell, "id: 000000000000000e.0\n\nretry: 1000\n\n");
    publish(&mut feed, "v", 1, now);
    let frames = all(&mut feed, Some("000000000000000e.0"), now);
    assert_eq!(frames, ":keepalive\n\nevent: changed\nid: v0\ndata: 0\n\n");
    assert_eq!(feed.farewell(5, now), "id: v0\n\nretry: 5\n\n");
}

#[test]
fn a_reader_is_idle_exactly_when_a_poll_returns_idle() {
    let at = |millis| Now::from_millis(millis, 0);
    let mut feed = feed(ETAGS);
    let mut reader = feed.subscribe(None, Duration::from_millis(100), at(0));
    assert!(!feed.is_idle(&reader, at(0).instant), "the greeting is due");

    let _greeting = feed.poll(&mut reader, at(0));
    assert!(feed.is_idle(&reader, at(99).instant));
    assert_eq!(reader.wake_at(), Some(Instant::from_millis(100)));
    assert!(
        !feed.is_idle(&reader, at(100).instant),
        "a heartbeat is due"
    );

    publish(&mut feed, "v", 1, at(99));
    assert!(!feed.is_idle(&reader, at(99).instant), "an event waits");
}

#[test]
fn a_cursor_is_the_number_of_the_next_event_and_0_before_a_resync() {
    let now = Now::from_millis(0, 0);
    let mut feed = feed(ETAGS);
    publish(&mut feed, "v", 5, now);
    let mut lost = feed.subscribe(Some(b"unknown"), Duration::ZERO, now);
    assert_eq!((lost.cursor(), feed.resyncs()), (0, 0));
    let _resync = feed.poll(&mut lost, now);
    assert_eq!((lost.cursor(), feed.resyncs()), (6, 1));
    assert_eq!(feed.subscribe(Some(b"v2"), Duration::ZERO, now).cursor(), 4);
    all(&mut feed, Some("unknown"), now);
    assert_eq!(feed.resyncs(), 2);
}

#[test]
fn an_event_counts_with_its_frame_its_id_and_its_entry() {
    let mut feed = feed(ETAGS);
    let stored = publish(&mut feed, "v", 1, Now::from_millis(0, 0));
    let bytes = stored[0].frame.as_bytes().len() + "v0".len() + ENTRY_BYTES;
    assert_eq!(feed.topic.ring().bytes(), bytes);
}

#[test]
fn a_long_replay_is_shared_and_a_short_one_comes_with_the_greeting() {
    let now = Now::from_millis(0, 0);
    let frame = "event: changed\nid: 1970-01-01T00:00:00.000Z\ndata: \"\"\n\n";
    let most = MAX_COPY - KEEPALIVE.len() - frame.len();
    for (len, is_shared) in [(10, false), (2_000, false), (most, false), (most + 1, true)] {
        let mut feed = feed(ETAGS);
        publish(&mut feed, "v", 1, now);
        let key = crate::name::ResourceKey::new("s", "i").expect("valid");
        let event = Event::changed(key, &"x".repeat(len), None).expect("valid");
        feed.publish(event, now, &NoStore).expect("cannot fail");
        let mut pieces = || {
            let mut reader = feed.subscribe(Some(b"v0"), Duration::ZERO, now);
            let piece = |_| match feed.poll(&mut reader, now) {
                Output::Frames(bytes) => bytes,
                Output::Idle { .. } => Bytes::new(),
            };
            [0; 2].map(piece)
        };
        let (first, second) = (pieces(), pieces());
        assert_eq!(first, second);
        assert_eq!(first[0] == KEEPALIVE, is_shared);
        assert_eq!(first[1].is_empty(), !is_shared);
        assert!(!is_shared || first[1].as_ptr() == second[1].as_ptr());
    }
}

#[test]
fn what_can_be_replayed_is_counted_by_number_and_by_age() {
    let mut feed = feed(ETAGS);
    let now = Now::from_millis(0, 0);
    assert_eq!((feed.replayable(now), feed.history_bytes()), (0, 0));
    publish(&mut feed, "v", 2, now);
    assert_eq!(feed.replayable(now), 2);
    publish(&mut feed, "w", 2, now);
    assert_eq!(feed.replayable(now), 3, "the window");

    let hour = 3_600_000;
    assert_eq!(feed.replayable(Now::from_millis(hour, 0)), 3);
    assert_eq!(feed.replayable(Now::from_millis(hour + 1, 0)), 0);
}
