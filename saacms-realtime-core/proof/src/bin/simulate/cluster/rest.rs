//! The end of a run: nothing goes wrong any more, every client must know all events, and when all have
//! left nothing may be left.

use saacms_realtime_core::engine::Report;

use super::world::{Check, World, say};
use crate::chance::Chance;
use crate::sut::Sut;

/// Longer than an ask pauses after a failure, than a publish waits, and than an audit is away.
const REST: u64 = 45_000;

impl<S: Sut> World<S> {
    pub(super) fn come_to_rest(&mut self, seed: u64) -> Check {
        say!(self, "nothing goes wrong any more");
        self.chance = Chance::new(seed);
        self.is_calm = true;
        let has_dropped = self.counts.dropped > 0;
        self.settings.dropped = 0;
        self.engine.replicate();
        for host in 0..self.hosts.len() {
            self.come_back(host)?;
        }
        // What is on its way arrives before the doubt, or a copy of a lost event may come after it.
        self.calm_down(0)?;
        for host in 0..self.hosts.len() {
            // An audit would find what a lost copy brought, but without one it must be said.
            let is_silent = has_dropped || self.engine.losses > 0;
            if is_silent && self.settings.spec.audit_every.is_none() {
                self.report(host, Report::Doubt(None));
            }
        }

        self.calm_down(REST)?;
        if self.unsettled() > 0 {
            return Err("a publisher waits for ever".into());
        }
        self.check_all_know()?;
        self.bring_all_back()?;
        self.check_nothing_is_left()
    }

    /// Every connected client knows all events.
    fn check_all_know(&mut self) -> Check {
        for client in 0..self.clients.len() {
            if self.clients[client].stream.is_some() {
                self.check_knows_all(client)?;
            }
        }
        Ok(())
    }

    fn check_knows_all(&mut self, client: usize) -> Check {
        let it = &self.clients[client];
        let all = self.engine.records[it.record].history.all.len();
        self.log.hash_number(it.known as u64);
        if it.is_ambiguous {
            return Ok(());
        }
        if it.known != all {
            let known = it.known;
            return Err(format!("client {client} knows {known} of {all} events"));
        }
        if it.has.is_lost || it.has.next.is_some_and(|next| next != all) {
            let id = &it.id;
            return Err(format!("client {client} knows all events, and has {id}"));
        }
        self.counts.converged += 1;
        Ok(())
    }

    /// Every client that was away comes back, one at a time, so that no limit refuses it.
    fn bring_all_back(&mut self) -> Check {
        for client in 0..self.clients.len() {
            if self.clients[client].stream.is_some() {
                continue;
            }
            self.leave_all();
            self.calm_down(1_001)?;
            let host = self.chance.index(self.hosts.len());
            self.connect(client, host)?;
            self.calm_down(1_000)?;
            if self.clients[client].stream.is_none() {
                return Err(format!("client {client} cannot come back"));
            }
            self.check_knows_all(client)?;
        }
        Ok(())
    }

    fn leave_all(&mut self) {
        for client in &mut self.clients {
            client.stream = None;
        }
    }

    /// A minute after the last reader has left, nothing is kept, watched or asked.
    fn check_nothing_is_left(&mut self) -> Check {
        self.leave_all();
        self.calm_down(61_000)?;
        self.calm_down(15_000)?;
        for (number, host) in self.hosts.iter().enumerate() {
            let stats = host.hub.stats();
            let in_flight = stats.engine.map_or(0, |engine| engine.in_flight);
            let left = stats.topics + stats.subscribers + stats.history_bytes;
            if left + stats.unread_bytes + in_flight > 0 {
                return Err(format!("{stats:?} of hub {number}, and no client is left"));
            }
            let watched = &host.adapter.watched;
            if !watched.is_empty() || !host.wants_nothing() {
                return Err(format!(
                    "hub {number} watches {watched:?}, and no client is left"
                ));
            }
        }
        Ok(())
    }
}
