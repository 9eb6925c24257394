//! The simulated world: its state, and what each operation does to it.

mod publish;
mod restart;
mod time;

use core::task::Waker;
use std::collections::BTreeMap;
use std::sync::Arc;

use saacms_realtime_core::{Now, ResourceKey};

use crate::chance::Chance;
use crate::client::{Client, Version};
use crate::connection::{Connection, Flag};
use crate::counts::Counts;
use crate::log::Log;
use crate::reference::Reference;
use crate::scenario::{Op, Scenario, Settings, seeded};
use crate::sut::Sut;

pub(crate) use publish::overhead;

/// Keys that would be the same if slug and ID were joined by a separator.
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
    /// No time ID so far is later than this.
    latest_id: i64,
    /// The wall clock is not set back before this, because an earlier process used those times as
    /// IDs.
    earliest: i64,
    hub_seed: u64,
    overhead: usize,
    /// The database that the CMS edits: what a refetch returns.
    pub(crate) truth: Vec<Version>,
    next_version: Version,
    /// Versions of each record that were published with an ETag, oldest first.
    tags: Vec<Vec<Version>>,
    /// How often each ETag was published.
    pub(crate) uses: BTreeMap<(usize, String), u32>,
    /// The waker that the sweep is polled with.
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
        // The reference numbers records in the order of their keys, as a hub breaks ties by key.
        keys.sort_unstable();
        // The set bit keeps epochs apart from those of invented IDs.
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

    /// Both clocks.
    pub(crate) fn both(&self) -> Now {
        Now::from_millis(self.now, self.wall)
    }

    /// Notes that the hub may have chosen a new time as an ID.
    pub(crate) fn count_time_id(&mut self) {
        self.latest_id = self.wall.max(self.latest_id);
    }

    /// Runs one operation, and all that follows from it at once.
    pub(crate) fn run(&mut self, op: Op) -> Result<(), String> {
        self.counts.operations += 1;
        self.log.push_line(self.now, format_args!("{op:?}"));
        self.log.hash_number(self.now);

        match op {
            Op::Publish {
                record,
                count,
                big,
                chance,
            } => self.burst(record, count, big, &mut seeded(chance))?,
            Op::Join { client, naming } => self.join(client, naming)?,
            Op::Leave { client } => self.leave(client)?,
            Op::Cut {
                client,
                server_notices_after,
                loses_all,
            } => self.hang_up(client, Some(server_notices_after), loses_all)?,
            Op::HalfOpen {
                client,
                server_notices_after,
            } => self.half_open(client, server_notices_after),
            Op::Stall { client } => self.clients[client].is_stalled = true,
            Op::Unstall { client } => self.clients[client].is_stalled = false,
            Op::Wait { millis } => self.wait(millis)?,
            Op::ToDeadline => {
                if let Some(deadline) = self.deadline() {
                    self.wait(deadline.saturating_sub(self.now))?;
                }
            }
            Op::SetWallClock { by } => {
                self.counts.clock_set += 1;
                // All that a new process knows of the last one's time IDs is that they are in the
                // past.
                self.wall = (self.wall + by).max(self.earliest);
            }
            Op::Sweep => self.sweep()?,
            Op::PollAll => {
                for connection in &self.connections {
                    Waker::from(Arc::clone(&connection.woken)).wake();
                }
            }
            Op::SourceLost { record } => self.lose_source(record),
            Op::Kill { down } => self.kill(down),
            Op::Drain => self.drain(),
        }

        // Checked after every operation, so that a fault is found where it happens.
        self.run_until_idle()?;
        self.sut
            .as_ref()
            .map_or(Ok(()), |sut| self.reference.check(&sut.stats()))
    }

    fn burst(
        &mut self,
        record: usize,
        count: u64,
        big: bool,
        chance: &mut Chance,
    ) -> Result<(), String> {
        for _ in 0..count {
            self.publish(record, big, chance)?;
        }
        Ok(())
    }

    fn leave(&mut self, client: usize) -> Result<(), String> {
        self.clients[client].is_on = false;
        self.clients[client].reconnect_at = None;
        self.hang_up(client, Some(0), true)
    }

    fn lose_source(&mut self, record: usize) {
        let Some(sut) = &self.sut else { return };
        sut.source_lost(&self.keys[record]);
        self.reference.interrupt(record);
    }

    fn drain(&mut self) {
        let Some(sut) = &self.sut else { return };
        sut.drain();
        self.reference.is_draining = true;
        self.restart_at = Some(self.now + 5_000);
    }
}
