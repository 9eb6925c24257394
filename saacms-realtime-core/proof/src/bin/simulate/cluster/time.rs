//! How time passes, and what happens by itself.

use super::world::{Check, World};
use crate::sut::Sut;

/// Rounds until everything must be idle.
const ROUNDS: usize = 10_000;

impl<S: Sut> World<S> {
    pub(super) fn wait(&mut self) -> Check {
        let millis = match self.chance.below(20) {
            0..9 => 1 + self.chance.below(50),
            9..15 => self.chance.below(2_500),
            15 | 16 => 5_000 + self.chance.below(2),
            17 | 18 => self.chance.below(20_000),
            _ => 55_000 + self.chance.below(25_000),
        };
        self.advance(millis)
    }

    /// Lets time pass, from one deadline to the next. At each, some of what is in flight arrives.
    pub(super) fn advance(&mut self, millis: u64) -> Check {
        let end = self.now + millis;
        loop {
            self.pump()?;
            while self.is_calm && self.is_any_busy() {
                for host in 0..self.hosts.len() {
                    self.flush(host)?;
                }
                self.pump()?;
            }
            self.settle_publishes()?;
            self.check_limits()?;
            if self.now == end {
                return Ok(());
            }

            let hosts = self.hosts.iter().filter_map(|host| host.due());
            let streams = self
                .clients
                .iter()
                .filter_map(|it| it.stream.as_ref()?.wake_at);
            let due = hosts.chain(streams).filter(|due| *due > self.now).min();
            self.now = due.map_or(end, |due| due.min(end));
            for host in 0..self.hosts.len() {
                if self.chance.percent(60) {
                    self.flush(host)?;
                }
            }
        }
    }

    fn is_any_busy(&self) -> bool {
        let mut adapters = self.hosts.iter().map(|host| &host.adapter);
        adapters.any(|it| it.is_up && !it.is_idle())
    }

    /// Polls all that was woken or is due, until nothing is.
    pub(super) fn pump(&mut self) -> Check {
        for _ in 0..ROUNDS {
            let mut has_moved = false;
            for host in 0..self.hosts.len() {
                let now = self.at();
                has_moved |= self.collect(host)? | self.hosts[host].poll_sweep(now);
            }
            for client in 0..self.clients.len() {
                has_moved |= self.poll_stream(client)?;
            }
            if !has_moved {
                return Ok(());
            }
        }
        Err("something is polled for ever".into())
    }

    /// Polls one stream or one port.
    pub(super) fn poll_some(&mut self) -> Check {
        let client = self.chance.index(self.clients.len());
        self.poll_stream(client)?;
        let host = self.chance.index(self.hosts.len());
        self.collect(host)?;
        Ok(())
    }

    /// Carries out everything that a hub wants, and brings it everything that is on its way.
    pub(super) fn flush(&mut self, host: usize) -> Check {
        for _ in 0..ROUNDS {
            let has_moved = self.collect(host)?;
            let adapter = &self.hosts[host].adapter;
            if !adapter.is_up || !has_moved && adapter.is_idle() {
                return Ok(());
            }
            self.deliver(host);
            self.serve(host)?;
            self.answer(host);
            self.store(host)?;
            self.confirm(host);
        }
        Err(format!("hub {host} asks for ever"))
    }

    /// Lets time pass while nothing goes wrong: everything is carried out at once.
    pub(super) fn calm_down(&mut self, millis: u64) -> Check {
        let was_calm = core::mem::replace(&mut self.is_calm, true);
        self.advance(millis)?;
        self.is_calm = was_calm;
        Ok(())
    }
}
