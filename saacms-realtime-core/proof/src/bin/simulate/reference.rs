//! What one hub must answer, from the full history of each record and the limits.

use std::collections::BTreeSet;

use saacms_realtime_core::config::{EventIds, HubConfig};
use saacms_realtime_core::hub::Stats;

use saacms_realtime_core::time::Timestamp;

use crate::life::{Life, Place};

/// The reference beside one hub process. Records are numbered, in the order of their keys.
#[derive(Debug)]
pub(crate) struct Reference {
    pub(crate) config: HubConfig,
    /// What an event costs beside its frame and its ID, as the hub counts it.
    overhead: usize,
    pub(crate) lives: Vec<Option<Life>>,
    next_epoch: u64,
    pub(crate) subscribers: usize,
    sweep_at: u64,
    futile_until: u64,
    pub(crate) is_draining: bool,
    /// Time IDs that a record gave, in all its lives: none may come twice.
    given: Vec<BTreeSet<String>>,
    /// Topics forgotten for others, and lives that ended by expiry.
    pub(crate) forgotten: u64,
    pub(crate) expired: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Draining,
    Topics,
    Subscribers,
    SubscribersOfTopic,
}

impl Reference {
    pub(crate) fn new(config: HubConfig, records: usize, overhead: usize, seed: u64) -> Self {
        Self {
            config,
            overhead,
            lives: (0..records).map(|_| None).collect(),
            next_epoch: seed,
            subscribers: 0,
            sweep_at: 0,
            futile_until: 0,
            is_draining: false,
            given: vec![BTreeSet::new(); records],
            forgotten: 0,
            expired: 0,
        }
    }

    /// Another process, which knows nothing of this one.
    pub(crate) fn begin_again(&mut self, seed: u64) {
        let given = core::mem::take(&mut self.given);
        *self = Self {
            given,
            ..Self::new(self.config, self.lives.len(), self.overhead, seed)
        };
    }

    pub(crate) fn topics(&self) -> usize {
        self.lives.iter().flatten().count()
    }

    pub(crate) fn life(&mut self, record: usize) -> &mut Life {
        self.lives[record]
            .as_mut()
            .expect("a record with a reader has a life")
    }

    pub(crate) fn known(&self, record: usize) -> &Life {
        self.lives[record]
            .as_ref()
            .expect("a record with a reader has a life")
    }

    /// A time that is seen for the first time must not have been given before.
    pub(crate) fn give(&mut self, record: usize, id: &str) -> Result<(), String> {
        if self.given[record].insert(id.to_owned()) {
            return Ok(());
        }
        Err(format!("the time {id} names two things"))
    }

    pub(crate) fn file_marker(
        &mut self,
        record: usize,
        id: &str,
        wall: Timestamp,
    ) -> Result<bool, String> {
        let config = self.config;
        self.life(record).file_marker(&config, id, wall)
    }

    pub(crate) fn publish(
        &mut self,
        record: usize,
        kind: &'static str,
        etag: Option<&str>,
        data: &str,
        now: u64,
    ) -> Result<(), Refused> {
        self.find_or_make(record, now)?;
        let config = self.config;
        let overhead = self.overhead;
        let life = self.life(record);
        let id = match config.event_ids {
            EventIds::Etag => etag.map(str::to_owned),
            EventIds::Position => Some(life.position(life.next())),
        };
        life.push(&config, kind, id, data.to_owned(), overhead, now);
        Ok(())
    }

    pub(crate) fn subscribe(
        &mut self,
        record: usize,
        last_event_id: Option<&str>,
        now: u64,
    ) -> Result<Vec<Place>, Refused> {
        if self.is_draining {
            return Err(Refused::Draining);
        }
        if self.subscribers >= self.config.max_subscribers {
            return Err(Refused::Subscribers);
        }
        self.find_or_make(record, now)?;
        let config = self.config;
        let life = self.life(record);
        if life.readers >= config.max_subscribers_per_topic {
            return Err(Refused::SubscribersOfTopic);
        }
        life.readers += 1;
        let places = life.resume(&config, last_event_id, now);
        self.subscribers += 1;
        Ok(places)
    }

    /// `stats` are those after it.
    pub(crate) fn leave(&mut self, record: usize, now: u64, stats: &Stats) {
        self.subscribers -= 1;
        let config = self.config;
        let life = self.life(record);
        life.readers -= 1;
        life.idle_since = life.idle_since.max(now);
        let is_unread = life.readers == 0;
        if is_unread && life.is_blank(&config) {
            // Whether a time that a resync named without quiet resume is remembered is not told.
            let is_certain = life.named_nothing();
            if is_certain || stats.topics < self.topics() {
                self.lives[record] = None;
            }
        }
    }

    fn find_or_make(&mut self, record: usize, now: u64) -> Result<(), Refused> {
        if self.lives[record].is_some() {
            return Ok(());
        }
        let limit = self.config.max_topics;
        if self.topics() >= limit {
            if now < self.futile_until {
                return Err(Refused::Topics);
            }
            self.forget_idle(self.topics() - (limit - limit.div_ceil(8)));
            if self.topics() >= limit {
                self.futile_until = now + 1_000;
                return Err(Refused::Topics);
            }
        }
        self.lives[record] = Some(Life::new(self.next_epoch, now));
        self.next_epoch += 1;
        Ok(())
    }

    /// Nobody reads these; the one that was idle longest first.
    fn forget_idle(&mut self, most: usize) -> usize {
        let mut idle: Vec<(u64, usize)> = self.lives.iter().enumerate().filter_map(idle).collect();
        idle.sort_unstable();
        let gone = idle.len().min(most);
        for (_, record) in &idle[..gone] {
            self.lives[*record] = None;
        }
        self.forgotten += gone as u64;
        gone
    }

    /// Sweeps where that is due, at most every ten seconds; answers when to come again.
    pub(crate) fn sweep(&mut self, now: u64) -> Option<u64> {
        if self.sweep_at <= now {
            self.sweep_at = now + 10_000;
            self.sweep_all(now);
        }
        (self.topics() > 0).then_some(self.sweep_at)
    }

    fn sweep_all(&mut self, now: u64) -> usize {
        let config = self.config;
        let linger = (config.max_age.as_millis() as u64).max(60_000);
        let mut gone = 0;
        for life in &mut self.lives {
            let Some(known) = life else { continue };
            known.evict(&config, now);
            let is_idle = known.readers == 0 && now.saturating_sub(known.idle_since) > linger;
            if is_idle && known.is_empty() {
                *life = None;
                gone += 1;
            }
        }
        self.expired += gone as u64;
        gone
    }

    /// The hub was over its memory, or would have been: what it may have freed is unsure, and what
    /// it forgot is known from how many topics are left.
    pub(crate) fn freed(&mut self, now: u64, stats: &Stats) -> Result<(), String> {
        let gone = self.topics().saturating_sub(stats.topics);
        if gone > 0 {
            let expired = self.sweep_all(now);
            let more = gone
                .checked_sub(expired)
                .ok_or("an expired topic was kept")?;
            if self.forget_idle(more) != more {
                return Err("a topic that somebody reads was forgotten".into());
            }
        }
        self.lives.iter_mut().flatten().for_each(Life::may_be_freed);
        Ok(())
    }

    /// What can be seen of a hub from the outside, at any time.
    pub(crate) fn check(&self, stats: &Stats) -> Result<(), String> {
        let held: usize = self.lives.iter().flatten().map(Life::held_bytes).sum();
        let limit = self.config.max_history_bytes;
        let joined = self.topics() * (64 << 10);
        if stats.topics != self.topics() || stats.subscribers != self.subscribers {
            return Err(format!(
                "{stats:?}, where {} topics and {} subscribers are right",
                self.topics(),
                self.subscribers
            ));
        }
        let is_unsure = self.lives.iter().flatten().any(|life| life.is_unsure(1));
        let most = if is_unsure { limit } else { held };
        if stats.history_bytes < held || stats.history_bytes > most + joined {
            return Err(format!(
                "{stats:?}, where {held} bytes of history are right"
            ));
        }
        Ok(())
    }
}

fn idle((record, life): (usize, &Option<Life>)) -> Option<(u64, usize)> {
    let life = life.as_ref()?;
    (life.readers == 0).then_some((life.idle_since, record))
}
