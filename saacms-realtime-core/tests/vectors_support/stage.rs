//! A real hub with its subscribers and its own clock, driven as an adapter drives it.

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use core::task::{Context, Waker};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Wake;

use saacms_realtime_core::sse::Decoded;
use saacms_realtime_core::{
    Event, Hub, HubConfig, Instant, Now, Output, ResourceKey, Subscription,
};

use super::contract::Fault;
use super::step::{Key, Outs, Reaction, Step, decode};

pub(crate) struct Stage {
    pub(crate) hub: Hub,
    pub(crate) now: Now,
    readers: BTreeMap<String, Reader>,
    /// When the hub wants to sweep; `None` if this stage never sweeps.
    sweep_at: Option<Instant>,
}

/// The monotonic clock at the start, in milliseconds. Any number would do.
pub(crate) const START: u64 = 7_654_321;

impl Stage {
    pub(crate) fn new(config: HubConfig, start_ms: i64) -> Self {
        let hub = Hub::new(config, 42).unwrap_or_else(|error| panic!("{error}"));
        let now = Now::from_millis(START, start_ms);
        Self {
            hub,
            now,
            readers: BTreeMap::new(),
            sweep_at: None,
        }
    }

    /// Makes this stage sweep whenever the hub asks for it. Only memory may depend on that.
    pub(crate) fn sweeping(mut self) -> Self {
        self.sweep_at = Some(self.now.instant);
        self
    }

    pub(crate) fn apply(&mut self, step: &Step) -> Reaction {
        let mut outs = Outs::new();
        match step {
            Step::Publish(body) => return self.post(body.as_bytes()),
            Step::Subscribe {
                name,
                key,
                last_event_id,
            } => match self.open(key, last_event_id.as_deref()) {
                Ok(reader) => drop(self.readers.insert(name.clone(), reader)),
                Err(fault) => return Reaction::refused(vec![fault]),
            },
            Step::Abandon(key) => drop(self.open(key, None)),
            Step::Cancel(name) => drop(self.readers.remove(name)),
            Step::Advance(millis) => self.advance(*millis, &mut outs),
            Step::Jump(millis) => {
                let wall = self.now.wall.as_millis() + millis;
                self.now = Now::from_millis(self.now.instant.as_millis(), wall);
            }
            Step::Stop => {}
        }

        self.poll_readers(&mut outs);
        Reaction {
            outs,
            refusals: Vec::new(),
        }
    }

    /// Publishes a posted body.
    pub(crate) fn post(&mut self, body: &[u8]) -> Reaction {
        let refusals = match Event::from_json(body) {
            Ok(event) => {
                self.hub.publish(event, self.now).expect("few topics");
                Vec::new()
            }
            Err(error) => vec![Fault::of(&error)],
        };
        let mut outs = Outs::new();
        self.poll_readers(&mut outs);
        Reaction { outs, refusals }
    }

    /// What a client with this last event ID gets at once. It leaves afterwards.
    pub(crate) fn probe(&self, key: &Key, last_event_id: &str) -> String {
        let mut reader = self
            .open(key, Some(last_event_id))
            .expect("a key that is in use");
        reader.read(self.now)
    }

    /// Whether any subscriber, of this key if given, has a heartbeat deadline.
    pub(crate) fn heartbeat_is_on(&self, key: Option<&Key>) -> bool {
        let mut readers = self.readers.values();
        readers.any(|reader| reader.wake_at.is_some() && key.is_none_or(|key| reader.key() == *key))
    }

    pub(crate) fn readers_of(&self, key: &Key) -> usize {
        self.readers
            .values()
            .filter(|reader| reader.key() == *key)
            .count()
    }

    /// The record that a subscriber reads.
    pub(crate) fn key_of(&self, name: &str) -> Option<Key> {
        self.readers.get(name).map(Reader::key)
    }

    fn open(&self, (slug, id): &Key, last_event_id: Option<&str>) -> Result<Reader, Fault> {
        let key = ResourceKey::new(slug, id).map_err(Fault::of_key)?;
        let last_event_id = last_event_id.map(str::as_bytes);
        let subscription = self
            .hub
            .subscribe(&key, last_event_id, self.now)
            .expect("few subscribers");
        let alarm = Arc::new(Alarm(AtomicBool::new(true)));
        Ok(Reader {
            subscription,
            alarm,
            wake_at: None,
        })
    }

    /// Advances both clocks from one deadline to the next.
    fn advance(&mut self, millis: u64, outs: &mut Outs) {
        let end = self.now.instant.as_millis() + millis;
        loop {
            let wake_ats = self.readers.values().filter_map(|reader| reader.wake_at);
            let next = wake_ats.chain(self.sweep_at).map(Instant::as_millis).min();
            let due = next.filter(|due| *due <= end);
            self.go_to(due.unwrap_or(end));
            self.poll_readers(outs);
            if due.is_none() {
                return;
            }
        }
    }

    fn go_to(&mut self, instant: u64) {
        let passed = instant - self.now.instant.as_millis();
        self.now = Now::from_millis(instant, self.now.wall.as_millis() + passed as i64);

        if self.sweep_at.is_some_and(|due| due <= self.now.instant) {
            let next = self
                .hub
                .poll_sweep(&Context::from_waker(Waker::noop()), self.now);
            // A hub without topics waits to be woken. Polling it a second later works as well.
            let later = self
                .now
                .instant
                .saturating_add(core::time::Duration::from_secs(1));
            self.sweep_at = next.or(Some(later));
        }
    }

    /// Polls only readers that were woken or are due, so that a lost wake-up shows.
    fn poll_readers(&mut self, outs: &mut Outs) {
        for (name, reader) in &mut self.readers {
            let due = reader.wake_at.is_some_and(|due| due <= self.now.instant);
            if due || reader.alarm.0.load(Relaxed) {
                let bytes = reader.read(self.now);
                if !bytes.is_empty() {
                    *outs.entry(name.clone()).or_default() += &bytes;
                }
            }
        }
    }
}

struct Reader {
    subscription: Subscription,
    alarm: Arc<Alarm>,
    wake_at: Option<Instant>,
}

impl Reader {
    fn key(&self) -> Key {
        let key = self.subscription.key();
        (key.slug().to_owned(), key.id().to_owned())
    }

    /// Reads everything that waits.
    fn read(&mut self, now: Now) -> String {
        self.alarm.0.store(false, Relaxed);
        let waker = Waker::from(Arc::clone(&self.alarm));
        let mut bytes = Vec::new();

        self.wake_at = loop {
            match self.subscription.poll(&Context::from_waker(&waker), now) {
                Output::Frames(frames) => bytes.extend_from_slice(&frames),
                Output::Idle { wake_at } => break wake_at,
                Output::End => panic!("this hub is never drained"),
            }
        };

        assert!(
            self.wake_at.is_none_or(|due| due > now.instant),
            "idle, yet due"
        );
        String::from_utf8(bytes).expect("frames are UTF-8")
    }
}

struct Alarm(AtomicBool);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

/// How many events a stream replayed; `None` if it was resynced.
pub(crate) fn replayed(stream: &str) -> Option<usize> {
    let mut events = 0;
    for decoded in decode(stream) {
        match decoded {
            Decoded::Message(message) if message.event_type == "saacms-resync" => return None,
            Decoded::Message(_) => events += 1,
            Decoded::Comment(_) | Decoded::Retry(_) => {}
            other => panic!("a kind that this test does not know: {other:?}"),
        }
    }
    Some(events)
}
