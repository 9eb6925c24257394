//! A topic with both clocks, for the tests.

use core::time::Duration;
use std::collections::VecDeque;

use saacms_realtime_core::{
    Entry, Epoch, EventId, IdPolicy, Named, Now, Retention, Step, Subscriber, Topic,
};

pub(crate) const QUIET: IdPolicy = IdPolicy::Etag { quiet_resume: true };
pub(crate) const AS_THE_PLUGIN: IdPolicy = IdPolicy::Etag {
    quiet_resume: false,
};
pub(crate) const POSITION: IdPolicy = IdPolicy::Position;

/// A topic whose items are letters, with both clocks.
pub(crate) struct Log {
    pub(crate) topic: Topic<String, char, VecDeque<Entry<Named<String, char>>>>,
    instant: u64,
    pub(crate) wall: i64,
}

impl Log {
    pub(crate) const MAX_AGE: u64 = 1_000;

    /// A topic that replays `max_events` events and holds six.
    pub(crate) fn new(policy: IdPolicy, max_events: usize) -> Self {
        let max_age = Duration::from_millis(Self::MAX_AGE);
        let retention = Retention {
            max_events,
            max_age,
            max_lag: 6,
            ..Retention::default()
        };
        let topic = Topic::new(VecDeque::new(), retention, policy, Epoch::from_number(0xee));

        Self {
            topic,
            instant: 0,
            wall: 1_700_000_000_000,
        }
    }

    pub(crate) fn now(&self) -> Now {
        Now::from_millis(self.instant, self.wall)
    }

    pub(crate) fn advance(&mut self, millis: u64) {
        self.instant += millis;
        self.wall += millis as i64;
    }

    /// Publishes letters, each with itself as its ETag.
    pub(crate) fn publish(&mut self, letters: &str) {
        letters
            .chars()
            .for_each(|letter| self.publish_as(&letter.to_string(), letter));
    }

    pub(crate) fn publish_as(&mut self, etag: &str, letter: char) {
        self.publish_with(Some(EventId::new(etag).expect("a valid ETag")), letter);
    }

    pub(crate) fn publish_untagged(&mut self, letter: char) -> String {
        self.publish_with(None, letter)
    }

    fn publish_with(&mut self, etag: Option<EventId<&str>>, letter: char) -> String {
        let now = self.now();
        let id = self.topic.next_id(etag, now.wall);
        let id = id.to_event_id::<String>().expect("a String is never full");
        self.topic.publish(id.clone(), letter, 1, now.instant);
        id.to_string()
    }

    /// A position of this log.
    pub(crate) fn position(sequence: u64) -> String {
        format!("00000000000000ee.{sequence}")
    }

    pub(crate) fn resync_id(&mut self) -> String {
        let now = self.now();
        self.topic.resync_id(now).to_string()
    }

    pub(crate) fn reader(&mut self, last_event_id: Option<&str>) -> Subscriber {
        let opening = self
            .topic
            .resume(last_event_id.map(str::as_bytes), self.now().instant);
        Subscriber::new(opening.resume, Duration::ZERO)
    }

    /// What a reader with this last event ID gets: letters, or `<reason>` for a resync.
    pub(crate) fn answer(&mut self, last_event_id: Option<&str>) -> String {
        self.answer_bytes(last_event_id.map(str::as_bytes))
    }

    pub(crate) fn answer_bytes(&mut self, last_event_id: Option<&[u8]>) -> String {
        let opening = self.topic.resume(last_event_id, self.now().instant);
        self.read(&mut Subscriber::new(opening.resume, Duration::ZERO))
    }

    pub(crate) fn read(&self, reader: &mut Subscriber) -> String {
        let mut said = String::new();
        loop {
            match self.topic.poll(reader, self.now().instant) {
                Step::Deliver(event) => said.push(*event.item()),
                Step::Resync { reason } => said.push_str(&format!("<{reason}>")),
                Step::KeepAlive => {}
                Step::Idle { wake_at } => {
                    assert_eq!(wake_at, None, "the heartbeat is off");
                    return said;
                }
            }
        }
    }
}
