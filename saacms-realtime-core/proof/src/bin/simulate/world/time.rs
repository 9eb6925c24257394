//! Time jumps from one deadline to the next.

use core::task::{Context, Waker};
use std::sync::Arc;

use super::World;
use crate::sut::Sut;

impl<S: Sut> World<S> {
    /// Advances the time. Everything due in between happens at its own time.
    pub(crate) fn wait(&mut self, millis: u64) -> Result<(), String> {
        let end = self.now + millis;
        self.run_until_idle()?;
        while let Some(due) = self.deadline().filter(|due| *due <= end) {
            self.jump_to(due.max(self.now));
            self.run_until_idle()?;
        }

        self.jump_to(end);
        self.run_until_idle()
    }

    fn jump_to(&mut self, moment: u64) {
        self.wall += (moment - self.now) as i64;
        self.now = moment;
    }

    /// Advances the time without sweeps, as if the timer of the sweep were late. No client is
    /// connected.
    pub(crate) fn jump_past_sweeps(&mut self, millis: u64) {
        self.jump_to(self.now + millis);
    }

    /// When something is due next.
    pub(super) fn deadline(&self) -> Option<u64> {
        // Without a hub nothing sweeps, but clients still try to connect.
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

    /// Runs everything that can happen without time passing.
    pub(crate) fn run_until_idle(&mut self) -> Result<(), String> {
        // Far more rounds than any operation needs: a hub that wakes for ever is a fault.
        for _ in 0..10_000 {
            let mut has_moved = false;

            if self.restart_at.is_some_and(|due| due <= self.now) {
                // A hub that drains still runs.
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
            // Removed only now, so that no index changes in the round.
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
                return self.check_wake_ups();
            }
        }
        Err("the world never comes to rest".into())
    }

    /// Polls the sweep, and checks when it is due next.
    pub(crate) fn sweep(&mut self) -> Result<(), String> {
        let Some(sut) = &self.sut else {
            return Ok(());
        };

        // Before the poll: a wake-up during it must not be forgotten.
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
}
