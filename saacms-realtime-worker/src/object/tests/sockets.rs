use super::super::note::MAX_UNREAD_BYTES;
use super::*;
use saacms_realtime_core::feed::StoredEvent;

/// A record of which a frame has about 100 KiB.
const LARGE: usize = 100 << 10;

impl Wire {
    fn text(&self) -> String {
        self.messages.take().concat()
    }

    fn note(&self) -> Note {
        self.note.get().expect("a note was kept")
    }

    /// The bytes of all messages so far.
    fn bytes(&self) -> u64 {
        let messages = self.messages.borrow();
        messages.iter().map(|text| text.len() as u64).sum()
    }
}

/// Opens a WebSocket and sends what it begins with. Returns its number, too.
fn connect(object: &mut TestObject, last_event_id: Option<&str>, now: Now) -> (u32, Rc<Wire>) {
    let wire = Rc::new(Wire::default());
    let number = object.reserve_socket().expect("not full");
    let id = last_event_id.map(str::as_bytes);
    object.open_socket(number, Rc::clone(&wire), id, now);
    object.serve_sockets(now);
    (number, wire)
}

fn publish(object: &mut TestObject, etag: &str, now: Now) {
    object
        .publish(event("i", etag), now, None)
        .expect("published");
    object.serve_sockets(now);
}

fn publish_large(object: &mut TestObject, count: usize, now: Now) {
    let record = "x".repeat(LARGE);
    for number in 0..count {
        let body = format!(
            r#"{{"type":"changed","slug":"s","id":"i","record":"{record}","etag":"l{number}"}}"#
        );
        let event = Event::from_json(body.as_bytes()).expect("valid");
        object.publish(event, now, None).expect("published");
        object.serve_sockets(now);
    }
}

/// The IDs of the events and resyncs in a text.
fn ids(text: &str) -> Vec<&str> {
    text.lines()
        .filter_map(|line| line.strip_prefix("id: "))
        .collect()
}

#[test]
fn a_websocket_gets_the_bytes_of_an_event_stream() {
    for last_event_id in [None, Some("a"), Some("b"), Some("nobody"), Some("")] {
        let mut object = object(|settings| settings.hub.heartbeat = Duration::ZERO);
        publish(&mut object, "a", at(0));
        publish(&mut object, "b", at(1));
        let pipe = open(&mut object, last_event_id, at(2));
        let (_, wire) = connect(&mut object, last_event_id, at(2));
        publish(&mut object, "c", at(3));
        let text = pipe.take();
        assert!(text.starts_with(":keepalive\n\n") && text.ends_with("data: \"c\"\n\n"));
        assert_eq!(wire.text(), text, "{last_event_id:?}");
    }
}

#[test]
fn an_object_with_nothing_but_websockets_has_no_deadline_and_no_turn() {
    let mut object = object(|settings| settings.idle_timeout = Duration::from_secs(1));
    let wires: Vec<_> = (0..40)
        .map(|_| connect(&mut object, None, at(0)).1)
        .collect();
    publish(&mut object, "a", at(1));
    assert_eq!((object.wake_at(), object.wants_turn()), (None, false));
    for wire in wires {
        assert!(wire.text().ends_with("data: \"a\"\n\n"), "all at once");
    }
}

#[test]
fn events_of_one_use_of_the_object_are_one_message() {
    let mut object = object(|_| {});
    let (_, wire) = connect(&mut object, None, at(0));
    wire.text();
    for etag in ["a", "b", "c"] {
        object
            .publish(event("i", etag), at(1), None)
            .expect("published");
    }
    object.serve_sockets(at(1));
    assert_eq!(wire.messages.borrow().len(), 1);
    assert_eq!(ids(&wire.text()), ["a", "b", "c"]);
}

#[test]
fn a_client_that_reads_nothing_gets_a_mebibyte_and_a_message_and_the_rest_once_it_reads() {
    let mut object = object(|_| {});
    let (number, wire) = connect(&mut object, None, at(0));
    publish_large(&mut object, 30, at(1));
    let bytes = wire.bytes();
    let most = MAX_UNREAD_BYTES + LARGE as u64 + 100;
    assert!((MAX_UNREAD_BYTES..most).contains(&bytes), "{bytes}");
    assert_eq!(wire.note().waits_since, Some(at(1).instant));

    let mut text = wire.text();
    for _ in 0..5 {
        object.handle_read(number, text.len() as u64, at(2));
        text.push_str(&wire.text());
    }
    assert_eq!(wire.note().waits_since, None);
    let expected: Vec<_> = (0..30).map(|number| format!("l{number}")).collect();
    assert_eq!(ids(&text)[1..], expected);
    assert_eq!(wire.closed.get(), None);
}

#[test]
fn a_client_that_waits_too_long_behind_the_ring_is_told_to_refetch() {
    let mut object = object(|settings| {
        settings.hub.max_events = 2;
        settings.hub.max_lag = 2;
    });
    let (number, wire) = connect(&mut object, None, at(0));
    publish_large(&mut object, 30, at(1));
    let text = wire.text();
    object.handle_read(number, text.len() as u64, at(2));
    assert_eq!(
        wire.text(),
        "event: saacms-resync\nid: l29\ndata: {\"reason\":\"lagged\"}\n\n"
    );
}

#[test]
fn a_lone_keep_alive_does_not_count_as_sent_because_the_platform_sends_some_too() {
    let mut object = object(|_| {});
    publish(&mut object, "a", at(0));
    let (number, wire) = connect(&mut object, Some("a"), at(0));
    assert_eq!((wire.text(), wire.note().sent), (KEEPALIVE.to_owned(), 0));
    publish(&mut object, "b", at(1));
    assert_eq!(wire.note().sent, wire.bytes());
    object.handle_read(number, wire.bytes(), at(2));
    assert_eq!((wire.closed.get(), wire.note().read), (None, wire.bytes()));
}

#[test]
fn a_client_that_tells_a_wrong_count_or_sends_something_else_is_refused() {
    let mut object = object(|_| {});
    for violation in [Violation::WrongCount, Violation::UnknownMessage] {
        let (number, wire) = connect(&mut object, None, at(0));
        match violation {
            Violation::WrongCount => object.handle_read(number, wire.bytes() + 1, at(1)),
            Violation::UnknownMessage => object.refuse_socket(number, violation),
        }
        assert_eq!(wire.closed.get(), Some(Closing::Violation(violation)));
        assert_eq!(object.subscribers(), 0);
    }
}

#[test]
fn a_client_that_lets_the_object_wait_is_cut_at_an_event_and_the_others_miss_nothing() {
    let mut object = object(|settings| settings.stall_timeout = Duration::from_millis(1_000));
    let (_, stuck) = connect(&mut object, None, at(0));
    let (slow_number, slow) = connect(&mut object, None, at(0));
    // It pings, but does not read.
    stuck.answered_ago.set(Some(Duration::ZERO));
    let (number, fast) = connect(&mut object, None, at(0));
    let mut got = 0;
    let mut text = String::new();
    for round in 1..12 {
        let now = at(round * 100);
        publish_large(&mut object, 2, now);
        got += fast.bytes();
        text.push_str(&fast.text());
        object.handle_read(number, got, now);
        let read = slow.note().read + LARGE as u64;
        object.handle_read(slow_number, read, now);
    }
    assert_eq!(stuck.closed.get(), None, "it waits since the sixth round");

    object.handle_read(number, got, at(1_700));
    object.handle_read(slow_number, slow.note().read + LARGE as u64, at(1_700));
    publish_large(&mut object, 1, at(1_700));
    assert_eq!(stuck.closed.get(), Some(Closing::Stalled));
    assert_eq!((slow.closed.get(), fast.closed.get()), (None, None));
    text.push_str(&fast.text());
    assert_eq!(ids(&text).len(), 1 + 23);
    assert_eq!(object.subscribers(), 2);
}

#[test]
fn a_client_that_is_silent_is_cut_at_an_event_and_asked_only_where_that_counts() {
    let mut object = object(|settings| settings.stall_timeout = Duration::from_millis(1_000));
    let (_, dead) = connect(&mut object, None, at(0));
    let (_, alive) = connect(&mut object, None, at(0));
    let (number, reads) = connect(&mut object, None, at(0));
    publish(&mut object, "a", at(999));
    assert_eq!(
        (dead.closed.get(), dead.asked.get()),
        (None, 0),
        "just opened"
    );

    alive.answered_ago.set(Some(Duration::from_millis(10)));
    dead.answered_ago.set(Some(Duration::from_millis(1_000)));
    object.handle_read(number, reads.bytes(), at(1_500));
    publish(&mut object, "b", at(2_000));
    assert_eq!(dead.closed.get(), Some(Closing::Silent));
    assert_eq!((alive.closed.get(), reads.closed.get()), (None, None));
    publish(&mut object, "c", at(2_001));
    assert_eq!((alive.asked.get(), reads.asked.get()), (1, 0));
    assert_eq!(ids(&alive.text()).last(), Some(&"c"));
}

#[test]
fn without_a_stall_timeout_nobody_is_cut() {
    let mut object = object(|settings| settings.stall_timeout = Duration::ZERO);
    let (_, wire) = connect(&mut object, None, at(0));
    publish_large(&mut object, 30, at(1));
    publish(&mut object, "b", at(1_000_000));
    assert_eq!((wire.closed.get(), wire.asked.get()), (None, 0));
}

#[test]
fn both_kinds_of_subscribers_count_against_the_limit() {
    let mut object = object(|settings| settings.hub.max_subscribers_per_topic = 2);
    let _pipe = open(&mut object, None, at(0));
    let (number, _wire) = connect(&mut object, None, at(0));
    let full = Refusal::TooManySubscribersOfTopic { limit: 2 };
    assert_eq!(object.reserve(), Err(full));
    assert_eq!(object.reserve_socket(), Err(full));
    assert_eq!((object.streams(), object.subscribers()), (1, 2));
    object.remove_socket(number);
    assert!(object.reserve().is_ok() && object.reserve_socket().is_ok());
}

#[test]
fn a_number_is_used_again_once_its_websocket_has_ended() {
    let mut object = object(|_| {});
    let (first, _wire) = connect(&mut object, None, at(0));
    let (second, stays) = connect(&mut object, None, at(0));
    object.remove_socket(first);
    object.remove_socket(first);
    let (third, joins) = connect(&mut object, None, at(1));
    assert_eq!((third, object.subscribers()), (first, 2));
    let reserved = object.reserve_socket().expect("not full");
    object.free_socket(reserved);
    let (fourth, _wire) = connect(&mut object, None, at(1));
    assert!(fourth == reserved && ![first, second].contains(&fourth));
    publish(&mut object, "a", at(2));
    for wire in [stays, joins] {
        assert_eq!(ids(&wire.text()).last(), Some(&"a"));
    }
}

#[test]
fn a_drained_object_says_farewell_to_whoever_has_everything() {
    let mut object = object(|_| {});
    let (_, behind) = connect(&mut object, None, at(0));
    publish_large(&mut object, 20, at(1));
    let (_, idle) = connect(&mut object, Some("l19"), at(1));
    let pipe = open(&mut object, Some("l19"), at(1));
    behind.messages.take();

    object.end_all(5_000, at(2));
    let farewell = "id: l19\n\nretry: 5000\n\n";
    assert_eq!(idle.text(), format!("{KEEPALIVE}{farewell}"));
    assert_eq!(pipe.take(), format!("{KEEPALIVE}{farewell}"));
    assert_eq!(behind.text(), "", "it would lose what waits");
    for wire in [idle, behind] {
        assert_eq!(wire.closed.get(), Some(Closing::Drained));
    }
    assert!(pipe.is_over.get() && object.subscribers() == 0);
}

/// The store of an object, as it would be read back.
#[derive(Default)]
struct Kept(RefCell<Vec<StoredEvent>>);

impl Store for Kept {
    type Error = String;

    fn save(&self, row: Row<'_>) -> Result<(), String> {
        self.0.borrow_mut().push(row.event.clone());
        Ok(())
    }
}

impl Kept {
    fn begin(&self) -> Begin {
        let key = ResourceKey::new("s", "i").expect("valid");
        let mut ring = StoredRing::new(key, Epoch::from_number(7), usize::MAX);
        for event in &*self.0.borrow() {
            ring.insert(event.clone());
        }
        Begin::Stored(ring)
    }
}

/// Another life of an object, with the WebSockets that an earlier one has left.
fn wake(begin: Begin, left: &[&Rc<Wire>], now: Now) -> TestObject {
    let mut settings = Settings::default();
    settings.hub.max_events = 5;
    let mut object = Object::new(settings, None, begin, now);
    for wire in left {
        wire.messages.take();
        object.restore_socket(|_| Rc::clone(wire), wire.note(), now);
    }
    object.serve_sockets(now);
    object
}

#[test]
fn a_websocket_continues_where_it_was_after_the_object_slept() {
    let kept = Kept::default();
    let mut first = object(|_| {});
    let (_, wire) = connect(&mut first, None, at(0));
    let save = |object: &mut TestObject, etag: &str| {
        object
            .publish(event("i", etag), at(1), Some(&kept))
            .expect("published");
    };
    save(&mut first, "a");
    first.serve_sockets(at(1));
    assert_eq!(ids(&wire.text()).last(), Some(&"a"));
    drop(first);

    let mut second = wake(kept.begin(), &[&wire], at(20_000));
    assert_eq!(
        wire.text(),
        "",
        "it has missed nothing, and is not greeted again"
    );
    save(&mut second, "b");
    second.serve_sockets(at(20_000));
    assert_eq!(wire.text(), "event: changed\nid: b\ndata: \"b\"\n\n");

    // Stored, but the object failed before it was sent.
    save(&mut second, "c");
    save(&mut second, "d");
    let mut third = wake(kept.begin(), &[&wire], at(20_001));
    assert_eq!(ids(&wire.text()), ["c", "d"]);

    (0..9).for_each(|number| save(&mut third, &format!("e{number}")));
    let _fourth = wake(kept.begin(), &[&wire], at(20_002));
    assert_eq!(
        wire.text(),
        "event: saacms-resync\nid: e8\ndata: {\"reason\":\"lagged\"}\n\n",
        "it is more than the window behind"
    );
}

#[test]
fn an_object_without_stored_events_continues_after_what_its_websockets_know() {
    let mut first = object(|_| {});
    let (_, wire) = connect(&mut first, None, at(0));
    let (_, full) = connect(&mut first, None, at(0));
    publish(&mut first, "a", at(1));
    let mut note = full.note();
    note.waits_since = Some(at(1).instant);
    note.place.sequence = 0;
    full.keep(&note);
    drop(first);

    let notes = [wire.note(), full.note()];
    let place = common_place(&notes).expect("one waits, the other knows");
    let mut second = wake(Begin::After(place), &[&wire, &full], at(20_000));
    assert_eq!(second.position(), place);
    assert_eq!(wire.text(), "", "no needless resync");
    assert!(full.text().contains("\"lagged\""), "it has missed an event");
    publish(&mut second, "b", at(20_000));
    assert_eq!(wire.text(), "event: changed\nid: b\ndata: \"b\"\n\n");
    assert_eq!(wire.note().place.sequence, 2);
}

#[test]
fn a_websocket_of_another_ring_is_told_to_refetch() {
    let mut first = object(|_| {});
    let (_, wire) = connect(&mut first, None, at(0));
    publish(&mut first, "a", at(1));
    let _second = wake(Begin::New(Epoch::from_number(8)), &[&wire], at(2));
    assert_eq!(
        wire.text(),
        "event: saacms-resync\nid: 0000000000000008.0\ndata: {\"reason\":\"restarted\"}\n\n"
    );
}
