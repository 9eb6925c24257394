use core::time::Duration;
use std::collections::{HashSet, VecDeque};
use std::mem;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::thread;

use saacms_realtime_core::engine::{Failed, NotStored, Number, Packed, Report, Request, Ticket};
use saacms_realtime_core::{EnginePort, Instant, Reporter, ResourceKey, Told};

use super::probe::{PROBE_EVERY, Probe};
use super::thread::State;
use super::{Batch, File, Folder, Keep, OpenError, Store, StoreError};
use crate::clock::Clock;

/// How long asks are answered before the next publishes are stored.
const ASKING: Duration = Duration::from_millis(5);

/// How long old records are looked for before the next publishes are stored.
const TENDING: Duration = Duration::from_millis(2);

/// The most time between two looks at what is to be forgotten.
const MAX_UNTENDED: Duration = Duration::from_secs(60);

/// The file is damaged, and why.
pub(super) struct Damaged(pub(super) Box<str>);

/// What the thread does with its store, and what it keeps when the file is replaced.
///
/// What waits here is bounded by the hub, which bounds its publishes and asks in flight.
pub(super) struct Driver {
    port: EnginePort,
    reporter: Reporter,
    pub(super) folder: Folder,
    keep: Keep,
    pub(super) clock: Clock,
    pub(super) state: Arc<State>,
    watched: HashSet<ResourceKey>,
    pub(super) publishes: VecDeque<(Ticket, ResourceKey, Packed)>,
    asks: VecDeque<Asked>,
    /// When another life is begun, because the hub has proof that events are gone.
    lost_at: Option<Instant>,
    pub(super) probe: Probe,
    /// Up to when the store was tended.
    tended: Instant,
    /// When the last file was replaced.
    recovered: Option<Instant>,
}

/// An ask of the hub.
enum Asked {
    Newest(ResourceKey, Number),
    Run(ResourceKey, Number, u64),
}

impl Driver {
    pub(super) fn new(
        port: EnginePort,
        folder: Folder,
        keep: Keep,
        clock: Clock,
        state: Arc<State>,
    ) -> Self {
        Self {
            reporter: port.reporter(),
            port,
            folder,
            keep,
            clock,
            state,
            watched: HashSet::new(),
            publishes: VecDeque::new(),
            asks: VecDeque::new(),
            lost_at: None,
            probe: Probe::default(),
            tended: clock.now().instant,
            recovered: None,
        }
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    pub(super) fn report(&self, report: Report) {
        self.reporter.report(report, self.clock.now());
    }

    /// Takes what the hub wants. Returns when there is more, unless the waker is called earlier.
    pub(super) fn poll(&mut self, store: &mut Store<'_>, waker: &Waker) -> Option<Instant> {
        let mut requests = Vec::new();
        let cx = Context::from_waker(waker);
        let next = self
            .port
            .poll_requests(&cx, self.clock.now(), &mut requests);
        for request in requests {
            self.take(store, request);
        }
        next
    }

    fn take(&mut self, store: &mut Store<'_>, request: Request) {
        match request {
            Request::Watch(key) => {
                store.watch(&key);
                self.watched.insert(key);
            }
            Request::Unwatch(key) => {
                store.unwatch(&key);
                self.watched.remove(&key);
            }
            // Every ask is sure: there is one copy.
            Request::Newest { of, sure: _ } => {
                let asks = of.into_iter();
                let asks = asks.map(|(key, number)| Asked::Newest(key, number));
                self.asks.extend(asks);
            }
            Request::Run {
                key,
                number,
                from,
                sure: _,
            } => self.asks.push_back(Asked::Run(key, number, from)),
            Request::Publish {
                ticket,
                key,
                packed,
            } => self.publishes.push_back((ticket, key, packed)),
            Request::DeclareLost => self.lost_at = Some(self.clock.now().instant),
        }
    }

    /// Answers asks for a while, stores one batch, and tends the store if that is due.
    pub(super) fn work(&mut self, store: &mut Store<'_>) -> Result<(), Damaged> {
        let now = self.clock.now().instant;
        if self.lost_at.is_some_and(|lost_at| lost_at <= now) {
            self.declare_lost(store, now)?;
        }

        // Before the next batch: an ask may be about an event of the last one.
        let began = std::time::Instant::now();
        while began.elapsed() < ASKING
            && let Some(asked) = self.asks.pop_front()
        {
            self.answer(store, asked)?;
        }
        self.store_batch(store)?;
        self.try_again(store)?;

        if self.untended() >= 1_000 || store.is_tending() {
            self.tend(store)?;
        }
        Ok(())
    }

    /// Whether there is nothing to do until something is due, or the hub wants something.
    pub(super) fn is_idle(&self, store: &Store<'_>) -> bool {
        let has_work = !self.publishes.is_empty() || !self.asks.is_empty() || store.is_tending();
        !has_work && self.untended() < 1_000
    }

    /// Sleeps until `next`, until the store must be tended, or until the waker is called.
    pub(super) fn park(&self, store: &Store<'_>, next: Option<Instant>) {
        let pause = if store.is_erasing() {
            Duration::from_secs(1)
        } else {
            MAX_UNTENDED
        };
        let due = self.tended.saturating_add(pause);
        let due = [next, self.lost_at, self.probe.due()]
            .into_iter()
            .flatten()
            .fold(due, Instant::min);
        let millis = due.millis_since(self.clock.now().instant);
        thread::park_timeout(Duration::from_millis(millis));
    }

    fn declare_lost(&mut self, store: &mut Store<'_>, now: Instant) -> Result<(), Damaged> {
        let declared = store.declare_lost();
        match &declared {
            Ok(life) => {
                self.lost_at = None;
                tracing::error!("events of the history are gone; all clients refetch");
                self.report(Report::Lost(*life));
            }
            Err(error) => {
                tracing::error!("another life cannot begin: {error}");
                self.lost_at = Some(now.saturating_add(PROBE_EVERY));
            }
        }
        damage_of(&declared)
    }

    fn store_batch(&mut self, store: &mut Store<'_>) -> Result<(), Damaged> {
        let now = self.clock.now();
        if self.probe.is_refusing(now.instant) {
            let refused = mem::take(&mut self.publishes);
            self.refuse(
                refused.into_iter().map(|(ticket, ..)| ticket),
                NotStored::Full,
            );
            return Ok(());
        }

        let (mut batch, tickets) = self.take_batch(store);
        if batch.is_empty() {
            return Ok(());
        }

        match store.publish(&mut batch, now.wall) {
            Ok(told) => {
                self.end_probe();
                self.report_stored(store, batch, tickets, told);
            }
            Err(StoreError::Damaged(why)) => {
                // They are stored in the life that begins.
                let events = tickets.into_iter().zip(batch.into_events()).rev();
                for (ticket, (key, packed)) in events {
                    self.publishes.push_front((ticket, key, packed));
                }
                return Err(Damaged(why));
            }
            Err(error @ StoreError::Unknown(_)) => {
                self.begin_probe(&error, now);
                self.refuse(tickets, NotStored::Unknown);
            }
            Err(error @ (StoreError::Full | StoreError::Failed(_))) => {
                self.begin_probe(&error, now);
                self.refuse(tickets, NotStored::Full);
            }
        }
        Ok(())
    }

    /// Takes what is stored in one transaction.
    ///
    /// Readers that wait for the first event of a record ask what else there is when they hear of it. So
    /// that event is the only one of its record in a batch: after more than are kept, the answer would
    /// be that some are gone.
    fn take_batch(&mut self, store: &mut Store<'_>) -> (Batch, Vec<Ticket>) {
        let (mut batch, mut tickets) = (Batch::default(), Vec::new());
        let mut firsts = HashSet::new();
        while let Some((ticket, key, packed)) = self.publishes.pop_front() {
            if firsts.contains(&key) {
                self.publishes.push_front((ticket, key, packed));
                break;
            }
            // What is wrong with the file shows when the batch is stored.
            if store.is_watched(&key) && !store.has(&key).unwrap_or(true) {
                firsts.insert(key.clone());
            }
            if let Err((key, packed)) = batch.push(key, packed) {
                self.publishes.push_front((ticket, key, packed));
                break;
            }
            tickets.push(ticket);
        }
        (batch, tickets)
    }

    /// Tells readers of each event before its publisher, in the order of the file.
    fn report_stored(
        &self,
        store: &Store<'_>,
        batch: Batch,
        tickets: Vec<Ticket>,
        told: Vec<Told<Packed>>,
    ) {
        let events = tickets.into_iter().zip(batch.into_events()).zip(told);
        for ((ticket, (key, _)), told) in events {
            let sequence = told.mark.sequence;
            if store.is_watched(&key) {
                self.report(Report::Live(key, told));
            }
            self.report(Report::Stored(ticket, Ok(sequence)));
        }
    }

    fn refuse(&self, tickets: impl IntoIterator<Item = Ticket>, why: NotStored) {
        for ticket in tickets {
            self.report(Report::Stored(ticket, Err(why)));
        }
    }

    fn answer(&self, store: &mut Store<'_>, asked: Asked) -> Result<(), Damaged> {
        match asked {
            Asked::Newest(key, number) => {
                let newest = store.newest(&key);
                let damage = damage_of(&newest);
                let newest = newest.map_err(|_| Failed);
                self.report(Report::Newest(key, number, newest));
                damage
            }
            Asked::Run(key, number, from) => {
                let run = store.run(&key, from);
                let damage = damage_of(&run);
                self.report(Report::Run(key, number, run.map_err(|_| Failed)));
                damage
            }
        }
    }

    /// Answers all asks that wait: the file that they are of cannot be read.
    pub(super) fn fail_asks(&mut self) {
        for asked in mem::take(&mut self.asks) {
            self.report(match asked {
                Asked::Newest(key, number) => Report::Newest(key, number, Err(Failed)),
                Asked::Run(key, number, _) => Report::Run(key, number, Err(Failed)),
            });
        }
    }

    /// Milliseconds since the store was tended.
    fn untended(&self) -> u64 {
        self.clock.now().instant.millis_since(self.tended)
    }

    /// Makes up for one second, or resumes that.
    fn tend(&mut self, store: &mut Store<'_>) -> Result<(), Damaged> {
        let now = self.clock.now();
        let done = if store.is_tending() {
            store.resume(now.wall, TENDING)
        } else {
            let max = u64::try_from(MAX_UNTENDED.as_millis()).unwrap_or(u64::MAX);
            // A machine that slept does not make up for a night.
            let missed = self.untended().min(max);
            let tended = now.instant.as_millis() - missed + 1_000;
            self.tended = Instant::from_millis(tended);
            store.tend(now.wall, TENDING)
        };
        match &done {
            // A full disk has its own line.
            Ok(()) | Err(StoreError::Full) => {}
            Err(error) => tracing::warn!("old events were not forgotten: {error}"),
        }
        damage_of(&done)
    }

    /// Watches in a new store what was watched in the last one.
    pub(super) fn watch_again(&self, store: &mut Store<'_>) {
        for key in &self.watched {
            store.watch(key);
        }
    }

    /// Tells the hub that its engine is back. It asks again for what it wants to be watched.
    pub(super) fn come_up(&mut self, file: &File) {
        self.watched.clear();
        self.report(Report::Up {
            life: file.life(),
            last: file.last(),
        });
    }

    /// Moves a damaged file aside, and begins another one.
    pub(super) fn recover(&mut self, why: &str) -> Result<File, OpenError> {
        let now = self.clock.now();
        self.recovered = Some(now.instant);
        File::recover(&self.folder, self.keep, now.wall, why)
    }

    pub(super) fn has_recovered_within(&self, time: Duration) -> bool {
        let now = self.clock.now().instant;
        self.recovered
            .is_some_and(|recovered| now < recovered.saturating_add(time))
    }

    /// Refuses the publishes that have waited too long for a history.
    pub(super) fn end_overdue_publishes(&mut self) {
        let cx = Context::from_waker(Waker::noop());
        // The hub wants nothing of an engine that is away.
        self.port
            .poll_requests(&cx, self.clock.now(), &mut Vec::new());
    }
}

pub(super) fn damage_of<T>(result: &Result<T, StoreError>) -> Result<(), Damaged> {
    match result {
        Err(StoreError::Damaged(why)) => Err(Damaged(why.clone())),
        Ok(_) | Err(StoreError::Full | StoreError::Failed(_) | StoreError::Unknown(_)) => Ok(()),
    }
}
