use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::task::Waker;
use core::time::Duration;

use crate::engine::Life;
use crate::hub::engine::asks::Asks;
use crate::hub::engine::publishes::{Ended, Publishes};
use crate::name::ResourceKey;
use crate::time::Instant;

/// What the lock of an outbox protects.
pub(super) struct State {
    pub(super) standing: Standing,
    /// The life of the engine; `None` until it was up for the first time.
    pub(super) life: Option<Life>,
    /// The greatest sequence of this life that the engine has reported for any record.
    pub(super) told: u64,
    /// How many times the engine came up.
    pub(super) connection: u64,
    /// Records whose watch begins (true) or ends with the next poll of the port.
    pub(super) watches: BTreeMap<ResourceKey, bool>,
    pub(super) asks: Asks,
    /// When a record is checked, though nothing suggests that an event was missed.
    pub(super) checks: BTreeSet<(Instant, ResourceKey)>,
    pub(super) publishes: Publishes,
    /// Somebody will look whether a publish has waited too long, even if the port is not polled.
    pub(super) is_timed: bool,
    /// The engine lost data and has not said so.
    pub(super) loss: Loss,
    /// Wakes the port.
    pub(super) waker: Option<Waker>,
    pub(super) counts: Counts,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Up,
    /// Since then; `None` until a time is known.
    Away {
        since: Option<Instant>,
    },
    /// The port was dropped: there is no engine any more.
    Gone,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    None,
    /// To be declared with the next poll.
    Found,
    Declared,
}

/// Counters that only grow.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) repaired: u64,
    pub(super) refetched: u64,
    pub(super) lost: u64,
}

/// What became of the life of the engine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::hub::engine) enum NewLife {
    /// It is the first that this hub knows.
    First,
    /// It is the one that was known.
    Same,
    /// Readers must refetch.
    Other,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            standing: Standing::Away { since: None },
            life: None,
            told: 0,
            connection: 0,
            watches: BTreeMap::new(),
            asks: Asks::default(),
            checks: BTreeSet::new(),
            publishes: Publishes::default(),
            is_timed: false,
            loss: Loss::None,
            waker: None,
            counts: Counts::default(),
        }
    }

    /// Begins a life, or goes on with it. `told`: its newest sequence.
    pub(super) fn enter(&mut self, life: Life, told: u64) -> NewLife {
        let before = self.life.replace(life);
        let new_life = match before {
            Some(before) if before.number == life.number => NewLife::Same,
            Some(_) => NewLife::Other,
            None => NewLife::First,
        };

        if new_life == NewLife::Same {
            self.told = self.told.max(told);
            return new_life;
        }
        self.told = told;
        self.loss = Loss::None;
        if new_life == NewLife::Other {
            self.counts.lost += 1;
        }
        new_life
    }

    /// Ends the publishes that have waited too long. Returns when the next one ends.
    pub(super) fn expire(
        &mut self,
        timeout: Duration,
        now: Instant,
        ended: &mut Vec<Ended>,
    ) -> Option<Instant> {
        let away_since = self.away_since(now);
        self.publishes.expire(timeout, away_since, now, ended)
    }

    /// Since when the engine is away; `None` while it is up.
    pub(super) fn away_since(&mut self, now: Instant) -> Option<Instant> {
        match &mut self.standing {
            Standing::Away { since } => Some(*since.get_or_insert(now)),
            Standing::Up | Standing::Gone => None,
        }
    }
}
