//! What goes wrong with the engine, its connections, and the hubs.

use saacms_realtime_core::engine::{NotStored, Report};

use super::world::{Check, World, say};
use crate::history::Kind;
use crate::sut::Sut;

impl<S: Sut> World<S> {
    pub(super) fn trouble(&mut self, host: usize) -> Check {
        let is_wild = self.settings.is_wild;
        let is_rough = self.settings.is_rough;
        match self.chance.below(10) {
            0..3 if is_wild => self.lose(),
            3 if is_wild && self.engine.losses == 0 => {
                self.empty();
                Ok(())
            }
            4 if is_wild => {
                self.lose_source();
                Ok(())
            }
            5 if self.settings.ages => self.age(),
            6 if is_rough => self.kill(host),
            7 if is_rough => self.drain(host),
            _ => Ok(()),
        }
    }

    /// The engine cannot say that a hub has missed nothing.
    pub(super) fn doubt(&mut self, host: usize) {
        if self.hosts[host].adapter.is_up {
            self.counts.doubts += 1;
            let key = self.keys[self.chance.index(self.keys.len())].clone();
            let keys = self.chance.percent(50).then(|| vec![key]);
            self.report(host, Report::Doubt(keys));
        }
    }

    /// A hub loses its connection to the engine.
    pub(super) fn disconnect(&mut self, host: usize) {
        let is_late = self.chance.percent(50);
        let adapter = &mut self.hosts[host].adapter;
        if !adapter.is_up {
            return;
        }
        self.counts.cuts += 1;
        self.counts.late += u64::from(is_late && !adapter.answers.is_empty());
        adapter.cut(is_late);
        // The engine tries again what it was sent, or gives it up.
        if self.chance.percent(30) {
            for waiting in std::mem::take(&mut adapter.publishes) {
                let report = Report::Stored(waiting.ticket, Err(NotStored::Away));
                adapter.outcomes.push_back(report);
            }
        }
        self.report(host, Report::Down);
    }

    /// A hub that drains is replaced, and one that is cut off is connected again.
    pub(super) fn come_back(&mut self, host: usize) -> Check {
        if self.hosts[host].is_draining {
            self.kill(host)?;
        }
        self.reconnect(host);
        Ok(())
    }

    pub(super) fn reconnect(&mut self, host: usize) {
        if self.hosts[host].adapter.is_up {
            return;
        }
        let life = self.engine.life;
        self.hosts[host].adapter.is_up = true;
        self.hosts[host].life = Some(life.number);
        let last = self.engine.sequence;
        self.report(host, Report::Up { life, last });
    }

    /// The engine loses its newest events.
    fn lose(&mut self) -> Check {
        let count = 1 + self.chance.index(3);
        let lost = self.engine.lose(count, self.settings.depth());
        if lost == 0 {
            return Ok(());
        }
        say!(
            self,
            "the engine loses {lost} events, and is at {}",
            self.engine.sequence
        );
        for client in &mut self.clients {
            let left = self.engine.records[client.record].history.all.len();
            client.known = client.known.min(left);
        }

        let kind = self.settings.kind;
        if kind == Kind::Life || self.chance.percent(30) {
            self.counts.losses_told += 1;
            return self.tell_loss();
        }
        self.counts.losses_untold += 1;
        // Where links name more than a number, nobody need say it. Otherwise the loss takes the
        // connections with it.
        if kind == Kind::Numbers || self.chance.percent(50) {
            for host in 0..self.hosts.len() {
                if self.hosts[host].adapter.is_up {
                    self.disconnect(host);
                    self.reconnect(host);
                }
            }
        }
        self.understand_anew()
    }

    /// A hub has proof of a loss.
    pub(super) fn declare_lost(&mut self) -> Check {
        if self.engine.losses == 0 {
            return Err("a hub declares a loss, and there was none".into());
        }
        self.counts.declared += 1;
        self.tell_loss()
    }

    /// Begins another life, and tells everybody.
    fn tell_loss(&mut self) -> Check {
        self.engine.begin_life();
        let life = self.engine.life;
        for host in 0..self.hosts.len() {
            let is_late = self.chance.percent(50);
            let adapter = &mut self.hosts[host].adapter;
            // What was stored and is lost may not be told as stored in the new life.
            for outcome in &mut adapter.outcomes {
                if let Report::Stored(_, result) = outcome
                    && result.is_ok_and(|sequence| sequence > life.lost)
                {
                    *result = Err(NotStored::Unknown);
                }
            }
            if !adapter.is_up {
                continue;
            }

            self.counts.late += u64::from(is_late && !adapter.answers.is_empty());
            adapter.wire.clear();
            adapter.forget_asks(is_late);
            self.hosts[host].life = Some(life.number);
            self.report(host, Report::Lost(life));
        }
        self.understand_anew()
    }

    /// After a loss, the IDs of clients may mean something else.
    fn understand_anew(&mut self) -> Check {
        for client in &mut self.clients {
            // Where a stream begins that waits is not decided yet.
            if let Some(stream) = client.stream.as_ref().filter(|it| !it.has_begun) {
                let named = Some(&stream.named).filter(|id| !id.is_empty());
                if let Some(id) = named.or(stream.place.as_ref()) {
                    let meaning = self.engine.meaning(client.record, id)?;
                    client.is_ambiguous |= meaning.is_ambiguous;
                }
            }
            if client.id.is_empty() || client.is_marker {
                continue;
            }
            let meaning = self.engine.meaning(client.record, &client.id)?;
            if meaning.is_ambiguous {
                // Its stream goes on where it was.
                client.has.is_ambiguous = true;
                client.has.next = client.has.next.filter(|next| *next <= client.known);
            } else {
                client.has = meaning;
            }
        }
        Ok(())
    }

    /// The engine has no room, or all events are old.
    fn empty(&mut self) {
        self.counts.emptied += self.keys.len() as u64;
        self.engine.drop_all();
        say!(
            self,
            "the engine drops all events up to {}",
            self.engine.sequence
        );
    }

    /// All events are old. That takes so long that each hub has heard of all of them.
    fn age(&mut self) -> Check {
        for host in 0..self.hosts.len() {
            self.reconnect(host);
            self.flush(host)?;
        }
        for host in 0..self.hosts.len() {
            self.report(host, Report::Doubt(None));
        }
        self.calm_down(12_000)?;
        self.empty();
        Ok(())
    }

    /// The source of a record has lost data: each hub is told.
    fn lose_source(&mut self) {
        let record = self.chance.index(self.keys.len());
        self.counts.sources_lost += 1;
        say!(self, "the source of record {record} is lost");
        for host in &self.hosts {
            host.sut.source_lost(&self.keys[record]);
        }
    }

    /// A hub ends at once, and another one begins in its place.
    pub(super) fn kill(&mut self, host: usize) -> Check {
        say!(self, "hub {host} is killed");
        self.counts.killed += 1;
        for client in &mut self.clients {
            if client.stream.as_ref().is_some_and(|it| it.hub == host) {
                client.stream = None;
            }
        }
        let stats = self.hosts[host].hub.stats();
        if stats.subscribers > 0 {
            return Err(format!("{stats:?}, and its streams are gone"));
        }

        self.hosts[host] = self.new_host();
        if self.chance.percent(70) {
            self.reconnect(host);
        }
        // Its port is gone, so its publishers know.
        self.settle_publishes()?;
        Ok(())
    }

    fn drain(&mut self, host: usize) -> Check {
        say!(self, "hub {host} drains");
        self.counts.drained += 1;
        self.hosts[host].is_draining = true;
        self.hosts[host].sut.drain();
        Ok(())
    }
}
