//! A random walk: one record, a few readers, and everything that can happen to them.

use core::task::{Context, Waker};
use core::time::Duration;

use saacms_realtime_core::{
    Event, EventIds, Hub, HubConfig, Instant, Notice, NoticeOutput, Now, ResourceKey,
};

use crate::reference::{Memory, Named, Reader, Reference};
use crate::support::{Chance, Client, Clock, changed, hub, key, sweep};

pub(crate) struct World {
    chance: Chance,
    clock: Clock,
    hub: Hub,
    key: ResourceKey,
    reference: Reference,
    connected: Vec<Connected>,
    memories: Vec<Memory>,
    /// Whether the hub has the record's topic.
    is_remembered: bool,
    last_use: Instant,
    last_told: Instant,
    sweep_at: Instant,
    /// The time at which the hub's notices were read last, in milliseconds.
    log_read_at: u64,
}

struct Connected {
    client: Client,
    reader: Reader,
    keep_alive_at: Option<Instant>,
    polled_at: Instant,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let config = HubConfig {
            max_events: *chance.pick(&[0, 1, 3, 10]),
            max_age: Duration::from_millis(*chance.pick(&[0, 1_000, 100_000, 3_600_000])),
            max_lag: *chance.pick(&[1, 5, 20]),
            heartbeat: Duration::from_secs(*chance.pick(&[0, 30])),
            event_ids: *chance.pick(&[EventIds::Etag, EventIds::Etag, EventIds::Position]),
            quiet_resume: chance.percent(70),
            max_topics: *chance.pick(&[1, 100]),
            ..HubConfig::default()
        };

        Self {
            chance,
            clock: Clock::new(),
            hub: hub(config),
            key: key("1"),
            reference: Reference::new(config),
            connected: Vec::new(),
            memories: Vec::new(),
            is_remembered: false,
            last_use: Instant::ZERO,
            last_told: Instant::ZERO,
            sweep_at: Instant::ZERO,
            log_read_at: 0,
        }
    }

    pub(crate) fn walk(&mut self) {
        for _ in 0..60 {
            self.reference.now = self.now();
            match self.chance.below(100) {
                0..32 => self.publish(),
                32..52 => self.read_one(),
                52..68 => self.connect(),
                68..78 => self.disconnect(),
                78..85 => self.let_time_pass(),
                85..90 => drop(self.clock.jump(self.chance.below(8_000) as i64 - 4_000)),
                90..95 => self.sweep(),
                95..97 => self.publish_another_record(),
                97 => self.lose_the_source(),
                _ => self.read_all(),
            }
        }

        self.reference.now = self.now();
        self.read_all();
    }

    fn now(&self) -> Instant {
        self.clock.now().instant
    }

    /// The time, to pass to the hub.
    fn tell_now(&mut self) -> Now {
        self.last_told = self.now();
        self.clock.now()
    }

    fn publish(&mut self) {
        let now = self.tell_now();
        let count = if self.chance.percent(10) {
            25
        } else {
            self.chance.below(4) + 1
        };

        for _ in 0..count {
            let number = self.reference.len() + 1;
            let etag = match self.chance.below(3) {
                0 => None,
                1 => Some(format!("v{number}")),
                _ => Some(format!("again{}", self.chance.below(3))),
            };
            if self.is_kept(changed(&self.key, number, etag.as_deref()), now) {
                self.reference.published(etag);
                self.is_used();
            }
        }
    }

    /// Publishes an event, and returns whether there was room to keep it.
    fn is_kept(&mut self, event: Event, now: Now) -> bool {
        self.hub.publish(event, now).expect("it does not drain");

        // Each time a minute later, or the hub would write no line.
        self.log_read_at += 60_000;
        let log_now = Now::from_millis(self.log_read_at, 0);
        let cx = Context::from_waker(Waker::noop());
        let mut is_kept = true;
        while let NoticeOutput::Line { notice, .. } = self.hub.poll_notices(&cx, log_now) {
            is_kept &= notice != Notice::PublishNotKept;
        }
        is_kept
    }

    /// Publishes to another record if there is room for one topic only, so that it replaces the
    /// first.
    fn publish_another_record(&mut self) {
        if self.reference.config.max_topics > 1 {
            return;
        }
        let now = self.tell_now();
        if self.is_kept(changed(&key("2"), 0, None), now) {
            assert!(
                self.connected.is_empty(),
                "a record with readers was forgotten"
            );
            self.last_use = now.instant;
            self.is_forgotten();
        }
    }

    fn connect(&mut self) {
        let named = match self.chance.below(10) {
            _ if self.connected.len() >= 4 => return,
            0..2 => None,
            2 => {
                let known_at_times = [
                    "again1",
                    "2023-11-14T22:13:20.000Z",
                    "v1",
                    "000000000000feed.3",
                ];
                let ids = [Reference::UNKNOWN, known_at_times].concat();
                Some(Named::Invented((*self.chance.pick(&ids)).to_owned()))
            }
            // A browser names the newest ID; a page restored after long names an older one.
            3..8 => self.memories.last().cloned().map(Named::True),
            _ if self.memories.is_empty() => return,
            _ => Some(Named::True(self.chance.pick(&self.memories).clone())),
        };
        let now = self.tell_now();
        let id = named.as_ref().map(Named::id);

        if let Ok(client) = Client::try_connect(&self.hub, &self.key, id, now) {
            self.is_used();
            let reader = self.reference.joined(named);
            let keep_alive_at = Some(Instant::ZERO);
            self.connected.push(Connected {
                client,
                reader,
                keep_alive_at,
                polled_at: now.instant,
            });
        }
    }

    fn disconnect(&mut self) {
        if let Some(index) = self.any_connected() {
            let polled_at = self.connected.swap_remove(index).polled_at;
            // A drop passes no time, so the hub uses the latest time that any call passed.
            self.last_use = self.last_use.max(self.last_told).max(polled_at);
            self.notice_whether_it_is_forgotten();
        }
    }

    fn any_connected(&mut self) -> Option<usize> {
        let count = self.connected.len() as u64;
        (count > 0).then(|| self.chance.below(count) as usize)
    }

    fn read_one(&mut self) {
        if let Some(index) = self.any_connected() {
            self.read(index);
        }
    }

    fn read_all(&mut self) {
        (0..self.connected.len()).for_each(|index| self.read(index));
    }

    fn read(&mut self, index: usize) {
        let Connected {
            client,
            reader,
            keep_alive_at,
            polled_at,
        } = &mut self.connected[index];
        let now = self.clock.now();
        let said = client.read(now);
        let keep_alives = said.iter().filter(|word| *word == "keepalive").count();
        let was_due = keep_alive_at.is_some_and(|due| due <= now.instant);

        assert_eq!(keep_alives, usize::from(was_due), "{said:?}");
        (*keep_alive_at, *polled_at) = (client.wake_at, now.instant);

        for word in said.iter().filter(|word| *word != "keepalive") {
            match word.strip_prefix("resync ") {
                Some(reason) => self.reference.resynced(reader, reason),
                None => self
                    .reference
                    .received(reader, word.parse().expect("a number")),
            }
        }

        self.memories
            .extend(self.reference.has_read_all(reader, client.last_event_id()));
    }

    fn let_time_pass(&mut self) {
        let due = self
            .connected
            .iter()
            .filter_map(|connected| connected.keep_alive_at)
            .max();
        let millis = match self.chance.below(4) {
            0 => 1,
            1 => *self.chance.pick(&[1_000, 1_001, 60_000, 60_001]),
            2 => due.map_or(10_000, |due| due.millis_since(self.now())),
            _ => self.chance.below(4_000_000),
        };
        self.clock.advance(millis);
    }

    fn sweep(&mut self) {
        let now = self.tell_now();
        let linger = self
            .reference
            .config
            .max_age
            .max(Duration::from_secs(60))
            .as_millis();
        let idle = u128::from(now.instant.millis_since(self.last_use));
        let was_due = self.sweep_at <= now.instant;
        let was_remembered = self.is_remembered;
        let next = sweep(&self.hub, now);

        if was_due {
            self.sweep_at = now.instant.saturating_add(Duration::from_secs(10));
        }

        self.notice_whether_it_is_forgotten();
        if self.connected.is_empty() && was_due && idle > linger {
            assert_eq!(self.hub.stats().topics, 0, "it was idle for {idle} ms");
        } else {
            assert!(
                !was_remembered || self.is_remembered,
                "forgotten after {idle} ms"
            );
        }
        assert_eq!(next.is_none(), self.hub.stats().topics == 0);
    }

    fn lose_the_source(&mut self) {
        self.hub.source_lost(&self.key);
        self.reference.life += 1;
    }

    fn is_used(&mut self) {
        self.is_remembered = true;
        self.last_use = self.now();
    }

    fn notice_whether_it_is_forgotten(&mut self) {
        if self.hub.stats().topics == 0 {
            self.is_forgotten();
        }
    }

    fn is_forgotten(&mut self) {
        if core::mem::take(&mut self.is_remembered) {
            self.reference.life += 1;
        }
    }
}
