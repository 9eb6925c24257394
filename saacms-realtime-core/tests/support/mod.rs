//! Shared by the tests: a clock, numbered events, a client that reads as a browser does, a waker
//! that counts, and seeded random numbers.

#![allow(dead_code, reason = "each test file uses a part of it")]

mod chance;

use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use core::task::{Context, Waker};
use core::time::Duration;
use std::sync::Arc;
use std::task::Wake;

use saacms_realtime_core::sse::{Decoded, Decoder, Message};
use saacms_realtime_core::{
    Event, Hub, HubConfig, Instant, Now, Output, RESYNC, Refusal, ResourceKey, Subscription,
};

pub(crate) use chance::Chance;

/// Both clocks of a test. The hub sees only what [`now`](Self::now) returns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    instant: u64,
    wall: i64,
}

impl Clock {
    /// 2023-11-14T22:13:20.000Z.
    pub(crate) const START: i64 = 1_700_000_000_000;

    pub(crate) fn new() -> Self {
        Self {
            instant: 1_000,
            wall: Self::START,
        }
    }

    pub(crate) fn now(&self) -> Now {
        Now::from_millis(self.instant, self.wall)
    }

    /// Advances both clocks.
    pub(crate) fn advance(&mut self, millis: u64) -> Now {
        self.instant += millis;
        self.wall += millis as i64;
        self.now()
    }

    /// Sets the wall clock back or forth.
    pub(crate) fn jump(&mut self, millis: i64) -> Now {
        self.wall += millis;
        self.now()
    }
}

/// The default configuration without heartbeats.
pub(crate) fn quiet_config() -> HubConfig {
    HubConfig {
        heartbeat: Duration::ZERO,
        ..HubConfig::default()
    }
}

pub(crate) fn hub(config: HubConfig) -> Hub {
    Hub::new(config, 0xfeed).expect("a valid configuration")
}

pub(crate) fn key(id: &str) -> ResourceKey {
    ResourceKey::new("posts", id).expect("a valid key")
}

/// An event whose record is its number.
pub(crate) fn changed(key: &ResourceKey, number: usize, etag: Option<&str>) -> Event {
    Event::changed(key.clone(), &number, etag).expect("a valid event")
}

/// An event whose record is a string of `len` bytes.
pub(crate) fn padded(key: &ResourceKey, len: usize, etag: Option<&str>) -> Event {
    Event::changed(key.clone(), &"x".repeat(len), etag).expect("a valid event")
}

/// Publishes events with these numbers and the ETags `v<number>`.
pub(crate) fn publish(
    hub: &Hub,
    key: &ResourceKey,
    numbers: impl IntoIterator<Item = usize>,
    now: Now,
) {
    for number in numbers {
        let etag = format!("v{number}");
        hub.publish(changed(key, number, Some(&etag)), now)
            .expect("within the limits");
    }
}

/// A client that keeps its last event ID as a browser does.
pub(crate) struct Client {
    subscription: Subscription,
    decoder: Decoder,
    /// When the next heartbeat is due, from the last poll.
    pub(crate) wake_at: Option<Instant>,
}

impl Client {
    /// More polls than any test needs to read all that waits.
    const MAX_POLLS: usize = 10_000;

    pub(crate) fn try_connect(
        hub: &Hub,
        key: &ResourceKey,
        last_event_id: Option<&str>,
        now: Now,
    ) -> Result<Self, Refusal> {
        let subscription = hub.subscribe(key, last_event_id.map(str::as_bytes), now)?;
        let known = last_event_id.unwrap_or_default().to_owned();
        Ok(Self {
            subscription,
            decoder: Decoder::resuming(4 << 20, known),
            wake_at: None,
        })
    }

    pub(crate) fn connect(hub: &Hub, key: &ResourceKey, id: Option<&str>, now: Now) -> Self {
        Self::try_connect(hub, key, id, now).expect("within the limits")
    }

    /// Connects and reads everything that waits.
    pub(crate) fn join(
        hub: &Hub,
        key: &ResourceKey,
        id: Option<&str>,
        now: Now,
    ) -> (Self, Vec<String>) {
        let mut client = Self::connect(hub, key, id, now);
        let said = client.read(now);
        (client, said)
    }

    pub(crate) fn last_event_id(&self) -> &str {
        self.decoder.last_event_id()
    }

    /// Disconnects, reconnects with the last event ID, and reads everything that waits.
    pub(crate) fn reconnect(self, hub: &Hub, now: Now) -> (Self, Vec<String>) {
        let key = self.subscription.key().clone();
        let id = Some(self.last_event_id().to_owned()).filter(|id| !id.is_empty());
        drop(self);
        Self::join(hub, &key, id.as_deref(), now)
    }

    /// Reads everything that waits, in words: `keepalive`, the record of an event,
    /// `resync <reason>`, `retry <ms>`, `end`.
    pub(crate) fn read(&mut self, now: Now) -> Vec<String> {
        self.read_with(&Context::from_waker(Waker::noop()), now)
    }

    pub(crate) fn read_with(&mut self, cx: &Context<'_>, now: Now) -> Vec<String> {
        let mut said = Vec::new();
        for _ in 0..Self::MAX_POLLS {
            match self.subscription.poll(cx, now) {
                Output::Frames(bytes) => {
                    self.decoder.feed(&bytes).expect("short events");
                    said.extend(core::iter::from_fn(|| self.decoder.next()).map(in_words));
                }
                Output::Idle { wake_at } => {
                    self.wake_at = wake_at;
                    return said;
                }
                Output::End => {
                    said.push("end".to_owned());
                    return said;
                }
            }
        }
        panic!("there is always more: {:?}", said.last());
    }
}

fn in_words(decoded: Decoded) -> String {
    match decoded {
        Decoded::Message(Message {
            event_type, data, ..
        }) if event_type == RESYNC => {
            let reason = data
                .strip_prefix("{\"reason\":\"")
                .and_then(|rest| rest.strip_suffix("\"}"));
            format!("resync {}", reason.expect("a reason"))
        }
        Decoded::Message(message) if message.data.len() > 600 => {
            format!("{} bytes", message.data.len())
        }
        Decoded::Message(message) => message.data,
        Decoded::Comment(text) => text,
        Decoded::Retry(millis) => format!("retry {millis}"),
        other => panic!("not in a stream: {other:?}"),
    }
}

/// Sweeps the hub if that is due. Returns when the next sweep is due.
pub(crate) fn sweep(hub: &Hub, now: Now) -> Option<Instant> {
    hub.poll_sweep(&Context::from_waker(Waker::noop()), now)
}

/// A waker that counts its calls.
#[derive(Default)]
pub(crate) struct CountingWaker(AtomicUsize);

impl CountingWaker {
    pub(crate) fn new() -> (Arc<Self>, Waker) {
        let counter = Arc::new(Self::default());
        (Arc::clone(&counter), Waker::from(counter))
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(SeqCst)
    }
}

impl Wake for CountingWaker {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}
