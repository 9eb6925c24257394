//! The answers that a hub must give, computed from the full history of each record and the limits.

use std::collections::BTreeSet;

use saacms_realtime_core::{EventIds, HubConfig, Stats};

use crate::life::{Life, Place};

/// The reference for one hub process. Records are numbered in the order of their keys.
#[derive(Debug)]
pub(crate) struct Reference {
    pub(crate) config: HubConfig,
    /// Bytes that the hub counts for an event in addition to its frame and ID.
    overhead: usize,
    /// The current life of each record; `None` while the hub has no topic for it.
    pub(crate) lives: Vec<Option<Life>>,
    /// The epoch of the hub's positions.
    epoch: u64,
    /// The sequence of the next event of any record.
    next_sequence: u64,
    /// The sequence of the newest event of each record, in the lives that are over.
    earlier: Vec<u64>,
    /// The latest time that a life which is over gave as an ID.
    removed_time: i64,
    pub(crate) subscribers: usize,
    sweep_at: u64,
    /// When the hub may search for room again, after a search that found none.
    futile_until: u64,
    pub(crate) is_draining: bool,
    /// Time IDs of each record, in all its lives: none may be used twice.
    used_times: Vec<BTreeSet<String>>,
    /// Topics dropped to make room for others, and topics that expired.
    pub(crate) forgotten: u64,
    pub(crate) expired: u64,
}

/// Why a hub must refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExpectedRefusal {
    Draining,
    Topics,
    Subscribers,
    SubscribersOfTopic,
}

/// Whether a record's history has an event that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Yes,
    /// There is no room for its record, which has no reader.
    No,
}

impl Reference {
    pub(crate) fn new(config: HubConfig, records: usize, overhead: usize, seed: u64) -> Self {
        Self {
            config,
            overhead,
            lives: (0..records).map(|_| None).collect(),
            epoch: seed,
            next_sequence: 1,
            earlier: vec![0; records],
            removed_time: i64::MIN,
            subscribers: 0,
            sweep_at: 0,
            futile_until: 0,
            is_draining: false,
            used_times: vec![BTreeSet::new(); records],
            forgotten: 0,
            expired: 0,
        }
    }

    /// Starts again as another process, which knows nothing of this one. Only the used times stay,
    /// because clients may still name them.
    pub(crate) fn restart(&mut self, seed: u64) {
        let used_times = core::mem::take(&mut self.used_times);
        *self = Self {
            used_times,
            ..Self::new(self.config, self.lives.len(), self.overhead, seed)
        };
    }

    /// The place after every event so far, of any record.
    pub(crate) fn position(&self) -> String {
        format!("{:016x}.{}", self.epoch, self.next_sequence - 1)
    }

    pub(crate) fn topics(&self) -> usize {
        self.lives.iter().flatten().count()
    }

    pub(crate) fn life_mut(&mut self, record: usize) -> &mut Life {
        self.lives[record]
            .as_mut()
            .expect("a record with a reader has a life")
    }

    pub(crate) fn life(&self, record: usize) -> &Life {
        self.lives[record]
            .as_ref()
            .expect("a record with a reader has a life")
    }

    pub(crate) fn publish(
        &mut self,
        record: usize,
        kind: &'static str,
        etag: Option<&str>,
        data: &str,
        (now, wall): (u64, i64),
    ) -> Result<Kept, ExpectedRefusal> {
        if self.is_draining {
            return Err(ExpectedRefusal::Draining);
        }
        if self.find_or_make(record, now).is_err() {
            // Nobody reads the record, and whoever comes back to it has missed the event.
            self.earlier[record] = self.take_sequence();
            return Ok(Kept::No);
        }
        let config = self.config;
        let overhead = self.overhead;
        let sequence = self.take_sequence();
        let life = self.life_mut(record);
        let time = match (config.event_ids, etag) {
            (EventIds::Etag, None) => life.tick(wall),
            (EventIds::Etag, Some(_)) | (EventIds::Position, _) => None,
        };
        let id = match (config.event_ids, etag, &time) {
            (EventIds::Etag, Some(etag), _) => etag.to_owned(),
            (EventIds::Etag, None, Some(time)) => time.clone(),
            _ => life.position(sequence),
        };

        life.raise_head(sequence);
        life.push(&config, kind, id, data.to_owned(), overhead, now);
        // Law 4, also over restarts: what a client may still hold names nothing else.
        let is_new = time.is_none_or(|time| self.used_times[record].insert(time));
        assert!(is_new, "a time names two events");
        Ok(Kept::Yes)
    }

    pub(crate) fn subscribe(
        &mut self,
        record: usize,
        last_event_id: Option<&str>,
        now: u64,
    ) -> Result<Vec<Place>, ExpectedRefusal> {
        // The limits of the hub come first: neither refusal may create a topic.
        if self.is_draining {
            return Err(ExpectedRefusal::Draining);
        }
        if self.subscribers >= self.config.max_subscribers {
            return Err(ExpectedRefusal::Subscribers);
        }

        self.find_or_make(record, now)?;
        let (config, head) = (self.config, self.next_sequence);
        let life = self.life_mut(record);
        if life.readers >= config.max_subscribers_per_topic {
            return Err(ExpectedRefusal::SubscribersOfTopic);
        }

        life.readers += 1;
        life.raise_head(head);
        let places = life.resume(&config, last_event_id, now);
        self.subscribers += 1;
        Ok(places)
    }

    /// Removes a reader.
    pub(crate) fn leave(&mut self, record: usize, now: u64) {
        self.subscribers -= 1;
        let life = self.life_mut(record);
        life.readers -= 1;
        life.idle_since = life.idle_since.max(now);

        let is_unread = life.readers == 0;
        if is_unread && life.is_blank() {
            self.forget(record);
        }
    }

    /// The source of a record lost data.
    pub(crate) fn interrupt(&mut self, record: usize) {
        let sequence = self.take_sequence();
        match &mut self.lives[record] {
            Some(life) => life.interrupt(sequence),
            None => self.earlier[record] = sequence,
        }
    }

    fn take_sequence(&mut self) -> u64 {
        self.next_sequence += 1;
        self.next_sequence - 1
    }

    fn forget(&mut self, record: usize) {
        if let Some(life) = self.lives[record].take() {
            self.earlier[record] = life.newest_sequence();
            self.removed_time = self.removed_time.max(life.latest_time);
        }
    }

    fn find_or_make(&mut self, record: usize, now: u64) -> Result<(), ExpectedRefusal> {
        if self.lives[record].is_some() {
            return Ok(());
        }

        let limit = self.config.max_topics;
        if self.topics() >= limit {
            // A search that found nothing is not repeated within a second.
            if now < self.futile_until {
                return Err(ExpectedRefusal::Topics);
            }
            // The hub makes room down to seven eighths of the limit.
            self.forget_idle(self.topics() - (limit - limit.div_ceil(8)));
            if self.topics() >= limit {
                self.futile_until = now + 1_000;
                return Err(ExpectedRefusal::Topics);
            }
        }
        let in_shard = self.earlier.iter().max().copied().unwrap_or_default();
        self.lives[record] = Some(Life::new(
            self.epoch,
            [self.earlier[record], in_shard],
            self.removed_time,
            now,
        ));
        Ok(())
    }

    /// Drops topics without readers, longest idle first; returns how many.
    fn forget_idle(&mut self, most: usize) -> usize {
        let mut idle: Vec<(u64, usize)> = self.lives.iter().enumerate().filter_map(idle).collect();
        // Records are numbered in the order of their keys, so ties are broken as in the hub.
        idle.sort_unstable();
        let gone = idle.len().min(most);
        for (_, record) in &idle[..gone] {
            self.forget(*record);
        }
        self.forgotten += gone as u64;
        gone
    }

    /// Sweeps if a sweep is due, at most every ten seconds; returns when the next sweep is due.
    pub(crate) fn sweep(&mut self, now: u64) -> Option<u64> {
        if self.sweep_at <= now {
            self.sweep_at = now + 10_000;
            self.sweep_all(now);
        }
        (self.topics() > 0).then_some(self.sweep_at)
    }

    fn sweep_all(&mut self, now: u64) -> usize {
        let config = self.config;
        // An idle topic stays for `max_age`, but at least for a minute.
        let linger = (config.max_age.as_millis() as u64).max(60_000);
        let mut gone = 0;
        for record in 0..self.lives.len() {
            let Some(known) = &mut self.lives[record] else {
                continue;
            };
            known.evict(&config, now);
            let is_idle = known.readers == 0 && now.saturating_sub(known.idle_since) > linger;
            if is_idle && known.is_empty() {
                self.forget(record);
                gone += 1;
            }
        }

        self.expired += gone as u64;
        gone
    }

    /// Follows a hub that was over its memory limit, or may have been.
    ///
    /// Which events it freed is unknown; the number of topics left shows which ones it dropped.
    pub(crate) fn history_freed(&mut self, now: u64, stats: &Stats) -> Result<(), String> {
        let gone = self.topics().saturating_sub(stats.topics);
        if gone > 0 {
            // A hub that is short of memory sweeps first, then drops idle topics.
            let expired = self.sweep_all(now);
            let more = gone
                .checked_sub(expired)
                .ok_or("an expired topic was kept")?;
            if self.forget_idle(more) != more {
                return Err("a topic with readers was forgotten".into());
            }
        }

        self.lives.iter_mut().flatten().for_each(Life::may_be_freed);
        Ok(())
    }

    /// Checks the statistics of a hub.
    pub(crate) fn check(&self, stats: &Stats) -> Result<(), String> {
        let held: usize = self.lives.iter().flatten().map(Life::held_bytes).sum();
        let limit = self.config.max_history_bytes;
        // Each topic may hold one joined piece.
        let joined = self.topics() * (64 << 10);
        if stats.topics != self.topics() || stats.subscribers != self.subscribers {
            return Err(format!(
                "{stats:?}, but expected {} topics and {} subscribers",
                self.topics(),
                self.subscribers
            ));
        }

        // The reference counts what is certainly held. That is all of it, unless some was freed.
        let is_unsure = self.lives.iter().flatten().any(|life| life.is_unsure(1));
        let most = if is_unsure { limit } else { held };
        if stats.history_bytes < held || stats.history_bytes > most + joined {
            return Err(format!("{stats:?}, but expected {held} bytes of history"));
        }
        Ok(())
    }
}

/// Since when a record's topic has had no readers; `None` if it has readers, or there is no topic.
fn idle((record, life): (usize, &Option<Life>)) -> Option<(u64, usize)> {
    let life = life.as_ref()?;
    (life.readers == 0).then_some((life.idle_since, record))
}
