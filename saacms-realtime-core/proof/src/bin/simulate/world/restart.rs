//! The end of one hub, and the start of the next.

use super::World;
use crate::scenario::seeded;
use crate::sut::Sut;

impl<S: Sut> World<S> {
    /// Ends the hub as a crash would: connections are cut, and history is lost.
    pub(super) fn kill(&mut self, down: u64) {
        if self.sut.take().is_none() {
            return;
        }

        self.counts.restarts += 1;
        self.restart_at = Some(self.now + down);
        // Readers are dropped with their connections, and tell the reference nothing: it restarts, too.
        for connection in core::mem::take(&mut self.connections) {
            self.count_end(&connection);
            if connection.is_open {
                self.disconnected(connection.client);
            }
        }
    }

    /// Starts the next hub, as a new process.
    pub(super) fn start(&mut self) {
        self.restart_at = None;
        // As in `World::new`: epochs of its own, and none of an invented ID.
        self.hub_seed = seeded(self.hub_seed).next() | 1 << 40;

        // A process cannot know which times an earlier one used, so the clock must be past them.
        self.earliest = self.latest_id + 1;
        self.wall = self.wall.max(self.earliest);
        self.sut = Some(S::start(self.settings.hub, self.hub_seed));

        // Counted before the reference forgets this life.
        let evicted = self.evicted();
        self.counts.evicted += evicted;
        self.count_lives();
        self.reference.restart(self.hub_seed);
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
}
