//! One record's object without the platform: streams and timers are what it is given.

use std::collections::BTreeMap;

use bytes::Bytes;
use saacms_realtime_core::event::Event;
use saacms_realtime_core::feed::{self, Feed, Output, Reader, Store, StoredRing};
use saacms_realtime_core::name::ResourceKey;
use saacms_realtime_core::position::Epoch;
use saacms_realtime_core::refusal::Refusal;
use saacms_realtime_core::route::Problem;
use saacms_realtime_core::time::{Instant, Now};

use crate::backlog::Backlog;
use crate::round::{Limits, PORTION, Round};
use crate::settings::Settings;

/// The most that is published in a round over the streams before it no longer goes by turns.
const MAX_WAITING_BYTES: usize = 256 << 10;

/// Where the bytes of a stream go.
pub(crate) trait Sink {
    /// Bytes that were sent and have not left; `None` where the stream is over.
    fn queued(&self) -> Option<usize>;

    /// Sends bytes, or notes them to be sent with those of other streams. Where it turns out that
    /// the stream is over, [`Object::left`] is to be called.
    fn send(&self, bytes: &Bytes);

    /// Asks for a call of [`Object::drained`] once fewer than the allowed bytes are queued.
    fn want_room(&self);

    /// Ends the stream behind what was sent.
    fn end(&self);

    /// Cuts the stream off; what is queued is lost.
    fn cut(&self);
}

/// The streams and the ring of one record.
#[derive(Debug)]
pub(crate) struct Object<S> {
    settings: Settings,
    /// Which record this is; `None` until the platform or the first event says it.
    key: Option<ResourceKey>,
    feed: Feed,
    streams: BTreeMap<u32, Stream<S>>,
    next_stream: u32,
    round: Round,
}

#[derive(Debug)]
struct Stream<S> {
    reader: Reader,
    sink: S,
    backlog: Backlog,
    /// When the last event was sent.
    event_at: Instant,
    /// When to look at it again; `None` = at the next event, or when there is room.
    wake_at: Option<Instant>,
}

impl<S: Sink> Object<S> {
    /// An object that goes on where `stored` ends; `epoch` must be random.
    pub(crate) fn new(
        settings: Settings,
        key: Option<ResourceKey>,
        stored: Option<StoredRing>,
        epoch: u64,
        now: Now,
    ) -> Self {
        let (stored_key, epoch, events) = match stored {
            Some(stored) => (Some(stored.key), stored.epoch, stored.events),
            None => (None, Epoch::from_number(epoch), Vec::new()),
        };
        let mut feed = Feed::new(&settings.hub, epoch);
        feed.restore(events, now);
        let (streams, key) = (BTreeMap::new(), key.or(stored_key));
        // A stream may be behind by two rounds, and the event that makes the second one full.
        let held = settings.hub.max_lag.max(settings.hub.max_events);
        let events = held.saturating_sub(1) / 2;
        let bytes = (settings.hub.max_lag_bytes / 2).min(MAX_WAITING_BYTES);
        let round = Round::new(Limits { events, bytes });
        Self {
            settings,
            key,
            feed,
            streams,
            next_stream: 0,
            round,
        }
    }

    /// Slots that a store has.
    pub(crate) fn slots(settings: &Settings) -> u64 {
        feed::slots(&settings.hub.retention())
    }

    /// Open streams.
    #[cfg(test)]
    pub(crate) fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Publishes an event: stores it and files it. It is sent to every stream with room, or waits
    /// for the streams' next turn.
    pub(crate) fn publish(
        &mut self,
        event: Event,
        now: Now,
        store: Option<&dyn Store<Error = String>>,
    ) -> Result<(), Problem> {
        if let Some(own) = self.key.as_ref().filter(|own| *own != event.key()) {
            return Err(Problem::other_record(own, event.key()));
        }
        // The first event says which record this is, once it is stored.
        let first_key = self.key.is_none().then(|| event.key().clone());
        let bytes = self
            .feed
            .publish(event, now, &store)
            .map_err(|_| Problem::not_stored())?;
        if let Some(key) = first_key {
            self.key = Some(key);
        }
        self.round.add(bytes);
        if self.round.is_full() {
            self.send_all(now);
        } else if !self.round.is_under_way() {
            self.turn(now);
        }
        Ok(())
    }

    /// Opens a stream and sends what it begins with; `open` makes its sink from its number.
    pub(crate) fn subscribe<E>(
        &mut self,
        last_event_id: Option<&[u8]>,
        now: Now,
        open: impl FnOnce(u32) -> Result<S, E>,
    ) -> Result<Result<u32, E>, Problem> {
        let limit = self.settings.hub.max_subscribers_per_topic;
        if self.streams.len() >= limit {
            return Err(Refusal::TooManySubscribersOfTopic { limit }.into());
        }
        let number = self.next_stream;
        let sink = match open(number) {
            Ok(sink) => sink,
            Err(error) => return Ok(Err(error)),
        };
        self.next_stream = self.next_stream.wrapping_add(1);
        let reader = self
            .feed
            .subscribe(last_event_id, self.settings.hub.heartbeat, now);
        let backlog = Backlog::new(now.instant);
        let stream = Stream {
            reader,
            sink,
            backlog,
            event_at: now.instant,
            wake_at: None,
        };
        self.streams.insert(number, stream);
        self.send_one(number, now);
        Ok(Ok(number))
    }

    /// The stream has room again.
    pub(crate) fn drained(&mut self, number: u32, now: Now) {
        self.send_one(number, now);
    }

    /// The stream's client is gone, or its stream is over.
    pub(crate) fn left(&mut self, number: u32) {
        if let Some(stream) = self.streams.remove(&number) {
            stream.sink.cut();
        }
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self, now: Now) {
        self.round.touch();
        self.turn(now);
    }

    /// When [`tick`](Self::tick) is due; `None` while nothing is, as without streams.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        self.streams
            .values()
            .filter_map(|stream| stream.wake_at)
            .min()
    }

    /// Whether [`turn`](Self::turn) is due, as soon as the runtime had its own.
    pub(crate) fn wants_turn(&self) -> bool {
        self.round.is_under_way()
    }

    /// Serves the streams whose turn it is.
    pub(crate) fn turn(&mut self, now: Now) {
        let Some(from) = self.round.begin_turn() else {
            return;
        };
        let Self {
            streams,
            feed,
            settings,
            ..
        } = self;
        let (mut wrote, mut left, mut over) = (0, None, Vec::new());
        for (number, stream) in streams.range_mut(from..) {
            if wrote == PORTION {
                left = Some(*number);
                break;
            }
            let sent = stream.backlog.given();
            if !stream.send(feed, settings, now) {
                over.push(*number);
            }
            wrote += usize::from(stream.backlog.given() != sent);
        }
        for number in over {
            streams.remove(&number);
        }
        self.round.end_turn(left);
    }

    fn send_all(&mut self, now: Now) {
        let Self {
            streams,
            feed,
            settings,
            ..
        } = self;
        streams.retain(|_, stream| stream.send(feed, settings, now));
        self.round.skip();
    }

    fn send_one(&mut self, number: u32, now: Now) {
        let Self {
            streams,
            feed,
            settings,
            ..
        } = self;
        let stays = streams
            .get_mut(&number)
            .is_none_or(|stream| stream.send(feed, settings, now));
        if !stays {
            streams.remove(&number);
        }
    }
}

impl<S: Sink> Stream<S> {
    /// Sends what waits as far as there is room, and what is due. False where the stream is over.
    fn send(&mut self, feed: &mut Feed, settings: &Settings, now: Now) -> bool {
        loop {
            if feed.is_idle(&self.reader, now.instant) {
                return self.rest(self.reader.wake_at(), feed, settings, now);
            }
            let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= now.instant);
            let cut_at = self.backlog.cut_at(settings.stall_timeout);
            // To look at the queue costs about half of what a delivery does: not as long as there is
            // room whatever has left it.
            if self.backlog.at_most() >= settings.max_backlog_bytes / 2 || is_due(cut_at) {
                let Some(queued) = self.sink.queued() else {
                    return false;
                };
                self.backlog.see(queued, now.instant);
                let cut_at = self.backlog.cut_at(settings.stall_timeout);
                if is_due(cut_at) {
                    self.sink.cut();
                    return false;
                }
                if queued >= settings.max_backlog_bytes {
                    self.sink.want_room();
                    self.wake_at = cut_at;
                    return true;
                }
            }
            let cursor = self.reader.cursor();
            let Output::Frames(bytes) = feed.poll(&mut self.reader, now) else {
                continue;
            };
            self.sink.send(&bytes);
            self.backlog.sent(bytes.len());
            if self.reader.cursor() != cursor {
                self.event_at = now.instant;
            }
        }
    }

    /// All was sent: waits for the heartbeat, for signs of life, or for the time to end.
    fn rest(
        &mut self,
        heartbeat: Option<Instant>,
        feed: &mut Feed,
        settings: &Settings,
        now: Now,
    ) -> bool {
        let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= now.instant);
        let end_at = (!settings.idle_timeout.is_zero())
            .then(|| self.event_at.saturating_add(settings.idle_timeout));
        if is_due(end_at) {
            let retry = u64::try_from(settings.retry.as_millis()).unwrap_or(u64::MAX);
            self.sink.send(&feed.farewell(retry, now));
            self.sink.end();
            return false;
        }
        let mut cut_at = self.backlog.cut_at(settings.stall_timeout);
        if is_due(cut_at) {
            let Some(queued) = self.sink.queued() else {
                return false;
            };
            self.backlog.see(queued, now.instant);
            cut_at = self.backlog.cut_at(settings.stall_timeout);
            if is_due(cut_at) {
                self.sink.cut();
                return false;
            }
        }
        self.wake_at = [heartbeat, end_at, cut_at].into_iter().flatten().min();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};
    use std::convert::Infallible;
    use std::rc::Rc;
    use std::time::Duration;

    use saacms_realtime_core::config::HubConfig;
    use saacms_realtime_core::feed::Row;

    /// A stream that takes as many bytes as it is told.
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
            core::mem::take(&mut self.sent.borrow_mut())
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

    type TestObject = Object<Rc<Pipe>>;

    fn at(millis: u64) -> Now {
        Now::from_millis(millis, millis as i64)
    }

    fn object(change: impl FnOnce(&mut Settings)) -> TestObject {
        let mut settings = Settings::default();
        settings.hub.heartbeat = Duration::from_millis(100);
        settings.stall_timeout = Duration::from_millis(1_000);
        change(&mut settings);
        Object::new(settings, None, None, 7, at(0))
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
        object
            .subscribe(last_event_id.map(str::as_bytes), now, |_| {
                Ok::<_, Infallible>(sink)
            })
            .expect("not full")
            .expect("opened");
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
        assert_eq!(pipe.take(), ":keepalive\n\n");
        assert_eq!(object.wake_at().map(Instant::as_millis), Some(105));
        object
            .publish(event("i", "b"), at(50), None)
            .expect("published");
        pipe.take();
        object.tick(at(105));
        assert_eq!(
            (pipe.take(), object.wake_at().map(Instant::as_millis)),
            (String::new(), Some(150))
        );
        object.tick(at(150));
        assert_eq!(pipe.take(), ":keepalive\n\n");
        object.left(0);
        assert_eq!((object.wake_at(), object.streams()), (None, 0));
    }

    #[test]
    fn a_full_stream_waits_in_the_ring_and_goes_on_without_a_gap() {
        let mut object = object(|settings| settings.max_backlog_bytes = 1_024);
        let (slow, fast) = (
            open(&mut object, None, at(0)),
            open(&mut object, None, at(0)),
        );
        let record = "x".repeat(400);
        for number in 0..9 {
            object
                .publish(event("i", &format!("{number}{record}")), at(1), None)
                .expect("filed");
            fast.take();
        }
        assert!(slow.queued.get() < 1_024 + 2_000 && slow.wants_room.get());
        let mut got = slow.take();
        object.drained(0, at(2));
        got.push_str(&slow.take());
        assert_eq!(got.matches("event: ").count(), 9);
        assert!(!got.contains("resync"));
    }

    #[test]
    fn a_stream_from_which_nothing_is_taken_is_cut() {
        let mut object = object(|_| {});
        let (gone, alive) = (
            open(&mut object, None, at(0)),
            open(&mut object, None, at(0)),
        );
        for millis in (0..=1_100).step_by(50) {
            alive.take();
            object.tick(at(millis));
        }
        assert!(gone.was_cut.get() && !alive.is_over.get());
        assert_eq!(object.streams(), 1);
    }

    #[test]
    fn without_heartbeats_a_timer_runs_only_until_the_last_bytes_are_taken() {
        let mut object = object(|settings| settings.hub.heartbeat = Duration::ZERO);
        let pipe = open(&mut object, None, at(0));
        assert_eq!(object.wake_at().map(Instant::as_millis), Some(1_000));
        pipe.take();
        object.tick(at(1_000));
        assert_eq!(object.wake_at(), None);
    }

    #[test]
    fn what_cannot_be_stored_is_not_sent() {
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
    fn an_object_is_about_one_record() {
        let mut object = object(|_| {});
        object
            .publish(event("i", "a"), at(0), None)
            .expect("the first decides");
        let refused = object
            .publish(event("j", "a"), at(0), None)
            .expect_err("another");
        assert_eq!(refused.status(), 409);
        let key = ResourceKey::new("s", "named").expect("valid");
        let mut named = TestObject::new(Settings::default(), Some(key), None, 7, at(0));
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
        let refused = object.subscribe(None, at(0), |_| {
            Ok::<_, Infallible>(Rc::new(Pipe::default()))
        });
        assert_eq!(refused.expect_err("full").status(), 429);
    }

    #[test]
    fn an_idle_stream_is_ended_with_a_place_to_come_back_to() {
        let mut object = object(|settings| settings.idle_timeout = Duration::from_millis(250));
        let pipe = open(&mut object, None, at(0));
        for millis in [100, 150, 200] {
            object.tick(at(millis));
        }
        object
            .publish(event("i", "a"), at(200), None)
            .expect("published");
        pipe.take();
        for millis in [300, 400, 449] {
            object.tick(at(millis));
            assert!(!pipe.is_over.get());
        }
        pipe.take();
        object.tick(at(450));
        assert_eq!(pipe.take(), "id: a\n\nretry: 3000\n\n");
        assert!(pipe.is_over.get() && !pipe.was_cut.get());
        assert_eq!(object.wake_at(), None);
    }

    /// Publishes `etag` and says how many frames each of the streams was sent by that.
    fn publish_to(object: &mut TestObject, etag: &str, pipes: &[Rc<Pipe>]) -> Vec<usize> {
        object
            .publish(event("i", etag), at(1), None)
            .expect("published");
        taken(pipes)
            .iter()
            .map(|text| text.matches("event: ").count())
            .collect()
    }

    fn taken(pipes: &[Rc<Pipe>]) -> Vec<String> {
        pipes.iter().map(|pipe| pipe.take()).collect()
    }

    fn open_many(object: &mut TestObject, count: usize) -> Vec<Rc<Pipe>> {
        let pipes: Vec<_> = (0..count).map(|_| open(object, None, at(0))).collect();
        taken(&pipes);
        pipes
    }

    /// Gives turns until nobody wants one; says how many.
    fn finish(object: &mut TestObject, now: Now) -> usize {
        (0..1_000)
            .take_while(|_| object.wants_turn().then(|| object.turn(now)).is_some())
            .count()
    }

    fn ids(text: &str) -> Vec<&str> {
        text.lines()
            .filter_map(|line| line.strip_prefix("id: "))
            .collect()
    }

    #[test]
    fn with_few_streams_every_event_goes_to_all_at_once() {
        let mut object = object(|_| {});
        let pipes = open_many(&mut object, PORTION);
        for etag in ["a", "b", "c"] {
            assert_eq!(publish_to(&mut object, etag, &pipes), [1; PORTION]);
            assert!(!object.wants_turn());
        }
    }

    #[test]
    fn a_lone_event_goes_out_at_once_and_in_turns_to_the_rest() {
        let mut object = object(|_| {});
        let pipes = open_many(&mut object, 2 * PORTION + 1);
        let sent = publish_to(&mut object, "a", &pipes);
        assert_eq!(
            sent[..PORTION],
            [1; PORTION],
            "before the publish is answered"
        );
        assert_eq!(sent[PORTION..], [0; PORTION + 1]);
        assert_eq!(finish(&mut object, at(2)), 2);
        let rest = taken(&pipes);
        assert!(
            rest[..PORTION].iter().all(String::is_empty),
            "nobody gets it twice"
        );
        assert!(rest[PORTION..].iter().all(|text| ids(text) == ["a"]));
        assert_eq!(
            publish_to(&mut object, "b", &pipes)[..PORTION],
            [1; PORTION],
            "again at once"
        );
    }

    #[test]
    fn a_burst_is_joined_to_one_chunk_per_turn() {
        let mut object = object(|_| {});
        let pipes = open_many(&mut object, 2 * PORTION);
        publish_to(&mut object, "a", &pipes);
        for etag in ["b", "c", "d"] {
            assert_eq!(
                publish_to(&mut object, etag, &pipes),
                [0; 2 * PORTION],
                "{etag} waits"
            );
        }
        object.turn(at(2));
        assert!(
            taken(&pipes[PORTION..])
                .iter()
                .all(|text| ids(text) == ["a", "b", "c", "d"])
        );
        object.turn(at(2));
        assert!(
            taken(&pipes[..PORTION])
                .iter()
                .all(|text| ids(text) == ["b", "c", "d"])
        );
        finish(&mut object, at(2));
        assert!(taken(&pipes).concat().is_empty() && object.wake_at().is_some());
    }

    #[test]
    fn who_subscribes_during_a_round_gets_everything_once_and_in_order() {
        let mut object = object(|_| {});
        let pipes = open_many(&mut object, 3 * PORTION);
        for etag in ["a", "b"] {
            publish_to(&mut object, etag, &pipes);
        }
        let (fresh, back) = (
            open(&mut object, None, at(1)),
            open(&mut object, Some("a"), at(1)),
        );
        assert_eq!(
            back.take(),
            ":keepalive\n\nevent: changed\nid: b\ndata: \"b\"\n\n"
        );
        publish_to(&mut object, "c", &pipes);
        finish(&mut object, at(2));
        assert_eq!(
            (ids(&fresh.take()), ids(&back.take())),
            (vec!["c"], vec!["c"])
        );
    }

    #[test]
    fn a_round_goes_past_streams_that_leave_or_never_read() {
        let mut object = object(|settings| settings.max_backlog_bytes = 1_024);
        let pipes = open_many(&mut object, 3 * PORTION);
        let record = "x".repeat(400);
        let stuck = &pipes[PORTION];
        for number in 0..20 {
            object
                .publish(event("i", &format!("{number}{record}")), at(1), None)
                .expect("filed");
            object.left(PORTION as u32 + 1);
            finish(&mut object, at(2));
            let others = [&pipes[..PORTION], &pipes[PORTION + 2..]].concat();
            assert!(
                taken(&others)
                    .iter()
                    .all(|text| text.matches("event: ").count() == 1)
            );
        }
        assert!(stuck.wants_room.get() && stuck.queued.get() < 4_096);
        assert_eq!(object.streams(), 3 * PORTION - 1);
    }

    #[test]
    fn more_than_may_wait_goes_to_all_at_once_and_nobody_is_told_to_refetch() {
        for change in [
            |settings: &mut Settings| settings.hub.max_lag = 100,
            |settings: &mut Settings| settings.hub.max_lag_bytes = 50_000,
        ] {
            let mut object = object(change);
            let pipes = open_many(&mut object, 2 * PORTION);
            let mut got = vec![String::new(); pipes.len()];
            for number in 0..500 {
                object
                    .publish(event("i", &format!("e{number}")), at(1), None)
                    .expect("filed");
                // Some streams have their turn, and as much comes before it is theirs again.
                if number > 250 && number % 50 == 0 {
                    object.turn(at(1));
                }
                got.iter_mut()
                    .zip(taken(&pipes))
                    .for_each(|(got, new)| got.push_str(&new));
            }
            finish(&mut object, at(2));
            got.iter_mut()
                .zip(taken(&pipes))
                .for_each(|(got, new)| got.push_str(&new));
            let expected: Vec<_> = (0..500).map(|number| format!("e{number}")).collect();
            assert!(
                got.iter().all(|text| ids(text) == expected),
                "a resync, or a gap"
            );
        }
    }

    #[test]
    fn heartbeats_go_by_turns_and_help_a_round_on_whose_turn_does_not_come() {
        let mut object = object(|_| {});
        let pipes = open_many(&mut object, 2 * PORTION);
        publish_to(&mut object, "a", &pipes);
        object.tick(at(100));
        assert!(
            taken(&pipes[PORTION..])
                .iter()
                .all(|text| ids(text) == ["a"])
        );
        finish(&mut object, at(100));
        object.tick(at(200));
        assert_eq!(finish(&mut object, at(200)), 1);
        assert_eq!(taken(&pipes).concat(), ":keepalive\n\n".repeat(2 * PORTION));
    }
}
