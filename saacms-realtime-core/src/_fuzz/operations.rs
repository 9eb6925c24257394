use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use crate::name::ResyncReason;
use crate::ring::{At, Entry, Retention, Ring, Slots, Storage};
use crate::subscriber::{Resume, Step, Subscriber};
use crate::time::Instant;

/// A ring and its readers behave like a model that keeps every item, whatever the operations are.
pub fn operations(bytes: &[u8]) {
    let [events, age, lag, lag_bytes, heartbeat, operations @ ..] = bytes else {
        return;
    };

    // Small limits, so that few operations reach them.
    let retention = Retention {
        max_events: usize::from(events % 6),
        max_age: Duration::from_secs(u64::from(age % 4) * 40),
        max_lag: usize::from(lag % 9),
        max_lag_bytes: usize::from(*lag_bytes),
    };
    let heartbeat = Duration::from_secs(u64::from(heartbeat % 3) * 30);

    // Storages that grow, that fit any retention drawn here, that are too small, and without room.
    play(VecDeque::new(), retention, heartbeat, operations);
    play(
        Slots::new([const { None }; 9]),
        retention,
        heartbeat,
        operations,
    );
    play(
        Slots::new([const { None }; 2]),
        retention,
        heartbeat,
        operations,
    );
    play(Slots::new([]), retention, heartbeat, operations);
}

/// Every item ever pushed, by number; `None` is the number that an interrupt skips.
#[derive(Default)]
struct Model {
    items: Vec<Option<(u64, usize)>>,
    /// All items before this number are gone.
    first: u64,
    lost_before: u64,
    /// The latest time of all operations.
    latest: u64,
}

struct Reader {
    subscriber: Subscriber,
    /// Number of the next item; `None` if that is lost.
    place: Option<u64>,
    reason: ResyncReason,
    keep_alive_at: Option<u64>,
}

fn play<S: Storage<Entry<u64>>>(
    storage: S,
    retention: Retention,
    heartbeat: Duration,
    operations: &[u8],
) {
    let room = storage.capacity();
    let mut ring = Ring::new(storage, retention);
    let mut model = Model {
        first: 1,
        ..Model::default()
    };
    let mut readers = Vec::<Reader>::new();
    let mut now = 0;

    for operation in operations.chunks_exact(2) {
        // The kind of operation, and how much of it.
        let [what, much] = *operation else { break };
        let amount = u64::from(much);

        match what % 8 {
            0..=2 => {
                // An item is its own number, so that a step shows which item it delivers.
                let number =
                    ring.push(model.next(), much.into(), Instant::from_millis(now), |_| {});
                assert_eq!(number, model.next());
                model.latest = model.latest.max(now);
                model.items.push(Some((model.latest, much.into())));
                model.evict(&retention, room, now);
            }
            3 => now += amount * 1_000,
            4 => {
                ring.evict(Instant::from_millis(now), |_| {});
                model.evict(&retention, room, now);
            }
            5 if much < 32 => {
                ring.interrupt();
                // The ring skips a number, too.
                model.items.push(None);
                model.first = model.next();
                model.lost_before = model.next();
            }
            5 => {
                let popped = ring.pop();
                assert_eq!(popped, (model.first < model.next()).then_some(model.first));
                model.first += u64::from(popped.is_some());
            }
            6 => {
                let place = (much < 200).then_some(amount.min(model.next()).max(1));
                let lost = Resume::Lost(ResyncReason::BufferMiss);
                readers.push(Reader {
                    subscriber: Subscriber::new(place.map_or(lost, Resume::At), heartbeat),
                    place,
                    reason: place.map_or(ResyncReason::BufferMiss, |_| ResyncReason::Lagged),
                    keep_alive_at: Some(0),
                });
            }
            _ if readers.is_empty() => {}
            _ => {
                let index = usize::from(much) % readers.len();
                readers[index].poll(&ring, &model, heartbeat, now);
            }
        }

        // All that can be read of the ring must agree after every operation.
        assert_eq!((ring.first(), ring.next()), (model.first, model.next()));
        assert_eq!(ring.len() as u64, model.next() - model.first);
        assert_eq!(ring.bytes(), model.bytes());
        assert!(ring.len() <= room);
        let window = ring.replay_start(Instant::from_millis(now));
        assert_eq!(window, model.window(&retention, now));
    }
}

impl Model {
    fn next(&self) -> u64 {
        self.items.len() as u64 + 1
    }

    fn item(&self, number: u64) -> (u64, usize) {
        self.items[number as usize - 1].expect("a skipped number is not held")
    }

    fn bytes(&self) -> usize {
        (self.first..self.next())
            .map(|number| self.item(number).1)
            .sum()
    }

    fn evict(&mut self, retention: &Retention, room: usize, now: u64) {
        self.latest = self.latest.max(now);
        let most = retention.max_events.max(retention.max_lag).max(1).min(room) as u64;
        // Connected readers have at least a minute.
        let max_age = (retention.max_age.as_millis() as u64).max(60_000);

        while self.first < self.next() {
            let len = self.next() - self.first;
            // Bytes count only beyond the replay window.
            let is_long = len > retention.max_events.max(1) as u64;
            let is_heavy = is_long && self.bytes() > retention.max_lag_bytes;
            if len <= most && !is_heavy && self.latest - self.item(self.first).0 <= max_age {
                break;
            }
            self.first += 1;
        }
    }

    fn window(&self, retention: &Retention, now: u64) -> u64 {
        let now = self.latest.max(now);
        let max_age = retention.max_age.as_millis() as u64;

        let oldest = self
            .next()
            .saturating_sub(retention.max_events as u64)
            .max(self.first);
        let is_fresh = |number: &u64| now - self.item(*number).0 <= max_age;
        (oldest..self.next()).find(is_fresh).unwrap_or(self.next())
    }
}

impl Reader {
    fn poll<S: Storage<Entry<u64>>>(
        &mut self,
        ring: &Ring<u64, S>,
        model: &Model,
        heartbeat: Duration,
        now: u64,
    ) {
        let step = self.subscriber.poll(ring, Instant::from_millis(now));
        let next_beat = (!heartbeat.is_zero()).then(|| now + heartbeat.as_millis() as u64);

        // A keep-alive that is due goes before any item.
        if self.keep_alive_at.is_some_and(|due| due <= now) {
            assert_eq!(step, Step::KeepAlive);
            self.keep_alive_at = next_beat;
            return;
        }

        match self.place {
            Some(place) if place == model.next() => {
                assert_eq!(ring.at(place), At::Next);
                let wake_at = self.keep_alive_at.map(Instant::from_millis);
                assert_eq!(step, Step::Idle { wake_at });
                return;
            }
            Some(place) if place >= model.first => {
                assert_eq!(step, Step::Deliver(&place));
                self.place = Some(place + 1);
            }
            _ => {
                // A reader that began lost has no place, and keeps its own reason.
                let is_interrupted = self.place.is_some_and(|place| place < model.lost_before);
                let reason = if is_interrupted {
                    ResyncReason::SourceLost
                } else {
                    self.reason
                };
                assert_eq!(step, Step::Resync { reason });
                self.reason = ResyncReason::Lagged;
                self.place = Some(model.next());
            }
        }

        self.keep_alive_at = next_beat;
    }
}
