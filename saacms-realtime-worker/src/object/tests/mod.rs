mod rounds;
mod sockets;

use super::*;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use saacms_realtime_core::HubConfig;
use saacms_realtime_core::feed::Row;
use saacms_realtime_core::sse::KEEPALIVE;

/// A stream whose client reads only when [`take`](Self::take) is called.
#[derive(Debug, Default)]
struct Pipe {
    sent: RefCell<String>,
    queued: Cell<usize>,
    is_over: Cell<bool>,
    was_cut: Cell<bool>,
    wants_room: Cell<bool>,
}

impl Pipe {
    fn take(&self) -> String {
        self.queued.set(0);
        mem::take(&mut self.sent.borrow_mut())
    }
}

impl Sink for Rc<Pipe> {
    fn queued(&self) -> Option<usize> {
        (!self.is_over.get()).then(|| self.queued.get())
    }

    fn send(&self, bytes: &Bytes) {
        self.queued.set(self.queued.get() + bytes.len());
        self.sent
            .borrow_mut()
            .push_str(core::str::from_utf8(bytes).expect("UTF-8"));
    }

    fn want_room(&self) {
        self.wants_room.set(true);
    }

    fn end(&self) {
        self.is_over.set(true);
    }

    fn cut(&self) {
        self.is_over.set(true);
        self.was_cut.set(true);
    }
}

struct Full;

impl Store for Full {
    type Error = String;

    fn save(&self, _: Row<'_>) -> Result<(), String> {
        Err("full".to_owned())
    }
}

/// A WebSocket, with what the platform would keep of it.
#[derive(Debug, Default)]
struct Wire {
    messages: RefCell<Vec<String>>,
    note: Cell<Option<Note>>,
    closed: Cell<Option<Closing>>,
    answered_ago: Cell<Option<Duration>>,
    /// How often it was asked when the last ping was answered.
    asked: Cell<usize>,
}

impl SocketSink for Rc<Wire> {
    fn send(&self, bytes: &Bytes, note: &Note) {
        assert_eq!(self.closed.get(), None, "nothing is sent after the end");
        let text = core::str::from_utf8(bytes).expect("UTF-8");
        self.messages.borrow_mut().push(text.to_owned());
        self.note.set(Some(*note));
    }

    fn keep(&self, note: &Note) {
        self.note.set(Some(*note));
    }

    fn answered_ago(&self) -> Option<Duration> {
        self.asked.set(self.asked.get() + 1);
        self.answered_ago.get()
    }

    fn close(&self, closing: Closing) {
        self.closed.set(Some(closing));
    }
}

type TestObject = Object<Rc<Pipe>, Rc<Wire>>;

fn at(millis: u64) -> Now {
    Now::from_millis(millis, millis as i64)
}

fn object(change: impl FnOnce(&mut Settings)) -> TestObject {
    let mut settings = Settings::default();
    settings.hub.heartbeat = Duration::from_millis(100);
    settings.stall_timeout = Duration::from_millis(1_000);
    change(&mut settings);
    Object::new(settings, None, Begin::New(Epoch::from_number(7)), at(0))
}

fn event(id: &str, record: &str) -> Event {
    let body = format!(
        r#"{{"type":"changed","slug":"s","id":"{id}","record":"{record}","etag":"{record}"}}"#
    );
    Event::from_json(body.as_bytes()).expect("valid")
}

fn open(object: &mut TestObject, last_event_id: Option<&str>, now: Now) -> Rc<Pipe> {
    let pipe = Rc::new(Pipe::default());
    let sink = Rc::clone(&pipe);
    let number = object.reserve().expect("not full");
    object.subscribe(number, sink, last_event_id.map(str::as_bytes), true, now);
    pipe
}

#[test]
fn heartbeats_run_from_the_first_stream_to_the_last() {
    let mut object = object(|_| {});
    object
        .publish(event("i", "a"), at(0), None)
        .expect("published");
    assert_eq!(object.wake_at(), None, "nobody listens");
    let pipe = open(&mut object, None, at(5));
    assert_eq!(pipe.take(), ":keepalive\n\nid: 0000000000000007.1\n\n");
    assert_eq!(object.wake_at().map(Instant::as_millis), Some(105));
    object
        .publish(event("i", "b"), at(50), None)
        .expect("published");
    pipe.take();
    object.handle_timeout(at(105));
    assert_eq!(
        (pipe.take(), object.wake_at().map(Instant::as_millis)),
        (String::new(), Some(150))
    );
    object.handle_timeout(at(150));
    assert_eq!(pipe.take(), ":keepalive\n\n");
    object.remove(0);
    assert_eq!((object.wake_at(), object.streams()), (None, 0));
}

#[test]
fn a_full_stream_waits_in_the_ring_and_continues_without_a_gap() {
    let mut object = object(|settings| settings.max_backlog_bytes = 1_024);
    let (slow, fast) = (
        open(&mut object, None, at(0)),
        open(&mut object, None, at(0)),
    );
    let record = "x".repeat(400);
    for number in 0..9 {
        object
            .publish(event("i", &format!("{number}{record}")), at(1), None)
            .expect("published");
        fast.take();
    }
    assert!(slow.queued.get() < 1_024 + 2_000 && slow.wants_room.get());
    let mut got = slow.take();
    object.writable(0, at(2));
    got.push_str(&slow.take());
    assert_eq!(got.matches("event: ").count(), 9);
    assert!(!got.contains("resync"));
}

#[test]
fn a_stream_that_is_never_read_is_cut() {
    let mut object = object(|_| {});
    let (gone, alive) = (
        open(&mut object, None, at(0)),
        open(&mut object, None, at(0)),
    );
    for millis in (0..=1_100).step_by(50) {
        alive.take();
        object.handle_timeout(at(millis));
    }
    assert!(gone.was_cut.get() && !alive.is_over.get());
    assert_eq!(object.streams(), 1);
}

#[test]
fn without_heartbeats_a_timer_runs_only_until_the_last_bytes_are_read() {
    let mut object = object(|settings| settings.hub.heartbeat = Duration::ZERO);
    let pipe = open(&mut object, None, at(0));
    assert_eq!(object.wake_at().map(Instant::as_millis), Some(1_000));
    pipe.take();
    object.handle_timeout(at(1_000));
    assert_eq!(object.wake_at(), None);
}

#[test]
fn an_event_that_cannot_be_stored_is_not_sent() {
    let mut object = object(|_| {});
    let pipe = open(&mut object, None, at(0));
    pipe.take();
    let refused = object
        .publish(event("i", "a"), at(1), Some(&Full))
        .expect_err("not stored");
    assert_eq!((refused.status(), pipe.take()), (500, String::new()));
    let late = open(&mut object, Some("a"), at(1));
    assert!(
        late.take().contains("buffer-miss"),
        "it is not in the ring either"
    );
}

#[test]
fn an_object_accepts_events_of_one_record_only() {
    let mut object = object(|_| {});
    object
        .publish(event("i", "a"), at(0), None)
        .expect("the first decides");
    let refused = object
        .publish(event("j", "a"), at(0), None)
        .expect_err("another");
    assert_eq!(refused.status(), 409);
    let key = ResourceKey::new("s", "named").expect("valid");
    let mut named = TestObject::new(
        Settings::default(),
        Some(key),
        Begin::New(Epoch::from_number(7)),
        at(0),
    );
    assert_eq!(
        named
            .publish(event("i", "a"), at(0), None)
            .expect_err("another")
            .status(),
        409
    );
}

#[test]
fn one_subscriber_too_many_is_refused() {
    let hub = HubConfig {
        max_subscribers_per_topic: 1,
        ..HubConfig::default()
    };
    let mut object = object(|settings| settings.hub = hub);
    open(&mut object, None, at(0));
    let refused = object.reserve().expect_err("full");
    assert_eq!(Problem::from(refused).status(), 429);
}

#[test]
fn an_idle_stream_is_ended_with_an_id_to_resume_from() {
    let mut object = object(|settings| settings.idle_timeout = Duration::from_millis(250));
    let pipe = open(&mut object, None, at(0));
    for millis in [100, 150, 200] {
        object.handle_timeout(at(millis));
    }
    object
        .publish(event("i", "a"), at(200), None)
        .expect("published");
    pipe.take();
    for millis in [300, 400, 449] {
        object.handle_timeout(at(millis));
        assert!(!pipe.is_over.get());
    }
    pipe.take();
    object.handle_timeout(at(450));
    assert_eq!(pipe.take(), "id: a\n\nretry: 3000\n\n");
    assert!(pipe.is_over.get() && !pipe.was_cut.get());
    assert_eq!(object.wake_at(), None);
}

#[test]
fn stored_events_may_go_when_the_newest_is_too_old_or_a_minute_after_the_record_was_deleted() {
    let mut object = object(|settings| settings.hub.max_age = Duration::from_secs(600));
    object
        .publish(event("i", "a"), at(1_000), None)
        .expect("published");
    assert_eq!(object.forget_at().as_millis(), 601_001);
    let key = ResourceKey::new("s", "i").expect("valid");
    object
        .publish(Event::deleted(key), at(2_000), None)
        .expect("published");
    assert_eq!(object.forget_at().as_millis(), 62_001);
}
