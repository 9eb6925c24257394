use core::task::{Context, Waker};
use std::collections::BTreeMap;
use std::sync::Arc;

use saacms_realtime_core::config::{EventIds, HubConfig};
use saacms_realtime_core::event::Event;
use saacms_realtime_core::name::ResourceKey;
use saacms_realtime_core::time::Now;

use crate::chance::Chance;
use crate::client::{Client, DELETED, Version};
use crate::connection::{Connection, Flag};
use crate::counts::Counts;
use crate::log::Log;
use crate::reference::Reference;
use crate::scenario::{Op, Scenario, Settings, seeded};
use crate::sut::Sut;

/// Keys that a joined name would confuse; in the order in which a hub compares them.
const KEYS: [(&str, &str); 4] = [
    ("a", "b:c"),
    ("a", "b/c"),
    ("a ", "b:c"),
    ("posts", "é%2F1"),
];

/// Everything that exists in one run: a hub, clients, the network between them, time.
pub(crate) struct World<S: Sut> {
    pub(crate) settings: Settings,
    pub(crate) keys: Vec<ResourceKey>,
    pub(crate) sut: Option<S>,
    pub(crate) reference: Reference,
    pub(crate) clients: Vec<Client>,
    pub(crate) connections: Vec<Connection<S::Reader>>,
    pub(crate) now: u64,
    wall: i64,
    /// No time ID that was given so far is later.
    latest_id: i64,
    /// The wall clock is not set back behind this: the last process gave such times as IDs.
    earliest: i64,
    hub_seed: u64,
    overhead: usize,
    /// The database behind the hub: what a refetch brings.
    pub(crate) truth: Vec<Version>,
    next_version: Version,
    tags: Vec<Vec<Version>>,
    /// How often each ETag was published.
    pub(crate) uses: BTreeMap<(usize, String), u32>,
    sweeper: Arc<Flag>,
    sweep_at: Option<u64>,
    restart_at: Option<u64>,
    pub(crate) log: Log,
    pub(crate) counts: Counts,
}

impl<S: Sut> World<S> {
    pub(crate) fn new(scenario: &Scenario, overhead: usize, log: Log) -> Self {
        let settings = scenario.settings.clone();
        let mut keys: Vec<ResourceKey> = KEYS[..settings.records]
            .iter()
            .map(|(slug, id)| ResourceKey::new(slug, id).expect("a valid key"))
            .collect();
        keys.sort_unstable();
        let hub_seed = scenario.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 << 40;
        Self {
            reference: Reference::new(settings.hub, settings.records, overhead, hub_seed),
            sut: Some(S::start(settings.hub, hub_seed)),
            clients: settings
                .clients
                .iter()
                .map(|watches| Client::new(*watches))
                .collect(),
            connections: Vec::new(),
            now: 1_000,
            wall: 1_700_000_000_000,
            latest_id: 0,
            earliest: 0,
            hub_seed,
            overhead,
            truth: vec![0; settings.records],
            next_version: 1,
            tags: vec![Vec::new(); settings.records],
            uses: BTreeMap::new(),
            sweeper: Arc::default(),
            sweep_at: Some(0),
            restart_at: None,
            counts: Counts::default(),
            log,
            keys,
            settings,
        }
    }

    pub(crate) fn both(&self) -> Now {
        Now::from_millis(self.now, self.wall)
    }

    pub(crate) fn a_time_was_given(&mut self) {
        self.latest_id = self.wall.max(self.latest_id + 1);
    }

    pub(crate) fn run(&mut self, op: Op) -> Result<(), String> {
        self.counts.operations += 1;
        self.log.line(self.now, format_args!("{op:?}"));
        self.log.number(self.now);
        match op {
            Op::Publish {
                record,
                count,
                big,
                chance,
            } => {
                let mut chance = seeded(chance);
                for _ in 0..count {
                    self.publish(record, big, &mut chance)?;
                }
            }
            Op::Join { client, naming } => self.join(client, naming)?,
            Op::Leave { client } => {
                self.clients[client].is_on = false;
                self.clients[client].reconnect_at = None;
                self.hang_up(client, Some(0), true)?;
            }
            Op::Cut {
                client,
                server_notices_after,
                loses_all,
            } => {
                self.hang_up(client, Some(server_notices_after), loses_all)?;
            }
            Op::HalfOpen {
                client,
                server_notices_after,
            } => {
                self.break_silently(client, server_notices_after);
            }
            Op::Stall { client } => self.clients[client].is_stalled = true,
            Op::Go { client } => self.clients[client].is_stalled = false,
            Op::Wait { millis } => self.wait(millis)?,
            Op::ToDeadline => {
                if let Some(deadline) = self.deadline() {
                    self.wait(deadline.saturating_sub(self.now))?;
                }
            }
            Op::SetWallClock { by } => {
                self.counts.clock_set += 1;
                // Time IDs of a process that is gone stay known only as being in the past.
                self.wall = (self.wall + by).max(self.earliest);
            }
            Op::Sweep => self.sweep()?,
            Op::PollAll => {
                for connection in &self.connections {
                    Waker::from(Arc::clone(&connection.woken)).wake();
                }
            }
            Op::SourceLost { record } => {
                if let Some(sut) = &self.sut {
                    sut.source_lost(&self.keys[record]);
                    if let Some(life) = &mut self.reference.lives[record] {
                        life.interrupt();
                    }
                }
            }
            Op::Kill { down } => self.kill(down),
            Op::Drain => {
                if let Some(sut) = &self.sut {
                    sut.drain();
                    self.reference.is_draining = true;
                    self.restart_at = Some(self.now + 5_000);
                }
            }
        }
        self.settle()?;
        self.sut
            .as_ref()
            .map_or(Ok(()), |sut| self.reference.check(&sut.stats()))
    }

    fn publish(&mut self, record: usize, big: bool, chance: &mut Chance) -> Result<(), String> {
        let version = match chance.below(100) {
            0..8 => DELETED,
            _ => self.next_version,
        };
        let is_tagged = version != DELETED && chance.percent(self.settings.tagged);
        let again = self.tags[record].len().min(6);
        let version = if is_tagged && again > 0 && chance.percent(25) {
            // The record is as it was before: the same ETag, the same content.
            self.tags[record][self.tags[record].len() - 1 - chance.index(again)]
        } else {
            version
        };
        let etag = is_tagged.then(|| etag(version));
        if version == self.next_version {
            self.next_version += 1;
            self.tags[record].extend(is_tagged.then_some(version));
        }
        let padding = if big {
            self.settings.padding
        } else {
            chance.index(20)
        };
        let kind = match version {
            DELETED => "deleted",
            _ if chance.percent(20) => "snapshot",
            _ => "changed",
        };
        let id = self.keys[record].id();
        let data = match version {
            DELETED => format!("{{\"id\":\"{id}\"}}"),
            _ => format!("{{\"v\":{version},\"x\":\"{}\"}}", "y".repeat(padding)),
        };
        let body = body(
            kind,
            &self.keys[record],
            &data,
            etag.as_deref(),
            chance.percent(20),
        );
        self.truth[record] = version;
        if let Some(etag) = &etag {
            *self.uses.entry((record, etag.clone())).or_default() += 1;
        }
        let Some(sut) = &self.sut else {
            self.counts.published_while_down += 1;
            return Ok(());
        };
        let event = Event::from_json(body.as_bytes()).map_err(|error| error.to_string())?;
        let at = self.now - chance.below(self.settings.skew + 1);
        let before = sut.stats();
        let answer = sut.publish(event, Now::from_millis(at, self.wall));
        let after = sut.stats();
        let right = self
            .reference
            .publish(record, kind, etag.as_deref(), &data, at);
        self.log.line(
            self.now,
            format_args!("  {data:.40} as {etag:?}: {answer:?}"),
        );
        if answer.is_ok() != right.is_ok() {
            return Err(format!("a publish was answered {answer:?}, not {right:?}"));
        }
        self.counts.published += u64::from(answer.is_ok());
        self.counts.publishes_refused += u64::from(answer.is_err());
        if etag.is_none() {
            self.a_time_was_given();
        }
        let limit = self.settings.hub.max_history_bytes;
        if before.history_bytes + data.len() + self.overhead + 600 > limit {
            self.counts.memory_freed += 1;
            self.reference.freed(at, &after)?;
        }
        if answer.is_ok() && after.history_bytes > limit {
            return Err(format!(
                "{after:?} after a publish, and {limit} bytes are the limit"
            ));
        }
        self.reference.check(&after)
    }

    pub(crate) fn sweep(&mut self) -> Result<(), String> {
        let Some(sut) = &self.sut else {
            return Ok(());
        };
        self.sweeper.take();
        let waker = Waker::from(Arc::clone(&self.sweeper));
        let next = sut.poll_sweep(&Context::from_waker(&waker), self.both());
        let next = next.map(|next| next.as_millis());
        let right = self.reference.sweep(self.now);
        if next != right {
            return Err(format!("the next sweep is due at {next:?}, not {right:?}"));
        }
        self.sweep_at = next.map(|next| next + self.settings.sweep_late);
        Ok(())
    }

    fn kill(&mut self, down: u64) {
        if self.sut.take().is_none() {
            return;
        }
        self.counts.restarts += 1;
        self.restart_at = Some(self.now + down);
        for connection in core::mem::take(&mut self.connections) {
            self.count_end(&connection);
            if connection.is_open {
                self.disconnected(connection.client);
            }
        }
    }

    fn start(&mut self) {
        self.restart_at = None;
        self.hub_seed = seeded(self.hub_seed).next() | 1 << 40;
        // A process cannot know which times another one gave before the clock was set back.
        self.earliest = self.latest_id + 1;
        self.wall = self.wall.max(self.earliest);
        self.sut = Some(S::start(self.settings.hub, self.hub_seed));
        let evicted = self.evicted();
        self.counts.evicted += evicted;
        self.count_lives();
        self.reference.begin_again(self.hub_seed);
        self.sweep_at = Some(0);
    }

    pub(crate) fn count_lives(&mut self) {
        self.counts.forgotten += core::mem::take(&mut self.reference.forgotten);
        self.counts.expired += core::mem::take(&mut self.reference.expired);
    }

    pub(crate) fn evicted(&self) -> u64 {
        self.reference
            .lives
            .iter()
            .flatten()
            .map(crate::life::Life::evicted)
            .sum()
    }

    /// Time passes, and everything that falls due on the way happens at its moment.
    pub(crate) fn wait(&mut self, millis: u64) -> Result<(), String> {
        let end = self.now + millis;
        self.settle()?;
        while let Some(due) = self.deadline().filter(|due| *due <= end) {
            self.jump_to(due.max(self.now));
            self.settle()?;
        }
        self.jump_to(end);
        self.settle()
    }

    fn jump_to(&mut self, moment: u64) {
        self.wall += (moment - self.now) as i64;
        self.now = moment;
    }

    /// Time passes for nobody: there is no connection, and the sweeper's timer is late.
    pub(crate) fn pass_without_sweeps(&mut self, millis: u64) {
        self.jump_to(self.now + millis);
    }

    /// The next moment at which anything happens by itself.
    fn deadline(&self) -> Option<u64> {
        let sweep_at = self.sweep_at.filter(|_| self.sut.is_some());
        let connections = self
            .connections
            .iter()
            .filter_map(|connection| self.due(connection));
        let clients = self.clients.iter().filter_map(|client| client.reconnect_at);
        connections
            .chain(clients)
            .chain(sweep_at)
            .chain(self.restart_at)
            .min()
    }

    /// Lets everything happen that can happen without time.
    pub(crate) fn settle(&mut self) -> Result<(), String> {
        for _ in 0..10_000 {
            let mut has_moved = false;
            if self.restart_at.is_some_and(|due| due <= self.now) {
                self.kill(0);
                self.start();
                has_moved = true;
            }
            let is_due = self.sweep_at.is_some_and(|due| due <= self.now);
            if self.sut.is_some() && (is_due || self.sweeper.is_set()) {
                self.sweep()?;
                has_moved = true;
            }
            for index in 0..self.connections.len() {
                has_moved |= self.drive(index)?;
            }
            self.connections.retain(|connection| !connection.is_over());
            for client in 0..self.clients.len() {
                if self.clients[client]
                    .reconnect_at
                    .is_some_and(|due| due <= self.now)
                {
                    self.connect(client)?;
                    has_moved = true;
                }
            }
            if !has_moved {
                return self.nobody_sleeps_on_something();
            }
        }
        Err("it never comes to rest".into())
    }
}

/// What an event costs beside its bytes, as a hub counts it.
pub(crate) fn overhead<S: Sut>() -> usize {
    let sut = S::start(
        HubConfig {
            event_ids: EventIds::Etag,
            ..HubConfig::default()
        },
        0,
    );
    let key = ResourceKey::new("a", "1").expect("a valid key");
    sut.publish(Event::deleted(key), Now::from_millis(0, 0))
        .expect("room for one");
    let frame = "event: deleted\nid: 1970-01-01T00:00:00.000Z\ndata: {\"id\":\"1\"}\n\n";
    sut.stats().history_bytes - frame.len() - "1970-01-01T00:00:00.000Z".len()
}

/// The ETag of a version, in one of the forms that ETags have.
fn etag(version: Version) -> String {
    match version % 4 {
        0 => format!("W/\"{version}\""),
        1 => format!("é{version}"),
        2 => format!("{:040}", version),
        _ => format!("v{version}"),
    }
}

fn body(kind: &str, key: &ResourceKey, data: &str, etag: Option<&str>, is_spaced: bool) -> String {
    let (slug, id) = (key.slug(), key.id());
    let tag = etag.unwrap_or_default().replace('"', "\\\"");
    if is_spaced {
        let data = data.replacen(':', " : ", 1);
        return format!(
            "{{ \"record\": {data} , \"etag\":\"{tag}\",\n\"id\":\"{id}\",\"slug\":\"{slug}\",\"type\":\"{kind}\"}}\n"
        );
    }
    let member = if etag.is_some() {
        format!(",\"etag\":\"{tag}\"")
    } else {
        String::new()
    };
    format!("{{\"type\":\"{kind}\",\"slug\":\"{slug}\",\"id\":\"{id}\",\"record\":{data}{member}}}")
}
